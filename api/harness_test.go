package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"gatewayd/api/conform"
	"gatewayd/auth"
	"gatewayd/chat"
	"gatewayd/contacts"
	"gatewayd/db"
	"gatewayd/files"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/reports"
	"gatewayd/sms"
	"gatewayd/widget"
)

var ctx = context.Background()

// TestMain spares the tests the hashing of passwords, which package auth tests.
func TestMain(m *testing.M) {
	auth.CheapPasswords()
	os.Exit(m.Run())
}

// box is an API on a real queue in a fresh folder.
type box struct {
	*API
	t       testing.TB
	db      *db.DB
	queue   *queue.Queue
	handler http.Handler
	modems  *fakeModems
	hooks   *fakeDeliveries
	store   *fakeSettings
	// tokens, by the scopes of their key
	send, read, admin string
}

type settings struct {
	queue  queue.Options
	single bool // for virtual time
	net    chat.Internet
	dir    string
	change func(*Options)
	desk   func(*intake.Options)
}

func newBox(t testing.TB, s settings) *box {
	t.Helper()
	if s.dir == "" {
		s.dir = t.TempDir()
	}
	d, err := db.Open(ctx, db.Options{Dir: s.dir, SingleConn: s.single})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	q, err := queue.Open(ctx, d, s.queue)
	if err != nil {
		t.Fatal(err)
	}
	limit, midnight := 1000, time.Now().Add(time.Hour)
	limits := &sms.Limits{PerDay: sms.Quota{Limit: &limit, Used: 812, ResetsAt: &midnight}, PerMonth: sms.Quota{Used: 20_000, ResetsAt: &midnight}}
	b := &box{t: t, db: d, queue: q, hooks: &fakeDeliveries{}, modems: &fakeModems{all: []sms.Modem{
		{Name: "backup", State: sms.PINRequired, Reason: "The SIM asks for its PIN.", Advice: "Set pin in the configuration."},
		{Name: "office", State: sms.Ready, Number: "+491700000001", Operator: "Sim Mobile", Technology: "LTE", Registration: "home",
			IMEI: "356938035643809", ICCID: "8949000000000000001", Signal: &sms.Signal{DBm: -71, Percent: 68, Quality: "good"}, Limits: limits},
	}}}
	keys := auth.New(d)
	for token, scope := range map[*string]auth.Scope{&b.send: auth.Send, &b.read: auth.Read, &b.admin: auth.Admin} {
		if *token, _, err = keys.Create(ctx, string(scope), []auth.Scope{scope}, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	b.store = newSettings()
	o := Options{Queue: q, Keys: keys, Modems: b.modems, Deliveries: b.hooks, Settings: b.store, Version: "test", Reports: reports.New(reports.Options{DB: d, Queue: q})}
	o.Contacts = contacts.New(contacts.Options{DB: d, Queue: q, Region: func() string {
		if o.Region == nil {
			return ""
		}
		return o.Region()
	}})
	if s.change != nil {
		s.change(&o)
	}
	desk := intake.Options{Queue: q, Modems: o.Modems, Region: o.Region, Clock: o.Clock, Now: o.Now}
	if s.desk != nil {
		s.desk(&desk)
	}
	if o.Desk == nil {
		o.Desk = intake.New(desk)
	}
	if o.Files == nil {
		if o.Files, err = files.Open(files.Options{DB: d, Dir: s.dir, Queue: q, Now: o.Now}); err != nil {
			t.Fatal(err)
		}
	}
	if o.Chat == nil {
		c, err := chat.New(ctx, chat.Options{Internet: s.net, Files: o.Files, DB: d, Queue: q, Desk: o.Desk, Modems: b.modems.List, Region: o.Region, Clock: o.Clock, Now: o.Now,
			NameOf: o.Contacts.NameOf, Named: o.Contacts.Named, Consented: o.Contacts.Consented})
		if err != nil {
			t.Fatal(err)
		}
		o.Chat = c
	}
	if o.Widgets == nil {
		if o.Widgets, err = widget.New(ctx, widget.Options{DB: d, Queue: q, Chat: o.Chat, Now: o.Now}); err != nil {
			t.Fatal(err)
		}
	}
	b.API = New(o)
	b.handler = b.Handler()
	return b
}

// keyFor makes a key with scopes and returns its token.
func (b *box) keyFor(scopes ...auth.Scope) string {
	b.t.Helper()
	token, _, err := b.o.Keys.Create(ctx, auth.Scopes(scopes), scopes, time.Time{})
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// asker is a header that says who asks.
type header map[string]string

func bearer(token string) header { return header{"Authorization": "Bearer " + token} }

func (h header) with(more ...string) header {
	all := header{}
	for k, v := range h {
		all[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return all
}

// ask sends a request and holds the answer against the OpenAPI document.
func (b *box) ask(method, target string, h header, body string) *answer {
	b.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, target, r)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range h {
		if k == "Host" {
			req.Host = v
		} else if v == "" {
			req.Header.Del(k)
		} else {
			req.Header.Set(k, v)
		}
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, req)
	a := &answer{t: b.t, what: method + " " + target, ResponseRecorder: w}
	conforms(b.t, req, w)
	return a
}

func (b *box) post(path, token, body string) *answer {
	b.t.Helper()
	return b.ask("POST", path, bearer(token), body)
}

func (b *box) get(target string) *answer {
	b.t.Helper()
	return b.ask("GET", target, bearer(b.read), "")
}

// messages lists what is queued.
func (b *box) messages() []sms.Message {
	b.t.Helper()
	all, _, err := b.queue.List(ctx, queue.Filter{Limit: 500})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// nothingQueued fails the test when a refused request left anything behind.
func (b *box) nothingQueued() {
	b.t.Helper()
	rings := b.queue.Stats()
	_, newest, err := b.queue.Span(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	if n := len(b.messages()); n != 0 || rings.Outbound.Depth != 0 || newest != 0 {
		b.t.Fatalf("%d messages, %d slots in use, %d events; want nothing", n, rings.Outbound.Depth, newest)
	}
}

type answer struct {
	t    testing.TB
	what string
	*httptest.ResponseRecorder
}

func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.Code != status {
		a.t.Fatalf("%s: status %d, want %d: %s", a.what, a.Code, status, a.Body)
	}
	return a
}

func (a *answer) into(v any) *answer {
	a.t.Helper()
	if err := json.Unmarshal(a.Body.Bytes(), v); err != nil {
		a.t.Fatalf("%s: %v in %s", a.what, err, a.Body)
	}
	return a
}

type problemBody struct {
	Type, Title, Detail string
	Status              int
	Errors              []FieldError
}

// problem wants an error of this kind that names these fields, in this order.
func (a *answer) problem(k *kind, fields ...string) problemBody {
	a.t.Helper()
	a.want(k.Status)
	var p problemBody
	a.into(&p)
	if got := a.Header().Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("%s: content type %q", a.what, got)
	}
	if p.Type != k.Type() || p.Status != k.Status || p.Title != k.Title || p.Detail == "" {
		a.t.Errorf("%s: %+v, want %s", a.what, p, k.Type())
	}
	var named []string
	for _, e := range p.Errors {
		named = append(named, e.Field)
		if e.Detail == "" {
			a.t.Errorf("%s: %s is wrong, and nothing says why", a.what, e.Field)
		}
	}
	if strings.Join(named, " ") != strings.Join(fields, " ") {
		a.t.Errorf("%s: names %q, want %q: %+v", a.what, named, fields, p.Errors)
	}
	return p
}

// accepted wants 202 and a message.
func (a *answer) accepted() sms.Message {
	a.t.Helper()
	var m sms.Message
	a.want(http.StatusAccepted).into(&m)
	return m
}

var promised = sync.OnceValues(func() (*conform.Document, error) { return conform.Load("openapi.yaml") })

// document is the OpenAPI document as kin-openapi reads it.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(documentYAML)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(ctx)
})

// everyRoute is the table, and what the generated server has.
func (b *box) everyRoute() []route {
	all := b.routes()
	for _, op := range b.contract {
		if r := (route{op.method, op.route(), op.scope, nil}); !slices.ContainsFunc(all, func(t route) bool { return t.method == r.method && t.path == r.path }) {
			all = append(all, r)
		}
	}
	return all
}

// conforms fails the test when an answer is not one that the document promises.
func conforms(t testing.TB, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	doc, err := promised()
	if err != nil {
		t.Fatal(err)
	}
	if r.Method == http.MethodHead || r.Method == http.MethodOptions || strings.HasPrefix(r.URL.Path, "/handsets/") {
		return
	}
	if err := doc.Check(r, w.Code, w.Header(), w.Body.Bytes()); err != nil {
		t.Errorf("%s %s: %d is not what the document promises: %v", r.Method, r.URL.Path, w.Code, err)
	}
}

// fakeModems stand for the drivers, which this package must not import.
type fakeModems struct {
	all   []sms.Modem
	reset []string
	asked []sms.USSD
	says  sms.USSDAnswer
	err   error

	forgotten, pins []string

	history []sms.SignalSample
	since   time.Time
	aimed   []string
}

func (f *fakeModems) List() []sms.Modem { return f.all }

func (f *fakeModems) Get(name string) (sms.Modem, bool) {
	for _, m := range f.all {
		if m.Name == name {
			return m, true
		}
	}
	return sms.Modem{}, false
}

func (f *fakeModems) Reset(name string) error {
	f.reset = append(f.reset, name)
	return f.err
}

func (f *fakeModems) USSD(_ context.Context, _ string, step sms.USSD) (sms.USSDAnswer, error) {
	f.asked = append(f.asked, step)
	return f.says, f.err
}

func (f *fakeModems) Transcript(name string, masked bool, w io.Writer) error {
	if f.err == nil {
		fmt.Fprintf(w, "%s masked=%t", name, masked)
	}
	return f.err
}

func (f *fakeModems) EnterPIN(_ context.Context, name, pin string) error {
	f.pins = append(f.pins, name+" "+pin)
	return f.err
}

func (f *fakeModems) SignalHistory(_ context.Context, _ string, since time.Time) ([]sms.SignalSample, error) {
	f.since = since
	return f.history, f.err
}

func (f *fakeModems) Aim(name string) (sms.Modem, error) {
	f.aimed = append(f.aimed, name)
	m, _ := f.Get(name)
	return m, f.err
}

func (f *fakeModems) Forget(name string) error {
	f.forgotten = append(f.forgotten, name)
	return f.err
}

// fakeSettings stand for the gateway's, which checks more.
type fakeSettings struct {
	mu    sync.Mutex
	all   map[string]sms.Setting
	wrong intake.Refused
}

func newSettings() *fakeSettings {
	return &fakeSettings{all: map[string]sms.Setting{
		sms.SettingRegion: {Source: sms.FromDefault}, sms.SettingName: {Value: "gatewayd", Source: sms.FromDefault},
		sms.SettingAlarmSMS: {Source: sms.FromDefault}, sms.SettingAlarmMail: {Source: sms.FromDefault}, sms.SettingSetupDone: {Source: sms.FromDefault},
	}}
}

func (f *fakeSettings) All() map[string]sms.Setting {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.all)
}

func (f *fakeSettings) Set(_ context.Context, values map[string]string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wrong != nil {
		return f.wrong
	}
	for name := range values {
		if f.all[name].Source == sms.FromConfiguration {
			return queue.Conflict("%s is set in the configuration file", name)
		}
	}
	for name, v := range values {
		f.all[name] = sms.Setting{Value: v, Source: sms.FromPeople}
	}
	return nil
}

// fakeDeliveries stand for the webhooks, which this package must not import.
type fakeDeliveries struct {
	asked sms.DeliveryFilter
	err   error
}

func (f *fakeDeliveries) List(_ context.Context, filter sms.DeliveryFilter) ([]sms.Delivery, string, error) {
	f.asked = filter
	if filter.Cursor == "wrong" {
		return nil, "", queue.ErrBadCursor
	}
	why, status := "the endpoint answered 500", 500
	return []sms.Delivery{{ID: "dlv_1", Endpoint: "chat", Event: 7, Type: "message.received", Status: sms.DeliveryFailed, Attempts: 3,
		ResponseStatus: &status, Error: &why, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}, "more", f.err
}

func (f *fakeDeliveries) Retry(_ context.Context, id string) (sms.Delivery, error) {
	switch id {
	case "dlv_1":
		return sms.Delivery{ID: id, Status: sms.DeliveryPending, CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, f.err
	case "dlv_done":
		return sms.Delivery{}, queue.ErrConflict
	}
	return sms.Delivery{}, errors.Join(queue.ErrNotFound)
}

func (f *fakeDeliveries) Drop(ctx context.Context, id string) (sms.Delivery, error) {
	d, err := f.Retry(ctx, id)
	d.Status = sms.DeliveryDropped
	return d, err
}

// signIn swaps a token for a cookie, as a browser does.
func (b *box) signInWith(token string) header {
	b.t.Helper()
	a := b.ask("POST", "/sign-in", header{"Content-Type": "application/x-www-form-urlencoded"}, url.Values{"key": {token}}.Encode())
	a.want(http.StatusSeeOther)
	cookies := a.Result().Cookies()
	if len(cookies) != 1 {
		b.t.Fatalf("signing in set %d cookies", len(cookies))
	}
	return header{"Cookie": cookies[0].Name + "=" + cookies[0].Value}
}

// goodPassword is everybody's in these tests.
const goodPassword = "correct horse battery"

// signInAs adds a person and signs in as one does in a browser.
func (b *box) signInAs(p auth.Person) header {
	b.t.Helper()
	if _, _, err := b.o.Keys.AddPerson(ctx, p, goodPassword); err != nil {
		b.t.Fatal(err)
	}
	return cookiesOf(b.ask("POST", "/sign-in", formType, form("name", p.Name, "password", goodPassword)).want(http.StatusSeeOther))
}

// cookiesOf is the header that a browser sends after an answer.
func cookiesOf(a *answer) header {
	var all []string
	for _, c := range a.Result().Cookies() {
		all = append(all, c.Name+"="+c.Value)
	}
	return header{"Cookie": strings.Join(all, "; ")}
}

// streamBody posts a body whose length is not announced.
func (b *box) streamBody(body string) *answer {
	b.t.Helper()
	req := httptest.NewRequest("POST", "/v1/messages", io.MultiReader(strings.NewReader(body)))
	req.ContentLength = -1
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+b.send)
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, req)
	conforms(b.t, req, w)
	return &answer{b.t, "POST a stream", w}
}

package widget

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatewayd/captcha"
	"gatewayd/chat"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

var (
	ctx   = context.Background()
	admin = By{"usr_1", "Admin"}
)

const (
	site  = "https://www.example.org"
	box   = "sms.example.org"
	phone = "+491711111111"
)

// rig is the door of the widgets on a real chat and a real queue, with a clock that
// stands still until it is moved.
type rig struct {
	*Widgets
	t      testing.TB
	now    time.Time
	db     *db.DB
	q      *queue.Queue
	chat   *chat.Chat
	modems modems
	heard  int
}

type modems []sms.Modem

func (m modems) List() []sms.Modem { return m }

func (m modems) Get(name string) (sms.Modem, bool) {
	for _, one := range m {
		if one.Name == name {
			return one, true
		}
	}
	return sms.Modem{}, false
}

func newRig(t testing.TB, sims int) *rig {
	r := &rig{t: t, now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	for i := range sims {
		name := string(rune('a' + i))
		r.modems = append(r.modems, sms.Modem{Name: name, State: sms.Ready, ICCID: "89490000000000000" + string(rune('0'+i)), Number: "+49170000000" + string(rune('0'+i))})
	}
	var err error
	if r.db, err = db.Open(ctx, db.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close() })
	now := func() time.Time { return r.now }
	if r.q, err = queue.Open(ctx, r.db, queue.Options{Now: now}); err != nil {
		t.Fatal(err)
	}
	r.chat, err = chat.New(ctx, chat.Options{DB: r.db, Queue: r.q, Desk: intake.New(intake.Options{Queue: r.q, Modems: &r.modems, Now: now}),
		Modems: func() []sms.Modem { return r.modems }, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	r.puzzles(false)
	r.Widgets, err = New(ctx, Options{DB: r.db, Queue: r.q, Chat: r.chat, Now: now, Keep: func() time.Duration { return 365 * 24 * time.Hour }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// puzzles has strangers solve them, or not: they take their time.
func (r *rig) puzzles(on bool) {
	r.t.Helper()
	rules := r.chat.AbuseRules()
	rules.Puzzles = on
	if _, err := r.chat.SetAbuseRules(ctx, rules, "usr_1"); err != nil {
		r.t.Fatal(err)
	}
}

// make makes a widget that pages of site may have.
func (r *rig) make(change ...func(*Settings)) Widget {
	r.t.Helper()
	s := Defaults()
	s.Name, s.Origins = "Shop", []string{site}
	for _, f := range change {
		f(&s)
	}
	one, err := r.Create(ctx, s, admin)
	if err != nil {
		r.t.Fatal(err)
	}
	return one
}

type header map[string]string

func (h header) and(more ...string) header {
	all := header{}
	for k, v := range h {
		all[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return all
}

type answered struct {
	t testing.TB
	*httptest.ResponseRecorder
	what string
}

// ask asks the door, as a browser does that has reached it as box.
func (r *rig) ask(method, path string, h header, body any) *answered {
	r.t.Helper()
	var b bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			r.t.Fatal(err)
		}
	}
	q := httptest.NewRequest(method, "https://"+box+Prefix+"v1/"+path, &b)
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	for k, v := range h {
		q.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, q)
	if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Content-Security-Policy") == "" {
		r.t.Errorf("%s %s is answered without the headers that every answer has: %v", method, path, w.Header())
	}
	return &answered{r.t, w, method + " " + path}
}

func (a *answered) want(status int, code ...string) *answered {
	a.t.Helper()
	var said struct{ Code string }
	_ = json.Unmarshal(a.Body.Bytes(), &said)
	if a.Code != status || len(code) > 0 && said.Code != code[0] {
		a.t.Fatalf("%s: %d %s, want %d %v: %s", a.what, a.Code, said.Code, status, code, a.Body)
	}
	return a
}

func (a *answered) into(v any) *answered {
	a.t.Helper()
	if err := json.Unmarshal(a.Body.Bytes(), v); err != nil {
		a.t.Fatalf("%s: %v: %s", a.what, err, a.Body)
	}
	return a
}

func named(one Widget) string { return "?widget=" + one.ID + "&key=" + one.Key }

// ticket is what the page around gets.
func (r *rig) ticket(one Widget) string {
	r.t.Helper()
	var t struct{ Ticket string }
	r.ask("GET", "ticket"+named(one), header{"Origin": site}, nil).want(200).into(&t)
	return t.Ticket
}

// framed is what a browser says of a request that the frame makes.
var framed = header{"Sec-Fetch-Site": "same-origin", "Origin": "https://" + box}

func (r *rig) solution(ticket string, h header) string {
	r.t.Helper()
	var p struct {
		Puzzle captcha.Challenge
		Needed bool
	}
	if r.ask("POST", "puzzle", h, map[string]any{"ticket": ticket}).want(200).into(&p); !p.Needed {
		return ""
	}
	solved, err := captcha.Solve(p.Puzzle)
	if err != nil {
		r.t.Fatal(err)
	}
	return solved
}

type order map[string]any

// start asks for a chat with a phone.
func (r *rig) start(one Widget, h header, more order) *answered {
	r.t.Helper()
	t := r.ticket(one)
	o := order{"ticket": t, "name": "Ann", "number": phone, "region": "DE", "text": "Hello", "solution": r.solution(t, h)}
	for k, v := range more {
		o[k] = v
	}
	return r.ask("POST", "start", h, o)
}

// begin starts a chat and returns what the visitor's requests carry from then on.
func (r *rig) begin(one Widget, more order) header {
	r.t.Helper()
	var got struct{ Token string }
	r.start(one, framed, more).want(201).into(&got)
	if !strings.HasPrefix(got.Token, tokenPrefix) {
		r.t.Fatalf("the token is %q", got.Token)
	}
	return framed.and("Authorization", "Bearer "+got.Token)
}

func (r *rig) view(h header) *chatView {
	r.t.Helper()
	var got struct{ Chat *chatView }
	r.ask("GET", "chat", h, nil).want(200).into(&got)
	return got.Chat
}

// says has a phone text a SIM.
func (r *rig) says(from, modem, text string) {
	r.t.Helper()
	m, ok := r.modems.Get(modem)
	if !ok {
		r.t.Fatalf("no modem %s", modem)
	}
	r.heard++
	raw, err := pdu.EncodeText("+491710760000", from, text, r.now, byte(r.heard))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range raw {
		r.heard++
		if err := r.q.Receive(sms.Incoming{Modem: m.Name, ICCID: m.ICCID, Number: m.Number, PDU: p, Storage: "SM", Index: r.heard, At: r.now}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func picture(t testing.TB, width, height int) []byte {
	t.Helper()
	p := image.NewNRGBA(image.Rect(0, 0, width, height))
	p.Set(0, 0, color.NRGBA{200, 10, 10, 255})
	var b bytes.Buffer
	if err := png.Encode(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

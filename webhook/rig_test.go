package webhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
	alice      = "+491701000001"
	bob        = "+491701000002"
	carol      = "+491701000003"
)

// arrival is one request as a receiver saw it.
type arrival struct {
	at     time.Time
	host   string
	id     string
	event  string // type
	number string
	text   string
	msg    string
	status int // what it was answered; 0: no answer
	path   string
	header http.Header
}

// world is everything behind the network: receivers by host.
type world struct {
	t        *testing.T
	mu       sync.Mutex
	arrivals []arrival
	busy     map[string]int
	mostBusy map[string]int
	secrets  map[string]string // of the hosts that have not testSecret
	body     string            // of each answer; "": thanks
	// answer decides; a status of 0 is a connection that breaks.
	answer func(req *http.Request, a arrival) (status int, header http.Header)
}

// RoundTrip is the network.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	a := arrival{at: time.Now(), host: req.URL.Host, id: req.Header.Get("Webhook-Id"), path: req.URL.RequestURI(), header: req.Header}
	w.check(req, a.id, body)
	var e struct {
		Type      string
		Timestamp time.Time
		Data      sms.Message
	}
	if err := json.Unmarshal(body, &e); err != nil {
		w.t.Errorf("body %s: %v", body, err)
	}
	a.event, a.text, a.msg, a.number = e.Type, e.Data.Text, e.Data.ID, e.Data.To
	if e.Data.Direction == sms.Inbound {
		a.number = e.Data.From
	}

	w.mu.Lock()
	w.busy[a.host]++
	w.mostBusy[a.host] = max(w.mostBusy[a.host], w.busy[a.host])
	answer := w.answer
	w.mu.Unlock()
	status, header := http.StatusNoContent, http.Header{}
	if answer != nil {
		var h http.Header
		if status, h = answer(req, a); h != nil {
			header = h
		}
	}
	a.status = status
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy[a.host]--
	w.arrivals = append(w.arrivals, a)
	if status == 0 {
		if err := req.Context().Err(); err != nil {
			return nil, err
		}
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(cmp.Or(w.body, "thanks"))), Request: req}, nil
}

// check verifies the signature as a receiver would.
func (w *world) check(req *http.Request, id string, body []byte) {
	at, err := strconv.ParseInt(req.Header.Get("Webhook-Timestamp"), 10, 64)
	if err != nil {
		w.t.Errorf("webhook-timestamp: %v", err)
	}
	w.mu.Lock()
	secret := cmp.Or(w.secrets[req.URL.Host], testSecret)
	w.mu.Unlock()
	keys, err := parseSecrets(secret)
	if err != nil {
		w.t.Error(err)
	}
	if want := sign(keys, id, time.Unix(at, 0), body); req.Header.Get("Webhook-Signature") != want {
		w.t.Errorf("webhook-signature %q, want %q", req.Header.Get("Webhook-Signature"), want)
	}
	if req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
		w.t.Errorf("%s with %s", req.Method, req.Header.Get("Content-Type"))
	}
}

func (w *world) setAnswer(f func(*http.Request, arrival) (int, http.Header)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

func (w *world) always(status int) {
	w.setAnswer(func(*http.Request, arrival) (int, http.Header) { return status, nil })
}

// got lists the arrivals that pick selects; nil selects all.
func (w *world) got(pick func(arrival) bool) []arrival {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []arrival
	for _, a := range w.arrivals {
		if pick == nil || pick(a) {
			all = append(all, a)
		}
	}
	return all
}

func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arrivals = nil
}

func of(number string) func(arrival) bool { return func(a arrival) bool { return a.number == number } }

// rig is the real queue and database in virtual time, with webhooks on a
// made-up network.
type rig struct {
	*world
	dir       string
	db        *db.DB
	q         *queue.Queue
	w         *Webhooks
	endpoints []Endpoint
	logs      bytes.Buffer
	cancel    context.CancelFunc
	ended     chan error
	pduRef    byte
	now       func() time.Time
	options   func(*Options)
}

// endpoint is a receiver at https://NAME.example/hook?token=s3cr3t.
func testEndpoint(name string, events ...string) Endpoint {
	if len(events) == 0 {
		events = []string{"*"}
	}
	return Endpoint{Name: name, URL: "https://" + name + ".example/hook?token=s3cr3t", Secret: testSecret, Events: events}
}

// inBubble runs f in virtual time with the endpoints.
func inBubble(t *testing.T, endpoints []Endpoint, f func(*rig)) {
	t.Helper()
	t.Parallel() // they wait for the disk, not for each other
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{
			world: &world{t: t, busy: map[string]int{}, mostBusy: map[string]int{}, secrets: map[string]string{}},
			dir:   dir, endpoints: endpoints, now: time.Now,
		}
		r.start()
		defer func() {
			r.stop()
			if s := r.logs.String(); strings.Contains(s, "s3cr3t") || strings.Contains(s, "MfKQ9") || strings.Contains(s, "+49") {
				t.Errorf("the log tells a secret or a number:\n%s", s)
			}
		}()
		f(r)
	})
}

func (r *rig) start() {
	r.t.Helper()
	r.startWith(nil)
}

func (r *rig) startWith(m *Metrics) {
	r.t.Helper()
	ctx := context.Background()
	var err error
	if r.db, err = db.Open(ctx, db.Options{Dir: r.dir, SingleConn: true}); err != nil {
		r.t.Fatal(err)
	}
	if r.q, err = queue.Open(ctx, r.db, queue.Options{Now: r.now}); err != nil {
		r.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&r.logs, &slog.HandlerOptions{Level: slog.LevelInfo}))
	o := Options{Queue: r.q, DB: r.db, Endpoints: r.endpoints, Transport: r.world, Log: log, Now: r.now, Metrics: m}
	if r.options != nil {
		r.options(&o)
	}
	r.w, err = New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, r.cancel = context.WithCancel(ctx)
	r.ended = make(chan error, 1)
	go func() { r.ended <- r.w.Run(ctx) }()
	synctest.Wait()
}

func (r *rig) stop() {
	r.t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		r.t.Errorf("Run: %v", err)
	}
	r.invariants()
	if err := r.db.Close(); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.start()
}

// invariants are what must be true of the table at any moment.
func (r *rig) invariants() {
	r.t.Helper()
	for what, query := range map[string]string{
		"lanes without exactly one head": `SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries WHERE state = 'pending'
			GROUP BY endpoint, lane HAVING sum(head) <> 1)`,
		"heads that are not pending":          `SELECT count(*) FROM webhook_deliveries WHERE head = 1 AND state <> 'pending'`,
		"ended deliveries with a number hash": `SELECT count(*) FROM webhook_deliveries WHERE lane <> 0 AND state <> 'pending'`,
		"ended deliveries without their time": `SELECT count(*) FROM webhook_deliveries WHERE (ended_at IS NOT NULL) <> (state IN ('delivered', 'dropped'))`,
	} {
		if n := r.count(query); n != 0 {
			r.t.Errorf("%s: %d", what, n)
		}
	}
}

func (r *rig) count(query string, args ...any) (n int) {
	r.t.Helper()
	err := r.db.Read(context.Background(), func(q db.Querier) error { return q.QueryRow(query, args...).Scan(&n) })
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// submit makes one event, message.queued, about a number.
func (r *rig) submit(to, text string) sms.Message {
	r.t.Helper()
	m, _, err := r.q.Submit(context.Background(), []queue.Draft{{Message: sms.Message{To: to, Text: text}}}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return m[0]
}

func (r *rig) submitMany(to string, from, upTo int) {
	r.t.Helper()
	for i := from; i < upTo; i++ {
		r.submit(to, strconv.Itoa(i))
	}
}

// receive makes one event, message.received.
func (r *rig) receive(from, text string) {
	r.t.Helper()
	r.pduRef++
	raw, err := pdu.EncodeText("+491710760000", from, text, time.Now(), r.pduRef)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range raw {
		err := r.q.Receive(sms.Incoming{Modem: "office", ICCID: "8949", Number: "+491700000000", PDU: p, Index: -1, At: time.Now()})
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// settleDown lets d pass and everything that becomes possible happen.
func settleDown(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) list(f sms.DeliveryFilter) []sms.Delivery {
	r.t.Helper()
	page, _, err := r.w.List(context.Background(), f)
	if err != nil {
		r.t.Fatal(err)
	}
	return page
}

func (r *rig) only(status sms.DeliveryStatus) sms.Delivery {
	r.t.Helper()
	page := r.list(sms.DeliveryFilter{Status: status})
	if len(page) != 1 {
		r.t.Fatalf("%d deliveries are %s, want 1: %+v", len(page), status, page)
	}
	return page[0]
}

// wantInOrder checks that the successful arrivals of a number are its texts
// from 0 on, each at least once, none before the one before it, and that each
// keeps its id over all attempts.
func (r *rig) wantInOrder(host, number string, count int) {
	r.t.Helper()
	ids := map[string]string{}
	next := 0
	for _, a := range r.got(func(a arrival) bool { return a.host == host && a.number == number }) {
		if known, ok := ids[a.text]; ok && known != a.id {
			r.t.Errorf("%s text %s came as %s and as %s", number, a.text, known, a.id)
		}
		ids[a.text] = a.id
		n, err := strconv.Atoi(a.text)
		if err != nil {
			r.t.Fatal(err)
		}
		if n > next {
			r.t.Fatalf("%s text %d was tried before %d was taken", number, n, next)
		}
		if a.status/100 == 2 && n == next {
			next++
		}
	}
	if next != count {
		r.t.Errorf("%s at %s: %d of %d were taken", number, host, next, count)
	}
	seen := map[string]bool{}
	for text, id := range ids {
		if seen[id] {
			r.t.Errorf("id %s of text %s is used twice", id, text)
		}
		seen[id] = true
	}
}

func texts(all []arrival) []string {
	var out []string
	for _, a := range all {
		out = append(out, a.text)
	}
	return out
}

func wantTexts(t *testing.T, got []arrival, want ...string) {
	t.Helper()
	if !slices.Equal(texts(got), want) {
		t.Errorf("arrived: %v, want %v", texts(got), want)
	}
}

func name(i int) string { return fmt.Sprintf("+4917020%05d", i) }

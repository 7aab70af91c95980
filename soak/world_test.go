package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatewayd/clock"
	"gatewayd/gateway"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
	"gatewayd/webhook"
)

// told are the events that the receiver wants: all but the two that each message
// has, so that a month costs less.
var told = []string{"message.sent", "message.delivered", "message.undelivered", "message.unconfirmed", "message.failed",
	"message.expired", "message.canceled", "message.received", "alarm.begin", "alarm.end"}

// begin is when the month begins: the simulated network's time is that of the
// world, and must be one at which this program was there.
var begin = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// world is everything around the daemon, and the daemon. Only the test's own
// goroutine touches it, but for what says otherwise.
type world struct {
	t      *testing.T
	rnd    *rand.Rand
	net    *sim.Network
	modems []*sim.Modem
	dir    string
	g      *gateway.Gateway
	stop   context.CancelFunc
	done   chan error
	plan   plan

	// Of the machine's clock and the webhook's receiver: any goroutine.
	mu     sync.Mutex
	off    time.Duration // the machine's clock is ahead
	synced bool
	answer int // of the receiver; 0: it hangs
	told   map[string]*story
	alarms map[string]bool // those that go on, as the receiver was told
	bad    []string
}

// story is what the receiver was told of a message.
type story struct {
	events []string
	ids    map[string]bool // webhook-ids
	at     time.Time       // of the last event
	last   sms.Message
}

func newWorld(t *testing.T, dir string, seed uint64) *world {
	time.Sleep(time.Until(begin))
	o := sim.OnTheAir()
	o.Seed, o.Keep = seed, 3000
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), net: sim.NewNetwork(o), dir: dir, synced: true, answer: http.StatusNoContent,
		told: map[string]*story{}, alarms: map[string]bool{}}
	w.plan = plan{out: map[string]*promise{}, in: map[string]time.Time{}, parts: map[string]int{}, counts: map[string]int{}}
	for i, slug := range []string{"generic", "huawei-e3372", "quectel-ec25", "simcom-sim7600"} {
		p, ok := sim.ProfileNamed(slug)
		if !ok {
			t.Fatalf("no modem is a %s", slug)
		}
		w.modems = append(w.modems, w.net.AddModem(sim.ModemOptions{Name: fmt.Sprintf("m%d", i+1), Profile: p}))
	}
	w.start()
	return w
}

// start starts the daemon as a boot of the machine would.
func (w *world) start() {
	w.t.Helper()
	o := gateway.Options{
		DataDir: w.dir, SingleConn: true, PollEvery: 10 * time.Minute, Version: "soak", Transport: receiver{w},
		Queue:     queue.Options{OutboundCapacity: 8 * *rate, InboundCapacity: 3 * *rate, ReportWait: 6 * time.Hour, AssemblyWait: 3 * time.Hour},
		Retention: queue.Retention{Messages: 90 * time.Hour, Texts: 90 * time.Hour, Events: 48 * time.Hour, Idempotency: 24 * time.Hour},
		Webhooks: []webhook.Endpoint{{Name: "soak", URL: "https://soak.example/", Events: told,
			Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="}},
		Clock: clock.New(clock.Options{Wall: w.wall, Synced: w.kernel}),
	}
	if *verbose {
		o.Log = slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for _, m := range w.modems {
		o.Modems = append(o.Modems, gateway.ModemOptions{Name: m.Name(), Port: "pipe", Number: m.Number(),
			Open: func(context.Context) (io.ReadWriteCloser, error) { return m.OpenPipe() }})
	}
	ctx, cancel := context.WithCancel(context.Background())
	g, err := gateway.New(ctx, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.g, w.stop, w.done = g, cancel, make(chan error, 1)
	go func() { w.done <- g.Run(ctx) }()
}

// end stops the daemon in order.
func (w *world) end() {
	w.t.Helper()
	start := time.Now()
	w.stop()
	if err := <-w.done; err != nil {
		w.t.Errorf("Run: %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		w.t.Errorf("at %s the end took %v", start.Format(time.DateTime), took)
	}
}

func (w *world) wall() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.off)
}

func (w *world) kernel() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.synced
}

// set sets the machine's clock and how the receiver answers.
func (w *world) setClock(off time.Duration, synced bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off, w.synced = off, synced
}

func (w *world) setAnswer(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = status
}

// pass lets time go by.
func (w *world) pass(d time.Duration) { time.Sleep(d) }

// receiver is the webhook's receiver.
type receiver struct{ *world }

// RoundTrip takes an event. A receiver that checks time stamps refuses ours
// while they are wrong.
func (r receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	answer := r.answer
	r.mu.Unlock()
	if answer == 0 {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	var unix int64
	if _, err := fmt.Sscan(req.Header.Get("Webhook-Timestamp"), &unix); err != nil {
		return nil, err
	}
	// One that is an hour off is a step of our own making; see clockTroubles.
	if answer < 300 && time.Since(time.Unix(unix, 0)).Abs() > 2*time.Hour {
		answer = http.StatusBadRequest
	}
	if answer < 300 {
		r.take(req.Header.Get("Webhook-Id"), body)
	}
	return &http.Response{StatusCode: answer, Body: http.NoBody, Header: http.Header{}}, nil
}

func (w *world) take(id string, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var e struct {
		Type string
		Data json.RawMessage
	}
	if err := json.Unmarshal(body, &e); err != nil {
		w.bad = append(w.bad, err.Error())
		return
	}
	switch {
	case strings.HasPrefix(e.Type, "alarm."):
		var a sms.Alarm
		if err := json.Unmarshal(e.Data, &a); err != nil {
			w.bad = append(w.bad, err.Error())
		}
		w.alarms[a.Code+" "+a.Modem] = e.Type == sms.EventAlarmBegin
	case strings.HasPrefix(e.Type, "message."):
		var m sms.Message
		if err := json.Unmarshal(e.Data, &m); err != nil {
			w.bad = append(w.bad, err.Error())
		}
		s := w.told[m.ID]
		if s == nil {
			s = &story{ids: map[string]bool{}}
			w.told[m.ID] = s
		}
		if s.ids[id] {
			return // told again, as it may be
		}
		s.ids[id] = true
		s.events = append(s.events, strings.TrimPrefix(e.Type, "message."))
		s.at, s.last = time.Now(), m
	}
}

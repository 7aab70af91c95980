package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

// world is a gateway with simulated modems on in-memory pipes, in virtual time.
type world struct {
	t      *testing.T
	net    *sim.Network
	modems []*sim.Modem
	g      *Gateway
	more   func(*Options) // of the gateway that starts next
	dir    string
	stop   context.CancelFunc
	done   chan error
}

// inWorld runs fn in a bubble with a running gateway of n modems.
func inWorld(t *testing.T, n int, o sim.NetworkOptions, fn func(*world)) {
	dir := t.TempDir() // outside: its clean-up may not run in the bubble
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: sim.NewNetwork(o), dir: dir}
		for i := range n {
			w.modems = append(w.modems, w.net.AddModem(sim.ModemOptions{Name: fmt.Sprintf("m%d", i+1)}))
		}
		defer w.net.Close()
		w.start()
		defer func() { w.end() }() // also of a test that has failed
		fn(w)
	})
}

func (w *world) start() {
	w.t.Helper()
	o := Options{DataDir: w.dir, SingleConn: true, Version: "test"}
	if testing.Verbose() {
		o.Log = slog.New(slog.NewTextHandler(testWriter{w.t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for _, m := range w.modems {
		o.Modems = append(o.Modems, ModemOptions{Name: m.Name(), Port: "pipe", Number: m.Number(),
			Open: func(context.Context) (io.ReadWriteCloser, error) { return m.OpenPipe() }})
	}
	if w.more != nil {
		w.more(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g, err := New(ctx, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.g, w.stop, w.done = g, cancel, make(chan error, 1)
	go func() { w.done <- g.Run(ctx) }()
}

// restart stops the gateway in order and starts it with other options.
func (w *world) restart(more func(*Options)) {
	w.t.Helper()
	w.end()
	w.more = more
	w.start()
}

// end stops the gateway in order.
func (w *world) end() {
	w.t.Helper()
	w.stop()
	if err := <-w.done; err != nil {
		w.t.Errorf("Run: %v", err)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s %s", time.Now().Format("15:04:05.000"), b[:max(0, len(b)-1)])
	return len(b), nil
}

func (w *world) submit(to, text string, more ...func(*queue.Draft)) sms.Message {
	w.t.Helper()
	d := queue.Draft{Message: sms.Message{To: to, Text: text, Priority: sms.DefaultPriority, DeliveryReport: true}}
	for _, f := range more {
		f(&d)
	}
	m, _, err := w.g.Queue().Submit(context.Background(), []queue.Draft{d}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return m[0]
}

func (w *world) message(id string) sms.Message {
	w.t.Helper()
	m, err := w.g.Queue().Message(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return *m
}

// until waits, in virtual time, for a message to reach a status.
func (w *world) until(id string, status sms.Status, within time.Duration) sms.Message {
	w.t.Helper()
	deadline := time.After(within)
	for {
		changed := w.g.Queue().Changed()
		m := w.message(id)
		if m.Status == status {
			return m
		}
		select {
		case <-changed:
		case <-deadline:
			w.t.Fatalf("message to %s is %s (error %v) after %v, want %s", m.To, m.Status, m.Error, within, status)
		}
	}
}

func (w *world) inbound() []sms.Message {
	w.t.Helper()
	page, _, err := w.g.Queue().List(context.Background(), queue.Filter{Direction: sms.Inbound, Limit: 500})
	if err != nil {
		w.t.Fatal(err)
	}
	return page
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

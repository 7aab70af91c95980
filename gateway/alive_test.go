package gateway

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/sim"
)

// gag is a log that never comes back from a line that begins so.
type gag struct {
	slog.Handler
	line string
	free chan struct{}
}

func (g gag) Enabled(context.Context, slog.Level) bool { return true }

func (g gag) WithAttrs([]slog.Attr) slog.Handler { return g }

func (g gag) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, g.line) {
		<-g.free
	}
	return nil
}

// Each loop that is really stuck is told by its name within a minute of its bound,
// and no longer once it goes on.
func TestStuckLoopsShow(t *testing.T) {
	breakTable := func(w *world, table string) {
		if err := w.g.database.Write(func(tx *db.Tx) error {
			_, err := tx.Exec(`ALTER TABLE ` + table + ` RENAME TO broken`)
			return err
		}); err != nil {
			w.t.Fatal(err)
		}
	}
	mend := func(w *world, table string) {
		if err := w.g.database.Write(func(tx *db.Tx) error {
			_, err := tx.Exec(`ALTER TABLE broken RENAME TO ` + table)
			return err
		}); err != nil {
			w.t.Error(err)
		}
	}
	for name, c := range map[string]struct {
		line   string // of the log, in which it gets stuck
		bound  time.Duration
		jam    func(w *world, free chan struct{})
		loosen func(w *world)
	}{
		"the database's writer": {bound: time.Minute, jam: func(w *world, free chan struct{}) {
			go func() { _ = w.g.database.Write(func(*db.Tx) error { <-free; return nil }) }()
		}},
		"the dispatcher": {line: "waiting messages", bound: time.Minute, jam: func(w *world, _ chan struct{}) {
			w.submit(phone, "waits") // no modem takes it
			w.pass(time.Second)
			breakTable(w, "messages")
			w.g.dispatch.mu.Lock()
			w.g.dispatch.tidyAt = 0
			w.g.dispatch.mu.Unlock()
			w.g.dispatch.used <- struct{}{}
		}, loosen: func(w *world) { mend(w, "messages") }},
		"housekeeping": {line: "housekeeping", bound: houseLimit + time.Minute, jam: func(w *world, _ chan struct{}) {
			breakTable(w, "messages")
		}, loosen: func(w *world) { mend(w, "messages") }},
		"the webhooks' follower": {line: "events can't be taken over", bound: 3 * time.Minute, jam: func(w *world, _ chan struct{}) {
			breakTable(w, "twilio_accounts")
			w.submit(phone, "an event")
		}, loosen: func(w *world) { mend(w, "twilio_accounts") }},
		"the loop of modem m1": {bound: 11 * time.Minute, jam: func(w *world, _ chan struct{}) {
			if err := w.modems[0].Plug(); err != nil { // its port does not open
				w.t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, air(), func(w *world) {
				w.modems[0].Unplug()
				free := make(chan struct{})
				w.restart(func(o *Options) {
					o.Log = slog.New(gag{line: c.line, free: free})
					if c.line == "" {
						o.Log = nil
					}
					open := o.Modems[0].Open
					o.Modems[0].Open = func(ctx context.Context) (io.ReadWriteCloser, error) {
						rwc, err := open(ctx)
						if err == nil {
							<-free
						}
						return rwc, err
					}
				})
				w.pass(time.Hour)
				if err := w.g.Alive(); err != nil {
					t.Fatalf("before: %v", err)
				}
				c.jam(w, free)
				w.pass(c.bound / 3)
				if err := w.g.Alive(); err != nil {
					t.Fatalf("too early: %v", err)
				}
				w.pass(c.bound)
				err := w.g.Alive()
				if err == nil || !strings.Contains(err.Error(), name+" has made no step") {
					t.Errorf("stuck: %v", err)
				}
				if c.loosen != nil {
					c.loosen(w)
				}
				close(free)
				w.pass(time.Minute)
				if err := w.g.Alive(); err != nil {
					t.Errorf("after: %v", err)
				}
			})
		})
	}
}

// Nothing that modems do to a gateway makes it look dead: one that is silent,
// slow, away, or never answers what it was given.
func TestWaitingForAModemIsAlive(t *testing.T) {
	inWorld(t, 4, air(), func(w *world) {
		w.modems[0].Unplug()
		w.pass(20 * time.Second)
		w.modems[1].Fault(func(f *sim.Faults) { f.Mute = true })
		w.modems[2].Fault(func(f *sim.Faults) { f.Block = true })
		w.modems[3].Fault(func(f *sim.Faults) { f.Silent, f.Lost = sim.Always, true })
		for i := range 40 {
			w.submit(phone, "x")
			for range 30 {
				w.pass(20 * time.Second)
				if err := w.g.Alive(); err != nil {
					t.Fatalf("after %d: %v", i, err)
				}
			}
		}
	})
}

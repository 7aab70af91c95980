package gateway

import (
	"log/slog"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/modem"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

// When nothing more can be received, sending goes on.
func TestFullStorageSends(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.restart(func(o *Options) { o.Queue.InboundCapacity = 1 })
		if _, err := w.g.Queue().Cursor("a reader that never comes"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := w.net.Handset(phone).Send(w.modems[0].Number(), "x"); err != nil {
				t.Fatal(err)
			}
		}
		w.pass(30 * time.Second)
		if s := w.g.modems.List()[0].State; s != sms.StorageFull {
			t.Fatalf("the modem is %s", s)
		}
		w.until(w.submit(phone, "x").ID, sms.Sent, time.Minute)
	})
}

// Status reports find their messages though the modem tells no ICCID.
func TestNoICCID(t *testing.T) {
	inWorld(t, 0, air(), func(w *world) {
		w.modems = append(w.modems, w.net.AddModem(sim.ModemOptions{Name: "m1", ICCID: "none"}))
		w.restart(nil)
		w.until(w.submit(phone, "x").ID, sms.Delivered, time.Minute)
	})
}

// A message that can't be read for a while is sent once it can.
func TestUnreadableForAWhile(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(10 * time.Second)
		set := func(metadata any) {
			t.Helper()
			err := w.g.database.Write(func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE messages SET metadata = ?`, metadata)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		w.submit("+491700000000", "the modem is busy with it")
		m := w.submit(phone, "x")
		set("no JSON")
		w.pass(time.Minute)
		set(nil)
		w.until(m.ID, sms.Sent, 2*time.Minute)
	})
}

// An answer at the very moment that its part counts as stalled does not take
// the modem's numbers from it.
func TestStallThatIsOver(t *testing.T) {
	l := newLines(t)
	f := l.modem("a")
	f.onStall()
	if !f.working || f.stalled {
		t.Error("a modem without a part on the air counts as stalled")
	}
}

// A panic while one modem chooses leaves the others their lock.
func TestPanicWhileChoosing(t *testing.T) {
	l := newLines(t)
	f := l.modem("a")
	f.d.now = func() time.Time { panic("on purpose") }
	func() {
		defer func() { _ = recover() }()
		f.Next()
	}()
	if !f.d.mu.TryLock() || !f.mu.TryLock() {
		t.Error("a lock is still held")
	}
}

// What a modem's loop that failed had in hand, others send.
func TestAbandoned(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.modems[0].Unplug()
		w.pass(10 * time.Second)
		a, b := newFeed(w.g.dispatch, w.g.queue, slog.New(slog.DiscardHandler), "a"), newFeed(w.g.dispatch, w.g.queue, slog.New(slog.DiscardHandler), "b")
		a.update(sms.Modem{State: sms.Ready, ICCID: "a"})
		var last sms.Message
		for range 3 {
			last = w.submit(phone, "x", func(d *queue.Draft) { d.OnUnconfirmed = sms.Fail })
		}
		w.pass(time.Second)
		p := a.Next()
		if ok, err := a.Begin(nil, p, -1); !ok || err != nil {
			t.Fatal(ok, err)
		}
		a.Next()
		b.update(sms.Modem{State: sms.Ready, ICCID: "b"})
		if p := b.Next(); p != nil {
			t.Fatalf("b gets message %d, whose number a has in hand", p.Row)
		}
		a.abandon()
		for p := b.Next(); p != nil; p = b.Next() {
			if ok, err := b.Begin(nil, p, -1); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if err := b.Finish(modem.Outcome{Part: p, Result: modem.Confirmed, MR: 1}); err != nil {
				t.Fatal(err)
			}
		}
		w.until(last.ID, sms.Sent, time.Second)
		a.end()
		b.end()
	})
}

// A SIM that is barred parks its modem; its message goes through another, and
// is not held against it when that has a trouble of its own.
func TestBarredSIM(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		w.pass(10 * time.Second)
		for i, answer := range []string{"+CMS ERROR: 50", "+CMS ERROR: 210"} {
			w.modems[i].Fault(func(f *sim.Faults) { f.Reject, f.SendError = 1, answer })
		}
		if err := w.net.Handset(phone).Send(w.modems[0].Number(), "so that the number keeps this SIM"); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Second)
		got := w.until(w.submit(phone, "x").ID, sms.Sent, 2*time.Minute)
		if got.Modem != "m2" || got.Attempts != 3 {
			t.Errorf("sent by %s at attempt %d", got.Modem, got.Attempts)
		}
	})
}

// A number keeps its SIM over a restart, though that one's modem is the slower
// to come up; one that doesn't come is not waited for longer than half a minute.
func TestSameSenderAfterRestart(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		if err := w.net.Handset(phone).Send(w.modems[0].Number(), "so that the number keeps this SIM"); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Second)
		w.modems[0].Fault(func(f *sim.Faults) { f.Slow = map[string]time.Duration{"+CGMI": 2 * time.Second} })
		w.restart(nil)
		if got := w.until(w.submit(phone, "x").ID, sms.Sent, 10*time.Second); got.Modem != "m1" {
			t.Errorf("after the restart %s sends", got.Modem)
		}
		w.modems[0].Fault(func(f *sim.Faults) { f.Mute = true })
		w.restart(nil)
		if got := w.until(w.submit(phone, "x").ID, sms.Sent, startWait+10*time.Second); got.Modem != "m2" {
			t.Errorf("for a modem that doesn't answer %s sends", got.Modem)
		}
	})
}

// A long text whose modem goes away in the middle is whole on the phone.
func TestModemGoneBetweenParts(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		w.pass(10 * time.Second)
		text := texts["1,000 characters"]
		m := w.submit(phone, text)
		w.pass(4 * time.Second)
		first := w.net.Accepted()
		for _, m := range w.modems {
			if m.Name() == first[0].Modem {
				m.Unplug()
			}
		}
		got := w.until(m.ID, sms.Delivered, 10*time.Minute)
		if received := w.net.Handset(phone).Received(); len(received) != 1 || received[0] != text {
			t.Errorf("the handset shows %q", received)
		}
		if !got.PossibleDuplicate || len(first) < 2 {
			t.Errorf("after %d parts marked %v", len(first), got.PossibleDuplicate)
		}
	})
}

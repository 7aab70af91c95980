package queue_test

import (
	"context"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// state has somebody say that a number agreed elsewhere.
func (b *box) state(number string) {
	b.t.Helper()
	b.do(func(tx *db.Tx) error {
		return b.q.StateTx(tx, number, chatWith, queue.Source{By: "usr_a", Wording: "Form"})
	})
}

// What somebody states of a number is no decision of the number's: a STOP that was said
// before, and is heard of from another gateway after it, holds, and a START lifts it.
func TestStatedIsNoDecision(t *testing.T) {
	for _, hub := range []bool{false, true} {
		b := open(t, queue.Options{Hub: hub})
		told := func(stopped bool, at time.Time, word string) {
			t.Helper()
			b.do(func(tx *db.Tx) error {
				return b.q.OptTx(tx, phone, stopped, at, queue.Source{Reason: queue.ReasonWord, Wording: word, By: "north"})
			})
		}
		stopped := func(want bool) {
			t.Helper()
			if is, err := b.q.OptedOut(context.Background(), phone); err != nil || is != want {
				t.Fatalf("hub %v: on the stop list: %v, want %v (%v)", hub, is, want, err)
			}
		}
		said := b.now
		b.now = b.now.Add(time.Minute)
		b.state(phone)
		b.now = b.now.Add(time.Minute)
		told(true, said, "STOP")
		stopped(true)
		b.state(phone) // which lifts nothing
		stopped(true)
		told(false, b.now, "START")
		stopped(false)

		changes, err := b.q.ConsentAfter(context.Background(), 0, 100)
		if err != nil || len(changes) != 2 {
			t.Fatalf("%+v (%v)", changes, err)
		}
		for _, c := range changes {
			if c.Reason == queue.ReasonStated {
				t.Errorf("told to others: %+v", c)
			}
		}
		log, _, err := b.q.Consents(context.Background(), queue.ConsentFilter{Number: phone, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range log {
			if e.Reason == queue.ReasonStated {
				if n++; e.Decision != sms.DecisionOptIn || e.Source != "usr_a" || e.Conversation != chatWith || e.Wording != "Form" {
					t.Errorf("%+v", e)
				}
			}
		}
		if n != 1 {
			t.Errorf("%d entries, want one: %+v", n, log)
		}
	}
}

// Nor does it lift a STOP that a restored backup brings.
func TestStatedLiftsNoRestoredStop(t *testing.T) {
	b := open(t, queue.Options{})
	b.say(phone, "hello")
	used := b.copyOf()
	b.say(phone, "STOP")
	backup := b.copyOf()
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	used.start()
	used.now = b.now.Add(time.Minute)
	used.state(phone)
	backup.restore(used, "")
	if m := backup.message(backup.submit(phone, "hello").ID); m.Status != sms.Failed || m.Error.Code != "opted-out" {
		t.Errorf("%s %+v", m.Status, m.Error)
	}
}

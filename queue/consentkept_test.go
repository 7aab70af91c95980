package queue_test

import (
	"context"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

// Of two databases the opt-in that says less stays, and the log keeps what either has.
func TestStricterOptInStays(t *testing.T) {
	b := open(t, queue.Options{})
	numbers := map[string]string{"kept": "+491702000001", "ended": "+491702000002", "stopped": "+491702000003", "used": "+491702000004", "again": "+491702000005"}
	for conversation, number := range numbers {
		b.ask(conversation, number)
		b.say(number, "YES")
	}
	b.submit(numbers["kept"], "x", inChat("kept"))
	c := b.copyOf()
	b.do(func(tx *db.Tx) error { return b.q.EndOptInTx(tx, "ended", queue.ReasonClosed) })
	b.say(numbers["stopped"], "STOP")
	for range 10 {
		b.submit(numbers["used"], "x", inChat("used"))
	}
	b.do(func(tx *db.Tx) error { return b.q.EndOptInTx(tx, "again", queue.ReasonIdle) })
	b.ask("again", numbers["again"])
	b.ask("later", "+491702000006")
	noted := b.number(`SELECT count(*) FROM consent_log`)
	c.restore(b, "")
	if o := c.optIn("kept"); !o.Holds() || o.Used != 1 {
		t.Errorf("one that both have: %+v", o)
	}
	for conversation, code := range map[string]string{"ended": "not-opted-in", "stopped": "opted-out", "used": "not-opted-in", "again": "not-opted-in"} {
		c.wantRefused(code, numbers[conversation], inChat(conversation))
	}
	if o := c.optIn("later"); o != nil {
		t.Errorf("one that only the replaced database has: %+v", o)
	}
	if n := c.number(`SELECT count(*) FROM consent_log`); n != noted {
		t.Errorf("%d entries, want %d", n, noted)
	}
}

// A clock that is set moves what is waited by, and no time that was noted.
func TestConsentMovesWithTheClock(t *testing.T) {
	b := open(t, queue.Options{})
	began := b.now
	b.ask(chatWith, phone)
	b.say(phone, "YES")
	was := *b.optIn(chatWith)
	noted := b.number(`SELECT sum(at) FROM consent_log`)
	const step = 300 * 24 * time.Hour
	b.now = b.now.Add(step)
	b.do(func(tx *db.Tx) error { return b.q.ShiftTx(tx, step, began, b.now) })
	if _, err := b.q.EndSilent(b.now); err != nil {
		t.Fatal(err)
	}
	if o := b.optIn(chatWith); !o.Holds() || !o.GivenAt.Equal(was.GivenAt.Add(step)) {
		t.Errorf("after the clock was set: %+v, before %+v", o, was)
	}
	if now := b.number(`SELECT sum(at) FROM consent_log`); now != noted {
		t.Error("the log was changed")
	}
}

func TestOldConsentIsPruned(t *testing.T) {
	b := open(t, answering(queue.Options{}))
	b.ask(chatWith, phone)
	b.ask("conv_2", phone)
	b.say(phone, "HELP")
	b.do(func(tx *db.Tx) error { return b.q.EndOptInTx(tx, chatWith, queue.ReasonClosed) })
	b.now = b.now.Add(40 * 24 * time.Hour)
	if err := b.q.Prune(context.Background(), b.now, queue.Retention{Messages: 30 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	if n := b.number(`SELECT count(*) FROM auto_answers`); n != 0 {
		t.Errorf("%d answers of long ago", n)
	}
	if b.optIn(chatWith) != nil || b.optIn("conv_2") == nil {
		t.Error("not the opt-in that ended is forgotten")
	}
	if n := b.number(`SELECT count(*) FROM consent_log`); n != 4 {
		t.Errorf("%d entries of the log, want 4", n)
	}
}

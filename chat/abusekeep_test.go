package chat_test

import (
	"errors"
	"testing"
	"time"

	"gatewayd/chat"
	"gatewayd/db"
)

// A clock that is set moves the spans of limits along: none begins anew by it, none
// lasts longer.
func TestLimitsAndAClockThatIsSet(t *testing.T) {
	w := newWorld(t, 1)
	w.set(func(r *chat.AbuseRules) { r.Limits.Person = chat.Rate{PerHour: 1} })
	w.begin(person("anna", ""), chat.Wanted{To: mobile(1), Mode: chat.Transaction, Text: "hi"})
	began, step := w.now.Add(-time.Hour), 10*365*24*time.Hour
	w.now = w.now.Add(20*time.Minute + step)
	if err := w.db.Write(func(tx *db.Tx) error { return w.ShiftTx(tx, step, began, w.now) }); err != nil {
		t.Fatal(err)
	}
	_, _, err := w.Begin(ctx, person("anna", ""), chat.Wanted{To: mobile(2), Mode: chat.Transaction, Text: "hi"})
	var e *chat.Error
	if !errors.As(err, &e) || e.Code != chat.Limit || e.RetryAfter != 40*time.Minute {
		t.Errorf("%v %+v", err, e)
	}
	if got := w.record("anna"); !got.FirstAt.Equal(w.now.Add(-20*time.Minute)) || got.Today != 1 {
		t.Errorf("%+v", got)
	}
}

// Whoever is blocked in either database is blocked after a restore, and a solution from
// before is worth nothing.
func TestRestoreKeepsWhoIsBlocked(t *testing.T) {
	later := newWorld(t, 1)
	later.begin(person("usr_anna", ""), chat.Wanted{To: mobile(1), Mode: chat.Transaction, Text: "hi"})
	later.begin(person("usr_bert", ""), chat.Wanted{To: mobile(2), Mode: chat.Transaction, Text: "hi"})
	for _, id := range []string{"usr_anna", "usr_bert"} {
		if _, err := later.BlockSender(ctx, id, "", "usr_admin"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := later.ReopenSender(ctx, "usr_bert", "usr_admin"); err != nil {
		t.Fatal(err)
	}
	if _, err := later.BlockNumber(ctx, mobile(7), "", "usr_admin"); err != nil {
		t.Fatal(err)
	}
	later.set(func(r *chat.AbuseRules) { r.SameText = 77 })
	if err := later.db.Close(); err != nil {
		t.Fatal(err)
	}

	w := newWorld(t, 1)
	w.begin(person("usr_anna", ""), chat.Wanted{To: mobile(1), Mode: chat.Transaction, Text: "hi"})
	w.begin(person("usr_bert", ""), chat.Wanted{To: mobile(2), Mode: chat.Transaction, Text: "hi"})
	if _, err := w.BlockSender(ctx, "usr_bert", "", "usr_admin"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.BlockNumber(ctx, mobile(8), "", "usr_admin"); err != nil {
		t.Fatal(err)
	}
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := db.Open(ctx, db.Options{Dir: w.dir, Attach: later.dir + "/" + db.FileName})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(func(tx *db.Tx) error { return chat.Restore(tx, true) }); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	w.start()
	for _, id := range []string{"usr_anna", "usr_bert"} {
		_, _, err := w.Begin(ctx, person(id, ""), chat.Wanted{To: mobile(3), Mode: chat.Transaction, Text: "hi"})
		w.refused(err, chat.BlockedSender)
	}
	for _, n := range []int{7, 8} {
		_, _, err := w.Begin(ctx, person("usr_carl", ""), chat.Wanted{To: mobile(n), Mode: chat.Transaction, Text: "hi"})
		w.refused(err, chat.BlockedNumber)
	}
	if got := w.AbuseRules(); got.SameText != 77 {
		t.Errorf("%+v", got)
	}
}

package queue_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

const usedSIM = "8949" // of startOf

// sendNoted sends a message whose recipient counts.
func (b *box) sendNoted(to string) {
	b.t.Helper()
	m := b.submit(to, "x")
	s := b.startOf(m, 1)
	s.NoteRecipient = true
	b.advance(nil, s)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 1}, nil)
}

func (b *box) rows(table string) (n int) {
	b.t.Helper()
	err := b.db.Read(context.Background(), func(r db.Querier) error {
		return r.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// Days and months are the calendar's, and only the last two months are kept.
func TestUsage(t *testing.T) {
	b := open(t, queue.Options{})
	b.now = time.Date(2026, 10, 31, 23, 59, 59, 0, time.Local)
	want := func(minute, day, month, recipients int) {
		t.Helper()
		for range 2 { // as it was counted, and as it is read again
			if got, want := b.q.Used(usedSIM, b.now), (queue.Used{Minute: minute, Day: day, Month: month, Recipients: recipients}); got != want {
				t.Fatalf("at %v used is %+v, want %+v", b.now, got, want)
			}
			b.restart()
		}
	}
	for i := range 5 {
		b.sendNoted(fmt.Sprint("+49170000000", i%3))
	}
	want(5, 5, 5, 3)
	b.now = b.now.Add(time.Second)
	want(5, 0, 0, 0)
	b.sendNoted("+491700000000")
	want(6, 1, 1, 1)
	b.now = b.now.Add(24 * time.Hour)
	b.sendNoted("+491700000000")
	want(1, 1, 2, 1)
	if !b.q.Texted(usedSIM, "+491700000000", b.now) || b.q.Texted(usedSIM, "+491700000001", b.now) || b.q.Texted("other", "+491700000000", b.now) {
		t.Error("whom it has texted this month")
	}
	prune := func() {
		t.Helper()
		if err := b.q.Prune(context.Background(), b.now, queue.Retention{}); err != nil {
			t.Fatal(err)
		}
	}
	prune()
	if days, recipients := b.rows("sim_days"), b.rows("sim_recipients"); days != 3 || recipients != 4 {
		t.Errorf("%d days and %d recipients are left of two months", days, recipients)
	}
	b.now = time.Date(2026, 12, 31, 12, 0, 0, 0, time.Local)
	prune()
	want(0, 0, 0, 0)
	if days, recipients := b.rows("sim_days"), b.rows("sim_recipients"); days != 2 || recipients != 1 {
		t.Errorf("%d days and %d recipients are left of the month before", days, recipients)
	}
}

// The pace goes by the sixty seconds before, to the second.
func TestPace(t *testing.T) {
	b := open(t, queue.Options{})
	start := b.now
	at := func(second int, want int) {
		t.Helper()
		b.now = start.Add(time.Duration(second) * time.Second)
		if got := b.q.PacedUntil(usedSIM, 3, b.now).Sub(start); got != time.Duration(want)*time.Second {
			t.Errorf("at second %d the next may go at %v, want %d", second, got, want)
		}
	}
	at(0, 0)
	b.sendNoted("+491700000000")
	at(10, 10)
	b.sendNoted("+491700000000")
	at(20, 20)
	b.sendNoted("+491700000000")
	at(20, 61)
	at(60, 61)
	at(61, 61)
	b.sendNoted("+491700000000")
	at(62, 71)
	at(20, 71) // the clock is set back: what was sent later counts as sent now
	at(500, 500)
}

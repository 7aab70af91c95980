package queue_test

import (
	"context"
	"testing"

	"gatewayd/queue"
	"gatewayd/sms"
)

// A modem may ask for a message while it is canceled or erased: what it then
// starts with is not what the row says any more.
func TestStartOfAChangedMessage(t *testing.T) {
	b := open(t, queue.Options{})
	for name, change := range map[string]func(sms.Message) error{
		"canceled": func(m sms.Message) error { _, err := b.q.Cancel(context.Background(), m.ID); return err },
		"erased":   func(m sms.Message) error { _, err := b.q.EraseNumber(context.Background(), m.To); return err },
	} {
		m := b.submit("+491701234567", "x")
		job, err := b.q.Job(context.Background(), m.Row, "8949")
		if err != nil {
			t.Fatal(err)
		}
		if err := change(m); err != nil {
			t.Fatal(err)
		}
		s := b.startOf(m, 1)
		s.Job = job
		if ok, err := b.q.Advance(nil, s); ok || err != nil {
			t.Errorf("%s: start = %v, %v", name, ok, err)
		}
		b.holds(name)
	}
	// A SIM refused it meanwhile.
	m := b.submit("+491701234567", "x")
	job, err := b.q.Job(context.Background(), m.Row, "8949")
	if err != nil {
		t.Fatal(err)
	}
	b.begin(m, 1)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartRetry, Err: &sms.Error{Code: "x"}, RefusedBy: "other"}, nil)
	s := b.startOf(m, 1)
	s.Job = job
	b.advance(nil, s)
	if got := b.want(m.ID, sms.Sending); got.Attempts != 2 {
		t.Errorf("attempts = %d, want 2", got.Attempts)
	}
}

package queue_test

import (
	"context"
	"fmt"
	"testing"

	"gatewayd/queue"
	"gatewayd/sms"
)

// The pointers show where each flag was put last, whether a message's slot gets
// confirmed and processed at once or waits for a report in between.
func TestPointersOfSentMessages(t *testing.T) {
	b := open(t, queue.Options{})
	send := func(report bool) sms.Message {
		m := b.submit("+491701234567", "x", func(d *queue.Draft) { d.DeliveryReport = report })
		b.begin(m, 1)
		b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 1}, nil)
		return b.want(m.ID, sms.Sent)
	}
	want := func(pointers string, depth int) {
		t.Helper()
		s, err := b.q.Stats(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		r := s.Outbound
		if got := fmt.Sprint(*r.LastRetrieved, *r.LastSent, *r.LastConfirmed, *r.LastProcessed); got != pointers || r.Depth != depth {
			t.Errorf("retrieved, sent, confirmed, processed last at %s with depth %d; want %s with %d", got, r.Depth, pointers, depth)
		}
	}
	send(false)
	want("0 0 0 0", 0)
	send(false)
	want("1 1 1 1", 0)
	send(true)
	want("2 2 2 1", 1)
	send(false)
	want("3 3 3 3", 1)
}

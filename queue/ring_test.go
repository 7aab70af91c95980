package queue_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
)

func TestRingSkipsSlotsInUse(t *testing.T) {
	b := open(t, queue.Options{OutboundCapacity: 4})
	scheduled := b.submit("+491701234567", "next week", func(d *queue.Draft) { d.SendAt = b.now.Add(7 * 24 * time.Hour) })
	if scheduled.Status != sms.Scheduled {
		t.Fatal(scheduled.Status)
	}
	var addresses []int
	for range 10 {
		m := b.submit("+491701234567", "now", func(d *queue.Draft) { d.DeliveryReport = false })
		addresses = append(addresses, *b.rings().Outbound.LastRetrieved)
		b.begin(m, 1)
		b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: -1}, nil)
		b.want(m.ID, sms.Sent)
	}
	if want := []int{1, 2, 3, 1, 2, 3, 1, 2, 3, 1}; !slices.Equal(addresses, want) {
		t.Errorf("addresses %v, want %v: slot 0 is in use", addresses, want)
	}
	if d := b.rings().Outbound.Depth; d != 1 {
		t.Errorf("depth %d, want 1", d)
	}
	next, err := b.q.ReleaseDue(b.now.Add(time.Hour))
	if err != nil || !next.Equal(scheduled.SendAt) {
		t.Fatalf("next release at %v (%v)", next, err)
	}
	if _, err := b.q.ReleaseDue(scheduled.SendAt); err != nil {
		t.Fatal(err)
	}
	b.want(scheduled.ID, sms.Queued)
}

func TestOldestReportSlotIsReused(t *testing.T) {
	b := open(t, queue.Options{OutboundCapacity: 2})
	var sent []sms.Message
	for i := range 2 {
		m := b.submit("+491701234567", "x")
		b.begin(m, 1)
		b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: i}, nil)
		sent = append(sent, m)
		b.now = b.now.Add(time.Second)
	}
	third := b.submit("+491701234567", "y") // takes the slot of sent[0]
	b.report(0, sent[0].To, 0)              // still booked
	b.want(sent[0].ID, sms.Delivered)
	b.want(third.ID, sms.Queued)
	if d := b.rings().Outbound.Depth; d != 2 {
		t.Errorf("depth %d, want 2", d)
	}
	b.submit("+491701234567", "z") // the slot of sent[1]
	if _, _, err := b.q.Submit(context.Background(), []queue.Draft{{Message: sms.Message{To: "+491701234567", Text: "w"}}}, nil); !errors.Is(err, queue.ErrFull) {
		t.Errorf("both slots hold unsent messages: %v", err)
	}
}

func TestReportWaitFreesTheSlot(t *testing.T) {
	b := open(t, queue.Options{ReportWait: time.Hour})
	m := b.submit("+491701234567", "x")
	b.begin(m, 1)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 3}, nil)
	next, err := b.q.FreeReported(b.now)
	if err != nil || !next.Equal(b.now.Add(time.Hour)) {
		t.Fatal(next, err)
	}
	b.now = b.now.Add(time.Hour)
	if _, err := b.q.FreeReported(b.now); err != nil {
		t.Fatal(err)
	}
	if d := b.rings().Outbound.Depth; d != 0 {
		t.Errorf("depth %d, want 0", d)
	}
	b.report(3, m.To, 0)
	b.want(m.ID, sms.Delivered)
}

// Cursors lead through the messages in their order however often their slots are
// used again meanwhile, and what comes while somebody reads is on no later page.
func TestCursorsSurviveTheRing(t *testing.T) {
	b := open(t, queue.Options{OutboundCapacity: 3})
	send := func() string {
		m := b.submit("+491701234567", "x", func(d *queue.Draft) { d.DeliveryReport = false })
		b.begin(m, 1)
		b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 1}, nil)
		return m.ID
	}
	var want, got []string
	for range 20 {
		want = append(want, send())
	}
	slices.Reverse(want)
	for cursor := ""; ; {
		page, next, err := b.q.List(context.Background(), queue.Filter{Limit: 3, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			got = append(got, m.ID)
		}
		for range 4 { // more than the ring has slots
			send()
		}
		if cursor = next; next == "" {
			break
		}
		b.restart()
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d messages in the pages, want %d in their order", len(got), len(want))
	}
}

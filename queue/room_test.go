package queue_test

import (
	"context"
	"errors"
	"testing"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// On a full disk nothing new is promised, and what was promised goes on: its
// answer is repeated, it is sent and reported, and texts are received.
func TestFullDiskRefusesNewMessagesAlone(t *testing.T) {
	ctx := context.Background()
	b := open(t, queue.Options{})
	drafts := func(n int) (all []queue.Draft) {
		for range n {
			all = append(all, queue.Draft{Message: sms.Message{To: "+491701234567", Text: "x", DeliveryReport: true}, KeyID: "k"})
		}
		return all
	}
	once := &queue.Idempotency{KeyID: "k", Key: "1", Body: []byte("x")}
	first, _, err := b.q.Submit(ctx, drafts(1), once)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	// No disk has so much room.
	if b.db, err = db.Open(ctx, db.Options{Dir: b.dir, Reserve: 1 << 60}); err != nil {
		t.Fatal(err)
	}
	if b.q, err = resumed(ctx, b.db, b.o); err != nil {
		t.Fatal(err)
	}
	if d, err := b.db.LookAtDisk(ctx, 1<<20); err != nil || !d.Full {
		t.Fatalf("%+v %v", d, err)
	}
	for _, n := range []int{1, 3} {
		if _, _, err := b.q.Submit(ctx, drafts(n), nil); !errors.Is(err, queue.ErrDiskFull) {
			t.Errorf("%d new messages: %v", n, err)
		}
	}
	if again, replayed, err := b.q.Submit(ctx, drafts(1), once); err != nil || !replayed || again[0].ID != first[0].ID {
		t.Errorf("what was answered before: %v %v", replayed, err)
	}
	b.begin(first[0], 1)
	b.advance(&queue.Verdict{Row: first[0].Row, Part: 1, Fate: queue.PartConfirmed, MR: 5}, nil)
	b.report(5, "+491701234567", 0)
	b.want(first[0].ID, sms.Delivered)
	b.receive("", -1, b.texts("+491701234567", "hello", 0)[0])
	if n := len(b.inbound()); n != 1 {
		t.Errorf("%d texts were received", n)
	}
	if page, _, err := b.q.List(ctx, queue.Filter{Direction: sms.Outbound}); err != nil || len(page) != 1 {
		t.Errorf("%d messages are there (%v)", len(page), err)
	}
}

// A ring is full when nothing more goes in, and is so until there is some room.
func TestFullRings(t *testing.T) {
	b := open(t, queue.Options{OutboundCapacity: 40, InboundCapacity: 1})
	wasOut, wasIn := false, false
	want := func(after string, out, in bool) {
		t.Helper()
		var err error
		wasOut, wasIn, err = b.q.Full(context.Background(), wasOut, wasIn)
		if err != nil || wasOut != out || wasIn != in {
			t.Errorf("after %s: outbound full %v, inbound %v (%v)", after, wasOut, wasIn, err)
		}
	}
	want("the start", false, false)
	var all []sms.Message
	for range 40 {
		all = append(all, b.submit("+491701234567", "x"))
	}
	want("the last slot", true, false)
	cancel := func(n int) {
		if _, err := b.q.Cancel(context.Background(), all[n].ID); err != nil {
			t.Fatal(err)
		}
	}
	cancel(0)
	want("one of forty is free", true, false)
	cancel(1)
	want("two are", false, false)
	b.submit("+491701234567", "x")
	want("one is", false, false)
	b.submit("+491701234567", "x")
	want("none is", true, false)
	// A slot that only waits for a report is given away.
	for n := range 2 {
		b.begin(all[2+n], 1)
		b.advance(&queue.Verdict{Row: all[2+n].Row, Part: 1, Fate: queue.PartConfirmed, MR: n}, nil)
	}
	want("two wait for reports", false, false)
	if _, err := b.q.Cursor("slow"); err != nil {
		t.Fatal(err)
	}
	b.receive("", -1, b.texts("+491701234567", "hello", 0)[0])
	want("a text that nobody takes", false, true)
	if err := b.q.DropReader("slow"); err != nil {
		t.Fatal(err)
	}
	want("it was taken", false, false)
}

// A ring that was made smaller is full when nothing more goes in, and not for
// what is still in use beyond its end.
func TestFullIsNotWhatLiesBeyondTheEnd(t *testing.T) {
	b := open(t, queue.Options{OutboundCapacity: 100})
	var all []sms.Message
	for range 60 {
		all = append(all, b.submit("+491701234567", "x"))
	}
	for _, m := range all[:10] {
		if _, err := b.q.Cancel(context.Background(), m.ID); err != nil {
			t.Fatal(err)
		}
	}
	b.o.OutboundCapacity = 20
	b.restart()
	for n := range 11 {
		full, _, err := b.q.Full(context.Background(), false, false)
		if err != nil || full != (n == 10) {
			t.Errorf("with %d of 10 slots used: full %v (%v)", n, full, err)
		}
		if n == 10 {
			break
		}
		b.submit("+491701234567", "x")
	}
	if _, _, err := b.q.Submit(context.Background(), []queue.Draft{{Message: sms.Message{To: "+491701234567", Text: "x"}}}, nil); !errors.Is(err, queue.ErrFull) {
		t.Errorf("one more than there is room for: %v", err)
	}
	if got := b.q.Promised(); got != 60*4<<10 {
		t.Errorf("%d bytes are promised to 60 messages", got)
	}
}

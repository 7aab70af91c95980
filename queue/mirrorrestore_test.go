package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// A restored hub goes on with what its gateways have, and puts into their streams again
// what it had put there: they take it once. What the replaced database has given is given.
func TestHubIsRestored(t *testing.T) {
	for _, replaced := range []bool{true, false} {
		b := openHub(t, queue.Options{})
		ctx := context.Background()
		stored, inLink, waits := b.submit("+491701234567", "x"), b.submit("+491701234568", "x"), b.submit("+491701234569", "x")
		for i, m := range []sms.Message{stored, inLink} {
			b.give(m, "north", 1)
			b.do(func(tx *db.Tx) error { return b.q.PublishedTx(tx, m.Row, uint64(i+1)) })
		}
		b.apply("north", 1, queue.State{ID: stored.ID, Epoch: 1, Status: sms.Sending, Attempts: 1})
		c := b.copyOf()
		b.give(waits, "south", 1)
		was, err := b.q.LogID(ctx)
		var of *box
		if of = b; !replaced {
			of = nil
		}
		took := c.restore(of, "")
		if is, err2 := c.q.LogID(ctx); err != nil || err2 != nil || was == is || len(is) != 16 {
			t.Fatal(was, is, err, err2)
		}
		given, err := c.q.Given(ctx, "north", 10)
		if err != nil || len(given) != 1 || given[0].ID != inLink.ID {
			t.Fatalf("%+v (%v)", given, err)
		}
		south, err := c.q.Given(ctx, "south", 10)
		if err != nil || replaced != (len(south) == 1) || replaced != (took.Held == 0) {
			t.Fatalf("%+v, %+v (%v)", south, took, err)
		}
		c.apply("north", 7, queue.State{ID: stored.ID, Epoch: 1, Status: sms.Delivered, SentAt: c.now, DeliveredAt: c.now})
		c.wantTold(stored.ID, "queued", "sending", "sent", "delivered")
		if got := c.message(waits.ID); got.Held == replaced {
			t.Fatalf("%+v", got)
		}
		c.apply("south", 9, queue.State{ID: waits.ID, Epoch: 1, Status: sms.Queued})
		c.holds("a gateway tells of what is held")
		c.apply("south", 10, queue.State{ID: waits.ID, Epoch: 1, Status: sms.Sent, SentAt: c.now})
		if got := c.want(waits.ID, sms.Sent); got.Held || got.PossibleDuplicate || got.Gateway != "south" {
			t.Fatalf("%+v", got)
		}
	}
}

// A restored gateway knows what it had of its hub after the backup: that does not come twice.
func TestMirroredIsRestored(t *testing.T) {
	b := open(t, queue.Options{})
	c := b.copyOf()
	m := []queue.Mirrored{{ID: "msg_01M81J3330RPC7KZXTTDHCE93A", Epoch: 3, Draft: queue.Draft{Message: sms.Message{To: "+491701234567", Text: "x"}}}}
	if errs, err := b.q.StoreMirrored(context.Background(), m); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}
	c.restore(b, "")
	if errs, err := c.q.StoreMirrored(context.Background(), m); err != nil || errs[0] != nil || c.rings().Outbound.Depth != 0 || c.q.Epoch() != 3 {
		t.Fatal(errs, err, c.rings(), c.q.Epoch())
	}
}

// What the hub has not heard of a message is neither erased nor forgotten; it would wait for
// it for ever.
func TestUntoldIsKept(t *testing.T) {
	b := open(t, queue.Options{OutboundCapacity: 1})
	ctx := context.Background()
	if _, err := b.q.Cursor("hub"); err != nil {
		t.Fatal(err)
	}
	id := "msg_01M81J3330RPC7KZXTTDHCE93A"
	errs, err := b.q.StoreMirrored(ctx, []queue.Mirrored{{ID: id, Draft: queue.Draft{Message: sms.Message{To: "+491701234567", Text: "x", DeliveryReport: true}}}})
	if err != nil || errs[0] != nil || b.q.FreeOutbound() != 0 {
		t.Fatal(errs, err)
	}
	m := b.message(id)
	b.begin(m, 1)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, MR: 1}, nil)
	if b.q.FreeOutbound() != 1 { // it only waits for its report
		t.Fatal(b.rings())
	}
	b.report(1, m.To, 0)
	b.want(id, sms.Delivered)
	b.now = b.now.Add(1000 * time.Hour)
	if err := b.q.Prune(ctx, b.now, queue.Retention{Messages: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.q.EraseNumber(ctx, m.To); !errors.Is(err, queue.ErrConflict) {
		t.Fatal(err)
	}
	if err := b.q.EraseMessage(ctx, id); !errors.Is(err, queue.ErrConflict) {
		t.Fatal(err)
	}
	_, newest, err := b.q.Span(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.do(func(tx *db.Tx) error { return b.q.AdvanceTx(tx, "hub", newest, 0) })
	if n, err := b.q.EraseNumber(ctx, m.To); err != nil || n != 1 {
		t.Fatal(n, err)
	}
}

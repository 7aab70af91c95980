package queue_test

import (
	"context"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// A message by internet takes no slot and waits for no modem; its files and subject are
// kept with it, and erased with its text.
func TestByInternet(t *testing.T) {
	b := open(t, queue.Options{OutboundCapacity: 1})
	ctx := context.Background()
	d := queue.Draft{Message: sms.Message{To: "+491701234567", Via: sms.ViaInternet, Mode: sms.ModeOffline, Subject: "photo",
		Files: []sms.File{{ID: "f1", Name: "a.png", Type: "image/png", Size: 3}}}}

	all, _, err := b.q.Submit(ctx, []queue.Draft{d}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := all[0]
	b.restart()
	if r := b.rings(); r.Outbound.Depth != 0 || b.q.CountByStatus()[sms.Queued] != 1 || len(b.q.Backlogs()) > 0 {
		t.Fatal(r, b.q.CountByStatus())
	}
	b.now = b.now.Add(1000 * time.Hour)
	if err := b.q.Prune(ctx, b.now, queue.Retention{Messages: time.Hour, Texts: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if got := b.want(m.ID, sms.Queued); got.Subject != "photo" || len(got.Files) != 1 || got.Mode != sms.ModeOffline {
		t.Fatalf("%+v", got)
	}
	b.do(func(tx *db.Tx) error { return b.q.InternetTx(tx, m.ID, sms.Delivered, nil) })
	b.do(func(tx *db.Tx) error { return b.q.InternetTx(tx, m.ID, sms.Sent, nil) })
	b.wantTold(m.ID, "queued", "sent", "delivered")
	if _, err := b.q.Redact(ctx, m.ID); err != nil {
		t.Fatal(err)
	}
	if got := b.message(m.ID); got.Subject != "" || got.Files != nil {
		t.Fatalf("%+v", got)
	}
	b.holds("internet")
}

// What becomes of a copy is told once, and the copy is "sent" for good.
func TestCopied(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit("+491701234567", "x", func(d *queue.Draft) { d.Copy, d.DeliveryReport = sms.CopyNotSent, false })
	b.begin(m, 1)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, MR: 1}, nil)
	for _, c := range []sms.Copy{sms.CopySent, sms.CopySent, sms.CopyNoInbox} {
		b.do(func(tx *db.Tx) error { return b.q.CopiedTx(tx, m.ID, c) })
	}
	all, err := b.q.EventsAfter(context.Background(), 0, 10)
	if err != nil || len(all) != 4 || all[3].Type != sms.EventCopied || b.message(m.ID).Copy != sms.CopySent {
		t.Fatalf("%+v (%v)", all, err)
	}
	b.holds("copied")
}

// What somebody writes in an inbox comes once, beside what it answers, and its words count.
func TestReply(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit("+491701234567", "x", func(d *queue.Draft) { d.Conversation = "cnv_1" })
	b.begin(m, 1)
	for range 2 {
		b.do(func(tx *db.Tx) error {
			return b.q.ReplyTx(tx, queue.Reply{ID: "msg_01M81J3330RPC7KZXTTDHCE93A", From: m.To, Text: "STOP", At: b.now, To: m.ID})
		})
	}
	in := b.inbound()
	if len(in) != 1 || in[0].Via != sms.ViaInternet || in[0].Conversation != "cnv_1" || in[0].ID != "msg_01M81J3330RPC7KZXTTDHCE93A" {
		t.Fatalf("%+v", in)
	}
	if stopped, err := b.q.OptedOut(context.Background(), m.To); err != nil || !stopped {
		t.Fatal(stopped, err)
	}
	if slots, err := b.q.MirrorSlots(context.Background(), "", 10); err != nil || len(slots) != 0 {
		t.Fatal(slots, err) // it is in no ring of the hub's
	}
}

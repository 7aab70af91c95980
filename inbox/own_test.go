package inbox

import (
	"context"
	"fmt"
	"testing"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// The hub's own people write by internet too, and their SMS have copies.
func TestTheHubsOwnConversations(t *testing.T) {
	r := newRig(t)
	send := func(to string, change func(*sms.Message)) sms.Message {
		t.Helper()
		m := sms.Message{Direction: sms.Outbound, To: to, Text: "Hello " + to, Conversation: "cnv_1", Via: sms.ViaInternet, Mode: sms.ModeInternet, Author: &sms.Author{Kind: sms.AuthorPerson, ID: "usr_1", Name: "Ann"}}
		change(&m)
		all, _, err := r.q.Submit(ctx, []queue.Draft{{Message: m}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	asIs := func(*sms.Message) {}
	status := func(id string) string {
		t.Helper()
		m, err := r.q.Message(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if m.Error != nil {
			return string(m.Status) + " " + m.Error.Code
		}
		return string(m.Status)
	}
	b := r.signedIn(phone, "Bob")
	canceled := send(phone, asIs)
	if _, err := r.q.Cancel(ctx, canceled.ID); err != nil {
		t.Fatal(err)
	}
	before, lost := send(phone, asIs), send(other, asIs)
	run, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- r.Run(run) }()
	waitFor(t, func() bool { return status(before.ID) == "sent" && status(lost.ID) == "failed no-inbox" })
	live := send(phone, asIs)
	waitFor(t, func() bool { return status(live.ID) == "sent" })
	all := b.list("")
	if len(all) != 1 || all[0].Name != "Ann" || all[0].At != "Example Org" || all[0].Unread != 2 {
		t.Fatalf("the list is %+v", all)
	}
	path := fmt.Sprintf("threads/%d", all[0].ID)
	got := b.reads(path)
	if len(got) != 2 || got[0].ID != before.ID || got[1].ID != live.ID {
		t.Errorf("the messages are %+v", got)
	}
	if status(canceled.ID) != "canceled" {
		t.Errorf("what was canceled is %s", status(canceled.ID))
	}
	b.ask("POST", "/inbox/v1/"+path+"/read", map[string]any{"seq": got[0].Seq}).want(200)
	if status(before.ID) != "delivered" || status(live.ID) != "sent" {
		t.Errorf("read and unread: %s, %s", status(before.ID), status(live.ID))
	}
	b.ask("POST", "/inbox/v1/"+path+"/messages", map[string]any{"text": "Hi Ann"}).want(201)
	said := b.reads(path)[2]
	m, err := r.q.Message(ctx, said.ID)
	if err != nil || m.Direction != sms.Inbound || m.Via != sms.ViaInternet || m.From != phone || m.Text != "Hi Ann" || m.Conversation != "cnv_1" {
		t.Errorf("the answer arrives as %+v, %v", m, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// Erased where it was written, it is erased in the inbox.
	if _, err := r.q.Redact(ctx, before.ID); err != nil {
		t.Fatal(err)
	}
	if got := b.reads(path); !got[0].Erased || got[0].Text != "" {
		t.Errorf("after the erasure it is %+v", got[0])
	}
}

// A text of the hub's own people goes out by a gateway, and its copy follows once it has.
func TestCopiesOfTheHubsOwnTexts(t *testing.T) {
	r := newRig(t)
	b := r.signedIn(phone, "Bob")
	texted := func(to string) sms.Message {
		t.Helper()
		all, _, err := r.q.Submit(ctx, []queue.Draft{{Message: sms.Message{Direction: sms.Outbound, To: to, Text: "Hello", Mode: sms.ModeSMS, Copy: sms.CopyNotSent}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	to, lost := texted(phone), texted(other)
	if rows, err := r.q.ForInboxes(ctx, 10); err != nil || len(rows) != 0 {
		t.Fatalf("before they are sent the copies of %v go, %v", rows, err)
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- r.Run(run) }()
	for i, m := range []sms.Message{to, lost} {
		err := r.q.Do(func(tx *db.Tx) error {
			given, err := r.q.GiveTx(tx, m.Row, "north", 1)
			if err != nil || given == nil {
				return fmt.Errorf("not given: %v", err)
			}
			if err := r.q.PublishedTx(tx, m.Row, uint64(i+1)); err != nil {
				return err
			}
			return r.q.ApplyTx(tx, "north", int64(i+1), queue.State{ID: m.ID, Epoch: 1, Mirror: -1, Status: sms.Sent, SentAt: r.now, UpdatedAt: r.now})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	is := func(id string, want sms.Copy) bool {
		m, err := r.q.Message(ctx, id)
		return err == nil && m.Copy == want
	}
	waitFor(t, func() bool { return is(to.ID, sms.CopySent) && is(lost.ID, sms.CopyNoInbox) })
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if all := b.list("?tag=sms"); len(all) != 1 || all[0].Newest.ID != to.ID {
		t.Errorf("in the inbox: %+v", all)
	}
}

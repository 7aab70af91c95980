package chat_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gatewayd/chat"
)

// asks has a stranger begin with a number, and wants it to be refused for a reason that
// has these words; "": it is not.
func (w *world) asks(s chat.Sender, to, says string) *chat.Conversation {
	w.t.Helper()
	v, _, err := w.Begin(ctx, s, chat.Wanted{To: to, Text: "hi " + to})
	var e *chat.Error
	switch {
	case says == "" && err != nil:
		w.t.Fatal(err)
	case says != "" && (!errors.As(err, &e) || e.Code != chat.Limit || !strings.Contains(e.Detail, says) || e.RetryAfter <= 0):
		w.t.Fatalf("%v, want %q", err, says)
	}
	return v
}

// One silent phone is not asked over and over: not by a visitor who ends the chat and
// begins it again, and not by others.
func TestSilentPhoneIsNotPestered(t *testing.T) {
	w := newWorld(t, 5)
	me := visitor("v1")
	for range 3 {
		v := w.asks(me, phone, "")
		if _, err := w.Close(ctx, me, v.ID); err != nil {
			t.Fatal(err)
		}
	}
	w.asks(me, phone, "This number may be the reason of 3 invitations a day")
	w.restart()
	w.asks(at("198.51.100.9", visitor("v2")), phone, "This number")
	w.asks(at("198.51.100.9", visitor("v2")), other, "")
	w.says(phone, "a", "hello?")
	w.asks(me, phone, "") // it knows of us, and did not say STOP
	w.now = w.now.Add(24 * time.Hour)
	if _, err := w.Close(ctx, me, w.asks(me, other, "").ID); err != nil {
		t.Fatal(err)
	}
}

// What strangers have the gateway ask numbers that never wrote is bounded for each of
// them, their address, the widget and the gateway; what others are asked is not.
func TestInvitationsAreBounded(t *testing.T) {
	w := newWorld(t, 2)
	w.set(func(r *chat.AbuseRules) {
		r.Invitations = chat.Invitations{Visitor: 2, Address: 3, Widget: 4, All: 5}
	})
	n := 0
	next := func() string { n++; return mobile(n) }
	w.says(phone, "a", "a customer")
	if _, err := w.Close(ctx, person("anna", ""), w.conversationOf(phone)); err != nil {
		t.Fatal(err)
	}
	v1 := visitor("v1")
	w.asks(v1, next(), "")
	w.asks(v1, next(), "")
	w.asks(v1, next(), "You may be the reason of 2 invitations a day. There is room again in 24 hours")
	w.asks(visitor("v2"), next(), "")
	w.asks(visitor("v2"), next(), "your network address")
	w.asks(at("192.0.2.3", visitor("v3")), next(), "")
	w.asks(at("192.0.2.4", visitor("v4")), next(), "on this page")
	v5 := at("192.0.2.5", visitor("v5"))
	v5.Widget = "wdg_2"
	w.asks(v5, next(), "")
	v6 := at("192.0.2.6", visitor("v6"))
	v6.Widget = "wdg_3"
	w.asks(v6, next(), "All visitors together may be the reason of 5 invitations a day")
	w.asks(v6, phone, "") // it has written
	if found, _, err := w.Senders(ctx, chat.SenderFilter{}); err != nil || len(found) == 0 {
		t.Fatal(err)
	} else {
		for _, s := range found {
			if strings.HasPrefix(s.ID, "inv_") {
				t.Errorf("%+v is no sender", s)
			}
		}
	}
	if _, err := w.BlockSender(ctx, "inv_all", "", "usr_1"); err == nil {
		t.Error("what is counted was blocked")
	}
	if _, _, err := w.Begin(ctx, person("anna", ""), chat.Wanted{To: next(), Text: "hi"}); err != nil {
		t.Error(err)
	}
	w.now = w.now.Add(24 * time.Hour)
	w.asks(v1, next(), "")
}

// Strangers write to the gateway's own country, until an admin says where else.
func TestStrangersWriteAtHome(t *testing.T) {
	w := newWorld(t, 1)
	const abroad = "+436641234567"
	_, _, err := w.Begin(ctx, visitor("v1"), chat.Wanted{To: abroad, Text: "hi"})
	w.refused(err, chat.Destination)
	if _, _, err := w.Begin(ctx, person("anna", ""), chat.Wanted{To: abroad, Text: "hi"}); err != nil {
		t.Error(err)
	}
	w.modems[0].Number = "" // nobody knows where we are
	_, _, err = w.Begin(ctx, visitor("v1"), chat.Wanted{To: phone, Text: "hi"})
	w.refused(err, chat.Destination)
	for _, change := range []func(*chat.AbuseRules){func(r *chat.AbuseRules) { r.Abroad = true }, func(r *chat.AbuseRules) { r.Abroad, r.Destinations = false, []string{"CH"} }} {
		w.set(change)
		if _, _, err := w.Begin(ctx, visitor("v1"), chat.Wanted{To: "+41791234567", Text: "hi"}); err != nil {
			t.Error(err)
		}
	}
	_, _, err = w.Begin(ctx, visitor("v1"), chat.Wanted{To: abroad, Text: "hi"})
	w.refused(err, chat.Destination)
}

func (w *world) conversationOf(number string) string {
	w.t.Helper()
	found, _, err := w.List(ctx, chat.Filter{Number: number})
	if err != nil || len(found) != 1 {
		w.t.Fatal(found, err)
	}
	return found[0].ID
}

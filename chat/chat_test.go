package chat_test

import (
	"slices"
	"testing"

	"gatewayd/chat"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Two strangers write to one phone: each has a SIM of its own, and answers land in the
// right window. A third is told that no number is free.
func TestTwoStrangersOnePhone(t *testing.T) {
	w := newWorld(t, 2)
	one := w.begin(visitor("v1"), chat.Wanted{To: phone, Text: "from one"})
	two := w.begin(visitor("v2"), chat.Wanted{To: phone, Text: "from two"})
	if one.SIM == two.SIM {
		t.Fatal("two strangers have one SIM")
	}
	_, _, err := w.Begin(ctx, visitor("v3"), chat.Wanted{To: phone, Text: "from three"})
	w.refused(err, chat.NoNumberFree)
	w.begin(visitor("v3"), chat.Wanted{To: other, Text: "another phone is free"})
	w.says(phone, two.Modem, "YES")
	w.state(one.ID, chat.StateInvited)
	w.state(two.ID, chat.StateOpen)
	w.says(phone, two.Modem, "to two")
	w.says(phone, one.Modem, "to one, not agreed yet")
	if got := w.texts(two.ID); !slices.Equal(got, []string{"Visitor v2: chat by text? Reply YES to go on, STOP to stop. Standard rates apply.", "YES", "Visitor v2: from two", "to two"}) {
		t.Errorf("%q", got)
	}
	if got := w.texts(one.ID); len(got) != 2 || got[1] != "to one, not agreed yet" {
		t.Errorf("%q", got)
	}
	for id, by := range map[string]chat.Sender{one.ID: visitor("v2"), two.ID: person("anna", "")} {
		_, err := w.Send(ctx, by, id, "mine?", "")
		w.refused(err, chat.NotFound)
	}
}

// People of one team share a conversation; another team gets another SIM.
func TestColleaguesShare(t *testing.T) {
	w := newWorld(t, 2)
	v := w.begin(person("anna", "sales"), chat.Wanted{To: phone, Mode: chat.Transaction, Text: "hello"})
	again, created, err := w.Begin(ctx, person("bert", "sales"), chat.Wanted{To: phone})
	if err != nil || created || again.ID != v.ID {
		t.Fatalf("%v %v %+v", err, created, again)
	}
	m := w.send(person("bert", "sales"), v.ID, "it is me")
	if m.Conversation != v.ID || m.Author == nil || m.Author.ID != "bert" || m.Text != "it is me" {
		t.Errorf("%+v", m)
	}
	third := w.begin(person("carl", "office"), chat.Wanted{To: phone, Mode: chat.Transaction})
	if third.SIM == v.SIM {
		t.Error("two teams share a SIM for one number")
	}
	got := w.says(phone, v.Modem, "an answer")
	if got.Conversation != v.ID {
		t.Errorf("%+v", got)
	}
	page, _, err := w.List(ctx, chat.Filter{Team: &again.Owner.Team})
	if err != nil || len(page) != 1 || page[0].Unread != 1 || page[0].Last == nil || page[0].Last.ID != got.ID {
		t.Fatalf("%v %+v", err, page)
	}
	read, err := w.MarkRead(ctx, person("anna", "sales"), v.ID, got.ID)
	if err != nil || read.Unread != 0 {
		t.Errorf("%v %+v", err, read)
	}
}

// The phone may begin: its text opens a conversation in the shared inbox, which an answer
// opens.
func TestPhoneBegins(t *testing.T) {
	w := newWorld(t, 1)
	m := w.says(phone, "a", "is anybody there?")
	v := w.state(m.Conversation, chat.StateNew)
	if v.Mode != chat.Transaction || v.Begun != "phone" || v.Unread != 1 || v.Owner.Team != "" {
		t.Errorf("%+v", v)
	}
	w.send(person("anna", ""), v.ID, "yes")
	w.state(v.ID, chat.StateOpen)
	_, _, err := w.Begin(ctx, visitor("v1"), chat.Wanted{To: phone})
	w.refused(err, chat.NoNumberFree)
	key := queue.Draft{Message: sms.Message{To: phone, Text: "your parcel is here", Priority: 4}, KeyID: "shop"}
	sent, _, err := w.q.Submit(ctx, []queue.Draft{key}, nil)
	if err != nil || sent[0].Conversation != v.ID {
		t.Errorf("%v %+v", err, sent)
	}
	if got := w.texts(v.ID); !slices.Equal(got, []string{"is anybody there?", "yes", "your parcel is here"}) {
		t.Errorf("%q", got)
	}
}

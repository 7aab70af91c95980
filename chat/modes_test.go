package chat_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/chat"
	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// linked is a gateway that belongs to a hub, with a conversation that needs no YES.
func linked(t *testing.T, inboxes map[string]bool) (*world, *chat.Conversation, chat.Sender) {
	w := newLinkedWorld(t, 2, &fakeNet{url: "https://hub.example", inboxes: inboxes})
	anna := person("Anna", "")
	return w, w.begin(anna, chat.Wanted{To: phone, Mode: chat.Transaction}), anna
}

func (w *world) post(s chat.Sender, id string, l chat.Letter) *sms.Message {
	w.t.Helper()
	m, err := w.Post(ctx, s, id, l)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// Each mode leads to its way, with the link and without it.
func TestModes(t *testing.T) {
	for _, c := range []struct {
		mode        sms.Mode
		inbox, down bool
		via         sms.Via
		copied      sms.Copy
		refused     chat.Code
	}{
		{mode: "", inbox: true},
		{mode: sms.ModeSMS, inbox: true, copied: sms.CopyNotSent},
		{mode: sms.ModeSMS, down: true, copied: sms.CopyNotSent},
		{mode: sms.ModeAuto, inbox: true, via: sms.ViaInternet},
		{mode: sms.ModeAuto, copied: sms.CopyNotSent},
		{mode: sms.ModeAuto, inbox: true, down: true, copied: sms.CopyNotSent},
		{mode: sms.ModeInternet, inbox: true, via: sms.ViaInternet},
		{mode: sms.ModeInternet, refused: chat.NoInbox},
		{mode: sms.ModeInternet, inbox: true, down: true, refused: chat.LinkDown},
		{mode: sms.ModeOffline, via: sms.ViaInternet},
		{mode: sms.ModeOffline, down: true, via: sms.ViaInternet},
		{mode: "pigeon", refused: chat.Invalid},
	} {
		inboxes := map[string]bool{}
		if c.inbox {
			inboxes[phone] = false
		}
		w, v, anna := linked(t, inboxes)
		w.net.down = c.down
		m, err := w.Post(ctx, anna, v.ID, chat.Letter{Text: "hello", Mode: c.mode})
		if c.refused != "" {
			w.refused(err, c.refused)
			continue
		}
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if m.Via != c.via || m.Copy != c.copied || m.Mode != c.mode || m.Status != sms.Queued || m.Conversation != v.ID {
			t.Errorf("%+v: via %q, copy %q, %+v", c, m.Via, m.Copy, m)
		}
		want := "Anna: hello"
		if c.via == sms.ViaInternet || c.mode == "" {
			want = "hello"
		}
		if m.Text != want {
			t.Errorf("%+v: %q, want %q", c, m.Text, want)
		}
	}
}

// Without a hub no mode leads to the internet, and a text stays as it is.
func TestModesWithoutAHub(t *testing.T) {
	w := newWorld(t, 1)
	anna := person("Anna", "")
	v := w.begin(anna, chat.Wanted{To: phone, Mode: chat.Transaction})
	for _, mode := range []sms.Mode{sms.ModeInternet, sms.ModeOffline} {
		_, err := w.Post(ctx, anna, v.ID, chat.Letter{Text: "hello", Mode: mode})
		w.refused(err, chat.NoHub)
	}
	if m := w.post(anna, v.ID, chat.Letter{Text: "hello", Mode: sms.ModeAuto}); m.Via != sms.ViaSMS || m.Copy != "" {
		t.Errorf("%+v", m)
	}
	if m := w.send(anna, v.ID, "hello"); m.Text != "hello" || m.Mode != "" {
		t.Errorf("%+v", m)
	}
	if w.Hub().Belongs {
		t.Error("it belongs to a hub")
	}
}

// An SMS says who writes, what it is about, and where its files are; by internet these
// have places of their own.
func TestSubjectAndFiles(t *testing.T) {
	w, v, anna := linked(t, map[string]bool{phone: true})
	w.files["f1"] = sms.File{ID: "f1", Name: "key.jpg", Type: "image/jpeg", Size: 3}
	l := chat.Letter{Text: "this one", Subject: "Keys", Files: []string{"f1"}, Mode: sms.ModeSMS}
	if m := w.post(anna, v.ID, l); m.Text != "Anna: [Keys] this one\nhttps://hub.example/f/f1" || m.Subject != "Keys" || len(m.Files) != 1 || m.Files[0] != w.files["f1"] {
		t.Errorf("%q %+v", m.Text, m)
	}
	l.Mode = sms.ModeInternet
	if m := w.post(anna, v.ID, l); m.Text != "this one" || m.Subject != "Keys" || len(m.Files) != 1 {
		t.Errorf("%q %+v", m.Text, m)
	}
	w.net.url = ""
	if _, err := w.Post(ctx, anna, v.ID, l); err != nil {
		t.Errorf("by internet: %v", err)
	}
	l.Mode = sms.ModeSMS
	_, err := w.Post(ctx, anna, v.ID, l)
	w.refused(err, chat.NoLink)
	for _, bad := range []chat.Letter{{Text: "x", Files: []string{"nothing"}}, {Text: "x", Subject: "two\nlines"}, {Subject: "nothing else"}, {Text: "x", Subject: strings.Repeat("x", 61)}} {
		_, err := w.Post(ctx, anna, v.ID, bad)
		w.refused(err, chat.Invalid)
	}
	w.set(func(r *chat.AbuseRules) { r.Keywords = []string{"casino"} })
	_, err = w.Post(ctx, anna, v.ID, chat.Letter{Text: "x", Subject: "Casino", Mode: sms.ModeOffline})
	w.refused(err, chat.Keyword)
}

// Handed in again under its client_id it is the same message, whatever way is open by
// then; and something else is refused.
func TestModesAgain(t *testing.T) {
	w, v, anna := linked(t, map[string]bool{phone: true})
	w.files["f1"] = sms.File{ID: "f1", Name: "key.jpg"}
	l := chat.Letter{Text: "hello", Subject: "Keys", ClientID: "c1", Mode: sms.ModeAuto, Files: []string{"f1"}}
	first := w.post(anna, v.ID, l)
	w.net.down = true
	if again := w.post(anna, v.ID, l); again.ID != first.ID || again.Via != sms.ViaInternet {
		t.Errorf("%+v", again)
	}
	l.ClientID = "c2"
	first = w.post(anna, v.ID, l)
	w.net.down = false
	if again := w.post(anna, v.ID, l); again.ID != first.ID || again.Via != sms.ViaSMS {
		t.Errorf("%+v", again)
	}
	for _, change := range []func(*chat.Letter){func(l *chat.Letter) { l.Text = "bye" }, func(l *chat.Letter) { l.Subject = "" }, func(l *chat.Letter) { l.Files = nil }} {
		other := l
		change(&other)
		if _, err := w.Post(ctx, anna, v.ID, other); !errors.Is(err, queue.ErrKeyReused) {
			t.Errorf("%+v: %v", other, err)
		}
	}
}

// By internet no YES is needed: whoever has an inbox opened it. STOP and what is blocked
// hold all the same.
func TestConsentByInternet(t *testing.T) {
	w := newLinkedWorld(t, 2, &fakeNet{inboxes: map[string]bool{phone: true}})
	anna := person("Anna", "")
	v := w.begin(anna, chat.Wanted{To: phone, Text: "hello", By: sms.ModeAuto})
	if v.Mode != chat.ByInvitation || v.State != chat.StateIdle || v.Sent == nil || v.Sent.Via != sms.ViaInternet {
		t.Fatalf("%+v", v)
	}
	if got := w.texts(v.ID); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("somebody was asked: %q", got)
	}
	_, err := w.Post(ctx, anna, v.ID, chat.Letter{Text: "by SMS", Mode: sms.ModeSMS})
	w.refused(err, chat.NotOptedIn)
	if _, err := w.Ask(ctx, anna, v.ID, chat.Letter{Text: "may I?", Mode: sms.ModeAuto, Subject: "Keys"}); err != nil {
		t.Fatal(err)
	}
	w.post(anna, v.ID, chat.Letter{Text: "meanwhile", Mode: sms.ModeInternet})
	w.state(v.ID, chat.StateInvited)
	w.says(phone, v.Modem, "YES")
	texts, want := w.texts(v.ID), "Anna: [Keys] may I?"
	if texts[len(texts)-1] != want {
		t.Errorf("%q, want %q at the end", texts, want)
	}
	w.says(phone, v.Modem, "STOP")
	for _, mode := range []sms.Mode{sms.ModeInternet, sms.ModeOffline, sms.ModeSMS} {
		_, err := w.Post(ctx, anna, v.ID, chat.Letter{Text: "still?", Mode: mode})
		w.refused(err, chat.OptedOut)
	}
	w.begin(anna, chat.Wanted{To: other, Mode: chat.Transaction, Text: "hello"})
	if _, err := w.BlockSender(ctx, anna.ID, "spam", "admin"); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.Begin(ctx, anna, chat.Wanted{To: "+491733333333", Text: "hello", By: sms.ModeOffline})
	w.refused(err, chat.BlockedSender)
}

// Who can be reached is asked once in half a minute, for all at once; a hub that does not
// answer is left alone for a while.
func TestPresence(t *testing.T) {
	w := newLinkedWorld(t, 1, &fakeNet{inboxes: map[string]bool{phone: true, "+491733333333": false}})
	numbers := []string{phone, other, "+491733333333", "MyBank"}
	for range 3 {
		got := w.Presence(ctx, numbers)
		if !got[phone].Online || got[other].Inbox || !got["+491733333333"].Inbox || got["+491733333333"].Online {
			t.Fatalf("%+v", got)
		}
	}
	if w.net.asked != 1 {
		t.Errorf("asked %d times", w.net.asked)
	}
	w.now = w.now.Add(31 * time.Second)
	w.net.silent = true
	for range 3 {
		if got := w.Presence(ctx, numbers); len(got) != 0 {
			t.Fatalf("%+v", got)
		}
	}
	if w.net.asked != 2 {
		t.Errorf("asked %d times", w.net.asked)
	}
	w.net.silent, w.net.down = false, true
	w.now = w.now.Add(31 * time.Second)
	if got := w.Presence(ctx, numbers); len(got) != 0 || w.net.asked != 2 {
		t.Errorf("with the link down: %+v, asked %d times", got, w.net.asked)
	}
}

// A conversation shows what went one way alone.
func TestTags(t *testing.T) {
	w, v, anna := linked(t, map[string]bool{phone: true})
	for range 3 {
		w.post(anna, v.ID, chat.Letter{Text: "air", Mode: sms.ModeSMS})
		w.post(anna, v.ID, chat.Letter{Text: "net", Mode: sms.ModeInternet})
	}
	w.says(phone, v.Modem, "air too")
	for via, want := range map[sms.Via]int{sms.ViaSMS: 4, sms.ViaInternet: 3} {
		page, err := w.Messages(ctx, v.ID, "", "", 10, via)
		if err != nil || len(page.Messages) != want {
			t.Errorf("%q: %v, %d messages", via, err, len(page.Messages))
		}
		page, err = w.Messages(ctx, v.ID, "", "", 2, via)
		if err != nil || len(page.Messages) != 2 || !page.Older {
			t.Errorf("%q: %v, %+v", via, err, page)
		}
	}
}

// replies has somebody answer in the inbox of a number.
func (w *world) replies(from, to, text string) sms.Message {
	w.t.Helper()
	w.heard++
	r := queue.Reply{ID: fmt.Sprintf("msg_reply%d", w.heard), From: from, Name: "Their name", Text: text, At: w.now, To: to}
	for range 2 { // told again it is the same
		if err := w.q.Do(func(tx *db.Tx) error { return w.q.ReplyTx(tx, r) }); err != nil {
			w.t.Fatal(err)
		}
	}
	m, err := w.q.Message(ctx, r.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return *m
}

// What is answered by internet stands where it was asked; what answers nothing, with the
// team, and begins a conversation if there is none, whose SIM then writes back.
func TestRepliesByInternet(t *testing.T) {
	w, v, anna := linked(t, map[string]bool{phone: true, other: true})
	asked := w.post(anna, v.ID, chat.Letter{Text: "there?", Mode: sms.ModeInternet})
	stranger := w.begin(visitor("v1"), chat.Wanted{To: phone, Text: "hello"})
	invitation, err := w.Messages(ctx, stranger.ID, "", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	if m := w.replies(phone, asked.ID, "here"); m.Conversation != v.ID || m.Via != sms.ViaInternet {
		t.Errorf("%+v", m)
	}
	if m := w.replies(phone, invitation.Messages[0].ID, "to the stranger"); m.Conversation != stranger.ID {
		t.Errorf("%+v", m)
	}
	if m := w.replies(phone, "", "to nobody"); m.Conversation != v.ID {
		t.Errorf("%+v", m)
	}
	if got := w.state(v.ID, chat.StateOpen); got.Unread != 2 || got.Modem != v.Modem || got.Local != v.Local {
		t.Errorf("%+v", got)
	}
	if m := w.replies(other, asked.ID, "not asked"); m.Conversation == v.ID || m.Conversation == "" {
		t.Errorf("another number's answer: %+v", m)
	}
	const third = "+491733333333"
	fresh := w.state(w.replies(third, "", "the first word").Conversation, chat.StateNew)
	if fresh.Number != third || fresh.Owner.Team != "" || fresh.Modem == "" {
		t.Errorf("%+v", fresh)
	}
	if m := w.send(anna, fresh.ID, "yes?"); m.Via != sms.ViaSMS {
		t.Errorf("%+v", m)
	}
	if m := w.says(third, fresh.Modem, "by SMS now"); m.Conversation != fresh.ID {
		t.Errorf("%+v", m)
	}
	if _, err := w.Close(ctx, anna, fresh.ID); err != nil {
		t.Fatal(err)
	}
	if m := w.replies(third, "", "again"); m.Conversation != fresh.ID {
		t.Errorf("%+v", m)
	}
	w.state(fresh.ID, chat.StateNew)
}

// A conversation that began by internet while no modem works has no SIM, and goes on.
func TestReplyWithoutASIM(t *testing.T) {
	w := newLinkedWorld(t, 1, &fakeNet{inboxes: map[string]bool{phone: true}})
	w.modems[0].State = sms.Absent
	v := w.state(w.replies(phone, "", "anybody?").Conversation, chat.StateNew)
	if m := w.post(person("Anna", ""), v.ID, chat.Letter{Text: "yes", Mode: sms.ModeAuto}); m.Via != sms.ViaInternet {
		t.Errorf("%+v", m)
	}
	if m := w.replies(phone, "", "good"); m.Conversation != v.ID {
		t.Errorf("%+v", m)
	}
	w.state(v.ID, chat.StateOpen)
}

// A closed conversation whose SIM is another's by now takes the answer and stays closed.
func TestReplyToAClosedConversation(t *testing.T) {
	w := newLinkedWorld(t, 1, &fakeNet{inboxes: map[string]bool{phone: true}})
	v := w.begin(visitor("v1"), chat.Wanted{To: phone, Text: "hello"})
	invitation, err := w.Messages(ctx, v.ID, "", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(ctx, visitor("v1"), v.ID); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(100 * time.Hour)
	w.begin(person("Anna", ""), chat.Wanted{To: phone, Mode: chat.Transaction})
	if m := w.replies(phone, invitation.Messages[0].ID, "late"); m.Conversation != v.ID {
		t.Errorf("%+v", m)
	}
	w.state(v.ID, chat.StateClosed)
}

// STOP by internet is STOP, and counts against who is answered; a blocked number's
// answers are in nobody's window.
func TestStopByInternet(t *testing.T) {
	w, v, anna := linked(t, map[string]bool{phone: true})
	asked := w.post(anna, v.ID, chat.Letter{Text: "there?", Mode: sms.ModeInternet})
	if err := w.q.Do(func(tx *db.Tx) error { return w.q.InternetTx(tx, asked.ID, sms.Sent, nil) }); err != nil {
		t.Fatal(err)
	}
	w.replies(phone, asked.ID, "STOP")
	if got := w.state(v.ID, chat.StateOpen); !got.Stopped {
		t.Errorf("%+v", got)
	}
	_, err := w.Post(ctx, anna, v.ID, chat.Letter{Text: "why?", Mode: sms.ModeInternet})
	w.refused(err, chat.OptedOut)
	record, _, err := w.Senders(ctx, chat.SenderFilter{})
	if err != nil || len(record) != 1 || record[0].Answers.Stop != 1 {
		t.Errorf("%v %+v", err, record)
	}
	w.now = w.now.Add(time.Minute)
	w.replies(phone, asked.ID, "START")
	w.post(anna, v.ID, chat.Letter{Text: "welcome back", Mode: sms.ModeInternet})
	if _, err := w.BlockNumber(ctx, other, "spam", "admin"); err != nil {
		t.Fatal(err)
	}
	if m := w.replies(other, "", "hello"); m.Conversation != "" {
		t.Errorf("%+v", m)
	}
}

package chat_test

import (
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

// A stranger's chat: the phone is asked and gets nothing else until YES, over a restart;
// then ten messages; the eleventh needs a new YES. STOP ends it, START brings it back.
func TestInviteYesTenStopStart(t *testing.T) {
	w := newWorld(t, 1)
	me := visitor("v1")
	v := w.begin(me, chat.Wanted{To: phone, OurName: "Shop", Text: "first"})
	if v.State != chat.StateInvited || !v.Waiting || v.Prefix() != "Shop: " {
		t.Fatalf("%+v", v)
	}
	_, err := w.Send(ctx, me, v.ID, "impatient", "")
	w.refused(err, chat.NotOptedIn)
	w.restart()
	w.says(phone, "a", "who is that?")
	w.state(v.ID, chat.StateInvited)
	_, err = w.Invite(ctx, me, v.ID, "", "")
	w.refused(err, chat.NotOptedIn) // a day has not passed
	w.says(phone, "a", "yes")
	got := w.state(v.ID, chat.StateOpen)
	if got.Waiting || got.OptIn == nil || got.OptIn.Used != 1 {
		t.Fatalf("%+v %+v", got, got.OptIn)
	}
	for i := 2; i <= 10; i++ {
		w.send(me, v.ID, fmt.Sprint("message ", i))
	}
	_, err = w.Send(ctx, me, v.ID, "message 11", "")
	w.refused(err, chat.NotOptedIn)
	texts := w.texts(v.ID)
	if len(texts) != 13 || texts[3] != "Shop: first" || texts[12] != "Shop: message 10" {
		t.Fatalf("%q", texts)
	}
	if _, err = w.Invite(ctx, me, v.ID, "message 11", ""); err != nil {
		t.Fatal(err)
	}
	w.state(v.ID, chat.StateInvited)
	w.restart()
	w.says(phone, "a", "YES")
	w.state(v.ID, chat.StateOpen)
	if texts = w.texts(v.ID); texts[len(texts)-1] != "Shop: message 11" {
		t.Fatalf("%q", texts)
	}
	w.says(phone, "a", "STOP")
	if got = w.state(v.ID, chat.StateIdle); !got.Stopped {
		t.Errorf("%+v", got)
	}
	_, err = w.Send(ctx, me, v.ID, "x", "")
	w.refused(err, chat.OptedOut)
	_, err = w.Invite(ctx, me, v.ID, "x", "")
	w.refused(err, chat.OptedOut)
	_, _, err = w.Begin(ctx, person("anna", ""), chat.Wanted{To: phone, Mode: chat.Transaction})
	w.refused(err, chat.OptedOut)
	w.says(phone, "a", "START")
	w.state(v.ID, chat.StateOpen)
	w.send(me, v.ID, "back again")
}

// After an hour without a word a conversation is idle, and in mode invite its opt-in is over.
func TestIdle(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		w := newWorld(t, 2)
		w.rules.KeepsOptIn = keeps
		w.restart()
		me := visitor("v1")
		v := w.begin(me, chat.Wanted{To: phone, Text: "first"})
		w.says(phone, v.Modem, "YES")
		team := w.begin(person("anna", ""), chat.Wanted{To: other, Mode: chat.Transaction, Text: "hello"})
		w.now = w.now.Add(59 * time.Minute)
		w.due()
		w.state(v.ID, chat.StateOpen)
		w.now = w.now.Add(time.Minute)
		w.due()
		w.state(v.ID, chat.StateIdle)
		w.state(team.ID, chat.StateIdle)
		_, err := w.Send(ctx, me, v.ID, "still there?", "")
		if keeps && err != nil {
			t.Error(err)
		} else if !keeps {
			w.refused(err, chat.NotOptedIn)
		}
		w.send(person("anna", ""), team.ID, "again")
		w.state(team.ID, chat.StateOpen)
		w.now = w.now.Add(25 * time.Hour)
		w.due()
		w.due() // idle first, then over
		w.state(v.ID, chat.StateClosed)
		w.state(team.ID, chat.StateIdle)
	}
}

// due does once what Run does over and over.
func (w *world) due() {
	w.t.Helper()
	if err := w.Due(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// A late answer goes to the conversation that it answers, and for as long nobody else gets
// the SIM for that number; after that it is the inbox's.
func TestLateAnswer(t *testing.T) {
	w := newWorld(t, 1)
	me := visitor("v1")
	v := w.begin(me, chat.Wanted{To: phone, Text: "first"})
	w.says(phone, "a", "YES")
	if _, err := w.Close(ctx, me, v.ID); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(71 * time.Hour)
	_, _, err := w.Begin(ctx, visitor("v2"), chat.Wanted{To: phone})
	w.refused(err, chat.NoNumberFree)
	if m := w.says(phone, "a", "sorry, I slept"); m.Conversation != v.ID {
		t.Errorf("%+v", m)
	}
	w.state(v.ID, chat.StateIdle)
	w.Close(ctx, me, v.ID)
	w.now = w.now.Add(72 * time.Hour)
	m := w.says(phone, "a", "hello?")
	if m.Conversation == v.ID {
		t.Error("a new text went into a stranger's window of three days before")
	}
	inbox := w.state(m.Conversation, chat.StateNew)
	if got := w.texts(inbox.ID); !slices.Equal(got, []string{"hello?"}) {
		t.Errorf("the team reads a stranger's conversation: %q", got)
	}
	// A team's conversation goes on with the next text, however much later.
	anna := person("anna", "")
	w.Close(ctx, anna, inbox.ID)
	w.now = w.now.Add(200 * time.Hour)
	if m := w.says(phone, "a", "hello again"); m.Conversation != inbox.ID {
		t.Errorf("%+v", m)
	}
	w.state(inbox.ID, chat.StateNew)
}

// A modem that has not told its SIM yet gets no conversation: its answers would come by
// another name.
func TestUnknownSIMGetsNoConversation(t *testing.T) {
	w := newWorld(t, 1)
	m := w.modems[0]
	m.State, m.ICCID = sms.Probing, ""
	w.modems[0] = m
	_, _, err := w.Begin(ctx, visitor("v1"), chat.Wanted{To: phone, Text: "first"})
	w.refused(err, chat.NoNumberFree)
}

// START gives back no opt-in of a conversation that is over: it has to be asked again.
func TestStartOpensNothingClosed(t *testing.T) {
	w := newWorld(t, 1)
	me := visitor("v1")
	v := w.begin(me, chat.Wanted{To: phone, Text: "first"})
	w.says(phone, "a", "YES")
	w.says(phone, "a", "STOP")
	if _, err := w.Close(ctx, me, v.ID); err != nil {
		t.Fatal(err)
	}
	w.says(phone, "a", "START")
	w.state(v.ID, chat.StateIdle)
	_, err := w.Send(ctx, me, v.ID, "hello again", "")
	w.refused(err, chat.NotOptedIn)
	w.begin(me, chat.Wanted{To: phone, Text: "hello again"})
	w.state(v.ID, chat.StateInvited)
}

// What an API key sends goes by no SIM by which a stranger writes with the phone, or did
// not long ago, while there is another: the answer would come into the stranger's window.
func TestKeysAvoidAStrangersSIM(t *testing.T) {
	w := newWorld(t, 2)
	v := w.begin(visitor("v1"), chat.Wanted{To: phone, Text: "first", From: "a"})
	w.says(phone, "a", "YES")
	code := func() int64 {
		t.Helper()
		m, _, err := w.q.Submit(ctx, []queue.Draft{{Message: sms.Message{To: phone, Text: "your code", Priority: sms.DefaultPriority}, KeyID: "shop"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.waits("shop", "")
		return m[0].Row
	}
	for range 2 {
		row := code()
		if w.starts(row, "a") {
			t.Fatal("it goes by the stranger's SIM")
		}
		if got := w.waits("shop", ""); got.Row != row || strings.TrimSpace(got.RefusedBy) != v.SIM {
			t.Fatalf("%+v", got)
		}
		if !w.starts(row, "b") {
			t.Error("it does not go by another")
		}
		if m := w.says(phone, "b", "thanks"); m.Conversation == v.ID {
			t.Error("the answer came to the stranger")
		}
		w.Close(ctx, visitor("v1"), v.ID)
	}
	row := code()
	w.starts(row, "a")
	if w.waits("shop", ""); !w.starts(row, "a") {
		t.Error("where there is no other SIM it does not go at all")
	}
}

// What is left of a batch that was accepted before a restart joins its conversation too.
func TestLeftoverBatchJoins(t *testing.T) {
	w := newWorld(t, 1)
	v := w.begin(person("anna", ""), chat.Wanted{To: phone, Mode: chat.Transaction})
	if err := w.db.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`CREATE TEMP TRIGGER failing BEFORE INSERT ON main.messages BEGIN SELECT RAISE(ABORT, 'the disk fails'); END`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	batch := make([]queue.Draft, 30)
	for i := range batch {
		batch[i] = queue.Draft{Message: sms.Message{To: phone, Text: fmt.Sprint(i), Priority: 4}, KeyID: "shop"}
	}
	if _, _, err := w.q.Submit(ctx, batch, nil); err != nil {
		t.Fatal(err)
	}
	w.restart()
	if got := w.texts(v.ID); len(got) != len(batch) {
		t.Errorf("%d messages are in the conversation, want %d", len(got), len(batch))
	}
}

// What an API key sent may be answered, and not into a stranger's window.
func TestAnswerToAKeyIsNoStrangers(t *testing.T) {
	w := newWorld(t, 1)
	m, _, err := w.q.Submit(ctx, []queue.Draft{{Message: sms.Message{To: phone, Text: "your code", Priority: 4}, KeyID: "shop"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := w.q.Advance(nil, &queue.Start{Row: m[0].Row, Part: 1, Modem: "a", SIM: w.modems[0].ICCID, Local: w.modems[0].Number, ExpectedMR: -1}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	_, _, err = w.Begin(ctx, visitor("v1"), chat.Wanted{To: phone})
	w.refused(err, chat.NoNumberFree)
	v := w.begin(person("anna", ""), chat.Wanted{To: phone, Text: "hello"})
	if got := w.texts(v.ID); len(got) != 2 || got[0] != "your code" || !strings.Contains(got[1], "Reply YES") {
		t.Errorf("%q", got)
	}
}

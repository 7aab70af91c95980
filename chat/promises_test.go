package chat_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gatewayd/chat"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// ends closes a conversation.
func (w *world) ends(s chat.Sender, id string) {
	w.t.Helper()
	if _, err := w.Close(ctx, s, id); err != nil {
		w.t.Fatal(err)
	}
}

// A SIM rests for the number after a conversation that nobody ever answered too, for all
// but its owner, who goes on with it.
func TestUnansweredSIMRests(t *testing.T) {
	w := newWorld(t, 1)
	v := w.begin(visitor("v1"), chat.Wanted{To: phone, Text: "first"})
	w.ends(visitor("v1"), v.ID)
	for _, s := range []chat.Sender{visitor("v2"), person("anna", "")} {
		_, _, err := w.Begin(ctx, s, chat.Wanted{To: phone, Text: "me too"})
		w.refused(err, chat.NoNumberFree)
	}
	if again := w.begin(visitor("v1"), chat.Wanted{To: phone}); again.ID != v.ID {
		t.Errorf("its owner got %+v", again)
	}
}

// A conversation that is not closed keeps its SIM from others however long nothing is said.
func TestQuietConversationKeepsItsSIM(t *testing.T) {
	w := newWorld(t, 1)
	v := w.begin(person("anna", "sales"), chat.Wanted{To: phone, Mode: chat.Transaction, Text: "hello"})
	w.now = w.now.Add(20 * 24 * time.Hour)
	w.due()
	w.state(v.ID, chat.StateIdle)
	for _, s := range []chat.Sender{visitor("v1"), person("bert", "office")} {
		_, _, err := w.Begin(ctx, s, chat.Wanted{To: phone})
		w.refused(err, chat.NoNumberFree)
	}
}

// Who comes back after others got the SIM meanwhile gets another one.
func TestOwnerComesBackTooLate(t *testing.T) {
	w := newWorld(t, 2)
	v := w.begin(visitor("v1"), chat.Wanted{To: phone, From: "a"})
	w.ends(visitor("v1"), v.ID)
	w.now = w.now.Add(73 * time.Hour)
	two := w.begin(visitor("v2"), chat.Wanted{To: phone, From: "a"})
	again := w.begin(visitor("v1"), chat.Wanted{To: phone})
	if again.ID == v.ID || again.SIM == two.SIM {
		t.Errorf("%+v", again)
	}
	w.state(v.ID, chat.StateClosed)
}

// A new conversation gets the SIM that works, else the one with the fewest; never one
// that nobody knows. A person who asks for another SIM gets it.
func TestChoiceOfSIM(t *testing.T) {
	w := newWorld(t, 3)
	w.modems[0].State, w.modems[1].Unidentified = sms.Searching, true
	one := w.begin(person("anna", ""), chat.Wanted{To: phone, Mode: chat.Transaction})
	if one.Modem != "c" {
		t.Errorf("it goes through %s", one.Modem)
	}
	_, _, err := w.Begin(ctx, person("anna", ""), chat.Wanted{To: other, From: "b"})
	w.refused(err, chat.NoNumberFree)
	w.modems[0].State = sms.Ready
	if two := w.begin(person("anna", ""), chat.Wanted{To: other, Mode: chat.Transaction}); two.Modem != "a" {
		t.Errorf("it goes through %s, which has one already", two.Modem)
	}
	w.begin(person("anna", ""), chat.Wanted{To: "+491733333333", Mode: chat.Transaction})
	if next := w.begin(person("anna", ""), chat.Wanted{To: "+491744444444", Mode: chat.Transaction}); next.Modem != "c" {
		t.Errorf("it goes through %s, which has more than another", next.Modem)
	}
	if third := w.begin(person("anna", ""), chat.Wanted{To: phone, Mode: chat.Transaction, From: "a"}); third.Modem != "a" || third.ID == one.ID {
		t.Errorf("%+v", third)
	}
	if same := w.begin(person("anna", ""), chat.Wanted{To: phone, From: "c"}); same.ID != one.ID {
		t.Errorf("%+v", same)
	}
}

// A stranger needs the phone's YES, whatever it asks for; a program does not.
func TestModeOfWhoBegins(t *testing.T) {
	w := newWorld(t, 2)
	if v := w.begin(visitor("v1"), chat.Wanted{To: phone, Mode: chat.Transaction, Text: "hi"}); v.Mode != chat.ByInvitation || v.State != chat.StateInvited {
		t.Errorf("%+v", v)
	}
	if v := w.begin(person("anna", ""), chat.Wanted{To: "+491733333333"}); v.Mode != chat.ByInvitation {
		t.Errorf("%+v", v)
	}
	if v := w.begin(chat.Sender{Kind: sms.AuthorKey, ID: "shop", Name: "shop"}, chat.Wanted{To: other, Text: "your parcel"}); v.Mode != chat.Transaction || v.State != chat.StateOpen {
		t.Errorf("%+v", v)
	}
}

// What was deleted does not go on when its owner begins again.
func TestDeletedDoesNotGoOn(t *testing.T) {
	w := newWorld(t, 1)
	anna := person("anna", "")
	v := w.begin(anna, chat.Wanted{To: phone, Mode: chat.Transaction})
	w.says(phone, "a", "a secret")
	if err := w.Delete(ctx, anna, v.ID); err != nil {
		t.Fatal(err)
	}
	again := w.begin(anna, chat.Wanted{To: phone})
	if got := w.texts(again.ID); again.ID == v.ID || again.Name != "" || strings.Contains(strings.Join(got, ""), "secret") {
		t.Errorf("%+v %q", again, got)
	}
}

// A stranger's conversation is given nothing of what others wrote with the number.
func TestStrangerGetsNoHistory(t *testing.T) {
	w := newWorld(t, 1)
	m, _, err := w.q.Submit(ctx, []queue.Draft{{Message: sms.Message{To: phone, Text: "your code is 123", Priority: 4}, KeyID: "shop"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !w.starts(m[0].Row, "a") {
		t.Fatal("it does not go")
	}
	w.now = w.now.Add(73 * time.Hour)
	v := w.begin(visitor("v1"), chat.Wanted{To: phone, Text: "hi"})
	if got := w.texts(v.ID); len(got) != 1 || !strings.Contains(got[0], "Reply YES") {
		t.Errorf("%q", got)
	}
}

// A phone that was asked is asked again a day later, and no sooner; the text that waits
// is not replaced by another.
func TestAskedAgain(t *testing.T) {
	w := newWorld(t, 1)
	me := visitor("v1")
	v := w.begin(me, chat.Wanted{To: phone, Text: "first"})
	_, err := w.Invite(ctx, me, v.ID, "second", "")
	w.refused(err, chat.NotOptedIn)
	w.now = w.now.Add(24*time.Hour - time.Second)
	_, err = w.Invite(ctx, me, v.ID, "", "")
	w.refused(err, chat.NotOptedIn)
	var e *chat.Error
	if errors.As(err, &e); e.RetryAfter != time.Second {
		t.Errorf("again in %s", e.RetryAfter)
	}
	w.now = w.now.Add(time.Second)
	if _, err = w.Invite(ctx, me, v.ID, "", ""); err != nil {
		t.Fatal(err)
	}
	w.says(phone, "a", "YES")
	if got := w.texts(v.ID); len(got) != 4 || got[3] != "Visitor v1: first" {
		t.Errorf("%q", got)
	}
	open := w.begin(person("anna", ""), chat.Wanted{To: other, Mode: chat.Transaction})
	_, err = w.Invite(ctx, person("anna", ""), open.ID, "", "")
	w.refused(err, chat.Invalid)
}

// An invitation is charged like a message: who may send none asks nobody.
func TestInvitationIsCharged(t *testing.T) {
	w := newWorld(t, 1)
	me, spent := person("anna", ""), errors.New("spent")
	me.Caller = intake.Caller{Charge: func(*db.Tx, int) error { return spent }}
	for _, mode := range []chat.Mode{chat.ByInvitation, chat.Transaction} {
		if _, _, err := w.Begin(ctx, me, chat.Wanted{To: phone, Mode: mode, Text: "hi"}); !errors.Is(err, spent) {
			t.Errorf("%s: %v", mode, err)
		}
	}
	if page, _, err := w.q.List(ctx, queue.Filter{Limit: 9}); err != nil || len(page) != 0 {
		t.Errorf("%v %+v", err, page)
	}
}

// STOP ends also what other conversations with the number wait for, and what a phone
// says without an opt-in opens none.
func TestStopReachesAllConversations(t *testing.T) {
	w := newWorld(t, 2)
	one := w.begin(visitor("v1"), chat.Wanted{To: phone, From: "a", Text: "one"})
	two := w.begin(visitor("v2"), chat.Wanted{To: phone, From: "b", Text: "two"})
	w.says(phone, "a", "YES")
	w.says(phone, "a", "STOP")
	w.state(one.ID, chat.StateIdle)
	w.state(two.ID, chat.StateIdle)
	w.says(phone, "b", "no more of this")
	if page, _, err := w.List(ctx, chat.Filter{State: []chat.State{chat.StateOpen, chat.StateInvited}}); err != nil || len(page) != 0 {
		t.Errorf("%v %+v", err, page)
	}
}

// A text that comes before the modem has told which SIM it has belongs to the
// conversation of the modem.
func TestTextBeforeTheSIMIsKnown(t *testing.T) {
	w := newWorld(t, 1)
	v := w.begin(person("anna", ""), chat.Wanted{To: phone, Mode: chat.Transaction, Text: "hello"})
	w.modems[0].ICCID = ""
	if m := w.says(phone, "a", "an answer"); m.Conversation != v.ID {
		t.Errorf("%+v", m)
	}
}

// Rules name keywords in any case, and SIMs by their number and ICCID too.
func TestInboxRulesName(t *testing.T) {
	w := newWorld(t, 3)
	if err := w.SetInbox([]chat.InboxRule{{Keyword: "sales", Team: "sales"}, {SIM: w.modems[1].ICCID, Team: "by ICCID"}, {SIM: w.modems[2].Number, Team: "by number"}}); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ modem, text, team string }{{"a", "SALES!", "sales"}, {"b", "hi", "by ICCID"}, {"c", "hi", "by number"}, {"a", "salesman", ""}} {
		v := w.state(w.says(mobile(i), c.modem, c.text).Conversation, chat.StateNew)
		if v.Owner.Team != c.team {
			t.Errorf("%q through %s: %q", c.text, c.modem, v.Owner.Team)
		}
	}
}

// WHO in a stranger's conversation names the stranger and nobody of the house, and no
// @name hands it to one; a team's names five at most.
func TestWhoIsThere(t *testing.T) {
	w := newWorld(t, 2)
	for _, name := range []string{"Anna", "Anna Berg", "Bert", "Carl One", "Carl Two", "Dora"} {
		w.people = append(w.people, chat.Person{ID: "u:" + name, Name: name, Online: true})
	}
	v := w.begin(visitor("v1"), chat.Wanted{To: phone, Text: "hi"})
	w.says(phone, v.Modem, "@Bert are you there?")
	w.says(phone, v.Modem, "WHO")
	got := w.state(v.ID, chat.StateInvited)
	if texts := w.texts(v.ID); texts[len(texts)-1] != "You write with Visitor v1." || got.AssignedTo != "" {
		t.Errorf("%q, for %q", texts, got.AssignedTo)
	}
	team := w.says(other, "a", "WHO").Conversation
	if texts := w.texts(team); !strings.HasPrefix(texts[len(texts)-1], "Here now: Anna, Anna Berg, Bert, Carl One, Carl Two. ") {
		t.Errorf("%q", texts)
	}
	for _, c := range []struct{ text, who string }{{"@Bertram hi", ""}, {"@Carl hi", ""}, {"@Anna Berg hi", "u:Anna Berg"}, {"@Carl two", "u:Carl Two"}} {
		w.says(other, "a", c.text)
		if v := w.state(team, chat.StateNew); v.AssignedTo != c.who {
			t.Errorf("%q is for %q", c.text, v.AssignedTo)
		}
	}
}

// A stranger's conversation closes a day after the last word, a team's after thirty, and
// one that is blocked too.
func TestWhenConversationsEnd(t *testing.T) {
	w := newWorld(t, 2)
	v := w.begin(visitor("v1"), chat.Wanted{To: phone, Text: "hi"})
	team := w.says(other, "a", "hello").Conversation
	blocked := w.begin(visitor("v2"), chat.Wanted{To: "+491733333333", Text: "hi"}).ID
	err := w.q.Do(func(tx *db.Tx) error { return w.BlockTx(tx, blocked, "abuse") })
	if err != nil {
		t.Fatal(err)
	}
	began := w.now
	for _, c := range []struct {
		after                   time.Duration
		stranger, house, barred chat.State
	}{
		{24*time.Hour - time.Second, chat.StateInvited, chat.StateNew, chat.StateBlocked},
		{24 * time.Hour, chat.StateClosed, chat.StateNew, chat.StateBlocked},
		{30*24*time.Hour - time.Second, chat.StateClosed, chat.StateNew, chat.StateBlocked},
		{30 * 24 * time.Hour, chat.StateClosed, chat.StateClosed, chat.StateClosed},
	} {
		w.now = began.Add(c.after)
		w.due()
		w.state(v.ID, c.stranger)
		w.state(team, c.house)
		w.state(blocked, c.barred)
	}
}

// The list of those without a team has no stranger's conversation in it.
func TestListOfATeamHasNoStrangers(t *testing.T) {
	w := newWorld(t, 2)
	w.begin(visitor("v1"), chat.Wanted{To: phone, Text: "hi"})
	own := w.says(other, "a", "hello").Conversation
	none := ""
	if page, _, err := w.List(ctx, chat.Filter{Team: &none}); err != nil || len(page) != 1 || page[0].ID != own {
		t.Errorf("%v %+v", err, page)
	}
}

// Programs avoid the SIM of a stranger's conversation that is not closed, however long
// ago the last word was.
func TestKeysAvoidAQuietStrangersSIM(t *testing.T) {
	w := newWorld(t, 2)
	w.begin(visitor("v1"), chat.Wanted{To: phone, Text: "first", From: "a"})
	w.now = w.now.Add(80 * time.Hour)
	m, _, err := w.q.Submit(ctx, []queue.Draft{{Message: sms.Message{To: phone, Text: "your code", Priority: sms.DefaultPriority}, KeyID: "shop"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if w.waits("shop", ""); w.starts(m[0].Row, "a") {
		t.Error("it goes by the stranger's SIM")
	}
}

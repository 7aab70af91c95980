package chat_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gatewayd/chat"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// charged is a sender of whom it is counted what is charged.
func charged(s chat.Sender) (chat.Sender, *int) {
	n := 0
	s.Caller = intake.Caller{Charge: func(_ *db.Tx, fresh int) error { n += fresh; return nil }}
	return s, &n
}

// A first text that is handed in again is charged, counted, asked for and sent once,
// whatever has become of it meanwhile.
func TestFirstTextRepeated(t *testing.T) {
	w := newWorld(t, 1)
	anna, charges := charged(person("anna", ""))
	again := func(to string, mode chat.Mode) *chat.Conversation {
		t.Helper()
		return w.begin(anna, chat.Wanted{To: to, Mode: mode, Text: "hello", ClientID: "c/" + to})
	}
	v := again(other, chat.Transaction)
	if same := again(other, chat.Transaction); same.ID != v.ID || v.Sent == nil || same.Sent == nil || same.Sent.ID != v.Sent.ID || *charges != 1 {
		t.Errorf("%d charged, %+v and %+v", *charges, v.Sent, same.Sent)
	}
	v = again(phone, chat.ByInvitation)
	if same := again(phone, ""); same.ID != v.ID || same.Sent != nil || *charges != 2 {
		t.Errorf("%d charged, %+v", *charges, same.Sent)
	}
	w.says(phone, "a", "YES")
	if same := again(phone, ""); same.Sent == nil || same.Sent.Text != "anna: hello" || *charges != 2 {
		t.Errorf("%d charged, %+v", *charges, same.Sent)
	}
	w.now = w.now.Add(time.Hour)
	w.due()
	again(phone, "")
	w.state(v.ID, chat.StateIdle)
	if got := w.texts(v.ID); len(got) != 3 || *charges != 2 {
		t.Errorf("%d charged, %q", *charges, got)
	}
	for range 2 {
		if _, err := w.Invite(ctx, anna, v.ID, "second", "c2"); err != nil {
			t.Fatal(err)
		}
	}
	w.says(phone, "a", "YES")
	if _, err := w.Invite(ctx, anna, v.ID, "second", "c2"); err != nil {
		t.Errorf("after YES: %v", err)
	}
	if got := w.texts(v.ID); *charges != 3 || len(got) != 6 || got[5] != "anna: second" {
		t.Errorf("%d charged, %q", *charges, got)
	}
}

// A person's texts end with the sign-off, once, also those that waited for YES; others' do
// not.
func TestSignOff(t *testing.T) {
	w := newWorld(t, 1)
	anna := person("anna", "")
	anna.SignOff = "Yours, Anna"
	v := w.begin(anna, chat.Wanted{To: phone, Mode: chat.ByInvitation, Text: "hello", ClientID: "1"})
	w.restart()
	w.says(phone, "a", "YES")
	w.send(anna, v.ID, "Bye. Yours, Anna ")
	key := chat.Sender{Kind: sms.AuthorKey, ID: "k", Name: "k", All: true}
	w.send(key, v.ID, "a program")
	if got := w.texts(v.ID)[2:]; !slices.Equal(got, []string{"anna: hello\nYours, Anna", "anna: Bye. Yours, Anna ", "anna: a program"}) {
		t.Errorf("%q", got)
	}
	for range 2 {
		m, err := w.Send(ctx, anna, v.ID, "twice", "2")
		if err != nil || m.Text != "anna: twice\nYours, Anna" {
			t.Errorf("%+v %v", m, err)
		}
	}
	if got := w.texts(v.ID); len(got) != 6 {
		t.Errorf("%q", got)
	}
}

// A conversation that is blocked stays so for everybody who begins one with its number,
// also when the number takes its STOP back.
func TestBlockedIsNotBegunAgain(t *testing.T) {
	w := newWorld(t, 1)
	m := w.says(phone, "a", "hello")
	anna := person("anna", "")
	if _, err := w.Block(ctx, anna, m.Conversation, "rude"); err != nil {
		t.Fatal(err)
	}
	w.says(phone, "a", "START")
	_, _, err := w.Begin(ctx, anna, chat.Wanted{To: phone, Text: "hello again"})
	w.refused(err, chat.BlockedNumber)
	if v := w.begin(anna, chat.Wanted{To: phone}); v.ID != m.Conversation || v.State != chat.StateBlocked {
		t.Errorf("%+v", v)
	}
}

// What is recorded of a number's consent elsewhere, and that it is silent for too long,
// shows in its conversations in the same commit, and the log tells it.
func TestConsentChangedElsewhere(t *testing.T) {
	w := newWorld(t, 1)
	v := w.begin(visitor("v1"), chat.Wanted{To: phone, Text: "first"})
	moved := func(what string, want chat.State) {
		t.Helper()
		var told string
		err := w.db.Read(ctx, func(r db.Querier) error {
			return r.QueryRow(`SELECT state ->> '$.state' FROM events WHERE type = 'conversation.updated' ORDER BY seq DESC LIMIT 1`).Scan(&told)
		})
		if w.state(v.ID, want); err != nil || told != string(want) {
			t.Errorf("%s: the log tells %q (%v)", what, told, err)
		}
	}
	record := func(d sms.Decision) {
		t.Helper()
		if err := w.q.RecordConsent(phone, d, queue.Source{Reason: queue.ReasonAdmin, Wording: "on the telephone"}); err != nil {
			t.Fatal(err)
		}
	}
	record(sms.DecisionOptIn)
	moved("opt-in", chat.StateOpen)
	if got := w.texts(v.ID); len(got) != 2 || got[1] != "Visitor v1: first" {
		t.Errorf("%q", got)
	}
	record(sms.DecisionOptOut)
	moved("opt-out", chat.StateIdle)
	record(sms.DecisionOptIn)
	moved("opt-in again", chat.StateOpen)
	w.now = w.now.Add(91 * 24 * time.Hour)
	if _, err := w.q.EndSilent(w.now); err != nil {
		t.Fatal(err)
	}
	moved("silence", chat.StateIdle)
}

// A phone whose invitation did not go out is asked again at once.
func TestLostInvitation(t *testing.T) {
	w := newWorld(t, 1)
	me := visitor("v1")
	v := w.begin(me, chat.Wanted{To: phone, Text: "first"})
	_, err := w.Invite(ctx, me, v.ID, "", "")
	w.refused(err, chat.NotOptedIn)
	page, err := w.Messages(ctx, v.ID, "", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.q.Refuse(page.Messages[0].Row, &sms.Error{Code: "no-modem"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Invite(ctx, me, v.ID, "", ""); err != nil {
		t.Fatal(err)
	}
	w.says(phone, "a", "YES")
	if got := w.texts(v.ID); len(got) != 4 || got[3] != "Visitor v1: first" {
		t.Errorf("%q", got)
	}
}

// What waits for room in the queue keeps nothing else waiting.
func TestNoRoomAfterYES(t *testing.T) {
	w := newWorld(t, 1)
	w.capacity = 60
	w.restart()
	w.set(func(r *chat.AbuseRules) { r.Limits = chat.Limits{} })
	number := func(i int) string { return fmt.Sprintf("+4917133333%02d", i) }
	var begun []*chat.Conversation
	for i := range w.capacity {
		begun = append(begun, w.begin(person(fmt.Sprint("p", i), ""), chat.Wanted{To: number(i), Mode: chat.ByInvitation, Text: "hello"}))
	}
	for i := range begun {
		w.says(number(i), "a", "YES")
	}
	w.due()
	if v := w.state(begun[0].ID, chat.StateOpen); !v.Waiting {
		t.Errorf("%+v", v)
	}
	page, err := w.Messages(ctx, begun[0].ID, "", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := w.q.List(ctx, queue.Filter{Direction: sms.Outbound, Limit: 500})
	if err != nil || len(page.Messages) != 1 {
		t.Fatal(err)
	}
	for _, m := range all[:5] {
		if _, err := w.q.Cancel(ctx, m.ID); err != nil {
			t.Fatal(err)
		}
	}
	w.due()
	left := 0
	for _, v := range begun {
		if got, err := w.Get(ctx, v.ID); err != nil || got.Waiting {
			left++
		}
	}
	if left != len(begun)-5 {
		t.Errorf("%d texts wait, want %d", left, len(begun)-5)
	}
}

// Each team's list has the names that this team gave, and is searched by those alone.
func TestNamesAreTheTeams(t *testing.T) {
	w := newWorld(t, 2)
	w.names = map[string]map[string]string{"sales": {phone: "Anna Berg"}, "medical": {phone: "Patient 7"}}
	for team, name := range map[string]string{"sales": "Anna Berg", "medical": "Patient 7"} {
		if v := w.begin(person("of "+team, team), chat.Wanted{To: phone, Mode: chat.Transaction}); v.Name != name {
			t.Errorf("%s calls it %q", team, v.Name)
		}
		for search, n := range map[string]int{"Anna Berg": 1, "Patient 7": 1} {
			if search != name {
				n = 0
			}
			if page, _, err := w.List(ctx, chat.Filter{Team: &team, Query: search}); err != nil || len(page) != n {
				t.Errorf("%s finds %d by %q, want %d (%v)", team, len(page), search, n, err)
			}
		}
	}
	if v := w.begin(person("carl", ""), chat.Wanted{To: other, Mode: chat.Transaction, Name: "as given"}); v.Name != "as given" {
		t.Errorf("%q", v.Name)
	}
}

package chat_test

import (
	"slices"
	"testing"
	"time"

	"gatewayd/chat"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// plain sends a text that is of no conversation, as somebody with this id does.
func (w *world) plain(id, to, text string) sms.Message {
	w.t.Helper()
	m, _, err := w.q.Submit(ctx, []queue.Draft{{KeyID: id, Message: sms.Message{To: to, Text: text, Priority: sms.DefaultPriority}}}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return m[0]
}

// code is what a message failed with; "": it did not.
func (w *world) code(m sms.Message) string {
	w.t.Helper()
	now, err := w.q.Message(ctx, m.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	if now.Status != sms.Failed {
		return ""
	}
	return now.Error.Code
}

// Whoever invites a phone can't silence it: of a stranger who is blocked the numbers are
// stopped that complained, or had agreed to talk, and not one that was only asked.
func TestBlockedStrangerSilencesNobody(t *testing.T) {
	w := newWorld(t, 1)
	const onCall = phone
	v1 := visitor("v1")
	v := w.begin(v1, chat.Wanted{To: onCall, Text: "hi"})
	agreed := w.chats(v1, mobile(9), "hi")
	for i := range 3 {
		w.begin(v1, chat.Wanted{To: mobile(i), Text: "hi"})
		w.air()
		w.says(mobile(i), "a", "SPAM")
	}
	if got := w.record("v1"); got.BlockedAt.IsZero() {
		t.Fatalf("%+v", got)
	}
	w.state(v.ID, chat.StateBlocked)
	w.state(agreed.ID, chat.StateBlocked)
	for number, want := range map[string]bool{onCall: false, mobile(9): true, mobile(0): true, mobile(1): true, mobile(2): true} {
		if stopped, err := w.q.OptedOut(ctx, number); err != nil || stopped != want {
			t.Errorf("%s: on the stop list: %v, want %v (%v)", number, stopped, want, err)
		}
	}
	alarm := w.plain("gw_alarms", onCall, "the pump has failed")
	went := slices.ContainsFunc(w.air(), func(m sms.Message) bool { return m.ID == alarm.ID })
	if !went {
		t.Errorf("the alarm does not go out: %q", w.code(alarm))
	}
	if got := w.code(w.plain("gw_alarms", mobile(0), "x")); got != "opted-out" {
		t.Errorf("who complained is written to: %q", got)
	}
}

// In a conversation that needs no opt-in a number took part once it wrote.
func TestBlockedPersonsNumbers(t *testing.T) {
	w := newWorld(t, 1)
	anna := person("usr_anna", "")
	for _, to := range []string{phone, other} {
		w.begin(anna, chat.Wanted{To: to, Mode: chat.Transaction, Text: "hello"})
	}
	w.air()
	w.says(phone, "a", "hello")
	if _, err := w.BlockSender(ctx, "usr_anna", "", "usr_admin"); err != nil {
		t.Fatal(err)
	}
	for number, want := range map[string]bool{phone: true, other: false} {
		if stopped, err := w.q.OptedOut(ctx, number); err != nil || stopped != want {
			t.Errorf("%s: on the stop list: %v, want %v (%v)", number, stopped, want, err)
		}
	}
}

// What was accepted in the evening goes out in the morning, though nobody says a word in
// the night, which makes a conversation idle otherwise.
func TestEveningTextOutlivesTheNight(t *testing.T) {
	for _, isQuiet := range []bool{true, false} {
		w := newWorld(t, 1)
		if isQuiet {
			w.consent.Quiet = queue.QuietHours{{From: 21 * time.Hour, Until: 8 * time.Hour, Zone: time.UTC}}
		}
		w.now = time.Date(2026, 11, 27, 20, 50, 0, 0, time.UTC)
		v := w.chats(visitor("v1"), phone, "first")
		w.now = w.now.Add(20 * time.Minute) // 21:10
		m := w.send(visitor("v1"), v.ID, "good night")
		if want := map[bool]sms.Status{true: sms.Scheduled, false: sms.Queued}[isQuiet]; m.Status != want {
			t.Fatalf("%s, want %s", m.Status, want)
		}
		for range 10 {
			w.now = w.now.Add(time.Hour) // until 07:10
			w.due()
		}
		if !isQuiet {
			w.state(v.ID, chat.StateIdle)
			_, err := w.Send(ctx, visitor("v1"), v.ID, "still there?", "")
			w.refused(err, chat.NotOptedIn)
			continue
		}
		w.state(v.ID, chat.StateOpen)
		if went := w.air(); len(went) != 0 {
			t.Fatalf("in the night: %+v", went)
		}
		w.now = time.Date(2026, 11, 28, 8, 0, 1, 0, time.UTC)
		if _, err := w.q.ReleaseDue(w.now); err != nil {
			t.Fatal(err)
		}
		if went := w.air(); len(went) != 1 || went[0].ID != m.ID {
			t.Fatalf("in the morning: %+v, %q", went, w.code(*m))
		}
		// With nothing that waits it becomes idle as always.
		w.now = w.now.Add(2 * time.Hour)
		w.due()
		w.state(v.ID, chat.StateIdle)
	}
}

// With nothing to send a conversation becomes idle in the night too.
func TestQuietNightIsIdle(t *testing.T) {
	w := newWorld(t, 1)
	w.consent.Quiet = queue.QuietHours{{From: 21 * time.Hour, Until: 8 * time.Hour, Zone: time.UTC}}
	w.now = time.Date(2026, 11, 27, 20, 50, 0, 0, time.UTC)
	v := w.chats(visitor("v1"), phone, "first")
	w.now = w.now.Add(2 * time.Hour)
	w.due()
	w.state(v.ID, chat.StateIdle)
}

// What a person sends without a conversation is held against the rules for people, and
// what a program sends is not.
func TestPeoplesMessagesAreHeldAgainstTheRules(t *testing.T) {
	w := newWorld(t, 1)
	if _, err := w.BlockNumber(ctx, mobile(1), "", "usr_admin"); err != nil {
		t.Fatal(err)
	}
	w.set(func(r *chat.AbuseRules) {
		r.Keywords, r.Destinations, r.NumberTypes = []string{"casino"}, []string{"de"}, []number.Type{"mobile"}
	})
	for _, c := range []struct {
		to, text string
		want     chat.Code
	}{
		{mobile(1), "hi", chat.BlockedNumber},
		{"+436641234567", "hi", chat.Destination},
		{"+493012345678", "hi", chat.Destination}, // no mobile
		{mobile(2), "Visit the CASINO", chat.Keyword},
		{mobile(2), "hi", ""},
	} {
		if m := w.plain("usr_anna", c.to, c.text); w.code(m) != string(c.want) {
			t.Errorf("a person's to %s: %q, want %q", c.to, w.code(m), c.want)
		}
		if m := w.plain("gw_shop", c.to, c.text); w.code(m) != "" {
			t.Errorf("a program's to %s: %q", c.to, w.code(m))
		}
	}
}

// What waits in a conversation that needs no opt-in is not sent once its number is blocked.
func TestWhatWaitsForABlockedNumber(t *testing.T) {
	w := newWorld(t, 1)
	anna := person("usr_anna", "")
	v := w.begin(anna, chat.Wanted{To: phone, Mode: chat.Transaction})
	m := w.send(anna, v.ID, "hello")
	plain := w.plain("usr_anna", phone, "from the page of messages")
	program := w.plain("gw_shop", phone, "a program's")
	if _, err := w.BlockNumber(ctx, phone, "", "usr_admin"); err != nil {
		t.Fatal(err)
	}
	if went := w.air(); len(went) != 1 || went[0].ID != program.ID {
		t.Errorf("went out: %+v", went)
	}
	for _, one := range []sms.Message{*m, plain} {
		if got := w.code(one); got != string(chat.BlockedNumber) {
			t.Errorf("refused with %q", got)
		}
	}
}

// What a phone writes into a blocked conversation is kept and calls nobody.
func TestBlockedConversationCallsNobody(t *testing.T) {
	w := newWorld(t, 1)
	anna := person("usr_anna", "")
	v := w.begin(anna, chat.Wanted{To: phone, Mode: chat.Transaction, Text: "hello"})
	later := w.begin(anna, chat.Wanted{To: other, Mode: chat.Transaction, Text: "hello"})
	if _, err := w.Block(ctx, anna, v.ID, "threats"); err != nil {
		t.Fatal(err)
	}
	w.says(other, "a", "hello") // so that the other one is first
	order := func() (all []string) {
		page, _, err := w.List(ctx, chat.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page {
			all = append(all, c.ID)
		}
		return all
	}
	told := func() (n int) {
		events, err := w.q.EventsAfter(ctx, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Type == sms.EventConversationUpdated || e.Type == sms.EventConversationNew {
				n++
			}
		}
		return n
	}
	unread, places, events := w.state(v.ID, chat.StateBlocked).Unread, order(), told()
	if places[0] != later.ID {
		t.Fatal(places)
	}
	m := w.says(phone, "a", "you will be sorry")
	if m.Conversation != v.ID {
		t.Errorf("%+v", m)
	}
	if got := w.state(v.ID, chat.StateBlocked); got.Unread != unread || got.Last == nil || got.Last.ID != m.ID {
		t.Errorf("%d unread, want %d: %+v", got.Unread, unread, got.Last)
	}
	if got := order(); !slices.Equal(got, places) {
		t.Errorf("in the order %v, want %v", got, places)
	}
	if n := told(); n != events {
		t.Errorf("%d events tell of it", n-events)
	}
}

package chat_test

import (
	"strings"
	"testing"
	"time"

	"gatewayd/chat"
	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// consents are the entries of the log of a number that somebody stated.
func (w *world) stated(number string) (all []sms.Consent) {
	w.t.Helper()
	page, _, err := w.q.Consents(ctx, queue.ConsentFilter{Number: number, Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range page {
		if e.Reason == queue.ReasonStated {
			all = append(all, e)
		}
	}
	return all
}

// Who says of a number that it needs no invitation stands in the log with that.
func TestStatedConsentIsLogged(t *testing.T) {
	w := newWorld(t, 1)
	anna, key := person("usr_anna", ""), chat.Sender{Kind: sms.AuthorKey, ID: "gw_shop", Name: "shop", All: true}
	wants := func(v *chat.Conversation, n int) {
		t.Helper()
		all := w.stated(v.Number)
		if len(all) != n {
			t.Fatalf("%d entries of %s, want %d", len(all), v.Number, n)
		}
		for _, e := range all {
			if e.Decision != sms.DecisionOptIn || e.Source != "usr_anna" || e.Conversation != v.ID || e.Wording == "" {
				t.Errorf("%+v", e)
			}
		}
	}
	begun := w.begin(anna, chat.Wanted{To: mobile(1), Mode: chat.Transaction, Text: "hi"})
	wants(begun, 1)
	w.begin(anna, chat.Wanted{To: mobile(1), Mode: chat.Transaction, Text: "hi again"}) // which goes on with it
	wants(begun, 1)

	changed := w.begin(anna, chat.Wanted{To: mobile(2), Text: "hi"})
	wants(changed, 0)
	open, invite := chat.Transaction, chat.ByInvitation
	change := func(s chat.Sender, m chat.Mode) {
		t.Helper()
		if _, err := w.Change(ctx, s, changed.ID, chat.Changes{Mode: &m}); err != nil {
			t.Fatal(err)
		}
	}
	change(anna, invite)
	wants(changed, 0)
	change(anna, open)
	wants(changed, 1)
	change(anna, open)
	wants(changed, 1)
	change(anna, invite)
	change(key, open) // a program needs to state nothing
	wants(changed, 1)
	wants(w.begin(key, chat.Wanted{To: mobile(3), Mode: chat.Transaction, Text: "hi"}), 0)

	// Nobody states anything for a number that said STOP.
	w.says(mobile(2), "a", "STOP")
	change(anna, invite)
	change(anna, open)
	wants(changed, 1)
}

// A STOP that was said elsewhere before somebody stated a consent here, and is heard of
// after that, holds.
func TestStatedConsentYieldsToAnOlderStop(t *testing.T) {
	w := newWorld(t, 1)
	anna := person("usr_anna", "")
	said := w.now
	w.now = w.now.Add(time.Minute)
	v := w.begin(anna, chat.Wanted{To: phone, Mode: chat.Transaction, Text: "hi"})
	if len(w.stated(phone)) != 1 {
		t.Fatal("nothing is stated")
	}
	w.now = w.now.Add(time.Minute)
	err := w.q.Do(func(tx *db.Tx) error {
		return w.q.OptTx(tx, phone, true, said, queue.Source{Reason: queue.ReasonWord, Wording: "STOP", By: queue.FromHub})
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Send(ctx, anna, v.ID, "hi", "")
	w.refused(err, chat.OptedOut)
}

// A history that a new conversation is given counts: its newest message is known, and
// what came in it is read.
func TestAdoptedHistoryIsKnown(t *testing.T) {
	w := newWorld(t, 1)
	code := w.plain("gw_shop", phone, "your code")
	w.starts(code.Row, "a")
	v := w.begin(person("usr_anna", ""), chat.Wanted{To: phone, Mode: chat.Transaction})
	if v.Last == nil || v.Last.ID != code.ID {
		t.Fatalf("%+v", v.Last)
	}
	err := w.db.Read(ctx, func(r db.Querier) error {
		for _, c := range []struct {
			but  []int64
			want int64
		}{{nil, code.Row}, {[]int64{}, code.Row}, {[]int64{code.Row + 9}, code.Row}, {[]int64{code.Row}, 0}} {
			if row, err := queue.NewestRow(r, v.ID, c.but...); err != nil || row != c.want {
				t.Errorf("but %v: row %d, want %d (%v)", c.but, row, c.want, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What a phone says to a stranger who invited it lets nobody else write to it; what it
// wrote by itself does.
func TestWhoOnlyAnsweredIsAsked(t *testing.T) {
	w := newWorld(t, 2)
	anna := person("usr_anna", "")
	for i, answer := range []string{"who is that?", "YES"} {
		v := w.begin(visitor("v1"), chat.Wanted{To: mobile(i), Text: "hi"})
		w.air()
		w.says(mobile(i), v.Modem, answer)
		if got := w.begin(anna, chat.Wanted{To: mobile(i), Text: "hello"}); got.Mode != chat.ByInvitation || got.State != chat.StateInvited || !got.Waiting {
			t.Errorf("%q: %+v", answer, got)
		}
	}
	for i, modem := range map[int]string{7: "a", 8: "b"} {
		m := w.says(mobile(i), modem, "hello, are you open?")
		if _, err := w.Close(ctx, anna, m.Conversation); err != nil {
			t.Fatal(err)
		}
	}
	w.now = w.now.Add(100 * time.Hour) // so that its SIM is free
	w.begin(visitor("v1"), chat.Wanted{To: mobile(8), Text: "hi", From: "a"})
	for _, i := range []int{7, 8} {
		if got := w.begin(person("usr_bert", "other"), chat.Wanted{To: mobile(i), Text: "we are", From: "b"}); got.Mode != chat.Transaction || got.Waiting {
			t.Errorf("who wrote by itself is asked: %+v", got)
		}
	}
	err := w.db.Read(ctx, func(r db.Querier) error {
		for number, want := range map[string]bool{mobile(0): true, mobile(7): true, mobile(9): false} {
			if yes, err := queue.HasWritten(r, number); err != nil || yes != want {
				t.Errorf("%s: %v, want %v (%v)", number, yes, want, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A stranger who comes back under another name invites under that one; to whom said YES
// to the first one nothing changes.
func TestStrangerUnderAnotherName(t *testing.T) {
	w := newWorld(t, 1)
	v1 := visitor("v1")
	back := func(name, text string) *chat.Conversation {
		t.Helper()
		return w.begin(v1, chat.Wanted{To: phone, OurName: name, Text: text})
	}
	v := back("Eve", "hi")
	if got := back("Adam", "hi"); got.OurName != "Eve" { // it was asked in the name of Eve, and that stands
		t.Errorf("invited, and now by %q", got.OurName)
	}
	w.air()
	w.says(phone, "a", "YES")
	if got := back("Adam", "me again"); got.OurName != "Eve" || got.ID != v.ID {
		t.Errorf("it said YES to Eve, and %q writes", got.OurName)
	}
	w.now = w.now.Add(2 * time.Hour)
	w.due()
	w.state(v.ID, chat.StateIdle)
	if got := back("Adam", "the next day"); got.OurName != "Adam" || got.State != chat.StateInvited || got.ID != v.ID {
		t.Fatalf("%+v", got)
	}
	texts := w.texts(v.ID)
	if last := texts[len(texts)-1]; !strings.HasPrefix(last, "Adam: chat by text?") {
		t.Errorf("it is invited with %q", last)
	}
	w.air()
	w.says(phone, "a", "YES")
	if texts = w.texts(v.ID); texts[len(texts)-1] != "Adam: the next day" {
		t.Errorf("%q", texts)
	}
	// A team's conversation has the name that it was given.
	team := w.begin(person("usr_anna", ""), chat.Wanted{To: other, OurName: "Shop", Mode: chat.Transaction})
	if got := w.begin(person("usr_anna", ""), chat.Wanted{To: other, OurName: "Else"}); got.ID != team.ID || got.OurName != "Shop" {
		t.Errorf("%+v", got)
	}
}

package chat_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/chat"
	"gatewayd/queue"
	"gatewayd/sms"
)

// A text that begins a conversation goes to whom the rules say: by keyword, by SIM; @name
// reaches a person, and WHO answers who is on, once a day.
func TestInbox(t *testing.T) {
	w := newWorld(t, 2)
	w.people = []chat.Person{{ID: "u1", Name: "Anna Berg", Team: "sales", Online: true}, {ID: "u2", Name: "Bert", Team: "sales", Online: true},
		{ID: "u3", Name: "Carl", Team: "sales"}, {ID: "u4", Name: "Anna Dahl", Team: "office", Online: true}}
	rules := []chat.InboxRule{{Keyword: "Sales", Team: "sales"}, {Keyword: "sales", Team: "never"}, {SIM: "b", Team: "office", Person: "u4"}}
	if err := w.SetInbox(rules); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, modem, text, team, person string }{
		{phone, "a", "sales, please", "sales", ""},
		{other, "b", "no sales", "office", "u4"},
		{"+491733333333", "a", "hello", "", ""},
	} {
		v := w.state(w.says(c.from, c.modem, c.text).Conversation, chat.StateNew)
		if v.Owner.Team != c.team || v.AssignedTo != c.person {
			t.Errorf("%q: %+v", c.text, v)
		}
	}
	sales := w.says(phone, "a", "WHO").Conversation
	texts := w.texts(sales)
	if answer := texts[len(texts)-1]; !strings.HasPrefix(answer, "Here now: Anna Berg, Bert.") {
		t.Errorf("%q", answer)
	}
	w.state(sales, chat.StateNew) // nobody has answered: that was the gateway
	w.says(phone, "a", "who")
	if got := w.texts(sales); len(got) != len(texts)+1 {
		t.Errorf("%q", got)
	}
	for text, want := range map[string]string{"@bert hi": "u2", "@Anna: hi": "u1", "@Anna Berg": "u1", "@annabel hi": "u1", "@Carl": "u3"} {
		if m := w.says(phone, "a", text); m.Text != text {
			t.Errorf("%+v", m)
		}
		if v := w.state(sales, chat.StateNew); v.AssignedTo != want && text != "@annabel hi" {
			t.Errorf("%q is for %q", text, v.AssignedTo)
		}
	}
}

// The conversation follows its SIM into another modem.
func TestSIMThatMoves(t *testing.T) {
	w := newWorld(t, 2)
	anna := person("anna", "")
	v := w.begin(anna, chat.Wanted{To: phone, Mode: chat.Transaction, From: "b", Text: "hello"})
	if v.Modem != "b" || v.SIM != w.modems[1].ICCID {
		t.Fatalf("%+v", v)
	}
	waits, err := w.Messages(ctx, v.ID, "", "", 1)
	if err != nil {
		t.Fatal(err)
	}
	a, b := w.modems[0], w.modems[1]
	a.ICCID, a.Number, b.ICCID, b.Number = b.ICCID, b.Number, a.ICCID, a.Number
	w.modems = modems{a, b}
	// What waited for the modem that had the SIM goes through no other SIM: it goes to the
	// modem that has it now.
	w.waits("anna", "b")
	if w.starts(waits.Messages[0].Row, "b") {
		t.Fatal("it goes through another SIM")
	}
	if got := w.waits("anna", "a"); got.Row != waits.Messages[0].Row || !w.starts(got.Row, "a") {
		t.Errorf("%+v", got)
	}
	again := w.send(anna, v.ID, "again")
	w.waits("anna", "a")
	gone := w.modems[0]
	gone.ICCID = "8949000000000000009"
	w.modems[0] = gone
	if w.starts(again.Row, "a") {
		t.Fatal("it goes through another SIM")
	}
	if m, err := w.q.Message(ctx, again.ID); err != nil || m.Status != sms.Failed || m.Error == nil || m.Error.Code != "sim-moved" {
		t.Errorf("%v %+v", err, m)
	}
	w.modems[0] = a
	if m := w.says(phone, "a", "yes?"); m.Conversation != v.ID {
		t.Errorf("%+v", m)
	}
	if got := w.state(v.ID, chat.StateOpen); got.Modem != "a" {
		t.Errorf("%+v", got)
	}
}

// What is no text, and what comes from a name, finds its place.
func TestNamesAndData(t *testing.T) {
	w := newWorld(t, 1)
	m := w.says("MyBank", "a", "Your code is 123")
	v := w.state(m.Conversation, chat.StateNew)
	if v.Number != "MyBank" {
		t.Errorf("%+v", v)
	}
	_, err := w.Send(ctx, person("anna", ""), v.ID, "thanks", "")
	w.refused(err, chat.Destination)
	if err := w.q.Receive(sms.Incoming{Modem: "a", ICCID: w.modems[0].ICCID, PDU: []byte{1, 2, 3}, At: w.now}); err != nil {
		t.Fatal(err)
	}
	page, _, err := w.List(ctx, chat.Filter{})
	if err != nil || len(page) != 1 {
		t.Errorf("%v %+v", err, page)
	}
}

// What is kept goes when it is asked for: with its number, on request, and with the
// history.
func TestErase(t *testing.T) {
	w := newWorld(t, 1)
	anna := person("anna", "")
	m := w.says(phone, "a", "a secret")
	if _, err := w.AddNote(anna, m.Conversation, "my note"); err != nil {
		t.Fatal(err)
	}
	if err := w.SaveDraft(anna, m.Conversation, "my draft"); err != nil {
		t.Fatal(err)
	}
	var sections []string
	err := w.q.ExportNumber(ctx, phone, func(section string, row any) error {
		if x, ok := row.(chat.Exported); ok && section == "conversations" {
			sections = append(sections, x.ID, x.Notes[0].Text, x.Drafts[0])
		}
		return nil
	})
	if err != nil || !slices.Equal(sections, []string{m.Conversation, "my note", "my draft"}) {
		t.Errorf("%v %q", err, sections)
	}
	if err := w.Delete(ctx, person("bert", "other"), m.Conversation); err == nil {
		t.Error("another team deleted it")
	}
	if err := w.Delete(ctx, anna, m.Conversation); err != nil {
		t.Fatal(err)
	}
	_, err = w.Get(ctx, m.Conversation)
	w.refused(err, chat.NotFound)
	if left, err := w.q.Message(ctx, m.ID); err != nil || !left.Redacted {
		t.Errorf("%v %+v", err, left)
	}
	_, _, err = w.Begin(ctx, visitor("v1"), chat.Wanted{To: phone})
	w.refused(err, chat.NoNumberFree) // an answer may still be under way
	again := w.says(phone, "a", "hello")
	if again.Conversation == m.Conversation {
		t.Error("what was deleted goes on")
	}
	if _, err := w.q.EraseNumber(ctx, phone); err != nil {
		t.Fatal(err)
	}
	if page, _, err := w.List(ctx, chat.Filter{}); err != nil || len(page) != 0 {
		t.Errorf("%v %+v", err, page)
	}
	w.begin(visitor("v1"), chat.Wanted{To: phone}) // nothing is left to know it by

	gone := w.says(other, "a", "old").Conversation
	w.Close(ctx, anna, gone)
	w.now = w.now.Add(100 * 24 * time.Hour)
	w.due()
	if _, err := w.Get(ctx, gone); err != nil {
		t.Error("gone before its messages:", err)
	}
	w.says("+491733333333", "a", "newer")
	if err := w.q.Prune(ctx, w.now.Add(time.Hour), queue.Retention{Messages: 90 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	w.due()
	_, err = w.Get(ctx, gone)
	w.refused(err, chat.NotFound)
}

package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

const chatWith = "conv_1"

// do runs f in a transaction of the queue's.
func (b *box) do(f func(tx *db.Tx) error) {
	b.t.Helper()
	if err := b.q.Do(f); err != nil {
		b.t.Fatal(err)
	}
}

// say receives a text from a number, by the SIM 8949.
func (b *box) say(from, text string) {
	b.t.Helper()
	b.said++
	b.now = b.now.Add(time.Second) // the same text at the same time is a repetition
	b.receive("SM", 1000+b.said, b.texts(from, text, byte(b.said))[0])
}

// ask invites a number to a conversation.
func (b *box) ask(conversation, number string) sms.Message {
	b.t.Helper()
	var m sms.Message
	b.do(func(tx *db.Tx) error {
		if err := b.q.AskOptInTx(tx, conversation, number, "8949", queue.Source{Wording: "Reply YES."}); err != nil {
			return err
		}
		var err error
		m, err = b.q.SubmitTx(tx, queue.Draft{Consent: queue.ConsentInvitation, Message: sms.Message{To: number, Text: "Reply YES.", Priority: 4, Conversation: conversation}})
		return err
	})
	return m
}

// inChat makes a message one of a conversation that needs an opt-in.
func inChat(conversation string) func(*queue.Draft) {
	return func(d *queue.Draft) { d.Conversation, d.Consent = conversation, queue.ConsentInvite }
}

func (b *box) optIn(conversation string) *queue.OptIn {
	b.t.Helper()
	var o *queue.OptIn
	err := b.db.Read(context.Background(), func(r db.Querier) (err error) {
		o, err = b.q.OptInOf(r, conversation)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

// wantRefused submits a message and wants it to fail with a code.
func (b *box) wantRefused(code string, to string, more ...func(*queue.Draft)) {
	b.t.Helper()
	if m := b.want(b.submit(to, "x", more...).ID, sms.Failed); m.Error.Code != code {
		b.t.Fatalf("refused with %q, want %q", m.Error.Code, code)
	}
}

// automatic lists the texts that nobody wrote, to a number, in order.
func (b *box) automatic(to string) (all []string) {
	b.t.Helper()
	found, _, err := b.q.List(context.Background(), queue.Filter{To: to, Direction: sms.Outbound, Limit: 100})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, m := range slices.Backward(found) {
		if m.Author != nil && m.Author.Kind == sms.AuthorAuto {
			all = append(all, m.Text)
		}
	}
	return all
}

func TestInvitation(t *testing.T) {
	b := open(t, queue.Options{})
	b.wantRefused("not-opted-in", phone, inChat(chatWith))
	invitation := b.ask(chatWith, phone)
	b.want(invitation.ID, sms.Queued)
	b.wantRefused("not-opted-in", phone, inChat(chatWith))
	b.say(phone, "who are you?")
	b.wantRefused("not-opted-in", phone, inChat(chatWith))
	b.say(phone, "Yes!")
	if o := b.optIn(chatWith); o.State != queue.OptInGiven || !o.Holds() || o.Used != 0 || o.GivenAt.IsZero() {
		t.Fatalf("after YES: %+v", o)
	}
	for range 10 {
		b.want(b.submit(phone, "x", inChat(chatWith)).ID, sms.Queued)
	}
	b.wantRefused("not-opted-in", phone, inChat(chatWith))
	b.want(b.submit(phone, "of an API key").ID, sms.Queued)
	b.wantRefused("not-opted-in", phone, inChat("conv_2"))
}

// What fails gives back what it took, once, over restarts; and a renewed opt-in
// lets through what waited under the one before.
func TestOptInIsUsedUp(t *testing.T) {
	b := open(t, queue.Options{Consent: func() queue.ConsentRules { return queue.ConsentRules{PerOptIn: 3} }})
	b.ask(chatWith, phone)
	b.say(phone, "YES")
	one, two, three := b.submit(phone, "1", inChat(chatWith)), b.submit(phone, "2", inChat(chatWith)), b.submit(phone, "3", inChat(chatWith))
	b.wantRefused("not-opted-in", phone, inChat(chatWith))
	if _, err := b.q.Cancel(context.Background(), two.ID); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if used := b.optIn(chatWith).Used; used != 2 {
		t.Fatalf("%d are counted of one queued, one canceled, one queued", used)
	}
	b.begin(one, 1)
	b.advance(&queue.Verdict{Row: one.Row, Part: 1, Fate: queue.PartFailed, Err: &sms.Error{Code: "cms-21"}}, nil)
	b.want(b.submit(phone, "4", inChat(chatWith)).ID, sms.Queued)
	five := b.submit(phone, "5", inChat(chatWith))
	b.wantRefused("not-opted-in", phone, inChat(chatWith))
	b.ask(chatWith, phone)
	b.wantRefused("not-opted-in", phone, inChat(chatWith))
	b.begin(three, 1) // it was accepted under an opt-in that held
	b.say(phone, "yes")
	if o := b.optIn(chatWith); o.Used != 0 || !o.Holds() {
		t.Fatalf("renewed: %+v", o)
	}
	if _, err := b.q.Cancel(context.Background(), five.ID); err != nil {
		t.Fatal(err)
	}
	if used := b.optIn(chatWith).Used; used != 0 {
		t.Fatalf("a message of the opt-in before counts as %d", used)
	}
}

// STOP ends what was given: what waited under it goes nowhere, whatever comes later.
func TestStopEndsOptIns(t *testing.T) {
	b := open(t, queue.Options{})
	b.ask(chatWith, phone)
	b.say(phone, "YES")
	waiting := b.submit(phone, "waits", inChat(chatWith))
	b.say(phone, "QUIT")
	if o := b.optIn(chatWith); o.State != queue.OptInEnded || o.Reason != queue.ReasonWord {
		t.Fatalf("after QUIT: %+v", o)
	}
	b.wantRefused("opted-out", phone)
	b.wantRefused("opted-out", phone, inChat(chatWith))
	err := b.q.Do(func(tx *db.Tx) error {
		return b.q.AskOptInTx(tx, chatWith, phone, "8949", queue.Source{})
	})
	if !errors.Is(err, queue.ErrConflict) {
		t.Fatalf("asked after STOP: %v", err)
	}
	b.restart()
	b.wantRefused("opted-out", phone)
	b.say(phone, "Start")
	b.want(b.submit(phone, "x", inChat(chatWith)).ID, sms.Queued)
	if ok, err := b.q.Advance(nil, b.startOf(waiting, 1)); ok || err != nil {
		t.Fatalf("what waited when STOP came is sent after START: %v %v", ok, err)
	}
	b.want(waiting.ID, sms.Failed)
}

func TestAnswers(t *testing.T) {
	b := open(t, queue.Options{})
	b.say(phone, "STOP")
	b.say(phone, "START")
	b.say(phone, "HELP")
	if got := b.automatic(phone); len(got) > 0 {
		t.Fatalf("a number that nobody chats with was answered %q", got)
	}
	b.ask(chatWith, phone)
	b.say(phone, "STOP")
	b.say(phone, "STOP")
	b.say(phone, "START")
	b.say(phone, "HELP") // had its answer of the day
	if got := b.automatic(phone); len(got) != 2 {
		t.Fatalf("answered %q", got)
	}
}

// wantAutomatic wants just these automatic texts, by what they begin with.
func (b *box) wantAutomatic(to string, begin ...string) {
	b.t.Helper()
	got := b.automatic(to)
	ok := len(got) == len(begin)
	for i := range got {
		ok = ok && strings.HasPrefix(got[i], begin[i])
	}
	if !ok {
		b.t.Fatalf("answered %q, want %q", got, begin)
	}
}

func answering(o queue.Options) queue.Options {
	o.Consent = func() queue.ConsentRules {
		return queue.ConsentRules{Answers: queue.AnswersAll, Name: "Praxis", Contact: "030 123"}
	}
	return o
}

// One automatic answer per number and day, and besides it one that confirms a STOP; the
// next day begins anew, over restarts.
func TestOneAnswerADay(t *testing.T) {
	b := open(t, answering(queue.Options{}))
	b.say(phone, "Hilfe")
	b.wantAutomatic(phone, "Nachrichten von Praxis. Hilfe: 030 123.")
	b.restart()
	b.say(phone, "HELP")
	b.say(phone, "START") // there was no STOP
	b.say(phone, "STOP")
	b.say(phone, "stop")
	b.say(phone, "START")
	b.say(phone, "STOP") // confirmed once already today
	b.wantAutomatic(phone, "Nachrichten", "You get no more messages from Praxis.")
	b.now = b.now.Add(24 * time.Hour)
	b.say(phone, "HELP") // nothing goes to a number that said STOP
	b.say(phone, "START")
	b.say(phone, "STOP")
	b.wantAutomatic(phone, "Nachrichten", "You get", "You get messages from Praxis again.", "You get no more")
	last := b.outbound(phone)
	if m := last[len(last)-1]; m.Status != sms.Queued || m.Author.Kind != sms.AuthorAuto {
		t.Errorf("the confirmation is %+v", m)
	} else {
		b.begin(m, 1) // it passes the stop list, alone
	}
	if ok, err := b.q.Advance(nil, b.startOf(last[2], 1)); ok || err != nil {
		t.Errorf("a confirmed START goes out after STOP: %v %v", ok, err)
	}
}

// outbound lists what was to be sent to a number, in order.
func (b *box) outbound(to string) []sms.Message {
	b.t.Helper()
	all, _, err := b.q.List(context.Background(), queue.Filter{To: to, Direction: sms.Outbound, Limit: 100})
	if err != nil {
		b.t.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

func TestWhoIsNotAnswered(t *testing.T) {
	b := open(t, answering(queue.Options{OutboundCapacity: 2, Own: func(n string) bool { return n == "+491700000000" }}))
	for _, from := range []string{"+491700000000", "72345", "STOPPER"} {
		b.say(from, "HELP")
		b.say(from, "STOP")
		b.wantAutomatic(from)
	}
	b.submit("+491702222222", "fills the ring")
	b.submit("+491702222222", "fills the ring")
	b.say(phone, "STOP") // no room for an answer, and it holds all the same
	b.wantAutomatic(phone)
	if stopped := b.number(`SELECT count(*) FROM stop_list WHERE number = '` + phone + `'`); stopped != 1 {
		t.Error("STOP was lost with its answer")
	}
	none := open(t, queue.Options{Consent: func() queue.ConsentRules { return queue.ConsentRules{Answers: queue.AnswersNone} }})
	none.ask(chatWith, phone)
	none.say(phone, "STOP")
	none.do(func(tx *db.Tx) error {
		sent, err := none.q.AnswerTx(tx, queue.Answer{To: "+491702222222", Text: "Anna is here.", Kind: queue.AnswerWho})
		if sent {
			t.Error("WHO is answered where nothing is")
		}
		return err
	})
	none.wantAutomatic(phone)
}

// A number that people here write with is answered without any setting.
func TestPeopleAreAnsweredFor(t *testing.T) {
	b := open(t, queue.Options{})
	b.q.OnReceive(func(_ *db.Tx, m *sms.Message, _ string) error { m.Conversation = chatWith; return nil })
	b.say(phone, "HELP")
	b.wantAutomatic(phone)
	b.now = b.now.Add(24 * time.Hour)
	b.submit(phone, "hello", func(d *queue.Draft) {
		d.Conversation, d.Author = chatWith, &sms.Author{Kind: sms.AuthorPerson, ID: "usr_1"}
	})
	b.say(phone, "HELP")
	b.wantAutomatic(phone, "Messages from us. Reply STOP")
}

// YES to another SIM than the one that asked counts if nothing else was asked.
func TestYesToAnotherSIM(t *testing.T) {
	b := open(t, queue.Options{})
	ask := func(conversation, sim string) {
		b.do(func(tx *db.Tx) error { return b.q.AskOptInTx(tx, conversation, phone, sim, queue.Source{}) })
	}
	ask(chatWith, "other")
	b.say(phone, "YES")
	if !b.optIn(chatWith).Holds() {
		t.Error("the only invitation was not answered")
	}
	ask("conv_2", "other")
	ask("conv_3", "another")
	b.say(phone, "YES")
	if b.optIn("conv_2").Holds() || b.optIn("conv_3").Holds() {
		t.Error("one of two invitations by other SIMs was answered")
	}
	ask("conv_4", "8949")
	b.say(phone, "YES")
	if !b.optIn("conv_4").Holds() || b.optIn("conv_2").Holds() {
		t.Error("YES did not go to the invitation of its SIM alone")
	}
}

// The same START, read again after the STOP that came behind it, undoes nothing.
func TestRepeatedStartLiftsNothing(t *testing.T) {
	b := open(t, queue.Options{})
	b.say(phone, "STOP")
	start := b.texts(phone, "START", 0)[0]
	b.receive("SM", 1, start)
	b.now = b.now.Add(time.Second)
	b.say(phone, "STOP")
	b.receive("ME", 2, start)
	b.wantRefused("opted-out", phone)
}

// What somebody recorded, somebody takes back; what the number said, only the number.
func TestRecordedConsent(t *testing.T) {
	b := open(t, queue.Options{})
	b.ask(chatWith, phone)
	b.say(phone, "YES")
	told := queue.Source{Reason: queue.ReasonAdmin, Wording: "on the phone", By: "usr_1"}
	record := func(d sms.Decision) error { return b.q.RecordConsent(phone, d, told) }
	if err := record(sms.DecisionOptOut); err != nil {
		t.Fatal(err)
	}
	b.wantRefused("opted-out", phone)
	if err := record(sms.DecisionOptIn); err != nil {
		t.Fatal(err)
	}
	b.want(b.submit(phone, "x").ID, sms.Queued)
	if err := record(sms.DecisionOptOut); err != nil {
		t.Fatal(err)
	}
	b.say(phone, "STOP") // now it has said so itself
	if err := record(sms.DecisionOptIn); !errors.Is(err, queue.ErrConflict) {
		t.Errorf("taken back: %v", err)
	}
	b.wantRefused("opted-out", phone)
	b.say(phone, "START")
	if !b.optIn(chatWith).Holds() {
		t.Error("START did not bring back what the STOP ended that was recorded first")
	}
	b.ask("conv_2", "+491702222222")
	if err := b.q.RecordConsent("+491702222222", sms.DecisionOptIn, told); err != nil || !b.optIn("conv_2").Holds() {
		t.Errorf("what was asked for was not given: %v", err)
	}
}

// A number whose conversation is blocked is spared all messages, and told so.
func TestBlockedIsTold(t *testing.T) {
	b := open(t, queue.Options{ModemOf: func(string) string { return "office" }})
	b.ask(chatWith, phone)
	b.say(phone, "YES")
	b.do(func(tx *db.Tx) error {
		return b.q.OptOutTx(tx, phone, queue.Source{Reason: queue.ReasonBlocked, By: "usr_1"})
	})
	b.wantAutomatic(phone, "You get no more messages from us.")
	b.wantRefused("opted-out", phone, inChat(chatWith))
	b.say(phone, "START")
	b.wantRefused("not-opted-in", phone, inChat(chatWith)) // it stays blocked
}

// Every decision has an entry and an event in the commit that made it, in order.
func TestConsentIsLogged(t *testing.T) {
	b := open(t, queue.Options{})
	b.ask(chatWith, phone)
	b.say(phone, "yes")
	b.say(phone, "Stop!")
	b.say(phone, "start")
	b.say(phone, "HELP")
	b.say(phone, "HELP")
	b.do(func(tx *db.Tx) error { return b.q.EndOptInTx(tx, chatWith, queue.ReasonIdle) })
	entries, next, err := b.q.Consents(context.Background(), queue.ConsentFilter{Number: phone, Limit: 50})
	if err != nil || next != 0 {
		t.Fatal(next, err)
	}
	slices.Reverse(entries)
	var got []string
	for _, e := range entries {
		got = append(got, string(e.Decision)+" "+e.Reason+" "+e.Wording+" "+e.Conversation)
	}
	want := []string{"asked asked Reply YES. conv_1", "opt-in word yes conv_1", "opt-out word Stop! conv_1", "opt-in word start conv_1", "help word HELP ", "ended idle  conv_1"}
	if !slices.Equal(got, want) {
		t.Errorf("noted %q, want %q", got, want)
	}
	if m := b.message(entries[2].Source); m.Text != "Stop!" {
		t.Errorf("the source of the STOP is %+v", m)
	}
	events, err := b.q.EventsAfter(context.Background(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, e := range events {
		if sms.IsConsent(e.Type) {
			var c sms.Consent
			if err := json.Unmarshal(e.Data, &c); err != nil || c.Number != phone || e.Number != phone {
				t.Errorf("%s: %s (%v)", e.Type, e.Data, err)
			}
			got = append(got, e.Type)
		}
	}
	if want := []string{"consent.asked", "consent.opt-in", "consent.opt-out", "consent.opt-in", "consent.help", "consent.ended"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if _, err := b.q.EraseNumber(context.Background(), phone); err != nil {
		t.Fatal(err)
	}
	if n := b.number(`SELECT count(*) FROM consent_log`); n != int64(len(want)) {
		t.Errorf("%d entries after the number was erased", n)
	}
	if n := b.number(`SELECT count(*) FROM opt_ins`); n != 0 {
		t.Errorf("%d opt-ins after the number was erased", n)
	}
}

// Messages that need an opt-in wait for the morning; others don't.
func TestQuietHoursAreKept(t *testing.T) {
	quiet := queue.QuietHours{{From: 21 * time.Hour, Until: 8 * time.Hour}}
	b := open(t, queue.Options{Consent: func() queue.ConsentRules { return queue.ConsentRules{Quiet: quiet} }})
	morning := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC) // 08:00 in Berlin
	b.ask(chatWith, phone)
	b.say(phone, "YES")
	early := b.submit(phone, "by day", inChat(chatWith))
	b.now = time.Date(2026, 11, 22, 20, 30, 0, 0, time.UTC)
	late := b.submit(phone, "by night", inChat(chatWith))
	if late.Status != sms.Scheduled || !late.SendAt.Equal(morning) || !slices.Equal(late.Warnings, []sms.Warning{sms.WarnQuietHours}) {
		t.Errorf("accepted as %+v", late)
	}
	if m := b.submit(phone, "of a key"); m.Status != sms.Queued {
		t.Errorf("an alarm is %s", m.Status)
	}
	if ok, err := b.q.Advance(nil, b.startOf(early, 1)); ok || err != nil {
		t.Fatalf("what waited into the night was started: %v %v", ok, err)
	}
	m := b.want(early.ID, sms.Queued)
	if !m.ExpectedAt.Equal(morning) || m.Error == nil || m.Error.Code != "quiet-hours" {
		t.Errorf("it waits as %+v", m)
	}
	waiting, err := b.takeIn()
	if err != nil || !slices.ContainsFunc(waiting, func(w queue.Waiting) bool { return w.Row == early.Row && w.NotBefore.After(b.now) }) {
		t.Errorf("a modem is offered %+v (%v)", waiting, err)
	}
	b.now = morning
	if _, err := b.q.ReleaseDue(b.now); err != nil {
		t.Fatal(err)
	}
	b.begin(early, 1)
	if m := b.want(early.ID, sms.Sending); m.Error != nil {
		t.Errorf("sent with %v", m.Error)
	}
	b.begin(b.want(late.ID, sms.Queued), 1)
}

// An opt-in ends after 90 days of silence, and its number is told so, over restarts, as
// soon as it may be.
func TestSilenceEndsOptIns(t *testing.T) {
	sim := "office"
	trusted := true
	b := open(t, queue.Options{
		ModemOf: func(s string) string { return sim }, Trusted: func() bool { return trusted },
		Consent: func() queue.ConsentRules {
			return queue.ConsentRules{Quiet: queue.QuietHours{{From: 21 * time.Hour, Until: 8 * time.Hour}}}
		},
	})
	const other = "+491702222222"
	end := func() {
		t.Helper()
		if _, err := b.q.EndSilent(b.now); err != nil {
			t.Fatal(err)
		}
	}
	b.ask(chatWith, phone)
	b.ask("conv_2", other)
	b.say(phone, "YES")
	b.say(other, "YES")
	b.now = b.now.Add(50 * 24 * time.Hour)
	b.say(other, "still here")
	b.now = b.now.Add(40*24*time.Hour + 10*time.Hour) // 22:00 in Berlin
	sim, trusted = "", false
	end()
	if !b.optIn(chatWith).Holds() {
		t.Fatal("it ended while nobody knew the time")
	}
	trusted = true
	end()
	if o := b.optIn(chatWith); o.State != queue.OptInEnded || o.Reason != queue.ReasonSilence || !b.optIn("conv_2").Holds() {
		t.Fatalf("after 90 days: %+v", o)
	}
	b.wantAutomatic(phone) // it is night
	b.restart()
	b.now = b.now.Add(10 * time.Hour)
	end()
	b.wantAutomatic(phone) // its SIM is away
	sim = "office"
	b.now = b.now.Add(time.Hour)
	end()
	b.now = b.now.Add(time.Hour)
	end()
	b.wantAutomatic(phone, "We have not heard from you for long")
	b.wantRefused("not-opted-in", phone, inChat(chatWith))
	b.say(phone, "START")
	b.want(b.submit(phone, "x", inChat(chatWith)).ID, sms.Queued)
}

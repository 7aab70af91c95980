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
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// air hands all that waits to the modems, as far as it may go, and returns it.
func (w *world) air() (went []sms.Message) {
	w.t.Helper()
	for {
		page, _, err := w.q.List(ctx, queue.Filter{Direction: sms.Outbound, Status: []sms.Status{sms.Queued}, Limit: 500})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(page) == 0 {
			return went
		}
		slices.Reverse(page)
		for _, m := range page {
			if w.onAir(m) {
				went = append(went, m)
			}
		}
	}
}

func (w *world) onAir(m sms.Message) bool {
	w.t.Helper()
	sim := "sim"
	if v, err := w.Get(ctx, m.Conversation); err == nil {
		sim = v.SIM
	}
	j, err := w.q.Job(ctx, m.Row, sim)
	if err != nil {
		w.t.Fatal(err)
	}
	for part := j.Next; part <= m.Parts; part++ {
		ok, err := w.q.Advance(nil, &queue.Start{Row: m.Row, Part: part, Modem: "a", SIM: sim, Local: "a", Ref: j.Ref, ExpectedMR: -1})
		if err != nil {
			w.t.Fatal(err)
		}
		if !ok {
			return false
		}
		if _, err := w.q.Advance(&queue.Verdict{Row: m.Row, Part: part, Fate: queue.PartConfirmed, MR: -1}, nil); err != nil {
			w.t.Fatal(err)
		}
	}
	return true
}

// chats opens a conversation of a stranger with a phone, up to the first text.
func (w *world) chats(s chat.Sender, to, text string) *chat.Conversation {
	w.t.Helper()
	v := w.begin(s, chat.Wanted{To: to, Text: text})
	w.air()
	w.says(to, v.Modem, "YES")
	w.air()
	return v
}

func (w *world) record(id string) chat.SenderRecord {
	w.t.Helper()
	all, _, err := w.Senders(ctx, chat.SenderFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range all {
		if s.ID == id {
			return s
		}
	}
	w.t.Fatalf("no sender %s", id)
	return chat.SenderRecord{}
}

func at(address string, s chat.Sender) chat.Sender {
	s.Address = address
	return s
}

// mobile is a phone of many.
func mobile(i int) string { return fmt.Sprintf("+4917155%05d", i) }

// Three phones that answer SPAM end it for a stranger: nothing more goes out, what waits
// neither; its conversations are blocked, and their numbers are told so, once.
func TestComplaintsBlock(t *testing.T) {
	w := newWorld(t, 2)
	v1 := at("198.51.100.7", visitor("v1"))
	var all []*chat.Conversation
	for i := range 4 {
		w.now = w.now.Add(time.Minute)
		all = append(all, w.chats(v1, mobile(i), fmt.Sprint("buy now ", i)))
	}
	neighbour := w.chats(at("198.51.100.7", visitor("v2")), mobile(10), "hello")
	elsewhere := w.chats(at("198.51.100.8", visitor("v3")), mobile(11), "hello")
	for range 3 { // one phone is not three
		w.says(mobile(0), all[0].Modem, "spam")
	}
	w.says(mobile(1), all[1].Modem, "Spam!")
	if got := w.record("v1"); got.Answers != (chat.Thresholds{Spam: 2}) || !got.BlockedAt.IsZero() {
		t.Fatalf("%+v", got)
	}
	waiting := w.send(v1, all[3].ID, "this one waits")
	w.says(mobile(2), all[2].Modem, "SPAM")
	got := w.record("v1")
	if got.Answers.Spam != 3 || got.BlockedAt.IsZero() || got.BlockedBy != "" || !strings.Contains(got.Reason, "3 answers of SPAM") {
		t.Fatalf("%+v", got)
	}
	if n, err := w.Unreviewed(ctx); err != nil || n != 2 { // and its address
		t.Fatal(n, err)
	}
	for _, v := range all {
		w.state(v.ID, chat.StateBlocked)
		if stopped, err := w.q.OptedOut(ctx, v.Number); err != nil || !stopped {
			t.Errorf("%s is not on the stop list: %v", v.Number, err)
		}
	}
	w.state(neighbour.ID, chat.StateBlocked) // of the same address
	w.state(elsewhere.ID, chat.StateOpen)
	told := map[string]int{}
	for _, m := range w.air() {
		if m.ID == waiting.ID || m.Author == nil || m.Author.Kind != sms.AuthorAuto {
			t.Errorf("went out: %+v", m)
		}
		told[m.To]++
	}
	for _, v := range append(all, neighbour) {
		if told[v.Number] != 1 {
			t.Errorf("%s was told %d times", v.Number, told[v.Number])
		}
	}
	w.restart()
	_, err := w.Send(ctx, v1, all[3].ID, "again", "")
	w.refused(err, chat.BlockedSender)
	_, _, err = w.Begin(ctx, v1, chat.Wanted{To: mobile(20), Text: "another phone"})
	w.refused(err, chat.BlockedSender)
	_, _, err = w.Begin(ctx, at("198.51.100.7", visitor("fresh")), chat.Wanted{To: mobile(20), Text: "cookies deleted"})
	w.refused(err, chat.BlockedSender)
	w.begin(at("198.51.100.8", visitor("fresh")), chat.Wanted{To: mobile(20), Text: "from elsewhere"})
	w.begin(at("198.51.100.7", person("anna", "")), chat.Wanted{To: mobile(21), Text: "a colleague at that address"})

	events, err := w.q.EventsAfter(ctx, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	blocked := 0
	for _, e := range events {
		if e.Type == sms.EventSenderBlocked {
			blocked++
			if strings.Contains(string(e.Data), "+49") || strings.Contains(string(e.Data), "Visitor") {
				t.Errorf("the event has a number or a name: %s", e.Data)
			}
		}
	}
	if blocked != 2 {
		t.Errorf("%d events tell of it", blocked)
	}

	// An admin looks at it, and opens the account again.
	if s, err := w.BlockSender(ctx, "v1", "", "usr_admin"); err != nil || s.BlockedBy != "usr_admin" || !strings.Contains(s.Reason, "SPAM") {
		t.Fatal(s, err)
	}
	if n, err := w.Unreviewed(ctx); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	for _, id := range []string{"v1", "addr_198.51.100.7"} {
		if s, err := w.ReopenSender(ctx, id, "usr_admin"); err != nil || !s.BlockedAt.IsZero() || s.Answers != (chat.Thresholds{}) {
			t.Fatal(s, err)
		}
	}
	w.now = w.now.Add(time.Minute)
	w.begin(v1, chat.Wanted{To: mobile(22), Text: "I will be good"})
	good := w.chats(v1, mobile(23), "I am good")
	w.says(good.Number, good.Modem, "SPAM") // the first since then: those before count no more
	if s := w.record("v1"); s.Answers != (chat.Thresholds{Spam: 1}) || !s.BlockedAt.IsZero() {
		t.Errorf("opened again, and after one answer it is %+v", s)
	}
	w.state(all[0].ID, chat.StateBlocked)
	_, err = w.ReopenSender(ctx, "nobody", "usr_admin")
	w.refused(err, chat.NotFound)
}

// An answer is whose messages the number got: of a team's people not those who wrote
// before the answer before, or whose message still waits.
func TestWhoIsAnswered(t *testing.T) {
	w := newWorld(t, 1)
	anna, bert, carl := person("anna", ""), person("bert", ""), person("carl", "")
	v := w.begin(anna, chat.Wanted{To: phone, Mode: chat.Transaction, Text: "hello"})
	w.air()
	w.says(phone, "a", "hello anna")
	w.send(bert, v.ID, "bert here")
	w.air()
	w.send(carl, v.ID, "not sent yet")
	w.says(phone, "a", "THREAT")
	if got := w.record("bert").Answers; got != (chat.Thresholds{Threat: 1}) {
		t.Errorf("bert: %+v", got)
	}
	for _, other := range []string{"anna", "carl"} {
		if got := w.record(other).Answers; got != (chat.Thresholds{}) {
			t.Errorf("%s: %+v", other, got)
		}
	}
	w.says(phone, "a", "STOP") // nothing came since: it is still bert's
	if got := w.record("bert").Answers; got != (chat.Thresholds{Threat: 1, Stop: 1}) {
		t.Errorf("bert: %+v", got)
	}
	w.now = w.now.Add(31 * 24 * time.Hour)
	if got := w.record("bert").Answers; got != (chat.Thresholds{}) {
		t.Errorf("they count for ever: %+v", got)
	}
}

// A person who is blocked may read, and sends nothing by any door. The team's other
// conversations go on, and so do those of colleagues.
func TestBlockedPerson(t *testing.T) {
	w := newWorld(t, 1)
	anna, bert := person("usr_anna", ""), person("usr_bert", "")
	hers := w.begin(anna, chat.Wanted{To: phone, Mode: chat.Transaction, Text: "hello"})
	his := w.begin(bert, chat.Wanted{To: other, Mode: chat.Transaction, Text: "hello"})
	w.air()
	waits := w.send(anna, his.ID, "in his")
	s, err := w.BlockSender(ctx, "usr_anna", "  told   lies ", "usr_admin")
	if err != nil || s.Reason != "told lies" || s.BlockedBy != "usr_admin" {
		t.Fatal(s, err)
	}
	w.state(hers.ID, chat.StateBlocked)
	w.state(his.ID, chat.StateOpen)
	if n, err := w.Unreviewed(ctx); n != 0 || err != nil {
		t.Error(n, err)
	}
	_, err = w.Send(ctx, anna, his.ID, "again", "")
	w.refused(err, chat.BlockedSender)
	for _, m := range w.air() {
		if m.ID == waits.ID {
			t.Error("what waited was sent")
		}
	}
	m, err := w.q.Message(ctx, waits.ID)
	if err != nil || m.Status != sms.Failed || m.Error == nil || m.Error.Code != "blocked-sender" {
		t.Errorf("%v %+v", err, m)
	}
	// The plain API, by her session: it is accepted, and fails at once.
	plain, _, err := w.q.Submit(ctx, []queue.Draft{{KeyID: "usr_anna", Message: sms.Message{To: "+491733333333", Text: "hello"}}}, nil)
	if err != nil || plain[0].Status != sms.Failed && len(w.air()) != 0 {
		t.Errorf("%v %+v", err, plain)
	}
	w.send(bert, his.ID, "I go on")
	if went := w.air(); len(went) != 1 {
		t.Errorf("%d went out", len(went))
	}
}

// A program's messages may be answered STOP as often as anybody likes.
func TestProgramsAreNotBlockedByAnswers(t *testing.T) {
	w := newWorld(t, 1)
	key := chat.Sender{Kind: sms.AuthorKey, ID: "gw_key", Name: "alarms", All: true}
	for i := range 5 {
		w.begin(key, chat.Wanted{To: mobile(i), Text: "alarm"})
	}
	w.air()
	for i := range 5 {
		w.says(mobile(i), "a", "STOP")
	}
	if got := w.record("gw_key"); got.Answers.Stop != 5 || !got.BlockedAt.IsZero() {
		t.Errorf("%+v", got)
	}
}

// An invitation that is answered STOP counts against the stranger that it was sent for.
func TestInvitationIsTheStrangers(t *testing.T) {
	w := newWorld(t, 1)
	for i := range 3 {
		w.begin(visitor("v1"), chat.Wanted{To: mobile(i), Text: "hi"})
		w.air()
		w.says(mobile(i), "a", "STOP")
	}
	if got := w.record("v1"); got.Answers.Stop != 3 || got.BlockedAt.IsZero() {
		t.Errorf("%+v", got)
	}
}

// All that write in one widget together block it, if an admin wants that.
func TestWidgetIsBlocked(t *testing.T) {
	w := newWorld(t, 1)
	w.set(func(r *chat.AbuseRules) { r.WidgetThreshold = 3 })
	for i := range 3 {
		v := w.chats(at(fmt.Sprint("192.0.2.", i), visitor(fmt.Sprint("v", i))), mobile(i), "hi")
		w.says(mobile(i), v.Modem, "THREAT")
	}
	_, _, err := w.Begin(ctx, at("203.0.113.1", visitor("v9")), chat.Wanted{To: phone, Text: "hi"})
	w.refused(err, chat.BlockedSender)
	s := at("203.0.113.1", visitor("v9"))
	s.Widget = "wdg_2"
	w.begin(s, chat.Wanted{To: phone, Text: "hi"})
}

// A blocked number's texts are kept and open nothing, and nothing goes to it by chat.
func TestBlockedNumber(t *testing.T) {
	w := newWorld(t, 1)
	anna := person("anna", "")
	v := w.begin(anna, chat.Wanted{To: phone, Mode: chat.Transaction, Text: "hello"})
	if b, err := w.BlockNumber(ctx, "+49 171 1111111", "threats", "usr_admin"); err != nil || b.Number != phone {
		t.Fatal(b, err)
	}
	w.state(v.ID, chat.StateBlocked)
	w.restart()
	m := w.says(phone, "a", "you will be sorry")
	if m.Conversation != "" || m.Text == "" {
		t.Errorf("%+v", m)
	}
	if got, err := w.Get(ctx, v.ID); err != nil || got.Unread != 0 {
		t.Errorf("%v %+v", err, got)
	}
	_, _, err := w.Begin(ctx, person("bert", "other team"), chat.Wanted{To: phone, Text: "hello"})
	w.refused(err, chat.BlockedNumber)
	list, err := w.BlockedNumbers(ctx)
	if err != nil || len(list) != 1 || list[0].Reason != "threats" || list[0].By != "usr_admin" {
		t.Error(list, err)
	}
	if err := w.UnblockNumber(ctx, phone); err != nil {
		t.Fatal(err)
	}
	w.refused(w.UnblockNumber(ctx, phone), chat.NotFound)
	for wrong, field := range map[string]string{"12": "number", "": "number", "no number at all": "number"} {
		var refused intake.Refused
		if _, err := w.BlockNumber(ctx, wrong, strings.Repeat("x", 201), "usr_admin"); !errors.As(err, &refused) || len(refused) != 2 || refused[0].Field != field {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if b, err := w.BlockNumber(ctx, "SPAMMER", "", "usr_admin"); err != nil || b.Number != "SPAMMER" {
		t.Error(b, err)
	}
}

// What may be written, and to whom.
func TestAdmission(t *testing.T) {
	w := newWorld(t, 1)
	w.set(func(r *chat.AbuseRules) {
		r.Keywords, r.Destinations, r.NumberTypes = []string{"Casino", "free  money"}, []string{"de", "+43"}, []number.Type{"mobile"}
	})
	begin := func(to, text string) error {
		_, _, err := w.Begin(ctx, person("anna", ""), chat.Wanted{To: to, Text: text, Mode: chat.Transaction})
		return err
	}
	w.refused(begin(mobile(1), "Visit the ＣＡＳＩＮＯ today"), chat.Keyword)
	w.refused(begin(mobile(1), "here is FREE, money!"), chat.Keyword)
	w.refused(begin("+41791234567", "hi"), chat.Destination)
	w.refused(begin("+493012345678", "hi"), chat.Destination)
	for _, to := range []string{mobile(1), "+436641234567"} {
		if err := begin(to, "casinos are not the word, and freely money"); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// Rules with mistakes tell all of them and change nothing; good ones outlive a restart.
func TestRules(t *testing.T) {
	w := newWorld(t, 1)
	before := w.AbuseRules()
	r := before
	r.Keywords = []string{"ok", "!?", strings.Repeat("x", 101)}
	r.Destinations = []string{"DE", "XX"}
	r.NumberTypes = []number.Type{"king"}
	r.Limits.Visitor.PerMinute, r.Limits.Widget.PerDay = -1, 2_000_000
	r.Thresholds.Threat, r.WidgetThreshold, r.CountDays, r.SameText = -1, -1, 0, 20_000
	_, err := w.SetAbuseRules(ctx, r, "usr_admin")
	var refused intake.Refused
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	var fields []string
	for _, f := range refused {
		fields = append(fields, f.Field)
	}
	if got := strings.Join(fields, " "); got != "keywords[1] keywords[2] destinations[1] number_types[0] limits.visitor.per_minute limits.widget.per_day thresholds.threat widget_threshold count_days same_text" {
		t.Error(got)
	}
	if got := w.AbuseRules(); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("%+v", got)
	}
	r = before
	r.Keywords, r.Destinations, r.SameText = []string{" casino  royal", "casino royal"}, []string{"de", "DE"}, 7
	set, err := w.SetAbuseRules(ctx, r, "usr_admin")
	if err != nil || !slices.Equal(set.Keywords, []string{"casino royal"}) || !slices.Equal(set.Destinations, []string{"DE"}) {
		t.Fatal(set, err)
	}
	w.puzzles = true // so that the restart changes nothing
	w.restart()
	if got := w.AbuseRules(); fmt.Sprint(got) != fmt.Sprint(set) {
		t.Errorf("%+v, want %+v", got, set)
	}
}

// What is counted of an erased number stays, and the number goes; what is blocked stays.
func TestEraseOfAbuse(t *testing.T) {
	w := newWorld(t, 1)
	v := w.chats(visitor("v1"), phone, "hi")
	w.says(phone, v.Modem, "SPAM")
	if _, err := w.q.EraseNumber(ctx, phone); err != nil {
		t.Fatal(err)
	}
	if got := w.record("v1"); got.Answers.Spam != 1 || got.Name != "" || got.Address != "" {
		t.Errorf("of the stranger who wrote with that phone is kept %+v", got)
	}
	err := w.db.Read(ctx, func(r db.Querier) error {
		var n int
		err := r.QueryRow(`SELECT (SELECT count(*) FROM sender_answers WHERE number = ?1) + (SELECT count(*) FROM sender_numbers WHERE number = ?1)`, phone).Scan(&n)
		if n != 0 {
			t.Errorf("%d rows have the number", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

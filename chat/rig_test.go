package chat_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/chat"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

var ctx = context.Background()

const (
	phone = "+491711111111"
	other = "+491722222222"
)

// world is a chat on a real queue with simulated SIMs, and a clock that stands still
// until it is moved.
type world struct {
	t        testing.TB
	dir      string
	now      time.Time
	modems   modems
	people   []chat.Person
	rules    chat.Rules
	consent  queue.ConsentRules
	capacity int // of the queue; 0: as it comes
	// names are what teams call numbers.
	names map[string]map[string]string
	// puzzles are to be solved by strangers; only before start.
	puzzles bool
	net     *fakeNet // nil: there is no hub; only before start
	files   map[string]sms.File
	db      *db.DB
	q       *queue.Queue
	*chat.Chat
	heard int
}

type modems []sms.Modem

func (m modems) List() []sms.Modem { return m }

func (m modems) Get(name string) (sms.Modem, bool) {
	for _, one := range m {
		if one.Name == name {
			return one, true
		}
	}
	return sms.Modem{}, false
}

// named are the numbers that teams call so.
func (w *world) named(_ db.Querier, name string) (map[string][]string, error) {
	found := map[string][]string{}
	for team, names := range w.names {
		for number, called := range names {
			if called == name {
				found[team] = append(found[team], number)
			}
		}
	}
	return found, nil
}

// modemOf is the modem that has a SIM now.
func (w *world) modemOf(sim string) string {
	for _, m := range w.modems {
		if m.ICCID == sim {
			return m.Name
		}
	}
	return ""
}

// starts has a modem begin a message, and tells whether it may.
func (w *world) starts(row int64, modem string) bool {
	w.t.Helper()
	m, _ := w.modems.Get(modem)
	ok, err := w.q.Advance(nil, &queue.Start{Row: row, Part: 1, Modem: m.Name, SIM: m.ICCID, Local: m.Number, ExpectedMR: -1})
	if err != nil {
		w.t.Fatal(err)
	}
	return ok
}

// waits wants one message of a key to wait for a modem, "" any.
func (w *world) waits(key, pin string) queue.Waiting {
	w.t.Helper()
	got, err := w.q.TakeIn(ctx, sms.DefaultPriority, key, []string{pin}, math.MaxInt64, 9)
	if err != nil || len(got) == 0 {
		w.t.Fatalf("nothing of %s waits for %q: %v", key, pin, err)
	}
	return got[len(got)-1]
}

// fakeNet is a link to a hub and whom it reaches.
type fakeNet struct {
	down, silent bool
	url          string
	inboxes      map[string]bool // by number; true: somebody looks at it
	asked        int
}

func (f *fakeNet) Belongs() bool     { return true }
func (f *fakeNet) Up() bool          { return !f.down }
func (f *fakeNet) Since() time.Time  { return time.Time{} }
func (f *fakeNet) PublicURL() string { return f.url }

func (f *fakeNet) Who(_ context.Context, numbers []string) ([]chat.Presence, error) {
	f.asked++
	if f.silent {
		return nil, errors.New("no answer")
	}
	people := make([]chat.Presence, len(numbers))
	for i, n := range numbers {
		people[i].Online, people[i].Inbox = f.inboxes[n], false
		_, people[i].Inbox = f.inboxes[n]
	}
	return people, nil
}

// Stat makes the rig a store of files.
func (w *world) Stat(_ context.Context, id string) (sms.File, string, error) {
	f, ok := w.files[id]
	if !ok {
		return f, "", errors.New("not found")
	}
	return f, "", nil
}

// newWorld has so many SIMs.
func newWorld(t testing.TB, sims int) *world { return newLinkedWorld(t, sims, nil) }

// newLinkedWorld is one whose gateway belongs to a hub.
func newLinkedWorld(t testing.TB, sims int, net *fakeNet) *world {
	w := &world{t: t, net: net, files: map[string]sms.File{}, dir: t.TempDir(), now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	for i := range sims {
		name := string(rune('a' + i))
		w.modems = append(w.modems, sms.Modem{Name: name, State: sms.Ready, ICCID: "89490000000000000" + string(rune('0'+i)), Number: "+49170000000" + string(rune('0'+i))})
	}
	w.start()
	t.Cleanup(func() { w.db.Close() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	var err error
	if w.db, err = db.Open(ctx, db.Options{Dir: w.dir}); err != nil {
		w.t.Fatal(err)
	}
	now := func() time.Time { return w.now }
	if w.q, err = queue.Open(ctx, w.db, queue.Options{Now: now, ModemOf: w.modemOf, OutboundCapacity: w.capacity, Consent: func() queue.ConsentRules { return w.consent }}); err != nil {
		w.t.Fatal(err)
	}
	var internet chat.Internet
	if w.net != nil {
		internet = w.net
	}
	w.Chat, err = chat.New(ctx, chat.Options{Internet: internet, Files: w, DB: w.db, Queue: w.q, Desk: intake.New(intake.Options{Queue: w.q, Modems: &w.modems, Now: now}),
		Modems: func() []sms.Modem { return w.modems }, People: func(db.Querier) ([]chat.Person, error) { return w.people, nil }, Rules: func() chat.Rules { return w.rules }, Now: now,
		NameOf: func(_ db.Querier, team, number string) (string, error) { return w.names[team][number], nil }, Named: w.named,
		Person: auth.IsPerson})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.q.Resume(); err != nil {
		w.t.Fatal(err)
	}
	if !w.puzzles { // which only some tests solve
		w.set(func(r *chat.AbuseRules) { r.Puzzles = false })
	}
}

// set changes the rules of admins.
func (w *world) set(change func(*chat.AbuseRules)) {
	w.t.Helper()
	r := w.AbuseRules()
	change(&r)
	if _, err := w.SetAbuseRules(ctx, r, "usr_admin"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) restart() {
	w.t.Helper()
	if err := w.db.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.start()
}

// says has a phone text a SIM.
func (w *world) says(from, modem, text string) sms.Message {
	w.t.Helper()
	m, ok := w.modems.Get(modem)
	if !ok {
		w.t.Fatalf("no modem %s", modem)
	}
	w.heard++
	raw, err := pdu.EncodeText("+491710760000", from, text, w.now, byte(w.heard))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range raw {
		w.heard++
		if err := w.q.Receive(sms.Incoming{Modem: m.Name, ICCID: m.ICCID, Number: m.Number, PDU: p, Storage: "SM", Index: w.heard, At: w.now}); err != nil {
			w.t.Fatal(err)
		}
	}
	page, _, err := w.q.List(ctx, queue.Filter{Direction: sms.Inbound, Limit: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	return page[0]
}

func visitor(id string) chat.Sender {
	return chat.Sender{Kind: sms.AuthorVisitor, ID: id, Name: "Visitor " + id, Address: "192.0.2.1", Widget: "wdg_1"}
}

func person(id, team string) chat.Sender {
	return chat.Sender{Kind: sms.AuthorPerson, ID: id, Name: id, Team: team}
}

func (w *world) begin(s chat.Sender, want chat.Wanted) *chat.Conversation {
	w.t.Helper()
	v, _, err := w.Begin(ctx, s, want)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) send(s chat.Sender, id, text string) *sms.Message {
	w.t.Helper()
	m, err := w.Send(ctx, s, id, text, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// refused wants an error of this code.
func (w *world) refused(err error, code chat.Code) {
	w.t.Helper()
	var e *chat.Error
	if !errors.As(err, &e) || e.Code != code {
		w.t.Fatalf("%v, want %s", err, code)
	}
}

// state wants a conversation to be in this state.
func (w *world) state(id string, want chat.State) *chat.Conversation {
	w.t.Helper()
	v, err := w.Get(ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	if v.State != want {
		w.t.Fatalf("state %s, want %s: %+v", v.State, want, v)
	}
	return v
}

// texts are those of a conversation, as they went over the air.
func (w *world) texts(id string) (all []string) {
	w.t.Helper()
	t, err := w.Messages(ctx, id, "", "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range t.Messages {
		all = append(all, m.Text)
	}
	return all
}

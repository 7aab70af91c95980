package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// box is a queue on a real file with a clock that stands still until moved.
type box struct {
	t    *testing.T
	dir  string
	now  time.Time
	o    queue.Options
	db   *db.DB
	q    *queue.Queue
	said int
}

func open(t *testing.T, o queue.Options) *box {
	b := &box{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), o: o}
	b.o.Now = func() time.Time { return b.now }
	b.start()
	t.Cleanup(func() { b.db.Close() })
	return b
}

func (b *box) start() {
	b.t.Helper()
	var err error
	if b.db, err = db.Open(context.Background(), db.Options{Dir: b.dir}); err != nil {
		b.t.Fatal(err)
	}
	if b.q, err = resumed(context.Background(), b.db, b.o); err != nil {
		b.t.Fatal(err)
	}
}

// restart closes and opens the same file, as after a crash: what was not
// committed is gone.
func (b *box) restart() {
	b.t.Helper()
	if err := b.db.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.start()
}

func (b *box) submit(to, text string, more ...func(*queue.Draft)) sms.Message {
	b.t.Helper()
	d := queue.Draft{Message: sms.Message{To: to, Text: text, Priority: sms.DefaultPriority, DeliveryReport: true}}
	for _, f := range more {
		f(&d)
	}
	m, _, err := b.q.Submit(context.Background(), []queue.Draft{d}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return m[0]
}

func (b *box) message(id string) sms.Message {
	b.t.Helper()
	m, err := b.q.Message(context.Background(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return *m
}

func (b *box) begin(m sms.Message, part int) {
	b.t.Helper()
	b.advance(nil, b.startOf(m, part))
}

func (b *box) startOf(m sms.Message, part int) *queue.Start {
	return &queue.Start{Row: m.Row, Part: part, Modem: "office", SIM: "8949", Local: "+491700000000", Ref: 7, ExpectedMR: -1}
}

func (b *box) advance(v *queue.Verdict, s *queue.Start) {
	b.t.Helper()
	ok, err := b.q.Advance(v, s)
	if err != nil {
		b.t.Fatal(err)
	}
	if s != nil && !ok {
		b.t.Fatalf("message %d part %d was not allowed to start", s.Row, s.Part)
	}
}

func (b *box) want(id string, status sms.Status) sms.Message {
	b.t.Helper()
	m := b.message(id)
	if m.Status != status {
		b.t.Fatalf("status = %s (error %v), want %s", m.Status, m.Error, status)
	}
	return m
}

// told lists the types of a message's events in order.
func (b *box) told(id string) []string {
	b.t.Helper()
	all, err := b.q.EventsAfter(context.Background(), 0, 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	var types []string
	for _, e := range all {
		if e.Message == id {
			types = append(types, strings.TrimPrefix(e.Type, "message."))
			var m sms.Message
			if err := json.Unmarshal(e.Data, &m); err != nil {
				b.t.Fatal(err)
			}
			if sms.EventOf(m.Status) != e.Type {
				b.t.Errorf("event %s carries a message that is %s", e.Type, m.Status)
			}
		}
	}
	return types
}

func (b *box) wantTold(id string, want ...string) {
	b.t.Helper()
	if got := b.told(id); !slices.Equal(got, want) {
		b.t.Fatalf("told %v, want %v", got, want)
	}
}

func (b *box) receive(storage string, index int, raw []byte) {
	b.t.Helper()
	err := b.q.Receive(sms.Incoming{Modem: "office", ICCID: "8949", Number: "+491700000000", PDU: raw, Storage: storage, Index: index, At: b.now})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) report(mr byte, to string, status byte) {
	b.t.Helper()
	b.receive("", -1, pdu.EncodeReport("+491710760000", pdu.Report{MR: mr, To: to, SCTS: b.now, Discharge: b.now, Status: status}))
}

func (b *box) texts(from, text string, ref byte) [][]byte {
	b.t.Helper()
	raw, err := pdu.EncodeText("+491710760000", from, text, b.now, ref)
	if err != nil {
		b.t.Fatal(err)
	}
	return raw
}

func (b *box) inbound() []sms.Message {
	b.t.Helper()
	page, _, err := b.q.List(context.Background(), queue.Filter{Direction: sms.Inbound, Limit: 500})
	if err != nil {
		b.t.Fatal(err)
	}
	slices.Reverse(page)
	return page
}

// takeIn takes in what waits for any modem, the highest priority first.
func (b *box) takeIn() (all []queue.Waiting, err error) {
	for p := 9; p >= 0 && err == nil; p-- {
		keys := map[string]bool{}
		for _, x := range b.q.Backlogs() {
			keys[x.Key] = true
		}
		for key := range keys {
			found, fault := b.q.TakeIn(context.Background(), p, key, []string{""}, math.MaxInt64, 1000)
			all, err = append(all, found...), errors.Join(err, fault)
		}
	}
	return all, err
}

func (b *box) rings() sms.Rings { return b.q.Stats() }

func TestLifeOfAMessage(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit("+491701234567", "hello")
	if m.Status != sms.Queued || m.Encoding != sms.GSM7 || m.Parts != 1 {
		t.Fatalf("accepted as %+v", m)
	}
	b.begin(m, 1)
	b.want(m.ID, sms.Sending)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 41}, nil)
	got := b.want(m.ID, sms.Sent)
	if got.From != "+491700000000" || got.Modem != "office" || got.Attempts != 1 {
		t.Errorf("sent message is %+v", got)
	}
	b.report(41, "+491701234567", 0)
	b.want(m.ID, sms.Delivered)
	b.wantTold(m.ID, "queued", "sending", "sent", "delivered")
	r := b.rings().Outbound
	for name, p := range map[string]*int{"retrieved": r.LastRetrieved, "sent": r.LastSent, "confirmed": r.LastConfirmed, "processed": r.LastProcessed} {
		if p == nil || *p != 0 {
			t.Errorf("pointer %s = %v, want 0", name, p)
		}
	}
	if r.Depth != 0 {
		t.Errorf("depth = %d after the message was delivered", r.Depth)
	}
}

func TestAcceptedSurvivesRestart(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit("+491701234567", "hello")
	b.restart()
	w, err := b.takeIn()
	if err != nil || len(w) != 1 || w[0].Row != m.Row {
		t.Fatalf("waiting after restart: %v, %v", w, err)
	}
	b.wantTold(m.ID, "queued")
}

// A crash between Ctrl-Z and the booked answer is the only one after which a
// message is sent again, and it is marked then.
func TestCrashWhileSendingIsMarked(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit("+491701234567", "hello")
	b.begin(m, 1)
	b.restart()
	if got := b.want(m.ID, sms.Unconfirmed); got.PossibleDuplicate || got.Error.Code != "unconfirmed" {
		t.Fatalf("after the crash: %+v", got)
	}
	if _, err := b.q.SettleUnconfirmed(b.now.Add(119 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b.want(m.ID, sms.Unconfirmed)
	if _, err := b.q.SettleUnconfirmed(b.now.Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := b.want(m.ID, sms.Queued); !got.PossibleDuplicate {
		t.Error("the resend is not marked possible_duplicate")
	}
	b.begin(m, 1)
	b.restart() // our own end cuts the resend off: granted once more
	b.now = b.now.Add(2 * time.Minute)
	b.settle()
	b.want(m.ID, sms.Queued)
	b.begin(m, 1)
	b.restart()
	b.now = b.now.Add(2 * time.Minute)
	b.settle()
	if got := b.want(m.ID, sms.Failed); got.Error.Code != "unconfirmed" || !got.PossibleDuplicate {
		t.Errorf("in the end: %+v", got)
	}
}

func (b *box) settle() {
	b.t.Helper()
	if _, err := b.q.SettleUnconfirmed(b.now); err != nil {
		b.t.Fatal(err)
	}
}

func TestUnconfirmedIsSettled(t *testing.T) {
	doubtful := func(b *box, more ...func(*queue.Draft)) sms.Message {
		m := b.submit("+491701234567", "hello", more...)
		s := b.startOf(m, 1)
		s.ExpectedMR = 9
		b.advance(nil, s)
		b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartUnconfirmed}, nil)
		b.want(m.ID, sms.Unconfirmed)
		return m
	}
	late := func(b *box, m sms.Message) {
		b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 9}, nil)
	}
	t.Run("late answer", func(t *testing.T) {
		b := open(t, queue.Options{})
		m := doubtful(b)
		late(b, m)
		if got := b.want(m.ID, sms.Sent); got.Error != nil {
			t.Errorf("error stays: %v", got.Error)
		}
	})
	t.Run("status report", func(t *testing.T) {
		b := open(t, queue.Options{})
		m := doubtful(b)
		b.report(9, "01701234567", 0) // the network may tell the national form
		b.want(m.ID, sms.Delivered)
		b.wantTold(m.ID, "queued", "sending", "unconfirmed", "sent", "delivered")
	})
	t.Run("failed report", func(t *testing.T) {
		b := open(t, queue.Options{})
		m := doubtful(b)
		b.report(9, "+491701234567", 0x46)
		if got := b.want(m.ID, sms.Undelivered); got.Error == nil || got.Error.Code != "tp-st-70" {
			t.Errorf("error = %v", got.Error)
		}
	})
	t.Run("on_unconfirmed fail", func(t *testing.T) {
		b := open(t, queue.Options{})
		m := doubtful(b, func(d *queue.Draft) { d.OnUnconfirmed = sms.Fail })
		at := b.now
		b.now = b.now.Add(2 * time.Minute)
		b.settle()
		if got := b.want(m.ID, sms.Failed); got.PossibleDuplicate {
			t.Error("marked possible_duplicate though it was never resent")
		}
		b.reportOf(9, at, 0)
		b.want(m.ID, sms.Delivered)
	})
	t.Run("late answer while the resend waits", func(t *testing.T) {
		b := open(t, queue.Options{})
		m := doubtful(b)
		b.now = b.now.Add(2 * time.Minute)
		b.settle()
		late(b, m)
		if got := b.want(m.ID, sms.Sent); !got.PossibleDuplicate {
			t.Error("possible_duplicate was taken back")
		}
		if ok, err := b.q.Advance(nil, b.startOf(m, 1)); ok || err != nil {
			t.Errorf("a settled message may start again: %v %v", ok, err)
		}
	})
	t.Run("report for another number", func(t *testing.T) {
		b := open(t, queue.Options{})
		m := doubtful(b)
		b.report(9, "+491709999999", 0)
		b.want(m.ID, sms.Unconfirmed)
	})
	t.Run("report before the answer", func(t *testing.T) {
		b := open(t, queue.Options{})
		m := b.submit("+491701234567", "hello")
		b.begin(m, 1)
		b.report(5, "+491701234567", 0)
		b.want(m.ID, sms.Sending)
		b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 5}, nil)
		b.want(m.ID, sms.Delivered)
		b.wantTold(m.ID, "queued", "sending", "sent", "delivered")
	})
}

// A restart goes on with the first part that is not confirmed, under the same
// reference.
func TestPartsResume(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit("+491701234567", strings.Repeat("abcdefghij", 40)) // three parts
	if m.Parts != 3 {
		t.Fatalf("parts = %d", m.Parts)
	}
	b.begin(m, 1)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 1}, b.startOf(m, 2))
	b.advance(&queue.Verdict{Row: m.Row, Part: 2, Fate: queue.PartConfirmed, MR: 2}, nil)
	b.restart()
	b.want(m.ID, sms.Queued)
	j, err := b.q.Job(context.Background(), m.Row, "8949")
	if err != nil {
		t.Fatal(err)
	}
	if j.Next != 3 || j.Ref != 7 {
		t.Fatalf("resumes at part %d with reference %d, want 3 with 7", j.Next, j.Ref)
	}
	b.begin(m, 3)
	b.advance(&queue.Verdict{Row: m.Row, Part: 3, Fate: queue.PartConfirmed, MR: 3}, nil)
	if got := b.want(m.ID, sms.Sent); got.PossibleDuplicate {
		t.Error("marked possible_duplicate though nothing was sent twice")
	}
	for mr := byte(1); mr <= 3; mr++ {
		b.report(mr, m.To, 0)
	}
	b.want(m.ID, sms.Delivered)

	next := b.submit("+491701234567", strings.Repeat("abcdefghij", 40))
	if j, err := b.q.Job(context.Background(), next.Row, "8949"); err != nil || j.Ref != 8 {
		t.Errorf("the next message to the number has reference %v (%v), want 8", j, err)
	}
}

// Through another SIM all parts go again: a phone joins parts of one sender only.
func TestPartsThroughAnotherSIM(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit("+491701234567", strings.Repeat("abcdefghij", 40))
	b.begin(m, 1)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 1}, b.startOf(m, 2))
	b.advance(&queue.Verdict{Row: m.Row, Part: 2, Fate: queue.PartRetry}, nil)
	j, err := b.q.Job(context.Background(), m.Row, "another")
	if err != nil || j.Next != 1 || j.Ref == 7 {
		t.Fatalf("begins with %+v (%v)", j, err)
	}
	for part := 1; part <= 3; part++ {
		s := b.startOf(m, part)
		s.SIM, s.Ref = "another", j.Ref
		b.advance(nil, s)
		b.advance(&queue.Verdict{Row: m.Row, Part: part, Fate: queue.PartConfirmed, MR: 10 + part}, nil)
	}
	if got := b.want(m.ID, sms.Sent); !got.PossibleDuplicate {
		t.Error("not marked though the first part went out twice")
	}
	next := b.submit(m.To, m.Text)
	for range 2 { // a repeated first part keeps its reference, and gives back no later one
		j, err := b.q.Job(context.Background(), next.Row, "8949")
		if err != nil || j.Ref != 9 {
			t.Fatalf("the next message to the number has %+v (%v), want reference 9", j, err)
		}
		s := b.startOf(next, 1)
		s.Ref = j.Ref
		b.advance(nil, s)
		b.advance(&queue.Verdict{Row: next.Row, Part: 1, Fate: queue.PartRetry}, nil)
		s = b.startOf(b.submit(m.To, m.Text), 1)
		s.Ref = 10
		b.advance(nil, s)
	}
	if j, err := b.q.Job(context.Background(), b.submit(m.To, m.Text).Row, "8949"); err != nil || j.Ref != 11 {
		t.Errorf("the last message to the number has %+v (%v), want reference 11", j, err)
	}
}

func TestIdempotency(t *testing.T) {
	b := open(t, queue.Options{})
	ctx := context.Background()
	draft := []queue.Draft{{Message: sms.Message{To: "+491701234567", Text: "once"}}}
	once := &queue.Idempotency{KeyID: "k", Key: "order-1", Body: []byte("h1")}
	first, replayed, err := b.q.Submit(ctx, draft, once)
	if err != nil || replayed {
		t.Fatal(replayed, err)
	}
	b.begin(first[0], 1)
	b.restart()
	again, replayed, err := b.q.Submit(ctx, draft, once)
	if err != nil || !replayed {
		t.Fatal(replayed, err)
	}
	x, _ := json.Marshal(first)
	y, _ := json.Marshal(again)
	if string(x) != string(y) {
		t.Errorf("first answer  %s\nsecond answer %s", x, y)
	}
	other := &queue.Idempotency{KeyID: "k", Key: "order-1", Body: []byte("h2")}
	if _, _, err := b.q.Submit(ctx, draft, other); !errors.Is(err, queue.ErrKeyReused) {
		t.Errorf("another body: %v", err)
	}
	stranger := &queue.Idempotency{KeyID: "other", Key: "order-1", Body: []byte("h2")}
	if _, replayed, err := b.q.Submit(ctx, draft, stranger); err != nil || replayed {
		t.Errorf("another API key: %v %v", replayed, err)
	}
	page, _, _ := b.q.List(ctx, queue.Filter{})
	if len(page) != 2 {
		t.Errorf("%d messages, want 2", len(page))
	}
}

func TestClientID(t *testing.T) {
	b := open(t, queue.Options{})
	own := func(d *queue.Draft) { d.ClientID, d.KeyID = "mine-1", "k" }
	m := b.submit("+491701234567", "once", own)
	if again := b.submit("+491701234567", "once", own); again.ID != m.ID {
		t.Errorf("a repeated client_id made a second message")
	}
	_, _, err := b.q.Submit(context.Background(), []queue.Draft{{KeyID: "k",
		Message: sms.Message{To: "+491701234567", Text: "twice", ClientID: "mine-1"}}}, nil)
	if !errors.Is(err, queue.ErrKeyReused) {
		t.Errorf("the same client_id with another text: %v", err)
	}
}

func TestBatchIsAtomic(t *testing.T) {
	b := open(t, queue.Options{OutboundCapacity: 3})
	drafts := make([]queue.Draft, 4)
	for i := range drafts {
		drafts[i] = queue.Draft{Message: sms.Message{To: "+491701234567", Text: fmt.Sprint(i)}}
	}
	if _, _, err := b.q.Submit(context.Background(), drafts, nil); !errors.Is(err, queue.ErrFull) {
		t.Fatalf("4 messages into 3 slots: %v", err)
	}
	if r := b.rings().Outbound; r.Depth != 0 || r.LastRetrieved != nil {
		t.Errorf("a refused batch left %+v", r)
	}
	if n := b.q.CountByStatus()[sms.Queued]; n != 0 {
		t.Errorf("a refused batch left %d messages counted", n)
	}
	if w, err := b.takeIn(); len(w) != 0 || err != nil {
		t.Errorf("a refused batch waits: %v, %v", w, err)
	}
	if _, _, err := b.q.Submit(context.Background(), drafts[:3], nil); err != nil {
		t.Fatal(err)
	}
	if w, err := b.takeIn(); len(w) != 3 || err != nil {
		t.Errorf("%d of 3 messages wait (%v)", len(w), err)
	}
}

// Readers remember sequences: one that was given is never given again, not even
// after its message was erased and the gateway started anew.
func TestSequencesAreNotGivenTwice(t *testing.T) {
	b := open(t, queue.Options{})
	b.submit("+491701234567", "x")
	_, newest, err := b.q.Span(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.q.EraseNumber(context.Background(), "+491701234567"); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if _, n, err := b.q.Span(context.Background()); err != nil || n != newest {
		t.Errorf("the newest sequence is %d (%v), want %d", n, err, newest)
	}
	b.submit("+491701234567", "y")
	all, err := b.q.EventsAfter(context.Background(), 0, 10)
	if err != nil || len(all) != 1 || all[0].Seq <= newest {
		t.Errorf("%v (%v): sequence %d was given before", all, err, newest)
	}
}

func TestRetryKeepsPlaceAndError(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit("+491701234567", "x")
	b.begin(m, 1)
	why := &sms.Error{Code: "cms-42", Title: "congestion"}
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartRetry, Err: why, NotBefore: b.now.Add(time.Minute), RefusedBy: "8949"}, nil)
	if got := b.want(m.ID, sms.Queued); got.Error == nil || got.Error.Code != "cms-42" {
		t.Errorf("error = %v", got.Error)
	}
	b.restart()
	w, err := b.takeIn()
	if err != nil || len(w) != 1 || !w[0].NotBefore.Equal(b.now.Add(time.Minute)) || w[0].RefusedBy != "8949 " || w[0].SIM != "8949" {
		t.Fatalf("waiting %+v, %v", w, err)
	}
	b.begin(m, 1)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartFailed, Err: why}, nil)
	b.want(m.ID, sms.Failed)
	b.wantTold(m.ID, "queued", "sending", "queued", "sending", "failed")
}

func TestExpiry(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit("+491701234567", "x", func(d *queue.Draft) { d.ExpiresAt = b.now.Add(time.Minute) })
	b.now = b.now.Add(time.Minute)
	if ok, err := b.q.Advance(nil, b.startOf(m, 1)); ok || err != nil {
		t.Fatalf("an expired message was started: %v %v", ok, err)
	}
	b.want(m.ID, sms.Expired)
	n := b.submit("+491701234567", "y", func(d *queue.Draft) { d.ExpiresAt = b.now.Add(time.Minute) })
	b.now = b.now.Add(time.Minute)
	if _, err := b.q.ExpireDue(b.now); err != nil {
		t.Fatal(err)
	}
	if got := b.want(n.ID, sms.Expired); got.Error.Code != "expired" {
		t.Error(got.Error)
	}
}

// One that may have gone out is not told as expired: a report may still come.
func TestExpiryOfADoubt(t *testing.T) {
	b := open(t, queue.Options{})
	m := b.submit("+491701234567", "x", func(d *queue.Draft) { d.ExpiresAt = b.now.Add(3 * time.Minute) })
	s := b.startOf(m, 1)
	s.ExpectedMR = 9
	b.advance(nil, s)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartUnconfirmed}, nil)
	at := b.now
	b.now = b.now.Add(2 * time.Minute)
	b.settle()
	b.want(m.ID, sms.Queued)
	b.now = b.now.Add(time.Minute)
	if _, err := b.q.ExpireDue(b.now); err != nil {
		t.Fatal(err)
	}
	if got := b.want(m.ID, sms.Failed); got.Error.Code != "unconfirmed" || !got.PossibleDuplicate {
		t.Errorf("%+v, %v", got, got.Error)
	}
	b.reportOf(9, at, 0)
	b.want(m.ID, sms.Delivered)
}

func TestCancel(t *testing.T) {
	b := open(t, queue.Options{})
	ctx := context.Background()
	m := b.submit("+491701234567", "x")
	if got, err := b.q.Cancel(ctx, m.ID); err != nil || got.Status != sms.Canceled {
		t.Fatal(got, err)
	}
	if ok, err := b.q.Advance(nil, b.startOf(m, 1)); ok || err != nil {
		t.Errorf("a canceled message was started: %v %v", ok, err)
	}
	n := b.submit("+491701234567", "y")
	b.begin(n, 1)
	if _, err := b.q.Cancel(ctx, n.ID); !errors.Is(err, queue.ErrConflict) {
		t.Errorf("cancel while sending: %v", err)
	}
	if _, err := b.q.Cancel(ctx, "msg_none"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("cancel of nothing: %v", err)
	}
}

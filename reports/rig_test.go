package reports

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	phone = "+491701000001"
	iccid = "8949000000000000001"
)

var (
	anna   = &sms.Author{Kind: sms.AuthorPerson, ID: "usr_anna", Name: "Anna"}
	guest  = &sms.Author{Kind: sms.AuthorVisitor, ID: "vis_1", Name: "Guest", Widget: "wdg_shop", Address: "192.0.2.7"}
	itself = &sms.Author{Kind: sms.AuthorAuto, Name: "gatewayd"}
)

// rig is the real queue and database in virtual time, with reports that follow.
type rig struct {
	t      *testing.T
	dir    string
	db     *db.DB
	q      *queue.Queue
	r      *Reports
	cancel context.CancelFunc
	ended  chan error
	ref    byte
	// The clock is ahead of the machine's by skew, and nobody vouches for it if not trusted.
	skew      time.Duration
	untrusted bool
	keep      time.Duration
	began     time.Time
}

func inBubble(t *testing.T, f func(*rig)) {
	t.Helper()
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, dir: dir}
		r.start()
		defer func() { r.stop() }()
		f(r)
	})
}

func (r *rig) now() time.Time { return time.Now().Add(r.skew) }

func (r *rig) start() {
	r.t.Helper()
	ctx := context.Background()
	var err error
	if r.db, err = db.Open(ctx, db.Options{Dir: r.dir, SingleConn: true}); err != nil {
		r.t.Fatal(err)
	}
	r.began = r.now()
	trusted := func() bool { return !r.untrusted }
	if r.q, err = queue.Open(ctx, r.db, queue.Options{Now: r.now, Trusted: trusted, Began: func() time.Time { return r.began }}); err != nil {
		r.t.Fatal(err)
	}
	// A received text belongs to the conversation of its sender.
	r.q.OnReceive(func(_ *db.Tx, m *sms.Message, _ string) error {
		m.Conversation = "conv_" + m.From
		return nil
	})
	r.r = New(Options{DB: r.db, Queue: r.q, Now: r.now, Trusted: trusted, Word: strings.ToLower, Keep: func() time.Duration { return r.keep }})
	ctx, r.cancel = context.WithCancel(ctx)
	r.ended = make(chan error, 1)
	go func() { r.ended <- r.r.Run(ctx) }()
	synctest.Wait()
}

func (r *rig) stop() {
	r.t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		r.t.Errorf("Run: %v", err)
	}
	if err := r.db.Close(); err != nil {
		r.t.Error(err)
	}
}

// must is for what can't fail here.
func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// send sends a message and returns it; the network takes it, or refuses it with the code.
func (r *rig) send(author *sms.Author, key, text, refused string) sms.Message {
	r.t.Helper()
	draft := queue.Draft{Message: sms.Message{To: phone, Text: text, DeliveryReport: true, Author: author, Conversation: "conv_" + phone}, KeyID: key}
	all, _, err := r.q.Submit(context.Background(), []queue.Draft{draft}, nil)
	r.must(err)
	m := all[0]
	for part := 1; part <= m.Parts; part++ {
		r.ref++
		ok, err := r.q.Advance(nil, &queue.Start{Row: m.Row, Part: part, Modem: "office", SIM: iccid, Local: "+491700000000", ExpectedMR: -1})
		r.must(err)
		if !ok {
			r.t.Fatal("a part was not to be sent")
		}
		v := queue.Verdict{Row: m.Row, Part: part, Fate: queue.PartConfirmed, MR: int(r.ref)}
		if refused != "" {
			v.Fate, v.MR, v.Err = queue.PartFailed, -1, &sms.Error{Code: refused, Title: "Refused", Class: sms.Permanent}
		}
		_, err = r.q.Advance(&v, nil)
		r.must(err)
		if refused != "" {
			break
		}
	}
	return m
}

// report says that the phone has one of the last parts that were sent, or not.
func (r *rig) report(arrived bool, back byte) {
	r.t.Helper()
	p := pdu.Report{MR: r.ref - back, To: phone, SCTS: r.now(), Discharge: r.now()}
	if !arrived {
		p.Status = 0x46
	}
	r.must(r.q.Receive(sms.Incoming{Modem: "office", ICCID: iccid, PDU: pdu.EncodeReport("+491710760000", p), Index: -1, At: r.now()}))
}

// hear has the phone write.
func (r *rig) hear(text string) {
	r.t.Helper()
	r.ref++
	raw, err := pdu.EncodeText("+491710760000", phone, text, r.now(), r.ref)
	r.must(err)
	for _, p := range raw {
		r.must(r.q.Receive(sms.Incoming{Modem: "office", ICCID: iccid, Number: "+491700000000", PDU: p, Index: -1, At: r.now()}))
	}
}

// optOut is the event of an opt-out for another reason.
func (r *rig) optOut(reason string) {
	r.t.Helper()
	said := sms.Consent{Number: phone, Decision: sms.DecisionOptOut, Reason: reason, Conversation: "conv_" + phone, SIM: iccid}
	r.must(r.q.Append(sms.EventOfConsent(said.Decision), said, nil))
}

func (r *rig) settle() {
	time.Sleep(2 * lag)
	synctest.Wait()
}

func (r *rig) lines(q Query) []Line {
	r.t.Helper()
	if q.Until == 0 {
		q.Since, q.Until = 19700101, 29991231
		if q.By == ByDay {
			q.Since, q.Until = r.r.Today(), r.r.Today()
		}
	}
	lines, err := r.r.Report(context.Background(), q)
	r.must(err)
	return lines
}

// total is all that was ever counted.
func (r *rig) total() Line { return Total(r.lines(Query{By: BySIM})) }

func (r *rig) number(query string, args ...any) (n int) {
	r.t.Helper()
	r.must(r.db.Read(context.Background(), func(q db.Querier) error { return q.QueryRow(query, args...).Scan(&n) }))
	return n
}

package queue_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// copyOf makes a backup of the box and returns it as a box of its own, closed.
func (b *box) copyOf() *box {
	b.t.Helper()
	c := &box{t: b.t, dir: b.t.TempDir(), now: b.now, o: b.o}
	c.o.Now = func() time.Time { return c.now }
	if err := db.Backup(context.Background(), b.dir, filepath.Join(c.dir, db.FileName), false); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// restore makes c, a backup, what goes on, in the place of b; without b nothing
// is known of what came after it.
func (c *box) restore(b *box, verdict queue.HeldVerdict) queue.Takeover {
	c.t.Helper()
	o := db.Options{Dir: c.dir}
	if b != nil {
		if err := b.db.Close(); err != nil {
			c.t.Fatal(err)
		}
		o.Attach = filepath.Join(b.dir, db.FileName)
		c.now = b.now
	}
	d, err := db.Open(context.Background(), o)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := d.Write(func(tx *db.Tx) error { return db.ContinueSequences(tx, b != nil) }); err != nil {
		c.t.Fatal(err)
	}
	took, err := queue.Restore(context.Background(), d, b != nil, verdict, c.now)
	if err := errors.Join(err, d.Close()); err != nil {
		c.t.Fatal(err)
	}
	c.start()
	c.t.Cleanup(func() { c.db.Close() })
	c.holds("restore")
	return took
}

func init() {
	// What is held stands in no order until it is released.
	invariants["a place in the order"] = `SELECT count(*) FROM messages WHERE (queued_seq IS NOT NULL) <> (via = '' AND status IN ('queued', 'sending') AND held = 0)`
	invariants["only what waits is held"] = `SELECT count(*) FROM messages WHERE held > 0 AND status NOT IN ('scheduled', 'queued')`
}

func (b *box) decide(v queue.HeldVerdict) {
	b.t.Helper()
	if err := b.q.Settle(context.Background(), v); err != nil {
		b.t.Fatal(err)
	}
	b.holds("settling")
	if n, _, err := queue.Held(context.Background(), b.db); n != 0 || err != nil {
		b.t.Errorf("%d are still held (%v)", n, err)
	}
}

// offered lists the texts that modems would be given next, in order, each once.
func (b *box) offered() (texts []string) {
	b.t.Helper()
	waiting, err := b.takeIn()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, w := range waiting {
		j, err := b.q.Job(context.Background(), w.Row, "8949")
		if err != nil {
			b.t.Fatal(err)
		}
		texts = append(texts, j.Text)
	}
	return texts
}

// unfinished is one message of each kind that a backup can find unfinished.
func (b *box) unfinished() map[string]sms.Message {
	all := map[string]sms.Message{
		"queued":    b.submit("+491701000001", "queued"),
		"once":      b.submit("+491701000002", "once", func(d *queue.Draft) { d.OnUnconfirmed = sms.Fail }),
		"scheduled": b.submit("+491701000003", "scheduled", func(d *queue.Draft) { d.SendAt = b.now.Add(time.Hour) }),
		"sending":   b.submit("+491701000004", "sending"),
		"doubtful":  b.submit("+491701000005", "doubtful"),
		"expiring":  b.submit("+491701000006", "expiring", func(d *queue.Draft) { d.ExpiresAt = b.now.Add(time.Hour) }),
	}
	b.begin(all["sending"], 1)
	b.begin(all["doubtful"], 1)
	b.advance(&queue.Verdict{Row: all["doubtful"].Row, Part: 1, Fate: queue.PartUnconfirmed}, nil)
	return all
}

func TestRestoredMessagesAreHeld(t *testing.T) {
	b := open(t, queue.Options{})
	all := b.unfinished()
	c := b.copyOf()
	took := c.restore(nil, "")
	if took.Held != len(all) || took.Settled+took.Missing != 0 {
		t.Errorf("%+v", took)
	}
	for name, m := range all {
		if m = c.message(m.ID); !m.Held || m.Status != sms.Queued && m.Status != sms.Scheduled {
			t.Errorf("%s is %s, held %v", name, m.Status, m.Held)
		}
	}
	// Nothing moves them but a verdict, time's own and one's own cancellation.
	c.submit("+491701000007", "new")
	c.submit("+491701000008", "later", func(d *queue.Draft) { d.SendAt = c.now.Add(time.Hour) })
	c.now = c.now.Add(2 * time.Hour)
	for _, due := range []func(time.Time) (time.Time, error){c.q.ReleaseDue, c.q.ExpireDue, c.q.SettleUnconfirmed, c.q.FreeReported} {
		if _, err := due(c.now); err != nil {
			t.Fatal(err)
		}
	}
	c.restart()
	c.holds("time")
	if got := c.offered(); !slices.Equal(got, []string{"new", "later"}) {
		t.Errorf("offered: %v", got)
	}
	c.want(all["scheduled"].ID, sms.Scheduled)
	if m := c.want(all["expiring"].ID, sms.Expired); m.Held {
		t.Error("it expired and is held")
	}
	if m, err := c.q.Cancel(context.Background(), all["queued"].ID); err != nil || m.Status != sms.Canceled || m.Held || m.Error.Code != "restored" {
		t.Errorf("%+v %v", m, err)
	}
	c.decide(queue.Release)
	if got := c.offered(); !slices.Equal(got, []string{"sending", "doubtful"}) {
		t.Errorf("offered after the release: %v", got)
	}
	for _, name := range []string{"sending", "doubtful"} {
		if m := c.message(all[name].ID); !m.PossibleDuplicate {
			t.Errorf("%s may have gone out before and is not marked", name)
		}
	}
	if m := c.want(all["once"].ID, sms.Failed); m.Error.Code != "unconfirmed" {
		t.Errorf("at most once: %+v", m.Error)
	}
	if m := c.want(all["scheduled"].ID, sms.Scheduled); m.PossibleDuplicate {
		t.Error("it can't have gone out before its time, which had not come at the restore")
	}
	if _, err := c.q.ReleaseDue(c.now); err != nil {
		t.Fatal(err)
	}
	c.want(all["scheduled"].ID, sms.Queued)
}

// What is held may have gone out, so that it expired says nothing of that: a
// status report still counts, and nobody is told that it was not sent.
func TestHeldMessagesThatExpire(t *testing.T) {
	b := open(t, queue.Options{})
	hour := func(d *queue.Draft) { d.ExpiresAt = b.now.Add(time.Hour) }
	waiting, sending := b.submit("+491701000001", "waiting", hour), b.submit("+491701000002", "sending", hour)
	b.begin(sending, 1)
	c := b.copyOf()
	c.restore(nil, "")
	began := c.now
	c.now = c.now.Add(2 * time.Hour)
	if _, err := c.q.ExpireDue(c.now); err != nil {
		t.Fatal(err)
	}
	c.holds("expiry")
	if m := c.want(waiting.ID, sms.Expired); !strings.Contains(m.Error.Detail, "may have gone out") {
		t.Errorf("one that may have gone out expired: %+v", m.Error)
	}
	if m := c.want(sending.ID, sms.Failed); m.Error.Code != "unconfirmed" {
		t.Errorf("one that a modem had: %+v", m.Error)
	}
	err := c.q.Receive(sms.Incoming{Modem: "office", ICCID: "8949", Index: -1, At: c.now,
		PDU: pdu.EncodeReport("+491710760000", pdu.Report{MR: 9, To: sending.To, SCTS: began, Discharge: c.now})})
	if err != nil {
		t.Fatal(err)
	}
	c.want(sending.ID, sms.Delivered)
}

func TestRestoredMessagesAreCanceled(t *testing.T) {
	b := open(t, queue.Options{})
	all := b.unfinished()
	c := b.copyOf()
	c.restore(nil, "")
	c.decide(queue.Cancel)
	for name, want := range map[string]sms.Status{"queued": sms.Canceled, "once": sms.Canceled, "scheduled": sms.Canceled,
		"expiring": sms.Canceled, "sending": sms.Failed, "doubtful": sms.Failed} {
		c.want(all[name].ID, want)
	}
	if d := c.rings().Outbound.Depth; d != 0 {
		t.Errorf("%d slots are still used", d)
	}
}

// The replaced database tells what became of the backup's messages after it.
func TestReplacedDatabaseTellsTheEnd(t *testing.T) {
	b := open(t, queue.Options{})
	all := b.unfinished()
	all["delivered"] = b.submit("+491701000008", "delivered")
	all["two parts"] = b.submit("+491701000009", strings.Repeat("x", 200))
	c := b.copyOf()
	b.advance(&queue.Verdict{Row: all["sending"].Row, Part: 1, Fate: queue.PartConfirmed, MR: 7}, nil)
	b.begin(all["delivered"], 1)
	b.advance(&queue.Verdict{Row: all["delivered"].Row, Part: 1, Fate: queue.PartConfirmed, MR: 8}, nil)
	b.report(8, all["delivered"].To, 0)
	b.begin(all["two parts"], 1)
	if _, err := b.q.Cancel(context.Background(), all["scheduled"].ID); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(time.Hour)
	if _, err := b.q.SettleUnconfirmed(b.now); err != nil {
		t.Fatal(err)
	}
	b.submit("+491701000010", "after the backup")
	took := c.restore(b, "")
	if took.Settled != 3 || took.Missing != 1 || took.Held != len(all)-3 {
		t.Errorf("%+v", took)
	}
	c.want(all["sending"].ID, sms.Sent)
	c.want(all["delivered"].ID, sms.Delivered)
	c.want(all["scheduled"].ID, sms.Canceled)
	if told := c.told(all["delivered"].ID); !slices.Equal(told, []string{"queued", "sent", "delivered"}) {
		t.Errorf("told: %v", told)
	}
	c.report(7, all["sending"].To, 0)
	c.want(all["sending"].ID, sms.Delivered)
	c.decide(queue.Release)
	for name, marked := range map[string]bool{"queued": false, "once": false, "expiring": false, "doubtful": true, "two parts": true} {
		if m := c.want(all[name].ID, sms.Queued); m.PossibleDuplicate != marked {
			t.Errorf("%s: marked %v, want %v", name, m.PossibleDuplicate, marked)
		}
	}
}

// Of two consent entries the stricter stays: only a START after the STOP lifts it.
func TestStricterConsentStays(t *testing.T) {
	b := open(t, queue.Options{})
	n := 0
	says := func(x *box, number, word string) {
		n++
		x.now = x.now.Add(time.Minute)
		x.receive("", -1, x.texts(number, word, byte(n))[0])
	}
	const before, after, lifted, erased, again = "+491702000001", "+491702000002", "+491702000003", "+491702000004", "+491702000005"
	for _, number := range []string{before, lifted, erased, again} {
		says(b, number, "STOP")
	}
	c := b.copyOf()
	says(b, after, "STOP")
	says(b, lifted, "START")
	says(b, erased, "START")
	says(b, again, "START")
	says(b, again, "STOP")
	if _, err := b.q.EraseNumber(context.Background(), erased); err != nil { // and with it the START
		t.Fatal(err)
	}
	c.restore(b, "")
	for number, want := range map[string]sms.Status{before: sms.Failed, after: sms.Failed, erased: sms.Failed, again: sms.Failed, lifted: sms.Queued} {
		if m := c.message(c.submit(number, "hello").ID); m.Status != want {
			t.Errorf("a text to %s is %s, want %s", number, m.Status, want)
		}
	}
	says(c, again, "START")
	c.want(c.submit(again, "hello").ID, sms.Queued)

	// The other way round: the backup is the newer one.
	b = open(t, queue.Options{})
	says(b, before, "STOP")
	old := b.copyOf()
	says(b, before, "START")
	says(b, after, "STOP")
	newer := b.copyOf()
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	old.start()
	newer.restore(old, "")
	newer.want(newer.submit(before, "hello").ID, sms.Queued)
	newer.want(newer.submit(after, "hello").ID, sms.Failed)
}

// A time that nobody vouches for proves nothing: whichever of STOP and START
// seems to be later, STOP stays.
func TestConsentOfAnUnsetClock(t *testing.T) {
	const number = "+491702000006"
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		start time.Time // in the backup, and whether its clock was set
		set   bool
		last  time.Time // of the STOP
	}{
		"a START that seems to come later": {start: noon.AddDate(9, 0, 0), last: noon},
		"a STOP that seems to come first":  {start: noon, set: true, last: noon.AddDate(-56, 0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			trusted := c.set
			said := func(x *box, word string, at time.Time, n byte) {
				x.now = at
				x.receive("", -1, x.texts(number, word, n)[0])
			}
			backup := open(t, queue.Options{Trusted: func() bool { return trusted }})
			said(backup, "START", c.start, 1)
			backup = backup.copyOf()
			trusted = !c.set
			replaced := open(t, queue.Options{Trusted: func() bool { return trusted }})
			said(replaced, "STOP", c.last, 2)
			trusted = true
			backup.now = noon.Add(time.Hour)
			backup.restore(replaced, "")
			if m := backup.message(backup.submit(number, "hello").ID); m.Status != sms.Failed {
				t.Errorf("a text to one who said STOP is %s", m.Status)
			}
		})
	}
}

// What else must not go back in time.
func TestRestoreGoesNotBackInTime(t *testing.T) {
	ctx := context.Background()
	b := open(t, queue.Options{})
	draft := func(text, client string) []queue.Draft {
		return []queue.Draft{{Message: sms.Message{To: "+491703000001", Text: text, ClientID: client}, KeyID: "k"}}
	}
	once := func(key string) *queue.Idempotency {
		return &queue.Idempotency{KeyID: "k", Key: key, Body: []byte("body")}
	}
	submit := func(x *box, text, client, key string) (sms.Message, error) {
		m, _, err := x.q.Submit(ctx, draft(text, client), once(key))
		if err != nil {
			return sms.Message{}, err
		}
		return m[0], nil
	}
	early, err := submit(b, "early", "c1", "i1")
	if err != nil {
		t.Fatal(err)
	}
	secret := b.submit("+491703000002", "secret")
	b.begin(secret, 1)
	b.advance(&queue.Verdict{Row: secret.Row, Part: 1, Fate: queue.PartConfirmed, MR: 1}, nil)
	c := b.copyOf()
	if _, err := submit(b, "late", "c2", "i2"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.q.Redact(ctx, secret.ID); err != nil {
		t.Fatal(err)
	}
	for range 3 { // references go on, and the day is fuller
		long := b.submit("+491703000003", strings.Repeat("y", 200))
		j, err := b.q.Job(ctx, long.Row, "8949")
		if err != nil {
			t.Fatal(err)
		}
		s := b.startOf(long, 1)
		s.Ref = j.Ref
		b.advance(nil, s)
	}
	last := b.submit("+491703000003", strings.Repeat("z", 200))
	next, err := b.q.Job(ctx, last.Row, "8949")
	if err != nil {
		t.Fatal(err)
	}
	used := b.q.Used("8949", b.now)
	_, newest, err := b.q.Span(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c.restore(b, "")

	if m, err := submit(c, "early", "c1", "i1"); err != nil || m.ID != early.ID {
		t.Errorf("asked again for what the backup has: %v %v", m.ID, err)
	}
	if _, err := submit(c, "late", "c2", "i2"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("asked again under the same Idempotency-Key for what came after the backup: %v", err)
	}
	if _, err := submit(c, "late", "c2", "i3"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("asked again under the same client_id for what came after the backup: %v", err)
	}
	if m := c.message(secret.ID); !m.Redacted || m.Text != "" {
		t.Errorf("erased after the backup, and back again: %q", m.Text)
	}
	if got := c.q.Used("8949", c.now); got.Day != used.Day {
		t.Errorf("the SIM has sent %d parts today, and not %d", used.Day, got.Day)
	}
	m := c.submit("+491703000003", strings.Repeat("z", 200))
	if j, err := c.q.Job(ctx, m.Row, "8949"); err != nil || j.Ref != next.Ref {
		t.Errorf("reference %d, want %d (%v)", j.Ref, next.Ref, err)
	}
	oldest, now, err := c.q.Span(ctx)
	if err != nil || oldest-1 <= newest || now <= newest {
		t.Errorf("the log reaches from %d to %d (%v): who has read up to %d would not notice that it is another one", oldest, now, err, newest)
	}
	all, err := c.q.EventsAfter(ctx, newest, 100)
	if err != nil || len(all) == 0 {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Seq <= newest+1 {
			t.Errorf("the sequence %d was given before", e.Seq)
		}
	}
}

// A verdict that was given while no daemon ran is found by the one that starts.
func TestVerdictIsLeftForTheDaemon(t *testing.T) {
	b := open(t, queue.Options{})
	if err := queue.Decide(b.db, queue.Release); !errors.Is(err, queue.ErrNothingHeld) {
		t.Errorf("%v", err)
	}
	b.submit("+491704000001", "x")
	c := b.copyOf()
	c.restore(b, queue.Cancel)
	if n, v, err := queue.Held(context.Background(), c.db); n != 1 || v != queue.Cancel || err != nil {
		t.Error(n, v, err)
	}
	if err := queue.Decide(c.db, queue.Release); err != nil {
		t.Fatal(err)
	}
	if n, v, err := queue.Held(context.Background(), c.db); n != 1 || v != queue.Release || err != nil {
		t.Error(n, v, err)
	}
}

// More than one slice.
func TestManyAreHeld(t *testing.T) {
	b := open(t, queue.Options{})
	const many = 230
	for i := range many {
		b.submit(fmt.Sprintf("+4917050%05d", i), fmt.Sprint(i))
	}
	c := b.copyOf()
	if took := c.restore(nil, ""); took.Held != many {
		t.Errorf("%+v", took)
	}
	c.decide(queue.Release)
	waiting, err := c.takeIn()
	if err != nil || len(waiting) != many {
		t.Errorf("%d wait (%v)", len(waiting), err)
	}
	if !slices.IsSortedFunc(waiting, func(a, b queue.Waiting) int { return int(a.Row - b.Row) }) {
		t.Error("not in the order of acceptance")
	}
}

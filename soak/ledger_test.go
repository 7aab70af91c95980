package soak

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
)

// plan is what was promised and sent, and what became of it so far.
type plan struct {
	before map[string]int // as parts, until turned
	turned time.Time
	out    map[string]*promise  // by text
	in     map[string]time.Time // texts of handsets, and when they were sent
	seq    int                  // of the network's ledger, read so far
	parts  map[string]int       // how often the network had each part
	number int                  // of texts made
	counts map[string]int
}

// promise is a message that was accepted.
type promise struct {
	m        sms.Message
	at       time.Time // when it was accepted, whatever the clock said
	times    int       // how often the network had it
	first    time.Time // when it had it first
	canceled bool      // somebody tried to cancel it
}

// verified is how long after its time a message is checked and forgotten: all
// waits are over by then.
const verified = 30 * time.Hour

// readNetwork takes in what the network accepted.
func (w *world) readNetwork() {
	p := &w.plan
	for _, s := range w.net.AcceptedAfter(p.seq) {
		p.seq = s.Seq
		key := string(s.TPDU)
		if s.At.Sub(p.turned) > verified { // what goes out twice does so within that
			p.before, p.parts, p.turned = p.parts, map[string]int{}, s.At
		}
		if p.parts[key] == 0 {
			p.parts[key] = p.before[key]
		}
		p.parts[key]++
		p.counts["parts"]++
		if !s.Complete && p.parts[key] == 1 {
			continue
		}
		text := s.Text
		if !s.Complete { // a part that came again after the rest
			continue
		}
		o := p.out[text]
		if o == nil {
			w.t.Errorf("%s: the network had %.20q, which nobody sent or which was settled long ago", s.At.Format(time.DateTime), text)
			continue
		}
		if o.times = max(o.times, p.parts[key]); o.first.IsZero() {
			o.first = s.At
		}
		if at := o.m.SendAt; !at.IsZero() && s.At.Before(at.Add(-time.Second)) {
			w.t.Errorf("%.20q went out %v early", text, at.Sub(s.At))
		}
	}
}

// check settles all that is older than verified, or everything.
func (w *world) check(all bool) {
	w.t.Helper()
	w.readNetwork()
	now := time.Now()
	old := func(at time.Time) bool { return all || now.Sub(at) > verified }
	page := w.inbound()
	for text, o := range w.plan.out {
		at := o.at
		if o.m.SendAt.After(at) {
			at = o.m.SendAt
		}
		if old(at) {
			w.checkOut(o)
			delete(w.plan.out, text)
		}
	}
	plain := map[string][]sms.Message{}
	for _, m := range page {
		if !m.PossibleDuplicate {
			plain[m.Text] = append(plain[m.Text], m)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for text, at := range w.plan.in {
		if !old(at) {
			continue
		}
		delete(w.plan.in, text)
		w.plan.counts["received"]++
		if n := len(plain[text]); n != 1 {
			w.t.Errorf("%.20q was sent by a handset at %s and received %d times", text, at.Format(time.DateTime), n)
			continue
		}
		if s := w.told[plain[text][0].ID]; s == nil {
			w.t.Errorf("%.20q was received, and the receiver was not told", text)
		}
	}
	for id, s := range w.told {
		if old(s.at.Add(24 * time.Hour)) { // its message may have been scheduled
			delete(w.told, id)
		}
	}
}

// inbound lists what was received of late.
func (w *world) inbound() (all []sms.Message) {
	w.t.Helper()
	f := queue.Filter{Direction: sms.Inbound, Limit: 500}
	for {
		page, next, err := w.g.Queue().List(context.Background(), f)
		if err != nil {
			w.t.Fatal(err)
		}
		if all = append(all, page...); next == "" {
			return all
		}
		f.Cursor = next
	}
}

// checkOut holds the four ledgers of one message against each other.
func (w *world) checkOut(o *promise) {
	w.t.Helper()
	got, err := w.g.Queue().Message(context.Background(), o.m.ID)
	if errors.Is(err, queue.ErrNotFound) {
		w.t.Errorf("%.20q is gone", o.m.Text)
		return
	} else if err != nil {
		w.t.Fatal(err)
	}
	w.plan.counts[string(got.Status)]++
	if got.PossibleDuplicate {
		w.plan.counts["marked"]++
	}
	wrong := func(words string) {
		w.t.Errorf("%.20q to %s, accepted %s, %s: %s; the network had it %d times; error %v, attempts %d", o.m.Text, o.m.To,
			o.at.Format(time.DateTime), got.Status, words, o.times, got.Error, got.Attempts)
	}
	doubtful := got.Error != nil && got.Error.Code == "unconfirmed"
	switch got.Status {
	case sms.Sent, sms.Delivered, sms.Undelivered:
		// The rest of one whose first part was undeliverable is not sent.
		if o.times == 0 && (got.Status != sms.Undelivered || got.Parts == 1) {
			wrong("it was lost")
		}
	case sms.Failed:
		if o.times > 0 && !doubtful && got.Parts == 1 {
			wrong("it went out")
		}
	case sms.Canceled:
		if o.times > 0 || !o.canceled {
			wrong("it went out, or nobody canceled it")
		}
	case sms.Expired:
		if o.times > 0 || o.m.ExpiresAt.IsZero() {
			wrong("it went out, or it can't expire")
		}
	default:
		wrong("it is not settled")
	}
	if o.times > 1 && !got.PossibleDuplicate {
		wrong("it went out more than once without a mark")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.told[o.m.ID]
	if s == nil {
		wrong("the receiver was told nothing")
		return
	}
	delete(w.told, o.m.ID)
	if s.last.Status != got.Status {
		wrong("the receiver was told " + strings.Join(s.events, ", "))
	}
	if i := slices.Index(s.events, "delivered"); i >= 0 && !slices.Contains(s.events[:i], "sent") {
		wrong("delivered was told before sent")
	}
	if got.Status == sms.Expired && s.at.Before(o.m.ExpiresAt.Add(-time.Second)) {
		wrong("it expired early")
	}
}

package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// onStream is a message in a gateway's stream.
type onStream struct {
	queue.Relayed
	seq       uint64
	delivered bool // the gateway has seen it, at least once
	acked     bool
}

// branch is a gateway with what lies between it and the hub.
type branch struct {
	*box
	name    string
	epoch   int64 // at the hub
	heard   int64 // of the hub's log of consent
	told    int64 // up to which event the hub has it
	floor   int64 // what is before is not told again: the hub knows the last sequence of each gateway
	stream  []*onStream
	ids     map[string]bool // the stream's de-duplication
	receipt map[string]int  // addresses that the gateway was not told for sure
	air     []*queue.Start
	mr      byte
}

// fleet is a hub and its gateways, and what was sent.
type fleet struct {
	t        *testing.T
	rnd      *rand.Rand
	hub      *box
	branches []*branch
	sends    map[string]int
	says     map[string]bool // numbers: whether the last thing that they said was STOP
	texts    int
}

func newFleet(t *testing.T, seed uint64) *fleet {
	f := &fleet{t: t, rnd: rand.New(rand.NewPCG(seed, 8)), hub: open(t, queue.Options{Hub: true, OutboundCapacity: 30, ReportWait: time.Hour, BatchSlice: 2}),
		sends: map[string]int{}, says: map[string]bool{}}
	for _, name := range []string{"north", "south"} {
		b := &branch{box: open(t, queue.Options{OutboundCapacity: 8, ReportWait: time.Hour}), name: name, epoch: 1, ids: map[string]bool{}, receipt: map[string]int{}}
		if _, err := b.q.Cursor("hub"); err != nil {
			t.Fatal(err)
		}
		f.branches = append(f.branches, b)
	}
	return f
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil && !errors.Is(err, queue.ErrConflict) && !errors.Is(err, queue.ErrFull) && !errors.Is(err, queue.ErrNotFound) {
		f.t.Fatal(err)
	}
}

func (f *fleet) tick(d time.Duration) {
	now := f.hub.now.Add(d)
	f.hub.now = now
	for _, b := range f.branches {
		b.now = now
	}
}

// route gives some of what waits to gateways.
func (f *fleet) route(most int) {
	all, err := f.hub.q.Unrouted(context.Background(), 0, most)
	f.must(err)
	for i, u := range all {
		if i > 0 && all[i-1].Seq >= u.Seq {
			f.t.Fatalf("unrouted at %d behind %d", u.Seq, all[i-1].Seq)
		}
		b := f.branches[f.rnd.IntN(len(f.branches))]
		f.must(f.hub.q.Do(func(tx *db.Tx) error {
			_, err := f.hub.q.GiveTx(tx, u.Row, b.name, b.epoch)
			return err
		}))
	}
}

// publish puts what is given into the stream; an acknowledgement may be lost.
func (f *fleet) publish(b *branch, most int, cut bool) {
	given, err := f.hub.q.Given(context.Background(), b.name, most)
	f.must(err)
	for _, r := range given {
		id := fmt.Sprint(r.ID, ".", r.Epoch)
		if !b.ids[id] {
			b.ids[id] = true
			b.stream = append(b.stream, &onStream{Relayed: r, seq: uint64(len(b.ids))})
		}
		if cut && f.rnd.IntN(3) == 0 {
			continue
		}
		f.must(f.hub.q.Do(func(tx *db.Tx) error { return f.hub.q.PublishedTx(tx, r.Row, uint64(len(b.ids))) }))
	}
}

// pull has the gateway store what it gets, in any order; an acknowledgement may be lost.
func (f *fleet) pull(b *branch, most int, cut bool) {
	var some []*onStream
	for _, i := range f.rnd.Perm(len(b.stream)) {
		if len(some) < most && !b.stream[i].acked {
			some = append(some, b.stream[i])
		}
	}
	var all []queue.Mirrored
	for _, o := range some {
		o.delivered = true
		m := o.Message
		all = append(all, queue.Mirrored{ID: o.ID, Address: o.Address, Epoch: o.Epoch, MayHaveGone: o.MayHaveGone, Draft: queue.Draft{Message: sms.Message{To: m.To, Text: m.Text,
			Priority: m.Priority, DeliveryReport: m.DeliveryReport, OnUnconfirmed: m.OnUnconfirmed, ExpiresAt: m.ExpiresAt}, Consent: o.Consent}})
	}
	if len(all) == 0 || cut && f.rnd.IntN(4) == 0 {
		return
	}
	errs, err := b.q.StoreMirrored(context.Background(), all)
	f.must(err)
	for i, o := range some {
		o.acked = errs[i] == nil && !(cut && f.rnd.IntN(4) == 0)
	}
}

// events has the hub hear of what happened at a gateway, some of it once more.
func (f *fleet) events(b *branch, most int, cut bool) {
	from := b.told
	if cut {
		from = max(b.floor, from-int64(f.rnd.IntN(6)))
	}
	all, err := b.q.EventsAfter(context.Background(), from, most)
	f.must(err)
	for _, e := range all {
		f.tell(b, e)
		if b.told = max(b.told, e.Seq); cut && f.rnd.IntN(5) == 0 {
			continue // and it is not noted
		}
		f.must(b.q.Do(func(tx *db.Tx) error { return b.q.AdvanceTx(tx, "hub", b.told, 0) }))
	}
}

func (f *fleet) tell(b *branch, e sms.Event) {
	f.t.Helper()
	q := f.hub.q
	if e.Row == 0 {
		var c sms.Consent
		f.must(json.Unmarshal(e.Data, &c))
		if c.Source != queue.FromHub && (c.Decision == sms.DecisionOptOut || c.Decision == sms.DecisionOptIn) {
			f.must(q.Do(func(tx *db.Tx) error {
				return q.OptTx(tx, c.Number, c.Decision == sms.DecisionOptOut, c.At, queue.Source{Reason: c.Reason, Wording: c.Wording, By: b.name})
			}))
		}
		return
	}
	var m sms.Message
	f.must(json.Unmarshal(e.Data, &m))
	var s queue.State
	var a queue.Arrived
	ours := false
	f.must(b.db.Read(context.Background(), func(r db.Querier) (err error) {
		if m.Direction == sms.Inbound {
			a, err = b.q.ArrivalOf(r, e.Row)
			return err
		}
		s = queue.State{Status: m.Status, Modem: m.Modem, Local: m.From, Attempts: m.Attempts, PossibleDuplicate: m.PossibleDuplicate,
			SentAt: m.SentAt, DeliveredAt: m.DeliveredAt, UpdatedAt: m.UpdatedAt, Error: m.Error}
		s.ID, s.Address, s.Epoch, s.Mirror, s.SIM, ours, err = b.q.MirrorOf(r, e.Row)
		return err
	}))
	f.must(q.Do(func(tx *db.Tx) error {
		if ours {
			return q.ApplyTx(tx, b.name, e.Seq, s)
		}
		if m.Direction != sms.Inbound {
			return nil
		}
		a.Message = m
		address, err := q.ArriveTx(tx, b.name, a)
		b.receipt[m.ID] = address
		return err
	}))
}

// receipts tells the gateway where the hub has what it received.
func (f *fleet) receipts(b *branch, cut bool) {
	for _, id := range slices.Sorted(maps.Keys(b.receipt)) {
		if cut && f.rnd.IntN(3) == 0 {
			continue
		}
		f.must(b.q.Do(func(tx *db.Tx) error { return b.q.ReceiptTx(tx, id, b.receipt[id]) }))
		if !cut || f.rnd.IntN(3) > 0 {
			delete(b.receipt, id)
		}
	}
}

// hello has the gateway hear what the hub wants of it.
func (f *fleet) hello(b *branch) {
	f.must(b.q.Fence(context.Background(), b.epoch))
	changes, err := f.hub.q.ConsentAfter(context.Background(), b.heard, 100)
	f.must(err)
	for _, c := range changes {
		f.must(b.q.Do(func(tx *db.Tx) error {
			return b.q.OptTx(tx, c.Number, c.Stopped, c.At, queue.Source{Reason: c.Reason, Wording: c.Wording, By: queue.FromHub})
		}))
		b.heard = c.Seq
	}
}

// send has a modem of the gateway do something.
func (f *fleet) send(b *branch, sure bool) {
	ctx := context.Background()
	if len(b.air) > 0 && (sure || f.rnd.IntN(3) > 0) {
		s := b.air[0]
		b.air = b.air[1:]
		b.mr++
		v := &queue.Verdict{Row: s.Row, Part: 1, MR: int(b.mr), Err: &sms.Error{Code: "cms-38"}}
		if !sure {
			v.Fate = []queue.Fate{queue.PartConfirmed, queue.PartConfirmed, queue.PartConfirmed, queue.PartRetry, queue.PartFailed, queue.PartUnconfirmed}[f.rnd.IntN(6)]
		}
		if v.Fate == queue.PartRetry || v.Fate == queue.PartFailed {
			f.sends[s.Modem]--
		}
		s.Modem = "office"
		_, err := b.q.Advance(v, nil)
		f.must(err)
		return
	}
	waiting, _, err := b.q.List(ctx, queue.Filter{Status: []sms.Status{sms.Queued}, Limit: 50})
	f.must(err)
	if len(waiting) == 0 {
		return
	}
	m := waiting[f.rnd.IntN(len(waiting))]
	s := b.startOf(m, 1)
	ok, err := b.q.Advance(nil, s)
	f.must(err)
	if ok {
		f.sends[m.ID]++
		s.Modem = m.ID
		b.air = append(b.air, s)
	}
}

// reports has a status report come for something that was sent.
func (f *fleet) reports(b *branch) {
	sent, _, err := b.q.List(context.Background(), queue.Filter{Status: []sms.Status{sms.Sent, sms.Unconfirmed}, Limit: 20})
	f.must(err)
	for _, m := range sent {
		parts, err := b.q.Parts(context.Background(), m.Row)
		f.must(err)
		if f.rnd.IntN(2) == 0 && len(parts) == 1 && parts[0].MR != nil {
			b.box.report(byte(*parts[0].MR), m.To, []byte{0, 0, 0x46}[f.rnd.IntN(3)])
		}
	}
}

func (f *fleet) say(b *branch) {
	to := fmt.Sprintf("+49170000000%d", f.rnd.IntN(3))
	f.texts++
	text := []string{"STOP", "START", fmt.Sprint("text ", f.texts)}[f.rnd.IntN(3)]
	f.tick(time.Second) // no two at the same time
	b.receive("", -1, b.texts(to, text, byte(f.texts))[0])
	if text == "STOP" || text == "START" {
		f.says[to] = text == "STOP"
	}
}

// move takes everything from a gateway, as an operator may.
func (f *fleet) move(b *branch) {
	b.epoch, b.floor = b.epoch+1, b.told
	all, err := f.hub.q.RelaysOf(context.Background(), b.name, 0, 1000)
	f.must(err)
	for _, r := range all {
		if r.Message.Direction == sms.Outbound {
			f.must(f.hub.q.Do(func(tx *db.Tx) error { return f.hub.q.MoveTx(tx, r.Row, !f.withdraw(b, r)) }))
		}
	}
}

// withdraw takes a message out of the stream, if its gateway can't have it.
func (f *fleet) withdraw(b *branch, r queue.Relayed) bool {
	if r.StoredAt != (time.Time{}) {
		return false
	}
	for i, o := range b.stream {
		if o.ID == r.ID && o.Epoch == r.Epoch {
			if o.delivered {
				return false
			}
			b.stream = slices.Delete(b.stream, i, i+1)
			return true
		}
	}
	return true
}

func (f *fleet) end(r queue.Relayed, how func(tx *db.Tx) error) {
	for _, b := range f.branches {
		if b.name == r.Gateway && f.withdraw(b, r) {
			f.must(f.hub.q.Do(how))
		}
	}
}

func (f *fleet) housekeeping() {
	for _, b := range append([]*box{f.hub}, f.branches[0].box, f.branches[1].box) {
		for _, due := range []func(time.Time) (time.Time, error){b.q.ReleaseDue, b.q.ExpireDue, b.q.SettleUnconfirmed, b.q.FreeReported} {
			_, err := due(b.now)
			f.must(err)
		}
	}
	f.must(f.hub.q.PassInbound())
	late, err := f.hub.q.ExpireRelayed(context.Background(), f.hub.now, 100)
	f.must(err)
	for _, r := range late {
		f.end(r, func(tx *db.Tx) error { return f.hub.q.EndRelayedTx(tx, r.Row, sms.Expired, nil) })
	}
}

func (f *fleet) something() string {
	ctx := context.Background()
	f.tick(time.Duration(f.rnd.IntN(10)) * time.Second)
	b := f.branches[f.rnd.IntN(2)]
	switch n := f.rnd.IntN(24); {
	case n < 4:
		drafts := make([]queue.Draft, 1+f.rnd.IntN(4))
		for i := range drafts {
			drafts[i].Message = sms.Message{To: fmt.Sprintf("+49170000000%d", f.rnd.IntN(4)), Text: "x", DeliveryReport: f.rnd.IntN(2) > 0,
				OnUnconfirmed: []sms.OnUnconfirmed{sms.Resend, sms.Resend, sms.Fail}[f.rnd.IntN(3)]}
			if f.rnd.IntN(4) == 0 {
				drafts[i].ExpiresAt = f.hub.now.Add(3 * time.Minute)
			}
		}
		_, _, err := f.hub.q.Submit(ctx, drafts, nil)
		f.must(err)
		return "submit"
	case n < 7:
		f.route(1 + f.rnd.IntN(5))
		return "route"
	case n < 9:
		f.publish(b, 5, true)
		return "publish"
	case n < 12:
		f.pull(b, 1+f.rnd.IntN(4), true)
		return "pull"
	case n < 15:
		f.send(b, false)
		return "send"
	case n < 18:
		f.events(b, 1+f.rnd.IntN(8), true)
		return "events"
	case n == 18:
		f.reports(b)
		return "reports"
	case n == 19:
		f.say(b)
		return "say"
	case n == 20:
		f.receipts(b, true)
		f.hello(b)
		return "hello"
	case n == 21:
		if f.rnd.IntN(4) == 0 {
			f.move(b)
			return "move"
		}
		all, _, err := f.hub.q.List(ctx, queue.Filter{Direction: sms.Outbound, Limit: 10})
		f.must(err)
		if len(all) == 0 {
			return "nothing"
		}
		m := all[f.rnd.IntN(len(all))]
		_, err = f.hub.q.Cancel(ctx, m.ID)
		f.must(err)
		if r, err := f.hub.q.RelayOf(ctx, m.ID); err == nil {
			f.end(*r, func(tx *db.Tx) error {
				_, err := f.hub.q.CancelRelayedTx(tx, m.ID)
				return err
			})
			if r.Gateway == b.name {
				_, err := b.q.CancelMirrored(ctx, m.ID)
				f.must(err)
			}
		}
		return "cancel"
	case n == 22:
		if f.rnd.IntN(2) == 0 {
			f.hub.restart()
			return "restart of the hub"
		}
		b.air = nil
		b.restart()
		return "restart of a gateway"
	}
	f.housekeeping()
	return "housekeeping"
}

// settle lets everything go on without cuts until nothing is left to do.
func (f *fleet) settle() {
	for range 60 {
		f.tick(time.Minute)
		f.route(100)
		for _, b := range f.branches {
			f.hello(b)
			f.publish(b, 100, false)
			f.pull(b, 100, false)
			for range 30 {
				f.send(b, true)
			}
			f.reports(b)
			f.events(b, 500, false)
			f.receipts(b, false)
		}
		f.housekeeping()
	}
	for range 3 {
		f.tick(2 * time.Hour)
		f.housekeeping()
		for _, b := range f.branches {
			f.events(b, 500, false)
		}
	}
	f.housekeeping()
}

// Whatever is cut, repeated, lost or restarted between a hub and its gateways: each message
// ends once, in the same state at both ends, and no slot is left over at either.
func TestHubAndGatewaysAgree(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			f := newFleet(t, seed)
			for step := range 200 {
				what := f.something()
				if step%4 == 0 {
					f.hub.holds("at the hub, " + what)
				}
				if t.Failed() {
					return
				}
			}
			f.settle()
			f.hub.holds("at the hub, the end")
			f.compare()
		})
	}
}

func (f *fleet) compare() {
	f.t.Helper()
	ctx := context.Background()
	counts := map[sms.Status]int{}
	all, _, err := f.hub.q.List(ctx, queue.Filter{Direction: sms.Outbound, Limit: 10000})
	f.must(err)
	for _, m := range all {
		counts[m.Status]++
		switch m.Status {
		case sms.Scheduled, sms.Queued, sms.Sending, sms.Unconfirmed:
			f.t.Errorf("message %s of %q is still %s", m.ID, m.Gateway, m.Status)
			f.dump(m.ID)
		case sms.Canceled, sms.Expired:
			if f.sends[m.ID] > 0 {
				f.t.Errorf("message %s is %s and was sent %d times", m.ID, m.Status, f.sends[m.ID])
			}
		}
		if n := f.sends[m.ID]; n > 1 && (!m.PossibleDuplicate || m.OnUnconfirmed == sms.Fail) {
			f.t.Errorf("message %s (%s, %s) was sent %d times, possible duplicate: %v", m.ID, m.Status, m.OnUnconfirmed, n, m.PossibleDuplicate)
		}
	}
	f.t.Log(counts)
	rings := f.hub.q.Stats()
	for _, b := range f.branches {
		b.holds("at " + b.name + ", the end")
		stats := b.q.Stats()
		rings.Outbound.Depth += stats.Outbound.Depth
		rings.Inbound.Depth += stats.Inbound.Depth
		relays, err := f.hub.q.RelaysOf(ctx, b.name, 0, 10000)
		f.must(err)
		slots, err := b.q.MirrorSlots(ctx, "", 10000)
		f.must(err)
		there := map[string]queue.MirrorSlot{}
		for _, s := range slots {
			there[s.ID] = s
		}
		received, _, err := b.q.List(ctx, queue.Filter{Direction: sms.Inbound, Limit: 10000})
		f.must(err)
		in := 0
		for _, r := range relays {
			s, ok := there[r.ID]
			if !ok || s.Status != r.Message.Status || s.Address != r.Address || s.Direction != r.Message.Direction || s.Epoch != r.Epoch || s.Mirror >= 0 && s.Mirror != r.Mirror || r.StoredAt.IsZero() {
				f.t.Errorf("%s: message %s is %s at %d of epoch %d at the hub, and %+v there", b.name, r.ID, r.Message.Status, r.Address, r.Epoch, s)
			}
			if r.Message.Direction == sms.Inbound {
				in++
			}
		}
		if in != len(received) {
			f.t.Errorf("%s has received %d messages, and the hub has %d of them", b.name, len(received), in)
		}
	}
	if rings.Outbound.Depth+rings.Inbound.Depth > 0 {
		f.t.Errorf("slots are left over: %+v", rings)
	}
	for _, b := range append([]*box{f.hub}, f.branches[0].box, f.branches[1].box) {
		for number, stopped := range f.says {
			if got, err := b.q.OptedOut(ctx, number); err != nil || got != stopped {
				f.t.Errorf("%s said STOP: %v; the stop list says %v (%v)", number, stopped, got, err)
			}
		}
	}
}

func (f *fleet) dump(id string) {
	for _, b := range append([]*box{f.hub}, f.branches[0].box, f.branches[1].box) {
		m, err := b.q.Message(context.Background(), id)
		if err == nil {
			f.t.Log(m.Status, m.Gateway, m.Error, m.PossibleDuplicate, b.told(id))
			parts, _ := b.q.Parts(context.Background(), m.Row)
			f.t.Logf("%+v", parts)
		}
	}
}

package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"gatewayd/modem"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// feed is one modem's outbox: it hands over encoded parts and books what
// became of them. It implements modem.Outbox.
type feed struct {
	d     *dispatcher
	q     *queue.Queue
	log   *slog.Logger
	name  string
	ready chan struct{}

	tally  tally
	limits Limits      // of the SIM in this modem
	alarm  *time.Timer // fires when there may be room before a limit again

	// Guarded by d.mu.
	tight   tightness // as it was looked at last
	sim     string    // as received messages name it; the modem's name before it is known
	working bool
	coming  bool          // its modem has not said yet whether it can be used, or with which SIM
	idle    bool          // Next found nothing since the last signal
	air     time.Duration // that a part takes, on average; 0: it has sent none yet
	chosen  int           // priority of the part that Next gave out and that is not begun yet; -1: none
	inHand  []*entry

	mu      sync.Mutex
	local   string // the SIM's number, or the modem's name
	jobs    []*job // in hand, oldest first: the one on the air, the one after it, and those that a higher priority interrupted
	up      bool   // the modem says that it can send
	stalled bool   // the part on the air has had no answer for stallAfter
	stall   *time.Timer
	begun   time.Time // when the part on the air was
	leaving bool      // the modem goes and the daemon stays: nothing more is given out
	ending  bool      // the daemon ends: what is unknown now is settled at the next start
}

// job is a message in a modem's hand.
type job struct {
	entry  *entry
	id     string // of the message, for logs
	loaded *queue.Job
	parts  [][]byte // TPDUs
	ref    byte     // their concatenation reference
	first  int      // number of the first part that this hold sends
	chosen int      // number of the last part that Next gave out
	begun  bool     // a part of it was started in this hold
	air    int      // number of the started part whose outcome is not booked yet; 0: none
}

// stallAfter is how long a part may stay without an answer before the messages
// that wait for its modem go to others.
const stallAfter = 20 * time.Second

func newFeed(d *dispatcher, q *queue.Queue, log *slog.Logger, name string) *feed {
	f := &feed{d: d, q: q, log: log, name: name, sim: name, local: name, ready: make(chan struct{}, 1), idle: true, coming: true, chosen: -1}
	f.stall = time.AfterFunc(time.Hour, f.onStall)
	f.stall.Stop()
	f.alarm = time.AfterFunc(time.Hour, f.onAlarm)
	f.alarm.Stop()
	d.mu.Lock()
	d.feeds = append(d.feeds, f)
	d.mu.Unlock()
	return f
}

// update takes in the modem's state.
func (f *feed) update(m sms.Modem) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Neither a full storage nor deafness keeps anybody from sending, and a limit is looked at when
	// something is to be sent.
	f.up = m.State == sms.Ready || m.State == sms.StorageFull || m.State == sms.Limited || m.State == sms.Deaf
	f.local = f.name
	if m.Number != "" {
		f.local = m.Number
	}
	if !f.up {
		f.giveBack()
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.up {
		f.sim = modem.SIMOf(m)
	}
	f.working = f.up && !f.stalled
	f.coming = f.coming && (m.State == sms.Probing || m.State == sms.Searching)
	f.d.wake()
}

// giveBack returns the messages in hand of which no part is on the air, so
// that another modem can take them. Called with mu held.
func (f *feed) giveBack() {
	for _, j := range slices.Clone(f.jobs) {
		switch {
		case !j.begun:
			f.remove(j)
			f.putBack(j.entry)
		case j.air == 0:
			// Its started parts are confirmed, the rest waits again.
			if _, err := f.q.Advance(&queue.Verdict{Row: j.entry.Row, Part: j.chosen, Fate: queue.PartRetry}, nil); err != nil {
				f.log.Error("a message in hand could not be queued again; the next start does it", "modem", f.name, "msg_id", j.id, "error", err)
				continue
			}
			f.remove(j)
			f.putBack(j.entry)
		}
	}
}

func (f *feed) onStall() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.ContainsFunc(f.jobs, func(j *job) bool { return j.air != 0 }) {
		return // its answer was being booked
	}
	f.stalled = true
	for _, j := range slices.Clone(f.jobs) {
		if !j.begun {
			f.remove(j)
			f.putBack(j.entry)
		}
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.working = false
	f.d.wake()
}

// answered ends the watch for a stall.
func (f *feed) answered() {
	f.stall.Stop()
	if !f.stalled {
		return
	}
	f.stalled = false
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.working = f.up
}

// recipients of the messages in hand. Called with d.mu held.
func (f *feed) recipients() []*recipient {
	var all []*recipient
	for _, e := range f.inHand {
		if r := f.d.recipients[e.To]; r != nil && !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	return all
}

// Ready is signalled when Next may have something that it had not before.
func (f *feed) Ready() <-chan struct{} { return f.ready }

// Next chooses the part to send next: of a message that is under way its next,
// unless something of a higher priority waits.
func (f *feed) Next() *modem.Part {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.paced() {
		return nil
	}
	above := -1
	under := f.underWay()
	if under != nil {
		above = under.entry.Priority
	}
	for !f.ending && !f.leaving {
		e := f.take(above)
		if e == nil {
			break
		}
		j, err := f.load(e)
		switch {
		case errors.Is(err, queue.ErrConflict), errors.Is(err, queue.ErrNotFound):
			f.dropEntry(e)
			continue
		case err != nil:
			f.log.Error("a waiting message could not be read; trying again", "modem", f.name, "in", firstDelay, "error", err)
			e.NotBefore = f.d.now().Add(firstDelay)
			f.putBack(e)
			continue
		}
		f.jobs = append(f.jobs, j)
		return f.part(j)
	}
	if under == nil {
		return nil
	}
	return f.part(under)
}

// underWay is the message in hand that has parts left to choose; of several the
// first to go on.
func (f *feed) underWay() (next *job) {
	for _, j := range f.jobs {
		if j.chosen < len(j.parts) && (next == nil || j.entry.Priority > next.entry.Priority) {
			next = j
		}
	}
	return next
}

// take takes a message in hand of a priority above one, nil if there is none for
// this modem.
func (f *feed) take(above int) *entry {
	f.d.mu.Lock()
	defer f.d.mu.Unlock() // also after a panic, which the modem's supervisor survives
	if !f.up {
		f.idle = true
		return nil
	}
	if above >= 0 && !f.d.higher(f, above) {
		return nil
	}
	e := f.d.take(f, above)
	if e != nil {
		f.inHand = append(f.inHand, e)
	}
	return e
}

// load reads and encodes a message. One that can't be encoded fails for good:
// it was checked when it was accepted, so that is a fault of ours.
func (f *feed) load(e *entry) (*job, error) {
	m, err := f.q.Job(context.Background(), e.Row, f.simNow())
	if err != nil {
		return nil, err
	}
	s := pdu.Submit{To: m.To, Text: m.Text, Data: m.Data, Port: m.Port, UDH: m.UDH, Flash: m.Flash, Report: m.DeliveryReport, Ref: m.Ref, MaxParts: 255}
	if !m.ExpiresAt.IsZero() && !e.plain && f.d.trusted() {
		// Over already: the start of its first part will say so.
		s.Validity = max(0, m.ExpiresAt.Sub(f.d.now()))
	}
	parts, err := s.Encode()
	if err == nil && len(parts) != m.Parts {
		err = errors.New("the number of parts differs from what was promised")
	}
	if err != nil {
		f.log.Error("an accepted message can't be encoded", "msg_id", m.ID, "error", err)
		why := &sms.Error{Code: "encoding", Title: "The message can't be encoded", Detail: err.Error()}
		return nil, errors.Join(queue.ErrConflict, f.q.Refuse(e.Row, why))
	}
	return &job{entry: e, id: m.ID, loaded: m, parts: parts, ref: m.Ref, first: m.Next, chosen: m.Next - 1}, nil
}

// part chooses the next part of a message.
func (f *feed) part(j *job) *modem.Part {
	j.chosen++
	f.note(j.entry.Priority)
	return &modem.Part{Row: j.entry.Row, MessageID: j.id, Number: j.chosen, Total: len(j.parts), To: j.entry.To, TPDU: j.parts[j.chosen-1]}
}

// note keeps the priority of the part that is chosen, so that a higher one that
// comes is signalled; -1: none is.
func (f *feed) note(priority int) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.chosen = priority
}

// Return takes back a part that was chosen and not begun.
func (f *feed) Return(p *modem.Part) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note(-1)
	j := f.find(p.Row)
	if j == nil || j.chosen != p.Number {
		return
	}
	j.chosen--
	if j.chosen < j.first {
		f.remove(j)
		f.putBack(j.entry)
	}
}

// Begin books the outcome before and the start of next in one commit.
func (f *feed) Begin(previous *modem.Outcome, next *modem.Part, expectedMR int) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note(-1)
	j := f.find(next.Row)
	if j == nil || f.ending || f.leaving || previous != nil && previous.Result != modem.Confirmed && previous.Part.To == next.To {
		// It was taken back meanwhile, or its turn depended on the part before.
		if previous != nil {
			if err := f.book(*previous); err != nil {
				return false, err
			}
		}
		if j := f.find(next.Row); j != nil && !j.begun {
			f.remove(j)
			f.putBack(j.entry)
		}
		return false, nil
	}
	var verdict *queue.Verdict
	if previous != nil {
		verdict = f.verdict(*previous)
	}
	ok, err := f.q.Advance(verdict, &queue.Start{
		Row: next.Row, Job: j.loaded, Part: next.Number, Modem: f.name, SIM: f.simNow(), Local: f.local, Ref: j.ref, ExpectedMR: expectedMR,
		NoteRecipient: f.limits.RecipientsPerMonth > 0,
	})
	if err != nil {
		return false, err
	}
	if previous != nil {
		f.apply(*previous, verdict)
	}
	if !ok {
		f.remove(j)
		f.dropEntry(j.entry)
		return false, nil
	}
	f.counted()
	j.begun, j.air = true, next.Number
	f.stall.Reset(stallAfter)
	f.begun = time.Now()
	return true, nil
}

// Finish books an outcome alone, the late answer of a doubtful part included.
func (f *feed) Finish(o modem.Outcome) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.book(o)
}

func (f *feed) book(o modem.Outcome) error {
	if f.ending && o.Result == modem.Unknown {
		return nil // the next start finds it and settles it
	}
	v := f.verdict(o)
	if _, err := f.q.Advance(v, nil); err != nil {
		return err
	}
	f.apply(o, v)
	if !f.up {
		f.giveBack() // what follows a booked part must not wait for a modem that is gone
	}
	return nil
}

// apply follows a booked outcome in memory.
func (f *feed) apply(o modem.Outcome, v *queue.Verdict) {
	f.answered()
	j := f.find(o.Part.Row)
	if j == nil {
		return // a late answer: the queue has settled it
	}
	// What tells people of alarms raises none, and what never left says nothing.
	if j.entry.KeyID != alarmsKey && o.Result != modem.NotSent {
		f.tally.add(time.Now(), o.Result == modem.Confirmed)
	}
	f.stepAside(j.entry, v.Fate != queue.PartConfirmed)
	switch v.Fate {
	case queue.PartConfirmed:
		f.measure(time.Since(f.begun))
		if o.Part.Number < len(j.parts) {
			j.air, j.entry.Done = 0, o.Part.Number
			return
		}
		f.remove(j)
		f.dropEntry(j.entry)
	case queue.PartRetry:
		f.counted()
		f.remove(j)
		j.entry.NotBefore = v.NotBefore
		j.entry.Attempts++
		if v.RefusedBy != "" && !contains(j.entry.RefusedBy, v.RefusedBy) {
			j.entry.RefusedBy += v.RefusedBy + " "
		}
		f.putBack(j.entry)
	default:
		f.counted()
		f.remove(j)
		f.dropEntry(j.entry)
	}
}

// measure takes in how long a part took.
func (f *feed) measure(took time.Duration) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	took = max(took, 10*time.Millisecond)
	if f.air == 0 {
		f.air = took
	}
	f.air += (took - f.air) / 8
}

// abandon settles what a modem loop had in hand that has ended without saying
// what became of it.
func (f *feed) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = false
	for _, j := range slices.Clone(f.jobs) {
		if j.air == 0 {
			continue
		}
		lost := modem.Outcome{Part: &modem.Part{Row: j.entry.Row, MessageID: j.id, Number: j.air, Total: len(j.parts), To: j.entry.To}, Result: modem.Unknown, ExpectedMR: -1}
		if err := f.book(lost); err != nil {
			f.log.Error("an unfinished part could not be booked; the next start settles it", "modem", f.name, "msg_id", j.id, "error", err)
		}
	}
	f.giveBack()
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.working = false
	f.d.wake()
}

// end makes the feed give out nothing more.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ending = true
	f.stall.Stop()
	f.alarm.Stop()
}

// retire makes the feed give out nothing more; what is in hand is booked as ever.
func (f *feed) retire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leaving = true
}

// settle settles what a modem loop that was ended has left in hand, and takes the
// modem out of the choice for good.
func (f *feed) settle() {
	f.abandon()
	f.mu.Lock()
	f.stall.Stop()
	f.alarm.Stop()
	f.mu.Unlock()
	f.leave()
}

// leave takes the modem out of the choice for good.
func (f *feed) leave() {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.feeds = slices.DeleteFunc(f.d.feeds, func(x *feed) bool { return x == f })
	f.d.wake()
}

func (f *feed) simNow() string {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.sim
}

func (f *feed) find(row int64) *job {
	for _, j := range f.jobs {
		if j.entry.Row == row {
			return j
		}
	}
	return nil
}

func (f *feed) remove(j *job) {
	f.jobs = slices.DeleteFunc(f.jobs, func(x *job) bool { return x == j })
}

// stepAside lets a recipient's other messages go behind what waits now, until one
// gets through.
func (f *feed) stepAside(e *entry, aside bool) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	var behind int64
	if aside {
		behind = f.q.LastPlace()
	}
	f.d.stepAside(e, behind)
}

func (f *feed) putBack(e *entry) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.inHand = slices.DeleteFunc(f.inHand, func(x *entry) bool { return x == e })
	f.d.putBack(e)
}

func (f *feed) dropEntry(e *entry) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.inHand = slices.DeleteFunc(f.inHand, func(x *entry) bool { return x == e })
	f.d.drop(e)
}

package gateway

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gatewayd/pulse"
	"gatewayd/queue"
)

// dispatcher knows which messages wait, in memory, and which modem may take
// which. The truth stays in the queue: what is chosen here is checked again in
// the transaction that books its start.
//
// Waiting messages stand in lines: one line per recipient, priority and pinned
// modem, in the order of acceptance. A line whose first message may go now
// stands in the heap of its lane; lanes say who may take from them. Which of them is
// next is said in fair.go.
type dispatcher struct {
	now     func() time.Time
	trusted func() bool // whether now is the time of day

	mu         sync.Mutex
	entries    map[int64]*entry
	recipients map[string]*recipient
	failed     map[string]int64 // aside of recipients of which nothing is in memory
	lanes      map[lane]*lineHeap
	held       heldHeap // lines whose first message waits out a backoff
	feeds      []*feed
	lines      [queue.Priorities]int // how many lines each priority has
	flows      map[flowOf]*flow
	clock      [queue.Priorities]int64 // the virtual time that each priority has come to
	window     int                     // how many lines each priority should have that somebody may take
	used       chan struct{}           // signalled when more may have to be taken in
	tidyAt     int                     // as many entries are worth a look at which still wait
	awaited    bool                    // modems that come have had their time
	beat       pulse.Pulse             // of follow
	timer      *time.Timer             // fires when the first held line is due
}

// entry is one waiting message.
type entry struct {
	queue.Waiting
	flow    *flow          // of its priority and key
	counted int            // parts of it that are counted as waiting
	line    *line          // it stands in; nil: in a modem's hand
	since   time.Time      // when its first backoff began; zero: it had none
	taken   int            // how often a modem took it
	renewed *queue.Waiting // it is in a modem's hand and waits anew already

	refusals refusals
	plain    bool // it goes without a validity period, which the service centre refused
}

// recipient ties the lines of one number: only one modem at a time has
// messages to it in hand.
type recipient struct {
	number   string
	sim      string // the SIM that the number keeps; "": any
	lines    []*line
	aside    int64 // the messages up to this Seq go before its own: its last one did not get through
	owner    *feed // the modem that has messages to it in hand
	inFlight int
}

// turnTo makes sim the one that r keeps. What waits for r has no part there yet.
func (r *recipient) turnTo(sim string) {
	r.sim = sim
	for _, l := range r.lines {
		for _, e := range l.waiting {
			e.Done = 0
		}
	}
}

// startWait is how long, after the start, numbers wait for modems that come: one
// of them may have the SIM that the number keeps.
const startWait = 30 * time.Second

// overtakeAfter is how long a message in backoff holds the later ones to the
// same recipient.
const overtakeAfter = 30 * time.Second

func newDispatcher(now func() time.Time) *dispatcher {
	return &dispatcher{now: now, trusted: func() bool { return true }, entries: map[int64]*entry{}, recipients: map[string]*recipient{}, failed: map[string]int64{}, lanes: map[lane]*lineHeap{}, flows: map[flowOf]*flow{},
		window: 2000, used: make(chan struct{}, 1), tidyAt: 2 * loadAtOnce}
}

// follow loads messages as they begin to wait, until ctx ends.
func (d *dispatcher) follow(ctx context.Context, q *queue.Queue, log *slog.Logger) {
	d.timer = time.AfterFunc(time.Hour, d.wakeHeld)
	defer d.timer.Stop()
	start := time.AfterFunc(startWait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.awaited = true
		d.wake()
	})
	defer start.Stop()
	for {
		d.beat.Work()
		changed := q.Changed()
		if err := d.load(ctx, q); err != nil && ctx.Err() == nil {
			log.Error("waiting messages could not be read; trying again", "error", err)
			if sleep(ctx, restBetween) {
				continue
			}
		}
		d.beat.Rest()
		select {
		case <-changed:
		case <-d.used:
		case <-ctx.Done():
			return
		}
	}
}

// tidy forgets messages that wait no longer: canceled, expired or erased before
// a modem asked for them.
func (d *dispatcher) tidy(ctx context.Context, q *queue.Queue) error {
	d.mu.Lock()
	if len(d.entries) < d.tidyAt {
		d.mu.Unlock()
		return nil
	}
	taken := make(map[int64]int, len(d.entries))
	rows := make([]int64, 0, len(d.entries))
	for _, e := range d.entries {
		if e.line != nil {
			taken[e.Row] = e.taken
			rows = append(rows, e.Row)
		}
	}
	d.mu.Unlock()
	waiting, err := q.StillWaiting(ctx, rows)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range slices.Collect(maps.Values(d.recipients)) {
		for _, l := range slices.Clone(r.lines) { // place may drop an empty line
			d.leave(l, func(e *entry) bool {
				n, ok := taken[e.Row]
				if !ok || n != e.taken || waiting[e.Row] {
					return false // it came, or was with a modem, since we looked
				}
				delete(d.entries, e.Row)
				return true
			})
			d.place(l)
		}
	}
	d.tidyAt = 2*len(d.entries) + loadAtOnce
	return nil
}

func (d *dispatcher) add(found []queue.Waiting) {
	if len(found) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range found {
		if old := d.entries[w.Row]; old == nil {
			d.admit(w)
		} else if w.Seq > old.Seq {
			// Settled and queued again before its modem has dropped it.
			old.renewed = &w
		}
	}
	d.wake()
}

// admit puts a message that begins to wait into its line.
func (d *dispatcher) admit(w queue.Waiting) {
	r := d.recipients[w.To]
	if r == nil {
		r = &recipient{number: w.To, sim: w.SIM, aside: d.failed[w.To]}
		d.recipients[r.number] = r
		delete(d.failed, r.number)
	}
	e := &entry{Waiting: w, flow: d.flow(w.Priority, w.KeyID)}
	e.To, e.KeyID = r.number, e.flow.key // one string for all
	if e.Since.IsZero() {
		e.Since = d.now()
	}
	if w.SIM != r.sim {
		e.Done = 0
	}
	if now := d.now(); w.NotBefore.After(now) {
		e.since = now
	}
	d.enqueue(r, e)
}

// stepAside makes the lines of a recipient that did not get a message stand
// behind a place, that of the last message that waits now, taken in or not, so
// that a number that fails costs the others no more than the part on the air.
// 0 ends that.
func (d *dispatcher) stepAside(e *entry, behind int64) {
	d.recipients[e.To].aside = behind // its lines are placed anew when it is released
}

func (d *dispatcher) forget(r *recipient) {
	if len(r.lines) == 0 && r.inFlight == 0 {
		delete(d.recipients, r.number)
		if r.aside > 0 {
			d.remember(r)
		}
	}
}

func (d *dispatcher) wakeHeld() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for len(d.held) > 0 && !d.held[0].due.After(now) {
		d.place(d.held[0])
	}
	if len(d.held) > 0 {
		d.lookAt(d.held[0].due, now)
	}
	d.wake()
}

// lookAt has the held lines looked at when the first is due, or soon: a clock
// may be set forward.
func (d *dispatcher) lookAt(due, now time.Time) {
	d.timer.Reset(min(max(0, due.Sub(now)), lookAtLeast))
}

// wake signals the modems that have found nothing to send, and whoever takes in more.
func (d *dispatcher) wake() {
	d.lookForMore()
	for _, f := range d.feeds {
		if f.idle || f.chosen >= 0 && d.higher(f, f.chosen) {
			f.idle = false
			select {
			case f.ready <- struct{}{}:
			default:
			}
		}
	}
}

// higher tells whether f may find something of a priority above one.
func (d *dispatcher) higher(f *feed, above int) bool {
	now := d.now()
	for at, h := range d.lanes {
		if h.stands[0].line.priority > above && d.mayTake(f, at, now) {
			return true
		}
	}
	for _, r := range f.recipients() {
		for _, l := range r.lines {
			if l.priority > above {
				return true
			}
		}
	}
	return false
}

// take chooses the message that f sends next, of a priority above one, and puts it
// in its hand. Called with mu held.
func (d *dispatcher) take(f *feed, above int) *entry {
	now := d.now()
	room := d.watch(f, now)
	if room.tightness() == closed {
		f.lookAgain(nextDay(now), now)
		return nil
	}
	next := choice{d: d}
	var passed []*line
	for at, h := range d.lanes {
		if !d.mayTake(f, at, now) {
			continue
		}
		for unsuited := 0; h.Len() > 0 && unsuited < farEnough; {
			s := h.stands[0]
			l := s.line
			if l.priority <= above {
				break
			}
			if e, _ := l.first(now); e != nil && !d.refusedOnlyBy(f, e, now) && !d.behind(l, e, now) {
				if d.suits(f, room, at, e, now) {
					next.consider(s, e)
					break
				}
				unsuited++
			}
			d.pull(l.stands...)
			passed = append(passed, l)
		}
	}
	moved := false
	for _, l := range passed {
		was := l.lane
		d.place(l) // what its first message is may have changed since
		moved = moved || l.lane != was
	}
	if moved {
		d.wake()
	}
	// What goes to a recipient that this modem has in hand already may follow.
	for _, r := range f.recipients() {
		for _, l := range r.lines {
			if l.pin != "" && l.pin != f.name || l.priority <= above {
				continue
			}
			if e, _ := l.first(now); e != nil && !contains(e.RefusedBy, f.sim) && !d.behind(l, e, now) && f.admits(room, e, now) {
				for _, s := range l.stands {
					next.consider(s, e)
				}
			}
		}
	}
	best := next.best()
	if best == nil && above >= 0 {
		return nil
	}
	if best == nil {
		f.idle = true
		if f.limits.walls() {
			f.lookAgain(nextDay(now), now) // something may be too long for today
		}
		return nil
	}
	l := best.line
	e, _ := l.first(now)
	r := l.to
	d.serve(best.flow, max(1, e.need(f.sim)))
	d.leave(l, func(x *entry) bool { return x == e })
	e.line = nil
	e.taken++
	r.owner = f
	r.inFlight++
	if e.Pin == "" {
		if r.sim != f.sim {
			e.Done = 0
			r.turnTo(f.sim)
		}
	}
	for _, l := range slices.Clone(r.lines) { // place may drop an empty line
		d.place(l)
	}
	return e
}

// farEnough is how many lines are looked at in a lane that a SIM near its limits
// can't take. What stands behind them waits for another modem or another day.
const farEnough = 100

// mayTake reports whether f may take from a lane: its own, the common one, and
// those of SIMs that no modem has which can send.
func (d *dispatcher) mayTake(f *feed, at lane, now time.Time) bool {
	switch at.kind {
	case pinned:
		return at.value == f.name
	case bySIM:
		return at.value == f.sim || !slices.ContainsFunc(d.feeds, func(x *feed) bool {
			return x.sim == at.value && x.canSend(now) || x.coming && !d.awaited
		})
	default:
		return true
	}
}

// refusedOnlyBy reports whether e should be left to another modem that has not
// refused it yet.
func (d *dispatcher) refusedOnlyBy(f *feed, e *entry, now time.Time) bool {
	if e == nil || e.Pin != "" || !contains(e.RefusedBy, f.sim) {
		return false
	}
	return slices.ContainsFunc(d.feeds, func(x *feed) bool { return x != f && !contains(e.RefusedBy, x.sim) && x.could(e, now) })
}

// behind reports whether another message to e's recipient goes before e: one of
// the same priority, accepted earlier, that stands in another line for the sake
// of its pinned modem, or of e's, and that somebody may send.
func (d *dispatcher) behind(l *line, e *entry, now time.Time) bool {
	for _, x := range l.to.lines {
		if x == l || x.priority != l.priority {
			continue
		}
		if y, _ := x.first(now); y != nil && y.Seq < e.Seq && d.somebodyCould(y, now) {
			return true
		}
	}
	return false
}

// somebodyCould tells whether a working modem may send a message now.
func (d *dispatcher) somebodyCould(e *entry, now time.Time) bool {
	return slices.ContainsFunc(d.feeds, func(x *feed) bool { return (e.Pin == "" || x.name == e.Pin) && x.could(e, now) })
}

// drop takes a message out of a modem's hand for good.
func (d *dispatcher) drop(e *entry) {
	delete(d.entries, e.Row)
	if e.renewed != nil {
		d.admit(*e.renewed)
	}
	d.release(e)
}

// putBack makes a message wait again.
func (d *dispatcher) putBack(e *entry) {
	if now := d.now(); e.since.IsZero() && e.NotBefore.After(now) {
		e.since = now
	}
	d.enqueue(d.recipients[e.To], e)
	d.release(e)
}

// release ends a modem's hold of a recipient.
func (d *dispatcher) release(e *entry) {
	r := d.recipients[e.To]
	r.inFlight--
	if r.inFlight == 0 {
		r.owner = nil
		for _, l := range slices.Clone(r.lines) {
			d.place(l)
		}
		d.forget(r)
	}
	d.wake()
}

func contains(words, word string) bool {
	return word != "" && slices.Contains(strings.Fields(words), word)
}

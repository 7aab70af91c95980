package gateway

import (
	"container/heap"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gatewayd/queue"
)

// dispatcher knows which messages wait, in memory, and which modem may take
// which. The truth stays in the queue: what is chosen here is checked again in
// the transaction that books its start.
//
// Waiting messages stand in lines: one line per recipient, priority and pinned
// modem, in the order of acceptance. A line whose first message may go now
// stands in the heap of its lane; lanes say who may take from them.
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
	lines      [queue.Priorities]int   // how many lines each priority has
	taken      [queue.Priorities]int64 // up to where each priority was taken in, but for modems that are behind
	window     int                     // how many lines each priority should have that somebody may take
	used       chan struct{}           // signalled when more may have to be taken in
	tidyAt     int                     // as many entries are worth a look at which still wait
	awaited    bool                    // modems that come have had their time
	timer      *time.Timer             // fires when the first held line is due
}

// entry is one waiting message.
type entry struct {
	queue.Waiting
	line    *line          // it stands in; nil: in a modem's hand
	since   time.Time      // when its first backoff began; zero: it had none
	taken   int            // how often a modem took it
	renewed *queue.Waiting // it is in a modem's hand and waits anew already

	refusals refusals
	plain    bool // it goes without a validity period, which the service centre refused
}

// line is the messages to one recipient of one priority for one modem or any.
type line struct {
	to       *recipient
	priority int
	pin      string
	waiting  []*entry // by Seq
	// where it stands
	lane  lane
	seq   int64 // its rank when it was put there: the heap's order must not change under it
	index int   // in the lane's heap, -1: not there
	aside bool  // its recipient did not get the last message
	due   time.Time
	held  int // in the heap of held lines, -1: not there
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

// lane is a set of lines that the same modems may take from.
type lane struct {
	kind  laneKind
	value string
}

type laneKind int

const (
	anyModem laneKind = iota
	bySIM             // a number that keeps a SIM: others only while that SIM can't
	pinned            // a message with "from": that modem only
)

// startWait is how long, after the start, numbers wait for modems that come: one
// of them may have the SIM that the number keeps.
const startWait = 30 * time.Second

// overtakeAfter is how long a message in backoff holds the later ones to the
// same recipient.
const overtakeAfter = 30 * time.Second

func newDispatcher(now func() time.Time) *dispatcher {
	return &dispatcher{now: now, trusted: func() bool { return true }, entries: map[int64]*entry{}, recipients: map[string]*recipient{}, failed: map[string]int64{}, lanes: map[lane]*lineHeap{},
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
		changed := q.Changed()
		if err := d.load(ctx, q); err != nil && ctx.Err() == nil {
			log.Error("waiting messages could not be read; trying again", "error", err)
			if sleep(ctx, restBetween) {
				continue
			}
		}
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
			l.waiting = slices.DeleteFunc(l.waiting, func(e *entry) bool {
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
	e := &entry{Waiting: w}
	e.To = r.number // one string for all
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

// enqueue puts an entry into its line, at its place in the order.
func (d *dispatcher) enqueue(r *recipient, e *entry) {
	i := slices.IndexFunc(r.lines, func(l *line) bool { return l.priority == e.Priority && l.pin == e.Pin })
	if i < 0 {
		r.lines = append(r.lines, &line{to: r, priority: e.Priority, pin: e.Pin, index: -1, held: -1})
		d.lines[e.Priority]++
		i = len(r.lines) - 1
	}
	l := r.lines[i]
	e.line, e.Pin = l, l.pin
	d.entries[e.Row] = e
	at, _ := slices.BinarySearchFunc(l.waiting, e.Seq, func(x *entry, seq int64) int { return int(x.Seq - seq) })
	l.waiting = slices.Insert(l.waiting, at, e)
	d.place(l)
}

// first is the message of a line that goes next, nil while it must wait, with
// the time until then.
func (l *line) first(now time.Time) (*entry, time.Time) {
	var due time.Time
	for i, e := range l.waiting {
		// Later than any backoff: the clock was set back meanwhile.
		if !e.NotBefore.After(now) || e.NotBefore.Sub(now) > queue.LongestBackoff {
			return e, time.Time{}
		}
		if due.IsZero() || e.NotBefore.Before(due) {
			due = e.NotBefore
		}
		// Counted from its first backoff: the later ones wait for it once.
		if overtake := e.since.Add(overtakeAfter); overtake.After(now) {
			if overtake.Before(due) && i+1 < len(l.waiting) {
				due = overtake
			}
			break
		}
		if i > 100 {
			break // far enough; due is still to come, as it must be
		}
	}
	return nil, due
}

// rank orders lines: by their first messages' acceptance, but one whose
// recipient did not get the last one stands behind what was accepted until then.
func (l *line) rank(e *entry) int64 { return max(2*e.Seq, 2*l.to.aside+1) }

// stepAside makes the lines of a recipient that did not get a message stand
// behind a place, that of the last message that waits now, taken in or not, so
// that a number that fails costs the others no more than the part on the air.
// 0 ends that.
func (d *dispatcher) stepAside(e *entry, behind int64) {
	d.recipients[e.To].aside = behind // its lines are placed anew when it is released
}

// place puts a line where its first message belongs now.
func (d *dispatcher) place(l *line) {
	if l.index >= 0 {
		heap.Remove(d.lanes[l.lane], l.index)
	}
	if l.held >= 0 {
		heap.Remove(&d.held, l.held)
	}
	if len(l.waiting) == 0 {
		l.to.lines = slices.DeleteFunc(l.to.lines, func(x *line) bool { return x == l })
		d.lines[l.priority]--
		d.forget(l.to)
		return
	}
	now := d.now()
	e, due := l.first(now)
	if e == nil {
		l.due = due
		heap.Push(&d.held, l)
		if d.held[0] == l && d.timer != nil {
			d.lookAt(due, now)
		}
		return
	}
	if l.to.owner != nil {
		return // it comes back when the recipient is free
	}
	switch {
	case l.pin != "":
		l.lane = lane{pinned, l.pin}
	case l.to.sim != "" && !contains(e.RefusedBy, l.to.sim) && d.keeps(l.to.sim, e, now):
		l.lane = lane{bySIM, l.to.sim}
	default:
		l.lane = lane{anyModem, ""}
	}
	h := d.lanes[l.lane]
	if h == nil {
		h = &lineHeap{}
		d.lanes[l.lane] = h
	}
	l.seq, l.aside = l.rank(e), l.to.aside > 0
	heap.Push(h, l)
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
		if f.idle {
			f.idle = false
			select {
			case f.ready <- struct{}{}:
			default:
			}
		}
	}
}

// take chooses the message that f sends next and puts it in its hand. Called
// with mu held.
func (d *dispatcher) take(f *feed) *entry {
	now := d.now()
	room := d.watch(f, now)
	if room.tightness() == closed {
		f.lookAgain(nextDay(now), now)
		return nil
	}
	var best *line
	consider := func(l *line) {
		if best == nil || l.before(best, now) {
			best = l
		}
	}
	var passed []*line
	for at, h := range d.lanes {
		if !d.mayTake(f, at, now) {
			continue
		}
		for unsuited := 0; h.Len() > 0 && unsuited < farEnough; {
			l := h.lines[0]
			if e, _ := l.first(now); e != nil && !d.refusedOnlyBy(f, e, now) && !d.behind(l, e, now) {
				if d.suits(f, room, at, e, now) {
					consider(l)
					break
				}
				unsuited++
			}
			passed = append(passed, heap.Pop(h).(*line))
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
			if l.pin != "" && l.pin != f.name {
				continue
			}
			if e, _ := l.first(now); e != nil && !contains(e.RefusedBy, f.sim) && !d.behind(l, e, now) && f.admits(room, e, now) {
				consider(l)
			}
		}
	}
	if best == nil {
		f.idle = true
		if f.limits.walls() {
			f.lookAgain(nextDay(now), now) // something may be too long for today
		}
		return nil
	}
	e, _ := best.first(now)
	r := best.to
	best.waiting = slices.DeleteFunc(best.waiting, func(x *entry) bool { return x == e })
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

// before orders lines by what their first messages are worth: priority, then
// the order of acceptance.
func (l *line) before(other *line, now time.Time) bool {
	if l.priority != other.priority {
		return l.priority > other.priority
	}
	a, _ := l.first(now)
	b, _ := other.first(now)
	if a == nil || b == nil {
		return b == nil && a != nil
	}
	return l.rank(a) < other.rank(b)
}

// lineHeap orders the lines of a lane. Every line in it has a message that may go.
type lineHeap struct {
	lines []*line
	ready [queue.Priorities]int // of each priority, those that are not aside
}

func (h *lineHeap) Len() int { return len(h.lines) }
func (h *lineHeap) Less(i, j int) bool {
	a, b := h.lines[i], h.lines[j]
	if a.priority != b.priority {
		return a.priority > b.priority
	}
	return a.seq < b.seq
}
func (h *lineHeap) Swap(i, j int) {
	h.lines[i], h.lines[j] = h.lines[j], h.lines[i]
	h.lines[i].index, h.lines[j].index = i, j
}
func (h *lineHeap) Push(x any) {
	l := x.(*line)
	l.index = len(h.lines)
	h.lines = append(h.lines, l)
	if !l.aside {
		h.ready[l.priority]++
	}
}
func (h *lineHeap) Pop() any {
	n := len(h.lines) - 1
	l := h.lines[n]
	h.lines[n] = nil
	h.lines = h.lines[:n]
	l.index = -1
	if !l.aside {
		h.ready[l.priority]--
	}
	return l
}

// heldHeap orders lines by when their first message may go.
type heldHeap []*line

func (h heldHeap) Len() int           { return len(h) }
func (h heldHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h heldHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].held, h[j].held = i, j }
func (h *heldHeap) Push(x any)        { l := x.(*line); l.held = len(*h); *h = append(*h, l) }
func (h *heldHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	*h = old[:len(old)-1]
	l.held = -1
	return l
}

package gateway

import (
	"container/heap"
	"slices"
	"time"

	"gatewayd/queue"
)

// line is the messages to one recipient of one priority for one modem or any.
type line struct {
	to       *recipient
	priority int
	pin      string
	waiting  []*entry // by Seq
	// where it stands
	lane   lane     // without key
	stands []*stand // one for each API key that has messages in it
	due    time.Time
	held   int // in the heap of held lines, -1: not there
}

// stand is a line's place among those of one API key. Messages to one recipient
// go in their order whosever they are, so a line of several keys stands
// among those of each: what is in front of a key's own message there goes when it
// is that key's turn.
type stand struct {
	line  *line
	flow  *flow
	n     int   // messages of it in the line
	seq   int64 // the line's rank when it was put there: the heap's order must not change under it
	lane  lane
	index int // in the lane's heap, -1: not there
}

// lane is a set of lines that the same modems may take from, of one API key.
type lane struct {
	kind  laneKind
	value string
	key   string
	aside bool // recipients that did not get their last message, of all keys
}

type laneKind int

const (
	anyModem laneKind = iota
	bySIM             // a number that keeps a SIM: others only while that SIM can't
	pinned            // a message with "from": that modem only
)

// enqueue puts an entry into its line, at its place in the order.
func (d *dispatcher) enqueue(r *recipient, e *entry) {
	i := slices.IndexFunc(r.lines, func(l *line) bool { return l.priority == e.Priority && l.pin == e.Pin })
	if i < 0 {
		r.lines = append(r.lines, &line{to: r, priority: e.Priority, pin: e.Pin, held: -1})
		d.lines[e.Priority]++
		i = len(r.lines) - 1
	}
	l := r.lines[i]
	e.line, e.Pin = l, l.pin
	d.entries[e.Row] = e
	at, _ := slices.BinarySearchFunc(l.waiting, e.Seq, func(x *entry, seq int64) int { return int(x.Seq - seq) })
	l.waiting = slices.Insert(l.waiting, at, e)
	d.count(l, e)
	d.place(l)
}

// count notes that a message is in a line.
func (d *dispatcher) count(l *line, e *entry) {
	f := e.flow
	e.counted = max(0, e.Parts-e.Done)
	f.parts[l.pin] += e.counted
	for _, s := range l.stands {
		if s.flow == f {
			s.n++
			return
		}
	}
	if f.lines++; f.lines == 1 { // what it did not ask for it can't claim now
		f.served = max(f.served, d.clock[f.priority])
	}
	l.stands = append(l.stands, &stand{line: l, flow: f, n: 1, index: -1})
}

// leave takes messages out of their line, which is to be placed after that.
func (d *dispatcher) leave(l *line, out func(*entry) bool) {
	l.waiting = slices.DeleteFunc(l.waiting, func(e *entry) bool {
		if !out(e) {
			return false
		}
		if e.flow.parts[l.pin] -= e.counted; e.flow.parts[l.pin] == 0 {
			delete(e.flow.parts, l.pin)
		}
		for i, s := range l.stands {
			if s.flow != e.flow {
				continue
			}
			if s.n--; s.n == 0 {
				d.pull(s)
				s.flow.lines--
				l.stands = slices.Delete(l.stands, i, i+1)
			}
			break
		}
		return true
	})
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

// pull takes a line out of one lane, or of all.
func (d *dispatcher) pull(stands ...*stand) {
	for _, s := range stands {
		if s.index < 0 {
			continue
		}
		h := d.lanes[s.lane]
		if heap.Remove(h, s.index); h.Len() == 0 {
			delete(d.lanes, s.lane) // keys come and go
		}
	}
}

// place puts a line where its first message belongs now.
func (d *dispatcher) place(l *line) {
	d.pull(l.stands...)
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
		l.lane = lane{kind: pinned, value: l.pin}
	case l.to.sim != "" && !contains(e.RefusedBy, l.to.sim) && d.keeps(l.to.sim, e, now):
		l.lane = lane{kind: bySIM, value: l.to.sim}
	default:
		l.lane = lane{kind: anyModem}
	}
	for _, s := range l.stands {
		s.lane, s.seq = l.lane, l.rank(e)
		if s.lane.aside = l.to.aside > 0; !s.lane.aside {
			s.lane.key = s.flow.key
		}
		h := d.lanes[s.lane]
		if h == nil {
			h = &lineHeap{}
			d.lanes[s.lane] = h
		}
		heap.Push(h, s)
		if s.lane.aside {
			break // of all keys: once is enough
		}
	}
}

// lineHeap orders the lines of a lane. Every line in it has a message that may go.
type lineHeap struct {
	stands []*stand
	ready  [queue.Priorities]int // of each priority, those that are not aside
}

func (h *lineHeap) Len() int { return len(h.stands) }
func (h *lineHeap) Less(i, j int) bool {
	a, b := h.stands[i], h.stands[j]
	if a.line.priority != b.line.priority {
		return a.line.priority > b.line.priority
	}
	return a.seq < b.seq
}
func (h *lineHeap) Swap(i, j int) {
	h.stands[i], h.stands[j] = h.stands[j], h.stands[i]
	h.stands[i].index, h.stands[j].index = i, j
}
func (h *lineHeap) Push(x any) {
	s := x.(*stand)
	s.index = len(h.stands)
	h.stands = append(h.stands, s)
	if !s.lane.aside {
		h.ready[s.line.priority]++
	}
}
func (h *lineHeap) Pop() any {
	n := len(h.stands) - 1
	s := h.stands[n]
	h.stands[n] = nil
	h.stands = h.stands[:n]
	s.index = -1
	if !s.lane.aside {
		h.ready[s.line.priority]--
	}
	return s
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

package gateway

import (
	"context"
	"math"
	"slices"
	"time"

	"gatewayd/queue"
)

// Not all that waits is taken into memory. Of each priority, the highest first,
// messages are taken in until each modem that can send has a window full of
// lines that it may take, in the order of acceptance, so whoever is in a line has
// those before it there too. API keys share the window, so that one's flood keeps
// no other out; what others have for the same recipients comes with what is taken
// in of one. What does not count:
//
//   - lines in backoff, and those of recipients that stand aside: they stand
//     behind what is not taken in yet;
//   - what is pinned to a modem that does not work. More of it is not taken in;
//     when the modem is back, it is behind, and gets a window of its own.
//
// If what comes first is all for other modems, an idle one's messages are looked
// for no further than farWindows.
const farWindows = 10

// loadAtOnce is how many waiting messages are read at once.
const loadAtOnce = 1000

// leastShare is how much of the window each key has, however many there are.
const leastShare = 20

// load takes in what there is room for.
func (d *dispatcher) load(ctx context.Context, q *queue.Queue) error {
	for first := true; ; first = false {
		d.beat.Work()
		w := d.lacks(q, first)
		if w == nil {
			break
		}
		found, err := q.TakeIn(ctx, w.flow.priority, w.flow.key, w.pins, w.upTo, w.limit)
		if err != nil {
			return err
		}
		d.mu.Lock()
		if n := len(found); n > 0 && w.upTo == math.MaxInt64 {
			w.flow.taken = found[n-1].Seq
		}
		d.mu.Unlock()
		d.add(found)
	}
	if err := q.ForgetOver(ctx); err != nil {
		return err
	}
	return d.tidy(ctx, q)
}

// want is what is to be taken in next: of which flow, for which modems, up to where
// and how many.
type want struct {
	flow  *flow
	pins  []string
	upTo  int64
	limit int
}

// lacks tells what is to be taken in next, nil: nothing. For the first time half a
// window is enough, so that not every message that is sent costs a look on the disk.
func (d *dispatcher) lacks(q *queue.Queue, first bool) *want {
	backlogs := q.Backlogs()
	d.mu.Lock()
	defer d.mu.Unlock()
	now, found := d.now(), false
	waits := [queue.Priorities]map[string][]queue.Backlog{}
	for _, b := range backlogs {
		if waits[b.Priority] == nil {
			waits[b.Priority] = map[string][]queue.Backlog{}
		}
		waits[b.Priority][b.Key] = append(waits[b.Priority][b.Key], b)
	}
	for p := len(waits) - 1; p >= 0; p-- {
		if waits[p] == nil {
			continue
		}
		window := d.share(p, waits[p])
		enough := window
		if first {
			enough = (window + 1) / 2
		}
		for key, its := range waits[p] {
			f, abreast := d.flow(p, key), []string(nil)
			for _, b := range its {
				switch {
				case b.Pin != "" && !d.comes(b.Pin):
				case b.Pin == "" || b.First > f.taken:
					abreast = append(abreast, b.Pin)
				case d.ready(lane{kind: pinned, value: b.Pin, key: key}, p) < enough:
					return &want{f, []string{b.Pin}, f.taken, min(loadAtOnce, window)} // it was away, and is behind
				}
			}
			if abreast != nil && d.wants(f, enough, window, now) {
				return &want{f, abreast, math.MaxInt64, min(loadAtOnce, window)}
			}
			found = found || abreast != nil
		}
	}
	if !found {
		clear(d.failed) // all that waits is in memory
	}
	return nil
}

// share is how much of the window each key has that has messages of a priority.
func (d *dispatcher) share(priority int, waits map[string][]queue.Backlog) int {
	keys := len(waits)
	for _, f := range d.flows {
		if f.priority == priority && f.lines > 0 && waits[f.key] == nil {
			keys++
		}
	}
	return max(d.window/max(keys, 1), min(d.window, leastShare))
}

// comes tells whether a modem can be used, or may be soon.
func (d *dispatcher) comes(name string) bool {
	return slices.ContainsFunc(d.feeds, func(f *feed) bool { return f.name == name && (f.working || f.coming) })
}

// ready is how many lines of a priority stand in a lane and count.
func (d *dispatcher) ready(at lane, priority int) int {
	if h := d.lanes[at]; h != nil {
		return h.ready[priority]
	}
	return 0
}

// wants tells whether a modem has too few lines of a flow. While none can send,
// there is room for enough lines at all.
func (d *dispatcher) wants(of *flow, enough, window int, now time.Time) bool {
	var able []*feed
	for _, f := range d.feeds {
		if f.canSend(now) {
			able = append(able, f)
		}
	}
	if len(able) == 0 {
		return of.lines < enough
	}
	all, least := 0, math.MaxInt
	has := make([]int, len(able))
	for at, h := range d.lanes {
		n := h.ready[of.priority]
		if n == 0 || at.key != of.key || at.kind == pinned && !slices.ContainsFunc(able, func(f *feed) bool { return f.name == at.value }) {
			continue
		}
		all += n
		for i, f := range able {
			// Close to its walls a SIM may be for the numbers alone that keep it.
			if d.mayTake(f, at, now) && (f.tight < near || at.kind == pinned || at.kind == bySIM && at.value == f.sim) {
				has[i] += n
			}
		}
	}
	for _, n := range has {
		least = min(least, n)
	}
	return least < enough && all < farWindows*window
}

// remember keeps where a recipient stands of which nothing is in memory: there may
// be more on the disk. Of too many the next message goes in its turn.
func (d *dispatcher) remember(r *recipient) {
	if len(d.failed) >= farWindows*d.window {
		clear(d.failed)
	}
	d.failed[r.number] = r.aside
}

// lookForMore has follow look whether more is to be taken in.
func (d *dispatcher) lookForMore() {
	select {
	case d.used <- struct{}{}:
	default:
	}
}

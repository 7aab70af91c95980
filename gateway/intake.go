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
// those before it there too. What does not count:
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

// load takes in what there is room for.
func (d *dispatcher) load(ctx context.Context, q *queue.Queue) error {
	for first := true; ; first = false {
		p, pins, upTo, limit := d.lacks(q, first)
		if limit == 0 {
			break
		}
		found, err := q.TakeIn(ctx, p, pins, upTo, limit)
		if err != nil {
			return err
		}
		d.mu.Lock()
		if n := len(found); n > 0 && upTo == math.MaxInt64 {
			d.taken[p] = found[n-1].Seq
		}
		d.mu.Unlock()
		d.add(found)
	}
	if err := q.ForgetOver(ctx); err != nil {
		return err
	}
	return d.tidy(ctx, q)
}

// lacks tells what is to be taken in next: of which priority, for which modems, up
// to where and how many; 0: nothing. For the first time half a window is enough,
// so that not every message that is sent costs a look on the disk.
func (d *dispatcher) lacks(q *queue.Queue, first bool) (priority int, pins []string, upTo int64, limit int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, enough, found := d.now(), d.window, false
	if limit = min(loadAtOnce, d.window); first {
		enough /= 2
	}
	for p := len(d.lines) - 1; p >= 0; p-- {
		var abreast []string
		if q.FirstPlace(p, "") > 0 {
			abreast = append(abreast, "")
		}
		for _, f := range d.feeds {
			if !f.working && !f.coming {
				continue
			}
			switch at := q.FirstPlace(p, f.name); {
			case at == 0:
			case at > d.taken[p]:
				abreast = append(abreast, f.name)
			case d.ready(lane{pinned, f.name}, p) < enough:
				return p, []string{f.name}, d.taken[p], limit // it was away, and is behind
			}
		}
		if abreast != nil && d.wants(p, enough, now) {
			return p, abreast, math.MaxInt64, limit
		}
		found = found || abreast != nil
	}
	if !found {
		clear(d.failed) // all that waits is in memory
	}
	return 0, nil, 0, 0
}

// ready is how many lines of a priority stand in a lane and count.
func (d *dispatcher) ready(at lane, priority int) int {
	if h := d.lanes[at]; h != nil {
		return h.ready[priority]
	}
	return 0
}

// wants tells whether a modem has too few lines of a priority. While none can
// send, there is room for enough lines at all.
func (d *dispatcher) wants(priority, enough int, now time.Time) bool {
	var able []*feed
	for _, f := range d.feeds {
		if f.canSend(now) {
			able = append(able, f)
		}
	}
	if len(able) == 0 {
		return d.lines[priority] < enough
	}
	all, least := 0, math.MaxInt
	has := make([]int, len(able))
	for at, h := range d.lanes {
		n := h.ready[priority]
		if n == 0 || at.kind == pinned && !slices.ContainsFunc(able, func(f *feed) bool { return f.name == at.value }) {
			continue
		}
		all += n
		for i, f := range able {
			// Close to its walls a SIM may be for the numbers alone that keep it.
			if d.mayTake(f, at, now) && (f.tight < near || at.kind == pinned || at == lane{bySIM, f.sim}) {
				has[i] += n
			}
		}
	}
	for _, n := range has {
		least = min(least, n)
	}
	return least < enough && all < farWindows*d.window
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

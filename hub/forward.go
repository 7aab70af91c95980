package hub

import (
	"context"
	"maps"
	"sync"
	"time"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
)

const (
	// together is how many messages one commit gives to gateways.
	together = 256
	// mostUnacknowledged is how many messages of one stream are given and not in it.
	mostUnacknowledged = 1000
	// mostInLink is how many messages wait for one gateway in its stream; more wait at
	// the hub, where they can still go to another.
	mostInLink = 1000
	// lookAgainAfter is how often what waits is routed anew.
	lookAgainAfter = 2 * time.Second
)

// waits is what waits for a gateway, and why.
type waits struct {
	mu   sync.Mutex
	why  map[string]int  // how many, by reason
	told map[string]bool // reasons that were logged
}

// set replaces what waits, and returns the reasons that are new.
func (w *waits) set(why map[string]int) (fresh []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.why = why
	told := map[string]bool{}
	for reason := range why {
		told[reason] = true
		if !w.told[reason] {
			fresh = append(fresh, reason)
		}
	}
	w.told = told
	return fresh
}

func (w *waits) get() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.why)
}

// round is one way through what waits.
type round struct {
	after   int64           // up to here it was looked at
	numbers map[string]bool // that wait: what comes later for them waits behind
	why     map[string]int
	full    map[string]bool // gateways that were full: what comes later for them waits behind
}

func newRound() round {
	return round{numbers: map[string]bool{}, why: map[string]int{}, full: map[string]bool{}}
}

// forward gives each message that waits to its gateway.
func (f *flow) forward(ctx context.Context) {
	now := newRound()
	for ctx.Err() == nil {
		changed := f.q.Changed()
		more, err := f.giveSome(ctx, &now)
		if err != nil && ctx.Err() == nil {
			f.log.Error("messages can't be given to gateways", "error", err)
			sleep(ctx, time.Second)
			continue
		}
		if more {
			continue
		}
		for _, reason := range f.waits.set(maps.Clone(now.why)) {
			f.log.Warn("messages wait for a gateway", "because", reason, "messages", now.why[reason])
		}
		// What came back to an old place is found by looking at all.
		later := time.After(5 * lookAgainAfter)
		if n := len(now.numbers); n > 0 {
			later = time.After(lookAgainAfter + time.Duration(n)*time.Millisecond/4)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-f.again:
			now = newRound()
		case <-later:
			now = newRound()
		}
	}
}

// giveSome gives the next messages; more tells whether there may be others.
func (f *flow) giveSome(ctx context.Context, now *round) (more bool, err error) {
	waiting, err := f.q.Unrouted(ctx, now.after, together)
	if err != nil || len(waiting) == 0 {
		return false, err
	}
	fleet, at, full := f.fleet(), f.now(), f.d.Room()
	for _, p := range fleet.places {
		if p.full = p.full || now.full[p.name]; p.full {
			now.full[p.name] = true
		}
	}
	type gift struct {
		row   int64
		to    *place
		given *queue.Relayed
	}
	var gifts []gift
	for _, u := range waiting {
		if u.NotBefore.After(at) {
			now.numbers[u.To] = true
			continue
		}
		if now.numbers[u.To] {
			now.why["an older message to the same number waits"]++
			continue
		}
		c := choice{why: "the disk of the hub is nearly full"} // a stream that once found no room takes nothing more until it is opened anew
		if full == nil {
			c = fleet.route(ask{to: u.To, wish: u.Wish, pin: u.Pin, sim: u.SIM})
		}
		if c.why != "" {
			now.numbers[u.To] = true
			now.why[c.why]++
			continue
		}
		p := fleet.place(c.gateway)
		p.outstanding++
		gifts = append(gifts, gift{row: u.Row, to: p})
	}
	if len(gifts) > 0 {
		err = f.q.Do(func(tx *db.Tx) error {
			for i := range gifts {
				g := &gifts[i]
				if g.given, err = f.q.GiveTx(tx, g.row, g.to.name, g.to.epoch); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return false, err
		}
	}
	for _, g := range gifts {
		if g.given == nil {
			continue
		}
		f.burdens.add(g.to.name, 1)
		f.lanes[mirror.Out(g.to.name)].add(*g.given)
	}
	now.after = waiting[len(waiting)-1].Seq
	return len(waiting) == together, nil
}

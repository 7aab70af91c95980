package gateway

import (
	"sync"
	"time"
)

const (
	tallySlots  = 12
	tallySlot   = 5 * time.Minute // of the last hour
	fewestParts = 20              // fewer tell nothing
)

// outcomes are what became of parts.
type outcomes struct{ sent, failed int }

func (o outcomes) parts() int { return o.sent + o.failed }

// tally counts what became of the parts of the last hour.
type tally struct {
	mu    sync.Mutex
	began time.Time // slots are counted from here, by the monotonic clock
	slots [tallySlots]struct {
		number int
		outcomes
	}
}

func (t *tally) slot(now time.Time) int {
	if t.began.IsZero() {
		t.began = now
	}
	return int(now.Sub(t.began) / tallySlot)
}

func (t *tally) add(now time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.slot(now)
	s := &t.slots[n%tallySlots]
	if s.number != n {
		s.number, s.outcomes = n, outcomes{}
	}
	if ok {
		s.sent++
	} else {
		s.failed++
	}
}

// within is what became of those of the hour before now.
func (t *tally) within(now time.Time) (all outcomes) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.slot(now)
	for _, s := range t.slots {
		if n-s.number < tallySlots {
			all.sent, all.failed = all.sent+s.sent, all.failed+s.failed
		}
	}
	return all
}

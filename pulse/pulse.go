// Package pulse tells whether the loops of a daemon still make steps.
//
// A loop says when it begins a step and when it rests, waiting for something to
// do. One that rests is alive, however long; one that stays in a step longer than
// any step can take is stuck. Time is counted in looks, so that a machine that
// was suspended, a process that was stopped, or a clock that jumps makes nobody
// look stuck: between two looks no more than one look's time can have passed.
package pulse

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Pulse is that of one loop. The zero value rests. Its methods may be called on nil.
type Pulse struct{ steps atomic.Uint64 } // odd: in a step

// Work begins a step; the one before is over.
func (p *Pulse) Work() {
	if p != nil {
		p.steps.Store(p.steps.Load()&^1 + 3)
	}
}

// Rest ends a step: the loop waits until there is something to do.
func (p *Pulse) Rest() {
	if p != nil {
		p.steps.Store((p.steps.Load() + 1) &^ 1)
	}
}

// Loop is a loop that is looked after.
type Loop struct {
	Name  string // in words: the database's writer
	Bound time.Duration
	Pulse *Pulse
}

// Every is how often Look wants to be called; more often does no harm.
const Every = 10 * time.Second

// Watch looks after loops.
type Watch struct {
	mu     sync.Mutex
	looked time.Time
	seen   map[*Pulse]step
}

// step is a step that a loop was seen in.
type step struct {
	number uint64
	lasts  time.Duration // as far as looks have seen it
}

// Look tells which of these loops are stuck, nil: none is.
func (w *Watch) Look(loops []Loop) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	passed := min(now.Sub(w.looked), 2*Every)
	if w.looked.IsZero() {
		passed = 0
	}
	w.looked = now
	seen := make(map[*Pulse]step, len(loops))
	var stuck []error
	for _, l := range loops {
		s := step{number: l.Pulse.steps.Load()}
		if s.number&1 == 0 {
			continue
		}
		if before, ok := w.seen[l.Pulse]; ok && before.number == s.number {
			s.lasts = before.lasts + passed
		}
		seen[l.Pulse] = s
		if s.lasts >= l.Bound {
			stuck = append(stuck, fmt.Errorf("%s has made no step for %v", l.Name, s.lasts.Round(time.Second)))
		}
	}
	w.seen = seen
	return errors.Join(stuck...)
}

// Probe asks now and then for something that may never come, such as a lock. While
// it waits its pulse is in a step.
type Probe struct {
	Pulse
	ask func()
}

// NewProbe makes a probe that calls ask.
func NewProbe(ask func()) *Probe { return &Probe{ask: ask} }

// Begin asks, unless it still waits for what it asked before.
func (p *Probe) Begin() {
	n := p.steps.Load()
	if n&1 == 0 && p.steps.CompareAndSwap(n, n+1) {
		go func() {
			p.ask()
			p.Rest()
		}()
	}
}

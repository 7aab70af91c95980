package hooks

import (
	"fmt"
	"math"
	"sync"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// rates are how many messages each hook may still make now: as many as in a
// minute at once. They are in memory only: a restart takes longer than what it
// would grant is worth.
type rates struct {
	mu sync.Mutex
	of map[string]*rate // by the hook's id: a new token grants nothing anew
}

// rate is what is left at a time. A batch that is larger than what may go at once
// passes when all of it is there, and leaves less than nothing.
type rate struct {
	left float64
	at   time.Time
}

// charge books messages in the transaction that accepts them; nil: there is no
// limit. Its error is a *sms.HookError.
func (l *rates) charge(id string, most int) queue.Charge {
	if most == 0 {
		return nil
	}
	return func(tx *db.Tx, messages int) error {
		if err := l.take(id, most, messages, float64(messages)); err != nil {
			return err
		}
		tx.OnRollback(func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			r := l.now(id, most)
			r.left = math.Min(r.left+float64(messages), float64(most))
		})
		return nil
	}
}

// admits tells whether so many messages would pass; it takes none.
func (l *rates) admits(id string, most, messages int) error {
	if most == 0 {
		return nil
	}
	return l.take(id, most, messages, 0)
}

func (l *rates) take(id string, most, messages int, cost float64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.now(id, most)
	if lacks := float64(min(messages, most)) - r.left; lacks > 0 {
		wait := max(time.Duration(lacks*float64(time.Minute)/float64(most)), 1)
		grant := fmt.Sprintf("%d messages", most)
		if most == 1 {
			grant = "1 message"
		}
		return &sms.HookError{Refusal: sms.HookTooFast, Wait: wait,
			Detail: fmt.Sprintf("this hook may make %s a minute, and has made too many just now; try again in %s; max_per_minute sets it",
				grant, (wait + time.Second - 1).Truncate(time.Second))}
	}
	r.left -= cost
	return nil
}

// now is a hook's rate as it is now.
func (l *rates) now(id string, most int) *rate {
	now := time.Now() // steps of the clock grant nothing
	r := l.of[id]
	if r == nil {
		if l.of == nil {
			l.of = map[string]*rate{}
		}
		r = &rate{left: float64(most), at: now}
		l.of[id] = r
	}
	r.left = math.Min(r.left+now.Sub(r.at).Minutes()*float64(most), float64(most))
	r.at = now
	return r
}

func (l *rates) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, id)
}

package auth

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"gatewayd/db"
	"gatewayd/sms/number"
)

// Limits are what a key may do beside its scopes. They belong to the key's
// principal: rotating it grants nothing anew.
type Limits struct {
	Rate    int                  // messages a minute; 0: no limit
	Burst   int                  // of them at once; 0: a minute's
	Quota   int                  // messages a day; 0: no limit
	Allow   []number.Destination // where it may send; empty: where the gateway does
	Premium bool                 // to numbers that cost extra too, where the gateway does
}

// MaxLimit is the largest limit; more than any modem sends.
const MaxLimit = 10_000_000

func (l *Limits) check() error {
	for _, n := range []struct {
		name  string
		value int
	}{{"rate", l.Rate}, {"burst", l.Burst}, {"quota", l.Quota}} {
		if n.value < 0 || n.value > MaxLimit {
			return &WrongError{n.name, fmt.Sprintf("must be a number of messages from 0, no limit, to %d", MaxLimit)}
		}
	}
	if l.Burst > 0 && l.Rate == 0 {
		return &WrongError{"burst", "is nothing without a rate"}
	}
	return nil
}

// Rules are where a key may send, as far as the gateway does.
func (l *Limits) Rules() number.Rules { return number.Rules{Allow: l.Allow, Premium: l.Premium} }

// burst is how many messages may go at once.
func (l *Limits) burst() int { return cmp.Or(l.Burst, l.Rate) }

// Window is how long it takes until all that may go at once is there again.
func (l *Limits) Window() time.Duration {
	if l.Rate == 0 {
		return 0
	}
	return time.Duration(l.burst()) * time.Minute / time.Duration(l.Rate)
}

// The limits by name.
const (
	PerMinute = "minute"
	PerDay    = "day"
)

// LimitError means that a key has no more messages now.
type LimitError struct {
	Limit string        // PerMinute or PerDay
	Most  int           // how many the limit grants
	Burst int           // of PerMinute: how many of them at once
	Left  int           // how many of them are left
	Asked int           // how many it was to be
	Wait  time.Duration // until it may be tried again
}

// RetryAfter is when it may be tried again.
func (e *LimitError) RetryAfter() time.Duration { return e.Wait }

func (e *LimitError) Error() string {
	again := "; try again in " + (e.Wait + time.Second - 1).Truncate(time.Second).String() // too early, it would be refused again
	switch {
	case e.Limit == PerMinute:
		return fmt.Sprintf("this key may send %s a minute, up to %d of them at once, and has sent too many just now%s", messages(e.Most), e.Burst, again)
	case e.Asked > e.Most:
		return fmt.Sprintf("this key may send %s a day, and these are %d", messages(e.Most), e.Asked)
	case e.Left > 0:
		return fmt.Sprintf("this key may send %s a day; %d of today's are left, and these are %d%s", messages(e.Most), e.Left, e.Asked, again)
	}
	return fmt.Sprintf("this key may send %s a day, and today's are used up%s", messages(e.Most), again)
}

func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

// Use is what is left to a key.
type Use struct {
	Rate *Left // nil: no limit
	Day  *Left
}

// Left is what is left of one limit.
type Left struct {
	Most   int           // at once, or a day
	Left   int           // of them
	Resets time.Duration // until all are there again
}

// Charge books messages that a key sends, in the transaction that accepts them.
// Its error is a *LimitError. More messages than may go at once pass once all of
// these are there, and are owed then: a batch need not be cut to the rate.
func (k *Keys) Charge(key *Key) func(tx *db.Tx, messages int) error {
	return func(tx *db.Tx, messages int) error {
		if key.Quota > 0 {
			used, err := addDay(tx, key.Principal, dayOf(k.now()), messages)
			if err != nil {
				return err
			}
			if used > key.Quota {
				return &LimitError{Limit: PerDay, Most: key.Quota, Left: max(0, key.Quota-used+messages), Asked: messages, Wait: k.untilMidnight()}
			}
		}
		if key.Rate == 0 {
			return nil
		}
		if wait := k.take(key, messages); wait > 0 {
			return &LimitError{Limit: PerMinute, Most: key.Rate, Burst: key.burst(), Asked: messages, Wait: wait}
		}
		tx.OnRollback(func() { k.giveBack(key, messages) })
		return nil
	}
}

// Use tells what is left to a key.
func (k *Keys) Use(ctx context.Context, key *Key) (Use, error) {
	var u Use
	if key.Rate > 0 {
		k.mu.Lock()
		b := k.paceOf(key, time.Now())
		u.Rate = &Left{Most: key.burst(), Left: max(0, int(b.tries)), Resets: b.until(float64(key.burst()), perMessage(key))}
		k.mu.Unlock()
	}
	if key.Quota > 0 {
		var used int
		err := k.db.Read(ctx, func(q db.Querier) (err error) {
			used, err = selectDay(q, key.Principal, dayOf(k.now()))
			return err
		})
		if err != nil {
			return Use{}, fmt.Errorf("reading what the API key has sent today: %w", err)
		}
		u.Day = &Left{Most: key.Quota, Left: max(0, key.Quota-used), Resets: k.untilMidnight()}
	}
	return u, nil
}

// perMessage is how long a key's rate takes for one message.
func perMessage(key *Key) time.Duration { return time.Minute / time.Duration(key.Rate) }

// paceOf is the bucket of a key's rate, as it is now. It is in memory only: a
// restart takes longer than what it would grant is worth.
func (k *Keys) paceOf(key *Key, now time.Time) *bucket {
	b := k.paces[key.Principal]
	if b == nil {
		b = &bucket{tries: float64(key.burst()), at: now}
		k.paces[key.Principal] = b
	}
	b.refill(now, float64(key.burst()), perMessage(key))
	return b
}

func (k *Keys) take(key *Key, messages int) (wait time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b := k.paceOf(key, time.Now())
	if wait := b.until(float64(min(messages, key.burst())), perMessage(key)); wait > 0 {
		return wait
	}
	b.tries -= float64(messages)
	return 0
}

func (k *Keys) giveBack(key *Key, messages int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b := k.paceOf(key, time.Now())
	b.tries = math.Min(b.tries+float64(messages), float64(key.burst()))
}

// dayOf is a day of the calendar in the gateway's time zone, as the limits of
// SIMs go: each day is as full as it was left, so a clock that jumps over
// midnight and back grants nothing twice.
func dayOf(t time.Time) int {
	y, m, d := t.Local().Date()
	return (y*100+int(m))*100 + d
}

func (k *Keys) untilMidnight() time.Duration {
	now := k.now()
	y, m, d := now.Local().Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, time.Local).Sub(now)
}

// Prune forgets the days that no quota asks for any more. It is for a clock that
// is right.
func (k *Keys) Prune(now time.Time) error {
	return k.db.Write(func(tx *db.Tx) error { return deleteDays(tx, dayOf(now.AddDate(0, -2, 0))) })
}

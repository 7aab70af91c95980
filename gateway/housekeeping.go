package gateway

import (
	"context"
	"time"
)

const (
	// restBetween is the least time between two looks at what is due: a
	// message's due time is met to the second.
	restBetween = time.Second
	// lookAtLeast is how often the slow things are looked at when nothing happens.
	lookAtLeast = time.Minute
	pruneEvery  = time.Hour
)

// keepHouse makes due what time makes due: send_at, expires_at,
// unconfirmed_wait, report_wait, missing parts, and what is too old to keep.
func (g *Gateway) keepHouse(ctx context.Context) error {
	pruned := g.dispatch.now()
	for {
		changed := g.queue.Changed()
		now := g.dispatch.now()
		next, err := g.settleDue(now)
		if err != nil {
			// The disk may be full or slow; the next look tries again.
			g.log.Error("housekeeping failed and is tried again", "error", err)
			next = now.Add(10 * restBetween)
		}
		if now.Sub(pruned) >= pruneEvery {
			pruned = now
			if err := g.queue.Prune(ctx, now, g.o.Retention); err != nil && ctx.Err() == nil {
				g.log.Error("old messages could not be erased; tried again in an hour", "error", err)
			}
		}
		if !sleep(ctx, restBetween) {
			return nil
		}
		wait := time.NewTimer(max(0, next.Sub(now)-restBetween))
		select {
		case <-changed: // something new may be due earlier
		case <-wait.C:
		case <-ctx.Done():
		}
		wait.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// settleDue does what is due now and returns when something is next.
func (g *Gateway) settleDue(now time.Time) (time.Time, error) {
	next := now.Add(lookAtLeast)
	for _, due := range []func(time.Time) (time.Time, error){
		g.queue.ReleaseDue, g.queue.ExpireDue, g.queue.SettleUnconfirmed, g.queue.FreeReported,
	} {
		at, err := due(now)
		if err != nil {
			return next, err
		}
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	if err := g.queue.AssembleOverdue(now); err != nil {
		return next, err
	}
	return next, g.queue.PassInbound()
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

package gateway

import (
	"context"
	"errors"
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
// unconfirmed_wait, report_wait and missing parts.
func (g *Gateway) keepHouse(ctx context.Context) {
	for {
		g.house.Work()
		changed := g.queue.Changed()
		g.due.Lock()
		now := g.dispatch.now()
		next, err := g.settleDue(now)
		g.due.Unlock()
		if err != nil {
			// The disk may be full or slow; the next look tries again.
			g.log.Error("housekeeping failed and is tried again", "error", err)
			next = now.Add(10 * restBetween)
		}
		g.house.Rest()
		if !sleep(ctx, restBetween) {
			return
		}
		wait := time.NewTimer(max(0, next.Sub(now)-restBetween))
		select {
		case <-changed: // something new may be due earlier
		case <-g.clockSet:
		case <-wait.C:
		case <-ctx.Done():
		}
		wait.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// settleDue does what is due now and returns when something is next. What
// fails keeps nothing else from being done.
func (g *Gateway) settleDue(now time.Time) (time.Time, error) {
	next := now.Add(lookAtLeast)
	var errs []error
	for _, due := range []func(time.Time) (time.Time, error){
		g.queue.ReleaseDue, g.queue.ExpireDue, g.queue.SettleUnconfirmed, g.queue.FreeReported, g.queue.EndSilent, g.ringsFull, g.settleHeld,
	} {
		at, err := due(now)
		errs = append(errs, err)
		if err == nil && !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	// A set of parts needs a slot, so slots are freed first.
	errs = append(errs, g.queue.PassInbound(), g.queue.AssembleOverdue(now))
	return next, errors.Join(errs...)
}

// watchFile says it when the database turns out to be damaged. Nothing is done
// then: every part of the daemon stands still, for it can book nothing.
func (g *Gateway) watchFile(ctx context.Context) {
	select {
	case <-g.database.Damaged():
		g.log.Error("the database file is damaged: nothing is accepted, sent or received any more, and nothing is written to it; "+
			"stop gatewayd and restore a backup with gatewayd restore FILE",
			"file", g.database.Path(), "error", g.database.Damage())
	case <-ctx.Done():
	}
}

// copiesKept is how long a copy of the database from before an upgrade is kept:
// texts that were erased since are in it still, and who goes back does so sooner.
const copiesKept = 30 * 24 * time.Hour

// sayUpgraded tells of the way back to the gatewayd that was before.
func (g *Gateway) sayUpgraded() {
	u := g.database.Upgraded()
	switch {
	case u.From == 0 || u.From == u.To:
	case u.Copy == "":
		g.log.Warn("the database was brought up to date, and no copy of it was kept: there is no way back to the older gatewayd but an earlier backup",
			"schema", u.To, "before", u.From, "error", u.Why)
	default:
		g.log.Info("the database was brought up to date; to go back, stop gatewayd, install the older one, and put the copy back with gatewayd restore --back FILE, which holds unfinished messages",
			"schema", u.To, "before", u.From, "copy", u.Copy)
	}
}

// prune erases, now and then, what is too old to keep. It may take long, and
// what is due must not wait for it.
func (g *Gateway) prune(ctx context.Context) {
	for sleep(ctx, pruneEvery) {
		if !g.clock.Trusted() { // asked before the time is
			continue
		}
		if err := g.queue.Prune(ctx, g.dispatch.now(), g.set.Load().Retention); err != nil && ctx.Err() == nil {
			g.log.Error("old messages could not be erased; tried again in an hour", "error", err)
		}
		if err := g.alarms.prune(ctx); err != nil && ctx.Err() == nil {
			g.log.Error("old alarms could not be forgotten; tried again in an hour", "error", err)
		}
		if err := g.keys.Prune(g.dispatch.now()); err != nil && ctx.Err() == nil {
			g.log.Error("old days of API keys could not be forgotten; tried again in an hour", "error", err)
		}
		if err := g.database.ForgetBefore(g.dispatch.now().Add(-copiesKept)); err != nil {
			g.log.Error("old copies of the database from before upgrades could not be removed; tried again in an hour", "error", err)
		}
		if err := g.Twilio().Prune(g.dispatch.now()); err != nil && ctx.Err() == nil {
			g.log.Error("what Twilio accounts handed in lately could not be forgotten; tried again in an hour", "error", err)
		}
	}
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

package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/clock"
	"gatewayd/db"
	"gatewayd/queue"
)

const (
	lookAtClock = 10 * time.Second
	// clockPatience is how long a machine that has just started may take to
	// hear the time before somebody is told.
	clockPatience = 5 * time.Minute
)

// startClock gives the queue the gateway's time and returns by how much what
// waits has to be moved: the clock goes on where the last run left it.
func (g *Gateway) startClock(ctx context.Context, o *queue.Options) (shift time.Duration, err error) {
	g.clock = g.o.Clock
	if g.clock == nil {
		g.clock = clock.New(clock.Options{Always: true, Wall: o.Now})
		if o.Now != nil {
			return 0, nil // a test's own clock
		}
	}
	last, certain, err := queue.LastTime(ctx, g.database)
	if err != nil {
		return 0, err
	}
	shift = g.clock.Resume(last, certain)
	o.Now, o.Trusted, o.Began = g.clock.Now, g.clock.Trusted, g.clock.Began
	o.Heard = func(from string, ahead time.Duration, atLeast bool) {
		if atLeast {
			g.clock.HeardAtLeast(from, ahead)
		} else {
			g.clock.Heard(from, ahead)
		}
	}
	if !g.clock.Trusted() {
		g.log.Warn("the clock is not set: nothing is scheduled and nothing expires until it is", "time", g.clock.Now(),
			"advice", "connect it to a time server (NTP), or wait: the phone network sets it with the first status reports")
	}
	return shift, nil
}

// shift moves what waits along with a clock that is set by step to now.
func (g *Gateway) shift(tx *db.Tx, step time.Duration, began, now time.Time) error {
	if err := g.queue.ShiftTx(tx, step, began, now); err != nil {
		return err
	}
	if err := g.alarms.shiftTx(tx, step, began); err != nil {
		return err
	}
	if err := g.signals.shiftTx(tx, step, began); err != nil {
		return err
	}
	if err := g.backups.shiftTx(tx, step, began); err != nil {
		return err
	}
	if err := g.webhooks.ShiftTx(tx, step, began); err != nil {
		return err
	}
	if err := g.hooks.ShiftTx(tx, step, began); err != nil {
		return err
	}
	if g.hub != nil {
		if err := g.hub.ShiftTx(tx, step, began); err != nil {
			return err
		}
	}
	if err := g.talk.widgets.ShiftTx(tx, step, began); err != nil {
		return err
	}
	if err := g.talk.contacts.ShiftTx(tx, step, began); err != nil {
		return err
	}
	if err := g.talk.chat.ShiftTx(tx, step, began, now); err != nil {
		return err
	}
	if err := g.talk.reports.ShiftTx(tx, step, began); err != nil {
		return err
	}
	if err := g.talk.files.ShiftTx(tx, step, began); err != nil {
		return err
	}
	if g.talk.inbox != nil {
		if err := g.talk.inbox.ShiftTx(tx, step, began); err != nil {
			return err
		}
	}
	return g.keys.ShiftTx(tx, step, began)
}

// watchClock follows the machine's clock as far as it can be trusted, and says
// when it can't.
func (g *Gateway) watchClock(ctx context.Context) {
	start, told := time.Now(), false
	for {
		if err := g.setClock(); err != nil && ctx.Err() == nil {
			g.log.Error("the clock could not be set; tried again", "in", lookAtClock, "error", err)
		}
		if g.clock.Trusted() {
			g.alarms.end(clockNotSet, "")
		} else if !told && time.Since(start) >= clockPatience {
			// Once: its words tell the minute, and each new one would be a commit.
			g.alarms.begin(clockNotSet, "", clock.NotSet, clock.Advice(g.clock.Status().Wall))
			told = g.alarms.goesOn(clockNotSet, "")
		}
		if !sleep(ctx, lookAtClock) {
			return
		}
	}
}

// setClock sets the clock, if somebody vouches for the machine's, and moves what
// waits along, in one commit. Functions that run after it on the database's
// writer see the new time, those before the old one.
func (g *Gateway) setClock() error {
	step, source := g.clock.Look()
	was := g.clock.Status().Source
	if step == 0 && (was != clock.Nobody || source == clock.Nobody) {
		g.clock.Step(0, source)
	} else {
		g.due.Lock()
		defer g.due.Unlock()
		stepped, began := false, g.clock.Began()
		err := g.database.Write(func(tx *db.Tx) error {
			now := g.clock.Now().Add(step)
			if err := errors.Join(g.shift(tx, step, began, now), g.queue.ClockSetTx(tx, now)); err != nil {
				return err
			}
			g.clock.Step(step, source)
			stepped = true
			return nil
		})
		if err != nil {
			if stepped {
				g.clock.Step(-step, was)
			}
			return err
		}
		g.dispatch.shift(step)
		g.alarms.shift(step, began)
		g.webhooks.ClockSet()
		if by := step.Round(time.Millisecond); by == 0 {
			g.log.Info("the clock is right, as somebody says who knows", "source", source)
		} else {
			g.log.Warn("the clock was set", "by", by, "to", g.clock.Now(), "source", source)
		}
	}
	if step != 0 || was != source {
		select {
		case g.clockSet <- struct{}{}:
		default:
		}
	}
	return nil
}

// shift moves what is waited by in memory along with the clock.
func (d *dispatcher) shift(step time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	move := func(t *time.Time) {
		if !t.IsZero() {
			*t = t.Add(step)
		}
	}
	for _, e := range d.entries {
		move(&e.NotBefore)
		move(&e.Since)
		move(&e.since)
		move(&e.refusals.since)
	}
	for _, r := range d.recipients {
		for _, l := range append([]*line(nil), r.lines...) {
			d.place(l)
		}
	}
	d.wake()
}

// clockMeter tells whether the clock is trusted when it is asked for.
func clockMeter(c *clock.Clock) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatewayd_clock_trusted", Help: "1: the clock is set. 0: nobody vouches for it, so nothing is scheduled and nothing expires.",
	}, func() float64 {
		if c.Trusted() {
			return 1
		}
		return 0
	})
}

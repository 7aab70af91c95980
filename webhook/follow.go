package webhook

import (
	"context"
	"errors"
	"slices"
	"time"

	"gatewayd/db"
	"gatewayd/failpoint"
	"gatewayd/sms"
)

const (
	eventsAtOnce = 100
	// An event that no endpoint wants moves the cursor with the next one that
	// is wanted, or after this: no commit of its own for each.
	lazyAdvance = 5 * time.Second
	tidyEvery   = 10 * time.Minute
)

// follower copies events into the endpoints' rows.
type follower struct {
	w      *Webhooks
	at     int64 // read up to here
	stored int64 // the cursor on disk
}

// follow runs until ctx ends. Its cursor and the rows are one commit, so an
// event is copied once, whenever the daemon ends.
func (w *Webhooks) follow(ctx context.Context) error {
	select {
	case <-w.wanted:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer w.beat.Rest()
	f := follower{w: w, at: w.start, stored: w.start}
	var lazy <-chan time.Time
	var faults trouble
	for {
		w.beat.Work()
		changed := w.o.Queue.Changed()
		idle, err := f.passOver(ctx)
		if err == nil && !idle {
			err = f.copyNew(ctx)
		}
		if err != nil && ctx.Err() == nil {
			faults.begin(w.o.Now(), func(int, time.Time) {
				w.log.Error("events can't be taken over for the webhooks", "error", err)
			})
			w.beat.Rest()
			if err := pause(ctx, troubleGap); err != nil {
				return err
			}
			continue
		}
		if n, _ := faults.end(); n > 0 {
			w.log.Info("events are taken over for the webhooks again", "failures", n)
		}
		switch {
		case f.at == f.stored || !w.reads.Load():
			lazy = nil
		case lazy == nil:
			lazy = time.After(lazyAdvance)
		}
		w.beat.Rest()
		select {
		case <-changed:
		case <-lazy:
			lazy = nil
			w.beat.Work()
			if err := f.save(nil); err != nil {
				w.log.Error("the webhooks' place in the event log can't be saved", "error", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// passOver passes over events without reading them, while there is no endpoint and
// no source that names anybody: most gateways have none, and reading the log for
// nobody costs a third of what they can take in. It tells whether all of it was so.
func (f *follower) passOver(ctx context.Context) (idle bool, err error) {
	// What is there first, then who wants it: whoever comes in between wants later events.
	if f.w.reads.Load() {
		return false, nil
	}
	upTo, some, err := f.w.o.Queue.UpToCallback(ctx, f.at)
	if err != nil || f.w.reads.Load() || len(f.w.list()) > 0 {
		return false, err
	}
	if any, err := f.w.needed(); err != nil || any {
		return false, err
	}
	f.at = upTo
	f.w.followed.Store(upTo)
	return !some, nil
}

// copyNew takes over all that is new in the log.
func (f *follower) copyNew(ctx context.Context) error {
	for {
		f.w.beat.Work()
		events, err := f.w.o.Queue.EventsAfter(ctx, f.at, eventsAtOnce)
		if err != nil || len(events) == 0 {
			return err
		}
		any := len(f.w.endpointsFor(events)) > 0
		if !any {
			err := f.w.o.DB.Read(ctx, func(r db.Querier) error {
				targets, err := f.w.targets(r, events)
				any = len(targets) > 0
				return err
			})
			if err != nil {
				return err
			}
		}
		was := f.at
		f.at = events[len(events)-1].Seq
		// A received message keeps its slot in the ring until we are past it.
		received := slices.ContainsFunc(events, func(e sms.Event) bool { return e.Type == sms.EventOf(sms.Received) })
		f.w.followed.Store(was)
		if !any && (!received || !f.w.reads.Load()) {
			continue
		}
		if !any {
			events = nil
		} else if err := f.w.follows(); err != nil {
			f.at = was
			return err
		}
		if err := f.save(events); err != nil {
			f.at = was
			return err
		}
	}
}

// copied is an event for a receiver.
type copied struct {
	event  *sms.Event
	to     *endpoint // nil: target's origin
	target Target
}

// endpointsFor are the endpoints that get these events, in their order.
func (w *Webhooks) endpointsFor(events []sms.Event) (wanted []copied) {
	all := w.list()
	for i := range events {
		for _, to := range all {
			if to.isOff() || events[i].Seq <= to.after || !to.is().wants(&events[i]) {
				continue
			}
			wanted = append(wanted, copied{event: &events[i], to: to})
			if to.is().stops(&events[i]) {
				break
			}
		}
	}
	return wanted
}

// targets are what the sources name for these events.
func (w *Webhooks) targets(q db.Querier, events []sms.Event) (wanted []copied, err error) {
	for i := range events {
		again := events[i].Seq <= w.again // it was read by the last run
		if again && w.o.Now().Sub(events[i].Time) > readAgainYoung {
			continue
		}
		for _, source := range w.o.Sources {
			found, err := source.Targets(q, &events[i])
			if err != nil {
				return nil, err
			}
			for _, t := range found {
				if known, err := w.store.knows(q, &events[i], t, again); err != nil {
					return nil, err
				} else if known {
					continue
				}
				wanted = append(wanted, copied{event: &events[i], target: t})
			}
		}
	}
	return wanted, nil
}

// save writes the rows of these events and moves the cursor, in one commit. Who
// gets them is decided there, for endpoints come and go in commits too.
func (f *follower) save(events []sms.Event) error {
	failpoint.Hit("webhook.before-copy")
	endpoints, origins := map[*endpoint]bool{}, map[int64]string{}
	err := f.w.o.DB.Write(func(tx *db.Tx) error {
		wanted, err := f.w.targets(tx, events)
		if err != nil {
			return err
		}
		for _, c := range append(f.w.endpointsFor(events), wanted...) {
			if err := f.copy(tx, c, endpoints, origins); err != nil {
				return err
			}
		}
		failpoint.Hit("webhook.before-cursor")
		at := f.at
		tx.OnCommit(func() { f.w.place.Store(at) })
		return f.w.advance(tx, at)
	})
	if err != nil {
		return err
	}
	failpoint.Hit("webhook.copied")
	f.stored = f.at
	for e := range endpoints {
		e.poke()
	}
	for id, name := range origins {
		f.w.origin(id, name)
	}
	return nil
}

// copy writes one row, and remembers who is to look at it.
func (f *follower) copy(tx *db.Tx, c copied, endpoints map[*endpoint]bool, origins map[int64]string) error {
	if c.to != nil {
		endpoints[c.to] = true
		_, err := f.w.store.add(tx, c.to.id, c.event, c.target)
		return err
	}
	id, err := f.w.store.originRow(tx, c.target)
	if errors.Is(err, errNoOrigin) {
		f.w.log.Warn("a receiver that a message names can't be told", "error", err, logSeq, c.event.Seq)
		return nil
	}
	if err != nil {
		return err
	}
	origins[id] = hostOf(c.target.URL)
	_, err = f.w.store.add(tx, id, c.event, c.target)
	return err
}

// advance moves the cursor and tells the log which events are still needed.
func (w *Webhooks) advance(tx *db.Tx, seq int64) error {
	hold, err := w.store.needed(tx)
	if err != nil {
		return err
	}
	return w.o.Queue.AdvanceTx(tx, reader, seq, hold)
}

// release tells the log which events are still needed, if that has changed: an
// idle gateway writes nothing.
func (w *Webhooks) release(ctx context.Context, held int64) (int64, error) {
	if !w.reads.Load() {
		return held, nil // nothing of the log is held
	}
	var hold int64
	err := w.o.DB.Read(ctx, func(r db.Querier) (err error) {
		hold, err = w.store.needed(r)
		return err
	})
	if err != nil || hold == held {
		return held, err
	}
	return hold, w.o.DB.Write(func(tx *db.Tx) error { return w.advance(tx, 0) })
}

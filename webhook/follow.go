package webhook

import (
	"context"
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
	if len(w.endpoints) == 0 {
		return nil
	}
	at, err := w.o.Queue.Cursor(reader)
	if err != nil {
		return err
	}
	f := follower{w: w, at: at, stored: at}
	var lazy <-chan time.Time
	var faults trouble
	for {
		changed := w.o.Queue.Changed()
		if err := f.copyNew(ctx); err != nil && ctx.Err() == nil {
			faults.begin(w.o.Now(), func(int, time.Time) {
				w.log.Error("events can't be taken over for the webhooks", "error", err)
			})
			if err := pause(ctx, troubleGap); err != nil {
				return err
			}
			continue
		}
		if n, _ := faults.end(); n > 0 {
			w.log.Info("events are taken over for the webhooks again", "failures", n)
		}
		switch {
		case f.at == f.stored:
			lazy = nil
		case lazy == nil:
			lazy = time.After(lazyAdvance)
		}
		select {
		case <-changed:
		case <-lazy:
			lazy = nil
			if err := f.save(nil); err != nil {
				w.log.Error("the webhooks' place in the event log can't be saved", "error", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// copyNew takes over all that is new in the log.
func (f *follower) copyNew(ctx context.Context) error {
	for {
		events, err := f.w.o.Queue.EventsAfter(ctx, f.at, eventsAtOnce)
		if err != nil || len(events) == 0 {
			return err
		}
		wanted, received := f.sort(events)
		was := f.at
		f.at = events[len(events)-1].Seq
		// A received message keeps its slot in the ring until we are past it.
		if len(wanted) > 0 || received {
			if err := f.save(wanted); err != nil {
				f.at = was
				return err
			}
		}
	}
}

// copied is an event for an endpoint.
type copied struct {
	event *sms.Event
	to    *endpoint
}

func (f *follower) sort(events []sms.Event) (wanted []copied, received bool) {
	for i := range events {
		e := &events[i]
		received = received || e.Type == sms.EventOf(sms.Received)
		for _, to := range f.w.endpoints {
			if !to.isDisabled() && to.wants(e) {
				wanted = append(wanted, copied{e, to})
			}
		}
	}
	return wanted, received
}

// save writes the rows and moves the cursor, in one commit.
func (f *follower) save(wanted []copied) error {
	failpoint.Hit("webhook.before-copy")
	err := f.w.o.DB.Write(func(tx *db.Tx) error {
		for _, c := range wanted {
			if err := f.w.store.add(tx, c.to.id, c.event); err != nil {
				return err
			}
		}
		failpoint.Hit("webhook.before-cursor")
		return f.w.advance(tx, f.at)
	})
	if err != nil {
		return err
	}
	failpoint.Hit("webhook.copied")
	f.stored = f.at
	for _, c := range wanted {
		c.to.poke()
	}
	return nil
}

// advance moves the cursor and tells the log which events are still needed.
func (w *Webhooks) advance(tx *db.Tx, seq int64) error {
	hold, err := w.store.needed(tx)
	if err != nil {
		return err
	}
	return w.o.Queue.AdvanceTx(tx, reader, seq, hold)
}

// tidy prunes the table and lets go of events that were delivered.
func (w *Webhooks) tidy(ctx context.Context) error {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	var held int64 = -1
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := w.store.prune(ctx)
		if err == nil {
			held, err = w.release(ctx, held)
		}
		if err != nil && ctx.Err() == nil {
			w.log.Error("webhook deliveries can't be tidied", "error", err)
		}
	}
}

// release tells the log which events are still needed, if that has changed: an
// idle gateway writes nothing.
func (w *Webhooks) release(ctx context.Context, held int64) (int64, error) {
	if len(w.endpoints) == 0 {
		return held, nil
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

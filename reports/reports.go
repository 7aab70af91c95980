// Package reports counts what went well and what did not, by day, SIM, person and
// widget. It follows the event log and keeps numbers only, which outlive the messages.
package reports

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

// Options are what New needs. DB and Queue must be given.
type Options struct {
	DB    *db.DB
	Queue *queue.Queue
	// Word is what a received text says, if it is nothing but a word with a meaning:
	// spam, threat, stop and so on; nil: none has one.
	Word    func(text string) string
	Keep    func() time.Duration // how long counts are kept; nil or 0: for ever
	Trusted func() bool          // whether Now is the time of day; nil: it is
	Now     func() time.Time
	Log     *slog.Logger
}

const (
	// atOnce is how many events one commit counts.
	atOnce = 500
	// lag is how long new events wait for others, to be counted in one commit with
	// them: counting costs no message a commit of its own.
	lag        = 2 * time.Second
	lastMoment = 2 * time.Second // for what is left when the gateway stops
	tidyEvery  = 12 * time.Hour
)

// Reports are what was counted.
type Reports struct {
	o  Options
	mu sync.Mutex // one counts at a time
	// Behind the place, up to where nothing was that is counted: a quiet box writes
	// nothing because of it, and holds no event because of it either.
	passed atomic.Int64
}

// New takes over the package's tables.
func New(o Options) *Reports {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Word == nil {
		o.Word = func(string) string { return "" }
	}
	if o.Keep == nil {
		o.Keep = func() time.Duration { return 0 }
	}
	if o.Trusted == nil {
		o.Trusted = func() bool { return true }
	}
	r := &Reports{o: o}
	o.Queue.HoldEvents(func(q db.Querier) (int64, error) {
		at, err := place(q)
		return max(at, r.passed.Load()), err
	})
	return r
}

// Run counts what the log tells until ctx ends, and then what is left.
func (r *Reports) Run(ctx context.Context) error {
	var tidied time.Time
	failing := false
	for {
		changed := r.o.Queue.Changed()
		switch err := r.Count(ctx); {
		case ctx.Err() != nil:
		case err != nil && !failing:
			failing = true
			r.o.Log.Error("what happened can't be counted for the reports; tried again", "error", err)
		case err == nil && failing:
			failing = false
			r.o.Log.Info("what happened is counted for the reports again")
		}
		if time.Since(tidied) >= tidyEvery {
			tidied = time.Now()
			if err := r.tidy(); err != nil {
				r.o.Log.Error("old counts can't be erased", "error", err)
			}
		}
		wait := time.Duration(0)
		select {
		case <-changed:
			wait = lag
		case <-time.After(tidyEvery):
		case <-ctx.Done():
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			// The next start would count it too, but not what is erased before.
			last, stop := context.WithTimeout(context.WithoutCancel(ctx), lastMoment)
			defer stop()
			if err := r.Count(last); err != nil {
				r.o.Log.Warn("what happened last is counted at the next start", "error", err)
			}
			return nil
		}
	}
}

// Count counts all that is new in the log.
func (r *Reports) Count(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ctx.Err() == nil {
		more, err := r.countSome(ctx)
		if err != nil || !more {
			return err
		}
	}
	return ctx.Err()
}

// tidy erases what is older than it is kept.
func (r *Reports) tidy() error {
	keep := r.o.Keep()
	if keep <= 0 || !r.o.Trusted() {
		return nil
	}
	oldest := DayOf(r.o.Now().Add(-keep))
	return r.o.DB.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`DELETE FROM report_counts WHERE day < ?`, int(oldest))
		return err
	})
}

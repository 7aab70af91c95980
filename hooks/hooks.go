// Package hooks makes texts of what other programs post: an alert, a one-time
// code, a line of curl. Each hook is an address with a token, says whose
// requests it understands or has a template, and knows who gets its texts.
//
// What a sender says is never kept here: it becomes messages or nothing.
package hooks

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// The errors that callers tell apart. Others are those of package intake and of
// the queue.
var (
	// ErrNotFound means that there is no such hook, or that the token is wrong,
	// or that requests may not come from there: who has no token learns nothing.
	ErrNotFound = fmt.Errorf("no such hook: %w", queue.ErrNotFound)
	// ErrTooMany means that there is no room for another hook.
	ErrTooMany = queue.Conflict("there are %d hooks already, the most that are allowed; delete one that is not needed", maxHooks)
)

// Options are what New needs. DB and Desk must be given.
type Options struct {
	DB      *db.DB
	Desk    *intake.Desk
	Now     func() time.Time // nil: time.Now
	Trusted func() bool      // whether Now is right; nil: it is
}

// Hooks are the hooks in a database.
type Hooks struct {
	o     Options
	rates rates
}

// New returns the hooks.
func New(o Options) *Hooks {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Trusted == nil {
		o.Trusted = func() bool { return true }
	}
	return &Hooks{o: o}
}

const (
	maxHooks = 1000
	// usedEvery is how exact last_used_at is: it costs a commit.
	usedEvery = 5 * time.Minute
)

// List returns all hooks, newest first.
func (h *Hooks) List(ctx context.Context) (all []sms.Hook, err error) {
	err = h.o.DB.Read(ctx, func(q db.Querier) error {
		all, err = loadAll(q)
		return err
	})
	return all, err
}

// Get returns a hook.
func (h *Hooks) Get(ctx context.Context, id string) (sms.Hook, error) {
	r, err := h.load(ctx, id)
	return r.Hook, err
}

func (h *Hooks) load(ctx context.Context, id string) (r row, err error) {
	err = h.o.DB.Read(ctx, func(q db.Querier) error {
		r, err = load(q, id)
		return err
	})
	return r, err
}

// Create makes a hook and returns its token, which nobody can read again.
func (h *Hooks) Create(_ context.Context, s sms.HookSettings) (hook sms.Hook, token string, err error) {
	if err := h.check(&s); err != nil {
		return sms.Hook{}, "", err
	}
	secret := random(secretLength)
	now := h.o.Now().Truncate(time.Millisecond).UTC()
	r := row{Hook: sms.Hook{ID: idPrefix + random(idLength), HookSettings: s, HasSecret: s.Secret != "", CreatedAt: now, UpdatedAt: now}, hash: digest(secret)}
	err = h.o.DB.Write(func(tx *db.Tx) error {
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM hooks WHERE deleted_at IS NULL`).Scan(&n); err != nil {
			return err
		}
		if n >= maxHooks {
			return ErrTooMany
		}
		return insert(tx, r)
	})
	if err != nil {
		return sms.Hook{}, "", err
	}
	return r.Hook, r.ID + "_" + secret, nil
}

// Update changes a hook's settings.
func (h *Hooks) Update(_ context.Context, id string, s sms.HookSettings) (hook sms.Hook, err error) {
	if err := h.check(&s); err != nil {
		return sms.Hook{}, err
	}
	err = h.o.DB.Write(func(tx *db.Tx) error {
		r, err := load(tx, id)
		if err != nil {
			return err
		}
		r.HookSettings, r.HasSecret = s, s.Secret != ""
		r.UpdatedAt = h.o.Now().Truncate(time.Millisecond).UTC()
		hook = r.Hook
		return update(tx, r)
	})
	return hook, err
}

// Delete ends a hook: its token is good for nothing from now on.
func (h *Hooks) Delete(_ context.Context, id string) error {
	if err := h.o.DB.Write(func(tx *db.Tx) error { return remove(tx, id, h.o.Now()) }); err != nil {
		return err
	}
	h.rates.forget(id)
	return nil
}

// Rotate gives a hook a new token. The old one stays good for a while, so that
// its senders can be changed one by one; another rotation with an overlap is a
// queue.ErrConflict meanwhile.
func (h *Hooks) Rotate(_ context.Context, id string, overlap time.Duration) (hook sms.Hook, token string, err error) {
	secret, now := random(secretLength), h.o.Now()
	err = h.o.DB.Write(func(tx *db.Tx) error {
		if err := rotate(tx, id, digest(secret), now, now.Add(overlap)); err != nil {
			return err
		}
		r, err := load(tx, id)
		hook = r.Hook
		return err
	})
	if err != nil {
		return sms.Hook{}, "", err
	}
	return hook, id + "_" + secret, nil
}

// ShiftTx moves, in the caller's transaction, how long old tokens are good along
// with the clock, if they were replaced in this run: it is set by step, and began is
// when this run began by the clock as it was.
func (h *Hooks) ShiftTx(tx *db.Tx, step time.Duration, began time.Time) error {
	return shift(tx, step, began)
}

// find returns the hook that a token opens.
func (h *Hooks) find(ctx context.Context, token string) (row, error) {
	id, secret, ok := split(token)
	if !ok {
		return row{}, ErrNotFound
	}
	r, err := h.load(ctx, id)
	if err != nil {
		return row{}, err
	}
	got := digest(secret)
	good := subtle.ConstantTimeCompare(got, r.hash) == 1
	if r.OldUntil != nil && h.o.Now().Before(*r.OldUntil) {
		good = subtle.ConstantTimeCompare(got, r.oldHash) == 1 || good
	}
	if !good || !r.Enabled {
		return row{}, ErrNotFound
	}
	return r, nil
}

// used books that a hook was used, now and then.
func (h *Hooks) used(r row) error {
	now := h.o.Now()
	if r.LastUsedAt != nil && now.Sub(*r.LastUsedAt) < usedEvery && !now.Before(*r.LastUsedAt) {
		return nil
	}
	err := h.o.DB.Write(func(tx *db.Tx) error { return touch(tx, r.ID, now) })
	if errors.Is(err, db.ErrDiskFull) {
		return nil // the queue says so, if there is something to queue
	}
	return err
}

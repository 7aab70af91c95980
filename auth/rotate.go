package auth

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gatewayd/db"
)

// Rotate makes a new token for whom a key, named by its id, its prefix or its
// name, stands for: with the same name, scopes and limits, and as long a life. The
// old key goes on for the overlap, so that its users can change over; with none it
// ends at once.
func (k *Keys) Rotate(ctx context.Context, idOrName string, overlap time.Duration) (token string, key, old Key, err error) {
	if overlap < 0 || overlap > MaxOverlap {
		return "", Key{}, Key{}, &WrongError{"overlap", "must be from 0 to 8760h: it is how long the old key goes on"}
	}
	if err := ctx.Err(); err != nil {
		return "", Key{}, Key{}, err
	}
	err = k.db.Write(func(tx *db.Tx) error {
		now := k.now()
		named, err := k.find(tx, idOrName)
		if err != nil {
			return err
		}
		old = named[0]
		for _, other := range named {
			switch {
			case other.Principal != old.Principal:
				return ambiguous("rotate", idOrName, named)
			case old.ExpiresAt.IsZero():
			case other.ExpiresAt.IsZero(), other.ExpiresAt.After(old.ExpiresAt):
				old = other // an overlap is under way: this is the newer one
			}
		}
		if old.Foreign {
			return fmt.Errorf("API key %s: %w", old.Prefix(), ErrForeign)
		}
		if !old.Valid(now) {
			return fmt.Errorf("API key %s has expired or was revoked, so nobody could change over from it; make a new one: %w", old.Prefix(), ErrEnded)
		}
		key = old
		key.CreatedAt, key.LastUsedAt = now, time.Time{}
		life, err := lifeOf(tx, &old)
		if err != nil {
			return err
		}
		if key.ExpiresAt = (time.Time{}); life > 0 {
			key.ExpiresAt = now.Add(life)
		}
		if token, err = issue(tx, &key); err != nil {
			return err
		}
		if overlap == 0 {
			old.RevokedAt = now
			return revokeKey(tx, &old)
		}
		if until := now.Add(overlap); old.ExpiresAt.IsZero() || until.Before(old.ExpiresAt) {
			old.ExpiresAt = until
		}
		return setExpiry(tx, old.ID, old.ExpiresAt)
	})
	k.forget()
	return token, key, old, err
}

// lifeOf is how long a key was made to live; 0: without an end. One that was rotated
// before ends with its overlap: its successor has its life.
func lifeOf(q db.Querier, key *Key) (life time.Duration, err error) {
	all, err := selectKeys(q)
	for _, k := range all {
		switch {
		case k.Principal != key.Principal || k.Foreign:
		case k.ExpiresAt.IsZero():
			return 0, err
		default:
			life = max(life, k.ExpiresAt.Sub(k.CreatedAt))
		}
	}
	return life, err
}

const (
	// DefaultOverlap is how long a rotated key goes on: a day to change over in.
	DefaultOverlap = 24 * time.Hour
	// MaxOverlap bounds how long two keys go on side by side.
	MaxOverlap = 365 * 24 * time.Hour
)

// Limit changes the limits of whom a key, named by its id, its prefix or its
// name, stands for: of all keys that were rotated into each other.
func (k *Keys) Limit(ctx context.Context, idOrName string, change func(*Limits)) (changed Key, err error) {
	if err := ctx.Err(); err != nil {
		return Key{}, err
	}
	err = k.db.Write(func(tx *db.Tx) error {
		named, err := k.find(tx, idOrName)
		if err != nil {
			return err
		}
		for _, other := range named {
			if other.Principal != named[0].Principal {
				return ambiguous("limit", idOrName, named)
			}
		}
		changed = named[0]
		change(&changed.Limits)
		if err := changed.Limits.check(); err != nil {
			return err
		}
		return setLimits(tx, changed.Principal, &changed.Limits)
	})
	k.forget()
	return changed, err
}

// find returns the key with an id or a prefix, or those that have the name, the
// newest first: those that are valid, if any is.
func (k *Keys) find(tx *db.Tx, idOrName string) ([]Key, error) {
	keys, err := selectKeys(tx)
	if err != nil {
		return nil, err
	}
	id, now := strings.TrimPrefix(idOrName, tokenPrefix), k.now()
	var valid, expired []Key
	for _, key := range keys {
		switch {
		case key.ID == id:
			return []Key{key}, nil
		case key.Name != idOrName || !key.RevokedAt.IsZero():
		case key.Valid(now):
			valid = append(valid, key)
		default:
			expired = append(expired, key)
		}
	}
	if len(valid) == 0 {
		valid = expired
	}
	if len(valid) == 0 {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, idOrName)
	}
	return valid, nil
}

func ambiguous(what, name string, named []Key) error {
	prefixes := make([]string, len(named))
	for i := range named {
		prefixes[i] = named[i].Prefix()
	}
	return fmt.Errorf("%d keys are named %q: %s one of %s", len(named), name, what, strings.Join(prefixes, ", "))
}

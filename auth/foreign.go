package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
)

// CreateForeign makes a key that no token of ours opens: another package makes,
// keeps and checks its secret, because the protocol that it is for wants it so.
// also stores what that needs, in the same commit. All else, its name, scopes, limits, expiry and end,
// is as of any key. Without a Principal it stands for itself.
func (k *Keys) CreateForeign(ctx context.Context, key Key, also func(*db.Tx, Key) error) (Key, error) {
	now := k.now()
	for _, err := range []error{checkName(key.Name), checkScopes(key.Scopes), key.Limits.check(), checkExpiry(key.ExpiresAt, now), ctx.Err()} {
		if err != nil {
			return Key{}, err
		}
	}
	key.ID, key.CreatedAt, key.Foreign = random(idLength), now, true
	if key.Principal == "" {
		key.Principal = key.ID
	}
	err := k.db.Write(func(tx *db.Tx) error {
		if err := insertKey(tx, &key, []byte{}); err != nil { // no hash is as short
			return err
		}
		return also(tx, key)
	})
	if err != nil {
		return Key{}, fmt.Errorf("storing the API key: %w", err)
	}
	return key, nil
}

// Foreign returns the key with this id, for a caller that has checked its
// secret, or ErrInvalid.
func (k *Keys) Foreign(ctx context.Context, id string) (*Key, error) {
	var key *Key
	err := k.db.Read(ctx, func(q db.Querier) (err error) {
		key, _, err = selectKey(q, id)
		return err
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, ErrInvalid
	case err != nil:
		return nil, fmt.Errorf("looking up the API key: %w", err)
	case !key.Valid(k.now()):
		return nil, ErrInvalid
	}
	return key, nil
}

// Used books that a foreign key was used.
func (k *Keys) Used(key *Key) { k.touch(key, time.Now()) }

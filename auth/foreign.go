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
// also stores what that needs, in the same commit. All else, its name, scopes, expiry and end,
// is as of any key.
func (k *Keys) CreateForeign(ctx context.Context, name string, scopes []Scope, expires time.Time, also func(*db.Tx, Key) error) (Key, error) {
	if err := errors.Join(checkName(name), checkScopes(scopes), ctx.Err()); err != nil {
		return Key{}, err
	}
	now := time.Now()
	if !expires.IsZero() && !expires.After(now) {
		return Key{}, errors.New("a key that expires in the past could never be used")
	}
	key := Key{ID: random(idLength), Name: name, Scopes: scopes, CreatedAt: now, ExpiresAt: expires}
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

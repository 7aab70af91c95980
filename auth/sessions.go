package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
)

// SessionLife is how long a browser stays signed in.
const SessionLife = 7 * 24 * time.Hour

// Login swaps a token for the value of a session cookie, or gives ErrInvalid.
func (k *Keys) Login(ctx context.Context, token string) (cookie string, err error) {
	key, err := k.Check(ctx, token)
	if err != nil {
		return "", err
	}
	cookie = random(secretLength)
	now := k.now()
	expires := now.Add(SessionLife)
	if err := k.db.Write(func(tx *db.Tx) error { return insertSession(tx, digest(cookie), key.ID, now, expires) }); err != nil {
		return "", fmt.Errorf("storing the session: %w", err)
	}
	return cookie, nil
}

// Session returns the key that a cookie was given for, or ErrInvalid: a session
// ends with its time or with its key.
func (k *Keys) Session(ctx context.Context, cookie string) (*Key, error) {
	if len(cookie) != secretLength {
		return nil, ErrInvalid
	}
	now := k.now()
	var key *Key
	// The look-up by hash needs no constant time: what can be learnt from it
	// is about the hash, which leads back to no cookie.
	err := k.db.Read(ctx, func(q db.Querier) (err error) {
		key, err = selectSession(q, digest(cookie), now)
		return err
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, ErrInvalid
	case err != nil:
		return nil, fmt.Errorf("looking up the session: %w", err)
	case !key.Valid(now):
		return nil, ErrInvalid
	}
	k.touch(key, time.Now())
	return key, nil
}

// Logout ends a session.
func (k *Keys) Logout(ctx context.Context, cookie string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return k.db.Write(func(tx *db.Tx) error { return deleteSession(tx, digest(cookie)) })
}

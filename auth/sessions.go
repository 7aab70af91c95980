package auth

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
)

const (
	// SessionLife is how long a browser stays signed in.
	SessionLife = 7 * 24 * time.Hour
	// idleLife is how long a person's session goes on without being used: a browser
	// in a drawer is not signed in for ever.
	idleLife = 24 * time.Hour
)

// Session is a browser that is signed in.
type Session struct {
	ID        string // of its list; it opens nothing
	Browser   string // in words
	CreatedAt time.Time
	SeenAt    time.Time // to within some minutes
	ExpiresAt time.Time

	hash          []byte
	keyID, person string // one of them
}

func sessionID(hash []byte) string { return hex.EncodeToString(hash[:8]) }

// Login swaps a token for the value of a session cookie, or gives ErrInvalid.
func (k *Keys) Login(ctx context.Context, token string) (cookie string, err error) {
	key, err := k.Check(ctx, token)
	if err != nil {
		return "", err
	}
	now := k.now()
	cookie, s := newSession(now)
	s.keyID = key.ID
	if err := k.db.Write(func(tx *db.Tx) error { return insertSession(tx, s, now) }); err != nil {
		return "", fmt.Errorf("storing the session: %w", err)
	}
	return cookie, nil
}

func newSession(now time.Time) (cookie string, s Session) {
	cookie = random(secretLength)
	return cookie, Session{hash: digest(cookie), CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(SessionLife)}
}

// Session returns the key that a cookie was given for, or of the person, or
// ErrInvalid: a session ends with its time, with its key, and with whatever is
// changed of its person.
func (k *Keys) Session(ctx context.Context, cookie string) (*Key, error) {
	if len(cookie) != secretLength {
		return nil, ErrInvalid
	}
	now := k.now()
	var key *Key
	var s Session
	// The look-up by hash needs no constant time: what can be learnt from it
	// is about the hash, which leads back to no cookie.
	err := k.db.Read(ctx, func(q db.Querier) (err error) {
		if s, err = selectSession(q, digest(cookie), now); err != nil {
			return err
		}
		if s.person == "" {
			key, _, err = selectKey(q, s.keyID)
			return err
		}
		p, err := selectPerson(q, s.person)
		if err == nil {
			key = p.Key()
		}
		return err
	})
	switch {
	case errors.Is(err, sql.ErrNoRows), errors.Is(err, ErrNoPerson):
		return nil, ErrInvalid
	case err != nil:
		return nil, fmt.Errorf("looking up the session: %w", err)
	case key.Person == nil && !key.Valid(now), key.Person != nil && (!key.Person.DisabledAt.IsZero() || !now.Before(s.SeenAt.Add(idleLife))):
		return nil, ErrInvalid
	}
	if key.Person == nil {
		k.touch(key, time.Now())
	} else if now.Sub(s.SeenAt) >= usedEvery || now.Before(s.SeenAt) {
		// It must not fail a request: on a full disk reading still works.
		_ = k.db.Write(func(tx *db.Tx) error { return setSeen(tx, s.hash, now) })
	}
	return key, nil
}

// Logout ends a session.
func (k *Keys) Logout(ctx context.Context, cookie string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return k.db.Write(func(tx *db.Tx) error { return deleteSession(tx, digest(cookie)) })
}

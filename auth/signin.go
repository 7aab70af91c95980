package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatewayd/db"
)

// SignIn opens a session for who knows a name and its password, and returns its
// cookie; else ErrWrongPassword, after the same work whatever is wrong. A stranger
// is sent away with ErrBusy when many are waiting.
func (k *Keys) SignIn(ctx context.Context, name, password, browser string, stranger bool) (cookie string, p Person, err error) {
	var stored string
	err = k.db.Read(ctx, func(q db.Querier) error {
		p, stored, err = selectLogin(q, fold(name))
		return err
	})
	if err != nil && !errors.Is(err, ErrNoPerson) {
		return "", Person{}, fmt.Errorf("looking up who signs in: %w", err)
	}
	if len(password) > maxPassword { // no password is as long
		password = ""
	}
	ok, err := k.matches(ctx, stored, password, stranger)
	if err != nil || !ok || !p.DisabledAt.IsZero() {
		return "", Person{}, orWrong(err)
	}
	err = k.db.Write(func(tx *db.Tx) error {
		now, current, err := selectLogin(tx, fold(name))
		if err != nil || current != stored || !now.DisabledAt.IsZero() { // it was changed meanwhile
			return ErrWrongPassword
		}
		p = now
		cookie, err = k.openFor(tx, &p, browser)
		return err
	})
	return cookie, p, err
}

// StartSession opens a session for a person who has just shown who it is.
func (k *Keys) StartSession(ctx context.Context, id, browser string) (cookie string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	err = k.db.Write(func(tx *db.Tx) error {
		p, err := findPerson(tx, id)
		if err != nil || !p.DisabledAt.IsZero() {
			return ErrInvalid
		}
		cookie, err = k.openFor(tx, &p, browser)
		return err
	})
	return cookie, err
}

func (k *Keys) openFor(tx *db.Tx, p *Person, browser string) (cookie string, err error) {
	p.SignedInAt = k.now()
	cookie, s := newSession(p.SignedInAt)
	s.person, s.Browser = p.ID, browser
	if err := insertSession(tx, s, p.SignedInAt); err != nil {
		return "", err
	}
	return cookie, setSignedIn(tx, p.ID, p.SignedInAt)
}

// Device returns a mark for the browser of a person who has signed in. With it the
// person's later tries are told from a stranger's, so that no stranger can use them
// up. It lets nobody in, and ends with the password.
func (k *Keys) Device(ctx context.Context, id string) (mark string, err error) {
	stored, err := k.storedPassword(ctx, id)
	if err != nil {
		return "", err
	}
	nonce := random(22)
	return nonce + "." + markOf(stored, nonce), nil
}

// Knows reports whether a mark was given to a browser of the person with this name,
// and returns what to count that browser's tries by.
func (k *Keys) Knows(ctx context.Context, mark, name string) (device string, ok bool) {
	nonce, sum, found := strings.Cut(mark, ".")
	if !found || len(nonce) != 22 {
		return "", false
	}
	var stored string
	err := k.db.Read(ctx, func(q db.Querier) (err error) {
		_, stored, err = selectLogin(q, fold(name))
		return err
	})
	if err != nil || stored == "" || !hmac.Equal([]byte(sum), []byte(markOf(stored, nonce))) {
		return "", false
	}
	return "device " + nonce, true
}

// markOf is keyed with what is stored of the password: it has 32 bytes that nobody
// outside knows, and is another after each change.
func markOf(stored, nonce string) string {
	h := hmac.New(sha256.New, []byte("gatewayd device "+stored))
	h.Write([]byte(nonce))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// Fold is a name as it is compared: what tries by name are counted by.
func Fold(name string) string { return fold(name) }

// Sessions lists the open sessions of a person, the newest first.
func (k *Keys) Sessions(ctx context.Context, id string) (all []Session, err error) {
	now := k.now()
	err = k.db.Read(ctx, func(q db.Querier) error {
		all, err = selectSessionsOf(q, id, now)
		return err
	})
	return all, err
}

// EndSession ends one of a person's own sessions.
func (k *Keys) EndSession(ctx context.Context, person, session string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return k.db.Write(func(tx *db.Tx) error {
		all, err := selectSessionsOf(tx, person, time.Time{})
		for _, s := range all {
			if s.ID == session {
				return deleteSession(tx, s.hash)
			}
		}
		return err
	})
}

// SessionID names the session of a cookie in the list of Sessions.
func SessionID(cookie string) string { return sessionID(digest(cookie)) }

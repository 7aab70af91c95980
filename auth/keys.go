// Package auth keeps the API keys, the people with their roles and passwords, and
// the browser sessions that both are swapped for. Only hashes are stored.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"gatewayd/db"
)

// Scope is one thing that a key may do.
type Scope string

// The scopes. Admin includes the others.
const (
	Send  Scope = "send"  // hand in and cancel messages
	Read  Scope = "read"  // see all messages, modems and queues of the box
	Admin Scope = "admin" // erase, retry, keys, and all of the others
	// Watch is to see how the box is, without anybody's number or text; Read
	// includes it. Service is to test and restart modems.
	Watch   Scope = "watch"
	Service Scope = "service"
)

// The errors that callers tell apart.
var (
	// ErrInvalid means that a key or a session is unknown, expired or revoked;
	// which of them is nobody's business who does not hold a valid one.
	ErrInvalid = errors.New("not a valid API key: unknown, expired or revoked")
	// ErrForeign means that a key has no token, and so none that could be changed.
	ErrForeign = errors.New("this key belongs to a Twilio account, whose token is changed with gatewayd keys twilio ACCOUNT-SID --new-token; instead of a further key of it, make another with gatewayd keys create --twilio --account ACCOUNT-SID")
	// ErrNotFound means that there is no such key to revoke.
	ErrNotFound = errors.New("no such API key")
	// ErrEnded means that a key is not valid any more.
	ErrEnded = errors.New("the API key has ended")
)

// ParseScopes reads a comma-separated list of scopes.
func ParseScopes(list string) ([]Scope, error) {
	var scopes []Scope
	for _, word := range strings.Split(list, ",") {
		scopes = append(scopes, Scope(strings.TrimSpace(word)))
	}
	if err := checkScopes(scopes); err != nil {
		return nil, err
	}
	return scopes, nil
}

func checkScopes(scopes []Scope) error {
	if len(scopes) == 0 {
		return &WrongError{"scopes", "must name at least one of watch, service, send, read and admin"}
	}
	for _, s := range scopes {
		switch s {
		case Watch, Service, Send, Read, Admin:
		default:
			return &WrongError{"scopes", fmt.Sprintf("has %.20q, which is none of watch, service, send, read and admin", string(s))}
		}
	}
	return nil
}

// Key is what is known of an API key; its token is not.
type Key struct {
	ID string
	// Principal is whom the key stands for: the id of the first key of those that
	// were rotated into each other. What a key has done, its Idempotency-Keys,
	// client_ids and quota, belongs to it.
	Principal string
	Name      string
	Scopes    []Scope
	Limits
	CreatedAt  time.Time
	LastUsedAt time.Time // to within some minutes; zero: never
	ExpiresAt  time.Time // zero: never
	RevokedAt  time.Time // zero: not revoked
	Foreign    bool      // no token of ours opens it; see CreateForeign
	// Person is who signed in, when that was a person with a password and no key.
	Person *Person
}

// Prefix is the part of the token that may be shown.
func (k *Key) Prefix() string {
	if k.Person != nil {
		return k.ID // there is no token
	}
	return tokenPrefix + k.ID
}

// Can reports whether the key has the scope.
func (k *Key) Can(s Scope) bool {
	for _, has := range k.Scopes {
		if has == s || has == Admin || has == Read && s == Watch {
			return true
		}
	}
	return false
}

// Valid reports whether the key may be used at a time.
func (k *Key) Valid(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

const (
	// freshFor is how long a key that was found valid is not looked up again.
	// The command line revokes keys in another process, so it must be short;
	// at thousands of requests a second it still saves nearly every look-up.
	freshFor = 200 * time.Millisecond
	// cacheSize bounds the memory; a box with more keys in use looks them up.
	cacheSize = 1024
	// usedEvery is how exact last_used_at is. It costs a commit, and an SD card
	// has only so many.
	usedEvery = 5 * time.Minute
)

// Keys are the API keys in a database. Another process may change them in the
// same file: what it commits holds here at once.
type Keys struct {
	db  *db.DB
	now func() time.Time // by which keys and sessions expire
	// gate lets one password be hashed at a time.
	gate *gate
	post chan struct{} // holds one: e-mails wait

	mu    sync.Mutex
	fresh map[[sha256.Size]byte]found // by the hash of the whole token
	used  map[string]time.Time        // when last_used_at was last written, by id
	paces map[string]*bucket          // what is left of each rate, by principal
}

type found struct {
	key *Key
	at  time.Time
}

// New returns the keys of d.
func New(d *db.DB) *Keys {
	return &Keys{db: d, now: time.Now, gate: newGate(), fresh: map[[sha256.Size]byte]found{}, used: map[string]time.Time{}, paces: map[string]*bucket{}, post: make(chan struct{}, 1)}
}

// UseClock makes keys and sessions expire by another clock than the machine's.
// It is to be called before anything else.
func (k *Keys) UseClock(now func() time.Time) { k.now = now }

// Create makes a key without limits and returns its token, which can't be shown
// again. expires may be zero: never.
func (k *Keys) Create(ctx context.Context, name string, scopes []Scope, expires time.Time) (token string, key Key, err error) {
	return k.CreateLimited(ctx, name, scopes, expires, Limits{})
}

// CreateLimited is Create of a key with limits.
func (k *Keys) CreateLimited(ctx context.Context, name string, scopes []Scope, expires time.Time, limits Limits) (token string, key Key, err error) {
	now := k.now()
	for _, err := range []error{checkName(name), checkScopes(scopes), limits.check(), checkExpiry(expires, now)} {
		if err != nil {
			return "", Key{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return "", Key{}, err
	}
	key = Key{Name: name, Scopes: scopes, Limits: limits, CreatedAt: now, ExpiresAt: expires}
	if err := k.db.Write(func(tx *db.Tx) (err error) { token, err = issue(tx, &key); return err }); err != nil {
		return "", Key{}, fmt.Errorf("storing the API key: %w", err)
	}
	return token, key, nil
}

// WrongError means that a key can't be as it was asked for. Its detail reads on
// from the field's name.
type WrongError struct{ Field, Detail string }

func (e *WrongError) Error() string { return e.Field + " " + e.Detail }

// issue gives a key its id and its token.
func issue(tx *db.Tx, key *Key) (token string, err error) {
	key.ID = random(idLength)
	if key.Principal == "" {
		key.Principal = key.ID
	}
	secret := random(secretLength)
	return tokenPrefix + key.ID + "_" + secret, insertKey(tx, key, digest(secret))
}

func checkName(name string) error {
	if name == "" || len(name) > 100 || strings.TrimSpace(name) != name {
		return &WrongError{"name", "must have 1 to 100 bytes and not begin or end with a space"}
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return &WrongError{"name", fmt.Sprintf("can't contain the character %U", r)}
		}
	}
	return nil
}

func checkExpiry(expires, now time.Time) error {
	if !expires.IsZero() && !expires.After(now) {
		return &WrongError{"expires_at", "is in the past: the key could never be used"}
	}
	return nil
}

// List returns all keys, the newest first, revoked ones too.
func (k *Keys) List(ctx context.Context) ([]Key, error) {
	var keys []Key
	err := k.db.Read(ctx, func(q db.Querier) (err error) {
		keys, err = selectKeys(q)
		return err
	})
	return keys, err
}

// Revoke ends a key, named by its id, its prefix or its name, and every session
// that it opened. Revoking one that is revoked already changes nothing.
func (k *Keys) Revoke(ctx context.Context, idOrName string) (Key, error) {
	if err := ctx.Err(); err != nil {
		return Key{}, err
	}
	var revoked Key
	err := k.db.Write(func(tx *db.Tx) error {
		named, err := k.find(tx, idOrName)
		if err != nil {
			return err
		}
		if len(named) > 1 {
			return ambiguous("revoke", idOrName, named)
		}
		if revoked = named[0]; revoked.RevokedAt.IsZero() {
			revoked.RevokedAt = k.now()
		}
		return revokeKey(tx, &revoked)
	})
	k.forget()
	return revoked, err
}

// forget has every key looked up again.
func (k *Keys) forget() {
	k.mu.Lock()
	clear(k.fresh)
	k.mu.Unlock()
}

// Get returns the key with an id or a prefix, valid or not, or ErrNotFound.
func (k *Keys) Get(ctx context.Context, id string) (key *Key, err error) {
	err = k.db.Read(ctx, func(q db.Querier) error {
		key, _, err = selectKey(q, strings.TrimPrefix(id, tokenPrefix))
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	return key, err
}

// Check returns the key that a token belongs to, or ErrInvalid.
func (k *Keys) Check(ctx context.Context, token string) (*Key, error) {
	id, secret, ok := split(token)
	if !ok {
		return nil, ErrInvalid
	}
	now := time.Now()
	sum := sha256.Sum256([]byte(token))
	k.mu.Lock()
	hit, ok := k.fresh[sum]
	k.mu.Unlock()
	if ok && now.Sub(hit.at) < freshFor && hit.key.Valid(k.now()) {
		return hit.key, nil
	}
	var key *Key
	var hash []byte
	err := k.db.Read(ctx, func(q db.Querier) (err error) {
		key, hash, err = selectKey(q, id)
		return err
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("looking up the API key: %w", err)
	}
	if key == nil {
		hash = digest("") // as much work as for a key that exists
	}
	if subtle.ConstantTimeCompare(hash, digest(secret)) != 1 || key == nil || !key.Valid(k.now()) {
		return nil, ErrInvalid
	}
	k.mu.Lock()
	if len(k.fresh) >= cacheSize {
		clear(k.fresh)
	}
	k.fresh[sum] = found{key, now}
	k.mu.Unlock()
	k.touch(key, now)
	return key, nil
}

// touch books that the key was used, now and then. It must not fail a request:
// on a full disk reading still works.
func (k *Keys) touch(key *Key, now time.Time) {
	k.mu.Lock()
	last := k.used[key.ID]
	if last.IsZero() {
		last = key.LastUsedAt
	}
	due := last.IsZero() || now.Sub(last) >= usedEvery || now.Before(last)
	if due {
		k.used[key.ID] = now
	}
	k.mu.Unlock()
	if due {
		_ = k.db.Write(func(tx *db.Tx) error { return setUsed(tx, key.ID, now) })
	}
}

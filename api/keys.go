package api

import (
	"context"
	"net/http"
	"time"

	"gatewayd/auth"
	"gatewayd/sms/number"
	"gatewayd/wire"
)

// ListKeys lists the API keys, newest first.
func (a server) ListKeys(ctx context.Context, _ ListKeysRequestObject) (ListKeysResponseObject, error) {
	keys, err := a.o.Keys.List(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]auth.View, len(keys))
	for i := range keys {
		all[i] = keys[i].View(a.now())
	}
	return reply{status: http.StatusOK, v: map[string]any{"keys": all}}, nil
}

// CreateKey makes an API key.
func (a server) CreateKey(ctx context.Context, r CreateKeyRequestObject) (CreateKeyResponseObject, error) {
	b := r.Body
	var scopes []auth.Scope
	for _, word := range b.Scopes {
		scopes = append(scopes, auth.Scope(word))
	}
	limits := auth.Limits{
		Rate: or(b.Rate, 0), Burst: or(b.Burst, 0), Quota: or(b.Quota, 0),
		Allow: destinationsOf(or(b.Allow, nil)), Premium: or(b.Premium, false),
	}
	token, key, err := a.o.Keys.CreateLimited(ctx, b.Name, scopes, or(b.ExpiresAt, time.Time{}), limits)
	if err != nil {
		return nil, err
	}
	return a.newKey(token, &key), nil
}

// destinationsOf are words that the document has checked (its format destination).
func destinationsOf(words []string) (all []number.Destination) {
	for _, word := range words {
		d, _ := number.ParseDestination(word)
		all = append(all, d)
	}
	return all
}

// LimitKey changes what a key is held to: what is left out stays.
func (a server) LimitKey(ctx context.Context, r LimitKeyRequestObject) (LimitKeyResponseObject, error) {
	key, err := a.o.Keys.Get(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	b := r.Body
	changed, err := a.o.Keys.Limit(context.WithoutCancel(ctx), key.ID, func(l *auth.Limits) {
		l.Rate, l.Burst, l.Quota, l.Premium = or(b.Rate, l.Rate), or(b.Burst, l.Burst), or(b.Quota, l.Quota), or(b.Premium, l.Premium)
		if b.Allow != nil {
			l.Allow = destinationsOf(*b.Allow)
		}
	})
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: changed.View(a.now())}, nil
}

// newKey answers with a key that was just made, and its token.
func (a *API) newKey(token string, key *auth.Key) reply {
	made := key.View(a.now())
	made.Token = token
	return reply{http.StatusCreated, made, map[string]string{"Location": "/v1/keys"}}
}

// RotateKey makes a new token in place of a key's.
func (a server) RotateKey(ctx context.Context, r RotateKeyRequestObject) (RotateKeyResponseObject, error) {
	var asked *wire.Overlap
	if r.Body != nil {
		asked = r.Body.Overlap
	}
	overlap, err := overlapOf(asked, auth.DefaultOverlap, auth.MaxOverlap)
	if err != nil {
		return nil, err
	}
	old, err := a.o.Keys.Get(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	// A caller that hangs up must not leave a key that nobody has.
	token, key, _, err := a.o.Keys.Rotate(context.WithoutCancel(ctx), old.ID, overlap)
	if err != nil {
		return nil, err
	}
	return a.newKey(token, &key), nil
}

// RevokeKey makes a key invalid at once.
func (a server) RevokeKey(ctx context.Context, r RevokeKeyRequestObject) (RevokeKeyResponseObject, error) {
	key, err := a.o.Keys.Get(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	revoked, err := a.o.Keys.Revoke(context.WithoutCancel(ctx), key.ID)
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: revoked.View(a.now())}, nil
}

// leftJSON is what is left of one limit.
type leftJSON struct {
	Limit    int       `json:"limit"`
	Left     int       `json:"left"`
	ResetsAt time.Time `json:"resets_at"`
}

// viewOf is a person as JSON, null when there is none.
func viewOf(p *auth.Person) any {
	if p == nil {
		return nil
	}
	return p.View()
}

// GetOwnKey tells what the caller's key is, may do and has left.
func (a server) GetOwnKey(ctx context.Context, _ GetOwnKeyRequestObject) (GetOwnKeyResponseObject, error) {
	key := from(ctx).key
	use, err := a.o.Keys.Use(ctx, key)
	if err != nil {
		return nil, err
	}
	left := func(l *auth.Left) *leftJSON {
		if l == nil {
			return nil
		}
		return &leftJSON{l.Most, l.Left, a.now().Add(l.Resets).UTC().Truncate(time.Second)}
	}
	rules := a.o.Desk.Destinations()
	return reply{status: http.StatusOK, v: struct {
		auth.View
		Minute  *leftJSON `json:"minute"`
		Day     *leftJSON `json:"day"`
		Gateway any       `json:"gateway"`
		Person  any       `json:"person"`
	}{key.View(a.now()), left(use.Rate), left(use.Day), map[string]any{
		"allow": orEmpty(rules.Allow), "deny": orEmpty(rules.Deny), "premium": rules.Premium,
	}, viewOf(key.Person)}}, nil
}

package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/sms/number"
)

// listKeys is GET /v1/keys.
func (a *API) listKeys(c echo.Context) error {
	keys, err := a.o.Keys.List(c.Request().Context())
	if err != nil {
		return err
	}
	all := make([]auth.View, len(keys))
	for i := range keys {
		all[i] = keys[i].View(a.now())
	}
	return a.json(c, http.StatusOK, map[string]any{"keys": all})
}

// createKey is POST /v1/keys.
func (a *API) createKey(c echo.Context) error {
	var errs []FieldError
	f, err := a.body(c, &errs)
	if err != nil {
		return err
	}
	name, _ := f.text("name")
	var scopes []auth.Scope
	for _, word := range f.words("scopes") {
		scopes = append(scopes, auth.Scope(word))
	}
	limits := auth.Limits{
		Rate: f.integer("rate", 1, auth.MaxLimit, 0), Burst: f.integer("burst", 1, auth.MaxLimit, 0), Quota: f.integer("quota", 1, auth.MaxLimit, 0),
		Premium: f.boolean("premium", false),
	}
	limits.Allow = destinationsOf(f, "allow")
	expires := f.instant("expires_at")
	f.done()
	if len(errs) > 0 {
		return wrong(errs...)
	}
	token, key, err := a.o.Keys.CreateLimited(c.Request().Context(), name, scopes, expires, limits)
	if err != nil {
		return err
	}
	return a.newKey(c, token, &key)
}

// destinationsOf reads a list of destinations; nil: there is none.
func destinationsOf(f *fields, name string) []number.Destination {
	words := f.words(name)
	if words == nil {
		return nil
	}
	all := make([]number.Destination, 0, len(words))
	for i, word := range words {
		d, err := number.ParseDestination(word)
		if err != nil {
			f.wrong(fmt.Sprintf("%s[%d]", name, i), "%s", err)
		}
		all = append(all, d)
	}
	return all
}

// limitKey is PATCH /v1/keys/{id}: what is left out stays.
func (a *API) limitKey(c echo.Context) error {
	ctx := c.Request().Context()
	key, err := a.o.Keys.Get(ctx, param(c, "id"))
	if err != nil {
		return err
	}
	var errs []FieldError
	f, err := a.body(c, &errs)
	if err != nil {
		return err
	}
	const stays = -1
	rate, burst, quota := f.integer("rate", 0, auth.MaxLimit, stays), f.integer("burst", 0, auth.MaxLimit, stays), f.integer("quota", 0, auth.MaxLimit, stays)
	allow := destinationsOf(f, "allow")
	_, hasPremium := f.take("premium")
	premium := f.boolean("premium", false)
	f.done()
	if len(errs) > 0 {
		return wrong(errs...)
	}
	changed, err := a.o.Keys.Limit(context.WithoutCancel(ctx), key.ID, func(l *auth.Limits) {
		for limit, value := range map[*int]int{&l.Rate: rate, &l.Burst: burst, &l.Quota: quota} {
			if value != stays {
				*limit = value
			}
		}
		if allow != nil {
			l.Allow = allow
		}
		if hasPremium {
			l.Premium = premium
		}
	})
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, changed.View(a.now()))
}

// newKey answers with a key that was just made, and its token.
func (a *API) newKey(c echo.Context, token string, key *auth.Key) error {
	made := key.View(a.now())
	made.Token = token
	c.Response().Header().Set("Location", "/v1/keys")
	return a.json(c, http.StatusCreated, made)
}

// body reads a JSON object of a small request.
func (a *API) body(c echo.Context, errs *[]FieldError) (*fields, error) {
	v, err := readJSON(c.Response(), c.Request(), maxMessageBody)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*object)
	if !ok {
		return nil, wrong(FieldError{Field: "body", Detail: "must be a JSON object"})
	}
	return newFields(o, "", errs), nil
}

// rotateKey is POST /v1/keys/{id}/rotate.
func (a *API) rotateKey(c echo.Context) error {
	overlap := auth.DefaultOverlap
	if c.Request().ContentLength != 0 {
		var errs []FieldError
		f, err := a.body(c, &errs)
		if err != nil {
			return err
		}
		overlap = time.Duration(f.integer("overlap", 0, int(auth.MaxOverlap/time.Second), int(auth.DefaultOverlap/time.Second))) * time.Second
		f.done()
		if len(errs) > 0 {
			return wrong(errs...)
		}
	}
	ctx := c.Request().Context()
	old, err := a.o.Keys.Get(ctx, param(c, "id"))
	if err != nil {
		return err
	}
	// A caller that hangs up must not leave a key that nobody has.
	token, key, _, err := a.o.Keys.Rotate(context.WithoutCancel(ctx), old.ID, overlap)
	if err != nil {
		return err
	}
	return a.newKey(c, token, &key)
}

// revokeKey is DELETE /v1/keys/{id}.
func (a *API) revokeKey(c echo.Context) error {
	ctx := c.Request().Context()
	key, err := a.o.Keys.Get(ctx, param(c, "id"))
	if err != nil {
		return err
	}
	revoked, err := a.o.Keys.Revoke(context.WithoutCancel(ctx), key.ID)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, revoked.View(a.now()))
}

// leftJSON is what is left of one limit.
type leftJSON struct {
	Limit    int       `json:"limit"`
	Left     int       `json:"left"`
	ResetsAt time.Time `json:"resets_at"`
}

// getOwnKey is GET /v1/key: what the caller's key is, may do and has left.
func (a *API) getOwnKey(c echo.Context) error {
	key := keyOf(c)
	use, err := a.o.Keys.Use(c.Request().Context(), key)
	if err != nil {
		return err
	}
	left := func(l *auth.Left) *leftJSON {
		if l == nil {
			return nil
		}
		return &leftJSON{l.Most, l.Left, a.now().Add(l.Resets).UTC().Truncate(time.Second)}
	}
	rules := a.o.Desk.Destinations()
	return a.json(c, http.StatusOK, struct {
		auth.View
		Minute  *leftJSON `json:"minute"`
		Day     *leftJSON `json:"day"`
		Gateway any       `json:"gateway"`
	}{key.View(a.now()), left(use.Rate), left(use.Day), map[string]any{
		"allow": orEmpty(rules.Allow), "deny": orEmpty(rules.Deny), "premium": rules.Premium,
	}})
}

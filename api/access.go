package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/intake"
)

// cookieName holds the session of a browser that swapped a key for it.
const cookieName = "gatewayd_session"

// contextKey is where a request's API key is kept in its echo.Context.
const contextKey = "gatewayd.key"

// keyOf is the API key that a guarded handler was asked with.
func keyOf(c echo.Context) *auth.Key { return c.Get(contextKey).(*auth.Key) }

// callerOf is who hands messages in.
func (a *API) callerOf(c echo.Context) intake.Caller {
	key := keyOf(c)
	return intake.Caller{KeyID: key.Principal, Rules: key.Rules(), Charge: a.o.Keys.Charge(key)}
}

// guard lets a request through that comes with a key that has the scope.
func (a *API) guard(scope auth.Scope, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		key, byCookie, err := a.identify(r)
		if err != nil {
			return err
		}
		// A key in a header proves that its holder wrote the request. A cookie
		// comes along with whatever any page makes a browser send.
		if byCookie && a.foreign(r) {
			return foreignOrigin.because("The request came from another site's page, or from no page of this address.")
		}
		if scope != anyScope && !key.Can(scope) {
			c.Set(contextKey, key) // the page that says so has its navigation
			return lacks(scope, key)
		}
		c.Set(contextKey, key)
		if scope == auth.Send && r.Method == http.MethodPost {
			a.tellLimits(c, key)
		}
		return next(c)
	}
}

// rolesWith says which people have a scope.
var rolesWith = map[auth.Scope]string{
	auth.Watch: "everybody", auth.Service: "technicians and admins", auth.Send: "operators and admins",
	auth.Read: "operators, admins, and technicians whom an admin lets see texts", auth.Admin: "admins",
}

// lacks tells who may not, and who may.
func lacks(scope auth.Scope, key *auth.Key) *problem {
	if p := key.Person; p != nil {
		return wrongScope.because("This is for %s (scope %q); you are signed in as %s, %s.", rolesWith[scope], scope, p.Name, p.Role)
	}
	return wrongScope.because("This needs the scope %q; the key %q has: %s.", scope, key.Name, strings.ReplaceAll(auth.Scopes(key.Scopes), ",", ", "))
}

// identify finds the API key that a request comes with: in its Authorization
// header, else behind its session cookie.
func (a *API) identify(r *http.Request) (key *auth.Key, byCookie bool, err error) {
	if headers := r.Header.Values("Authorization"); len(headers) > 0 {
		scheme, token, _ := strings.Cut(headers[0], " ")
		if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return nil, false, noKey.because("The header Authorization must be “Bearer KEY”.")
		}
		key, err = a.o.Keys.Check(r.Context(), strings.TrimSpace(token))
		if errors.Is(err, auth.ErrInvalid) {
			err = a.wrongKey(r, err)
		}
		return key, false, err
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil, false, noKey.because("The request has no API key.")
	}
	key, err = a.o.Keys.Session(r.Context(), cookie.Value)
	return key, true, err
}

// foreign reports whether another site's page made a browser send the request.
func (a *API) foreign(r *http.Request) bool {
	if a.origins.Check(r) != nil {
		return true // it would change something
	}
	if r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return false // somebody follows a link to a page of ours
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
		origin := r.Header.Get("Origin")
		u, err := url.Parse(origin)
		return origin != "" && (err != nil || u.Host != r.Host)
	}
	return true
}

// secure reports whether the browser's side of the connection is TLS, ours or a
// proxy's.
func secure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

func setCookie(c echo.Context, value string, seconds int) {
	c.SetCookie(&http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: seconds,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure(c.Request()),
	})
}

// localPath returns next when it leads to this server, else "/".
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

// endSession ends the session that a request comes with, if any.
func (a *API) endSession(ctx context.Context, r *http.Request) error {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil // there is none
	}
	return a.o.Keys.Logout(ctx, cookie.Value)
}

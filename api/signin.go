package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/door"
)

// deviceName is the cookie that marks a browser which a person has signed in with.
const deviceName = "gatewayd_device"

// deviceLife is how long a browser is known without signing in again.
const deviceLife = 365 * 24 * time.Hour

type signInView struct {
	Next, Name, Error string
	ByKey             bool // the key was wrong, not the password
	Unclaimed         bool // there are no people yet
	Plain             bool // what is typed here can be read on its way
}

func (a *API) signInPage(c echo.Context) error {
	return a.showSignIn(c, http.StatusOK, signInView{Next: c.QueryParam("next")})
}

func (a *API) showSignIn(c echo.Context, status int, v signInView) error {
	var err error
	if v.Unclaimed, err = a.o.Keys.Unclaimed(c.Request().Context()); err != nil {
		return err
	}
	v.Next, v.Plain = localPath(v.Next), readable(c.Request())
	f := a.frame(c, "Sign in")
	f.Style = "people.css"
	return a.page(c, status, "sign-in.html", f, v)
}

// readable reports whether somebody on the network could read the request.
func readable(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip, err2 := netip.ParseAddr(host)
	return !secure(r) && (err != nil || err2 != nil || !ip.IsLoopback())
}

// readForm reads a small form that a page of ours has sent, and nobody else's.
func (a *API) readForm(c echo.Context, what string) error { return a.readLongForm(c, what, 8<<10) }

// readLongForm is readForm of up to so many bytes.
func (a *API) readLongForm(c echo.Context, what string, most int64) error {
	r := c.Request()
	if err := a.origins.Check(r); err != nil {
		return foreignOrigin.because("%s was sent from another site's page.", what)
	}
	r.Body = http.MaxBytesReader(c.Response(), r.Body, most)
	if err := r.ParseForm(); err != nil {
		return badRequest.because("The form can't be read.")
	}
	return nil
}

// signIn swaps a name and a password, or an API key, for a cookie.
func (a *API) signIn(c echo.Context) error {
	if err := a.readForm(c, "The sign-in form"); err != nil {
		return err
	}
	form := c.Request().PostForm
	if form.Has("name") || form.Has("password") {
		return a.signInByPassword(c, form.Get("next"), form.Get("name"), form.Get("password"))
	}
	return a.signInByKey(c, form.Get("next"), strings.TrimSpace(form.Get("key")))
}

func (a *API) signInByKey(c echo.Context, next, token string) error {
	r := c.Request()
	who := door.Guesser(r)
	refuse := func(status int, why string) error {
		return a.showSignIn(c, status, signInView{Next: next, Error: why, ByKey: true})
	}
	if wait := a.attempts.Take(who); wait > 0 {
		return refuse(http.StatusTooManyRequests, "Too many wrong keys. "+again(c, wait))
	}
	key, err := a.o.Keys.Check(r.Context(), token)
	if errors.Is(err, auth.ErrInvalid) {
		a.log.Warn("a sign-in with a wrong key", "from", who)
		return refuse(http.StatusUnauthorized, "This key is not known, or it has expired or was revoked.")
	}
	a.attempts.Return(who) // not a guess
	if err != nil {
		return err
	}
	if !key.Can(auth.Watch) {
		return refuse(http.StatusForbidden, "This key may send but not read. The pages need a key with the scope read, or watch for the state of the box alone.")
	}
	cookie, err := a.o.Keys.Login(r.Context(), token)
	if err != nil {
		return err
	}
	a.log.Info("signed in with a key", "key", key.Name, "from", who)
	return a.enter(c, cookie, next)
}

// again tells when to come again, in the header and in words.
func again(c echo.Context, wait time.Duration) string {
	seconds := int(wait.Seconds()) + 1
	c.Response().Header().Set("Retry-After", fmt.Sprint(seconds))
	return fmt.Sprintf("Try again in %d seconds.", seconds)
}

// signInByPassword is the way of people. Name by name and source by source the tries
// are limited; those of a browser that the person has signed in with before are counted
// by themselves, so that no stranger can use them up. A name that nobody has is treated
// as any other.
func (a *API) signInByPassword(c echo.Context, next, name, password string) error {
	r := c.Request()
	who := door.Guesser(r)
	refuse := func(status int, why string) error {
		return a.showSignIn(c, status, signInView{Next: next, Name: name, Error: why})
	}
	give, wait := a.takeTry(r, who, name)
	if wait > 0 {
		a.log.Warn("too many sign-in attempts", "from", who)
		return refuse(http.StatusTooManyRequests, "Too many wrong passwords. "+again(c, wait))
	}
	cookie, person, err := a.o.Keys.SignIn(r.Context(), name, password, browserOf(r), !give.known)
	switch {
	case errors.Is(err, auth.ErrWrongPassword):
		a.log.Warn("a sign-in failed", "name", a.knownName(r.Context(), name), "from", who)
		return refuse(http.StatusUnauthorized, "The name or the password is wrong.")
	case errors.Is(err, auth.ErrBusy):
		give.back()
		c.Response().Header().Set("Retry-After", "5")
		return refuse(http.StatusServiceUnavailable, capital(err.Error())+".")
	}
	give.back() // not a guess
	if err != nil {
		return err
	}
	a.log.Info("signed in", "person", person.Name, "role", person.Role, "from", who)
	if err := a.markDevice(c, person.ID); err != nil {
		return err
	}
	return a.enter(c, cookie, next)
}

// knownName is a name for the log. One that nobody has may be a password that was
// typed into the wrong field.
func (a *API) knownName(ctx context.Context, name string) string {
	p, err := a.o.Keys.Person(ctx, name)
	if err != nil {
		return "(nobody's)"
	}
	return p.Name
}

// try is one try that was taken, and can be given back.
type try struct {
	known bool // the browser is one that the person has signed in with
	back  func()
}

// takeTry takes one try at a password, or says how long to wait for one.
func (a *API) takeTry(r *http.Request, source, name string) (t try, wait time.Duration) {
	if cookie, err := r.Cookie(deviceName); err == nil {
		if device, ok := a.o.Keys.Knows(r.Context(), cookie.Value, name); ok {
			return try{true, func() { a.devices.Return(device) }}, a.devices.Take(device)
		}
	}
	if wait := a.attempts.Take(source); wait > 0 {
		return try{}, wait
	}
	login := auth.Fold(shorten(name))
	if wait := a.names.Take(login); wait > 0 {
		return try{}, wait
	}
	return try{false, func() { a.attempts.Return(source); a.names.Return(login) }}, 0
}

// markDevice lets the browser be known from now on.
func (a *API) markDevice(c echo.Context, person string) error {
	mark, err := a.o.Keys.Device(c.Request().Context(), person)
	if err != nil {
		return err
	}
	c.SetCookie(&http.Cookie{
		Name: deviceName, Value: mark, Path: "/sign-in", MaxAge: int(deviceLife / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure(c.Request()),
	})
	return nil
}

// enter gives the browser its session and leads on.
func (a *API) enter(c echo.Context, cookie, next string) error {
	r := c.Request()
	if err := a.endSession(context.WithoutCancel(r.Context()), r); err != nil { // the one before
		a.log.Debug("ending the old session", "error", err)
	}
	setCookie(c, cookie, int(auth.SessionLife/time.Second))
	return c.Redirect(http.StatusSeeOther, localPath(next))
}

// browserOf says in a few words which browser asks, for the list of one's sessions.
func browserOf(r *http.Request) string {
	agent := r.UserAgent()
	first := func(otherwise string, words ...string) string {
		for i := 0; i < len(words); i += 2 {
			if strings.Contains(agent, words[i]) {
				return words[i+1]
			}
		}
		return otherwise
	}
	browser := first("A browser", "Edg", "Edge", "OPR/", "Opera", "Firefox", "Firefox", "FxiOS", "Firefox", "Chrome", "Chrome", "CriOS", "Chrome", "Safari", "Safari", "curl", "curl")
	system := first("", "Android", "Android", "iPhone", "iPhone", "iPad", "iPad", "Windows", "Windows", "Mac OS", "macOS", "CrOS", "ChromeOS", "Linux", "Linux")
	if system == "" {
		return browser
	}
	return browser + " on " + system
}

// addressOf is the IP address that a request comes from; "": it comes by no network.
func addressOf(remote string) string {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return ""
	}
	return from.Addr().Unmap().WithZone("").String()
}

// signOut ends the session.
func (a *API) signOut(c echo.Context) error {
	r := c.Request()
	if err := a.origins.Check(r); err != nil {
		return foreignOrigin.because("The sign-out was sent from another site's page.")
	}
	if err := a.endSession(r.Context(), r); err != nil {
		return err
	}
	setCookie(c, "", -1)
	return c.Redirect(http.StatusSeeOther, "/sign-in")
}

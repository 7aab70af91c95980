package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets/*
var assetFiles embed.FS

func parseTemplates() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"iso":       func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") },
		"count":     count,
		"dbm":       func(n int) string { return strings.Replace(strconv.Itoa(n), "-", "−", 1) },
		"plainTime": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	}).ParseFS(templateFiles, "templates/*.html"))
}

// frame is what every page has around its content.
type frame struct {
	Title    string
	Version  string
	Nav      []navLink
	SignedIn bool
	Style    string // a style sheet of its own
	Script   string // a module of its own
	Live     bool   // the page keeps itself up to date
	Seq      int64  // the newest event that a live page shows
}

type navLink struct {
	Path, Title string
	Current     bool
}

func (a *API) frame(c echo.Context, title string) frame {
	f := frame{Title: title, Version: a.o.Version}
	if _, ok := c.Get(contextKey).(*auth.Key); !ok {
		return f
	}
	f.SignedIn = true
	here := c.Request().URL.Path
	f.Nav = []navLink{{"/", "Status", here == "/"}}
	if a.o.Modems != nil {
		f.Nav = append(f.Nav, navLink{"/aim", "Antenna", here == "/aim"})
	}
	if key := keyOf(c); key.Can(auth.Service) {
		f.Nav = append(f.Nav, navLink{"/test", "Test", here == "/test"})
	}
	if a.o.Webhooks != nil {
		f.Nav = append(f.Nav, navLink{"/webhooks", "Webhooks", here == "/webhooks"})
	}
	for _, p := range slices.Sorted(maps.Keys(a.o.Pages)) {
		f.Nav = append(f.Nav, navLink{p, capital(path.Base(p)), false})
	}
	if a.o.Settings != nil && keyOf(c).Can(auth.Admin) {
		f.Nav = append(f.Nav, navLink{"/setup", "Setup", here == "/setup"})
	}
	f.Nav = append(f.Nav, navLink{"/docs", "API", here == "/docs"})
	return f
}

// page answers with a page. It is made before anything is written.
func (a *API) page(c echo.Context, status int, name string, f frame, data any) error {
	b, err := a.render(name, f, data)
	if err != nil {
		return err
	}
	return c.HTMLBlob(status, b)
}

func (a *API) render(name string, f frame, data any) ([]byte, error) {
	var b bytes.Buffer
	err := a.templates.ExecuteTemplate(&b, name, struct {
		Frame frame
		Data  any
	}{f, data})
	if err != nil {
		return nil, fmt.Errorf("page %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// readForm reads a form that a page of ours sent. Whether it was is for guard to say.
func readForm(c echo.Context) (url.Values, error) {
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, 8<<10)
	if err := r.ParseForm(); err != nil {
		return nil, badRequest.because("The form can't be read.")
	}
	return r.PostForm, nil
}

// isPage reports whether the request is for people rather than programs.
func isPage(c echo.Context) bool {
	p := c.Request().URL.Path
	if strings.HasPrefix(p, "/v1/") || strings.HasPrefix(p, "/hooks/") {
		return false
	}
	switch p {
	case "/healthz", "/readyz", "/openapi.json", "/metrics":
		return false
	}
	return true
}

func acceptsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// asset serves an embedded file. Browsers keep it and ask whether it is still
// the same, so an upgrade shows at once.
func (a *API) asset(c echo.Context) error {
	name := param(c, "file")
	b, err := fs.ReadFile(assetFiles, "assets/"+name)
	if err != nil {
		return notFound.because("No such file.")
	}
	sum := sha256.Sum256(b)
	h := c.Response().Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	http.ServeContent(c.Response(), c.Request(), name, time.Time{}, bytes.NewReader(b))
	return nil
}

type problemView struct {
	*kind
	Detail string
}

// problemPage tells people about a problem's type.
func (a *API) problemPage(c echo.Context) error {
	for _, k := range catalogue {
		if k.Name == param(c, "name") {
			return a.page(c, http.StatusOK, "problem.html", a.frame(c, k.Title), problemView{k, ""})
		}
	}
	return notFound.because("There is no such type of problem.")
}

type signInView struct{ Next, Error string }

// toSignIn sends a browser to sign in and come back.
func (a *API) toSignIn(c echo.Context) error {
	next := "/"
	if r := c.Request(); r.Method == http.MethodGet {
		next = localPath(r.URL.RequestURI())
	}
	if next == "/" {
		return c.Redirect(http.StatusSeeOther, "/sign-in")
	}
	return c.Redirect(http.StatusSeeOther, "/sign-in?next="+template.URLQueryEscaper(next))
}

func (a *API) signInPage(c echo.Context) error {
	return a.showSignIn(c, http.StatusOK, c.QueryParam("next"), "")
}

func (a *API) showSignIn(c echo.Context, status int, next, fault string) error {
	return a.page(c, status, "sign-in.html", a.frame(c, "Sign in"), signInView{localPath(next), fault})
}

// signIn swaps an API key for a cookie.
func (a *API) signIn(c echo.Context) error {
	r := c.Request()
	if err := a.origins.Check(r); err != nil {
		return foreignOrigin.because("The sign-in form was sent from another site's page.")
	}
	r.Body = http.MaxBytesReader(c.Response(), r.Body, 8<<10)
	if err := r.ParseForm(); err != nil {
		return badRequest.because("The form can't be read.")
	}
	next, token := r.PostForm.Get("next"), strings.TrimSpace(r.PostForm.Get("key"))
	who := guesser(r.RemoteAddr)
	if wait := a.attempts.Take(who); wait > 0 {
		c.Response().Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())+1))
		return a.showSignIn(c, http.StatusTooManyRequests, next,
			fmt.Sprintf("Too many wrong keys. Try again in %d seconds.", int(wait.Seconds())+1))
	}
	key, err := a.o.Keys.Check(r.Context(), token)
	if errors.Is(err, auth.ErrInvalid) {
		return a.showSignIn(c, http.StatusUnauthorized, next, "This key is not known, or it has expired or was revoked.")
	}
	a.attempts.Return(who) // not a guess
	if err != nil {
		return err
	}
	if !key.Can(auth.Read) {
		return a.showSignIn(c, http.StatusForbidden, next, "This key may send but not read. The pages need a key with the scope read.")
	}
	cookie, err := a.o.Keys.Login(r.Context(), token)
	if err != nil {
		return err
	}
	if err := a.endSession(r.Context(), r); err != nil { // the one before
		a.log.Debug("ending the old session", "error", err)
	}
	setCookie(c, cookie, int(auth.SessionLife/time.Second))
	return c.Redirect(http.StatusSeeOther, localPath(next))
}

// guesser names where sign-in attempts come from: an IPv4 address, or the
// network that one customer gets of IPv6.
func guesser(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap(); ip.Is6() {
		if net64, err := ip.WithZone("").Prefix(64); err == nil {
			return net64.String()
		}
	}
	return ip.String()
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

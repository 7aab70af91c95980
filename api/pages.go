package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
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
		"capital":   capital,
		"dbm":       func(n int) string { return strings.Replace(strconv.Itoa(n), "-", "−", 1) },
		"plainTime": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	}).ParseFS(templateFiles, "templates/*.html"))
}

// frame is what every page has around its content.
type frame struct {
	Title    string
	Version  string
	Nav      []navLink
	More     []navLink // what would not fit on a phone beside Nav, behind a word
	Beyond   string    // that word: the page of More that is shown, else More
	SignedIn bool
	Who      string // who is signed in
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
	key, ok := c.Get(contextKey).(*auth.Key)
	if !ok {
		return f
	}
	f.SignedIn, f.Who = true, key.Name
	here := c.Request().URL.Path
	// Only what the key may see: a link that leads to a refusal is none.
	link := func(scope auth.Scope, path, title string) {
		if key.Can(scope) {
			f.Nav = append(f.Nav, navLink{path, title, here == path})
		}
	}
	link(auth.Watch, "/", "Status")
	if a.o.Fleet != nil {
		link(auth.Watch, "/gateways", "Gateways")
	}
	if a.o.Chat != nil {
		link(auth.Read, "/chat", "Chat")
	}
	link(auth.Read, "/messages", "Messages")
	if a.o.Contacts != nil {
		link(auth.Read, "/contacts", "Contacts")
	}
	if a.o.Modems != nil && a.o.Fleet == nil { // where the antennas are, people look at that gateway's own page
		link(auth.Watch, "/aim", "Antenna")
	}
	link(auth.Service, "/test", "Test")
	if a.o.Webhooks != nil {
		link(auth.Read, "/webhooks", "Webhooks")
	}
	for _, p := range slices.Sorted(maps.Keys(a.o.Pages)) {
		link(auth.Read, p, capital(path.Base(p)))
	}
	if a.o.Reports != nil {
		link(auth.Read, "/reports", "Reports")
	}
	if a.o.Widgets != nil {
		link(auth.Admin, "/widgets", "Widgets")
	}
	link(auth.Admin, "/people", "People")
	if a.o.Chat != nil {
		link(auth.Admin, "/abuse", "Abuse")
	}
	if a.o.Settings != nil {
		link(auth.Admin, "/setup", "Setup")
	}
	link(auth.Watch, "/docs", "API")
	f.fold()
	return f
}

// fold leaves beside each other what people open every day, and puts the others behind
// one word, once they are more than a line of a phone.
func (f *frame) fold() {
	if len(f.Nav) <= 6 {
		return
	}
	all := f.Nav
	f.Nav, f.Beyond = nil, "More"
	daily := []string{"/", "/chat", "/messages", "/contacts"}
	if slices.ContainsFunc(all, func(l navLink) bool { return l.Path == "/gateways" }) {
		daily[3] = "/gateways"
	}
	for _, l := range all {
		if slices.Contains(daily, l.Path) {
			f.Nav = append(f.Nav, l)
			continue
		}
		f.More = append(f.More, l)
		if l.Current {
			f.Beyond = l.Title
		}
	}
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
func (a *API) asset(c echo.Context) error { return a.embedded(c, param(c, "file")) }

func (a *API) embedded(c echo.Context, name string) error {
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

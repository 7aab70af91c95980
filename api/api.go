// Package api serves the HTTP API and the pages: routes, strict JSON in,
// problem+json out, server-sent events, the OpenAPI document, the status page.
//
// Every route stands in one table with the scope that it needs; what has none
// is open, and shows nothing. Handlers return errors, one place answers them.
package api

import (
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/auth"
	"gatewayd/chat"
	"gatewayd/clock"
	"gatewayd/contacts"
	"gatewayd/files"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/reports"
	"gatewayd/sms"
	"gatewayd/widget"
)

// Options are what New needs. Queue, Desk, Hooks, Chat and Keys must be given.
type Options struct {
	Queue      *queue.Queue
	Desk       *intake.Desk
	Keys       *auth.Keys
	Modems     Modems     // nil: none
	Deliveries Deliveries // nil: no webhooks
	Webhooks   Webhooks   // nil: no webhooks
	Hooks      Hooks
	Traces     Traces             // nil: none
	Settings   SettingsStore      // nil: nothing can be set
	Chat       *chat.Chat         // nil: there are no conversations
	Contacts   *contacts.Contacts // with Chat
	Widgets    *widget.Widgets    // with Chat
	Files      *files.Store       // that go with messages; nil: none
	Reports    *reports.Reports   // with Chat
	Mails      func() bool        // whether e-mails can be sent now; nil: never
	LAN        LAN                // nil: not on the local network
	Fleet      Fleet              // a hub's gateways; nil: this is no hub
	// Cancel cancels a message wherever it is; nil: at this gateway alone, as Queue does.
	Cancel func(ctx context.Context, id string) (*sms.Message, error)
	Region func() string // ISO country whose national numbers are accepted, which may change; nil or "": none

	Metrics prometheus.Gatherer // what /metrics serves; nil: nothing
	// Support writes a support bundle; nil: there is none.
	Support     func(context.Context, io.Writer) error
	MetricsOpen bool     // /metrics needs no key
	Counters    *Metrics // counts the requests; nil: not counted

	// Pages are further pages, by the path that they live under, such as
	// "/handsets/". They are asked with the whole path and need a sign-in: the
	// scope read, and send for what changes something. The navigation has them.
	Pages map[string]http.Handler

	// Name is what the box is called on its pages and in test messages; "": gatewayd.
	Name     string
	System   func() sms.System           // how the machine is; nil: not known
	AlarmLog AlarmLog                    // nil: no alarms
	Alarms   func() []sms.Alarm          // of the gateway itself, not of a modem; may be nil
	Ready    func(context.Context) error // more that /readyz must find well; may be nil
	Version  string
	Now      func() time.Time // nil: time.Now
	Clock    *clock.Clock     // nil: the machine's clock is right
	Log      *slog.Logger     // nil: nothing is logged
}

// API answers HTTP requests.
type API struct {
	o         Options
	log       *slog.Logger
	now       func() time.Time
	origins   *http.CrossOriginProtection
	attempts  *auth.Attempts
	names     *auth.Attempts // of passwords, by name
	devices   *auth.Attempts // of passwords, by a browser that was signed in before
	guesses   *auth.Attempts // of hooks' tokens
	templates *template.Template
	contract  map[string]*operation  // what the document says, by operationId
	document  func() ([]byte, error) // the OpenAPI document as JSON
	wrongKeys *auth.Attempts
	listeners atomic.Int64 // event streams that are open
	streams   streams      // the same, of each key
	fanout    *fanout      // what they read
	live      *live        // what open pages are told of
	pages     shared[pageKey, []byte]
	uploads   uploads
	tests     tests // messages that technicians sent to themselves
	docs      func() (*docsView, error)

	once     sync.Once
	stopping chan struct{}
}

// New prepares the API. It starts nothing.
func New(o Options) *API {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clock == nil {
		o.Clock = clock.New(clock.Options{Always: true})
	}
	if o.Region == nil {
		o.Region = func() string { return "" }
	}
	if o.Cancel == nil {
		o.Cancel = o.Queue.Cancel
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &API{
		o: o, log: o.Log, now: o.Now,
		origins: http.NewCrossOriginProtection(),
		// Far more tries than a person needs, far fewer than a program wants.
		attempts: auth.NewAttempts(10, 30*time.Second),
		// A name can take what three sources send together. Beyond that the tries of
		// strangers wait, and not those of a browser that the person has used before.
		names:   auth.NewAttempts(30, 10*time.Second),
		devices: auth.NewAttempts(10, 30*time.Second),
		// A program with a wrong key in its configuration goes on trying.
		wrongKeys: auth.NewAttempts(200, time.Second),
		streams:   streams{open: map[string]int{}},
		guesses:   auth.NewAttempts(20, 5*time.Second),
		templates: parseTemplates(),
		document:  sync.OnceValues(documentJSON),
		fanout:    newFanout(o.Queue),
		docs:      sync.OnceValues(viewDocs),
		stopping:  make(chan struct{}),
	}
	a.live = newLive(a)
	a.pages.changed = o.Queue.Changed
	a.tests.now = a.now
	var err error
	if a.contract, err = contract(); err != nil {
		panic(err) // it is part of the program
	}
	if o.Counters != nil {
		o.Counters.listeners = func() float64 { return float64(a.listeners.Load()) }
	}
	return a
}

// route is one line of the table.
type route struct {
	method string
	path   string
	scope  auth.Scope // "": open to everybody
	h      echo.HandlerFunc
}

// anyScope is for what a key may do whatever its scopes are.
const anyScope auth.Scope = "any"

func (a *API) routes() []route {
	metrics := auth.Watch
	if a.o.MetricsOpen {
		metrics = ""
	}
	return []route{
		{"GET", "/v1/numbers/:number/export", auth.Admin, a.exportNumber},
		{"GET", "/v1/consents/export", auth.Read, a.exportConsents},
		{"POST", "/v1/contacts/import", auth.Send, a.importContacts},
		{"POST", "/v1/files", auth.Send, a.uploadFile},
		{"GET", "/v1/files/:id", auth.Read, a.downloadFile},
		{"GET", "/v1/contacts/export", auth.Read, a.exportContacts},
		{"GET", "/v1/events", auth.Read, a.listEvents},
		{"POST", "/hooks/:token", "", a.receiveHook}, // the token is the credential
		{"PUT", "/hooks/:token", "", a.putHook},
		{"GET", "/hooks/:token", "", a.getByHook},
		{"GET", "/openapi.json", "", a.openAPI},
		{"GET", "/docs", "", a.docsPage},
		{"GET", "/metrics", metrics, a.metrics},
		{"GET", "/v1/support-bundle", auth.Admin, a.supportBundle},
		{"GET", "/", auth.Watch, a.statusPage},
		{"GET", "/live", auth.Watch, a.streamChanges},
		{"GET", "/acceptance", auth.Watch, a.acceptancePage},
		{"GET", "/test", auth.Service, a.testPage},
		{"POST", "/test", auth.Service, a.sendTest},
		{"POST", "/reset", auth.Service, a.pressReset},
		{"GET", "/messages", auth.Read, a.messagesPage},
		{"GET", "/messages/:id", auth.Read, a.messagePage},
		{"POST", "/messages/:id", auth.Read, a.pressMessage}, // each button has a scope of its own
		{"GET", "/chat", auth.Read, a.chatPage},
		{"GET", "/chat/:id", auth.Read, a.chatPage},
		{"GET", "/chat/help", auth.Watch, a.chatHelp},
		{"GET", "/chat/about", auth.Watch, a.chatAbout},
		{"GET", "/chat/terms", auth.Watch, a.chatTerms},
		{"POST", "/chat/terms", auth.Admin, a.changeTerms},
		{"GET", "/chat/away", "", a.chatAway},
		{"GET", "/sw.js", "", a.worker},
		{"GET", "/manifest.webmanifest", "", a.manifest},
		{"GET", "/contacts", auth.Read, a.contactsPage},
		{"POST", "/contacts", auth.Send, a.changeContacts},
		{"GET", "/contacts/new", auth.Send, a.newContactPage},
		{"POST", "/contacts/new", auth.Send, a.pressContact},
		{"GET", "/contacts/import", auth.Send, a.importPage},
		{"POST", "/contacts/import", auth.Send, a.pressImport},
		{"GET", "/contacts/:id", auth.Read, a.contactPage},
		{"POST", "/contacts/:id", auth.Send, a.pressContact},
		{"GET", "/aim", auth.Watch, a.aimPage},
		{"GET", "/webhooks", auth.Read, a.webhooksPage},
		{"POST", "/webhooks", auth.Admin, a.changeWebhooks},
		{"GET", "/gateways", auth.Watch, a.gatewaysPage},
		{"POST", "/gateways", auth.Admin, a.pressGateways},
		{"GET", "/gateways/:name", auth.Watch, a.gatewayPage},
		{"POST", "/gateways/:name", auth.Read, a.pressGateway}, // all but the check need more
		{"GET", "/reports", auth.Read, a.reportsPage},
		{"GET", "/widgets", auth.Admin, a.widgetsPage},
		{"POST", "/widgets/preview", auth.Admin, a.previewWidget},
		{"GET", "/people", auth.Admin, a.peoplePage},
		{"POST", "/people", auth.Admin, a.changePeople},
		{"GET", "/abuse", auth.Admin, a.abusePage},
		{"POST", "/abuse", auth.Admin, a.changeAbuse},
		{"GET", "/account", anyScope, a.accountPage},
		{"POST", "/account", anyScope, a.changeAccount},
		{"GET", "/welcome", "", a.welcomePage},
		{"POST", "/welcome", "", a.welcome},
		{"GET", "/sign-in", "", a.signInPage},
		{"POST", "/sign-in", "", a.signIn},
		{"POST", "/sign-out", "", a.signOut},
		{"GET", "/problems/:name", "", a.problemPage},
		{"GET", "/assets/:file", "", a.asset},
		{"GET", "/authority.crt", "", a.authority},
		{"GET", "/setup", auth.Admin, a.setupPage},
		{"POST", "/setup", auth.Admin, a.changeSetup},
	}
}

// server has a method for each operation of the document that has no line in the
// table: one that is missing does not compile.
type server struct{ *API }

// withHead answers HEAD wherever GET is answered.
type withHead struct{ *echo.Echo }

func (e withHead) GET(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	e.HEAD(path, h, m...) // the server leaves the body out
	return e.Echo.GET(path, h, m...)
}

// Handler answers every request.
func (a *API) Handler() http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = func(err error, c echo.Context) { a.fail(c, err) }
	e.Use(a.around)
	e.Binder = binder{}
	checks := map[string][]echo.MiddlewareFunc{}
	for id, op := range a.contract {
		checks[id] = []echo.MiddlewareFunc{a.check(op)}
	}
	RegisterHandlersWithOptions(withHead{e}, NewStrictHandler(server{a}, nil), RegisterHandlersOptions{OperationMiddlewares: checks})
	for _, r := range a.routes() {
		h := r.h
		if r.scope != "" {
			h = a.guard(r.scope, h)
		}
		e.Add(r.method, r.path, h)
		if r.method == http.MethodGet && r.path != "/v1/events" && r.path != "/live" {
			e.Add(http.MethodHead, r.path, h) // the server leaves the body out
		}
	}
	for path, page := range a.o.Pages {
		h := echo.WrapHandler(page)
		for _, method := range []string{"GET", "HEAD"} {
			e.Add(method, path+"*", a.guard(auth.Read, h))
		}
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			e.Add(method, path+"*", a.guard(auth.Send, h))
		}
	}
	return e
}

// Server returns an http.Server for Handler whose limits keep slow and greedy
// clients from holding on to it. Its Shutdown ends the event streams too.
func (a *API) Server() *http.Server {
	s := &http.Server{
		Handler:           a.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		// Longer, or nobody whose body came too slowly could be told so. Event
		// streams and exports set their own.
		WriteTimeout:   45 * time.Second,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	s.RegisterOnShutdown(a.Stop)
	return s
}

// Stop ends the event streams, which would go on for ever, and lets /readyz say
// that no more is taken.
func (a *API) Stop() { a.once.Do(func() { close(a.stopping) }) }

// policy is the Content-Security-Policy of everything: what is embedded here,
// and nothing else, not even inline.
const policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

// around is what happens with every request: headers, errors, counting.
func (a *API) around(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		h := c.Response().Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if err := a.recovered(c, next); err != nil {
			a.fail(c, err)
		}
		a.o.Counters.Count(c.Path(), c.Request().Method, c.Response().Status, time.Since(start))
		// The route, not the path: paths hold numbers.
		a.log.Debug("request", "method", c.Request().Method, "route", c.Path(),
			"status", c.Response().Status, "took", time.Since(start))
		return nil
	}
}

// recovered calls next; a panic of its becomes an error.
func (a *API) recovered(c echo.Context, next echo.HandlerFunc) (err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if r == http.ErrAbortHandler { // the way to cut off an answer on purpose
			panic(r)
		}
		a.log.Error("a handler panicked", "route", c.Path(), "panic", r, "stack", string(debug.Stack()))
		p := internal.because("The log has the details.")
		p.cause = fmt.Errorf("panic: %v", r)
		err = p
	}()
	return next(c)
}

// json answers with v. It is encoded before anything is written, so that an
// error can still be told.
func (a *API) json(c echo.Context, status int, v any) error {
	marshal := func() ([]byte, error) { return json.Marshal(v) }
	if m, ok := v.(json.Marshaler); ok {
		marshal = m.MarshalJSON // json.Marshal would read all of it again
	}
	b, err := marshal()
	if err != nil {
		p := internal.because("The log has the details.")
		p.cause = err
		return p
	}
	return c.Blob(status, echo.MIMEApplicationJSON, append(b, '\n'))
}

// param returns a parameter of the path. The router gives it as it stood in the
// request when that has escapes of its own.
func param(c echo.Context, name string) string {
	v := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return v
	}
	if plain, err := url.PathUnescape(v); err == nil {
		return plain
	}
	return v
}

// or is what p points to, else otherwise.
func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

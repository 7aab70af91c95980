package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/queue"
)

// example fills the parameters of a route's path.
func example(path string) string {
	return strings.NewReplacer(":id", "msg_01KB2N8Q7R5V3W1X9Y8Z7A6B5C", ":number", "+491701234567",
		":name", "office", ":file", "style.css").Replace(path)
}

// open are the routes that need no key, and why that is right.
var open = map[string]string{
	"GET /healthz":              "shows nothing",
	"GET /readyz":               "shows nothing but ready or not",
	"GET /openapi.json":         "the same on every box",
	"GET /docs":                 "the same on every box",
	"GET /sign-in":              "a form",
	"POST /sign-in":             "takes a key or a password",
	"GET /welcome":              "a form",
	"POST /welcome":             "takes a code",
	"POST /sign-out":            "ends what comes with it",
	"GET /problems/:name":       "the same on every box",
	"GET /assets/:file":         "the same on every box",
	"GET /chat/away":            "a page with nothing on it, which browsers keep",
	"GET /sw.js":                "the same on every box",
	"GET /manifest.webmanifest": "the same on every box",
	"GET /authority.crt":        "a certificate, which every connection shows too",
	"POST /hooks/:token":        "the token is a credential: TestHookTokensCantBeGuessed",
	"PUT /hooks/:token":         "as POST",
	"GET /hooks/:token":         "as POST",
}

// everyScope are all scopes that a key may have.
var everyScope = []auth.Scope{auth.Watch, auth.Service, auth.Send, auth.Read, auth.Admin}

// asker is somebody who asks: by a key in the header, or by the cookie of a page.
type asker struct {
	name string
	header
	may     func(auth.Scope) bool
	cookie  bool
	mention string // what a refusal must name
}

// askers are a key of each scope, and a person of each role in a browser.
func (b *box) askers() (all []asker) {
	b.t.Helper()
	for _, s := range everyScope {
		token := b.key(auth.Limits{}, s)
		key, err := b.o.Keys.Check(ctx, token)
		if err != nil {
			b.t.Fatal(err)
		}
		all = append(all, asker{name: "a key that may " + string(s), header: bearer(token), may: key.Can, mention: string(s)})
	}
	for _, p := range []auth.Person{{Name: "tess", Role: auth.Technician}, {Name: "theo", Role: auth.Technician, SeesTexts: true},
		{Name: "olga", Role: auth.Operator}, {Name: "anna", Role: auth.Administrator}} {
		cookie := b.signInAs(p)
		all = append(all, asker{name: p.Name + ", " + string(p.Role), header: cookie.with("Sec-Fetch-Site", "same-origin"), may: p.Key().Can, cookie: true, mention: p.Name})
	}
	return all
}

// TestEveryRouteIsGuarded takes its routes from the router itself: one that is served
// and stands in no table fails it. Each is asked with no key, with wrong ones, by every
// key and every role that lacks the scope, and with an admin's cookie by a foreign page.
func TestEveryRouteIsGuarded(t *testing.T) {
	b := newBox(t, settings{change: func(o *Options) {
		o.Pages = map[string]http.Handler{"/handsets/": http.NotFoundHandler()}
	}})
	known := map[string]auth.Scope{}
	for _, r := range b.everyRoute() {
		known[r.method+" "+r.path] = r.scope
	}
	for method, scope := range map[string]auth.Scope{"GET": auth.Read, "POST": auth.Send, "PUT": auth.Send, "PATCH": auth.Send, "DELETE": auth.Send} {
		known[method+" /handsets/*"] = scope
	}
	askers := b.askers()
	sessions := map[string]header{"a key's": b.signInWith(b.admin), "a person's": askers[len(askers)-1].with("Sec-Fetch-Site", "")}
	asked := 0
	for _, r := range b.handler.(*echo.Echo).Routes() {
		name, target := r.Method+" "+r.Path, strings.Replace(example(r.Path), "*", "1", 1)
		scope, ok := known[name]
		if r.Method == http.MethodHead {
			scope, ok = known["GET "+r.Path]
		}
		if !ok {
			t.Errorf("%s is served and stands in no table: nobody knows who may", name)
			continue
		}
		if scope == "" {
			if open[name] == "" && r.Method != http.MethodHead {
				t.Errorf("%s is open to everybody", name)
			}
			continue
		}
		asked++
		b.wrongKeys = auth.NewAttempts(200, time.Second) // each route is asked from a new address, as it were
		b.refusesStrangers(r.Method, target)
		body := bodyOf(r.Method)
		if scope != anyScope {
			lacking := 0
			for _, who := range askers {
				if who.may(scope) {
					continue
				}
				lacking++
				a := b.ask(r.Method, target, who.with("Accept", "application/json"), body) // a stream would not end
				if a.Code != http.StatusForbidden {
					t.Errorf("%s by %s: %d", name, who.name, a.Code)
				} else if r.Method != http.MethodHead {
					if p := a.problem(wrongScope); !strings.Contains(p.Detail, string(scope)) || !strings.Contains(p.Detail, who.mention) {
						t.Errorf("%s by %s: %q names neither the scope nor who asks", name, who.name, p.Detail)
					}
				}
			}
			if lacking == 0 {
				t.Errorf("%s: nobody lacks the scope %q", name, scope)
			}
		}
		for whose, session := range sessions {
			for how, foreign := range map[string]header{
				"by a script of another site": session.with("Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"),
				"by another port's page":      session.with("Origin", "http://example.com:8080", "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"),
				// A browser that sends no Sec-Fetch-Site, as over plain HTTP on a LAN.
				"on a LAN": session.with("Origin", "http://evil.example"),
			} {
				a := b.ask(r.Method, target, foreign.with("Accept", "application/json"), body)
				if a.Code != http.StatusForbidden {
					t.Errorf("%s with %s session %s: %d", name, whose, how, a.Code)
				} else if r.Method != http.MethodHead {
					a.problem(foreignOrigin)
				}
			}
		}
	}
	if asked < 70 {
		t.Errorf("only %d routes were asked", asked)
	}
	b.nothingQueued()
	if len(b.modems.reset) > 0 || len(b.modems.asked) > 0 || len(b.modems.forgotten) > 0 {
		t.Error("a modem was reset, asked or forgotten")
	}
	people, err := b.o.Keys.People(ctx)
	if err != nil || len(people) != 4 {
		t.Errorf("there are %d people, %v", len(people), err)
	}
}

func bodyOf(method string) string {
	if method == "POST" {
		return `{"to":"+491701234567","text":"x"}`
	}
	return ""
}

// refusesStrangers asks with nothing that opens anything.
func (b *box) refusesStrangers(method, target string) {
	b.t.Helper()
	check := func(what, target string, h header) {
		b.t.Helper()
		a := b.ask(method, target, h.with("Accept", "application/json"), bodyOf(method))
		if a.Code != http.StatusUnauthorized || a.Header().Get("WWW-Authenticate") == "" {
			b.t.Errorf("%s %s with %s: %d", method, target, what, a.Code)
		}
		if method != http.MethodHead {
			a.problem(noKey)
		}
	}
	for what, h := range map[string]header{
		"no key":               {},
		"an unknown key":       bearer("gw_0000000000_0000000000000000000000000000000000000000000"),
		"an empty key":         {"Authorization": "Bearer "},
		"another scheme":       {"Authorization": "Basic " + b.admin},
		"an unknown session":   {"Cookie": cookieName + "=0000000000000000000000000000000000000000000"},
		"a key as the session": {"Cookie": cookieName + "=" + b.admin},
		"a mark of a device":   {"Cookie": deviceName + "=0000000000000000000000.0000"},
	} {
		check(what, target, h)
	}
	check("a key in the URL", target+"?api_key="+b.admin+"&key="+b.admin+"&access_token="+b.admin, nil)
}

func TestScopesThatSuffice(t *testing.T) {
	b := newBox(t, settings{})
	b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x"}`).accepted()
	b.ask("GET", "/v1/messages", bearer(b.read), "").want(200)
	for _, path := range []string{"/v1/messages", "/v1/modems", "/v1/queue", "/"} {
		b.ask("GET", path, bearer(b.admin), "").want(200)
	}
	b.post("/v1/messages", b.admin, `{"to":"+491701234567","text":"x"}`).accepted()
	b.ask("GET", "/v1/queue", header{"Authorization": "bearer " + b.read}, "").want(200) // the scheme's case does not matter
}

func TestBadMethodsAndPaths(t *testing.T) {
	b := newBox(t, settings{})
	for target, allowed := range map[string]string{
		"/v1/messages": "GET", "/v1/messages/batch": "POST", "/v1/queue": "GET", "/healthz": "GET", "/sign-out": "POST",
	} {
		a := b.ask("PATCH", target, bearer(b.admin), "")
		a.problem(methodNotAllowed)
		if !strings.Contains(a.Header().Get("Allow"), allowed) {
			t.Errorf("PATCH %s: Allow is %q", target, a.Header().Get("Allow"))
		}
	}
	for _, target := range []string{"/v1", "/v1/", "/v2/messages", "/v1/messages/", "/v1/messages/a/b", "/v1/nothing", "/assets/../api.go",
		"/assets/%2e%2e%2fapi.go", "/.env", "/v1/messages/%zz"} {
		if strings.Contains(target, "%zz") {
			continue // no URL at all: net/http answers it
		}
		b.ask("GET", target, bearer(b.admin), "").problem(notFound)
	}
	if got := b.ask("GET", "/nothing", header{"Accept": "text/html"}, "").want(404).Header().Get("Content-Type"); !strings.HasPrefix(got, "text/html") {
		t.Errorf("a browser gets %s for a page that is not there", got)
	}
	b.ask("HEAD", "/healthz", nil, "").want(200)
	b.ask("HEAD", "/v1/messages", nil, "").want(401)
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	b := newBox(t, settings{})
	for _, target := range []string{"/", "/sign-in", "/v1/queue", "/nothing", "/assets/page.js", "/healthz"} {
		h := b.ask("GET", target, bearer(b.read), "").Header()
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: Content-Security-Policy %q", target, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", target, h)
		}
		if !strings.HasPrefix(target, "/assets/") && h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached: %q", target, h.Get("Cache-Control"))
		}
	}
}

func TestRevokedKeyEndsItsSession(t *testing.T) {
	b := newBox(t, settings{})
	session := b.signInWith(b.read)
	b.ask("GET", "/v1/queue", session, "").want(200)
	if _, err := b.o.Keys.Revoke(ctx, "read"); err != nil {
		t.Fatal(err)
	}
	b.ask("GET", "/v1/queue", session, "").problem(noKey)
	b.ask("GET", "/v1/queue", bearer(b.read), "").problem(noKey)
}

func form(values ...string) string {
	v := url.Values{}
	for i := 0; i < len(values); i += 2 {
		v.Set(values[i], values[i+1])
	}
	return v.Encode()
}

var formType = header{"Content-Type": "application/x-www-form-urlencoded"}

func TestSignIn(t *testing.T) {
	b := newBox(t, settings{})
	browser := header{"Accept": "text/html"}
	a := b.ask("GET", "/messages/msg_1?x=1", browser, "").want(http.StatusSeeOther)
	if to := a.Header().Get("Location"); to != "/sign-in?next=%2Fmessages%2Fmsg_1%3Fx%3D1" {
		t.Errorf("sent to %s", to)
	}
	if to := b.ask("GET", "/", browser, "").want(http.StatusSeeOther).Header().Get("Location"); to != "/sign-in" {
		t.Errorf("sent to %s", to)
	}
	page := b.ask("GET", "/sign-in?next=/messages/msg_1", browser, "").want(200).Body.String()
	if !strings.Contains(page, `name="next" value="/messages/msg_1"`) {
		t.Errorf("the form does not know where to go: %s", page)
	}

	a = b.ask("POST", "/sign-in", formType, form("key", " "+b.read+"\n", "next", "/messages/msg_1")).want(http.StatusSeeOther)
	if to := a.Header().Get("Location"); to != "/messages/msg_1" {
		t.Errorf("after signing in sent to %s", to)
	}
	c := a.Result().Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.Path != "/" || c.MaxAge <= 0 || strings.Contains(c.Value, "gw_") {
		t.Errorf("cookie %+v", c)
	}
	session := header{"Cookie": c.Name + "=" + c.Value}
	same := session.with("Sec-Fetch-Site", "same-origin", "Origin", "http://example.com")
	b.ask("GET", "/", session, "").want(200)
	b.ask("GET", "/v1/queue", same, "").want(200)
	b.ask("POST", "/v1/messages", same, `{"to":"+491701234567","text":"x"}`).problem(wrongScope)

	// A link on another site leads to the page; a fetch by it leads nowhere.
	b.ask("GET", "/", session.with("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"), "").want(200)
	b.ask("GET", "/v1/queue", session.with("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"), "").problem(foreignOrigin)
	b.ask("POST", "/sign-out", session.with("Sec-Fetch-Site", "cross-site"), "").problem(foreignOrigin)

	a = b.ask("POST", "/sign-out", same, "").want(http.StatusSeeOther)
	if c := a.Result().Cookies()[0]; c.MaxAge >= 0 || c.Value != "" {
		t.Errorf("signing out leaves the cookie %+v", c)
	}
	b.ask("GET", "/v1/queue", session, "").problem(noKey)

	a = b.ask("POST", "/sign-in", formType.with("X-Forwarded-Proto", "https"), form("key", b.read)).want(http.StatusSeeOther)
	if !a.Result().Cookies()[0].Secure {
		t.Error("behind TLS the cookie is not Secure")
	}
	b.ask("POST", "/sign-in", formType.with("Sec-Fetch-Site", "cross-site"), form("key", b.read)).problem(foreignOrigin)
	if body := b.ask("POST", "/sign-in", formType, form("key", b.send)).want(403).Body.String(); !strings.Contains(body, "scope read") {
		t.Errorf("a key that can't read: %s", body)
	}
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	b := newBox(t, settings{})
	for _, next := range []string{"https://evil.example/", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "evil", "javascript:alert(1)",
		"/\t/evil.example", "http:evil", "/%0d%0aSet-Cookie:x=y\r\n"} {
		a := b.ask("POST", "/sign-in", formType, form("key", b.read, "next", next)).want(http.StatusSeeOther)
		if to := a.Header().Get("Location"); to != "/" {
			t.Errorf("next %q leads to %q", next, to)
		}
	}
}

func TestSignInAttemptsAreLimited(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, settings{single: true, dir: dir, queue: queue.Options{}})
		try := func(key string) *answer { return b.ask("POST", "/sign-in", formType, form("key", key)) }
		for range 50 {
			try(b.read).want(http.StatusSeeOther) // right ones don't count
		}
		for range 10 {
			if body := try("gw_wrong").want(401).Body.String(); !strings.Contains(body, "not known") {
				t.Errorf("a wrong key: %s", body)
			}
		}
		a := try("gw_wrong").want(429)
		try(b.read).want(429) // not even whether this one is right can be learnt
		if got := a.Header().Get("Retry-After"); got != "31" {
			t.Errorf("Retry-After %s", got)
		}
		time.Sleep(31 * time.Second)
		try(b.read).want(http.StatusSeeOther)
	})
}

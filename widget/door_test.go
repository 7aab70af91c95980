package widget

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Who may have a widget: every combination of what a page can get wrong.
func TestWhoMayHaveAWidget(t *testing.T) {
	r := newRig(t, 1)
	one := r.make()
	off := r.make(func(s *Settings) { s.Enabled = false })
	nobody := r.make(func(s *Settings) { s.Origins = nil })
	for name, c := range map[string]struct {
		path   string
		h      header
		status int
		code   string
	}{
		"a listed page":            {"ticket" + named(one), header{"Origin": site}, 200, ""},
		"another page":             {"ticket" + named(one), header{"Origin": "https://evil.example"}, 403, "origin"},
		"the same host by http":    {"ticket" + named(one), header{"Origin": "http://www.example.org"}, 403, "origin"},
		"another port":             {"ticket" + named(one), header{"Origin": site + ":8443"}, 403, "origin"},
		"a name that begins so":    {"ticket" + named(one), header{"Origin": site + ".evil.example"}, 403, "origin"},
		"a page without an origin": {"ticket" + named(one), header{"Origin": "null"}, 403, "origin"},
		"no origin at all":         {"ticket" + named(one), nil, 403, "origin"},
		"a wrong key":              {"ticket?widget=" + one.ID + "&key=wpk_x", header{"Origin": site}, 403, "widget"},
		"no key":                   {"ticket?widget=" + one.ID, header{"Origin": site}, 403, "widget"},
		"another widget's key":     {"ticket?widget=" + one.ID + "&key=" + nobody.Key, header{"Origin": site}, 403, "widget"},
		"no such widget":           {"ticket?widget=wgt_x&key=" + one.Key, header{"Origin": site}, 403, "widget"},
		"a widget for nobody":      {"ticket" + named(nobody), header{"Origin": site}, 403, "origin"},
		"a widget that is off":     {"ticket" + named(off), header{"Origin": site}, 200, ""},

		"a frame":                          {"frame" + named(one), header{"Sec-Fetch-Dest": "iframe", "Referer": site + "/contact"}, 200, ""},
		"a frame whose page says nothing":  {"frame" + named(one), nil, 200, ""},
		"a frame in another page":          {"frame" + named(one), header{"Sec-Fetch-Dest": "iframe", "Referer": "https://evil.example/"}, 403, "origin"},
		"a page of its own":                {"frame" + named(one), header{"Sec-Fetch-Dest": "document"}, 403, "origin"},
		"an object":                        {"frame" + named(one), header{"Sec-Fetch-Dest": "object"}, 403, "origin"},
		"a frame with a wrong key":         {"frame?widget=" + one.ID + "&key=x", nil, 403, "widget"},
		"a frame of a widget for nobody":   {"frame" + named(nobody), nil, 403, "origin"},
		"a script of another page":         {"chat", header{"Origin": "https://evil.example"}, 403, "origin"},
		"a script of a listed page":        {"chat", header{"Origin": site, "Sec-Fetch-Site": "cross-site"}, 403, "origin"},
		"a sandboxed script":               {"chat", header{"Origin": "null"}, 403, "origin"},
		"a page of a neighbouring host":    {"events" + named(one), header{"Sec-Fetch-Site": "same-site"}, 403, "origin"},
		"the frame without a token":        {"chat", framed, 401, "token"},
		"the frame with a token of nobody": {"chat", framed.and("Authorization", "Bearer wvt_x"), 401, "token"},
		"an API key":                       {"chat", framed.and("Authorization", "Bearer gw_x"), 401, "token"},
		"a path of none":                   {"widgets", nil, 404, "not-found"},
	} {
		a := r.ask("GET", c.path, c.h, nil)
		if a.Code != c.status {
			t.Errorf("%s: %d, want %d: %s", name, a.Code, c.status, a.Body)
		} else if c.code != "" {
			a.want(c.status, c.code)
		}
		allowed := a.Header().Get("Access-Control-Allow-Origin")
		if want := c.h["Origin"]; strings.HasPrefix(c.path, "ticket") && a.Code == 200 && allowed != want || a.Code != 200 && allowed != "" {
			t.Errorf("%s: may be read by %q", name, allowed)
		}
		if a.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: credentials are allowed", name)
		}
	}
	if body := r.ask("GET", "ticket"+named(off), header{"Origin": site}, nil).Body.String(); strings.TrimSpace(body) != `{"enabled":false}` {
		t.Errorf("a widget that is off says %s", body)
	}
	// The gateway's own pages would not be separate from it.
	own := r.make(func(s *Settings) { s.Origins = []string{"https://" + box} })
	r.ask("GET", "ticket"+named(own), header{"Origin": "https://" + box}, nil).want(403, "origin")
	r.ask("GET", "frame"+named(own), header{"Referer": "https://" + box + "/widgets"}, nil).want(403, "origin")
}

// The frame's policy names its pages and nothing else, and gives it no more than it needs.
func TestPolicyOfTheFrame(t *testing.T) {
	r := newRig(t, 1)
	one := r.make(func(s *Settings) {
		s.Origins = append(s.Origins, "https://shop.example.net:8443")
		s.Area.Video = "https://films.example.com/one.mp4"
	})
	a := r.ask("GET", "frame"+named(one), header{"Sec-Fetch-Dest": "iframe"}, nil).want(200)
	policy := map[string]string{}
	for _, d := range strings.Split(a.Header().Get("Content-Security-Policy"), "; ") {
		name, value, _ := strings.Cut(d, " ")
		policy[name] = value
	}
	below := box + "/widget/v1/"
	nonce := regexp.MustCompile(`'nonce-\w+'`).FindString(policy["style-src"])
	for name, want := range map[string]string{
		"default-src": "'none'", "frame-ancestors": site + " https://shop.example.net:8443", "connect-src": below, "base-uri": "'none'", "form-action": "'none'",
		"script-src": below + "frame.js " + below + "count.js " + below + "solve.js", "style-src": "'self' " + nonce, "img-src": "'self'",
		"media-src": "https://films.example.com", "trusted-types": "'none'", "require-trusted-types-for": "'script'",
		"sandbox": "allow-scripts allow-forms allow-popups allow-popups-to-escape-sandbox allow-same-origin",
	} {
		if policy[name] != want || want == "" {
			t.Errorf("%s is %q, want %q", name, policy[name], want)
		}
	}
	if a.Header().Get("Set-Cookie") != "" || a.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", a.Header())
	}
	// What a Host header says must not get into the policy as something else.
	for _, host := range []string{"x; script-src *", "a,b", "evil.example *", `x"y`} {
		q := httptest.NewRequest("GET", "/widget/v1/frame"+named(one), nil)
		q.Host = host
		w := httptest.NewRecorder()
		r.ServeHTTP(w, q)
		if w.Code != http.StatusBadRequest {
			t.Errorf("Host %q: %d, %s", host, w.Code, w.Header().Get("Content-Security-Policy"))
		}
	}
}

func TestKeysRotate(t *testing.T) {
	r := newRig(t, 1)
	one := r.make()
	visitor := r.begin(one, nil)
	now, err := r.Rotate(ctx, one.ID, time.Hour)
	if err != nil || now.Key == one.Key {
		t.Fatalf("%v, key %s", err, now.Key)
	}
	r.ask("GET", "ticket"+named(one), header{"Origin": site}, nil).want(200)
	r.ask("GET", "ticket"+named(now), header{"Origin": site}, nil).want(200)
	r.now = r.now.Add(time.Hour)
	r.ask("GET", "ticket"+named(one), header{"Origin": site}, nil).want(403, "widget")
	r.ask("GET", "ticket"+named(now), header{"Origin": site}, nil).want(200)
	last, err := r.Rotate(ctx, one.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.ask("GET", "ticket"+named(now), header{"Origin": site}, nil).want(403, "widget")
	r.ask("GET", "ticket"+named(last), header{"Origin": site}, nil).want(200)
	r.ask("GET", "chat", visitor, nil).want(200) // who is in stays in
}

// A ticket is of one widget and one page, for a while, and nobody else can make one.
func TestTickets(t *testing.T) {
	r := newRig(t, 1)
	one := r.make()
	ticket := r.ticket(one)
	asks := func(ticket string) *answered {
		return r.ask("POST", "puzzle", framed, map[string]any{"ticket": ticket})
	}
	asks(ticket).want(200)
	for _, bad := range []string{"", "x", "x.y", ticket + "x", ticket[1:], strings.Split(ticket, ".")[0] + "."} {
		asks(bad).want(403, "expired")
	}
	if _, err := r.Change(ctx, one.ID, admin, func(s *Settings) error { s.Origins = []string{"https://other.example"}; return nil }); err != nil {
		t.Fatal(err)
	}
	asks(ticket).want(403, "origin") // the page is not listed any more
	if _, err := r.Change(ctx, one.ID, admin, func(s *Settings) error { s.Origins = []string{site}; s.Enabled = false; return nil }); err != nil {
		t.Fatal(err)
	}
	asks(ticket).want(403, "disabled")
	if _, err := r.Change(ctx, one.ID, admin, func(s *Settings) error { s.Enabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	asks(ticket).want(200)
	r.now = r.now.Add(ticketLife)
	asks(ticket).want(403, "expired")
}

// What version 1 of the line in the pages may count on. If this fails because
// embed.js was changed, hold the change against the list in docs/widget.md, by hand and
// with an old page: pages that have the line are not changed with us. Then note its new
// sum.
func TestContractOfTheLine(t *testing.T) {
	r := newRig(t, 1)
	one := r.make()
	if got, want := one.Line("https://"+box), `<script src="https://sms.example.org/widget/v1/embed.js" data-widget="`+one.ID+`" data-key="`+one.Key+`" async></script>`; got != want {
		t.Errorf("the line is\n%s, want\n%s", got, want)
	}
	a := r.ask("GET", "embed.js", nil, nil).want(200)
	for name, want := range map[string]string{"Content-Type": "text/javascript; charset=utf-8", "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"} {
		if got := a.Header().Get(name); got != want {
			t.Errorf("embed.js has %s %q, want %q", name, got, want)
		}
	}
	script := a.Body.String()
	for _, promised := range []string{
		`script.getAttribute("data-widget")`, `script.getAttribute("data-key")`, `document.currentScript`, `"data-gatewayd-widget"`,
		`"sandbox", "allow-scripts allow-forms allow-popups allow-popups-to-escape-sandbox allow-same-origin"`, `"referrerpolicy", "strict-origin"`,
		`attachShadow({ mode: "open" })`, `e.origin !== home || e.source !== frame.contentWindow`, `m.gatewayd !== "widget" || m.v !== 1`, `postMessage(message, home)`,
	} {
		if !strings.Contains(script, promised) {
			t.Errorf("embed.js does not have %s any more", promised)
		}
	}
	for _, never := range []string{"innerHTML", "document.write", "eval(", "document.cookie", "localStorage", `postMessage(message, "*")`} {
		if strings.Contains(script, never) {
			t.Errorf("embed.js has %s", never)
		}
	}
	pinned, err := os.ReadFile("testdata/embed.sum")
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256([]byte(script)); hex.EncodeToString(sum[:]) != strings.TrimSpace(string(pinned)) {
		t.Errorf("embed.js has changed: its sum is %x", sum)
	}
	// What it asks for, and what it is answered.
	var got map[string]any
	r.ask("GET", "ticket"+named(one), header{"Origin": site}, nil).want(200).into(&got)
	for _, name := range []string{"enabled", "title", "open", "close", "language", "side", "accent", "on_accent", "font", "corners", "ticket"} {
		if got[name] == nil {
			t.Errorf("the ticket's answer lacks %s: %v", name, got)
		}
	}
}

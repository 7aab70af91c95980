//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatewayd/api/conform"
)

// siteHeader tells the way behind prism which daemon a request is for: prism
// knows one, and each test has its own.
const siteHeader = "X-Gatewayd-Site"

// checker is prism between the tests and the daemons. It answers with an error
// of its own in place of an answer that is not what the document promises.
type checker struct {
	base string
	node *exec.Cmd
	log  *logBuffer
}

// prism is started by the first test that needs it and ended by TestMain.
var prism = sync.OnceValues(func() (*checker, error) {
	behind, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	way := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		site := &url.URL{Scheme: "http", Host: r.In.Header.Get(siteHeader)}
		r.Out.Header.Del(siteHeader)
		r.SetURL(site)
	}}
	go func() { _ = http.Serve(behind, way) }() // until the tests end
	front, err := unusedAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(front)
	c := &checker{base: "http://127.0.0.1:" + port, log: &logBuffer{}}
	modules, err := exec.Command("../scripts/node-modules").Output()
	if err != nil {
		return nil, fmt.Errorf("scripts/node-modules: %w", err)
	}
	// What is sent wrongly on purpose is the daemon's to refuse.
	c.node = exec.Command("node", filepath.Join(strings.TrimSpace(string(modules)), "@stoplight/prism-cli/dist/index.js"), "proxy", "../api/openapi.yaml",
		"http://"+behind.Addr().String(), "--errors", "--validate-request", "false", "--port", port, "--verboseLevel", "warn")
	c.node.Stdout, c.node.Stderr = c.log, c.log
	if err := c.node.Start(); err != nil {
		return nil, err
	}
	prismNode = c.node.Process
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); ; {
		if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			conn.Close()
			return c, nil
		}
		select {
		case <-deadline:
			return nil, fmt.Errorf("prism did not start: %s", c.log.withoutPolls())
		case <-tick.C:
		}
	}
})

// prismNode is prism's process; TestMain ends it.
var prismNode *os.Process

// checked sends a request through prism.
func (s *site) checked(r *http.Request) *http.Request {
	s.t.Helper()
	c, err := prism()
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set(siteHeader, r.URL.Host)
	r.URL.Host = strings.TrimPrefix(c.base, "http://")
	daemons.Store(r.URL.Host, true)
	r.Host = ""
	return r
}

// violated reports whether an answer is prism's word that the daemon's was wrong.
func violated(body []byte) bool { return bytes.Contains(body, []byte("stoplight.io/prism/errors")) }

// violations are answers, of whichever request of these tests, that are not what
// the document promises.
var violations struct {
	sync.Mutex
	all []string
}

// daemons are where the API that the document promises is served, or passed on by
// prism: tests ask other programs too.
var daemons sync.Map

// watchAnswers holds every answer that http.DefaultClient gets from a daemon's
// API against the document, with another library than prism's.
func watchAnswers() error {
	doc, err := conform.Load("../api/openapi.yaml")
	if err != nil {
		return err
	}
	ours := func(r *http.Request) bool {
		_, ok := daemons.Load(r.URL.Host)
		return ok
	}
	http.DefaultClient.Transport = conform.Transport{Document: doc, Ours: ours, Next: http.DefaultTransport, Failed: func(r *http.Request, err error) {
		violations.Lock()
		defer violations.Unlock()
		violations.all = append(violations.all, fmt.Sprintf("%s %s: %v", r.Method, r.URL.Path, err))
	}}
	return nil
}

// What one operation after the other answers, the ways that lead wrong too, is
// what the document promises, as prism reads it.
func TestAnswersThroughPrism(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	m := s.post("+491701234567", "one")
	s.until(m.ID, "delivered", 20*time.Second)
	later := `{"to":"+491701234567","text":"later","send_at":"2998-01-01T00:00:00Z","metadata":{"a":"b"}}`
	status, body := s.call("POST", "/v1/messages/batch", `{"messages":[`+later+`,{"to":"+491701234568","data":"AAEC/w==","port":2948,"send_at":"2998-01-01T00:00:00Z"}]}`)
	if status != 202 {
		t.Fatalf("%d %s", status, body)
	}
	id := strings.SplitN(strings.SplitN(string(body), `"id":"`, 2)[1], `"`, 2)[0]
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/v1/messages", "", 200}, {"GET", "/v1/messages?limit=1&status=scheduled,queued", "", 200}, {"GET", "/v1/messages?limit=0&bogus=1", "", 422},
		{"GET", "/v1/messages/" + id, "", 200}, {"GET", "/v1/messages/" + id + "/pdus", "", 200}, {"GET", "/v1/messages/msg_no", "", 404},
		{"DELETE", "/v1/messages/" + id, "", 200}, {"DELETE", "/v1/messages/" + id, "", 409}, {"POST", "/v1/messages/" + id + "/redact", "", 200},
		{"DELETE", "/v1/numbers/+491701234568", "", 200}, {"DELETE", "/v1/numbers/+", "", 422},
		{"POST", "/v1/messages", `{"to":"x","text":"","bogus":1}`, 422}, {"POST", "/v1/messages", `{"to":"` + strings.Repeat("1", 70_000) + `"}`, 413},
		{"GET", "/v1/modems", "", 200}, {"GET", "/v1/modems/m1", "", 200}, {"GET", "/v1/modems/none", "", 404}, {"GET", "/v1/modems/m1/transcript", "", 200},
		{"DELETE", "/v1/modems/m1", "", 204}, {"POST", "/v1/modems/m1/ussd", `{"code":"*100#"}`, 200}, {"POST", "/v1/modems/m1/ussd", `{"code":"x"}`, 422},
		{"GET", "/v1/queue", "", 200}, {"GET", "/v1/clock", "", 200}, {"GET", "/v1/events?after=0&limit=500", "", 200}, {"GET", "/v1/webhooks/deliveries", "", 200},
		{"POST", "/v1/webhooks/deliveries/none/retry", "", 404}, {"DELETE", "/v1/webhooks/deliveries/none", "", 404},
		{"GET", "/healthz", "", 200}, {"GET", "/readyz", "", 200}, {"GET", "/openapi.json", "", 200}, {"GET", "/metrics", "", 200},
		{"POST", "/v1/modems/m1/reset", "", 202},
	} {
		if status, body := s.call(c.method, c.path, c.body); status != c.want {
			t.Errorf("%s %s: %d, want %d: %.300s", c.method, c.path, status, c.want, body)
		}
	}
}

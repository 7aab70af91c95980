package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatewayd/captcha"
	hubs "gatewayd/hub"
	"gatewayd/inbox"
	"gatewayd/sms"
)

// A hub has the inboxes and the links at its own door; a gateway has neither.
func TestAHubHasInboxes(t *testing.T) {
	ctx := context.Background()
	open := func(o Options) *Gateway {
		t.Helper()
		o.DataDir = t.TempDir()
		g, err := New(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if g.hub != nil {
				g.hub.Close()
			}
			g.database.Close()
		})
		return g
	}
	ask := func(g *Gateway, method, path string, body any) *httptest.ResponseRecorder {
		t.Helper()
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(method, "http://hub.example.org"+path, bytes.NewReader(b))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		w := httptest.NewRecorder()
		g.server.Handler.ServeHTTP(w, r)
		return w
	}
	plain := open(Options{})
	for _, path := range []string{inbox.Prefix, inbox.Links + strings.Repeat("a", 26)} {
		if w := ask(plain, "GET", path, nil); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "not here yet") {
			t.Errorf("at a gateway %s is %d %s", path, w.Code, w.Body)
		}
	}
	hub := open(Options{Region: "DE", Hub: &hubs.Options{Listen: "127.0.0.1:0", PublicURL: "https://hub.example.org"}})
	if w := ask(hub, "GET", inbox.Prefix, nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Your inbox at hub.example.org") {
		t.Errorf("the page is %d %s", w.Code, w.Body)
	}
	if w := ask(hub, "GET", inbox.Links+strings.Repeat("a", 26), nil); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "not here yet") {
		t.Errorf("a link is %d %s", w.Code, w.Body)
	}
	var p struct{ Puzzle captcha.Challenge }
	if err := json.Unmarshal(ask(hub, "POST", "/inbox/v1/puzzle", nil).Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	solution, err := captcha.Solve(p.Puzzle)
	if err != nil {
		t.Fatal(err)
	}
	if w := ask(hub, "POST", "/inbox/v1/code", map[string]any{"number": "0171 1111111", "name": "Bob", "solution": solution}); w.Code != http.StatusAccepted {
		t.Fatalf("asked for a code: %d %s", w.Code, w.Body)
	}
	waiting, err := hub.queue.Unrouted(ctx, 0, 10)
	if err != nil || len(waiting) != 1 || waiting[0].To != "+491711111111" {
		t.Fatalf("for the gateways waits %+v, %v", waiting, err)
	}
	m, err := hub.queue.Message(ctx, waiting[0].ID)
	if err != nil || m.OnUnconfirmed != sms.Fail || !strings.Contains(m.Text, "is your code") || m.ExpiresAt.IsZero() {
		t.Errorf("the text is %+v, %v", m, err)
	}
	if err := hub.textCode(ctx, "+49900123456", "x", hub.clock.Now().Add(1e12)); !errors.Is(err, inbox.ErrNotTexted) {
		t.Errorf("a number that costs extra: %v", err)
	}
}

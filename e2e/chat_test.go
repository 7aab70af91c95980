//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatewayd/sim"
)

// handsets gives a browser's scenario the simulated phones: what one of them says,
// and what it shows. It is no part of the gateway, so what it shows is the network's
// truth.
func (s *site) handsets() string {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /say", func(w http.ResponseWriter, r *http.Request) {
		var said struct{ From, To, Text string }
		err := json.NewDecoder(r.Body).Decode(&said)
		if err == nil {
			err = s.net.Handset(said.From).Send(said.To, said.Text)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("GET /shows", func(w http.ResponseWriter, r *http.Request) {
		shown := []sim.Message{}
		for _, m := range s.net.Handset(r.FormValue("number")).Messages() {
			if m.Incoming {
				shown = append(shown, m)
			}
		}
		_ = json.NewEncoder(w).Encode(shown)
	})
	server := httptest.NewServer(mux)
	s.t.Cleanup(server.Close)
	return server.URL
}

// scenario runs one of scripts/e2e/browser in a real browser; its words are the
// test's.
func (s *site) scenario(name string, env ...string) {
	s.t.Helper()
	program := node(s.t, "../scripts/e2e/browser.cjs", name)
	program.Env = append(program.Env, append([]string{"BASE=" + s.base, "KEY=" + s.key, "PHONE=" + phone, "HANDSETS=" + s.handsets()}, env...)...)
	out, err := program.CombinedOutput()
	if err != nil {
		s.t.Errorf("%s: %v\n%s", name, err, out)
	}
}

// colleague adds a person who signs in with a password.
func (s *site) colleague(name string) {
	s.t.Helper()
	status, b := s.call(http.MethodPost, "/v1/people", fmt.Sprintf(`{"name":%q,"role":"operator","password":"anchor violet teaspoon"}`, name))
	if status != http.StatusCreated {
		s.t.Fatalf("POST /v1/people: %d %s", status, b)
	}
}

// Two colleagues share a conversation with a phone that is asked first. After its
// STOP nothing goes out by any door, and the network shows nothing, until START.
func TestConsentInABrowser(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	s.colleague("Ada")
	s.colleague("Bert")
	out, errs, status := s.gatewayd("keys", "create", "--config", s.config, "--name", "app", "--scope", "send", "--twilio")
	account := strings.Fields(out)
	if status != 0 || len(account) != 2 {
		t.Fatalf("keys create: %s%s", out, errs)
	}
	s.scenario("consent", "ACCOUNT_SID="+account[0], "AUTH_TOKEN="+account[1], "LOCAL="+s.modems[0].Number())
}

// Widgets on pages of other origins: two strangers, one phone, two SIMs; a third finds
// none free, an origin that is not listed gets nothing, and what is typed stays text.
func TestStrangersInABrowser(t *testing.T) {
	s := newSite(t, 2, fast(), "")
	s.start()
	s.scenario("strangers")
}

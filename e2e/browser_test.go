//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browse runs a scenario of scripts/e2e/browser in a real browser against the
// site; its words are the test's.
func (s *site) browse(scenario string, env ...string) {
	s.t.Helper()
	program := node(s.t, "../scripts/e2e/browser.cjs", scenario)
	program.Env = append(program.Env, append([]string{"BASE=" + s.base, "KEY=" + s.key, "PHONE=" + demoPhone}, env...)...)
	begun := time.Now()
	out, err := program.CombinedOutput()
	if err != nil {
		s.t.Errorf("%s: %v\n%s", scenario, err, out)
		return
	}
	s.t.Logf("%s (%.0f s): %s", scenario, time.Since(begun).Seconds(), strings.TrimSpace(string(out)))
}

// Pages in a real browser: everything shows by itself, nothing is serious for
// axe, nothing leaves the host.
func TestBrowser(t *testing.T) {
	if _, err := os.Stat("/usr/bin/chromium"); err != nil {
		t.Fatalf("no browser: %v; scripts/ensure chromium installs it", err)
	}
	d := startDemo(t)
	// The first person comes first: what follows has somebody with a password.
	d.browse("first", "WELCOME="+regexp.MustCompile(`http\S+/welcome#\S+`).FindString(d.printed.String()))
	d.browse("live")
	d.browse("chat")
	m := d.post(demoPhone, "A page of its own")
	d.browse("roles", "TEXT=A page of its own")
	pages, err := json.Marshal([]string{"/", "/messages", "/messages/" + m.ID, "/people", "/account", "/setup", "/test", "/aim", "/acceptance",
		"/webhooks", "/docs", "/handsets/", "/handsets/" + demoPhone + "/", "/handsets/modems/", "/problems/queue-full"})
	if err != nil {
		t.Fatal(err)
	}
	d.browse("pages", "PAGES="+string(pages))
}

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
// demo; its words are the test's.
func (d *demo) browse(scenario string, env ...string) {
	d.t.Helper()
	program := node(d.t, "../scripts/e2e/browser.cjs", scenario)
	program.Env = append(program.Env, append([]string{"BASE=" + d.base, "KEY=" + d.key, "PHONE=" + demoPhone}, env...)...)
	begun := time.Now()
	out, err := program.CombinedOutput()
	if err != nil {
		d.t.Errorf("%s: %v\n%s", scenario, err, out)
		return
	}
	d.t.Logf("%s (%.0f s): %s", scenario, time.Since(begun).Seconds(), strings.TrimSpace(string(out)))
}

// Pages in a real browser: everything shows by itself, nothing is serious for
// axe, nothing leaves the host.
func TestBrowser(t *testing.T) {
	if _, err := os.Stat("/usr/bin/chromium"); err != nil {
		t.Fatalf("no browser: %v; scripts/ensure chromium installs it", err)
	}
	d := startDemo(t)
	address := regexp.MustCompile(`http://\S+/welcome#\S+`).FindString(d.printed.String())
	if address == "" {
		t.Error("the demo prints no address for the first person")
	}
	d.browse("first", "WELCOME="+address)
	d.browse("live")
	m := d.post(demoPhone, "A page of its own")
	pages, err := json.Marshal([]string{"/", "/messages/" + m.ID, "/webhooks", "/docs", "/handsets/", "/handsets/modems/", "/problems/queue-full"})
	if err != nil {
		t.Fatal(err)
	}
	d.browse("pages", "PAGES="+string(pages))
}

//go:build e2e

package e2e

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatewayd/sms"
)

// unpacked reads a support bundle.
func unpacked(t *testing.T, name string) map[string]string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[path.Base(h.Name)] = string(content)
	}
}

// Whatever is put in at any door: nothing of it is in a support bundle, be the
// daemon alive, dead, or its database spoilt.
func TestSupportBundleHoldsNoSecret(t *testing.T) {
	s := newSite(t, 2, fast(), `# PLANTED-comment
webhooks:
  - {name: app, url: "http://127.0.0.1:9/PLANTED-path?token=PLANTED-token", secret: whsec_UExBTlRFRFBMQU5URURQTEFOVEVEUExBTlRFRA==, allow_private: true, headers: ["X-Key: PLANTED-header"]}
mail: {host: 127.0.0.1, port: 1, tls: none, from: "PLANTED@example.org"}
`)
	config, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	config = []byte(strings.Replace(string(config), "max_per_day: 0", `pin: "7351", max_per_day: 0`, 1))
	if err := os.WriteFile(s.config, config, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.until(s.post(phone, "PLANTED text").ID, sms.Delivered, 30*time.Second)
	if status, answer := s.call("POST", "/v1/messages", `{"to":"+491701234599","text":"PLANTED too","metadata":{"who":"PLANTED-metadata"},"client_id":"PLANTED-id"}`); status != 202 {
		t.Fatalf("%d %s", status, answer)
	}
	if err := s.net.Handset(phone).Send(s.modems[0].Number(), "PLANTED answer"); err != nil {
		t.Fatal(err)
	}
	hook, token := s.hook(`{"name":"curl","to":["+491701234567"],"template":"PLANTED {{.text}}"}`)
	if status, answer := s.call("POST", strings.TrimPrefix(hook, s.base), `{"text":"PLANTED by a hook"}`); status != 202 {
		t.Fatalf("%d %s", status, answer)
	}
	s.eventually("the answer is there", 20*time.Second, func() bool {
		_, list := s.poll("/v1/messages?direction=inbound")
		return strings.Contains(string(list), "PLANTED answer")
	})
	check := func(name string, files ...string) map[string]string {
		t.Helper()
		all := unpacked(t, name)
		for _, f := range append(files, "README.txt", "config.yaml", "versions.txt", "machine.txt") {
			if all[f] == "" {
				t.Errorf("%s lacks %s; %s", filepath.Base(name), f, all["README.txt"])
			}
		}
		secrets := []string{"PLANTED", "7351", phone[1:], "1234599", s.modems[0].Number()[1:], "UExBTlRFRF", s.key, s.key[3:20], token, token[len(token)-12:]}
		for file, content := range all {
			for _, secret := range secrets {
				if strings.Contains(strings.ToUpper(content), strings.ToUpper(secret)) && !(secret == "7351" && !strings.HasPrefix(file, "config")) {
					t.Errorf("%s of %s holds %q", file, filepath.Base(name), secret)
				}
			}
			if strings.Contains(content, `"7351"`) {
				t.Errorf("%s holds the PIN", file)
			}
		}
		return all
	}
	bundle := func(name string) string {
		t.Helper()
		to := filepath.Join(s.dir, name+".tar.gz")
		out, errs, status := s.gatewayd("support-bundle", "--config", s.config, to)
		if status != 0 || !strings.Contains(out, to) {
			t.Fatalf("support-bundle: %d %s%s", status, out, errs)
		}
		return to
	}
	all := check(bundle("alive"), "modems.json", "queue.json", "webhooks.json", "metrics.txt", "database.json", "at-m1.txt", "at-m2.txt")
	if !strings.Contains(all["at-m1.txt"]+all["at-m2.txt"], "AT+CMGS") || !strings.Contains(all["webhooks.json"], "http://127.0.0.1:9/…") || !strings.Contains(all["metrics.txt"], "gatewayd_messages_total") {
		t.Errorf("the bundle tells too little: %s", all["webhooks.json"])
	}
	s.kill()
	all = check(bundle("dead"), "database.json")
	if !strings.Contains(all["database.json"], `"check":"ok"`) || !strings.Contains(all["README.txt"], "modems.json: states of modems") {
		t.Errorf("of a dead daemon: %s\n%s", all["database.json"], all["README.txt"])
	}
	for _, name := range []string{"gatewayd.db", "gatewayd.db-wal"} {
		if err := os.WriteFile(filepath.Join(s.dir, "data", name), []byte(strings.Repeat("spoilt", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.config, append(config, "\nPLANTED-key: [PLANTED"...), 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(s.dir, "spoilt.tar.gz")
	if _, errs, status := s.gatewayd("support-bundle", "--config", s.config, to); status != 0 {
		t.Fatalf("with a spoilt database and configuration: %d %s", status, errs)
	}
	all = unpacked(t, to)
	if strings.Contains(fmt.Sprint(all), "PLANTED") || !strings.Contains(all["README.txt"], "config.yaml: it is no YAML") || !strings.Contains(all["README.txt"], "database.json:") && !strings.Contains(all["database.json"], "check") {
		t.Errorf("with a spoilt database and configuration:\n%s", all["README.txt"])
	}
	if out, errs, status := s.gatewayd("support-bundle", "--config", s.config, to); status != 2 || !strings.Contains(errs, "give another name") {
		t.Errorf("over a file that is there: %d %s%s", status, out, errs)
	}
}

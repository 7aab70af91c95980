//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The files of docs/proxy, with nothing but names and ports exchanged, in the
// real programs: signing in, sending, and events that come at once.
func TestBehindProxies(t *testing.T) {
	d := startDemo(t)
	upstream := strings.TrimPrefix(d.base, "http://")
	sample := func(name string, exchange ...string) string {
		b, err := os.ReadFile("../docs/proxy/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(exchange); i += 2 {
			if !strings.Contains(string(b), exchange[i]) {
				t.Fatalf("%s has no %q", name, exchange[i])
			}
		}
		return strings.NewReplacer(exchange...).Replace(string(b))
	}
	t.Run("caddy", func(t *testing.T) {
		dir, address := t.TempDir(), freeAddress(t)
		conf := fmt.Sprintf("{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n\tlocal_certs\n\tstorage file_system %s\n}\n", dir) +
			sample("Caddyfile", "sms.example.org", "https://"+localhost(address), "127.0.0.1:8080", upstream)
		caddy := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", file(t, dir, "Caddyfile", conf))
		caddy.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
		behind(t, d, "https://"+localhost(address), caddy)
	})
	t.Run("nginx", func(t *testing.T) {
		dir, address := t.TempDir(), freeAddress(t)
		certificate := filepath.Join(dir, "certificate.pem")
		key := filepath.Join(dir, "key.pem")
		if out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
			"-subj", "/CN=localhost", "-keyout", key, "-out", certificate).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		server := sample("nginx.conf", "listen 443 ssl", "listen "+address+" ssl", "sms.example.org;", "localhost;",
			"/etc/letsencrypt/live/sms.example.org/fullchain.pem", certificate, "/etc/letsencrypt/live/sms.example.org/privkey.pem", key, "127.0.0.1:8080", upstream)
		conf := fmt.Sprintf("pid %[1]s/pid;\nerror_log %[1]s/error.log;\ndaemon off;\nuser root;\nevents {}\nhttp {\naccess_log off;\nclient_body_temp_path %[1]s/body;\nproxy_temp_path %[1]s/proxy;\nfastcgi_temp_path %[1]s/f;\nuwsgi_temp_path %[1]s/u;\nscgi_temp_path %[1]s/s;\n%[2]s}\n", dir, server)
		behind(t, d, "https://"+localhost(address), exec.Command("nginx", "-e", filepath.Join(dir, "error.log"), "-c", file(t, dir, "nginx.conf", conf)))
	})
}

func localhost(address string) string { return strings.Replace(address, "127.0.0.1", "localhost", 1) }

func file(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// behind runs a proxy and uses the demo through it, as a browser and as a program.
func behind(t *testing.T, d *demo, base string, proxy *exec.Cmd) {
	log := &logBuffer{}
	proxy.Stdout, proxy.Stderr = log, log
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = proxy.Process.Signal(syscall.SIGTERM)
		_ = proxy.Wait()
		if t.Failed() {
			t.Logf("the proxy logged:\n%s", log.withoutPolls())
		}
	}()
	browser := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	d.eventually("the proxy answers", 20*time.Second, func() bool {
		r, err := browser.Get(base + "/readyz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	form := url.Values{"key": {d.key}, "next": {"/"}}.Encode()
	req, _ := http.NewRequest(http.MethodPost, base+"/sign-in", strings.NewReader(form))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", base)
	answer, err := browser.Transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusSeeOther || len(answer.Cookies()) != 1 {
		t.Fatalf("signing in answered %d and %v", answer.StatusCode, answer.Cookies())
	}
	if cookie := answer.Cookies()[0]; !cookie.Secure || !cookie.HttpOnly {
		t.Errorf("the session's cookie is not one for TLS only: %v", cookie)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, _ := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/events", nil)
	stream.Header.Set("Authorization", "Bearer "+d.key)
	events, err := browser.Do(stream)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	text := "Through " + filepath.Base(proxy.Path)
	post, _ := http.NewRequest(http.MethodPost, base+"/v1/messages", strings.NewReader(fmt.Sprintf(`{"to":%q,"text":%q}`, demoPhone, text)))
	post.Header.Set("Authorization", "Bearer "+d.key)
	post.Header.Set("Content-Type", "application/json")
	accepted, err := browser.Do(post)
	if err != nil {
		t.Fatal(err)
	}
	accepted.Body.Close()
	if accepted.StatusCode != http.StatusAccepted {
		t.Fatalf("POST /v1/messages answered %d", accepted.StatusCode)
	}
	for lines := bufio.NewScanner(events.Body); ; {
		if !lines.Scan() {
			t.Fatalf("the event did not come through: %v", lines.Err())
		}
		if strings.Contains(lines.Text(), text) {
			break
		}
	}
	// The stream is still open: what came was not held back until its end.
	if ctx.Err() != nil {
		t.Error("the event came only as the stream ended")
	}
}

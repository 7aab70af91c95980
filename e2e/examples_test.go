//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatewayd/client"
)

const examples = "../docs/examples/"

// Every sender sends one text over a connection that loses the answer to the
// first attempt, to a gateway that answers the second 503.
func TestExampleSenders(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	dir := t.TempDir()
	build(t, examples+"send.go", dir+"/send")
	target, err := url.Parse(s.base)
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]string{"sh": "+491701234561", "go": "+491701234562", "node": "+491701234563", "python": "+491701234564"}
	for name, command := range map[string][]string{
		"sh": {"sh", examples + "send.sh"}, "go": {dir + "/send"}, "node": {"node", examples + "send.mjs"}, "python": {"python3", examples + "send.py"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			attempts := 0
			pass := httputil.NewSingleHostReverseProxy(target)
			road := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				attempts++
				n := attempts
				mu.Unlock()
				switch n {
				case 1: // it got there; the answer does not come back
					pass.ServeHTTP(httptest.NewRecorder(), r)
					panic(http.ErrAbortHandler)
				case 2:
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(http.StatusServiceUnavailable)
				default:
					pass.ServeHTTP(w, r)
				}
			}))
			defer road.Close()
			text := "“" + name + "”\nsays \"hello\" \\ & 'you'"
			out, err := s.example(command, road.URL, numbers[name], text)
			if err != nil || !strings.Contains(out, "msg_") || attempts != 3 {
				t.Fatalf("%d attempts, %v: %s", attempts, err, out)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			times := 0
			for m, err := range s.api().List(ctx, client.Filter{To: new(numbers[name])}) {
				if err != nil {
					t.Fatal(err)
				}
				times++
				if m, err := s.api().Wait(ctx, m.ID, client.Final); err != nil || m.Status != client.StatusDelivered {
					t.Errorf("it came to %+v, %v", m, err)
				}
			}
			if times != 1 {
				t.Errorf("it was accepted %d times", times)
			}
			if got := s.net.Handset(numbers[name]).Received(); !slices.Equal(got, []string{text}) {
				t.Errorf("the handset shows %q", got)
			}
			// What is refused is said, and not tried again.
			if out, err := s.example(command, s.base, "nobody", "x"); err == nil || !strings.Contains(out, "invalid-fields") || strings.Contains(out, "again") {
				t.Errorf("a wrong number: %v: %s", err, out)
			}
		})
	}
}

func build(t *testing.T, source, into string) {
	t.Helper()
	if out, err := exec.Command("go", "build", "-o", into, source).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", source, err, out)
	}
}

func (s *site) example(command []string, base string, args ...string) (string, error) {
	cmd := exec.Command(command[0], append(command[1:], args...)...)
	cmd.Env = append(os.Environ(), "GATEWAYD_URL="+base, "GATEWAYD_KEY="+s.key)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Every receiver takes what the daemon signed with two secrets, of which it
// knows the new one, and nothing else; and each event once.
func TestExampleReceivers(t *testing.T) {
	const old, fresh = secret, "whsec_bmV3c2VjcmV0bmV3c2VjcmV0bmV3c2VjcmV0bmV3"
	dir := t.TempDir()
	build(t, examples+"receive.go", dir+"/receive")
	logs := map[string]func() string{}
	urls := map[string]string{}
	var hooks strings.Builder
	hooks.WriteString("webhooks:\n")
	for name, command := range map[string][]string{"go": {dir + "/receive"}, "node": {"node", examples + "receive.mjs"}, "python": {"python3", examples + "receive.py"}, "sh": nil} {
		if command == nil {
			urls[name], logs[name] = shellReceiver(t, dir, fresh)
		} else {
			urls[name], logs[name] = startReceiver(t, command, fresh)
		}
		fmt.Fprintf(&hooks, "  - {url: %q, secret: %q, events: [message.received], allow_private: true}\n", urls[name], old+" "+fresh)
	}
	s := newSite(t, 1, fast(), hooks.String())
	s.start()
	if err := s.net.Handset(phone).Send(s.modems[0].Number(), "grüße"); err != nil {
		t.Fatal(err)
	}
	for name, log := range logs {
		s.eventually(name+" has the event", 30*time.Second, func() bool { return strings.Contains(log(), "message.received ") })
		body := []byte(`{"type":"message.received","timestamp":"2026-01-01T00:00:00Z","data":{}}`)
		post := func(id string, at time.Time, by string, sent []byte) int {
			req, _ := http.NewRequest(http.MethodPost, urls[name], bytes.NewReader(sent))
			if err := client.SignWebhook(req.Header, id, at, body, by); err != nil {
				t.Fatal(err)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			return res.StatusCode
		}
		now := time.Now()
		for what, status := range map[string]int{
			"signed with another secret": post("evt_forged", now, old, body),
			"another body":               post("evt_changed", now, fresh, append([]byte(" "), body...)),
			"six minutes old":            post("evt_old", now.Add(-6*time.Minute), fresh, body),
			"of the future":              post("evt_early", now.Add(6*time.Minute), fresh, body),
		} {
			if status != http.StatusUnauthorized {
				t.Errorf("%s: %s: answered %d", name, what, status)
			}
		}
		for range 2 {
			if status := post("evt_twice", now, fresh, body); status != http.StatusNoContent {
				t.Errorf("%s: a genuine one: answered %d", name, status)
			}
		}
		// What they deal with they say in that order, and it comes here after a moment.
		if status := post("evt_last", now, fresh, body); status != http.StatusNoContent {
			t.Errorf("%s: the last: answered %d", name, status)
		}
		s.eventually(name+" has said all", 30*time.Second, func() bool { return strings.Contains(log(), "message.received evt_last\n") })
		if got := log(); strings.Count(got, "\n") != 3 || strings.Count(got, "message.received evt_twice\n") != 1 {
			t.Errorf("%s dealt with:\n%s", name, got)
		}
	}
}

func startReceiver(t *testing.T, command []string, secrets string) (string, func() string) {
	t.Helper()
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command(command[0], append(command[1:], port)...)
	cmd.Env = append(os.Environ(), "WEBHOOK_SECRET="+secrets)
	said := &logBuffer{}
	cmd.Stdout, cmd.Stderr = said, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	(&site{t: t}).eventually(command[0]+" listens", 20*time.Second, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return "http://" + address + "/", said.withoutPolls
}

// shellReceiver has the shell's example run by a web server, as a CGI program.
func shellReceiver(t *testing.T, dir, secrets string) (string, func() string) {
	t.Helper()
	path, err := filepath.Abs(examples + "receive.sh")
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "received")
	server := httptest.NewServer(&cgi.Handler{Path: path, Dir: dir, InheritEnv: []string{"PATH"},
		Env: []string{"WEBHOOK_SECRET=" + secrets, "WEBHOOK_SEEN=" + dir + "/seen", "WEBHOOK_LOG=" + log}})
	t.Cleanup(server.Close)
	return server.URL, func() string {
		b, _ := os.ReadFile(log) // not there before the first
		return string(b)
	}
}

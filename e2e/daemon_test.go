//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatewayd/sim"
	"gatewayd/sms"
)

// binary is the gatewayd under test, built once by TestMain.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if binary = os.Getenv("E2E_BINARY"); binary != "" { // a test runs again elsewhere
			return run(m)
		}
		dir, err := os.MkdirTemp("", "gatewayd-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "gatewayd")
		build := exec.Command("go", "build", "-race", "-o", binary, "gatewayd/cmd/gatewayd")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building the binary under test:", err)
			return 1
		}
		return run(m)
	}())
}

// run runs the tests, and fails if an answer was not what the document promises.
func run(m *testing.M) int {
	if err := watchAnswers(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := m.Run()
	if prismNode != nil {
		_ = prismNode.Kill()
	}
	for _, v := range violations.all {
		fmt.Fprintln(os.Stderr, "not what the document promises:", v)
		status = 1
	}
	return status
}

// site is a daemon with its configuration, and the world around it.
type site struct {
	t      *testing.T
	dir    string
	config string
	base   string
	key    string
	net    *sim.Network
	modems []*sim.Modem
	cmd    *exec.Cmd
	ended  chan error
	log    *logBuffer
	level  string // of the log; "": debug
	binary string // "": the one with the race detector
	hub    bool   // it is a hub of gateways
}

// quickBinary is gatewayd as users get it, for tests of so many messages that the
// race detector would take a minute more.
func quickBinary(t *testing.T) string {
	t.Helper()
	path, err := buildQuick()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildQuick = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "gatewayd-quick")
	// The flags are make build's, so that most is compiled already.
	if out, err := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, "gatewayd/cmd/gatewayd").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// logBuffer keeps the daemon's log for failed tests.
type logBuffer struct {
	mu     sync.Mutex
	b      bytes.Buffer
	marked int
}

// mark has await look at what comes from now on.
func (l *logBuffer) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marked = l.b.Len()
}

// await waits until a line behind the mark says something.
func (l *logBuffer) await(t *testing.T, what string, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		l.mu.Lock()
		said := bytes.Contains(l.b.Bytes()[l.marked:], []byte(what))
		l.mu.Unlock()
		if said {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v in the log: %s", within, what)
		}
	}
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// withoutPolls leaves out the requests by which tests wait.
func (l *logBuffer) withoutPolls() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var kept []string
	for line := range strings.Lines(l.b.String()) {
		if !strings.Contains(line, "msg=request method=GET") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// fast is a network that takes a fifth of a second for each part.
func fast() sim.NetworkOptions {
	return sim.NetworkOptions{Latency: 200 * time.Millisecond, Jitter: 100 * time.Millisecond,
		Delivery: 50 * time.Millisecond, Report: 50 * time.Millisecond}
}

// newSite writes a configuration for n simulated modems; more is YAML that is
// added to it. It starts nothing.
func newSite(t *testing.T, n int, o sim.NetworkOptions, more string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), net: sim.NewNetwork(o), log: &logBuffer{}}
	t.Cleanup(s.net.Close)
	address := freeAddress(t)
	s.base = "http://" + address
	daemons.Store(address, true)
	s.config = filepath.Join(s.dir, "gatewayd.yaml")
	var b strings.Builder
	fmt.Fprintf(&b, "data_dir: %s\ndefault_region: DE\nhttp: {listen: %q}\n", filepath.Join(s.dir, "data"), address)
	b.WriteString("modems:\n  discover: false\n  list:\n")
	for i := range n {
		m := s.net.AddModem(sim.ModemOptions{Name: fmt.Sprintf("m%d", i+1)})
		port := filepath.Join(s.dir, m.Name())
		if _, err := m.OpenPTY(port); err != nil {
			t.Fatal(err)
		}
		s.modems = append(s.modems, m)
		fmt.Fprintf(&b, "    - {name: %s, port: %s, number: %q, max_per_minute: 0, max_per_day: 0}\n", m.Name(), port, m.Number())
	}
	b.WriteString(more)
	if err := os.WriteFile(s.config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill()
		}
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", s.log.withoutPolls())
		}
	})
	return s
}

// freeAddress is a loopback address that nobody listens on. It is outside of the range of
// which systems take the ports of connections, so nothing takes it before it is used; and
// no test is given it again.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := unusedAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func unusedAddress() (string, error) {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		if _, given := addresses.LoadOrStore(address, true); given {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address, nil
		}
	}
	return "", errors.New("no port is free")
}

var addresses sync.Map

// gatewayd runs a command of the binary to its end.
func (s *site) gatewayd(args ...string) (stdout, stderr string, status int) {
	s.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "GATEWAYD_KEY="+s.key)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		s.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// start runs the daemon and waits until it is ready.
func (s *site) start() {
	s.t.Helper()
	if s.key == "" {
		out, errs, status := s.gatewayd("keys", "create", "--config", s.config, "--name", "test", "--scope", "admin")
		if status != 0 {
			s.t.Fatalf("keys create: %s", errs)
		}
		s.key = strings.TrimSpace(out)
	}
	args := []string{"run", "--config", s.config, "--log", cmp.Or(s.level, "debug")}
	if s.hub {
		args = append([]string{"hub"}, args...)
	}
	s.cmd = exec.Command(cmp.Or(s.binary, binary), args...)
	s.cmd.Stderr = s.log
	s.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // the end is measured
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan error) { ended <- cmd.Wait() }(s.cmd, s.ended)
	s.eventually("the daemon is ready", 20*time.Second, func() bool {
		r, err := http.Get(s.base + "/readyz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// kill ends the daemon as a power cut would.
func (s *site) kill() {
	s.t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	<-s.ended
	s.cmd = nil
}

// terminate asks the daemon to end and returns how long that took.
func (s *site) terminate() time.Duration {
	s.t.Helper()
	start := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := <-s.ended; err != nil {
		s.t.Errorf("SIGTERM: %v", err)
	}
	s.cmd = nil
	return time.Since(start)
}

// eventually waits for a condition of another process, which can only be asked.
func (s *site) eventually(what string, within time.Duration, ok func() bool) {
	s.t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			s.t.Fatalf("not within %v: %s", within, what)
		case <-tick.C:
		}
	}
}

// call makes a request with the site's key, through prism, and returns status and
// body.
func (s *site) call(method, path, body string) (int, []byte) {
	s.t.Helper()
	return s.ask(s.checked, method, path, body)
}

// poll is call without the detour, for what is asked again and again.
func (s *site) poll(path string) (int, []byte) {
	s.t.Helper()
	return s.ask(func(r *http.Request) *http.Request { return r }, http.MethodGet, path, "")
}

func (s *site) ask(way func(*http.Request) *http.Request, method, path, body string) (int, []byte) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, s.base+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if strings.HasPrefix(path, "/v1/events") {
		req.Header.Set("Accept", "application/json")
	}
	r, err := http.DefaultClient.Do(way(req))
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if violated(b) {
		s.t.Fatalf("%s %s: prism says that the answer is not what the document promises: %s", method, path, b)
	}
	return r.StatusCode, b
}

func (s *site) post(to, text string) sms.Message {
	s.t.Helper()
	body, err := json.Marshal(map[string]string{"to": to, "text": text})
	if err != nil {
		s.t.Fatal(err)
	}
	status, answer := s.call(http.MethodPost, "/v1/messages", string(body))
	if status != http.StatusAccepted {
		s.t.Fatalf("POST answered %d %s", status, answer)
	}
	var m sms.Message
	if err := json.Unmarshal(answer, &m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *site) message(id string) sms.Message {
	s.t.Helper()
	status, answer := s.poll("/v1/messages/" + id)
	if status != http.StatusOK {
		s.t.Fatalf("GET answered %d %s", status, answer)
	}
	var m sms.Message
	if err := json.Unmarshal(answer, &m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *site) until(id string, want sms.Status, within time.Duration) sms.Message {
	s.t.Helper()
	var m sms.Message
	s.eventually("message is "+string(want), within, func() bool {
		m = s.message(id)
		return m.Status == want
	})
	return m
}

func (s *site) modemsNow() map[string]sms.Modem {
	s.t.Helper()
	_, answer := s.call(http.MethodGet, "/v1/modems", "")
	var list struct{ Modems []sms.Modem }
	if err := json.Unmarshal(answer, &list); err != nil {
		s.t.Fatal(err)
	}
	all := map[string]sms.Modem{}
	for _, m := range list.Modems {
		all[m.Name] = m
	}
	return all
}

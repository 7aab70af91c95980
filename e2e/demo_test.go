//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestFiveMinutes does what the README tells a newcomer to do: start the demo,
// run the printed curl line, read the text on the handset's page, answer from
// there, and see the answer as a webhook and on the status page.
func TestFiveMinutes(t *testing.T) {
	s := &site{t: t, log: &logBuffer{}}
	address := freeAddress(t)
	s.base = "http://" + address
	daemons.Store(address, true)
	cmd := exec.Command(binary, "demo", "--listen", address, "--latency", "200ms")
	cmd.Stderr = s.log
	printed := &lines{}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() { defer close(read); printed.from(out) }()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo's end: %v", err)
		}
		if t.Failed() {
			t.Logf("printed:\n%s\nlogged:\n%s", printed, s.log.withoutPolls())
		}
	}()

	s.eventually("the demo has said how to use it", 20*time.Second, func() bool { return strings.Contains(printed.String(), "Ctrl-C") })
	curl := regexp.MustCompile(`(?s)curl .*?\}'`).FindString(printed.String())
	answer, err := exec.Command("sh", "-c", curl+" --silent --fail-with-body").CombinedOutput()
	if err != nil || !strings.Contains(string(answer), `"status":"queued"`) {
		t.Fatalf("the printed line\n%s\nanswered %s (%v)", curl, answer, err)
	}

	key := regexp.MustCompile(`gw_\w+`).FindString(printed.String())
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar}
	page := func(path string) string {
		r, err := browser.Get(s.base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return string(b)
	}
	form := func(path string, fields url.Values) {
		req, _ := http.NewRequest(http.MethodPost, s.base+path, strings.NewReader(fields.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", s.base)
		r, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if r.StatusCode >= 400 {
			b, _ := io.ReadAll(r.Body)
			t.Fatalf("POST %s answered %d %s", path, r.StatusCode, b)
		}
	}
	const handset = "/handsets/+491555123456/"
	if got := page(handset); strings.Contains(got, "Hello from my own gateway") {
		t.Error("the handset's page is open without a key")
	}
	form("/sign-in", url.Values{"key": {key}, "next": {"/"}})
	s.eventually("the text is on the handset's page", 20*time.Second, func() bool {
		return strings.Contains(page(handset), "Hello from my own gateway")
	})
	to := regexp.MustCompile(`name="to"[^>]*value="([^"]+)"`).FindStringSubmatch(page(handset))
	if to == nil {
		t.Fatal("the handset's page has no one to answer to")
	}
	form(handset, url.Values{"to": {strings.ReplaceAll(to[1], "&#43;", "+")}, "text": {"Hello yourself"}})
	s.eventually("the answer came by webhook", 20*time.Second, func() bool {
		return strings.Contains(printed.String(), `message.received`) && strings.Contains(printed.String(), `"Hello yourself"`)
	})
	s.eventually("the answer is on the status page", 20*time.Second, func() bool { return strings.Contains(page("/"), "Hello yourself") })
	if strings.Contains(printed.String(), "REFUSED") {
		t.Error("a webhook's signature was refused")
	}
}

// lines collects what a program prints.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) from(r io.Reader) {
	for scan := bufio.NewScanner(r); scan.Scan(); {
		l.mu.Lock()
		fmt.Fprintln(&l.b, scan.Text())
		l.mu.Unlock()
	}
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

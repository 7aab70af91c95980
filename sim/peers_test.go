//go:build e2e

package sim

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// transcript keeps what went over a port, for when a test fails.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (d *transcript) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.b.Write(b)
}

func (d *transcript) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.b.String()
}

// plugIn adds a modem of this family to the network, the port that people give
// gammu on a pseudo-terminal behind a link.
func plugIn(t *testing.T, n *Network, p Profile) (m *Modem, link string) {
	t.Helper()
	if p.Slug == ZTEMF190.Slug {
		p.Chatter = nil // gammu does not know +ZPASR and takes it for an answer
	}
	m = newPeer(t, n, p)
	number := p.AT()
	for _, i := range p.USB.Interfaces {
		// gammu sends AT^PORTSEL=1, which has Huawei's sticks say what comes
		// unasked on the modem port.
		if i.Role == RoleSecond && slices.Contains(p.Commands, "^PORTSEL") {
			number = i.Number
		}
	}
	link, err := m.OpenPTYOf(number, filepath.Join(t.TempDir(), "ttyUSB0"))
	if err != nil {
		t.Fatal(err)
	}
	return m, link
}

// newPeer is a modem that has started long ago, and whose dialogue is shown if
// the test fails.
func newPeer(t *testing.T, n *Network, p Profile) *Modem {
	t.Helper()
	said := &transcript{}
	m := n.AddModem(ModemOptions{Name: p.Slug, Profile: p, Trace: said, Warm: true})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the dialogue with %s:\n%s", p.Slug, said)
		}
	})
	return m
}

// eachProfile runs a test with every personality.
func eachProfile(t *testing.T, test func(t *testing.T, p Profile)) {
	var slugs []string
	for _, p := range Profiles() {
		slugs = append(slugs, p.Slug)
	}
	sideBySide(t, slugs, func(t *testing.T, slug string) {
		p, _ := ProfileNamed(slug)
		test(t, p)
	})
}

// sideBySide runs a subtest for each name, all at once: they wait for other
// programs most of the time, so there may be more of them than processors,
// which t.Parallel would not allow.
func sideBySide(t *testing.T, names []string, test func(t *testing.T, name string)) {
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() { t.Run(name, func(t *testing.T) { test(t, name) }) })
	}
	all.Wait()
}

// find returns where an independent program is. Some are in no PATH, or in
// that of administrators alone.
func find(t *testing.T, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/lib/polkit-1"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path
		}
	}
	t.Fatalf("%v: scripts/ensure installs it, from Debian's package %s", err, pkg)
	return ""
}

// start runs a program until the test ends, and ends it politely then.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	said := &transcript{}
	if cmd.Stdout == nil {
		cmd.Stdout = said
	}
	cmd.Stderr = said
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is seen in what it did
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // fails if it is gone
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Errorf("%s did not end when told to", cmd.Path)
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", cmd.Path, said)
		}
	})
}

// until waits for what an independent program does in its own time.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(45 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still not: %s", what)
		}
	}
}

// gets waits until the handset has received the text.
func gets(t *testing.T, h *Handset, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	has := func(messages []Message) bool {
		for _, m := range messages {
			if m.Incoming && m.Text == text {
				return true
			}
		}
		return false
	}
	if err := h.Wait(ctx, has); err != nil {
		t.Fatalf("%v: no %q in %q", err, text, h.Received())
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// tail is the end of a log.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(size-20_000, 0), io.SeekStart)
	}
	b, _ := io.ReadAll(f)
	return string(b)
}

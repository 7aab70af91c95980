//go:build e2e

package sim

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"os/exec"
)

// stick is a personality and the USB device that it comes as: the interface
// that takes AT commands, and the ModemManager plugin that must feel at home.
type stick struct {
	name     string
	profile  Profile
	usb      string // vendor:product
	usbif    string // interface number
	usbclass string // class, subclass, protocol
	plugin   string
}

var sticks = []stick{
	{"huawei-e3372", Generic, "12d1:1506", "00", "ff0212", "huawei"},
	{"huawei-e173", Generic, "12d1:1001", "02", "ffffff", "huawei"},
	{"quectel-ec25", Generic, "2c7c:0125", "02", "ff0000", "quectel"},
}

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

// plugIn adds a modem of this kind to the network, on a pseudo-terminal
// behind a link. Its dialogue is shown if the test fails.
func (s stick) plugIn(t *testing.T, n *Network) (m *Modem, link string) {
	t.Helper()
	said := &transcript{}
	m = n.AddModem(ModemOptions{Name: s.name, Profile: s.profile, Trace: said})
	link, err := m.OpenPTY(filepath.Join(t.TempDir(), "ttyUSB0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before n.Close, after the programs have ended
		if t.Failed() {
			t.Logf("the dialogue with %s:\n%s", s.name, said)
		}
	})
	return m, link
}

// forEachStick runs a test with every personality, side by side.
func forEachStick(t *testing.T, test func(t *testing.T, s stick)) {
	for _, s := range sticks {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// find returns where an independent program is. Those for administrators may
// not be in an ordinary user's PATH.
func find(t *testing.T, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
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
	deadline := time.After(12 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
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

package ports

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sockets makes a sysfs with a device in each socket.
func sockets(t *testing.T, ids map[string]string) string {
	t.Helper()
	sys := t.TempDir()
	for socket, id := range ids {
		dir := filepath.Join(sys, usbDevices, socket)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"idVendor": id[:4], "idProduct": id[5:], "authorized": "1"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return sys
}

func authorized(t *testing.T, sys, socket string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(sys, usbDevices, socket, "authorized"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCycleByTheKernel(t *testing.T) {
	sys := sockets(t, map[string]string{"1-1": "05e3:0610", "1-1.2": "12d1:1506"})
	synctest.Test(t, func(t *testing.T) {
		done := make(chan error)
		go func() { done <- Power{Sys: sys}.Cycle(t.Context(), "1-1.2") }()
		synctest.Wait()
		if got := authorized(t, sys, "1-1.2"); got != "0" {
			t.Errorf("authorized is %q while it is off", got)
		}
		start := time.Now()
		if err := <-done; err != nil || time.Since(start) != deauthorized {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if got := authorized(t, sys, "1-1.2"); got != "1" {
			t.Errorf("authorized is %q in the end", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := (Power{Sys: sys}).Cycle(ctx, "1-1.2"); !errors.Is(err, context.Canceled) || authorized(t, sys, "1-1.2") != "1" {
			t.Errorf("cut short: %v, authorized is %q", err, authorized(t, sys, "1-1.2"))
		}
	})
}

// A hub that switches all of its ports at once is not used, for the sake of the
// other modems on it.
func TestCycleByTheHub(t *testing.T) {
	for _, c := range []struct{ socket, hubID, hub, port string }{
		{"1-1.2", "05e3:0610", "1-1", "2"},
		{"1-1.4.3", "05e3:0610", "1-1.4", "3"},
		{"1-1.2", "0424:9514", "", ""},
		{"1-1.2", "2109:3431", "", ""},
		{"1-2", "", "", ""},
	} {
		ids := map[string]string{c.socket: "12d1:1506"}
		if c.hubID != "" {
			ids[c.socket[:strings.LastIndexByte(c.socket, '.')]] = c.hubID
		}
		sys := sockets(t, ids)
		synctest.Test(t, func(t *testing.T) {
			hub, port := "", ""
			p := Power{Sys: sys, Switch: func(_ context.Context, h, p string) error { hub, port = h, p; return nil }}
			if err := p.Cycle(t.Context(), c.socket); err != nil {
				t.Error(err)
			}
			if hub != c.hub || port != c.port {
				t.Errorf("%s on %s: port %q of hub %q was switched, want %q of %q", c.socket, c.hubID, port, hub, c.port, c.hub)
			}
			if authorized(t, sys, c.socket) != "1" {
				t.Error("it stays off")
			}
		})
	}
}

func TestCycleRefuses(t *testing.T) {
	sys := sockets(t, map[string]string{"1-1": "12d1:1506"})
	for _, socket := range []string{"", "usb1", "../1-1", "1-1/..", "1-1.2", "1-1:1.0", "1-1.1.1.1.1.1.1.1.1"} {
		if err := (Power{Sys: sys}).Cycle(t.Context(), socket); err == nil {
			t.Errorf("%q was cycled", socket)
		}
	}
}

func TestRequests(t *testing.T) {
	sys := sockets(t, map[string]string{"1-1.2": "12d1:1506", "1-1.3": "0001:0002", "1-1.4": "0003:0004"})
	devices := []Device{{Key: "1-1.2", Policy: Free}, {Key: "1-1.3", Policy: Never}}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan error)
		go func() { asked <- RequestCycle(t.Context(), dir, "1-1.2") }()
		synctest.Wait()
		for _, name := range []string{"1-1.3", "1-1.4", "junk"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p := Power{Sys: sys}
		err := p.ServeRequests(t.Context(), dir, devices)
		for _, socket := range []string{"1-1.3", "1-1.4", "junk"} {
			if err == nil || !strings.Contains(err.Error(), `"`+socket+`"`) {
				t.Errorf("%s was not refused: %v", socket, err)
			}
		}
		if err := <-asked; err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left are %v", left)
		}

		limited, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := RequestCycle(limited, dir, "1-1.2"); err == nil || !strings.Contains(err.Error(), "gatewayd-usb.path") {
			t.Errorf("nobody serves: %v", err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Error("a request that nobody took is left for later")
		}
	})
}

// The folder belongs to the one who asks: a link in its place leads root nowhere.
func TestRequestsBehindALink(t *testing.T) {
	elsewhere, dir := t.TempDir(), filepath.Join(t.TempDir(), "usb")
	precious := filepath.Join(elsewhere, "passwd")
	if err := errors.Join(os.WriteFile(precious, nil, 0o600), os.Symlink(elsewhere, dir)); err != nil {
		t.Fatal(err)
	}
	if err := (Power{Sys: t.TempDir()}).ServeRequests(t.Context(), dir, nil); err == nil {
		t.Error("a link was followed")
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

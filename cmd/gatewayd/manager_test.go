package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/db"
)

// told is what a service manager hears.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (t *told) tell(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
}

func (t *told) count(start string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.lines {
		if strings.HasPrefix(l, start) {
			n++
		}
	}
	return n
}

func (t *told) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lines)
}

// watched runs a manager in virtual time.
func watched(t *testing.T, set func(*manager), story func(*manager, *told, *logged)) {
	synctest.Test(t, func(t *testing.T) {
		heard, log := &told{}, &logged{}
		m := &manager{
			ready: func(context.Context) error { return nil }, alive: func() error { return nil },
			standing: func() string { return "1 of 1 modems ready, 0 waiting" },
			log:      slog.New(slog.NewTextHandler(log, nil)), watchdog: time.Minute, tell: heard.tell,
		}
		set(m)
		end := m.during(t.Context())
		story(m, heard, log)
		end()
		lines := heard.all()
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, "STOPPING=1") {
			t.Errorf("the last line is %q", last)
		}
	})
}

// logged is a log to read in.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) has(words string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), words)
}

// TestReadyIsToldWhenMessagesAreAccepted: not before, and not twice; a full disk
// does not keep the service from starting, for it would be started for ever.
func TestReadyIsToldWhenMessagesAreAccepted(t *testing.T) {
	var mu sync.Mutex
	state := errors.New("the database does not answer")
	set := func(err error) { mu.Lock(); defer mu.Unlock(); state = err }
	watched(t, func(m *manager) {
		m.ready = func(context.Context) error { mu.Lock(); defer mu.Unlock(); return state }
	}, func(m *manager, heard *told, _ *logged) {
		time.Sleep(time.Minute)
		if n := heard.count(""); n != 0 {
			t.Errorf("before it was ready: %q", heard.all())
		}
		set(nil)
		time.Sleep(time.Second)
		set(db.ErrDiskFull)
		time.Sleep(time.Minute)
		if heard.count("READY=1") != 1 || heard.count("STATUS=1 of 1 modems ready, 0 waiting") != 2 || heard.count("STATUS=1 of 1 modems ready, 0 waiting; no messages are accepted: the disk is full") != 1 {
			t.Errorf("%q", heard.all())
		}
	})
	watched(t, func(m *manager) { m.ready = func(context.Context) error { return db.ErrDiskFull } },
		func(m *manager, heard *told, _ *logged) {
			time.Sleep(time.Second)
			if heard.count("READY=1") != 1 {
				t.Errorf("with a full disk: %q", heard.all())
			}
		})
}

// TestNoPulseFromStuckLoops: the pulse ends when a loop is stuck, or when the look
// at the loops hangs, and the log says so before the watchdog strikes.
func TestNoPulseFromStuckLoops(t *testing.T) {
	for name, look := range map[string]func(stuck <-chan struct{}) error{
		"the dispatcher has not moved for 45s": func(<-chan struct{}) error { return errors.New("the dispatcher has not moved for 45s") },
		"the look at them hangs":               func(stuck <-chan struct{}) error { <-stuck; return nil },
	} {
		broken, over := make(chan struct{}), make(chan struct{})
		watched(t, func(m *manager) {
			broken, over = make(chan struct{}), make(chan struct{})
			m.alive = func() error {
				select {
				case <-broken:
					return look(over)
				default:
					return nil
				}
			}
		}, func(m *manager, heard *told, log *logged) {
			time.Sleep(10 * time.Minute)
			before := heard.count("WATCHDOG=1")
			if before < 20 {
				t.Errorf("%d pulses in ten minutes, with a watchdog of one", before)
			}
			close(broken)
			time.Sleep(59 * time.Second)
			if n := heard.count("WATCHDOG=1"); n > before+1 {
				t.Errorf("%d pulses of a stuck gateway", n-before)
			}
			if !log.has(name) || heard.count("STATUS=Stuck: ") == 0 {
				t.Errorf("it is not said: %q", heard.all())
			}
			close(over)
		})
	}
}

// TestServiceManagerIsTold goes through the socket that systemd names.
func TestServiceManagerIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "60000000")
	t.Setenv("WATCHDOG_PID", "")
	m := newManager(slog.New(slog.DiscardHandler))
	if m.watchdog != time.Minute {
		t.Errorf("the watchdog is %s", m.watchdog)
	}
	m.reload()()
	var heard []string
	for range 2 {
		b := make([]byte, 1000)
		_ = socket.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := socket.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, string(b[:n]))
	}
	if !strings.HasPrefix(heard[0], "RELOADING=1\nMONOTONIC_USEC=") || heard[1] != "READY=1" {
		t.Errorf("%q", heard)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	m = newManager(slog.New(slog.DiscardHandler))
	m.during(t.Context())()
	m.reload()()
}

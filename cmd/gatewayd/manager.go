package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"gatewayd/db"
)

// manager keeps the service manager told: systemd, or whatever else sets
// NOTIFY_SOCKET. Without one it does nothing.
type manager struct {
	ready    func(context.Context) error // nil: messages are accepted
	alive    func() error                // nil: the loops live; else which one is stuck
	standing func() string
	log      *slog.Logger
	// The process is ended when no pulse comes for so long; 0: it is not watched.
	watchdog time.Duration
	tell     func(string) // sends a line; nil: there is nobody
}

// newManager reads what the service manager has left in the environment.
func newManager(log *slog.Logger) *manager {
	m := &manager{log: log}
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return m
	}
	m.tell = func(line string) {
		if _, err := systemd.SdNotify(false, line); err != nil {
			log.Warn("the service manager can't be told", "what", line, "error", err)
		}
	}
	var err error
	if m.watchdog, err = systemd.SdWatchdogEnabled(false); err != nil {
		log.Warn("the service manager's watchdog is not fed: what it asks for can't be read", "error", err)
	}
	return m
}

const (
	askReady    = 100 * time.Millisecond // how often it is looked whether messages are accepted
	askStanding = 10 * time.Second       // and what the status line says
)

// during keeps the service manager told until what it returns is called.
func (m *manager) during(ctx context.Context) (end func()) {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); m.run(ctx) }()
	return func() { stop(); <-ended }
}

// run tells when the gateway is ready and how it stands, and gives the pulse, until
// the context ends.
func (m *manager) run(ctx context.Context) {
	if m.tell == nil {
		return
	}
	if !m.started(ctx) {
		m.tell(systemd.SdNotifyStopping)
		return
	}
	said := ""
	say := func() {
		if s := "STATUS=" + m.sentence(ctx); s != said {
			m.tell(strings.ReplaceAll(s, "\n", "; ")) // a line of its own would be another variable
			said = s
		}
	}
	m.tell(systemd.SdNotifyReady)
	say()
	status := time.NewTicker(askStanding)
	defer status.Stop()
	var pulse <-chan time.Time
	if m.watchdog > 0 {
		t := time.NewTicker(m.watchdog / 4)
		defer t.Stop()
		pulse = t.C
		m.beat()
	}
	for {
		select {
		case <-ctx.Done():
			m.tell(systemd.SdNotifyStopping + "\nSTATUS=Stopping: a part that is on the air ends first")
			return
		case <-status.C:
			say()
		case <-pulse:
			m.beat()
		}
	}
}

// started waits until messages are accepted. A disk that is full counts too:
// what was accepted goes out all the same, and to start again makes no room.
func (m *manager) started(ctx context.Context) bool {
	tick := time.NewTicker(askReady)
	defer tick.Stop()
	for {
		err := m.ready(ctx)
		if ctx.Err() != nil {
			return false
		}
		if err == nil || errors.Is(err, db.ErrDiskFull) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

func (m *manager) sentence(ctx context.Context) string {
	s := m.standing()
	if err := m.ready(ctx); err != nil && ctx.Err() == nil {
		s += "; no messages are accepted: " + err.Error()
	}
	return s
}

// beat gives a pulse if the loops live. A look that does not return is none.
func (m *manager) beat() {
	answer := make(chan error, 1)
	go func() { answer <- m.alive() }()
	wait := time.NewTimer(m.watchdog / 4)
	defer wait.Stop()
	var err error
	select {
	case err = <-answer:
	case <-wait.C:
		err = errors.New("whether the loops live can't be told: the look at them hangs")
	}
	if err == nil {
		m.tell(systemd.SdNotifyWatchdog)
		return
	}
	m.log.Error("no pulse for the watchdog: the service is started again unless this ends", "stuck", err, "watchdog", m.watchdog)
	m.tell("STATUS=Stuck: " + strings.ReplaceAll(err.Error(), "\n", "; "))
}

// reload tells that the configuration is read again, and, by what it returns, that
// it was.
func (m *manager) reload() (done func()) {
	if m.tell == nil {
		return func() {}
	}
	var now unix.Timespec
	line := systemd.SdNotifyReloading
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err == nil {
		line += "\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10) // Type=notify-reload wants it
	}
	m.tell(line)
	return func() { m.tell(systemd.SdNotifyReady) }
}

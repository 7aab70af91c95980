package ports

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"gatewayd/modem"
	"gatewayd/sim"
)

// fake is a serial port that is no modem's. It hears everything.
type fake struct {
	master *os.File
	slave  *os.File // held open, so that a program may close its end and come back

	mu    sync.Mutex
	heard bytes.Buffer
}

// fakePort puts a port into dev: it answers with reply, and says speech again
// and again.
func fakePort(t *testing.T, dev, tty, reply, speech string) *fake {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{master: master, slave: slave}
	if err := os.Symlink(slave.Name(), filepath.Join(dev, tty)); err != nil {
		t.Fatal(err)
	}
	plain(t, slave)
	var ended sync.WaitGroup
	stop := make(chan struct{})
	ended.Go(func() {
		b := make([]byte, 1024)
		for {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			f.mu.Lock()
			f.heard.Write(b[:n])
			f.mu.Unlock()
			if reply != "" && bytes.ContainsRune(b[:n], '\r') {
				_, _ = master.WriteString(reply)
			}
		}
	})
	if speech != "" {
		ended.Go(func() {
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					_, _ = master.WriteString(speech)
				case <-stop:
					return
				}
			}
		})
	}
	t.Cleanup(func() {
		close(stop)
		slave.Close()
		master.Close()
		ended.Wait()
	})
	return f
}

// plain takes the echo off, or the fake would talk to itself.
func plain(t *testing.T, tty *os.File) {
	t.Helper()
	termios, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err == nil {
		termios.Iflag, termios.Oflag, termios.Lflag = 0, 0, 0
		err = unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, termios)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fake) written() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard.String()
}

// On real serial ports, with flock, TIOCEXCL and all: a stick that no table
// knows, with a port of every bad kind.
func TestProbeOnPseudoTerminals(t *testing.T) {
	dev := t.TempDir()
	gps := fakePort(t, dev, "ttyUSB0", "", sentences)
	mute := fakePort(t, dev, "ttyUSB1", "", "")
	parrot := fakePort(t, dev, "ttyUSB2", "\r\nOK\r\n", "")
	noise := fakePort(t, dev, "ttyUSB4", "", strings.Repeat(frames, 4))
	net := sim.NewNetwork(sim.NetworkOptions{})
	defer net.Close()
	m := net.AddModem(sim.ModemOptions{})
	if _, err := m.OpenPTY(filepath.Join(dev, "ttyUSB3")); err != nil {
		t.Fatal(err)
	}
	tr := newTree()
	tr.plug(unknown(5))
	all, err := Scan(tr, dev)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	f, err := Probe(context.Background(), modem.OpenSerial, all[0])
	if took := time.Since(begin); err != nil || f.Port.Path != filepath.Join(dev, "ttyUSB3") || f.IMEI != m.IMEI() || took > 3*time.Second {
		t.Fatalf("%+v, %v after %s", f, err, took)
	}
	for name, p := range map[string]*fake{"GPS": gps, "mute": mute, "OK to all": parrot, "binary": noise} {
		if bad := forbidden.FindString(p.written()); bad != "" {
			t.Errorf("%s was written %q", name, p.written())
		}
	}
	// It was given back: another may have it.
	port, err := modem.OpenSerial(f.Port.Path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Inspect(context.Background(), modem.OpenSerial, f.Port.Path)
	if !errors.Is(err, modem.ErrBusy) {
		t.Errorf("%+v, %v on a port in use", c, err)
	}
	port.Close()
	if c, err = Inspect(context.Background(), modem.OpenSerial, f.Port.Path); err != nil {
		t.Fatal(err)
	}
	if ok, _, _ := c.CanSend(); !ok || c.Operator != "Simulated Net" || c.SMSC == "" || c.Signal == nil || c.Registration != "home" {
		t.Errorf("%+v", c)
	}
}

// Two equal sticks are told apart by their IMEIs, and after a replug with
// exchanged numbers each is found again.
func TestRenumberedAfterReplug(t *testing.T) {
	dev := t.TempDir()
	net := sim.NewNetwork(sim.NetworkOptions{})
	defer net.Close()
	a, b := net.AddModem(sim.ModemOptions{}), net.AddModem(sim.ModemOptions{})
	plug := func(first, second *sim.Modem) map[string]string {
		t.Helper()
		for tty, m := range map[string]*sim.Modem{"ttyUSB2": first, "ttyUSB5": second} {
			path := filepath.Join(dev, tty)
			_ = os.Remove(path)
			if err := os.Symlink(m.Port(), path); err != nil {
				t.Fatal(err)
			}
		}
		tr := newTree()
		tr.plug(e1750.with("1-1.2", 0), e1750.with("1-1.3", 3))
		all, err := Scan(tr, dev)
		if err != nil || len(all) != 2 {
			t.Fatalf("%v, %v", all, err)
		}
		found := map[string]string{}
		for _, d := range all {
			f, err := Probe(context.Background(), modem.OpenSerial, d)
			if err != nil {
				t.Fatal(err)
			}
			found[Name(f.IMEI, d.Key, nil)] = f.Port.Name
		}
		return found
	}
	for _, m := range []*sim.Modem{a, b} {
		if _, err := m.OpenPTY(""); err != nil {
			t.Fatal(err)
		}
	}
	one, two := Name(a.IMEI(), "", nil), Name(b.IMEI(), "", nil)
	if got := plug(a, b); len(got) != 2 || got[one] != "ttyUSB2" || got[two] != "ttyUSB5" {
		t.Error(got)
	}
	for _, m := range []*sim.Modem{a, b} {
		m.Unplug()
		if err := m.Plug(); err != nil {
			t.Fatal(err)
		}
	}
	if got := plug(b, a); len(got) != 2 || got[one] != "ttyUSB5" || got[two] != "ttyUSB2" {
		t.Error(got)
	}
}

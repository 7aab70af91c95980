package modem_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"gatewayd/modem"
)

// openPTY opens a pseudo-terminal and, through a link, its serial end.
func openPTY(t *testing.T) (master *os.File, link string) {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	link = filepath.Join(t.TempDir(), "modem")
	if err := os.Symlink(slave.Name(), link); err != nil {
		t.Fatal(err)
	}
	// Held open, so that the line's settings outlive the port under test.
	t.Cleanup(func() { slave.Close(); master.Close() })
	return master, link
}

// Every byte passes unchanged, both ways: no echo, no flow control, no signals.
func TestSerialIsRaw(t *testing.T) {
	master, link := openPTY(t)
	port, err := modem.OpenSerial(link)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for name, ends := range map[string][2]io.ReadWriter{"to the modem": {port, master}, "from the modem": {master, port}} {
		if _, err := ends[0].Write(all); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 256)
		if _, err := io.ReadFull(ends[1], got); err != nil || !bytes.Equal(got, all) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	f, err := os.Open(link)
	if err != nil {
		if !errors.Is(err, unix.EBUSY) { // TIOCEXCL keeps ordinary users out
			t.Fatal(err)
		}
		return
	}
	defer f.Close()
	tio, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil || tio.Cflag&unix.CRTSCTS != 0 || tio.Cflag&unix.CLOCAL == 0 {
		t.Errorf("%+v, %v", tio, err)
	}
}

func TestSerialIsExclusive(t *testing.T) {
	_, link := openPTY(t)
	port, err := modem.OpenSerial(link)
	if err != nil {
		t.Fatal(err)
	}
	_, err = modem.OpenSerial(link)
	if !errors.Is(err, modem.ErrBusy) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), link) {
		t.Errorf("opened twice: %v", err)
	}
	if err := port.Close(); err != nil {
		t.Fatal(err)
	}
	port, err = modem.OpenSerial(link)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	port.Close()

	// Another program that takes the lock, as gammu does.
	f, err := os.OpenFile(link, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if _, err := modem.OpenSerial(link); !errors.Is(err, modem.ErrBusy) {
		t.Errorf("locked by another: %v", err)
	}
}

// What came before the port was opened is no answer to anything.
func TestSerialForgetsWhatWasUnread(t *testing.T) {
	master, link := openPTY(t)
	port, err := modem.OpenSerial(link) // makes the line raw
	if err != nil {
		t.Fatal(err)
	}
	port.Close()
	if _, err := master.WriteString("+CMGS: 7\r\nOK\r\n"); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(link, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	within(t, "the line", func() {
		for n := 0; n == 0; {
			if n, err = unix.IoctlGetInt(int(slave.Fd()), unix.TIOCINQ); err != nil {
				t.Error(err)
				return
			}
		}
	})
	if port, err = modem.OpenSerial(link); err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	if _, err := master.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 3)
	if _, err := io.ReadFull(port, got); err != nil || string(got) != "new" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestSerialErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := modem.OpenSerial(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	for _, path := range []string{file, dir, os.DevNull} {
		_, err := modem.OpenSerial(path)
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, modem.ErrBusy) || !strings.Contains(err.Error(), "not a serial port") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatalf("%s did not end", what)
	}
}

func TestSerialCloseWakesEverybody(t *testing.T) {
	_, link := openPTY(t)
	port, err := modem.OpenSerial(link)
	if err != nil {
		t.Fatal(err)
	}
	read, wrote := make(chan error, 1), make(chan error, 1)
	go func() { _, err := port.Read(make([]byte, 1)); read <- err }()
	go func() {
		for { // nobody reads: it must block at some time
			if _, err := port.Write(make([]byte, 4096)); err != nil {
				wrote <- err
				return
			}
		}
	}()
	within(t, "Close", func() {
		if err := port.Close(); err != nil {
			t.Error(err)
		}
	})
	within(t, "Read and Write", func() {
		if err := <-read; err == nil {
			t.Error("Read gave no error")
		}
		<-wrote
	})
}

func TestSerialUnplugged(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	port, err := modem.OpenSerial(slave.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	slave.Close()
	master.Close()
	within(t, "Read", func() {
		if n, err := port.Read(make([]byte, 1)); err == nil {
			t.Errorf("%d bytes from a port that is gone", n)
		}
	})
}

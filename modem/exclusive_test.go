//go:build e2e

package modem_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gatewayd/modem"
	"gatewayd/sim"
)

// gammu and we keep off each other's ports, as root too, whom TIOCEXCL does
// not stop: both take the lock.
func TestSerialIsExclusiveToGammu(t *testing.T) {
	n := sim.NewNetwork(sim.NetworkOptions{})
	t.Cleanup(n.Close)
	m := n.AddModem(sim.ModemOptions{})
	dir := t.TempDir()
	link, err := m.OpenPTY(filepath.Join(dir, "ttyUSB0"))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "rc")
	text := fmt.Sprintf("[gammu]\nport = %s\nconnection = at\n[smsd]\nservice = null\nlogfile = %s/log\n", link, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	ours, err := modem.OpenSerial(link)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "gammu", "-c", config, "identify").CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || ctx.Err() != nil {
		t.Errorf("gammu used a port that we hold: %v\n%s", err, out)
	}
	if got := m.Stats().Lines; got != 0 {
		t.Errorf("gammu gave %d commands to a modem that we hold", got)
	}
	if err := ours.Close(); err != nil {
		t.Fatal(err)
	}

	theirs := exec.Command("gammu-smsd", "-c", config)
	if err := theirs.Start(); err != nil {
		t.Fatalf("%v: scripts/ensure installs it, from Debian's package gammu-smsd", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = theirs.Wait() // it says that it was told to end
		close(ended)
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for m.Stats().Lines == 0 {
		select {
		case <-tick.C:
		case <-ended:
			t.Fatal("gammu-smsd ended")
		case <-ctx.Done():
			t.Fatal("gammu-smsd does not use the port")
		}
	}
	if port, err := modem.OpenSerial(link); !errors.Is(err, modem.ErrBusy) {
		if err == nil {
			port.Close()
		}
		t.Errorf("gammu-smsd holds the port, and we: %v", err)
	}
	_ = theirs.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-ctx.Done():
		_ = theirs.Process.Kill()
		t.Error("gammu-smsd did not end when told to")
	}
}

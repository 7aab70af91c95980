//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatewayd/sim"
	"gatewayd/sms"
)

// A modem that hangs, a client that follows the events and a receiver that never
// answers don't keep the daemon past its ten seconds.
func TestSIGTERMWhileAllHang(t *testing.T) {
	release := make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hook.Close()
	defer close(release)
	s := newSite(t, 2, fast(), "webhooks:\n  - {url: "+hook.URL+", secret: "+secret+", events: [\"*\"], allow_private: true}\n")
	s.start()
	s.modems[0].Fault(func(f *sim.Faults) { f.Silent = 1 })
	s.modems[1].Fault(func(f *sim.Faults) { f.Mute = true })
	req, err := http.NewRequest(http.MethodGet, s.base+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	m := s.post(phone, "on the air")
	s.until(m.ID, sms.Sending, 20*time.Second)
	if took := s.terminate(); took < 7*time.Second || took > 10*time.Second {
		t.Errorf("the daemon took %v to end", took)
	}
}

// At the prompt, the modem is left in command mode and the message with the next
// start.
func TestSIGTERMAtThePrompt(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	s.eventually("the modem is ready", 20*time.Second, func() bool { return s.modemsNow()["m1"].State == sms.Ready })
	s.modems[0].Fault(func(f *sim.Faults) { f.PromptDelay = time.Second })
	m := s.post(phone, "at the prompt")
	s.until(m.ID, sms.Sending, 20*time.Second)
	if took := s.terminate(); took > 5*time.Second {
		t.Errorf("the daemon took %v to end", took)
	}
	s.modems[0].Fault(func(f *sim.Faults) { f.PromptDelay = 0 })
	port, err := os.OpenFile(s.dir+"/m1", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := port.WriteString("AT\r"); err != nil {
		t.Fatal(err)
	}
	if err := port.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var heard []byte
	for b := make([]byte, 64); !bytes.Contains(heard, []byte("OK")); {
		n, err := port.Read(b)
		heard = append(heard, b[:n]...)
		if err != nil || bytes.Contains(heard, []byte(">")) {
			t.Fatalf("AT is answered %q, %v", heard, err)
		}
	}
	port.Close()
	s.start()
	if got := s.until(m.ID, sms.Delivered, 20*time.Second); got.PossibleDuplicate {
		t.Error("it counts as doubtful")
	}
	if n := len(s.net.Accepted()); n != 1 {
		t.Errorf("the network saw it %d times", n)
	}
}

// A signal while the daemon starts, at whatever moment, ends it as orderly, and
// the next start finds nothing amiss.
func TestSIGTERMWhileStarting(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	for wait := 40 * time.Millisecond; wait < 500*time.Millisecond; wait += 60 * time.Millisecond {
		cmd := exec.Command(binary, "run", "--config", s.config)
		var log bytes.Buffer
		cmd.Stderr = &log
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // the end is measured
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(wait) // the moment is what is tested
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err := cmd.Wait()
		var exit *exec.ExitError
		early := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM && log.Len() == 0
		if err != nil && !early || time.Since(start) > 5*time.Second || strings.Contains(log.String(), "ERROR") {
			t.Errorf("after %v: %v in %v\n%s", wait, err, time.Since(start), log.String())
		}
	}
	s.start()
	s.until(s.post(phone, "x").ID, sms.Delivered, 20*time.Second)
	s.terminate()
}

// Whoever has no ten seconds sends the signal twice.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	s := newSite(t, 1, fast(), "")
	s.start()
	s.modems[0].Fault(func(f *sim.Faults) { f.Silent, f.Lost = 1, true })
	m := s.post(phone, "on the air")
	s.until(m.ID, sms.Sending, 20*time.Second)
	start := time.Now()
	for {
		if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			break
		}
		select {
		case <-s.ended:
		case <-time.After(300 * time.Millisecond):
			continue
		}
		break
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	s.cmd = nil
	s.start()
	s.until(m.ID, sms.Unconfirmed, 20*time.Second)
}

package gateway

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/sim"
	"gatewayd/sms"
)

// says asks a modem that nobody drives and returns what it answers within a second.
func (w *world) says(m *sim.Modem, line string) string {
	w.t.Helper()
	port, err := m.OpenPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	heard := make(chan []byte, 1)
	go func() {
		var all []byte
		b := make([]byte, 256)
		for {
			n, err := port.Read(b)
			all = append(all, b[:n]...)
			if err != nil {
				heard <- all
				return
			}
		}
	}()
	if _, err := port.Write([]byte(line + "\r")); err != nil {
		w.t.Error(err)
	}
	w.pass(time.Second)
	port.Close()
	return string(<-heard)
}

// An end at any moment of a part leaves the modem in command mode, and the next
// start goes on where it was.
func TestStoppedInTheMiddleOfAPart(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault sim.Faults
		after time.Duration
	}{
		{"before the prompt", sim.Faults{PromptDelay: time.Second}, 300 * time.Millisecond},
		{"at the prompt", sim.Faults{PromptDelay: time.Second, PromptDeaf: true}, 900 * time.Millisecond},
		{"on the air", sim.Faults{}, time.Second},
		{"without an answer", sim.Faults{Mute: true}, 300 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, 1, air(), func(w *world) {
				w.pass(10 * time.Second)
				w.modems[0].Fault(func(f *sim.Faults) { *f = c.fault })
				m := w.submit(phone, "part"+string(bytes.Repeat([]byte(" of it"), 50)))
				w.pass(c.after)
				start := time.Now()
				w.end()
				if took := time.Since(start); took > 4*time.Second {
					t.Errorf("the end took %v", took)
				}
				w.modems[0].Fault(func(f *sim.Faults) { *f = sim.Faults{} })
				if got := w.says(w.modems[0], "AT"); !bytes.Contains([]byte(got), []byte("OK")) {
					t.Errorf("AT is answered %q", got)
				}
				w.start()
				if got := w.until(m.ID, sms.Delivered, time.Minute); got.PossibleDuplicate {
					t.Error("it counts as doubtful")
				}
				if n := len(w.net.Accepted()); n != 2 {
					t.Errorf("the network had %d parts, want 2", n)
				}
			})
		})
	}
}

// Also where the answer to an earlier part may still come.
func TestStoppedAtThePromptBehindADoubtfulPart(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(10 * time.Second)
		w.modems[0].Fault(func(f *sim.Faults) { f.Silent = 1 })
		w.until(w.submit(phone, "doubtful").ID, sms.Unconfirmed, 2*time.Minute)
		w.pass(5 * time.Second)
		w.modems[0].Fault(func(f *sim.Faults) { *f = sim.Faults{PromptDelay: time.Second} })
		w.submit("+491700000002", "at the prompt")
		w.pass(300 * time.Millisecond)
		w.end()
		w.modems[0].Fault(func(f *sim.Faults) { *f = sim.Faults{} })
		w.pass(2 * time.Second)
		if got := w.says(w.modems[0], "AT"); !bytes.Contains([]byte(got), []byte("OK")) {
			t.Errorf("AT is answered %q", got)
		}
		w.start()
	})
}

// A session with the network is closed at the end.
func TestStoppedInAUSSDSession(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(10 * time.Second)
		w.modems[0].Fault(func(f *sim.Faults) { f.USSDSilent = 1 })
		asked := make(chan sms.USSDAnswer, 1)
		modem := w.g.modems.named("m1").modem
		go func() {
			answer, _ := modem.USSD(context.Background(), sms.USSD{Code: "*100#"})
			asked <- answer
		}()
		w.pass(time.Second)
		start := time.Now()
		w.end()
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("the end took %v", took)
		}
		if got := <-asked; got.State != sms.USSDFailed {
			t.Errorf("whoever asked gets %+v", got)
		}
		w.start()
	})
}

// Clients that follow the events or send their request byte by byte hold up no end.
func TestHangingClients(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	g, err := New(ctx, Options{DataDir: t.TempDir(), Listener: l})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := g.Keys().Create(ctx, "k", []auth.Scope{auth.Admin}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	req, err := http.NewRequest(http.MethodGet, "http://"+l.Addr().String()+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	slow, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := slow.Write([]byte("POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > lastRequests+time.Second {
		t.Errorf("the end took %v", took)
	}
}

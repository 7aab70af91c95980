package modem_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem"
	"gatewayd/sim"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// onSim is a driver on a simulated modem.
type onSim struct {
	t     *testing.T
	net   *sim.Network
	dev   *sim.Modem
	m     *modem.Modem
	box   *box
	inbox *inbox
	seen  []sms.ModemState
	stop  func()
}

func drive(t *testing.T, no sim.NetworkOptions, mo sim.ModemOptions, change func(*modem.Options)) *onSim {
	t.Helper()
	s := &onSim{t: t, box: newBox(), inbox: &inbox{}}
	s.net = sim.NewNetwork(no)
	if testing.Verbose() {
		mo.Trace = t.Output()
	}
	s.dev = s.net.AddModem(mo)
	o := modem.Options{
		Name: "one", Port: "/dev/ttyUSB2", Outbox: s.box, Inbox: s.inbox,
		Open:    func(context.Context) (io.ReadWriteCloser, error) { return s.dev.OpenPipe() },
		OnState: func(m sms.Modem) { s.seen = append(s.seen, m.State) },
		Log:     slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&o)
	}
	s.m = modem.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.m.Run(ctx) }()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		s.net.Close()
	}
	return s
}

// overPTY is a driver on a serial port, in real time.
func overPTY(t *testing.T, path string) *onSim {
	s := &onSim{t: t, box: newBox(), inbox: &inbox{}}
	s.m = modem.New(modem.Options{
		Name: "one", Port: path, Outbox: s.box, Inbox: s.inbox, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Open: func(context.Context) (io.ReadWriteCloser, error) { return modem.OpenSerial(path) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.m.Run(ctx) }()
	s.stop = func() { cancel(); <-done }
	return s
}

// until waits in virtual time for a condition.
func (s *onSim) until(what string, limit time.Duration, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		synctest.Wait()
		if ok() {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	s.t.Fatalf("%s: not within %s; state %+v", what, limit, s.m.Snapshot())
}

func (s *onSim) state(want sms.ModemState) {
	s.t.Helper()
	s.until("state "+string(want), 3*time.Minute, func() bool { return s.m.Snapshot().State == want })
}

var row int64

func text(t *testing.T, to, text string) []*modem.Part {
	t.Helper()
	tpdus, err := pdu.Submit{To: to, Text: text, Report: true, Ref: 7}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	row++
	var parts []*modem.Part
	for i, b := range tpdus {
		parts = append(parts, &modem.Part{Row: row, MessageID: "msg_" + text[:1], Number: i + 1, Total: len(tpdus), To: to, TPDU: b})
	}
	return parts
}

func TestSendsAndReceivesOnTheSimulator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := drive(t, sim.OnTheAir(), sim.ModemOptions{}, nil)
		defer s.stop()
		s.state(sms.Ready)
		s.box.add(text(t, "+491701234567", "Hello {€}")...)
		s.box.add(text(t, "+491701234568", "Again")...)
		s.until("both confirmed", time.Minute, func() bool { return len(s.box.booked()) == 2 })
		for i, o := range s.box.booked() {
			if o.Result != modem.Confirmed || o.MR != i+1 {
				t.Errorf("outcome %d is %+v", i, o)
			}
		}
		if got := s.net.Handset("+491701234567").Received(); len(got) != 1 || got[0] != "Hello {€}" {
			t.Errorf("the handset shows %q", got)
		}
		s.until("two reports", time.Minute, func() bool { return len(s.inbox.all()) == 2 })
		if err := s.net.Handset("+491701234567").Send(s.dev.Number(), "Answer"); err != nil {
			t.Fatal(err)
		}
		s.until("the answer", time.Minute, func() bool { return len(s.inbox.all()) == 3 })
		d, _, err := pdu.Decode(s.inbox.all()[2].PDU)
		if err != nil || d == nil || d.From != "+491701234567" {
			t.Errorf("received %+v, %v", d, err)
		}
		snap := s.m.Snapshot()
		if snap.Counters.PartsSent != 2 || snap.Counters.Received != 1 || snap.Counters.Reports != 2 || snap.Registration != "home" ||
			snap.Operator != "Simulated Net" || snap.Technology != "LTE" || snap.Signal == nil || snap.Signal.DBm != -71 || snap.ICCID == "" {
			t.Errorf("the picture is %+v, signal %+v, counters %+v", snap, snap.Signal, snap.Counters)
		}
	})
}

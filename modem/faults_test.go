package modem_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem"
	"gatewayd/sim"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// checkPromises compares what the driver said against what the network has: confirmed
// means accepted, under that reference; not sent and refused mean not accepted;
// nothing was accepted twice.
func (s *onSim) checkPromises(parts []*modem.Part) {
	s.t.Helper()
	accepted := map[string][]sim.Submission{}
	for _, a := range s.net.Accepted() {
		accepted[string(a.TPDU)] = append(accepted[string(a.TPDU)], a)
	}
	for _, p := range parts {
		got := accepted[string(p.TPDU)]
		o, n := fate(s.box.booked(), p)
		switch {
		case len(got) > 1:
			s.t.Errorf("%s was accepted %d times", p.To, len(got))
		case n == 0:
			s.t.Errorf("%s has no outcome", p.To)
		case o.Result == modem.Confirmed && (len(got) != 1 || o.MR >= 0 && o.MR != int(got[0].MR)):
			s.t.Errorf("%s is confirmed under %d; the network has %+v", p.To, o.MR, got)
		case (o.Result == modem.Refused || o.Result == modem.NotSent) && len(got) != 0:
			s.t.Errorf("%s is %v (%v), and the network has it", p.To, o.Result, o.Err)
		}
	}
}

func texts(t *testing.T, n int) []*modem.Part {
	t.Helper()
	var all []*modem.Part
	for i := range n {
		all = append(all, text(t, fmt.Sprintf("+4917012345%02d", i), fmt.Sprintf("%d text", i))...)
	}
	return all
}

// Each fault strikes in the middle of traffic both ways. Whatever happens, the
// promises hold, every received message is stored, and the modem is ready again.
func TestEveryFaultOfTheSimulator(t *testing.T) {
	for name, c := range map[string]struct {
		fault    func(*sim.Faults)
		heal     func(*sim.Faults) // after a while
		overlaps bool
	}{
		"none":               {fault: func(*sim.Faults) {}},
		"late prompt":        {fault: func(f *sim.Faults) { f.PromptDelay = 5 * time.Second }},
		"very late prompt":   {fault: func(f *sim.Faults) { f.PromptDelay = 20 * time.Second }, heal: func(f *sim.Faults) { f.PromptDelay = 0 }, overlaps: true},
		"split prompt":       {fault: func(f *sim.Faults) { f.SplitPrompt = true }},
		"no prompt":          {fault: func(f *sim.Faults) { f.NoPrompt = 1 }},
		"deaf before prompt": {fault: func(f *sim.Faults) { f.PromptDeaf, f.PromptDelay = true, time.Second }},
		"silent":             {fault: func(f *sim.Faults) { f.Silent = 1 }, overlaps: true},
		"silent and lost":    {fault: func(f *sim.Faults) { f.Silent, f.Lost = 1, true }, overlaps: true},
		"silent twice":       {fault: func(f *sim.Faults) { f.Silent = 2 }, overlaps: true},
		"OK only":            {fault: func(f *sim.Faults) { f.OKOnly = 2 }},
		"OK only and lost":   {fault: func(f *sim.Faults) { f.OKOnly, f.Lost = 2, true }},
		"late":               {fault: func(f *sim.Faults) { f.Late, f.LateBy = 1, 70*time.Second }, overlaps: true},
		"late, detached":     {fault: func(f *sim.Faults) { f.Late, f.LateBy, f.LateDetached = 1, 61*time.Second, true }, overlaps: true},
		"slow":               {fault: func(f *sim.Faults) { f.Late, f.LateBy = 3, 30*time.Second }},
		"refused":            {fault: func(f *sim.Faults) { f.Reject, f.SendError = 1, "+CMS ERROR: 42" }},
		"refused thrice":     {fault: func(f *sim.Faults) { f.Reject, f.SendError = 3, "+CMS ERROR: 500" }},
		"no prompt, error":   {fault: func(f *sim.Faults) { f.RejectCommand, f.SendError = 1, "+CMS ERROR: 314" }},
		"report first":       {fault: func(f *sim.Faults) { f.ReportFirst = true }},
		"CR CR LF":           {fault: func(f *sim.Faults) { f.CRCRLF = true }},
		"echo":               {fault: func(f *sim.Faults) { f.KeepEcho = true }},
		"noise": {fault: func(f *sim.Faults) {
			f.Noise = []string{"^RSSI:18", "+CREG: 1", "RING", "^BOOT:27710117,0,0,0,75", "+CSQ: 20,99"}
		}},
		"flood":          {fault: func(f *sim.Faults) { f.Flood, f.Noise = 100*time.Millisecond, []string{"^BOOT:27710117,0,0,0,75"} }},
		"mute":           {fault: func(f *sim.Faults) { f.Mute = true }, heal: func(f *sim.Faults) { f.Mute = false }, overlaps: true},
		"blocked":        {fault: func(f *sim.Faults) { f.Block = true }, heal: func(f *sim.Faults) { f.Block = false }, overlaps: true},
		"slow CMGD":      {fault: func(f *sim.Faults) { f.Slow = map[string]time.Duration{"+CMGD": 7 * time.Second} }},
		"CMGD times out": {fault: func(f *sim.Faults) { f.Slow = map[string]time.Duration{"+CMGD": 15 * time.Second} }, heal: func(f *sim.Faults) { f.Slow = nil }, overlaps: true},
		"offered twice":  {fault: func(f *sim.Faults) { f.Duplicate = 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := drive(t, sim.OnTheAir(), sim.ModemOptions{}, nil)
				defer s.stop()
				s.state(sms.Ready)
				parts := texts(t, 8)
				s.box.add(parts[:2]...)
				s.until("two sent", time.Minute, func() bool { return len(s.box.booked()) == 2 })
				s.dev.Fault(c.fault)
				s.box.add(parts[2:]...)
				for i := range 3 {
					if err := s.net.Handset("+491709999999").Send(s.dev.Number(), fmt.Sprintf("in %d", i)); err != nil {
						t.Fatal(err)
					}
				}
				<-time.After(time.Minute)
				if c.heal != nil {
					s.dev.Fault(c.heal)
				}
				s.until("all settled", 30*time.Minute, func() bool {
					for _, p := range parts {
						if _, n := fate(s.box.booked(), p); n == 0 {
							return false
						}
					}
					return true
				})
				s.state(sms.Ready)
				<-time.After(10 * time.Minute)
				synctest.Wait()
				s.checkPromises(parts)
				if x := s.dev.Stats().Overlaps; x != 0 && !c.overlaps { // else the modem stayed busy beyond its time
					t.Errorf("wrote %d times while a command was under way", x)
				}
				in := map[string]bool{}
				for _, i := range s.inbox.all() {
					if d, _, _ := pdu.Decode(i.PDU); d != nil {
						text, _, _ := pdu.Join([]*pdu.Deliver{d})
						in[text] = true
					}
				}
				for i := range 3 {
					if !in[fmt.Sprintf("in %d", i)] {
						t.Errorf("received only %v", in)
					}
				}
				if len(s.dev.Stored("SM")) != 0 {
					t.Errorf("%d messages are left on the SIM", len(s.dev.Stored("SM")))
				}
			})
		})
	}
}

// Pulled and plugged in again at any moment, over and over.
func TestUnpluggedAtAnyMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := drive(t, sim.OnTheAir(), sim.ModemOptions{}, nil)
		defer s.stop()
		s.state(sms.Ready)
		random := rand.New(rand.NewPCG(1, 2))
		parts := texts(t, 60)
		for _, p := range parts {
			s.box.add(p)
			<-time.After(time.Duration(random.IntN(4000)) * time.Millisecond)
			if random.IntN(3) == 0 {
				s.dev.Unplug()
				<-time.After(time.Duration(random.IntN(3000)) * time.Millisecond)
				if err := s.dev.Plug(); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.until("all settled", 30*time.Minute, func() bool {
			for _, p := range parts {
				if _, n := fate(s.box.booked(), p); n == 0 {
					return false
				}
			}
			return true
		})
		s.state(sms.Ready)
		s.checkPromises(parts)
		confirmed := 0
		for _, o := range s.box.booked() {
			if o.Result == modem.Confirmed {
				confirmed++
			}
		}
		if confirmed < 30 {
			t.Errorf("only %d of %d were confirmed", confirmed, len(parts))
		}
	})
}

// The same modem behind a pseudo-terminal, opened as a real port is.
func TestOverAPseudoTerminal(t *testing.T) {
	net := sim.NewNetwork(sim.NetworkOptions{})
	defer net.Close()
	dev := net.AddModem(sim.ModemOptions{})
	path, err := dev.OpenPTY("")
	if err != nil {
		t.Fatal(err)
	}
	s := overPTY(t, path)
	defer s.stop()
	parts := texts(t, 20)
	s.box.add(parts...)
	confirmed := 0
	for range parts {
		for confirmed < len(parts) && len(s.box.booked()) <= confirmed {
			select {
			case <-s.box.changed:
			case <-time.After(30 * time.Second):
				t.Fatalf("only %d of %d in time; %+v", confirmed, len(parts), s.m.Snapshot())
			}
		}
		confirmed = len(s.box.booked())
	}
	for _, o := range s.box.booked() {
		if o.Result != modem.Confirmed {
			t.Errorf("%+v %v", o, o.Err)
		}
	}
	if n := len(net.Accepted()); n != len(parts) {
		t.Errorf("the network has %d", n)
	}
}

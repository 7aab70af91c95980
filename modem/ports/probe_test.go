package ports

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem"
	"gatewayd/modem/at"
	"gatewayd/modem/internal/script"
	"gatewayd/sim"
)

// probing is a device on a desk, in virtual time.
type probing struct {
	*desk
	net   *sim.Network
	modem *sim.Modem
}

func bubble(t *testing.T, o sim.ModemOptions, f func(t *testing.T, p *probing)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := sim.NewNetwork(sim.NetworkOptions{})
		defer n.Close()
		p := &probing{desk: newDesk(t), net: n, modem: n.AddModem(o)}
		f(t, p)
		p.streamers.Wait()
	})
}

func device(t *testing.T, u usb) Device {
	t.Helper()
	tr := newTree()
	tr.plug(u)
	return scan(t, tr)[0]
}

// probe tells how long it took, too.
func (p *probing) probe(d Device) (Found, time.Duration, error) {
	p.t.Helper()
	begin := time.Now()
	f, err := Probe(context.Background(), p.Open, d)
	return f, time.Since(begin), err
}

// unknown has n ttys, and no table knows which is which.
func unknown(n int) usb {
	u := usb{socket: "1-1.2", id: "2c7c:ffff", maker: "Quectel"}
	for i := range n {
		u.ifs = append(u.ifs, serial(i, vendorSpecific, "option", "ttyUSB"+string(rune('0'+i))))
	}
	return u
}

// Of a device that no table knows every port is asked, and the modem is found
// in time behind whatever the others do.
func TestFoundAmongStrangePorts(t *testing.T) {
	bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
		p.streams("ttyUSB0", sentences, time.Second)
		p.mute("ttyUSB1")
		p.parrot("ttyUSB2")
		p.sim("ttyUSB3", p.modem)
		p.streams("ttyUSB4", frames, 100*time.Millisecond)
		f, took, err := p.probe(device(t, unknown(5)))
		if err != nil || f.Port.Name != "ttyUSB3" || took > 3*time.Second {
			t.Fatalf("%+v, %v after %s", f, err, took)
		}
		if f.IMEI != p.modem.IMEI() || f.Manufacturer != "gatewayd" || f.Model != "Simulated Modem" || f.SIM != "READY" || len(f.ICCID) < 18 {
			t.Errorf("%+v", f.Identity)
		}
		p.check()
	})
}

// Of a known device only the port that ought to answer is opened.
func TestKnownPortsOnly(t *testing.T) {
	for name, c := range map[string]struct {
		usb usb
		tty string
	}{
		"Quectel EC25": {ec25, "ttyUSB2"}, "SIMCom SIM7600": {sim7600, "ttyUSB2"}, "SIMCom A7670": {a7670, "ttyUSB1"},
		"Sierra MC7455": {mc7455, "ttyUSB2"}, "Huawei E1750": {e1750, "ttyUSB2"}, "Huawei E3372": {e3372, "ttyUSB0"},
		"Huawei ME909u": {me909u, "ttyUSB2"}, "ZTE MF190": {mf190, "ttyUSB2"}, "ZTE MF626": {mf626, "ttyUSB2"}, "u-blox": {sara, "ttyACM0"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
				d := device(t, c.usb)
				for _, tty := range d.Ttys {
					p.parrot(tty.Name)
				}
				p.sim(c.tty, p.modem)
				f, took, err := p.probe(d)
				if err != nil || f.Port.Name != c.tty || took > time.Second {
					t.Fatalf("%+v, %v after %s", f, err, took)
				}
				p.check(c.tty)
			})
		})
	}
}

// A second command port stands in for the first, and still in time.
func TestSecondPortStandsIn(t *testing.T) {
	bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
		p.mute("ttyUSB2")
		p.sim("ttyUSB3", p.modem)
		f, took, err := p.probe(device(t, ec25))
		if err != nil || f.Port.Name != "ttyUSB3" || took > 3*time.Second {
			t.Fatalf("%+v, %v after %s", f, err, took)
		}
		p.check("ttyUSB2", "ttyUSB3")
	})
	// One that fails at once is not waited for.
	bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
		p.sim("ttyUSB3", p.modem)
		f, took, err := p.probe(device(t, ec25))
		if err != nil || f.Port.Name != "ttyUSB3" || took > time.Second {
			t.Fatalf("%+v, %v after %s", f, err, took)
		}
	})
}

// Whoever has a modem's command port has the modem: its other ports are left
// alone. A dial-up connection on the second port does not matter.
func TestBusy(t *testing.T) {
	busy := &BusyError{Path: "/dev/ttyUSB2", Holders: []Holder{{PID: 700, Program: "ModemManager", How: "open"}}}
	bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
		p.fails("ttyUSB2", busy)
		p.sim("ttyUSB3", p.modem)
		_, took, err := p.probe(device(t, ec25))
		if !errors.Is(err, modem.ErrBusy) || took > 0 || !strings.Contains(err.Error(), "ModemManager (process 700)") {
			t.Errorf("%v after %s", err, took)
		}
		p.check("ttyUSB2")
	})
	bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
		p.fails("ttyUSB3", busy)
		p.sim("ttyUSB2", p.modem)
		if f, _, err := p.probe(device(t, ec25)); err != nil || f.Port.Name != "ttyUSB2" {
			t.Errorf("%+v, %v", f, err)
		}
	})
}

// Of two ports that take messages the likelier is used, though it is slower.
func TestLikelierPortWins(t *testing.T) {
	bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
		p.sim("ttyUSB0", p.modem)
		p.modem.Fault(func(f *sim.Faults) { f.Slow = map[string]time.Duration{"+CGSN": 300 * time.Millisecond} })
		p.sim("ttyUSB1", p.net.AddModem(sim.ModemOptions{}))
		if f, took, err := p.probe(device(t, unknown(2))); err != nil || f.Port.Name != "ttyUSB0" || took > 2*time.Second {
			t.Errorf("%+v, %v after %s", f, err, took)
		}
		p.check()
	})
	// But not for ever.
	bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
		p.mute("ttyUSB0")
		p.sim("ttyUSB1", p.modem)
		f, took, err := p.probe(device(t, unknown(2)))
		if err != nil || f.Port.Name != "ttyUSB1" || took > 2*time.Second {
			t.Errorf("%+v, %v after %s", f, err, took)
		}
		if i := slices.IndexFunc(f.Attempts, func(a Attempt) bool { return a.Port.Name == "ttyUSB0" }); i < 0 || Why(f.Attempts[i].Err) != "another port was faster" {
			t.Errorf("%+v", f.Attempts)
		}
		p.check()
	})
}

// Each kind of port that is no modem's, by itself.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		put  func(p *probing)
		is   error
		why  string
		most time.Duration
	}{
		"mute":            {func(p *probing) { p.mute("ttyUSB0") }, at.ErrSilent, "nothing answers", 10 * time.Second},
		"OK to all":       {func(p *probing) { p.parrot("ttyUSB0") }, at.ErrParrot, "it answers AT, but no question", 10 * time.Second},
		"GPS":             {func(p *probing) { p.streams("ttyUSB0", sentences, time.Second) }, errGPS, "GPS", time.Second},
		"GPS, slow":       {func(p *probing) { p.streams("ttyUSB0", "$GNGGA,,,,,,0,,,,,,,,*78\r\n", time.Second) }, errGPS, "GPS", 2 * time.Second},
		"binary":          {func(p *probing) { p.streams("ttyUSB0", frames, 100*time.Millisecond) }, errNoise, "binary", time.Second},
		"no permission":   {func(p *probing) { p.fails("ttyUSB0", fs.ErrPermission) }, fs.ErrPermission, "no permission", 0},
		"gone":            {func(*probing) {}, fs.ErrNotExist, "went away", 0},
		"busy":            {func(p *probing) { p.fails("ttyUSB0", modem.ErrBusy) }, modem.ErrBusy, "another program", 0},
		"the wrong modem": {func(p *probing) { p.answers("ttyUSB0", landline) }, errNoSMS, "no question about messages", 10 * time.Second},
		"unplugged": {func(p *probing) {
			p.put("ttyUSB0", func() (io.ReadWriteCloser, error) {
				ours, theirs := script.NewWire()
				time.AfterFunc(300*time.Millisecond, theirs.Unplug)
				return ours, nil
			})
		}, at.ErrGone, "went away", 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
				c.put(p)
				f, took, err := p.probe(device(t, unknown(1)))
				var e *Error
				if !errors.As(err, &e) || !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.why) || took > c.most {
					t.Errorf("%+v, %v after %s", f, err, took)
				}
				p.check()
			})
		})
	}
}

// landline is a modem of telephone days: it has a name and no messages.
func landline(heard string) (string, bool) {
	switch heard {
	case "AT", "ATE0":
		return "\r\nOK\r\n", true
	case "AT+CGSN":
		return "\r\n123456789012345\r\n\r\nOK\r\n", true
	case "AT+CGMI":
		return "\r\nUSRobotics\r\n\r\nOK\r\n", true
	case "␛":
		return "", true
	}
	return "\r\nERROR\r\n", true
}

// After what makes a port none of ours, nothing more is written to it.
func TestStreamsAreLeftAlone(t *testing.T) {
	for _, what := range []string{sentences, strings.Repeat(frames, 10)} {
		bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
			p.streams("ttyUSB0", what, time.Second)
			p.mute("ttyUSB1")
			_, _, _ = p.probe(device(t, unknown(2)))
			if got, _ := p.written("ttyUSB0"); got != "\x1b\r" {
				t.Errorf("wrote %q", got)
			}
		})
	}
}

// A SIM that waits for its PIN, or none at all, makes it no less a modem; and
// no PIN is entered, whatever was configured elsewhere.
func TestSIMStates(t *testing.T) {
	bubble(t, sim.ModemOptions{PIN: "4711"}, func(t *testing.T, p *probing) {
		p.sim("ttyUSB2", p.modem)
		if f, _, err := p.probe(device(t, ec25)); err != nil || f.SIM != "SIM PIN" || f.IMEI == "" {
			t.Errorf("%+v, %v", f.Identity, err)
		}
		if p.modem.Stats().PINTries != 0 {
			t.Error("a PIN was entered")
		}
		p.check()
	})
	bubble(t, sim.ModemOptions{NoSIM: true}, func(t *testing.T, p *probing) {
		p.sim("ttyUSB2", p.modem)
		if f, _, err := p.probe(device(t, ec25)); err != nil || f.SIM != "none" || f.ICCID != "" || f.IMEI == "" {
			t.Errorf("%+v, %v", f.Identity, err)
		}
	})
}

// habits of modems that answer in their own way
func TestOddAnswers(t *testing.T) {
	odd := func(answers map[string]string) func(string) (string, bool) {
		return func(heard string) (string, bool) {
			if a, ok := answers[heard]; ok {
				return strings.ReplaceAll(a, "|", "\r\n"), true
			}
			return "", heard == "␛"
		}
	}
	const good = "|OK|"
	base := map[string]string{"AT": good, "ATE0": good, "AT+CMEE=1": good, "AT+CMEE?": "|+CMEE: 1||OK|", "AT+CGMI": "|huawei||OK|", "AT+CGMM": "|E173||OK|", "AT+CGSN": "|356938035643809||OK|",
		"AT+CPIN?": "|+CPIN: READY||OK|", "AT+CCID": "|COMMAND NOT SUPPORT|", "AT+ICCID": "|ERROR|", "AT+QCCID": "|ERROR|", "AT^ICCID?": "|ERROR|"}
	for name, c := range map[string]struct {
		change map[string]string
		want   Identity
	}{
		"plain":            {nil, Identity{"huawei", "E173", "356938035643809", "", "READY"}},
		"prefixes, quotes": {map[string]string{"AT+CGMI": "|+CGMI: \"ublox\"||OK|", "AT+CGMM": "|+CGMM: SARA||OK|", "AT+CGSN": "|+CGSN: \"356938035643809\"||OK|", "AT+CPIN?": "|+CPIN:READY||OK|"}, Identity{"ublox", "SARA", "356938035643809", "", "READY"}},
		"bare READY":       {map[string]string{"AT+CPIN?": "|READY|"}, Identity{"huawei", "E173", "356938035643809", "", "READY"}},
		"with SVN":         {map[string]string{"AT+CGSN": "|356938035643809/01||OK|"}, Identity{"huawei", "E173", "356938035643809", "", "READY"}},
		"only G":           {map[string]string{"AT+CGMI": "|ERROR|", "AT+GMI": "|huawei||OK|", "AT+CGSN": "|ERROR|", "AT+GSN": "|356938035643809||OK|"}, Identity{"huawei", "E173", "356938035643809", "", "READY"}},
		"ICCID, Huawei":    {map[string]string{"AT^ICCID?": "|^ICCID: 98942010101010101010||OK|"}, Identity{"huawei", "E173", "356938035643809", "89490201010101010101", "READY"}},
		"ICCID, Quectel":   {map[string]string{"AT+QCCID": "|+QCCID: 8949020000000000016F||OK|"}, Identity{"huawei", "E173", "356938035643809", "8949020000000000016", "READY"}},
		"URCs between":     {map[string]string{"AT+CGMI": "|^RSSI:18||^BOOT:27710117,0,0,0,75||huawei||OK|", "AT+CPIN?": "|+CREG: 1||^MODE:5,4||+CPIN: READY||OK|"}, Identity{"huawei", "E173", "356938035643809", "", "READY"}},
		"no SIM, CMEE 0":   {map[string]string{"AT+CPIN?": "|ERROR|", "AT+CMGF=?": "|+CMGF: (0,1)||OK|"}, Identity{"huawei", "E173", "356938035643809", "", ""}},
		"SIM failure":      {map[string]string{"AT+CPIN?": "|+CME ERROR: 13|"}, Identity{"huawei", "E173", "356938035643809", "", ""}},
		"positions on the AT port": {map[string]string{"AT": "|OK|$GPGGA,1||$GPGGA,1||$GPGGA,1|", "AT+CGSN": "|$GPGGA,1||356938035643809||OK|"},
			Identity{"huawei", "E173", "356938035643809", "", "READY"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
				answers := map[string]string{}
				for _, m := range []map[string]string{base, c.change} {
					for k, v := range m {
						answers[k] = v
					}
				}
				p.answers("ttyUSB0", odd(answers))
				f, took, err := p.probe(device(t, unknown(1)))
				if err != nil || f.Identity != c.want || took > 3*time.Second {
					t.Errorf("%+v, %v after %s, want %+v", f.Identity, err, took, c.want)
				}
				p.check()
			})
		})
	}
}

// A prompt that an earlier session left open swallows nothing of ours.
func TestOpenPrompt(t *testing.T) {
	bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
		rwc := p.modem.Pipe()
		if _, err := rwc.Write([]byte("AT+CMGF=0\rAT+CMGS=18\r")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		rwc.Close()
		p.sim("ttyUSB2", p.modem)
		if f, took, err := p.probe(device(t, ec25)); err != nil || f.IMEI != p.modem.IMEI() || took > 3*time.Second {
			t.Errorf("%+v, %v after %s", f.Identity, err, took)
		}
		if n := len(p.net.Accepted()); n != 0 {
			t.Errorf("%d messages were sent", n)
		}
	})
}

// The end of the context ends everything at once, also a write that hangs.
func TestProbeEndsWithItsContext(t *testing.T) {
	bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
		p.mute("ttyUSB0")
		p.put("ttyUSB1", func() (io.ReadWriteCloser, error) {
			ours, theirs := script.NewWire()
			theirs.Block()
			return ours, nil
		})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		begin := time.Now()
		_, err := Probe(ctx, p.Open, device(t, unknown(2)))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		p.check()
		if _, err := Probe(ctx, p.Open, device(t, unknown(2))); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A port that is deaf at first, as modems are while they start.
func TestLateToAnswer(t *testing.T) {
	bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
		p.modem.Fault(func(f *sim.Faults) { f.Mute = true })
		time.AfterFunc(3*time.Second, func() { p.modem.Fault(func(f *sim.Faults) { f.Mute = false }) })
		p.sim("ttyUSB0", p.modem)
		if f, took, err := p.probe(device(t, unknown(1))); err != nil || f.IMEI == "" || took > 6*time.Second {
			t.Errorf("%+v, %v after %s", f, err, took)
		}
	})
}

// What has no port to ask is told apart from what was asked in vain.
func TestNothingToAsk(t *testing.T) {
	bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
		for _, c := range []struct {
			usb  usb
			want string
		}{{hilinkStick, "network card"}, {disc("12d1:1446"), "CD-ROM"}, {ec25.bare(), "is not there"}} {
			if _, _, err := p.probe(device(t, c.usb)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		}
		p.check("")
	})
}

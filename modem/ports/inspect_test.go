package ports

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"gatewayd/modem/at"
	"gatewayd/sim"
	"gatewayd/sms"
)

func TestInspect(t *testing.T) {
	for name, c := range map[string]struct {
		options sim.ModemOptions
		change  func(m *sim.Modem)
		reason  string // "": it can send
	}{
		"ready":      {reason: ""},
		"roaming":    {change: func(m *sim.Modem) { m.SetRegistration(5) }},
		"no SIM":     {options: sim.ModemOptions{NoSIM: true}, reason: "no SIM"},
		"PIN":        {options: sim.ModemOptions{PIN: "4711"}, reason: "asks for its PIN"},
		"no SMSC":    {options: sim.ModemOptions{NoSMSC: true}, reason: "No service centre"},
		"denied":     {change: func(m *sim.Modem) { m.SetRegistration(3) }, reason: "refuses this SIM"},
		"searching":  {change: func(m *sim.Modem) { m.SetRegistration(2) }, reason: "not registered"},
		"nothing":    {change: func(m *sim.Modem) { m.SetRegistration(0) }, reason: "not registered"},
		"emergency":  {change: func(m *sim.Modem) { m.SetRegistration(8) }, reason: "emergency calls only"},
		"EPS only":   {change: func(m *sim.Modem) { m.SetRadio(func(r *sim.Radio) { r.CS, r.PS = 2, 0 }) }},
		"radio off":  {change: func(m *sim.Modem) { command(m, "AT+CFUN=4") }, reason: "radio is off"},
		"PUK":        {options: sim.ModemOptions{PIN: "4711"}, change: func(m *sim.Modem) { command(m, `AT+CPIN="1"`, `AT+CPIN="1"`, `AT+CPIN="1"`) }, reason: "PUK"},
		"storage":    {options: sim.ModemOptions{SIMSlots: 10}},
		"names UCS2": {change: func(m *sim.Modem) { command(m, `AT+CSCS="UCS2"`) }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, c.options, func(t *testing.T, p *probing) {
				if c.change != nil {
					c.change(p.modem)
				}
				tries := p.modem.Stats().PINTries
				p.sim("ttyUSB2", p.modem)
				got, err := Inspect(context.Background(), p.Open, "/dev/ttyUSB2")
				if err != nil {
					t.Fatal(err)
				}
				ok, reason, advice := got.CanSend()
				if ok != (c.reason == "") || !strings.Contains(reason, c.reason) || ok != (advice == "") {
					t.Errorf("%v %q %q of %+v", ok, reason, advice, got)
				}
				if ok && (got.Operator != "Simulated Net" || got.SMSC != "+491710000000" || *got.Signal != sms.Signal{DBm: -71, Percent: 68, Quality: "good"}) {
					t.Errorf("%+v %+v", got, got.Signal)
				}
				if name == "storage" && *got.Storage != (Usage{0, 10}) {
					t.Errorf("%+v", got.Storage)
				}
				if p.modem.Stats().PINTries != tries {
					t.Error("a PIN was entered")
				}
				p.check()
			})
		})
	}
}

// command runs commands on a modem before the test begins.
func command(m *sim.Modem, lines ...string) {
	rwc := m.Pipe()
	defer rwc.Close()
	for _, l := range lines {
		_, _ = rwc.Write([]byte(l + "\r"))
		<-time.After(time.Second)
	}
}

func TestInspectOfWhatIsNoModem(t *testing.T) {
	bubble(t, sim.ModemOptions{}, func(t *testing.T, p *probing) {
		p.parrot("ttyUSB0")
		if _, err := Inspect(context.Background(), p.Open, "/dev/ttyUSB0"); !errors.Is(err, at.ErrParrot) {
			t.Error(err)
		}
		if _, err := Inspect(context.Background(), p.Open, "/dev/ttyUSB9"); err == nil {
			t.Error("a port that is not there")
		}
		p.check()
	})
}

func TestSignalScales(t *testing.T) {
	for s, want := range map[string]*sms.Signal{
		"0,99": {DBm: -113, Percent: 0, Quality: "none"}, "4,0": {DBm: -105, Percent: 13, Quality: "poor"}, "7,99": {DBm: -99, Percent: 23, Quality: "fair"},
		"31,99": {DBm: -51, Percent: 100, Quality: "good"}, "99,99": nil, "150,99": {DBm: -66, Percent: 74, Quality: "good"}, "199,99": nil, "x": nil, "": nil,
	} {
		got := signal(s)
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%q: %+v, want %+v", s, got, want)
		}
	}
}

func TestTextAsHex(t *testing.T) {
	for s, want := range map[string]string{
		"002B003400390031": "+491", "041C0422042104": "041C0422042104", "041C04220421": "МТС", "08112233": "08112233", "Telekom.de": "Telekom.de",
		"4917100000000": "4917100000000", "deadbeef": "deadbeef", "00310032": "12",
	} {
		if got := fromUCS2(s); got != want {
			t.Errorf("%s: %q, want %q", s, got, want)
		}
	}
}

func TestNumbersInAnswers(t *testing.T) {
	for s, want := range map[string]string{
		"356938035643809": "356938035643809", `+CGSN: "356938035643809"`: "356938035643809", "35693803564380": "35693803564380",
		"+CGSN: 3569380356438099": "3569380356438099", "356938035643809,00": "356938035643809", "12345": "", "OK": "", "": "", "35693803564380x": "",
	} {
		if got := imei(s); got != want {
			t.Errorf("IMEI in %q: %q, want %q", s, got, want)
		}
	}
	for s, want := range map[string]string{
		"+CCID: 89490200001234567890": "89490200001234567890", `+CCID: "8949020000123456789F"`: "8949020000123456789", "^ICCID: 98942000002143658709": "89490200001234567890",
		"89490200001234567890": "89490200001234567890", "+CCID: 1234": "", "": "", "deadbeefdeadbeefdead": "", "89ABCDEF89ABCDEF89AB": "",
	} {
		if got := iccid(s); got != want {
			t.Errorf("ICCID in %q: %q, want %q", s, got, want)
		}
	}
}

package modem_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem"
	"gatewayd/sim"
	"gatewayd/sms"
)

// withCalls runs f with a modem that hangs up, or with ring does not.
func withCalls(t *testing.T, ring bool, f func(r *rig, calls func(n int) []sms.Call)) {
	t.Helper()
	var told []sms.Call
	with(t, map[string]string{"AT+CHUP": "OK", "ATH": "OK"}, func(o *modem.Options) {
		o.Ring = func() bool { return ring }
		o.OnCall = func(c sms.Call) { told = append(told, c) }
	}, func(r *rig) {
		r.state(sms.Ready)
		f(r, func(n int) []sms.Call {
			t.Helper()
			synctest.Wait()
			if len(told) != n {
				t.Fatalf("%d calls were told, want %d: %+v", len(told), n, told)
			}
			return told
		})
	})
}

// However often it rings, it is one call.
func TestRingsAreOneCall(t *testing.T) {
	withCalls(t, true, func(r *rig, calls func(int) []sms.Call) {
		for range 6 {
			r.say("RING", `+CLIP: "+491701112222",145,"",0,"",0`)
			time.Sleep(5 * time.Second)
		}
		c := calls(1)[0]
		if c.From != "+491701112222" || c.Modem != "one" || c.To != "one" || c.HungUp || c.SIM != "89490200001234567890" {
			t.Errorf("%+v", c)
		}
		r.say("NO CARRIER")
		time.Sleep(time.Second)
		r.say("RING", `+CLIP: "+491701112222",145`)
		calls(2)
		time.Sleep(20 * time.Second) // its end is not told
		r.say("+CRING: VOICE", `+CLIP: "491703334444",145`)
		if got := calls(3)[2].From; got != "+491703334444" {
			t.Errorf("from %q", got)
		}
	})
}

func TestWhoCalls(t *testing.T) {
	for name, c := range map[string]struct {
		say  []string
		from string
	}{
		"withheld":             {[]string{"RING", `+CLIP: "",128,,,,1`}, ""},
		"nothing known":        {[]string{"RING"}, ""},
		"number after a while": {[]string{"RING", "wait", "RING", `+CLIP: "0170111",129`}, "0170111"},
		"ended before it came": {[]string{"RING", "NO CARRIER"}, ""},
		"missed":               {[]string{"RING", "MISSED_CALL: 10:42AM 07712345678"}, "07712345678"},
		"missed, and no more":  {[]string{"MISSED_CALL: 10:42AM +447712345678"}, "+447712345678"},
		"told and missed":      {[]string{"RING", `+CLIP: "+4917",145`, "NO CARRIER", "MISSED_CALL: 10:42AM +4917"}, "+4917"},
		"only the number":      {[]string{`+CLIP: "+4917",145`}, "+4917"},
		"UCS2":                 {[]string{"RING", `+CLIP: "002B0034003900310037",145`}, "+4917"},
		"nonsense":             {[]string{"RING", `+CLIP: "a\"b;",145`}, ""},
		"unplugged":            {[]string{"RING", "unplug"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			withCalls(t, true, func(r *rig, calls func(int) []sms.Call) {
				for _, line := range c.say {
					switch line {
					case "wait":
						time.Sleep(5 * time.Second)
					case "unplug":
						synctest.Wait()
						r.modem().Wire().Unplug()
					default:
						r.say(line)
					}
				}
				time.Sleep(10 * time.Second)
				if got := calls(1)[0].From; got != c.from {
					t.Errorf("from %q, want %q", got, c.from)
				}
			})
		})
	}
}

// A call is told and then hung up; with ring it is let alone.
func TestCallsAreHungUp(t *testing.T) {
	withCalls(t, false, func(r *rig, calls func(int) []sms.Call) {
		r.knows("AT+CHUP", "-")
		r.say("RING", `+CLIP: "+491701112222",145`)
		r.hear("AT+CHUP")
		if !calls(1)[0].HungUp {
			t.Error("it is not said that it was hung up")
		}
		r.knows("ATH", "-")
		r.say("ERROR")
		r.hear("ATH") // what some know instead
		r.say("OK")
		r.modem().Quiet(20 * time.Second)
		// One that rings on is still one call, and is not hung up for ever.
		r.say("RING", `+CLIP: "+491701112222",145`)
		for i := range 6 {
			switch i {
			case 0, 2:
				r.hear("AT+CHUP")
				r.say("OK")
			case 1:
				r.hear("ATH")
				r.say("OK")
			}
			time.Sleep(5 * time.Second)
			r.say("RING")
		}
		calls(2)
		r.modem().Quiet(5 * time.Second)
	})
	withCalls(t, true, func(r *rig, calls func(int) []sms.Call) {
		r.knows("AT+CHUP", "-")
		r.say("RING", `+CLIP: "+491701112222",145`)
		r.modem().Quiet(time.Minute)
		calls(1)
	})
}

// A part on the air is not disturbed by a call, nor is its answer mistaken.
func TestCallWhileAPartIsOnTheAir(t *testing.T) {
	withCalls(t, false, func(r *rig, calls func(int) []sms.Call) {
		r.knows("AT+CHUP", "-")
		a, b := part("a", 1), part("b", 2)
		r.box.add(a, b)
		r.takes(a)
		r.say("RING", `+CLIP: "+491701112222",145`)
		calls(1)
		r.say("NO CARRIER", "BUSY", "+CMGS: 1", "OK")
		r.takes(b)
		r.say("RING", `+CLIP: "+491701112222",145`)
		r.say("+CMGS: 2", "OK")
		r.hear("AT+CHUP")
		r.say("NO CARRIER", "OK")
		calls(2)
		for _, o := range r.outcomes(2) {
			if o.Result != modem.Confirmed {
				t.Errorf("%+v", o)
			}
		}
	})
}

func TestCallersAreNotLogged(t *testing.T) {
	var log strings.Builder
	with(t, map[string]string{"AT+CHUP": "OK"}, func(o *modem.Options) { o.Log = infoLog(&log) }, func(r *rig) {
		r.state(sms.Ready)
		r.say("RING", `+CLIP: "+491701112222",145`, "NO CARRIER", "MISSED_CALL: 10:42AM 01701112222")
		time.Sleep(20 * time.Second)
		r.stop()
	})
	if s := log.String(); strings.Contains(s, "1701112222") || !strings.Contains(s, "incoming call") {
		t.Errorf("the log: %s", s)
	}
}

// The simulator's network: calls and USSD, between texts.
func TestCallsAndUSSDOnSimulator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []sms.Call
		s := drive(t, sim.OnTheAir(), sim.ModemOptions{Name: "one"}, func(o *modem.Options) {
			o.OnCall = func(c sms.Call) { told = append(told, c) }
		})
		defer s.stop()
		s.until("ready", time.Minute, func() bool { return s.m.Snapshot().State == sms.Ready })
		s.net.SetUSSD("*101#", sim.USSD{Text: "1 Guthaben\n2 Aufladen", Next: map[string]sim.USSD{"1": {Text: "Остаток 7,50 €", UCS2: true}}})
		s.dev.Ring("+491701112222")
		a, err := s.m.USSD(t.Context(), sms.USSD{Code: "*101#"})
		if err != nil || a.State != sms.USSDNeedsReply || a.Text != "1 Guthaben\n2 Aufladen" {
			t.Fatalf("%+v, %v", a, err)
		}
		a, err = s.m.USSD(t.Context(), sms.USSD{Reply: "1"})
		if err != nil || a.State != sms.USSDDone || a.Text != "Остаток 7,50 €" {
			t.Fatalf("%+v, %v", a, err)
		}
		a, err = s.m.USSD(t.Context(), sms.USSD{Code: "*999#"})
		if err != nil || a.State != sms.USSDFailed || !strings.Contains(a.Reason, "does not know this code") {
			t.Fatalf("%+v, %v", a, err)
		}
		synctest.Wait()
		if len(told) != 1 || told[0].From != "+491701112222" {
			t.Errorf("%+v", told)
		}
	})
}

// Every simulated family is asked as it wants to be asked.
func TestUSSDOfFamilies(t *testing.T) {
	for _, p := range sim.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := drive(t, sim.OnTheAir(), sim.ModemOptions{Name: "one", Profile: p}, nil)
				defer s.stop()
				s.until("ready", 2*time.Minute, func() bool { return s.m.Snapshot().State == sms.Ready })
				s.net.SetUSSD("*100#", sim.USSD{Text: "Guthaben:\n7,50 € [x]", Next: map[string]sim.USSD{"2": {Text: "Остаток", UCS2: true}}})
				for _, c := range []struct {
					step sms.USSD
					want string
				}{{sms.USSD{Code: "*100#"}, "Guthaben:\n7,50 € [x]"}, {sms.USSD{Reply: "2"}, "Остаток"}, {sms.USSD{Code: "*100#"}, "Guthaben:\n7,50 € [x]"}} {
					a, err := s.m.USSD(t.Context(), c.step)
					if err != nil || a.Text != c.want {
						t.Errorf("%+v: %+v, %v", c.step, a, err)
					}
				}
			})
		})
	}
}

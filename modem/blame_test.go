package modem_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatewayd/modem"
	"gatewayd/sms"
)

// results plays sends, one after the other: "a=ok b=28 c=cme13 d=ERROR e=-" are
// the recipients and what the modem answers, - is no answer. It returns the last
// outcome.
func (r *rig) results(steps string) modem.Outcome {
	r.t.Helper()
	for _, step := range strings.Fields(steps) {
		to, answer, _ := strings.Cut(step, "=")
		p := part(to, int64(len(r.box.booked())))
		n := len(r.box.booked())
		r.box.add(p)
		r.until(step+" begun", 2*time.Hour, func() bool { _, out := r.box.left(); return out == 1 })
		r.takes(p)
		switch {
		case answer == "ok":
			r.say("+CMGS: 1", "OK")
		case answer == "-":
		case strings.HasPrefix(answer, "cme"):
			r.say("+CME ERROR: " + answer[3:])
		case answer[0] >= '0' && answer[0] <= '9':
			r.say("+CMS ERROR: " + answer)
		default:
			r.say(strings.ReplaceAll(answer, "_", " "))
		}
		r.outcomes(n + 1)
	}
	all := r.box.booked()
	return all[len(all)-1]
}

// The same code for different recipients blames the SIM or the network, one
// recipient among successes that recipient.
func TestWhoIsToBlame(t *testing.T) {
	for name, c := range map[string]struct {
		results   string
		class     sms.Class
		elsewhere bool
		state     sms.ModemState
	}{
		"barred, first ever":            {"a=8", sms.Later, true, sms.Ready},
		"barred, again and again":       {"a=8 a=8 a=8 a=8 a=8 a=8", sms.Later, true, sms.Ready},
		"barred, two recipients":        {"a=8 b=8", sms.Account, false, sms.Parked},
		"barred, one after success":     {"a=ok b=28", sms.Later, true, sms.Ready},
		"barred, one among successes":   {"a=ok b=28 a=ok b=28", sms.Permanent, false, sms.Ready},
		"barred, two among successes":   {"a=ok b=29 a=ok c=29 a=ok b=29", sms.Permanent, false, sms.Ready},
		"credit gone after successes":   {"a=ok b=28 c=28", sms.Account, false, sms.Parked},
		"not subscribed":                {"a=50", sms.Account, false, sms.Parked},
		"not implemented, once":         {"a=69", sms.Later, true, sms.Ready},
		"not implemented, twice":        {"a=69 b=69", sms.Account, false, sms.Parked},
		"four rejections":               {"a=21 b=21 c=21 d=21", sms.Later, true, sms.Ready},
		"five rejections":               {"a=ok a=21 b=21 c=21 d=21 e=21", sms.Account, false, sms.Parked},
		"five of the same recipient":    {"a=38 a=38 a=38 a=38 a=38 a=38", sms.Later, true, sms.Ready},
		"rejections, interrupted":       {"a=38 b=38 c=38 d=38 e=ok a=38 b=38", sms.Later, true, sms.Ready},
		"rejections, another code":      {"a=38 b=38 c=38 d=38 e=42 f=38", sms.Later, true, sms.Ready},
		"out of order for many":         {"a=27 b=27 c=27 d=27 e=27 f=27", sms.Later, false, sms.Ready},
		"five dead numbers, new SIM":    {"a=1 b=1 c=1 d=1 e=1", sms.Account, false, sms.Parked},
		"five dead numbers, proven SIM": {"a=ok b=1 c=1 d=1 e=1 f=1", sms.Later, true, sms.Ready},
		"four dead numbers":             {"a=1 b=1 c=1 d=1", sms.Permanent, false, sms.Ready},
		"illegal MS, once":              {"a=cme103", sms.Later, true, sms.Ready},
		"not allowed, one recipient":    {"a=cme3", sms.Later, true, sms.Ready},
		"not allowed, two recipients":   {"a=cme3 b=cme3", sms.Account, false, sms.Parked},
		"command not known to it":       {"a=COMMAND_NOT_SUPPORT b=COMMAND_NOT_SUPPORT", sms.Account, false, sms.Parked},
		"SIM failure, first":            {"a=cme13", sms.Fault, true, ""},
		"SIM failure, after a restart":  {"a=cme13 b=cme13", sms.Account, false, sms.Parked},
		"SIM failure, the other set":    {"a=313 a=313", sms.Account, false, sms.Parked},
		"in words":                      {"a=+CMS_ERROR:_no_network_service", sms.Later, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			converse(t, func(r *rig) {
				o := r.results(c.results)
				if o.Err == nil || o.Err.Class != c.class || o.Elsewhere != c.elsewhere {
					t.Errorf("%+v, elsewhere %v", o.Err, o.Elsewhere)
				}
				r.until("state", time.Second, func() bool { return c.state == "" || r.m.Snapshot().State == c.state })
				if s := r.m.Snapshot(); s.State == sms.Parked && (s.Advice == "" || !strings.Contains(s.Reason, o.Err.Title) || o.After < 5*time.Minute) {
					t.Errorf("parked: %q, %q, %v", s.Reason, s.Advice, o.After)
				}
			})
		})
	}
}

// What lasts is the SIM's trouble, not what comes often at once.
func TestTroubleThatStays(t *testing.T) {
	converse(t, func(r *rig) {
		for range 4 {
			if o := r.results("a=cme103"); o.Err.Class != sms.Later {
				t.Fatalf("%+v", o.Err)
			}
		}
		<-time.After(11 * time.Minute)
		if o := r.results("a=cme103"); o.Err.Class != sms.Account {
			t.Errorf("%+v", o.Err)
		}
		r.state(sms.Parked)
	})
}

// What is known of a SIM outlives a restart of its modem's session, and ends
// with the SIM.
func TestRunsEndWithTheSIM(t *testing.T) {
	for iccid, want := range map[string]sms.Class{"89490200001234567890": sms.Account, "89490200009999999999": sms.Later} {
		converse(t, func(r *rig) {
			r.results("a=38 b=38 c=38 d=38")
			r.knows("AT+CCID", "+CCID: "+iccid+"|OK")
			r.m.Reset()
			r.until("opened again", time.Minute, func() bool { return opens(r) == 2 })
			r.state(sms.Ready)
			if o := r.results("e=38"); o.Err.Class != want {
				t.Errorf("with SIM %s: %+v", iccid, o.Err)
			}
		})
	}
}

// Class S never starts the modem afresh, whatever the row.
func TestSIMTroubleHealsNothing(t *testing.T) {
	for _, code := range []string{"50", "330", "316", "cme10", "cme12", "193"} {
		converse(t, func(r *rig) {
			base := len(r.modem().Wire().Writes())
			r.results(fmt.Sprintf("a=%[1]s b=%[1]s c=%[1]s d=%[1]s a=%[1]s", code))
			r.state(sms.Parked)
			if n := opens(r); n != 1 {
				t.Errorf("%s: opened %d times", code, n)
			}
			for _, w := range r.modem().Wire().Writes()[base:] {
				if strings.Contains(w, "CFUN") || strings.Contains(w, "ATZ") || strings.Contains(w, "RESET") || strings.Contains(w, "CPIN=") {
					t.Errorf("%s: wrote %q", code, w)
				}
			}
		})
	}
}

// One recipient's faults start the modem afresh once; a second one's again.
func TestFaultsOfOneRecipient(t *testing.T) {
	converse(t, func(r *rig) {
		r.results("a=500 a=500 a=500")
		r.until("opened again", time.Minute, func() bool { return opens(r) == 2 })
		r.results("a=500 a=500 a=500 b=ok a=500 a=500 a=500 a=500 a=500 a=500 b=ok")
		if n := opens(r); n != 2 {
			t.Errorf("opened %d times for one recipient", n)
		}
		r.results("a=500 b=ERROR a=500")
		r.until("opened again", time.Minute, func() bool { return opens(r) == 3 })
	})
}

// A congested network gets less and less from this SIM, and again all of it
// once it takes what it gets. One recipient's refusals slow nobody down.
func TestCongestionSlowsDown(t *testing.T) {
	converse(t, func(r *rig) {
		took := func(steps string) time.Duration {
			start := time.Now()
			r.results(steps)
			return time.Since(start)
		}
		if d := took("a=42 a=42 a=42 a=42 b=ok"); d > 2*time.Second {
			t.Errorf("one recipient's refusals slowed the modem down: %s", d)
		}
		for i, want := range []time.Duration{0, 0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second} {
			d := took(string(rune('a'+i)) + "=42")
			if d < want || d > 2*want+time.Second {
				t.Errorf("refusal %d came after %s, want %s and up to twice as much", i, d, want)
			}
		}
		s := r.m.Snapshot()
		if s.State != sms.Ready || !strings.Contains(s.Reason, "Congestion") || s.Advice == "" {
			t.Errorf("%s: %q, %q", s.State, s.Reason, s.Advice)
		}
		took("a=ok a=ok a=ok a=ok a=ok a=ok")
		if d := took("a=ok b=ok c=ok"); d > time.Second {
			t.Errorf("still slow: %s", d)
		}
		if d := took("a=332 b=332 c=332"); d < time.Second || d > 10*time.Second {
			t.Errorf("a network that does not answer is asked again within %s", d)
		}
		took("a=ok b=ok c=ok d=ok")
		r.until("no reason", time.Minute, func() bool { return r.m.Snapshot().Reason == "" })
	})
}

// What is done about an error before the next part.
func TestCures(t *testing.T) {
	for name, c := range map[string]struct {
		maker, answer string
		writes        string        // before the next part
		pause         time.Duration // until it
		plain         bool
		class         sms.Class
	}{
		"storage full":            {answer: "322", writes: "AT+CMGL=4", class: sms.Now},
		"SIM storage full":        {answer: "208", writes: "AT+CMGL=4", class: sms.Now},
		"full, of Quectel":        {maker: "Quectel", answer: "531", writes: "AT+CMGL=4", class: sms.Now},
		"link to be kept open":    {maker: "Quectel", answer: "528", writes: "AT+CMMS=0", class: sms.Now},
		"SIM busy":                {answer: "314", pause: 2 * time.Second, class: sms.Now},
		"SIM busy, CME":           {answer: "cme14", pause: 2 * time.Second, class: sms.Now},
		"not ready, of Quectel":   {maker: "Quectel", answer: "512", pause: 5 * time.Second, class: sms.Now},
		"right after its start":   {answer: "302", pause: 5 * time.Second, class: sms.Now},
		"no service":              {answer: "331", writes: "AT+CREG?", pause: 10 * time.Second, class: sms.Later},
		"validity period refused": {answer: "199", plain: true, class: sms.Permanent},
		"nothing":                 {answer: "41", class: sms.Now},
	} {
		t.Run(name, func(t *testing.T) {
			answers := map[string]string{"AT+CMMS=0": "OK"}
			if c.maker != "" {
				answers["AT+CGMI"] = c.maker + "|OK"
			}
			with(t, answers, nil, func(r *rig) {
				r.state(sms.Ready)
				base, start := len(r.modem().Wire().Writes()), time.Now()
				o := r.results("a=" + c.answer)
				if o.Err.Class != c.class || o.Plain != c.plain {
					t.Errorf("%+v, plain %v", o.Err, o.Plain)
				}
				r.results("b=ok")
				if d := time.Since(start); d < c.pause || d > c.pause+3*time.Second {
					t.Errorf("the next part came after %s, want %s", d, c.pause)
				}
				if w := strings.Join(r.modem().Wire().Writes()[base:], ""); c.writes != "" && !strings.Contains(w, c.writes+"\r") {
					t.Errorf("wrote %q", w)
				}
			})
		})
	}
}

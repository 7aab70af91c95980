package modem_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem"
	"gatewayd/sms"
)

func withPIN(o *modem.Options) { o.PIN = "4711" }

// Every state that bring-up can end in, each with words.
func TestStatesOfBringUp(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string]string
		state   sms.ModemState
		reason  string
		advice  string
	}{
		"no SIM":           {map[string]string{"AT+CPIN?": "+CME ERROR: 10"}, sms.NoSIM, "no SIM", "Put a SIM in"},
		"no SIM, in words": {map[string]string{"AT+CPIN?": "+CME ERROR: SIM not inserted"}, sms.NoSIM, "no SIM", ""},
		"no SIM, as CMS":   {map[string]string{"AT+CPIN?": "+CMS ERROR: 310"}, sms.NoSIM, "no SIM", ""},
		"SIM failure":      {map[string]string{"AT+CPIN?": "+CME ERROR: 13"}, sms.NoSIM, "can't be read", "phone"},
		"wrong SIM":        {map[string]string{"AT+CPIN?": "+CME ERROR: 15"}, sms.NoSIM, "refuses this SIM", ""},
		"PIN":              {map[string]string{"AT+CPIN?": "+CPIN: SIM PIN|OK"}, sms.PINRequired, "asks for its PIN", "Set pin"},
		"PIN, quoted":      {map[string]string{"AT+CPIN?": `+CPIN:"SIM PIN"|OK`}, sms.PINRequired, "asks for its PIN", ""},
		"PUK":              {map[string]string{"AT+CPIN?": "+CPIN: SIM PUK|OK"}, sms.PUKRequired, "PUK", "phone"},
		"network lock":     {map[string]string{"AT+CPIN?": "+CPIN: PH-NET PIN|OK"}, sms.PINRequired, "locked", "unlocked"},
		"searching":        {map[string]string{"AT+CREG?": "+CREG: 2,2|OK", "AT+CGREG?": "+CGREG: 2,0|OK"}, sms.Searching, "Not registered", "antenna"},
		"denied":           {map[string]string{"AT+CREG?": "+CREG: 2,3|OK", "AT+CGREG?": "+CGREG: 2,3|OK"}, sms.Denied, "refuses this SIM", "active"},
		"emergency only":   {map[string]string{"AT+CREG?": "+CREG: 2,8|OK", "AT+CGREG?": "+CGREG: 2,0|OK"}, sms.Searching, "emergency", ""},
		"no CPIN":          {map[string]string{"AT+CPIN?": "ERROR"}, sms.ModemFailed, "does not say whether a SIM", "another port"},
		"no PDU mode":      {map[string]string{"AT+CMGF=0": "ERROR"}, sms.ModemFailed, "PDU mode", "another port"},
		"no storage":       {map[string]string{"AT+CPMS=*": "+CMS ERROR: 302", "AT+CPMS=?": "-", `AT+CPMS="SM","SM","SM"`: "-"}, sms.ModemFailed, "storage", ""},
		"full storage":     {map[string]string{"AT+CPMS?": `+CPMS: "SM",30,30,"SM",30,30,"SM",30,30|OK`}, sms.StorageFull, "SM is full", ""},
		"ready, LTE only":  {map[string]string{"AT+CREG?": "+CREG: 2,2|OK", "AT+CGREG?": "+CGREG: 2,0|OK", "AT+CEREG?": "+CEREG: 2,5,\"1\",\"2\",7|OK"}, sms.Ready, "", ""},
		"ready, no READY":  {map[string]string{"AT+CPIN?": "READY"}, sms.Ready, "", ""},
		"ready, PIN2":      {map[string]string{"AT+CPIN?": "+CPIN: SIM PIN2|OK"}, sms.Ready, "", ""},
		"ready, one-value": {map[string]string{`AT+CPMS="SM","SM","SM"`: "ERROR", `AT+CPMS="SM","SM"`: "ERROR", `AT+CPMS="SM"`: "+CPMS: 0,30|OK"}, sms.Ready, "", ""},
		"ready, stored ME": {map[string]string{`AT+CPMS="SM*`: "ERROR", `AT+CPMS="SM","SM","SM"`: "-", `AT+CPMS="ME","ME","ME"`: "OK"}, sms.Ready, "", ""},
		"ready, refuses":   {map[string]string{"AT+CMEE=1": "ERROR", "AT+CMEE=2": "ERROR", "AT+CREG=2": "ERROR", "AT+CREG=1": "OK", "AT+CLIP=1": "ERROR", "AT+CSCA?": "ERROR", "AT+CNUM": "ERROR", "AT+CEREG=2": "ERROR", "AT+CEREG=1": "ERROR", "AT+CEREG=0": "ERROR", "AT+CEREG?": "ERROR"}, sms.Ready, "", ""},
		"ready, ds 1":      {map[string]string{"AT+CNMI=2,1,0,2,0": "ERROR", "AT+CNMI=1,1,0,2,0": "ERROR", "AT+CNMI=2,1,0,1,0": "OK", "AT+CNMI?": "+CNMI: 2,1,0,1,0|OK"}, sms.Ready, "", ""},
		"no announcing":    {map[string]string{"AT+CNMI=*": "ERROR", "AT+CNMI=2,1,0,2,0": "-", "AT+CSMS=1": "ERROR"}, sms.ModemFailed, "AT+CNMI", "another port"},
		"announcing ignored": {map[string]string{"AT+CNMI=*": "OK", "AT+CNMI?": "+CNMI: 0,0,0,0,0|OK", "AT+CSMS=1": "ERROR"},
			sms.ModemFailed, "AT+CNMI", ""},
		"parrot": {map[string]string{"AT+CGSN": "OK", "AT+CMEE?": "OK", "AT+CMGF?": "OK", "AT+CNMI?": "OK", "AT+CSMS?": "OK"}, sms.ModemFailed, "not the port that takes SMS", "other ports"},
		"mute":   {map[string]string{"AT": "-", "ATQ0V1E0": "-"}, sms.ModemFailed, "answers AT commands", "AT port"},
	} {
		t.Run(name, func(t *testing.T) {
			with(t, c.answers, nil, func(r *rig) {
				r.state(c.state)
				s := r.m.Snapshot()
				if !strings.Contains(s.Reason, c.reason) || !strings.Contains(s.Advice, c.advice) {
					t.Errorf("reason %q, advice %q", s.Reason, s.Advice)
				}
				if c.state != sms.Ready && (s.Reason == "" || s.Advice == "") {
					t.Error("no words")
				}
				// Looking again changes nothing and tells nothing.
				r.mu.Lock()
				told := len(r.states)
				r.mu.Unlock()
				<-time.After(3 * time.Minute)
				synctest.Wait()
				r.mu.Lock()
				defer r.mu.Unlock()
				if len(r.states) != told {
					t.Errorf("told again: %s %q", r.states[told].State, r.states[told].Reason)
				}
			})
		})
	}
}

func TestPortTroubles(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		state  sms.ModemState
		reason string
	}{
		"missing":    {fmt.Errorf("/dev/ttyUSB2: %w", fs.ErrNotExist), sms.Absent, "There is no port /dev/ttyUSB2"},
		"busy":       {fmt.Errorf("/dev/ttyUSB2: %w", modem.ErrBusy), sms.BusyElsewhere, "Another program holds /dev/ttyUSB2"},
		"permission": {fmt.Errorf("/dev/ttyUSB2: %w", fs.ErrPermission), sms.ModemFailed, "No permission"},
		"other":      {fmt.Errorf("/dev/ttyUSB2: weird"), sms.ModemFailed, "weird"},
	} {
		t.Run(name, func(t *testing.T) {
			with(t, nil, nil, func(r *rig) {
				r.mu.Lock()
				r.openErr = c.err
				r.mu.Unlock()
				r.m.Reset()
				r.until("state", time.Minute, func() bool { return r.m.Snapshot().State == c.state })
				if s := r.m.Snapshot(); !strings.Contains(s.Reason, c.reason) || s.Advice == "" {
					t.Errorf("%q, %q", s.Reason, s.Advice)
				}
				r.mu.Lock()
				r.openErr = nil
				r.mu.Unlock()
				r.state(sms.Ready)
			})
		})
	}
}

// entered counts how often a PIN was written.
func entered(r *rig) int {
	n := 0
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wires {
		for _, s := range w.Writes() {
			if strings.HasPrefix(s, "AT+CPIN=") {
				n++
			}
		}
	}
	return n
}

func TestPINIsEnteredOnce(t *testing.T) {
	// Right.
	with(t, map[string]string{"AT+CPIN?": "+CPIN: SIM PIN|OK", `AT+CPINR="SIM PIN"`: "+CPINR: SIM PIN,3,3|OK"}, withPIN, func(r *rig) {
		r.hear(`AT+CPIN="4711"`)
		r.knows("AT+CPIN?", "+CPIN: READY|OK")
		r.say("OK")
		r.state(sms.Ready)
		// A modem that lost its power asks again, and gets it again.
		r.knows("AT+CPIN?", "+CPIN: SIM PIN|OK")
		r.modem().Wire().Unplug()
		synctest.Wait()
		<-time.After(10 * time.Second)
		r.hear(`AT+CPIN="4711"`)
	})
	// Wrong: never again, however often the modem is started.
	with(t, map[string]string{"AT+CPIN?": "+CPIN: SIM PIN|OK", `AT+CPINR="SIM PIN"`: "+CPINR: SIM PIN,3,3|OK", `AT+CPIN="4711"`: "+CME ERROR: 16"}, withPIN, func(r *rig) {
		r.state(sms.PINRequired)
		for range 5 {
			r.m.Reset()
			<-time.After(2 * time.Minute)
		}
		synctest.Wait()
		if n := entered(r); n != 1 {
			t.Errorf("entered %d times", n)
		}
		if s := r.m.Snapshot(); s.State != sms.PINRequired || !strings.Contains(s.Reason, "refused") {
			t.Errorf("%s %q", s.State, s.Reason)
		}
	})
	// No answer to it: it may have cost a try, so never again either.
	with(t, map[string]string{"AT+CPIN?": "+CPIN: SIM PIN|OK", `AT+CPINR="SIM PIN"`: "+CPINR: SIM PIN,3,3|OK", `AT+CPIN="4711"`: ""}, withPIN, func(r *rig) {
		r.state(sms.PINRequired)
		<-time.After(10 * time.Minute)
		synctest.Wait()
		if n := entered(r); n != 1 {
			t.Errorf("entered %d times", n)
		}
	})
}

// Only with all tries left, whichever way the modem tells them.
func TestPINCounter(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string]string
		enters  bool
	}{
		"CPINR 3":         {map[string]string{`AT+CPINR="SIM PIN"`: "+CPINR: SIM PIN,3,3|OK"}, true},
		"CPINR 2":         {map[string]string{`AT+CPINR="SIM PIN"`: "+CPINR: SIM PIN,2,3|OK"}, false},
		"CPINR 1":         {map[string]string{`AT+CPINR="SIM PIN"`: "+CPINR: SIM PIN,1,3|OK"}, false},
		"Huawei 3":        {map[string]string{`AT^CPIN?`: "^CPIN: SIM PIN,3,10,3,10,3|OK"}, true},
		"Huawei 2":        {map[string]string{`AT^CPIN?`: "^CPIN: SIM PIN,2,10,2,10,3|OK"}, false},
		"CSIM 3":          {map[string]string{`AT+CSIM=10,"0020000100"`: `+CSIM: 4,"63C3"|OK`}, true},
		"CSIM 1":          {map[string]string{`AT+CSIM=10,"0020000100"`: `+CSIM: 4,"63C1"|OK`}, false},
		"CSIM incomplete": {map[string]string{`AT+CSIM=10,"0020000100"`: `+CSIM: 4,"6983"|OK`}, false},
		"unknown":         {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			answers := map[string]string{"AT+CPIN?": "+CPIN: SIM PIN|OK", `AT+CPIN="4711"`: "+CME ERROR: 16",
				`AT+CPINR="SIM PIN"`: "ERROR", "AT^CPIN?": "ERROR", `AT+CSIM=10,"0020000100"`: "ERROR"}
			for k, v := range c.answers {
				answers[k] = v
			}
			with(t, answers, withPIN, func(r *rig) {
				r.state(sms.PINRequired)
				if s := r.m.Snapshot(); name == "unknown" && !strings.Contains(s.Reason, "does not say how many tries") {
					t.Error(s.Reason)
				}
				if got := entered(r) == 1; got != c.enters {
					t.Errorf("entered: %v, want %v", got, c.enters)
				}
			})
		})
	}
}

func TestPINThatIsNone(t *testing.T) {
	for _, pin := range []string{"12", "123456789", `1"2;`, "abcd"} {
		with(t, map[string]string{"AT+CPIN?": "+CPIN: SIM PIN|OK", `AT+CPINR="SIM PIN"`: "+CPINR: SIM PIN,3,3|OK"},
			func(o *modem.Options) { o.PIN = pin }, func(r *rig) {
				r.state(sms.PINRequired)
				if entered(r) != 0 {
					t.Error("entered")
				}
			})
	}
}

// The picture that is shown of a modem, from every odd form of the answers.
func TestIdentity(t *testing.T) {
	with(t, map[string]string{
		"AT+CGMI": "+CGMI: \"Quectel\"|OK", "AT+CGMM": "^RSSI:18|EC25|OK", "AT+CGSN": "+CGSN: \"352099000000006\"|OK",
		"AT+CCID": "ERROR", "AT+ICCID": "ERROR", "AT+QCCID": "ERROR", "AT^ICCID?": "ERROR",
		"AT+CRSM=176,12258,0,0,10": `+CRSM: 144,0,"98942000002143658709"|OK`,
		"AT+CNUM":                  `+CNUM: "","+491700000000",145|OK`, "AT+CSCA?": `+CSCA: "002B00340039003100370031",145|OK`,
		"AT+COPS?": `+COPS: 0,0,"0054002D004D006F00620069006C0065",7|OK`, "AT+CSQ": "+CSQ: 99,99|OK",
	}, nil, func(r *rig) {
		r.state(sms.Ready)
		s := r.m.Snapshot()
		if s.Manufacturer != "Quectel" || s.Model != "EC25" || s.IMEI != "352099000000006" || s.ICCID != "89490200001234567890" ||
			s.Number != "+491700000000" || s.SMSC != "+49171" || s.Operator != "T-Mobile" || s.Technology != "LTE" || s.Signal != nil ||
			s.Registration != "home" || s.Storage == nil || s.Storage.Total != 30 {
			t.Errorf("%+v", s)
		}
	})
}

// The modem starts only as fast as its SIM: busy, and SMS not ready yet.
func TestSlowStart(t *testing.T) {
	with(t, map[string]string{"AT+CPIN?": "+CME ERROR: 14", "AT+CMGF=0": "+CMS ERROR: 302"}, nil, func(r *rig) {
		<-time.After(9 * time.Second)
		r.knows("AT+CPIN?", "+CPIN: READY|OK")
		<-time.After(5 * time.Second)
		r.knows("AT+CMGF=0", "OK")
		r.state(sms.Ready)
	})
}

func TestRadioIsSwitchedOn(t *testing.T) {
	with(t, map[string]string{"AT+CFUN?": "+CFUN: 4|OK", "AT+CFUN=1": "-"}, nil, func(r *rig) {
		r.hear("AT+CFUN=1")
		r.say("OK")
		r.state(sms.Ready)
	})
}

// The service centre of the configuration is put in where the SIM has another
// or none.
func TestServiceCentreIsSet(t *testing.T) {
	for has, want := range map[string]bool{`+CSCA: "",129|OK`: true, `+CSCA: "+491710000000",145|OK`: false} {
		with(t, map[string]string{"AT+CSCA?": has}, func(o *modem.Options) { o.SMSC = "+491710000000" }, func(r *rig) {
			if want {
				r.hear(`AT+CSCA="+491710000000",145`)
				r.say("OK")
			}
			r.state(sms.Ready)
			if got := r.m.Snapshot().SMSC; got != "+491710000000" {
				t.Errorf("SMSC %q", got)
			}
		})
	}
}

// Where roaming is not allowed nothing is sent in a foreign network.
func TestRoamingNotAllowed(t *testing.T) {
	with(t, map[string]string{"AT+CREG?": "+CREG: 2,5|OK", "AT+CGREG?": "+CGREG: 2,5|OK"}, func(o *modem.Options) { o.NoRoaming = true }, func(r *rig) {
		r.state(sms.Denied)
		if s := r.m.Snapshot(); !strings.Contains(s.Advice, "allow_roaming") || s.Registration != "roaming" {
			t.Errorf("%q %q", s.Advice, s.Registration)
		}
		r.box.add(part("a", 1))
		r.modem().Quiet(time.Minute)
		r.knows("AT+CREG?", "+CREG: 2,1|OK") // its own network is back, for one of the two domains
		r.state(sms.Ready)
		r.takes(part("a", 1))
	})
}

// A modem that loses the number while it works gets it again, and its message
// goes out; what that does not help is the SIM's trouble.
func TestLostServiceCentre(t *testing.T) {
	with(t, nil, func(o *modem.Options) { o.SMSC = "+491710000000" }, func(r *rig) {
		r.state(sms.Ready)
		r.knows("AT+CSCA?", `+CSCA: "",129|OK`)
		r.box.add(part("a", 1))
		r.takes(part("a", 1))
		r.say("+CMS ERROR: 330")
		if o := r.outcomes(1)[0]; o.Err.Class != sms.Now {
			t.Errorf("%+v", o.Err)
		}
		r.until("started afresh", time.Minute, func() bool { return opens(r) == 2 })
		r.hear(`AT+CSCA="+491710000000",145`)
		r.say("OK")
		r.state(sms.Ready)
		r.box.add(part("b", 2))
		r.takes(part("b", 2))
		r.say("+CMS ERROR: 330")
		r.state(sms.Parked)
	})
}

// How many tries a PIN has is asked in each maker's way; only with all three
// left is it entered.
func TestPINCounters(t *testing.T) {
	for command, line := range map[string]string{
		"AT^CPIN?": "^CPIN: SIM PIN,3,10,%d,10,3", "AT+SPIC": "+SPIC: %d,10,3,10", "AT+QPINC?": `+QPINC: "SC",%d,10`,
		"AT+ZPINPUK=?": "+ZPINPUK: %d,3,10,10", "AT#PCT": "#PCT: %d", "AT^SPIC": "^SPIC: %d",
		`AT+CSIM=10,"0020000100"`: `+CSIM: 4,"63C%d"`,
	} {
		for _, left := range []int{3, 2} {
			t.Run(fmt.Sprint(command, left), func(t *testing.T) {
				answers := map[string]string{"AT+CPIN?": "+CPIN: SIM PIN|OK"}
				for _, other := range []string{`AT+CPINR="SIM PIN"`, "AT^CPIN?", "AT+SPIC", "AT+QPINC?", "AT+ZPINPUK=?", "AT#PCT", "AT^SPIC"} {
					answers[other] = "ERROR"
				}
				answers[command] = fmt.Sprintf(line, left) + "|OK"
				with(t, answers, withPIN, func(r *rig) {
					if left == 3 {
						r.hear(`AT+CPIN="4711"`)
						r.knows("AT+CPIN?", "+CPIN: READY|OK")
						r.say("OK")
						r.state(sms.Ready)
						return
					}
					r.state(sms.PINRequired)
					if s := r.m.Snapshot(); !strings.Contains(s.Reason, "2 of 3") {
						t.Errorf("%q", s.Reason)
					}
				})
			})
		}
	}
}

// What came before the storage was chosen lies in the one that the modem used
// until then, and is read at once.
func TestStorageOfBeforeIsReadAtOnce(t *testing.T) {
	with(t, map[string]string{
		"AT+CPMS=?": `+CPMS: ("SM","ME"),("SM","ME"),("SM","ME")|OK`, "AT+CPMS?": `+CPMS: "ME",1,23,"ME",1,23,"ME",1,23|OK`,
	}, nil, func(r *rig) {
		begin := time.Now()
		r.hear(`AT+CPMS="ME"`)
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("only after %v", took)
		}
		r.knows("AT+CMGL=4", "+CMGL: 3,0,,18|"+deliver+"|OK")
		r.knows("AT+CMGD=3", "OK")
		r.say("+CPMS: 1,23,1,23,1,23", "OK")
		r.until("read", time.Minute, func() bool {
			all := r.inbox.all()
			return len(all) > 0 && all[0].Storage == "ME" && all[0].Index == 3
		})
	})
}

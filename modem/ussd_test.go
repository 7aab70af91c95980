package modem_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// step is a USSD step under way.
type step struct {
	r    *rig
	done chan struct{}
	a    sms.USSDAnswer
	err  error
	took time.Duration
}

func (r *rig) ussd(ctx context.Context, u sms.USSD) *step {
	s := &step{r: r, done: make(chan struct{})}
	go func() {
		start := time.Now()
		s.a, s.err = r.m.USSD(ctx, u)
		s.took = time.Since(start)
		close(s.done)
	}()
	synctest.Wait()
	return s
}

func (r *rig) dial(code string) *step { return r.ussd(r.t.Context(), sms.USSD{Code: code}) }

// answer wants the step's end: a state, and a piece of its text or reason.
func (s *step) answer(state sms.USSDState, piece string) {
	s.r.t.Helper()
	<-s.done
	if s.err != nil || s.a.State != state || !strings.Contains(s.a.Text+s.a.Reason, piece) {
		s.r.t.Fatalf("%+v, %v; want %s and %q", s.a, s.err, state, piece)
	}
}

func (s *step) refused(piece string) {
	s.r.t.Helper()
	<-s.done
	if s.err == nil || !strings.Contains(s.err.Error(), piece) {
		s.r.t.Fatalf("%+v, %v; want an error with %q", s.a, s.err, piece)
	}
}

// over wants the session ended.
func (r *rig) over() {
	r.t.Helper()
	r.hear("AT+CUSD=2")
	r.say("OK")
}

const ask100 = `AT+CUSD=1,"*100#",15`

func TestUSSD(t *testing.T) {
	converse(t, func(r *rig) {
		s := r.dial("*100#")
		r.hear(ask100)
		r.say("OK")
		time.Sleep(20 * time.Second)
		r.say(`+CUSD: 0,"Balance: 10.00 EUR",15`)
		s.answer(sms.USSDDone, "Balance: 10.00 EUR")
		r.over()
		// The answer may come before the OK, over several lines.
		s = r.dial("*101#")
		r.hear(`AT+CUSD=1,"*101#",15`)
		r.say("+CUSD: 2,\"one\r\ntwo\"", "OK")
		s.answer(sms.USSDDone, "one\ntwo")
		r.over()
	})
}

// Every mode in words.
func TestUSSDModes(t *testing.T) {
	for line, want := range map[string]struct {
		state sms.USSDState
		piece string
	}{
		`+CUSD: 0`:               {sms.USSDDone, ""},
		`+CUSD: 0,"x",15`:        {sms.USSDDone, "x"},
		`+CUSD: 0,"20,50",`:      {sms.USSDDone, "20,50"},
		`+CUSD: 0, "x" , 15`:     {sms.USSDDone, "x"},
		`+CUSD: 0,x y,15`:        {sms.USSDDone, "x y"},
		`+CUSD: 2`:               {sms.USSDFailed, "ended the session"},
		`+CUSD: 2,"bye",15`:      {sms.USSDDone, "bye"},
		`+CUSD: 3`:               {sms.USSDFailed, "Another program"},
		`+CUSD: 4`:               {sms.USSDFailed, "does not know this code"},
		`+CUSD: 5`:               {sms.USSDFailed, "took too long"},
		`+CUSD: ?`:               {sms.USSDFailed, "can't be read"},
		`+CME ERROR: 30`:         {sms.USSDFailed, "no network service"},
		`+CUSD: 0,"0411",72`:     {sms.USSDDone, "Б"},
		`+CUSD: 0,"0411"`:        {sms.USSDDone, "0411"},
		"+CUSD: 0,\"\x02 5\",15": {sms.USSDDone, "$ 5"},
		`+CUSD: 0,"cut of`:       {sms.USSDDone, "cut of"},
	} {
		t.Run(line, func(t *testing.T) {
			converse(t, func(r *rig) {
				s := r.dial("*100#")
				r.hear(ask100)
				if !strings.Contains(line, "ERROR") {
					r.say("OK")
				}
				r.say(line)
				if strings.Count(line, `"`) == 1 { // the closing quote is lost
					time.Sleep(3 * time.Second)
					r.say("^RSSI:18")
				}
				s.answer(want.state, want.piece)
				r.over()
			})
		})
	}
}

// A session of several steps, with texts that wait for its end.
func TestUSSDSession(t *testing.T) {
	converse(t, func(r *rig) {
		s := r.dial("*100#")
		r.hear(ask100)
		r.say("OK", `+CUSD: 1,"1 Balance 2 Top up",15`)
		s.answer(sms.USSDNeedsReply, "1 Balance")
		p := part("a", 1)
		r.box.add(p)
		r.dial("*101#").refused("a USSD session is open")
		s = r.ussd(r.t.Context(), sms.USSD{Reply: "1"})
		r.hear(`AT+CUSD=1,"1",15`)
		r.dial("*101#").refused("another USSD request")
		r.say("OK", `+CUSD: 0,"10.00",15`)
		s.answer(sms.USSDDone, "10.00")
		r.over()
		r.takes(p)
		r.say("+CMGS: 1", "OK")
		r.ussd(r.t.Context(), sms.USSD{Reply: "1"}).refused("no USSD session is open")
		r.ussd(r.t.Context(), sms.USSD{Cancel: true}).refused("no USSD session is open")
	})
}

// Nobody replies: texts wait no longer than a minute.
func TestUSSDSessionIsNotHeldOpen(t *testing.T) {
	converse(t, func(r *rig) {
		s := r.dial("*100#")
		r.hear(ask100)
		r.say("OK", `+CUSD: 1,"1 Balance 2 Top up",15`)
		s.answer(sms.USSDNeedsReply, "")
		p := part("a", 1)
		r.box.add(p)
		start := time.Now()
		r.over()
		if took := time.Since(start); took < 55*time.Second || took > 61*time.Second {
			t.Errorf("ended after %v", took)
		}
		r.takes(p)
		r.say("+CMGS: 1", "OK")
	})
}

func TestUSSDCancel(t *testing.T) {
	converse(t, func(r *rig) {
		s := r.dial("*100#")
		r.hear(ask100)
		r.say("OK")
		end := r.ussd(r.t.Context(), sms.USSD{Cancel: true})
		s.answer(sms.USSDFailed, "canceled")
		r.over()
		end.answer(sms.USSDDone, "")
		// The late answer is not the next request's.
		next := r.dial("*101#")
		time.Sleep(5 * time.Second)
		r.say(`+CUSD: 0,"late",15`)
		r.hear(`AT+CUSD=1,"*101#",15`)
		r.say("OK", `+CUSD: 0,"mine",15`)
		next.answer(sms.USSDDone, "mine")
		r.over()
		// An open session.
		s = r.dial("*100#")
		r.hear(ask100)
		r.say("OK", `+CUSD: 1,"?",15`)
		s.answer(sms.USSDNeedsReply, "?")
		end = r.ussd(r.t.Context(), sms.USSD{Cancel: true})
		r.over()
		end.answer(sms.USSDDone, "")
	})
}

// While the network takes its time, messages are fetched; nothing is sent.
func TestUSSDHoldsUpNothingButSending(t *testing.T) {
	converse(t, func(r *rig) {
		s := r.dial("*100#")
		r.hear(ask100)
		r.say("OK")
		r.knows("AT+CMGR=3", "+CMGR: 0,,18|07919471010000000404A1321000001010200010800003C2E231|OK")
		r.knows("AT+CMGD=3", "OK")
		r.box.add(part("a", 1))
		r.say(`+CMTI: "SM",3`)
		r.until("fetched", time.Second, func() bool { return len(r.inbox.all()) == 1 })
		r.modem().Quiet(80 * time.Second)
		s.answer(sms.USSDFailed, "no answer within 90 seconds")
		if s.took > 95*time.Second {
			t.Errorf("it took %v", s.took)
		}
		r.over()
		r.takes(part("a", 1))
		r.say("+CMGS: 1", "OK")
	})
}

// A part on the air is not disturbed, and the request comes before the next.
func TestUSSDWaitsForThePartOnTheAir(t *testing.T) {
	converse(t, func(r *rig) {
		a, b := part("a", 1), part("b", 2)
		r.box.add(a, b)
		r.takes(a)
		s := r.dial("*100#")
		r.modem().Quiet(10 * time.Second)
		r.say("+CMGS: 1", "OK")
		r.hear(ask100)
		r.say("OK", `+CUSD: 0,"x",15`)
		s.answer(sms.USSDDone, "x")
		r.over()
		r.takes(b)
		r.say("+CMGS: 2", "OK")
	})
}

// What the network says by itself is nobody's answer.
func TestUSSDNoticeIsKeptApart(t *testing.T) {
	converse(t, func(r *rig) {
		r.say(`+CUSD: 0,"You paid 0.09",15`)
		synctest.Wait()
		s := r.dial("*100#")
		r.hear(ask100)
		r.say("OK", `+CUSD: 0,"mine",15`)
		s.answer(sms.USSDDone, "mine")
		r.over()
		r.say(`+CUSD: 1,"Rate us",15`) // wants a reply, and there is nobody
		r.over()
		r.dial("*100#")
		r.hear(ask100)
	})
}

func TestUSSDEndsWithItsModem(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(r *rig)
		want string
	}{
		"unplugged": {func(r *rig) { r.modem().Wire().Unplug() }, "went away"},
		"reset":     {func(r *rig) { r.m.Reset(); r.over() }, "restarted"},
		"shutdown":  {func(r *rig) { go r.over(); r.stop() }, "stopping"},
	} {
		t.Run(name, func(t *testing.T) {
			converse(t, func(r *rig) {
				s := r.dial("*100#")
				r.hear(ask100)
				r.say("OK")
				synctest.Wait()
				c.do(r)
				s.answer(sms.USSDFailed, c.want)
				if s.took > 3*time.Second {
					t.Errorf("told after %v", s.took)
				}
			})
		})
	}
}

// A client that leaves ends the session.
func TestUSSDNobodyWaits(t *testing.T) {
	converse(t, func(r *rig) {
		ctx, cancel := context.WithCancel(r.t.Context())
		s := r.ussd(ctx, sms.USSD{Code: "*100#"})
		r.hear(ask100)
		r.say("OK")
		cancel()
		s.answer(sms.USSDFailed, "Nobody waits")
		r.over()
	})
}

func TestUSSDNeedsAModem(t *testing.T) {
	with(t, map[string]string{"AT+CPIN?": "+CME ERROR: 10"}, nil, func(r *rig) {
		r.state(sms.NoSIM)
		r.dial("*100#").refused("no-sim")
	})
	converse(t, func(r *rig) {
		for _, code := range []string{"", "*100#\r", `*1"`, "*100#;+CMGD=1", strings.Repeat("1", 183), "abc"} {
			r.dial(code).refused("")
		}
		r.ussd(r.t.Context(), sms.USSD{Reply: "a\"b"}).refused("letters")
	})
}

// Modems that want requests packed, or plain after all, or in UCS2; what
// worked once is asked first.
func TestUSSDCodings(t *testing.T) {
	packed := func(s string) string {
		hex, err := pdu.PackUSSD(s)
		if err != nil {
			t.Fatal(err)
		}
		return hex
	}
	const want = "Ihr Guthaben: 7,50 EUR"
	for name, c := range map[string]struct {
		maker  string
		refuse []string
		takes  string
		answer string
	}{
		"Huawei, packed":     {"huawei", nil, `AT+CUSD=1,"AA180C3602",15`, `+CUSD: 0,"` + packed(want) + `",15`},
		"Huawei, 0":          {"huawei", nil, `AT+CUSD=1,"AA180C3602",15`, `+CUSD: 0,"` + packed(want) + `",0`},
		"Huawei, plain":      {"huawei", []string{`AT+CUSD=1,"AA180C3602",15`}, ask100, `+CUSD: 0,"` + want + `",240`},
		"Huawei, UCS2":       {"huawei", nil, `AT+CUSD=1,"AA180C3602",15`, `+CUSD: 0,"` + pdu.UCS2Hex(want) + `",72`},
		"plain":              {"ACME", nil, ask100, `+CUSD: 0,"` + want + `"`},
		"plain and UCS2":     {"ACME", nil, ask100, `+CUSD: 0,"` + pdu.UCS2Hex(want) + `",17`},
		"UCS2 both ways":     {"ACME", []string{ask100}, `AT+CUSD=1,"` + pdu.UCS2Hex("*100#") + `",15`, `+CUSD: 0,"` + pdu.UCS2Hex(want) + `",15`},
		"packed by surprise": {"ACME", []string{ask100, `AT+CUSD=1,"` + pdu.UCS2Hex("*100#") + `",15`}, `AT+CUSD=1,"AA180C3602",15`, `+CUSD: 0,"` + packed(want) + `",15`},
	} {
		t.Run(name, func(t *testing.T) {
			with(t, map[string]string{"AT+CGMI": c.maker + "|OK", "AT^USSDMODE=0": "OK"}, nil, func(r *rig) {
				r.state(sms.Ready)
				s := r.dial("*100#")
				for _, line := range c.refuse {
					r.hear(line)
					r.say("ERROR")
				}
				for range 2 {
					r.hear(c.takes)
					r.say("OK", c.answer)
					s.answer(sms.USSDDone, want)
					r.over()
					s = r.dial("*100#") // the second time at once
				}
			})
		})
	}
}

// A Huawei that takes a packed request and sends it as it is: the network does
// not know it, and the plain one is tried.
func TestUSSDHuaweiThatDoesNotUnpack(t *testing.T) {
	with(t, map[string]string{"AT+CGMI": "huawei|OK", "AT^USSDMODE=0": "OK"}, nil, func(r *rig) {
		r.state(sms.Ready)
		s := r.dial("*100#")
		r.hear(`AT+CUSD=1,"AA180C3602",15`)
		r.say("OK", "+CUSD: 4")
		r.hear(ask100)
		r.say("OK", `+CUSD: 0,"x",15`)
		s.answer(sms.USSDDone, "x")
	})
}

// Nothing of it stands in the log at info.
func TestUSSDIsNotLogged(t *testing.T) {
	var log strings.Builder
	with(t, nil, func(o *modem.Options) { o.Log = infoLog(&log) }, func(r *rig) {
		r.state(sms.Ready)
		s := r.dial("*12345#")
		r.hear(`AT+CUSD=1,"*12345#",15`)
		r.say("OK", `+CUSD: 0,"secret",15`)
		s.answer(sms.USSDDone, "secret")
		r.over()
		r.say(`+CUSD: 0,"secret",15`)
		synctest.Wait()
		s = r.dial("*12345#")
		r.hear(`AT+CUSD=1,"*12345#",15`)
		r.say("+CME ERROR: 30")
		s.answer(sms.USSDFailed, "")
		r.over()
		r.stop()
	})
	if s := log.String(); strings.Contains(s, "secret") || strings.Contains(s, "12345") {
		t.Errorf("the log has it: %s", s)
	}
}

package modem_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem"
	"gatewayd/sms"
)

// silence has the modem answer nothing any more.
func (r *rig) silence() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = map[string]string{"*": ""}
}

// A modem that the ladder has set aside is parked too, but nobody is there who
// could ask the network.
func TestUSSDOfAModemThatIsSetAside(t *testing.T) {
	with(t, nil, func(o *modem.Options) { o.Known = true }, func(r *rig) {
		r.state(sms.Ready)
		r.silence()
		r.state(sms.Parked)
		for range 2 { // the first is not in the second's way
			s := r.dial("*100#")
			s.refused("Nothing that can be done")
			if s.took > time.Second {
				t.Errorf("refused after %s", s.took)
			}
		}
	})
}

// What came by itself and could not be stored outlives its session of the port,
// and so does what comes behind it. Nobody waits for its acknowledgement then.
func TestUnstoredOutlivesTheSession(t *testing.T) {
	with(t, insists(), nil, func(r *rig) {
		r.state(sms.Ready)
		r.inbox.mu.Lock()
		r.inbox.err = errors.New("inbound ring is full")
		r.inbox.mu.Unlock()
		r.say("+CMT: ,18", deliver)
		r.state(sms.StorageFull)
		r.modem().Wire().Unplug()
		r.until("opened again", time.Minute, func() bool { return opens(r) == 2 })
		r.inbox.mu.Lock()
		r.inbox.err = nil
		r.inbox.mu.Unlock()
		r.until("stored", time.Minute, func() bool { return len(r.inbox.all()) == 1 })
		r.state(sms.Ready)
		r.say("+CMT: ,18", deliverB)
		r.hear("AT+CNMA")
		r.say("OK")
		if n := len(r.inbox.all()); n != 2 {
			t.Errorf("%d are stored", n)
		}
		r.modem().Quiet(5 * time.Second)
	})
}

// A modem that came up after a restart and is pulled out within the minute that
// a restart may take is not ready meanwhile.
func TestPulledOutSoonAfterARestart(t *testing.T) {
	with(t, map[string]string{"AT+CFUN=4": "OK", "AT+CFUN=1": "OK", "AT+CFUN=1,1": "OK"}, nil, func(r *rig) {
		r.state(sms.Ready)
		row := int64(0)
		for n := range 3 {
			fail(r, &row)
			r.until("opened again", time.Minute, func() bool { return opens(r) >= n+2 })
			r.state(sms.Ready)
		}
		r.until("restarted", time.Minute, func() bool { return opens(r) == 5 })
		r.state(sms.Ready)
		r.mu.Lock()
		r.openErr = modem.ErrNotPluggedIn
		r.mu.Unlock()
		r.modem().Wire().Unplug()
		r.until("absent", 3*time.Second, func() bool { return r.m.Snapshot().State == sms.Absent })
	})
}

// A radio that was switched off and on needs time to find a network before the
// modem is told to restart.
func TestRadioIsGivenTime(t *testing.T) {
	for name, c := range map[string]map[string]string{
		"off the air": {"AT+CREG?": "+CREG: 2,0|OK", "AT+CGREG?": "+CGREG: 2,0|OK", "AT+CSQ": "+CSQ: 99,99|OK"},
		"no network":  {"AT+CREG?": "+CREG: 2,2|OK", "AT+CGREG?": "+CGREG: 2,2|OK"},
	} {
		t.Run(name, func(t *testing.T) {
			with(t, map[string]string{"AT+CFUN=4": "OK", "AT+CFUN=1": "OK", "AT+CFUN=1,1": "OK"}, nil, func(r *rig) {
				r.state(sms.Ready)
				for k, v := range c {
					r.knows(k, v)
				}
				r.until("its radio is switched", time.Hour, func() bool { return len(tried(r)) > 0 })
				<-time.After(time.Minute)
				for k := range c {
					r.knows(k, usual()[k])
				}
				r.state(sms.Ready)
				if got := tried(r); !slices.Equal(got, []string{"radio healed"}) {
					t.Errorf("%v", got)
				}
			})
		})
	}
}

// One that was without a network when it was pulled out has just been plugged in.
func TestNetworkIsLookedForAnewAfterReplug(t *testing.T) {
	converse(t, func(r *rig) {
		r.knows("AT+CREG?", "+CREG: 2,2|OK")
		r.knows("AT+CGREG?", "+CGREG: 2,2|OK")
		r.state(sms.Searching)
		r.mu.Lock()
		r.openErr = modem.ErrNotPluggedIn
		r.mu.Unlock()
		r.modem().Wire().Unplug()
		<-time.After(time.Hour)
		r.mu.Lock()
		r.openErr = nil
		r.mu.Unlock()
		r.m.Wake()
		r.state(sms.Searching)
		<-time.After(15 * time.Minute)
		if got := tried(r); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}

// A modem that answers everything but what it is given to send is healed.
func TestModemThatAnswersNoPart(t *testing.T) {
	converse(t, func(r *rig) {
		for i, name := range []string{"a", "b", "c"} {
			p := part(name, int64(i+1))
			r.box.add(p)
			r.takes(p)
			r.outcomes(i + 1)
		}
		r.until("opened again", time.Minute, func() bool { return opens(r) == 2 })
		r.state(sms.Ready)
		p := part("d", 4)
		r.box.add(p)
		r.takes(p)
		r.say("+CMGS: 1", "OK")
		r.until("healed", time.Minute, func() bool { return slices.Equal(tried(r), []string{"reopen healed"}) })
	})
}

// What comes while the last question of a round is asked is not left for the
// next round.
func TestComesWithTheLastAnswer(t *testing.T) {
	with(t, insists(), nil, func(r *rig) {
		r.state(sms.Ready)
		r.knows("AT+COPS?", "-")
		r.hear("AT+COPS?")
		r.say("+CMT: ,18", deliver, `+COPS: 0,0,"Net",0`, "OK")
		start := time.Now()
		r.hear("AT+CNMA")
		if d := time.Since(start); d > time.Second {
			t.Errorf("acknowledged after %s", d)
		}
		r.say("OK")
	})
}

// A SIM that is busy while the modem is brought up is read when it is not.
func TestFirstSweepIsTriedAgain(t *testing.T) {
	with(t, map[string]string{"AT+CMGL=4": "+CMS ERROR: 314"}, nil, func(r *rig) {
		r.state(sms.Ready)
		r.knows("AT+CMGL=4", "+CMGL: 3,1,,18|"+deliver+"|OK")
		r.until("read", 15*time.Second, func() bool { return len(r.inbox.all()) == 1 })
		r.hear("AT+CMGD=3")
		r.knows("AT+CMGL=4", "OK")
		r.say("OK")
	})
}

// A late answer that came before a part which then gets none itself is not lost.
func TestLateAnswerBeforeAnotherDoubt(t *testing.T) {
	converse(t, func(r *rig) {
		a, b := part("a", 1), part("b", 2)
		r.box.add(a)
		r.takes(a)
		r.outcomes(1)
		r.box.add(b)
		r.hear(cmd)
		r.say("+CMGS: 7", "OK")
		r.modem().Say("\r\n> ")
		r.hear(hexOf(b) + "␚")
		got := r.outcomes(3)
		if o, n := fate(got, a); n != 2 || o.Result != modem.Confirmed || o.MR != 7 {
			t.Errorf("%+v, %d times", o, n)
		}
		if o, n := fate(got, b); n != 1 || o.Result != modem.Unknown {
			t.Errorf("%+v, %d times", o, n)
		}
	})
}

// That a test message did not arrive while the modem was away says nothing of
// its hearing.
func TestDeafWhileAway(t *testing.T) {
	converse(t, func(r *rig) {
		r.mu.Lock()
		r.openErr = modem.ErrNotPluggedIn
		r.mu.Unlock()
		r.modem().Wire().Unplug()
		r.state(sms.Absent)
		r.m.Deaf("A test message has not arrived.")
		synctest.Wait()
		r.mu.Lock()
		r.openErr = nil
		r.mu.Unlock()
		r.m.Wake()
		r.state(sms.Ready)
		<-time.After(time.Minute)
		if got := tried(r); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}

// A SIM that fails now and then is not the modem's illness, whatever was
// climbed before: the modem starts afresh for it, and is never set aside.
func TestSIMThatFailsAgain(t *testing.T) {
	with(t, map[string]string{"AT+CFUN=1,1": "OK"}, nil, func(r *rig) {
		r.state(sms.Ready)
		for i := range 2 {
			p, q := part(string(rune('a'+2*i)), int64(2*i+1)), part(string(rune('b'+2*i)), int64(2*i+2))
			r.box.add(p)
			r.takes(p)
			r.say("+CMS ERROR: 313")
			r.until("restarted", 2*time.Minute, func() bool { return opens(r) == 3+2*i })
			r.state(sms.Ready)
			r.box.add(q)
			r.takes(q)
			r.say("+CMGS: 1", "OK")
			r.outcomes(2*i + 2)
		}
		if got := tried(r); !slices.Equal(got, []string{"reset healed", "reset healed"}) {
			t.Errorf("%v", got)
		}
	})
}

// A modem that never lists its messages is swept, and still sends.
func TestSweepThatIsNotAnswered(t *testing.T) {
	with(t, map[string]string{"AT+CMGL=4": ""}, nil, func(r *rig) {
		r.state(sms.Ready)
		for i := range 3 {
			p := part(string(rune('a'+i)), int64(i+1))
			r.box.add(p)
			r.until("the command", 20*time.Minute, func() bool {
				r.box.mu.Lock()
				defer r.box.mu.Unlock()
				return len(r.box.begun) == i+1
			})
			r.takes(p)
			r.say("+CMGS: 1", "OK")
			r.outcomes(i + 1)
		}
		if got := tried(r); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}

// Another modem under the same name hears until it is shown that it does not.
func TestDeafnessEndsWithTheModem(t *testing.T) {
	with(t, map[string]string{"AT+CFUN=4": "OK", "AT+CFUN=1": "OK"}, nil, func(r *rig) {
		r.state(sms.Ready)
		r.m.Deaf("A test message has not arrived.")
		r.state(sms.Deaf)
		r.knows("AT+CGSN", "352099000000014|OK")
		r.modem().Wire().Unplug()
		r.state(sms.Ready)
	})
}

// A SIM that is busy with its PIN has not refused it: once it is open, the PIN
// may be entered at the next start too.
func TestSIMThatIsBusyWithItsPIN(t *testing.T) {
	with(t, map[string]string{"AT+CPIN?": "+CPIN: SIM PIN|OK", `AT+CPINR="SIM PIN"`: "+CPINR: SIM PIN,3,3|OK"}, withPIN, func(r *rig) {
		for n := range 2 {
			r.hear(`AT+CPIN="4711"`)
			r.say("+CME ERROR: 14")
			<-time.After(5 * time.Second)
			r.knows("AT+CPIN?", "+CPIN: READY|OK")
			r.state(sms.Ready)
			if n == 0 {
				r.knows("AT+CPIN?", "+CPIN: SIM PIN|OK")
				r.modem().Wire().Unplug()
				r.until("opened again", time.Minute, func() bool { return opens(r) == 2 })
			}
		}
	})
	// One that stays shut gets no second one.
	with(t, map[string]string{"AT+CPIN?": "+CPIN: SIM PIN|OK", `AT+CPINR="SIM PIN"`: "+CPINR: SIM PIN,3,3|OK", `AT+CPIN="4711"`: "+CME ERROR: 14"}, withPIN, func(r *rig) {
		r.state(sms.PINRequired)
		<-time.After(10 * time.Minute)
		synctest.Wait()
		if n := entered(r); n != 1 {
			t.Errorf("entered %d times", n)
		}
	})
}

// A modem that takes PDU mode and does not keep it is not set up every second.
func TestModemThatKeepsNoSettings(t *testing.T) {
	with(t, map[string]string{"AT+CMGL=4": `+CMGL: 1,"REC READ","+491701234567",,"26/01/01,00:00:00+00"|Hello|OK`}, nil, func(r *rig) {
		<-time.After(10 * time.Minute)
		if n := opens(r); n > 30 {
			t.Errorf("opened %d times", n)
		}
	})
}

// What comes while the SIM is asked who it is, is still that SIM's.
func TestArrivesWhileTheSIMIsAsked(t *testing.T) {
	converse(t, func(r *rig) {
		r.knows("AT+CCID", "-")
		r.m.Reset()
		r.until("opened again", time.Minute, func() bool { return opens(r) == 2 })
		r.hear("AT+CCID")
		r.say("+CDS: 25", report)
		synctest.Wait()
		r.say("+CCID: 89490200001234567890", "OK")
		r.state(sms.Ready)
		if got := r.inbox.all(); len(got) != 1 || got[0].ICCID != "89490200001234567890" {
			t.Errorf("%+v", got)
		}
	})
}

// How far one illness was climbed says nothing of another that comes soon after.
func TestAnotherIllnessBeginsGently(t *testing.T) {
	with(t, nil, func(o *modem.Options) {
		o.Known, o.PowerCycle = true, func(context.Context) error { return nil }
	}, func(r *rig) {
		r.state(sms.Ready)
		r.silence()
		r.until("its power was switched", 10*time.Minute, func() bool { return len(tried(r)) == 4 })
		for k, v := range usual() {
			r.knows(k, v)
		}
		r.state(sms.Ready)
		r.m.Deaf("A test message has not arrived.")
		r.until("healed of deafness", time.Minute, func() bool { return len(tried(r)) > 4 })
		if got := tried(r); got[4] != "radio running" {
			t.Errorf("%v", got)
		}
	})
}

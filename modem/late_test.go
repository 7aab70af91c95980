package modem_test

import (
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem"
	"gatewayd/sim"
	"gatewayd/sms"
)

// fate is what was booked last for a part.
func fate(os []modem.Outcome, p *modem.Part) (last modem.Outcome, n int) {
	for _, o := range os {
		if o.Part == p {
			last = o
			n++
		}
	}
	return last, n
}

// No answer in time, and a late one: it settles its own part, whenever it
// comes, and the next part has its own.
func TestLateReferenceSettlesItsOwnPart(t *testing.T) {
	for name, when := range map[string]struct {
		plays func(r *rig, b *modem.Part)
	}{
		"while re-synchronising": {func(r *rig, b *modem.Part) {
			r.hear("␛")
			r.say("+CMGS: 7", "OK")
			r.takes(b)
			r.say("+CMGS: 8", "OK")
		}},
		"as the answer to AT": {func(r *rig, b *modem.Part) {
			r.knows("AT", "+CMGS: 7|OK|OK")
			r.hear("␛")
			r.takes(b)
			r.say("+CMGS: 8", "OK")
		}},
		"while idle": {func(r *rig, b *modem.Part) {
			r.hear("␛")
			<-time.After(time.Second)
			r.say("+CMGS: 7", "OK")
			r.box.add(b)
			r.takes(b)
			r.say("+CMGS: 8", "OK")
		}},
		"between the next command and its prompt": {func(r *rig, b *modem.Part) {
			r.hear("␛")
			r.hear(cmd)
			r.say("+CMGS: 7", "OK")
			r.modem().Say("\r\n> ")
			r.hear(hexOf(b) + "␚")
			r.say("+CMGS: 8", "OK")
		}},
		"after the next Ctrl-Z": {func(r *rig, b *modem.Part) {
			r.hear("␛")
			r.takes(b)
			r.say("+CMGS: 7", "OK")
			<-time.After(time.Second)
			r.say("+CMGS: 8", "OK")
		}},
		"with the next one's own answer": {func(r *rig, b *modem.Part) {
			r.hear("␛")
			r.takes(b)
			r.say("+CMGS: 7", "OK", "+CMGS: 8", "OK")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			converse(t, func(r *rig) {
				r.knows("␛", "-")
				before, a, b := part("z", 9), part("a", 1), part("b", 2)
				r.box.add(before, a)
				if name != "while idle" {
					r.box.add(b)
				}
				r.takes(before)
				r.say("+CMGS: 6", "OK")
				r.takes(a)
				when.plays(r, b)
				got := r.outcomes(4)
				first := got[1]
				if first.Part != a || first.Result != modem.Unknown || first.ExpectedMR != 7 || first.Err.Code != "unconfirmed" {
					t.Errorf("at the deadline: %+v %v", first, first.Err)
				}
				if o, n := fate(got, a); n != 2 || o.Result != modem.Confirmed || o.MR != 7 {
					t.Errorf("the late one: %+v, %d times", o, n)
				}
				if o, n := fate(got, b); n != 1 || o.Result != modem.Confirmed || o.MR != 8 {
					t.Errorf("the next one: %+v, %d times", o, n)
				}
				if c := r.m.Snapshot().Counters; c.LateAnswers != 1 || c.Unconfirmed != 1 || c.PartsSent != 3 {
					t.Errorf("counters %+v", c)
				}
			})
		})
	}
}

// A late error after the next Ctrl-Z does not fail the next part.
func TestLateErrorIsNotTheNextParts(t *testing.T) {
	converse(t, func(r *rig) {
		a, b := part("a", 1), part("b", 2)
		r.box.add(a, b)
		r.takes(a)
		r.takes(b)
		r.say("+CMS ERROR: 1")
		<-time.After(2 * time.Second)
		r.say("+CMGS: 8", "OK")
		got := r.outcomes(2)
		if o, n := fate(got, a); n != 1 || o.Result != modem.Unknown {
			t.Errorf("%+v", o)
		}
		if o, n := fate(got, b); n != 1 || o.Result != modem.Confirmed || o.MR != 8 {
			t.Errorf("%+v", o)
		}
	})
}

// When only one answer comes it is the part's own: modems do one thing after
// the other.
func TestOneAnswerAfterALostOne(t *testing.T) {
	converse(t, func(r *rig) {
		a, b, c := part("a", 1), part("b", 2), part("c", 3)
		r.box.add(a, b, c)
		r.takes(a)
		r.takes(b)
		r.say("+CMGS: 7", "OK")
		r.takes(c) // not before b's deadline
		r.say("+CMGS: 8", "OK")
		got := r.outcomes(3)
		if o, _ := fate(got, a); o.Result != modem.Unknown {
			t.Errorf("%+v", o)
		}
		if o, _ := fate(got, b); o.Result != modem.Confirmed || o.MR != 7 {
			t.Errorf("%+v", o)
		}
		if o, _ := fate(got, c); o.Result != modem.Confirmed || o.MR != 8 {
			t.Errorf("%+v", o)
		}
	})
}

// One answer for two messages, and then the port goes away: it is nobody's.
func TestAnswerOfNobody(t *testing.T) {
	for _, says := range [][]string{{"+CMGS: 7"}, {"+CMGS: 7", "OK"}} {
		converse(t, func(r *rig) {
			a, b := part("a", 1), part("b", 2)
			r.box.add(a, b)
			r.takes(a)
			r.takes(b)
			r.say(says...)
			synctest.Wait()
			r.modem().Wire().Unplug()
			<-time.After(time.Minute)
			synctest.Wait()
			got := r.box.booked()
			for _, p := range []*modem.Part{a, b} {
				if o, n := fate(got, p); n != 1 || o.Result != modem.Unknown {
					t.Errorf("%q: %s: %+v, %d times", says, p.MessageID, o, n)
				}
			}
		})
	}
}

// The port comes back before the answer: the same modem may settle its part,
// another one on that port may not.
func TestLateReferenceAfterReopening(t *testing.T) {
	for _, same := range []bool{true, false} {
		converse(t, func(r *rig) {
			a := part("a", 1)
			r.box.add(a)
			r.takes(a)
			r.modem().Wire().Unplug()
			if o := r.outcomes(1)[0]; o.Result != modem.Unknown {
				t.Fatalf("%+v", o)
			}
			if !same {
				r.knows("AT+CGSN", "352099000000014|OK")
			}
			r.knows("AT", "+CMGS: 7|OK|OK")
			r.state(sms.Ready)
			<-time.After(5 * time.Second)
			synctest.Wait()
			o, n := fate(r.box.booked(), a)
			if same && (n != 2 || o.Result != modem.Confirmed || o.MR != 7) {
				t.Errorf("the same modem: %+v, %d times", o, n)
			}
			if !same && n != 1 {
				t.Errorf("another modem settled it: %+v", o)
			}
		})
	}
}

// After a whole bring-up no answer of the time before can come: the next part's
// is its own at once.
func TestNoDoubtLeftAfterBringUp(t *testing.T) {
	converse(t, func(r *rig) {
		a, b := part("a", 1), part("b", 2)
		r.box.add(a)
		r.takes(a)
		r.modem().Wire().Unplug()
		r.outcomes(1)
		<-time.After(30 * time.Second)
		r.box.add(b)
		r.takes(b)
		start := time.Now()
		r.say("+CMGS: 1", "OK")
		if got := r.outcomes(2); got[1].Part != b || got[1].Result != modem.Confirmed {
			t.Errorf("%+v", got[1])
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("took %s", d)
		}
	})
}

// The strict simulator, with answers that come while commands are obeyed.
func TestLateAnswersOfTheSimulator(t *testing.T) {
	for _, detached := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := drive(t, sim.OnTheAir(), sim.ModemOptions{}, nil)
			defer s.stop()
			s.state(sms.Ready)
			s.dev.Fault(func(f *sim.Faults) { f.Late, f.LateBy, f.LateDetached = 1, 61*time.Second, detached })
			a, b := text(t, "+491701234567", "one")[0], text(t, "+491701234568", "two")[0]
			s.box.add(a, b)
			s.until("both settled", 10*time.Minute, func() bool { return len(s.box.booked()) == 3 })
			if o, n := fate(s.box.booked(), a); n != 2 || o.Result != modem.Confirmed || o.MR != 1 {
				t.Errorf("detached %v: %+v, %d times", detached, o, n)
			}
			if o, n := fate(s.box.booked(), b); n != 1 || o.Result != modem.Confirmed || o.MR != 2 {
				t.Errorf("detached %v: %+v, %d times", detached, o, n)
			}
		})
	}
}

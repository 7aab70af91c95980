package modem_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatewayd/modem"
	"gatewayd/sms"
)

// tried lists what the ladder has done, oldest first, as "reopen failed".
func tried(r *rig) []string {
	var all []string
	for _, a := range r.m.Snapshot().Healing.Last {
		all = append([]string{a.Step + " " + a.Outcome}, all...)
	}
	return all
}

// fail has the modem refuse three parts in a row by its own fault.
func fail(r *rig, row *int64) {
	for range 3 {
		*row++
		p := part(string(rune('a'+*row)), *row)
		r.box.add(p)
		r.takes(p)
		r.say("+CMS ERROR: 500")
	}
}

// A modem whose every part fails is opened afresh, then its radio goes off and
// on, then it is told to restart; what helped is on record.
func TestLadderOfAFailingModem(t *testing.T) {
	with(t, map[string]string{"AT+CFUN=4": "ERROR"}, nil, func(r *rig) {
		r.state(sms.Ready)
		row := int64(0)
		fail(r, &row)
		r.until("opened again", time.Minute, func() bool { return opens(r) == 2 })
		r.state(sms.Ready)
		fail(r, &row)
		r.until("opened a third time", time.Minute, func() bool { return opens(r) == 3 })
		r.hear("AT+CFUN=0")
		r.modem().Quiet(time.Second) // nothing is asked of a radio that switches off
		r.say("OK")
		r.hear("AT+CFUN=1")
		r.say("OK")
		r.state(sms.Ready)
		fail(r, &row)
		r.until("opened a fourth time", time.Minute, func() bool { return opens(r) == 4 })
		r.hear("AT+CFUN=1,1")
		r.say("OK")
		r.until("opened a fifth time", time.Minute, func() bool { return opens(r) == 5 })
		r.state(sms.Ready)
		p := part("z", 99)
		r.box.add(p)
		r.takes(p)
		r.say("+CMGS: 1", "OK")
		r.until("healed", time.Minute, func() bool {
			return slices.Equal(tried(r), []string{"reopen failed", "radio failed", "reset healed"})
		})
		for _, s := range r.m.Snapshot().Healing.Steps {
			want := map[string][2]int64{"reopen": {1, 0}, "radio": {1, 0}, "reset": {1, 1}}[s.Step]
			if s.Tried != want[0] || s.Healed != want[1] {
				t.Errorf("%+v, want %v", s, want)
			}
		}
	})
}

// A modem that is silent hears the commands perhaps; then its power is switched.
func TestLadderOfASilentModem(t *testing.T) {
	var cycles atomic.Int32
	with(t, nil, func(o *modem.Options) {
		o.Known = true
		o.PowerCycle = func(context.Context) error {
			cycles.Add(1)
			return nil
		}
	}, func(r *rig) {
		r.state(sms.Ready)
		r.mu.Lock()
		r.answers = map[string]string{"*": ""} // heard, and not a word
		r.mu.Unlock()
		r.state(sms.Healing)
		r.until("switched off and on", 10*time.Minute, func() bool {
			if cycles.Load() == 0 {
				return false
			}
			for k, v := range usual() {
				r.knows(k, v)
			}
			return true
		})
		r.state(sms.Ready)
		if got := tried(r); !slices.Equal(got, []string{"reopen failed", "radio failed", "reset failed", "power healed"}) {
			t.Errorf("%v", got)
		}
	})
}

// Where nothing helps the modem is set aside, with words, and tried again after
// an hour, or when somebody resets it.
func TestLadderEnds(t *testing.T) {
	with(t, map[string]string{"*": ""}, func(o *modem.Options) {
		o.Known = true
		o.PowerCycle = func(context.Context) error { return errors.New("no such socket") }
	}, func(r *rig) {
		r.mu.Lock()
		r.answers = map[string]string{"*": ""}
		r.mu.Unlock()
		r.state(sms.Parked)
		s := r.m.Snapshot()
		if !strings.Contains(s.Reason, "Nothing") || !strings.Contains(s.Advice, "power supply") {
			t.Errorf("%q %q", s.Reason, s.Advice)
		}
		if got := tried(r); !slices.Equal(got, []string{"reopen failed", "radio failed", "reset failed", "power failed", "park parked"}) {
			t.Errorf("%v", got)
		}
		before := opens(r)
		<-time.After(50 * time.Minute)
		if opens(r) != before {
			t.Error("a modem that was set aside is not left alone")
		}
		for k, v := range usual() {
			r.knows(k, v)
		}
		r.m.Reset()
		r.state(sms.Ready)
	})
}

// A port that was never a modem is not healed: it may be something else.
func TestStrangersAreNotHealed(t *testing.T) {
	with(t, nil, func(o *modem.Options) {
		o.PowerCycle = func(context.Context) error { t.Error("its power was switched"); return nil }
	}, func(r *rig) {
		r.mu.Lock()
		r.answers = map[string]string{"*": ""}
		r.mu.Unlock()
		r.state(sms.ModemFailed)
		<-time.After(time.Hour)
		if got := tried(r); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}

// A modem that answers and is off the air has its radio switched; one that is
// only out of reach of its network for a while is left alone.
func TestLadderOfALostRadio(t *testing.T) {
	off := map[string]string{"AT+CREG?": "+CREG: 2,0|OK", "AT+CGREG?": "+CGREG: 2,0|OK", "AT+CSQ": "+CSQ: 99,99|OK"}
	for name, c := range map[string]struct {
		change map[string]string
		after  time.Duration
	}{
		"off the air":  {off, offAirAfter},
		"no network":   {map[string]string{"AT+CREG?": "+CREG: 2,2|OK", "AT+CGREG?": "+CGREG: 2,2|OK"}, 20 * time.Minute},
		"denied":       {map[string]string{"AT+CREG?": "+CREG: 2,3|OK", "AT+CGREG?": "+CGREG: 2,3|OK"}, 0},
		"no emergency": {map[string]string{"AT+CREG?": "+CREG: 2,8|OK", "AT+CGREG?": "+CGREG: 2,8|OK"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			with(t, map[string]string{"AT+CFUN=4": "OK", "AT+CFUN=1": "OK"}, nil, func(r *rig) {
				r.state(sms.Ready)
				begin := time.Now()
				for k, v := range c.change {
					r.knows(k, v)
				}
				if c.after == 0 {
					<-time.After(2 * time.Hour)
					if got := tried(r); len(got) != 0 {
						t.Errorf("%v", got)
					}
					return
				}
				r.until("its radio is switched", time.Hour, func() bool { return len(tried(r)) > 0 })
				if got := time.Since(begin); got < c.after || got > c.after+2*time.Minute {
					t.Errorf("after %v, want %v", got, c.after)
				}
				for k := range c.change {
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

const offAirAfter = 3 * time.Minute

// A modem that nothing arrives at is healed, shows so, and sends meanwhile.
func TestLadderOfADeafModem(t *testing.T) {
	with(t, map[string]string{"AT+CFUN=4": "OK", "AT+CFUN=1": "OK"}, nil, func(r *rig) {
		r.state(sms.Ready)
		r.m.Deaf("A test message has not arrived.")
		r.until("its radio was switched", time.Minute, func() bool { return slices.Equal(tried(r), []string{"radio running"}) })
		r.state(sms.Deaf)
		p := part("a", 1)
		r.box.add(p)
		r.takes(p)
		r.say("+CMGS: 1", "OK")
		r.outcomes(1)
		if got := tried(r); !slices.Equal(got, []string{"radio running"}) {
			t.Errorf("a message that was sent proves no hearing: %v", got)
		}
		r.say("+CMT: ,18", "07919471010000000404A1321000001010200010800003C2E231")
		r.state(sms.Ready)
		if got := tried(r); !slices.Equal(got, []string{"radio healed"}) {
			t.Errorf("%v", got)
		}
	})
}

// An illness that is back soon is not healed by the same step again.
func TestLadderClimbsOnARelapse(t *testing.T) {
	converse(t, func(r *rig) {
		for i, want := range []string{"reopen", "radio", "reopen"} {
			if i == 2 {
				<-time.After(15 * time.Minute)
			}
			r.mu.Lock()
			answers := r.answers
			r.answers = map[string]string{"*": ""}
			r.mu.Unlock()
			r.until(fmt.Sprintf("step %d", i), 10*time.Minute, func() bool { return len(tried(r)) > i })
			r.mu.Lock()
			answers["AT+CFUN=4"], answers["AT+CFUN=1"] = "OK", "OK"
			r.answers = answers
			r.mu.Unlock()
			r.state(sms.Ready)
			if got := tried(r); got[i] != want+" healed" {
				t.Fatalf("%v", got)
			}
		}
	})
}

// A port that blocks is closed, and the modem healed rather than called absent.
func TestBlockedPortIsHealed(t *testing.T) {
	converse(t, func(r *rig) {
		r.mu.Lock()
		w := r.wires[len(r.wires)-1]
		r.mu.Unlock()
		w.Block()
		r.state(sms.Healing)
		r.state(sms.Ready)
		if got := tried(r); !slices.Equal(got, []string{"reopen healed"}) {
			t.Errorf("%v", got)
		}
	})
}

// One that hangs while it is brought up for the first time has said who it is.
func TestHangInTheFirstBringUp(t *testing.T) {
	with(t, map[string]string{"AT+CPIN?": ""}, nil, func(r *rig) {
		r.until("it has said who it is", time.Minute, func() bool { return r.m.Snapshot().IMEI != "" })
		r.mu.Lock()
		r.answers = map[string]string{"*": ""}
		r.mu.Unlock()
		r.state(sms.Healing)
		r.until("climbed on", 5*time.Minute, func() bool { return len(tried(r)) > 2 })
		for k, v := range usual() {
			r.knows(k, v)
		}
		r.state(sms.Ready)
	})
}

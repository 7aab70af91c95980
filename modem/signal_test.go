package modem_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/modem"
	"gatewayd/sim"
	"gatewayd/sms"
)

func value(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(*v)
}

// Every simulated family is asked in its own way, and nothing that it does not know.
func TestEveryFamilyTellsItsSignal(t *testing.T) {
	for _, p := range sim.Profiles() {
		t.Run(p.Slug, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := drive(t, sim.OnTheAir(), sim.ModemOptions{Profile: p}, nil)
				defer s.stop()
				s.state(sms.Ready)
				want := "-71 - - -"
				if p.AcT >= 7 {
					want = "-71 -91 -10 12"
				}
				if p.Slug == "generic" {
					want = "-71 -91 -10 -" // the standard knows no SINR of LTE
				}
				got := func() string {
					g := s.m.Snapshot().Signal
					if g == nil {
						return "none"
					}
					return fmt.Sprintf("%d %s %s %s", g.DBm, value(g.RSRP), value(g.RSRQ), value(g.SINR))
				}
				if got() != want {
					t.Errorf("signal %s, want %s", got(), want)
				}
				if m := s.m.Snapshot(); m.Cell != "01C3D4E5" || time.Since(m.Signal.At) > time.Minute {
					t.Errorf("cell %q, measured %s", m.Cell, m.Signal.At)
				}
				s.dev.SetRadio(func(r *sim.Radio) { r.RSSI, r.RSRP, r.RSRQ = 99, 255, 255 })
				s.until("no signal", time.Minute, func() bool { return s.m.Snapshot().Signal == nil })
			})
		})
	}
}

// A modem that leaves a question unanswered that it does not know is as good as
// before, and is not asked again.
func TestAnUnansweredMeasureIsNotAskedAgain(t *testing.T) {
	with(t, map[string]string{"AT+CESQ": ""}, nil, func(r *rig) {
		r.state(sms.Ready)
		r.m.Reset()
		r.until("another session", time.Minute, func() bool { return r.m.Snapshot().Counters.Restarts == 1 })
		r.state(sms.Ready)
		asked := 0
		for _, w := range r.written() {
			asked += strings.Count(w, "AT+CESQ")
		}
		if s := r.m.Snapshot(); asked != 1 || s.Signal == nil || s.Signal.DBm != -73 || s.Signal.RSRP != nil {
			t.Errorf("asked %d times; signal %+v", asked, s.Signal)
		}
	})
}

// measures counts the questions for the signal.
func (r *rig) measures() (n int) {
	for _, w := range r.written() {
		n += strings.Count(w, "AT+CSQ")
	}
	return n
}

// written is what was written to the modem, over all sessions.
func (r *rig) written() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wires {
		all = append(all, w.Writes()...)
	}
	return all
}

// While somebody aims, the signal is measured about once a second, and fifteen
// seconds after the last request no more often than before.
func TestAiming(t *testing.T) {
	converse(t, func(r *rig) {
		measured := func(d time.Duration) int {
			before := r.measures()
			time.Sleep(d)
			synctest.Wait()
			return r.measures() - before
		}
		if n := measured(2 * time.Minute); n < 3 || n > 5 {
			t.Errorf("%d measures in two minutes in which nobody aimed", n)
		}
		r.m.Aim()
		if n := measured(10 * time.Second); n < 9 || n > 12 {
			t.Errorf("%d measures in ten seconds of aiming", n)
		}
		r.m.Aim()
		if n := measured(time.Minute); n < 14 || n > 19 {
			t.Errorf("%d measures after the last request, of fifteen seconds", n)
		}
		if n := measured(2 * time.Minute); n < 3 || n > 5 {
			t.Errorf("%d measures in two minutes after aiming", n)
		}
	})
}

// A modem that is slow to answer keeps most of its time for messages.
func TestAimingLeavesTimeToASlowModem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := drive(t, sim.OnTheAir(), sim.ModemOptions{}, nil)
		defer s.stop()
		s.state(sms.Ready)
		s.dev.Fault(func(f *sim.Faults) { f.Slow = map[string]time.Duration{"+CSQ": 2 * time.Second} })
		before := s.dev.Stats().Lines
		for range 12 {
			s.m.Aim()
			time.Sleep(5 * time.Second)
		}
		if n := s.dev.Stats().Lines - before; n > 24 { // a measure in ten seconds, and the polls
			t.Errorf("%d commands in a minute of a modem that takes two seconds for one", n)
		}
	})
}

// Messages go out as they did while somebody aims.
func TestSendingWhileAiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := func(aiming bool) time.Duration {
			s := drive(t, sim.OnTheAir(), sim.ModemOptions{}, nil)
			defer s.stop()
			s.state(sms.Ready)
			start := time.Now()
			for i := range 40 {
				s.box.add(text(t, fmt.Sprintf("+4917012345%02d", i), "Hello")...)
			}
			s.until("all sent", 10*time.Minute, func() bool {
				if aiming {
					s.m.Aim()
				}
				return len(s.box.booked()) == 40
			})
			if n := s.dev.Stats(); n.Overlaps+n.Dropped > 0 || n.Sends != 40 {
				t.Errorf("%+v", n)
			}
			for _, o := range s.box.booked() {
				if o.Result != modem.Confirmed {
					t.Errorf("outcome %+v", o)
				}
			}
			if aiming && time.Since(s.m.Snapshot().Signal.At) > 6*time.Second {
				t.Errorf("measured %s ago", time.Since(s.m.Snapshot().Signal.At))
			}
			if r := s.m.Snapshot().Rate; r.LastHour != 40 {
				t.Errorf("rate %+v", r)
			}
			return time.Since(start)
		}
		plain, aiming := took(false), took(true)
		if aiming > plain*11/10 {
			t.Errorf("40 messages took %s, %s while somebody aimed", plain, aiming)
		}
	})
}

// gauges are those that begin so, by the rest of their names.
func gauges(t *testing.T, r *prometheus.Registry, begin string) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		if name, ok := strings.CutPrefix(f.GetName(), begin); ok {
			all[name] = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return all
}

// The gauges of a signal are there as long as it is known.
func TestSignalGauges(t *testing.T) {
	registry := prometheus.NewRegistry()
	with(t, map[string]string{"AT+CESQ": "+CESQ: 99,99,255,255,20,50|OK"}, func(o *modem.Options) { o.Metrics = modem.NewMetrics(registry) }, func(r *rig) {
		r.state(sms.Ready)
		if got := gauges(t, registry, "gatewayd_modem_signal_"); !maps.Equal(got, map[string]float64{"dbm": -73, "rsrp_dbm": -91, "rsrq_db": -10}) {
			t.Errorf("gauges %v", got)
		}
		r.knows("AT+CESQ", "+CESQ: 99,99,255,255,255,255|OK")
		r.until("no RSRP", time.Minute, func() bool { return r.m.Snapshot().Signal.RSRP == nil })
		if got := gauges(t, registry, "gatewayd_modem_signal_"); !maps.Equal(got, map[string]float64{"dbm": -73}) {
			t.Errorf("gauges %v", got)
		}
	})
}

// What was not sent is counted by class, and when it was last.
func TestErrorsByClass(t *testing.T) {
	converse(t, func(r *rig) {
		for i, answer := range []string{"+CMS ERROR: 42", "+CMS ERROR: 1", "+CMS ERROR: 42"} {
			p := part(fmt.Sprint(i), int64(i+1))
			r.box.add(p)
			r.takes(p)
			time.Sleep(3 * time.Second)
			r.say(answer)
			r.outcomes(i + 1)
		}
		got := r.m.Snapshot().Errors
		want := []sms.ErrorCount{
			{Class: sms.Permanent, Count: 1, Code: "cms-1", Title: "Unassigned (unallocated) number"},
			{Class: sms.Later, Count: 2, Code: "cms-42", Title: "Congestion"},
		}
		if len(got) == 2 && got[0].At.Before(got[1].At) && time.Since(got[1].At) < 5*time.Second {
			got[0].At, got[1].At = time.Time{}, time.Time{}
		}
		if !slices.Equal(got, want) {
			t.Errorf("errors %+v", got)
		}
	})
}

// The rate is that of the last minute and the last hour.
func TestSendRate(t *testing.T) {
	converse(t, func(r *rig) {
		for i := range 3 {
			p := part(fmt.Sprint(i), int64(i+1))
			r.box.add(p)
			r.takes(p)
			r.say("+CMGS: 7", "OK")
			r.outcomes(i + 1)
			time.Sleep(25 * time.Second)
		}
		for _, c := range []struct {
			wait time.Duration
			want sms.SendRate
		}{{0, sms.SendRate{LastMinute: 2, LastHour: 3}}, {50 * time.Second, sms.SendRate{LastHour: 3}}, {57 * time.Minute, sms.SendRate{LastHour: 3}}, {3 * time.Minute, sms.SendRate{}}} {
			time.Sleep(c.wait)
			if got := r.m.Snapshot().Rate; got != c.want {
				t.Errorf("%s later: %+v, want %+v", c.wait, got, c.want)
			}
		}
	})
}

package gateway

import (
	"context"
	"testing"
	"time"

	"gatewayd/clock"
	"gatewayd/db"
	"gatewayd/sim"
	"gatewayd/sms"
)

// heard is a modem's history since then.
func (w *world) heard(name string, since time.Time) []sms.SignalSample {
	w.t.Helper()
	all, err := w.g.modems.SignalHistory(context.Background(), name, since)
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// The history outlives a restart, has a gap where a modem was away, and is
// written once in five minutes for all modems.
func TestSignalHistory(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		begin := time.Now()
		w.pass(21 * time.Minute)
		if all := w.heard("m1", begin); len(all) != 5 || *all[1].DBm != -71 || *all[1].RSRP != -91 || *all[1].RSRQ != -10 || all[1].SINR != nil || all[1].Technology != "LTE" {
			t.Fatalf("history %+v", all)
		}
		w.modems[0].SetRadio(func(r *sim.Radio) { r.RSSI, r.RSRP = 11, 30 })
		w.pass(12 * time.Minute)
		w.modems[0].Unplug()
		w.pass(30 * time.Minute)
		if n := len(w.heard("m2", begin)); n != 13 {
			t.Errorf("%d samples of the modem that stayed", n)
		}
		if err := w.modems[0].Plug(); err != nil {
			t.Fatal(err)
		}
		w.pass(13 * time.Minute) // 12 would end at the very moment of a step, which may be before it or after
		before := w.heard("m1", begin)
		w.restart(nil)
		w.pass(time.Minute)
		after := w.heard("m1", begin)
		if len(after) != len(before)+1 {
			t.Errorf("%d samples, %d after the restart", len(before), len(after))
		}
		gaps, worst := 0, 0.
		for i, s := range after {
			if i > 0 {
				switch d := s.At.Sub(after[i-1].At); {
				case d >= 25*time.Minute && d <= 40*time.Minute:
					gaps++
				case d > sms.SignalStep+time.Second:
					t.Errorf("%s between two samples", d)
				}
			}
			if *s.WorstRSRP > *s.RSRP || *s.WorstDBm > *s.DBm {
				t.Errorf("the worst is better than the mean: %+v", s)
			}
			worst = min(worst, *s.WorstRSRP)
		}
		if gaps != 1 || worst != -111 {
			t.Errorf("%d gaps, at worst %v: %+v", gaps, worst, after)
		}
		if late := w.heard("m1", time.Now().Add(-10*time.Minute)); len(late) == 0 || len(late) > 3 {
			t.Errorf("%d samples of ten minutes", len(late))
		}
	})
}

// Two days are kept, and what is forgotten of a modem is this too.
func TestSignalHistoryIsPruned(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(50 * time.Hour)
		all := w.heard("m1", time.Time{})
		if n := len(all); n < 576 || n > 579 {
			t.Errorf("%d samples of two days", n)
		}
		if err := w.g.known.forget("m1", ""); err != nil {
			t.Fatal(err)
		}
		if n := len(w.heard("m1", time.Time{})); n > 1 { // the one that is being made
			t.Errorf("%d samples of what was forgotten", n)
		}
	})
}

// What was measured before the clock was set gets its true time.
func TestSignalHistoryWhenTheClockIsSet(t *testing.T) {
	onMachine(t, 1, -56*years, nil, func(m *machine) {
		start := time.Now()
		m.pass(16 * time.Minute)
		if all := m.heard("m1", time.Time{}); len(all) != 4 || all[0].At.Year() > 1975 {
			t.Fatalf("history %+v", all)
		}
		m.set(0, true)
		if !m.g.clock.Trusted() {
			t.Fatal("the clock is not set")
		}
		all := m.heard("m1", time.Time{})
		if len(all) != 4 || all[0].At.Sub(start).Abs() > time.Minute {
			t.Errorf("begun %s, history %+v", start, all)
		}
		for i := 1; i < len(all); i++ {
			if d := all[i].At.Sub(all[i-1].At); (d - sms.SignalStep).Abs() > time.Second {
				t.Errorf("%s between two samples", d)
			}
		}
		m.pass(10 * time.Minute)
		if n := len(m.heard("m1", start.Add(-time.Minute))); n != 6 {
			t.Errorf("%d samples after the clock was set", n)
		}
	})
}

// A restore has what the backup has and what the replaced database has, once.
func TestRestoreKeepsSignals(t *testing.T) {
	a := &archive{t: t, dir: t.TempDir()}
	measure := func(dbm int, modem string) {
		a.in(func(d *db.DB) {
			ss := newSignals(d, clock.New(clock.Options{Always: true}), nil)
			ss.measured(sms.Modem{Name: modem, Signal: &sms.Signal{DBm: dbm}})
			if err := ss.write(); err != nil {
				t.Fatal(err)
			}
		})
	}
	measure(-70, "one")
	a.back()
	measure(-80, "one")
	if _, err := a.restore(); err != nil {
		t.Fatal(err)
	}
	a.in(func(d *db.DB) {
		all, err := newSignals(d, clock.New(clock.Options{Always: true}), nil).of(context.Background(), "one", time.Time{})
		if err != nil || len(all) != 2 || *all[0].DBm != -70 || *all[1].DBm != -80 {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// Aiming reaches the modem, and tells the freshest measure.
func TestAimThroughTheGateway(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(time.Minute)
		if _, err := w.g.modems.Aim("nobody"); err == nil {
			t.Error("a modem that is not there can measure")
		}
		for i := range 8 {
			w.modems[0].SetRadio(func(r *sim.Radio) { r.RSRP = 40 + i })
			w.pass(2 * time.Second)
			m, err := w.g.modems.Aim("m1")
			if err != nil || m.Signal == nil {
				t.Fatalf("%+v, %v", m, err)
			}
			if i > 0 && (*m.Signal.RSRP != float64(40+i-141) || time.Since(m.Signal.At) > 2*time.Second) {
				t.Errorf("RSRP %v, measured %s ago", *m.Signal.RSRP, time.Since(m.Signal.At))
			}
		}
	})
}

package clock

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// machine is a computer whose clock is off by so much.
type machine struct {
	off    time.Duration
	synced bool
}

func (m *machine) boot() *Clock {
	return New(Options{Wall: func() time.Time { return time.Now().Add(m.off) }, Synced: func() bool { return m.synced }})
}

// in2026 runs fn in virtual time that begins after this was released.
func in2026(t *testing.T, fn func(m *machine)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(released.AddDate(0, 10, 0)))
		fn(&machine{})
	})
}

// follow does what the gateway does.
func follow(c *Clock) time.Duration {
	step, source := c.Look()
	c.Step(step, source)
	return step
}

const years = 365 * 24 * time.Hour

func TestStartsWhereItWasLeft(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	in2026(t, func(m *machine) {
		for _, c := range []struct {
			name    string
			machine machine
			last    time.Duration // ago
			certain bool
			at      time.Duration // ahead of the truth
			shift   time.Duration
		}{
			{"right, after an hour's rest", machine{synced: true}, time.Hour, true, 0, 0},
			{"right, after a run that did not know", machine{synced: true}, time.Hour, false, 0, time.Hour},
			{"right, after a run that was ahead", machine{synced: true}, -years, false, 0, -years},
			{"in 1970", machine{off: -56 * years}, time.Hour, true, -time.Hour, 0},
			{"behind by an hour", machine{off: -time.Hour}, time.Minute, true, -time.Minute, 0},
			{"years ahead", machine{off: 9 * years}, time.Hour, true, 9 * years, 9*years + time.Hour},
		} {
			clock := c.machine.boot()
			shift := clock.Resume(ago(c.last), c.certain)
			if d := time.Until(clock.Now()); shift != c.shift || d != c.at {
				t.Errorf("%s: it says %v ahead of the truth, shift %v; want %v, %v", c.name, d, shift, c.at, c.shift)
			}
			if clock.Trusted() != c.machine.synced {
				t.Errorf("%s: trusted %v", c.name, clock.Trusted())
			}
		}
		clock := (&machine{off: -56 * years}).boot()
		if shift := clock.Resume(time.Time{}, false); shift != 0 || clock.Trusted() {
			t.Errorf("the first start: shift %v, trusted %v", shift, clock.Trusted())
		}
	})
}

func TestFollowsTheKernel(t *testing.T) {
	in2026(t, func(m *machine) {
		m.off = -56 * years
		c := m.boot()
		m.off = -3 * years
		if step := follow(c); step != 0 || c.Trusted() {
			t.Errorf("nobody vouches for it: step %v, trusted %v", step, c.Trusted())
		}
		m.off, m.synced = 0, true
		if step := follow(c); step != 56*years || !c.Trusted() || !c.Now().Equal(time.Now()) {
			t.Errorf("step %v, trusted %v, %v", step, c.Trusted(), c.Now())
		}
		m.off, m.synced = 9*years, false
		time.Sleep(time.Hour)
		if step := follow(c); step != 0 || !c.Trusted() || !c.Now().Equal(time.Now()) {
			t.Errorf("set by hand: step %v, trusted %v, %v", step, c.Trusted(), c.Now())
		}
		m.off, m.synced = -time.Hour, true
		if step := follow(c); step != -time.Hour {
			t.Errorf("step %v", step)
		}
		m.off -= 900 * time.Millisecond
		if step := follow(c); step != 0 {
			t.Errorf("step %v for less than a second", step)
		}
	})
}

func TestBelievesTheNetwork(t *testing.T) {
	voice := func(n int, ahead time.Duration) func(*Clock) {
		return func(c *Clock) { c.Heard(fmt.Sprint(n), ahead) }
	}
	atLeast := func(ahead time.Duration) func(*Clock) {
		return func(c *Clock) { c.HeardAtLeast("text", ahead) }
	}
	for _, c := range []struct {
		name   string
		off    time.Duration
		heard  []func(*Clock)
		source Source
	}{
		{"nobody", 0, nil, Nobody},
		{"one voice", 0, []func(*Clock){voice(1, 0)}, Nobody},
		{"the same twice", 0, []func(*Clock){voice(1, 0), voice(1, time.Second)}, Nobody},
		{"two voices", 0, []func(*Clock){voice(1, 2*time.Second), voice(2, -time.Minute)}, Network},
		{"two voices and a liar", 0, []func(*Clock){voice(1, 0), voice(2, 0), voice(3, -2*time.Hour)}, Nobody},
		{"two voices that know better", -time.Hour, []func(*Clock){voice(1, time.Hour), voice(2, time.Hour)}, Nobody},
		{"old texts say nothing", 0, []func(*Clock){atLeast(-time.Hour), atLeast(0)}, Nobody},
		{"nor against it", 0, []func(*Clock){voice(1, 0), voice(2, 0), atLeast(-years)}, Network},
		{"a text from later", -time.Hour, []func(*Clock){voice(1, 0), voice(2, 0), atLeast(time.Hour)}, Nobody},
		{"a modem's 1980, and a Pi's", -46 * years, []func(*Clock){voice(1, 0), voice(2, 0)}, Nobody},
		{"a modem's 2004", 0, []func(*Clock){voice(1, 0), voice(2, 0), voice(3, -22*years)}, Network},
	} {
		t.Run(c.name, func(t *testing.T) {
			in2026(t, func(m *machine) {
				m.off = c.off
				clock := m.boot()
				for _, hear := range c.heard {
					hear(clock)
				}
				if _, source := clock.Look(); source != c.source {
					t.Errorf("%q vouches for it, want %q", source, c.source)
				}
			})
		})
	}
}

// What was heard is about the truth, wherever the gateway's clock stands.
func TestVoicesOutlastAStep(t *testing.T) {
	in2026(t, func(m *machine) {
		c := m.boot()
		c.Resume(time.Now().Add(years), false)
		for i := range 2 {
			c.Heard(fmt.Sprint(i), -years)
		}
		if step := follow(c); step != -years || !c.Trusted() {
			t.Errorf("step %v, trusted %v", step, c.Trusted())
		}
		if step := follow(c); step != 0 || c.Status().Source != Network {
			t.Errorf("step %v by %v", step, c.Status().Source)
		}
		time.Sleep(2 * remembered)
		if _, source := c.Look(); source != Network || !c.Trusted() {
			t.Errorf("it does not go on by itself: %v", source)
		}
	})
}

func TestAlways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{}
		c := New(Options{Always: true, Wall: func() time.Time { return time.Now().Add(m.off) }, Synced: func() bool { return false }})
		m.off = -time.Hour
		if step := follow(c); step != -time.Hour || !c.Trusted() || c.Status().Source != Configured {
			t.Errorf("step %v, %+v", step, c.Status())
		}
	})
}

// The kernel can be asked by anybody.
func TestKernelAnswers(t *testing.T) {
	c := New(Options{})
	if _, source := c.Look(); source != Kernel && source != Nobody {
		t.Error(source)
	}
}

// A sandbox that forbids the question is told of: timedatectl would say that all
// is well.
func TestKernelMayNotBeAsked(t *testing.T) {
	ask := askKernel
	defer func() { askKernel = ask }()
	askKernel = func() (bool, error) { return true, syscall.EPERM }
	if _, source := New(Options{}).Look(); source != Nobody {
		t.Errorf("%q vouches for it", source)
	}
	if s := Advice(time.Now()); !strings.Contains(s, "adjtimex: operation not permitted") || strings.Contains(s, "timedatectl") {
		t.Error(s)
	}
}

package gateway

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/db"
	"gatewayd/modem"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

// noon is a time in the middle of a day and a month.
var noon = time.Date(2026, 11, 12, 12, 0, 0, 0, time.Local)

// limit restarts the world with limits for each of its modems, at a time that
// is now from then on. The function it returns sets the clock.
func (w *world) limit(now time.Time, limits ...Limits) (set func(time.Time)) {
	w.t.Helper()
	var shift atomic.Int64
	set = func(to time.Time) { shift.Store(int64(time.Until(to))) }
	set(now)
	w.restart(func(o *Options) {
		for i, l := range limits {
			o.Modems[i].Limits = l
		}
		o.Queue.Now = func() time.Time { return time.Now().Add(time.Duration(shift.Load())).Round(0) }
	})
	w.pass(10 * time.Second)
	return set
}

func number(i int) string { return fmt.Sprintf("+4917%09d", i) }

// send submits texts to that many numbers, from one on.
func (w *world) send(from, n int, more ...func(*queue.Draft)) (ids []string) {
	w.t.Helper()
	for i := range n {
		ids = append(ids, w.submit(number(from+i), "x", more...).ID)
	}
	return ids
}

// parts counts what the network took from each modem.
func (w *world) parts() map[string]int {
	n := map[string]int{}
	for _, s := range w.net.Accepted() {
		n[s.Modem]++
	}
	return n
}

func (w *world) sent(want ...int) {
	w.t.Helper()
	got := w.parts()
	for i, n := range want {
		if got[w.modems[i].Name()] != n {
			w.t.Fatalf("the modems sent %v parts, want %v", got, want)
		}
	}
}

func (w *world) all(ids []string, within time.Duration) {
	w.t.Helper()
	for _, id := range ids {
		w.until(id, sms.Delivered, within)
	}
}

func (w *world) modem(i int) sms.Modem {
	w.t.Helper()
	m, ok := w.g.modems.Get(w.modems[i].Name())
	if !ok {
		w.t.Fatal("no such modem")
	}
	return m
}

func from(modem string) func(*queue.Draft) {
	return func(d *queue.Draft) { d.Pin = modem }
}

// long is a text of n parts.
func long(n int) string { return strings.Repeat("x", 153*n) }

// The minute is a pace: never more in any sixty seconds, restarts included, no
// slower than that, and no state of its own. Another SIM's messages don't wait.
func TestMinute(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		paced := Limits{PerMinute: 10}
		w.limit(noon, paced, Limits{})
		start := time.Now()
		slow := w.send(0, 25, from("m1"))
		fast := w.send(1000, 20, from("m2"))
		w.all(fast, time.Minute)
		w.pass(30*time.Second - time.Since(start)) // the first ten are out
		if m := w.modem(0); m.State != sms.Ready || m.Limits.PerMinute.Used != 10 || m.Limits.PerMinute.ResetsAt == nil {
			t.Errorf("the modem is %s with %+v", m.State, m.Limits.PerMinute)
		}
		w.limit(noon.Add(time.Since(start)), paced, Limits{})
		w.sent(10)
		w.all(slow, 3*time.Minute)
		if took := time.Since(start); took < 2*time.Minute || took > 2*time.Minute+40*time.Second {
			t.Errorf("25 at 10 a minute took %v", took)
		}
		var at []time.Time
		for _, s := range w.net.Accepted() {
			if s.Modem == "m1" {
				at = append(at, s.At)
			}
		}
		for i := range len(at) - 10 {
			if d := at[i+10].Sub(at[i]); d < 57*time.Second { // on the air some take longer than others
				t.Errorf("parts %d to %d went out within %v", i, i+10, d)
			}
		}
	})
}

// A clock that is set back grants no second minute.
func TestMinuteAndClockSetBack(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		set := w.limit(noon, Limits{PerMinute: 5})
		w.send(0, 8)
		w.pass(25 * time.Second)
		w.sent(5)
		set(noon.Add(-time.Hour))
		w.pass(30 * time.Second)
		w.sent(5)
		w.pass(time.Minute)
		w.sent(8)
	})
}

// Two SIMs with a wall each: no wall is passed, everything goes out, and the
// modem says where it stands.
func TestDay(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		set := w.limit(noon, Limits{PerDay: 20}, Limits{PerDay: 30})
		ids := w.send(0, 60)
		w.pass(5 * time.Minute)
		w.sent(20, 30)
		m := w.modem(0)
		if m.State != sms.Limited || m.Reason != "20 of 20 messages of today are sent." || !strings.Contains(m.Advice, "from midnight on") {
			t.Errorf("the modem is %s: %s %s", m.State, m.Reason, m.Advice)
		}
		if q := m.Limits.PerDay; *q.Limit != 20 || q.Used != 20 || !q.ResetsAt.Equal(time.Date(2026, 11, 13, 0, 0, 0, 0, time.Local)) {
			t.Errorf("the day's limit is %+v", q)
		}
		// It receives all the same.
		if err := w.net.Handset(phone).Send(w.modems[0].Number(), "hello"); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		if n := len(w.inbound()); n != 1 {
			t.Errorf("%d messages received", n)
		}
		set(time.Date(2026, 11, 12, 23, 59, 30, 0, time.Local))
		w.pass(20 * time.Second)
		w.sent(20, 30)
		w.pass(40 * time.Second)
		w.all(ids, 5*time.Minute)
		if m := w.modem(0); m.State != sms.Ready || m.Limits.PerDay.Used+w.modem(1).Limits.PerDay.Used != 10 {
			t.Errorf("the next day the modem is %s with %+v", m.State, m.Limits.PerDay)
		}
		if states := w.states("m1"); !slices.Equal(states[len(states)-2:], []string{"limited", "ready"}) {
			t.Errorf("told: %v", states)
		}
	})
}

// states lists what modem.state events told of a modem.
func (w *world) states(name string) (all []string) {
	w.t.Helper()
	events, err := w.g.Queue().EventsAfter(w.t.Context(), 0, 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range events {
		var m sms.Modem
		if e.Type == "modem.state" && m.UnmarshalJSON(e.Data) == nil && m.Name == name {
			all = append(all, string(m.State))
		}
	}
	return all
}

// The midnight comes by itself, also for a modem that nothing else wakes.
func TestMidnight(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.limit(noon.Add(11*time.Hour), Limits{PerDay: 2})
		ids := w.send(0, 3)
		w.pass(50 * time.Minute)
		w.sent(2)
		w.until(ids[2], sms.Delivered, 11*time.Minute)
	})
}

// Numbers that keep a SIM come back to it when it may send again.
func TestNumbersComeBackToTheirSIM(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		set := w.limit(noon, Limits{PerDay: 6}, Limits{PerDay: 6})
		w.all(w.send(0, 6, from("m1")), time.Minute)
		w.all(w.send(100, 6, from("m2")), time.Minute)
		ids := w.send(0, 6)
		w.pass(time.Minute)
		w.sent(6, 6)
		set(noon.AddDate(0, 0, 1))
		w.all(ids, 2*time.Minute)
		w.sent(12, 6)
	})
}

// What is counted survives a restart and goes with the SIM into another modem.
func TestCountsGoWithTheSIM(t *testing.T) {
	inWorld(t, 0, air(), func(w *world) {
		const iccid = "89490100000000000771"
		w.modems = []*sim.Modem{w.net.AddModem(sim.ModemOptions{Name: "m1", ICCID: iccid})}
		l := Limits{PerDay: 10, RecipientsPerMonth: 100}
		w.limit(noon, l)
		w.all(w.send(0, 6), time.Minute)
		w.modems = []*sim.Modem{w.net.AddModem(sim.ModemOptions{Name: "m2", ICCID: iccid})}
		w.limit(noon.Add(time.Hour), l)
		if got := w.modem(0).Limits; got.PerDay.Used != 6 || got.PerMonth.Used != 6 || got.RecipientsPerMonth.Used != 6 {
			t.Errorf("in the other modem: %+v", got)
		}
		meters := prometheus.NewRegistry()
		meters.MustRegister(limitMeter{w.g.modems})
		families, err := meters.Gather()
		if err != nil || len(families) != 2 || !strings.Contains(families[1].String(), `value:"per_day"}`) || !strings.Contains(families[1].String(), "value:6") {
			t.Errorf("metrics %v, %v", families, err)
		}
		w.send(10, 6)
		w.pass(time.Minute)
		w.sent(4)
		// From the start the modem is what it is.
		w.limit(noon.Add(2*time.Hour), l)
		w.pass(time.Minute)
		w.sent(4)
		if m := w.modem(0); m.State != sms.Limited {
			t.Errorf("after a restart the modem is %s", m.State)
		}
		if told := w.states("m2"); told[len(told)-1] != "limited" || told[len(told)-2] == "ready" {
			t.Errorf("told: %v", told)
		}
	})
}

// Each day is as full as it was left, wherever the clock goes.
func TestDayAndClockThatJumps(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		set := w.limit(noon, Limits{PerDay: 5})
		ids := w.send(0, 12)
		w.pass(time.Minute)
		w.sent(5)
		set(noon.AddDate(0, 0, -1))
		w.pass(2 * time.Minute)
		w.sent(10)
		for range 3 { // back and forth
			set(noon)
			w.pass(2 * time.Minute)
			set(noon.AddDate(0, 0, -1))
			w.pass(2 * time.Minute)
		}
		w.sent(10)
		set(noon.AddDate(0, 0, 1))
		w.all(ids, 2*time.Minute)
	})
}

func TestMonth(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		set := w.limit(noon, Limits{PerDay: 8, PerMonth: 10})
		ids := w.send(0, 12)
		w.pass(time.Minute)
		w.sent(8)
		set(noon.AddDate(0, 0, 1))
		w.pass(2 * time.Minute)
		w.sent(10)
		if m := w.modem(0); m.Reason != "10 of 10 messages of this month are sent." || !strings.Contains(m.Advice, "from 1 December on") {
			t.Errorf("%s %s", m.Reason, m.Advice)
		}
		set(noon.AddDate(0, 0, 2))
		w.pass(2 * time.Minute)
		w.sent(10)
		set(time.Date(2026, 12, 1, 0, 0, 1, 0, time.Local))
		w.all(ids, 2*time.Minute)
	})
}

// Numbers that were texted this month may be texted again; new ones go through
// another modem, or wait for the next month.
func TestRecipients(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		w.limit(noon, Limits{RecipientsPerMonth: 5}, Limits{PerDay: 2})
		w.all(w.send(0, 5, from("m1")), time.Minute)
		again := w.send(0, 5)
		strangers := w.send(100, 4)
		w.all(again, time.Minute)
		w.pass(time.Minute)
		w.sent(10, 2)
		m := w.modem(0)
		if m.State != sms.Limited || m.Reason != "5 of 5 different numbers of this month are used up." || m.Limits.RecipientsPerMonth.Used != 5 {
			t.Errorf("the modem is %s: %s, %+v", m.State, m.Reason, m.Limits)
		}
		// A number is erased; that it was one of five is not.
		if _, err := w.g.Queue().EraseNumber(t.Context(), number(0)); err != nil {
			t.Fatal(err)
		}
		w.limit(noon.Add(time.Hour), Limits{RecipientsPerMonth: 5}, Limits{PerDay: 2})
		w.until(w.send(1, 1)[0], sms.Delivered, time.Minute)
		erased := w.send(0, 1)
		w.pass(time.Minute)
		w.sent(11, 2)
		w.limit(time.Date(2026, 12, 1, 8, 0, 0, 0, time.Local), Limits{RecipientsPerMonth: 5}, Limits{PerDay: 2})
		w.all(append(strangers, erased...), 2*time.Minute)
	})
}

// A message of several parts is not begun before a wall that it would not
// fit, unless it is longer than the limit itself; no other message waits for it.
func TestLongMessageAtTheWall(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		set := w.limit(noon, Limits{PerDay: 6})
		w.all(w.send(0, 4), time.Minute)
		three := w.submit(phone, long(3))
		seven := w.submit(other, long(7))
		w.until(w.send(50, 1)[0], sms.Delivered, time.Minute)
		w.pass(time.Minute)
		w.sent(5)
		set(noon.AddDate(0, 0, 1))
		w.until(three.ID, sms.Delivered, 2*time.Minute)
		w.pass(time.Minute)
		w.sent(8)
		set(noon.AddDate(0, 0, 2))
		w.until(seven.ID, sms.Delivered, 2*time.Minute)
		w.sent(15)
	})
}

// With another modem, what does not fit goes through that, and a message that
// was cut off by the modem goes on with what is left of it.
func TestLongMessageGoesElsewhere(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		w.limit(noon, Limits{PerDay: 10}, Limits{PerDay: 100})
		w.until(w.submit(phone, "keeps m1", from("m1")).ID, sms.Delivered, time.Minute)
		w.all(w.send(0, 7, from("m1")), time.Minute)
		w.until(w.submit(phone, long(3)).ID, sms.Delivered, time.Minute)
		w.sent(8, 3)
	})
}

// A SIM close to its wall is left to the numbers that keep it.
func TestNearTheWall(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		w.limit(noon, Limits{PerDay: 20}, Limits{PerDay: 100})
		w.all(w.send(0, 18, from("m1")), 2*time.Minute)
		w.until(w.submit(phone, "keeps m1", from("m1")).ID, sms.Delivered, time.Minute)
		w.all(w.send(100, 10), time.Minute)
		w.sent(19, 10)
		// Of what waits for it, it sends what it may, and the other one the rest.
		w.all(w.send(0, 4), time.Minute)
		w.sent(20, 13)
		w.until(w.submit(phone, "through another").ID, sms.Delivered, time.Minute)
		w.sent(20, 14)
		// Alone it is used up to the wall.
		w.limit(noon.AddDate(0, 0, 1), Limits{PerDay: 20}, Limits{})
		w.modems[1].Unplug()
		w.send(200, 30)
		w.pass(2 * time.Minute)
		w.sent(40, 14)
	})
}

// What the network refuses does not count.
func TestRefusedDoesNotCount(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.limit(noon, Limits{PerDay: 3})
		w.net.SetFate(other, sim.Fate{CMS: 1})
		w.until(w.submit(other, "x").ID, sms.Failed, time.Minute)
		if q := w.modem(0).Limits; q.PerDay.Used != 0 || q.PerMonth.Used != 0 || q.PerMinute.Used != 1 {
			t.Errorf("counted: %+v", q)
		}
		w.all(w.send(0, 3), time.Minute)
		w.limit(noon, Limits{PerDay: 3})
		if q := w.modem(0).Limits; q.PerDay.Used != 3 {
			t.Errorf("after a restart: %+v", q)
		}
	})
}

// A modem that is found and not listed has limits too.
func TestLimitsOfFoundModems(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.restart(func(o *Options) { o.Limits = Limits{PerMinute: 15, PerDay: 1000} })
		a := w.g.newModem(ModemOptions{Name: "found", Limits: w.g.o.Limits}, false)
		if a.feed.limits != (Limits{PerMinute: 15, PerDay: 1000}) {
			t.Errorf("%+v", a.feed.limits)
		}
	})
}

// limited are modems that only choose, the second of which may text nobody new
// this month.
func limited(t *testing.T) (l *lines, a, b *feed) {
	l = newLines(t)
	d, err := db.Open(t.Context(), db.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	q, err := queue.Open(t.Context(), d, queue.Options{Now: l.d.now})
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := q.Submit(t.Context(), []queue.Draft{{Message: sms.Message{To: number(1), Text: "x"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b = l.modem("a"), l.modem("b")
	a.q, b.q = q, q
	b.limits.RecipientsPerMonth = 1
	if ok, err := q.Advance(nil, &queue.Start{Row: m[0].Row, Part: 1, Modem: b.name, SIM: b.sim, NoteRecipient: true, ExpectedMR: -1}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	return l, a, b
}

// A message that its pinned modem may not send for its limits holds none that
// another may.
func TestPinnedAtAWallHoldsNobody(t *testing.T) {
	l, a, b := limited(t)
	l.wait(phone, func(w *queue.Waiting) { w.Pin = "b" })
	second := l.wait(phone)
	l.want(b, 0)
	l.want(a, second)

	// Nor does one that nobody may send hold one that its pinned modem may.
	l, a, b = limited(t)
	a.working, b.limits = false, Limits{PerDay: 2}
	l.wait(phone, func(w *queue.Waiting) { w.Parts = 2 })
	l.want(b, l.wait(phone, func(w *queue.Waiting) { w.Pin, w.Parts = "b", 1 }))
}

// What one SIM has refused is not left to another that may not send it.
func TestRefusedHereAndAtAWallThere(t *testing.T) {
	l, a, b := limited(t)
	m := l.wait(phone, func(w *queue.Waiting) { w.RefusedBy = "sim-a " })
	l.want(b, 0)
	e := l.want(a, m)

	// And not tried again at once, as if there were somebody else.
	a.jobs = []*job{{entry: e}}
	e.RefusedBy = ""
	o := modem.Outcome{Part: &modem.Part{Row: m, Number: 1}, Result: modem.Refused, Elsewhere: true, Err: &sms.Error{Class: sms.Later}}
	if v := a.verdict(o); v.NotBefore.Sub(l.now) < soon {
		t.Errorf("again in %v", v.NotBefore.Sub(l.now))
	}
}

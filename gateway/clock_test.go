package gateway

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/auth"
	"gatewayd/clock"
	"gatewayd/hooks"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

const years = 365 * 24 * time.Hour

// machine is the computer of a world: its clock is off, and the kernel knows
// whether something keeps it right.
type machine struct {
	*world
	off    atomic.Int64
	synced atomic.Bool
}

// onMachine runs fn with a gateway whose machine's clock is off by so much.
func onMachine(t *testing.T, modems int, off time.Duration, more func(*Options), fn func(*machine)) {
	inWorld(t, 0, air(), func(w *world) {
		w.end()
		w.pass(time.Until(noon)) // the simulated network's time is after the release
		for i := range modems {
			w.modems = append(w.modems, w.net.AddModem(sim.ModemOptions{Name: fmt.Sprintf("m%d", i+1)}))
		}
		m := &machine{world: w}
		m.off.Store(int64(off))
		w.more = func(o *Options) {
			o.Clock = clock.New(clock.Options{Wall: func() time.Time { return time.Now().Add(time.Duration(m.off.Load())) }, Synced: m.synced.Load})
			if more != nil {
				more(o)
			}
		}
		w.start()
		w.pass(10 * time.Second)
		fn(m)
	})
}

// set sets the machine's clock.
func (m *machine) set(off time.Duration, synced bool) {
	m.off.Store(int64(off))
	m.synced.Store(synced)
	m.pass(lookAtClock + time.Second)
}

func at(t time.Time) func(*queue.Draft)      { return func(d *queue.Draft) { d.SendAt = t } }
func expires(t time.Time) func(*queue.Draft) { return func(d *queue.Draft) { d.ExpiresAt = t } }

// is checks a message's status now.
func (w *world) is(id string, want sms.Status) sms.Message {
	w.t.Helper()
	m := w.message(id)
	if m.Status != want {
		w.t.Errorf("%q is %s (%v), want %s", m.Text, m.Status, m.Error, want)
	}
	return m
}

// times is how often the network had a text.
func (w *world) times(text string) int {
	n := 0
	for _, s := range w.net.Accepted() {
		if s.Complete && s.Text == text {
			n++
		}
	}
	return n
}

func (w *world) alarm(code string) bool {
	return slices.ContainsFunc(w.g.alarms.of(""), func(a sms.Alarm) bool { return a.Code == code })
}

// A Pi that starts in 1970 sends and receives, and nothing else happens by the
// time until somebody tells it.
func TestStartIn1970(t *testing.T) {
	silent := func(d *queue.Draft) { d.DeliveryReport = false }
	onMachine(t, 1, -56*years, nil, func(m *machine) {
		plain := m.submit(phone, "plain", silent)
		later := m.submit(phone, "later", at(time.Now().Add(time.Hour)), silent)
		past := m.submit(phone, "past", at(time.Now().Add(-20*years)), silent)
		code := m.submit(phone, "code", expires(time.Now().Add(-time.Hour)), silent)
		gone := m.submit(phone, "gone", at(time.Now().Add(-time.Hour)), expires(time.Now().Add(-time.Minute)), silent)
		if err := m.net.Handset(phone).Send(m.modems[0].Number(), "hello"); err != nil {
			t.Fatal(err)
		}
		m.pass(clockPatience)
		if got := m.is(plain.ID, sms.Sent); !got.ClockUncertain || got.CreatedAt.Year() != 1970 {
			t.Errorf("it is not marked: %v, %v", got.CreatedAt, got.ClockUncertain)
		}
		m.is(code.ID, sms.Sent) // nobody knows that it is too late
		for _, s := range m.net.Accepted() {
			if s.Text == "code" && strings.Contains(fmt.Sprintf("%X", s.TPDU[:1]), "11") {
				t.Error("it has a validity period") // TP-VPF of the first octet
			}
		}
		for _, id := range []string{later.ID, past.ID, gone.ID} {
			m.is(id, sms.Scheduled)
		}
		if in := m.inbound(); len(in) != 1 || !in[0].ClockUncertain {
			t.Errorf("received: %+v", in)
		}
		if !m.alarm(clockNotSet) || valueOf(t, clockMeter(m.g.clock)) != 0 {
			t.Error("no alarm says so")
		}
		said := m.g.alarms.of("")
		m.pass(5 * time.Minute)
		if !slices.Equal(m.g.alarms.of(""), said) {
			t.Errorf("it is written anew though nothing is: %v", m.g.alarms.of(""))
		}
		if at := m.g.modems.List()[0].Since; at.Year() != 1970 { // as its event tells
			t.Errorf("the modem is what it is since %v", at)
		}
		m.g.alarms.begin(topUpDue, "m1", "The top-up day", "")
		began := time.Now()
		m.set(0, true)
		for _, modem := range m.g.modems.List() {
			if time.Since(modem.Since) > time.Hour {
				t.Errorf("%s is %s since %v", modem.Name, modem.State, modem.Since)
			}
		}
		if as := m.g.alarms.of("m1"); len(as) != 1 || as[0].BegunAt.Sub(began).Abs() > time.Second {
			t.Errorf("it began at %v: %v", began, as)
		}
		m.pass(5 * time.Second)
		m.is(past.ID, sms.Sent)
		m.is(gone.ID, sms.Expired)
		m.is(later.ID, sms.Scheduled)
		if m.alarm(clockNotSet) || valueOf(t, clockMeter(m.g.clock)) != 1 {
			t.Error("the alarm goes on")
		}
		if got := m.submit(phone, "now", silent); got.ClockUncertain || time.Since(got.CreatedAt).Abs() > time.Second {
			t.Errorf("it is marked: %v %v", got.CreatedAt, got.ClockUncertain)
		}
		if got := m.message(plain.ID); !got.ClockUncertain {
			t.Error("the mark is gone")
		}
		m.pass(time.Hour)
		m.is(later.ID, sms.Sent)
		if n := m.times("later"); n != 1 {
			t.Errorf("it went out %d times", n)
		}
		events, err := m.g.Queue().EventsAfter(context.Background(), 0, 500)
		if err != nil {
			t.Fatal(err)
		}
		if first, last := events[0], events[len(events)-1]; !first.ClockUncertain || last.ClockUncertain {
			t.Errorf("marks of the first and last event: %v, %v", first.ClockUncertain, last.ClockUncertain)
		}
	})
}

// One that starts years ahead sends nothing before its time, and has nothing
// expire that is not over.
func TestStartYearsAhead(t *testing.T) {
	onMachine(t, 1, 9*years, nil, func(m *machine) {
		later := m.submit(phone, "later", at(time.Now().Add(time.Hour)))
		code := m.submit(phone, "code", expires(time.Now().Add(time.Hour)), func(d *queue.Draft) { d.Pin = "away" })
		quick := m.submit(phone, "quick", expires(time.Now().Add(time.Hour)))
		m.pass(2 * time.Minute)
		m.is(later.ID, sms.Scheduled)
		m.is(code.ID, sms.Queued)
		m.is(quick.ID, sms.Delivered)
		m.set(0, true)
		m.is(later.ID, sms.Scheduled)
		m.is(code.ID, sms.Queued)
		m.pass(time.Hour)
		m.is(later.ID, sms.Delivered)
		m.is(code.ID, sms.Expired)
	})
}

func valueOf(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	f, err := r.Gather()
	if err != nil || len(f) != 1 {
		t.Fatal(f, err)
	}
	return f[0].GetMetric()[0].GetGauge().GetValue()
}

// Without a time server the status reports of two messages vouch for a clock
// that is right, and never for one that is wrong.
func TestNetworkVouchesForTheClock(t *testing.T) {
	for _, c := range []struct {
		off     time.Duration
		trusted bool
	}{{0, true}, {2 * time.Minute, true}, {-48 * time.Hour, false}, {-56 * years, false}, {9 * years, false}} {
		onMachine(t, 1, c.off, nil, func(m *machine) {
			// It lay in the service centre while the machine was off: as old as its clock.
			if err := m.net.Handset(phone).Send(m.modems[0].Number(), "hello"); err != nil {
				t.Fatal(err)
			}
			for i := range 2 {
				if m.pass(lookAtClock + time.Second); m.g.clock.Trusted() {
					t.Errorf("off by %v: trusted after %d reports", c.off, i)
				}
				m.until(m.submit(phone, fmt.Sprint(i)).ID, sms.Delivered, time.Minute)
			}
			m.pass(lookAtClock + time.Second)
			if m.g.clock.Trusted() != c.trusted {
				t.Errorf("off by %v: trusted %v", c.off, m.g.clock.Trusted())
			}
		})
	}
}

// A report of the run before says nothing: its part was sent by the same clock.
func TestReportOfTheRunBefore(t *testing.T) {
	onMachine(t, 1, 0, nil, func(m *machine) {
		h := m.net.Handset(phone)
		h.SetOn(false)
		var ids []string
		for i := range 2 {
			ids = append(ids, m.submit(phone, fmt.Sprint(i)).ID)
			m.until(ids[i], sms.Sent, time.Minute)
		}
		m.end()
		m.start()
		m.pass(10 * time.Second)
		h.SetOn(true)
		for _, id := range ids {
			m.until(id, sms.Delivered, time.Minute)
		}
		m.pass(lookAtClock + time.Second)
		if m.g.clock.Trusted() {
			t.Error("nobody said anything")
		}
	})
}

// Whatever the clock does while it is trusted, nothing is sent early or twice,
// nothing expires wrongly, and waits last as long as they are.
func TestClockThatJumps(t *testing.T) {
	onMachine(t, 1, 0, nil, func(m *machine) {
		m.set(0, true)
		hour := m.submit(phone, "in an hour", at(time.Now().Add(time.Hour)))
		year := m.submit(phone, "in a year", at(time.Now().Add(years)), expires(time.Now().Add(2*years)))
		m.set(9*years, false) // set by hand, or by a battery's clock that went mad
		m.set(-56*years, false)
		m.is(hour.ID, sms.Scheduled)
		if d := time.Since(m.g.clock.Now()).Abs(); d > time.Second {
			t.Errorf("it followed a clock that nobody vouches for: off by %v", d)
		}
		m.pass(time.Hour)
		m.is(hour.ID, sms.Delivered)
		m.is(year.ID, sms.Scheduled)

		// A part whose answer is lost waits two minutes, whichever way the time goes.
		for i, step := range []time.Duration{-time.Hour, time.Hour, 3 * 24 * time.Hour, -3 * 24 * time.Hour} {
			text := fmt.Sprintf("doubtful %d", i)
			m.modems[0].Fault(func(f *sim.Faults) { f.Silent, f.Lost = 1, true })
			doubtful := m.submit(phone, text)
			behind := m.submit(number(i), "behind "+text)
			m.until(doubtful.ID, sms.Unconfirmed, 2*time.Minute)
			since := time.Now()
			m.set(step, true)
			m.pass(20 * time.Second)
			m.is(doubtful.ID, sms.Unconfirmed)
			got := m.until(doubtful.ID, sms.Delivered, 3*time.Minute)
			if !got.PossibleDuplicate || time.Since(since) > 2*time.Minute {
				t.Errorf("step %v: settled after %v", step, time.Since(since))
			}
			m.until(behind.ID, sms.Delivered, time.Minute)
			m.set(0, true)
			if n := m.times(text); n != 1 {
				t.Errorf("step %v: it went out %d times", step, n)
			}
		}

		// So does one that the network would not take, and the order holds.
		m.net.SetFate(number(7), sim.Fate{CMS: 42})
		held := []sms.Message{m.submit(number(7), "first"), m.submit(number(7), "second")}
		m.pass(20 * time.Second)
		m.pass(3 * time.Minute)
		attempts := m.message(held[0].ID).Attempts
		m.set(time.Hour, true)
		if got := m.message(held[0].ID).Attempts; got > attempts+1 {
			t.Errorf("the backoff of a message is over with a step of the clock: %d attempts, then %d", attempts, got)
		}
		m.set(-9*years, true)
		m.net.SetFate(number(7), sim.Fate{})
		m.until(held[0].ID, sms.Delivered, 2*time.Hour)
		m.until(held[1].ID, sms.Delivered, 2*time.Hour) // it may have a backoff of its own
		if err := m.net.Handset(phone).Send(m.modems[0].Number(), "from the past"); err != nil {
			t.Fatal(err)
		}
		m.pass(10 * time.Second)
		if in := m.inbound(); len(in) != 1 {
			t.Errorf("received: %+v", in)
		}
		m.set(0, true)
		m.is(year.ID, sms.Scheduled)
		m.set(years+time.Minute, true) // the time came while nobody looked
		m.until(year.ID, sms.Delivered, time.Minute)
		m.set(0, true)
		m.pass(time.Minute)
		if n := m.times("in a year") + m.times("in an hour"); n != 2 {
			t.Errorf("they went out %d times", n)
		}
	})
}

// A restart with another clock leaves each wait what it had left.
func TestWaitsOverARestartWithAnotherClock(t *testing.T) {
	for _, off := range []time.Duration{-56 * years, -time.Hour, 9 * years} {
		onMachine(t, 1, 0, nil, func(m *machine) {
			m.set(0, true)
			m.modems[0].Fault(func(f *sim.Faults) { f.Silent, f.Lost = 1, true })
			doubtful := m.submit(phone, "doubtful")
			m.until(doubtful.ID, sms.Unconfirmed, 2*time.Minute)
			since := time.Now()
			m.end()
			m.off.Store(int64(off))
			m.synced.Store(false)
			m.start()
			m.pass(45 * time.Second)
			m.is(doubtful.ID, sms.Unconfirmed)
			m.until(doubtful.ID, sms.Delivered, 3*time.Minute)
			if d := time.Since(since); d > 2*time.Minute+30*time.Second {
				t.Errorf("off by %v: it waited %v", off, d)
			}
			if got := m.message(doubtful.ID); !got.ClockUncertain || off < 0 && got.UpdatedAt.Before(since.Add(-time.Minute)) {
				t.Errorf("off by %v: %v, marked %v", off, got.UpdatedAt, got.ClockUncertain)
			}
		})
	}
}

// What was moved when the clock was set is not moved again by the next start,
// though nothing happened in between.
func TestRestartAfterTheClockWasSet(t *testing.T) {
	onMachine(t, 1, -time.Hour, nil, func(m *machine) {
		m.modems[0].Fault(func(f *sim.Faults) { f.Silent, f.Lost = 1, true })
		doubtful := m.submit(phone, "doubtful")
		m.until(doubtful.ID, sms.Unconfirmed, 2*time.Minute)
		since := time.Now()
		m.set(0, true)
		m.pass(40 * time.Second)
		m.is(doubtful.ID, sms.Unconfirmed)
		m.end()
		m.start()
		m.until(doubtful.ID, sms.Delivered, 3*time.Minute)
		if d := time.Since(since); d > 75*time.Second {
			t.Errorf("it waited %v", d)
		}
	})
}

// Test messages go on when a clock that was trusted is set back.
func TestCanariesOfAClockThatIsSetBack(t *testing.T) {
	onMachine(t, 2, 9*years, withCanary(time.Hour, 5*time.Minute), func(m *machine) {
		sent := func() (n int) {
			for _, s := range m.net.Accepted() {
				if strings.HasPrefix(s.Text, canaryText) {
					n++
				}
			}
			return n
		}
		m.set(9*years, true)
		m.pass(canaryRest + 10*time.Minute)
		before := sent()
		m.set(0, true)
		m.pass(2 * time.Hour)
		if after := sent(); before == 0 || after < before+2 {
			t.Errorf("%d test messages before, %d two hours after", before, after)
		}
	})
}

// A year that jumps prunes nothing, neither what was written before the clock
// was set nor what was written with a right one.
func TestNothingIsPrunedBecauseTheYearJumped(t *testing.T) {
	keep := func(o *Options) {
		o.Retention = queue.Retention{Messages: 8 * time.Hour, Texts: 4 * time.Hour, Events: 4 * time.Hour, Idempotency: 4 * time.Hour}
	}
	t.Run("ahead", func(t *testing.T) {
		onMachine(t, 1, 0, keep, func(m *machine) {
			m.set(0, true)
			right := m.submit(phone, "right")
			m.until(right.ID, sms.Delivered, time.Minute)
			m.end()
			m.off.Store(int64(9 * years))
			m.synced.Store(false)
			m.start()
			m.keeps(right)
			oldest := m.oldest()
			m.pass(5 * time.Hour)
			if m.oldest() == oldest {
				t.Error("events of a clock that was ahead are never pruned")
			}
			if m.message(right.ID).Text != "" {
				t.Error("nothing is pruned any more")
			}
		})
	})
	t.Run("1970", func(t *testing.T) { onMachine(t, 1, -56*years, keep, func(m *machine) { m.keeps() }) })
}

// oldest is the sequence of the oldest event that is kept.
func (m *machine) oldest() int64 {
	m.t.Helper()
	seq, _, err := m.g.Queue().Span(context.Background())
	if err != nil {
		m.t.Fatal(err)
	}
	return seq
}

// keeps checks that what was written before the clock is set, and what was there
// before, is kept.
func (m *machine) keeps(before ...sms.Message) {
	m.t.Helper()
	once := &queue.Idempotency{KeyID: "k", Key: "once", Body: []byte("x")}
	draft := []queue.Draft{{Message: sms.Message{To: phone, Text: "once", DeliveryReport: true}}}
	first, _, err := m.g.Queue().Submit(context.Background(), draft, once)
	if err != nil {
		m.t.Fatal(err)
	}
	oldest := m.oldest()
	check := func() {
		m.t.Helper()
		m.pass(61 * time.Minute)
		if got := m.oldest(); got != oldest {
			m.t.Errorf("events were pruned: the oldest was %d and is %d", oldest, got)
		}
		for _, msg := range append(before, first...) {
			if got := m.is(msg.ID, sms.Delivered); got.Redacted {
				m.t.Errorf("the text of %q was erased", msg.ID)
			}
		}
		again, replayed, err := m.g.Queue().Submit(context.Background(), draft, once)
		if err != nil || !replayed || again[0].ID != first[0].ID {
			m.t.Errorf("the answer is forgotten: %v %v", replayed, err)
		}
	}
	check()
	m.set(0, true)
	m.submit(phone, "last")
	check()
}

// Receivers refuse time stamps of 1970: that costs no event any of its tries.
func TestReceiverRefusesOurTime(t *testing.T) {
	var mu sync.Mutex
	told := map[string]int{}
	hook := withWebhook(func(req *http.Request) (*http.Response, error) {
		at, err := time.Parse(time.RFC3339, "1970-01-01T00:00:00Z")
		var unix int64
		if _, err2 := fmt.Sscan(req.Header.Get("Webhook-Timestamp"), &unix); err != nil || err2 != nil {
			return nil, err
		}
		if time.Since(at.Add(time.Duration(unix)*time.Second)).Abs() > 5*time.Minute {
			return &http.Response{StatusCode: 400, Body: http.NoBody}, nil
		}
		mu.Lock()
		defer mu.Unlock()
		told[req.Header.Get("Webhook-Id")]++
		return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
	})
	onMachine(t, 1, -56*years, hook, func(m *machine) {
		m.until(m.submit(phone, "x").ID, sms.Delivered, time.Minute)
		m.pass(time.Hour)
		m.set(0, true)
		m.pass(time.Minute)
		events, err := m.g.Queue().EventsAfter(context.Background(), 0, 500)
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(told) != len(events) {
			t.Errorf("%d of %d events were told", len(told), len(events))
		}
	})
}

// What a technician does at a gateway that knows no time yet lasts as long as it
// would elsewhere: a sign-in, and the old one of a key and of a hook's token.
func TestOverlapsOutliveTheSettingOfTheClock(t *testing.T) {
	onMachine(t, 1, -30*24*time.Hour, nil, func(m *machine) {
		ctx := context.Background()
		k := m.g.Keys()
		token, key, err := k.Create(ctx, "app", []auth.Scope{auth.Send}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := k.Rotate(ctx, key.ID, time.Hour); err != nil {
			t.Fatal(err)
		}
		admin, _, err := k.Create(ctx, "admin", []auth.Scope{auth.Admin}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		cookie, err := k.Login(ctx, admin)
		if err != nil {
			t.Fatal(err)
		}
		s := hooks.Defaults("text")
		s.Name, s.To = "alerts", []string{phone}
		hook, address, err := m.g.hooks.Create(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.g.hooks.Rotate(ctx, hook.ID, time.Hour); err != nil {
			t.Fatal(err)
		}
		for _, step := range []time.Duration{-10 * 24 * time.Hour, 0} { // the network's time, and a better one
			m.set(step, true)
			if _, err := k.Check(ctx, token); err != nil {
				t.Errorf("the old key: %v", err)
			}
			if _, err := k.Session(ctx, cookie); err != nil {
				t.Errorf("the browser: %v", err)
			}
			_, err = m.g.hooks.Receive(ctx, &hooks.Request{Token: address, Method: http.MethodPost, Header: http.Header{}, Body: []byte("x")})
			if err != nil {
				t.Errorf("the old token of a hook: %v", err)
			}
		}
		m.pass(time.Hour)
		if _, err := k.Check(ctx, token); err == nil {
			t.Error("the old key goes on after its overlap")
		}
	})
}

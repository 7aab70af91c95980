package gateway

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/queue"
)

// lines is a dispatcher with modems that only choose.
type lines struct {
	t   *testing.T
	d   *dispatcher
	now time.Time
	seq int64
}

func newLines(t *testing.T) *lines {
	l := &lines{t: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	l.d = newDispatcher(func() time.Time { return l.now })
	return l
}

func (l *lines) modem(name string) *feed {
	f := newFeed(l.d, nil, slog.New(slog.DiscardHandler), name)
	f.sim, f.up, f.working, f.coming = "sim-"+name, true, true, false
	return f
}

// wait adds a message and returns its row, which is its place in the order too.
func (l *lines) wait(to string, more ...func(*queue.Waiting)) int64 {
	l.seq++
	w := queue.Waiting{Row: l.seq, Seq: l.seq, To: to, Priority: 4}
	for _, f := range more {
		f(&w)
	}
	l.d.add([]queue.Waiting{w})
	return w.Row
}

func (l *lines) take(f *feed) *entry {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	e := l.d.take(f, -1)
	if e != nil {
		f.inHand = append(f.inHand, e)
	}
	return e
}

func (l *lines) want(f *feed, row int64) *entry {
	l.t.Helper()
	e := l.take(f)
	switch {
	case e == nil && row != 0:
		l.t.Fatalf("%s gets nothing, want message %d", f.name, row)
	case e != nil && e.Row != row:
		l.t.Fatalf("%s gets message %d, want %d", f.name, e.Row, row)
	}
	return e
}

// pass lets time go by and what became due in it be due.
func (l *lines) pass(d time.Duration) {
	l.now = l.now.Add(d)
	l.d.timer = time.AfterFunc(time.Hour, func() {})
	defer l.d.timer.Stop()
	l.d.wakeHeld()
}

const other = "+491700000001"

// A message that the number's own SIM has refused goes through another, also
// when that is all that is known after a restart.
func TestRefusedByTheSIMItsNumberKeeps(t *testing.T) {
	refused := func(w *queue.Waiting) { w.SIM, w.RefusedBy = "sim-a", "sim-a " }
	t.Run("after a restart", func(t *testing.T) {
		l := newLines(t)
		a, b := l.modem("a"), l.modem("b")
		m := l.wait(phone, refused)
		l.want(a, 0)
		l.want(b, m)
	})
	t.Run("once its backoff is over", func(t *testing.T) {
		l := newLines(t)
		a, b := l.modem("a"), l.modem("b")
		first := l.wait(phone, refused, func(w *queue.Waiting) { w.NotBefore = l.now.Add(time.Minute) })
		l.pass(30 * time.Second) // the second may overtake it now
		l.wait(phone)
		l.want(b, 0)
		l.pass(30 * time.Second)
		l.want(a, 0)
		l.want(b, first)
	})
	t.Run("by the only modem there is", func(t *testing.T) {
		l := newLines(t)
		a := l.modem("a")
		l.want(a, l.wait(phone, refused))
	})
}

// What was settled and queued again before its modem has let go of it is sent.
func TestRenewedWhileInHand(t *testing.T) {
	l := newLines(t)
	a := l.modem("a")
	m := l.wait(phone)
	e := l.want(a, m)
	l.d.add([]queue.Waiting{{Row: m, Seq: 7, To: phone, Priority: 4}})
	l.want(a, 0)
	a.dropEntry(e)
	l.want(a, m)
}

// Per recipient and priority the order of acceptance holds, whoever has to send.
func TestOrderAcrossPins(t *testing.T) {
	pin := func(w *queue.Waiting) { w.Pin = "b" }
	l := newLines(t)
	a, b := l.modem("a"), l.modem("b")
	first := l.wait(phone, pin)
	second := l.wait(phone)
	third := l.wait(phone, pin)
	l.want(a, 0)
	e := l.want(b, first)
	l.want(a, 0)
	b.dropEntry(e)
	e = l.want(a, second)
	l.want(b, 0)
	a.dropEntry(e)
	l.want(b, third)

	// It is not waited for when its modem doesn't work.
	b.working = false
	l.wait(other, pin)
	l.want(a, l.wait(other))
}

// A message in backoff holds the later ones thirty seconds, however often it
// is tried in that time.
func TestBackoffHoldsOnce(t *testing.T) {
	l := newLines(t)
	a := l.modem("a")
	bad, good := l.wait(phone), l.wait(phone)
	e := l.want(a, bad)
	e.NotBefore = l.now.Add(20 * time.Second)
	a.putBack(e)
	l.want(a, 0)
	l.pass(20 * time.Second)
	e = l.want(a, bad)
	e.NotBefore = l.now.Add(40 * time.Second)
	a.putBack(e)
	l.want(a, 0)
	l.pass(10 * time.Second)
	a.dropEntry(l.want(a, good))
	l.pass(30 * time.Second)
	l.want(a, bad)
}

// A clock that is set back makes nobody stumble over what was due already.
func TestClockSetBack(t *testing.T) {
	l := newLines(t)
	a := l.modem("a")
	m := l.wait(phone, func(w *queue.Waiting) { w.NotBefore = l.now })
	l.now = l.now.Add(-time.Hour)
	l.want(a, 0)
	l.pass(time.Hour)
	l.want(a, m)
}

// However many messages to one number are in backoff, there is a time to come at
// which the next may go.
func TestManyInBackoff(t *testing.T) {
	l := newLines(t)
	a := l.modem("a")
	for range 150 {
		l.wait(phone, func(w *queue.Waiting) { w.NotBefore = l.now.Add(10 * time.Minute) })
	}
	l.now = l.now.Add(2 * overtakeAfter) // each may be overtaken
	if e, due := l.d.recipients[phone].lines[0].first(l.now); e != nil || !due.After(l.now) {
		t.Fatalf("message %v, due %v, and it is %v", e, due, l.now)
	}
	l.pass(0)
	l.want(a, 0)
	l.pass(10 * time.Minute)
	l.want(a, 1)
}

// Parts that went out through one SIM spare nothing once the recipient has
// another: there all go again.
func TestPartsOfAnotherSIMAreNeeded(t *testing.T) {
	l := newLines(t)
	a, b := l.modem("a"), l.modem("b")
	m := l.wait(phone, func(w *queue.Waiting) { w.SIM, w.Parts, w.Done = "sim-a", 3, 2 })
	e := l.want(a, m)
	e.NotBefore = l.now.Add(time.Hour)
	a.putBack(e)
	a.working = false
	l.wait(phone)
	l.pass(overtakeAfter)
	b.dropEntry(l.want(b, 2))
	if n := e.need(b.sim); n != 3 {
		t.Errorf("through the other SIM %d parts are needed, want 3", n)
	}
}

// A machine without a clock of its own learns the time when the daemon runs
// already: what is due by then does not wait for what the old time made of it.
func TestClockSetForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLines(t)
		l.d.timer = time.AfterFunc(time.Hour, l.d.wakeHeld)
		defer l.d.timer.Stop()
		a := l.modem("a")
		m := l.wait(phone, func(w *queue.Waiting) { w.NotBefore = l.now.Add(90 * time.Minute) })
		l.want(a, 0)
		l.d.mu.Lock()
		l.now = l.now.Add(31 * 365 * 24 * time.Hour)
		l.d.mu.Unlock()
		time.Sleep(2 * lookAtLeast)
		l.want(a, m)
	})
}

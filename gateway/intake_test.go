package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"gatewayd/modem"
	"gatewayd/queue"
	"gatewayd/sms"
)

// backlog is a dispatcher with a narrow window on a queue, and modems that only choose.
type backlog struct {
	t   *testing.T
	g   *Gateway
	d   *dispatcher
	now *time.Time
}

const narrow = 4

func newBacklog(t *testing.T) *backlog {
	g, now := still(t, queue.Options{})
	g.dispatch.window = narrow
	return &backlog{t, g, g.dispatch, now}
}

func (b *backlog) modem(name string) *feed {
	f := newFeed(b.d, b.g.queue, slog.New(slog.DiscardHandler), name)
	b.t.Cleanup(f.end)
	b.is(f, sms.Ready)
	return f
}

func (b *backlog) is(f *feed, s sms.ModemState) {
	f.update(sms.Modem{State: s, ICCID: "sim-" + f.name})
	b.look()
}

// look is what follow does once it is woken.
func (b *backlog) look() {
	b.t.Helper()
	for {
		select {
		case <-b.d.used:
			if err := b.d.load(b.t.Context(), b.g.queue); err != nil {
				b.t.Fatal(err)
			}
			continue
		default:
		}
		return
	}
}

// wait submits n messages to different numbers, or all to one, and returns their rows.
func (b *backlog) wait(n int, to func(i int) string, more ...func(*queue.Draft)) (rows []int64) {
	b.t.Helper()
	var drafts []queue.Draft
	for i := range n {
		d := queue.Draft{Message: sms.Message{To: to(i), Text: "x", Priority: sms.DefaultPriority}}
		for _, f := range more {
			f(&d)
		}
		drafts = append(drafts, d)
	}
	all, _, err := b.g.queue.Submit(b.t.Context(), drafts, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, m := range all {
		rows = append(rows, m.Row)
	}
	b.d.lookForMore() // as the commit does
	b.look()
	return rows
}

func one(number string) func(int) string { return func(int) string { return number } }

func from0(first int) func(int) string { return func(i int) string { return number(first + i) } }

func priority(p int) func(*queue.Draft) { return func(d *queue.Draft) { d.Priority = p } }

// begin has f start the next message that it may take, nil if there is none.
func (b *backlog) begin(f *feed) *modem.Part {
	b.t.Helper()
	p := f.Next()
	b.look()
	if p == nil {
		return nil
	}
	if ok, err := f.Begin(nil, p, -1); !ok || err != nil {
		b.t.Fatal(ok, err)
	}
	return p
}

func (b *backlog) finish(f *feed, o modem.Outcome) {
	b.t.Helper()
	if err := f.Finish(o); err != nil {
		b.t.Fatal(err)
	}
	b.look()
}

// send has f send the next message, and returns its row; 0: there is none.
func (b *backlog) send(f *feed) int64 {
	b.t.Helper()
	p := b.begin(f)
	if p == nil {
		return 0
	}
	b.finish(f, modem.Outcome{Part: p, Result: modem.Confirmed, MR: -1})
	return p.Row
}

func (b *backlog) wants(f *feed, rows ...int64) {
	b.t.Helper()
	for _, row := range rows {
		if got := b.send(f); got != row {
			b.t.Fatalf("%s sends message %d, want %d", f.name, got, row)
		}
	}
}

// wantsAll is wants in whatever order.
func (b *backlog) wantsAll(f *feed, rows ...int64) {
	b.t.Helper()
	var got []int64
	for range rows {
		got = append(got, b.send(f))
	}
	if slices.Sort(got); !slices.Equal(got, rows) {
		b.t.Fatalf("%s sends %v, want %v", f.name, got, rows)
	}
}

// holds checks how many messages are in memory.
func (b *backlog) holds(most int) {
	b.t.Helper()
	if n := len(b.d.entries); n > most {
		b.t.Fatalf("%d messages are in memory, want at most %d", n, most)
	}
}

// over checks that all was sent and nothing is left in memory.
func (b *backlog) over() {
	b.t.Helper()
	if n := b.g.queue.CountByStatus(); n[sms.Queued]+n[sms.Sending]+n[sms.Unconfirmed] > 0 {
		b.t.Errorf("forgotten: %v", n)
	}
	d := b.d
	if len(d.entries)+len(d.recipients)+len(d.held) > 0 || d.lines != [queue.Priorities]int{} {
		b.t.Errorf("left in memory: %d messages, %d recipients, %d held, lines %v", len(d.entries), len(d.recipients), len(d.held), d.lines)
	}
	for at, h := range d.lanes {
		if h.Len() > 0 || h.ready != [queue.Priorities]int{} {
			b.t.Errorf("lane %v: %d lines, counted %v", at, h.Len(), h.ready)
		}
	}
}

// A modem is never idle for a flood to one number that another has in hand.
func TestFloodKeepsNobodyOut(t *testing.T) {
	b := newBacklog(t)
	x, y := b.modem("x"), b.modem("y")
	flood := b.wait(50, one(phone))
	others := b.wait(30, from0(0))
	p := b.begin(x)
	b.wants(y, others...)
	b.finish(x, modem.Outcome{Part: p, Result: modem.Confirmed, MR: -1})
	b.wants(x, flood[1:]...)
	b.over()
}

// Nor for what only another one may take, as far as it is looked for.
func TestBusyModemKeepsNobodyOut(t *testing.T) {
	b := newBacklog(t)
	x, y := b.modem("x"), b.modem("y")
	its := b.wait(100, from0(0), from("x"))
	any := b.wait(20, from0(1000))
	b.holds(farWindows*narrow + narrow)
	if row := b.send(y); row != 0 {
		t.Fatalf("y sends %d", row)
	}
	for _, row := range its[:70] {
		b.wants(x, row)
		b.holds(farWindows*narrow + narrow)
	}
	b.wants(y, any...)
	b.wants(x, its[70:]...)
	b.over()
}

// What is pinned to a modem that is away stays on the disk, holds up nobody, and
// is sent in its order when the modem is back.
func TestAwayModemKeepsNobodyOut(t *testing.T) {
	b := newBacklog(t)
	x, away := b.modem("x"), b.modem("away")
	b.is(away, sms.Absent)
	its := b.wait(100, from0(0), from("away"))
	any := b.wait(40, from0(1000))
	b.wants(x, any[:10]...)
	b.holds(2 * narrow)
	b.is(away, sms.Ready)
	for i, row := range its[:90] {
		if i == 50 { // away for a moment
			b.is(away, sms.Absent)
			b.wants(x, any[10:20]...)
			b.is(away, sms.Ready)
		}
		b.wants(away, row)
		b.holds(4 * narrow)
	}
	b.wants(x, any[20:]...)
	b.wants(away, its[90:]...)
	b.over()
}

// Two lines of one recipient keep their order where one of them is of a modem
// that was away.
func TestOrderWithWhatWasAway(t *testing.T) {
	b := newBacklog(t)
	x := b.modem("x")
	pinned := b.wait(3, one(phone), from("away"))
	free := b.wait(3, one(phone))
	b.wants(x, free[0])
	away := b.modem("away")
	if row := b.send(x); row != 0 {
		t.Errorf("x sends %d before what is older", row)
	}
	b.wants(away, pinned...)
	b.wants(x, free[1:]...)
	b.over()
}

// Strangers that a SIM may not text this month keep none out that it may.
func TestWallKeepsNobodyOut(t *testing.T) {
	b := newBacklog(t)
	x := b.modem("x")
	x.limits.RecipientsPerMonth = 1
	b.wants(x, b.wait(1, one(phone))...)
	strangers := b.wait(30, from0(0))
	b.wants(x, b.wait(2, one(phone))...)
	if row := b.send(x); row != 0 {
		t.Errorf("message %d goes to a stranger", row)
	}
	b.wants(b.modem("y"), strangers...)
	b.over()
}

// While no modem works, memory is bounded.
func TestNoModemWorks(t *testing.T) {
	b := newBacklog(t)
	rows := b.wait(100, from0(0))
	b.holds(2 * narrow)
	b.wants(b.modem("x"), rows...)
	b.over()
}

// The higher priority goes first, however much of a lower one waits.
func TestPriorityOvertakesABacklog(t *testing.T) {
	b := newBacklog(t)
	x := b.modem("x")
	low := b.wait(100, from0(0))
	b.wants(x, low[:3]...)
	b.wants(x, b.wait(10, from0(1000), priority(9))...)
	middle := b.wait(3, from0(2000), priority(5))
	high := b.wait(2, one(number(90)), priority(6)) // its number waits further behind
	b.wants(x, high...)
	b.wants(x, middle...)
	b.wants(x, low[3:]...)
	b.over()
}

// A number that does not get its messages goes behind all that wait, also on the
// disk, and not later.
func TestDeadNumberAndABacklog(t *testing.T) {
	b := newBacklog(t)
	x := b.modem("x")
	bad := b.wait(12, from0(0))
	for range bad {
		p := b.begin(x)
		b.finish(x, modem.Outcome{Part: p, Result: modem.NotSent, Err: &sms.Error{Code: "x", Class: sms.Now}})
	}
	good := b.wait(50, from0(1000)) // behind
	b.wantsAll(x, bad...)
	for _, row := range good[:20] {
		p := b.begin(x)
		if p.Row != row {
			t.Fatalf("message %d goes, want %d", p.Row, row)
		}
		b.finish(x, modem.Outcome{Part: p, Result: modem.NotSent, Err: &sms.Error{Code: "x", Class: sms.Now}})
	}
	late := b.wait(10, from0(2000))
	b.wants(x, good[20:]...)
	b.wantsAll(x, good[:20]...)
	b.wants(x, late...)
	b.over()
}

// That is known of it when its next message comes into memory.
func TestDeadNumberFurtherBehind(t *testing.T) {
	b := newBacklog(t)
	x := b.modem("x")
	b.wait(1, one(phone))
	good := b.wait(20, from0(0))
	bad := b.wait(1, one(phone))
	more := b.wait(20, from0(1000))
	p := b.begin(x)
	b.finish(x, modem.Outcome{Part: p, Result: modem.Refused, Err: &sms.Error{Code: "x", Class: sms.Permanent}})
	b.wants(x, good...)
	b.wants(x, more...)
	b.wants(x, bad...)
	b.wait(1, one(phone))
	p = b.begin(x)
	b.finish(x, modem.Outcome{Part: p, Result: modem.Refused, Err: &sms.Error{Code: "x", Class: sms.Permanent}})
	b.over()
	if len(b.d.failed) > 0 {
		t.Errorf("remembered: %v", b.d.failed)
	}
}

// Numbers in backoff keep nobody out.
func TestBackoffKeepsNobodyOut(t *testing.T) {
	b := newBacklog(t)
	b.d.timer = time.AfterFunc(time.Hour, func() {})
	defer b.d.timer.Stop()
	x := b.modem("x")
	bad := b.wait(30, from0(0))
	good := b.wait(30, from0(1000))
	for range bad {
		p := b.begin(x)
		b.finish(x, modem.Outcome{Part: p, Result: modem.Refused, Err: &sms.Error{Code: "x", Class: sms.Later}})
	}
	b.wants(x, good...)
	*b.now = b.now.Add(time.Minute)
	b.d.wakeHeld()
	b.wantsAll(x, bad...)
	b.over()
}

// The order per recipient holds over the window's edge, whatever is queued again.
func TestOrderOverTheEdge(t *testing.T) {
	b := newBacklog(t)
	x, y := b.modem("x"), b.modem("y")
	const numbers = 101
	first := b.wait(200, func(i int) string { return number(i * i % numbers) })
	doubtful := map[int64]bool{}
	sent := map[string][]int64{}
	step := func(f *feed, i int) bool {
		p := b.begin(f)
		switch {
		case p == nil:
			return false
		case i%5 == 1:
			b.finish(f, modem.Outcome{Part: p, Result: modem.NotSent, Err: &sms.Error{Code: modem.PortGone, Class: sms.Now}})
		case i%7 == 2 && !doubtful[p.Row]:
			doubtful[p.Row] = true
			b.finish(f, modem.Outcome{Part: p, Result: modem.Unknown, ExpectedMR: -1})
		default:
			sent[p.To] = append(sent[p.To], p.Row)
			b.finish(f, modem.Outcome{Part: p, Result: modem.Confirmed, MR: -1})
		}
		return true
	}
	for i := range 60 {
		step([]*feed{x, y}[i%2], i)
	}
	*b.now = b.now.Add(10 * time.Minute)
	if _, err := b.g.queue.SettleUnconfirmed(*b.now); err != nil {
		t.Fatal(err)
	}
	again := len(doubtful)
	second := b.wait(40, func(i int) string { return number(i * i % numbers) })
	for i := 0; step([]*feed{x, y}[i%2], 0) || step([]*feed{x, y}[(i+1)%2], 0); i++ {
		b.holds(len(first) / 2)
	}
	b.over()
	total := 0
	for to, rows := range sent {
		total += len(rows)
		// What was sent in doubt goes again behind what waited then, before what came later.
		rank := func(row int64) int {
			switch {
			case row >= second[0]:
				return 2
			case doubtful[row]:
				return 1
			}
			return 0
		}
		if !slices.IsSortedFunc(rows, func(p, q int64) int {
			if a, b := rank(p), rank(q); a != b {
				return a - b
			}
			return int(p - q)
		}) {
			t.Errorf("%s got %v; in doubt were %v", to, rows, doubtful)
		}
	}
	if total != len(first)+len(second) || again == 0 {
		t.Errorf("%d of %d sent, %d of them again", total, len(first)+len(second), again)
	}
}

// A modem that comes gets what is pinned to it, whether or not anything is booked.
func TestModemComesToABacklog(t *testing.T) {
	inWorld(t, 0, air(), func(w *world) {
		f := newFeed(w.g.dispatch, w.g.queue, slog.New(slog.DiscardHandler), "a")
		defer f.end()
		f.update(sms.Modem{State: sms.Absent})
		w.submit(phone, "x", from("a"))
		w.pass(time.Minute)
		w.g.dispatch.mu.Lock()
		n := len(w.g.dispatch.entries)
		w.g.dispatch.mu.Unlock()
		if f.Next() != nil || n > 0 {
			t.Error("what is pinned to a modem that is away is in memory")
		}
		f.update(sms.Modem{State: sms.Ready, ICCID: "a"})
		w.pass(time.Second)
		if f.Next() == nil {
			t.Error("the modem gets nothing")
		}
	})
}

// A running gateway takes in what waits by itself, over a restart and modems that
// come and go; all arrives, and each phone's texts in their order.
func TestBacklogRuns(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		less := func() {
			w.g.dispatch.mu.Lock()
			defer w.g.dispatch.mu.Unlock()
			w.g.dispatch.window = narrow
		}
		less()
		const numbers = 20
		w.modems[0].Unplug()
		var drafts []queue.Draft
		for i := range 120 {
			d := queue.Draft{Message: sms.Message{To: number(i * i % numbers), Text: fmt.Sprintf("%03d", i), Priority: sms.DefaultPriority}}
			if i*i%numbers == 1 {
				d.Pin = "m1"
			}
			drafts = append(drafts, d)
		}
		all, _, err := w.g.Queue().Submit(context.Background(), drafts, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.pass(30 * time.Second)
		w.until(w.submit(phone, "urgent", priority(9)).ID, sms.Sent, 8*time.Second)
		w.restart(nil)
		less()
		w.pass(30 * time.Second)
		if err := w.modems[0].Plug(); err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			w.until(m.ID, sms.Sent, 10*time.Minute)
		}
		w.pass(10 * time.Second)
		for i := range numbers {
			if got := w.net.Handset(number(i)).Received(); !slices.IsSorted(got) {
				t.Errorf("%s got %v", number(i), got)
			}
		}
		if n := w.parts(); n["m1"] == 0 || n["m2"] == 0 {
			t.Errorf("the modems sent %v", n)
		}
	})
}

package main

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"gatewayd/failpoint"
	"gatewayd/sim"
)

// troubles are what may happen around the daemon during a life. Each begins
// something and returns how it ends.
var troubles = []struct {
	name string
	do   func(w *world) (end func())
}{
	{"a modem pulled and plugged in again", (*world).pull},
	{"a modem pulled at a byte", (*world).pullAtByte},
	{"a slow network", func(w *world) func() {
		w.net.SetLatency(time.Duration(100+w.rand.IntN(700))*time.Millisecond, 100*time.Millisecond)
		return func() { w.net.SetLatency(usualLatency, usualLatency/2) }
	}},
	{"answers lost", fault(func(f *sim.Faults) { f.Silent = 2 })},
	{"answers lost, and what they answered", fault(func(f *sim.Faults) { f.Silent, f.Lost = 2, true })},
	{"OK without +CMGS", fault(func(f *sim.Faults) { f.OKOnly = 2 })},
	{"OK without +CMGS, and nothing sent", fault(func(f *sim.Faults) { f.OKOnly, f.Lost = 2, true })},
	{"late answers", fault(func(f *sim.Faults) { f.Late, f.LateBy = 4, 300*time.Millisecond })},
	{"errors that leave it open", fault(func(f *sim.Faults) { f.Reject, f.SendError = 2, "+CMS ERROR: 500" })},
	{"reports before answers", fault(func(f *sim.Faults) { f.ReportFirst = true })},
	{"a slow prompt", fault(func(f *sim.Faults) { f.PromptDelay = 60 * time.Millisecond })},
	{"a prompt in pieces", fault(func(f *sim.Faults) { f.SplitPrompt = true })},
	{"slow deletions", fault(func(f *sim.Faults) { f.Slow = map[string]time.Duration{"+CMGD": 80 * time.Millisecond} })},
	{"announcements twice", fault(func(f *sim.Faults) { f.CMTITwice = 3 })},
	{"announcements lost", fault(func(f *sim.Faults) { f.CMTIMissing = 2 })},
	{"acknowledgements lost", fault(func(f *sim.Faults) { f.Duplicate = 1 })},
	{"settings forgotten", fault(func(f *sim.Faults) { f.SilentReset = 1 })},
	{"a slow webhook receiver", receiverThatIs(slow)},
	{"a webhook receiver that fails", receiverThatIs(failed)},
	{"a webhook receiver that dies", receiverThatIs(dying)},
	{"no webhook receiver", receiverThatIs(down)},
	{diskFull, (*world).fillDisk},
}

const diskFull = "a full disk"

// trouble lets a life in three have some. What it returns ends it.
func (w *world) trouble(p *plan) (undo func()) {
	w.disk.wasFull = false
	if w.rand.IntN(3) > 0 {
		return func() {}
	}
	t := troubles[w.rand.IntN(len(troubles))]
	end := t.do(w)
	p.with = t.name
	w.lab.met(t.name)
	return end
}

func fault(set func(*sim.Faults)) func(w *world) func() {
	return func(w *world) func() {
		m := w.modem()
		m.Fault(set)
		return m.ClearFaults
	}
}

func receiverThatIs(m mood) func(w *world) func() {
	return func(w *world) func() {
		be := func(m mood) {
			if err := w.hook.be(m); err != nil {
				w.lab.fail(fmt.Errorf("the webhook receiver: %w", err))
			}
		}
		be(m)
		return func() { be(fine) }
	}
}

// later does something during the life; ending it waits for that.
func later(d time.Duration, do func()) (end func()) {
	var once sync.Once
	done := make(chan struct{})
	act := func() { once.Do(func() { do(); close(done) }) }
	t := time.AfterFunc(d, act)
	return func() {
		if t.Stop() {
			return
		}
		<-done
	}
}

// pull pulls a modem out, and plugs it in again: under another port's number
// then.
func (w *world) pull() func() {
	m := w.modem()
	gone := later(time.Duration(w.rand.IntN(500))*time.Millisecond, m.Unplug)
	back := later(time.Duration(500+w.rand.IntN(500))*time.Millisecond, func() { w.plug(m) })
	return func() {
		gone()
		back()
		w.plug(m)
	}
}

func (w *world) plug(m *sim.Modem) {
	if err := m.Plug(); err != nil {
		w.lab.fail(fmt.Errorf("a modem can't be plugged in: %w", err))
	}
}

// pullAtByte pulls a modem in the middle of whatever is said.
func (w *world) pullAtByte() func() {
	m := w.modem()
	m.Fault(func(f *sim.Faults) { f.UnplugAfter = 1 + w.rand.IntN(4000) })
	return func() {
		m.ClearFaults()
		w.plug(m)
	}
}

func (w *world) fillDisk() func() {
	if !w.disk.mounted {
		return func() {}
	}
	leave := int64(w.rand.IntN(300)) << 10
	end := later(time.Duration(w.rand.IntN(400))*time.Millisecond, func() {
		if err := w.disk.fill(leave); err != nil {
			w.lab.fail(fmt.Errorf("filling the disk: %w", err))
		}
	})
	return func() {
		end()
		w.disk.free()
	}
}

// firstOnly are failpoints that a life meets once, or seldom.
func firstOnly(name string) bool {
	switch name {
	case "gateway.stopping", "gateway.stopped", "db.opened", "queue.before-recovery", "queue.recovered", "gateway.built",
		"api.replay", "modem.before-cnma", "modem.after-cnma", "queue.settle-unconfirmed", "queue.settled":
		return true
	}
	return false
}

// early are those before anything is done: killed there too often, a daemon
// gets nowhere.
func early(name string) bool {
	switch name {
	case "db.opened", "queue.before-recovery", "queue.recovered", "gateway.built", "modem.bring-up", "modem.before-sweep":
		return true
	}
	return false
}

// plan decides how the next life ends: at a failpoint as a rule, else at a random
// moment.
func (w *world) plan() plan {
	r, l := w.rand, w.lab
	p := plan{after: longestLife}
	if r.IntN(4) == 0 && !l.every {
		p.after = time.Duration(r.IntN(int(longestLife/time.Millisecond))) * time.Millisecond
		if r.IntN(5) == 0 {
			p.term = time.Duration(r.IntN(int(p.after/time.Millisecond)+1)) * time.Millisecond
		}
		return p
	}
	p.point, p.hit = w.points[r.IntN(len(w.points))], 1
	if r.IntN(8) == 0 { // there all that is promised begins
		p.point = []string{"db.before-commit", "db.after-commit"}[r.IntN(2)]
	}
	if r.IntN(2) == 0 {
		p.wait = time.Duration(1+r.IntN(60)) * time.Millisecond
	}
	switch {
	case l.every:
		p.point, p.after = l.least(r, w.points), 2*longestLife
	case early(p.point) && r.IntN(3) > 0:
		p.point = w.points[r.IntN(len(w.points))]
	}
	if !firstOnly(p.point) && !l.every {
		p.hit += r.IntN(1 << r.IntN(4))
		if p.point == "db.before-commit" || p.point == "db.after-commit" {
			p.hit += r.IntN(40)
		}
	}
	if p.point == "gateway.stopping" || p.point == "gateway.stopped" {
		p.term = time.Duration(200+r.IntN(600)) * time.Millisecond
	}
	return p
}

// pointsOf are the failpoints that a world can meet.
func pointsOf(direct bool) []string {
	return slices.DeleteFunc(slices.Clone(failpoint.Names), func(name string) bool {
		return !direct && (name == "modem.before-cnma" || name == "modem.after-cnma")
	})
}

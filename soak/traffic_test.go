package soak

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

// action is something that happens at a time of the day.
type action struct {
	at time.Duration
	do func()
}

// day lives through one day: what happens, and when, is decided by the seed
// alone. messages is how many there are of both directions.
func (w *world) day(messages int, troubled bool) {
	var all []action
	often := func(n int, do func()) {
		for range n {
			all = append(all, action{time.Duration(w.rnd.Int64N(int64(24 * time.Hour))), do})
		}
	}
	if troubled {
		messages -= 4 * troubles
	}
	often(messages*6/10, w.post)
	often(messages*4/10, w.text)
	often(24, w.readNetwork)
	if troubled {
		often(troubles, w.trouble)
		often(2, w.restart)
		often(2, w.receiverTrouble)
		often(1, w.clockTrouble)
	}
	slices.SortStableFunc(all, func(a, b action) int { return cmp.Compare(a.at, b.at) })
	start := time.Now()
	for _, a := range all {
		// A restart may have taken longer than until the next.
		if wait := a.at - time.Since(start); wait > 0 {
			w.pass(wait)
		}
		a.do()
	}
	w.pass(24*time.Hour - time.Since(start))
}

// troubles is how many modems get into trouble in a day. Each comes with four
// messages of its own.
const troubles = 25

// people are numbers that are written to; some are special.
const people, silent, dead, undelivered = 150, 3, 7, 11

func person(i int) string { return fmt.Sprintf("+4917%08d", i) }

func (w *world) settle() {
	for i := range people {
		switch {
		case i%silent == 1 && i > 100:
			w.net.SetFate(person(i), sim.Fate{Silent: true})
		case i == dead:
			w.net.SetFate(person(i), sim.Fate{CMS: 1})
		case i == undelivered:
			w.net.SetFate(person(i), sim.Fate{Reports: []byte{0x30, 0x46}})
		}
	}
}

func (w *world) chance(percent int) bool { return w.rnd.IntN(100) < percent }

func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rnd.Int64N(int64(most-least)))
}

// body makes a text that nobody else has.
func (w *world) body(kind string) string {
	w.plan.number++
	text := fmt.Sprintf("%s %d", kind, w.plan.number)
	switch {
	case w.chance(10):
		text += strings.Repeat(" and more of it", 12+w.rnd.IntN(25))
	case w.chance(5):
		text += strings.Repeat(" grüße 👍", 1+w.rnd.IntN(20))
	}
	return text
}

// post hands in a message.
func (w *world) post() {
	d := queue.Draft{Message: sms.Message{To: person(w.rnd.IntN(people)), Text: w.body("out"), Priority: sms.DefaultPriority, DeliveryReport: !w.chance(10)}}
	now := time.Now()
	if w.chance(8) {
		d.SendAt = now.Add(w.between(-time.Hour, 10*time.Hour))
	}
	if w.chance(8) {
		d.ExpiresAt = now.Add(w.between(time.Minute, 3*time.Hour))
		if d.ExpiresAt.Before(d.SendAt) {
			d.ExpiresAt = d.SendAt.Add(time.Hour)
		}
	}
	if w.chance(3) {
		d.ExpiresAt, d.SendAt = now.Add(w.between(time.Second, 20*time.Second)), time.Time{}
	}
	if w.chance(10) {
		d.OnUnconfirmed = sms.Fail
	}
	if w.chance(5) {
		d.Pin = w.modems[w.rnd.IntN(len(w.modems))].Name()
	}
	if w.chance(10) {
		d.Priority = 9
	}
	var once *queue.Idempotency
	if w.chance(5) {
		once = &queue.Idempotency{KeyID: "soak", Key: d.Text, Body: []byte(d.Text)}
	}
	m, _, err := w.g.Queue().Submit(context.Background(), []queue.Draft{d}, once)
	if err != nil {
		w.t.Errorf("at %s a message was refused: %v", now.Format(time.DateTime), err)
		return
	}
	if once != nil { // the client asks again
		again, replayed, err := w.g.Queue().Submit(context.Background(), []queue.Draft{d}, once)
		if err != nil || !replayed || again[0].ID != m[0].ID {
			w.t.Errorf("a repeated request got another answer: %v %v", replayed, err)
		}
	}
	o := &promise{m: m[0], at: now}
	w.plan.out[d.Text] = o
	w.plan.counts["accepted"]++
	if w.chance(2) {
		o.canceled = true
		if _, err := w.g.Queue().Cancel(context.Background(), m[0].ID); err != nil && !errors.Is(err, queue.ErrConflict) {
			w.t.Error(err)
		}
	}
}

// text has a handset write to a modem.
func (w *world) text() {
	w.textTo(w.modems[w.rnd.IntN(len(w.modems))])
}

func (w *world) textTo(m *sim.Modem) {
	text := w.body("in")
	from := w.net.Handset(person(w.rnd.IntN(40)))
	if err := from.Send(m.Number(), text); err != nil {
		w.t.Error(err)
		return
	}
	w.plan.in[text] = time.Now()
}

// mend ends a modem's troubles.
func (w *world) mend(m *sim.Modem) {
	m.ClearFaults()
	m.SetRegistration(1)
	if !m.Present() {
		if err := m.Plug(); err != nil {
			w.t.Error(err)
		}
	}
}

// trouble gives a modem a fault for a while. It has one at a time, so that what
// one does is not undone by another.
func (w *world) trouble() {
	m := w.modems[w.rnd.IntN(len(w.modems))]
	w.mend(m)
	lost, lasts := w.chance(50), w.between(10*time.Second, 20*time.Minute)
	codes := []string{"+CMS ERROR: 38", "+CMS ERROR: 10", "+CMS ERROR: 210", "+CMS ERROR: 500", "+CMS ERROR: 41", "+CMS ERROR: 332", "+CMS ERROR: 331", "ERROR"}
	code := codes[w.rnd.IntN(len(codes))]
	late := w.between(30*time.Second, 3*time.Minute)
	n := sim.Times(1 + w.rnd.IntN(3))
	kind := w.rnd.IntN(18)
	switch kind {
	case 0, 1:
		m.Unplug()
	case 2:
		m.Reset()
	case 3:
		m.Fault(func(f *sim.Faults) { f.Silent, f.Lost = n, lost })
	case 4:
		m.Fault(func(f *sim.Faults) { f.Late, f.LateBy = n, late })
	case 5:
		m.Fault(func(f *sim.Faults) { f.OKOnly, f.Lost = n, lost })
	case 6:
		m.Fault(func(f *sim.Faults) { f.Reject, f.SendError = n, code })
	case 7:
		m.Fault(func(f *sim.Faults) { f.RejectCommand, f.SendError = n, code })
	case 8:
		m.Fault(func(f *sim.Faults) { f.CMTIMissing, f.Duplicate = n, n })
	case 9:
		m.Fault(func(f *sim.Faults) { f.Mute = true })
	case 10:
		m.Fault(func(f *sim.Faults) { f.NoPrompt = n })
	case 11:
		m.Fault(func(f *sim.Faults) { f.ReportFirst = true })
	case 12:
		m.Fault(func(f *sim.Faults) { f.NoCredit = true })
	case 13:
		m.SetRegistration(2)
	case 14:
		m.Fault(func(f *sim.Faults) { f.CRCRLF, f.Noise, f.Garbage = true, []string{"^RSSI:18", "+CREG: 1"}, n })
	case 15:
		m.Fault(func(f *sim.Faults) { f.SilentReset = n })
	case 16:
		m.Fault(func(f *sim.Faults) { f.UnplugAfter, f.ReplugAfter = 1+w.rnd.IntN(800), lasts })
	default:
		w.net.SetLatency(w.between(100*time.Millisecond, 5*time.Second), 0)
	}
	w.log("%s has trouble %d for %v", m.Name(), kind, lasts)
	time.AfterFunc(lasts, func() { w.mend(m) })
	for range 3 { // somebody must meet it
		w.post()
	}
	w.textTo(m)
}

func (w *world) log(format string, args ...any) {
	if *verbose {
		w.t.Logf(time.Now().Format(time.DateTime)+" "+format, args...)
	}
}

// restart ends the daemon in order and starts it again.
func (w *world) restart() {
	w.log("restart")
	w.end()
	w.pass(w.between(time.Second, 2*time.Minute))
	w.start()
}

// receiverTrouble has the webhook's receiver fail for a while.
func (w *world) receiverTrouble() {
	answer := []int{http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusTooManyRequests, 0}[w.rnd.IntN(4)]
	w.log("the receiver answers %d", answer)
	w.setAnswer(answer)
	time.AfterFunc(w.between(time.Minute, 3*time.Hour), func() { w.setAnswer(http.StatusNoContent) })
}

const years = 365 * 24 * time.Hour

// clockTrouble has the machine's clock go wrong, and somebody set it right.
func (w *world) clockTrouble() {
	kind := w.rnd.IntN(6)
	w.log("clock trouble %d", kind)
	switch kind {
	case 0: // a Pi that boots without a time server
		w.end()
		w.setClock(-time.Since(time.Unix(0, 0)), false)
		w.start()
	case 1: // a battery's clock that went mad
		w.end()
		w.setClock(9*years, false)
		w.start()
	case 2: // it runs, and somebody sets it
		w.setClock(time.Duration(w.rnd.IntN(40)-20)*years, false)
	case 3: // a time server that is an hour late
		w.setClock(-time.Hour, true)
	case 4: // a restart without a time server, of a clock that is right
		w.end()
		w.setClock(0, false)
		w.start()
	default: // as old as when the machine was switched off
		w.end()
		w.setClock(-20*time.Minute, false)
		w.start()
	}
	time.AfterFunc(w.between(time.Minute, 3*time.Hour), func() { w.setClock(0, true) })
}

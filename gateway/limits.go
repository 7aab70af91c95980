package gateway

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/modem"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Limits are how much the SIM in a modem may send; 0: no limit. They hold for
// every priority.
//
// Day, month and recipients are walls: at one, what waits goes through other
// modems, and the modem is shown as limited. A message is begun only when all
// of its parts fit before the wall, or it alone is longer than the limit and
// nothing was sent before it. The minute is a pace: bursts are let through until
// the last 60 seconds are full, for a small batch is not to dawdle, and then
// the modem waits, between the parts of a message too.
type Limits struct {
	PerMinute          int // parts in any 60 seconds
	PerDay             int // parts
	PerMonth           int // parts
	RecipientsPerMonth int // different numbers
}

// limitsNow are those that hold now, for whoever holds neither of f's locks.
func (f *feed) limitsNow() Limits {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.limits
}

// turnTo has other limits hold from now on.
func (f *feed) turnTo(l Limits) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.limits = l
	f.idle = true
	f.d.watch(f, f.d.now())
	f.d.wake()
}

// walls tells whether there is any.
func (l Limits) walls() bool { return l.PerDay > 0 || l.PerMonth > 0 || l.RecipientsPerMonth > 0 }

// nearWall is how many tenths of a limit are used when a SIM begins to be spared:
// the last one is for the numbers that keep it, while another SIM has more room.
const nearWall = 9

// room is what a SIM may send until its walls.
type room struct {
	limits Limits
	used   queue.Used
}

// tightness is how close a SIM is to its walls. When it changes, what other
// modems may take changes.
type tightness int

const (
	roomy    tightness = iota
	near               // others are preferred for numbers that keep no SIM
	familiar           // only numbers that it has texted this month
	closed             // nothing more
)

// roomOf is what f may send with a SIM.
func (f *feed) roomOf(sim string, now time.Time) room {
	if !f.limits.walls() {
		return room{}
	}
	return room{f.limits, f.q.Used(sim, now)}
}

func (r room) tightness() tightness {
	l, u := r.limits, r.used
	at := func(used, limit, tenths int) bool { return limit > 0 && 10*used >= tenths*limit }
	switch {
	case at(u.Day, l.PerDay, 10), at(u.Month, l.PerMonth, 10):
		return closed
	case at(u.Recipients, l.RecipientsPerMonth, 10):
		return familiar
	case at(u.Day, l.PerDay, nearWall), at(u.Month, l.PerMonth, nearWall), at(u.Recipients, l.RecipientsPerMonth, nearWall):
		return near
	}
	return roomy
}

// takes tells whether that many parts fit.
func (r room) takes(parts int) bool {
	fit := func(used, limit int) bool { return limit == 0 || used == 0 || used+parts <= limit }
	return fit(r.used.Day, r.limits.PerDay) && fit(r.used.Month, r.limits.PerMonth)
}

// need is how many parts a message still is for a SIM: through another one than
// before it goes again from its first. One that is in a modem's hand is asked
// for others only.
func (e *entry) need(sim string) int {
	if e.line != nil && e.line.to.sim == sim {
		return e.Parts - e.Done
	}
	return e.Parts
}

// admits tells whether f's SIM may send a message, whoever else may.
func (f *feed) admits(r room, e *entry, now time.Time) bool {
	if !f.limits.walls() {
		return true
	}
	return r.tightness() < closed && r.takes(e.need(f.sim)) &&
		(r.tightness() != familiar || f.q.Texted(f.sim, e.To, now))
}

// suits tells whether f should take a message from a lane: its SIM may send it,
// and no SIM that is further from its walls could as well. A number that keeps
// f's SIM stays with it up to the wall.
func (d *dispatcher) suits(f *feed, r room, at lane, e *entry, now time.Time) bool {
	if !f.admits(r, e, now) {
		return false
	}
	if r.tightness() == roomy || at.kind == pinned || at.value == f.sim {
		return true
	}
	for _, x := range d.feeds {
		if x == f || !x.working || contains(e.RefusedBy, x.sim) {
			continue
		}
		if y := x.roomOf(x.sim, now); y.tightness() == roomy && x.admits(y, e, now) {
			return false
		}
	}
	return true
}

// canSend tells whether a modem works and its SIM is not at a wall.
func (f *feed) canSend(now time.Time) bool {
	return f.working && f.roomOf(f.sim, now).tightness() < closed
}

// could tells whether a modem works and its SIM may send a message.
func (f *feed) could(e *entry, now time.Time) bool {
	return f.working && f.admits(f.roomOf(f.sim, now), e, now)
}

// keeps tells whether a message may wait for the SIM that its number keeps: not
// if that one is in a working modem and may not send it.
func (d *dispatcher) keeps(sim string, e *entry, now time.Time) bool {
	for _, x := range d.feeds {
		if x.working && x.sim == sim {
			return x.admits(x.roomOf(sim, now), e, now)
		}
	}
	return true
}

// watch looks how much room f has. If that changed much, the other modems look
// again; with more room, numbers that keep f's SIM come back to it.
func (d *dispatcher) watch(f *feed, now time.Time) room {
	r := f.roomOf(f.sim, now)
	is := r.tightness()
	if is == f.tight {
		return r
	}
	was := f.tight
	f.tight = is
	defer d.wake()
	if is > was {
		return r // what does not fit is placed elsewhere when it is found
	}
	for _, to := range d.recipients {
		for _, l := range to.lines {
			if l.lane.kind == bySIM || l.lane.kind == anyModem {
				d.place(l)
			}
		}
	}
	return r
}

// lookAgain has the modem ask again at a time, or in an hour: a clock may jump.
func (f *feed) lookAgain(at, now time.Time) {
	f.idle = true
	f.alarm.Reset(min(max(0, at.Sub(now)), time.Hour))
}

func (f *feed) onAlarm() {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.watch(f, f.d.now())
	f.d.wake()
}

// paced tells whether f must wait for its minute.
func (f *feed) paced() bool {
	if f.limits.PerMinute == 0 {
		return false
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	now := f.d.now()
	at := f.q.PacedUntil(f.sim, f.limits.PerMinute, now)
	if !at.After(now) {
		return false
	}
	f.lookAgain(at, now)
	return true
}

// counted follows a part that was begun or has failed: it may have been the
// last one before a wall.
func (f *feed) counted() {
	if !f.limits.walls() {
		return
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.watch(f, f.d.now())
}

func nextDay(now time.Time) time.Time {
	y, m, d := now.Local().Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, time.Local)
}

func nextMonth(now time.Time) time.Time {
	y, m, _ := now.Local().Date()
	return time.Date(y, m+1, 1, 0, 0, 0, 0, time.Local)
}

// limited says, for whoever looks at the modem, at which wall its SIM is.
func (f *feed) limited(m sms.Modem) (reason, advice string) {
	now := f.d.now()
	l := f.limitsNow()
	if !l.walls() {
		return "", ""
	}
	u := f.q.Used(modem.SIMOf(m), now)
	const others = " Until then it receives, and other modems send what may go through them."
	switch {
	case l.PerMonth > 0 && u.Month >= l.PerMonth:
		return fmt.Sprintf("%s of %s messages of this month are sent.", thousands(u.Month), thousands(l.PerMonth)),
			"It sends again from " + nextMonth(now).Format("2 January") + " on, or when max_per_month is raised." + others
	case l.PerDay > 0 && u.Day >= l.PerDay:
		return fmt.Sprintf("%s of %s messages of today are sent.", thousands(u.Day), thousands(l.PerDay)),
			"It sends again from midnight on, or when max_per_day is raised." + others
	case l.RecipientsPerMonth > 0 && u.Recipients >= l.RecipientsPerMonth:
		return fmt.Sprintf("%s of %s different numbers of this month are used up.", thousands(u.Recipients), thousands(l.RecipientsPerMonth)),
			"Numbers that it has texted this month still get messages. Others do from " + nextMonth(now).Format("2 January") +
				" on, or when max_recipients_per_month is raised." + others
	}
	return "", ""
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// show adds the limits and what is used of them to a modem's picture.
func (f *feed) show(m sms.Modem) sms.Modem {
	if m.IMEI == "" && m.ICCID == "" && m.IMSI == "" {
		return m // it has not said yet which SIM it has
	}
	now, sim := f.d.now(), modem.SIMOf(m)
	u, l := f.q.Used(sim, now), f.limitsNow()
	quota := func(limit, used int, resets time.Time) sms.Quota {
		q := sms.Quota{Used: used}
		if limit > 0 {
			q.Limit = &limit
		}
		if !resets.IsZero() {
			resets = resets.UTC()
			q.ResetsAt = &resets
		}
		return q
	}
	var free time.Time
	if l.PerMinute > 0 {
		if at := f.q.PacedUntil(sim, l.PerMinute, now); at.After(now) {
			free = at
		}
	}
	m.Limits = &sms.Limits{
		PerMinute: quota(l.PerMinute, u.Minute, free), PerDay: quota(l.PerDay, u.Day, nextDay(now)),
		PerMonth:           quota(l.PerMonth, u.Month, nextMonth(now)),
		RecipientsPerMonth: quota(l.RecipientsPerMonth, u.Recipients, nextMonth(now)),
	}
	return m
}

// limitMeter reads the limits when they are asked for.
type limitMeter struct{ modems *modems }

var (
	limitDesc = prometheus.NewDesc("gatewayd_modem_limit", "How much the SIM may send, where there is a limit.", []string{"modem", "limit"}, nil)
	usedDesc  = prometheus.NewDesc("gatewayd_modem_limit_used", "How much of it the SIM has sent.", []string{"modem", "limit"}, nil)
)

func (c limitMeter) Describe(to chan<- *prometheus.Desc) {
	to <- limitDesc
	to <- usedDesc
}

func (c limitMeter) Collect(to chan<- prometheus.Metric) {
	for _, m := range c.modems.List() {
		if m.Limits == nil {
			continue
		}
		for _, q := range m.Limits.All() {
			if q.Limit != nil {
				to <- prometheus.MustNewConstMetric(limitDesc, prometheus.GaugeValue, float64(*q.Limit), m.Name, q.Name)
				to <- prometheus.MustNewConstMetric(usedDesc, prometheus.GaugeValue, float64(q.Used), m.Name, q.Name)
			}
		}
	}
}

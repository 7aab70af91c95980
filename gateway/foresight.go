package gateway

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// foresight tells when messages will be sent, from counters: what is in front of
// them, how long a part takes each modem, and how much its SIM may send. It looks
// at no message, so asking costs next to nothing however much waits.
type foresight struct {
	d *dispatcher
	q *queue.Queue
}

// airTime is how long a part takes a modem that has sent none yet.
const airTime = 3 * time.Second

// farAhead is as far as anything is foreseen.
const farAhead = 366 * 24 * time.Hour

// pacer is a modem as foresight sees it: a copy, for what is foreseen of a large
// batch may take longer than a modem should wait for the dispatcher.
type pacer struct {
	name, sim  string
	limits     Limits
	hand       int           // messages in its hand
	air        time.Duration // that a part takes
	start      time.Duration // until it may begin one: its minute is full
	left       int           // of its minute
	day, month int           // that its SIM may still send
	closed     bool          // to those it has not texted this month
}

// workload is what waits, in parts.
type workload map[backlogName]int

type backlogName struct {
	priority int
	key, pin string
}

// look gathers what foresight goes by.
func (s foresight) look(backlogs []queue.Backlog, now time.Time) (modems []pacer, work workload) {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.feeds {
		if !f.working {
			continue
		}
		p := pacer{name: f.name, sim: f.sim, limits: f.limits, hand: len(f.inHand), air: cmp.Or(f.air, airTime), left: math.MaxInt, day: math.MaxInt, month: math.MaxInt}
		if l := f.limits; l != (Limits{}) {
			u := s.q.Used(f.sim, now)
			if l.PerMinute > 0 {
				p.left = max(0, l.PerMinute-u.Minute)
				if at := s.q.PacedUntil(f.sim, l.PerMinute, now); at.After(now) {
					p.start, p.left = at.Sub(now), l.PerMinute
				}
			}
			if l.PerDay > 0 {
				p.day = max(0, l.PerDay-u.Day)
			}
			if l.PerMonth > 0 {
				p.month = max(0, l.PerMonth-u.Month)
			}
			p.closed = l.RecipientsPerMonth > 0 && u.Recipients >= l.RecipientsPerMonth
		}
		modems = append(modems, p)
	}
	work = workload{}
	for _, b := range backlogs {
		work[backlogName{b.Priority, b.Key, b.Pin}] += b.Parts
	}
	for _, f := range d.flows {
		for pin, n := range f.parts {
			work[backlogName{f.priority, f.key, pin}] += n
		}
	}
	for _, f := range d.feeds {
		for i, e := range f.inHand {
			n := max(0, e.Parts-e.Done)
			if i == 0 && n > 0 { // nothing goes before the part on the air
				work[backlogName{priority: queue.Priorities, pin: f.name}]++
				n--
			}
			work[backlogName{e.Priority, e.KeyID, f.name}] += n
		}
	}
	return modems, work
}

// Foresee tells it of messages that are handed in now.
func (s foresight) Foresee(ctx context.Context, drafts []queue.Draft, explain bool) []intake.Outlook {
	now := s.d.now()
	modems, work := s.look(s.q.Backlogs(), now)
	keeps := s.kept(ctx, modems, drafts)
	all := make([]intake.Outlook, len(drafts))
	for i := range drafts {
		m := &drafts[i]
		its := work[backlogName{m.Priority, m.KeyID, m.Pin}]
		all[i] = s.outlook(modems, work, question{to: m.To, key: m.KeyID, pin: m.Pin, sim: keeps[m.To], priority: m.Priority, parts: max(1, m.Parts), before: its, from: m.SendAt, explain: explain}, now)
		if !m.SendAt.After(now) {
			work[backlogName{m.Priority, m.KeyID, m.Pin}] += max(1, m.Parts)
		}
	}
	return all
}

// kept finds the SIMs that recipients keep, where that makes a difference.
func (s foresight) kept(ctx context.Context, modems []pacer, drafts []queue.Draft) map[string]string {
	if len(modems) < 2 {
		return nil
	}
	var numbers []string
	for _, m := range drafts {
		if m.Pin == "" {
			numbers = append(numbers, m.To)
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	sims, err := s.q.SIMsOf(ctx, numbers)
	if err != nil {
		return nil // it is a forecast: without that it is a little worse
	}
	return sims
}

// Outlook tells it of one that waits.
func (s foresight) Outlook(ctx context.Context, m *sms.Message) (intake.Outlook, bool) {
	w, before, err := s.q.Waits(ctx, m.Row)
	if err != nil {
		return intake.Outlook{}, false
	}
	sims, err := s.q.SIMsOf(ctx, []string{w.To})
	if err != nil {
		return intake.Outlook{}, false
	}
	now := s.d.now()
	modems, work := s.look(s.q.Backlogs(), now)
	notBefore, waits := s.before(w)
	return s.outlook(modems, work, question{to: w.To, key: w.KeyID, pin: w.Pin, sim: sims[w.To], priority: w.Priority, parts: max(1, w.Parts),
		before: before + waits, from: notBefore}, now), true
}

// before counts the parts of a message's own key that wait in memory before it, and
// tells until when it is held back.
func (s foresight) before(w queue.Waiting) (notBefore time.Time, parts int) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	notBefore = w.NotBefore
	for _, e := range s.d.entries {
		if e.Row == w.Row {
			notBefore = e.NotBefore
		} else if e.line != nil && e.Priority == w.Priority && e.KeyID == w.KeyID && e.Pin == w.Pin && e.Seq < w.Seq {
			parts += e.Parts - e.Done
		}
	}
	return notBefore, parts
}

// question is a message as foresight sees it.
type question struct {
	to, key, pin    string
	sim             string // that its recipient keeps
	priority, parts int
	before          int       // parts of its key that wait before it
	from            time.Time // it goes no earlier
	explain         bool
}

// outlook answers a question.
func (s foresight) outlook(modems []pacer, work workload, m question, now time.Time) intake.Outlook {
	var o intake.Outlook
	able := slices.DeleteFunc(slices.Clone(modems), func(p pacer) bool { return m.pin != "" && p.name != m.pin })
	if m.pin == "" && m.sim != "" {
		if i := slices.IndexFunc(able, func(p pacer) bool { return p.sim == m.sim && p.month > 0 && p.day > 0 }); i >= 0 {
			able = able[i : i+1]
		}
	}
	if len(able) == 0 {
		o.Because = []string{"no modem that may send it works now"}
		if m.pin != "" {
			o.Because[0] = "the modem " + m.pin + ", which has to send it, does not work now"
		}
		return o
	}
	for i := range able {
		if able[i].closed && !s.q.Texted(able[i].sim, m.to, now) {
			able[i].month = 0
		}
	}
	ahead := s.ahead(modems, able, work, m)
	at, last := finish(able, ahead+m.parts, now)
	o.At, o.Modem = at, last.name
	if own := m.from.Add(time.Duration(m.parts) * last.air); m.from.After(now) && own.After(o.At) {
		o.At = own
	}
	if m.explain {
		o.Because = reasons(m, ahead, last, now)
	}
	if at.Sub(now) >= farAhead {
		return intake.Outlook{Because: append(o.Because, "that takes more than a year")}
	}
	o.At = o.At.Truncate(time.Second).Add(time.Second)
	return o
}

// reasons says in words what an outlook is based on.
func reasons(m question, ahead int, last pacer, now time.Time) (all []string) {
	if ahead > 0 {
		before := "about 1 part goes before it"
		if ahead > 1 {
			before = fmt.Sprintf("about %d parts go before it", ahead)
		}
		all = append(all, before)
	}
	all = append(all, fmt.Sprintf("a part takes %s about %.1f seconds", last.name, last.air.Seconds()))
	if l := last.limits; l.PerMinute > 0 {
		most := "1 part"
		if l.PerMinute > 1 {
			most = fmt.Sprintf("%d parts", l.PerMinute)
		}
		all = append(all, fmt.Sprintf("its SIM may send %s a minute", most))
	}
	if last.limits.walls() {
		all = append(all, "its SIM has limits of the day or the month")
	}
	if m.from.After(now) {
		all = append(all, "it goes no earlier than "+m.from.UTC().Format(time.RFC3339))
	}
	return all
}

// ahead is how many parts go before a message through the modems that may send it:
// those of higher priorities, those of its own key that are before it, and of each
// other key no more than of its own, for they take turns.
func (s foresight) ahead(modems, able []pacer, work workload, m question) int {
	free, own := 0.0, 0 // for any modem; for those
	others := map[string]int{}
	of := func(name backlogName, n int) {
		switch {
		case name.pin == "":
			free += float64(n)
		case slices.ContainsFunc(able, func(p pacer) bool { return p.name == name.pin }):
			own += n
		}
	}
	for name, n := range work {
		switch {
		case name.priority > m.priority:
			of(name, n)
		case name.priority == m.priority && name.key != m.key && (name.pin == "" || slices.ContainsFunc(able, func(p pacer) bool { return p.name == name.pin })):
			others[name.key] += n
		}
	}
	if m.pin == "" {
		free += float64(m.before)
	} else {
		own += m.before
		free += float64(work[backlogName{m.priority, m.key, ""}])
	}
	for _, n := range others {
		free += float64(min(n, m.before+m.parts))
	}
	if len(able) < len(modems) { // its modem has its share of what any may send
		free *= rate(able) / rate(modems)
	}
	return own + int(free)
}

// rate is how many parts modems send in a second, their limits of a day and a month aside.
func rate(modems []pacer) (sum float64) {
	for _, p := range modems {
		r := 1 / p.air.Seconds()
		if n := p.limits.PerMinute; n > 0 {
			r = min(r, float64(n)/60)
		}
		sum += r
	}
	return sum
}

// by is how many parts a modem sends within some time, of today.
func (p pacer) by(t time.Duration) int {
	n := int(t / p.air)
	if pace := p.limits.PerMinute; pace > 0 {
		full := 0
		if t >= p.start {
			full = p.left + pace*int((t-p.start)/(61*time.Second))
		}
		n = min(n, full)
	}
	return min(n, p.day, p.month)
}

// tomorrow is the modem on the next day.
func (p pacer) tomorrow(sent int, month bool) pacer {
	p.start, p.left = 0, max(p.left, p.limits.PerMinute)
	if p.month != math.MaxInt {
		p.month -= sent
	}
	if month {
		p.closed = false
		if p.month = math.MaxInt; p.limits.PerMonth > 0 {
			p.month = p.limits.PerMonth
		}
	}
	if p.limits.PerDay > 0 {
		p.day = p.limits.PerDay
	}
	return p
}

// finish is when modems have sent that many parts, and which of them is free first
// for the last of them.
func finish(modems []pacer, parts int, now time.Time) (at time.Time, last pacer) {
	walls := slices.ContainsFunc(modems, func(p pacer) bool { return p.day != math.MaxInt || p.month != math.MaxInt })
	at, modems = now, slices.Clone(modems)
	for at.Sub(now) < farAhead {
		span := farAhead
		if walls {
			span = nextDay(at).Sub(at)
		}
		sent := func(t time.Duration) (n int) {
			for _, p := range modems {
				if n += p.by(t); n > parts { // enough, and it can't overflow
					break
				}
			}
			return n
		}
		if today := sent(span); today < parts {
			parts -= today
			at = at.Add(span)
			for i, p := range modems {
				modems[i] = p.tomorrow(p.by(span), at.Local().Day() == 1)
			}
			continue
		}
		low, high := time.Duration(0), span // it is done by high, and not by low
		for high-low > 50*time.Millisecond {
			if middle := low + (high-low)/2; sent(middle) >= parts {
				high = middle
			} else {
				low = middle
			}
		}
		last = modems[0]
		for _, p := range modems[1:] { // it sends one more in that very moment, or has most room
			if a, b := p.by(high)-p.by(low), last.by(high)-last.by(low); a > b || a == b && (p.hand < last.hand && p.day > 0) {
				last = p
			}
		}
		return at.Add(high), last
	}
	return now.Add(farAhead), modems[0]
}

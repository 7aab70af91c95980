package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Damping, beside each code's own grace and hold.
const (
	// flapsWithin and flapsFrom: an alarm that came so often within this time flaps.
	flapsWithin = time.Hour
	flapsFrom   = 3
	// flapQuiet is how long one that flaps must be well before it is over.
	flapQuiet = 30 * time.Minute
	// rewriteEvery is when what could not be written is tried again.
	rewriteEvery = 10 * time.Second
)

// alarms are what needs a person. Whoever watches something says whether it is
// so; what is told of that is decided here. Each alarm begins and ends once, over
// restarts too: its row and its event are one commit. What can't be written now
// is kept, shown, and written as soon as it can be.
type alarms struct {
	db     *db.DB
	queue  *queue.Queue
	now    func() time.Time
	log    *slog.Logger
	gauge  *prometheus.GaugeVec
	notice func(sms.Severity) bool // whether people are to be told
	posted chan struct{}           // holds one: there is something to tell people
	wake   chan struct{}           // holds one: something is due at another time

	writing sync.Mutex // one writes at a time, so that the log has their order

	mu     sync.Mutex
	all    map[alarmID]*condition
	outbox []change
}

type alarmID struct{ code, modem string }

// condition is something that is so, was so lately, or is told as an alarm.
type condition struct {
	sms.Alarm           // its Detail is what is said of it, without its coming and going
	told      bool      // the alarm has begun
	shown     sms.Alarm // as it was told
	holds     bool      // it is so
	since     time.Time // since when it is so, or not
	grace     time.Duration
	hold      time.Duration
	onsets    []time.Time // when it came, within flapsWithin; while told
	again     bool        // it is told anew, and did not come
	counted   int         // onsets that its words tell
}

// change is what is to be written.
type change struct {
	kind string // noticeBegin, noticeEnd, or "": other words
	sms.Alarm
}

// The kinds of changes, as they are kept for people.
const (
	noticeBegin = "begin"
	noticeEnd   = "end"
	noticeStill = "still"
)

func newAlarms(ctx context.Context, d *db.DB, q *queue.Queue, now func() time.Time, log *slog.Logger, r prometheus.Registerer) (*alarms, error) {
	as := &alarms{db: d, queue: q, now: now, log: log, gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "gatewayd_alarm", Help: "1 for each alarm that goes on.",
	}, []string{"code", "modem"}),
		notice: func(sms.Severity) bool { return false }, posted: make(chan struct{}, 1), wake: make(chan struct{}, 1), all: map[alarmID]*condition{}}
	r.MustRegister(as.gauge)
	err := d.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT code, modem, severity, title, detail, begun_at FROM alarms`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a sms.Alarm
			var at int64
			if err := rows.Scan(&a.Code, &a.Modem, &a.Severity, &a.Title, &a.Detail, &at); err != nil {
				return err
			}
			a.BegunAt = time.UnixMilli(at)
			// Until somebody says otherwise it goes on.
			c := as.at(alarmID{a.Code, a.Modem})
			c.Alarm, c.shown, c.told, c.holds, c.since = a, a, true, true, time.Now()
			as.gauge.WithLabelValues(a.Code, a.Modem).Set(1)
		}
		return rows.Err()
	})
	return as, err
}

// at is the condition of this name.
func (as *alarms) at(id alarmID) *condition {
	c := as.all[id]
	if c == nil {
		k := kindOf(id.code)
		c = &condition{Alarm: sms.Alarm{Code: id.code, Modem: id.modem, Severity: k.severity}, grace: k.grace, hold: k.hold}
		as.all[id] = c
	}
	return c
}

// begin says that something is so, or words it anew. The alarm begins once it was
// so for its grace.
func (as *alarms) begin(code, modem, title, detail string) {
	k := kindOf(code)
	as.is(sms.Alarm{Code: code, Modem: modem, Severity: k.severity, Title: title, Detail: detail}, k.grace)
}

// is says that something is so, with a severity and a grace of its own. One that
// gets worse is told anew.
func (as *alarms) is(a sms.Alarm, grace time.Duration) {
	as.mu.Lock()
	c, now := as.at(alarmID{a.Code, a.Modem}), time.Now()
	if !c.holds {
		c.holds, c.since = true, now
		if c.told {
			c.onsets = append(c.onsets, now)
		}
	}
	if c.told && !c.Severity.AtLeast(a.Severity) {
		as.over(c)
		c.again = true
	}
	c.Severity, c.Title, c.Detail, c.grace = a.Severity, a.Title, a.Detail, grace
	as.judge(c, now)
	as.mu.Unlock()
	as.flush()
	as.poke()
}

// anew tells an alarm that goes on once more: there is more of it.
func (as *alarms) anew(code, modem, title, detail string) {
	as.mu.Lock()
	if c := as.all[alarmID{code, modem}]; c != nil && c.told {
		as.over(c)
		c.again = true
	}
	as.mu.Unlock()
	as.begin(code, modem, title, detail)
}

// end says that something is not so. Its alarm ends once that was so for its hold.
func (as *alarms) end(code, modem string) {
	as.endIf(func(id alarmID) bool { return id == alarmID{code, modem} })
}

// endOthers says that of these codes nothing is so but for those modems.
func (as *alarms) endOthers(codes []string, modems map[string]bool) {
	as.endIf(func(id alarmID) bool { return slices.Contains(codes, id.code) && !modems[id.modem] })
}

func (as *alarms) endIf(over func(alarmID) bool) {
	as.mu.Lock()
	now, changed := time.Now(), false
	for id, c := range as.all {
		if c.holds && over(id) {
			c.holds, c.since, changed = false, now, true
			as.judge(c, now)
		}
	}
	as.mu.Unlock()
	if changed {
		as.flush()
		as.poke()
	}
}

// drop ends all alarms of a modem that is no more, at once.
func (as *alarms) drop(modem string) {
	as.mu.Lock()
	for id, c := range as.all {
		if id.modem == modem {
			if c.told {
				as.over(c)
			}
			delete(as.all, id)
		}
	}
	as.mu.Unlock()
	as.flush()
}

// judge has an alarm begin, end or be worded anew, and returns when to look again;
// zero: there is nothing to look for. Called with mu held.
func (as *alarms) judge(c *condition, now time.Time) (next time.Time) {
	c.onsets = slices.DeleteFunc(c.onsets, func(at time.Time) bool { return now.Sub(at) >= flapsWithin })
	switch {
	case !c.told && c.holds:
		if at := c.since.Add(c.grace); at.After(now) {
			return at
		}
		c.told, c.BegunAt, c.counted = true, as.now(), 0
		if !c.again {
			c.onsets = append(c.onsets, now)
		}
		c.again = false
		c.shown = c.words()
		as.outbox = append(as.outbox, change{noticeBegin, c.shown})
		as.gauge.WithLabelValues(c.Code, c.Modem).Set(1)
		as.log.Warn("alarm", "code", c.Code, "modem", c.Modem, "severity", string(c.Severity), "title", c.Title)
	case c.told && !c.holds:
		hold := c.hold
		if len(c.onsets) >= flapsFrom {
			hold = max(hold, flapQuiet)
		}
		if at := c.since.Add(hold); at.After(now) {
			as.reword(c)
			return at
		}
		as.over(c)
	case c.told:
		as.reword(c)
	case len(c.onsets) > 0: // what comes back within the hour flaps
		return c.onsets[0].Add(flapsWithin)
	default:
		delete(as.all, alarmID{c.Code, c.Modem})
	}
	return time.Time{}
}

// words are the alarm with how often it came.
func (c *condition) words() sms.Alarm {
	a := c.Alarm
	if n := len(c.onsets); n >= flapsFrom && (c.counted == 0 || n >= 2*c.counted) {
		c.counted = n // each new number is a write
	}
	if c.counted > 0 {
		a.Detail += fmt.Sprintf(" It came %d times or more within an hour; it is over once all was well for %d minutes.", c.counted, int(flapQuiet/time.Minute))
	}
	return a
}

// reword has the words of an alarm that goes on written if they are new.
func (as *alarms) reword(c *condition) {
	if w := c.words(); w != c.shown {
		c.shown = w
		as.outbox = append(as.outbox, change{"", w})
	}
}

// over ends an alarm. Called with mu held.
func (as *alarms) over(c *condition) {
	c.shown.EndedAt = as.now()
	as.outbox = append(as.outbox, change{noticeEnd, c.shown})
	c.told = false
	as.gauge.DeleteLabelValues(c.Code, c.Modem)
	as.log.Info("an alarm is over", "code", c.Code, "modem", c.Modem)
}

// run lets alarms begin and end in time, until ctx ends.
func (as *alarms) run(ctx context.Context) {
	for {
		as.mu.Lock()
		now := time.Now()
		next := now.Add(time.Hour)
		for _, c := range as.all {
			if at := as.judge(c, now); !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		as.mu.Unlock()
		as.flush()
		as.mu.Lock()
		if again := now.Add(rewriteEvery); len(as.outbox) > 0 && again.Before(next) {
			next = again
		}
		as.mu.Unlock()
		timer := time.NewTimer(max(0, time.Until(next)))
		select {
		case <-timer.C:
		case <-as.wake:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

func (as *alarms) poke() {
	select {
	case as.wake <- struct{}{}:
	default:
	}
}

// flush writes what is to be written, in its order, as far as it can be.
func (as *alarms) flush() {
	as.writing.Lock()
	defer as.writing.Unlock()
	for {
		as.mu.Lock()
		if len(as.outbox) == 0 {
			as.mu.Unlock()
			return
		}
		c := as.outbox[0]
		as.mu.Unlock()
		if err := as.write(c); err != nil {
			as.log.Error("an alarm could not be stored; it is tried again", "code", c.Code, "modem", c.Modem, "error", err)
			return
		}
		as.mu.Lock()
		as.outbox = as.outbox[1:]
		as.mu.Unlock()
	}
}

// goesOn tells whether there is this alarm.
func (as *alarms) goesOn(code, modem string) bool {
	as.mu.Lock()
	defer as.mu.Unlock()
	c := as.all[alarmID{code, modem}]
	return c != nil && c.told
}

// detail is that of an alarm, as it was said; "" if it does not go on.
func (as *alarms) detail(code, modem string) string {
	as.mu.Lock()
	defer as.mu.Unlock()
	if c := as.all[alarmID{code, modem}]; c != nil && c.told {
		return c.Detail
	}
	return ""
}

// list lists the alarms that go on and are wanted, in their order.
func (as *alarms) list(wanted func(alarmID) bool) (all []sms.Alarm) {
	as.mu.Lock()
	defer as.mu.Unlock()
	for id, c := range as.all {
		if c.told && wanted(id) {
			all = append(all, c.shown)
		}
	}
	slices.SortFunc(all, func(a, b sms.Alarm) int {
		if c := strings.Compare(a.Code, b.Code); c != 0 {
			return c
		}
		return strings.Compare(a.Modem, b.Modem)
	})
	return all
}

// of lists a modem's alarms; "": the gateway's own.
func (as *alarms) of(modem string) []sms.Alarm {
	return as.list(func(id alarmID) bool { return id.modem == modem })
}

// webhookAlarm says which webhooks are disabled, in words; "": none is. One that
// joins others is told as an alarm of its own.
func (g *Gateway) webhookAlarm(detail string) {
	if detail == "" {
		g.alarms.end(webhookDisabled, "")
		return
	}
	detail += " What waited is kept as failed. Mend the receiver, enable the webhook with POST /v1/webhooks/{id}/enable or on the page Webhooks, and replay what it missed."
	say := g.alarms.begin
	if len(g.alarms.detail(webhookDisabled, "")) < len(detail) {
		say = g.alarms.anew
	}
	say(webhookDisabled, "", "A webhook is disabled", detail)
}

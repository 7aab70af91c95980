package gateway

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/queue"
	"gatewayd/sms"
)

// Canary says how often each modem gets a test message. Some modems stay
// registered and get nothing any more, and nothing else shows that.
type Canary struct {
	Every time.Duration // 0: never
	Wait  time.Duration // from the moment that the network took it
}

// canaryText begins every test message; what is received with it is not handed
// on to anybody.
const canaryText = "gatewayd test "

// canaryRest is how long after the start the first one is sent: a daemon that
// is restarted again and again must not cost a text each time.
const canaryRest = 10 * time.Minute

// canaries sends test messages and watches for their arrival.
type canaries struct {
	g       *Gateway
	o       atomic.Pointer[Canary]
	ever    atomic.Bool // there was one since the start
	seconds *prometheus.GaugeVec
	total   *prometheus.CounterVec

	mu      sync.Mutex
	flying  map[string]*flight // by token
	arrived chan struct{}

	// Of run's goroutine.
	next    map[*attached]time.Time
	numbers map[*attached]bool // it was logged that it tells no number
}

// flight is a test message on its way.
type flight struct {
	to, from *attached
	id       string // of the message
	due      time.Time
	again    bool        // the second one in a row: the first was lost
	before   *sms.Canary // what was shown before this one
	at       time.Time   // of its arrival; zero: not yet
}

func newCanaries(g *Gateway, o Canary, r prometheus.Registerer) *canaries {
	c := &canaries{g: g, flying: map[string]*flight{}, arrived: make(chan struct{}, 1),
		next: map[*attached]time.Time{}, numbers: map[*attached]bool{},
		seconds: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatewayd_canary_seconds", Help: "End-to-end time of the last test message to a modem that arrived.",
		}, []string{"modem"}),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatewayd_canaries_total", Help: "Test messages to a modem by outcome.",
		}, []string{"modem", "outcome"}),
	}
	r.MustRegister(c.seconds, c.total)
	c.turnTo(o)
	return c
}

// turnTo has other intervals count.
func (c *canaries) turnTo(o Canary) {
	c.o.Store(&o)
	if o.Every > 0 {
		c.ever.Store(true)
	}
	c.lookNow()
}

func (c *canaries) lookNow() {
	select {
	case c.arrived <- struct{}{}:
	default:
	}
}

// takes tells whether a received text is a test message. The queue asks it on
// the database's writer, so it only notes the arrival.
func (c *canaries) takes(text string) bool {
	token, ok := strings.CutPrefix(text, canaryText)
	if !ok || !c.ever.Load() || len(token) != canaryToken || strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flying[token]; f != nil && f.at.IsZero() {
		f.at = c.g.dispatch.now()
		c.lookNow()
	}
	return true
}

const canaryToken = 10

// run sends and watches until ctx ends.
func (c *canaries) run(ctx context.Context) {
	start := time.Now()
	timer := time.NewTimer(canaryRest)
	defer timer.Stop()
	for {
		select {
		case <-c.arrived:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if !c.ever.Load() {
			continue
		}
		now := c.g.dispatch.now()
		next := now.Add(time.Minute)
		all := c.g.modems.attached()
		for token, f := range c.flights() {
			if !slices.Contains(all, f.to) { // it was taken away meanwhile
				c.drop(token)
				continue
			}
			c.judge(ctx, token, f, now)
		}
		gone := func(a *attached) bool { return !slices.Contains(all, a) }
		maps.DeleteFunc(c.next, func(a *attached, _ time.Time) bool { return gone(a) })
		maps.DeleteFunc(c.numbers, func(a *attached, _ bool) bool { return gone(a) })
		if o := c.o.Load(); o.Every > 0 && time.Since(start) >= canaryRest && c.g.clock.Trusted() {
			for _, a := range all {
				at := c.next[a] // one that is further away than any: the clock was set back
				if (!now.Before(at) || at.Sub(now) > max(o.Every, o.Wait, time.Minute)) && c.flightTo(a) == nil {
					c.send(ctx, a, nil, false)
				}
				if at := c.next[a]; at.Before(next) {
					next = at
				}
			}
		}
		for _, f := range c.flights() {
			if f.due.Before(next) {
				next = f.due
			}
		}
		timer.Reset(max(time.Second, next.Sub(now)))
	}
}

func (c *canaries) flights() map[string]*flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.flying)
}

func (c *canaries) flightTo(a *attached) *flight {
	for _, f := range c.flights() {
		if f.to == a {
			return f
		}
	}
	return nil
}

// send sends a test message to a modem that is registered, from another if one
// works that is not the one to be avoided, else from itself.
func (c *canaries) send(ctx context.Context, to, avoid *attached, again bool) {
	now := c.g.dispatch.now()
	c.next[to] = now.Add(c.o.Load().Every)
	m := to.modem.Snapshot()
	if !hears(m) {
		c.next[to] = now.Add(time.Minute) // its trouble is known
		return
	}
	if m.Number == "" {
		if !c.numbers[to] {
			c.numbers[to] = true
			c.g.log.Warn("no test message can be sent to a modem whose number is not known; set number in the configuration", "modem", to.o.Name)
		}
		return
	}
	from := to
	for _, a := range c.g.modems.attached() {
		if a != to && a != avoid && a.modem.Snapshot().State == sms.Ready {
			from = a
			break
		}
	}
	token := rand.Text()[:canaryToken]
	d := queue.Draft{Pin: from.o.Name, Message: sms.Message{To: m.Number, Text: canaryText + token, Priority: sms.DefaultPriority,
		OnUnconfirmed: sms.Fail, ExpiresAt: now.Add(c.o.Load().Wait), Metadata: map[string]string{"purpose": "canary"}}}
	// On the air it may take less time than this call.
	f := &flight{to: to, from: from, due: now.Add(c.o.Load().Wait), again: again, before: to.canary.Load()}
	c.mu.Lock()
	c.flying[token] = f
	c.mu.Unlock()
	accepted, _, err := c.g.queue.Submit(ctx, []queue.Draft{d}, nil)
	if err != nil {
		c.drop(token)
		c.g.log.Warn("a test message could not be queued", "modem", to.o.Name, "error", err)
		return
	}
	f.id = accepted[0].ID
	c.show(f, "waiting", now, nil)
}

// hears tells whether a modem in this state gets what is sent to it, unless it is
// deaf. One whose storage is full, or whose received messages nobody takes, does
// not, and no healing helps.
func hears(m sms.Modem) bool { return m.State == sms.Ready || m.State == sms.Deaf }

func (c *canaries) drop(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flying, token)
}

// judge says what became of a test message, if that can be said by now.
func (c *canaries) judge(ctx context.Context, token string, f *flight, now time.Time) {
	c.mu.Lock()
	at := f.at
	c.mu.Unlock()
	if at.IsZero() && now.Before(f.due) {
		return
	}
	sent, err := c.g.queue.Message(ctx, f.id)
	if err != nil {
		if ctx.Err() == nil {
			c.drop(token)
		}
		return
	}
	switch {
	case !at.IsZero():
		// The text may be there before its sender has heard that it was taken.
		since := sent.SentAt
		if since.IsZero() || since.After(at) {
			since = sent.CreatedAt
		}
		seconds := at.Sub(since).Seconds()
		c.drop(token)
		c.show(f, "arrived", since, &seconds)
		c.seconds.WithLabelValues(f.to.o.Name).Set(seconds)
		c.total.WithLabelValues(f.to.o.Name, "arrived").Inc()
	case sent.Status != sms.Sent:
		c.drop(token) // it never left, and says nothing of the one that it was for
		f.to.canary.Store(f.before)
	case now.Before(sent.SentAt.Add(c.o.Load().Wait)):
		f.due = sent.SentAt.Add(c.o.Load().Wait)
	default:
		c.drop(token)
		c.lost(ctx, f, sent.SentAt)
	}
}

// lost draws the conclusion: the sender may be to blame, so another one tries
// before the modem is called deaf.
func (c *canaries) lost(ctx context.Context, f *flight, sentAt time.Time) {
	c.total.WithLabelValues(f.to.o.Name, "lost").Inc()
	c.show(f, "lost", sentAt, nil)
	m := f.to.modem.Snapshot()
	if !hears(m) {
		c.next[f.to] = c.g.dispatch.now() // once it is as it should be
		return
	}
	if !f.again && m.State != sms.Deaf {
		c.send(ctx, f.to, f.from, true)
		return
	}
	c.next[f.to] = c.g.dispatch.now().Add(c.o.Load().Wait) // proves whether the healing has helped
	f.to.modem.Deaf(fmt.Sprintf("It is registered, and a test message from %s has not arrived within %s.", f.from.o.Name, c.o.Load().Wait))
}

func (c *canaries) show(f *flight, outcome string, at time.Time, seconds *float64) {
	f.to.canary.Store(&sms.Canary{At: at.UTC().Truncate(time.Millisecond), From: f.from.o.Name, Outcome: outcome, Seconds: seconds})
	if outcome == "arrived" {
		c.g.log.Debug("a test message has arrived", "modem", f.to.o.Name, "from", f.from.o.Name, "seconds", *seconds)
	}
}

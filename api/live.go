package api

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/sms"
)

// What an open page is told of: that something of this kind changed, and no more.
const (
	modemChanged = iota
	messageChanged
	ringChanged
	alarmChanged
	webhookChanged
	gatewayChanged
	kindsOfChange
)

var changeNames = [kindsOfChange]string{"modem", "message", "ring", "alarm", "webhook", "gateway"}

const (
	// tellEvery is how often open pages are told of changes at most. All are told at
	// the same moment, so that one reading of the page does for all of them.
	tellEvery = time.Second
	// lookEvery is how often is looked for what changes without an event: a signal, a
	// counter, how far a webhook is behind.
	lookEvery = 5 * time.Second
)

// changes counts what changed, by kind.
type changes [kindsOfChange]uint64

// since writes what changed since before as server-sent events.
func (c changes) since(before changes) string {
	var b strings.Builder
	for kind, n := range c {
		if n != before[kind] {
			fmt.Fprintf(&b, "event: changed\ndata: {\"what\":%q}\n\n", changeNames[kind])
		}
	}
	return b.String()
}

// live follows the log once for all pages that are open, and only while some are.
// It reads the types of events, never what they tell.
type live struct {
	changed func() <-chan struct{}                                          // queue.Queue.Changed
	newest  func(context.Context) (int64, error)                            // where the log ends
	read    func(ctx context.Context, cursor int64) (changes, int64, error) // what changed behind a cursor
	look    func(context.Context) (of [kindsOfChange]uint64)                // what would change without an event, as a sum of each kind

	mu      sync.Mutex
	viewers int
	stop    context.CancelFunc
	counts  changes
	told    chan struct{} // closed when counts change
}

func newLive(a *API) *live {
	return &live{changed: a.o.Queue.Changed, told: make(chan struct{}), look: a.look,
		newest: func(ctx context.Context) (int64, error) { _, newest, err := a.o.Queue.Span(ctx); return newest, err },
		read: func(ctx context.Context, cursor int64) (of changes, upTo int64, err error) {
			for {
				_, upTo, err = a.o.Queue.EventsOf(ctx, cursor, streamBatch, func(kind string) bool { of.event(kind); return false })
				if err != nil || upTo == cursor {
					return of, cursor, err
				}
				cursor = upTo
			}
		}}
}

// event counts what an event of this type changes.
func (c *changes) event(kind string) {
	switch {
	case kind == sms.EventModemState:
		c[modemChanged]++
	case strings.HasPrefix(kind, "alarm."):
		c[alarmChanged]++
	case strings.HasPrefix(kind, "message."):
		c[messageChanged]++
		c[ringChanged]++
	default: // a call
		c[messageChanged]++
	}
}

// join counts one more page. What changes from now on is told.
func (l *live) join(ctx context.Context) (seen changes, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.viewers == 0 {
		cursor, err := l.newest(ctx)
		if err != nil {
			return seen, err
		}
		following, stop := context.WithCancel(context.WithoutCancel(ctx))
		l.stop = stop
		go l.follow(following, cursor)
	}
	l.viewers++
	return l.counts, nil
}

func (l *live) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.viewers--; l.viewers == 0 {
		l.stop()
	}
}

// now is what changed so far, and a channel that is closed when more has.
func (l *live) now() (changes, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts, l.told
}

// tell counts changes and wakes all streams.
func (l *live) tell(of changes) {
	if of == (changes{}) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for kind, n := range of {
		l.counts[kind] += n
	}
	close(l.told)
	l.told = make(chan struct{})
}

func (l *live) follow(ctx context.Context, cursor int64) {
	looks := time.NewTicker(lookEvery)
	defer looks.Stop()
	before := l.look(ctx)
	for {
		changed := l.changed() // before reading: nothing is missed in between
		of, upTo, err := l.read(ctx, cursor)
		if cursor = upTo; err == nil {
			l.tell(of)
		}
		if err != nil || of != (changes{}) { // what comes meanwhile is told together
			select {
			case <-time.After(tellEvery):
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			continue
		}
		select {
		case <-changed:
		case <-looks.C:
			var of changes
			seen := l.look(ctx)
			for kind := range seen {
				if seen[kind] != before[kind] {
					of[kind]++
				}
			}
			before = seen
			l.tell(of)
		case <-ctx.Done():
			return
		}
	}
}

// look sums up what pages show and no event tells of.
func (a *API) look(ctx context.Context) (of [kindsOfChange]uint64) {
	sum := func(kind int, v any) {
		h := fnv.New64a()
		_ = json.NewEncoder(h).Encode(v) // what can't be encoded does not change
		of[kind] = h.Sum64()
	}
	if a.o.Modems != nil {
		all := slices.Clone(a.o.Modems.List())
		for i, m := range all {
			if m.Signal != nil { // measured again, the same is no change
				same := *m.Signal
				same.At = time.Time{}
				all[i].Signal = &same
			}
		}
		sum(modemChanged, all)
	}
	if a.o.Fleet != nil {
		all, _ := a.o.Fleet.Gateways(ctx)
		for i := range all { // heard again, the same is no change
			all[i].SeenAt, all[i].Uptime = all[i].SeenAt.Truncate(time.Minute), 0
		}
		sum(gatewayChanged, all)
	}
	sum(ringChanged, a.o.Queue.Stats())
	if a.o.Alarms != nil {
		sum(alarmChanged, a.o.Alarms())
	}
	readers, _ := a.o.Queue.Readers(ctx)
	newest, _ := a.live.newest(ctx)
	var behind []any
	for _, name := range slices.Sorted(maps.Keys(readers)) {
		behind = append(behind, name, newest-readers[name])
	}
	if a.o.Webhooks != nil {
		all, _ := a.o.Webhooks.Webhooks(ctx)
		behind = append(behind, all)
	}
	sum(webhookChanged, behind)
	return of
}

// streamChanges is GET /live: it tells open pages what changed, and none of it. It
// ends with the key or the session, at the next heartbeat.
func (a *API) streamChanges(c echo.Context) error {
	q := newQuery(c)
	after := q.integer("after", 0, math.MaxInt64, -1)
	if err := q.done(); err != nil {
		return err
	}
	leave, err := a.streams.enter(keyOf(c))
	if err != nil {
		return err
	}
	defer leave()
	ctx := c.Request().Context()
	seen, err := a.live.join(ctx)
	if err != nil {
		return err
	}
	defer a.live.leave()
	newest, err := a.live.newest(ctx)
	if err != nil {
		return err
	}
	a.listeners.Add(1)
	defer a.listeners.Add(-1)
	hello := "retry: 2000\n\n"
	if after >= 0 && after != newest { // the page is older than that: anything may have changed
		all := seen
		for kind := range all {
			all[kind]++
		}
		hello += all.since(seen)
	}
	s := newStream(c)
	if err := s.write(hello); err != nil {
		return err
	}
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		now, told := a.live.now()
		if text := now.since(seen); text != "" {
			if err := s.write(text); err != nil {
				return err
			}
			seen = now
		}
		select {
		case <-told:
		case <-beat.C:
			key, _, err := a.identify(c.Request())
			if err != nil {
				return err
			}
			if !key.Can(auth.Watch) {
				return wrongScope.because("The key may no longer see this.")
			}
			if err := s.write(heartbeat(true, a.now())); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-a.stopping:
			return nil
		}
	}
}

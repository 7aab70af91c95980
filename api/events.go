package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/sms"
)

const (
	// heartbeatEvery keeps proxies from closing a quiet stream, and tells the
	// reader that it still is one.
	heartbeatEvery = 15 * time.Second
	// writeWait is how long one write to a stream may take: a reader that does
	// not read is let go, and comes back with its Last-Event-ID.
	writeWait = 30 * time.Second
	// streamBatch is how many events are read from the log at once.
	streamBatch = 100
	// mostLooked is how many events one page looks at for those of some types.
	mostLooked = 5000
)

// listEvents is GET /v1/events: the event log as it grows, or as pages.
func (a *API) listEvents(c echo.Context) error {
	r := c.Request()
	q := newQuery(c)
	after := q.integer("after", 0, math.MaxInt64, -1)
	stream, wait := wantsStream(r), time.Duration(0)
	wanted := q.types()
	limit, beat := 0, ""
	if stream {
		beat = q.oneOf("heartbeat", "comment", "event")
	} else {
		limit, wait = q.limit(), q.wait()
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" && stream {
		// A browser that reconnects sends both; the header is the newer.
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil || n < 0 {
			q.wrong("Last-Event-ID", "must be the id of an event")
		}
		after = n
	}
	if err := q.done(); err != nil {
		return err
	}
	if stream {
		return a.stream(c, after, wanted, beat == "event")
	}
	return a.eventPage(c, after, limit, wanted, wait)
}

// types takes which types of events are wanted: names, or groups such as message.*;
// nil: all.
func (q *query) types() func(string) bool {
	list := q.list("types")
	if len(list) == 0 {
		return nil
	}
	exact, known := map[string]bool{}, sms.EventTypes()
	var groups []string
	for _, t := range list {
		group, isGroup := strings.CutSuffix(t, "*")
		switch {
		case t == "*":
			return nil
		case isGroup && strings.HasSuffix(group, "."):
			if !slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, group) }) {
				q.wrong("types", "has the group %q, which no event is of; the types are %s", shorten(t), strings.Join(known, ", "))
			}
			groups = append(groups, group)
		case t == "" || isGroup || checkLine(t, 64) != "":
			q.wrong("types", "has %q, which is neither a type such as message.sent nor a group such as message.*", shorten(t))
		default:
			if !slices.Contains(known, t) {
				q.wrong("types", "has %q, which no event is of; the types are %s", shorten(t), strings.Join(known, ", "))
			}
			exact[t] = true
		}
	}
	return func(kind string) bool {
		return exact[kind] || slices.ContainsFunc(groups, func(g string) bool { return strings.HasPrefix(kind, g) })
	}
}

// wantsStream reports whether the client wants server-sent events, which is
// what it gets unless it asks for JSON and not for them.
func wantsStream(r *http.Request) bool {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	return !strings.Contains(accept, "application/json") || strings.Contains(accept, "text/event-stream")
}

// gone reports whether events after a sequence are no longer all in the log, or
// the sequence is of another log.
func gone(after, oldest, newest int64) bool { return after < oldest-1 || after > newest }

type eventJSON struct {
	ID             int64           `json:"id"`
	Type           string          `json:"type"`
	Timestamp      time.Time       `json:"timestamp"`
	ClockUncertain bool            `json:"clock_uncertain"`
	Data           json.RawMessage `json:"data"`
}

type eventPageJSON struct {
	Events    []eventJSON `json:"events"`
	NextAfter int64       `json:"next_after"`
	Reset     bool        `json:"reset"`
}

// eventPage answers with events of the log as JSON, once there is one or the wait
// is over.
func (a *API) eventPage(c echo.Context, after int64, limit int, wanted func(string) bool, wait time.Duration) error {
	var page eventPageJSON
	start := time.Now()
	err := a.waitFor(c.Request().Context(), c.Response().Writer, wait, func(ctx context.Context) (found bool, err error) {
		for {
			from := after
			page, err = a.eventsAfter(ctx, keyOf(c), from, limit, wanted)
			if !page.Reset && err == nil {
				after = page.NextAfter // what is not wanted is not looked at again
			}
			found = len(page.Events) > 0 || page.Reset
			// Who waits has time for a longer way to the end of the log than one page's.
			if found || err != nil || after == from || time.Since(start) >= wait {
				return found, err
			}
		}
	})
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, page)
}

func (a *API) eventsAfter(ctx context.Context, key *auth.Key, after int64, limit int, wanted func(string) bool) (page eventPageJSON, err error) {
	oldest, newest, err := a.o.Queue.Span(ctx)
	if err != nil {
		return page, err
	}
	if after < 0 { // from the oldest that is kept
		after = max(oldest-1, 0)
	}
	page = eventPageJSON{Events: []eventJSON{}, NextAfter: after}
	if gone(after, oldest, newest) {
		page.Reset, page.NextAfter = true, newest
		return page, nil
	}
	// Of a few types there may be none for long: a page looks so far and no further.
	for looked := 0; len(page.Events) < limit && looked < mostLooked; looked += streamBatch {
		n := limit - len(page.Events)
		if wanted != nil {
			n = streamBatch
		}
		events, upTo, err := a.o.Queue.EventsOf(ctx, page.NextAfter, n, wanted)
		if err != nil {
			return page, err
		}
		if upTo == page.NextAfter {
			break
		}
		page.NextAfter = upTo
		about := make([]string, len(events))
		for i, e := range events {
			about[i] = conversationOf(e)
		}
		hidden, err := a.hidden(ctx, key, about)
		if err != nil {
			return page, err
		}
		for i, e := range events {
			if hidden[about[i]] {
				continue
			}
			if len(page.Events) == limit { // the rest is of the next page
				break
			}
			page.Events = append(page.Events, eventJSON{e.Seq, e.Type, e.Time.UTC().Truncate(time.Millisecond), e.ClockUncertain, e.Data})
			page.NextAfter = e.Seq
		}
		if len(page.Events) < limit {
			page.NextAfter = upTo
		}
		if wanted == nil {
			break
		}
	}
	return page, nil
}

// stream sends the log as server-sent events until the client leaves, its key
// ends, or the server stops. This goroutine is the only writer; a slow reader
// lags in the log, not in memory.
func (a *API) stream(c echo.Context, after int64, wanted func(string) bool, beatEvents bool) error {
	ctx, key := c.Request().Context(), keyOf(c)
	cursor := after
	if after < 0 {
		_, newest, err := a.o.Queue.Span(ctx)
		if err != nil {
			return err
		}
		cursor = newest
	}
	leave, err := a.streams.enter(keyOf(c))
	if err != nil {
		return err
	}
	defer leave()
	s := newStream(c)
	s.told = cursor
	a.listeners.Add(1)
	defer a.listeners.Add(-1)
	// The time after which a browser whose connection broke comes back.
	hello := "retry: 2000\n"
	if after < 0 { // and where, also before the first event: it would miss what comes meanwhile
		hello += fmt.Sprintf("id: %d\n", cursor)
	}
	if err := s.write(hello + "\n"); err != nil {
		return err
	}
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		changed := a.o.Queue.Changed() // before reading: nothing is missed in between
		var err error
		if cursor, err = a.catchUp(ctx, key, s, cursor, wanted); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-beat.C:
			now, _, err := a.identify(c.Request())
			if err != nil {
				return err
			}
			key = now // of another team by now, maybe
			if err := s.write(s.place(cursor) + heartbeat(beatEvents, a.now())); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-a.stopping:
			return nil
		}
	}
}

// heartbeat is a comment, which programs never see. Pages can't see it either,
// so they ask for an event, which has no id and moves no cursor.
func heartbeat(event bool, now time.Time) string {
	if !event {
		return ": heartbeat\n\n"
	}
	return fmt.Sprintf(": heartbeat\nevent: heartbeat\ndata: {\"type\":\"heartbeat\",\"timestamp\":%q,\"data\":null}\n\n",
		now.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// catchUp sends what is in the log behind cursor and returns where it ends. If
// that is no longer in the log it says so, and goes on with what comes next.
func (a *API) catchUp(ctx context.Context, key *auth.Key, s *eventStream, cursor int64, wanted func(string) bool) (int64, error) {
	for {
		p, err := a.fanout.after(ctx, cursor)
		switch {
		case err != nil:
			return cursor, err
		case p.reset:
			err = s.reset(p.cursor, a.now())
		default:
			about := make([]string, len(p.events))
			for i := range p.events {
				about[i] = p.events[i].talk
			}
			var hidden map[string]bool
			if hidden, err = a.hidden(ctx, key, about); err == nil {
				err = s.tell(p, wanted, hidden)
			}
		}
		if cursor = p.cursor; err != nil || p.end {
			return cursor, err
		}
	}
}

// eventStream writes server-sent events.
type eventStream struct {
	w    http.ResponseWriter
	c    *http.ResponseController
	told int64 // the id that the reader knows
}

// tell writes what is wanted of a piece of the log, without what is of hidden conversations.
func (s *eventStream) tell(p piece, wanted func(string) bool, hidden map[string]bool) error {
	text, last := p.wire, p.cursor
	if wanted != nil || hidden != nil {
		var b strings.Builder
		for _, e := range p.events {
			if (wanted == nil || wanted(e.kind)) && !hidden[e.talk] {
				b.WriteString(p.wire[e.from:e.to])
				last = e.seq
			}
		}
		text = b.String()
	}
	if text == "" {
		return nil
	}
	s.told = last
	return s.write(text)
}

// place tells a reader that wants few types how far the log has gone: an id without
// data is no event, and what it comes back with. So it is not told of a reset
// because of events that it does not want.
func (s *eventStream) place(cursor int64) string {
	if s.told >= cursor {
		return ""
	}
	s.told = cursor
	return fmt.Sprintf("id: %d\n\n", cursor)
}

func newStream(c echo.Context) *eventStream {
	w := c.Response()
	s := &eventStream{w: w, c: http.NewResponseController(w.Writer)}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	return s
}

func (s *eventStream) write(text string) error {
	// A stream outlives the server's limit for ordinary answers; a writer that
	// knows no deadlines has no such limit either.
	_ = s.c.SetWriteDeadline(time.Now().Add(writeWait))
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.c.Flush()
}

// reset tells the reader that events are missing: what it knows must be read anew.
func (s *eventStream) reset(newest int64, now time.Time) error {
	return s.write(fmt.Sprintf("id: %d\nevent: reset\ndata: {\"type\":\"reset\",\"timestamp\":%q,\"data\":null}\n\n",
		newest, now.UTC().Format("2006-01-02T15:04:05.000Z")))
}

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

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
)

// listEvents is GET /v1/events: the event log as it grows, or as pages.
func (a *API) listEvents(c echo.Context) error {
	r := c.Request()
	q := newQuery(c)
	after := q.integer("after", 0, math.MaxInt64, -1)
	stream := wantsStream(r)
	limit, beat := 0, ""
	if stream {
		beat = q.oneOf("heartbeat", "comment", "event")
	} else {
		limit = q.limit()
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
		return a.stream(c, after, beat == "event")
	}
	return a.eventPage(c, after, limit)
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

// eventPage answers with events of the log as JSON.
func (a *API) eventPage(c echo.Context, after int64, limit int) error {
	ctx := c.Request().Context()
	oldest, newest, err := a.o.Queue.Span(ctx)
	if err != nil {
		return err
	}
	if after < 0 { // from the oldest that is kept
		after = max(oldest-1, 0)
	}
	page := struct {
		Events    []eventJSON `json:"events"`
		NextAfter int64       `json:"next_after"`
		Reset     bool        `json:"reset"`
	}{Events: []eventJSON{}, NextAfter: after}
	if gone(after, oldest, newest) {
		page.Reset, page.NextAfter = true, newest
		return a.json(c, http.StatusOK, page)
	}
	events, err := a.o.Queue.EventsAfter(ctx, after, limit)
	if err != nil {
		return err
	}
	for _, e := range events {
		page.Events = append(page.Events, eventJSON{e.Seq, e.Type, e.Time.UTC().Truncate(time.Millisecond), e.ClockUncertain, e.Data})
		page.NextAfter = e.Seq
	}
	return a.json(c, http.StatusOK, page)
}

// stream sends the log as server-sent events until the client leaves, its key
// ends, or the server stops. This goroutine is the only writer; a slow reader
// lags in the log, not in memory.
func (a *API) stream(c echo.Context, after int64, beatEvents bool) error {
	ctx := c.Request().Context()
	cursor := after
	if after < 0 {
		_, newest, err := a.o.Queue.Span(ctx)
		if err != nil {
			return err
		}
		cursor = newest
	}
	s := newStream(c)
	a.listeners.Add(1)
	defer a.listeners.Add(-1)
	// The time after which a browser whose connection broke comes back.
	if err := s.write("retry: 2000\n\n"); err != nil {
		return err
	}
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		changed := a.o.Queue.Changed() // before reading: nothing is missed in between
		var err error
		if cursor, err = a.catchUp(ctx, s, cursor); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-beat.C:
			if _, _, err := a.identify(c.Request()); err != nil {
				return err
			}
			if err := s.write(heartbeat(beatEvents, a.now())); err != nil {
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
func (a *API) catchUp(ctx context.Context, s *eventStream, cursor int64) (int64, error) {
	for {
		oldest, newest, err := a.o.Queue.Span(ctx)
		if err != nil {
			return cursor, err
		}
		if gone(cursor, oldest, newest) {
			cursor = newest
			if err := s.reset(newest, a.now()); err != nil {
				return cursor, err
			}
			continue
		}
		if cursor == newest {
			return cursor, nil
		}
		events, err := a.o.Queue.EventsAfter(ctx, cursor, streamBatch)
		if err != nil {
			return cursor, err
		}
		if len(events) == 0 { // erased in between
			return cursor, nil
		}
		if err := s.events(events); err != nil {
			return cursor, err
		}
		cursor = events[len(events)-1].Seq
	}
}

// eventStream writes server-sent events.
type eventStream struct {
	w http.ResponseWriter
	c *http.ResponseController
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
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.c.Flush()
}

func (s *eventStream) events(events []sms.Event) error {
	var b strings.Builder
	for _, e := range events {
		// Body is one line: JSON escapes line ends.
		fmt.Fprintf(&b, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, e.Body())
	}
	return s.write(b.String())
}

// reset tells the reader that events are missing: what it knows must be read anew.
func (s *eventStream) reset(newest int64, now time.Time) error {
	return s.write(fmt.Sprintf("id: %d\nevent: reset\ndata: {\"type\":\"reset\",\"timestamp\":%q,\"data\":null}\n\n",
		newest, now.UTC().Format("2006-01-02T15:04:05.000Z")))
}

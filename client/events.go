package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatewayd/wire"
)

// Where Events may begin beside the id of an event.
const (
	FromNow   int64 = -1 // with what happens from now on
	FromStart int64 = -2 // with the oldest event that is kept
)

// Reset is the type of the event that says: events are missing here, because
// the log did not keep them that long. Whoever follows the log to know a state
// must read that state anew.
const Reset = "reset"

const (
	// silence is after how long without even a heartbeat, which comes every 15
	// seconds, a stream is taken for dead.
	silence = 45 * time.Second
	// longestPause is how long a stream stays away at most, whatever Retry-After
	// or retry say: a wrong clock in between must not end it.
	longestPause = 10 * time.Minute
	// maxLine is the longest line of a stream that is read.
	maxLine = 4 << 20
)

// Event is one event of the gateway's log.
type Event struct {
	ID             int64 // its place in the log
	Type           string
	Timestamp      time.Time
	ClockUncertain bool `json:"clock_uncertain"`
	// Data is the message, modem, call or alarm as it was right after the event.
	Data json.RawMessage
	// Body is the whole event as webhooks carry it.
	Body json.RawMessage `json:"-"`
}

// Message is the message of an event whose type begins with "message.".
func (e *Event) Message() (*Message, error) {
	if !strings.HasPrefix(e.Type, "message.") {
		return nil, fmt.Errorf("the event %s has no message", e.Type)
	}
	var m Message
	if err := json.Unmarshal(e.Data, &m); err != nil {
		return nil, err
	}
	return &m, nil
}

func (e *Event) messageID() string {
	var m struct{ ID string }
	if !strings.HasPrefix(e.Type, "message.") || json.Unmarshal(e.Data, &m) != nil {
		return ""
	}
	return m.ID
}

// Events follows the event log: what comes after the event with the id after,
// or FromNow, or FromStart. When the connection breaks or the gateway restarts
// it comes back and goes on where it was, so each event comes once and in order
// as long as the log has it; what it no longer has is told by an event of the
// type Reset. It ends with an error: ctx's, or that the key is refused.
func (c *Client) Events(ctx context.Context, after int64) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		cursor, err := c.begin(ctx, after)
		if err != nil {
			yield(nil, err)
			return
		}
		for failed := 0; ; failed++ {
			s := &stream{cursor: cursor}
			err := c.follow(ctx, s, yield)
			if s.left {
				return
			}
			if s.cursor != cursor {
				cursor, failed = s.cursor, 0
			}
			wait, again := retryAfter(err, failed)
			if ctx.Err() != nil {
				err, again = ctx.Err(), false
			}
			if !again {
				yield(nil, err)
				return
			}
			if s.open { // it worked: the gateway's own word counts
				wait, failed = max(s.retry, firstWait), 0
			}
			wait = min(wait, longestPause)
			c.notice(err, wait)
			if err := sleep(ctx, wait); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// begin turns a place in words into an event's id: after the connection broke,
// "now" would be another place.
func (c *Client) begin(ctx context.Context, after int64) (int64, error) {
	switch after {
	case FromNow:
		return c.newest(ctx)
	case FromStart:
		page, err := c.page(ctx, &wire.ListEventsParams{Limit: new(1)})
		if err != nil || len(page.Events) == 0 {
			return page.NextAfter, err
		}
		return page.Events[0].ID - 1, nil
	}
	if after < 0 {
		return 0, fmt.Errorf("%d is no event's id", after)
	}
	return after, nil
}

// newest is the id of the newest event. A page behind all events says so.
func (c *Client) newest(ctx context.Context) (int64, error) {
	page, err := c.page(ctx, &wire.ListEventsParams{After: new(int64(math.MaxInt64)), Limit: new(1)})
	return page.NextAfter, err
}

type eventPage struct {
	Events    []Event
	NextAfter int64 `json:"next_after"`
	Reset     bool
}

func (c *Client) page(ctx context.Context, p *wire.ListEventsParams) (eventPage, error) {
	var page eventPage
	err := c.call(ctx, &page, func(ctx context.Context) (*http.Response, error) {
		return c.rest.ClientInterface.ListEvents(ctx, p, accept("application/json"))
	})
	return page, err
}

func accept(kind string) func(context.Context, *http.Request) error {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Accept", kind)
		return nil
	}
}

// stream is one connection to the log.
type stream struct {
	cursor int64
	retry  time.Duration
	open   bool // it was answered 200
	left   bool // the caller has seen enough
}

var errQuiet = errors.New("nothing came for 45 seconds, not even a heartbeat")

// follow reads one connection to its end, which always is an error.
func (c *Client) follow(ctx context.Context, s *stream, yield func(*Event, error) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(errQuiet) })
	defer watchdog.Stop()

	id := strconv.FormatInt(s.cursor, 10)
	res, err := c.rest.ClientInterface.ListEvents(ctx, &wire.ListEventsParams{LastEventID: &id}, accept("text/event-stream"))
	if err != nil {
		return because(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		if err != nil {
			return because(ctx, err)
		}
		return errorOf(res, body)
	}
	s.open = true
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxLine)
	p := parser{id: s.cursor}
	for lines.Scan() {
		watchdog.Reset(silence)
		e, err := p.line(lines.Text())
		if err != nil {
			return err
		}
		if p.retry > 0 {
			s.retry = p.retry
		}
		if e == nil {
			continue
		}
		watchdog.Stop() // the caller may take its time
		if !yield(e, nil) {
			s.left = true
			return nil
		}
		s.cursor = e.ID
		watchdog.Reset(silence)
	}
	if err := lines.Err(); err != nil {
		return because(ctx, err)
	}
	return io.ErrUnexpectedEOF // the gateway ends, or a proxy in between
}

// because prefers why a context was canceled to that it was.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// parser reads the lines of server-sent events.
type parser struct {
	id    int64
	data  []string
	retry time.Duration
}

// line takes a line; at the end of an event it returns it.
func (p *parser) line(s string) (*Event, error) {
	if s == "" {
		return p.event()
	}
	field, value, _ := strings.Cut(s, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "id":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("the stream has the id %q, which is no event's", value)
		}
		p.id = n
	case "data":
		p.data = append(p.data, value)
	case "retry":
		if n, err := strconv.ParseUint(value, 10, 31); err == nil {
			p.retry = time.Duration(n) * time.Millisecond
		}
	}
	return nil, nil
}

func (p *parser) event() (*Event, error) {
	if p.data == nil {
		return nil, nil
	}
	body := strings.Join(p.data, "\n")
	p.data = nil
	e := &Event{}
	if err := json.Unmarshal([]byte(body), e); err != nil {
		return nil, fmt.Errorf("the stream has an event that is not JSON: %w", err)
	}
	e.ID, e.Body = p.id, json.RawMessage(body)
	return e, nil
}

package widget

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"gatewayd/door"
	"gatewayd/sms"
)

// streams are the event streams that are open, by address, and what they wait for.
type streams struct {
	most, each int // in all, and of one address

	mu     sync.Mutex
	all    int
	open   map[string]int
	wanted map[string]map[chan struct{}]bool // by conversation
	first  chan struct{}                     // holds one: there are some again
}

func (s *streams) enter(who string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= s.most || s.open[who] >= s.each {
		return door.Later(http.StatusTooManyRequests, "limit", "Too many event streams are open.", 30*time.Second)
	}
	s.all++
	s.open[who]++
	return nil
}

func (s *streams) leave(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.open[who]--; s.open[who] <= 0 {
		delete(s.open, who)
	}
}

// want returns a channel that holds one when something happened in a conversation.
func (s *streams) want(conversation string) (woken chan struct{}, forget func()) {
	woken = make(chan struct{}, 1)
	if conversation == "" {
		return woken, func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted == nil {
		s.wanted = map[string]map[chan struct{}]bool{}
	}
	if s.wanted[conversation] == nil {
		s.wanted[conversation] = map[chan struct{}]bool{}
	}
	s.wanted[conversation][woken] = true
	select {
	case s.first <- struct{}{}:
	default:
	}
	return woken, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if delete(s.wanted[conversation], woken); len(s.wanted[conversation]) == 0 {
			delete(s.wanted, conversation)
		}
	}
}

func (s *streams) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.wanted) == 0
}

func (s *streams) wake(conversation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for woken := range s.wanted[conversation] {
		select {
		case woken <- struct{}{}:
		default:
		}
	}
}

// follow reads the event log once for all streams and wakes those whose conversation
// something happened in. While there are none it rests.
func (w *Widgets) follow(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-w.streams.first:
		case <-ctx.Done():
			return
		}
		_, cursor, err := w.o.Queue.Span(ctx)
		for err == nil && !w.streams.idle() {
			changed := w.o.Queue.Changed() // before reading: nothing is missed in between
			var events []sms.Event
			var upTo int64
			if events, upTo, err = w.o.Queue.EventsOf(ctx, cursor, 500, speaks); err != nil {
				break
			}
			for _, e := range events {
				w.streams.wake(conversationOf(e))
			}
			if upTo > cursor {
				cursor = upTo
				continue
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
		if err != nil && ctx.Err() == nil {
			w.log.Warn("open widgets are told late: the event log can't be read", "error", err)
			select { // the streams look by themselves with each heartbeat
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
			}
			select {
			case w.streams.first <- struct{}{}:
			default:
			}
		}
	}
}

// speaks tells the types of events that conversations have.
func speaks(kind string) bool {
	return strings.HasPrefix(kind, "message.") || strings.HasPrefix(kind, "conversation.") || strings.HasPrefix(kind, "consent.")
}

// conversationOf is the conversation that an event is about; "": none.
func conversationOf(e sms.Event) string {
	var data struct {
		ID           string `json:"id"`
		Conversation string `json:"conversation"`
	}
	if json.Unmarshal(e.Data, &data) != nil {
		return ""
	}
	if strings.HasPrefix(e.Type, "conversation.") {
		return data.ID
	}
	return data.Conversation
}

const (
	heartbeat = 15 * time.Second
	writeWait = 10 * time.Second
	// atMost is how often a stream looks while much happens.
	atMost = 250 * time.Millisecond
)

// events is GET events: the visitor's conversation and the widget's looks, each time
// that they change. What is told is the whole, so nothing can be missed.
func (w *Widgets) events(rw http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	var v visitor
	var id string
	if r.Header.Get("Authorization") != "" {
		one, _, _, err := w.enter(r)
		if err != nil {
			return err
		}
		v, id = one, one.Widget
	} else {
		one, _, err := w.asks(r)
		if err != nil {
			return err
		}
		id = one.ID
	}
	who := door.Guesser(r)
	if err := w.streams.enter(who); err != nil {
		return err
	}
	defer w.streams.leave(who)
	woken, forget := w.streams.want(v.Conversation)
	defer forget()
	h := rw.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	s := &eventStream{w: rw, c: http.NewResponseController(rw)}
	if err := s.write(": hello\n\n"); err != nil {
		return err
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		changed := w.looks.next()
		if err := w.tellStream(ctx, s, id, v); err != nil {
			return err
		}
		select {
		case <-woken:
			select { // much happens at once: it is read once
			case <-time.After(atMost):
			case <-ctx.Done():
				return ctx.Err()
			}
		case <-changed:
		case <-beat.C:
			if v.ID != "" { // its token may be over
				if _, err := w.visitorByID(ctx, v.ID); err != nil {
					return err
				}
			}
			if err := s.write(": heartbeat\n\n"); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tellStream tells what has changed since it told last.
func (w *Widgets) tellStream(ctx context.Context, s *eventStream, id string, v visitor) error {
	_, l, err := w.current(ctx, id)
	if err != nil {
		return err
	}
	if err := s.tell("look", &s.look, l); err != nil {
		return err
	}
	view, err := w.viewOf(ctx, v)
	if err != nil || view == nil {
		return err
	}
	return s.tell("chat", &s.chat, view)
}

// eventStream writes server-sent events.
type eventStream struct {
	w          io.Writer
	c          *http.ResponseController
	look, chat string // as they were told last
}

func (s *eventStream) tell(kind string, last *string, v any) error {
	now := jsonOf(v)
	if now == *last {
		return nil
	}
	*last = now
	return s.write("event: " + kind + "\ndata: " + now + "\n\n")
}

func (s *eventStream) write(text string) error {
	_ = s.c.SetWriteDeadline(time.Now().Add(writeWait)) // a stream outlives the limit of ordinary answers
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.c.Flush()
}

package inbox

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"gatewayd/door"
	"gatewayd/queue"
)

// here are the inboxes that somebody looks at now: each has a stream open.
type here struct {
	most, each, ofOne int // in all, of one address, and of one inbox

	mu     sync.Mutex
	all    int
	open   map[string]int                    // by address
	people map[string]map[chan struct{}]bool // by number
}

// enter returns a channel that holds one when something happened in an inbox.
func (h *here) enter(who, number string) (woken chan struct{}, leave func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all >= h.most || h.open[who] >= h.each || len(h.people[number]) >= h.ofOne {
		return nil, nil, door.Later(http.StatusTooManyRequests, "limit", "Too many streams are open.", 30*time.Second)
	}
	woken = make(chan struct{}, 1)
	h.all++
	h.open[who]++
	if h.people[number] == nil {
		h.people[number] = map[chan struct{}]bool{}
	}
	h.people[number][woken] = true
	return woken, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.all--
		if h.open[who]--; h.open[who] <= 0 {
			delete(h.open, who)
		}
		if delete(h.people[number], woken); len(h.people[number]) == 0 {
			delete(h.people, number)
		}
	}, nil
}

func (h *here) online(number string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.people[number]) > 0
}

func (h *here) wake(number string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for woken := range h.people[number] {
		select {
		case woken <- struct{}{}:
		default:
		}
	}
}

const (
	heartbeat = 15 * time.Second
	writeWait = 10 * time.Second
	// atMost is how often a stream tells while much happens.
	atMost = 250 * time.Millisecond
)

// events is GET events: that something changed, and no more; the page asks what. Whoever
// has it open can be reached by internet now.
func (b *Inbox) events(w http.ResponseWriter, r *http.Request, p person) error {
	ctx := r.Context()
	woken, leave, err := b.here.enter(door.Guesser(r), p.Number)
	if err != nil {
		return err
	}
	defer leave()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	c := http.NewResponseController(w)
	write := func(text string) error {
		_ = c.SetWriteDeadline(time.Now().Add(writeWait)) // a stream outlives the limit of ordinary answers
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
		return c.Flush()
	}
	if err := write("retry: 3000\nevent: changed\ndata: {}\n\n"); err != nil {
		return err
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		tell := ": heartbeat\n\n"
		select {
		case <-woken:
			tell = "event: changed\ndata: {}\n\n"
			select { // much happens at once: it is told once
			case <-time.After(atMost):
			case <-ctx.Done():
				return nil
			}
		case <-beat.C:
		case <-ctx.Done():
			return nil
		}
		// The session may be over, or the inbox closed.
		if _, err := b.session(ctx, &p); errors.Is(err, queue.ErrNotFound) {
			return write("event: over\ndata: {}\n\n")
		} else if err != nil {
			return err
		}
		if err := write(tell); err != nil {
			return err
		}
	}
}

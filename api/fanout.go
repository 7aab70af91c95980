package api

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"gatewayd/queue"
)

const (
	// sharedFor is how long a piece of the log may be handed to others than the
	// one who read it. It ends soon: what is erased must not be told any more.
	sharedFor = time.Second
	// readWait is how long one read for all may take.
	readWait = 10 * time.Second
)

// piece is what of the log lies behind a cursor, as it is sent.
type piece struct {
	wire   string
	events []span // where in wire each event stands
	cursor int64  // where it ends
	reset  bool   // the cursor is of another log, or of what is no longer in it
	end    bool   // nothing lies behind it
}

// span is one event.
type span struct {
	seq      int64
	kind     string
	from, to int
}

// fanout reads the log once for all streams that are at the same place: a
// thousand of them at its end would read and encode each event a thousand
// times. It keeps nothing for those that lag; they read the log by themselves.
type fanout struct {
	load    func(ctx context.Context, cursor int64) (piece, error)
	changed func() <-chan struct{} // queue.Queue.Changed

	mu    sync.Mutex
	since <-chan struct{} // since when the pieces were read: it was current before
	reads map[int64]*reading
}

// reading is a read that has begun.
type reading struct {
	done  chan struct{} // closed when piece and err are there
	piece piece
	err   error
}

func newFanout(q *queue.Queue) *fanout {
	return &fanout{changed: q.Changed, load: func(ctx context.Context, cursor int64) (piece, error) { return readPiece(ctx, q, cursor) }}
}

// after returns what lies behind a cursor. What another read is taken only if
// nobody was told since it began that something was written; who took the
// channel of queue.Queue.Changed before misses nothing.
func (f *fanout) after(ctx context.Context, cursor int64) (piece, error) {
	f.mu.Lock()
	if now := f.changed(); f.since != now {
		f.since, f.reads = now, map[int64]*reading{}
	}
	r := f.reads[cursor]
	if r != nil {
		f.mu.Unlock()
		select {
		case <-r.done:
			return r.piece, r.err
		case <-ctx.Done():
			return piece{}, ctx.Err()
		}
	}
	r = &reading{done: make(chan struct{})}
	reads := f.reads
	reads[cursor] = r
	f.mu.Unlock()

	// Others wait for it, so it goes on when this one's client leaves.
	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), readWait)
	defer cancel()
	forget := func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(reads, cursor)
	}
	defer close(r.done)
	r.piece, r.err = f.load(reading, cursor)
	if r.err != nil {
		forget()
	} else {
		time.AfterFunc(sharedFor, forget)
	}
	return r.piece, r.err
}

// readPiece reads and encodes what lies behind a cursor, streamBatch events at
// most.
func readPiece(ctx context.Context, q *queue.Queue, cursor int64) (piece, error) {
	oldest, newest, err := q.Span(ctx)
	switch {
	case err != nil:
		return piece{}, err
	case gone(cursor, oldest, newest):
		return piece{cursor: newest, reset: true}, nil
	case cursor == newest:
		return piece{cursor: cursor, end: true}, nil
	}
	events, err := q.EventsAfter(ctx, cursor, streamBatch)
	if err != nil {
		return piece{}, err
	}
	if len(events) == 0 { // erased in between
		return piece{cursor: cursor, end: true}, nil
	}
	var b strings.Builder
	spans := make([]span, len(events))
	for i, e := range events {
		from := b.Len()
		// Body is one line: JSON escapes line ends.
		fmt.Fprintf(&b, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, e.Body())
		spans[i] = span{e.Seq, e.Type, from, b.Len()}
	}
	last := events[len(events)-1].Seq
	return piece{wire: b.String(), events: spans, cursor: last, end: last >= newest}, nil
}

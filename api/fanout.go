package api

import (
	"context"
	"fmt"
	"strings"

	"gatewayd/queue"
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
	talk     string // the conversation that it is about; "": none
	from, to int
}

// fanout reads the log once for all streams that are at the same place: a
// thousand of them at its end would read and encode each event a thousand
// times. It keeps nothing for those that lag; they read the log by themselves.
type fanout struct {
	shared[int64, piece]
	load func(ctx context.Context, cursor int64) (piece, error)
}

func newFanout(q *queue.Queue) *fanout {
	return &fanout{shared[int64, piece]{changed: q.Changed}, func(ctx context.Context, cursor int64) (piece, error) { return readPiece(ctx, q, cursor) }}
}

// after returns what lies behind a cursor.
func (f *fanout) after(ctx context.Context, cursor int64) (piece, error) {
	return f.do(ctx, cursor, func(ctx context.Context) (piece, error) { return f.load(ctx, cursor) })
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
		spans[i] = span{e.Seq, e.Type, conversationOf(e), from, b.Len()}
	}
	last := events[len(events)-1].Seq
	return piece{wire: b.String(), events: spans, cursor: last, end: last >= newest}, nil
}

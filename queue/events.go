package queue

import (
	"context"

	"gatewayd/db"
	"gatewayd/sms"
)

// EventsAfter returns up to limit events with a sequence above seq, in order.
func (q *Queue) EventsAfter(ctx context.Context, seq int64, limit int) ([]sms.Event, error) {
	panic("")
}

// Event returns the event with this sequence, or ErrNotFound once it is pruned
// or its message erased.
func (q *Queue) Event(ctx context.Context, seq int64) (*sms.Event, error) { panic("") }

// Span returns the oldest and the newest sequence in the log; 0, 0 when empty.
// A reader whose cursor is below oldest-1 has missed events.
func (q *Queue) Span(ctx context.Context) (oldest, newest int64, err error) { panic("") }

// AppendModemState writes a modem.state event.
func (q *Queue) AppendModemState(m sms.Modem) error { panic("") }

// Cursor returns where a durable reader of the log stands. A new reader starts
// at the newest event. Durable readers hold the log's pruning and the inbound
// slots: an inbound slot is processed once every durable reader is past it.
func (q *Queue) Cursor(reader string) (int64, error) { panic("") }

// AdvanceTx moves a durable reader past seq in the caller's transaction, and
// keeps events from hold on from being pruned (hold 0: nothing more is needed).
func (q *Queue) AdvanceTx(tx *db.Tx, reader string, seq, hold int64) error { panic("") }

// DropReader forgets a durable reader, for one that the configuration no
// longer has.
func (q *Queue) DropReader(reader string) error { panic("") }

// Readers lists the durable readers and where they stand.
func (q *Queue) Readers(ctx context.Context) (map[string]int64, error) { panic("") }

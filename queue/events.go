package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// nextEvent gives the sequence of the next event. One that is undone with its
// transaction leaves a gap.
func (q *Queue) nextEvent() int64 {
	q.lastEvent++
	return q.lastEvent
}

// appendMessage writes the event that tells a message's present status under
// the sequence that its row has as its last, and returns the snapshot in it.
func (q *Queue) appendMessage(tx *db.Tx, r *record, prev int64, now time.Time) (state string, err error) {
	return q.appendAs(tx, r, sms.EventOf(r.Status), prev, now)
}

func (q *Queue) appendAs(tx *db.Tx, r *record, kind string, prev int64, now time.Time) (state string, err error) {
	if state, err = r.snapshot(); err != nil {
		return "", err
	}
	_, err = tx.Exec(`INSERT INTO events (seq, type, at, clock_uncertain, message, prev, state) VALUES (?,?,?,?,?,?,?)`,
		r.lastEvent, kind, toMS(now), !q.o.Trusted(), r.Row, nullInt(int(prev), prev != 0), state)
	return state, err
}

// eraseEvents erases the events of a message, the newest first, as far as they
// are not pruned.
func (q *Queue) eraseEvents(tx *db.Tx, last int64) error {
	for seq := last; seq != 0; {
		var prev sql.NullInt64
		err := tx.QueryRow(`DELETE FROM events WHERE seq = ? RETURNING prev`, seq).Scan(&prev)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return err
		}
		seq = prev.Int64
	}
	return q.keepSequence(tx)
}

// keepSequence is for every transaction that erases events: a sequence is never
// given twice, not even when the newest event is erased.
func (q *Queue) keepSequence(tx *db.Tx) error {
	_, err := tx.Exec(`UPDATE sequences SET last = ?1 WHERE name = 'events' AND last < ?1`, q.lastEvent)
	return err
}

// AppendModemState writes a modem.state event.
func (q *Queue) AppendModemState(m sms.Modem) error { return q.Append(sms.EventModemState, m, nil) }

// Append writes an event that is about no message. With also, what the caller
// has to store goes into the same commit; if it says false there is nothing to
// tell after all.
func (q *Queue) Append(kind string, data json.Marshaler, also func(*db.Tx) (bool, error)) error {
	b, err := data.MarshalJSON()
	if err != nil {
		return err
	}
	return q.write(func(tx *db.Tx) error {
		if also != nil {
			if tell, err := also(tx); !tell || err != nil {
				return err
			}
		}
		return q.appendJSON(tx, kind, b)
	})
}

func (q *Queue) appendJSON(tx *db.Tx, kind string, b []byte) error {
	_, err := tx.Exec(`INSERT INTO events (seq, type, at, clock_uncertain, state) VALUES (?,?,?,?,?)`, q.nextEvent(), kind, toMS(q.o.Now()), !q.o.Trusted(), string(b))
	return err
}

const eventColumns = `e.seq, e.type, e.at, e.clock_uncertain, e.state`

// EventsAfter returns up to limit events with a sequence above seq, in order.
func (q *Queue) EventsAfter(ctx context.Context, seq int64, limit int) ([]sms.Event, error) {
	all, _, err := q.EventsOf(ctx, seq, limit, nil)
	return all, err
}

// EventsOf looks at up to limit events with a sequence above seq, in order, and
// returns those whose type is wanted (nil: all), and up to where it has looked.
func (q *Queue) EventsOf(ctx context.Context, seq int64, limit int, wanted func(kind string) bool) (all []sms.Event, upTo int64, err error) {
	err = q.db.Read(ctx, func(r db.Querier) (err error) {
		all, upTo, err = events(r, wanted, `WHERE e.seq > ? ORDER BY e.seq LIMIT ?`, seq, limit)
		return err
	})
	return all, max(seq, upTo), err
}

// Event returns the event with this sequence, or ErrNotFound once it is pruned
// or its message erased.
func (q *Queue) Event(ctx context.Context, seq int64) (*sms.Event, error) {
	var all []sms.Event
	err := q.db.Read(ctx, func(r db.Querier) (err error) {
		all, _, err = events(r, nil, `WHERE e.seq = ?`, seq)
		return err
	})
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &all[0], nil
}

// events reads the events that where selects and whose type is wanted (nil: all),
// each with its message as it was, and tells the last sequence among all.
func events(r db.Querier, wanted func(string) bool, where string, args ...any) (all []sms.Event, last int64, err error) {
	type bare struct {
		sms.Event
		message sql.NullInt64
		state   string
	}
	rows, err := r.Query(`SELECT `+eventColumns+`, e.message FROM events e `+where, args...)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var found []bare
	for rows.Next() {
		var b bare
		var at int64
		if err := rows.Scan(&b.Seq, &b.Type, &at, &b.ClockUncertain, &b.state, &b.message); err != nil {
			return nil, 0, err
		}
		if last = b.Seq; wanted != nil && !wanted(b.Type) {
			continue
		}
		b.Time = fromMS(at)
		found = append(found, b)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, err
	}
	all = make([]sms.Event, 0, len(found))
	for _, b := range found {
		e := b.Event
		if !b.message.Valid {
			e.Data = json.RawMessage(b.state)
			if e.Number, err = callerOf(&e); err != nil {
				return nil, 0, err
			}
			all = append(all, e)
			continue
		}
		rec, err := load(r, b.message.Int64)
		if err != nil {
			return nil, 0, fmt.Errorf("event %d: %w", e.Seq, err)
		}
		m, err := rec.rewind(b.state)
		if err != nil {
			return nil, 0, err
		}
		if e.Data, err = json.Marshal(m); err != nil {
			return nil, 0, err
		}
		e.Number, e.Message, e.Row, e.Key = rec.number(), rec.ID, rec.Row, rec.keyID
		all = append(all, e)
	}
	return all, last, nil
}

// Span returns the oldest and the newest sequence in the log; 0, 0 when empty.
// A reader whose cursor is below oldest-1 has missed events.
func (q *Queue) Span(ctx context.Context) (oldest, newest int64, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		oldest, newest, err = span(r)
		return err
	})
	return oldest, newest, err
}

// UpToCallback tells how far the log can be passed over behind a sequence: to its
// end, or to before the first event of a message with a callback_url.
func (q *Queue) UpToCallback(ctx context.Context, after int64) (upTo int64, some bool, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		var end, first sql.NullInt64
		if err := r.QueryRow(`SELECT max(seq) FROM events`).Scan(&end); err != nil {
			return err
		}
		upTo, some = max(after, end.Int64), false
		err := r.QueryRow(`SELECT min(e.seq) FROM events e JOIN messages m ON m.row = e.message
			WHERE e.seq > ? AND e.seq <= ? AND m.callback_url <> ''`, after, upTo).Scan(&first)
		if first.Valid {
			upTo, some = first.Int64-1, true
		}
		return err
	})
	return upTo, some, err
}

func span(r db.Querier) (oldest, newest int64, err error) {
	// The newest is the last that was given, also when its message was erased
	// since: a reader that has seen it has not missed anything.
	for query, into := range map[string]*int64{
		`SELECT min(seq) FROM events`: &oldest,
		`SELECT max(last) FROM (SELECT last FROM sequences WHERE name = 'events' UNION ALL SELECT max(seq) FROM events)`: &newest,
	} {
		var n sql.NullInt64
		if err := r.QueryRow(query).Scan(&n); err != nil {
			return 0, 0, err
		}
		*into = n.Int64
	}
	// Before a backup was restored there was another life under these numbers.
	var log sql.NullInt64
	err = r.QueryRow(`SELECT max(log) FROM restores`).Scan(&log)
	return max(oldest, log.Int64), newest, err
}

// Cursor returns where a durable reader of the log stands. A new reader starts
// at the newest event. Durable readers hold the log's pruning and the inbound
// slots: an inbound slot is processed once every durable reader is past it.
func (q *Queue) Cursor(reader string) (int64, error) { return q.CursorFrom(reader, -1) }

// CursorFrom is Cursor with a new reader starting behind the event from; -1: at
// the newest.
func (q *Queue) CursorFrom(reader string, from int64) (int64, error) {
	var seq int64
	err := q.db.Write(func(tx *db.Tx) error {
		err := tx.QueryRow(`SELECT seq FROM cursors WHERE reader = ?`, reader).Scan(&seq)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if seq = from; from < 0 {
			if _, seq, err = span(tx); err != nil {
				return err
			}
		}
		_, err = tx.Exec(`INSERT INTO cursors (reader, seq) VALUES (?, ?)`, reader, seq)
		return err
	})
	return seq, err
}

// AdvanceTx moves a durable reader past seq in the caller's transaction, and
// keeps events from hold on from being pruned (hold 0: nothing more is needed).
func (q *Queue) AdvanceTx(tx *db.Tx, reader string, seq, hold int64) error {
	n, err := tx.Exec(`UPDATE cursors SET seq = max(seq, ?), hold = ? WHERE reader = ?`, seq, hold, reader)
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("event log: reader %q has no cursor: call Cursor first", reader)
	}
	return q.passInbound(tx, q.o.Now())
}

// passInbound sets the flags of the inbound slots that readers have passed:
// sent when the first reader has one, confirmed and processed when all have.
// Without a durable reader there is nobody to wait for.
func (q *Queue) passInbound(tx *db.Tx, now time.Time) error {
	var first, last sql.NullInt64
	if err := tx.QueryRow(`SELECT max(seq), min(seq) FROM cursors`).Scan(&first, &last); err != nil {
		return err
	}
	if !first.Valid {
		_, newest, err := span(tx)
		if err != nil {
			return err
		}
		first.Int64, last.Int64 = newest, newest
	}
	type slot struct {
		address int
		event   int64
	}
	var slots []slot
	rows, err := tx.Query(`SELECT address, event FROM inbound_ring WHERE processed IS NULL AND event <= ? ORDER BY event LIMIT 500`, first.Int64)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var s slot
		if err := rows.Scan(&s.address, &s.event); err != nil {
			return err
		}
		slots = append(slots, s)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, s := range slots {
		flags := []flag{sentFlag}
		if s.event <= last.Int64 {
			flags = append(flags, confirmed, processed)
		}
		for _, f := range flags {
			if err := q.in.set(tx, f, s.address, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// DropReader forgets a durable reader, for one that the configuration no
// longer has.
func (q *Queue) DropReader(reader string) error {
	return q.db.Write(func(tx *db.Tx) error {
		if _, err := tx.Exec(`DELETE FROM cursors WHERE reader = ?`, reader); err != nil {
			return err
		}
		return q.passInbound(tx, q.o.Now())
	})
}

// Readers lists the durable readers and where they stand.
func (q *Queue) Readers(ctx context.Context) (map[string]int64, error) {
	all := map[string]int64{}
	err := q.db.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT reader, seq FROM cursors`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			var seq int64
			if err := rows.Scan(&name, &seq); err != nil {
				return err
			}
			all[name] = seq
		}
		return rows.Err()
	})
	return all, err
}

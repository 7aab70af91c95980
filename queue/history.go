package queue

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// Told is one event of a message's life.
type Told struct {
	Seq            int64
	Type           string
	At             time.Time
	ClockUncertain bool
	Message        sms.Message // as it was right after the event
}

// History is what the event log and the rings keep of one message.
type History struct {
	Told []Told // the oldest first
	Cut  bool   // older events are pruned, or there are too many to show
	Slot *int   // its address in its ring; nil: none any more
	// When it is tried again, if it waits because of a failure, and when a doubt ends
	// without an answer; zero: neither.
	TriedAgain, DoubtEnds time.Time
}

// toldAtMost bounds a History. No message has nearly as many events, unless a
// modem refuses it for days.
const toldAtMost = 500

// History returns what is kept of the life of the message in a row.
func (q *Queue) History(ctx context.Context, row int64) (h History, err error) {
	err = q.db.Read(ctx, func(x db.Querier) error {
		h = History{Told: []Told{}}
		r, err := load(x, row)
		if err != nil {
			return err
		}
		if r.slot >= 0 {
			h.Slot = &r.slot
		}
		switch r.Status {
		case sms.Queued:
			h.TriedAgain = r.notBefore
		case sms.Unconfirmed:
			if !r.unconfirmedAt.IsZero() { // else a gateway ends it
				h.DoubtEnds = r.unconfirmedAt.Add(q.o.UnconfirmedWait)
			}
		}
		for seq := r.lastEvent; seq != 0; {
			if len(h.Told) == toldAtMost {
				h.Cut = true
				break
			}
			t := Told{Seq: seq}
			var at int64
			var prev sql.NullInt64
			var state string
			err := x.QueryRow(`SELECT type, at, clock_uncertain, prev, state FROM events WHERE seq = ?`, seq).Scan(&t.Type, &at, &t.ClockUncertain, &prev, &state)
			if errors.Is(err, sql.ErrNoRows) {
				h.Cut = true // pruned
				break
			}
			if err != nil {
				return err
			}
			t.At = fromMS(at)
			if t.Message, err = r.rewind(state); err != nil {
				return err
			}
			h.Told = append(h.Told, t)
			seq = prev.Int64
		}
		slices.Reverse(h.Told)
		return nil
	})
	return h, err
}

// Troubles returns the ids of the newest messages that failed, were not delivered
// or are in doubt by an event after seq, and of those that a doubt is over of, once
// each, and up to which event it has looked.
func (q *Queue) Troubles(ctx context.Context, after int64, most int) (ids []string, upTo int64, err error) {
	err = q.db.Read(ctx, func(x db.Querier) error {
		ids = nil
		var newest sql.NullInt64
		if err := x.QueryRow(`SELECT max(seq) FROM events`).Scan(&newest); err != nil {
			return err
		}
		upTo = max(after, newest.Int64)
		return eachRow(x, `SELECT m.id FROM events e JOIN messages m ON m.row = e.message WHERE e.seq > ? AND e.seq <= ?
			AND (e.type IN ('message.failed', 'message.undelivered', 'message.unconfirmed')
				OR e.type IN ('message.sent', 'message.delivered') AND instr(e.state, '"p":true') > 0)
			GROUP BY m.row ORDER BY max(e.seq) DESC LIMIT ?`, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			ids = append(ids, id)
			return err
		}, after, upTo, most)
	})
	return ids, upTo, err
}

// HasText tells whether a message is there and was not erased.
func (q *Queue) HasText(r db.Querier, id string) (has bool, err error) {
	err = r.QueryRow(`SELECT EXISTS (SELECT 1 FROM messages WHERE id = ? AND redacted = 0)`, id).Scan(&has)
	return has, err
}

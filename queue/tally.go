package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// Tally is an event as far as somebody needs it who counts: neither number nor text.
type Tally struct {
	Seq            int64
	Type           string
	At             time.Time
	ClockUncertain bool
	Direction      sms.Direction // "": it is about no message
	Parts          int
	Modem          string
	SIM            string // ICCID, or the modem's name; "": none had it
	Code           string // of its error
	By             By
	Conversation   string
	Row            int64           // the message's
	Data           json.RawMessage // of an event that is about no message
}

// By is who wrote a message: its author, or who handed it in.
type By struct {
	Author *sms.Author
	Key    string // the principal, a person's id too; "": nobody
}

// Tallies returns up to limit events behind a sequence, of those whose type is among
// kinds, in order, and up to where it has looked.
func Tallies(r db.Querier, after int64, kinds []string, limit int) (all []Tally, upTo int64, err error) {
	var newest sql.NullInt64
	if err := r.QueryRow(`SELECT max(seq) FROM events`).Scan(&newest); err != nil {
		return nil, 0, err
	}
	upTo = max(after, newest.Int64)
	args := []any{after, upTo}
	for _, k := range kinds {
		args = append(args, k)
	}
	err = eachRow(r, `SELECT e.seq, e.type, e.at, e.clock_uncertain, e.state, coalesce(m.row, 0), coalesce(m.direction, ''), coalesce(m.parts, 0), m.author,
			coalesce(m.key_id, ''), coalesce(m.conversation, ''), CASE m.direction
				WHEN 'outbound' THEN (SELECT sim FROM parts p WHERE p.message = m.row ORDER BY number DESC LIMIT 1)
				WHEN 'inbound' THEN (SELECT sim FROM received_pdus p WHERE p.message = m.row LIMIT 1) END
		FROM events e LEFT JOIN messages m ON m.row = e.message
		WHERE e.seq > ? AND e.seq <= ? AND e.type IN (?`+strings.Repeat(",?", len(kinds)-1)+`) ORDER BY e.seq LIMIT ?`,
		func(scan func(...any) error) error {
			var t Tally
			var at int64
			var state string
			var author, sim sql.NullString
			if err := scan(&t.Seq, &t.Type, &at, &t.ClockUncertain, &state, &t.Row, &t.Direction, &t.Parts, &author, &t.By.Key, &t.Conversation, &sim); err != nil {
				return err
			}
			t.At, t.SIM = fromMS(at), sim.String
			if t.Row == 0 {
				t.Data = json.RawMessage(state)
				all = append(all, t)
				return nil
			}
			var s snapshot
			if err := json.Unmarshal([]byte(state), &s); err != nil {
				return fmt.Errorf("event %d: snapshot: %w", t.Seq, err)
			}
			if t.Modem = s.Modem; t.SIM == "" {
				t.SIM = s.Modem
			}
			if s.Error != nil {
				t.Code = s.Error.Code
			}
			var err error
			t.By.Author, err = authorOf(author)
			all = append(all, t)
			return err
		}, append(args, limit)...)
	if len(all) == limit {
		upTo = all[limit-1].Seq
	}
	return all, upTo, err
}

func authorOf(kept sql.NullString) (*sms.Author, error) {
	if !kept.Valid {
		return nil, nil
	}
	var r record
	err := r.setAuthor(kept.String)
	return r.Author, err
}

// lookBack is how many messages of a conversation are looked at for whom an answer
// is to: what the gateway itself sent lies in between, and no more.
const lookBack = 20

// SentBefore tells what was sent last in a conversation before the message in a row
// (0: at all), but for what the gateway sent by itself; nil: nothing was. With unanswered,
// what was answered before that message counts as nothing.
func SentBefore(r db.Querier, conversation string, row int64, unanswered bool) (sent *Tally, err error) {
	if conversation == "" {
		return nil, nil
	}
	done := false
	if row == 0 {
		row = 1 << 62
	}
	err = eachRow(r, `SELECT m.row, m.direction, m.author, m.key_id, m.modem, coalesce((SELECT sim FROM parts p WHERE p.message = m.row LIMIT 1), m.modem)
		FROM messages m WHERE m.conversation = ? AND m.row < ? ORDER BY m.row DESC LIMIT ?`, func(scan func(...any) error) error {
		if done {
			return nil
		}
		var t Tally
		var author sql.NullString
		err := scan(&t.Row, &t.Direction, &author, &t.By.Key, &t.Modem, &t.SIM)
		if err != nil {
			return err
		}
		if t.By.Author, err = authorOf(author); err != nil {
			return err
		}
		switch {
		case t.Direction == sms.Inbound:
			done = unanswered
		case t.By.Author == nil || t.By.Author.Kind != sms.AuthorAuto:
			sent, done = &t, true
		}
		return nil
	}, conversation, row, lookBack)
	return sent, err
}

// Whereabouts returns the row of a message and its conversation; 0: it is gone.
func Whereabouts(r db.Querier, id string) (row int64, conversation string, err error) {
	err = r.QueryRow(`SELECT row, coalesce(conversation, '') FROM messages WHERE id = ?`, id).Scan(&row, &conversation)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return row, conversation, err
}

// SaidIn returns the text of the message in a row, "" once it is erased.
func SaidIn(r db.Querier, row int64) (text string, err error) {
	err = r.QueryRow(`SELECT coalesce((SELECT text FROM messages WHERE row = ?), '')`, row).Scan(&text)
	return text, err
}

// LastSIMs tells which SIM each message was given to last, by row; none: it is not there.
func (q *Queue) LastSIMs(ctx context.Context, messages []sms.Message) (sims map[int64]string, err error) {
	sims = map[int64]string{}
	err = q.db.Read(ctx, func(r db.Querier) error {
		for _, m := range messages {
			var sim string
			err := r.QueryRow(`SELECT sim FROM parts WHERE message = ? ORDER BY number DESC LIMIT 1`, m.Row).Scan(&sim)
			if err == nil {
				sims[m.Row] = sim
			} else if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		return nil
	})
	return sims, err
}

// NewestEvent is the sequence of the newest event that is in the log, for
// transactions; 0: it is empty.
func NewestEvent(r db.Querier) (seq int64, err error) {
	err = r.QueryRow(`SELECT coalesce(max(seq), 0) FROM events`).Scan(&seq)
	return seq, err
}

// HoldEvents has the log keep the events behind a place that f tells, asked in the
// transaction that prunes. It is for readers of the log that received messages need
// not wait for, as they wait in their slots for those of CursorFrom. It is to be called before
// the queue is used.
func (q *Queue) HoldEvents(f func(r db.Querier) (after int64, err error)) {
	q.holders = append(q.holders, f)
}

// heldAfter is the event behind which nothing may be pruned.
func (q *Queue) heldAfter(r db.Querier) (after int64, err error) {
	after = 1 << 62
	for _, f := range q.holders {
		place, err := f(r)
		if err != nil {
			return 0, err
		}
		after = min(after, place)
	}
	return after, nil
}

package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// Waiting is a message that waits for a modem, as the one that hands messages
// to modems needs to know it.
type Waiting struct {
	Row       int64
	Seq       int64 // its place in the order
	To        string
	Priority  int
	Pin       string // name of the only modem that may send it
	NotBefore time.Time
	ExpiresAt time.Time
	RefusedBy string // SIMs that refused it, space-separated
	Attempts  int
	Since     time.Time // when it was accepted, or send_at; zero: the clock was not set
	Parts     int
	Done      int    // parts that the network has, through SIM
	SIM       string // the SIM that its recipient last wrote to or heard from, within 30 days
}

// StickyFor is how long a number keeps the SIM it last had to do with.
const StickyFor = 30 * 24 * time.Hour

// place is where a message stands in the order of those that wait.
type place struct{ seq, row int64 }

// line gives a message that begins to wait the next place, and tells of it once
// that is on disk.
func (q *Queue) line(tx *db.Tx, r *record) {
	p := place{q.queuedSeq.Add(1), r.Row}
	r.queuedSeq = p.seq
	tx.OnCommit(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.fresh = append(q.fresh, p)
	})
}

// count counts messages at a status that is not final.
func (q *Queue) count(tx *db.Tx, s sms.Status, n int) {
	switch s {
	case sms.Scheduled, sms.Queued, sms.Sending, sms.Unconfirmed:
		q.mu.Lock()
		defer q.mu.Unlock()
		q.open[s] += n
		tx.OnRollback(func() { q.count(tx, s, -n) })
	}
}

// takeStock reads at the start what is counted and lined up in memory. Every
// message that is not finished has a slot, so no index of messages is needed.
func (q *Queue) takeStock(ctx context.Context) error {
	for _, s := range []sms.Status{sms.Scheduled, sms.Queued, sms.Sending, sms.Unconfirmed} {
		q.open[s] = 0
	}
	return q.db.Read(ctx, func(r db.Querier) error {
		err := eachRow(r, `SELECT number FROM stop_list`, func(scan func(...any) error) error {
			var number string
			err := scan(&number)
			q.stops[number] = true
			return err
		})
		if err != nil {
			return err
		}
		return eachRow(r, `SELECT m.status, m.row, coalesce(m.queued_seq, 0) FROM outbound_ring o JOIN messages m ON m.row = o.message
			WHERE o.processed IS NULL AND o.confirmed IS NULL ORDER BY m.queued_seq`, func(scan func(...any) error) error {
			var s sms.Status
			var p place
			if err := scan(&s, &p.row, &p.seq); err != nil {
				return err
			}
			q.open[s]++
			if s == sms.Queued && p.seq > 0 { // else it is held
				q.fresh = append(q.fresh, p)
			}
			q.queuedSeq.Store(max(q.queuedSeq.Load(), p.seq))
			return nil
		})
	})
}

// WaitingAfter returns up to limit waiting messages whose place in the order is
// after seq, and forgets those up to it: they are taken in. A message that
// becomes queued anew gets a new place.
func (q *Queue) WaitingAfter(ctx context.Context, seq int64, limit int) ([]Waiting, error) {
	for {
		places := q.placesAfter(seq, limit)
		if len(places) == 0 {
			return nil, nil
		}
		all, err := q.waiting(ctx, places)
		if len(all) > 0 || err != nil {
			return all, err
		}
		seq = places[len(places)-1].seq // none of them waits any more
	}
}

func (q *Queue) placesAfter(seq int64, limit int) []place {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, _ := slices.BinarySearchFunc(q.fresh, seq+1, func(p place, seq int64) int { return int(p.seq - seq) })
	q.fresh = q.fresh[n:]
	if len(q.fresh) == 0 {
		q.fresh = nil // and what it took
	}
	return slices.Clone(q.fresh[:min(limit, len(q.fresh))])
}

// waiting loads those of the messages that still wait.
func (q *Queue) waiting(ctx context.Context, places []place) (all []Waiting, err error) {
	rows := make([]int64, len(places))
	for i, p := range places {
		rows[i] = p.row
	}
	list, err := json.Marshal(rows)
	if err != nil {
		return nil, err
	}
	err = q.db.Read(ctx, func(r db.Querier) error {
		return eachRow(r, `SELECT m.row, m.queued_seq, m.number, m.priority, m.pin, m.not_before, m.expires_at, m.refused_by, m.attempts,
			CASE WHEN m.clock_uncertain THEN NULL ELSE coalesce(m.send_at, m.created_at) END, coalesce(s.sim, ''), m.parts, CASE WHEN m.parts = 1 THEN 0 ELSE
			(SELECT count(*) FROM parts p WHERE p.message = m.row AND p.confirmed_at IS NOT NULL AND p.sim = s.sim) END
			FROM (SELECT DISTINCT value FROM json_each(?)) j JOIN messages m ON m.row = j.value LEFT JOIN senders s ON s.number = m.number AND s.at > ?
			WHERE m.queued_seq >= ? AND m.status = 'queued' ORDER BY m.queued_seq`, func(scan func(...any) error) error {
			var w Waiting
			var notBefore, expires, since sql.NullInt64
			if err := scan(&w.Row, &w.Seq, &w.To, &w.Priority, &w.Pin, &notBefore, &expires, &w.RefusedBy, &w.Attempts, &since, &w.SIM, &w.Parts, &w.Done); err != nil {
				return err
			}
			w.NotBefore, w.ExpiresAt, w.Since = fromNull(notBefore), fromNull(expires), fromNull(since)
			all = append(all, w)
			return nil
		}, string(list), toMS(q.o.Now().Add(-StickyFor)), places[0].seq)
	})
	return all, err
}

// WaitingRows returns the rows of all messages that wait for a modem.
func (q *Queue) WaitingRows(ctx context.Context) (map[int64]bool, error) {
	all := map[int64]bool{}
	err := q.db.Read(ctx, func(r db.Querier) error {
		return eachRow(r, `SELECT m.row FROM outbound_ring o JOIN messages m ON m.row = o.message
			WHERE o.processed IS NULL AND o.confirmed IS NULL AND m.status = 'queued' AND m.held = 0`, func(scan func(...any) error) error {
			var row int64
			err := scan(&row)
			all[row] = true
			return err
		})
	})
	return all, err
}

// eachRow runs a query and hands each of its rows over.
func eachRow(r db.Querier, query string, take func(scan func(...any) error) error, args ...any) error {
	rows, err := r.Query(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := take(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

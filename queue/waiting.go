package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"sort"
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

// Priorities is how many there are, from 0 on; the highest goes first.
const Priorities = 10

// StickyFor is how long a number keeps the SIM it last had to do with.
const StickyFor = 30 * 24 * time.Hour

// line gives a message that begins to wait the next place, and tells of it once
// that is on disk.
func (q *Queue) line(tx *db.Tx, r *record) {
	p, at := place{q.queuedSeq.Add(1), r.Row}, backlogOf{r.Priority, r.pin}
	r.queuedSeq = p.seq
	tx.OnCommit(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.backlogAt(at).add(p)
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
	clear(q.backlogs) // what the recovery has lined up is read with the rest
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
		err = eachRow(r, `SELECT m.status, m.row, coalesce(m.queued_seq, 0), m.priority, m.pin FROM outbound_ring o JOIN messages m ON m.row = o.message
			WHERE o.processed IS NULL AND o.confirmed IS NULL`, func(scan func(...any) error) error {
			var s sms.Status
			var p place
			var at backlogOf
			if err := scan(&s, &p.row, &p.seq, &at.priority, &at.pin); err != nil {
				return err
			}
			q.open[s]++
			if s == sms.Queued && p.seq > 0 { // else it is held
				q.backlogAt(at).add(p)
			}
			q.queuedSeq.Store(max(q.queuedSeq.Load(), p.seq))
			return nil
		})
		for _, b := range q.backlogs {
			sort.Sort(b)
		}
		return err
	})
}

// LastPlace is the place in the order that was given last: whoever is to stand
// behind all that wait now stands behind that.
func (q *Queue) LastPlace() int64 { return q.queuedSeq.Load() }

// FirstPlace is the place of the first message of a priority for one modem, ""
// any, that was not taken in yet; 0: there is none.
func (q *Queue) FirstPlace(priority int, pin string) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b := q.backlogs[backlogOf{priority, pin}]; b != nil {
		return b.at(0).seq
	}
	return 0
}

// TakeIn returns the next messages of a priority that wait for the modems in
// pins ("" is any), in order, at most limit of them and none behind the place
// upTo; it is for one reader, who keeps them: a message is returned once for each
// time that it begins to wait.
func (q *Queue) TakeIn(ctx context.Context, priority int, pins []string, upTo int64, limit int) ([]Waiting, error) {
	for {
		places, from := q.next(priority, pins, upTo, limit)
		if len(places) == 0 {
			return nil, nil
		}
		all, err := q.waiting(ctx, places)
		if err != nil {
			return nil, err
		}
		q.mu.Lock()
		for at, n := range from {
			q.backlogs[at].drop(n)
			if q.backlogs[at].Len() == 0 {
				delete(q.backlogs, at)
			}
		}
		q.mu.Unlock()
		if len(all) > 0 {
			return all, nil
		} // else none of them waits any more
	}
}

// backlogAt is the backlog of that name. Called with mu held.
func (q *Queue) backlogAt(at backlogOf) *backlog {
	b := q.backlogs[at]
	if b == nil {
		b = &backlog{}
		q.backlogs[at] = b
	}
	return b
}

// next merges backlogs, and tells how many it took of each.
func (q *Queue) next(priority int, pins []string, upTo int64, limit int) (places []place, from map[backlogOf]int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	from = map[backlogOf]int{}
	for len(places) < limit {
		var first place
		var of backlogOf
		for _, pin := range pins {
			at := backlogOf{priority, pin}
			b := q.backlogs[at]
			if b == nil || from[at] == b.Len() {
				continue
			}
			if p := b.at(from[at]); p.seq <= upTo && (first.seq == 0 || p.seq < first.seq) {
				first, of = p, at
			}
		}
		if first.seq == 0 {
			break
		}
		places = append(places, first)
		from[of]++
	}
	return places, from
}

// waiting loads those of the messages that still wait at their places.
func (q *Queue) waiting(ctx context.Context, places []place) (all []Waiting, err error) {
	rows := make([]int64, len(places))
	placeOf := make(map[int64]int64, len(places))
	for i, p := range places {
		rows[i], placeOf[p.row] = p.row, p.seq
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
			WHERE m.queued_seq IS NOT NULL AND m.status = 'queued' ORDER BY m.queued_seq`, func(scan func(...any) error) error {
			var w Waiting
			var notBefore, expires, since sql.NullInt64
			if err := scan(&w.Row, &w.Seq, &w.To, &w.Priority, &w.Pin, &notBefore, &expires, &w.RefusedBy, &w.Attempts, &since, &w.SIM, &w.Parts, &w.Done); err != nil {
				return err
			}
			if w.Seq != placeOf[w.Row] {
				return nil // it has another place by now, which comes
			}
			w.NotBefore, w.ExpiresAt, w.Since = fromNull(notBefore), fromNull(expires), fromNull(since)
			all = append(all, w)
			return nil
		}, string(list), toMS(q.o.Now().Add(-StickyFor)))
	})
	return all, err
}

// ForgetOver drops the places of messages that wait no longer, once they may be
// most of those that were not taken in: what expires while its modem is away
// leaves nothing behind. It is for the reader of TakeIn.
func (q *Queue) ForgetOver(ctx context.Context) error {
	q.mu.Lock()
	n := 0
	for _, b := range q.backlogs {
		n += b.Len()
	}
	if n < 2*q.open[sms.Queued]+manyOver {
		q.mu.Unlock()
		return nil
	}
	had := maps.Clone(q.backlogs)
	q.mu.Unlock()
	for at := range had {
		if err := q.forgetOverIn(ctx, at); err != nil {
			return err
		}
	}
	return nil
}

// manyOver is how many places of messages that are over are worth a look.
const manyOver = 1000

func (q *Queue) forgetOverIn(ctx context.Context, at backlogOf) error {
	var kept backlog
	seen := 0
	for {
		q.mu.Lock()
		b := q.backlogs[at]
		places := make([]place, min(b.Len()-seen, 1000))
		for i := range places {
			places[i] = b.at(seen + i)
		}
		if len(places) == 0 {
			if q.backlogs[at] = &kept; kept.Len() == 0 {
				delete(q.backlogs, at)
			}
			q.mu.Unlock()
			return nil
		}
		q.mu.Unlock()
		seen += len(places)
		rows := make([]int64, len(places))
		for i, p := range places {
			rows[i] = p.row
		}
		waits, err := q.StillWaiting(ctx, rows)
		if err != nil {
			return err
		}
		for _, p := range places {
			if waits[p.row] {
				kept.add(p)
			}
		}
	}
}

// StillWaiting tells which of the rows are of messages that wait for a modem.
func (q *Queue) StillWaiting(ctx context.Context, rows []int64) (map[int64]bool, error) {
	list, err := json.Marshal(rows)
	if err != nil {
		return nil, err
	}
	all := map[int64]bool{}
	err = q.db.Read(ctx, func(r db.Querier) error {
		return eachRow(r, `SELECT m.row FROM (SELECT DISTINCT value FROM json_each(?)) j JOIN messages m ON m.row = j.value
			WHERE m.status = 'queued' AND m.held = 0`, func(scan func(...any) error) error {
			var row int64
			err := scan(&row)
			all[row] = true
			return err
		}, string(list))
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

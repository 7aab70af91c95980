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
	KeyID     string // the API key that submitted it
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
	if r.Via == sms.ViaInternet {
		return // it waits for no modem
	}
	if q.o.Hub {
		r.queuedSeq = q.queuedSeq.Add(1)
		q.lineForGateway(tx, r)
		return
	}
	p, at := place{q.queuedSeq.Add(1), r.Row}, backlogOf{r.Priority, r.pin, r.keyID}
	r.queuedSeq = p.seq
	tx.OnCommit(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.backlogAt(at).add(p, r.Parts)
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
// message that is not finished has a slot, so no index of messages is needed, but for
// those that go by internet.
func (q *Queue) takeStock(ctx context.Context) error {
	for _, s := range []sms.Status{sms.Scheduled, sms.Queued, sms.Sending, sms.Unconfirmed} {
		q.open[s] = 0
	}
	clear(q.backlogs) // what the recovery has lined up is read with the rest
	q.unrouted = order{}
	unfinished := `o.confirmed IS NULL`
	if q.o.Hub { // confirmed means there that the gateway has it
		unfinished = `m.status IN ('scheduled', 'queued', 'sending', 'unconfirmed')`
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
		err = eachRow(r, `SELECT status, count(*) FROM messages WHERE via = 'internet' AND status IN ('scheduled', 'queued') GROUP BY 1`, func(scan func(...any) error) error {
			var s sms.Status
			var n int
			err := scan(&s, &n)
			q.open[s] += n
			return err
		})
		if err != nil {
			return err
		}
		err = eachRow(r, `SELECT m.status, m.row, coalesce(m.queued_seq, 0), m.priority, m.pin, m.key_id, m.parts, m.relay FROM outbound_ring o JOIN messages m ON m.row = o.message
			WHERE o.processed IS NULL AND `+unfinished, func(scan func(...any) error) error {
			var s sms.Status
			var p place
			var at backlogOf
			var parts int
			var far relay
			if err := scan(&s, &p.row, &p.seq, &at.priority, &at.pin, &at.key, &parts, &far); err != nil {
				return err
			}
			q.open[s]++
			switch {
			case s != sms.Queued || p.seq == 0: // or it is held
			case !q.o.Hub:
				q.backlogAt(at).add(p, parts)
			case far == relayNone:
				q.unrouted.add(p)
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

// Backlog is what of one priority waits for one modem, "" any, on behalf of one
// API key, and was not taken in yet.
type Backlog struct {
	Priority int
	Pin, Key string
	First    int64 // the place of the first message
	Messages int
	Parts    int // of them, about
}

// Backlogs lists those that are not empty, in no order.
func (q *Queue) Backlogs() []Backlog {
	q.mu.Lock()
	defer q.mu.Unlock()
	var all []Backlog
	for at, b := range q.backlogs {
		all = append(all, Backlog{at.priority, at.pin, at.key, b.at(0).seq, b.Len(), b.parts})
	}
	return all
}

// TakeIn returns the next messages of a priority that an API key has waiting for
// the modems in pins ("" is any), in order, at most limit of them and none behind the
// place upTo. In front of them come those of other keys that their recipients are to
// get before, whether or not these were returned already. It is for one reader, who
// keeps them: else a message is returned once for each time that it begins to wait.
func (q *Queue) TakeIn(ctx context.Context, priority int, key string, pins []string, upTo int64, limit int) ([]Waiting, error) {
	for {
		places, from := q.next(priority, key, pins, upTo, limit)
		if len(places) == 0 {
			return nil, nil
		}
		low := q.lowestOfOthers(priority, key)
		all, before, err := q.waiting(ctx, places, low)
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
			return append(before, all...), nil
		} // else none of them waits any more
	}
}

// Waits tells where a message waits, and how many parts, about, are before it in its
// backlog; ErrConflict: it does not wait, ErrNotFound: there is none.
func (q *Queue) Waits(ctx context.Context, row int64) (w Waiting, before int, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		rec, err := load(r, row)
		if err == nil && (rec.Status != sms.Queued || rec.queuedSeq == 0) {
			err = ErrConflict
		}
		if err == nil {
			w = Waiting{Row: row, Seq: rec.queuedSeq, To: rec.To, Priority: rec.Priority, KeyID: rec.keyID, Pin: rec.pin, NotBefore: rec.notBefore, ExpiresAt: rec.ExpiresAt, Parts: rec.Parts}
		}
		return err
	})
	if err != nil {
		return w, 0, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if b := q.backlogs[backlogOf{w.Priority, w.Pin, w.KeyID}]; b != nil {
		before = b.partsOf(sort.Search(b.Len(), func(i int) bool { return b.at(i).seq >= w.Seq }))
	}
	return w, before, nil
}

// SIMsOf returns the SIMs that numbers keep.
func (q *Queue) SIMsOf(ctx context.Context, numbers []string) (sims map[string]string, err error) {
	list, err := json.Marshal(numbers)
	if err != nil {
		return nil, err
	}
	sims = map[string]string{}
	err = q.db.Read(ctx, func(r db.Querier) error {
		return eachRow(r, `SELECT s.number, s.sim FROM json_each(?) j JOIN senders s ON s.number = j.value WHERE s.at > ?`, func(scan func(...any) error) error {
			var number, sim string
			err := scan(&number, &sim)
			sims[number] = sim
			return err
		}, string(list), toMS(q.o.Now().Add(-StickyFor)))
	})
	return sims, err
}

// lowestOfOthers returns a row below which no other key has anything of a priority
// that was not taken in; 0: none has any.
func (q *Queue) lowestOfOthers(priority int, key string) (low int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for at, b := range q.backlogs {
		if at.priority == priority && at.key != key && (low == 0 || b.low < low) {
			low = b.low
		}
	}
	return low
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
func (q *Queue) next(priority int, key string, pins []string, upTo int64, limit int) (places []place, from map[backlogOf]int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	from = map[backlogOf]int{}
	for len(places) < limit {
		var first place
		var of backlogOf
		for _, pin := range pins {
			at := backlogOf{priority, pin, key}
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

// waitingColumns are of messages m and of their recipients' SIMs s.
const waitingColumns = `m.row, m.queued_seq, m.number, m.priority, m.key_id, m.pin, m.not_before, m.expires_at, m.refused_by, m.attempts,
	CASE WHEN m.clock_uncertain THEN NULL ELSE coalesce(m.send_at, m.created_at) END, coalesce(s.sim, ''), m.parts, CASE WHEN m.parts = 1 THEN 0 ELSE
	(SELECT count(*) FROM parts p WHERE p.message = m.row AND p.confirmed_at IS NOT NULL AND p.sim = s.sim) END`

// waiting loads those of the messages that still wait at their places, and, if low
// is not 0, those of other keys in and above that row that go before them to the
// same recipients.
func (q *Queue) waiting(ctx context.Context, places []place, low int64) (all, before []Waiting, err error) {
	rows := make([]int64, len(places))
	placeOf := make(map[int64]int64, len(places))
	for i, p := range places {
		rows[i], placeOf[p.row] = p.row, p.seq
	}
	list, err := json.Marshal(rows)
	if err != nil {
		return nil, nil, err
	}
	since := toMS(q.o.Now().Add(-StickyFor))
	err = q.db.Read(ctx, func(r db.Querier) error {
		if low > 0 {
			err := eachWaiting(r, `(SELECT DISTINCT y.row AS value FROM json_each(?) j JOIN messages x ON x.row = j.value
				JOIN messages y ON y.number = x.number AND y.row >= ? WHERE x.status = 'queued' AND y.status = 'queued'
				AND y.priority = x.priority AND y.queued_seq < x.queued_seq AND y.key_id <> x.key_id)`,
				func(w Waiting) { before = append(before, w) }, string(list), low, since)
			if err != nil {
				return err
			}
		}
		return eachWaiting(r, `(SELECT DISTINCT value FROM json_each(?))`, func(w Waiting) {
			if w.Seq == placeOf[w.Row] { // else it has another place by now, which comes
				all = append(all, w)
			}
		}, string(list), since)
	})
	return all, before, err
}

// eachWaiting hands over the messages that wait among those whose rows are the
// values of a table.
func eachWaiting(r db.Querier, rows string, take func(Waiting), args ...any) error {
	return eachRow(r, `SELECT `+waitingColumns+` FROM `+rows+` j JOIN messages m ON m.row = j.value LEFT JOIN senders s ON s.number = m.number AND s.at > ?
		WHERE m.queued_seq IS NOT NULL AND m.status = 'queued' ORDER BY m.queued_seq`, func(scan func(...any) error) error {
		var w Waiting
		var notBefore, expires, since sql.NullInt64
		if err := scan(&w.Row, &w.Seq, &w.To, &w.Priority, &w.KeyID, &w.Pin, &notBefore, &expires, &w.RefusedBy, &w.Attempts, &since, &w.SIM, &w.Parts, &w.Done); err != nil {
			return err
		}
		w.NotBefore, w.ExpiresAt, w.Since = fromNull(notBefore), fromNull(expires), fromNull(since)
		take(w)
		return nil
	}, args...)
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
	seen, each := 0, 1
	for {
		q.mu.Lock()
		b := q.backlogs[at]
		if b.Len() > 0 {
			each = max(1, b.parts/b.Len())
		}
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
				kept.add(p, each)
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

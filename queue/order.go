package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"sort"

	"gatewayd/db"
)

// order is the places of a hub's messages that wait for a gateway. One whose message
// waits there no longer is found out when somebody looks.
type order struct {
	places   []place // row 0: its message waits no longer
	unsorted bool
	over     int // of those
	back     int // how often one came back to its place
}

func (o *order) add(p place) {
	n := len(o.places)
	if n > 0 && o.places[n-1].seq >= p.seq {
		o.back++
	}
	o.unsorted = o.unsorted || n > 0 && o.places[n-1].seq > p.seq // it was taken back
	o.places = append(o.places, p)
}

// behind returns the index of the first place behind seq.
func (o *order) behind(seq int64) int {
	if o.unsorted {
		sort.Slice(o.places, func(i, j int) bool { return o.places[i].seq < o.places[j].seq })
		o.unsorted = false
	}
	return sort.Search(len(o.places), func(i int) bool { return o.places[i].seq > seq })
}

// after returns at most limit places behind seq.
func (o *order) after(seq int64, limit int) (some []place) {
	for i := o.behind(seq); i < len(o.places) && len(some) < limit; i++ {
		if p := o.places[i]; p.row != 0 && (len(some) == 0 || some[len(some)-1].seq != p.seq) {
			some = append(some, p)
		}
	}
	return some
}

// forget drops a place.
func (o *order) forget(seq int64) {
	for i := o.behind(seq - 1); i < len(o.places) && o.places[i].seq == seq; i++ {
		if o.places[i].row != 0 {
			o.places[i].row = 0
			o.over++
		}
	}
	if o.over < manyOver || o.over < len(o.places)/2 {
		return
	}
	kept := make([]place, 0, len(o.places)-o.over)
	for _, p := range o.places {
		if p.row != 0 {
			kept = append(kept, p)
		}
	}
	o.places, o.over = kept, 0
}

// lineForGateway has a hub's message wait at its place for a gateway, once that is on disk.
func (q *Queue) lineForGateway(tx *db.Tx, r *record) {
	p := place{r.queuedSeq, r.Row}
	tx.OnCommit(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.unrouted.add(p)
	})
}

// Unrouted lists messages that wait for a gateway, by their places in the order, behind
// the place after.
func (q *Queue) Unrouted(ctx context.Context, after int64, limit int) (all []Unrouted, err error) {
	for len(all) < limit {
		q.mu.Lock()
		places, back := q.unrouted.after(after, limit), q.unrouted.back
		q.mu.Unlock()
		if len(places) == 0 {
			break
		}
		found, err := q.unroutedAt(ctx, places)
		if err != nil {
			return nil, err
		}
		q.mu.Lock()
		for i := 0; i < len(places); i++ {
			after = places[i].seq
			if u, ok := found[after]; ok {
				all = append(all, u)
			} else if back == q.unrouted.back { // else it may have come back meanwhile
				q.unrouted.forget(after)
			}
			if len(all) == limit {
				break
			}
		}
		q.mu.Unlock()
	}
	return all, nil
}

// unroutedAt loads those of the messages that still wait at their places.
func (q *Queue) unroutedAt(ctx context.Context, places []place) (map[int64]Unrouted, error) {
	rows := make([]int64, len(places))
	placeOf := make(map[int64]int64, len(places))
	for i, p := range places {
		rows[i], placeOf[p.row] = p.row, p.seq
	}
	list, err := json.Marshal(rows)
	if err != nil {
		return nil, err
	}
	found := map[int64]Unrouted{}
	err = q.db.Read(ctx, func(r db.Querier) error {
		return eachRow(r, `SELECT m.row, m.queued_seq, m.id, m.number, m.wish, m.pin, m.key_id, coalesce(m.conversation, ''), CASE WHEN m.redacted THEN '' ELSE coalesce(s.sim, '') END,
			m.priority, m.not_before, m.expires_at, m.possible_duplicate
			FROM json_each(?) j JOIN messages m ON m.row = j.value LEFT JOIN senders s ON s.number = m.number AND s.at > ?
			WHERE m.status = 'queued' AND m.queued_seq IS NOT NULL AND m.relay = 0`, func(scan func(...any) error) error {
			var u Unrouted
			var notBefore, expires sql.NullInt64
			err := scan(&u.Row, &u.Seq, &u.ID, &u.To, &u.Wish, &u.Pin, &u.KeyID, &u.Conversation, &u.SIM, &u.Priority, &notBefore, &expires, &u.MayHaveGone)
			u.NotBefore, u.ExpiresAt = fromNull(notBefore), fromNull(expires)
			if err == nil && u.Seq == placeOf[u.Row] {
				found[u.Seq] = u
			}
			return err
		}, string(list), toMS(q.o.Now().Add(-StickyFor)))
	})
	return found, err
}

// UnroutedOf is a message that waits for a gateway; nil: it does not.
func (q *Queue) UnroutedOf(ctx context.Context, id string) (*Unrouted, error) {
	var p place
	err := q.db.Read(ctx, func(r db.Querier) error {
		return r.QueryRow(`SELECT queued_seq, row FROM messages WHERE id = ? AND status = 'queued' AND queued_seq IS NOT NULL AND relay = 0`, id).Scan(&p.seq, &p.row)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, err := q.unroutedAt(ctx, []place{p})
	if u, ok := found[p.seq]; ok && err == nil {
		return &u, nil
	}
	return nil, err
}

package queue

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"gatewayd/db"
)

// Retention says how long what is over is kept; zero fields keep for ever.
type Retention struct {
	Messages    time.Duration // history.keep
	Texts       time.Duration // history.keep_texts
	Events      time.Duration // of the log, once every durable reader is past them
	Idempotency time.Duration
}

// Prune erases what is older than the retention, in slices that don't hold up
// a modem. Messages that still have a slot stay, and everything while the clock
// is not trusted.
func (q *Queue) Prune(ctx context.Context, now time.Time, keep Retention) error {
	if !q.o.Trusted() {
		return nil // nobody knows how old anything is
	}
	// Rows to erase are found by a reader, so the writer only erases.
	const finished = ` AND slot IS NULL AND queued_seq IS NULL AND status NOT IN ('scheduled', 'unconfirmed') AND NOT (via = 'internet' AND status = 'queued') AND NOT (` + untold + `)`
	gone, err := q.pruneMessages(ctx, now, keep.Messages, `SELECT row FROM messages WHERE row > ? AND row <= ?`+finished+` ORDER BY row LIMIT ?`,
		func(tx *db.Tx, row int64) error {
			var last int64
			err := tx.QueryRow(`SELECT last_event FROM messages WHERE row = ?`+finished, row).Scan(&last)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := q.eraseJoinedRow(tx, row); err != nil {
				return err
			}
			return q.eraseMessage(tx, row, last)
		})
	if err != nil {
		return err
	}
	erased, err := q.pruneMessages(ctx, now, keep.Texts, `SELECT row FROM messages WHERE row > ? AND row <= ? AND redacted = 0`+finished+` ORDER BY row LIMIT ?`,
		q.eraseText)
	if err != nil {
		return err
	}
	if gone || erased {
		defer q.scrub(ctx) // the log may have a picture of each page from before
	}
	for _, j := range []struct {
		keep  time.Duration
		query string
	}{
		// The oldest hundred, as far as they may go: looking further would hold
		// up the writer.
		{keep.Events, `DELETE FROM events WHERE seq IN (SELECT seq FROM (SELECT seq FROM events ORDER BY seq LIMIT 100) WHERE seq < ?
			AND seq < (SELECT coalesce(min(CASE WHEN hold > 0 THEN min(hold, seq) ELSE seq END), 9e18) FROM cursors) AND seq <= ?)`},
		{keep.Idempotency, `DELETE FROM idempotency WHERE (key_id, key) IN
			(SELECT key_id, key FROM idempotency WHERE created_at < ? LIMIT 100)`},
		{reportable, `DELETE FROM early_reports WHERE row IN (SELECT row FROM early_reports WHERE at < ? LIMIT 100)`},
		{reportable, `UPDATE parts SET awaiting = 0 WHERE (message, number) IN
			(SELECT message, number FROM parts WHERE awaiting > 0 AND sent_at < ? LIMIT 100)`},
		// PDUs without a message that are over: status reports without a part, repeats.
		{keep.Messages, `DELETE FROM received_pdus WHERE row IN (SELECT row FROM received_pdus
			WHERE message IS NULL AND set_key IS NULL AND at < ? LIMIT 100)`},
	} {
		if j.keep <= 0 {
			continue
		}
		bound := toMS(now.Add(-j.keep))
		isEvents := strings.HasPrefix(j.query, "DELETE FROM events")
		if isEvents {
			var err error
			if bound, err = q.eventBefore(ctx, bound); err != nil {
				return err
			}
		}
		for n := int64(slice); n == slice && ctx.Err() == nil; {
			err := q.db.Write(func(tx *db.Tx) (err error) {
				args := []any{bound}
				if isEvents {
					after, err := q.heldAfter(tx)
					if err != nil {
						return err
					}
					args = append(args, after)
				}
				if n, err = tx.Exec(j.query, args...); err != nil {
					return err
				}
				return q.keepSequence(tx)
			})
			if err != nil {
				return err
			}
		}
	}
	if err := errors.Join(q.pruneUsage(now), q.pruneConsent(now, keep.Messages), q.PruneMirrored(ctx, now)); err != nil {
		return err
	}
	return ctx.Err()
}

// eventBefore returns the event up to which, without it, all are older. One that
// was written before the clock was set says nothing of its age, and counts with
// the next one that was not.
func (q *Queue) eventBefore(ctx context.Context, at int64) (seq int64, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		return r.QueryRow(`SELECT coalesce((SELECT seq + 1 FROM events WHERE clock_uncertain = 0 AND seq <
			coalesce((SELECT seq FROM events WHERE at >= ? AND clock_uncertain = 0 ORDER BY seq LIMIT 1), 9e18)
			ORDER BY seq DESC LIMIT 1), 0)`, at).Scan(&seq)
	})
	return seq, err
}

// pruneMessages applies erase to the rows that find selects among those older
// than keep, and tells whether there were any.
func (q *Queue) pruneMessages(ctx context.Context, now time.Time, keep time.Duration, find string, erase func(*db.Tx, int64) error) (some bool, err error) {
	if keep <= 0 {
		return false, nil
	}
	last, err := q.rowBefore(ctx, now.Add(-keep))
	if err != nil || last == 0 {
		return false, err
	}
	for from := int64(0); ctx.Err() == nil; {
		var found []int64
		err := q.db.Read(ctx, func(r db.Querier) error {
			rows, err := r.Query(find, from, last, slice)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				if err := rows.Scan(&from); err != nil {
					return err
				}
				found = append(found, from)
			}
			return rows.Err()
		})
		if err != nil || len(found) == 0 {
			return some, err
		}
		err = q.db.Write(func(tx *db.Tx) error {
			for _, row := range found {
				if err := erase(tx, row); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return some, err
		}
		some = true
	}
	return some, ctx.Err()
}

// rowBefore finds the last message accepted before t. Rows are in the order of
// acceptance, so a binary search does without an index on the time. Those that were
// accepted before the clock was set count with the next one that was not.
func (q *Queue) rowBefore(ctx context.Context, t time.Time) (int64, error) {
	var low, high int64 // low is before t or 0; above high all are not
	err := q.db.Read(ctx, func(r db.Querier) error {
		var top sql.NullInt64
		if err := r.QueryRow(`SELECT max(row) FROM messages`).Scan(&top); err != nil {
			return err
		}
		for high = top.Int64; low < high; {
			middle := low + (high-low+1)/2
			var row, created int64
			err := r.QueryRow(`SELECT row, created_at FROM messages WHERE row >= ? AND clock_uncertain = 0 ORDER BY row LIMIT 1`, middle).Scan(&row, &created)
			switch {
			case err != nil && !errors.Is(err, sql.ErrNoRows):
				return err
			case err == nil && created < toMS(t):
				low = min(row, high)
			default:
				high = middle - 1
			}
		}
		return nil
	})
	return low, err
}

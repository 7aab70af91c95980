package queue

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gatewayd/db"
)

// The table of sequences has, besides those, when the clock was set last, and
// after which event: a start that finds no newer one goes on from there.
const setAt, setAfter = "clock set at", "clock set after"

// LastTime is the newest time in a database that is not open as a queue yet,
// zero if there is none, and whether the clock was trusted then.
func LastTime(ctx context.Context, d *db.DB) (last time.Time, certain bool, err error) {
	err = d.Read(ctx, func(r db.Querier) error {
		var seq, at int64
		var uncertain bool
		err := r.QueryRow(`SELECT seq, at, clock_uncertain FROM events ORDER BY seq DESC LIMIT 1`).Scan(&seq, &at, &uncertain)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err == nil:
			last, certain = fromMS(at), !uncertain
			err = r.QueryRow(`SELECT at.last FROM sequences at JOIN sequences after ON after.name = ? WHERE at.name = ? AND after.last >= ?`,
				setAfter, setAt, seq).Scan(&at)
		}
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			last, certain = fromMS(at), true
		}
		return err
	})
	return last, certain, err
}

// ShiftTx moves what something waits by along with the clock, in the caller's
// transaction: the clock is set by step to now, and began is when this run began
// by the clock as it was. What people see stays as it was written, marked.
//
// Whatever the step, no wait is left longer than it can be.
func (q *Queue) ShiftTx(tx *db.Tx, step time.Duration, began, now time.Time) error {
	for _, s := range []struct {
		query string
		args  []any
	}{
		{`UPDATE messages SET unconfirmed_at = min(unconfirmed_at + ?, ?) WHERE status = 'unconfirmed'`, []any{step.Milliseconds(), toMS(now)}},
		{`UPDATE messages SET not_before = min(not_before + ?, ?) WHERE not_before IS NOT NULL AND status = 'queued'
			AND row IN (SELECT message FROM outbound_ring WHERE processed IS NULL)`,
			[]any{step.Milliseconds(), toMS(now.Add(LongestBackoff))}},
		{`UPDATE outbound_ring SET confirmed = min(confirmed + ?, ?) WHERE processed IS NULL AND confirmed IS NOT NULL`, []any{step.Milliseconds(), toMS(now)}},
		{`UPDATE received_pdus SET at = min(at + ?, ?) WHERE set_key IS NOT NULL AND message IS NULL`, []any{step.Milliseconds(), toMS(now)}},
		// Records of this run: earlier ones have a time of their own.
		{`UPDATE parts SET sent_at = sent_at + ?1, doubted_at = doubted_at + ?1 WHERE awaiting > 0 AND sent_at >= ?2`, []any{step.Milliseconds(), toMS(began)}},
		{`UPDATE early_reports SET at = at + ? WHERE at >= ?`, []any{step.Milliseconds(), toMS(began)}},
		{`UPDATE senders SET at = at + ? WHERE at >= ?`, []any{step.Milliseconds(), toMS(began)}},
		{`UPDATE mirrored SET at = at + ? WHERE at >= ?`, []any{step.Milliseconds(), toMS(began)}},
		{`UPDATE idempotency SET created_at = created_at + ? WHERE created_at >= ?`, []any{step.Milliseconds(), toMS(began)}},
		// What a run left in the future that never heard the time.
		{`UPDATE idempotency SET created_at = ?1 WHERE created_at > ?1`, []any{toMS(now)}},
		{`UPDATE early_reports SET at = ?1 WHERE at > ?1`, []any{toMS(now)}},
		{`UPDATE senders SET at = ?1 WHERE at > ?1`, []any{toMS(now)}},
		{`UPDATE mirrored SET at = ?1 WHERE at > ?1`, []any{toMS(now)}},
		{`UPDATE received_pdus SET at = ?1 WHERE at > ?1 AND message IS NULL AND set_key IS NULL`, []any{toMS(now)}},
	} {
		if _, err := tx.Exec(s.query, s.args...); err != nil {
			return err
		}
	}
	return shiftConsent(tx, step, began, now)
}

// ClockSetTx notes, in the caller's transaction, that the clock is set to now.
func (q *Queue) ClockSetTx(tx *db.Tx, now time.Time) error {
	_, err := tx.Exec(`INSERT OR REPLACE INTO sequences (name, last) VALUES (?,?), (?,?)`, setAt, toMS(now), setAfter, q.lastEvent)
	return err
}

// LongestBackoff is more than anything sends a message back for.
const LongestBackoff = 2 * time.Hour

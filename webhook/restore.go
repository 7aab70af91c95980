package webhook

import (
	"context"
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

// wordsHeld is what a delivery says of itself that waited when the backup was
// made: it may have been made since.
const wordsHeld = "held: restored from a backup, it may have been delivered since"

// Restore makes this package's tables fit to go on with: what waited is held, as
// failed. With replaced, the database that is replaced tells which deliveries
// are over, and which endpoints are disabled.
func Restore(tx *db.Tx, replaced bool, now time.Time) error {
	if replaced {
		for _, query := range []string{
			`UPDATE webhook_deliveries SET state = 'delivered', head = 0, lane = 0, last_error = NULL, ended_at = ?
				WHERE state IN ('pending', 'failed') AND id IN (SELECT id FROM replaced.webhook_deliveries WHERE state = 'delivered')`,
			`UPDATE webhook_deliveries SET state = 'dropped', head = 0, lane = 0, ended_at = ?
				WHERE state IN ('pending', 'failed') AND id IN (SELECT id FROM replaced.webhook_deliveries WHERE state = 'dropped')`,
		} {
			if _, err := tx.Exec(query, ms(now)); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`UPDATE webhook_endpoints SET disabled_at = coalesce(disabled_at, (SELECT r.disabled_at FROM replaced.webhook_endpoints r
			WHERE r.identity = webhook_endpoints.identity AND r.url_hash = webhook_endpoints.url_hash))`)
		if err != nil {
			return err
		}
	}
	_, err := tx.Exec(`UPDATE webhook_deliveries SET state = 'failed', head = 0, lane = 0, last_error = ? WHERE state = 'pending'`, wordsHeld)
	return err
}

// Held counts the deliveries in d that are held since a backup was restored.
func Held(ctx context.Context, d *db.DB) (n int, err error) {
	err = d.Read(ctx, func(r db.Querier) error {
		return r.QueryRow(`SELECT count(*) FROM webhook_deliveries WHERE state = 'failed' AND last_error = ?`, wordsHeld).Scan(&n)
	})
	return n, err
}

// SettleHeld makes what is held due, or drops it.
func (w *Webhooks) SettleHeld(ctx context.Context, release bool) error {
	for from := int64(0); ; {
		var id string
		err := w.o.DB.Read(ctx, func(r db.Querier) error {
			rows, err := r.Query(`SELECT row, id FROM webhook_deliveries WHERE state = 'failed' AND last_error = ? AND row > ? ORDER BY row LIMIT 1`, wordsHeld, from)
			if err != nil {
				return err
			}
			defer rows.Close()
			if rows.Next() {
				err = rows.Scan(&from, &id)
			}
			return errors.Join(err, rows.Err())
		})
		if err != nil || id == "" {
			return err
		}
		if release {
			_, err = w.Retry(ctx, id)
		}
		if !release || errors.Is(err, queue.ErrConflict) { // its event, or its endpoint, is gone
			err = w.store.drop(from, "dropped after a backup was restored")
		}
		if err != nil {
			return err
		}
	}
}

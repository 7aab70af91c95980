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
		if err := restoreMade(tx, now); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE webhook_endpoints SET (disabled_at, disabled_for) = (SELECT r.disabled_at, r.disabled_for FROM replaced.webhook_endpoints r
			WHERE r.identity = webhook_endpoints.identity AND r.url_hash = webhook_endpoints.url_hash) WHERE disabled_at IS NULL`)
		if err != nil {
			return err
		}
	}
	_, err := tx.Exec(`UPDATE webhook_deliveries SET state = 'failed', head = 0, lane = 0, last_error = ? WHERE state = 'pending'`, wordsHeld)
	return err
}

// restoreMade takes the endpoints that the API made, and all secrets, from the
// database that is replaced, which is the later: none that was deleted or whose
// secret was changed comes back, none that was made since is lost. One that it
// does not know stays, but is not told anything before somebody says so.
func restoreMade(tx *db.Tx, now time.Time) error {
	const columns = `identity, name, url_hash, disabled_at, removed_at, public, kind, settings, created_at, disabled_for, failing_since, exhausted_at`
	const known = `identity IN (SELECT identity FROM replaced.webhook_endpoints)`
	var there, here int
	if err := tx.QueryRow(`SELECT count(*) FROM replaced.webhook_key`).Scan(&there); err != nil {
		return err
	}
	if err := tx.QueryRow(`SELECT count(*) FROM replaced.webhook_key r JOIN main.webhook_key m ON m.lane = r.lane`).Scan(&here); err != nil {
		return err
	}
	sameBox := there > 0 && here > 0 // else it is another gateway's, or a fresh one, and knows nothing of these
	for _, q := range []struct {
		query string
		args  []any
	}{
		{`DELETE FROM main.webhook_secrets WHERE endpoint <> 0 AND endpoint IN (SELECT id FROM main.webhook_endpoints WHERE kind = 'api' AND ` + known + `)`, nil},
		{`UPDATE main.webhook_endpoints SET (name, settings, disabled_at, disabled_for, removed_at, failing_since, exhausted_at) =
			(SELECT name, settings, disabled_at, disabled_for, removed_at, failing_since, exhausted_at FROM replaced.webhook_endpoints r
			WHERE r.identity = main.webhook_endpoints.identity) WHERE kind = 'api' AND ` + known, nil},
		// Paused as well, so that releasing what is held does not enable it.
		{`UPDATE main.webhook_endpoints SET settings = json_set(settings, '$.paused', json('true')), disabled_at = ?, disabled_for = 'it was restored from a backup, and the database that was replaced did not have it'
			WHERE kind = 'api' AND removed_at IS NULL AND disabled_at IS NULL AND ? AND NOT ` + known, []any{ms(now), sameBox}},
		{`INSERT INTO main.webhook_endpoints (` + columns + `) SELECT ` + columns + ` FROM replaced.webhook_endpoints
			WHERE kind = 'api' AND removed_at IS NULL AND identity NOT IN (SELECT identity FROM main.webhook_endpoints)`, nil},
		{`INSERT INTO main.webhook_secrets (endpoint, secret, until) SELECT m.id, s.secret, s.until FROM replaced.webhook_secrets s
			JOIN replaced.webhook_endpoints r ON r.id = s.endpoint JOIN main.webhook_endpoints m ON m.identity = r.identity
			WHERE m.kind = 'api' ORDER BY s.row`, nil},
		{`UPDATE main.webhook_endpoints SET public = (SELECT r.public FROM replaced.webhook_endpoints r WHERE r.identity = main.webhook_endpoints.identity)
			WHERE public = '' AND ` + known, nil},
	} {
		if _, err := tx.Exec(q.query, q.args...); err != nil {
			return err
		}
	}
	if !sameBox {
		return nil
	}
	for _, query := range []string{
		`DELETE FROM main.webhook_secrets WHERE endpoint = 0 AND EXISTS (SELECT 1 FROM replaced.webhook_secrets WHERE endpoint = 0)`,
		`INSERT INTO main.webhook_secrets (endpoint, secret, until) SELECT 0, secret, until FROM replaced.webhook_secrets WHERE endpoint = 0
			AND NOT EXISTS (SELECT 1 FROM main.webhook_secrets WHERE endpoint = 0) ORDER BY row`,
		// What was erased there, or went when its delivery was over.
		`UPDATE main.webhook_deliveries SET url = NULL, account = NULL WHERE url IS NOT NULL AND id IN (SELECT id FROM replaced.webhook_deliveries WHERE url IS NULL)`,
		`UPDATE main.webhook_deliveries SET answer = NULL WHERE answer IS NOT NULL AND id NOT IN (SELECT id FROM replaced.webhook_deliveries WHERE answer IS NOT NULL)`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
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
		if errors.Is(err, errPaused) { // it can be replayed once that is enabled
			err = w.o.DB.Write(func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE webhook_deliveries SET last_error = ? WHERE row = ?`, errPaused.Error(), from)
				return err
			})
			if err != nil {
				return err
			}
			continue
		}
		if !release || errors.Is(err, queue.ErrConflict) { // its event, or its endpoint, is gone
			err = w.store.drop(from, "dropped after a backup was restored")
		}
		if err != nil {
			return err
		}
	}
}

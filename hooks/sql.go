package hooks

import (
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// row is a hook as it is stored.
type row struct {
	sms.Hook
	hash, oldHash []byte
}

const columns = `SELECT id, hash, old_hash, old_until, settings, secret, created_at, updated_at, rotated_at, last_used_at FROM hooks `

func scan(from func(...any) error) (r row, err error) {
	var settings string
	var created, updated int64
	var until, rotated, used sql.NullInt64
	if err := from(&r.ID, &r.hash, &r.oldHash, &until, &settings, &r.Secret, &created, &updated, &rotated, &used); err != nil {
		return r, err
	}
	r.MaxPerMinute = defaultRate // of those that were made before there was one
	if err := json.Unmarshal([]byte(settings), &r.HookSettings); err != nil {
		return r, err
	}
	r.HasSecret = r.Secret != ""
	r.CreatedAt, r.UpdatedAt = moment(created), moment(updated)
	r.OldUntil, r.RotatedAt, r.LastUsedAt = perhaps(until), perhaps(rotated), perhaps(used)
	return r, nil
}

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func perhaps(ms sql.NullInt64) *time.Time {
	if !ms.Valid {
		return nil
	}
	t := moment(ms.Int64)
	return &t
}

func load(q db.Querier, id string) (row, error) {
	r, err := scan(q.QueryRow(columns+`WHERE id = ? AND deleted_at IS NULL`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNotFound
	}
	return r, err
}

func loadAll(q db.Querier) ([]sms.Hook, error) {
	rows, err := q.Query(columns + `WHERE deleted_at IS NULL ORDER BY created_at DESC, id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []sms.Hook{}
	for rows.Next() {
		r, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, r.Hook)
	}
	return all, rows.Err()
}

func insert(tx *db.Tx, r row) error {
	settings, err := json.Marshal(r.HookSettings)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO hooks (id, hash, settings, secret, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)`,
		r.ID, r.hash, string(settings), r.Secret, r.CreatedAt.UnixMilli(), r.UpdatedAt.UnixMilli())
	return err
}

func update(tx *db.Tx, r row) error {
	settings, err := json.Marshal(r.HookSettings)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE hooks SET settings = ?, secret = ?, updated_at = ? WHERE id = ? AND deleted_at IS NULL`,
		string(settings), r.Secret, r.UpdatedAt.UnixMilli(), r.ID)
	return err
}

// remove leaves nothing of a hook but that it is gone.
func remove(tx *db.Tx, id string, now time.Time) error {
	n, err := tx.Exec(`UPDATE hooks SET hash = x'', old_hash = NULL, old_until = NULL, settings = '{}', secret = '',
		updated_at = ?1, deleted_at = ?1 WHERE id = ?2 AND deleted_at IS NULL`, now.UnixMilli(), id)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrNotFound
	}
	_, err = tx.Exec(`DELETE FROM hook_seen WHERE hook = ?`, id)
	return err
}

// rotate puts a new token in the place of a hook's, which stays good until oldUntil
// if that is after now.
func rotate(tx *db.Tx, id string, hash []byte, now, oldUntil time.Time) error {
	var until any
	if oldUntil.After(now) {
		until = oldUntil.UnixMilli()
	}
	if until != nil {
		// There is room for one old token, and a sender may have it: a rotation that is
		// repeated because its answer got lost must not cut that off.
		var over int64
		err := tx.QueryRow(`SELECT coalesce(max(old_until), 0) FROM hooks WHERE id = ? AND deleted_at IS NULL`, id).Scan(&over)
		if err != nil {
			return err
		}
		if over > now.UnixMilli() {
			return queue.Conflict("an overlap is under way until %s: the old token is good until then; rotate again after it, or with overlap 0 to end the old one and the new one at once",
				time.UnixMilli(over).UTC().Format(time.RFC3339))
		}
	}
	_, err := tx.Exec(`UPDATE hooks SET old_hash = CASE WHEN ?2 IS NULL THEN NULL ELSE hash END, old_until = ?2, hash = ?3, rotated_at = ?4, updated_at = ?4
		WHERE id = ?1 AND deleted_at IS NULL`, id, until, hash, now.UnixMilli())
	return err
}

func shift(tx *db.Tx, step time.Duration, began time.Time) error {
	_, err := tx.Exec(`UPDATE hooks SET rotated_at = rotated_at + ?1, old_until = old_until + ?1 WHERE rotated_at >= ?2`, step.Milliseconds(), began.UnixMilli())
	return err
}

func touch(tx *db.Tx, id string, now time.Time) error {
	_, err := tx.Exec(`UPDATE hooks SET last_used_at = ? WHERE id = ? AND deleted_at IS NULL`, now.UnixMilli(), id)
	return err
}

// atOnce is how far requests that come together may be apart.
const atOnce = time.Minute

// begun tells when the window began in which a hook is told something, and
// begins a fresh one if there is none. A clock that was set may end a window early or
// begin one anew: then something is told twice, rather than never.
func begun(tx *db.Tx, hook string, key []byte, window time.Duration, now time.Time) (began int64, fresh bool, err error) {
	ms := now.UnixMilli()
	var since int64
	err = tx.QueryRow(`SELECT since FROM hook_seen WHERE hook = ? AND key = ?`, hook, key).Scan(&since)
	// Of two requests at once, the one that came first may be the second to get here.
	if err == nil && since-ms < atOnce.Milliseconds() && ms-since < window.Milliseconds() {
		return since, false, nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, false, err
	}
	if _, err := tx.Exec(`DELETE FROM hook_seen WHERE since < ?`, ms-maxWindow.Milliseconds()); err != nil {
		return 0, false, err
	}
	_, err = tx.Exec(`INSERT INTO hook_seen (hook, key, since) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET since = excluded.since`, hook, key, ms)
	return ms, true, err
}

// Restore makes the hooks of a restored database fit to go on with: the
// transaction sees the database that is replaced. Settings are the backup's;
// no token comes back that was rotated or deleted since or whose hook was turned
// off, and no secret that was changed.
func Restore(tx *db.Tx) error {
	for _, query := range []string{
		`UPDATE hooks SET (hash, old_hash, old_until, secret, rotated_at, deleted_at) =
			(SELECT r.hash, r.old_hash, r.old_until, r.secret, r.rotated_at, r.deleted_at FROM replaced.hooks r WHERE r.id = hooks.id)
			WHERE id IN (SELECT id FROM replaced.hooks)`,
		`UPDATE hooks SET settings = json_set(settings, '$.enabled', json('false')) WHERE deleted_at IS NULL
			AND id IN (SELECT id FROM replaced.hooks r WHERE r.deleted_at IS NULL AND NOT json_extract(r.settings, '$.enabled'))`,
		`UPDATE hooks SET settings = '{}' WHERE deleted_at IS NOT NULL`,
		`INSERT OR IGNORE INTO hooks SELECT * FROM replaced.hooks`,
		`INSERT OR REPLACE INTO hook_seen SELECT * FROM replaced.hook_seen`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
}

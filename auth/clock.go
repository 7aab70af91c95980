package auth

import (
	"time"

	"gatewayd/db"
)

// ShiftTx moves, in the caller's transaction, what counts from a moment of this run
// along with the clock: it is set by step, and began is when this run began by the
// clock as it was. These are browsers' sessions, invitations and the first-run code,
// and the overlaps and lives of keys that were rotated. An end that somebody has named is a time of day and stays.
func (k *Keys) ShiftTx(tx *db.Tx, step time.Duration, began time.Time) error {
	tx.OnCommit(k.forget)
	for _, query := range []string{
		`UPDATE api_keys SET expires_at = expires_at + ?1 WHERE expires_at IS NOT NULL AND length(hash) > 0 AND (id <> principal AND created_at >= ?2
			OR EXISTS (SELECT 1 FROM api_keys AS next WHERE next.principal = api_keys.principal AND next.id <> api_keys.id AND length(next.hash) > 0
				AND next.created_at >= ?2 AND next.created_at >= api_keys.created_at))`,
		`UPDATE api_keys SET created_at = created_at + ?1 WHERE created_at >= ?2`,
		`UPDATE sessions SET seen_at = seen_at + ?1 WHERE seen_at >= ?2`,
		`UPDATE sessions SET created_at = created_at + ?1, expires_at = expires_at + ?1 WHERE created_at >= ?2`,
		`UPDATE first_run SET made_at = made_at + ?1, expires_at = expires_at + ?1 WHERE made_at >= ?2`,
		`UPDATE people SET code_made_at = code_made_at + ?1, code_expires_at = code_expires_at + ?1 WHERE code_made_at >= ?2`,
		`UPDATE people SET created_at = created_at + ?1 WHERE created_at >= ?2`,
		`UPDATE people SET changed_at = changed_at + ?1 WHERE changed_at >= ?2`,
		`UPDATE people SET mail_made_at = mail_made_at + ?1, mail_at = mail_at + ?1 WHERE mail_made_at >= ?2`,
		`UPDATE people SET signed_in_at = signed_in_at + ?1 WHERE signed_in_at >= ?2`,
	} {
		if _, err := tx.Exec(query, step.Milliseconds(), began.UnixMilli()); err != nil {
			return err
		}
	}
	return nil
}

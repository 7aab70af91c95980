package auth

import "gatewayd/db"

// Restore makes the keys of a restored database fit to go on with: browsers sign
// in anew. With replaced, the transaction sees the database that is replaced: its
// keys stay, with the limits that they had last, and one that either has revoked is
// revoked.
func Restore(tx *db.Tx, replaced bool) error {
	if _, err := tx.Exec(`DELETE FROM sessions`); err != nil || !replaced {
		return err
	}
	_, err := tx.Exec(`UPDATE api_keys SET revoked_at = coalesce(revoked_at, (SELECT r.revoked_at FROM replaced.api_keys r WHERE r.id = api_keys.id)),
		expires_at = coalesce(min(expires_at, (SELECT r.expires_at FROM replaced.api_keys r WHERE r.id = api_keys.id)), expires_at,
			(SELECT r.expires_at FROM replaced.api_keys r WHERE r.id = api_keys.id))`)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE api_keys SET (rate, burst, quota, allow, premium) =
		(SELECT r.rate, r.burst, r.quota, r.allow, r.premium FROM replaced.api_keys r WHERE r.id = api_keys.id)
		WHERE id IN (SELECT id FROM replaced.api_keys)`)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT OR IGNORE INTO api_keys (` + keyColumns + `, hash) SELECT ` + keyColumns + `, hash FROM replaced.api_keys`)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO key_days (principal, day, messages) SELECT principal, day, messages FROM replaced.key_days WHERE true
		ON CONFLICT DO UPDATE SET messages = max(messages, excluded.messages)`)
	return err
}

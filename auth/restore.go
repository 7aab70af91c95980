package auth

import "gatewayd/db"

// Restore makes the keys and people of a restored database fit to go on with:
// browsers sign in anew, and no invitation of the backup is good. With replaced, the
// transaction sees the database that is replaced: its keys stay, with the limits that
// they had last, and one that either has revoked is revoked. For people see
// restorePeople.
func Restore(tx *db.Tx, replaced bool) error {
	for _, query := range []string{`DELETE FROM sessions`, `DELETE FROM first_run`,
		`UPDATE people SET ` + noInvitation} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	if !replaced {
		return nil
	}
	if err := restorePeople(tx); err != nil {
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

// restorePeople takes of each person what was changed last: a password, a role, and
// that somebody was disabled. Who was removed in either stays removed. Of two people
// of one name the one of the replaced database stays, for the box was run by that one
// until now.
func restorePeople(tx *db.Tx) error {
	for _, query := range []string{
		`UPDATE people SET (name, login, password, email, display_name, sign_off, team, removed_at, disabled_at) =
			(SELECT '', '', '', '', '', '', '', r.removed_at, r.removed_at FROM replaced.people r WHERE r.id = people.id)
			WHERE removed_at IS NULL AND id IN (SELECT id FROM replaced.people WHERE removed_at IS NOT NULL)`,
		`DELETE FROM people WHERE removed_at IS NULL AND EXISTS
			(SELECT 1 FROM replaced.people r WHERE r.login = people.login AND r.id <> people.id AND r.removed_at IS NULL)`,
		`UPDATE people SET (name, login, role, sees_texts, password, changed_at, signed_in_at, disabled_at, email, display_name, sign_off, team) =
			(SELECT r.name, r.login, r.role, r.sees_texts, r.password, r.changed_at, r.signed_in_at, r.disabled_at, r.email, r.display_name, r.sign_off, r.team FROM replaced.people r WHERE r.id = people.id)
			WHERE removed_at IS NULL AND id IN (SELECT r.id FROM replaced.people r WHERE r.removed_at IS NULL AND r.changed_at >= people.changed_at)`,
		`INSERT OR IGNORE INTO people (id, name, login, role, sees_texts, password, created_at, changed_at, signed_in_at, disabled_at, removed_at,
				email, display_name, sign_off, team)
			SELECT id, name, login, role, sees_texts, password, created_at, changed_at, signed_in_at, disabled_at, removed_at,
				email, display_name, sign_off, team FROM replaced.people`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
}

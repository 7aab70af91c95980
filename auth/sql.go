package auth

import (
	"database/sql"
	"strings"
	"time"

	"gatewayd/db"
)

const keyColumns = `id, name, scopes, created_at, last_used_at, expires_at, revoked_at`

func insertKey(tx *db.Tx, key *Key, hash []byte) error {
	scopes := make([]string, len(key.Scopes))
	for i, s := range key.Scopes {
		scopes[i] = string(s)
	}
	_, err := tx.Exec(`INSERT INTO api_keys (id, name, hash, scopes, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)`,
		key.ID, key.Name, hash, strings.Join(scopes, ","), key.CreatedAt.UnixMilli(), millis(key.ExpiresAt))
	return err
}

func selectKeys(q db.Querier) ([]Key, error) {
	rows, err := q.Query(`SELECT ` + keyColumns + ` FROM api_keys ORDER BY created_at DESC, id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []Key
	for rows.Next() {
		key, err := scanKey(rows.Scan)
		if err != nil {
			return nil, err
		}
		keys = append(keys, *key)
	}
	return keys, rows.Err()
}

func selectKey(q db.Querier, id string) (key *Key, hash []byte, err error) {
	row := q.QueryRow(`SELECT `+keyColumns+`, hash FROM api_keys WHERE id = ?`, id)
	key, err = scanKey(func(dest ...any) error { return row.Scan(append(dest, &hash)...) })
	return key, hash, err
}

func selectSession(q db.Querier, hash []byte, now time.Time) (*Key, error) {
	row := q.QueryRow(`SELECT `+keyColumns+` FROM api_keys WHERE id =
		(SELECT key_id FROM sessions WHERE hash = ? AND expires_at > ?)`, hash, now.UnixMilli())
	return scanKey(row.Scan)
}

func scanKey(scan func(...any) error) (*Key, error) {
	var key Key
	var scopes string
	var created int64
	var used, expires, revoked sql.NullInt64
	if err := scan(&key.ID, &key.Name, &scopes, &created, &used, &expires, &revoked); err != nil {
		return nil, err
	}
	for _, s := range strings.Split(scopes, ",") {
		key.Scopes = append(key.Scopes, Scope(s))
	}
	key.CreatedAt = time.UnixMilli(created)
	key.LastUsedAt, key.ExpiresAt, key.RevokedAt = instant(used), instant(expires), instant(revoked)
	return &key, nil
}

func revokeKey(tx *db.Tx, key *Key) error {
	if _, err := tx.Exec(`UPDATE api_keys SET revoked_at = ? WHERE id = ?`, key.RevokedAt.UnixMilli(), key.ID); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM sessions WHERE key_id = ?`, key.ID)
	return err
}

func setUsed(tx *db.Tx, id string, now time.Time) error {
	_, err := tx.Exec(`UPDATE api_keys SET last_used_at = ? WHERE id = ?`, now.UnixMilli(), id)
	return err
}

func insertSession(tx *db.Tx, hash []byte, keyID string, now, expires time.Time) error {
	if _, err := tx.Exec(`DELETE FROM sessions WHERE expires_at <= ?`, now.UnixMilli()); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO sessions (hash, key_id, created_at, expires_at) VALUES (?, ?, ?, ?)`,
		hash, keyID, now.UnixMilli(), expires.UnixMilli())
	return err
}

func deleteSession(tx *db.Tx, hash []byte) error {
	_, err := tx.Exec(`DELETE FROM sessions WHERE hash = ?`, hash)
	return err
}

func millis(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

func instant(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.UnixMilli(n.Int64)
}

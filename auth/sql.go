package auth

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/sms/number"
)

// keyColumns are those of a key; keyFields are what scanKey reads.
const (
	keyColumns = `id, principal, name, scopes, rate, burst, quota, allow, premium, created_at, last_used_at, expires_at, revoked_at`
	keyFields  = keyColumns + `, length(hash) = 0`
)

func insertKey(tx *db.Tx, key *Key, hash []byte) error {
	_, err := tx.Exec(`INSERT INTO api_keys (id, principal, name, hash, scopes, rate, burst, quota, allow, premium, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		key.ID, key.Principal, key.Name, hash, Scopes(key.Scopes), orNull(key.Rate), orNull(key.Burst), orNull(key.Quota),
		number.Listed(key.Allow), key.Premium, key.CreatedAt.UnixMilli(), millis(key.ExpiresAt))
	return err
}

func selectKeys(q db.Querier) ([]Key, error) {
	rows, err := q.Query(`SELECT ` + keyFields + ` FROM api_keys ORDER BY created_at DESC, id`)
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
	row := q.QueryRow(`SELECT `+keyFields+`, hash FROM api_keys WHERE id = ?`, id)
	key, err = scanKey(func(dest ...any) error { return row.Scan(append(dest, &hash)...) })
	return key, hash, err
}

func scanKey(scan func(...any) error) (*Key, error) {
	var key Key
	var scopes, allow string
	var created int64
	var rate, burst, quota, used, expires, revoked sql.NullInt64
	if err := scan(&key.ID, &key.Principal, &key.Name, &scopes, &rate, &burst, &quota, &allow, &key.Premium, &created, &used, &expires, &revoked, &key.Foreign); err != nil {
		return nil, err
	}
	for _, s := range strings.Split(scopes, ",") {
		key.Scopes = append(key.Scopes, Scope(s))
	}
	key.Rate, key.Burst, key.Quota = int(rate.Int64), int(burst.Int64), int(quota.Int64)
	var err error
	if key.Allow, err = number.ParseDestinations(allow); err != nil {
		return nil, fmt.Errorf("the destinations of API key %s: %w", key.ID, err)
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

func setExpiry(tx *db.Tx, id string, expires time.Time) error {
	_, err := tx.Exec(`UPDATE api_keys SET expires_at = ? WHERE id = ?`, millis(expires), id)
	return err
}

func setLimits(tx *db.Tx, principal string, l *Limits) error {
	_, err := tx.Exec(`UPDATE api_keys SET rate = ?, burst = ?, quota = ?, allow = ?, premium = ? WHERE principal = ?`,
		orNull(l.Rate), orNull(l.Burst), orNull(l.Quota), number.Listed(l.Allow), l.Premium, principal)
	return err
}

// addDay counts messages of a day and returns how many there are now.
func addDay(tx *db.Tx, principal string, day, messages int) (all int, err error) {
	err = tx.QueryRow(`INSERT INTO key_days (principal, day, messages) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET messages = messages + excluded.messages RETURNING messages`, principal, day, messages).Scan(&all)
	return all, err
}

func selectDay(q db.Querier, principal string, day int) (messages int, err error) {
	err = q.QueryRow(`SELECT messages FROM key_days WHERE principal = ? AND day = ?`, principal, day).Scan(&messages)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return messages, err
}

func deleteDays(tx *db.Tx, before int) error {
	_, err := tx.Exec(`DELETE FROM key_days WHERE day < ?`, before)
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

func orNull(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

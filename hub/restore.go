package hub

import (
	"time"

	"gatewayd/db"
)

// Restore takes the hub's keys and gateways from the replaced database: by them gateways
// are let in, and up to there their event logs were booked.
func Restore(tx *db.Tx) error {
	for _, query := range []string{
		`DELETE FROM hub_keys WHERE EXISTS (SELECT 1 FROM replaced.hub_keys)`,
		`INSERT OR IGNORE INTO hub_keys (name, seed) SELECT name, seed FROM replaced.hub_keys`,
		// Who was deleted since the backup was made does not come back.
		`DELETE FROM gateways`,
		`INSERT INTO gateways (` + columns + `) SELECT ` + columns + ` FROM replaced.gateways`,
		`INSERT INTO gateway_credentials (public_key, gateway, created_at, revoked_at) SELECT public_key, gateway, created_at, revoked_at FROM replaced.gateway_credentials WHERE true
			ON CONFLICT DO UPDATE SET revoked_at = excluded.revoked_at`,
		`INSERT OR IGNORE INTO gateway_unreadable (id, gateway, at, log, seq, event, error) SELECT id, gateway, at, log, seq, event, error FROM replaced.gateway_unreadable`,
		`INSERT OR IGNORE INTO gateway_alarms (gateway, life, seq) SELECT gateway, life, seq FROM replaced.gateway_alarms ORDER BY id`,
		// What the backup was to tell was told since; what was handed out, and who was to give
		// away its messages, must not go back in time.
		`DELETE FROM hub_items`, `DELETE FROM hub_withdrawals`, `DELETE FROM hub_moves`, `DELETE FROM hub_pulls`, `DELETE FROM hub_arrivals`,
		`INSERT INTO hub_items (id, gateway, item) SELECT id, gateway, item FROM replaced.hub_items`,
		`INSERT INTO hub_moves (gateway, epoch, target) SELECT gateway, epoch, target FROM replaced.hub_moves`,
		`INSERT INTO hub_arrivals (id, gateway, message, arrived) SELECT id, gateway, message, arrived FROM replaced.hub_arrivals`,
		`INSERT INTO hub_pulls (gateway, delivered) SELECT gateway, delivered FROM replaced.hub_pulls`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
}

// ShiftTx moves times along with a clock that is set: what was written since the run began
// gets its true time, and credentials that overlap hold as long as they were to.
func (h *Hub) ShiftTx(tx *db.Tx, step time.Duration, began time.Time) error {
	for _, query := range []string{
		`UPDATE gateways SET seen_at = seen_at + ?1 WHERE seen_at >= ?2`,
		`UPDATE gateways SET created_at = created_at + ?1 WHERE created_at >= ?2`,
		`UPDATE gateways SET applied_at = applied_at + ?1 WHERE applied_at >= ?2`,
		`UPDATE gateway_credentials SET created_at = created_at + ?1 WHERE created_at >= ?2`,
		`UPDATE gateway_credentials SET revoked_at = revoked_at + ?1 WHERE revoked_at >= ?2`,
		`UPDATE gateway_unreadable SET at = at + ?1 WHERE at >= ?2`,
	} {
		if _, err := tx.Exec(query, step.Milliseconds(), began.UnixMilli()); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.known {
		for _, at := range []*time.Time{&k.seen, &k.since, &k.kept, &k.created, &k.credentialsAt} {
			if !at.IsZero() && !at.Before(began) {
				*at = at.Add(step)
			}
		}
	}
	return nil
}

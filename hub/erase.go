package hub

import (
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

// join has the queue erase and export what is kept here about a number: what somebody wrote
// in an inbox and its gateway's stream does not have yet, what came while the inbound ring was
// full, and what a gateway told that could not be read.
func (h *Hub) join() {
	h.queue.OnErase(erase)
	h.queue.OnExport("hub", export)
}

func erase(tx *db.Tx, e queue.Erasure) error {
	for _, m := range e.Messages {
		if _, err := tx.Exec(`DELETE FROM hub_items WHERE json_extract(item, '$.reply.id') = ?`, m.ID); err != nil {
			return err
		}
	}
	if e.Number == "" || len(e.Messages) > 0 {
		return nil
	}
	for _, query := range []string{
		`DELETE FROM hub_items WHERE json_extract(item, '$.reply.from') = ?`,
		`DELETE FROM hub_arrivals WHERE json_extract(arrived, '$.message.from') = ?`,
		`DELETE FROM gateway_unreadable WHERE instr(event, CAST(? AS BLOB)) > 0`,
	} {
		if _, err := tx.Exec(query, e.Number); err != nil {
			return err
		}
	}
	return nil
}

// kept is a row of an export.
type kept struct {
	Gateway string    `json:"gateway"`
	At      time.Time `json:"at,omitzero"`
	Told    string    `json:"told"`
}

func export(r db.Querier, number string, messages []queue.ErasedMessage, put func(any) error) error {
	if len(messages) > 0 {
		return nil
	}
	rows, err := r.Query(`SELECT gateway, at, CAST(event AS TEXT) FROM gateway_unreadable WHERE instr(event, CAST(?1 AS BLOB)) > 0
		UNION ALL SELECT gateway, 0, arrived FROM hub_arrivals WHERE json_extract(arrived, '$.message.from') = ?1
		UNION ALL SELECT gateway, 0, item FROM hub_items WHERE json_extract(item, '$.reply.from') = ?1`, number)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k kept
		var at int64
		if err := rows.Scan(&k.Gateway, &at, &k.Told); err != nil {
			return err
		}
		if at > 0 {
			k.At = time.UnixMilli(at).UTC()
		}
		if err := put(k); err != nil {
			return err
		}
	}
	return rows.Err()
}

package webhook

import (
	"time"

	"gatewayd/db"
)

// ShiftTx moves what deliveries wait by along with the clock, in the caller's
// transaction: the clock is set by step, and began is when this run began by the
// clock as it was.
func (w *Webhooks) ShiftTx(tx *db.Tx, step time.Duration, began time.Time) error {
	_, err := tx.Exec(`UPDATE webhook_deliveries SET next_at = next_at + ?1, created_at = created_at + CASE WHEN created_at >= ?2 THEN ?1 ELSE 0 END
		WHERE state = 'pending'`, step.Milliseconds(), ms(began))
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE webhook_deliveries SET ended_at = ended_at + ? WHERE ended_at >= ?`, step.Milliseconds(), ms(began))
	return err
}

// ClockSet makes what waits out a backoff due: receivers may have refused our
// time alone.
func (w *Webhooks) ClockSet() {
	for _, e := range w.endpoints {
		e.back.Store(true)
		e.poke()
	}
}

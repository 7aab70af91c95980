package webhook

import (
	"maps"
	"slices"
	"sync/atomic"
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
	if err != nil {
		return err
	}
	if _, err = tx.Exec(`UPDATE webhook_secrets SET until = until + ?`, step.Milliseconds()); err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE webhook_endpoints SET failing_since = failing_since + ?1, exhausted_at = exhausted_at + ?1`, step.Milliseconds())
	tx.OnCommit(func() { w.shift(step) })
	return err
}

// shift moves what is kept in memory of the waits that ShiftTx moves.
func (w *Webhooks) shift(step time.Duration) {
	moved := func(all secrets) secrets {
		all = slices.Clone(all)
		for i := range all {
			if !all[i].until.IsZero() {
				all[i].until = all[i].until.Add(step)
			}
		}
		return all
	}
	for _, e := range w.list() {
		s := *e.is()
		s.secrets = moved(s.secrets)
		e.settings.Store(&s)
		for _, at := range []*atomic.Int64{&e.failing, &e.doomed} {
			if at.Load() != 0 {
				at.Add(step.Milliseconds())
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.callbacks = moved(w.callbacks)
	for _, e := range w.origins {
		s := *e.is()
		s.secrets = w.callbacks
		e.settings.Store(&s)
	}
}

// ClockSet makes what waits out a backoff due: receivers may have refused our
// time alone.
func (w *Webhooks) ClockSet() {
	w.mu.Lock()
	all := slices.AppendSeq(slices.Clone(w.list()), maps.Values(w.origins))
	w.mu.Unlock()
	for _, e := range all {
		e.back.Store(true)
		e.poke()
	}
}

package webhook

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"gatewayd/db"
)

// wasWell books that an endpoint took something, if it was ill before.
func (s *store) wasWell(tx *db.Tx, e *endpoint) error {
	if e.kind == ofOrigin || e.failing.Load() == 0 {
		return nil
	}
	_, err := tx.Exec(`UPDATE webhook_endpoints SET failing_since = NULL, exhausted_at = NULL WHERE id = ?`, e.id)
	tx.OnCommit(func() { e.failing.Store(0); e.doomed.Store(0) })
	return err
}

// wasIll books that an endpoint did not take something, and returns since when
// that is so.
func (s *store) wasIll(tx *db.Tx, e *endpoint, now time.Time) (since time.Time, err error) {
	if at := e.failing.Load(); at != 0 || e.kind == ofOrigin {
		return time.UnixMilli(at), nil
	}
	_, err = tx.Exec(`UPDATE webhook_endpoints SET failing_since = ? WHERE id = ?`, ms(now), e.id)
	tx.OnCommit(func() { e.failing.CompareAndSwap(0, ms(now)) })
	return now, err
}

// doom books that an event was given up and nothing taken for three days: it is
// disabled soon, if that goes on.
func (s *store) doom(tx *db.Tx, e *endpoint, now time.Time) error {
	if e.doomed.Load() != 0 {
		return nil
	}
	// One event that nobody takes is not the endpoint's end while it takes others.
	if now.Sub(time.UnixMilli(cmp.Or(e.failing.Load(), now.UnixMilli()))) < giveUp-time.Minute { // each try's time was rounded
		return nil
	}
	_, err := tx.Exec(`UPDATE webhook_endpoints SET exhausted_at = ? WHERE id = ?`, ms(now), e.id)
	tx.OnCommit(func() { e.doomed.CompareAndSwap(0, ms(now)); e.poke() })
	return err
}

// disable ends what waits for an endpoint that took nothing for three days.
func (e *endpoint) disable(why string) error {
	err := e.w.o.DB.Write(func(tx *db.Tx) error {
		if e.disabled.Load() || e.doomed.Load() == 0 {
			return nil // it answered meanwhile
		}
		tx.OnCommit(func() {
			e.words.Store(&why)
			e.disabled.Store(true)
		})
		return e.w.store.disableTx(tx, e.id, e.w.place.Load(), why, e.now())
	})
	if err == nil && e.disabled.Load() {
		e.log().Error("the webhook is disabled; what waited is kept as failed. Enable it once the receiver is mended, and replay", "why", why)
		e.w.tellAlarm()
	}
	return err
}

func (s *store) disableTx(tx *db.Tx, id, place int64, why string, now time.Time) error {
	if _, err := tx.Exec(`UPDATE webhook_endpoints SET disabled_at = ?, disabled_for = ? WHERE id = ?`, ms(now), why, id); err != nil {
		return err
	}
	return s.openGap(tx, id, place)
}

// enableTx is the way back of an endpoint that was disabled by itself. endGap is
// for after the commit.
func (e *endpoint) enableTx(tx *db.Tx) error {
	_, err := tx.Exec(`UPDATE webhook_endpoints SET disabled_at = NULL, disabled_for = NULL, failing_since = NULL, exhausted_at = NULL WHERE id = ?`, e.id)
	if err != nil {
		return err
	}
	tx.OnCommit(func() {
		e.disabled.Store(false)
		e.failing.Store(0)
		e.doomed.Store(0)
		e.resume.Store(nil)
	})
	return nil
}

// endGap ends the gap of an endpoint that is told events again. What the log has
// by now was kept from it or is told by itself; a gap that ended before the commit
// would miss what came until then.
func (e *endpoint) endGap(ctx context.Context) error {
	newest, err := e.w.newest(ctx)
	if err != nil {
		return err
	}
	return e.w.o.DB.Write(func(tx *db.Tx) error { return e.w.store.closeGap(tx, e.id, newest) })
}

// openGap books that an endpoint gets no events behind place, and closeGap that
// it does again, if it does: what came between can be replayed.
func (s *store) openGap(tx *db.Tx, id, place int64) error {
	_, err := tx.Exec(`INSERT INTO webhook_gaps (endpoint, after_seq) SELECT ?1, ?2
		WHERE NOT EXISTS (SELECT 1 FROM webhook_gaps WHERE endpoint = ?1 AND until_seq IS NULL)`, id, place)
	return err
}

func (s *store) closeGap(tx *db.Tx, id, newest int64) error {
	_, err := tx.Exec(`UPDATE webhook_gaps SET until_seq = ?1 WHERE endpoint = ?2 AND until_seq IS NULL AND EXISTS (SELECT 1 FROM webhook_endpoints
		WHERE id = ?2 AND disabled_at IS NULL AND NOT coalesce(json_extract(settings, '$.paused'), 0))`, newest, id)
	return err
}

// missed reports whether an endpoint was not told an event because it was disabled.
func (s *store) missed(q db.Querier, id, seq int64) (bool, error) {
	var n int
	err := q.QueryRow(`SELECT count(*) FROM webhook_gaps WHERE endpoint = ?1 AND after_seq < ?2 AND coalesce(until_seq, ?2) >= ?2`, id, seq).Scan(&n)
	return n > 0, err
}

// newest is the last event of the log.
func (w *Webhooks) newest(ctx context.Context) (int64, error) {
	_, newest, err := w.o.Queue.Span(ctx)
	return newest, err
}

// tellAlarm tells which endpoints are disabled by themselves.
func (w *Webhooks) tellAlarm() {
	if w.o.Alarm == nil {
		return
	}
	w.alarmed.Lock() // the last word is the latest
	defer w.alarmed.Unlock()
	var all []string
	for _, e := range w.list() {
		if e.disabled.Load() {
			all = append(all, fmt.Sprintf("%s: %s.", e.name(), e.reason()))
		}
	}
	w.o.Alarm(strings.Join(all, " "))
}

func nullTime(n sql.NullInt64) *time.Time {
	if !n.Valid {
		return nil
	}
	t := moment(n.Int64)
	return &t
}

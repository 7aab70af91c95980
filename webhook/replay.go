package webhook

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// replayAtOnce bounds what one Replay takes up.
const replayAtOnce = 5000

// Replay has an endpoint told again, in the order of the log and each event under
// the webhook-id that it had, what it did not get since a time: what failed, and
// what came while it was disabled; or all of it. What is no longer in the event
// log can't be told. Errors: queue.ErrNotFound; queue.ErrConflict while it is
// disabled.
func (w *Webhooks) Replay(ctx context.Context, id string, p sms.WebhookReplay) (done sms.WebhookReplayed, err error) {
	e := w.named(id)
	if e == nil {
		return done, queue.ErrNotFound
	}
	if e.isOff() {
		return done, errOff
	}
	at, err := w.firstSince(ctx, p.Since)
	if err != nil {
		return done, err
	}
	end, err := w.newest(ctx)
	if err != nil {
		return done, err
	}
	for at <= end {
		events, err := w.o.Queue.EventsAfter(ctx, at-1, eventsAtOnce)
		if err != nil {
			return done, err
		}
		if len(events) == 0 {
			break
		}
		if done.Replayed >= replayAtOnce {
			next := events[0].Time.UTC()
			done.More, done.Next = true, &next
			break
		}
		at = events[len(events)-1].Seq + 1
		n, err := w.replay(e, events, p, end)
		if done.Replayed += n; err != nil {
			return done, err
		}
		if !p.Until.IsZero() && events[len(events)-1].Time.After(p.Until) {
			break
		}
	}
	e.resume.Store(nil)
	e.poke()
	return done, nil
}

// replay takes up a slice of events.
func (w *Webhooks) replay(e *endpoint, events []sms.Event, p sms.WebhookReplay, end int64) (count int, err error) {
	err = w.o.DB.Write(func(tx *db.Tx) error {
		count = 0
		for i := range events {
			ev := &events[i]
			if ev.Seq > end || ev.Time.Before(p.Since) || !p.Until.IsZero() && ev.Time.After(p.Until) || !w.due(e, ev) {
				continue
			}
			again, err := w.store.again(tx, e.id, ev, p.All)
			if err != nil {
				return err
			}
			if again {
				count++
			}
		}
		if count == 0 {
			return nil
		}
		return w.advance(tx, 0) // so that the log keeps them
	})
	return count, err
}

// due reports whether an endpoint gets an event, or an earlier one stops it.
func (w *Webhooks) due(e *endpoint, ev *sms.Event) bool {
	if !e.is().wants(ev) {
		return false
	}
	for _, o := range w.list() {
		if o == e {
			break
		}
		if o.is().stops(ev) && !o.isOff() && ev.Seq > o.after && o.is().wants(ev) {
			return false
		}
	}
	return true
}

// again makes an event pending for an endpoint once more.
func (s *store) again(tx *db.Tx, endpoint int64, ev *sms.Event, all bool) (bool, error) {
	var row int64
	var state sms.DeliveryStatus
	err := tx.QueryRow(`SELECT row, state FROM webhook_deliveries WHERE id = ?`, s.deliveryID(endpoint, ev, Target{})).Scan(&row, &state)
	if errors.Is(err, sql.ErrNoRows) { // an older version gave other ids
		err = tx.QueryRow(`SELECT row, state FROM webhook_deliveries WHERE state IN ('pending', 'failed') AND seq = ? AND endpoint = ? AND url IS NULL`,
			ev.Seq, endpoint).Scan(&row, &state)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		missed, err := s.missed(tx, endpoint, ev.Seq)
		if err != nil || !all && !missed {
			return false, err
		}
		return s.add(tx, endpoint, ev, Target{})
	case err != nil:
		return false, err
	case state == sms.DeliveryFailed, state == sms.DeliveryDelivered && all:
		return true, s.revive(tx, row, endpoint, s.lane(ev))
	}
	return false, nil
}

// revive makes a delivery that is over pending, with three days of its own.
// Another of its lane may be on the way; then it goes next, being older.
func (s *store) revive(tx *db.Tx, row, endpoint, lane int64) error {
	head, err := s.laneHead(tx, endpoint, lane)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE webhook_deliveries SET state = 'pending', lane = ?, head = ?, tries = 0, refusals = 0,
		waited = 0, next_at = ?, ended_at = NULL WHERE row = ?`, lane, head == 0, ms(s.now()), row)
	return err
}

// firstSince finds the first event of the log that happened then or later. It
// goes by halves: the log is in the order of time, but for a clock that was set.
func (w *Webhooks) firstSince(ctx context.Context, since time.Time) (int64, error) {
	low, high, err := w.o.Queue.Span(ctx)
	if err != nil {
		return 0, err
	}
	for low < high {
		middle := low + (high-low)/2
		found, err := w.o.Queue.EventsAfter(ctx, middle-1, 1)
		if err != nil {
			return 0, err
		}
		if len(found) == 0 || !found[0].Time.Before(since) {
			high = middle
			continue
		}
		low = found[0].Seq + 1
	}
	return low, nil
}

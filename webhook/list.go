package webhook

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

const (
	defaultLimit = 50
	maxLimit     = 500
)

const deliveryColumns = `SELECT d.row, d.id, e.name, d.seq, d.type, d.message, d.state, d.head, d.attempts, d.last_status, d.last_error,
	d.created_at, d.attempt_at, d.next_at, d.ended_at, nullif(e.public, ''), d.latency, d.answer, d.history FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint `

// scanDelivery reads a row of deliveryColumns.
func scanDelivery(scan func(...any) error) (row int64, d sms.Delivery, err error) {
	var message string
	var head bool
	var status, attempt, ended sql.NullInt64
	var words sql.NullString
	var created, next int64
	var history []byte
	err = scan(&row, &d.ID, &d.Endpoint, &d.Event, &d.Type, &message, &d.Status, &head, &d.Attempts, &status, &words,
		&created, &attempt, &next, &ended, &d.Webhook, &d.LatencyMS, &d.Response, &history)
	if err != nil {
		return 0, d, err
	}
	if d.History, err = readHistory(history); err != nil {
		return 0, d, err
	}
	d.CreatedAt = moment(created)
	if message != "" {
		d.MessageID = &message
	}
	if status.Valid {
		n := int(status.Int64)
		d.ResponseStatus = &n
	}
	if words.Valid {
		d.Error = &words.String
	}
	if attempt.Valid {
		t := moment(attempt.Int64)
		d.LastAttemptAt = &t
	}
	if head {
		t := moment(next)
		d.NextAttemptAt = &t
	}
	if ended.Valid && d.Status == sms.DeliveryDelivered {
		t := moment(ended.Int64)
		d.DeliveredAt = &t
	}
	return row, d, nil
}

func readHistory(b []byte) ([]sms.Attempt, error) {
	all := []sms.Attempt{}
	if len(b) == 0 {
		return all, nil
	}
	var kept []struct {
		At, MS int64
		Status *int
		Error  string
	}
	if err := json.Unmarshal(b, &kept); err != nil {
		return nil, err
	}
	for _, k := range slices.Backward(kept) {
		all = append(all, sms.Attempt{At: moment(k.At), ResponseStatus: k.Status, LatencyMS: k.MS, Error: k.Error})
	}
	return all, nil
}

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// List returns deliveries newest first and the next page's cursor, "" at the
// end. A cursor that List did not give is queue.ErrBadCursor.
func (w *Webhooks) List(ctx context.Context, f sms.DeliveryFilter) ([]sms.Delivery, string, error) {
	before := int64(1<<63 - 1)
	if f.Cursor != "" {
		var err error
		if before, err = strconv.ParseInt(f.Cursor, 10, 64); err != nil || before < 1 {
			return nil, "", queue.ErrBadCursor
		}
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	query, args := listed(f, before, limit)
	page, next := []sms.Delivery{}, ""
	err := w.o.DB.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var last int64
		for rows.Next() {
			row, d, err := scanDelivery(rows.Scan)
			if err != nil {
				return err
			}
			if len(page) == limit {
				next = strconv.FormatInt(last, 10)
				break
			}
			page, last = append(page, d), row
		}
		return rows.Err()
	})
	return page, next, err
}

// listed asks for one delivery more than limit, to know whether there are more.
func listed(f sms.DeliveryFilter, before int64, limit int) (query string, args []any) {
	query, args = deliveryColumns+`WHERE d.row < ?`, []any{before}
	if f.Status != "" {
		if f.Status == sms.DeliveryFailed {
			query += ` AND d.state = 'failed'` // a constant, for the index of the few that failed
		} else {
			query, args = query+` AND d.state = ?`, append(args, string(f.Status))
		}
	}
	if f.Endpoint != "" {
		query, args = query+` AND ? IN (e.name, e.public)`, append(args, f.Endpoint)
	}
	if f.Type != "" {
		query, args = query+` AND d.type = ?`, append(args, f.Type)
	}
	if f.Message != "" {
		query, args = query+` AND d.message = ? AND d.message <> ''`, append(args, f.Message) // the latter is the index's own condition
	}
	if !f.Since.IsZero() {
		query, args = query+` AND d.created_at >= ?`, append(args, ms(f.Since))
	}
	return query + ` ORDER BY d.row DESC LIMIT ?`, append(args, limit+1)
}

// find reads one delivery; queue.ErrNotFound if there is none.
func (s *store) find(q db.Querier, id string) (row int64, d sms.Delivery, err error) {
	row, d, err = scanDelivery(q.QueryRow(deliveryColumns+`WHERE d.id = ?`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		err = queue.ErrNotFound
	}
	return row, d, err
}

// Retry makes a failed delivery pending again, with three days of its own, and
// what waits in front of it due now. It enables an endpoint that was disabled.
// Errors: queue.ErrNotFound; queue.ErrConflict when it is over for good.
func (w *Webhooks) Retry(ctx context.Context, id string) (sms.Delivery, error) {
	var d sms.Delivery
	var row int64
	err := w.o.DB.Read(ctx, func(r db.Querier) (err error) {
		row, d, err = w.store.find(r, id)
		return err
	})
	if err != nil {
		return d, err
	}
	event, err := w.o.Queue.Event(ctx, d.Event)
	if errors.Is(err, queue.ErrNotFound) && (d.Status == sms.DeliveryFailed || d.Status == sms.DeliveryPending) {
		if err := w.store.drop(row, wordsErased); err != nil {
			return d, err
		}
		return d, fmt.Errorf("%s: %w", wordsErased, queue.ErrConflict)
	}
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return d, err
	}
	var e *endpoint
	var origin int64
	err = w.o.DB.Write(func(tx *db.Tx) error {
		endpoint, err := w.store.retry(tx, row, event)
		if err != nil {
			return err
		}
		if e = w.find(endpoint); e == nil {
			if origin, err = w.store.isOrigin(tx, endpoint); err != nil {
				return err
			}
		}
		switch {
		case e == nil && origin == 0:
			return fmt.Errorf("its webhook is no longer in the configuration: %w", queue.ErrConflict)
		case e != nil && e.is().paused:
			return errPaused
		case e != nil && e.disabled.Load():
			if err := e.enableTx(tx); err != nil {
				return err
			}
		}
		_, d, err = w.store.find(tx, id)
		return err
	})
	if err != nil {
		return d, err
	}
	if e == nil {
		w.origin(origin, d.Endpoint)
		return d, nil
	}
	e.resume.Store(nil)
	e.poke()
	w.tellAlarm()
	return d, e.endGap(ctx)
}

// isOrigin returns the id if it is that of an origin, else 0.
func (s *store) isOrigin(q db.Querier, id int64) (origin int64, err error) {
	err = q.QueryRow(`SELECT id FROM webhook_endpoints WHERE id = ? AND kind = ?`, id, ofOrigin).Scan(&origin)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return origin, err
}

// retry returns the endpoint whose lane it has made due.
func (s *store) retry(tx *db.Tx, row int64, event *sms.Event) (endpoint int64, err error) {
	var state sms.DeliveryStatus
	var lane int64
	err = tx.QueryRow(`SELECT endpoint, lane, state FROM webhook_deliveries WHERE row = ?`, row).Scan(&endpoint, &lane, &state)
	if err != nil {
		return 0, err
	}
	now := ms(s.now())
	switch state {
	case sms.DeliveryPending:
	case sms.DeliveryFailed:
		lane = s.lane(event)
		if err := s.revive(tx, row, endpoint, lane); err != nil {
			return 0, err
		}
	default:
		return 0, fmt.Errorf("the delivery is %s: %w", state, queue.ErrConflict)
	}
	if _, err := tx.Exec(`UPDATE webhook_deliveries SET next_at = min(next_at, ?) WHERE endpoint = ? AND lane = ? AND state = 'pending'
		AND head = 1`, now, endpoint, lane); err != nil {
		return 0, err
	}
	return endpoint, nil
}

// Drop ends a delivery that nobody wants any more. Errors: queue.ErrNotFound;
// queue.ErrConflict when it is over already.
func (w *Webhooks) Drop(ctx context.Context, id string) (sms.Delivery, error) {
	var d sms.Delivery
	var endpoint, origin int64
	err := w.o.DB.Write(func(tx *db.Tx) error {
		row, found, err := w.store.find(tx, id)
		if err != nil {
			return err
		}
		if found.Status != sms.DeliveryPending && found.Status != sms.DeliveryFailed {
			return fmt.Errorf("the delivery is %s: %w", found.Status, queue.ErrConflict)
		}
		if err := w.store.dropTx(tx, row, "dropped on request"); err != nil {
			return err
		}
		if err := tx.QueryRow(`SELECT endpoint FROM webhook_deliveries WHERE row = ?`, row).Scan(&endpoint); err != nil {
			return err
		}
		if origin, err = w.store.isOrigin(tx, endpoint); err != nil {
			return err
		}
		_, d, err = w.store.find(tx, id)
		return err
	})
	if err != nil {
		return d, err
	}
	if e := w.find(endpoint); e != nil {
		e.poke()
	} else if origin != 0 {
		w.origin(origin, d.Endpoint)
	}
	return d, nil
}

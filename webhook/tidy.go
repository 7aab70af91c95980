package webhook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

// slice is how many rows one transaction of house-keeping touches.
const slice = 200

// kept is how long a delivery stays listed after its success, and what waits
// for an endpoint after that left the configuration.
const kept = 7 * 24 * time.Hour

// tidy prunes the table and lets go of events that were delivered.
func (w *Webhooks) tidy(ctx context.Context) error {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	var held int64 = -1
	var swept time.Time
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := w.store.prune(ctx, w.variable.Load().keepFailed)
		if err == nil && time.Since(swept) >= 24*time.Hour {
			swept = time.Now()
			if err = w.dropGone(ctx); err == nil {
				err = w.store.pruneOrigins(ctx)
			}
		}
		if err == nil {
			held, err = w.release(ctx, held)
		}
		if err != nil && ctx.Err() == nil {
			w.log.Error("webhook deliveries can't be tidied", "error", err)
		}
	}
}

// prune deletes what is over, a slice at a time.
func (s *store) prune(ctx context.Context, keepFailed time.Duration) error {
	if !s.trusted() {
		return nil // nobody knows how old anything is
	}
	now := s.now()
	type job struct {
		query string
		args  []any
	}
	jobs := []job{
		{`DELETE FROM webhook_deliveries WHERE row IN (SELECT row FROM webhook_deliveries
			WHERE ended_at < ? ORDER BY ended_at LIMIT ?)`, []any{ms(now.Add(-kept))}},
		{`DELETE FROM webhook_deliveries WHERE row IN (SELECT d.row FROM webhook_endpoints e
			JOIN webhook_deliveries d ON d.endpoint = e.id WHERE e.removed_at < ? LIMIT ?)`, []any{ms(now.Add(-kept))}},
		{`DELETE FROM webhook_endpoints WHERE id IN (SELECT id FROM webhook_endpoints e WHERE removed_at < ?
			AND NOT EXISTS (SELECT 1 FROM webhook_deliveries WHERE endpoint = e.id) LIMIT ?)`, []any{ms(now.Add(-kept))}},
		{`DELETE FROM webhook_secrets WHERE row IN (SELECT row FROM webhook_secrets WHERE until < ? LIMIT ?)`, []any{ms(now)}},
		{`DELETE FROM webhook_gaps WHERE rowid IN (SELECT rowid FROM webhook_gaps g WHERE
			NOT EXISTS (SELECT 1 FROM webhook_endpoints WHERE id = g.endpoint AND removed_at IS NULL) LIMIT ?)`, nil},
	}
	if keepFailed > 0 {
		// A receiver that is dead for good must not hold the event log for good.
		jobs = append(jobs, job{`UPDATE webhook_deliveries SET state = 'dropped', ended_at = ?, url = NULL, account = NULL, answer = NULL, last_error =
			'given up; it was kept for ' || ? || ' after that: ' || coalesce(last_error, '') WHERE row IN
			(SELECT row FROM webhook_deliveries WHERE state = 'failed' AND coalesce(attempt_at, created_at) < ? LIMIT ?)`,
			[]any{ms(now), days(keepFailed), ms(now.Add(-keepFailed))}})
	}
	for _, j := range jobs {
		for n := int64(slice); n == slice && ctx.Err() == nil; {
			err := s.db.Write(func(tx *db.Tx) (err error) {
				n, err = tx.Exec(j.query, append(j.args[:len(j.args):len(j.args)], slice)...)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// dropGone drops the failed deliveries to URLs of messages that the history has
// forgotten: what a message named goes with it.
func (w *Webhooks) dropGone(ctx context.Context) error {
	for from := int64(0); ctx.Err() == nil; {
		var row, seq int64
		err := w.o.DB.Read(ctx, func(r db.Querier) error {
			return r.QueryRow(`SELECT row, seq FROM webhook_deliveries WHERE state = 'failed' AND url IS NOT NULL AND row > ? ORDER BY row LIMIT 1`, from).
				Scan(&row, &seq)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = w.o.Queue.Event(ctx, seq)
		if errors.Is(err, queue.ErrNotFound) {
			err = w.store.drop(row, wordsErased)
		}
		if err != nil {
			return err
		}
		from = row
	}
	return nil
}

func days(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}

// pruneOrigins deletes the origins that no delivery is of. They are found by a
// reader: there is no index for it.
func (s *store) pruneOrigins(ctx context.Context) error {
	var ids []int64
	err := s.db.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT id FROM webhook_endpoints WHERE kind = ? AND id NOT IN (SELECT endpoint FROM webhook_deliveries) LIMIT ?`, ofOrigin, slice)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	for _, id := range ids {
		if err != nil || ctx.Err() != nil {
			return err
		}
		err = s.db.Write(func(tx *db.Tx) error {
			_, err := tx.Exec(`DELETE FROM webhook_endpoints WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM webhook_deliveries WHERE endpoint = ?1)`, id)
			return err
		})
	}
	return err
}

// erase is EraseTx of all messages of an erasure.
func (w *Webhooks) erase(tx *db.Tx, e queue.Erasure) error {
	for _, m := range e.Messages {
		if err := w.EraseTx(tx, m.ID, e.Number != ""); err != nil {
			return err
		}
	}
	return nil
}

// exportedAnswer is what is kept of a receiver's answer, and of a message's own
// URL: both may name whom it is about.
type exportedAnswer struct {
	Delivery string  `json:"delivery"`
	Message  string  `json:"message"`
	URL      *string `json:"url"`
	Answer   *string `json:"answer"`
}

// exportAnswers tells what EraseTx would erase.
func exportAnswers(r db.Querier, _ string, messages []queue.ErasedMessage, put func(any) error) error {
	for _, m := range messages {
		if err := exportAnswersTo(r, m.ID, put); err != nil {
			return err
		}
	}
	return nil
}

func exportAnswersTo(r db.Querier, message string, put func(any) error) error {
	rows, err := r.Query(`SELECT id, message, url, answer FROM webhook_deliveries
		WHERE message = ? AND (url IS NOT NULL OR answer IS NOT NULL) ORDER BY row`, message)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a exportedAnswer
		if err := rows.Scan(&a.Delivery, &a.Message, &a.URL, &a.Answer); err != nil {
			return err
		}
		if err := put(a); err != nil {
			return err
		}
	}
	return rows.Err()
}

// EraseTx erases what receivers answered to the deliveries about a message, which
// may repeat its number or its text; and if it is erased as a whole, the URL that
// it named, which may as well. It is for the transaction that erases the message.
func (w *Webhooks) EraseTx(tx *db.Tx, message string, whole bool) error {
	w.erasures.Add(1) // an answer that is on its way is not kept
	query := `UPDATE webhook_deliveries SET answer = NULL`
	if whole {
		query += `, url = NULL, account = NULL`
	}
	_, err := tx.Exec(query+` WHERE message = ? AND (url IS NOT NULL OR answer IS NOT NULL)`, message)
	return err
}

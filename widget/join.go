package widget

import (
	"context"
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

// join has the queue erase and export what is kept of visitors.
func (w *Widgets) join() {
	w.o.Queue.OnErase(func(tx *db.Tx, e queue.Erasure) error {
		if e.Number == "" || len(e.Messages) > 0 {
			return nil
		}
		return erase(tx, e.Number)
	})
	w.o.Queue.OnExport("widget_visitors", func(r db.Querier, number string, messages []queue.ErasedMessage, put func(any) error) error {
		if len(messages) > 0 {
			return nil
		}
		return export(r, number, put)
	})
}

// erase forgets who wrote with a number in a widget. That somebody did, and that terms
// were accepted, is a number of a day and nobody's any more.
func erase(tx *db.Tx, number string) error {
	for _, query := range []string{
		`UPDATE widget_visitors SET hash = x'', name = '', number = '', address = '', conversation = '' WHERE number = ?`,
		`UPDATE widget_starts SET number = '', address = '', conversation = '' WHERE number = ?`,
	} {
		if _, err := tx.Exec(query, number); err != nil {
			return err
		}
	}
	return nil
}

// ExportedVisitor is one who wrote with a number in a widget.
type ExportedVisitor struct {
	ID           string    `json:"id"`
	Widget       string    `json:"widget"`
	Name         string    `json:"name"`
	Address      string    `json:"address"`
	Site         string    `json:"site"`
	Conversation string    `json:"conversation"`
	Terms        *int64    `json:"terms_version"`
	At           time.Time `json:"at"`
}

func export(r db.Querier, number string, put func(any) error) error {
	rows, err := r.Query(`SELECT s.visitor, coalesce(v.widget, ''), coalesce(v.name, ''), s.address, coalesce(v.site, ''), s.conversation, s.terms, s.at
		FROM widget_starts s LEFT JOIN widget_visitors v ON v.id = s.visitor WHERE s.number = ? ORDER BY s.seq`, number)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e ExportedVisitor
		var at int64
		if err := rows.Scan(&e.ID, &e.Widget, &e.Name, &e.Address, &e.Site, &e.Conversation, &e.Terms, &at); err != nil {
			return err
		}
		e.At = moment(at)
		if err := put(e); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Run tells open frames what happens, and forgets visitors once the history has
// forgotten what they wrote. It returns nil when ctx ends.
func (w *Widgets) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.follow(ctx)
	}()
	defer func() { <-done }()
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := w.prune(); err != nil && ctx.Err() == nil && !errors.Is(err, db.ErrClosed) {
			w.log.Warn("old visitors could not be forgotten; tried again in an hour", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// slice is how many rows one commit forgets.
const slice = 200

// prune forgets visitors who have not been here for as long as messages are kept, and
// the tokens of those that are over.
func (w *Widgets) prune() error {
	if w.o.Keep == nil || w.o.Keep() <= 0 || w.o.Trusted != nil && !w.o.Trusted() {
		return nil // nobody knows how old anything is
	}
	before := w.o.Now().Add(-w.o.Keep()).UnixMilli()
	for n := int64(slice); n == slice; {
		err := w.o.DB.Write(func(tx *db.Tx) (err error) {
			if n, err = tx.Exec(`DELETE FROM widget_starts WHERE seq IN (SELECT seq FROM widget_starts WHERE at < ? ORDER BY seq LIMIT ?)`, before, slice); err != nil {
				return err
			}
			gone, err := tx.Exec(`DELETE FROM widget_visitors WHERE id IN (SELECT id FROM widget_visitors WHERE created_at < ?1 AND expires_at < ?1 LIMIT ?2)`, before, slice)
			n = max(n, gone)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ShiftTx moves what ends at a time along with the clock, in the commit that sets it:
// tokens and old keys are good for as long as they were to be.
func (w *Widgets) ShiftTx(tx *db.Tx, step time.Duration, began time.Time) error {
	ms, since := step.Milliseconds(), began.UnixMilli()
	for _, query := range []string{
		`UPDATE widget_visitors SET created_at = created_at + ?1 WHERE created_at >= ?2`,
		`UPDATE widget_visitors SET expires_at = expires_at + ?1 WHERE expires_at >= ?2`,
		`UPDATE widget_starts SET at = at + ?1 WHERE at >= ?2`,
		`UPDATE widgets SET rotated_at = rotated_at + ?1, old_until = old_until + ?1 WHERE rotated_at >= ?2`,
	} {
		if _, err := tx.Exec(query, ms, since); err != nil {
			return err
		}
	}
	return nil
}

// Restore makes the widgets of a restored database fit to go on with: the transaction
// sees the database that is replaced. Widgets are as they were there last, for pages have
// their keys and visitors accepted their terms: no key comes back that was rotated, no
// widget that was deleted, no origin that was taken from the list.
func Restore(tx *db.Tx) error {
	for _, query := range []string{
		`UPDATE widgets SET (key, old_key, old_until, rotated_at, deleted_at) =
			(SELECT r.key, r.old_key, r.old_until, r.rotated_at, r.deleted_at FROM replaced.widgets r WHERE r.id = widgets.id)
			WHERE id IN (SELECT id FROM replaced.widgets)`,
		`INSERT OR IGNORE INTO widgets SELECT * FROM replaced.widgets`,
		`INSERT OR REPLACE INTO widget_versions SELECT * FROM replaced.widget_versions`,
		`UPDATE widgets SET version = (SELECT max(v.version) FROM widget_versions v WHERE v.widget = widgets.id)
			WHERE deleted_at IS NULL AND id IN (SELECT widget FROM widget_versions)`,
		`DELETE FROM widget_versions WHERE widget <> '' AND widget NOT IN (SELECT id FROM widgets WHERE deleted_at IS NULL)`,
		`INSERT OR IGNORE INTO widget_images SELECT * FROM replaced.widget_images`,
		// What was erased since stays erased, and a token that is not there any more does
		// not come back.
		`DELETE FROM widget_visitors WHERE id NOT IN (SELECT id FROM replaced.widget_visitors)`,
		`INSERT OR REPLACE INTO widget_visitors SELECT * FROM replaced.widget_visitors`,
		`DELETE FROM widget_starts`,
		`INSERT INTO widget_starts SELECT * FROM replaced.widget_starts`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
}

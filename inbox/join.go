package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/files"
	"gatewayd/queue"
	"gatewayd/sms"
)

// join has the queue erase and export what is in inboxes, and files kept that are.
func (b *Inbox) join() {
	b.o.Files.Holds(holds)
	b.o.Queue.OnErase(func(tx *db.Tx, e queue.Erasure) error {
		if e.Number != "" && len(e.Messages) == 0 {
			return b.eraseTx(tx, e.Number)
		}
		for _, m := range e.Messages {
			if err := b.eraseTextTx(tx, m.ID); err != nil {
				return err
			}
		}
		return nil
	})
	b.o.Queue.OnExport("inbox", func(r db.Querier, number string, messages []queue.ErasedMessage, put func(any) error) error {
		if len(messages) > 0 {
			return nil
		}
		return export(r, number, put)
	})
}

// holds tells the files that are in inboxes, or behind links in texts to those who have none.
func holds(r db.Querier, see func(id string)) error {
	rows, err := r.Query(`SELECT files FROM inbox_messages WHERE files IS NOT NULL UNION ALL SELECT json_array(json_object('id', file)) FROM inbox_links`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var attached []byte
		if err := rows.Scan(&attached); err != nil {
			return err
		}
		for _, id := range idsOf(string(attached)) {
			see(id)
		}
	}
	return rows.Err()
}

func idsOf(attached string) (ids []string) {
	var all []sms.File
	if attached == "" || json.Unmarshal([]byte(attached), &all) != nil {
		return nil
	}
	for _, f := range all {
		ids = append(ids, f.ID)
	}
	return ids
}

// eraseTx erases an inbox. That a message was in it, or in none, stays known by its id
// alone.
func (b *Inbox) eraseTx(tx *db.Tx, number string) error {
	released, err := listOf(tx, `SELECT files FROM inbox_messages WHERE number = ? AND files IS NOT NULL`, number)
	if err != nil {
		return err
	}
	links, err := listOf(tx, `SELECT file FROM inbox_links WHERE number = ?`, number)
	if err != nil {
		return err
	}
	for _, attached := range released {
		links = append(links, idsOf(attached)...)
	}
	for _, query := range []string{
		`DELETE FROM inbox_messages WHERE number = ?`,
		`DELETE FROM inbox_threads WHERE number = ?`,
		`DELETE FROM inbox_sessions WHERE number = ?`,
		`DELETE FROM inbox_people WHERE number = ?`,
		`DELETE FROM inbox_links WHERE number = ?`,
	} {
		if _, err := tx.Exec(query, number); err != nil {
			return err
		}
	}
	tx.OnCommit(func() {
		b.codes.drop(number)
		b.here.wake(number)
	})
	if err := b.o.Files.ReleaseOfTx(tx, sourceOf(person{Number: number})); err != nil {
		return err
	}
	return b.o.Files.ReleaseTx(tx, links)
}

// eraseTextTx erases the text of a message, and what goes with it.
func (b *Inbox) eraseTextTx(tx *db.Tx, id string) error {
	attached, err := listOf(tx, `SELECT coalesce(files, '') FROM inbox_messages WHERE id = ?`, id)
	if err != nil || len(attached) == 0 {
		return err
	}
	if _, err := tx.Exec(`UPDATE inbox_messages SET subject = NULL, text = NULL, files = NULL WHERE id = ?`, id); err != nil {
		return err
	}
	return b.o.Files.ReleaseTx(tx, idsOf(attached[0]))
}

func listOf(r db.Querier, query string, args ...any) (all []string, err error) {
	rows, err := r.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// Exported is a message of an inbox, or what is known of its owner.
type Exported struct {
	ID        string     `json:"id,omitempty"`
	Name      string     `json:"name"` // of the sender; of the owner
	Gateway   string     `json:"gateway,omitempty"`
	Mine      bool       `json:"mine"`
	BySMS     bool       `json:"by_sms"`
	Subject   string     `json:"subject,omitempty"`
	Text      string     `json:"text,omitempty"`
	Files     []sms.File `json:"files,omitempty"`
	At        time.Time  `json:"at"`
	ReadAt    *time.Time `json:"read_at,omitempty"`
	CreatedAt *time.Time `json:"inbox_since,omitempty"`
}

func export(r db.Querier, number string, put func(any) error) error {
	owners, err := r.Query(`SELECT name, created_at, seen_at FROM inbox_people WHERE number = ?`, number)
	if err != nil {
		return err
	}
	defer owners.Close()
	for owners.Next() {
		var e Exported
		var created, seen int64
		if err := owners.Scan(&e.Name, &created, &seen); err != nil {
			return err
		}
		since := moment(created)
		e.At, e.CreatedAt = moment(seen), &since
		if err := put(e); err != nil {
			return err
		}
	}
	if err := owners.Err(); err != nil {
		return err
	}
	rows, err := r.Query(`SELECT m.id, t.name, t.gateway, m.mine, m.by_sms, coalesce(m.subject, ''), coalesce(m.text, ''), coalesce(m.files, ''), m.at, coalesce(m.read_at, 0)
		FROM inbox_messages m JOIN inbox_threads t ON t.id = m.thread WHERE m.number = ? ORDER BY m.seq`, number)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e Exported
		var attached string
		var at, read int64
		if err := rows.Scan(&e.ID, &e.Name, &e.Gateway, &e.Mine, &e.BySMS, &e.Subject, &e.Text, &attached, &at, &read); err != nil {
			return err
		}
		if attached != "" {
			if err := json.Unmarshal([]byte(attached), &e.Files); err != nil {
				return err
			}
		}
		if e.At = moment(at); read > 0 {
			seen := moment(read)
			e.ReadAt = &seen
		}
		if err := put(e); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Run delivers what the hub's own people wrote, and forgets what is too old. It returns
// nil when ctx ends.
func (b *Inbox) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := b.deliverOwn(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, db.ErrClosed) {
				b.log.Warn("messages for inboxes wait: the database did not answer as it should; tried again", "in", again, "error", err)
			}
			select {
			case <-time.After(again):
			case <-ctx.Done():
			}
		}
	}()
	defer func() { <-done }()
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := b.prune(); err != nil && ctx.Err() == nil && !errors.Is(err, db.ErrClosed) {
			b.log.Warn("old messages of inboxes could not be forgotten; tried again in an hour", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

const (
	again = 5 * time.Second
	// slice is how many rows one commit forgets.
	slice = 200
)

// prune forgets what is older than the history keeps, sessions that are over, and
// inboxes that nobody looks into any more.
func (b *Inbox) prune() error {
	if b.o.Trusted != nil && !b.o.Trusted() {
		return nil // nobody knows how old anything is
	}
	now := b.o.Now()
	if keep := lasting(b.o.KeepTexts); keep > 0 {
		if err := b.pruneEach(`SELECT id FROM inbox_messages WHERE text IS NOT NULL AND stored_at < ? ORDER BY stored_at LIMIT ?`, now.Add(-keep), b.eraseTextTx); err != nil {
			return err
		}
		if err := b.pruneEach(`SELECT DISTINCT file FROM inbox_links WHERE at < ? LIMIT ?`, now.Add(-keep), unlinkTx(b.o.Files)); err != nil {
			return err
		}
	}
	if keep := lasting(b.o.Keep); keep > 0 {
		err := b.pruneEach(`SELECT id FROM inbox_messages WHERE stored_at < ? ORDER BY stored_at LIMIT ?`, now.Add(-keep), func(tx *db.Tx, id string) error {
			if err := b.eraseTextTx(tx, id); err != nil {
				return err
			}
			_, err := tx.Exec(`DELETE FROM inbox_messages WHERE id = ?`, id)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := b.pruneEach(`SELECT number FROM inbox_people WHERE seen_at < ? LIMIT ?`, now.Add(-unseenLife), b.eraseTx); err != nil {
		return err
	}
	return b.o.DB.Write(func(tx *db.Tx) error {
		if _, err := tx.Exec(`DELETE FROM inbox_sessions WHERE expires_at < ?`, now.UnixMilli()); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM inbox_threads WHERE NOT EXISTS (SELECT 1 FROM inbox_messages m WHERE m.thread = inbox_threads.id)`)
		return err
	})
}

// unlinkTx ends the links to a file in texts to those who have no inbox.
func unlinkTx(store *files.Store) func(tx *db.Tx, id string) error {
	return func(tx *db.Tx, id string) error {
		if _, err := tx.Exec(`DELETE FROM inbox_links WHERE file = ?`, id); err != nil {
			return err
		}
		return store.ReleaseTx(tx, []string{id})
	}
}

func lasting(keep func() time.Duration) time.Duration {
	if keep == nil {
		return 0
	}
	return keep()
}

// pruneEach carries out what is to be done with each that a query tells, some in a commit.
func (b *Inbox) pruneEach(query string, before time.Time, do func(tx *db.Tx, id string) error) error {
	for n := slice; n == slice; {
		err := b.o.DB.Write(func(tx *db.Tx) error {
			ids, err := listOf(tx, query, before.UnixMilli(), slice)
			if err != nil {
				return err
			}
			n = len(ids)
			for _, id := range ids {
				if err := do(tx, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ShiftTx moves what ends at a time along with the clock, in the commit that sets it.
func (b *Inbox) ShiftTx(tx *db.Tx, step time.Duration, began time.Time) error {
	ms, since := step.Milliseconds(), began.UnixMilli()
	for _, query := range []string{
		`UPDATE inbox_people SET created_at = created_at + ?1 WHERE created_at >= ?2`,
		`UPDATE inbox_people SET seen_at = seen_at + ?1 WHERE seen_at >= ?2`,
		`UPDATE inbox_sessions SET created_at = created_at + ?1 WHERE created_at >= ?2`,
		`UPDATE inbox_sessions SET expires_at = expires_at + ?1 WHERE expires_at >= ?2`,
		`UPDATE inbox_messages SET stored_at = stored_at + ?1 WHERE stored_at >= ?2`,
		`UPDATE inbox_messages SET read_at = read_at + ?1 WHERE read_at >= ?2`,
		`UPDATE inbox_links SET at = at + ?1 WHERE at >= ?2`,
	} {
		if _, err := tx.Exec(query, ms, since); err != nil {
			return err
		}
	}
	return nil
}

// Restore makes the inboxes of a restored database fit to go on with. With a database
// that is replaced, which the transaction sees, they are as they were there last: what was
// erased, closed or signed out since stays so. Without one nobody knows that, so
// everybody signs in anew.
func Restore(tx *db.Tx, attached bool) error {
	if !attached {
		_, err := tx.Exec(`DELETE FROM inbox_sessions`)
		return err
	}
	for _, query := range []string{
		`DELETE FROM inbox_people`, `INSERT INTO inbox_people SELECT * FROM replaced.inbox_people`,
		`DELETE FROM inbox_sessions`, `INSERT INTO inbox_sessions SELECT * FROM replaced.inbox_sessions`,
		`DELETE FROM inbox_threads`, `INSERT INTO inbox_threads SELECT * FROM replaced.inbox_threads`,
		`DELETE FROM inbox_messages`, `INSERT INTO inbox_messages SELECT * FROM replaced.inbox_messages`,
		`DELETE FROM inbox_links`, `INSERT INTO inbox_links SELECT * FROM replaced.inbox_links`,
		`INSERT OR REPLACE INTO inbox_given SELECT * FROM replaced.inbox_given`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
}

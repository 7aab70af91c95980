package inbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"gatewayd/db"
	"gatewayd/files"
	"gatewayd/mirror"
	"gatewayd/sms"
)

// mostFiles is how many files one message may have.
const mostFiles = 20

// DeliverTx puts a message of a gateway, or of the hub itself (""), into the inbox that
// it is for. What became of it is kept for ever under its id: a repetition, from whatever
// gateway, changes nothing and gets the same answer.
func (b *Inbox) DeliverTx(tx *db.Tx, gateway string, m mirror.Inbox) (c sms.Copy, err error) {
	err = tx.QueryRow(`SELECT copy FROM inbox_given WHERE id = ?`, m.ID).Scan(&c)
	if !errors.Is(err, sql.ErrNoRows) {
		return c, err
	}
	if len(m.Files) > mostFiles {
		m.Files = m.Files[:mostFiles]
	}
	var there int
	if err := tx.QueryRow(`SELECT count(*) FROM inbox_people WHERE number = ?`, m.To).Scan(&there); err != nil {
		return "", err
	}
	stopped, err := b.o.Queue.Stopped(tx, m.To)
	if err != nil {
		return "", err
	}
	switch c = sms.CopySent; {
	case stopped: // also since it was written
		c = sms.CopyOptedOut
	case there == 0:
		c = sms.CopyNoInbox
	}
	if _, err := tx.Exec(`INSERT INTO inbox_given (id, copy) VALUES (?, ?)`, m.ID, c); err != nil {
		return "", err
	}
	if c != sms.CopySent {
		// Its SMS may have links to them. They are erased with the number.
		for _, f := range m.Files {
			if _, err := tx.Exec(`INSERT OR IGNORE INTO inbox_links (file, number, at) VALUES (?, ?, ?)`, f.ID, m.To, b.o.Now().UnixMilli()); err != nil {
				return "", err
			}
		}
		return c, nil
	}
	thread, err := threadFor(tx, m.To, gateway, m.Name)
	if err != nil {
		return "", err
	}
	return c, b.store(tx, message{ID: m.ID, Thread: thread, number: m.To, BySMS: m.BySMS, Subject: m.Subject, Text: m.Text, Files: m.Files, At: m.At})
}

// threadFor is what a person has with a sender; it is made when it lacks.
func threadFor(tx *db.Tx, number, gateway, name string) (id int64, err error) {
	err = tx.QueryRow(`SELECT id FROM inbox_threads WHERE number = ? AND gateway = ? AND name = ?`, number, gateway, name).Scan(&id)
	if !errors.Is(err, sql.ErrNoRows) {
		return id, err
	}
	return tx.Insert(`INSERT INTO inbox_threads (number, gateway, name, newest) VALUES (?, ?, ?, 0)`, number, gateway, name)
}

// store writes a message and tells whoever looks at its inbox.
func (b *Inbox) store(tx *db.Tx, m message) error {
	var attached any
	if len(m.Files) > 0 {
		b, err := json.Marshal(m.Files)
		if err != nil {
			return err
		}
		attached = string(b)
	}
	var client any
	if m.client != "" {
		client = m.client
	}
	seq, err := tx.Insert(`INSERT INTO inbox_messages (id, thread, number, mine, by_sms, subject, text, files, at, stored_at, client_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		m.ID, m.Thread, m.number, m.Mine, m.BySMS, m.Subject, m.Text, attached, m.At.UnixMilli(), b.o.Now().UnixMilli(), client)
	if err != nil {
		return err
	}
	tx.OnCommit(func() { b.here.wake(m.number) })
	_, err = tx.Exec(`UPDATE inbox_threads SET newest = ? WHERE id = ?`, seq, m.Thread)
	return err
}

// Chunk takes a piece of a file of a gateway. An error means that it must be told again;
// what is of no use is dropped.
func (b *Inbox) Chunk(gateway string, c mirror.Chunk) error {
	err := b.o.Files.Append(gateway, c.File, c.Offset, c.Data)
	if errors.Is(err, files.ErrRefused) || errors.Is(err, files.ErrTooLarge) || errors.Is(err, files.ErrFull) {
		b.log.Warn("a gateway's file is not taken", "gateway", gateway, "size", c.File.Size, "error", err)
		return nil
	}
	return err
}

// Who tells of each number whether it has an inbox, and whether somebody looks at it.
func (b *Inbox) Who(ctx context.Context, numbers []string) []mirror.Presence {
	all := make([]mirror.Presence, len(numbers))
	err := b.o.DB.Read(ctx, func(r db.Querier) error {
		for i, n := range numbers {
			var there int
			if err := r.QueryRow(`SELECT count(*) FROM inbox_people WHERE number = ?`, n).Scan(&there); err != nil {
				return err
			}
			all[i] = mirror.Presence{Inbox: there > 0, Online: there > 0 && b.here.online(n)}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		b.log.Warn("who has an inbox can't be read: nobody is told to have one", "error", err)
	}
	return all
}

// ownAtOnce is how many of the hub's own messages are read at once.
const ownAtOnce = 100

// deliverOwn delivers what the hub's own people wrote, and copies of what went by SMS for
// them. What waits stands in the queue, so nothing is lost or told twice by a restart.
func (b *Inbox) deliverOwn(ctx context.Context) error {
	for {
		changed := b.o.Queue.Changed() // before reading: nothing is missed in between
		waiting, err := b.o.Queue.ForInboxes(ctx, ownAtOnce)
		if err != nil {
			return err
		}
		for _, row := range waiting {
			if err := b.o.Queue.Do(func(tx *db.Tx) error { return b.deliverOneTx(tx, row) }); err != nil {
				return err
			}
		}
		if len(waiting) == ownAtOnce {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (b *Inbox) deliverOneTx(tx *db.Tx, row int64) error {
	m, err := b.o.Queue.ForInboxTx(tx, row)
	if m == nil || err != nil {
		return err
	}
	bySMS := m.Via != sms.ViaInternet
	in := mirror.Inbox{ID: m.ID, To: m.To, Subject: m.Subject, Text: m.Text, Files: m.Files, At: m.CreatedAt, BySMS: bySMS}
	if m.Author != nil {
		in.Name = m.Author.Name
	}
	c, err := b.DeliverTx(tx, "", in)
	if err != nil {
		return err
	}
	return b.o.Queue.InboxedTx(tx, m.ID, c)
}

package chat

import (
	"context"
	"database/sql"
	"errors"

	"github.com/oklog/ulid/v2"

	"gatewayd/db"
)

// Notes lists a conversation's notes, oldest first.
func (c *Chat) Notes(ctx context.Context, s Sender, id string) (notes []Note, err error) {
	notes = []Note{}
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		if _, err := c.theirs(r, s, id); err != nil {
			return err
		}
		notes, err = notesOf(r, id)
		return err
	})
	return notes, err
}

func notesOf(r db.Querier, id string) ([]Note, error) {
	rows, err := r.Query(`SELECT id, text, author, author_name, at FROM conversation_notes WHERE conversation = ? ORDER BY row`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	notes := []Note{}
	for rows.Next() {
		var n Note
		var at int64
		if err := rows.Scan(&n.ID, &n.Text, &n.Author, &n.AuthorName, &at); err != nil {
			return nil, err
		}
		n.At = fromMS(at)
		notes = append(notes, n)
	}
	return notes, rows.Err()
}

// notesAtMost is how many notes a conversation has.
const notesAtMost = 200

// AddNote writes one.
func (c *Chat) AddNote(s Sender, id, text string) (n Note, err error) {
	err = c.o.DB.Write(func(tx *db.Tx) error {
		if _, err := c.theirs(tx, s, id); err != nil {
			return err
		}
		var has int
		if err := tx.QueryRow(`SELECT count(*) FROM conversation_notes WHERE conversation = ?`, id).Scan(&has); err != nil {
			return err
		}
		if has >= notesAtMost {
			return fail(Limit, "", "This conversation has %d notes, and no more fit. Remove some.", has)
		}
		now := c.o.Now()
		n = Note{ID: "note_" + ulid.MustNew(ulid.Timestamp(now), c.ids).String(), Text: text, Author: s.ID, AuthorName: s.Name, At: fromMS(ms(now))}
		_, err := tx.Exec(`INSERT INTO conversation_notes (id, conversation, text, author, author_name, at) VALUES (?,?,?,?,?,?)`, n.ID, id, text, s.ID, s.Name, ms(now))
		return err
	})
	return n, err
}

// RemoveNote erases one.
func (c *Chat) RemoveNote(s Sender, id, note string) error {
	return c.o.DB.Write(func(tx *db.Tx) error {
		if _, err := c.theirs(tx, s, id); err != nil {
			return err
		}
		n, err := tx.Exec(`DELETE FROM conversation_notes WHERE conversation = ? AND id = ?`, id, note)
		if err == nil && n == 0 {
			err = fail(NotFound, "", "There is no such note.")
		}
		return err
	})
}

// Draft is what the sender has begun to write in a conversation; "": nothing.
func (c *Chat) Draft(ctx context.Context, s Sender, id string) (text string, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		if _, err := c.theirs(r, s, id); err != nil {
			return err
		}
		err := r.QueryRow(`SELECT text FROM conversation_drafts WHERE conversation = ? AND author = ?`, id, s.ID).Scan(&text)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return text, err
}

// SaveDraft keeps what the sender has begun to write, "" nothing.
func (c *Chat) SaveDraft(s Sender, id, text string) error {
	return c.o.DB.Write(func(tx *db.Tx) error {
		if _, err := c.theirs(tx, s, id); err != nil {
			return err
		}
		return c.putDraft(tx, id, s.ID, text)
	})
}

func (c *Chat) putDraft(tx *db.Tx, id, author, text string) error {
	if text == "" {
		_, err := tx.Exec(`DELETE FROM conversation_drafts WHERE conversation = ? AND author = ?`, id, author)
		return err
	}
	_, err := tx.Exec(`INSERT INTO conversation_drafts (conversation, author, text, at) VALUES (?,?,?,?)
		ON CONFLICT DO UPDATE SET text = excluded.text, at = excluded.at`, id, author, text, ms(c.o.Now()))
	return err
}

package queue

import (
	"database/sql"
	"encoding/json"
	"errors"

	"gatewayd/db"
	"gatewayd/sms"
)

// Erasure is what is being erased, for whoever keeps more about it in a table
// of its own.
type Erasure struct {
	// Number is whose messages these are; "": a message's text alone is erased.
	// With a number and no messages it is the last step: what is kept about the
	// number and belongs to none of its messages.
	Number   string
	Messages []ErasedMessage
}

// ErasedMessage is one whose row, or whose text, is erased.
type ErasedMessage struct {
	Row    int64
	ID     string
	Events []int64  // that tell of it, as far as they are in the log
	Files  []string // ids of the files that went with it
}

// Eraser erases what its package keeps of texts and numbers, in the transaction
// that erases them here.
type Eraser func(tx *db.Tx, e Erasure) error

// Exporter tells what its package keeps about a number and these of its
// messages, one row after the other; with none it tells what belongs to no message.
type Exporter func(r db.Querier, number string, messages []ErasedMessage, put func(row any) error) error

// OnErase has f called in every transaction that erases texts or numbers: when
// a message is redacted, a number erased, and when the history forgets. It is to
// be called before the queue is used.
func (q *Queue) OnErase(f Eraser) { q.erasers = append(q.erasers, f) }

// OnExport has f tell what it keeps about a number whenever that is exported, as
// the section of that name. It is to be called before the queue is used.
func (q *Queue) OnExport(section string, f Exporter) {
	q.exporters = append(q.exporters, exporter{section, f})
}

type exporter struct {
	section string
	tell    Exporter
}

// eraseJoined has the others erase what they keep. The messages are still there.
func (q *Queue) eraseJoined(tx *db.Tx, number string, found ...*record) error {
	if len(q.erasers) == 0 {
		return nil
	}
	e := Erasure{Number: number}
	for _, r := range found {
		m, err := withEvents(tx, r)
		if err != nil {
			return err
		}
		e.Messages = append(e.Messages, m)
	}
	for _, erase := range q.erasers {
		if err := erase(tx, e); err != nil {
			return err
		}
	}
	return nil
}

// eraseJoinedRow is eraseJoined of one message alone.
func (q *Queue) eraseJoinedRow(tx *db.Tx, row int64) error {
	if len(q.erasers) == 0 {
		return nil
	}
	r, err := load(tx, row)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return q.eraseJoined(tx, "", r)
}

func withEvents(r db.Querier, m *record) (ErasedMessage, error) {
	all := ErasedMessage{Row: m.Row, ID: m.ID}
	for _, f := range m.Files {
		all.Files = append(all.Files, f.ID)
	}
	for seq := m.lastEvent; seq != 0; {
		var prev sql.NullInt64
		err := r.QueryRow(`SELECT prev FROM events WHERE seq = ?`, seq).Scan(&prev)
		if errors.Is(err, sql.ErrNoRows) {
			break // pruned
		}
		if err != nil {
			return all, err
		}
		all.Events = append(all.Events, seq)
		seq = prev.Int64
	}
	return all, nil
}

// FilesOf tells the ids of all files that go with messages.
func (q *Queue) FilesOf(r db.Querier, see func(id string)) error {
	rows, err := r.Query(`SELECT files FROM messages WHERE files IS NOT NULL`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var b []byte
		var files []sms.File
		if err := rows.Scan(&b); err != nil {
			return err
		}
		if err := json.Unmarshal(b, &files); err != nil {
			return err
		}
		for _, f := range files {
			see(f.ID)
		}
	}
	return rows.Err()
}

// Charge books, in the transaction that accepts them, that so many messages are
// new: repetitions of what was accepted before are not. Its error refuses all.
type Charge func(tx *db.Tx, fresh int) error

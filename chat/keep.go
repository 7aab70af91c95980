package chat

import (
	"errors"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

// Exported is what is kept about a conversation besides its messages.
type Exported struct {
	ID        string    `json:"id"`
	SIM       string    `json:"sim"`
	State     State     `json:"state"`
	Mode      Mode      `json:"mode"`
	Name      string    `json:"name"`
	OurName   string    `json:"our_name"`
	Team      string    `json:"team"`
	Visitor   string    `json:"visitor"`
	Address   string    `json:"visitor_address"`
	Pending   string    `json:"pending"` // goes out once the phone says YES
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Notes     []Note    `json:"notes"`
	Drafts    []string  `json:"drafts"`
}

// export tells what is kept about a number and belongs to none of its messages.
func (c *Chat) export(r db.Querier, of string, messages []queue.ErasedMessage, put func(any) error) error {
	if len(messages) > 0 {
		return nil
	}
	found, err := all(r, `WHERE c.number = ? ORDER BY c.row`, of)
	if err != nil {
		return err
	}
	for _, e := range found {
		x := Exported{ID: e.ID, SIM: e.SIM, State: e.State, Mode: e.Mode, Name: e.Name, OurName: e.OurName, Team: e.Owner.Team, Visitor: e.Owner.Name,
			Address: e.Owner.Address, Pending: e.pending, CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, Drafts: []string{}}
		if x.Notes, err = notesOf(r, e.ID); err != nil {
			return err
		}
		if x.Drafts, err = draftsOf(r, e.ID); err != nil {
			return err
		}
		if err := put(x); err != nil {
			return err
		}
	}
	return nil
}

func draftsOf(r db.Querier, id string) ([]string, error) {
	rows, err := r.Query(`SELECT text FROM conversation_drafts WHERE conversation = ? ORDER BY author`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	texts := []string{}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, rows.Err()
}

// ShiftTx moves what conversations wait by along with the clock, in the caller's
// transaction: the clock is set by step to now, and began is when this run began by the
// clock as it was.
func (c *Chat) ShiftTx(tx *db.Tx, step time.Duration, began, now time.Time) error {
	for _, s := range []struct {
		query string
		args  []any
	}{
		{`UPDATE conversations SET active_at = active_at + ? WHERE active_at >= ?`, []any{step.Milliseconds(), ms(began)}},
		// What a run left in the future that never heard the time.
		{`UPDATE conversations SET active_at = ?1 WHERE active_at > ?1`, []any{ms(now)}},
	} {
		if _, err := tx.Exec(s.query, s.args...); err != nil {
			return err
		}
	}
	return shiftAbuse(tx, step, began)
}

// Restore makes the conversations of a restored database fit to go on with. With a
// replaced database, which the transaction sees, they are as they are there: who holds
// which SIM must not go back in time, or an answer lands in the window of somebody whose
// conversation is over; and none comes back that was erased.
func Restore(tx *db.Tx, replaced bool) error {
	if err := restoreAbuse(tx, replaced); err != nil {
		return err
	}
	if replaced {
		own := strings.ReplaceAll(columns, "c.", "")
		for _, query := range []string{
			`DELETE FROM conversations`,
			`INSERT INTO conversations (` + own + `) SELECT ` + own + ` FROM replaced.conversations`,
			`INSERT INTO conversation_notes (id, conversation, text, author, author_name, at)
				SELECT id, conversation, text, author, author_name, at FROM replaced.conversation_notes ORDER BY row`,
			`INSERT INTO conversation_drafts (conversation, author, text, at) SELECT conversation, author, text, at FROM replaced.conversation_drafts`,
			`DELETE FROM inbox_rules`,
			`INSERT INTO inbox_rules (position, keyword, sim, team, person) SELECT position, keyword, sim, team, person FROM replaced.inbox_rules`,
		} {
			if _, err := tx.Exec(query); err != nil {
				return err
			}
		}
	}
	// Messages of later are in the replaced database only.
	found, err := all(tx, ``)
	for _, e := range found {
		row, failed := queue.NewestRow(tx, e.ID)
		if failed == nil && row != e.lastRow {
			_, failed = tx.Exec(`UPDATE conversations SET last_message = ?1, read_up_to = min(read_up_to, ?1) WHERE row = ?2`, row, e.row)
		}
		err = errors.Join(err, failed)
	}
	return err
}

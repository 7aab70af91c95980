package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// Thread is a page of one conversation's messages, oldest first.
type Thread struct {
	Messages     []sms.Message
	Older, Newer bool // there are some before it, behind it
}

// ThreadOf returns up to limit messages of a conversation: those right before the row
// before, or right behind the row after; the newest with neither. Those alone that went,
// or came, by one of the ways in only, if there are any.
func ThreadOf(r db.Querier, conversation string, before, after int64, limit int, only ...sms.Via) (t Thread, err error) {
	query, order := `SELECT `+recordColumns+` FROM messages m WHERE m.conversation = ?`, "DESC"
	args := []any{conversation}
	if len(only) > 0 {
		list, err := json.Marshal(only)
		if err != nil {
			return t, err
		}
		query, args = query+` AND m.via IN (SELECT value FROM json_each(?))`, append(args, string(list))
	}
	if before > 0 {
		query, args = query+` AND m.row < ?`, append(args, before)
	}
	if after > 0 {
		query, args = query+` AND m.row > ?`, append(args, after)
		if before == 0 {
			order = "ASC"
		}
	}
	found, err := collect(r, query+` ORDER BY m.row `+order+` LIMIT ?`, append(args, limit+1)...)
	if err != nil {
		return t, err
	}
	more := len(found) > limit
	found = found[:min(limit, len(found))]
	if order == "DESC" {
		slices.Reverse(found)
		t.Older, t.Newer = more, before > 0
	} else {
		t.Older, t.Newer = true, more
	}
	t.Messages = messagesOf(found)
	return t, nil
}

func messagesOf(found []*record) []sms.Message {
	all := make([]sms.Message, len(found))
	for i, r := range found {
		all[i] = r.Message
	}
	return all
}

// MessagesAt returns the messages in these rows, as far as they are kept.
func MessagesAt(r db.Querier, rows []int64) (map[int64]*sms.Message, error) {
	list, err := json.Marshal(rows)
	if err != nil {
		return nil, err
	}
	found, err := collect(r, `SELECT `+recordColumns+` FROM messages m WHERE m.row IN (SELECT value FROM json_each(?))`, string(list))
	all := make(map[int64]*sms.Message, len(found))
	for _, f := range found {
		all[f.Row] = &f.Message
	}
	return all, err
}

// RowOf is the row of a message of a conversation, or ErrNotFound.
func RowOf(r db.Querier, conversation, id string) (row int64, err error) {
	err = r.QueryRow(`SELECT row FROM messages WHERE id = ? AND conversation = ?`, id, conversation).Scan(&row)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return row, err
}

// CountReceived counts what a conversation received behind a row.
func CountReceived(r db.Querier, conversation string, after int64) (n int, err error) {
	err = r.QueryRow(`SELECT count(*) FROM messages WHERE conversation = ? AND row > ? AND direction = 'inbound'`, conversation, after).Scan(&n)
	return n, err
}

// NewestRow is the row of a conversation's newest message; 0: it has none.
func NewestRow(r db.Querier, conversation string, but ...int64) (row int64, err error) {
	skip, err := json.Marshal(append([]int64{}, but...)) // of no list at all SQLite makes a NULL
	if err != nil {
		return 0, err
	}
	err = r.QueryRow(`SELECT coalesce(max(row), 0) FROM messages WHERE conversation = ? AND row NOT IN (SELECT value FROM json_each(?))`, conversation, string(skip)).Scan(&row)
	return row, err
}

// HasWritten tells whether a text from a number is kept, but for those in some conversations.
func HasWritten(r db.Querier, number string, but ...string) (yes bool, err error) {
	skip, err := json.Marshal(append([]string{}, but...))
	if err != nil {
		return false, err
	}
	err = r.QueryRow(`SELECT EXISTS (SELECT 1 FROM messages WHERE number = ? AND direction = 'inbound' AND coalesce(conversation, '') NOT IN (SELECT value FROM json_each(?)))`,
		number, string(skip)).Scan(&yes)
	return yes, err
}

// WroteSince tells whether a text from a number is kept that came at or after a time.
func WroteSince(r db.Querier, number string, since time.Time) (yes bool, err error) {
	err = r.QueryRow(`SELECT EXISTS (SELECT 1 FROM messages WHERE number = ? AND direction = 'inbound' AND created_at >= ?)`, number, toMS(since)).Scan(&yes)
	return yes, err
}

// KeptSIM is the SIM that a number wrote to or heard from last, and when, to within an
// hour; "": none.
func KeptSIM(r db.Querier, number string) (sim string, at time.Time, err error) {
	var ms int64
	err = r.QueryRow(`SELECT sim, at FROM senders WHERE number = ?`, number).Scan(&sim, &ms)
	if errors.Is(err, sql.ErrNoRows) {
		return "", time.Time{}, nil
	}
	return sim, fromMS(ms), err
}

// AdoptTx gives a conversation the newest messages, limit at most, that were exchanged
// with a number through a modem or its SIM's number and have none.
func (q *Queue) AdoptTx(tx *db.Tx, conversation, number, modem, local string, limit int) error {
	_, err := tx.Exec(`UPDATE messages SET conversation = ? WHERE row IN (SELECT row FROM messages
		WHERE number = ? AND conversation IS NULL AND (modem = ? OR local = ?) ORDER BY row DESC LIMIT ?)`, conversation, number, modem, local, limit)
	return err
}

// SubmittedAs is the message that a key has handed in under a client_id, as it is now;
// nil: there is none. One of another conversation is ErrKeyReused.
func SubmittedAs(r db.Querier, keyID, clientID, conversation string) (*sms.Message, error) {
	found, err := scanRecord(r.QueryRow(`SELECT `+recordColumns+` FROM messages m WHERE m.key_id = ? AND m.client_id = ?`, keyID, clientID))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	case found.Conversation != conversation:
		return nil, fmt.Errorf("client_id: %w", ErrKeyReused)
	}
	return &found.Message, nil
}

// SubmittedTo is the number that a key has handed something in for under a client_id; "":
// none.
func SubmittedTo(r db.Querier, keyID, clientID string) (number string, err error) {
	err = r.QueryRow(`SELECT number FROM messages WHERE key_id = ? AND client_id = ?`, keyID, clientID).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return number, err
}

// InvitationLost tells whether the last invitation of a conversation was not sent: the
// phone was never asked.
func InvitationLost(r db.Querier, conversation string) (lost bool, err error) {
	err = r.QueryRow(`SELECT status IN ('failed', 'expired', 'canceled', 'undelivered') FROM messages WHERE conversation = ? AND consent = ? ORDER BY row DESC LIMIT 1`,
		conversation, ConsentInvitation).Scan(&lost)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return lost, err
}

// ConversationsSaying are the conversations of which one of the newest messages, Reach
// of all that there are, has s in its text.
func ConversationsSaying(r db.Querier, s string) (ids []string, err error) {
	cond, args := inText(s)
	err = eachRow(r, `SELECT DISTINCT m.conversation FROM messages m WHERE m.row > (SELECT coalesce(max(row), 0) - ? FROM messages)
		AND m.conversation IS NOT NULL AND (`+cond+`)`, func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		ids = append(ids, id)
		return err
	}, append([]any{Reach}, args...)...)
	return ids, err
}

// inText selects what has s in its text, of what is shown.
func inText(s string) (string, []any) {
	var conds []string
	var args []any
	for i, form := range []string{s, strings.ToLower(s), strings.ToUpper(s)} {
		if i == 0 || form != s && !isASCII(s) {
			conds, args = append(conds, `m.text LIKE ? ESCAPE '\'`), append(args, "%"+likeEscapes.Replace(form)+"%")
		}
	}
	return `(m.redacted = 0 AND (` + strings.Join(conds, " OR ") + `))`, args
}

// StoppedAmong are those of these numbers that said STOP.
func StoppedAmong(r db.Querier, numbers []string) (map[string]bool, error) {
	list, err := json.Marshal(numbers)
	if err != nil {
		return nil, err
	}
	stopped := map[string]bool{}
	err = eachRow(r, `SELECT number FROM stop_list WHERE number IN (SELECT value FROM json_each(?))`, func(scan func(...any) error) error {
		var n string
		err := scan(&n)
		stopped[n] = true
		return err
	}, string(list))
	return stopped, err
}

// EraseTexts erases what a conversation's messages say. One that is still to be sent is
// ErrConflict, and nothing is erased.
func (q *Queue) EraseTexts(ctx context.Context, conversation string) error {
	for last := int64(0); ; {
		var found []int64
		err := q.db.Write(func(tx *db.Tx) error {
			found = nil
			var open int
			err := tx.QueryRow(`SELECT count(*) FROM messages WHERE conversation = ? AND status IN ('scheduled', 'queued', 'sending', 'unconfirmed')`, conversation).Scan(&open)
			if err == nil && open > 0 {
				err = Conflict("of this conversation's messages %d are still to be sent; cancel them first, or wait until they are over", open)
			}
			if err == nil {
				err = eachRow(tx, `SELECT row FROM messages WHERE conversation = ? AND row > ? AND redacted = 0 ORDER BY row LIMIT ?`, func(scan func(...any) error) error {
					var row int64
					err := scan(&row)
					found = append(found, row)
					return err
				}, conversation, last, slice)
			}
			for _, row := range found {
				if err == nil {
					err = q.eraseText(tx, row)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		if len(found) < slice {
			q.scrub(ctx)
			return nil
		}
		last = found[len(found)-1]
	}
}

// OptInsOf tells how the opt-ins of these conversations stand.
func (q *Queue) OptInsOf(r db.Querier, conversations []string) (map[string]*OptIn, error) {
	list, err := json.Marshal(conversations)
	if err != nil {
		return nil, err
	}
	found, err := optInsOf(r, `WHERE conversation IN (SELECT value FROM json_each(?))`, string(list))
	all := make(map[string]*OptIn, len(found))
	for i := range found {
		o := &found[i]
		o.Of = q.rules().PerOptIn
		all[o.conversation] = &o.OptIn
	}
	return all, err
}

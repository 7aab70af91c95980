package chat

import (
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"gatewayd/db"
	"gatewayd/sms"
)

// entry is a conversation as it is kept.
type entry struct {
	Conversation
	row       int64 // 0: it is not stored yet
	place     int64
	lastRow   int64 // of messages
	readUpTo  int64 // the same
	pending   string
	pendingBy *keptSender
	activeAt  time.Time
	deleted   bool

	disk told // as the log has told it
}

// keptSender is who wrote what waits for YES.
type keptSender struct {
	Kind     sms.AuthorKind `json:"kind"`
	ID       string         `json:"id"`
	Name     string         `json:"name"`
	SignOff  string         `json:"sign_off,omitempty"`
	Address  string         `json:"address,omitempty"`
	KeyID    string         `json:"key"`
	ClientID string         `json:"client_id,omitempty"`
	Mode     sms.Mode       `json:"mode,omitempty"` // of what waits, with what goes with it
	Subject  string         `json:"subject,omitempty"`
	Files    []string       `json:"files,omitempty"`
}

// letter is what waits for YES.
func (e *entry) letter() Letter {
	by := e.pendingBy
	return Letter{Text: e.pending, ClientID: by.ClientID, Mode: by.Mode, Subject: by.Subject, Files: by.Files}
}

// told is what an event tells of a conversation.
type told struct {
	ID         string  `json:"id"`
	State      State   `json:"state"`
	Unread     int     `json:"unread"`
	AssignedTo *string `json:"assigned_to"`
}

// MarshalJSON writes what outlives what people said: no number, no name, no text.
func (t told) MarshalJSON() ([]byte, error) {
	type plain told
	return json.Marshal(plain(t))
}

func (e *entry) told() told {
	t := told{ID: e.ID, State: e.State, Unread: e.Unread}
	if e.AssignedTo != "" {
		t.AssignedTo = &e.AssignedTo
	}
	return t
}

func (t told) same(u told) bool {
	return t.State == u.State && t.Unread == u.Unread && value(t.AssignedTo) == value(u.AssignedTo)
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

const columns = `c.row, c.id, c.place, c.number, c.sim, c.modem, c.local, c.name, c.our_name, c.mode, c.state, c.reason, c.team,
	c.visitor, c.visitor_name, c.visitor_address, c.widget, c.assigned_to, c.unread, c.read_up_to, c.last_message, c.begun,
	c.pending, c.pending_by, c.created_at, c.updated_at, c.active_at, c.closed_at, c.deleted`

func scan(row interface{ Scan(...any) error }) (*entry, error) {
	var e entry
	var pending, by sql.NullString
	var created, updated, active int64
	var closed sql.NullInt64
	err := row.Scan(&e.row, &e.ID, &e.place, &e.Number, &e.SIM, &e.Modem, &e.Local, &e.Name, &e.OurName, &e.Mode, &e.State, &e.Reason, &e.Owner.Team,
		&e.Owner.Visitor, &e.Owner.Name, &e.Owner.Address, &e.Owner.Widget, &e.AssignedTo, &e.Unread, &e.readUpTo, &e.lastRow, &e.Begun,
		&pending, &by, &created, &updated, &active, &closed, &e.deleted)
	if err != nil {
		return nil, err
	}
	e.CreatedAt, e.UpdatedAt, e.activeAt = fromMS(created), fromMS(updated), fromMS(active)
	if closed.Valid {
		e.ClosedAt = fromMS(closed.Int64)
	}
	if e.pending = pending.String; by.Valid {
		e.pendingBy = &keptSender{}
		if err := json.Unmarshal([]byte(by.String), e.pendingBy); err != nil {
			return nil, err
		}
	}
	e.Waiting = e.pending != ""
	e.disk = e.told()
	return &e, nil
}

// one reads the conversation that the words behind the table select; nil: there is none.
func one(r db.Querier, where string, args ...any) (*entry, error) {
	e, err := scan(r.QueryRow(`SELECT `+columns+` FROM conversations c `+where, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return e, err
}

func all(r db.Querier, where string, args ...any) (found []*entry, err error) {
	rows, err := r.Query(`SELECT `+columns+` FROM conversations c `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, rows.Err()
}

func byID(r db.Querier, id string) (*entry, error) {
	return one(r, `WHERE c.id = ? AND c.deleted = 0`, id)
}

// liveOn is the conversation that is not closed with a number through a SIM.
func liveOn(r db.Querier, number, sim string) (*entry, error) {
	return one(r, `WHERE c.number = ? AND c.sim = ? AND c.state <> 'closed'`, number, sim)
}

// save writes a conversation and the event that tells what is different.
func (c *Chat) save(tx *db.Tx, e *entry) (err error) {
	by, err := e.keptBy()
	if err != nil {
		return err
	}
	kind := sms.EventConversationUpdated
	if e.row == 0 {
		kind = sms.EventConversationNew
		if e.ID == "" {
			e.ID = "conv_" + ulid.MustNew(ulid.Timestamp(e.CreatedAt), c.ids).String()
		}
		e.place = c.nextPlace()
		e.row, err = tx.Insert(`INSERT INTO conversations (id, place, number, sim, modem, local, mode, state, team, visitor, visitor_name, visitor_address, widget, begun,
			created_at, updated_at, active_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`, e.ID, e.place, e.Number, e.SIM, e.Modem, e.Local, e.Mode, e.State, e.Owner.Team,
			e.Owner.Visitor, e.Owner.Name, e.Owner.Address, e.Owner.Widget, e.Begun, ms(e.CreatedAt), ms(e.UpdatedAt), ms(e.activeAt))
		if err != nil {
			return err
		}
	}
	if e.State == StateClosed && e.ClosedAt.IsZero() {
		e.ClosedAt = c.o.Now()
	} else if e.State != StateClosed {
		e.ClosedAt = time.Time{}
	}
	_, err = tx.Exec(`UPDATE conversations SET place=?, modem=?, local=?, name=?, our_name=?, mode=?, state=?, reason=?, assigned_to=?, unread=?, read_up_to=?,
		last_message=?, pending=?, pending_by=?, updated_at=?, active_at=?, closed_at=?, deleted=? WHERE row=?`, e.place, e.Modem, e.Local, e.Name, e.OurName, e.Mode,
		e.State, e.Reason, e.AssignedTo, e.Unread, e.readUpTo, e.lastRow, orNull(e.pending), by, ms(e.UpdatedAt), ms(e.activeAt), msOrNull(e.ClosedAt), e.deleted, e.row)
	if err != nil {
		return err
	}
	c.remember(tx, e)
	now := e.told()
	if kind == sms.EventConversationUpdated && now.same(e.disk) {
		return nil
	}
	e.disk = now
	return c.o.Queue.AppendTx(tx, kind, now)
}

func (e *entry) keptBy() (any, error) {
	if e.Waiting = e.pending != ""; !e.Waiting {
		e.pendingBy = nil
	}
	if e.pendingBy == nil {
		return nil, nil
	}
	b, err := json.Marshal(e.pendingBy)
	return string(b), err
}

// stir puts a conversation first in its lists: something was said in it, or it came to
// another state.
func (c *Chat) stir(e *entry) {
	e.UpdatedAt, e.activeAt = c.o.Now(), c.o.Now()
	if e.row != 0 {
		e.place = c.nextPlace()
	}
}

func (c *Chat) nextPlace() int64 {
	c.lastPlace++
	return c.lastPlace
}

// ref is what is kept in memory of a team's conversation that is not closed.
type ref struct{ id, modem string }

// remember keeps what OnSubmit needs, as the transaction has it.
func (c *Chat) remember(tx *db.Tx, e *entry) {
	if e.Owner.Visitor != "" {
		return
	}
	before := c.live[e.Number]
	now := slices.DeleteFunc(slices.Clone(before), func(r ref) bool { return r.id == e.ID })
	if e.State != StateClosed && e.State != StateBlocked && !e.deleted {
		now = append(now, ref{e.ID, e.Modem}) // the last is the one of which something was said last
	}
	set := func(refs []ref) {
		if len(refs) == 0 {
			delete(c.live, e.Number)
		} else {
			c.live[e.Number] = refs
		}
	}
	set(now)
	tx.OnRollback(func() { set(before) })
}

func ms(t time.Time) int64     { return t.UnixMilli() }
func fromMS(n int64) time.Time { return time.UnixMilli(n).UTC() }
func msOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return ms(t)
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

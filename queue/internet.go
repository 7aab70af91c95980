package queue

import (
	"database/sql"
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// Reply is a message that came by internet: somebody wrote it in an inbox of the hub.
type Reply struct {
	ID    string
	From  string
	Name  string
	Text  string
	Files []sms.File
	At    time.Time
	To    string // the message that it answers; "": none in particular
}

// CopiedTx notes what became of the internet copy of a message that went by SMS, and tells
// it.
func (q *Queue) CopiedTx(tx *db.Tx, id string, c sms.Copy) error {
	r, err := loadID(tx, id)
	if errors.Is(err, ErrNotFound) || err == nil && (r.Copy == "" || r.Copy == c || r.Copy == sms.CopySent) {
		return nil
	}
	if err != nil {
		return err
	}
	r.Copy = c
	return q.tell(tx, r, sms.EventCopied, q.o.Now())
}

// InternetTx notes what became of a message that goes by internet: Sent, Delivered or
// Failed. What it has passed already changes nothing.
func (q *Queue) InternetTx(tx *db.Tx, id string, status sms.Status, why *sms.Error) error {
	r, err := loadID(tx, id)
	if errors.Is(err, ErrNotFound) || err == nil && r.Via != sms.ViaInternet {
		return nil
	}
	if err != nil {
		return err
	}
	now := q.o.Now()
	way, _ := wayTo(r.Status, status, true)
	for _, next := range way {
		switch next {
		case sms.Sent:
			r.SentAt, r.Error = now, nil
		case sms.Delivered:
			r.DeliveredAt = now
		default:
			r.Error = why
		}
		if err := q.step(tx, r, next, now); err != nil {
			return err
		}
	}
	return nil
}

// InboxedTx notes what an inbox says of a message: of the copy of one that went by SMS, or of
// one that goes by internet alone.
func (q *Queue) InboxedTx(tx *db.Tx, id string, c sms.Copy) error {
	if err := q.CopiedTx(tx, id, c); err != nil {
		return err
	}
	switch c {
	case sms.CopySent:
		return q.InternetTx(tx, id, sms.Sent, nil)
	case sms.CopyNoInbox:
		return q.InternetTx(tx, id, sms.Failed, &sms.Error{Code: "no-inbox", Title: "The recipient has no inbox",
			Detail: "Nobody has opened an inbox for this number on the hub. Send it by SMS.", Class: sms.Permanent})
	case sms.CopyOptedOut:
		return q.InternetTx(tx, id, sms.Failed, optedOut())
	}
	return nil
}

// elsewhereKept is the direction, in the table of what a gateway has in common with its
// hub, of what is in no ring of the hub's.
const elsewhereKept = ""

// ReplyTx stores a message that came by internet, in the conversation of the one that it
// answers. Told again it changes nothing. ErrInboundFull: not now.
func (q *Queue) ReplyTx(tx *db.Tx, m Reply) error {
	now := q.o.Now()
	n, err := tx.Exec(`INSERT OR IGNORE INTO mirrored (id, direction, at) VALUES (?,?,?)`, m.ID, elsewhereKept, toMS(now))
	if err != nil || n == 0 {
		return err
	}
	if err := q.db.Room(); err != nil {
		return err
	}
	r := &record{slot: -1, concatRef: -1, Message: sms.Message{ID: m.ID, Direction: sms.Inbound, Status: sms.Received, Kind: sms.KindText, From: m.From,
		Text: m.Text, Files: m.Files, Via: sms.ViaInternet, SentAt: m.At}}
	a := arrival{dialled: true, at: m.At}
	err = tx.QueryRow(`SELECT coalesce(m.conversation, ''), m.local, m.modem, coalesce((SELECT p.sim FROM parts p WHERE p.message = m.row ORDER BY p.sent_at DESC LIMIT 1), '')
		FROM messages m WHERE m.id = ? AND m.number = ?`, m.To, m.From).Scan(&r.Conversation, &r.To, &r.Modem, &a.sim)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err == nil && a.sim == "" {
		err = tx.QueryRow(`SELECT coalesce(max(sim), '') FROM senders WHERE number = ?`, m.From).Scan(&a.sim)
	}
	if err != nil {
		return err
	}
	if err := q.storeAs(tx, r, a); err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE mirrored SET message = ? WHERE id = ?`, r.Row, m.ID)
	return err
}

package queue

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// Cancel cancels a message that no modem was handed yet; else ErrConflict.
func (q *Queue) Cancel(ctx context.Context, id string) (*sms.Message, error) {
	var m sms.Message
	err := q.write(func(tx *db.Tx) error {
		r, err := loadID(tx, id)
		if err != nil {
			return err
		}
		var started int
		if err := tx.QueryRow(`SELECT count(*) FROM parts WHERE message = ? AND confirmed_at IS NOT NULL`, r.Row).Scan(&started); err != nil {
			return err
		}
		if q.o.Hub && r.relay != relayNone && !isOver(r.Status) {
			return Conflict("message %s is with the gateway %s, or on its way there: it can be canceled while that one is connected", id, r.Gateway)
		}
		if r.held > 0 {
			err := q.cancelHeld(tx, r, q.o.Now())
			m = r.Message
			return err
		}
		if started > 0 || r.PossibleDuplicate || !r.Status.CanBecome(sms.Canceled) {
			return Conflict("message %s is %s and was handed to a modem", id, r.Status)
		}
		if err := q.step(tx, r, sms.Canceled, q.o.Now()); err != nil {
			return err
		}
		m = r.Message
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &m, nil
}

// Redact erases the text of a message. A message that is still to be sent
// can't be redacted: ErrConflict (cancel it first).
func (q *Queue) Redact(ctx context.Context, id string) (*sms.Message, error) {
	var m sms.Message
	err := q.write(func(tx *db.Tx) error {
		r, err := loadID(tx, id)
		if err != nil {
			return err
		}
		switch r.Status {
		case sms.Scheduled, sms.Queued, sms.Sending, sms.Unconfirmed:
			return Conflict("message %s is %s, its text is still needed; cancel it first", id, r.Status)
		}
		r.Text, r.Data, r.Redacted = "", nil, true
		r.Push, r.MMS, r.Waiting = nil, nil, nil
		m = r.Message
		return q.eraseText(tx, r.Row)
	})
	if err != nil {
		return nil, err
	}
	q.scrub(ctx)
	return &m, nil
}

// scrub has the write-ahead log forget what was erased.
func (q *Queue) scrub(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := q.db.Scrub(ctx); err != nil {
		q.log.Warn("what was erased is still in the database's log; it is overwritten with time", "error", err)
	}
}

// eraseText erases what a message says, wherever it is kept.
func (q *Queue) eraseText(tx *db.Tx, row int64) error {
	if err := q.eraseJoinedRow(tx, row); err != nil {
		return err
	}
	return eraseText(tx, row)
}

// eraseText is for a database that nobody else has joined yet.
func eraseText(tx *db.Tx, row int64) error {
	if _, err := tx.Exec(`UPDATE messages SET text = NULL, data = NULL, udh = NULL, details = NULL, subject = NULL, files = NULL, redacted = 1 WHERE row = ?`, row); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE received_pdus SET pdu = x'' WHERE message = ?`, row)
	return err
}

// EraseNumber erases everything kept about a number except its consent
// entries, and returns how many messages that were. Messages still waiting for
// a modem are erased too; one that a modem has in hand gives ErrConflict.
func (q *Queue) EraseNumber(ctx context.Context, of string) (int, error) {
	count := 0
	if err := q.writeOut(everything); err != nil { // so that it is in no batch either
		return 0, err
	}
	for n := int64(slice); n == slice; {
		if err := ctx.Err(); err != nil {
			return count, err
		}
		err := q.write(func(tx *db.Tx) (err error) {
			n, err = q.eraseMessages(tx, of, q.o.Now())
			return err
		})
		if err != nil {
			return count, err
		}
		count += int(n)
	}
	err := q.eraseLoose(ctx, of)
	q.scrub(ctx)
	return count, err
}

// eraseMessages erases a slice of a number's messages, and with them their
// parts, events and PDUs.
func (q *Queue) eraseMessages(tx *db.Tx, of string, now time.Time) (int64, error) {
	var busy int
	err := tx.QueryRow(`SELECT count(*) FROM messages WHERE number = ? AND status IN ('sending', 'unconfirmed')`, of).Scan(&busy)
	if err != nil {
		return 0, err
	}
	switch {
	case busy == 1:
		return 0, Conflict("a message to this number is with a modem; try again in a few minutes")
	case busy > 1:
		return 0, Conflict("%d messages to this number are with a modem; try again in a few minutes", busy)
	}
	// What is in common with a hub, or with a gateway, is not erased at one end alone while
	// the other counts on it.
	var away, unheard int
	err = tx.QueryRow(`SELECT count(*) FILTER (WHERE relay > 0 AND status IN ('scheduled', 'queued')), count(*) FILTER (WHERE `+untold+`) FROM messages WHERE number = ?`, of).Scan(&away, &unheard)
	switch {
	case err != nil:
		return 0, err
	case away > 0 && q.o.Hub:
		return 0, Conflict("messages to this number are with gateways or on their way there (%d): cancel them first, or wait until they are sent", away)
	case away > 0:
		return 0, Conflict("messages to this number came from the hub and are not sent yet (%d): cancel them first, or wait until they are sent", away)
	case unheard > 0:
		return 0, Conflict("the hub has not heard yet what became of messages to this number (%d): try again once the gateway is connected to it", unheard)
	}
	found, err := collect(tx, `SELECT `+recordColumns+` FROM messages m WHERE m.number = ? ORDER BY m.row LIMIT ?`, of, slice)
	if err != nil {
		return 0, err
	}
	if len(found) > 0 {
		if err := q.eraseJoined(tx, of, found...); err != nil {
			return 0, err
		}
	}
	for _, r := range found {
		if r.Direction == sms.Inbound {
			err = q.freeInbound(tx, r.lastEvent, now)
		} else if r.slot >= 0 {
			err = q.out.set(tx, processed, r.slot, now)
		}
		if err != nil {
			return 0, err
		}
		if err := q.eraseMessage(tx, r.Row, r.lastEvent); err != nil {
			return 0, err
		}
		q.count(tx, r.Status, -1)
	}
	return int64(len(found)), nil
}

// eraseMessage erases a message with its events; what else is about it goes
// with its row.
func (q *Queue) eraseMessage(tx *db.Tx, row, lastEvent int64) error {
	if err := q.eraseEvents(tx, lastEvent); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM messages WHERE row = ?`, row)
	return err
}

// freeInbound gives back the slot of a received message that is erased before
// all readers have passed it.
func (q *Queue) freeInbound(tx *db.Tx, event int64, now time.Time) error {
	address, err := inboundSlot(tx, event)
	if err != nil || address < 0 {
		return err
	}
	return q.in.set(tx, processed, address, now)
}

// inboundSlot is the address of the slot of the received message that an event tells; -1:
// it has none any more.
func inboundSlot(r db.Querier, event int64) (address int, err error) {
	err = r.QueryRow(`SELECT address FROM inbound_ring WHERE processed IS NULL AND event = ?`, event).Scan(&address)
	if errors.Is(err, sql.ErrNoRows) {
		return -1, nil
	}
	return address, err
}

// eraseLoose erases what is kept about a number and belongs to none of its
// messages: PDUs of texts that are not complete, repeated ones, reports of
// nothing, calls, and that somebody else's message, the network's, told of an MMS.
func (q *Queue) eraseLoose(ctx context.Context, of string) error {
	l, err := q.looseOf(ctx, of)
	if err != nil {
		return err
	}
	for rows := range slices.Chunk(l.pdus, slice) {
		if err := q.db.Write(func(tx *db.Tx) error { return execEach(tx, `DELETE FROM received_pdus WHERE row = ?`, rows) }); err != nil {
			return err
		}
	}
	for rows := range slices.Chunk(l.told, slice) {
		err := q.db.Write(func(tx *db.Tx) error {
			for _, row := range rows {
				if err := q.eraseText(tx, row); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for rows := range slices.Chunk(l.calls, slice) {
		err := q.db.Write(func(tx *db.Tx) error {
			return errors.Join(execEach(tx, `DELETE FROM events WHERE seq = ?`, rows), q.keepSequence(tx))
		})
		if err != nil {
			return err
		}
	}
	return q.write(func(tx *db.Tx) error {
		for _, query := range []string{`DELETE FROM concat_refs WHERE number = ?`, `DELETE FROM senders WHERE number = ?`} {
			if _, err := tx.Exec(query, of); err != nil {
				return err
			}
		}
		if err := errors.Join(forgetRecipient(tx, of), q.forgetConsent(tx, of)); err != nil {
			return err
		}
		if err := q.eraseJoined(tx, of); err != nil {
			return err
		}
		return execEach(tx, `DELETE FROM early_reports WHERE row = ?`, l.reports)
	})
}

// each reads a query of a row and something.
func each(r db.Querier, query string, do func(row int64, v []byte)) error {
	rows, err := r.Query(query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var row int64
		var v []byte
		if err := rows.Scan(&row, &v); err != nil {
			return err
		}
		do(row, v)
	}
	return rows.Err()
}

func execEach(tx *db.Tx, query string, rows []int64) error {
	for _, row := range rows {
		if _, err := tx.Exec(query, row); err != nil {
			return err
		}
	}
	return nil
}

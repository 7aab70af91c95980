package queue

import (
	"context"
	"fmt"

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
		if started > 0 || r.PossibleDuplicate || !r.Status.CanBecome(sms.Canceled) {
			return fmt.Errorf("message %s is %s and was handed to a modem: %w", id, r.Status, ErrConflict)
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
			return fmt.Errorf("message %s is %s, its text is still needed; cancel it first: %w", id, r.Status, ErrConflict)
		}
		r.Text, r.Data, r.Redacted = "", nil, true
		m = r.Message
		return eraseText(tx, r.Row)
	})
	if err != nil {
		return nil, err
	}
	return &m, nil
}

// eraseText erases what a message says, wherever it is kept.
func eraseText(tx *db.Tx, row int64) error {
	if _, err := tx.Exec(`UPDATE messages SET text = NULL, data = NULL, redacted = 1 WHERE row = ?`, row); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE received_pdus SET pdu = x'' WHERE message = ?`, row)
	return err
}

// EraseNumber erases everything kept about a number except its consent
// entries, and returns how many messages that were. Messages still waiting for
// a modem are erased too; one that a modem has in hand gives ErrConflict.
func (q *Queue) EraseNumber(ctx context.Context, number string) (int, error) {
	var count int
	err := q.write(func(tx *db.Tx) error {
		var busy int
		err := tx.QueryRow(`SELECT count(*) FROM messages WHERE number = ? AND status IN ('sending', 'unconfirmed')`, number).Scan(&busy)
		if err != nil {
			return err
		}
		if busy > 0 {
			return fmt.Errorf("%d messages to this number are with a modem; try again in a few minutes: %w", busy, ErrConflict)
		}
		now := q.o.Now()
		for _, ring := range []*ring{q.out, q.in} {
			if _, err := tx.Exec(`UPDATE `+ring.table+` SET processed = ? WHERE processed IS NULL AND message IN
				(SELECT row FROM messages WHERE number = ?)`, toMS(now), number); err != nil {
				return err
			}
		}
		for _, query := range []string{
			// Parts, events and PDUs go with their message; parts of a longer
			// text that is not complete have none yet.
			`DELETE FROM received_pdus WHERE message IS NULL AND set_key LIKE '% ' || ? || ' %'`,
			`DELETE FROM concat_refs WHERE number = ?`,
			`DELETE FROM senders WHERE number = ?`,
			`DELETE FROM early_reports WHERE number = ?`,
		} {
			if _, err := tx.Exec(query, number); err != nil {
				return err
			}
		}
		n, err := tx.Exec(`DELETE FROM messages WHERE number = ?`, number)
		count = int(n)
		return err
	})
	return count, err
}

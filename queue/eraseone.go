package queue

import (
	"context"

	"gatewayd/db"
	"gatewayd/sms"
)

// EraseMessage erases one message and all that is kept about it. One that is
// still to be sent can't be erased: ErrConflict (cancel it first).
func (q *Queue) EraseMessage(ctx context.Context, id string) error {
	err := q.write(func(tx *db.Tx) error {
		r, err := loadID(tx, id)
		if err != nil {
			return err
		}
		switch r.Status {
		case sms.Scheduled, sms.Queued, sms.Sending, sms.Unconfirmed:
			return Conflict("message %s is %s; cancel it first, or wait until it is over", id, r.Status)
		}
		var unheard bool
		if err := tx.QueryRow(`SELECT `+untold+` FROM messages WHERE row = ?`, r.Row).Scan(&unheard); err != nil {
			return err
		}
		if unheard {
			return Conflict("the hub has not heard yet what became of message %s: try again once the gateway is connected to it", id)
		}
		if err := q.eraseJoined(tx, r.number(), r); err != nil {
			return err
		}
		now := q.o.Now()
		if r.Direction == sms.Inbound {
			err = q.freeInbound(tx, r.lastEvent, now)
		} else if r.slot >= 0 { // it waits for a report
			err = q.out.set(tx, processed, r.slot, now)
		}
		if err != nil {
			return err
		}
		q.count(tx, r.Status, -1)
		return q.eraseMessage(tx, r.Row, r.lastEvent)
	})
	if err != nil {
		return err
	}
	q.scrub(ctx)
	return nil
}

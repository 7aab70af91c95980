package queue

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/failpoint"
	"gatewayd/sms"
)

// slice is how many rows one commit of the slow work takes, so that a modem
// never waits long for its own.
const slice = 100

// recover settles what the last run left: no pointer is trusted, every slot
// that is sent and not confirmed counts. One whose every started part is confirmed
// goes on with the next; any other may or may not have gone out.
func (q *Queue) recover() error {
	for {
		var n int
		err := q.write(func(tx *db.Tx) error {
			now := q.o.Now()
			found, err := collect(tx, `SELECT `+recordColumns+` FROM outbound_ring o JOIN messages m ON m.row = o.message
				WHERE o.processed IS NULL AND o.sent IS NOT NULL AND o.confirmed IS NULL AND m.status = 'sending' ORDER BY m.queued_seq LIMIT ?`, slice)
			if err != nil {
				return err
			}
			n = len(found)
			for _, r := range found {
				if err := q.recoverOne(tx, r, now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

func (q *Queue) recoverOne(tx *db.Tx, r *record, now time.Time) error {
	var doubtful int
	err := tx.QueryRow(`SELECT coalesce(min(number), 0) FROM parts WHERE message = ? AND confirmed_at IS NULL`, r.Row).Scan(&doubtful)
	if err != nil {
		return err
	}
	if doubtful == 0 {
		return q.step(tx, r, sms.Queued, now)
	}
	if r.PossibleDuplicate && r.resendsLeft == 0 && !r.extraResend {
		// It was our own end that cut the resend off, so it is granted again, once.
		r.resendsLeft, r.extraResend = 1, true
	}
	r.Error = unconfirmed("The gateway was stopped or lost power while the modem had the message: it may or may not have gone out.")
	return q.doubt(tx, r, doubtful, now)
}

// ReleaseDue makes scheduled messages wait for a modem once their send_at has
// come, and returns the time of the next one, zero if there is none.
func (q *Queue) ReleaseDue(now time.Time) (time.Time, error) {
	if !q.o.Trusted() {
		return time.Time{}, nil
	}
	return q.sweep(now, `m.status = 'scheduled' AND m.held = 0 AND m.send_at <= ? ORDER BY m.send_at`,
		`SELECT min(send_at) FROM messages WHERE status = 'scheduled' AND held = 0`, 0,
		func(tx *db.Tx, r *record) error { return q.step(tx, r, sms.Queued, now) })
}

// ExpireDue ends messages whose expires_at has come before a modem had them,
// and returns the time of the next one, zero if there is none.
func (q *Queue) ExpireDue(now time.Time) (time.Time, error) {
	if !q.o.Trusted() {
		return time.Time{}, nil
	}
	here := ""
	if q.o.Hub { // the others are withdrawn first, see ExpireRelayed
		here = ` AND relay = 0`
	}
	return q.sweep(now, `m.status IN ('scheduled', 'queued') AND m.expires_at IS NOT NULL`+here+` AND m.expires_at <= ? ORDER BY m.expires_at`,
		`SELECT min(expires_at) FROM messages WHERE status IN ('scheduled', 'queued') AND expires_at IS NOT NULL`+here, 0,
		func(tx *db.Tx, r *record) error { return q.expire(tx, r, now) })
}

func (q *Queue) expire(tx *db.Tx, r *record, now time.Time) error {
	if r.PossibleDuplicate {
		// It may have gone out before, and a report may still tell.
		r.Error = unconfirmed("Its first answer was lost, and expires_at came before it could be sent again.")
		return q.step(tx, r, sms.Failed, now)
	}
	detail := "No modem could send it in time."
	if q.o.Hub {
		detail = "No gateway could take it in time."
	}
	if r.held == mayHaveGone {
		if started, err := wasStarted(tx, r); err != nil {
			return err
		} else if started {
			r.Error = unconfirmed("A modem had it before the backup was made that was restored, and expires_at came before it was released.")
			return q.step(tx, r, sms.Failed, now)
		}
		detail = "Nobody released it in time after a backup was restored. It may have gone out between the backup and the restore."
	}
	if r.Error != nil {
		detail += " The last attempt: " + r.Error.Title + " (" + r.Error.Code + ")."
	}
	r.Error = &sms.Error{Code: "expired", Title: "It was not sent before expires_at", Detail: detail}
	return q.step(tx, r, sms.Expired, now)
}

// SettleUnconfirmed decides messages whose unconfirmed_wait is over, by their
// own on_unconfirmed, and returns the time of the next one, zero if none.
func (q *Queue) SettleUnconfirmed(now time.Time) (time.Time, error) {
	if q.o.Hub {
		return time.Time{}, nil // the gateways do
	}
	return q.sweep(now, `m.status = 'unconfirmed' AND m.unconfirmed_at <= ? ORDER BY m.unconfirmed_at`,
		`SELECT min(unconfirmed_at) FROM messages WHERE status = 'unconfirmed'`, q.o.UnconfirmedWait,
		func(tx *db.Tx, r *record) error {
			failpoint.Hit("queue.settle-unconfirmed")
			if r.OnUnconfirmed == sms.Fail || r.resendsLeft <= 0 {
				return q.step(tx, r, sms.Failed, now)
			}
			r.resendsLeft--
			r.PossibleDuplicate = true
			return q.step(tx, r, sms.Queued, now)
		})
}

// sweep applies each to the messages that where selects as due at now-wait,
// slice by slice, and then asks when the next is due.
func (q *Queue) sweep(now time.Time, where, next string, wait time.Duration, each func(*db.Tx, *record) error) (time.Time, error) {
	due := toMS(now.Add(-wait))
	for n := slice; n == slice; {
		// Looking costs no commit; most of the time nothing is due.
		at, err := q.earliest(next)
		if err != nil || at.IsZero() || toMS(at) > due {
			if at.IsZero() {
				return at, err
			}
			return at.Add(wait), err
		}
		err = q.write(func(tx *db.Tx) error {
			found, err := collect(tx, `SELECT `+recordColumns+` FROM messages m WHERE `+where+` LIMIT ?`, due, slice)
			if err != nil {
				return err
			}
			n = len(found)
			for _, r := range found {
				if err := each(tx, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return time.Time{}, err
		}
		failpoint.Hit("queue.settled")
	}
	at, err := q.earliest(next)
	if at.IsZero() {
		return at, err
	}
	return at.Add(wait), err
}

func (q *Queue) earliest(query string) (time.Time, error) {
	var at sql.NullInt64
	err := q.db.Read(context.Background(), func(r db.Querier) error { return r.QueryRow(query).Scan(&at) })
	return fromNull(at), err
}

// FreeReported gives back the slots of sent messages whose report_wait is
// over; a report may still come and is booked then. It returns the time of the
// next one, zero if none.
func (q *Queue) FreeReported(now time.Time) (time.Time, error) {
	const confirmedSlots = `FROM outbound_ring WHERE processed IS NULL AND confirmed IS NOT NULL`
	oldest, find := `SELECT min(confirmed) `+confirmedSlots, `SELECT address, message `+confirmedSlots+` AND confirmed <= ? ORDER BY confirmed LIMIT ?`
	if q.o.Hub { // where they wait since the gateway has told that they were sent
		const sentSlots = `FROM outbound_ring o JOIN messages m ON m.row = o.message WHERE o.processed IS NULL AND o.confirmed IS NOT NULL AND m.status = 'sent'`
		oldest, find = `SELECT min(m.updated_at) `+sentSlots, `SELECT o.address, o.message `+sentSlots+` AND m.updated_at <= ? ORDER BY m.updated_at LIMIT ?`
	}
	due := toMS(now.Add(-q.o.ReportWait))
	for {
		at, err := q.earliest(oldest)
		if err != nil || at.IsZero() {
			return at, err
		}
		if toMS(at) > due {
			return at.Add(q.o.ReportWait), nil
		}
		err = q.db.Write(func(tx *db.Tx) error {
			rows, err := tx.Query(find, due, slice)
			if err != nil {
				return err
			}
			defer rows.Close()
			slots := map[int]int64{}
			for rows.Next() {
				var address int
				var message int64
				if err := rows.Scan(&address, &message); err != nil {
					return err
				}
				slots[address] = message
			}
			if err := rows.Err(); err != nil {
				return err
			}
			for address, message := range slots {
				if err := q.out.set(tx, processed, address, now); err != nil {
					return err
				}
				if _, err := tx.Exec(`UPDATE messages SET slot = NULL WHERE row = ?`, message); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return time.Time{}, fmt.Errorf("queue: slots of reported messages: %w", err)
		}
	}
}

// PassInbound frees inbound slots when no durable reader follows the log:
// with one, its own progress does it.
func (q *Queue) PassInbound() error {
	return q.db.Write(func(tx *db.Tx) error { return q.passInbound(tx, q.o.Now()) })
}

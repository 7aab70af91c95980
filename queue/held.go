package queue

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// What a message was when it was restored; see the table.
const (
	notGone     = 1
	mayHaveGone = 2
)

// Verdict on what is held since a backup was restored.
type HeldVerdict string

// The verdicts.
const (
	Release HeldVerdict = "release" // it is sent now, marked if it may have gone out before
	Cancel  HeldVerdict = "cancel"  // it is not sent
)

// ErrNothingHeld means that no restored message waits for a verdict.
var ErrNothingHeld = errors.New("nothing is held")

// Decide notes the verdict on what is held. The daemon carries it out: now, if
// it runs, else when it starts.
func Decide(d *db.DB, v HeldVerdict) error {
	return d.Write(func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE restores SET verdict = ? WHERE row = (SELECT max(row) FROM restores)`, v)
		if err == nil && n == 0 {
			err = ErrNothingHeld
		}
		return err
	})
}

// Held counts the messages that are held in d, and tells the verdict on them.
func Held(ctx context.Context, d *db.DB) (n int, v HeldVerdict, err error) {
	err = d.Read(ctx, func(r db.Querier) error {
		if err := r.QueryRow(`SELECT count(*) FROM messages WHERE held > 0`).Scan(&n); err != nil {
			return err
		}
		err := r.QueryRow(`SELECT verdict FROM restores ORDER BY row DESC LIMIT 1`).Scan(&v)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return err
	})
	return n, v, err
}

// Settle carries out a verdict on everything that is held.
func (q *Queue) Settle(ctx context.Context, v HeldVerdict) error {
	do := q.releaseHeld
	if v == Cancel {
		do = q.cancelHeld
	}
	for n := slice; n == slice; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := q.write(func(tx *db.Tx) error {
			found, err := collect(tx, `SELECT `+recordColumns+` FROM messages m WHERE m.held > 0 ORDER BY m.row LIMIT ?`, slice)
			n = len(found)
			for _, r := range found {
				if err == nil {
					err = do(tx, r, q.o.Now())
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// releaseHeld lets a held message go out.
func (q *Queue) releaseHeld(tx *db.Tx, r *record, now time.Time) error {
	if r.held == mayHaveGone {
		if r.OnUnconfirmed == sms.Fail { // at most once was asked for
			r.Error = unconfirmed("A backup was restored, and it may have gone out after that was made.")
			return q.step(tx, r, sms.Failed, now)
		}
		r.PossibleDuplicate = true
		r.resendsLeft = max(0, r.resendsLeft-1) // this is one
	}
	r.held, r.Held, r.notBefore = 0, false, time.Time{}
	if r.Status == sms.Queued {
		q.line(tx, r)
	}
	return q.again(tx, r, now)
}

// cancelHeld ends a held message. One that a modem had is failed and not
// canceled: a late report may still say that it arrived.
func (q *Queue) cancelHeld(tx *db.Tx, r *record, now time.Time) error {
	started, err := wasStarted(tx, r)
	if err != nil {
		return err
	}
	if started || r.PossibleDuplicate {
		r.Error = unconfirmed("A modem had it before the backup was made that was restored, and it was not to be sent again.")
		return q.step(tx, r, sms.Failed, now)
	}
	if r.held == mayHaveGone {
		r.Error = &sms.Error{Code: "restored", Title: "Canceled after a backup was restored",
			Detail: "It was not sent again. It may have gone out between the backup and the restore."}
	}
	return q.step(tx, r, sms.Canceled, now)
}

// wasStarted tells whether a modem was ever given a part of a message.
func wasStarted(tx *db.Tx, r *record) (started bool, err error) {
	err = tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM parts WHERE message = ?)`, r.Row).Scan(&started)
	return started, err
}

// keep holds a message: it stays where it is and no modem gets it.
func (q *Queue) keep(tx *db.Tx, r *record, as int, now time.Time) error {
	was := r.Status
	if was == sms.Sending || was == sms.Unconfirmed {
		r.Error = nil
		if err := q.step(tx, r, sms.Queued, now); err != nil {
			return err
		}
		// The answer to what was on the air went with the database that is
		// replaced. Without an end to its time on the air no report is its own.
		_, err := tx.Exec(`UPDATE parts SET doubted_at = min(sent_at + ?, ?) WHERE message = ? AND confirmed_at IS NULL AND doubted_at IS NULL AND awaiting > 0`,
			acceptedAfter.Milliseconds(), toMS(now), r.Row)
		if err != nil {
			return err
		}
	}
	r.held, r.Held, r.queuedSeq = as, true, 0
	return q.again(tx, r, now)
}

// again saves a message that stays at its status, and tells that once more.
func (q *Queue) again(tx *db.Tx, r *record, now time.Time) error {
	return q.tell(tx, r, sms.EventOf(r.Status), now)
}

// tell saves a message that stays at its status, with an event of that type.
func (q *Queue) tell(tx *db.Tx, r *record, kind string, now time.Time) error {
	told := r.lastEvent
	r.UpdatedAt, r.lastEvent = now, q.nextEvent()
	if err := r.save(tx, r.Status, told); err != nil {
		return err
	}
	q.remind(tx, r) // a modem may have it in hand
	_, err := q.appendAs(tx, r, kind, told, now)
	return err
}

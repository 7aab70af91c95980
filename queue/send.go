package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// Job is a message as it is to be encoded and sent.
type Job struct {
	sms.Message
	Ref  byte // concatenation reference of its parts
	Next int  // first part that is not confirmed, from 1

	record *record
}

// Job loads a waiting message that sim is to send. ErrConflict: it is not to be
// sent any more. Parts that went out through another SIM go again: a phone joins
// parts of one sender only.
func (q *Queue) Job(ctx context.Context, row int64, sim string) (*Job, error) {
	var j *Job
	err := q.db.Read(ctx, func(r db.Querier) error {
		rec, err := load(r, row)
		if err != nil {
			return err
		}
		if rec.Status != sms.Queued {
			return fmt.Errorf("message %s is %s: %w", rec.ID, rec.Status, ErrConflict)
		}
		j = &Job{Message: rec.Message, Next: 1, record: rec}
		if rec.Parts == 1 {
			return nil
		}
		if rec.concatRef >= 0 {
			j.Ref = byte(rec.concatRef)
			var elsewhere int
			err := r.QueryRow(`SELECT count(*) FROM parts WHERE message = ? AND confirmed_at IS NOT NULL AND sim <> ?`, row, sim).Scan(&elsewhere)
			if err == nil && elsewhere == 0 {
				j.Next, err = firstUnconfirmed(r, row, rec.Parts)
			}
			if err != nil || elsewhere == 0 {
				return err
			}
		}
		var last int
		err = r.QueryRow(`SELECT ref FROM concat_refs WHERE number = ?`, rec.To).Scan(&last)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		j.Ref = byte(last + 1)
		return err
	})
	return j, err
}

// firstUnconfirmed returns parts+1 when all are confirmed.
func firstUnconfirmed(r db.Querier, row int64, parts int) (int, error) {
	rows, err := r.Query(`SELECT number FROM parts WHERE message = ? AND confirmed_at IS NOT NULL ORDER BY number`, row)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	next := 1
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return 0, err
		}
		if n == next {
			next++
		}
	}
	return next, rows.Err()
}

// Start says that a part is about to be given to a modem.
type Start struct {
	Row        int64
	Job        *Job // as it was loaded; nil: it is loaded again
	Part       int  // from 1
	Modem      string
	SIM        string // ICCID, or what stands for it
	Local      string // the SIM's number, or the modem's name
	Ref        byte
	ExpectedMR int // -1: not known
	// NoteRecipient has the recipient counted among those of the month.
	NoteRecipient bool
}

// Fate is what is known of a part after it was started.
type Fate int

// The fates of a part.
const (
	PartConfirmed   Fate = iota // the network has it
	PartRetry                   // it did not go out; again, not before NotBefore
	PartFailed                  // it did not go out and never will: the message fails
	PartUnconfirmed             // nobody can know
)

// Verdict is the fate of a started part.
type Verdict struct {
	Row       int64
	Part      int
	Fate      Fate
	MR        int        // TP-MR when confirmed; -1: the network gave none
	Err       *sms.Error // why, unless confirmed
	NotBefore time.Time  // of PartRetry
	RefusedBy string     // SIM to remember as one that refused the message, "" none
}

// Advance books the verdict on one part and the start of the next in one
// commit; either may be nil. ok is false when next must not be sent: its
// message was canceled or erased meanwhile, or its recipient has said STOP.
// The write-ahead of next and the verdict are durable when Advance returns nil.
func (q *Queue) Advance(verdict *Verdict, next *Start) (ok bool, err error) {
	var counted []change
	err = q.writeUrgent(func(tx *db.Tx) error {
		ok, counted = false, nil
		now := q.o.Now()
		if verdict != nil {
			if err := q.book(tx, *verdict, now, &counted); err != nil {
				return err
			}
		}
		if next == nil {
			return nil
		}
		var err error
		ok, err = q.start(tx, *next, now, &counted)
		return err
	})
	if err == nil {
		q.usage.apply(counted)
	}
	return ok && err == nil, err
}

func (q *Queue) start(tx *db.Tx, s Start, now time.Time, counted *[]change) (bool, error) {
	if s.Job != nil && s.Job.Parts == 1 {
		r := *s.Job.record
		ok, err := q.startAs(tx, &r, s, now, counted)
		if !errors.Is(err, ErrConflict) {
			return ok, err
		} // it changed since it was loaded, and nothing is written yet
	}
	r, err := q.inHand(tx, s.Row)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return q.startAs(tx, r, s, now, counted)
}

func (q *Queue) startAs(tx *db.Tx, r *record, s Start, now time.Time, counted *[]change) (bool, error) {
	var err error
	first := r.Status == sms.Queued // of this attempt
	switch r.Status {
	case sms.Queued:
		if fenced, err := q.fenced(tx, r, now); fenced || err != nil {
			return false, err
		}
		way, err := q.wayOf(tx, r, s.SIM)
		if err != nil {
			return false, err
		}
		refused, err := q.refused(tx, r, way, false)
		if err != nil {
			return false, err
		}
		if refused != nil {
			r.Error = refused
			return false, q.step(tx, r, sms.Failed, now)
		}
		if !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(now) && q.o.Trusted() {
			return false, q.expire(tx, r, now)
		}
		if until := q.quietUntil(r, now); !until.IsZero() {
			return false, q.postpone(tx, r, until, now)
		}
		if anew, err := q.redirected(tx, r, way, s.SIM, now); anew || err != nil {
			return false, err
		}
		r.Attempts++
		r.Error, r.notBefore = nil, time.Time{}
		r.Modem, r.From = s.Modem, s.Local
		if r.Parts > 1 && s.Part == 1 {
			if err := q.startAnew(tx, r, s.Ref); err != nil {
				return false, err
			}
		}
		if err := q.step(tx, r, sms.Sending, now); err != nil {
			return false, err
		}
		if err := q.remember(tx, r.To, s.SIM, now); err != nil {
			return false, err
		}
	case sms.Sending: // a later part of the same message
	default:
		return false, nil
	}
	var expected any
	if s.ExpectedMR >= 0 {
		expected = s.ExpectedMR
	}
	_, err = tx.Exec(`INSERT INTO parts (message, number, modem, sim, sent_at, expected_mr, awaiting) VALUES (?,?,?,?,?,?,?)
		ON CONFLICT DO UPDATE SET modem=excluded.modem, sim=excluded.sim, sent_at=excluded.sent_at,
		expected_mr=excluded.expected_mr, confirmed_at=NULL, doubted_at=NULL, tp_mr=NULL, awaiting=excluded.awaiting, attempts=attempts+1`,
		s.Row, s.Part, s.Modem, s.SIM, toMS(now), expected, r.DeliveryReport)
	if err != nil {
		return false, err
	}
	c, err := count(tx, s, r.To, first, now)
	*counted = append(*counted, c)
	return err == nil, err
}

// startAnew begins a message of several parts from its first, under a
// reference of its own. Parts that went out before go out twice then.
func (q *Queue) startAnew(tx *db.Tx, r *record, ref byte) error {
	var before int
	err := tx.QueryRow(`SELECT count(*) FROM parts WHERE message = ? AND confirmed_at IS NOT NULL`, r.Row).Scan(&before)
	if err != nil {
		return err
	}
	if before > 0 {
		r.PossibleDuplicate = true
		if _, err := tx.Exec(`DELETE FROM parts WHERE message = ?`, r.Row); err != nil {
			return err
		}
	}
	if r.concatRef == int(ref) {
		return nil // as before; later messages may have taken the next ones
	}
	r.concatRef = int(ref)
	_, err = tx.Exec(`INSERT OR REPLACE INTO concat_refs (number, ref) VALUES (?, ?)`, r.To, ref)
	return err
}

// remember makes sim the one that number keeps, to within an hour.
func (q *Queue) remember(tx *db.Tx, number, sim string, now time.Time) error {
	_, err := tx.Exec(`INSERT INTO senders (number, sim, at) VALUES (?,?,?)
		ON CONFLICT DO UPDATE SET sim=excluded.sim, at=excluded.at
			WHERE sim <> excluded.sim OR at NOT BETWEEN excluded.at - 3600000 AND excluded.at`, number, sim, toMS(now))
	return err
}

func (q *Queue) book(tx *db.Tx, v Verdict, now time.Time, counted *[]change) error {
	r, err := q.inHand(tx, v.Row)
	if errors.Is(err, ErrNotFound) {
		return nil // erased while it was on the air
	}
	if err != nil {
		return err
	}
	if v.Fate == PartConfirmed {
		return q.confirm(tx, r, v.Part, v.MR, now)
	}
	if r.Status != sms.Sending {
		return nil // settled meanwhile, by a status report
	}
	r.Error = v.Err
	if v.RefusedBy != "" && !contains(r.refusedBy, v.RefusedBy) {
		r.refusedBy += v.RefusedBy + " "
	}
	if v.Fate != PartUnconfirmed {
		started, err := tx.Exec(`UPDATE parts SET awaiting = 0 WHERE message = ? AND number = ? AND confirmed_at IS NULL`, v.Row, v.Part)
		if err != nil {
			return err
		}
		if started > 0 {
			c, err := uncount(tx, v.Row, v.Part)
			if err != nil {
				return err
			}
			*counted = append(*counted, c)
		}
	}
	switch v.Fate {
	case PartRetry:
		r.notBefore = v.NotBefore
		return q.step(tx, r, sms.Queued, now)
	case PartFailed:
		return q.step(tx, r, sms.Failed, now)
	default:
		return q.doubt(tx, r, v.Part, now)
	}
}

// doubt makes a message unconfirmed because of one part. A status report that
// came too early may settle it at once.
func (q *Queue) doubt(tx *db.Tx, r *record, part int, now time.Time) error {
	var sentAt int64
	if err := tx.QueryRow(`SELECT sent_at FROM parts WHERE message = ? AND number = ?`, r.Row, part).Scan(&sentAt); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE parts SET awaiting = ?, doubted_at = ? WHERE message = ? AND number = ?`, r.DeliveryReport, toMS(now), r.Row, part)
	if err != nil {
		return err
	}
	r.unconfirmedAt = fromMS(sentAt)
	if r.Error == nil {
		r.Error = unconfirmed("")
	}
	if err := q.step(tx, r, sms.Unconfirmed, now); err != nil {
		return err
	}
	return q.applyEarly(tx, r, part, now)
}

func unconfirmed(detail string) *sms.Error {
	if detail == "" {
		detail = "The modem was given the message and its answer was lost: it may or may not have gone out."
	}
	return &sms.Error{Code: "unconfirmed", Title: "Nobody can know whether it went out", Detail: detail, Class: sms.Unknown}
}

// confirm books that the network has a part. It may come late: the message
// may be unconfirmed, queued for its resend, or failed by then.
func (q *Queue) confirm(tx *db.Tx, r *record, part, mr int, now time.Time) error {
	var reference any
	if mr >= 0 {
		reference = mr
	}
	n, err := tx.Exec(`UPDATE parts SET confirmed_at = ?, tp_mr = ?, awaiting = ? WHERE message = ? AND number = ? AND confirmed_at IS NULL`,
		toMS(now), reference, r.DeliveryReport, r.Row, part)
	if err != nil || n == 0 {
		return err
	}
	next := 2
	if r.Parts > 1 {
		if next, err = firstUnconfirmed(tx, r.Row, r.Parts); err != nil {
			return err
		}
	}
	switch {
	case next <= r.Parts: // more parts are to be sent
		if r.Status == sms.Unconfirmed {
			r.Error, r.unconfirmedAt = nil, time.Time{}
			err = q.step(tx, r, sms.Queued, now)
		}
	case r.Status == sms.Sending || r.Status == sms.Unconfirmed || r.Status == sms.Queued:
		r.Error, r.unconfirmedAt, r.SentAt = nil, time.Time{}, now
		err = q.step(tx, r, sms.Sent, now)
	}
	if err != nil {
		return err
	}
	return q.applyEarly(tx, r, part, now)
}

// Refuse fails a message that waits and can't be sent by any modem.
func (q *Queue) Refuse(row int64, why *sms.Error) error {
	return q.write(func(tx *db.Tx) error {
		r, err := load(tx, row)
		if errors.Is(err, ErrNotFound) || err == nil && (r.Status != sms.Queued || q.o.Hub && r.relay != relayNone) {
			return nil
		}
		if err != nil {
			return err
		}
		r.Error = why
		return q.step(tx, r, sms.Failed, q.o.Now())
	})
}

package queue

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
	"gatewayd/sms/number"
	"gatewayd/sms/pdu"
)

// reportable is how long a part is matched with status reports. Service
// centres keep messages for days, rarely for more than a week.
const reportable = 8 * 24 * time.Hour

// report books a status report: it is matched with the part that has its
// TP-MR and recipient on that SIM, newest first. One that matches no part yet
// is kept, since it may come before +CMGS. It returns the message's row, 0 for
// none.
func (q *Queue) report(tx *db.Tx, sim string, rep *pdu.Report, now time.Time) (int64, error) {
	r, part, err := q.reported(tx, sim, rep, now)
	if err != nil {
		return 0, err
	}
	if r == nil {
		_, err := tx.Insert(`INSERT INTO early_reports (sim, tp_mr, number, tp_st, at) VALUES (?,?,?,?,?)`,
			sim, rep.MR, rep.To, rep.Status, toMS(now))
		return 0, err
	}
	return r.Row, q.applyReport(tx, r, part, int(rep.MR), rep.Status, now)
}

// Bounds of how far from a part's start the service centre may say that it got
// it, where only that and the number tell whose report it is. They are narrow: a
// report credited wrongly is a message lost, one not credited a repetition.
const acceptedBefore, acceptedAfter = 5 * time.Second, 5 * time.Minute

// reported finds the part that a report is about, nil if there is none: of
// those with its TP-MR and recipient, since references are used again, the one
// that was sent nearest to the time that the service centre names. A part whose
// TP-MR was never told counts with the one expected; without that, number and
// time must do.
func (q *Queue) reported(tx *db.Tx, sim string, rep *pdu.Report, now time.Time) (*record, int, error) {
	rows, err := tx.Query(`SELECT p.message, p.number, coalesce(p.tp_mr, p.expected_mr) IS NOT NULL, p.sent_at, m.number
		FROM parts p JOIN messages m ON m.row = p.message
		WHERE p.awaiting = 1 AND p.sim = ? AND coalesce(p.tp_mr, p.expected_mr, -1) IN (?, -1) AND p.sent_at > ?
		ORDER BY p.sent_at DESC, p.number DESC`, sim, rep.MR, toMS(now.Add(-reportable)))
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var row int64
	var part int
	var exact bool
	var nearest time.Duration
	for rows.Next() {
		var m, sentAt int64
		var n int
		var known bool
		var to string
		if err := rows.Scan(&m, &n, &known, &sentAt, &to); err != nil {
			return nil, 0, err
		}
		took := rep.SCTS.Sub(fromMS(sentAt))
		if !number.Same(to, rep.To) || !known && (took < -acceptedBefore || took > acceptedAfter) {
			continue
		}
		// The first is the newest: it counts when there is no time to go by.
		if row == 0 || known && !exact || known == exact && !rep.SCTS.IsZero() && took.Abs() < nearest {
			row, part, exact, nearest = m, n, known, took.Abs()
		}
	}
	if err := rows.Err(); err != nil || row == 0 {
		return nil, 0, err
	}
	rows.Close()
	r, err := load(tx, row)
	return r, part, err
}

// applyEarly looks for a report that came before its part's reference was known.
func (q *Queue) applyEarly(tx *db.Tx, r *record, part int, now time.Time) error {
	var sim string
	var mr sql.NullInt64
	var sentAt int64
	err := tx.QueryRow(`SELECT sim, coalesce(tp_mr, expected_mr), sent_at FROM parts WHERE message = ? AND number = ? AND awaiting = 1`,
		r.Row, part).Scan(&sim, &mr, &sentAt)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !mr.Valid {
		return nil
	}
	if err != nil {
		return err
	}
	early, status, err := earlyReport(tx, sim, mr.Int64, sentAt, r.To)
	if err != nil || early == 0 {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM early_reports WHERE row = ?`, early); err != nil {
		return err
	}
	return q.applyReport(tx, r, part, int(mr.Int64), status, now)
}

// earlyReport finds the newest report for a number that came since a part was
// sent; row 0: there is none.
func earlyReport(tx *db.Tx, sim string, mr, since int64, to string) (row int64, status byte, err error) {
	rows, err := tx.Query(`SELECT row, tp_st, number FROM early_reports WHERE sim = ? AND tp_mr = ? AND at >= ? ORDER BY row DESC`, sim, mr, since)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var of string
		if err := rows.Scan(&row, &status, &of); err != nil {
			return 0, 0, err
		}
		if number.Same(to, of) {
			return row, status, nil
		}
	}
	return 0, 0, rows.Err()
}

// applyReport books a report on a part and what follows for its message.
func (q *Queue) applyReport(tx *db.Tx, r *record, part, mr int, status byte, now time.Time) error {
	outcome, words := pdu.TPStatus(status)
	// A report of any kind proves that the service centre has the part.
	if err := q.confirm(tx, r, part, mr, now); err != nil {
		return err
	}
	final := outcome != pdu.StillTrying
	if _, err := tx.Exec(`UPDATE parts SET tp_st = ?, reported_at = ?, awaiting = ? WHERE message = ? AND number = ?`,
		status, toMS(now), !final, r.Row, part); err != nil {
		return err
	}
	if !final {
		return nil
	}
	if r.Status == sms.Failed && (r.Error == nil || r.Error.Code != "unconfirmed") {
		return nil // it failed for another part's sake
	}
	if outcome == pdu.Failed {
		if !r.Status.CanBecome(sms.Undelivered) {
			return nil
		}
		if next, err := firstUnconfirmed(tx, r.Row, r.Parts); err != nil {
			return err
		} else if next > r.Parts { // else it was not sent, and won't be
			if err := q.tellSent(tx, r, now); err != nil {
				return err
			}
		}
		r.Error = &sms.Error{Code: fmt.Sprintf("tp-st-%d", status), Title: words,
			Detail: fmt.Sprintf("The service centre's status report for part %d of %d says so (TP-ST %#02x).", part, r.Parts, status)}
		return q.step(tx, r, sms.Undelivered, now)
	}
	var missing int
	err := tx.QueryRow(`SELECT ? - count(*) FROM parts WHERE message = ? AND tp_st BETWEEN 0 AND 31 AND reported_at IS NOT NULL`,
		r.Parts, r.Row).Scan(&missing)
	if err != nil || missing > 0 || !r.Status.CanBecome(sms.Delivered) {
		return err
	}
	if err := q.tellSent(tx, r, now); err != nil {
		return err
	}
	r.Error, r.DeliveredAt = nil, now
	return q.step(tx, r, sms.Delivered, now)
}

// tellSent makes sure that message.sent is told before what a report tells.
func (q *Queue) tellSent(tx *db.Tx, r *record, now time.Time) error {
	if r.Status == sms.Sent {
		return nil
	}
	r.Error, r.unconfirmedAt = nil, time.Time{}
	if r.SentAt.IsZero() {
		r.SentAt = now
	}
	return q.step(tx, r, sms.Sent, now)
}

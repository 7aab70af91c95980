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

// reported finds the part that a report is about, nil if there is none. A part
// whose TP-MR was never told matches by the one expected, or by number alone.
func (q *Queue) reported(tx *db.Tx, sim string, rep *pdu.Report, now time.Time) (*record, int, error) {
	rows, err := tx.Query(`SELECT p.message, p.number, p.tp_mr, p.expected_mr, m.number FROM parts p JOIN messages m ON m.row = p.message
		WHERE p.awaiting = 1 AND p.sim = ? AND p.sent_at > ? ORDER BY p.sent_at DESC, p.number DESC`, sim, toMS(now.Add(-reportable)))
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var row int64
	var part int
	for rows.Next() {
		var m int64
		var n int
		var mr, expected sql.NullInt64
		var to string
		if err := rows.Scan(&m, &n, &mr, &expected, &to); err != nil {
			return nil, 0, err
		}
		if !mr.Valid {
			mr = expected
		}
		if (!mr.Valid || mr.Int64 == int64(rep.MR)) && number.Same(to, rep.To) {
			row, part = m, n
			break
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
	if !r.DeliveryReport {
		return nil
	}
	var sim string
	var mr, expected sql.NullInt64
	var sentAt int64
	err := tx.QueryRow(`SELECT sim, tp_mr, expected_mr, sent_at FROM parts WHERE message = ? AND number = ? AND awaiting = 1`,
		r.Row, part).Scan(&sim, &mr, &expected, &sentAt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if !mr.Valid {
		mr = expected
	}
	if !mr.Valid {
		return nil
	}
	var early, status int64
	var to string
	err = tx.QueryRow(`SELECT row, tp_st, number FROM early_reports WHERE sim = ? AND tp_mr = ? AND at >= ? ORDER BY row DESC LIMIT 1`,
		sim, mr.Int64, sentAt).Scan(&early, &status, &to)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if !number.Same(r.To, to) {
		return nil
	}
	if _, err := tx.Exec(`DELETE FROM early_reports WHERE row = ?`, early); err != nil {
		return err
	}
	return q.applyReport(tx, r, part, int(mr.Int64), byte(status), now)
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
		if err := q.tellSent(tx, r, now); err != nil {
			return err
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

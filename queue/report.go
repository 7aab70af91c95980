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
		_, err := tx.Insert(`INSERT INTO early_reports (sim, tp_mr, number, tp_st, scts, at) VALUES (?,?,?,?,?,?)`,
			sim, rep.MR, rep.To, rep.Status, nullMS(rep.SCTS), toMS(now))
		return 0, err
	}
	return r.Row, q.applyReport(tx, r, part, int(rep.MR), rep.Status, now)
}

// Bounds of how far from a part's start the service centre says that it got it,
// if it is that part. They are narrow: a report credited wrongly is a message
// lost, one not credited a repetition.
const acceptedBefore, acceptedAfter = 5 * time.Second, 90 * time.Second

func accepted(took time.Duration) bool { return -acceptedBefore <= took && took <= acceptedAfter }

// reported finds the part that a report is about, nil if there is none. The
// recipient and the TP-MR must agree, and since TP-MRs are used again, the time
// that the service centre names decides: first comes a part with that TP-MR from
// about that time; then one from about that time whose TP-MR was never told,
// unless another was expected, and while that one is on the air its answer is
// waited for; then, for clocks are wrong, one with that TP-MR from any time.
func (q *Queue) reported(tx *db.Tx, sim string, rep *pdu.Report, now time.Time) (*record, int, error) {
	rows, err := tx.Query(`SELECT p.message, p.number, p.tp_mr IS NOT NULL, p.confirmed_at IS NULL AND m.status = 'sending', p.sent_at, m.number
		FROM parts p JOIN messages m ON m.row = p.message
		WHERE p.awaiting = 1 AND p.sim = ? AND coalesce(p.tp_mr, p.expected_mr, -1) IN (?, -1) AND p.sent_at > ?
		ORDER BY p.sent_at DESC, p.number DESC`, sim, rep.MR, toMS(now.Add(-reportable)))
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	var row int64
	var part, rank int
	var onAir bool
	var nearest time.Duration
	for rows.Next() {
		var m, sentAt int64
		var n int
		var told, air bool
		var to string
		if err := rows.Scan(&m, &n, &told, &air, &sentAt, &to); err != nil {
			return nil, 0, err
		}
		took := rep.SCTS.Sub(fromMS(sentAt))
		then := accepted(took)
		if !number.Same(to, rep.To) || !told && !then {
			continue
		}
		r := 1
		switch {
		case told && then:
			r = 3
		case !told:
			r = 2
		}
		// The first is the newest: it counts when there is no time to go by.
		if r > rank || r == rank && !rep.SCTS.IsZero() && took.Abs() < nearest {
			row, part, rank, onAir, nearest = m, n, r, air, took.Abs()
		}
	}
	if err := rows.Err(); err != nil || row == 0 || onAir {
		return nil, 0, err
	}
	rows.Close()
	r, err := load(tx, row)
	return r, part, err
}

// applyEarly looks for a report that came before it was known what became of
// its part.
func (q *Queue) applyEarly(tx *db.Tx, r *record, part int, now time.Time) error {
	var sim string
	var mr int
	var sentAt int64
	err := tx.QueryRow(`SELECT sim, coalesce(tp_mr, expected_mr, -1), sent_at FROM parts WHERE message = ? AND number = ? AND awaiting = 1`,
		r.Row, part).Scan(&sim, &mr, &sentAt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	early, err := earlyReport(tx, sim, mr, sentAt, r.To)
	if err != nil || early == nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM early_reports WHERE row = ?`, early.row); err != nil {
		return err
	}
	return q.applyReport(tx, r, part, early.mr, early.status, now)
}

type early struct {
	row    int64
	mr     int
	status byte
}

// earlyReport finds the newest report for a number that came since a part was
// sent, nil if there is none. Without the part's TP-MR the time must agree.
func earlyReport(tx *db.Tx, sim string, mr int, since int64, to string) (*early, error) {
	lowest, highest := mr, mr
	if mr < 0 {
		lowest, highest = 0, 255
	}
	rows, err := tx.Query(`SELECT row, tp_mr, tp_st, number, coalesce(scts, 0) FROM early_reports
		WHERE sim = ? AND tp_mr BETWEEN ? AND ? AND at >= ? ORDER BY row DESC`, sim, lowest, highest, since)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e early
		var of string
		var scts int64
		if err := rows.Scan(&e.row, &e.mr, &e.status, &of, &scts); err != nil {
			return nil, err
		}
		if number.Same(to, of) && (mr >= 0 || accepted(fromMS(scts).Sub(fromMS(since)))) {
			return &e, nil
		}
	}
	return nil, rows.Err()
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

package queue

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/failpoint"
	"gatewayd/sms"
	"gatewayd/sms/number"
	"gatewayd/sms/pdu"
)

// reportable is how long a part is matched with status reports. Service
// centres keep messages for days, rarely for more than a week.
const reportable = 8 * 24 * time.Hour

// report books a status report with the part that it is about. One that matches
// no part yet is kept, since it may come before +CMGS. It returns the message's
// row, 0 for none.
func (q *Queue) report(tx *db.Tx, sim string, rep *pdu.Report, now time.Time) (int64, error) {
	p, err := reported(tx, sim, rep, now)
	if err != nil {
		return 0, err
	}
	if p == nil || p.onAir {
		_, err := tx.Insert(`INSERT INTO early_reports (sim, tp_mr, number, tp_st, scts, at) VALUES (?,?,?,?,?,?)`,
			sim, rep.MR, rep.To, rep.Status, nullMS(rep.SCTS), toMS(now))
		return 0, err
	}
	if p.over {
		return p.message, nil // told again
	}
	if !rep.SCTS.IsZero() && p.sentAt.After(q.o.Began()) {
		q.o.Heard(fmt.Sprint(sim, " ", rep.MR), p.took, false)
	}
	r, err := load(tx, p.message)
	if err != nil {
		return 0, err
	}
	failpoint.Hit("queue.before-report")
	return r.Row, q.applyReport(tx, r, p.number, int(rep.MR), rep.Status, now)
}

// Bounds of how far from a part's start the service centre says that it got it.
const acceptedBefore, acceptedAfter = 2 * time.Second, 90 * time.Second

// candidate is a part that a report may be about.
type candidate struct {
	message int64
	number  int
	to      string
	sentAt  time.Time     // its start
	took    time.Duration // from its start until the service centre got what is reported
	longest time.Duration // that this can have taken
	told    bool          // its TP-MR is known
	onAir   bool          // its answer is not booked yet
	over    bool          // its last report has come
}

// reported finds the part that a report is about, nil if there is none. The
// recipient and the TP-MR must agree, and since TP-MRs are used again and reports
// told again, the time that the service centre names decides: first comes a part
// with that TP-MR from about that time, reported already or not; then one whose
// TP-MR was never told, unless another was expected, and that was on the air at
// that time, for nothing else was then; then, for clocks are wrong, one with that
// TP-MR from any time. A report credited wrongly is a message lost, one not
// credited a repetition.
func reported(tx *db.Tx, sim string, rep *pdu.Report, now time.Time) (*candidate, error) {
	rows, err := tx.Query(`SELECT p.message, p.number, m.number, p.sent_at, coalesce(p.doubted_at, 0), p.tp_mr IS NOT NULL,
		p.confirmed_at IS NULL AND m.status = 'sending', p.awaiting = 2 FROM parts p JOIN messages m ON m.row = p.message
		WHERE p.awaiting > 0 AND p.sim = ? AND coalesce(p.tp_mr, p.expected_mr, -1) IN (?, -1) AND p.sent_at > ?
		ORDER BY p.sent_at DESC, p.number DESC`, sim, rep.MR, toMS(now.Add(-reportable)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var best *candidate
	for rows.Next() {
		var c candidate
		var sentAt, doubtedAt int64
		if err := rows.Scan(&c.message, &c.number, &c.to, &sentAt, &doubtedAt, &c.told, &c.onAir, &c.over); err != nil {
			return nil, err
		}
		c.sentAt = fromMS(sentAt)
		c.took, c.longest = rep.SCTS.Sub(c.sentAt), acceptedAfter
		if !c.told && !c.onAir {
			c.longest = fromMS(doubtedAt).Sub(c.sentAt)
		}
		// The first is the newest: it counts when there is no time to go by.
		if number.Same(c.to, rep.To) && c.rank() > 0 && (best == nil || c.rank() > best.rank() ||
			c.rank() == best.rank() && !rep.SCTS.IsZero() && c.took.Abs() < best.took.Abs()) {
			best = &c
		}
	}
	return best, rows.Err()
}

// rank orders candidates; 0: it is none.
func (c *candidate) rank() int {
	switch then := -acceptedBefore <= c.took && c.took <= c.longest; {
	case c.told && then:
		return 4
	case then && !c.over:
		return 3
	case c.told && !c.over:
		return 2
	case c.told:
		return 1
	}
	return 0
}

// applyEarly looks for a report that came before it was known what became of
// its part.
func (q *Queue) applyEarly(tx *db.Tx, r *record, part int, now time.Time) error {
	if !r.DeliveryReport {
		return nil
	}
	var any int
	if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM early_reports)`).Scan(&any); err != nil || any == 0 {
		return err
	}
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
	early, err := earlyReports(tx, sim, mr, sentAt, r.To)
	if err != nil || len(early) == 0 {
		return err
	}
	counts := early[0]
	for _, e := range early {
		if _, err := tx.Exec(`DELETE FROM early_reports WHERE row = ?`, e.row); err != nil {
			return err
		}
		// One that says "still trying" may overtake the last word.
		if outcome, _ := pdu.TPStatus(counts.status); outcome == pdu.StillTrying {
			counts = e
		}
	}
	return q.applyReport(tx, r, part, counts.mr, counts.status, now)
}

type early struct {
	row    int64
	mr     int
	status byte
}

// earlyReports finds the reports for a number that came since a part was sent,
// newest first. Without the part's TP-MR they must be for something that the
// service centre got since, and all have that of the newest.
func earlyReports(tx *db.Tx, sim string, mr int, since int64, to string) ([]early, error) {
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
	var found []early
	for rows.Next() {
		var e early
		var of string
		var scts int64
		if err := rows.Scan(&e.row, &e.mr, &e.status, &of, &scts); err != nil {
			return nil, err
		}
		if number.Same(to, of) && (mr >= 0 || scts >= since-acceptedBefore.Milliseconds()) && (len(found) == 0 || e.mr == found[0].mr) {
			found = append(found, e)
		}
	}
	return found, rows.Err()
}

// applyReport books a report on a part and what follows for its message.
func (q *Queue) applyReport(tx *db.Tx, r *record, part, mr int, status byte, now time.Time) error {
	outcome, words := pdu.TPStatus(status)
	// A report of any kind proves that the service centre has the part.
	if err := q.confirm(tx, r, part, mr, now); err != nil {
		return err
	}
	final, awaiting := outcome != pdu.StillTrying, 1
	if final {
		awaiting = 2
	}
	if _, err := tx.Exec(`UPDATE parts SET tp_st = ?, reported_at = ?, awaiting = ? WHERE message = ? AND number = ?`,
		status, toMS(now), awaiting, r.Row, part); err != nil {
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

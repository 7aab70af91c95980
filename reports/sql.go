package reports

import (
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

// place is up to which event all is counted.
func place(q db.Querier) (seq int64, err error) {
	err = q.QueryRow(`SELECT seq FROM report_place`).Scan(&seq)
	return seq, err
}

func selectSteps(q db.Querier) (all []step, err error) {
	rows, err := q.Query(`SELECT up_to, began, step FROM report_steps ORDER BY rowid`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s step
		var by int64
		if err := rows.Scan(&s.upTo, &s.began, &by); err != nil {
			return nil, err
		}
		s.by = time.Duration(by) * time.Millisecond
		all = append(all, s)
	}
	return all, rows.Err()
}

const addCounts = `INSERT INTO report_counts (day, uncertain, sim, modem, author, id, kind, code, messages, parts) VALUES (?,?,?,?,?,?,?,?,?,?)
	ON CONFLICT DO UPDATE SET messages = messages + excluded.messages, parts = parts + excluded.parts`

// store adds what was counted between two places of the log, unless somebody has
// done it before.
func store(tx *db.Tx, was, upTo int64, sums map[cell]amount) error {
	n, err := tx.Exec(`UPDATE report_place SET seq = ? WHERE seq = ?`, upTo, was)
	if err != nil || n == 0 {
		return err
	}
	for c, a := range sums {
		_, err := tx.Exec(addCounts, int(c.day), c.uncertain, c.sim, c.modem, c.author.Kind, c.author.ID, string(c.kind), c.code, a.messages, a.parts)
		if err != nil {
			return err
		}
	}
	_, err = tx.Exec(`DELETE FROM report_steps WHERE up_to <= ?`, upTo)
	return err
}

// ShiftTx gives what was counted by a clock that nobody vouched for its day, in the
// transaction that sets the clock by step; began is when this run began by the clock
// as it was. It is known which day it was counted for, and no more, so beside midnight
// it may be one day off. What is not counted yet gets its own time.
func (r *Reports) ShiftTx(tx *db.Tx, step time.Duration, began time.Time) error {
	newest, err := queue.NewestEvent(tx)
	if err != nil {
		return err
	}
	at, err := place(tx)
	if err != nil {
		return err
	}
	if newest > at {
		if _, err := tx.Exec(`INSERT INTO report_steps (up_to, began, step) VALUES (?,?,?)`, newest, began.UnixMilli(), step.Milliseconds()); err != nil {
			return err
		}
	}
	var days []Day
	rows, err := tx.Query(`SELECT DISTINCT day FROM report_counts WHERE uncertain = 1 AND day >= ?`, int(DayOf(began)))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var d Day
		if err := rows.Scan(&d); err != nil {
			return err
		}
		days = append(days, d)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, d := range days {
		_, err := tx.Exec(`INSERT INTO report_counts (day, uncertain, sim, modem, author, id, kind, code, messages, parts)
			SELECT ?1, 0, sim, modem, author, id, kind, code, messages, parts FROM report_counts WHERE uncertain = 1 AND day = ?2
			ON CONFLICT DO UPDATE SET messages = messages + excluded.messages, parts = parts + excluded.parts`, int(DayOf(d.Noon().Add(step))), int(d))
		if err == nil {
			_, err = tx.Exec(`DELETE FROM report_counts WHERE uncertain = 1 AND day = ?`, int(d))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Restore keeps, of each number, the larger one: the replaced database has counted
// longer, if it is of the same box, and a new box has counted nothing. It goes on
// behind what either has counted: what a restored gateway does comes behind both.
func Restore(tx *db.Tx) error {
	for _, query := range []string{
		`INSERT INTO report_counts (day, uncertain, sim, modem, author, id, kind, code, messages, parts)
			SELECT day, uncertain, sim, modem, author, id, kind, code, messages, parts FROM replaced.report_counts WHERE true
			ON CONFLICT DO UPDATE SET messages = max(messages, excluded.messages), parts = max(parts, excluded.parts)`,
		`UPDATE report_place SET seq = max(seq, coalesce((SELECT seq FROM replaced.report_place), 0))`,
		`DELETE FROM report_steps`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
}

package gateway

import (
	"context"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

const (
	alarmsKept   = 90 * 24 * time.Hour // of those that are over
	alarmsAtMost = 5000
	lettersKept  = 24 * time.Hour
)

// write stores a change and its event in one commit, and what people are to be
// told of it.
func (as *alarms) write(c change) error {
	a, event := c.Alarm, sms.EventAlarmBegin
	if c.kind == noticeEnd {
		event = sms.EventAlarmEnd
	}
	tell := c.kind != "" && as.notice(a.Severity)
	err := as.queue.Append(event, a, func(tx *db.Tx) (bool, error) {
		var err error
		switch c.kind {
		case noticeEnd:
			if _, err = tx.Exec(`DELETE FROM alarms WHERE code = ? AND modem = ?`, a.Code, a.Modem); err == nil {
				_, err = tx.Exec(`INSERT OR REPLACE INTO alarm_history (begun_at, code, modem, title, detail, severity, ended_at) VALUES (?,?,?,?,?,?,?)`,
					a.BegunAt.UnixMilli(), a.Code, a.Modem, a.Title, a.Detail, string(a.Severity), a.EndedAt.UnixMilli())
			}
		case noticeBegin:
			_, err = tx.Exec(`INSERT OR REPLACE INTO alarms (code, modem, severity, title, detail, begun_at, told_at) VALUES (?,?,?,?,?,?,?)`,
				a.Code, a.Modem, string(a.Severity), a.Title, a.Detail, a.BegunAt.UnixMilli(), as.now().UnixMilli())
		default:
			_, err = tx.Exec(`UPDATE alarms SET severity = ?, title = ?, detail = ? WHERE code = ? AND modem = ?`, string(a.Severity), a.Title, a.Detail, a.Code, a.Modem)
		}
		if err == nil && tell {
			err = as.noticeTx(tx, c.kind, a)
		}
		return c.kind != "", err
	})
	if err == nil && tell {
		as.post()
	}
	return err
}

// noticeTx keeps what people are to be told.
func (as *alarms) noticeTx(tx *db.Tx, kind string, a sms.Alarm) error {
	_, err := tx.Exec(`INSERT INTO alarm_notices (kind, code, modem, title, detail, severity, at) VALUES (?,?,?,?,?,?,?)`,
		kind, a.Code, a.Modem, a.Title, a.Detail, string(a.Severity), as.now().UnixMilli())
	return err
}

func (as *alarms) post() {
	select {
	case as.posted <- struct{}{}:
	default:
	}
}

// ended lists the alarms that are over, the last first.
func (as *alarms) ended(ctx context.Context, limit int) (all []sms.Alarm, err error) {
	err = as.db.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT code, modem, severity, title, detail, begun_at, ended_at FROM alarm_history ORDER BY ended_at DESC LIMIT ?`, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a sms.Alarm
			var begun, ended int64
			if err := rows.Scan(&a.Code, &a.Modem, &a.Severity, &a.Title, &a.Detail, &begun, &ended); err != nil {
				return err
			}
			a.BegunAt, a.EndedAt = time.UnixMilli(begun), time.UnixMilli(ended)
			all = append(all, a)
		}
		return rows.Err()
	})
	return all, err
}

// prune forgets what is over and old, a slice at a time.
func (as *alarms) prune(ctx context.Context) error {
	now := as.now()
	for _, old := range []struct {
		rows, delete string
		arg          int64
	}{
		{`SELECT begun_at, code, modem FROM alarm_history WHERE ended_at < ? ORDER BY ended_at LIMIT 200`,
			`DELETE FROM alarm_history WHERE (begun_at, code, modem) IN `, now.Add(-alarmsKept).UnixMilli()},
		{`SELECT begun_at, code, modem FROM alarm_history ORDER BY ended_at DESC LIMIT 200 OFFSET ?`,
			`DELETE FROM alarm_history WHERE (begun_at, code, modem) IN `, alarmsAtMost},
		{`SELECT id FROM alarm_letters WHERE sent_at < ? LIMIT 200`,
			`DELETE FROM alarm_letters WHERE id IN `, now.Add(-lettersKept).UnixMilli()},
	} {
		for ctx.Err() == nil {
			var due bool
			err := as.db.Read(ctx, func(r db.Querier) error { // what is not due costs no write
				return r.QueryRow(`SELECT EXISTS (`+old.rows+`)`, old.arg).Scan(&due)
			})
			if err == nil && !due {
				break
			}
			if err == nil {
				err = as.db.Write(func(tx *db.Tx) error {
					_, err := tx.Exec(old.delete+`(`+old.rows+`)`, old.arg)
					return err
				})
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// shiftTx gives alarms that began since this run did their time, when the clock
// is set; shift does it in memory.
func (as *alarms) shiftTx(tx *db.Tx, step time.Duration, began time.Time) error {
	for _, query := range []string{
		`UPDATE alarms SET begun_at = begun_at + ?1 WHERE begun_at >= ?2`,
		`UPDATE alarms SET told_at = told_at + ?1 WHERE ?2 = ?2`,
		`UPDATE alarm_history SET ended_at = ended_at + ?1 WHERE ended_at >= ?2`,
		`UPDATE alarm_notices SET at = at + ?1 WHERE ?2 = ?2`,
		`UPDATE alarm_letters SET made_at = made_at + ?1, due_at = due_at + ?1, sent_at = sent_at + ?1 WHERE ?2 = ?2`,
	} {
		if _, err := tx.Exec(query, step.Milliseconds(), began.UnixMilli()); err != nil {
			return err
		}
	}
	// Begun in this run too; a key, so not with the others.
	_, err := tx.Exec(`UPDATE OR REPLACE alarm_history SET begun_at = begun_at + ?1 WHERE begun_at >= ?2`, step.Milliseconds(), began.UnixMilli())
	return err
}

func (as *alarms) shift(step time.Duration, began time.Time) {
	as.mu.Lock()
	defer as.mu.Unlock()
	move := func(at *time.Time) {
		if !at.IsZero() && !at.Before(began) {
			*at = at.Add(step)
		}
	}
	for _, c := range as.all {
		move(&c.BegunAt)
		move(&c.shown.BegunAt)
	}
	for i := range as.outbox {
		move(&as.outbox[i].BegunAt)
		move(&as.outbox[i].EndedAt)
	}
}

// restoreAlarms takes what is told to people from the replaced database alone: what
// the backup had to tell is old. What is over is kept of both.
func restoreAlarms(tx *db.Tx, attached bool) error {
	queries := []string{`DELETE FROM alarm_notices`, `DELETE FROM alarm_letters`}
	if attached {
		queries = append(queries,
			`INSERT OR IGNORE INTO alarm_history (begun_at, code, modem, title, detail, severity, ended_at)
				SELECT begun_at, code, modem, title, detail, severity, ended_at FROM replaced.alarm_history`,
			`INSERT INTO alarm_notices (seq, kind, code, modem, title, detail, severity, at)
				SELECT seq, kind, code, modem, title, detail, severity, at FROM replaced.alarm_notices`,
			`INSERT INTO alarm_letters (id, channel, receiver, subject, body, made_at, tries, due_at, sent_at)
				SELECT id, channel, receiver, subject, body, made_at, tries, due_at, sent_at FROM replaced.alarm_letters`)
	}
	for _, query := range queries {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
}

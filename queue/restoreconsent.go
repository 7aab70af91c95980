package queue

import (
	"errors"
	"slices"
	"time"

	"gatewayd/db"
)

// mergeConsent keeps the stricter of what two databases say of consent, and all that
// either has noted.
func mergeConsent(tx *db.Tx, now time.Time) error {
	if err := mergeStops(tx); err != nil {
		return err
	}
	const entry = `at, clock_uncertain, number, decision, reason, wording, source, conversation, sim`
	for _, s := range []struct {
		query string
		args  []any
	}{
		{`INSERT INTO consent_log (` + entry + `) SELECT ` + entry + ` FROM replaced.consent_log r WHERE NOT EXISTS (SELECT 1 FROM main.consent_log m
			WHERE m.number = r.number AND m.at = r.at AND m.decision = r.decision AND m.source = r.source AND m.conversation IS r.conversation) ORDER BY r.seq`, nil},
		// An opt-in holds only if both say so, and is used up as far as either says.
		{`UPDATE opt_ins SET used = max(used, coalesce((SELECT r.used FROM replaced.opt_ins r WHERE r.conversation = opt_ins.conversation), 0))`, nil},
		{`UPDATE opt_ins SET state = 'asked', given_at = NULL, holds = NULL WHERE state = 'given'
			AND EXISTS (SELECT 1 FROM replaced.opt_ins r WHERE r.conversation = opt_ins.conversation AND r.state = 'asked')`, nil},
		{`UPDATE opt_ins SET state = 'ended', ended_at = ?, holds = NULL, reason = coalesce((SELECT r.reason FROM replaced.opt_ins r WHERE r.conversation = opt_ins.conversation), '` + ReasonClosed + `')
			WHERE state <> 'ended' AND (number IN (SELECT number FROM stop_list)
			OR NOT EXISTS (SELECT 1 FROM replaced.opt_ins r WHERE r.conversation = opt_ins.conversation AND r.state <> 'ended'))`, []any{toMS(now)}},
		{`UPDATE opt_ins SET heard_at = max(coalesce(heard_at, 0), coalesce((SELECT r.heard_at FROM replaced.opt_ins r WHERE r.conversation = opt_ins.conversation), 0)) WHERE state = 'given'`, nil},
		// They may have been told since the backup was made, and nobody is told twice.
		{`UPDATE opt_ins SET notice_until = NULL`, nil},
		{`INSERT OR IGNORE INTO auto_answers (number, day, kind) SELECT number, day, kind FROM replaced.auto_answers`, nil},
	} {
		if _, err := tx.Exec(s.query, s.args...); err != nil {
			return err
		}
	}
	return nil
}

// mergeStops keeps every STOP of both databases that no later START lifts. What
// is later, only times of a clock that was set can tell.
func mergeStops(tx *db.Tx) error {
	type stop struct {
		number, word, reason string
		since                int64
	}
	lists := map[string][]stop{}
	for _, side := range []string{"main", "replaced"} {
		rows, err := tx.Query(`SELECT number, word, reason, since FROM ` + side + `.stop_list`)
		if err != nil {
			return err
		}
		for rows.Next() {
			var s stop
			if err := rows.Scan(&s.number, &s.word, &s.reason, &s.since); err != nil {
				return errors.Join(err, rows.Close())
			}
			lists[side] = append(lists[side], s)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
	}
	last := map[string]stop{} // the later one counts
	for _, s := range slices.Concat(lists["main"], lists["replaced"]) {
		if had, ok := last[s.number]; !ok || s.since > had.since {
			last[s.number] = s
		}
	}
	for number, s := range last {
		lifted := false
		for _, side := range []string{"main", "replaced"} {
			if slices.ContainsFunc(lists[side], func(x stop) bool { return x.number == number }) {
				continue // a START there would have taken it off
			}
			started, err := startedAfter(tx, side, number, s.since)
			if err != nil {
				return err
			}
			lifted = lifted || started
		}
		query, args := `INSERT OR REPLACE INTO stop_list (number, since, word, reason) VALUES (?,?,?,?)`, []any{number, s.since, s.word, s.reason}
		if lifted {
			query, args = `DELETE FROM stop_list WHERE number = ?`, []any{number}
		}
		if _, err := tx.Exec(query, args...); err != nil {
			return err
		}
	}
	return nil
}

// startedAfter reports whether a number has surely sent START after its STOP: a text that
// is still there says so, or the log of consent tells that it did, or that somebody
// recorded so.
func startedAfter(tx *db.Tx, side, number string, since int64) (bool, error) {
	var noted, uncertain bool
	err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM `+side+`.consent_log c WHERE number = ?1 AND decision = 'opt-in' AND at > ?2 AND clock_uncertain = 0
		AND reason <> '`+ReasonStated+`' AND (reason <> '`+ReasonWord+`' OR EXISTS (SELECT 1 FROM `+side+`.messages m WHERE m.id = c.source))),
		EXISTS (SELECT 1 FROM (SELECT * FROM main.consent_log UNION ALL SELECT * FROM replaced.consent_log) WHERE number = ?1 AND decision = 'opt-out' AND at = ?2 AND clock_uncertain = 1)`,
		number, since).Scan(&noted, &uncertain)
	if err != nil || noted || uncertain {
		return noted && !uncertain, err
	}
	rows, err := tx.Query(`SELECT text FROM `+side+`.messages WHERE number = ?1 AND direction = 'inbound' AND created_at > ?2 AND text IS NOT NULL
		AND clock_uncertain = 0 AND NOT EXISTS (SELECT 1 FROM (SELECT * FROM main.messages UNION ALL SELECT * FROM replaced.messages) stop
			WHERE stop.number = ?1 AND stop.direction = 'inbound' AND stop.created_at = ?2 AND stop.clock_uncertain = 1)`, number, since)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return false, err
		}
		found = found || common.Of(text).Kind == WordStart
	}
	return found, rows.Err()
}

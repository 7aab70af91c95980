package queue

import (
	"database/sql"

	"gatewayd/db"
	"gatewayd/sms"
)

// Answered are the authors of the messages that the number of a conversation got since
// it wrote last before the message in row; if it got none since, of the one before that.
// What it writes in row answers these.
func Answered(r db.Querier, conversation string, row int64) (all []sms.Author, err error) {
	const got = `SELECT author FROM messages WHERE conversation = ?1 AND row < ?2 AND direction = 'outbound' AND author IS NOT NULL
		AND status IN ('sending', 'sent', 'delivered', 'unconfirmed') `
	var before int64
	err = r.QueryRow(`SELECT coalesce(max(row), 0) FROM messages WHERE conversation = ? AND row < ? AND direction = 'inbound'`, conversation, row).Scan(&before)
	if err != nil {
		return nil, err
	}
	if all, err = authors(r.Query(got+`AND row > ?3 ORDER BY row`, conversation, row, before)); err != nil || len(all) > 0 {
		return all, err
	}
	return authors(r.Query(got+`ORDER BY row DESC LIMIT 1`, conversation, row))
}

// StopTx is OptOutTx for a number that did not ask for it itself, and is told so.
func (q *Queue) StopTx(tx *db.Tx, a Answer, by Source) error {
	changed, err := q.optOut(tx, a.To, a.SIM, by)
	if err != nil || !changed {
		return err
	}
	rules := q.rules()
	if rules.Answers == AnswersNone {
		return nil
	}
	a.Kind, a.Text = AnswerStop, rules.texts(everywhere).Stopped
	_, err = q.AnswerTx(tx, a)
	return err
}

// authors reads authors, each once.
func authors(rows *sql.Rows, err error) (all []sms.Author, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	seen := map[string]bool{}
	for rows.Next() {
		var kept string
		if err := rows.Scan(&kept); err != nil {
			return nil, err
		}
		var r record
		if err := r.setAuthor(kept); err != nil {
			return nil, err
		}
		if !seen[r.Author.ID] {
			seen[r.Author.ID] = true
			all = append(all, *r.Author)
		}
	}
	return all, rows.Err()
}

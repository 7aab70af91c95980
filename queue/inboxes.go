package queue

import (
	"context"
	"errors"

	"gatewayd/db"
	"gatewayd/sms"
)

// forInboxes find them by the indexes that hold nothing else: they are asked at each change
// of a hub's queue. An index of some rows serves only who names its condition in its words.
var forInboxes = []string{
	`SELECT row FROM messages INDEXED BY messages_by_internet WHERE via = 'internet' AND status IN ('scheduled', 'queued') AND status = 'queued'
		AND direction = 'outbound' AND held = 0 AND redacted = 0 ORDER BY row LIMIT ?`,
	`SELECT row FROM messages INDEXED BY messages_copy WHERE copy = 'not-sent' AND status IN ('sent', 'delivered')
		AND direction = 'outbound' AND held = 0 AND redacted = 0 ORDER BY row LIMIT ?`,
}

// ForInboxes are, on a hub, the oldest rows of its own messages that are for inboxes:
// those by internet that wait, and copies of those that have gone out by SMS.
func (q *Queue) ForInboxes(ctx context.Context, limit int) (rows []int64, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		for _, query := range forInboxes {
			err := eachRow(r, query, func(scan func(...any) error) error {
				var row int64
				err := scan(&row)
				rows = append(rows, row)
				return err
			}, limit-len(rows))
			if err != nil {
				return err
			}
		}
		return nil
	})
	return rows, err
}

// ForInboxTx is the message of such a row, unless it was canceled or erased meanwhile.
func (q *Queue) ForInboxTx(tx *db.Tx, row int64) (*sms.Message, error) {
	r, err := load(tx, row)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil || r.Redacted || r.Held {
		return nil, err
	}
	if r.Via == sms.ViaInternet && r.Status == sms.Queued || r.Copy == sms.CopyNotSent && (r.Status == sms.Sent || r.Status == sms.Delivered) {
		return &r.Message, nil
	}
	return nil, nil
}

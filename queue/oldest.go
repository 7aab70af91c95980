package queue

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gatewayd/db"
)

// OldestWaiting tells since when the first message waits to be sent, and since when
// the first received one waits for a reader of the event log; zero: none waits.
// One that was scheduled waits from its time on.
func (q *Queue) OldestWaiting(ctx context.Context) (out, in time.Time, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		for query, into := range map[string]*time.Time{
			`SELECT max(created_at, coalesce(send_at, 0)) FROM messages WHERE queued_seq IS NOT NULL AND status = 'queued' ORDER BY queued_seq LIMIT 1`: &out,
			`SELECT retrieved FROM inbound_ring WHERE processed IS NULL ORDER BY event LIMIT 1`:                                                         &in,
		} {
			var at int64
			switch err := r.QueryRow(query).Scan(&at); {
			case err == nil:
				*into = fromMS(at)
			case !errors.Is(err, sql.ErrNoRows):
				return err
			}
		}
		return nil
	})
	return out, in, err
}

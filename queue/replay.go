package queue

import (
	"context"

	"gatewayd/db"
	"gatewayd/sms"
)

// Replay returns the answer already given to a request, if there is one, or
// ErrKeyReused when the key came with another body. It lets a caller answer a
// repetition before it checks the request again: what was right when it was
// accepted, a time or a modem's name, may be wrong by now.
func (q *Queue) Replay(ctx context.Context, once *Idempotency) (accepted []sms.Message, replayed bool, err error) {
	err = q.db.Read(ctx, func(r db.Querier) (err error) {
		accepted, replayed, err = answered(r, once)
		return err
	})
	q.present(accepted, everything)
	return accepted, replayed, err
}

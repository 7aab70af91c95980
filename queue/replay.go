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

// KnowsClientID tells whether a key has used a client_id, "" of which is none: what
// comes with it again is no new message.
func (q *Queue) KnowsClientID(ctx context.Context, keyID, clientID string) (known bool, err error) {
	if clientID == "" {
		return false, nil
	}
	if err := q.writeOut(everything); err != nil {
		return false, err
	}
	err = q.db.Read(ctx, func(r db.Querier) error {
		return r.QueryRow(`SELECT EXISTS (SELECT 1 FROM messages WHERE key_id = ?1 AND client_id = ?2)
			OR EXISTS (SELECT 1 FROM idempotency WHERE key_id = '`+clientKeys+`' || ?1 AND key = ?2)`, keyID, clientID).Scan(&known)
	})
	return known, err
}

package hub

import (
	"context"
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

const (
	// commandWait is how long a gateway may take to answer a command.
	commandWait = 10 * time.Second
	// settleWait is how long the hub waits for what is on its way to be there.
	settleWait = 5 * time.Second
)

// cancel cancels a message wherever it is: at the hub, in the link, or at its gateway,
// which alone knows whether it can be. Errors: queue.ErrNotFound, queue.ErrConflict.
func (f *flow) cancel(ctx context.Context, id string) (*sms.Message, error) {
	for end := f.now().Add(settleWait); ; {
		r, err := f.q.RelayOf(ctx, id)
		if errors.Is(err, queue.ErrNotFound) || err == nil && !undecided(r.Message.Status) {
			m, err := f.q.Cancel(ctx, id)
			if given, e := f.q.RelayOf(ctx, id); errors.Is(err, queue.ErrConflict) && e == nil && undecided(given.Message.Status) && f.now().Before(end) {
				continue // it was given to a gateway meanwhile
			}
			return m, err
		}
		if err != nil {
			return nil, err
		}
		if r.StoredAt.IsZero() && r.StreamSeq > 0 {
			var m *sms.Message
			taken, _, err := f.withdraw(ctx, []queue.Relayed{*r}, func(tx *db.Tx, _ queue.Relayed) (err error) {
				m, err = f.q.CancelRelayedTx(tx, id)
				return err
			})
			if len(taken) == 1 {
				return m, nil
			}
			if err != nil {
				return nil, queue.Conflict("message %s is in the link to gateway %s, which does not answer now; try again (%v)", id, r.Gateway, err)
			}
		}
		if r.StoredAt.IsZero() && r.StreamSeq == 0 && f.now().Before(end) {
			if !sleep(ctx, 50*time.Millisecond) { // it is being put there
				return nil, ctx.Err()
			}
			continue
		}
		if r.StoredAt.IsZero() && r.StreamSeq == 0 {
			return nil, queue.Conflict("message %s is on its way into the link to gateway %s, which does not answer now; try again", id, r.Gateway)
		}
		return f.cancelThere(ctx, r)
	}
}

// cancelThere has the gateway cancel a message, and waits for its word.
func (f *flow) cancelThere(ctx context.Context, r *queue.Relayed) (*sms.Message, error) {
	if p := (&fleet{places: f.places()}).place(r.Gateway); p == nil || !p.connected {
		return nil, queue.Conflict("message %s is with gateway %s, which is not connected and can't be asked; move its messages if it will not come back", r.ID, r.Gateway)
	}
	asking, cancel := context.WithTimeout(ctx, commandWait)
	defer cancel()
	answer, err := f.command(asking, r.Gateway, mirror.CommandRequest{Cancel: r.ID})
	if errors.Is(err, queue.ErrConflict) {
		return nil, err
	}
	if err != nil {
		return nil, queue.Conflict("message %s is with gateway %s, which did not answer: whether it is canceled shows later (%v)", r.ID, r.Gateway, err)
	}
	// Its word comes with its events, and is booked then.
	for end := f.now().Add(settleWait); ; {
		m, err := f.q.Message(ctx, r.ID)
		if err != nil || !undecided(m.Status) {
			return m, err
		}
		if f.now().After(end) {
			if answer.Status != "" {
				m.Status = answer.Status // the gateway's own word, ahead of its event
			}
			return m, nil
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
}

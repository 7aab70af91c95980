// Package intake is the desk at which every door hands messages in: the API,
// and whatever else takes texts. It reads what somebody wants sent, says all
// that is wrong with it at once, and queues it. What one door may not do, none
// may.
package intake

import (
	"context"
	"errors"
	"strings"
	"time"

	"gatewayd/clock"
	"gatewayd/failpoint"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// Modems are the modems that a message may name.
type Modems interface {
	// List returns all modems that are configured or known, in a fixed order.
	List() []sms.Modem
	Get(name string) (sms.Modem, bool)
}

// Options are what New needs. Queue must be given.
type Options struct {
	Queue    *queue.Queue
	Modems   Modems // nil: none
	Region   string // ISO country whose national numbers are accepted; "": none
	MaxParts int    // of a message; 0: pdu.MaxParts
	Clock    *clock.Clock
	Now      func() time.Time
}

// Desk takes messages in.
type Desk struct{ o Options }

// New returns a desk.
func New(o Options) *Desk {
	if o.MaxParts <= 0 {
		o.MaxParts = pdu.MaxParts
	}
	if o.Clock == nil {
		o.Clock = clock.New(clock.Options{Always: true})
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Desk{o}
}

// Caller is who hands messages in.
type Caller struct {
	KeyID string // of its API key, or what stands for one
}

// FieldError says what is wrong with one field. Its detail reads on from the
// field's name: "must be a whole number from 0 to 9".
type FieldError struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// Refused are the fields for which messages were refused. Nothing was queued.
type Refused []FieldError

func (r Refused) Error() string {
	said := make([]string, len(r))
	for i, f := range r {
		said[i] = f.Field + " " + f.Detail
	}
	return strings.Join(said, "; ")
}

// Submit queues all drafts or none and returns them once they are durable, as
// queue.Queue.Submit does. A caller that hangs up does not leave it open whether
// they were taken: they are. Errors: Refused, and those of the queue.
func (d *Desk) Submit(ctx context.Context, who Caller, drafts []queue.Draft, once *queue.Idempotency) (accepted []sms.Message, replayed bool, err error) {
	for i := range drafts {
		drafts[i].KeyID = who.KeyID
	}
	failpoint.Hit("api.before-commit")
	accepted, replayed, err = d.o.Queue.Submit(context.WithoutCancel(ctx), drafts, once)
	var bad *queue.DraftError
	if errors.As(err, &bad) {
		return nil, false, Refused{{bad.Field, strings.TrimPrefix(bad.Detail, bad.Field+": ")}}
	}
	return accepted, replayed, err
}

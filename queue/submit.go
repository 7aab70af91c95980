package queue

import (
	"context"

	"gatewayd/sms"
)

// Draft is an outbound message that a caller wants sent; its fields are
// validated and normalised (To is E.164 or a short code). ID, Status, Encoding,
// Parts and the times of its life are set by Submit.
type Draft struct {
	sms.Message
	Pin   string // name of the only modem that may send it; "" any
	KeyID string // the API key that submits it
}

// Idempotency names a request so that its repetition gives the same answer.
type Idempotency struct {
	KeyID string // the API key
	Key   string // Idempotency-Key
	Body  []byte // hash of the parsed body
}

// Submit stores all drafts or none and returns them as accepted, once they are
// durable. With an Idempotency it answers a repetition with the first answer
// (replayed is true) or ErrKeyReused. A draft whose ClientID the same KeyID has
// used answers with that message when the texts and recipients are equal, else
// ErrKeyReused. A recipient on the stop list is accepted and fails at once.
// Errors: ErrFull, ErrKeyReused, *pdu errors of texts that can't be encoded.
func (q *Queue) Submit(ctx context.Context, drafts []Draft, once *Idempotency) (accepted []sms.Message, replayed bool, err error) {
	panic("submit")
}

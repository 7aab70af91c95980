package webhook

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// Format is how an event looks to a receiver; that of Standard Webhooks is the
// default. It is asked by many goroutines at once.
type Format interface {
	// Request words an event. nil, nil: there is nothing to tell this receiver, and
	// the delivery is booked as dropped. An error counts as a refusal: three tries.
	Request(d Delivery) (*Request, error)
	// Answered is given the first 64 KiB of a 2xx answer before it is booked. After
	// an error the delivery is tried again, so acting on an answer must be idempotent
	// by the delivery's ID. The words of errors are listed: they must quote neither
	// the event nor the answer, for they are not erased with the message.
	Answered(ctx context.Context, d Delivery, header http.Header, body []byte) error
}

// Delivery is one attempt to tell a receiver an event.
type Delivery struct {
	ID      string // the same at every attempt
	Event   *sms.Event
	URL     string
	Account string // Target.Account
	Attempt int    // from 1
}

// Request is what is posted.
type Request struct {
	Header http.Header // beside User-Agent
	Body   []byte
}

// Source names further receivers of an event beside the endpoints, such as a
// message's callback_url. It is asked in the transaction that copies the event,
// and before that whether there are any.
type Source interface {
	Targets(q db.Querier, e *sms.Event) ([]Target, error)
}

// Idler is a Source that may name nobody yet. While all are idle, and there is no
// endpoint, the event log is followed and not held, and received messages wait for
// nobody.
type Idler interface {
	Idle(q db.Querier) (bool, error)
}

// Target is a receiver that a Source names.
type Target struct {
	URL     string
	Format  string // a key of Options.Formats; "": Standard Webhooks, signed with the callback secret
	Account string // whatever the Format needs to know
}

// standard is the format of Standard Webhooks.
type standard struct {
	keys func() [][]byte
	now  func() time.Time
}

func (s standard) Request(d Delivery) (*Request, error) { return s.request(d.ID, d.Event.Body()), nil }

func (s standard) request(id string, body []byte) *Request {
	at := s.now()
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	h.Set("Webhook-Signature", sign(s.keys(), id, at, body))
	return &Request{Header: h, Body: body}
}

func (standard) Answered(context.Context, Delivery, http.Header, []byte) error { return nil }

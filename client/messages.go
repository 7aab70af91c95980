package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"iter"
	"net/http"

	"gatewayd/wire"
)

// The words of the API, as its document has them.
type (
	// NewMessage is a message to be sent. To, and Text or Data, must be given.
	NewMessage = wire.NewMessage
	// Message is a message that was sent or received.
	Message = wire.Message
	// Status says where a message is.
	Status = wire.Status
	// OnUnconfirmed says what becomes of a message when nobody can know whether
	// it went out: "resend" or "fail".
	OnUnconfirmed = wire.NewMessageOnUnconfirmed
	// Unicode says what becomes of a text that the GSM 7-bit alphabet lacks
	// characters for.
	Unicode = wire.NewMessageUnicode
	// Filter says which messages List gives; nil fields leave it open.
	Filter = wire.ListMessagesParams
)

// The statuses, in the order of a message's life.
const (
	StatusScheduled   = wire.StatusScheduled
	StatusQueued      = wire.StatusQueued
	StatusSending     = wire.StatusSending
	StatusSent        = wire.StatusSent
	StatusDelivered   = wire.StatusDelivered
	StatusUndelivered = wire.StatusUndelivered
	StatusUnconfirmed = wire.StatusUnconfirmed
	StatusFailed      = wire.StatusFailed
	StatusExpired     = wire.StatusExpired
	StatusCanceled    = wire.StatusCanceled
	StatusReceived    = wire.StatusReceived
)

// MaxBatch is the most messages of one SendBatch.
const MaxBatch = 1000

// Send hands in a message. Once it returns, the message is durable on the
// gateway's disk and will go out.
func (c *Client) Send(ctx context.Context, m NewMessage) (*Message, error) {
	return c.SendOnce(ctx, rand.Text(), m)
}

// SendOnce is Send with an Idempotency-Key of the caller's: the same key and
// message again, even after a crash of the caller, give the first answer again
// and send nothing twice. The gateway remembers a key for a day at least.
func (c *Client) SendOnce(ctx context.Context, key string, m NewMessage) (*Message, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	var accepted Message
	err = c.call(ctx, &accepted, func(ctx context.Context) (*http.Response, error) {
		return c.rest.SendMessageWithBody(ctx, &wire.SendMessageParams{IdempotencyKey: &key}, "application/json", bytes.NewReader(body))
	})
	if err != nil {
		return nil, err
	}
	return &accepted, nil
}

// SendBatch hands in up to MaxBatch messages: all are accepted, or none. They
// come back in the same order.
func (c *Client) SendBatch(ctx context.Context, all []NewMessage) ([]Message, error) {
	return c.SendBatchOnce(ctx, rand.Text(), all)
}

// SendBatchOnce is SendBatch with an Idempotency-Key of the caller's.
func (c *Client) SendBatchOnce(ctx context.Context, key string, all []NewMessage) ([]Message, error) {
	body, err := json.Marshal(map[string]any{"messages": all})
	if err != nil {
		return nil, err
	}
	var accepted struct{ Messages []Message }
	err = c.call(ctx, &accepted, func(ctx context.Context) (*http.Response, error) {
		return c.rest.SendBatchWithBody(ctx, &wire.SendBatchParams{IdempotencyKey: &key}, "application/json", bytes.NewReader(body))
	})
	return accepted.Messages, err
}

// Get returns a message as it is now.
func (c *Client) Get(ctx context.Context, id string) (*Message, error) {
	var m Message
	err := c.call(ctx, &m, func(ctx context.Context) (*http.Response, error) {
		return c.rest.ClientInterface.GetMessage(ctx, id, nil)
	})
	if err != nil {
		return nil, err
	}
	return &m, nil
}

// Cancel takes a message back. It fails with status 409 once the message was
// handed to a modem.
func (c *Client) Cancel(ctx context.Context, id string) (*Message, error) {
	var m Message
	err := c.call(ctx, &m, func(ctx context.Context) (*http.Response, error) {
		return c.rest.ClientInterface.CancelMessage(ctx, id)
	})
	var refused *Error
	if errors.As(err, &refused) && refused.Status == http.StatusConflict {
		// If the answer to the first attempt got lost, this one was too late to
		// do what is done.
		if now, err := c.Get(ctx, id); err == nil && now.Status == StatusCanceled {
			return now, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return &m, nil
}

// List gives messages, newest first, page after page as long as the caller
// goes on. Filter.Limit is the size of a page.
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for {
			var page struct {
				Messages   []*Message
				NextCursor *string `json:"next_cursor"`
			}
			err := c.call(ctx, &page, func(ctx context.Context) (*http.Response, error) {
				return c.rest.ClientInterface.ListMessages(ctx, &f)
			})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, m := range page.Messages {
				if !yield(m, nil) {
					return
				}
			}
			if page.NextCursor == nil {
				return
			}
			f.Cursor = page.NextCursor
		}
	}
}

// Final tells whether nothing more is expected to happen to a message. It is
// meant for Wait.
func Final(m *Message) bool {
	switch m.Status {
	case StatusScheduled, StatusQueued, StatusSending, StatusUnconfirmed:
		return false
	case StatusSent:
		return !m.DeliveryReport
	}
	return true
}

// Wait returns the message as soon as until is true of it; Final, if until is
// nil. ctx limits how long that may take.
func (c *Client) Wait(ctx context.Context, id string, until func(*Message) bool) (*Message, error) {
	if until == nil {
		until = Final
	}
	for m, err := range c.Watch(ctx, id) {
		if err != nil {
			return nil, err
		}
		if until(m) {
			return m, nil
		}
	}
	return nil, ctx.Err() // Watch ends with an error only
}

// Watch gives a message as it is now, and again after each change, until ctx
// ends or the caller has seen enough. Changes in quick succession may come as one.
func (c *Client) Watch(ctx context.Context, id string) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		// The place in the log first, then the message: no change is between them.
		after, err := c.newest(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		last, err := c.Get(ctx, id)
		if err != nil || !yield(last, nil) {
			if err != nil {
				yield(nil, err)
			}
			return
		}
		for e, err := range c.Events(ctx, after) {
			if err != nil {
				yield(nil, err)
				return
			}
			if e.Type != Reset && e.messageID() != id {
				continue
			}
			// The event says that something happened; the message itself says
			// what it came to.
			m, err := c.Get(ctx, id)
			if err != nil {
				yield(nil, err)
				return
			}
			if m.Status == last.Status && m.Attempts == last.Attempts {
				continue
			}
			if last = m; !yield(m, nil) {
				return
			}
		}
	}
}

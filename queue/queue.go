// Package queue keeps the two rings, the parts, the idempotency answers, the
// stop list and the event log. Every change of a message's state and the event
// that tells it are one commit; a call that returns nil is durable.
package queue

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// The errors that callers tell apart.
var (
	// ErrFull means that no slot of the outbound ring is free.
	ErrFull = errors.New("the outbound queue is full")
	// ErrInboundFull means that nothing more may be taken from the modems.
	ErrInboundFull = errors.New("the inbound ring is full")
	// ErrNotFound means that there is no such message.
	ErrNotFound = errors.New("no such message")
	// ErrConflict means that the message's status does not allow it.
	ErrConflict = errors.New("the message's status does not allow this")
	// ErrKeyReused means that an Idempotency-Key or client_id came with another body.
	ErrKeyReused = errors.New("used before with another body")
)

// Options are what Open needs.
type Options struct {
	OutboundCapacity int           // slots; 0: 100,000
	InboundCapacity  int           // slots; 0: 100,000
	UnconfirmedWait  time.Duration // 0: 2 minutes
	ReportWait       time.Duration // 0: 24 hours
	AssemblyWait     time.Duration // for missing parts of a received message; 0: 24 hours
	MaxParts         int           // of an outbound message; 0: 10
	Now              func() time.Time
	Log              *slog.Logger
}

// Queue is the durable heart of the gateway.
type Queue struct {
	db  *db.DB
	o   Options
	log *slog.Logger

	// The writer goroutine's own, kept in step with the file.
	queuedSeq int64 // the order of waiting messages, last given

	mu      sync.Mutex
	changed chan struct{} // closed and replaced after each commit with an event
	waiting chan struct{} // the same for commits that made a message wait
}

// Open takes over the queue's tables in d and settles what the last run left
// behind: messages whose part was handed to a modem and not confirmed become
// unconfirmed.
func Open(ctx context.Context, d *db.DB, o Options) (*Queue, error) {
	panic("open")
}

// Changed returns a channel that is closed at the next commit that wrote an
// event. Get it, then read the log, then wait on it.
func (q *Queue) Changed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changed
}

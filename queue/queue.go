// Package queue keeps the two rings, the parts, the idempotency answers, the
// stop list and the event log. Every change of a message's state and the event
// that tells it are one commit; a call that returns nil is durable.
package queue

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"gatewayd/db"
	"gatewayd/failpoint"
	"gatewayd/sms"
)

// The errors that callers tell apart.
var (
	// ErrFull means that no slot of the outbound ring is free.
	ErrFull = errors.New("the outbound queue is full")
	// ErrInboundFull means that nothing more may be taken from the modems.
	ErrInboundFull = errors.New("the inbound ring is full: its webhooks have not taken what is there")
	// ErrDamaged means that the database's file contradicts itself; nothing is
	// read or written any more.
	ErrDamaged = db.ErrDamaged
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
	BatchSlice       int           // messages of a batch that one transaction writes; 0: 24
	// Hub: there are no modems here; messages are given to gateways, and what becomes of
	// them those tell (relay.go).
	Hub    bool
	Region func() string // default_region, which may change: of senders told in national form; nil or "": as they are
	// Canary tells whether a received text is a test message of the gateway's
	// own, which is kept as a PDU and handed on to nobody. It must not wait.
	Canary func(text string) bool
	// Consent are the rules of consent, asked for each time; nil: nothing is set.
	Consent func() ConsentRules
	// Own tells whether a number is one of the gateway's own SIMs, which is answered
	// nothing automatically; nil: none is. It must not wait.
	Own func(number string) bool
	// ModemOf names the modem that has a SIM now; "": none has; nil: a SIM's name is its
	// modem's. It must not wait.
	ModemOf func(sim string) string
	Now     func() time.Time
	// Trusted tells whether Now is the time of day; nil: it is. While it is not,
	// nothing is scheduled, expired or pruned, and what is written says so.
	Trusted func() bool
	// Heard is told how far the network's time is ahead of Now: of a part that
	// was sent since Began, or at least, of a text that may have waited. nil: nobody.
	Heard func(from string, ahead time.Duration, atLeast bool)
	Began func() time.Time // what was sent before it tells nothing of the clock
	// Stepped hears, on the database's writer, that a message has come to a status,
	// and how long after it could go, or for a report after it was sent; below 0:
	// that is not known. nil: nobody does.
	Stepped func(to sms.Status, after time.Duration)
	Log     *slog.Logger
}

// conflictError is an ErrConflict in words of its own.
type conflictError string

// Conflict makes an ErrConflict that says what stands in the way, and what to do.
func Conflict(format string, args ...any) error { return conflictError(fmt.Sprintf(format, args...)) }

func (e conflictError) Error() string { return string(e) }

func (conflictError) Is(target error) bool { return target == ErrConflict }

func (o *Options) defaults() {
	orInt := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	orDuration := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	orInt(&o.OutboundCapacity, 100_000)
	orInt(&o.InboundCapacity, 100_000)
	orInt(&o.MaxParts, 10)
	orInt(&o.BatchSlice, failpoint.Rather(batchSlice, 1))
	orDuration(&o.UnconfirmedWait, 2*time.Minute)
	orDuration(&o.ReportWait, 24*time.Hour)
	orDuration(&o.AssemblyWait, 24*time.Hour)
	if o.Region == nil {
		o.Region = func() string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Trusted == nil {
		o.Trusted = func() bool { return true }
	}
	if o.Heard == nil || o.Began == nil {
		o.Heard, o.Began = func(string, time.Duration, bool) {}, o.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Queue is the durable heart of the gateway.
type Queue struct {
	db      *db.DB
	o       Options
	log     *slog.Logger
	out, in *ring
	usage   usage

	// Other packages' tables that hold something about messages and numbers.
	erasers   []Eraser
	exporters []exporter
	holders   []func(db.Querier) (int64, error)        // see HoldEvents
	received  func(*db.Tx, *sms.Message, string) error // see OnReceive
	heard     func(*db.Tx, *sms.Message, string) error // see OnHeard
	submitted func(*db.Tx, *sms.Message, string) error // see OnSubmit
	consented func(*db.Tx, string) error               // see OnConsent
	begins    func(*db.Tx, Leaving) (Way, error)       // see OnBegin
	lease     func() bool                              // see SetLease

	// Only functions that run on the database's writer touch these.
	queuedSeq atomic.Int64           // the order of waiting messages, last given; anybody may read it
	epoch     atomic.Int64           // the newest epoch of the hub, see FenceTx; anybody may read it
	lastRow   int64                  // of messages, last given
	lastEvent int64                  // sequence, last given
	onAir     map[int64]*record      // the rows of messages that modems have in hand, as they are on disk
	stops     map[string]bool        // the stop list
	promised  map[clientKey]promised // messages with a client_id that are accepted and not yet written out
	ids       *ulid.MonotonicEntropy

	silenceAt, noticesAt time.Time // the next looks; only EndSilent touches them

	writingOut sync.Mutex  // of batches
	late       atomic.Bool // writeOutLater is at it

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced after each commit with an event
	backlogs map[backlogOf]*backlog
	unrouted order              // on a hub, in their place
	open     map[sms.Status]int // messages at each status that is not final
}

// Open takes over the queue's tables in d and settles what the last run left
// behind: messages whose part was handed to a modem and not confirmed become
// unconfirmed. Then come OnReceive and the like, and Resume.
func Open(ctx context.Context, d *db.DB, o Options) (*Queue, error) {
	q, err := prepare(ctx, d, o)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	// The recovery may line messages up before it is known what waits: each that
	// ever got a place got an event too, so this is behind all of them.
	q.queuedSeq.Store(q.lastEvent)
	failpoint.Hit("queue.before-recovery")
	if !o.Hub { // what gateways have in hand they settle
		if err := q.recover(); err != nil {
			return nil, fmt.Errorf("queue: recovery: %w", err)
		}
	}
	if err := q.takeStock(ctx); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	failpoint.Hit("queue.recovered")
	return q, nil
}

// Resume writes out what the last run has accepted and did not write out. It is to be
// called once all have joined who are to hear of it, and before the queue is used: what
// was accepted is there before anybody asks for it, if the disk lets us.
func (q *Queue) Resume() error {
	err := q.writeOut(everything)
	if errors.Is(err, ErrDiskFull) {
		q.writeOutLater(err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("queue: batches: %w", err)
	}
	return nil
}

// prepare reads what the queue keeps in memory and settles nothing.
func prepare(ctx context.Context, d *db.DB, o Options) (*Queue, error) {
	o.defaults()
	q := &Queue{
		db: d, o: o, log: o.Log,
		ids:      ulid.Monotonic(rand.Reader, 0),
		onAir:    map[int64]*record{},
		stops:    map[string]bool{},
		open:     map[sms.Status]int{},
		changed:  make(chan struct{}),
		backlogs: map[backlogOf]*backlog{},
		promised: map[clientKey]promised{},
	}
	err := d.Read(ctx, func(r db.Querier) error {
		err := r.QueryRow(`SELECT seq FROM sqlite_sequence WHERE name = 'messages'`).Scan(&q.lastRow)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if _, q.lastEvent, err = span(r); err != nil {
			return err
		}
		var epoch int64
		if err := r.QueryRow(`SELECT coalesce(max(last), 0) FROM sequences WHERE name = ?`, hubEpoch).Scan(&epoch); err != nil {
			return err
		}
		q.epoch.Store(epoch)
		if q.out, err = openRing(r, "outbound_ring", o.OutboundCapacity); err != nil {
			return err
		}
		var last int64
		err = r.QueryRow(`SELECT coalesce(sum(count), 0), coalesce(max(first + count - 1), 0) FROM batch_slices`).Scan(&q.out.promised, &last)
		if err != nil {
			return err
		}
		q.lastRow = max(q.lastRow, last)
		if q.in, err = openRing(r, "inbound_ring", o.InboundCapacity); err != nil {
			return err
		}
		return q.readUsage(r)
	})
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return q, nil
}

// Changed returns a channel that is closed at the next commit that wrote an
// event. Get it, then read the log, then wait on it.
func (q *Queue) Changed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changed
}

// write runs fn in a group commit and then wakes the readers of the log.
func (q *Queue) write(fn func(*db.Tx) error) error { return q.wakeAfter(q.db.Write(fn)) }

// writeUrgent is write ahead of batches, for what a modem waits for.
func (q *Queue) writeUrgent(fn func(*db.Tx) error) error { return q.wakeAfter(q.db.WriteUrgent(fn)) }

func (q *Queue) wakeAfter(err error) error {
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.changed)
	q.changed = make(chan struct{})
	return nil
}

func (q *Queue) nextRow() int64 {
	q.lastRow++
	return q.lastRow
}

func (q *Queue) newID(now time.Time) (string, error) {
	id, err := ulid.New(ulid.Timestamp(now), q.ids)
	if errors.Is(err, ulid.ErrMonotonicOverflow) {
		id, err = ulid.New(ulid.Timestamp(now), rand.Reader)
	}
	return "msg_" + id.String(), err
}

// step moves a message to its next status: the row, the event that tells it
// and the slot's flags, all in tx.
func (q *Queue) step(tx *db.Tx, r *record, next sms.Status, now time.Time) error {
	if !r.Status.CanBecome(next) {
		return fmt.Errorf("message %s is %s and can't become %s: %w", r.ID, r.Status, next, ErrConflict)
	}
	was, told := r.Status, r.lastEvent
	r.Status, r.UpdatedAt, r.lastEvent = next, now, q.nextEvent()
	r.ClockUncertain = r.ClockUncertain || !q.o.Trusted()
	slot := r.slot
	done := q.isDone(r)
	if done {
		r.slot = -1
	}
	switch next {
	case sms.Queued:
		if r.queuedSeq == 0 {
			q.line(tx, r)
		}
	case sms.Sending, sms.Scheduled:
	default: // nothing is left to send
		r.queuedSeq = 0
	}
	r.held, r.Held = 0, false // whatever was restored goes on now
	if err := r.save(tx, was, told); err != nil {
		return err
	}
	if now, before := spends(next), spends(was); now != before {
		n := 1
		if before {
			n = -1
		}
		if err := q.countOptIn(tx, r, n); err != nil {
			return err
		}
	}
	q.remind(tx, r)
	q.count(tx, was, -1)
	q.count(tx, next, 1)
	if q.o.Stepped != nil {
		after := r.waited(next, now)
		tx.OnCommit(func() { q.o.Stepped(next, after) })
	}
	if slot >= 0 {
		var err error
		switch {
		case q.o.Hub: // the other flags tell how far it is on its way to its gateway
			if done {
				err = q.out.set(tx, processed, slot, now)
			}
		case next == sms.Sending:
			err = q.out.set(tx, sentFlag, slot, now)
		case next == sms.Sent && done:
			err = q.out.setBoth(tx, slot, now)
		case next == sms.Sent:
			err = q.out.set(tx, confirmed, slot, now)
		case done:
			err = q.out.set(tx, processed, slot, now)
		}
		if err != nil {
			return err
		}
	}
	_, err := q.appendMessage(tx, r, told, now)
	return err
}

// waited is how long it took a message to come to its next status, below 0: that
// can't be told by a clock that was not set.
func (r *record) waited(next sms.Status, now time.Time) time.Duration {
	from := r.CreatedAt
	if r.SendAt.After(from) {
		from = r.SendAt
	}
	if next == sms.Delivered || next == sms.Undelivered {
		from = r.SentAt
	}
	if r.ClockUncertain || from.IsZero() {
		return -1
	}
	return now.Sub(from)
}

// isDone reports whether an outbound message needs its slot no longer.
func (q *Queue) isDone(r *record) bool {
	switch r.Status {
	case sms.Delivered, sms.Undelivered, sms.Failed, sms.Expired, sms.Canceled:
		return true
	case sms.Sent:
		return !r.DeliveryReport
	}
	return false
}

package queue

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// relay is how far an outbound message has come on its way from a hub to the gateway
// that sends it.
type relay int

// Its steps, each written before the next is begun.
const (
	relayNone     relay = iota // it waits at the hub
	relayGiven                 // it has its gateway, and may be in that one's stream
	relayInLink                // it is in that stream, on disk
	relayStored                // the gateway has it in its ring: what becomes of it the gateway alone knows
	relayMirrored              // on a gateway: it came from its hub
)

// Unrouted is a message on a hub that waits and has no gateway.
type Unrouted struct {
	Row          int64
	Seq          int64 // its place in the order
	ID           string
	To           string
	Wish         string // the gateway or group that was asked for; "": none
	Pin          string // the only modem that may send it
	KeyID        string
	Conversation string
	// SIM is what its recipient last had to do with, within 30 days. What is secret goes by the
	// routes alone: which SIM that is, a gateway says.
	SIM         string
	Priority    int
	NotBefore   time.Time
	ExpiresAt   time.Time
	MayHaveGone bool // another gateway had it, and can't be asked
}

// Relayed is a message on a hub that has a gateway, or came from one.
type Relayed struct {
	Row         int64
	ID          string
	Address     int // of its slot here
	Gateway     string
	Epoch       int64
	StreamSeq   uint64 // its place in the stream; 0: perhaps it is not there
	Message     sms.Message
	Wish        string
	Pin         string
	SIM         string // the only one that may send it; "": any
	KeyID       string
	Consent     Consent
	MayHaveGone bool
	GivenAt     time.Time
	StoredAt    time.Time // zero: the gateway has not said so
	Mirror      int       // its slot at the gateway; -1: not known, or none any more
}

// State is what a gateway tells of a message from its hub.
type State struct {
	ID                string
	Address           int // of its slot at the hub
	Mirror            int // of its slot at the gateway; -1: none any more
	Epoch             int64
	Status            sms.Status
	Modem             string
	SIM               string
	Local             string // the SIM's number, or the modem's name
	Attempts          int
	PossibleDuplicate bool
	ClockUncertain    bool
	SentAt            time.Time
	DeliveredAt       time.Time
	UpdatedAt         time.Time
	Error             *sms.Error
}

// onLink is a message's row of relays.
type onLink struct {
	address   int
	gateway   string
	epoch     int64
	streamSeq sql.NullInt64
	givenAt   int64
	storedAt  sql.NullInt64
	mirror    sql.NullInt64
	sim       string
	seq       int64
}

const relayColumns = `l.address, l.gateway, l.epoch, l.stream_seq, l.given_at, l.stored_at, l.mirror, l.sim, l.seq`

func (l *onLink) into() []any {
	return []any{&l.address, &l.gateway, &l.epoch, &l.streamSeq, &l.givenAt, &l.storedAt, &l.mirror, &l.sim, &l.seq}
}

// linkOf reads where a message is; nil: it has no gateway.
func linkOf(r db.Querier, row int64) (*onLink, error) {
	var l onLink
	err := r.QueryRow(`SELECT `+relayColumns+` FROM relays l WHERE l.message = ?`, row).Scan(l.into()...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &l, err
}

func (l *onLink) relayed(r *record) Relayed {
	all := Relayed{Row: r.Row, ID: r.ID, Address: l.address, Gateway: l.gateway, Epoch: l.epoch, StreamSeq: uint64(l.streamSeq.Int64),
		Message: r.Message, Wish: r.wish, Pin: r.pin, SIM: l.sim, KeyID: r.keyID, Consent: r.consent, MayHaveGone: r.PossibleDuplicate,
		GivenAt: fromMS(l.givenAt), StoredAt: fromNull(l.storedAt), Mirror: -1}
	if l.mirror.Valid {
		all.Mirror = int(l.mirror.Int64)
	}
	return all
}

// relayedOf lists what rest selects of messages m and their places l.
func relayedOf(r db.Querier, rest string, args ...any) (all []Relayed, err error) {
	err = eachRow(r, `SELECT `+recordColumns+`, `+relayColumns+` FROM relays l JOIN messages m ON m.row = l.message `+rest, func(scan func(...any) error) error {
		var l onLink
		r, err := scanRecord(scanFunc(scan), l.into()...)
		if err == nil {
			all = append(all, l.relayed(r))
		}
		return err
	}, args...)
	return all, err
}

type scanFunc func(...any) error

func (f scanFunc) Scan(into ...any) error { return f(into...) }

// GiveTx gives a waiting message to a gateway, under its epoch. nil: it is not to go, or
// not now. It asks what is asked before a modem gets one: nothing goes into the link that
// may not be sent.
func (q *Queue) GiveTx(tx *db.Tx, row int64, gateway string, epoch int64) (*Relayed, error) {
	r, err := load(tx, row)
	if errors.Is(err, ErrNotFound) {
		return nil, nil // erased
	}
	if err != nil {
		return nil, err
	}
	if r.Status != sms.Queued || r.relay != relayNone || r.queuedSeq == 0 || r.slot < 0 {
		return nil, nil
	}
	now := q.o.Now()
	way, err := q.wayOf(tx, r, r.pin) // as if that modem's SIM were about to send it
	if err != nil {
		return nil, err
	}
	refused, err := q.refused(tx, r, way, false)
	if err != nil {
		return nil, err
	}
	if refused != nil {
		r.Error = refused
		return nil, q.step(tx, r, sms.Failed, now)
	}
	if !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(now) && q.o.Trusted() {
		return nil, q.expire(tx, r, now)
	}
	if until := q.quietUntil(r, now); !until.IsZero() {
		return nil, q.postpone(tx, r, until, now)
	}
	r.relay, r.Gateway, r.Error, r.notBefore = relayGiven, gateway, nil, time.Time{}
	if err := r.save(tx, sms.Queued, r.lastEvent); err != nil {
		return nil, err
	}
	l := onLink{address: r.slot, gateway: gateway, epoch: epoch, givenAt: toMS(now)}
	if r.pin != "" {
		l.sim = way.SIM
	}
	if _, err := tx.Exec(`INSERT INTO relays (message, address, gateway, epoch, given_at, sim) VALUES (?,?,?,?,?,?)`,
		row, l.address, gateway, epoch, l.givenAt, l.sim); err != nil {
		return nil, err
	}
	given := l.relayed(r)
	return &given, nil
}

// Given lists messages that have a gateway and are not known to be in its stream, in
// order: they are to be published, again perhaps.
func (q *Queue) Given(ctx context.Context, gateway string, limit int) (all []Relayed, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		all, err = relayedOf(r, `WHERE l.gateway = ? AND l.stream_seq IS NULL AND l.stored_at IS NULL AND m.relay = 1 ORDER BY m.queued_seq, m.row LIMIT ?`, gateway, limit)
		return err
	})
	return all, err
}

// PublishedTx notes that a message is in its gateway's stream, on disk.
func (q *Queue) PublishedTx(tx *db.Tx, row int64, streamSeq uint64) error {
	r, err := load(tx, row)
	if errors.Is(err, ErrNotFound) || err == nil && r.relay == relayNone {
		return nil // erased, or taken back meanwhile
	}
	if err != nil {
		return err
	}
	now := q.o.Now()
	if _, err := tx.Exec(`UPDATE relays SET stream_seq = ?, published_at = coalesce(published_at, ?) WHERE message = ?`, int64(streamSeq), toMS(now), row); err != nil {
		return err
	}
	if r.relay == relayGiven {
		r.relay = relayInLink
		if err := r.save(tx, r.Status, r.lastEvent); err != nil {
			return err
		}
	}
	if r.slot < 0 {
		return nil
	}
	return q.out.set(tx, sentFlag, r.slot, now)
}

// TakeBackTx has a message wait anew, at its old place, that its gateway never got.
func (q *Queue) TakeBackTx(tx *db.Tx, row int64) error { return q.MoveTx(tx, row, false) }

// MoveTx takes a message back from a gateway that has it. mayHaveGone: that one may have
// sent it, or may still; then it is a possible duplicate from now on, or fails, if its
// sender wanted it at most once. ErrConflict: it was sent, or has ended.
func (q *Queue) MoveTx(tx *db.Tx, row int64, mayHaveGone bool) error {
	r, err := load(tx, row)
	if err != nil {
		return err
	}
	return q.takeBack(tx, r, mayHaveGone, q.o.Now())
}

func (q *Queue) takeBack(tx *db.Tx, r *record, mayHaveGone bool, now time.Time) error {
	if r.Direction != sms.Outbound || r.relay == relayNone {
		return nil
	}
	switch r.Status {
	case sms.Queued:
	case sms.Sending, sms.Unconfirmed:
		mayHaveGone = true
	default:
		return Conflict("message %s is %s and can't go to another gateway", r.ID, r.Status)
	}
	if err := q.leaveLink(tx, r); err != nil {
		return err
	}
	if mayHaveGone {
		if r.OnUnconfirmed == sms.Fail { // at most once was asked for
			r.Error = unconfirmed("The gateway that has it can't be asked any more, and may have sent it.")
			return q.step(tx, r, sms.Failed, now)
		}
		r.PossibleDuplicate = true
	}
	r.Modem, r.From, r.Error, r.notBefore, r.unconfirmedAt = "", "", nil, time.Time{}, time.Time{}
	if r.queuedSeq > 0 { // at its old place
		q.lineForGateway(tx, r)
	}
	if r.Status == sms.Queued {
		return q.again(tx, r, now)
	}
	return q.step(tx, r, sms.Queued, now)
}

// leaveLink forgets what gateway a message has. It is for the caller to save.
func (q *Queue) leaveLink(tx *db.Tx, r *record) error {
	r.relay, r.Gateway = relayNone, ""
	if _, err := tx.Exec(`DELETE FROM relays WHERE message = ?`, r.Row); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE outbound_ring SET sent = NULL, confirmed = NULL WHERE address = ? AND message = ? AND processed IS NULL`, r.slot, r.Row)
	return err
}

// EndRelayedTx ends a message that was withdrawn before its gateway got it: Canceled,
// Expired or Failed, with why (nil: as the status says).
func (q *Queue) EndRelayedTx(tx *db.Tx, row int64, status sms.Status, why *sms.Error) error {
	r, err := load(tx, row)
	if err != nil {
		return err
	}
	return q.endRelayed(tx, r, status, why)
}

func (q *Queue) endRelayed(tx *db.Tx, r *record, status sms.Status, why *sms.Error) error {
	if r.Status != sms.Queued {
		return Conflict("message %s is %s: its gateway has it", r.ID, r.Status)
	}
	if err := q.leaveLink(tx, r); err != nil {
		return err
	}
	if status == sms.Expired && why == nil {
		return q.expire(tx, r, q.o.Now())
	}
	r.Error = why
	return q.step(tx, r, status, q.o.Now())
}

// CancelRelayedTx cancels a message that was withdrawn before its gateway got it.
func (q *Queue) CancelRelayedTx(tx *db.Tx, id string) (*sms.Message, error) {
	r, err := loadID(tx, id)
	if err != nil {
		return nil, err
	}
	if r.PossibleDuplicate {
		return nil, Conflict("message %s was with a gateway before and may have been sent", id)
	}
	if err := q.endRelayed(tx, r, sms.Canceled, nil); err != nil {
		return nil, err
	}
	return &r.Message, nil
}

// ExpireRelayed lists messages whose expires_at has come and that are on their way to a
// gateway: what can be withdrawn is to be ended. Of what a gateway has stored that one
// tells.
func (q *Queue) ExpireRelayed(ctx context.Context, now time.Time, limit int) (all []Relayed, err error) {
	if !q.o.Trusted() {
		return nil, nil
	}
	err = q.db.Read(ctx, func(r db.Querier) error {
		all, err = relayedOf(r, `WHERE m.status IN ('scheduled', 'queued') AND m.expires_at IS NOT NULL AND m.expires_at <= ? AND m.relay IN (1, 2)
			ORDER BY m.expires_at LIMIT ?`, toMS(now), limit)
		return err
	})
	return all, err
}

// RelayOf tells where a message of a hub is; ErrNotFound: it has no gateway, or is none.
func (q *Queue) RelayOf(ctx context.Context, id string) (*Relayed, error) {
	var all []Relayed
	err := q.db.Read(ctx, func(r db.Querier) (err error) {
		all, err = relayedOf(r, `WHERE m.id = ?`, id)
		return err
	})
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &all[0], nil
}

// RelaysOf lists the messages of a gateway, in both directions, with a row above after.
func (q *Queue) RelaysOf(ctx context.Context, gateway string, after int64, limit int) (all []Relayed, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		all, err = relayedOf(r, `WHERE l.gateway = ? AND l.message > ? ORDER BY l.message LIMIT ?`, gateway, after, limit)
		return err
	})
	return all, err
}

// pointedAmong is among how many of a gateway's newest messages its pointers are looked for.
const pointedAmong = 1000

// RelayPointers are a hub's rings as far as they are one gateway's: how much of them is,
// and which of its addresses got each flag last.
func (q *Queue) RelayPointers(ctx context.Context, gateway string) (sms.Rings, error) {
	rings := sms.Rings{Outbound: sms.Ring{Capacity: q.out.capacity}, Inbound: sms.Ring{Capacity: q.in.capacity}}
	err := q.db.Read(ctx, func(r db.Querier) error {
		for _, side := range []struct {
			ring      *sms.Ring
			table     string
			direction sms.Direction
		}{{&rings.Outbound, "outbound_ring", sms.Outbound}, {&rings.Inbound, "inbound_ring", sms.Inbound}} {
			newest := `FROM (SELECT l.* FROM relays l JOIN messages m ON m.row = l.message WHERE l.gateway = ? AND m.direction = ? ORDER BY l.message DESC LIMIT ?) l
				JOIN ` + side.table + ` o ON o.address = l.address AND o.message = l.message `
			for _, of := range []struct {
				at   **int
				flag string
			}{{&side.ring.LastRetrieved, "l.given_at"}, {&side.ring.LastSent, "o.sent"}, {&side.ring.LastConfirmed, "o.confirmed"}, {&side.ring.LastProcessed, "o.processed"}} {
				err := eachRow(r, `SELECT l.address `+newest+`WHERE `+of.flag+` IS NOT NULL ORDER BY `+of.flag+` DESC, l.message DESC LIMIT 1`, func(scan func(...any) error) error {
					*of.at = new(int)
					return scan(*of.at)
				}, gateway, side.direction, pointedAmong)
				if err != nil {
					return err
				}
			}
			err := r.QueryRow(`SELECT count(*) FROM `+side.table+` o CROSS JOIN relays l ON l.message = o.message
				WHERE o.processed IS NULL AND l.gateway = ?`, gateway).Scan(&side.ring.Depth)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return rings, err
}

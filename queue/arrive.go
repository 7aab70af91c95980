package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// Arrived is a message that a gateway received.
type Arrived struct {
	Message  sms.Message
	SIM      string
	Mirror   int  // the address of its slot there; -1: none any more
	Dialled  bool // its sender can be answered
	Answered bool // the gateway answers it itself, so the hub need not
}

// ConsentChange is a decision of a number that travels between a hub and its gateways.
type ConsentChange struct {
	Seq     int64 // at the hub
	Number  string
	Stopped bool
	At      time.Time
	Reason  string
	Wording string
}

// simAt is what stands for a gateway's SIM on its hub. Where the modem does not tell one, its
// name stands for it there, and other gateways have modems of that name.
func simAt(sim, modem, gateway string) string {
	if sim != "" && sim == modem {
		return sim + "@" + gateway
	}
	return sim
}

// FromHub is the source of decisions that came from the hub: they are not told to it again.
const FromHub = "hub"

// codeMoved is of what a gateway ended because its hub gave it to another.
const codeMoved = "moved"

// ApplyTx books what a gateway tells of a message; seq is of its event, and what is not
// above the last one of that message changes nothing.
func (q *Queue) ApplyTx(tx *db.Tx, gateway string, seq int64, s State) error {
	r, err := loadID(tx, s.ID)
	if errors.Is(err, ErrNotFound) || err == nil && r.Direction != sms.Outbound {
		return nil // erased
	}
	if err != nil {
		return err
	}
	l, err := linkOf(tx, r.Row)
	if err != nil {
		return err
	}
	now := q.o.Now()
	if l == nil && r.held == mayHaveGone {
		if l, err = q.adopt(tx, r, gateway, s, now); err != nil {
			return err
		}
	}
	if l == nil || l.gateway != gateway || s.Epoch < l.epoch {
		return q.overheard(tx, r, s, now)
	}
	if seq <= l.seq {
		return nil
	}
	_, err = tx.Exec(`UPDATE relays SET seq = ?1, mirror = ?2, epoch = ?3, stored_at = coalesce(stored_at, ?4), published_at = coalesce(published_at, ?4) WHERE message = ?5`,
		seq, nullInt(s.Mirror, s.Mirror >= 0), s.Epoch, toMS(now), r.Row)
	if err != nil {
		return err
	}
	if s.Error != nil && s.Error.Code == codeMoved && !isOver(r.Status) {
		// It obeyed, but the message was not given to another yet.
		return q.takeBack(tx, r, s.Status != sms.Canceled || s.PossibleDuplicate && !r.PossibleDuplicate, now)
	}
	if r.slot >= 0 {
		for _, f := range []flag{sentFlag, confirmed} {
			if err := q.out.set(tx, f, r.slot, now); err != nil {
				return err
			}
		}
	}
	return q.follow(tx, r, gateway, s, now)
}

// adopt gives a message to the gateway that tells of it: a backup was restored that was
// made before it got it.
func (q *Queue) adopt(tx *db.Tx, r *record, gateway string, s State, now time.Time) (*onLink, error) {
	r.relay, r.Gateway, r.held, r.Held = relayStored, gateway, 0, false
	if r.Status == sms.Queued {
		q.line(tx, r)
	}
	if err := r.save(tx, r.Status, r.lastEvent); err != nil {
		return nil, err
	}
	_, err := tx.Exec(`INSERT INTO relays (message, address, gateway, epoch, given_at) VALUES (?,?,?,?,?)`, r.Row, r.slot, gateway, s.Epoch, toMS(now))
	return &onLink{gateway: gateway, epoch: s.Epoch}, err
}

// isOver tells whether a message has ended.
func isOver(s sms.Status) bool {
	switch s {
	case sms.Scheduled, sms.Queued, sms.Sending, sms.Unconfirmed:
		return false
	}
	return true
}

// follow brings a message to where its gateway has it, by steps that are allowed.
func (q *Queue) follow(tx *db.Tx, r *record, gateway string, s State, now time.Time) error {
	way, ok := wayTo(r.Status, s.Status, !s.SentAt.IsZero())
	if !ok {
		q.log.Warn("a gateway tells of a message what can't be", "message", s.ID, "gateway", gateway, "status", s.Status, "here", r.Status)
		return nil
	}
	r.relay = relayStored
	if s.Modem != "" {
		r.Modem = s.Modem + "@" + gateway
	}
	switch s.Local {
	case "":
	case s.Modem:
		r.From = r.Modem
	default:
		r.From = s.Local
	}
	r.Attempts = s.Attempts
	r.PossibleDuplicate = r.PossibleDuplicate || s.PossibleDuplicate
	r.ClockUncertain = r.ClockUncertain || s.ClockUncertain
	if !s.SentAt.IsZero() {
		r.SentAt = s.SentAt
	}
	for i, next := range way {
		switch {
		case i == len(way)-1:
			r.Error, r.DeliveredAt = s.Error, s.DeliveredAt
		case next == sms.Sent && r.SentAt.IsZero():
			r.SentAt = now
			fallthrough
		default:
			r.Error = nil
		}
		if err := q.step(tx, r, next, now); err != nil {
			return err
		}
	}
	if len(way) == 0 {
		r.Error = s.Error
		d := r.disk
		save := func() error { return r.save(tx, r.Status, r.lastEvent) }
		// What has ended was told, and is not told twice.
		if !isOver(r.Status) && (r.Modem != d.Modem || r.From != d.From || r.Attempts != d.Attempts || r.PossibleDuplicate != d.PossibleDuplicate || errPart(r.Error, 0) != errPart(d.Error, 0)) {
			save = func() error { return q.again(tx, r, now) }
		}
		if err := save(); err != nil {
			return err
		}
	}
	if s.SIM != "" && (s.Status == sms.Sending || s.Status == sms.Sent || s.Status == sms.Delivered) {
		return q.remember(tx, r.To, simAt(s.SIM, s.Modem, gateway), now)
	}
	return nil
}

// wayTo finds the steps from one status to another that the table allows, the fewest, but
// by Sent, which is told before Delivered, and before Undelivered of what was sent.
func wayTo(from, to sms.Status, sent bool) (way []sms.Status, ok bool) {
	if from == to {
		return nil, true
	}
	if from != sms.Sent && (to == sms.Delivered || to == sms.Undelivered && sent) {
		way, ok = wayTo(from, sms.Sent, sent)
		return append(way, to), ok
	}
	came := map[sms.Status]sms.Status{from: ""}
	for next := []sms.Status{from}; len(next) > 0; next = next[1:] {
		for _, s := range sms.Statuses {
			if _, known := came[s]; known || !next[0].CanBecome(s) {
				continue
			}
			came[s] = next[0]
			if s != to {
				next = append(next, s)
				continue
			}
			for ; s != from; s = came[s] {
				way = append(way, s)
			}
			slices.Reverse(way)
			return way, true
		}
	}
	return nil, false
}

// overheard books what a gateway tells that has the message no longer: all that counts is
// whether it had sent it.
func (q *Queue) overheard(tx *db.Tx, r *record, s State, now time.Time) error {
	switch s.Status {
	case sms.Sending, sms.Sent, sms.Delivered, sms.Undelivered, sms.Unconfirmed:
	default:
		if !s.PossibleDuplicate && s.SentAt.IsZero() {
			return nil
		}
	}
	if r.PossibleDuplicate {
		return nil
	}
	r.PossibleDuplicate = true
	if isOver(r.Status) { // its end was told, and is not told twice
		return r.save(tx, r.Status, r.lastEvent)
	}
	return q.again(tx, r, now)
}

// ArriveTx stores a message that a gateway received, as if it had been received here, and
// tells the address of its slot. Told again it gives the same.
func (q *Queue) ArriveTx(tx *db.Tx, gateway string, a Arrived) (address int, err error) {
	had, err := loadID(tx, a.Message.ID)
	if err == nil {
		l, err := linkOf(tx, had.Row)
		switch {
		case err != nil:
			return -1, err
		case had.Direction != sms.Inbound, had.Gateway != gateway:
			return -1, fmt.Errorf("%w: the message %s is another one here", ErrConflict, had.ID)
		case l == nil:
			return -1, nil
		}
		return l.address, nil
	}
	if !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	if err := q.db.Room(); err != nil {
		return 0, err
	}
	if q.in.free() <= 0 { // before anything is written: who asks may go on without it
		return 0, ErrInboundFull
	}
	r := &record{Message: a.Message, slot: -1, concatRef: -1}
	r.Direction, r.Status, r.Gateway, r.Via = sms.Inbound, sms.Received, gateway, sms.ViaSMS
	r.Conversation, r.Author, r.Held = "", nil, false // those were its own
	// What only who sends something says; files of others are not to be had by naming them.
	r.Mode, r.Copy, r.Files, r.Metadata, r.ClientID, r.CallbackURL = "", "", nil, nil, "", ""
	a.SIM = simAt(a.SIM, r.Modem, gateway)
	if modem := r.Modem; modem != "" {
		r.Modem = modem + "@" + gateway
		if r.To == modem {
			r.To = r.Modem
		}
	}
	if r.Redacted { // erased there before it was told
		r.Text, r.Data = "", nil
	}
	at := a.Message.CreatedAt
	if a.Message.ClockUncertain && q.WordOf(r.Text).Kind == WordStop {
		at = q.o.Now() // nobody knows when it was said, so it holds
	}
	if err := q.storeAs(tx, r, arrival{sim: a.SIM, dialled: a.Dialled, answered: a.Answered, at: at}); err != nil {
		return 0, err
	}
	now := toMS(q.o.Now())
	if address, err = inboundSlot(tx, r.lastEvent); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(`INSERT INTO relays (message, address, gateway, epoch, given_at, stored_at, mirror) VALUES (?,?,?,0,?,?,?)`,
		r.Row, address, gateway, now, now, nullInt(a.Mirror, a.Mirror >= 0)); err != nil {
		return 0, err
	}
	if r.Redacted {
		if _, err := tx.Exec(`UPDATE messages SET text = NULL, redacted = 1 WHERE row = ?`, r.Row); err != nil {
			return 0, err
		}
	}
	if !a.Dialled || a.SIM == "" {
		return address, nil
	}
	return address, q.remember(tx, r.From, a.SIM, r.CreatedAt)
}

// OptTx books a decision of a number that was heard elsewhere, at a time: of two the newer
// one holds, and of two of the same time the STOP. It gives no opt-in that was asked for
// here: the number was not asked there.
func (q *Queue) OptTx(tx *db.Tx, number string, stopped bool, at time.Time, by Source) error {
	by.at, by.elsewhere = q.notAhead(at), true
	if q.stops[number] == stopped {
		if stopped {
			_, err := q.optOut(tx, number, "", by) // it is noted that it was said again
			return err
		}
		return nil
	}
	older, err := q.decidedSince(tx, number, by.at, stopped)
	if older || err != nil {
		return err
	}
	if stopped {
		_, err = q.optOut(tx, number, "", by)
	} else {
		var reason string
		if err := tx.QueryRow(`SELECT reason FROM stop_list WHERE number = ?`, number).Scan(&reason); err != nil {
			return err
		}
		if reason == ReasonWord && by.Reason != ReasonWord {
			return nil // what the number said itself only the number takes back
		}
		_, err = q.optIn(tx, number, "", false, by)
	}
	if err != nil {
		return err
	}
	return q.tellConsent(tx, number)
}

// notAhead is a time that another machine told, if it can be one.
func (q *Queue) notAhead(at time.Time) time.Time {
	if now := q.o.Now(); at.IsZero() || at.After(now) {
		return now
	}
	return at
}

// decidedSince tells whether a number has decided something since a time, or at that time
// if what is asked about is no STOP. A hub tells its gateways of that once more: whoever
// told the older one goes by it until then.
func (q *Queue) decidedSince(tx *db.Tx, number string, at time.Time, stopped bool) (bool, error) {
	var newest sql.NullInt64
	err := tx.QueryRow(`SELECT max(at) FROM (SELECT max(since, coalesce(again_at, 0)) AS at FROM stop_list WHERE number = ?1
		UNION ALL SELECT at FROM consent_log WHERE number = ?1 AND decision IN ('opt-out', 'opt-in') AND reason <> '`+ReasonStated+`')`, number).Scan(&newest)
	older := newest.Valid && (newest.Int64 > toMS(at) || newest.Int64 == toMS(at) && !stopped)
	if err != nil || !older || !q.o.Hub || q.stops[number] == stopped {
		return older, err
	}
	by, holds := Source{Reason: ReasonWord, at: fromMS(newest.Int64)}, sms.DecisionOptIn
	if q.stops[number] {
		holds = sms.DecisionOptOut
		if err := tx.QueryRow(`SELECT reason, word FROM stop_list WHERE number = ?`, number).Scan(&by.Reason, &by.Wording); err != nil {
			return false, err
		}
	}
	return true, q.decided(tx, by.entry(number, holds))
}

// ConsentAfter lists the decisions of numbers behind one of the log, oldest first.
func (q *Queue) ConsentAfter(ctx context.Context, seq int64, limit int) (all []ConsentChange, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		found, err := consents(r, `WHERE seq > ? AND decision IN ('opt-out', 'opt-in') AND reason <> '`+ReasonStated+`' ORDER BY seq LIMIT ?`, seq, limit)
		for _, e := range found {
			all = append(all, ConsentChange{e.ID, e.Number, e.Decision == sms.DecisionOptOut, e.At, e.Reason, e.Wording})
		}
		return err
	})
	return all, err
}

// NewestConsent is the sequence of the last of the log; 0: nothing was decided yet.
func (q *Queue) NewestConsent(ctx context.Context) (seq int64, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		return r.QueryRow(`SELECT coalesce(max(seq), 0) FROM consent_log`).Scan(&seq)
	})
	return seq, err
}

// StopList lists the numbers of the stop list behind one, in order.
func (q *Queue) StopList(ctx context.Context, after string, limit int) (all []ConsentChange, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		return eachRow(r, `SELECT number, since, word, reason FROM stop_list WHERE number > ? ORDER BY number LIMIT ?`, func(scan func(...any) error) error {
			c := ConsentChange{Stopped: true}
			var since int64
			err := scan(&c.Number, &since, &c.Wording, &c.Reason)
			c.At = fromMS(since)
			all = append(all, c)
			return err
		}, after, limit)
	})
	return all, err
}

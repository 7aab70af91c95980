package queue

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// Draft is an outbound message that a caller wants sent; its fields are
// validated and normalised (To is E.164 or a short code). ID, Status, Encoding,
// Parts and the times of its life are set by Submit. One that is Redacted is sent with its
// text, which nobody else sees.
type Draft struct {
	sms.Message
	Pin   string // name of the only modem that may send it; "" any
	KeyID string // the API key that submits it
	// Consent is what the recipient must have agreed to; the stop list holds for all.
	Consent Consent
	// RejectIfLate is for who foresees when it will be sent: it is to be refused
	// rather than queued if that is too late.
	RejectIfLate bool
	// Gateway is, on a hub, the gateway or group that is to send it; "": as the routes say.
	Gateway string
}

// Idempotency names a request so that its repetition gives the same answer.
type Idempotency struct {
	KeyID string // the API key
	Key   string // Idempotency-Key
	Body  []byte // hash of the parsed body
}

// DraftError tells which draft can't be accepted and why.
type DraftError struct {
	Index  int    // of the draft
	Field  string // of the draft: text, data
	Detail string
}

func (e *DraftError) Error() string {
	return fmt.Sprintf("message %d: %s: %s", e.Index, e.Field, e.Detail)
}

// given is one message of an answer kept for an Idempotency-Key.
type given struct {
	Row   int64           `json:"row"`
	State json.RawMessage `json:"state"`
}

// Submit stores all drafts or none and returns them as accepted, once they are
// durable. With an Idempotency it answers a repetition with the first answer
// (replayed is true) or ErrKeyReused. A draft whose ClientID the same KeyID has
// used answers with that message when recipient and content are equal, else
// ErrKeyReused. A recipient on the stop list is accepted and fails at once.
// What is too much for one transaction is accepted in one and written out in others
// (batch.go). Errors: ErrFull, ErrDiskFull, ErrKeyReused, *DraftError.
func (q *Queue) Submit(ctx context.Context, drafts []Draft, once *Idempotency) (accepted []sms.Message, replayed bool, err error) {
	return q.SubmitCharged(ctx, drafts, once, nil)
}

// SubmitCharged is Submit of messages that somebody has only so many of: what is
// accepted and charged is one commit, and what is refused is not charged.
func (q *Queue) SubmitCharged(ctx context.Context, drafts []Draft, once *Idempotency, charge Charge) (accepted []sms.Message, replayed bool, err error) {
	if charge == nil {
		charge = func(*db.Tx, int) error { return nil }
	}
	records := make([]*record, len(drafts))
	for i, d := range drafts {
		if records[i], err = q.draft(i, d); err != nil {
			return nil, false, err
		}
	}
	if len(records) > q.o.BatchSlice {
		return q.submitBatch(records, once, charge)
	}
	var older int64 // the last row before
	err = q.write(func(tx *db.Tx) error {
		accepted, replayed, older = nil, false, q.lastRow
		if once != nil {
			var err error
			if accepted, replayed, err = answered(tx, once); replayed || err != nil {
				return err
			}
		}
		now, fresh, newest := q.o.Now(), 0, older
		answer := make([]given, 0, len(records))
		for _, r := range records {
			m, state, err := q.accept(tx, r, now)
			if err != nil {
				return err
			}
			if m.Row > newest { // and not one that stands in the request twice
				fresh, newest = fresh+1, m.Row
			}
			accepted = append(accepted, m)
			answer = append(answer, given{m.Row, json.RawMessage(state)})
		}
		if fresh > 0 {
			if err := charge(tx, fresh); err != nil {
				return err
			}
		}
		if once == nil {
			return nil
		}
		b, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		return once.keep(tx, string(b), now)
	})
	if err != nil {
		return nil, false, err
	}
	q.present(accepted, older)
	return accepted, replayed, nil
}

// keep keeps the answer to a request.
func (once *Idempotency) keep(tx *db.Tx, answer string, now time.Time) error {
	_, err := tx.Exec(`INSERT INTO idempotency (key_id, key, body, created_at, answer) VALUES (?,?,?,?,?)`,
		once.KeyID, once.Key, once.Body, toMS(now), answer)
	return err
}

// newRecord is what a draft becomes.
func newRecord(d Draft) *record {
	r := &record{Message: d.Message, pin: d.Pin, keyID: d.KeyID, consent: d.Consent, wish: d.Gateway, slot: -1, concatRef: -1, resendsLeft: 1}
	r.Direction, r.Kind = sms.Outbound, sms.KindText
	if r.Data != nil {
		r.Kind = sms.KindData
	}
	if r.OnUnconfirmed == "" {
		r.OnUnconfirmed = sms.Resend
	}
	return r
}

func (q *Queue) draft(i int, d Draft) (*record, error) {
	r := newRecord(d)
	if r.Priority < 0 || r.Priority >= Priorities {
		return nil, &DraftError{i, "priority", fmt.Sprintf("must be a whole number from 0 to %d", Priorities-1)}
	}
	if r.Via == sms.ViaInternet {
		return r, nil // it has no parts, and no alphabet
	}
	field := "text"
	if r.Data != nil {
		field = "data"
	}
	a, err := pdu.Analysis{Encoding: sms.Octet}, error(nil) // of no data at all
	if r.Data == nil || len(r.Data) > 0 {
		a, err = pdu.Submit{Text: r.Text, Data: r.Data, Port: r.Port, UDH: r.UDH}.Analyse()
	}
	if bad := (*pdu.Error)(nil); errors.As(err, &bad) {
		return nil, &DraftError{i, bad.Field, bad.Detail}
	}
	if err != nil {
		return nil, &DraftError{i, field, err.Error()}
	}
	if a.Parts > q.o.MaxParts {
		return nil, &DraftError{i, field, fmt.Sprintf("needs %d parts as %s; at most %d are allowed", a.Parts, a.Encoding, q.o.MaxParts)}
	}
	r.Encoding, r.Parts, r.ForcedBy = a.Encoding, a.Parts, a.Forced()
	return r, nil
}

// SubmitTx is Submit of one message in a transaction of the caller's: an answer goes
// out if what it answers is stored, and only then. The transaction must be one of Do,
// or of a function that the queue calls.
func (q *Queue) SubmitTx(tx *db.Tx, d Draft) (sms.Message, error) {
	r, err := q.draft(0, d)
	if err != nil {
		return sms.Message{}, err
	}
	m, _, err := q.accept(tx, r, q.o.Now())
	return m, err
}

// accept stores one new message with its slot and its event.
func (q *Queue) accept(tx *db.Tx, draft *record, now time.Time) (sms.Message, string, error) {
	r := *draft
	if r.ClientID != "" {
		m, state, err := q.sameClientID(tx, &r)
		if m.ID != "" || err != nil {
			return m, state, err
		}
	}
	// Behind the answers to what was accepted before: those need no room.
	err := q.db.Room()
	if err != nil {
		return sms.Message{}, "", err
	}
	if r.ID, err = q.newID(now); err != nil {
		return sms.Message{}, "", err
	}
	r.Row = q.nextRow()
	q.keepQuiet(&r, now)
	r.begin(now, !q.o.Trusted())
	if r.Via != sms.ViaInternet {
		if r.slot, err = q.claimOutbound(tx, r.Row, now); err != nil {
			return sms.Message{}, "", err
		}
	}
	m := r.Message
	state, err := q.enter(tx, &r, now)
	m.Conversation = r.Conversation
	return m, state, err
}

// begin gives a new message its status.
func (r *record) begin(now time.Time, uncertain bool) {
	r.CreatedAt, r.UpdatedAt = now, now
	r.Status, r.ClockUncertain = sms.Queued, uncertain
	if r.SendAt.After(now) || uncertain && !r.SendAt.IsZero() {
		r.Status = sms.Scheduled
	}
}

// enter writes a new message that has all but its place in the order, and its
// first event. It returns the snapshot in that.
func (q *Queue) enter(tx *db.Tx, r *record, now time.Time) (state string, err error) {
	r.lastEvent = q.nextEvent()
	if r.Status == sms.Queued {
		q.line(tx, r)
	}
	q.count(tx, r.Status, 1)
	if q.submitted != nil {
		if err := q.submitted(tx, &r.Message, r.pin); err != nil {
			return "", err
		}
	}
	if err := r.insert(tx); err != nil {
		return "", err
	}
	if state, err = q.appendMessage(tx, r, 0, now); err != nil {
		return "", err
	}
	if err := q.countOptIn(tx, r, 1); err != nil {
		return "", err
	}
	way, err := q.wayOf(tx, r, "")
	if err != nil {
		return "", err
	}
	if r.Error, err = q.refused(tx, r, way, true); r.Error != nil {
		return state, q.step(tx, r, sms.Failed, now)
	}
	return state, err
}

// answered looks for the answer already given to a request.
func answered(tx db.Querier, once *Idempotency) ([]sms.Message, bool, error) {
	var body []byte
	var answer string
	err := tx.QueryRow(`SELECT body, answer FROM idempotency WHERE key_id = ? AND key = ?`, once.KeyID, once.Key).Scan(&body, &answer)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if string(body) != string(once.Body) {
		return nil, false, fmt.Errorf("Idempotency-Key: %w", ErrKeyReused)
	}
	var rows []given
	if err := json.Unmarshal([]byte(answer), &rows); err != nil {
		return nil, false, err
	}
	messages := make([]sms.Message, 0, len(rows))
	for _, g := range rows {
		r, err := load(tx, g.Row)
		if errors.Is(err, ErrNotFound) {
			r, err = unwritten(tx, g.Row)
		}
		if err != nil {
			return nil, false, err // erased since: the request can't be repeated
		}
		m, err := r.rewind(string(g.State))
		if err != nil {
			return nil, false, err
		}
		messages = append(messages, m)
	}
	return messages, true, nil
}

// sameClientID returns the message that the client has already submitted under
// this id, as it was accepted.
func (q *Queue) sameClientID(tx *db.Tx, r *record) (sms.Message, string, error) {
	if first, ok := q.promised[clientKey{r.keyID, r.ClientID}]; ok {
		if first.content() != r.content() {
			return sms.Message{}, "", fmt.Errorf("client_id: %w", ErrKeyReused)
		}
		return first.Message, first.state, nil
	}
	var row int64
	err := tx.QueryRow(`SELECT row FROM messages WHERE key_id = ? AND client_id = ?`, r.keyID, r.ClientID).Scan(&row)
	if errors.Is(err, sql.ErrNoRows) {
		return sms.Message{}, "", forgottenClientID(tx, r)
	}
	if err != nil {
		return sms.Message{}, "", err
	}
	first, err := load(tx, row)
	if err != nil {
		return sms.Message{}, "", err
	}
	if first.content() != r.content() {
		return sms.Message{}, "", fmt.Errorf("client_id: %w", ErrKeyReused)
	}
	state, err := firstState(tx, first)
	if err != nil {
		return sms.Message{}, "", err
	}
	m, err := first.rewind(state)
	return m, state, err
}

// firstState is the snapshot in a message's first event; of now, if that is pruned.
func firstState(q db.Querier, r *record) (state string, err error) {
	for seq := r.lastEvent; seq != 0; {
		var prev sql.NullInt64
		err := q.QueryRow(`SELECT state, prev FROM events WHERE seq = ?`, seq).Scan(&state, &prev)
		if errors.Is(err, sql.ErrNoRows) {
			return r.snapshot()
		}
		if err != nil {
			return "", err
		}
		seq = prev.Int64
	}
	return state, nil
}

// content identifies what a message says and to whom.
func (r *record) content() [32]byte {
	b, _ := json.Marshal([]any{r.To, r.Text, r.Data, r.Port, r.Flash, r.pin, r.UDH, r.wish, r.Via, r.Subject, r.Files})
	return sha256.Sum256(b)
}

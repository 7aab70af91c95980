package queue

import (
	"encoding/json"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// OnReceive has f called in the transaction that stores a received message, before its
// row is written, with the SIM that it came to (its ICCID, or the modem's name): f may
// give it a conversation, and write what it keeps itself. An error of f undoes all of
// it, and the modem keeps the message. It is to be called before Resume.
func (q *Queue) OnReceive(f func(tx *db.Tx, m *sms.Message, sim string) error) { q.received = f }

// OnHeard has f called in the same transaction once that message is stored, and what it
// says of consent is done: f may answer it. An error of f undoes all of it. It is to be
// called before Resume.
func (q *Queue) OnHeard(f func(tx *db.Tx, m *sms.Message, sim string) error) { q.heard = f }

// OnSubmit has f called for each outbound message in the transaction that stores it,
// before its row is written: f may give one a conversation that has none, and writes
// what it keeps of those that have one. pin is the modem that must send it, "": any. Of
// a message that has none and gets none f must touch nothing but memory: those are
// most. It is to be called before Resume.
func (q *Queue) OnSubmit(f func(tx *db.Tx, m *sms.Message, pin string) error) { q.submitted = f }

// Leaving is a message that is accepted, or whose first part is about to be handed to a
// modem.
type Leaving struct {
	*sms.Message
	Key string // the API key or session that submitted it
	Pin string // the modem that must send it; "": any
	SIM string // that is about to send it; "": it is being accepted
}

// Way is how a message may go.
type Way struct {
	Refused *sms.Error // it may not; nil: it may
	SIM     string     // by this one and no other; "": by any. It holds for one that must go by one modem
	Avoid   bool       // by another one than it is about to, if one can send it now
}

// OnBegin has f asked when a message is accepted, and again in the transaction that
// begins its first part. It is to be called before Resume.
func (q *Queue) OnBegin(f func(tx *db.Tx, l Leaving) (Way, error)) { q.begins = f }

// wayOf says how a message may go; sim is as in Leaving.
func (q *Queue) wayOf(tx *db.Tx, r *record, sim string) (Way, error) {
	var way Way
	var err error
	if q.begins != nil {
		way, err = q.begins(tx, Leaving{&r.Message, r.keyID, r.pin, sim})
	}
	if err == nil && r.relay == relayMirrored && r.pin != "" && way.SIM == "" && sim != "" {
		err = tx.QueryRow(`SELECT sim FROM mirrored WHERE message = ?`, r.Row).Scan(&way.SIM)
	}
	return way, err
}

// redirected has a message wait anew that is not to go by the SIM that was about to send
// it. One that must go by another goes to the modem that has that now: SIMs were exchanged
// while it waited, and its answer would be somebody else's. One that should go by another
// does if one can take it; the second time it goes.
func (q *Queue) redirected(tx *db.Tx, r *record, way Way, sim string, now time.Time) (yes bool, err error) {
	switch {
	case r.pin == "" && way.Avoid && !contains(r.refusedBy, sim):
		r.refusedBy += sim + " "
	case r.pin != "" && way.SIM != "" && way.SIM != sim:
		modem := q.modemOf(way.SIM)
		if modem == "" || modem == r.pin {
			r.Error = &sms.Error{Code: "sim-moved", Title: "The SIM of the conversation is in no modem",
				Detail: "The modem that it waited for has another SIM now, whose answers are not this conversation's. Put the SIM into a modem and send it again.", Class: sms.Permanent}
			return true, q.step(tx, r, sms.Failed, now)
		}
		r.pin = modem
	default:
		return false, nil
	}
	q.line(tx, r)
	return true, r.save(tx, sms.Queued, r.lastEvent)
}

// OnConsent has f called, in the transaction that changes it, when the consent of a number
// is changed by something else than what it says: somebody recorded it, or it was silent
// for too long. It is to be called before Resume.
func (q *Queue) OnConsent(f func(tx *db.Tx, number string) error) { q.consented = f }

func (q *Queue) tellConsent(tx *db.Tx, number string) error {
	if q.consented == nil {
		return nil
	}
	return q.consented(tx, number)
}

// Do runs fn in a group commit and then wakes the readers of the log: for those who
// append events, or messages, with what they store themselves.
func (q *Queue) Do(fn func(*db.Tx) error) error { return q.write(fn) }

// AppendTx writes an event that is about no message, in a transaction of Do or of a
// function that the queue calls.
func (q *Queue) AppendTx(tx *db.Tx, kind string, data json.Marshaler) error {
	b, err := data.MarshalJSON()
	if err != nil {
		return err
	}
	return q.appendJSON(tx, kind, b)
}

// keptAuthor is an Author as it is kept, with its address.
type keptAuthor struct {
	Kind    sms.AuthorKind `json:"kind"`
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Widget  string         `json:"widget,omitempty"`
	Address string         `json:"address,omitempty"`
}

func keep(a *sms.Author) *keptAuthor { return (*keptAuthor)(a) }

func (k *keptAuthor) author() *sms.Author { return (*sms.Author)(k) }

// author is who wrote a message, for its row.
func (r *record) author() (any, error) {
	if r.Author == nil {
		return nil, nil
	}
	b, err := json.Marshal(keep(r.Author))
	return string(b), err
}

func (r *record) setAuthor(kept string) error {
	var k keptAuthor
	if err := json.Unmarshal([]byte(kept), &k); err != nil {
		return err
	}
	r.Author = k.author()
	return nil
}

package queue

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
	"gatewayd/sms/number"
	"gatewayd/sms/pdu"
)

// Receive makes a PDU durable. After nil it may be deleted from the modem's
// storage or acknowledged to the network; after an error it must not be.
// A PDU that can't be decoded is kept raw, as a message with an error.
// ErrInboundFull: stop reading for now.
func (q *Queue) Receive(in sms.Incoming) error {
	if in.At.IsZero() {
		in.At = q.o.Now()
	}
	deliver, report, decodeErr := pdu.Decode(in.PDU)
	sum := sha256.Sum256(pdu.Essence(in.PDU))
	p := &received{Incoming: in, hash: sum[:16]}
	return q.writeUrgent(func(tx *db.Tx) error {
		known, err := q.alreadyHere(tx, p)
		if known || err != nil {
			return err
		}
		switch {
		case decodeErr != nil:
			return q.keepRaw(tx, p, decodeErr)
		case report != nil:
			message, err := q.report(tx, simOf(in), report, in.At)
			if err != nil {
				return err
			}
			return p.insert(tx, message)
		case deliver.PID == 0x40:
			return p.insert(tx, 0) // type 0: acknowledged and not shown (TS 23.040 9.2.3.9)
		case deliver.Concat != nil:
			return q.receivePart(tx, p, deliver)
		default:
			if !deliver.SCTS.IsZero() {
				q.o.Heard(simOf(in), deliver.SCTS.Sub(in.At), true)
			}
			if err := p.insert(tx, 0); err != nil {
				return err
			}
			return q.deliver(tx, []*received{p}, []*pdu.Deliver{deliver}, false)
		}
	})
}

// Deleted books that the modem has confirmed the deletion of a stored PDU, so
// that the same PDU at the same index is a new one from now on.
func (q *Queue) Deleted(sim, storage string, index int) error {
	return q.writeUrgent(func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE received_pdus SET deleted_at = ? WHERE sim = ? AND storage = ? AND position = ? AND deleted_at IS NULL AND storage <> ''`,
			toMS(q.o.Now()), sim, storage, index)
		return err
	})
}

// received is a PDU on its way into received_pdus.
type received struct {
	sms.Incoming
	row       int64
	hash      []byte
	duplicate bool
	setKey    string
	setID     int64
	seq       int
	scts      time.Time
}

// simOf is what stands for the SIM: its ICCID, or the modem's name where the
// modem does not tell one.
func simOf(in sms.Incoming) string {
	if in.ICCID != "" {
		return in.ICCID
	}
	return in.Modem
}

func localOf(in sms.Incoming) string {
	if in.Number != "" {
		return in.Number
	}
	return in.Modem
}

func (p *received) insert(tx *db.Tx, message int64) error {
	var err error
	p.row, err = tx.Insert(`INSERT INTO received_pdus (message, modem, sim, local, storage, position, pdu, hash, at, duplicate, set_key, set_id, seq, scts)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		nullInt(int(message), message != 0), p.Modem, simOf(p.Incoming), localOf(p.Incoming), p.Storage, p.Index, p.PDU, p.hash, toMS(p.At), p.duplicate,
		orNull(p.setKey), nullInt(int(p.setID), p.setID != 0), nullInt(p.seq, p.seq != 0), nullMS(p.scts))
	return err
}

// alreadyHere reports whether this very PDU, from this place, is durable
// already: a crash or a repeated +CMTI made the modem's storage be read again.
// The same PDU from elsewhere is a new one that may be a repeat.
func (q *Queue) alreadyHere(tx *db.Tx, p *received) (bool, error) {
	if p.Storage != "" {
		var row int64
		var hash []byte
		err := tx.QueryRow(`SELECT row, hash FROM received_pdus WHERE sim = ? AND storage = ? AND position = ? AND deleted_at IS NULL AND storage <> ''`,
			simOf(p.Incoming), p.Storage, p.Index).Scan(&row, &hash)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return false, err
		case string(hash) == string(p.hash):
			return true, nil
		default:
			// Something else lies there now: the deletion did happen.
			if _, err := tx.Exec(`UPDATE received_pdus SET deleted_at = ? WHERE row = ?`, toMS(p.At), row); err != nil {
				return false, err
			}
		}
	}
	// What lies in the modem's own memory stays there when its SIM is changed, and
	// what it handed over directly may have come before it told its SIM.
	var n int
	err := tx.QueryRow(`SELECT count(*) FROM received_pdus WHERE hash = ? AND (sim = ? OR modem = ? AND (storage = 'ME' AND storage = ? OR storage = ''))`,
		p.hash, simOf(p.Incoming), p.Modem, p.Storage).Scan(&n)
	p.duplicate = n > 0
	return false, err
}

// keepRaw keeps what can't be decoded as a message without sender and text.
func (q *Queue) keepRaw(tx *db.Tx, p *received, why error) error {
	if err := p.insert(tx, 0); err != nil {
		return err
	}
	r := inbound(p)
	r.Kind, r.Encoding, r.Parts = sms.KindUnknown, sms.Octet, 1
	r.Error = &sms.Error{Code: "undecodable", Title: "The received PDU can't be decoded",
		Detail: fmt.Sprintf("Its %d octets are kept. %v.", len(p.PDU), why)}
	return q.store(tx, r, []*received{p}, false)
}

// deliver stores the message that parts make; held are their PDUs.
func (q *Queue) deliver(tx *db.Tx, held []*received, parts []*pdu.Deliver, incomplete bool) error {
	first := parts[0]
	for i := 0; first == nil; i++ {
		first = parts[i]
	}
	r := inbound(held[0])
	r.From, r.Incomplete = q.sender(first), incomplete
	r.read(parts, held[0].At)
	if q.o.Canary != nil && q.o.Canary(r.Text) {
		for _, p := range held { // if it came in parts, they wait for no more
			if _, err := tx.Exec(`UPDATE received_pdus SET set_key = NULL WHERE row = ?`, p.row); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range held {
		r.PossibleDuplicate = r.PossibleDuplicate || p.duplicate
	}
	dialled := !first.Alphanumeric && r.From != "" // else there is nobody to answer to
	if err := q.store(tx, r, held, dialled); err != nil || !dialled {
		return err
	}
	return q.remember(tx, r.From, simOf(held[0].Incoming), r.CreatedAt)
}

// sender is a received text's sender as people write to it: some networks tell
// it in its national form.
func (q *Queue) sender(d *pdu.Deliver) string {
	if !d.Alphanumeric {
		if n, err := number.Parse(d.From, q.o.Region()); err == nil {
			return n
		}
	}
	return d.From
}

func inbound(p *received) *record {
	return &record{
		Message: sms.Message{Direction: sms.Inbound, Status: sms.Received, To: localOf(p.Incoming), Modem: p.Modem,
			CreatedAt: p.At, UpdatedAt: p.At, PossibleDuplicate: p.duplicate},
		slot: -1, concatRef: -1,
	}
}

// store writes a received message with its event and its slot, and does what it says
// if it was dialled.
func (q *Queue) store(tx *db.Tx, r *record, held []*received, dialled bool) (err error) {
	if r.ID, err = q.newID(q.o.Now()); err != nil {
		return err
	}
	return q.storeAs(tx, r, arrival{sim: simOf(held[0].Incoming), dialled: dialled}, held...)
}

// arrival is how a message came.
type arrival struct {
	sim      string
	dialled  bool      // its sender can be answered
	answered bool      // and is, by the gateway that had it
	at       time.Time // when that was; zero: now
}

// storeAs is store of a message that has its id.
func (q *Queue) storeAs(tx *db.Tx, r *record, a arrival, held ...*received) (err error) {
	now, sim, dialled := q.o.Now(), a.sim, a.dialled
	r.CreatedAt, r.UpdatedAt, r.ClockUncertain = now, now, r.ClockUncertain || !q.o.Trusted()
	r.Row, r.lastEvent = q.nextRow(), q.nextEvent()
	var said heard
	if dialled {
		if said, err = q.hear(tx, r, sim, a.at); err != nil {
			return err
		}
	}
	if q.received != nil {
		// Before its row is written: it says which conversation it belongs to.
		if err := q.received(tx, &r.Message, sim); err != nil {
			return err
		}
	}
	if err := r.insert(tx); err != nil {
		return err
	}
	for _, p := range held {
		if _, err := tx.Exec(`UPDATE received_pdus SET message = ? WHERE row = ?`, r.Row, p.row); err != nil {
			return err
		}
	}
	if _, err := q.appendMessage(tx, r, 0, now); err != nil {
		return err
	}
	if err := q.claimInbound(tx, r.Row, r.lastEvent, now); err != nil || !dialled {
		return err
	}
	if !a.answered {
		if err := q.answer(tx, r, sim, said); err != nil {
			return err
		}
	}
	if q.heard == nil {
		return nil
	}
	return q.heard(tx, &r.Message, sim)
}

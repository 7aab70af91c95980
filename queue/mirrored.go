package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// Mirrored is a message that a gateway got from its hub.
type Mirrored struct {
	ID          string
	Address     int // of its slot at the hub
	Epoch       int64
	Draft       Draft
	SIM         string // the only one that may send it; "": any
	MayHaveGone bool   // another gateway had it before, which can't be asked
}

// MirrorSlot is one message that a hub and this gateway have in common.
type MirrorSlot struct {
	ID        string
	Direction sms.Direction
	Address   int        // at the hub; -1: not told yet
	Mirror    int        // at the gateway; -1: its slot is used again
	Status    sms.Status // "": the message is forgotten
	Epoch     int64
}

// StoreMirrored stores messages of the hub in one commit. Its errors are of the messages,
// one by one: ErrFull or ErrDiskFull, and nil of one that is stored, or was before. One
// that can't be sent at all is stored too, and has failed.
func (q *Queue) StoreMirrored(ctx context.Context, all []Mirrored) ([]error, error) {
	records, unfit, errs := make([]*record, len(all)), make([]error, len(all)), make([]error, len(all))
	for i, m := range all {
		d := m.Draft
		if d.Consent != ConsentAnswer { // the rest the hub has seen to
			d.Consent = ConsentOpen
		}
		d.SendAt, d.ClientID, d.Conversation = time.Time{}, "", ""
		r, err := q.draft(0, d)
		if err != nil {
			unfit[i] = err
			r = newRecord(d)
			r.Encoding, r.Parts = sms.GSM7, 1
		}
		r.ID, r.relay = m.ID, relayMirrored
		if m.SIM != "" {
			if modem := q.modemOf(m.SIM); modem != "" {
				r.pin = modem
			} else if r.pin == "" && unfit[i] == nil {
				unfit[i] = fmt.Errorf("the SIM that is to send it, %s, is in no modem of this gateway", m.SIM)
			}
		}
		if m.MayHaveGone {
			r.PossibleDuplicate, r.resendsLeft = true, 0
		}
		records[i] = r
	}
	err := q.write(func(tx *db.Tx) error {
		now := q.o.Now()
		for i, m := range all {
			err := q.storeMirrored(tx, m, *records[i], unfit[i], now)
			if errs[i] = err; err != nil && !errors.Is(err, ErrFull) && !errors.Is(err, ErrDiskFull) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return errs, nil
}

func (q *Queue) storeMirrored(tx *db.Tx, m Mirrored, r record, unfit error, now time.Time) error {
	had, begun, before, err := q.hadMirrored(tx, m, now)
	if had || err != nil {
		return err
	}
	if begun {
		r.PossibleDuplicate, r.resendsLeft = true, 0
		if r.OnUnconfirmed == sms.Fail {
			unfit = errBegun
		}
	}
	if err := q.db.Room(); err != nil {
		return err
	}
	r.Row = q.nextRow()
	r.begin(now, !q.o.Trusted())
	if r.slot, err = q.claimOutbound(tx, r.Row, now); err != nil {
		return err
	}
	if before != nil { // not sooner: without room for this one it is still what is known of it
		if err := q.eraseJoined(tx, before.number(), before); err != nil {
			return err
		}
		if err := q.eraseMessage(tx, before.Row, before.lastEvent); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`INSERT OR REPLACE INTO mirrored (id, direction, address, epoch, message, sim, at) VALUES (?,?,?,?,?,?,?)`,
		m.ID, sms.Outbound, m.Address, m.Epoch, r.Row, m.SIM, toMS(now)); err != nil {
		return err
	}
	if m.Epoch > q.epoch.Load() {
		if err := q.FenceTx(tx, m.Epoch); err != nil {
			return err
		}
	}
	if _, err := q.enter(tx, &r, now); err != nil || r.Status != sms.Queued {
		return err
	}
	if unfit != nil {
		r.Error = &sms.Error{Code: "unfit", Title: "This gateway can't send it", Detail: unfit.Error(), Class: sms.Permanent}
		if errors.Is(unfit, errBegun) {
			r.Error = unconfirmed("It was begun here before the hub gave it to another gateway, and may have gone out.")
		}
		return q.step(tx, &r, sms.Failed, now)
	}
	if m.Epoch < q.epoch.Load() {
		return q.endMoved(tx, &r, now)
	}
	return nil
}

// errBegun is of a message that may have gone and is to go at most once.
var errBegun = errors.New("it was begun here before, and may have gone out")

// hadMirrored tells whether a message of the hub is here already, and tells of it again. One
// that the hub took away and gives again comes anew if it was ended because of that, in the
// place of what is left of it before, and may have gone out if it was begun.
func (q *Queue) hadMirrored(tx *db.Tx, m Mirrored, now time.Time) (had, begun bool, before *record, err error) {
	var epoch int64
	var row sql.NullInt64
	err = tx.QueryRow(`SELECT epoch, message FROM mirrored WHERE id = ?`, m.ID).Scan(&epoch, &row)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil, nil
	}
	if err != nil || m.Epoch <= epoch {
		return true, false, nil, err
	}
	r, err := load(tx, row.Int64)
	if errors.Is(err, ErrNotFound) {
		return false, true, nil, nil // forgotten
	}
	if err != nil {
		return true, false, nil, err
	}
	if r.Error != nil && r.Error.Code == codeMoved {
		return false, r.Status != sms.Canceled, r, nil
	}
	if _, err := tx.Exec(`UPDATE mirrored SET epoch = ?, address = ? WHERE id = ?`, m.Epoch, m.Address, m.ID); err != nil {
		return true, false, nil, err
	}
	return true, false, nil, q.again(tx, r, now)
}

// FreeOutbound is how many messages the outbound ring can take: slots that are free, and, as
// far as it matters to who asks, those that only wait for a report.
func (q *Queue) FreeOutbound() int {
	const enough = 1000
	free := q.out.free()
	if free >= enough {
		return free
	}
	reporting := 0
	err := q.db.Read(context.Background(), func(r db.Querier) error {
		return r.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM outbound_ring WHERE `+q.reporting()+` LIMIT ?)`, enough).Scan(&reporting)
	})
	if err != nil {
		reporting = 0 // the next that is stored tells why
	}
	return max(0, free+reporting)
}

// MirrorOf tells of a message, by its row, what the hub has to know: its id, the address at
// the hub, the epoch, its slot here (-1: none any more) and the SIM that it went by. ok is
// false of messages that did not come from the hub.
func (q *Queue) MirrorOf(r db.Querier, row int64) (id string, address int, epoch int64, slot int, sim string, ok bool, err error) {
	err = r.QueryRow(`SELECT x.id, x.address, x.epoch, coalesce(m.slot, -1), coalesce((SELECT p.sim FROM parts p WHERE p.message = m.row ORDER BY p.sent_at DESC LIMIT 1), '')
		FROM mirrored x JOIN messages m ON m.row = x.message WHERE x.message = ? AND x.direction = 'outbound'`, row).Scan(&id, &address, &epoch, &slot, &sim)
	if errors.Is(err, sql.ErrNoRows) {
		return "", 0, 0, -1, "", false, nil
	}
	return id, address, epoch, slot, sim, err == nil, err
}

// ArrivalOf tells of a received message, by its row, what the hub has to know.
// ErrNotFound: it was erased, or came from the hub.
func (q *Queue) ArrivalOf(r db.Querier, row int64) (a Arrived, err error) {
	m, err := load(r, row)
	if err == nil && (m.Direction != sms.Inbound || m.Via == sms.ViaInternet) {
		err = ErrNotFound
	}
	if err != nil {
		return a, err
	}
	a.Message = m.Message
	if a.Mirror, err = inboundSlot(r, m.lastEvent); err != nil {
		return a, err
	}
	var raw []byte
	err = r.QueryRow(`SELECT sim, pdu FROM received_pdus WHERE message = ? ORDER BY coalesce(seq, 0), row LIMIT 1`, row).Scan(&a.SIM, &raw)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return a, err
	}
	if d, _, err := pdu.Decode(raw); err == nil && d != nil {
		a.Dialled = !d.Alphanumeric && m.From != ""
	}
	slot := "answer"
	if q.WordOf(m.Text).Kind == WordStop {
		slot = "stop"
	}
	err = r.QueryRow(`SELECT EXISTS (SELECT 1 FROM auto_answers WHERE number = ? AND kind = ? AND day = ?)`,
		m.From, slot, m.CreatedAt.UTC().Format(time.DateOnly)).Scan(&a.Answered)
	return a, err
}

// ReceiptTx notes the address at the hub of a message that was received here.
func (q *Queue) ReceiptTx(tx *db.Tx, id string, address int) error {
	_, err := tx.Exec(`INSERT INTO mirrored (id, direction, address, message, at) SELECT m.id, m.direction, ?, m.row, ? FROM messages m WHERE m.id = ?
		ON CONFLICT DO UPDATE SET address = excluded.address`, address, toMS(q.o.Now()), id)
	return err
}

// MirrorSlots lists the messages in common with the hub with an id behind one, in order.
func (q *Queue) MirrorSlots(ctx context.Context, after string, limit int) (all []MirrorSlot, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		return eachRow(r, `SELECT x.id, x.direction, coalesce(x.address, -1), coalesce(CASE x.direction WHEN 'outbound' THEN m.slot
			ELSE (SELECT i.address FROM inbound_ring i WHERE i.processed IS NULL AND i.event = m.last_event) END, -1), coalesce(m.status, ''), x.epoch
			FROM mirrored x LEFT JOIN messages m ON m.row = x.message WHERE x.id > ? AND x.direction <> '' ORDER BY x.id LIMIT ?`, func(scan func(...any) error) error {
			var s MirrorSlot
			err := scan(&s.ID, &s.Direction, &s.Address, &s.Mirror, &s.Status, &s.Epoch)
			all = append(all, s)
			return err
		}, after, limit)
	})
	return all, err
}

// mirroredKept is for how long a repetition of a message is known as one.
const mirroredKept = 400 * 24 * time.Hour

// PruneMirrored forgets what was in common with the hub long ago. Prune calls it.
func (q *Queue) PruneMirrored(ctx context.Context, now time.Time) error {
	for n := int64(slice); n == slice && ctx.Err() == nil; {
		err := q.db.Write(func(tx *db.Tx) (err error) {
			n, err = tx.Exec(`DELETE FROM mirrored WHERE id IN (SELECT id FROM mirrored x WHERE at < ? AND NOT EXISTS (SELECT 1 FROM messages m
				WHERE m.row = x.message AND m.status IN ('scheduled', 'queued', 'sending', 'unconfirmed')) ORDER BY at LIMIT ?)`, toMS(now.Add(-mirroredKept)), slice)
			return err
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// untold is the SQL that selects what came from the hub and has not been told to it yet, by
// its reader of the event log, as far as it has happened here.
const untold = `relay = 4 AND last_event > coalesce((SELECT seq FROM cursors WHERE reader = 'hub'), last_event)`

// LogID names the life of the event log: a restored backup begins another.
func (q *Queue) LogID(ctx context.Context) (log string, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error { return r.QueryRow(`SELECT log FROM log_life`).Scan(&log) })
	return log, err
}

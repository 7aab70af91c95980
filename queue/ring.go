package queue

import (
	"database/sql"
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// A ring is a circular array of slots in its own table. A new message goes
// into the next slot after the last retrieved one whose processed flag is on;
// slots in use are skipped. A slot that was never used has no row.
type ring struct {
	name     string // in ring_pointers
	table    string
	capacity int

	// Statements, spelled once so that the writer can keep them prepared.
	pointer, state, free, highest string
	flags                         map[flag][2]string // set the slot's, set the pointer
	finish                        [2]string          // the same for confirmed and processed at once
}

// flag is one of the four times of a slot.
type flag string

const (
	retrieved flag = "retrieved" // taken in, durable
	sentFlag  flag = "sent"      // handed to the other side
	confirmed flag = "confirmed" // acknowledged by the other side
	processed flag = "processed" // finished; the slot may be used again
)

func newRing(name string, capacity int) *ring {
	table := name + "_ring"
	r := &ring{
		name: name, table: table, capacity: capacity,
		pointer: `SELECT retrieved FROM ring_pointers WHERE ring = '` + name + `'`,
		state:   `SELECT processed IS NOT NULL FROM ` + table + ` WHERE address = ?`,
		free:    `SELECT address FROM ` + table + ` WHERE processed IS NOT NULL AND address >= ? AND address < ? ORDER BY address LIMIT 1`,
		highest: `SELECT max(address) FROM ` + table,
		flags:   map[flag][2]string{},
	}
	for _, f := range []flag{retrieved, sentFlag, confirmed, processed} {
		r.flags[f] = [2]string{
			`UPDATE ` + table + ` SET ` + string(f) + ` = ? WHERE address = ? AND ` + string(f) + ` IS NULL`,
			`UPDATE ring_pointers SET ` + string(f) + ` = ? WHERE ring = '` + name + `'`,
		}
	}
	r.finish = [2]string{
		`UPDATE ` + table + ` SET confirmed = ?1, processed = ?1 WHERE address = ?2 AND confirmed IS NULL AND processed IS NULL`,
		`UPDATE ring_pointers SET confirmed = ?1, processed = ?1 WHERE ring = '` + name + `'`,
	}
	return r
}

var errNoSlot = errors.New("no slot is free")

// next finds the slot for a new message, or errNoSlot.
func (r *ring) next(tx *db.Tx) (int, error) {
	var last sql.NullInt64
	if err := tx.QueryRow(r.pointer).Scan(&last); err != nil {
		return 0, err
	}
	start := 0
	if last.Valid {
		start = (int(last.Int64) + 1) % r.capacity
	}
	var free bool
	switch err := tx.QueryRow(r.state, start).Scan(&free); {
	case errors.Is(err, sql.ErrNoRows):
		return start, nil
	case err != nil:
		return 0, err
	case free:
		return start, nil
	}
	// The slot ahead is in use: the nearest free one after it, then a slot
	// never used, then round to the beginning.
	if a, ok, err := r.firstFree(tx, start, r.capacity); ok || err != nil {
		return a, err
	}
	var highest sql.NullInt64
	if err := tx.QueryRow(r.highest).Scan(&highest); err != nil {
		return 0, err
	}
	if int(highest.Int64)+1 < r.capacity {
		return int(highest.Int64) + 1, nil
	}
	if a, ok, err := r.firstFree(tx, 0, start); ok || err != nil {
		return a, err
	}
	return 0, errNoSlot
}

func (r *ring) firstFree(tx *db.Tx, from, to int) (address int, ok bool, err error) {
	err = tx.QueryRow(r.free, from, to).Scan(&address)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return address, err == nil, err
}

// set puts a flag on, once, and moves its pointer there.
func (r *ring) set(tx *db.Tx, f flag, address int, now time.Time) error {
	n, err := tx.Exec(r.flags[f][0], toMS(now), address)
	if err != nil || n == 0 {
		return err // n == 0: it was on already, the pointer has been there
	}
	return r.point(tx, f, address)
}

// setBoth puts confirmed and processed on, as set does, with one change of the
// row and its indexes if neither is on.
func (r *ring) setBoth(tx *db.Tx, address int, now time.Time) error {
	n, err := tx.Exec(r.finish[0], toMS(now), address)
	if err != nil {
		return err
	}
	if n == 1 {
		_, err = tx.Exec(r.finish[1], address)
		return err
	}
	if err := r.set(tx, confirmed, address, now); err != nil {
		return err
	}
	return r.set(tx, processed, address, now)
}

func (r *ring) point(tx *db.Tx, f flag, address int) error {
	_, err := tx.Exec(r.flags[f][1], address)
	return err
}

// shown reads the ring's pointers and depth.
func (r *ring) shown(q db.Querier) (sms.Ring, error) {
	s := sms.Ring{Capacity: r.capacity}
	var p [4]sql.NullInt64
	err := q.QueryRow(`SELECT retrieved, sent, confirmed, processed FROM ring_pointers WHERE ring = '`+r.name+`'`).
		Scan(&p[0], &p[1], &p[2], &p[3])
	if err != nil {
		return s, err
	}
	for i, at := range []**int{&s.LastRetrieved, &s.LastSent, &s.LastConfirmed, &s.LastProcessed} {
		if p[i].Valid {
			n := int(p[i].Int64)
			*at = &n
		}
	}
	err = q.QueryRow(`SELECT count(*) FROM ` + r.table + ` WHERE processed IS NULL`).Scan(&s.Depth)
	return s, err
}

// claimOutbound takes a slot for a new outbound message. When none is free,
// the oldest slot that only waits for a status report is reused; its message
// stays in the history and may still be reported.
func (q *Queue) claimOutbound(tx *db.Tx, row int64, now time.Time) (int, error) {
	a, err := q.out.next(tx)
	if errors.Is(err, errNoSlot) {
		err = tx.QueryRow(`SELECT address FROM outbound_ring
			WHERE processed IS NULL AND confirmed IS NOT NULL ORDER BY confirmed LIMIT 1`).Scan(&a)
		if errors.Is(err, sql.ErrNoRows) {
			return 0, ErrFull
		}
		if err == nil {
			_, err = tx.Exec(`UPDATE messages SET slot = NULL WHERE row = (SELECT message FROM outbound_ring WHERE address = ?)`, a)
		}
	}
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(`INSERT OR REPLACE INTO outbound_ring (address, message, retrieved) VALUES (?, ?, ?)`, a, row, toMS(now))
	if err == nil {
		err = q.out.point(tx, retrieved, a)
	}
	return a, err
}

// claimInbound takes a slot for a received message that event tells.
func (q *Queue) claimInbound(tx *db.Tx, row, event int64, now time.Time) (int, error) {
	a, err := q.in.next(tx)
	if errors.Is(err, errNoSlot) {
		return 0, ErrInboundFull
	}
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(`INSERT OR REPLACE INTO inbound_ring (address, message, event, retrieved) VALUES (?, ?, ?, ?)`,
		a, row, event, toMS(now))
	if err == nil {
		err = q.in.point(tx, retrieved, a)
	}
	return a, err
}

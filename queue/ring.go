package queue

import (
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"sync"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// A ring is a circular array of slots in its own table. A new message goes
// into the next slot after the last retrieved one whose processed flag is on;
// slots in use are skipped. A slot that was never used has no row.
//
// Which slots are in use is kept in memory too, a bit each, so that finding the
// next takes the same time however many are; and so are the pointers, which
// nothing rests on. Only functions on the database's writer change either, and
// what they change is undone with their rows.
type ring struct {
	table    string
	capacity int
	set1     map[flag]string // puts a flag on
	finish   string          // puts confirmed and processed on

	mu       sync.Mutex // for those who look
	used     []uint64
	depth    int
	promised int          // slots that messages will take that are accepted and not yet written
	pointers map[flag]int // the address that got each flag last
}

// flag is one of the four times of a slot.
type flag string

const (
	retrieved flag = "retrieved" // taken in, durable
	sentFlag  flag = "sent"      // handed to the other side
	confirmed flag = "confirmed" // acknowledged by the other side
	processed flag = "processed" // finished; the slot may be used again
)

var flags = []flag{retrieved, sentFlag, confirmed, processed}

// openRing reads what is in use.
func openRing(q db.Querier, table string, capacity int) (*ring, error) {
	r := &ring{table: table, capacity: capacity, set1: map[flag]string{}, pointers: map[flag]int{},
		finish: `UPDATE ` + table + ` SET confirmed = ?1, processed = ?1 WHERE address = ?2 AND confirmed IS NULL AND processed IS NULL`}
	// The pointers of before, in one pass: the newest time of each flag, with its
	// address in the lower bits. Times may be equal and clocks jump, but the
	// pointers are for people to see.
	const lower, unit = 24, 1000 // seconds leave room for the largest ring
	var newest [4]sql.NullInt64
	var pass []string
	for _, f := range flags {
		r.set1[f] = `UPDATE ` + table + ` SET ` + string(f) + ` = ? WHERE address = ? AND ` + string(f) + ` IS NULL`
		pass = append(pass, fmt.Sprintf("max((%s / %d) << %d | address)", f, unit, lower))
	}
	err := q.QueryRow(`SELECT `+strings.Join(pass, ", ")+` FROM `+table).Scan(&newest[0], &newest[1], &newest[2], &newest[3])
	if err != nil {
		return nil, err
	}
	for i, f := range flags {
		if newest[i].Valid {
			r.pointers[f] = int(newest[i].Int64 & (1<<lower - 1))
		}
	}
	// 32 slots to a row: a million of them would take a second to read one by one.
	rows, err := q.Query(`SELECT address / 32, sum(1 << (address % 32)) FROM ` + table + ` WHERE processed IS NULL GROUP BY 1`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	r.used = make([]uint64, (capacity+63)/64)
	for rows.Next() {
		var at int
		var some uint64
		if err := rows.Scan(&at, &some); err != nil {
			return nil, err
		}
		// It may be beyond a capacity that was made smaller.
		for at/2 >= len(r.used) {
			r.used = append(r.used, 0)
		}
		r.used[at/2] |= some << (at % 2 * 32)
		r.depth += bits.OnesCount64(some)
	}
	return r, rows.Err()
}

var errNoSlot = errors.New("no slot is free")

// next finds the slot for a new message, or errNoSlot.
func (r *ring) next() (int, error) {
	start := 0
	if last, ok := r.pointers[retrieved]; ok {
		start = (last + 1) % r.capacity
	}
	if a, ok := r.firstFree(start, r.capacity); ok {
		return a, nil
	}
	if a, ok := r.firstFree(0, start); ok {
		return a, nil
	}
	return 0, errNoSlot
}

func (r *ring) firstFree(from, to int) (int, bool) {
	for a := from; a < to; {
		free := ^r.used[a/64] >> (a % 64)
		if free != 0 {
			a += bits.TrailingZeros64(free)
			return a, a < to
		}
		a = (a/64 + 1) * 64
	}
	return 0, false
}

// beyond finds a slot behind the ring's end.
func (r *ring) beyond() int {
	for {
		if a, ok := r.firstFree(r.capacity, len(r.used)*64); ok {
			return a
		}
		r.mu.Lock()
		r.used = append(r.used, 0)
		r.mu.Unlock()
	}
}

// take marks a slot as in use: its row was written in tx.
func (r *ring) take(tx *db.Tx, address int) {
	r.mark(tx, address, true)
	r.point(tx, retrieved, address)
}

// set puts a flag on, once, and moves its pointer there.
func (r *ring) set(tx *db.Tx, f flag, address int, now time.Time) error {
	n, err := tx.Exec(r.set1[f], toMS(now), address)
	if err != nil || n == 0 {
		return err // n == 0: it was on already, the pointer has been there
	}
	if f == processed {
		r.mark(tx, address, false)
	}
	r.point(tx, f, address)
	return nil
}

// setBoth puts confirmed and processed on, as set does, with one change of the
// row if neither is on.
func (r *ring) setBoth(tx *db.Tx, address int, now time.Time) error {
	n, err := tx.Exec(r.finish, toMS(now), address)
	if err != nil {
		return err
	}
	if n == 1 {
		r.mark(tx, address, false)
		r.point(tx, confirmed, address)
		r.point(tx, processed, address)
		return nil
	}
	if err := r.set(tx, confirmed, address, now); err != nil {
		return err
	}
	return r.set(tx, processed, address, now)
}

func (r *ring) mark(tx *db.Tx, address int, used bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if word, bit := &r.used[address/64], uint64(1)<<(address%64); used != (*word&bit != 0) {
		*word ^= bit
		if used {
			r.depth++
		} else {
			r.depth--
		}
		tx.OnRollback(func() { r.mark(tx, address, !used) })
	}
}

func (r *ring) point(tx *db.Tx, f flag, address int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known := r.pointers[f]
	r.pointers[f] = address
	tx.OnRollback(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.pointers[f] = before; !known {
			delete(r.pointers, f)
		}
	})
}

// promise keeps slots for messages that are accepted; negative: gives them back.
func (r *ring) promise(tx *db.Tx, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.promised += n
	tx.OnRollback(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.promised -= n
	})
}

// waiting reports whether slots are promised.
func (r *ring) waiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.promised > 0
}

// count is how many slots are free.
func (r *ring) count() (free int) {
	for i, word := range r.used[:(r.capacity+63)/64] {
		unused := ^word
		if beyond := (i+1)*64 - r.capacity; beyond > 0 {
			unused = unused << beyond >> beyond
		}
		free += bits.OnesCount64(unused)
	}
	return free
}

// shown is the ring's pointers and depth.
func (r *ring) shown() sms.Ring {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := sms.Ring{Capacity: r.capacity, Depth: r.depth}
	for f, at := range map[flag]**int{retrieved: &s.LastRetrieved, sentFlag: &s.LastSent, confirmed: &s.LastConfirmed, processed: &s.LastProcessed} {
		if address, ok := r.pointers[f]; ok {
			*at = &address
		}
	}
	return s
}

// claimOutbound takes a slot for a new outbound message that none is promised to.
func (q *Queue) claimOutbound(tx *db.Tx, row int64, now time.Time) (int, error) {
	if q.out.promised > 0 {
		if err := q.roomFor(tx, 1); err != nil {
			return 0, err
		}
	}
	a, err := q.nextOutbound(tx)
	if err != nil {
		return 0, err
	}
	return a, q.takeOutbound(tx, a, row, now)
}

// takePromised takes a slot for a message that one was promised to. There is
// one, unless the ring was made smaller meanwhile: then one beyond its end.
func (q *Queue) takePromised(tx *db.Tx, row int64, now time.Time) (int, error) {
	a, err := q.nextOutbound(tx)
	if errors.Is(err, ErrFull) {
		a, err = q.out.beyond(), nil
	}
	if err != nil {
		return 0, err
	}
	return a, q.takeOutbound(tx, a, row, now)
}

// roomFor is ErrFull when n new messages find no slots beside those that are
// promised. A slot that only waits for a report may be taken, and is free after it.
func (q *Queue) roomFor(tx *db.Tx, n int) error {
	missing := q.out.promised + n - q.out.count()
	if missing <= 0 {
		return nil
	}
	var reporting int
	err := tx.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM outbound_ring
		WHERE `+q.reporting()+` AND address < ? LIMIT ?)`, q.out.capacity, missing).Scan(&reporting)
	if err == nil && reporting < missing {
		err = ErrFull
	}
	return err
}

// reporting is the SQL that selects the slots that only wait for a status report.
func (q *Queue) reporting() string {
	if q.o.Hub { // confirmed means there that a gateway has it
		return `processed IS NULL AND confirmed IS NOT NULL AND EXISTS (SELECT 1 FROM messages m WHERE m.row = outbound_ring.message AND m.status = 'sent')`
	}
	return `processed IS NULL AND confirmed IS NOT NULL`
}

// nextOutbound finds a slot, or ErrFull. When none is free, the oldest one that
// only waits for a status report is reused; its message stays in the history and
// may still be reported.
func (q *Queue) nextOutbound(tx *db.Tx) (int, error) {
	a, err := q.out.next()
	if !errors.Is(err, errNoSlot) {
		return a, err
	}
	err = tx.QueryRow(`SELECT address FROM outbound_ring WHERE ` + q.reporting() + ` ORDER BY confirmed LIMIT 1`).Scan(&a)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, ErrFull
	}
	if err == nil {
		_, err = tx.Exec(`UPDATE messages SET slot = NULL WHERE row = (SELECT message FROM outbound_ring WHERE address = ?)`, a)
	}
	return a, err
}

func (q *Queue) takeOutbound(tx *db.Tx, a int, row int64, now time.Time) error {
	if _, err := tx.Exec(`INSERT OR REPLACE INTO outbound_ring (address, message, retrieved) VALUES (?, ?, ?)`, a, row, toMS(now)); err != nil {
		return err
	}
	q.out.take(tx, a)
	return nil
}

// claimInbound takes a slot for a received message that event tells.
func (q *Queue) claimInbound(tx *db.Tx, row, event int64, now time.Time) error {
	a, err := q.in.next()
	if errors.Is(err, errNoSlot) {
		return ErrInboundFull
	}
	if err != nil {
		return err
	}
	if _, err = tx.Exec(`INSERT OR REPLACE INTO inbound_ring (address, message, event, retrieved) VALUES (?, ?, ?, ?)`,
		a, row, event, toMS(now)); err != nil {
		return fmt.Errorf("inbound ring: %w", err)
	}
	q.in.take(tx, a)
	return nil
}

package queue

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/sms/pdu"
)

// apart is how far the service centre's times of one message's parts may be from
// each other. References are used again: some gateways know only one.
const apart = 10 * time.Minute

// set is what is there of a longer message: its PDUs by part number.
type set map[int]*received

// gap is how far a time is from the nearest of the set's parts; 0 if it can't be
// told.
func (s set) gap(scts time.Time) time.Duration {
	least := time.Duration(-1)
	for _, p := range s {
		if scts.IsZero() || p.scts.IsZero() {
			return 0
		}
		if d := scts.Sub(p.scts).Abs(); least < 0 || d < least {
			least = d
		}
	}
	return least
}

// receivePart keeps a part of a longer message until the others are there. It
// goes to the set that its time is nearest to. A part already held is a repeat,
// of the network's or of its sender's; with another text, or a time that is far
// off, it begins a new set.
func (q *Queue) receivePart(tx *db.Tx, p *received, d *pdu.Deliver) error {
	c := d.Concat
	p.setKey = fmt.Sprintf("%s %s %d/%d/%d", simOf(p.Incoming), d.From, c.Bits, c.Ref, c.Total)
	p.seq, p.scts = c.Seq, d.SCTS
	sets, order, err := q.openSets(tx, p.setKey)
	if err != nil {
		return err
	}
	nearest := apart
	for _, id := range order { // newest first
		held, ok := sets[id][p.seq]
		gap := sets[id].gap(p.scts)
		switch {
		case ok && repeats(held, p, d):
			p.setKey, p.setID = "", 0 // kept raw, adds nothing
			return p.insert(tx, 0)
		case !ok && (gap < nearest || gap == nearest && p.setID == 0):
			p.setID, nearest = id, gap
		}
	}
	if err := p.insert(tx, 0); err != nil {
		return err
	}
	if p.setID == 0 {
		p.setID = p.row
		if _, err := tx.Exec(`UPDATE received_pdus SET set_id = ? WHERE row = ?`, p.setID, p.row); err != nil {
			return err
		}
	}
	all := sets[p.setID]
	if all == nil {
		all = set{}
	}
	all[p.seq] = p
	if len(all) < c.Total {
		return nil
	}
	return q.assemble(tx, all, c.Total)
}

// repeats reports whether p, which says d, says what held does: the very same
// PDU, or the same text sent again a little later.
func repeats(held, p *received, d *pdu.Deliver) bool {
	if bytes.Equal(held.hash, p.hash) {
		return true
	}
	h, _, err := pdu.Decode(held.PDU)
	return err == nil && h != nil && h.DCS == d.DCS && bytes.Equal(h.UD, d.UD) && h.SCTS.Sub(d.SCTS).Abs() <= apart
}

// openSets returns the incomplete sets of a key.
func (q *Queue) openSets(tx *db.Tx, key string) (sets map[int64]set, newestFirst []int64, err error) {
	rows, err := tx.Query(`SELECT row, set_id, seq, pdu, hash, modem, sim, local, at, duplicate, scts FROM received_pdus
		WHERE set_key = ? AND message IS NULL ORDER BY set_id DESC`, key)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	sets = map[int64]set{}
	for rows.Next() {
		var p received
		var at int64
		var scts sql.NullInt64
		if err := rows.Scan(&p.row, &p.setID, &p.seq, &p.PDU, &p.hash, &p.Modem, &p.ICCID, &p.Number, &at, &p.duplicate, &scts); err != nil {
			return nil, nil, err
		}
		p.At, p.scts = fromMS(at), fromNull(scts)
		if sets[p.setID] == nil {
			sets[p.setID] = set{}
			newestFirst = append(newestFirst, p.setID)
		}
		sets[p.setID][p.seq] = &p
	}
	return sets, newestFirst, rows.Err()
}

// assemble makes a message of a set; missing parts leave a gap in it.
func (q *Queue) assemble(tx *db.Tx, all set, total int) error {
	parts := make([]*pdu.Deliver, total)
	var held []*received
	for i := range parts {
		p := all[i+1]
		if p == nil {
			continue
		}
		d, _, err := pdu.Decode(p.PDU)
		if err != nil {
			return fmt.Errorf("part %d of %d, which decoded before: %w", i+1, total, err)
		}
		parts[i] = d
		held = append(held, p)
	}
	return q.deliver(tx, held, parts, len(held) < total)
}

// AssembleOverdue hands over, marked incomplete, the sets whose missing parts
// have not come within AssemblyWait.
func (q *Queue) AssembleOverdue(now time.Time) error {
	for {
		err := q.write(func(tx *db.Tx) error { return q.assembleOldest(tx, now) })
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// assembleOldest ends one set that is overdue; sql.ErrNoRows: there is none.
func (q *Queue) assembleOldest(tx *db.Tx, now time.Time) error {
	var key string
	var id int64
	err := tx.QueryRow(`SELECT set_key, set_id FROM received_pdus WHERE set_key IS NOT NULL AND message IS NULL
		GROUP BY set_key, set_id HAVING max(at) <= ? LIMIT 1`, toMS(now.Add(-q.o.AssemblyWait))).Scan(&key, &id)
	if err != nil {
		return err
	}
	sets, order, err := q.openSets(tx, key)
	if err != nil {
		return err
	}
	var total int
	if _, err := fmt.Sscanf(key[strings.LastIndex(key, "/")+1:], "%d", &total); err != nil {
		return fmt.Errorf("set %q: %w", key, err)
	}
	all := sets[id]
	if allRepeats(all) {
		// The network told parts again of a message that is long complete.
		_, err = tx.Exec(`UPDATE received_pdus SET set_key = NULL WHERE set_id = ? AND message IS NULL`, id)
		return err
	}
	for _, other := range order {
		if other != id && all.completedBy(sets[other], total) {
			break
		}
	}
	return q.assemble(tx, all, total)
}

// completedBy takes in another set that has just what is missing: a message sent
// slowly is more likely than two that lost each what the other has.
func (s set) completedBy(other set, total int) bool {
	if len(s)+len(other) != total {
		return false
	}
	for n := range other {
		if s[n] != nil {
			return false
		}
	}
	for n, p := range other {
		s[n] = p
	}
	return true
}

func allRepeats(s set) bool {
	for _, p := range s {
		if !p.duplicate {
			return false
		}
	}
	return true
}

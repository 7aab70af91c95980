package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"gatewayd/db"
	"gatewayd/sms"
)

// store is this package's tables.
type store struct {
	db      *db.DB
	now     func() time.Time
	trusted func() bool
	laneKey []byte
}

func ms(t time.Time) int64 { return t.UnixMilli() }

// openStore books the endpoints of the configuration and gives them their ids.
func openStore(d *db.DB, now func() time.Time, trusted func() bool, endpoints []*endpoint) (*store, error) {
	s := &store{db: d, now: now, trusted: trusted}
	err := d.Write(func(tx *db.Tx) error {
		if err := s.loadKey(tx); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE webhook_endpoints SET removed_at = coalesce(removed_at, ?)`, ms(now())); err != nil {
			return err
		}
		for _, e := range endpoints {
			// A new address is a new start for an endpoint that was disabled.
			_, err := tx.Exec(`INSERT INTO webhook_endpoints (identity, name, url_hash) VALUES (?, ?, ?)
				ON CONFLICT (identity) DO UPDATE SET name = excluded.name, removed_at = NULL, url_hash = excluded.url_hash,
					disabled_at = CASE WHEN url_hash = excluded.url_hash THEN disabled_at END`,
				e.identity, e.name, e.urlHash)
			if err != nil {
				return err
			}
			var disabled sql.NullInt64
			err = tx.QueryRow(`SELECT id, disabled_at FROM webhook_endpoints WHERE identity = ?`, e.identity).Scan(&e.id, &disabled)
			if err != nil {
				return err
			}
			e.disabled.Store(disabled.Valid)
		}
		return nil
	})
	return s, err
}

func (s *store) loadKey(tx *db.Tx) error {
	err := tx.QueryRow(`SELECT lane FROM webhook_key`).Scan(&s.laneKey)
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	s.laneKey = make([]byte, 32)
	_, _ = rand.Read(s.laneKey)
	_, err = tx.Exec(`INSERT INTO webhook_key (lane) VALUES (?)`, s.laneKey)
	return err
}

// lane groups the events that must be told in order. It is 32 bits of a keyed
// hash and cleared when a delivery is over, so that the table keeps no number:
// two numbers in one lane only wait for each other.
func (s *store) lane(e *sms.Event) int64 {
	mac := hmac.New(sha256.New, s.laneKey)
	if e.Number != "" {
		mac.Write([]byte("number " + e.Number))
	} else {
		kind, _, _ := strings.Cut(e.Type, ".") // the end of an alarm comes after its begin
		mac.Write([]byte("type " + kind))
	}
	return int64(binary.BigEndian.Uint32(mac.Sum(nil)))
}

// add puts an event into the endpoint's rows, behind its lane.
func (s *store) add(tx *db.Tx, endpoint int64, e *sms.Event) error {
	lane, now := s.lane(e), s.now()
	busy, err := s.laneHead(tx, endpoint, lane)
	if err != nil {
		return err
	}
	id, err := ulid.New(ulid.Timestamp(now), rand.Reader)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO webhook_deliveries (id, endpoint, seq, type, message, lane, head, state, next_at, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?)`,
		"dlv_"+id.String(), endpoint, e.Seq, e.Type, e.Message, lane, busy == 0, ms(now), ms(now))
	return err
}

// laneHead returns the row of the lane's head, 0 if nothing is pending.
func (s *store) laneHead(tx *db.Tx, endpoint, lane int64) (int64, error) {
	var row int64
	err := tx.QueryRow(`SELECT row FROM webhook_deliveries WHERE endpoint = ? AND lane = ? AND state = 'pending'
		ORDER BY head DESC, row LIMIT 1`, endpoint, lane).Scan(&row)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return row, err
}

// needed is the oldest event that a delivery still refers to, 0 if none does.
func (s *store) needed(q db.Querier) (int64, error) {
	var seq int64
	err := q.QueryRow(`SELECT seq FROM webhook_deliveries WHERE state IN ('pending', 'failed') ORDER BY seq LIMIT 1`).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return seq, err
}

// job is a delivery that is due.
type job struct {
	row      int64
	id       string
	seq      int64
	tries    int
	refusals int
	waited   time.Duration
}

// due returns the heads whose time has come, the longest waiting first. A time
// that no backoff reaches means that the clock was set back: it has come too.
func (s *store) due(ctx context.Context, endpoint int64, limit int) (jobs []job, err error) {
	now := s.now()
	err = s.db.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT row, id, seq, tries, refusals, waited FROM webhook_deliveries
			WHERE endpoint = ?1 AND head = 1 AND (next_at <= ?2 OR next_at > ?3) ORDER BY next_at LIMIT ?4`,
			endpoint, ms(now), ms(now.Add(longestWait+maxDelay)), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var j job
			var waited int64
			if err := rows.Scan(&j.row, &j.id, &j.seq, &j.tries, &j.refusals, &waited); err != nil {
				return err
			}
			j.waited = time.Duration(waited) * time.Millisecond
			jobs = append(jobs, j)
		}
		return rows.Err()
	})
	return jobs, err
}

// nextDue is when the next head's time comes; ok is false if none waits.
func (s *store) nextDue(ctx context.Context, endpoint int64) (at time.Time, ok bool, err error) {
	var next sql.NullInt64
	err = s.db.Read(ctx, func(r db.Querier) error {
		return r.QueryRow(`SELECT min(next_at) FROM webhook_deliveries WHERE endpoint = ? AND head = 1 AND next_at > ?`,
			endpoint, ms(s.now())).Scan(&next)
	})
	return time.UnixMilli(next.Int64), next.Valid, err
}

// settle books an attempt's end. It returns when the delivery's next try is,
// zero if it has none.
func (s *store) settle(j job, e *endpoint, r result) (next time.Time, err error) {
	err = s.db.Write(func(tx *db.Tx) error {
		now := s.now()
		status := sql.NullInt64{Int64: int64(r.status), Valid: r.status != 0}
		if r.verdict == delivered {
			return s.finish(tx, j.row, false, `UPDATE webhook_deliveries SET state = 'delivered', attempts = attempts + 1,
				last_status = ?1, last_error = NULL, attempt_at = ?2, ended_at = ?2 WHERE row = ?3`, status, ms(now))
		}
		fail := func(exhausted bool) error {
			return s.finish(tx, j.row, exhausted, `UPDATE webhook_deliveries SET state = 'failed', attempts = attempts + 1,
				last_status = ?, last_error = ?, attempt_at = ? WHERE row = ?`, status, r.words, ms(now))
		}
		var wait time.Duration
		switch {
		case r.verdict == gone:
			if _, err := tx.Exec(`UPDATE webhook_endpoints SET disabled_at = ? WHERE id = ?`, ms(now), e.id); err != nil {
				return err
			}
			return fail(false)
		case r.verdict == refused && !s.trusted():
			wait = refusalDelay(2) // it may refuse our time alone
		case r.verdict == refused && j.refusals+1 >= refusalsAllowed:
			return fail(false)
		case r.verdict == refused:
			wait = refusalDelay(j.refusals + 1)
			j.refusals++
		case j.waited >= giveUp:
			return fail(true)
		default:
			wait = min(max(delayAfter(j.tries), r.wait), giveUp-j.waited)
			j.tries++
			j.waited += wait
		}
		next = now.Add(wait)
		_, err := tx.Exec(`UPDATE webhook_deliveries SET attempts = attempts + 1, tries = ?, refusals = ?, waited = ?,
			last_status = ?, last_error = ?, attempt_at = ?, next_at = ? WHERE row = ? AND state = 'pending'`,
			j.tries, j.refusals, j.waited.Milliseconds(), status, r.words, ms(now), ms(next), j.row)
		return err
	})
	return next, err
}

// finish runs the update that ends a pending delivery, with its row as the
// last argument, and makes the next of its lane the head.
func (s *store) finish(tx *db.Tx, row int64, exhausted bool, update string, args ...any) error {
	var endpoint, lane int64
	var head bool
	err := tx.QueryRow(`SELECT endpoint, lane, head FROM webhook_deliveries WHERE row = ? AND state = 'pending'`, row).
		Scan(&endpoint, &lane, &head)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // somebody dropped it meanwhile
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(update, append(args, row)...); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE webhook_deliveries SET head = 0, lane = 0 WHERE row = ?`, row); err != nil {
		return err
	}
	if !head {
		return nil
	}
	return s.promote(tx, endpoint, lane, exhausted)
}

// promote makes the oldest pending delivery of a lane its head. It joins the
// end of those that are due, so that a long lane takes turns with the others.
// Behind one that used up its three days it gets what is left of its own: it
// has waited as well.
func (s *store) promote(tx *db.Tx, endpoint, lane int64, exhausted bool) error {
	next, err := s.laneHead(tx, endpoint, lane)
	if err != nil || next == 0 {
		return err
	}
	now := ms(s.now())
	if _, err := tx.Exec(`UPDATE webhook_deliveries SET head = 1, next_at = ? WHERE row = ?`, now, next); err != nil {
		return err
	}
	if exhausted {
		_, err = tx.Exec(`UPDATE webhook_deliveries SET tries = ?, waited = min(max(waited, ? - created_at), ?) WHERE row = ?`,
			slowest, now, giveUp.Milliseconds(), next)
	}
	return err
}

// slowest is a number of tries whose backoff is maxDelay.
const slowest = 20

// wordsErased is what a dropped delivery says of its end.
const wordsErased = "its message was erased"

// drop ends a delivery whose event is gone or that nobody wants any more.
func (s *store) drop(row int64, words string) error {
	return s.db.Write(func(tx *db.Tx) error { return s.dropTx(tx, row, words) })
}

func (s *store) dropTx(tx *db.Tx, row int64, words string) error {
	if _, err := tx.Exec(`UPDATE webhook_deliveries SET last_error = ?, ended_at = ? WHERE row = ? AND state IN ('pending', 'failed')`,
		words, ms(s.now()), row); err != nil {
		return err
	}
	// A pending one leaves its lane to the next.
	if err := s.finish(tx, row, false, `UPDATE webhook_deliveries SET state = 'dropped' WHERE row = ?`); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE webhook_deliveries SET state = 'dropped' WHERE row = ? AND state = 'failed'`, row)
	return err
}

// slice is how many rows one transaction of house-keeping touches.
const slice = 200

// failPending ends what waits for a disabled endpoint, a slice at a time, and
// reports whether more may be left.
func (s *store) failPending(endpoint int64, words string) (more bool, err error) {
	err = s.db.Write(func(tx *db.Tx) error {
		n, err := tx.Exec(`UPDATE webhook_deliveries SET state = 'failed', head = 0, lane = 0, last_error = ? WHERE row IN
			(SELECT row FROM webhook_deliveries WHERE endpoint = ? AND state = 'pending' LIMIT ?)`, words, endpoint, slice)
		more = n == slice
		return err
	})
	return more, err
}

// hurry makes the heads that wait out a backoff due now: their endpoint is back.
func (s *store) hurry(endpoint int64) error {
	for n := int64(slice); n == slice; {
		err := s.db.Write(func(tx *db.Tx) (err error) {
			n, err = tx.Exec(`UPDATE webhook_deliveries SET next_at = ?1 WHERE row IN (SELECT row FROM webhook_deliveries
				WHERE endpoint = ?2 AND head = 1 AND next_at > ?1 AND refusals = 0 LIMIT ?3)`, ms(s.now()), endpoint, slice)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// kept is how long a delivery stays listed after its success, and what waits
// for an endpoint after that left the configuration.
const kept = 7 * 24 * time.Hour

// prune deletes what is over, a slice at a time.
func (s *store) prune(ctx context.Context) error {
	if !s.trusted() {
		return nil // nobody knows how old anything is
	}
	for _, query := range []string{
		`DELETE FROM webhook_deliveries WHERE row IN (SELECT row FROM webhook_deliveries
			WHERE ended_at < ? ORDER BY ended_at LIMIT ?)`,
		`DELETE FROM webhook_deliveries WHERE row IN (SELECT d.row FROM webhook_endpoints e
			JOIN webhook_deliveries d ON d.endpoint = e.id WHERE e.removed_at < ? LIMIT ?)`,
		`DELETE FROM webhook_endpoints WHERE id IN (SELECT id FROM webhook_endpoints e WHERE removed_at < ?
			AND NOT EXISTS (SELECT 1 FROM webhook_deliveries WHERE endpoint = e.id) LIMIT ?)`,
	} {
		for n := int64(slice); n == slice && ctx.Err() == nil; {
			err := s.db.Write(func(tx *db.Tx) (err error) {
				n, err = tx.Exec(query, ms(s.now().Add(-kept)), slice)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

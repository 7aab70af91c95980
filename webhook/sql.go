package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
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
// newest is the last event of the log.
func openStore(d *db.DB, now func() time.Time, trusted func() bool, endpoints []*endpoint, newest int64) (*store, error) {
	s := &store{db: d, now: now, trusted: trusted}
	err := d.Write(func(tx *db.Tx) error {
		if err := s.loadKey(tx); err != nil {
			return err
		}
		if err := s.book(tx, endpoints); err != nil {
			return err
		}
		for _, e := range endpoints {
			if err := s.loadState(tx, e, newest, `identity = ?`, e.identity); err != nil {
				return err
			}
		}
		return nil
	})
	return s, err
}

// book writes down which endpoints the configuration has.
func (s *store) book(tx *db.Tx, endpoints []*endpoint) error {
	if _, err := tx.Exec(`UPDATE webhook_endpoints SET removed_at = coalesce(removed_at, ?) WHERE kind = ?`, ms(s.now()), ofConfig); err != nil {
		return err
	}
	for _, e := range endpoints {
		// A new address is a new start for an endpoint that was disabled.
		_, err := tx.Exec(`INSERT INTO webhook_endpoints (identity, name, url_hash) VALUES (?, ?, ?)
			ON CONFLICT (identity) DO UPDATE SET name = excluded.name, removed_at = NULL, url_hash = excluded.url_hash,
				disabled_at = CASE WHEN url_hash = excluded.url_hash THEN disabled_at END,
				failing_since = CASE WHEN url_hash = excluded.url_hash THEN failing_since END,
				exhausted_at = CASE WHEN url_hash = excluded.url_hash THEN exhausted_at END`,
			e.identity, e.name(), e.urlHash)
		if err != nil {
			return err
		}
	}
	return nil
}

// loadState reads what is known of an endpoint beside its settings, and gives it
// its public id if it has none.
func (s *store) loadState(tx *db.Tx, e *endpoint, newest int64, where string, arg any) error {
	var disabled, failing, exhausted sql.NullInt64
	var why sql.NullString
	err := tx.QueryRow(`SELECT id, public, disabled_at, disabled_for, failing_since, exhausted_at FROM webhook_endpoints WHERE `+where, arg).
		Scan(&e.id, &e.public, &disabled, &why, &failing, &exhausted)
	if err != nil {
		return err
	}
	if e.public == "" {
		if e.public, err = s.makeID(); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE webhook_endpoints SET public = ? WHERE id = ?`, e.public, e.id); err != nil {
			return err
		}
	}
	words := "it answered 410 Gone" // all that an older version disabled for
	if why.Valid {
		words = why.String
	}
	e.words.Store(&words)
	e.disabled.Store(disabled.Valid)
	e.failing.Store(failing.Int64)
	e.doomed.Store(exhausted.Int64)
	if e.isOff() { // an older version booked no gap, and a restore none of its own
		return s.openGap(tx, e.id, newest)
	}
	return s.closeGap(tx, e.id, newest)
}

func (s *store) makeID() (string, error) {
	id, err := ulid.New(ulid.Timestamp(s.now()), rand.Reader)
	return "whk_" + id.String(), err
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

// deliveryID is the webhook-id of an event for a receiver. It is made of both, so
// it is the same however often the event is told, also after the delivery was
// forgotten.
func (s *store) deliveryID(endpoint int64, e *sms.Event, t Target) string {
	mac := hmac.New(sha256.New, s.laneKey)
	fmt.Fprintf(mac, "delivery %d %d", endpoint, e.Seq)
	if t != (Target{}) {
		fmt.Fprintf(mac, " %q %q %q", t.URL, t.Format, t.Account)
	}
	var id ulid.ULID
	_ = id.SetTime(uint64(max(ms(e.Time), 0)))
	_ = id.SetEntropy(mac.Sum(nil)[:10])
	return "dlv_" + id.String()
}

// add puts an event into the endpoint's rows, behind its lane, unless it is there.
func (s *store) add(tx *db.Tx, endpoint int64, e *sms.Event, t Target) (added bool, err error) {
	lane, now := s.lane(e), s.now()
	busy, err := s.laneHead(tx, endpoint, lane)
	if err != nil {
		return false, err
	}
	var to, format, account any
	if t != (Target{}) {
		to, format, account = t.URL, t.Format, t.Account
	}
	n, err := tx.Exec(`INSERT OR IGNORE INTO webhook_deliveries (id, endpoint, seq, type, message, lane, head, state, next_at, created_at, url, format, account)
		VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?)`,
		s.deliveryID(endpoint, e, t), endpoint, e.Seq, e.Type, e.Message, lane, busy == 0, ms(now), ms(now), to, format, account)
	return n > 0, err
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
	url      string // "": the endpoint's
	format   string
	account  string
	message  string // known once the event was read
	attempts int
	tries    int
	refusals int
	waited   time.Duration
	erasures int64 // there were, before its event was read
}

// due returns the heads whose time has come, the longest waiting first. A time
// that no backoff reaches means that the clock was set back: it has come too.
func (s *store) due(ctx context.Context, endpoint int64, limit int) (jobs []job, err error) {
	now := s.now()
	err = s.db.Read(ctx, func(r db.Querier) error {
		rows, err := r.Query(`SELECT row, id, seq, attempts, tries, refusals, waited, coalesce(url, ''), coalesce(format, ''), coalesce(account, '') FROM webhook_deliveries
			WHERE endpoint = ?1 AND head = 1 AND (next_at <= ?2 OR next_at > ?3) ORDER BY next_at LIMIT ?4`,
			endpoint, ms(now), ms(now.Add(longestWait+maxDelay)), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var j job
			var waited int64
			if err := rows.Scan(&j.row, &j.id, &j.seq, &j.attempts, &j.tries, &j.refusals, &waited, &j.url, &j.format, &j.account); err != nil {
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
		// If something was erased meanwhile, it may have been this message.
		answer := sql.NullString{String: r.answer, Valid: r.answer != "" && e.w.erasures.Load() == j.erasures}
		if err := s.remember(tx, j); err != nil {
			return err
		}
		if r.verdict == delivered {
			if err := s.wasWell(tx, e); err != nil {
				return err
			}
			return s.finish(tx, j.row, false, `UPDATE webhook_deliveries SET state = 'delivered', attempts = attempts + 1, url = NULL, account = NULL,
				last_status = ?1, last_error = NULL, attempt_at = ?2, ended_at = ?2, latency = ?3, answer = ?4 WHERE row = ?5`, status, ms(now), r.took.Milliseconds(), answer)
		}
		failing, err := s.wasIll(tx, e, now)
		if err != nil {
			return err
		}
		fail := func(exhausted bool) error {
			if e.kind != ofOrigin && (exhausted || s.trusted() && now.Sub(failing) >= giveUp) {
				if err := s.doom(tx, e, now); err != nil {
					return err
				}
			}
			return s.finish(tx, j.row, exhausted, `UPDATE webhook_deliveries SET state = 'failed', attempts = attempts + 1,
				last_status = ?, last_error = ?, attempt_at = ?, latency = ?, answer = ? WHERE row = ?`, status, r.words, ms(now), r.took.Milliseconds(), answer)
		}
		var wait time.Duration
		switch {
		case r.verdict == gone:
			if err := s.disableTx(tx, e.id, e.w.place.Load(), e.reason(), now); err != nil {
				return err
			}
			return fail(false)
		case r.verdict == never:
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
		_, err = tx.Exec(`UPDATE webhook_deliveries SET attempts = attempts + 1, tries = ?, refusals = ?, waited = ?,
			last_status = ?, last_error = ?, attempt_at = ?, next_at = ?, latency = ?, answer = ? WHERE row = ? AND state = 'pending'`,
			j.tries, j.refusals, j.waited.Milliseconds(), status, r.words, ms(now), ms(next), r.took.Milliseconds(), answer, j.row)
		return err
	})
	return next, err
}

// historyKept is how many failed attempts are listed beside the last one.
const historyKept = 10

// remember puts the last attempt, which another follows, into the history.
func (s *store) remember(tx *db.Tx, j job) error {
	if j.attempts == 0 {
		return nil
	}
	_, err := tx.Exec(`UPDATE webhook_deliveries SET history = (SELECT json_group_array(json(value)) FROM (SELECT * FROM (SELECT key, value FROM
			json_each(json_insert(coalesce(history, '[]'), '$[#]', json_object('at', attempt_at, 'status', last_status, 'ms', latency, 'error', last_error)))
			ORDER BY key DESC LIMIT ?) ORDER BY key))
		WHERE row = ? AND last_error IS NOT NULL AND attempt_at IS NOT NULL`, historyKept, j.row)
	return err
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
	if _, err := tx.Exec(`UPDATE webhook_deliveries SET last_error = ?, ended_at = ?, url = NULL, account = NULL, answer = NULL
		WHERE row = ? AND state IN ('pending', 'failed')`, words, ms(s.now()), row); err != nil {
		return err
	}
	// A pending one leaves its lane to the next.
	if err := s.finish(tx, row, false, `UPDATE webhook_deliveries SET state = 'dropped' WHERE row = ?`); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE webhook_deliveries SET state = 'dropped' WHERE row = ? AND state = 'failed'`, row)
	return err
}

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

// hurry makes the heads that wait out a backoff due now: their endpoint is back. What
// it refused waits on, unless somebody says that it is mended: then that has all of its
// tries again.
func (s *store) hurry(endpoint int64, mended bool) error {
	for n := int64(slice); n == slice; {
		err := s.db.Write(func(tx *db.Tx) (err error) {
			n, err = tx.Exec(`UPDATE webhook_deliveries SET next_at = ?1, refusals = 0 WHERE row IN (SELECT row FROM webhook_deliveries
				WHERE endpoint = ?2 AND head = 1 AND next_at > ?1 AND (refusals = 0 OR ?3) LIMIT ?4)`, ms(s.now()), endpoint, mended, slice)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

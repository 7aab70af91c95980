package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// Takeover says what a restored database took from the one that it replaces.
type Takeover struct {
	Held    int // messages that wait for a verdict
	Settled int // messages of the backup whose end the replaced database tells
	Missing int // unfinished messages that only the replaced database has
}

// clientKeys is before the API key in the table of idempotency answers where
// what stands there is a client_id and not an Idempotency-Key.
const clientKeys = "client_id of "

// Restore makes a restored database fit to go on with. What was unfinished is
// held. With replaced, the transactions see the database that is replaced: what
// must not go back in time is taken from there, and of two entries the stricter
// one stays.
func Restore(ctx context.Context, d *db.DB, replaced bool, v HeldVerdict, now time.Time) (t Takeover, err error) {
	q, err := prepare(ctx, d, Options{Now: func() time.Time { return now }})
	if err != nil {
		return t, err
	}
	if replaced {
		if err := d.Write(func(tx *db.Tx) error { return q.takeOver(tx, now) }); err != nil {
			return t, err
		}
	}
	err = d.Write(func(tx *db.Tx) error {
		if err := q.passSequences(tx, replaced); err != nil {
			return err
		}
		if err := q.keepSequence(tx); err != nil {
			return err
		}
		if _, err = tx.Exec(`UPDATE log_life SET log = lower(hex(randomblob(8)))`); err != nil {
			return err
		}
		// The streams are in no backup. What was in one is put there again, under the same
		// id: its gateway takes it once.
		if _, err = tx.Exec(`UPDATE relays SET stream_seq = NULL WHERE stored_at IS NULL`); err != nil {
			return err
		}
		if _, err = tx.Exec(`UPDATE messages SET relay = 1 WHERE relay = 2`); err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO restores (at, log, verdict) VALUES (?,?,?)`, toMS(now), q.lastEvent+1, v)
		return err
	})
	if err != nil {
		return t, err
	}
	// Of a batch that was being written out all messages are held.
	if err := q.takeStock(ctx); err != nil {
		return t, err
	}
	if err := q.writeOut(everything); err != nil {
		return t, err
	}
	for from, n := int64(0), slice; n == slice; {
		err := d.Write(func(tx *db.Tx) error {
			found, err := collect(tx, `SELECT `+recordColumns+` FROM messages m
				WHERE m.row > ? AND m.status IN ('scheduled', 'queued', 'sending', 'unconfirmed') ORDER BY m.row LIMIT ?`, from, slice)
			n = len(found)
			for _, r := range found {
				from = r.Row
				switch {
				case err != nil:
				case r.Via == sms.ViaInternet: // it is told to the hub once more, which takes it once
					err = q.again(tx, r, now)
				default:
					err = q.hold(tx, r, replaced, now, &t)
				}
			}
			return err
		})
		if err != nil {
			return t, err
		}
	}
	if replaced {
		err = d.Write(func(tx *db.Tx) error {
			return tx.QueryRow(`SELECT (SELECT count(*) FROM replaced.messages r WHERE r.status IN ('scheduled', 'queued', 'sending', 'unconfirmed')
				AND NOT EXISTS (SELECT 1 FROM main.messages m WHERE m.id = r.id)) + (SELECT coalesce(sum(count), 0) FROM replaced.batch_slices b
				WHERE NOT EXISTS (SELECT 1 FROM main.messages m WHERE m.id = substr(b.ids, 1, instr(b.ids || ' ', ' ') - 1)))`).Scan(&t.Missing)
		})
	}
	return t, err
}

// passSequences goes on above every sequence of the event log that was given:
// those of the replaced database, and if that can't be read, far above our own.
// One is left out: who has read events of the life that ends here begins anew.
func (q *Queue) passSequences(tx *db.Tx, replaced bool) error {
	last := q.lastEvent + 1_000_000
	if replaced {
		err := tx.QueryRow(`SELECT max(last) FROM (SELECT last FROM replaced.sequences WHERE name = 'events'
			UNION ALL SELECT max(seq) FROM replaced.events)`).Scan(&last)
		if err != nil {
			return err
		}
	}
	q.lastEvent = max(q.lastEvent, last) + 1
	return nil
}

// takeOver keeps what must not go back in time.
func (q *Queue) takeOver(tx *db.Tx, now time.Time) error {
	for _, query := range []string{
		// A client that asks again must not get a second text. Its first one is in
		// the replaced database, so the answer is that it is gone.
		`INSERT OR IGNORE INTO idempotency (key_id, key, body, created_at, answer)
			SELECT key_id, key, body, created_at, '[{"row":0,"state":{}}]' FROM replaced.idempotency`,
		`INSERT OR IGNORE INTO idempotency (key_id, key, body, created_at, answer)
			SELECT '` + clientKeys + `' || r.key_id, r.client_id, x'', ` + fmt.Sprint(toMS(now)) + `, '[]' FROM replaced.messages r WHERE r.client_id IS NOT NULL
			AND NOT EXISTS (SELECT 1 FROM main.messages m WHERE m.key_id = r.key_id AND m.client_id = r.client_id)`,
		`INSERT OR REPLACE INTO concat_refs (number, ref) SELECT number, ref FROM replaced.concat_refs`,
		`INSERT INTO senders (number, sim, at) SELECT number, sim, at FROM replaced.senders WHERE true
			ON CONFLICT DO UPDATE SET sim = excluded.sim, at = excluded.at WHERE excluded.at > at`,
		`INSERT INTO sim_days (sim, day, parts) SELECT sim, day, parts FROM replaced.sim_days WHERE true
			ON CONFLICT DO UPDATE SET parts = max(parts, excluded.parts)`,
		`INSERT OR IGNORE INTO sim_recipients (sim, month, recipient) SELECT sim, month, recipient FROM replaced.sim_recipients`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	if err := takeOverMirror(tx); err != nil {
		return err
	}
	if err := mergeConsent(tx, now); err != nil {
		return err
	}
	// What was erased there is erased here.
	redacted, err := rowsOf(tx, `SELECT m.row FROM main.messages m JOIN replaced.messages r ON r.id = m.id
		WHERE r.redacted = 1 AND m.redacted = 0 AND m.status NOT IN ('scheduled', 'queued', 'sending', 'unconfirmed')`)
	for _, row := range redacted {
		if err == nil {
			err = eraseText(tx, row)
		}
	}
	return err
}

// takeOverMirror keeps what a gateway has had of its hub, and where the messages of a hub
// went that the backup has without a gateway.
func takeOverMirror(tx *db.Tx) error {
	const gone = `SELECT m.row FROM main.messages m JOIN replaced.messages r ON r.id = m.id WHERE m.relay = 0 AND m.direction = 'outbound'
		AND m.status IN ('scheduled', 'queued') AND r.relay BETWEEN 1 AND 3 AND m.slot IS NOT NULL`
	for _, query := range []string{
		`INSERT OR IGNORE INTO mirrored (id, direction, address, epoch, message, sim, at)
			SELECT id, direction, address, epoch, (SELECT m.row FROM main.messages m WHERE m.id = r.id), sim, at FROM replaced.mirrored r`,
		`INSERT INTO sequences (name, last) SELECT name, last FROM replaced.sequences WHERE name = '` + hubEpoch + `'
			ON CONFLICT DO UPDATE SET last = max(last, excluded.last)`,
		`INSERT OR IGNORE INTO relays (message, address, gateway, epoch, given_at, published_at, stored_at, sim)
			SELECT m.row, m.slot, l.gateway, l.epoch, l.given_at, l.published_at, l.stored_at, l.sim FROM main.messages m
			JOIN replaced.messages r ON r.id = m.id JOIN replaced.relays l ON l.message = r.row WHERE m.row IN (` + gone + `)`,
		`UPDATE messages SET (gateway, relay) = (SELECT r.gateway, CASE r.relay WHEN 3 THEN 3 ELSE 1 END FROM replaced.messages r WHERE r.id = messages.id)
			WHERE row IN (` + gone + `)`,
	} {
		if _, err := tx.Exec(query); err != nil {
			return err
		}
	}
	return nil
}

func rowsOf(tx *db.Tx, query string) (all []int64, err error) {
	rows, err := tx.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var row int64
		if err := rows.Scan(&row); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// hold decides on one unfinished message of the backup: the replaced database may
// tell its end, or that it never began.
func (q *Queue) hold(tx *db.Tx, r *record, replaced bool, now time.Time, t *Takeover) error {
	as := mayHaveGone
	if r.SendAt.After(now) {
		as = notGone
	}
	if replaced {
		there, err := scanRecord(tx.QueryRow(`SELECT `+recordColumns+` FROM replaced.messages m WHERE m.id = ?`, r.ID))
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case there.Status == sms.Scheduled || there.Status == sms.Queued || there.Status == sms.Sending || there.Status == sms.Unconfirmed:
			var parts int
			if err := tx.QueryRow(`SELECT count(*) FROM replaced.parts WHERE message = ?`, there.Row).Scan(&parts); err != nil {
				return err
			}
			if parts == 0 && there.held != mayHaveGone {
				as = notGone
			}
			r.PossibleDuplicate = r.PossibleDuplicate || there.PossibleDuplicate
		default:
			t.Settled++
			return q.end(tx, r, there, now)
		}
	}
	if r.relay != relayNone && r.relay != relayMirrored {
		return nil // its gateway tells what becomes of it
	}
	var parts int
	if err := tx.QueryRow(`SELECT count(*) FROM parts WHERE message = ? AND confirmed_at IS NULL AND awaiting > 0`, r.Row).Scan(&parts); err != nil {
		return err
	}
	if r.held == mayHaveGone || parts > 0 || r.Status == sms.Sending || r.Status == sms.Unconfirmed {
		as = mayHaveGone
	}
	t.Held++
	return q.keep(tx, r, as, now)
}

// end books what the replaced database tells of a message's end.
func (q *Queue) end(tx *db.Tx, r, there *record, now time.Time) error {
	if _, err := tx.Exec(`DELETE FROM parts WHERE message = ?`, r.Row); err != nil {
		return err
	}
	const columns = `number, modem, sim, sent_at, expected_mr, tp_mr, confirmed_at, doubted_at, reported_at, tp_st, awaiting, attempts`
	if _, err := tx.Exec(`INSERT INTO parts (message, `+columns+`) SELECT ?, `+columns+` FROM replaced.parts WHERE message = ?`, r.Row, there.Row); err != nil {
		return err
	}
	r.Modem, r.From, r.Attempts = there.Modem, there.From, there.Attempts
	r.SentAt, r.DeliveredAt, r.PossibleDuplicate = there.SentAt, there.DeliveredAt, there.PossibleDuplicate
	r.Error, r.unconfirmedAt, r.concatRef, r.resendsLeft = there.Error, time.Time{}, there.concatRef, there.resendsLeft
	way := []sms.Status{there.Status}
	if there.Status == sms.Delivered || there.Status == sms.Undelivered {
		way = []sms.Status{sms.Sent, there.Status} // sent is told before
	}
	if !r.Status.CanBecome(way[0]) {
		way = append([]sms.Status{sms.Queued}, way...)
	}
	for _, next := range way {
		if err := q.step(tx, r, next, now); err != nil {
			return err
		}
	}
	return nil
}

// forgottenClientID is ErrNotFound if the client used this id for a message that
// went with a database that was replaced.
func forgottenClientID(tx *db.Tx, r *record) error {
	var one int
	err := tx.QueryRow(`SELECT 1 FROM idempotency WHERE key_id = ? AND key = ?`, clientKeys+r.keyID, r.ClientID).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("client_id: its message went with a database that was replaced by a backup: %w", ErrNotFound)
	}
	return err
}

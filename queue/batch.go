package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/failpoint"
	"gatewayd/sms"
)

// A batch whose rows take longer to write than a modem should wait for its own
// commit is accepted in one short transaction, which keeps it as it came, some
// messages to a row of batch_slices, together with the answer to its
// Idempotency-Key; each message has its id and its row from then on and a slot
// is promised to it. From that commit on it is accepted, whatever happens. Then
// it is written out as messages, slice by slice, and only after the last one
// its caller is told. What a crash leaves over is written out at the next start.

const (
	// batchSlice is how many messages of a batch one transaction writes.
	batchSlice = 24
	// batchRow is how many of them stand in one row, and the fewest that a
	// transaction writes.
	batchRow = 12
	// batchBudget is after how long it writes no more of them.
	batchBudget = 2500 * time.Microsecond
)

// writtenDraft is a draft as it stands in batch_slices. Times are Unix milliseconds.
type writtenDraft struct {
	To            string            `json:"to"`
	From          string            `json:"from,omitempty"`
	Text          string            `json:"text,omitempty"`
	Data          []byte            `json:"data,omitzero"` // it may be empty, and so may Metadata
	Port          int               `json:"port,omitempty"`
	UDH           []byte            `json:"udh,omitempty"`
	Encoding      sms.Encoding      `json:"encoding"`
	Parts         int               `json:"parts"`
	Priority      int               `json:"priority"`
	Flash         bool              `json:"flash,omitempty"`
	Report        bool              `json:"report,omitempty"`
	OnUnconfirmed sms.OnUnconfirmed `json:"on_unconfirmed"`
	CallbackURL   string            `json:"callback_url,omitempty"`
	Metadata      map[string]string `json:"metadata,omitzero"`
	ClientID      string            `json:"client_id,omitempty"`
	SendAt        int64             `json:"send_at,omitempty"`
	ExpiresAt     int64             `json:"expires_at,omitempty"`
	Pin           string            `json:"pin,omitempty"`
	KeyID         string            `json:"key_id,omitempty"`
	ExpectedAt    int64             `json:"expected_at,omitempty"`
	ExpectedModem string            `json:"expected_modem,omitempty"`
	Warnings      string            `json:"warnings,omitempty"`
	Conversation  string            `json:"conversation,omitempty"`
	Author        *keptAuthor       `json:"author,omitempty"`
	Consent       Consent           `json:"consent,omitempty"`
	Gateway       string            `json:"gateway,omitempty"`
	Via           sms.Via           `json:"via,omitempty"`
	Mode          sms.Mode          `json:"mode,omitempty"`
	Copy          sms.Copy          `json:"copy,omitempty"`
	Subject       string            `json:"subject,omitempty"`
	Files         []sms.File        `json:"files,omitempty"`
	Secret        bool              `json:"secret,omitempty"`
}

func (r *record) draft() ([]byte, error) {
	return json.Marshal(writtenDraft{r.To, r.From, r.Text, r.Data, r.Port, r.UDH, r.Encoding, r.Parts, r.Priority, r.Flash, r.DeliveryReport,
		r.OnUnconfirmed, r.CallbackURL, r.Metadata, r.ClientID, toMSOrZero(r.SendAt), toMSOrZero(r.ExpiresAt), r.pin, r.keyID,
		toMSOrZero(r.ExpectedAt), r.ExpectedModem, codesOf(r.Warnings), r.Conversation, keep(r.Author), r.consent, r.wish, r.Via, r.Mode, r.Copy, r.Subject, r.Files, r.Redacted})
}

func (d *writtenDraft) record() *record {
	r := newRecord(Draft{Pin: d.Pin, KeyID: d.KeyID, Consent: d.Consent, Gateway: d.Gateway, Message: sms.Message{
		To: d.To, From: d.From, Text: d.Text, Data: d.Data, Port: d.Port, Encoding: d.Encoding, Parts: d.Parts, Priority: d.Priority,
		Flash: d.Flash, DeliveryReport: d.Report, OnUnconfirmed: d.OnUnconfirmed, CallbackURL: d.CallbackURL, Metadata: d.Metadata,
		ClientID: d.ClientID, SendAt: fromMSOrZero(d.SendAt), ExpiresAt: fromMSOrZero(d.ExpiresAt),
		UDH: d.UDH, ExpectedAt: fromMSOrZero(d.ExpectedAt), ExpectedModem: d.ExpectedModem, Warnings: warningsOf(d.Warnings),
		Conversation: d.Conversation, Author: d.Author.author(), Via: d.Via, Mode: d.Mode, Copy: d.Copy, Subject: d.Subject, Files: d.Files, Redacted: d.Secret}})
	r.ForcedBy = r.forcedBy()
	return r
}

// clientKey names a message as its client does.
type clientKey struct{ keyID, clientID string }

// promised is a message that is accepted and not yet written out.
type promised struct {
	*record
	state string
}

// submitBatch is Submit of a batch that is written out slice by slice.
func (q *Queue) submitBatch(records []*record, once *Idempotency, charge Charge) (accepted []sms.Message, replayed bool, err error) {
	drafts := make([][]byte, len(records))
	for i, r := range records {
		// To the millisecond, as they are read again.
		r.SendAt, r.ExpiresAt, r.ExpectedAt = fromMSOrZero(toMSOrZero(r.SendAt)), fromMSOrZero(toMSOrZero(r.ExpiresAt)), fromMSOrZero(toMSOrZero(r.ExpectedAt))
		if drafts[i], err = r.draft(); err != nil {
			return nil, false, err
		}
	}
	err = q.db.Write(func(tx *db.Tx) (err error) {
		accepted, replayed = nil, false
		if once != nil {
			if accepted, replayed, err = answered(tx, once); replayed || err != nil {
				return err
			}
		}
		accepted, err = q.acceptBatch(tx, records, drafts, once, charge)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	failpoint.Hit("queue.batch-accepted")
	q.present(accepted, everything)
	return accepted, replayed, nil
}

// acceptBatch makes sure that there is room for a batch, and keeps it.
func (q *Queue) acceptBatch(tx *db.Tx, records []*record, drafts [][]byte, once *Idempotency, charge Charge) ([]sms.Message, error) {
	now := fromMS(toMS(q.o.Now()))
	used, err := usedClientIDs(tx, records)
	if err != nil {
		return nil, err
	}
	answer := make([]byte, 0, 64*len(records))
	states := map[snapshotKey]string{} // most are the same
	accepted := make([]sms.Message, len(records))
	var fresh []*record
	var texts [][]byte
	for i, r := range records {
		key := clientKey{r.keyID, r.ClientID}
		var m sms.Message
		var state string
		if _, unwritten := q.promised[key]; unwritten || used[i] {
			if m, state, err = q.sameClientID(tx, r); err != nil {
				return nil, err
			}
		}
		if m.ID == "" {
			if r.ID, err = q.newID(now); err != nil {
				return nil, err
			}
			r.Row = q.nextRow()
			r.begin(now, !q.o.Trusted())
			k := snapshotKey{r.Status, r.local(), toMSOrZero(r.ExpectedAt), r.ExpectedModem, codesOf(r.Warnings), r.Copy}
			if state = states[k]; state == "" {
				if state, err = r.snapshot(); err != nil {
					return nil, err
				}
				states[k] = state
			}
			fresh, texts, m = append(fresh, r), append(texts, drafts[i]), r.Message
			if r.ClientID != "" {
				q.promise(tx, key, promised{r, state})
			}
		}
		accepted[i] = m
		answer = append(strconv.AppendInt(append(answer, `,{"row":`...), m.Row, 10), `,"state":`...)
		answer = append(append(answer, state...), '}')
	}
	if len(fresh) > 0 {
		if err := q.db.Room(); err != nil {
			return nil, err
		}
		if err := q.roomFor(tx, len(fresh)); err != nil {
			return nil, err
		}
		q.out.promise(tx, len(fresh))
		if err := charge(tx, len(fresh)); err != nil {
			return nil, err
		}
	}
	for n := min(batchRow, q.o.BatchSlice); len(fresh) > 0; {
		n = min(n, len(fresh))
		if err := keepSlice(tx, fresh[:n], texts[:n]); err != nil {
			return nil, err
		}
		fresh, texts = fresh[n:], texts[n:]
	}
	if once != nil {
		answer[0] = '['
		err = once.keep(tx, string(append(answer, ']')), now)
	}
	return accepted, err
}

// snapshotKey is all in which the first snapshots of a batch's messages differ.
type snapshotKey struct {
	status          sms.Status
	local           string
	expected        int64
	modem, warnings string
	copy            sms.Copy
}

// promise remembers a message under its client's name until it is written out.
func (q *Queue) promise(tx *db.Tx, key clientKey, p promised) {
	q.promised[key] = p
	tx.OnRollback(func() { delete(q.promised, key) })
}

// usedClientIDs finds the drafts, by index, whose client_id was used before: one
// query for a whole batch.
func usedClientIDs(tx *db.Tx, records []*record) (used map[int]bool, err error) {
	var names [][3]string
	for i, r := range records {
		if r.ClientID != "" {
			names = append(names, [3]string{strconv.Itoa(i), r.keyID, r.ClientID})
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(names)
	if err != nil {
		return nil, err
	}
	used = map[int]bool{}
	err = eachRow(tx, `SELECT j.value->>0 FROM json_each(?) j
		WHERE EXISTS (SELECT 1 FROM messages m WHERE m.key_id = j.value->>1 AND m.client_id = j.value->>2)
		OR EXISTS (SELECT 1 FROM idempotency i WHERE i.key_id = '`+clientKeys+`' || (j.value->>1) AND i.key = j.value->>2)`,
		func(scan func(...any) error) error {
			var i int
			err := scan(&i)
			used[i] = true
			return err
		}, string(list))
	return used, err
}

// keepSlice keeps messages, whose rows follow each other, until they are written out.
func keepSlice(tx *db.Tx, records []*record, drafts [][]byte) error {
	ids := make([]string, len(records))
	for i, r := range records {
		ids[i] = r.ID
	}
	list := append(append([]byte{'['}, bytes.Join(drafts, []byte{','})...), ']')
	first := records[0]
	_, err := tx.Insert(`INSERT INTO batch_slices (first, count, accepted_at, clock_uncertain, ids, drafts) VALUES (?,?,?,?,?,?)`,
		first.Row, len(records), toMS(first.CreatedAt), first.ClockUncertain, strings.Join(ids, " "), string(list))
	return err
}

// readSlices reads those rows of batch_slices that where selects.
func readSlices(q db.Querier, where string, args ...any) (all [][]*record, err error) {
	err = eachRow(q, `SELECT first, accepted_at, clock_uncertain, ids, drafts FROM batch_slices `+where, func(scan func(...any) error) error {
		var first, at int64
		var uncertain bool
		var ids, list string
		if err := scan(&first, &at, &uncertain, &ids, &list); err != nil {
			return err
		}
		var drafts []writtenDraft
		if err := json.Unmarshal([]byte(list), &drafts); err != nil {
			return fmt.Errorf("batch at message %d: %w", first, err)
		}
		names := strings.Fields(ids)
		if len(names) != len(drafts) || len(names) == 0 {
			return fmt.Errorf("batch at message %d: %d ids for %d messages", first, len(names), len(drafts))
		}
		records := make([]*record, len(drafts))
		for i := range drafts {
			r := drafts[i].record()
			r.Row, r.ID = first+int64(i), names[i]
			r.begin(fromMS(at), uncertain)
			records[i] = r
		}
		all = append(all, records)
		return nil
	}, args...)
	return all, err
}

// unwritten returns a message that is accepted and not yet written out, or ErrNotFound.
func unwritten(q db.Querier, row int64) (*record, error) {
	found, err := readSlices(q, `WHERE first <= ?1 AND first + count > ?1 ORDER BY first DESC LIMIT 1`, row)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrNotFound
	}
	return found[0][row-found[0][0].Row], nil
}

// writeSlices writes out what was accepted, from the oldest on, for as long as a
// modem may wait: n of the rows that were read.
func (q *Queue) writeSlices(tx *db.Tx, ready [][]*record) (n int, err error) {
	began, written := time.Now(), 0
	for _, slice := range ready {
		if n > 0 && (written+len(slice) > q.o.BatchSlice || time.Since(began) > batchBudget) {
			break
		}
		now := q.o.Now()
		q.out.promise(tx, -len(slice))
		for _, r := range slice {
			if r.ClientID != "" {
				q.keepPromise(tx, clientKey{r.keyID, r.ClientID})
			}
			if r.Via != sms.ViaInternet {
				if r.slot, err = q.takePromised(tx, r.Row, now); err != nil {
					return 0, err
				}
			}
			if _, err := q.enter(tx, r, now); err != nil {
				return 0, err
			}
		}
		if _, err := tx.Exec(`DELETE FROM batch_slices WHERE first = ?`, slice[0].Row); err != nil {
			return 0, err
		}
		n, written = n+1, written+len(slice)
	}
	return n, nil
}

// keepPromise forgets a message that is written out now.
func (q *Queue) keepPromise(tx *db.Tx, key clientKey) {
	if p, ok := q.promised[key]; ok {
		delete(q.promised, key)
		tx.OnRollback(func() { q.promised[key] = p })
	}
}

// everything is for writeOut: whatever was accepted.
const everything = math.MaxInt64

// writeOut writes out what was accepted, up to a row at least, in the order in
// which it was, whoever's it is.
func (q *Queue) writeOut(last int64) error {
	// One at a time: two would find each other in one group's transaction.
	q.writingOut.Lock()
	defer q.writingOut.Unlock()
	var ready [][]*record // read beforehand, so that the writer only writes
	for q.out.waiting() {
		if len(ready) == 0 {
			err := q.db.Read(context.Background(), func(r db.Querier) (err error) {
				ready, err = readSlices(r, `ORDER BY first LIMIT ?`, 2*(1+batchSlice/batchRow))
				return err
			})
			if err != nil {
				return err
			}
		}
		if len(ready) == 0 || ready[0][0].Row > last {
			return nil
		}
		var n int
		err := q.write(func(tx *db.Tx) (err error) {
			n, err = q.writeSlices(tx, ready)
			return err
		})
		if err != nil {
			return err
		}
		ready = ready[n:]
		failpoint.Hit("queue.batch-slice")
	}
	return nil
}

// present writes out what of an answer, up to a row, is not written out yet: who
// has it finds the messages. If that fails the answer holds all the same, they are
// accepted: a caller who were told of an error could only ask for them once more.
func (q *Queue) present(answer []sms.Message, upTo int64) {
	last := int64(0)
	for _, m := range answer {
		if m.Row <= upTo {
			last = max(last, m.Row)
		}
	}
	if last == 0 || !q.out.waiting() {
		return
	}
	if err := q.writeOut(last); err != nil {
		q.writeOutLater(err)
	}
}

// writeOutLater goes on, until the database is closed, with what could not be
// written out because of err. The next start does so too.
func (q *Queue) writeOutLater(err error) {
	over := func() bool { return errors.Is(err, db.ErrClosed) || errors.Is(err, ErrDamaged) }
	if over() || q.late.Swap(true) {
		return
	}
	q.log.Warn("a batch that was accepted can't be written out yet; it is tried again each second", "error", err)
	go func() {
		for {
			select {
			case <-time.After(time.Second):
			case <-q.db.Closing():
				return
			}
			q.late.Store(false)
			if err = q.writeOut(everything); err == nil {
				q.log.Info("what was left of accepted batches is written out")
				return
			}
			if over() || q.late.Swap(true) {
				return
			}
		}
	}()
}

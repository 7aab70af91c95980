package gateway

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/modem/transcript"
	"gatewayd/queue"
	"gatewayd/sms"
)

// What is kept of the dialogue around messages that had trouble: 200 times 24 KB
// are less than five megabytes.
const (
	tracesKept     = 200
	traceMost      = 24 << 10
	tracesAtOnce   = 50 // of many failures at once, the newest
	lookForTrouble = time.Second
)

// traces cuts what went over the modems' ports around a message out of what each
// modem remembers, and stores it of messages that had trouble: masked only.
type traces struct {
	db     *db.DB
	queue  *queue.Queue
	modems *modems
	log    *slog.Logger
	after  int64 // the event that was looked at last; follow's own
}

func newTraces(ctx context.Context, d *db.DB, q *queue.Queue, ms *modems, log *slog.Logger) (*traces, error) {
	_, newest, err := q.Span(ctx)
	t := &traces{db: d, queue: q, modems: ms, log: log, after: newest}
	q.OnErase(func(tx *db.Tx, e queue.Erasure) error {
		for _, m := range e.Messages {
			if _, err := tx.Exec(`DELETE FROM traces WHERE message = ?`, m.ID); err != nil {
				return err
			}
		}
		return nil
	})
	return t, err
}

// follow stores the traces of messages that have trouble, while they are still in
// memory. Somebody who asks later finds them after a restart too.
func (t *traces) follow(ctx context.Context) {
	for {
		changed := t.queue.Changed()
		if err := t.look(ctx); err != nil && ctx.Err() == nil {
			t.log.Warn("the traces of messages that had trouble could not be stored; they are in memory for some minutes", "error", err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		if !sleep(ctx, lookForTrouble) {
			return
		}
	}
}

// look stores what there is since it looked last, in one commit.
func (t *traces) look(ctx context.Context) error {
	ids, upTo, err := t.queue.Troubles(ctx, t.after, tracesAtOnce)
	if err != nil {
		return err
	}
	t.after = upTo
	found := map[string][]sms.TracePiece{}
	remembered := map[string]*dialogue{}
	for _, id := range ids {
		m, err := t.queue.Message(ctx, id)
		if errors.Is(err, queue.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		steps, err := t.steps(ctx, m)
		if err != nil {
			return err
		}
		before, err := t.stored(ctx, id)
		if err != nil {
			return err
		}
		pieces, _ := t.cut(steps, true, before, remembered)
		// A piece that was stored while its step went on is longer by now.
		if pieces = bounded(pieces); !slices.EqualFunc(pieces, before, same) {
			found[id] = pieces
		}
	}
	if len(found) == 0 {
		return nil
	}
	return t.db.Write(func(tx *db.Tx) error {
		for _, id := range slices.Backward(ids) { // the newest last
			if pieces, ok := found[id]; ok {
				if err := t.store(tx, id, pieces); err != nil {
					return err
				}
			}
		}
		_, err := tx.Exec(`DELETE FROM traces WHERE row <= (SELECT row FROM traces ORDER BY row DESC LIMIT 1 OFFSET ?)`, tracesKept)
		return err
	})
}

func (t *traces) store(tx *db.Tx, id string, pieces []sms.TracePiece) error {
	// It may have been erased meanwhile.
	if has, err := t.queue.HasText(tx, id); err != nil || !has {
		return err
	}
	b, err := json.Marshal(pieces)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM traces WHERE message = ?`, id); err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO traces (message, pieces) VALUES (?, ?)`, id, string(b))
	return err
}

func same(a, b sms.TracePiece) bool {
	return a.What == b.What && a.Modem == b.Modem && a.Text == b.Text
}

// bounded leaves out the last pieces beyond what a trace may need.
func bounded(pieces []sms.TracePiece) []sms.TracePiece {
	size := 0
	for i, p := range pieces {
		if size += len(p.Text) + 200; size > traceMost {
			return pieces[:i]
		}
	}
	return pieces
}

// stored are the pieces of a message that are in the database.
func (t *traces) stored(ctx context.Context, id string) (pieces []sms.TracePiece, err error) {
	var text string
	err = t.db.Read(ctx, func(r db.Querier) error {
		return r.QueryRow(`SELECT pieces FROM traces WHERE message = ?`, id).Scan(&text)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &pieces)
	}
	return pieces, err
}

// Trace returns what went over the ports around a message, as far as it is stored or
// still in memory.
func (t *traces) Trace(ctx context.Context, m *sms.Message, masked bool) (sms.Trace, error) {
	steps, err := t.steps(ctx, m)
	if err != nil {
		return sms.Trace{}, err
	}
	before, err := t.stored(ctx, m.ID)
	if err != nil {
		return sms.Trace{}, err
	}
	trace := sms.Trace{}
	var gone []string
	trace.Pieces, gone = t.cut(steps, masked, before, map[string]*dialogue{})
	switch {
	case len(steps) == 0:
		trace.Notes = []string{"No modem was given this message, so there is no dialogue about it."}
	case len(gone) > 0:
		trace.Notes = []string{fmt.Sprintf("The dialogue of %s is no longer there. Each modem's last %d KB are kept in memory, until the gateway or the modem is started again; of messages that failed, were not delivered or were in doubt it is stored, of the newest %d.",
			strings.Join(gone, "; "), dialogueKept>>10, tracesKept)}
	}
	return trace, nil
}

// traced is a step of a message's life that there is a dialogue about.
type traced struct {
	what, modem string
	from, to    time.Time
	line        string // the dialogue begins with the last one like this before from; "": at from
	out         bool   // which way that line goes
}

// What a dialogue begins with.
const (
	sendCommand = "AT+CMGS="
	reportLine  = "+CDS"
)

// steps lists them, in the order of their times.
func (t *traces) steps(ctx context.Context, m *sms.Message) (all []traced, err error) {
	if m.Direction == sms.Inbound {
		pdus, err := t.queue.PDUs(ctx, m.Row)
		for i, p := range pdus {
			all = append(all, traced{what: "received, PDU " + strconv.Itoa(i+1), modem: p.Modem, from: p.ReceivedAt.Add(-2 * time.Second), to: p.ReceivedAt.Add(time.Second)})
		}
		return all, err
	}
	h, err := t.queue.History(ctx, m.Row)
	if err != nil {
		return nil, err
	}
	parts, err := t.queue.Parts(ctx, m.Row)
	if err != nil {
		return nil, err
	}
	for i, begun := range h.Told {
		if begun.Message.Status != sms.Sending {
			continue
		}
		end := begun.At.Add(time.Hour)
		if i+1 < len(h.Told) {
			end = h.Told[i+1].At
		}
		attempt := traced{what: fmt.Sprintf("attempt %d", begun.Message.Attempts), modem: begun.Message.Modem, from: begun.At, to: end, line: sendCommand, out: true}
		known := false
		for _, p := range parts {
			if p.Modem != attempt.modem || p.StartedAt.Before(begun.At) || p.StartedAt.After(end) {
				continue
			}
			known = true
			s := attempt
			s.what, s.from = fmt.Sprintf("%s, part %d of %d", attempt.what, p.Number, m.Parts), p.StartedAt
			if p.ConfirmedAt != nil && p.ConfirmedAt.Before(end) {
				s.to = *p.ConfirmedAt
			}
			all = append(all, s)
		}
		if !known { // the parts tell of a later attempt
			all = append(all, attempt)
		}
	}
	for _, p := range parts {
		if p.ReportedAt != nil {
			all = append(all, traced{what: fmt.Sprintf("status report of part %d", p.Number), modem: p.Modem,
				from: *p.ReportedAt, to: p.ReportedAt.Add(time.Second), line: reportLine})
		}
	}
	slices.SortStableFunc(all, func(a, b traced) int { return a.from.Compare(b.from) })
	return all, nil
}

// dialogue is what a modem remembers, with times.
type dialogue struct {
	modem   sms.Modem
	entries []transcript.Entry
	begin   time.Time // by the gateway's time
}

// remembered reads it, masked as a whole: a line may be in several entries.
func (t *traces) remembered(name string, masked bool) *dialogue {
	a := t.modems.named(name)
	if a == nil {
		return &dialogue{}
	}
	d := &dialogue{modem: a.modem.Snapshot()}
	entries, begin := a.dialogue.Entries()
	d.begin = a.clock.At(begin)
	if !masked {
		d.entries = transcript.HidePIN(entries)
		return d
	}
	d.entries = transcript.Mask(entries)
	return d
}

// cut makes a piece of each step: from memory, else from what was stored before.
func (t *traces) cut(steps []traced, masked bool, before []sms.TracePiece, remembered map[string]*dialogue) (pieces []sms.TracePiece, gone []string) {
	for _, s := range steps {
		d := remembered[s.modem]
		if d == nil {
			d = t.remembered(s.modem, masked)
			remembered[s.modem] = d
		}
		if text := d.around(s, masked); text != "" {
			pieces = append(pieces, sms.TracePiece{What: s.what, Modem: s.modem, At: s.from, Text: text})
			continue
		}
		if i := slices.IndexFunc(before, func(p sms.TracePiece) bool { return p.What == s.what && p.Modem == s.modem }); i >= 0 {
			pieces = append(pieces, before[i])
			continue
		}
		gone = append(gone, s.what)
	}
	// What is stored of steps that nothing else tells of any more.
	for _, p := range before {
		if !slices.ContainsFunc(pieces, func(o sms.TracePiece) bool { return o.What == p.What && o.Modem == p.Modem }) {
			pieces = append(pieces, p)
		}
	}
	slices.SortStableFunc(pieces, func(a, b sms.TracePiece) int { return a.At.Compare(b.At) })
	return pieces, gone
}

// The dialogue may be a little beside the times that are booked.
const (
	booking  = 5 * time.Millisecond // times are stored in whole milliseconds
	precedes = 20 * time.Second     // a prompt may take so long
	follows  = 100 * time.Millisecond
)

// around is the dialogue of a step as a transcript, "" if it is not there.
func (d *dialogue) around(s traced, masked bool) string {
	from, to := s.from.Sub(d.begin), s.to.Sub(d.begin)+follows
	first := -1
	for i, e := range d.entries {
		switch {
		case s.line == "" && first < 0 && e.At >= from && e.At <= to:
			first = i
		case s.line != "" && e.Out == s.out && e.At <= from+booking && e.At >= from-precedes && says(e.Bytes, s.line):
			first = i // the last one
		}
	}
	if first < 0 {
		return ""
	}
	last := first + 1
	for ; last < len(d.entries) && d.entries[last].At <= to; last++ {
		if e := d.entries[last]; s.line != "" && e.Out == s.out && says(e.Bytes, s.line) {
			break // another's
		}
	}
	cut := slices.Clone(d.entries[first:last])
	begin := cut[0].At
	for i := range cut {
		cut[i].At -= begin
	}
	file := transcript.Of(d.modem, cut, d.begin.Add(begin), false)
	file.Header["masked"] = strconv.FormatBool(masked)
	file.Header["begin"] = d.begin.Add(begin).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	var b strings.Builder
	if err := file.Write(&b); err != nil { // it is written to memory
		return ""
	}
	return b.String()
}

func says(b []byte, line string) bool {
	return bytes.Contains(bytes.ToUpper(b), []byte(line))
}

package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// tells tells whether events of a type may be something to tell.
func tells(kind string) bool {
	switch kind {
	case sms.EventModemState, sms.EventAlarmBegin, sms.EventAlarmEnd, sms.EventOfConsent(sms.DecisionOptIn), sms.EventOfConsent(sms.DecisionOptOut):
		return true
	}
	return messageEvents[kind]
}

var messageEvents = func() map[string]bool {
	all := map[string]bool{}
	for _, s := range sms.Statuses {
		all[sms.EventOf(s)] = true
	}
	return all
}()

// event tells one event of the log, if there is something to tell of it.
func (t *telling) event(ctx context.Context, e sms.Event) error {
	out := mirror.Event{Seq: e.Seq, At: e.Time}
	switch {
	case e.Type == sms.EventModemState:
		out.Modem = e.Data
	case e.Type == sms.EventAlarmBegin, e.Type == sms.EventAlarmEnd:
		out.Alarm = e.Data
	case sms.IsConsent(e.Type):
		var c sms.Consent
		if err := json.Unmarshal(e.Data, &c); err != nil {
			return err
		}
		if c.Source == queue.FromHub || c.Reason == queue.ReasonStated {
			return nil
		}
		out.Consent = []mirror.Consent{{Number: c.Number, Stopped: c.Decision == sms.DecisionOptOut, At: c.At, Reason: c.Reason, Wording: c.Wording}}
	default:
		return t.ofMessage(ctx, e, out)
	}
	return t.say(ctx, out, 0)
}

// ofMessage tells an event of a message. What the hub gave is followed, what was received
// is handed on, what goes by internet is for an inbox there; the rest is this gateway's own.
func (t *telling) ofMessage(ctx context.Context, e sms.Event, out mirror.Event) error {
	var m sms.Message
	if err := json.Unmarshal(e.Data, &m); err != nil {
		return fmt.Errorf("event %d: %w", e.Seq, err)
	}
	q := t.l.o.Queue
	if m.Direction == sms.Inbound {
		if e.Type != sms.EventOf(sms.Received) || m.Via == sms.ViaInternet {
			return nil
		}
		var a queue.Arrived
		err := t.l.o.DB.Read(ctx, func(r db.Querier) (err error) { a, err = q.ArrivalOf(r, e.Row); return err })
		if errors.Is(err, queue.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		out.Arrived = &mirror.Arrived{Message: m, SIM: a.SIM, Mirror: a.Mirror, Dialled: a.Dialled, Answered: a.Answered}
		return t.say(ctx, out, 0)
	}
	var s mirror.State
	var ok bool
	err := t.l.o.DB.Read(ctx, func(r db.Querier) (err error) {
		s.ID, s.Address, s.Epoch, s.Mirror, s.SIM, ok, err = q.MirrorOf(r, e.Row)
		return err
	})
	if err != nil {
		return err
	}
	if ok {
		s.Status, s.Modem, s.Local, s.Attempts, s.PossibleDuplicate, s.ClockUncertain = m.Status, m.Modem, m.From, m.Attempts, m.PossibleDuplicate, m.ClockUncertain
		s.SentAt, s.DeliveredAt, s.UpdatedAt, s.Error = m.SentAt, m.DeliveredAt, m.UpdatedAt, m.Error
		out.State = &s
		return t.say(ctx, out, 0)
	}
	byInternet := m.Via == sms.ViaInternet && m.Status == sms.Queued
	if byInternet || m.Copy == sms.CopyNotSent && m.Status == sms.Sent {
		return t.inbox(ctx, m.ID, !byInternet, out)
	}
	return nil
}

// inbox tells a message that is for an inbox, and what goes with it before.
func (t *telling) inbox(ctx context.Context, id string, bySMS bool, out mirror.Event) error {
	// As it is now: it may have been canceled, expired or erased since.
	m, err := t.l.o.Queue.Message(ctx, id)
	if errors.Is(err, queue.ErrNotFound) || err == nil && (m.Redacted || !bySMS && m.Status != sms.Queued || bySMS && m.Copy != sms.CopyNotSent) {
		return nil
	}
	if err != nil {
		return err
	}
	if stopped, err := t.l.o.Queue.OptedOut(ctx, m.To); err != nil {
		return err
	} else if stopped { // since it was written
		return t.l.o.Queue.Do(func(tx *db.Tx) error { return t.l.o.Queue.InboxedTx(tx, m.ID, sms.CopyOptedOut) })
	}
	place := 0
	for _, f := range m.Files {
		if place, err = t.file(ctx, f, out, place); err != nil {
			return err
		}
	}
	out.Inbox = &mirror.Inbox{ID: m.ID, To: m.To, Subject: m.Subject, Text: m.Bare(), Files: m.Files, At: m.CreatedAt, BySMS: bySMS}
	if m.Author != nil {
		out.Inbox.Name = m.Author.Name
	}
	return t.say(ctx, out, place)
}

// piece is how much of a file goes in one event: a thin link must get it through.
const piece = 32 << 10

// file tells a file, piece by piece, and returns the place behind it.
func (t *telling) file(ctx context.Context, f sms.File, out mirror.Event, place int) (int, error) {
	lacks := func(err error) (int, error) {
		t.l.o.Log.Warn("a file that goes with a message can't be read; the message goes without it", "file", f.ID, "error", err)
		return place, nil
	}
	if t.l.o.File == nil {
		return lacks(errors.New("this gateway keeps no files"))
	}
	r, err := t.l.o.File(ctx, f.ID)
	if err != nil {
		return lacks(err)
	}
	defer r.Close()
	for offset := int64(0); place < places-2; place++ {
		buffer := make([]byte, piece)
		n, err := io.ReadFull(r, buffer)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return lacks(err)
		}
		if n > 0 || offset == 0 {
			out.Chunk = &mirror.Chunk{File: f, Offset: offset, Data: buffer[:n]}
			if err := t.part(ctx, out, place, 0); err != nil {
				return place, err
			}
		}
		if offset += int64(n); err != nil {
			return place + 1, nil
		}
	}
	return place, nil
}

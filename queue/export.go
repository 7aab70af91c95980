package queue

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
	"gatewayd/sms/number"
	"gatewayd/sms/pdu"
)

// Kept is how much is kept about a number.
type Kept struct {
	Outbound   int  // messages to it
	Inbound    int  // messages from it
	Unfinished int  // of those to it: still to be sent, or with a modem
	Loose      int  // PDUs, reports and calls that belong to no message
	Stopped    bool // it is on the stop list
}

// CountNumber tells how much is kept about a number.
func (q *Queue) CountNumber(ctx context.Context, of string) (Kept, error) {
	var k Kept
	if err := q.writeOut(everything); err != nil {
		return k, err
	}
	loose, err := q.looseOf(ctx, of)
	if err != nil {
		return k, err
	}
	k.Loose = len(loose.pdus) + len(loose.reports) + len(loose.calls)
	err = q.db.Read(ctx, func(r db.Querier) error {
		return r.QueryRow(`SELECT count(*) FILTER (WHERE direction = 'outbound'), count(*) FILTER (WHERE direction = 'inbound'),
			count(*) FILTER (WHERE status IN ('scheduled', 'queued', 'sending', 'unconfirmed')),
			EXISTS (SELECT 1 FROM stop_list WHERE number = ?1) FROM messages WHERE number = ?1`, of).
			Scan(&k.Outbound, &k.Inbound, &k.Unfinished, &k.Stopped)
	})
	return k, err
}

// ExportedMessage is a message with all that is kept of it.
type ExportedMessage struct {
	Message *sms.Message    `json:"message"`
	Events  []ExportedEvent `json:"events"`
	Parts   []Part          `json:"parts"` // of one that was sent
	PDUs    []PDU           `json:"pdus"`  // of one that was received
}

// ExportedEvent is a step in a message's life.
type ExportedEvent struct {
	ID        int64     `json:"id"`
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
}

// ExportedReport is a status report that belongs to no message that is known.
type ExportedReport struct {
	To       string    `json:"to"`
	TPMR     int       `json:"tp_mr"`
	Status   int       `json:"status"`
	Received time.Time `json:"received_at"`
}

// ExportedCall is an incoming call.
type ExportedCall struct {
	ID        int64     `json:"id"`
	Timestamp time.Time `json:"timestamp"`
	Call      sms.Call  `json:"call"`
}

// ExportedConsent is an entry of the stop list.
type ExportedConsent struct {
	Number string    `json:"number"`
	Word   string    `json:"word"`
	Since  time.Time `json:"since"`
}

// ExportedOptIn is a conversation's opt-in.
type ExportedOptIn struct {
	Conversation string     `json:"conversation"`
	SIM          string     `json:"sim"`
	State        OptInState `json:"state"`
	AskedAt      *time.Time `json:"asked_at"`
	GivenAt      *time.Time `json:"given_at"`
	HeardAt      *time.Time `json:"heard_at"`
	EndedAt      *time.Time `json:"ended_at"`
	Reason       string     `json:"reason"`
	Used         int        `json:"used"`
}

// Exported is an opt-in as it is exported.
func (o *ConversationOptIn) Exported() ExportedOptIn {
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	return ExportedOptIn{o.Conversation, o.SIM, o.State, at(o.AskedAt), at(o.GivenAt), at(o.HeardAt), at(o.EndedAt), o.Reason, o.Used}
}

// ExportedSIM is the SIM that a number keeps.
type ExportedSIM struct {
	SIM string    `json:"sim"`
	At  time.Time `json:"at"`
}

// ExportSections are the sections of an export, in order; each may be empty.
func (q *Queue) ExportSections() []string {
	all := []string{"messages", "pdus", "reports", "calls", "consent", "opt_ins", "consent_log", "sims"}
	for _, e := range q.exporters {
		all = append(all, e.section)
	}
	return all
}

// ExportNumber hands out all that is kept about a number, section by section and
// row by row, so that no more of it is in memory than belongs to some messages.
// Nothing is held up while put waits, so what changes meanwhile may be told as it
// was or as it is.
func (q *Queue) ExportNumber(ctx context.Context, of string, put func(section string, row any) error) error {
	if err := q.writeOut(everything); err != nil {
		return err
	}
	err := q.exportPages(ctx, of, "messages", put, func(r db.Querier, found []*record) (rows []any, err error) {
		for _, m := range found {
			one, err := exportMessage(r, m)
			if err != nil {
				return nil, err
			}
			rows = append(rows, one)
		}
		return rows, nil
	})
	if err != nil {
		return err
	}
	loose, err := q.looseOf(ctx, of)
	if err != nil {
		return err
	}
	var rows []sectionRow
	err = q.db.Read(ctx, func(r db.Querier) (err error) {
		rows, err = exportLoose(r, of, loose)
		return err
	})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := put(row.section, row.row); err != nil {
			return err
		}
	}
	for _, e := range q.exporters {
		tell := func(r db.Querier, found []*record) (rows []any, err error) {
			var messages []ErasedMessage
			for _, m := range found {
				told, err := withEvents(r, m)
				if err != nil {
					return nil, err
				}
				messages = append(messages, told)
			}
			err = e.tell(r, of, messages, func(row any) error {
				rows = append(rows, row)
				return nil
			})
			return rows, err
		}
		if err := q.exportPages(ctx, of, e.section, put, tell); err != nil {
			return err
		}
		var rest []any
		err := q.db.Read(ctx, func(r db.Querier) (err error) {
			rest, err = tell(r, nil) // what belongs to no message
			return err
		})
		for _, row := range rest {
			if err == nil {
				err = put(e.section, row)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type sectionRow struct {
	section string
	row     any
}

// exportPages puts what tell says of a number's messages, some at a time.
func (q *Queue) exportPages(ctx context.Context, of, section string, put func(string, any) error,
	tell func(db.Querier, []*record) ([]any, error)) error {
	const messages = 50
	for from := int64(0); ; {
		var rows []any
		more := false
		err := q.db.Read(ctx, func(r db.Querier) error {
			found, err := collect(r, `SELECT `+recordColumns+` FROM messages m WHERE m.number = ? AND m.row > ? ORDER BY m.row LIMIT ?`, of, from, messages)
			if err != nil || len(found) == 0 {
				return err
			}
			more, from = true, found[len(found)-1].Row
			rows, err = tell(r, found)
			return err
		})
		if err != nil || !more {
			return err
		}
		for _, row := range rows {
			if err := put(section, row); err != nil {
				return err
			}
		}
	}
}

func exportMessage(r db.Querier, m *record) (ExportedMessage, error) {
	one := ExportedMessage{Message: &m.Message, Events: []ExportedEvent{}, Parts: []Part{}, PDUs: []PDU{}}
	told, err := withEvents(r, m)
	if err != nil {
		return one, err
	}
	for i := len(told.Events) - 1; i >= 0; i-- { // the oldest first
		var e ExportedEvent
		var at int64
		if err := r.QueryRow(`SELECT seq, type, at FROM events WHERE seq = ?`, told.Events[i]).Scan(&e.ID, &e.Type, &at); err != nil {
			return one, err
		}
		e.Timestamp = fromMS(at)
		one.Events = append(one.Events, e)
	}
	if one.Parts, err = partsOf(r, m.Row); err != nil {
		return one, err
	}
	if m.Direction == sms.Inbound {
		one.PDUs, err = pdusOf(r, m.Row)
	}
	return one, err
}

// loose is what is kept about a number and belongs to none of its messages.
type loose struct {
	pdus, reports, calls []int64
	told                 []int64 // messages of others that name it
}

// looseOf finds it.
func (q *Queue) looseOf(ctx context.Context, of string) (l loose, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		for _, query := range []string{
			`SELECT row, pdu FROM received_pdus WHERE message IS NULL AND set_key IS NULL`,
			`SELECT row, pdu FROM received_pdus WHERE message IS NULL AND set_key IS NOT NULL`,
		} {
			err := each(r, query, func(row int64, raw []byte) {
				deliver, report, err := pdu.Decode(raw)
				if err == nil && (deliver != nil && q.sender(deliver) == of || report != nil && number.Same(report.To, of)) {
					l.pdus = append(l.pdus, row)
				}
			})
			if err != nil {
				return err
			}
		}
		err := each(r, `SELECT seq, state FROM events WHERE type = '`+sms.EventCall+`'`, func(seq int64, state []byte) {
			if from, err := callerOf(&sms.Event{Type: sms.EventCall, Data: state}); err == nil && number.Same(from, of) {
				l.calls = append(l.calls, seq)
			}
		})
		if err != nil {
			return err
		}
		err = each(r, `SELECT row, details FROM messages WHERE details IS NOT NULL`, func(row int64, details []byte) {
			var m record
			if err := m.setDetails(string(details)); err == nil && m.MMS != nil && number.Same(m.MMS.From, of) {
				l.told = append(l.told, row)
			}
		})
		if err != nil {
			return err
		}
		return each(r, `SELECT row, number FROM early_reports`, func(row int64, to []byte) {
			if number.Same(string(to), of) {
				l.reports = append(l.reports, row)
			}
		})
	})
	return l, err
}

// exportLoose reads it, and what is kept by number.
func exportLoose(r db.Querier, of string, l loose) (all []sectionRow, err error) {
	for _, row := range l.pdus {
		p, err := onePDU(r, row)
		if errors.Is(err, ErrNotFound) {
			continue // part of a message by now
		}
		if err != nil {
			return nil, err
		}
		all = append(all, sectionRow{"pdus", p})
	}
	for _, row := range l.reports {
		err := eachRow(r, `SELECT number, tp_mr, tp_st, at FROM early_reports WHERE row = ?`, func(scan func(...any) error) error {
			var e ExportedReport
			var at int64
			err := scan(&e.To, &e.TPMR, &e.Status, &at)
			e.Received = fromMS(at)
			all = append(all, sectionRow{"reports", e})
			return err
		}, row)
		if err != nil {
			return nil, err
		}
	}
	for _, seq := range l.calls {
		told, _, err := events(r, nil, `WHERE e.seq = ?`, seq)
		if err != nil {
			return nil, err
		}
		for _, e := range told {
			c := ExportedCall{ID: e.Seq, Timestamp: e.Time}
			if err := c.Call.UnmarshalJSON(e.Data); err != nil {
				return nil, err
			}
			all = append(all, sectionRow{"calls", c})
		}
	}
	err = eachRow(r, `SELECT number, word, since FROM stop_list WHERE number = ?`, func(scan func(...any) error) error {
		var c ExportedConsent
		var since int64
		err := scan(&c.Number, &c.Word, &since)
		c.Since = fromMS(since)
		all = append(all, sectionRow{"consent", c})
		return err
	}, of)
	if err != nil {
		return nil, err
	}
	given, err := optInsOf(r, `WHERE number = ? ORDER BY coalesce(asked_at, given_at)`, of)
	if err != nil {
		return nil, err
	}
	for _, o := range given {
		all = append(all, sectionRow{"opt_ins", o.shown().Exported()})
	}
	noted, err := consents(r, `WHERE number = ? ORDER BY seq`, of)
	if err != nil {
		return nil, err
	}
	for _, e := range noted {
		all = append(all, sectionRow{"consent_log", e})
	}
	err = eachRow(r, `SELECT sim, at FROM senders WHERE number = ?`, func(scan func(...any) error) error {
		var s ExportedSIM
		var at int64
		err := scan(&s.SIM, &at)
		s.At = fromMS(at)
		all = append(all, sectionRow{"sims", s})
		return err
	}, of)
	return all, err
}

// onePDU reads a PDU that belongs to no message.
func onePDU(r db.Querier, row int64) (p PDU, err error) {
	found := false
	err = eachRow(r, `SELECT pdu, modem, storage, position, at FROM received_pdus WHERE row = ? AND message IS NULL`, func(scan func(...any) error) error {
		found = true
		return p.scan(scan)
	}, row)
	if err == nil && !found {
		err = ErrNotFound
	}
	return p, err
}

// pdusOf reads the PDUs of a received message.
func pdusOf(r db.Querier, message int64) ([]PDU, error) {
	all := []PDU{}
	err := eachRow(r, `SELECT pdu, modem, storage, position, at FROM received_pdus
		WHERE message = ? AND length(pdu) > 0 ORDER BY coalesce(seq, 0), row`, func(scan func(...any) error) error {
		var p PDU
		err := p.scan(scan)
		all = append(all, p)
		return err
	}, message)
	return all, err
}

func (p *PDU) scan(scan func(...any) error) error {
	var raw []byte
	var storage string
	var index int
	var at int64
	if err := scan(&raw, &p.Modem, &storage, &index, &at); err != nil {
		return err
	}
	p.PDU, p.ReceivedAt = strings.ToUpper(hex.EncodeToString(raw)), fromMS(at)
	if storage != "" {
		p.Storage, p.Index = &storage, &index
	}
	return nil
}

package queue

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// record is a message's whole row: the message and what only the queue needs.
type record struct {
	sms.Message
	keyID         string
	pin           string
	slot          int // -1: none
	queuedSeq     int64
	notBefore     time.Time
	concatRef     int // -1: not yet given
	resendsLeft   int
	extraResend   bool
	unconfirmedAt time.Time
	refusedBy     string
	consent       Consent
	held          int    // as in the table; Held says whether
	lastEvent     int64  // sequence of its newest event
	wish          string // on a hub: the gateway or group that is to send it; "": as the routes say
	relay         relay

	disk *record // as its row is on disk; nil: not known
}

const recordColumns = `m.row, m.id, m.direction, m.status, m.number, m.local, m.text, m.data, m.port, m.encoding,
	m.parts, m.modem, m.priority, m.flash, m.delivery_report, m.on_unconfirmed, m.callback_url, m.metadata,
	m.client_id, m.created_at, m.send_at, m.expires_at, m.expected_at, m.sent_at, m.delivered_at, m.updated_at,
	m.attempts, m.possible_duplicate, m.clock_uncertain, m.incomplete, m.redacted, m.error_code, m.error_title, m.error_detail,
	m.kind, m.details, m.key_id, m.pin, m.slot, m.queued_seq, m.not_before, m.concat_ref, m.resends_left, m.extra_resend,
	m.unconfirmed_at, m.refused_by, m.held, m.last_event, m.udh, m.expected_modem, m.warnings,
	m.conversation, m.author, m.consent, m.gateway, m.wish, m.relay, m.via, m.mode, m.copy, m.subject, m.files`

type scanner interface{ Scan(...any) error }

// scanRecord reads recordColumns, then more.
func scanRecord(row scanner, more ...any) (*record, error) {
	var (
		r                             record
		number, local                 string
		text, metadata, clientID      sql.NullString
		about                         sql.NullString
		code, title, detail           sql.NullString
		created, updated              int64
		sendAt, expiresAt, expectedAt sql.NullInt64
		sentAt, deliveredAt           sql.NullInt64
		slot, queuedSeq, notBefore    sql.NullInt64
		concatRef, unconfirmedAt      sql.NullInt64
		warnings                      string
		conversation, author          sql.NullString
		subject, files                sql.NullString
	)
	into := append([]any{&r.Row, &r.ID, &r.Direction, &r.Status, &number, &local, &text, &r.Data, &r.Port, &r.Encoding,
		&r.Parts, &r.Modem, &r.Priority, &r.Flash, &r.DeliveryReport, &r.OnUnconfirmed, &r.CallbackURL, &metadata,
		&clientID, &created, &sendAt, &expiresAt, &expectedAt, &sentAt, &deliveredAt, &updated,
		&r.Attempts, &r.PossibleDuplicate, &r.ClockUncertain, &r.Incomplete, &r.Redacted, &code, &title, &detail,
		&r.Kind, &about, &r.keyID, &r.pin, &slot, &queuedSeq, &notBefore, &concatRef, &r.resendsLeft, &r.extraResend,
		&unconfirmedAt, &r.refusedBy, &r.held, &r.lastEvent, &r.UDH, &r.ExpectedModem, &warnings,
		&conversation, &author, &r.consent, &r.Gateway, &r.wish, &r.relay, &r.Via, &r.Mode, &r.Copy, &subject, &files}, more...)
	if err := row.Scan(into...); err != nil {
		return nil, err
	}
	r.Text, r.ClientID, r.Held = text.String, clientID.String, r.held > 0
	if r.Direction == sms.Inbound {
		r.From, r.To = number, local
	} else {
		r.To, r.From = number, local
	}
	if metadata.Valid {
		if err := json.Unmarshal([]byte(metadata.String), &r.Metadata); err != nil {
			return nil, fmt.Errorf("message %s: metadata: %w", r.ID, err)
		}
	}
	if about.Valid {
		if err := r.setDetails(about.String); err != nil {
			return nil, err
		}
	}
	r.Conversation, r.Subject = conversation.String, subject.String
	if files.Valid {
		if err := json.Unmarshal([]byte(files.String), &r.Files); err != nil {
			return nil, fmt.Errorf("message %s: files: %w", r.ID, err)
		}
	}
	if author.Valid {
		if err := r.setAuthor(author.String); err != nil {
			return nil, err
		}
	}
	if code.Valid {
		r.Error = &sms.Error{Code: code.String, Title: title.String, Detail: detail.String}
	}
	r.CreatedAt, r.UpdatedAt = fromMS(created), fromMS(updated)
	r.SendAt, r.ExpiresAt, r.ExpectedAt = fromNull(sendAt), fromNull(expiresAt), fromNull(expectedAt)
	r.SentAt, r.DeliveredAt = fromNull(sentAt), fromNull(deliveredAt)
	r.notBefore, r.unconfirmedAt = fromNull(notBefore), fromNull(unconfirmedAt)
	r.slot, r.concatRef, r.queuedSeq = -1, -1, queuedSeq.Int64
	if slot.Valid {
		r.slot = int(slot.Int64)
	}
	if concatRef.Valid {
		r.concatRef = int(concatRef.Int64)
	}
	r.Warnings = warningsOf(warnings)
	r.ForcedBy = r.forcedBy()
	r.written()
	return &r, nil
}

func warningsOf(codes string) (all []sms.Warning) {
	for code := range strings.FieldsSeq(codes) {
		all = append(all, sms.Warning(code))
	}
	return all
}

func codesOf(warnings []sms.Warning) string {
	all := ""
	for i, w := range warnings {
		if i > 0 {
			all += " "
		}
		all += string(w)
	}
	return all
}

// forcedBy finds again why a text goes out as Unicode: it is not kept.
func (r *record) forcedBy() sms.Forced {
	if r.Direction != sms.Outbound || r.Encoding != sms.UCS2 || r.Text == "" {
		return sms.Forced{}
	}
	a, err := pdu.Analyse(r.Text)
	if err != nil {
		return sms.Forced{} // of a version that took it all the same
	}
	return a.Forced()
}

// secret tells whether a message is shown to nobody but its recipient: its text counts as
// erased from the beginning, and is when it is sent no more.
func (r *record) secret() bool { return r.Redacted && r.Direction == sms.Outbound }

// number is the other side's phone number.
func (r *record) number() string {
	if r.Direction == sms.Inbound {
		return r.From
	}
	return r.To
}

func (r *record) local() string {
	if r.Direction == sms.Inbound {
		return r.To
	}
	return r.From
}

// insert stores a new message; its row is given.
func (r *record) insert(tx *db.Tx) error {
	var metadata any
	if r.Metadata != nil {
		b, err := json.Marshal(r.Metadata)
		if err != nil {
			return err
		}
		metadata = string(b)
	}
	about, err := r.details()
	if err != nil {
		return err
	}
	author, err := r.author()
	if err != nil {
		return err
	}
	var files any
	if len(r.Files) > 0 {
		b, err := json.Marshal(r.Files)
		if err != nil {
			return err
		}
		files = string(b)
	}
	var text any
	if r.Data == nil {
		text = r.Text
	}
	_, err = tx.Insert(`INSERT INTO messages (row, id, direction, status, number, local, text, data, port, encoding,
		parts, modem, priority, flash, delivery_report, on_unconfirmed, callback_url, metadata, client_id,
		created_at, send_at, expires_at, expected_at, sent_at, updated_at, possible_duplicate, clock_uncertain, incomplete,
		error_code, error_title, error_detail, kind, details, key_id, pin, slot, queued_seq, last_event,
		udh, expected_modem, warnings, conversation, author, consent, gateway, wish, relay, via, mode, copy, subject, files, redacted)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		r.Row, r.ID, r.Direction, r.Status, r.number(), r.local(), text, r.Data, r.Port, r.Encoding,
		r.Parts, r.Modem, r.Priority, r.Flash, r.DeliveryReport, r.OnUnconfirmed, r.CallbackURL, metadata, orNull(r.ClientID),
		toMS(r.CreatedAt), nullMS(r.SendAt), nullMS(r.ExpiresAt), nullMS(r.ExpectedAt), nullMS(r.SentAt), toMS(r.UpdatedAt),
		r.PossibleDuplicate, r.ClockUncertain, r.Incomplete, errPart(r.Error, 0), errPart(r.Error, 1), errPart(r.Error, 2),
		r.Kind, about, r.keyID, r.pin, nullInt(r.slot, r.slot >= 0), nullInt(int(r.queuedSeq), r.queuedSeq > 0), r.lastEvent,
		r.UDH, r.ExpectedModem, codesOf(r.Warnings), orNull(r.Conversation), author, r.consent, r.Gateway, r.wish, r.relay, r.Via, r.Mode, r.Copy, orNull(r.Subject), files, r.Redacted)
	r.written()
	return err
}

// save writes what has changed of a message. It changes nothing when the row is
// no longer at the status "was", told by the event "told".
func (r *record) save(tx *db.Tx, was sms.Status, told int64) error {
	// Only what has changed is named: SQLite looks at every index of a column
	// that is.
	d := r.disk
	query := append(make([]byte, 0, 256), `UPDATE messages SET status=?, updated_at=?, last_event=?`...)
	args := append(make([]any, 0, 24), r.Status, toMS(r.UpdatedAt), r.lastEvent)
	set := func(changed bool, column string, value any) {
		if changed {
			query = append(append(query, ", "...), column...)
			args = append(args, value)
		}
	}
	set(r.local() != d.local(), "local=?", r.local())
	set(r.Modem != d.Modem, "modem=?", r.Modem)
	set(r.Attempts != d.Attempts, "attempts=?", r.Attempts)
	set(r.slot != d.slot, "slot=?", nullInt(r.slot, r.slot >= 0))
	set(r.queuedSeq != d.queuedSeq, "queued_seq=?", nullInt(int(r.queuedSeq), r.queuedSeq > 0))
	set(!r.SentAt.Equal(d.SentAt), "sent_at=?", nullMS(r.SentAt))
	set(!r.DeliveredAt.Equal(d.DeliveredAt), "delivered_at=?", nullMS(r.DeliveredAt))
	set(!r.ExpectedAt.Equal(d.ExpectedAt), "expected_at=?", nullMS(r.ExpectedAt))
	set(r.PossibleDuplicate != d.PossibleDuplicate, "possible_duplicate=?", r.PossibleDuplicate)
	set(r.ClockUncertain != d.ClockUncertain, "clock_uncertain=?", r.ClockUncertain)
	for i, column := range [...]string{"error_code=?", "error_title=?", "error_detail=?"} {
		set(errPart(r.Error, i) != errPart(d.Error, i), column, errPart(r.Error, i))
	}
	set(!r.notBefore.Equal(d.notBefore), "not_before=?", nullMS(r.notBefore))
	set(r.concatRef != d.concatRef, "concat_ref=?", nullInt(r.concatRef, r.concatRef >= 0))
	set(r.resendsLeft != d.resendsLeft, "resends_left=?", r.resendsLeft)
	set(r.extraResend != d.extraResend, "extra_resend=?", r.extraResend)
	set(!r.unconfirmedAt.Equal(d.unconfirmedAt), "unconfirmed_at=?", nullMS(r.unconfirmedAt))
	set(r.refusedBy != d.refusedBy, "refused_by=?", r.refusedBy)
	set(r.held != d.held, "held=?", r.held)
	set(r.pin != d.pin, "pin=?", r.pin)
	set(r.Gateway != d.Gateway, "gateway=?", r.Gateway)
	set(r.relay != d.relay, "relay=?", r.relay)
	set(r.Via != d.Via, "via=?", r.Via)
	set(r.Copy != d.Copy, "copy=?", r.Copy)
	set(r.secret() && isOver(r.Status), "text=?", nil)
	query = append(query, ` WHERE row=? AND status=? AND last_event=?`...)
	n, err := tx.Exec(string(query), append(args, r.Row, was, told)...)
	if err == nil && n == 0 {
		err = fmt.Errorf("message %s is no longer %s: %w", r.ID, was, ErrConflict)
	}
	r.written()
	return err
}

// written notes that the row is as r now.
func (r *record) written() {
	d := *r
	d.disk = nil
	r.disk = &d
}

// remind keeps a message that a modem has in hand: its part's outcome, and the
// next part, come soon. It is the row as it is on disk; nothing but
// save changes what save writes while a message is being sent.
func (q *Queue) remind(tx *db.Tx, r *record) {
	if q.o.Hub {
		return
	}
	if r.Status != sms.Sending {
		delete(q.onAir, r.Row)
		return
	}
	q.onAir[r.Row] = r.disk
	tx.OnRollback(func() { delete(q.onAir, r.Row) })
}

// inHand loads a message that a modem has, or had, in hand.
func (q *Queue) inHand(tx *db.Tx, row int64) (*record, error) {
	if held := q.onAir[row]; held != nil {
		r := *held
		r.disk = held
		return &r, nil
	}
	return load(tx, row)
}

// snapshot is what an event keeps of a message: all that changes in its life,
// and neither number nor text.
type snapshot struct {
	Status            sms.Status `json:"s"`
	Local             string     `json:"l,omitempty"`
	Modem             string     `json:"m,omitempty"`
	ExpectedAt        int64      `json:"x,omitempty"`
	ExpectedModem     string     `json:"xm,omitempty"`
	Warnings          string     `json:"w,omitempty"`
	SentAt            int64      `json:"t,omitempty"`
	DeliveredAt       int64      `json:"d,omitempty"`
	UpdatedAt         int64      `json:"u"`
	Attempts          int        `json:"a,omitempty"`
	PossibleDuplicate bool       `json:"p,omitempty"`
	ClockUncertain    bool       `json:"c,omitempty"`
	Error             *sms.Error `json:"e,omitempty"`
	Held              bool       `json:"h,omitempty"`
	Gateway           string     `json:"g,omitempty"`
	Copy              sms.Copy   `json:"cp,omitempty"`
}

func (r *record) snapshot() (string, error) {
	s := snapshot{r.Status, r.local(), r.Modem, toMSOrZero(r.ExpectedAt), r.ExpectedModem, codesOf(r.Warnings), toMSOrZero(r.SentAt),
		toMSOrZero(r.DeliveredAt), toMS(r.UpdatedAt), r.Attempts, r.PossibleDuplicate, r.ClockUncertain, r.Error, r.Held, r.Gateway, r.Copy}
	// The first of a message says no more than this.
	if s == (snapshot{Status: s.Status, UpdatedAt: s.UpdatedAt, ClockUncertain: s.ClockUncertain, ExpectedAt: s.ExpectedAt, ExpectedModem: s.ExpectedModem, Warnings: s.Warnings}) && plain(s.ExpectedModem) {
		b := append(append(make([]byte, 0, 96), `{"s":"`...), s.Status...)
		b = append(b, '"')
		if s.ExpectedAt != 0 {
			b = strconv.AppendInt(append(b, `,"x":`...), s.ExpectedAt, 10)
		}
		if s.ExpectedModem != "" {
			b = append(append(append(b, `,"xm":"`...), s.ExpectedModem...), '"')
		}
		if s.Warnings != "" {
			b = append(append(append(b, `,"w":"`...), s.Warnings...), '"')
		}
		b = strconv.AppendInt(append(b, `,"u":`...), s.UpdatedAt, 10)
		if s.ClockUncertain {
			b = append(b, `,"c":true`...)
		}
		return string(append(b, '}')), nil
	}
	b, err := json.Marshal(s)
	return string(b), err
}

// plain tells whether a name needs no escapes in JSON.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_'
	})
}

// rewind gives the message as it was when the snapshot was taken.
func (r *record) rewind(state string) (sms.Message, error) {
	var s snapshot
	if err := json.Unmarshal([]byte(state), &s); err != nil {
		return sms.Message{}, fmt.Errorf("message %s: snapshot: %w", r.ID, err)
	}
	m := r.Message
	m.Status, m.Modem, m.Attempts, m.PossibleDuplicate, m.Error = s.Status, s.Modem, s.Attempts, s.PossibleDuplicate, s.Error
	m.Held, m.Gateway, m.Copy = s.Held, s.Gateway, s.Copy
	m.ClockUncertain = s.ClockUncertain
	if m.Direction == sms.Inbound {
		m.To = s.Local
	} else {
		m.From = s.Local
	}
	m.ExpectedModem, m.Warnings = s.ExpectedModem, warningsOf(s.Warnings)
	m.ExpectedAt, m.SentAt, m.DeliveredAt, m.UpdatedAt = fromMSOrZero(s.ExpectedAt), fromMSOrZero(s.SentAt), fromMSOrZero(s.DeliveredAt), fromMS(s.UpdatedAt)
	return m, nil
}

func load(q db.Querier, row int64) (*record, error) {
	r, err := scanRecord(q.QueryRow(`SELECT `+recordColumns+` FROM messages m WHERE m.row = ?`, row))
	if err == sql.ErrNoRows {
		return nil, ErrNotFound
	}
	return r, err
}

func loadID(q db.Querier, id string) (*record, error) {
	r, err := scanRecord(q.QueryRow(`SELECT `+recordColumns+` FROM messages m WHERE m.id = ?`, id))
	if err == sql.ErrNoRows {
		return nil, ErrNotFound
	}
	return r, err
}

// collect runs a query of recordColumns to its end.
func collect(q db.Querier, query string, args ...any) ([]*record, error) {
	rows, err := q.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*record
	for rows.Next() {
		r, err := scanRecord(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

func toMS(t time.Time) int64    { return t.UnixMilli() }
func fromMS(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func toMSOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMSOrZero(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return fromMS(ms)
}

func nullMS(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

func fromNull(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return fromMS(n.Int64)
}

func nullInt(n int, valid bool) any {
	if !valid {
		return nil
	}
	return n
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func errPart(e *sms.Error, i int) any {
	if e == nil {
		return nil
	}
	return [...]string{e.Code, e.Title, e.Detail}[i]
}

func contains(words, word string) bool {
	for _, w := range strings.Fields(words) {
		if w == word {
			return true
		}
	}
	return false
}

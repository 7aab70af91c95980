package queue

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// Filter selects messages; zero fields select all.
type Filter struct {
	Direction    sms.Direction
	Status       []sms.Status
	To, From     string
	Modem        string
	Gateway      string    // on a hub: that has it, or that it came from
	ClientID     string    // of whichever API key
	Since, Until time.Time // by created_at: since inclusive, until exclusive
	// SentSince and SentUntil are the same by sent_at; what was never sent is in no such list.
	SentSince, SentUntil time.Time
	Saying               string // in the text, or in the other side's number
	Author               string // id of the person, visitor, widget or API key that wrote it
	Code                 string // of its error
	Of                   *Share // nil: of everybody
	Cursor               string // from the page before
	Newer                bool   // the page before the cursor, not the one after it
	Limit                int
}

// Share is what of all messages is one caller's.
type Share struct {
	Keys   []string // outbound: handed in with one of these API keys
	Modems []string // inbound: come to one of these modems, by name or number; nil: to any
}

// defaultLimit is how many a list has at most that names no limit.
const defaultLimit = 50

// ErrBadCursor means that a cursor is not one that List gave.
var ErrBadCursor = errors.New("not a cursor of this list")

// MessageOf returns the message with this id if it is in a share; else ErrNotFound.
func (q *Queue) MessageOf(ctx context.Context, of *Share, id string) (*sms.Message, error) {
	cond, args := of.condition()
	var found []*record
	err := q.db.Read(ctx, func(x db.Querier) (err error) {
		found, err = collect(x, `SELECT `+recordColumns+` FROM messages m WHERE m.id = ? AND `+cond, append([]any{id}, args...)...)
		return err
	})
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &found[0].Message, nil
}

// Message returns the message with this id, or ErrNotFound.
func (q *Queue) Message(ctx context.Context, id string) (*sms.Message, error) {
	var r *record
	err := q.db.Read(ctx, func(x db.Querier) (err error) {
		r, err = loadID(x, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &r.Message, nil
}

// List returns messages newest first and the cursor of the next page, "" at the end.
func (q *Queue) List(ctx context.Context, f Filter) (page []sms.Message, next string, err error) {
	var where []string
	var args []any
	order := "DESC"
	add := func(cond string, v ...any) {
		where = append(where, cond)
		args = append(args, v...)
	}
	if f.Cursor != "" {
		before, err := decodeCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		if f.Newer {
			order = "ASC"
			add("m.row > ?", before)
		} else {
			add("m.row < ?", before)
		}
	}
	conds, more := f.where()
	where, args = append(where, conds...), append(args, more...)
	query := `SELECT ` + recordColumns + ` FROM messages m`
	if len(where) > 0 {
		query += ` WHERE ` + strings.Join(where, " AND ")
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	args = append(args, limit+1)
	var found []*record
	err = q.db.Read(ctx, func(x db.Querier) (err error) {
		found, err = collect(x, query+` ORDER BY m.row `+order+` LIMIT ?`, args...)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	hasMore := len(found) > limit
	found = found[:min(len(found), limit)]
	if f.Newer {
		slices.Reverse(found)
		hasMore = len(found) > 0 // at least the page that the cursor is from
	}
	if hasMore {
		next = encodeCursor(found[len(found)-1].Row)
	}
	page = make([]sms.Message, len(found))
	for i, r := range found {
		page[i] = r.Message
	}
	return page, next, nil
}

// where is the SQL that selects what the filter does, but for its cursor.
func (f *Filter) where() (where []string, args []any) {
	add := func(cond string, v ...any) {
		where = append(where, cond)
		args = append(args, v...)
	}
	if f.Direction != "" {
		add("m.direction = ?", f.Direction)
	}
	if len(f.Status) > 0 {
		marks := make([]string, len(f.Status))
		for i, s := range f.Status {
			marks[i] = "?"
			args = append(args, s)
		}
		where = append(where, "m.status IN ("+strings.Join(marks, ",")+")")
	}
	if f.To != "" {
		add("((m.direction = 'outbound' AND m.number = ?) OR (m.direction = 'inbound' AND m.local = ?))", f.To, f.To)
	}
	if f.From != "" {
		add("((m.direction = 'inbound' AND m.number = ?) OR (m.direction = 'outbound' AND m.local = ?))", f.From, f.From)
	}
	if f.Modem != "" {
		add("m.modem = ?", f.Modem)
	}
	if f.Gateway != "" {
		add("m.gateway = ?", f.Gateway)
	}
	if f.ClientID != "" {
		add("m.client_id = ?", f.ClientID)
	}
	if !f.Since.IsZero() {
		add("m.created_at >= ?", toMS(f.Since))
	}
	if !f.Until.IsZero() {
		add("m.created_at < ?", toMS(f.Until))
	}
	if !f.SentSince.IsZero() {
		add("m.sent_at >= ?", toMS(f.SentSince))
	}
	if !f.SentUntil.IsZero() {
		add("m.sent_at < ?", toMS(f.SentUntil))
	}
	if f.Author != "" {
		add("(m.author ->> '$.id' = ? OR m.author ->> '$.widget' = ? OR m.author IS NULL AND m.key_id = ?)", f.Author, f.Author, f.Author)
	}
	if f.Code != "" {
		add("m.error_code = ?", f.Code)
	}
	if f.Of != nil {
		cond, of := f.Of.condition()
		add(cond, of...)
	}
	if f.Saying != "" {
		cond, saying := saying(f.Saying)
		add(cond, saying...)
	}
	return where, args
}

// condition is the SQL that selects a share.
func (s *Share) condition() (string, []any) {
	var args []any
	in := func(list []string) string {
		for _, v := range list {
			args = append(args, v)
		}
		return "(" + strings.TrimSuffix(strings.Repeat("?,", len(list)), ",") + ")"
	}
	cond := "((m.direction = 'outbound' AND m.key_id IN " + in(s.Keys) + ") OR (m.direction = 'inbound'"
	if s.Modems != nil {
		cond += " AND (m.modem IN " + in(s.Modems) + " OR m.local IN " + in(s.Modems) + ")"
	}
	return cond + "))", args
}

// CursorAt is the cursor of the page that begins behind a message.
func CursorAt(m *sms.Message) string { return encodeCursor(m.Row) }

// OptedOut tells whether a number has said STOP. What is handed in for it all the
// same fails at once, so this need not be asked before.
func (q *Queue) OptedOut(ctx context.Context, number string) (stopped bool, err error) {
	err = q.db.Read(ctx, func(x db.Querier) error {
		return x.QueryRow(`SELECT EXISTS (SELECT 1 FROM stop_list WHERE number = ?)`, number).Scan(&stopped)
	})
	return stopped, err
}

func encodeCursor(row int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte("m" + strconv.FormatInt(row, 36)))
}

func decodeCursor(c string) (int64, error) {
	b, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil || len(b) < 2 || b[0] != 'm' {
		return 0, ErrBadCursor
	}
	row, err := strconv.ParseInt(string(b[1:]), 36, 64)
	if err != nil || row < 0 {
		return 0, ErrBadCursor
	}
	return row, nil
}

// Part is one SMS of a message as the log of its life shows it.
type Part struct {
	Number      int        `json:"number"`
	Modem       string     `json:"modem"`
	MR          *int       `json:"tp_mr"`
	StartedAt   time.Time  `json:"started_at"`
	ConfirmedAt *time.Time `json:"confirmed_at"`
	ReportedAt  *time.Time `json:"reported_at"`
	Report      *int       `json:"tp_st"` // TP-ST of the last status report
	Attempts    int        `json:"attempts"`
}

// Parts returns the parts of a message that were handed to a modem so far.
func (q *Queue) Parts(ctx context.Context, row int64) (all []Part, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		all, err = partsOf(r, row)
		return err
	})
	return all, err
}

func partsOf(r db.Querier, row int64) ([]Part, error) {
	all := []Part{}
	err := eachRow(r, `SELECT number, modem, tp_mr, sent_at, confirmed_at, reported_at, tp_st, attempts
		FROM parts WHERE message = ? ORDER BY number`, func(scan func(...any) error) error {
		var p Part
		var mr, at, reported, st sql.NullInt64
		var sent int64
		err := scan(&p.Number, &p.Modem, &mr, &sent, &at, &reported, &st, &p.Attempts)
		p.StartedAt = fromMS(sent)
		p.MR, p.Report = intOrNil(mr), intOrNil(st)
		p.ConfirmedAt, p.ReportedAt = timeOrNil(at), timeOrNil(reported)
		all = append(all, p)
		return err
	}, row)
	return all, err
}

// PDU is one that a received message was made of, as the modem gave it.
type PDU struct {
	PDU        string    `json:"pdu"` // hex, the service centre's address in front
	Modem      string    `json:"modem"`
	Storage    *string   `json:"storage"` // nil: it came without being stored
	Index      *int      `json:"index"`
	ReceivedAt time.Time `json:"received_at"`
}

// PDUs returns what a received message was made of, in the order of its parts;
// none once it was erased.
func (q *Queue) PDUs(ctx context.Context, row int64) (all []PDU, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		all, err = pdusOf(r, row)
		return err
	})
	return all, err
}

func intOrNil(n sql.NullInt64) *int {
	if !n.Valid {
		return nil
	}
	i := int(n.Int64)
	return &i
}

func timeOrNil(n sql.NullInt64) *time.Time {
	if !n.Valid {
		return nil
	}
	t := fromMS(n.Int64)
	return &t
}

// Stats returns both rings with their pointers.
func (q *Queue) Stats() sms.Rings { return sms.Rings{Outbound: q.out.shown(), Inbound: q.in.shown()} }

// CountByStatus counts the messages that are not yet at a final status.
func (q *Queue) CountByStatus() map[sms.Status]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.open)
}

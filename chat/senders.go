package chat

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// SenderRecord is what is known of somebody who wrote by chat, or of what several
// strangers have in common: their network address, their widget.
type SenderRecord struct {
	ID        string
	Kind      string     // person, visitor, key, address, widget
	Name      string     // as recipients were told it last; "": not known
	Address   string     // that it wrote from last, of IPv6 the first of a /64; "": not known
	Widget    string     // of a visitor
	Today     int        // messages within the last day of its limits
	Answers   Thresholds // as far as they count
	FirstAt   time.Time
	LastAt    time.Time
	BlockedAt time.Time // zero: it is not
	BlockedBy string    // the admin; "": the answers
	Reason    string
}

// The kinds of answers that count against who is answered.
const (
	answerSpam   = "spam"
	answerThreat = "threat"
	answerStop   = "stop"
)

func (t Thresholds) of(kind string) int {
	switch kind {
	case answerSpam:
		return t.Spam
	case answerThreat:
		return t.Threat
	}
	return t.Stop
}

// senderTold is what an event tells of a sender: no name, no number, no address.
type senderTold struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
	By     string `json:"by"` // "": the answers
}

// MarshalJSON writes all fields.
func (t senderTold) MarshalJSON() ([]byte, error) {
	type plain senderTold
	return json.Marshal(plain(t))
}

// openAbuse reads what is blocked, and what admins have decided.
func (c *Chat) openAbuse(ctx context.Context) error {
	if err := c.openRules(ctx); err != nil {
		return err
	}
	c.abuse.barred, c.abuse.numbers = map[string]bool{}, map[string]bool{}
	err := c.o.DB.Read(ctx, func(r db.Querier) error {
		return errors.Join(ids(r, c.abuse.barred, `SELECT id FROM chat_senders WHERE blocked_at IS NOT NULL`),
			ids(r, c.abuse.numbers, `SELECT number FROM blocked_numbers`))
	})
	if err != nil {
		return err
	}
	c.o.Queue.OnErase(c.eraseAbuse)
	return nil
}

func ids(r db.Querier, into map[string]bool, query string, args ...any) error {
	rows, err := r.Query(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		into[id] = true
	}
	return rows.Err()
}

// keep changes one of the maps as the transaction has it.
func keep(tx *db.Tx, all map[string]bool, id string, on bool) {
	before := all[id]
	set := func(on bool) {
		if on {
			all[id] = true
		} else {
			delete(all, id)
		}
	}
	set(on)
	tx.OnRollback(func() { set(before) })
}

// barred refuses what somebody wrote who is blocked, through whatever door it came and
// however long it waited.
func (c *Chat) barred(a *sms.Author, key string) *sms.Error {
	barred := c.abuse.barred[key]
	if a != nil { // an invitation too names whom it is sent for
		barred = barred || c.abuse.barred[a.ID] || a.Kind == sms.AuthorVisitor && c.abuse.barred[addressPrefix+network(a.Address)]
	}
	if !barred {
		return nil
	}
	return &sms.Error{Code: string(BlockedSender), Title: "Who wrote it is blocked",
		Detail: "Nothing that this sender wrote is sent until an admin opens the account again, on the page Abuse.", Class: sms.Permanent}
}

// ruledOut refuses what somebody who signs in, or a visitor, sends to a number that is
// blocked, however long it waited. What did not go through a conversation, from the page of
// messages, was not held against the other rules before.
func (c *Chat) ruledOut(l queue.Leaving) *sms.Error {
	inChat := l.Author != nil && (l.Author.Kind == sms.AuthorPerson || l.Author.Kind == sms.AuthorVisitor)
	if !inChat && (l.Author != nil || !c.o.Person(l.Key)) {
		return nil
	}
	if c.abuse.numbers[l.To] {
		return &sms.Error{Code: string(BlockedNumber), Title: "The number is blocked", Detail: "Nobody here may write to it until an admin lifts that, on the page Abuse.", Class: sms.Permanent}
	}
	if inChat {
		return nil
	}
	rules := c.abuse.rules.Load()
	var bad *Error
	if err := c.admitNumber(rules, l.To); errors.As(err, &bad) {
		return &sms.Error{Code: string(bad.Code), Title: "People here may not write to such a number", Detail: bad.Detail, Class: sms.Permanent}
	}
	if k := rules.keywords.in(l.Text); k != "" {
		return &sms.Error{Code: string(Keyword), Title: "The text has a word that is not sent from here", Detail: fmt.Sprintf("It has %q, which an admin keeps from being sent.", k), Class: sms.Permanent}
	}
	return nil
}

// heardAbuse counts an answer of SPAM, THREAT or STOP against whoever wrote what it
// answers, and blocks those that got too many.
func (c *Chat) heardAbuse(tx *db.Tx, v *Conversation, m *sms.Message, word queue.Word) error {
	kind := ""
	switch word.Kind {
	case queue.WordSpam:
		kind = answerSpam
	case queue.WordThreat:
		kind = answerThreat
	case queue.WordStop:
		kind = answerStop
	default:
		return nil
	}
	authors, err := queue.Answered(tx, v.ID, m.Row)
	if err != nil {
		return err
	}
	now, rules := c.o.Now(), c.abuse.rules.Load()
	counted := map[string]bool{}
	for _, a := range authors {
		s, err := c.whose(tx, v, a)
		if err != nil {
			return err
		}
		for _, one := range subjects(s) {
			if one.id == "" || counted[one.id] {
				continue
			}
			counted[one.id] = true
			if err := c.count(tx, one, s, v.Number, kind, rules, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// whose is who answers for a message: an invitation is the gateway's own, and names
// whom it is sent for.
func (c *Chat) whose(r db.Querier, v *Conversation, a sms.Author) (Sender, error) {
	s := Sender{Kind: a.Kind, ID: a.ID, Name: a.Name, Address: a.Address}
	if a.ID == v.Owner.Visitor {
		s.Kind, s.Widget = sms.AuthorVisitor, v.Owner.Widget
	} else if a.Kind == sms.AuthorAuto && a.ID != "" {
		err := r.QueryRow(`SELECT kind FROM chat_senders WHERE id = ?`, a.ID).Scan(&s.Kind)
		if errors.Is(err, sql.ErrNoRows) {
			return Sender{}, nil
		}
		return s, err
	}
	return s, nil
}

// count books one answer against a subject.
func (c *Chat) count(tx *db.Tx, one subject, s Sender, number, kind string, rules *ruling, now time.Time) error {
	fresh, err := tx.Exec(`INSERT OR IGNORE INTO sender_answers (sender, kind, number, day, at) VALUES (?, ?, ?, ?, ?)`,
		one.id, kind, number, now.Format(time.DateOnly), ms(now))
	if err != nil || fresh == 0 {
		return err
	}
	name := s.Name
	if one.id != s.ID {
		name = ""
	}
	if _, err := tx.Exec(`INSERT OR IGNORE INTO chat_senders (id, kind, name, first_at, last_at) VALUES (?1, ?2, ?3, ?4, ?4)`, one.id, one.kind, name, ms(now)); err != nil {
		return err
	}
	most := rules.Thresholds.of(kind)
	switch one.kind {
	case kindWidget:
		most = rules.WidgetThreshold
	case string(sms.AuthorKey):
		most = 0 // a program's STOPs are its customers' right; an admin may still block it
	}
	if most == 0 || c.abuse.barred[one.id] {
		return nil
	}
	var n int
	err = tx.QueryRow(`SELECT count(*) FROM sender_answers a WHERE a.sender = ?1 AND a.kind = ?2 AND a.at > max(?3, (SELECT opened_at FROM chat_senders WHERE id = ?1))`,
		one.id, kind, ms(now)-int64(rules.CountDays)*24*3600*1000).Scan(&n)
	if err != nil || n < most {
		return err
	}
	return c.block(tx, one.id, "", fmt.Sprintf("%d answers of %s", n, strings.ToUpper(kind)))
}

// block lets nothing more through of a sender. Its conversations that are alive end, and
// the numbers that took part in them get no more messages from here at all. One that was
// only asked is left as it was: else whoever likes could silence a phone that is on call.
func (c *Chat) block(tx *db.Tx, id, by, reason string) error {
	now := c.o.Now()
	var kind string
	if err := tx.QueryRow(`SELECT kind FROM chat_senders WHERE id = ? AND kind <> 'invitations'`, id).Scan(&kind); errors.Is(err, sql.ErrNoRows) {
		return noSender()
	} else if err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE chat_senders SET blocked_at = coalesce(blocked_at, ?), blocked_by = ?, reason = ? WHERE id = ?`, ms(now), by, reason, id)
	if err != nil {
		return err
	}
	was := c.abuse.barred[id]
	keep(tx, c.abuse.barred, id, true)
	live, err := c.liveOf(tx, id, kind)
	if err != nil {
		return err
	}
	for _, one := range live {
		took, err := c.tookPart(tx, one, id)
		if err == nil {
			err = c.BlockTx(tx, one.ID, reason)
		}
		if err != nil {
			return err
		}
		if !took {
			continue
		}
		err = c.o.Queue.StopTx(tx, queue.Answer{To: one.Number, Modem: one.Modem, SIM: one.SIM, Conversation: one.ID},
			queue.Source{Reason: queue.ReasonBlocked, Wording: reason, By: by})
		if err == nil {
			err = c.consentChanged(tx, one.Number) // its other conversations too
		}
		if err != nil {
			return err
		}
	}
	if was {
		return nil // an admin has looked at it
	}
	return c.o.Queue.AppendTx(tx, sms.EventSenderBlocked, senderTold{id, kind, reason, by})
}

// tookPart tells whether a number said YES in a conversation or, where none is needed,
// anything, or complained about the sender.
func (c *Chat) tookPart(tx *db.Tx, e *entry, sender string) (yes bool, err error) {
	err = tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM sender_answers WHERE sender = ? AND number = ?)`, sender, e.Number).Scan(&yes)
	if yes || err != nil {
		return yes, err
	}
	if e.Mode == ByInvitation {
		o, err := c.o.Queue.OptInOf(tx, e.ID)
		return o != nil && !o.GivenAt.IsZero(), err
	}
	n, err := queue.CountReceived(tx, e.ID, 0)
	return n > 0, err
}

// liveOf are the conversations of a sender that are neither closed nor blocked. Of a
// team's those in which the sender wrote last.
func (c *Chat) liveOf(tx *db.Tx, id, kind string) ([]*entry, error) {
	const alive = `WHERE c.state NOT IN ('closed', 'blocked') AND `
	switch kind {
	case string(sms.AuthorVisitor):
		return all(tx, alive+`c.visitor = ?`, id)
	case kindWidget:
		return all(tx, alive+`c.visitor <> '' AND c.widget = ?`, id)
	case kindAddress:
		return all(tx, alive+`c.visitor IN (SELECT id FROM chat_senders WHERE kind = 'visitor' AND address = ?)`, strings.TrimPrefix(id, addressPrefix))
	}
	live, err := all(tx, alive+`c.visitor = '' AND c.number IN (SELECT number FROM sender_numbers WHERE sender = ?)`, id)
	if err != nil {
		return nil, err
	}
	var own []*entry
	for _, one := range live {
		authors, err := queue.Answered(tx, one.ID, math.MaxInt64)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(authors, func(a sms.Author) bool { return a.ID == id }) {
			own = append(own, one)
		}
	}
	return own, nil
}

func noSender() error {
	return fail(NotFound, "", "Nobody with this id has written by chat.")
}

// maxReason is what an admin may say of why.
const maxReason = 200

func checkReason(reason string) (string, error) {
	reason = strings.Join(strings.Fields(reason), " ")
	if len([]rune(reason)) > maxReason {
		return "", intake.Refused{{Field: "reason", Detail: fmt.Sprintf("must have at most %d characters", maxReason)}}
	}
	return reason, nil
}

// BlockSender blocks a sender by an admin's word, or says that one that its answers
// have blocked stays so. An address may be blocked before anybody wrote from it.
func (c *Chat) BlockSender(ctx context.Context, id, reason, by string) (*SenderRecord, error) {
	reason, err := checkReason(reason)
	if err != nil {
		return nil, err
	}
	return c.changeSender(ctx, id, func(tx *db.Tx) error {
		if address, ok := strings.CutPrefix(id, addressPrefix); ok && address != "" && network(address) == address {
			now := ms(c.o.Now())
			if _, err := tx.Exec(`INSERT OR IGNORE INTO chat_senders (id, kind, first_at, last_at) VALUES (?1, ?2, ?3, ?3)`, id, kindAddress, now); err != nil {
				return err
			}
		}
		if reason == "" {
			if err := tx.QueryRow(`SELECT coalesce(max(reason), '') FROM chat_senders WHERE id = ?`, id).Scan(&reason); err != nil {
				return err
			}
		}
		return c.block(tx, id, by, reason)
	})
}

// ReopenSender lets a sender write again. What it was answered until now counts no
// more; its conversations stay as they are, and who said STOP or was stopped too.
func (c *Chat) ReopenSender(ctx context.Context, id, by string) (*SenderRecord, error) {
	return c.changeSender(ctx, id, func(tx *db.Tx) error {
		var kind string
		var blocked sql.NullInt64
		if err := tx.QueryRow(`SELECT kind, blocked_at FROM chat_senders WHERE id = ?`, id).Scan(&kind, &blocked); errors.Is(err, sql.ErrNoRows) {
			return noSender()
		} else if err != nil || !blocked.Valid {
			return err
		}
		_, err := tx.Exec(`UPDATE chat_senders SET blocked_at = NULL, blocked_by = '', reason = '', opened_at = ? WHERE id = ?`, ms(c.o.Now()), id)
		if err != nil {
			return err
		}
		keep(tx, c.abuse.barred, id, false)
		return c.o.Queue.AppendTx(tx, sms.EventSenderReopened, senderTold{ID: id, Kind: kind, By: by})
	})
}

func (c *Chat) changeSender(ctx context.Context, id string, change func(tx *db.Tx) error) (s *SenderRecord, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = c.o.Queue.Do(func(tx *db.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		s, err = c.sender(tx, id)
		return err
	})
	return s, err
}

// SenderFilter selects senders; zero fields select all.
type SenderFilter struct {
	State  string // blocked, open, or answered: those with answers that count
	Kind   string
	Cursor string
	Limit  int
}

// The states of a SenderFilter.
const (
	SendersBlocked  = "blocked"
	SendersOpen     = "open"
	SendersAnswered = "answered"
)

const senderColumns = `SELECT s.id, s.kind, s.name, s.address, s.widget, CASE WHEN s.day_at > ?1 THEN s.in_day ELSE 0 END,
	(SELECT count(*) FROM sender_answers a WHERE a.sender = s.id AND a.kind = 'spam' AND a.at > max(?2, s.opened_at)),
	(SELECT count(*) FROM sender_answers a WHERE a.sender = s.id AND a.kind = 'threat' AND a.at > max(?2, s.opened_at)),
	(SELECT count(*) FROM sender_answers a WHERE a.sender = s.id AND a.kind = 'stop' AND a.at > max(?2, s.opened_at)),
	s.first_at, s.last_at, s.blocked_at, s.blocked_by, s.reason FROM chat_senders s `

func (c *Chat) senders(r db.Querier, where string, args ...any) (all []SenderRecord, err error) {
	now := c.o.Now()
	since := now.Add(-time.Duration(c.abuse.rules.Load().CountDays) * 24 * time.Hour)
	rows, err := r.Query(senderColumns+where, append([]any{ms(now.Add(-24 * time.Hour)), ms(since)}, args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s SenderRecord
		var first, last int64
		var blocked sql.NullInt64
		if err := rows.Scan(&s.ID, &s.Kind, &s.Name, &s.Address, &s.Widget, &s.Today, &s.Answers.Spam, &s.Answers.Threat, &s.Answers.Stop,
			&first, &last, &blocked, &s.BlockedBy, &s.Reason); err != nil {
			return nil, err
		}
		s.FirstAt, s.LastAt = fromMS(first), fromMS(last)
		if blocked.Valid {
			s.BlockedAt = fromMS(blocked.Int64)
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

func (c *Chat) sender(r db.Querier, id string) (*SenderRecord, error) {
	found, err := c.senders(r, `WHERE s.id = ?3 AND s.kind <> 'invitations'`, id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, noSender()
	}
	return &found[0], nil
}

const (
	someSenders = 50
	mostSenders = 200
)

// Senders lists whoever wrote by chat, who wrote last first.
func (c *Chat) Senders(ctx context.Context, f SenderFilter) (page []SenderRecord, next string, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = someSenders
	}
	limit = min(limit, mostSenders)
	where := `WHERE s.kind <> 'invitations' AND (?3 = '' OR s.kind = ?3) AND (s.last_at < ?4 OR s.last_at = ?4 AND s.id < ?5)`
	switch f.State {
	case SendersBlocked:
		where += ` AND s.blocked_at IS NOT NULL`
	case SendersOpen:
		where += ` AND s.blocked_at IS NULL`
	case SendersAnswered:
		where += ` AND (s.blocked_at IS NOT NULL OR EXISTS (SELECT 1 FROM sender_answers a WHERE a.sender = s.id AND a.at > max(?2, s.opened_at)))`
	}
	before, below := int64(1)<<62, ""
	if f.Cursor != "" {
		at, id, ok := strings.Cut(f.Cursor, "_")
		if before, err = strconv.ParseInt(at, 10, 64); err != nil || !ok {
			return nil, "", queue.ErrBadCursor
		}
		below = id
	}
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		page, err = c.senders(r, where+` ORDER BY s.last_at DESC, s.id DESC LIMIT ?6`, f.Kind, before, below, limit+1)
		return err
	})
	if len(page) > limit {
		page = page[:limit]
		last := page[limit-1]
		next = fmt.Sprintf("%d_%s", ms(last.LastAt), last.ID)
	}
	return page, next, err
}

// Unreviewed is how many senders their answers have blocked that no admin has looked at.
func (c *Chat) Unreviewed(ctx context.Context) (n int, err error) {
	err = c.o.DB.Read(ctx, func(r db.Querier) error {
		return r.QueryRow(`SELECT count(*) FROM chat_senders WHERE blocked_at IS NOT NULL AND blocked_by = ''`).Scan(&n)
	})
	return n, err
}

package queue

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// entry begins an entry of the log of consent.
func (by Source) entry(number string, d sms.Decision) sms.Consent {
	e := sms.Consent{Number: number, Decision: d, Reason: by.Reason, Wording: by.Wording, Source: by.Message, At: by.at}
	if e.Source == "" {
		e.Source = by.By
	}
	if e.Source == "" {
		e.Source = "gateway"
	}
	return e
}

// decided writes an entry of the log and the event that tells it.
func (q *Queue) decided(tx *db.Tx, e sms.Consent) (err error) {
	if e.ClockUncertain = !q.o.Trusted(); e.At.IsZero() {
		e.At = q.o.Now()
	}
	e.ID, err = tx.Insert(`INSERT INTO consent_log (at, clock_uncertain, number, decision, reason, wording, source, conversation, sim) VALUES (?,?,?,?,?,?,?,?,?)`,
		toMS(e.At), e.ClockUncertain, e.Number, e.Decision, e.Reason, e.Wording, e.Source, orNull(e.Conversation), orNull(e.SIM))
	if err != nil {
		return err
	}
	return q.AppendTx(tx, sms.EventOfConsent(e.Decision), e)
}

// ConsentFilter selects entries of the log of consent; zero fields select all.
type ConsentFilter struct {
	Number       string
	Conversation string
	Decision     sms.Decision
	Since, Until time.Time // of its time; Until is not included
	Before       int64     // entries with a smaller id only: where the page before ended
	Limit        int
}

const consentColumns = `seq, at, clock_uncertain, number, decision, reason, wording, source, conversation, sim`

// Consents lists entries, newest first, and the Before of the next page; 0: there is
// none.
func (q *Queue) Consents(ctx context.Context, f ConsentFilter) (page []sms.Consent, next int64, err error) {
	where, args := []string{"1"}, []any{}
	set := func(wanted bool, condition string, arg any) {
		if wanted {
			where, args = append(where, condition), append(args, arg)
		}
	}
	set(f.Number != "", "number = ?", f.Number)
	set(f.Conversation != "", "conversation = ?", f.Conversation)
	set(f.Decision != "", "decision = ?", f.Decision)
	set(!f.Since.IsZero(), "at >= ?", toMS(f.Since))
	set(!f.Until.IsZero(), "at < ?", toMS(f.Until))
	set(f.Before > 0, "seq < ?", f.Before)
	err = q.db.Read(ctx, func(r db.Querier) (err error) {
		page, err = consents(r, `WHERE `+strings.Join(where, " AND ")+` ORDER BY seq DESC LIMIT ?`, append(args, f.Limit+1)...)
		return err
	})
	if len(page) > f.Limit {
		page = page[:f.Limit]
		next = page[f.Limit-1].ID
	}
	return page, next, err
}

// EachConsent hands out the whole log, oldest first. Nothing is held up while take
// waits.
func (q *Queue) EachConsent(ctx context.Context, take func(sms.Consent) error) error {
	const page = 500
	for from := int64(0); ; {
		var found []sms.Consent
		err := q.db.Read(ctx, func(r db.Querier) (err error) {
			found, err = consents(r, `WHERE seq > ? ORDER BY seq LIMIT ?`, from, page)
			return err
		})
		if err != nil || len(found) == 0 {
			return err
		}
		for _, e := range found {
			if err := take(e); err != nil {
				return err
			}
			from = e.ID
		}
	}
}

func consents(r db.Querier, rest string, args ...any) (all []sms.Consent, err error) {
	err = eachRow(r, `SELECT `+consentColumns+` FROM consent_log `+rest, func(scan func(...any) error) error {
		var c sms.Consent
		var at int64
		var conversation, sim sql.NullString
		err := scan(&c.ID, &at, &c.ClockUncertain, &c.Number, &c.Decision, &c.Reason, &c.Wording, &c.Source, &conversation, &sim)
		c.At, c.Conversation, c.SIM = fromMS(at), conversation.String, sim.String
		all = append(all, c)
		return err
	}, args...)
	return all, err
}

// Standing is how a number's consent stands.
type Standing struct {
	Number string
	Stop   *Stop // nil: it is not on the stop list
	OptIns []ConversationOptIn
}

// Stop is an entry of the stop list.
type Stop struct {
	Since  time.Time
	Word   string // what it said
	Reason string // word: it said so itself
}

// ConversationOptIn is an opt-in and whose it is.
type ConversationOptIn struct {
	Conversation, SIM string
	OptIn
}

func (o *keptOptIn) shown() *ConversationOptIn {
	return &ConversationOptIn{o.conversation, o.sim, o.OptIn}
}

// StandingOf tells how a number's consent stands.
func (q *Queue) StandingOf(ctx context.Context, of string) (s Standing, err error) {
	s.Number = of
	err = q.db.Read(ctx, func(r db.Querier) error {
		err := eachRow(r, `SELECT since, word, reason FROM stop_list WHERE number = ?`, func(scan func(...any) error) error {
			s.Stop = &Stop{}
			var since int64
			err := scan(&since, &s.Stop.Word, &s.Stop.Reason)
			s.Stop.Since = fromMS(since)
			return err
		}, of)
		if err != nil {
			return err
		}
		found, err := optInsOf(r, `WHERE number = ? ORDER BY coalesce(asked_at, given_at) DESC`, of)
		for _, o := range found {
			o.Of = q.rules().PerOptIn
			s.OptIns = append(s.OptIns, *o.shown())
		}
		return err
	})
	return s, err
}

// RecordConsent notes what a number's owner said elsewhere: an opt-out holds as if the
// number had said STOP; an opt-in takes back what was recorded so, and gives what the
// number was asked for. ErrConflict: the number said STOP itself.
func (q *Queue) RecordConsent(of string, d sms.Decision, by Source) error {
	decide := q.OptInAgainTx
	if d == sms.DecisionOptOut {
		decide = q.OptOutTx
	}
	return q.write(func(tx *db.Tx) error {
		if err := decide(tx, of, by); err != nil {
			return err
		}
		return q.tellConsent(tx, of)
	})
}

// forgetConsent ends and forgets the opt-ins of a number whose conversations are erased,
// and what it was answered. The log and the stop list stay.
func (q *Queue) forgetConsent(tx *db.Tx, of string) error {
	open, err := optInsOf(tx, `WHERE number = ? AND state <> 'ended'`, of)
	if err != nil {
		return err
	}
	for _, o := range open {
		if err := q.EndOptInTx(tx, o.conversation, ReasonErased); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`DELETE FROM opt_ins WHERE number = ?`, of); err != nil {
		return err
	}
	_, err = tx.Exec(`DELETE FROM auto_answers WHERE number = ?`, of)
	return err
}

// answersKept is how long it is known that a number was answered.
const answersKept = 3 * 24 * time.Hour

// pruneConsent forgets old automatic answers, and opt-ins that ended before keep.
func (q *Queue) pruneConsent(now time.Time, keep time.Duration) error {
	return q.db.Write(func(tx *db.Tx) error {
		if _, err := tx.Exec(`DELETE FROM auto_answers WHERE day < ?`, now.Add(-answersKept).UTC().Format(time.DateOnly)); err != nil || keep <= 0 {
			return err
		}
		_, err := tx.Exec(`DELETE FROM opt_ins WHERE state = 'ended' AND ended_at < ?`, toMS(now.Add(-keep)))
		return err
	})
}

// shiftConsent moves what is waited by along with the clock. What was decided keeps the
// time that it was written with.
func shiftConsent(tx *db.Tx, step time.Duration, began, now time.Time) error {
	for _, s := range []struct {
		query string
		args  []any
	}{
		{`UPDATE opt_ins SET given_at = given_at + ? WHERE given_at >= ?`, []any{step.Milliseconds(), toMS(began)}},
		{`UPDATE opt_ins SET heard_at = heard_at + ? WHERE heard_at >= ?`, []any{step.Milliseconds(), toMS(began)}},
		{`UPDATE opt_ins SET notice_until = notice_until + ? WHERE notice_until IS NOT NULL`, []any{step.Milliseconds()}},
		{`UPDATE opt_ins SET given_at = ?1 WHERE given_at > ?1`, []any{toMS(now)}},
		{`UPDATE opt_ins SET heard_at = ?1 WHERE heard_at > ?1`, []any{toMS(now)}},
	} {
		if _, err := tx.Exec(s.query, s.args...); err != nil {
			return err
		}
	}
	return nil
}

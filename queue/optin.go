package queue

import (
	"database/sql"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// OptIn is how a conversation's opt-in stands.
type OptIn struct {
	State   OptInState
	AskedAt time.Time // zero: it was given without being asked for
	GivenAt time.Time
	HeardAt time.Time
	EndedAt time.Time
	Reason  string // why it ended
	Used    int    // messages since it was given, but for those that failed
	Of      int    // that it is good for; below 0: any number
}

// Holds tells whether another message may be sent under it.
func (o *OptIn) Holds() bool {
	return o != nil && o.State == OptInGiven && (o.Of < 0 || o.Used < o.Of)
}

// OptInState is asked, given or ended.
type OptInState string

// The states of an opt-in.
const (
	OptInAsked OptInState = "asked"
	OptInGiven OptInState = "given"
	OptInEnded OptInState = "ended"
)

// keptOptIn is a row of opt_ins.
type keptOptIn struct {
	conversation, number, sim string
	OptIn
	counted, holds sql.NullInt64
}

// optInsOf reads those that rest selects.
func optInsOf(r db.Querier, rest string, args ...any) (all []keptOptIn, err error) {
	err = eachRow(r, `SELECT conversation, number, sim, state, asked_at, given_at, heard_at, ended_at, reason, used, counted, holds FROM opt_ins `+rest, func(scan func(...any) error) error {
		var o keptOptIn
		var asked, given, heard, ended sql.NullInt64
		err := scan(&o.conversation, &o.number, &o.sim, &o.State, &asked, &given, &heard, &ended, &o.Reason, &o.Used, &o.counted, &o.holds)
		o.AskedAt, o.GivenAt, o.HeardAt, o.EndedAt = fromNull(asked), fromNull(given), fromNull(heard), fromNull(ended)
		all = append(all, o)
		return err
	}, args...)
	return all, err
}

// optInOf reads one; nil: there is none.
func optInOf(r db.Querier, conversation string) (*keptOptIn, error) {
	all, err := optInsOf(r, `WHERE conversation = ?`, conversation)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// OptInOf tells how a conversation's opt-in stands; nil: it was never asked for.
func (q *Queue) OptInOf(r db.Querier, conversation string) (*OptIn, error) {
	o, err := optInOf(r, conversation)
	if o == nil || err != nil {
		return nil, err
	}
	o.Of = q.rules().PerOptIn
	return &o.OptIn, nil
}

// AskOptInTx notes that a number is asked for a conversation's opt-in, through a SIM;
// the invitation itself, by.Wording, is the caller's to submit. Messages that wait under
// an opt-in which was given before go on. ErrConflict: the number said STOP.
func (q *Queue) AskOptInTx(tx *db.Tx, conversation, number, sim string, by Source) error {
	if q.stops[number] {
		return Conflict("this number said STOP: it can be asked again once it has sent START")
	}
	now := q.o.Now()
	was, err := q.OptInOf(tx, conversation)
	if err != nil {
		return err
	}
	state := OptInAsked
	if was.Holds() {
		state = OptInGiven // being asked takes nothing away
	}
	_, err = tx.Exec(`INSERT INTO opt_ins (conversation, number, sim, state, asked_at) VALUES (?,?,?,?,?)
		ON CONFLICT DO UPDATE SET number=excluded.number, sim=excluded.sim, state=excluded.state, asked_at=excluded.asked_at, ended_at=NULL, reason='', notice_until=NULL`,
		conversation, number, sim, state, toMS(now))
	if err != nil {
		return err
	}
	by.Reason = ReasonAsked
	e := by.entry(number, sms.DecisionAsked)
	e.Conversation, e.SIM = conversation, sim
	return q.decided(tx, e)
}

// EndOptInTx ends a conversation's opt-in, given or only asked for; what waits under
// it fails. Without one it does nothing. One that has ended before comes back with START,
// unless its conversation is over.
func (q *Queue) EndOptInTx(tx *db.Tx, conversation, reason string) error {
	o, err := optInOf(tx, conversation)
	if o == nil || err != nil {
		return err
	}
	if o.State == OptInEnded {
		if reason == ReasonClosed || reason == ReasonBlocked {
			_, err = tx.Exec(`UPDATE opt_ins SET reason = ? WHERE conversation = ?`, reason, conversation)
		}
		return err
	}
	if err := q.endOptIn(tx, conversation, reason, q.o.Now()); err != nil {
		return err
	}
	e := Source{Reason: reason}.entry(o.number, sms.DecisionEnded)
	e.Conversation, e.SIM = conversation, o.sim
	return q.decided(tx, e)
}

func (q *Queue) endOptIn(tx *db.Tx, conversation, reason string, now time.Time) error {
	_, err := tx.Exec(`UPDATE opt_ins SET state = 'ended', ended_at = ?, reason = ?, holds = NULL WHERE conversation = ?`, toMS(now), reason, conversation)
	return err
}

// giveOptIn opens a conversation for messages that are accepted from now on, besides
// those that wait under an opt-in that never ended.
func (q *Queue) giveOptIn(tx *db.Tx, conversation string, now time.Time) error {
	_, err := tx.Exec(`UPDATE opt_ins SET state = 'given', given_at = ?1, heard_at = ?1, ended_at = NULL, reason = '', used = 0, counted = ?2, holds = coalesce(holds, ?2),
		notice_until = NULL WHERE conversation = ?3`, toMS(now), q.lastRow, conversation)
	return err
}

// askedOf finds the opt-ins that YES to a SIM gives: those that were asked for
// through it, or the only one that was asked for at all.
func askedOf(tx *db.Tx, number, sim string) ([]keptOptIn, error) {
	asked, err := optInsOf(tx, `WHERE number = ? AND state = 'asked'`, number)
	if err != nil || sim == "" {
		return asked, err
	}
	var here []keptOptIn
	for _, o := range asked {
		if o.sim == sim {
			here = append(here, o)
		}
	}
	if len(here) == 0 && len(asked) == 1 {
		here = asked
	}
	return here, nil
}

// noteHeard notes that a number says something, to within an hour.
func (q *Queue) noteHeard(tx *db.Tx, number string, now time.Time) error {
	_, err := tx.Exec(`UPDATE opt_ins SET heard_at = ?1 WHERE number = ?2 AND state <> 'ended' AND coalesce(heard_at, 0) NOT BETWEEN ?1 - 3600000 AND ?1`, toMS(now), number)
	return err
}

// notOptedIn says why a message that needs an opt-in has none; nil: it has. A
// message counts before it is asked for, and no more when it fails.
func (q *Queue) notOptedIn(tx *db.Tx, r *record, accepting bool) (*sms.Error, error) {
	o, err := optInOf(tx, r.Conversation)
	if err != nil {
		return nil, err
	}
	detail := "It was not asked yet."
	switch of := q.rules().PerOptIn; {
	case o == nil:
	case !o.holds.Valid && o.State == OptInAsked:
		detail = "It was asked and has not said YES yet."
	case !o.holds.Valid || r.Row <= o.holds.Int64:
		detail = "It has opted in no longer: it has to be asked again."
	case !accepting:
		return nil, nil
	case o.State == OptInGiven && r.Row > o.counted.Int64 && (of < 0 || o.Used <= of):
		return nil, nil
	default:
		detail = "As many messages were sent as one opt-in is good for: it has to be asked again."
	}
	return &sms.Error{Code: "not-opted-in", Title: "The recipient has not opted in", Detail: detail, Class: sms.Permanent}, nil
}

// notInvited says why an invitation is not to be sent any more; nil: it is.
func notInvited(tx *db.Tx, r *record) (*sms.Error, error) {
	o, err := optInOf(tx, r.Conversation)
	if err != nil || o != nil && o.State != OptInEnded {
		return nil, err
	}
	return &sms.Error{Code: "not-opted-in", Title: "The recipient has not opted in", Detail: "The conversation that it was invited to is over.", Class: sms.Permanent}, nil
}

// spends tells whether a message at a status counts among those that its opt-in is
// good for.
func spends(s sms.Status) bool { return s != sms.Failed && s != sms.Expired && s != sms.Canceled }

// countOptIn counts a message that needs an opt-in, or takes it back.
func (q *Queue) countOptIn(tx *db.Tx, r *record, n int) error {
	if r.consent != ConsentInvite {
		return nil
	}
	_, err := tx.Exec(`UPDATE opt_ins SET used = max(0, used + ?) WHERE conversation = ? AND counted < ?`, n, r.Conversation, r.Row)
	return err
}

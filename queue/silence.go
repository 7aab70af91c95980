package queue

import (
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// silenceEvery is how often it is looked who is silent: nobody waits for it.
const silenceEvery = time.Minute

// noticeAgain is how long after a notice could not be sent it is tried again.
const noticeAgain = 10 * time.Minute

// EndSilent ends opt-ins whose numbers have said nothing for long, tells them so, and
// returns the time of the next one, zero if there is none. A notice waits for the end
// of quiet hours, for its SIM, and for a day without another automatic answer, for some
// days. While the clock is not trusted nobody knows how long anybody is silent.
func (q *Queue) EndSilent(now time.Time) (next time.Time, err error) {
	rules := q.rules()
	if !q.o.Trusted() {
		return time.Time{}, nil
	}
	if next := q.silenceAt; next.After(now) && next.Sub(now) <= silenceEvery {
		return next, nil // each look is a read, and the housekeeping looks at every event
	}
	q.silenceAt = now.Add(silenceEvery)
	if rules.Silence > 0 {
		if next, err = q.endSilent(now, &rules); err != nil {
			return time.Time{}, err
		}
	}
	due, err := q.earliest(`SELECT min(notice_until) FROM opt_ins WHERE notice_until IS NOT NULL`)
	if err != nil || due.IsZero() {
		return next, err
	}
	if !q.noticesAt.After(now) || q.noticesAt.Sub(now) > noticeAgain {
		q.noticesAt = now.Add(noticeAgain)
		if err := q.notify(now, &rules); err != nil {
			return time.Time{}, err
		}
	}
	if next.IsZero() || q.noticesAt.Before(next) {
		next = q.noticesAt
	}
	return next, nil
}

func (q *Queue) endSilent(now time.Time, rules *ConsentRules) (next time.Time, err error) {
	const heard = `coalesce(heard_at, given_at)`
	for {
		at, err := q.earliest(`SELECT min(` + heard + `) FROM opt_ins WHERE state = 'given'`)
		if err != nil || at.IsZero() {
			return at, err
		}
		if at = at.Add(rules.Silence); at.After(now) {
			return at, nil
		}
		err = q.write(func(tx *db.Tx) error {
			found, err := optInsOf(tx, `WHERE state = 'given' AND `+heard+` <= ? ORDER BY `+heard+` LIMIT ?`, toMS(now.Add(-rules.Silence)), slice)
			if err != nil {
				return err
			}
			for _, o := range found {
				if err := q.endForSilence(tx, &o, now, rules); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return time.Time{}, err
		}
	}
}

func (q *Queue) endForSilence(tx *db.Tx, o *keptOptIn, now time.Time, rules *ConsentRules) error {
	if err := q.endOptIn(tx, o.conversation, ReasonSilence, now); err != nil {
		return err
	}
	e := Source{Reason: ReasonSilence}.entry(o.number, sms.DecisionEnded)
	e.Conversation, e.SIM = o.conversation, o.sim
	if rules.Answers != AnswersNone {
		e.Wording = rules.texts(everywhere).Silence
		if _, err := tx.Exec(`UPDATE opt_ins SET notice_until = ? WHERE conversation = ?`, toMS(now.Add(rules.NoticeFor)), o.conversation); err != nil {
			return err
		}
	}
	return errors.Join(q.decided(tx, e), q.tellConsent(tx, o.number))
}

// notify tells numbers that their opt-ins ended.
func (q *Queue) notify(now time.Time, rules *ConsentRules) error {
	return q.write(func(tx *db.Tx) error {
		due, err := optInsOf(tx, `WHERE notice_until IS NOT NULL ORDER BY notice_until LIMIT ?`, slice)
		if err != nil {
			return err
		}
		for _, o := range due {
			done := q.stops[o.number] // it wants to hear nothing more
			if !done && rules.Quiet.End(o.number, now).IsZero() {
				if modem := q.modemOf(o.sim); modem != "" {
					done, err = q.AnswerTx(tx, Answer{To: o.number, Modem: modem, SIM: o.sim, Conversation: o.conversation, Text: rules.texts(everywhere).Silence, Kind: AnswerNotice})
				}
			}
			if err != nil {
				return err
			}
			if _, err := tx.Exec(`UPDATE opt_ins SET notice_until = NULL WHERE conversation = ? AND (? OR notice_until <= ?)`, o.conversation, done, toMS(now)); err != nil {
				return err
			}
		}
		return nil
	})
}

// modemOf names the modem that has a SIM; "": none has.
func (q *Queue) modemOf(sim string) string {
	if q.o.ModemOf == nil {
		return sim
	}
	return q.o.ModemOf(sim)
}

package queue

import (
	"errors"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// Answer is an automatic answer to a received text, or a notice.
type Answer struct {
	To           string
	Modem        string // the only one that may send it; "": any
	SIM          string // that the number wrote to
	Conversation string // "": the one that it is found to belong to
	Text         string
	Kind         AnswerKind
}

// AnswerKind says what an automatic answer is about.
type AnswerKind string

// The kinds of automatic answers. Chat has further ones.
const (
	AnswerStop   AnswerKind = "stop"   // it confirms a STOP that changed something
	AnswerStart  AnswerKind = "start"  // it confirms a START that lifted one
	AnswerHelp   AnswerKind = "help"   // who this is
	AnswerNotice AnswerKind = "notice" // an opt-in ended for silence
	AnswerWho    AnswerKind = "who"    // who is there
)

// answerFor is how long an automatic answer is worth sending.
const answerFor = 24 * time.Hour

// AnswerTx sends an automatic answer in a transaction of the caller's, and tells whether
// it does: a number gets one a day, whatever it is, and besides that one that confirms a
// STOP. Names, short codes and the gateway's own SIMs get none, so that no two machines
// talk to each other; numbers on the stop list get none but that confirmation. A full
// queue or disk is no error: what is answered to is stored all the same.
func (q *Queue) AnswerTx(tx *db.Tx, a Answer) (sent bool, err error) {
	if a.Text == "" || q.rules().Answers == AnswersNone || !q.answerable(a.To) || a.Kind != AnswerStop && q.stops[a.To] {
		return false, nil
	}
	slot, consent := "answer", ConsentOpen
	if a.Kind == AnswerStop {
		slot, consent = "stop", ConsentAnswer
	}
	first, err := q.firstToday(tx, a.To, slot)
	if err != nil || !first {
		return false, err
	}
	d := Draft{Pin: a.Modem, Consent: consent, Message: sms.Message{To: a.To, Text: a.Text, Priority: sms.DefaultPriority, Conversation: a.Conversation,
		Author: &sms.Author{Kind: sms.AuthorAuto}}}
	if q.o.Trusted() {
		d.ExpiresAt = q.o.Now().Add(answerFor)
	}
	_, err = q.SubmitTx(tx, d)
	if bad := (*DraftError)(nil); errors.Is(err, ErrFull) || errors.Is(err, ErrDiskFull) || errors.As(err, &bad) {
		q.log.Warn("an automatic answer is not sent", "kind", a.Kind, "error", err)
		return false, nil
	}
	return err == nil, err
}

// firstToday takes what a number gets once a day, and tells whether it was there.
func (q *Queue) firstToday(tx *db.Tx, number, kind string) (bool, error) {
	n, err := tx.Exec(`INSERT OR IGNORE INTO auto_answers (number, day, kind) VALUES (?,?,?)`, number, q.o.Now().UTC().Format(time.DateOnly), kind)
	return n > 0, err
}

// answer answers a received text, if it is one that is.
func (q *Queue) answer(tx *db.Tx, r *record, sim string, h heard) error {
	rules := q.rules()
	t := rules.texts(h.word.Lang)
	a := Answer{To: r.From, Modem: r.Modem, SIM: sim, Conversation: r.Conversation}
	switch {
	case h.stopped:
		a.Kind, a.Text = AnswerStop, t.Stopped
	case h.lifted:
		a.Kind, a.Text = AnswerStart, t.Started
	case h.word.Kind == WordHelp:
		a.Kind, a.Text = AnswerHelp, t.Help
		first, err := q.firstToday(tx, r.From, "asked")
		if err != nil {
			return err
		}
		if first { // a number that asks all day fills no log
			e := Source{Reason: ReasonWord, Wording: r.Text, Message: r.ID}.entry(r.From, sms.DecisionHelp)
			e.Conversation, e.SIM = r.Conversation, sim
			if err := q.decided(tx, e); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	if wanted, err := q.answers(tx, rules.Answers, r); err != nil || !wanted {
		return err
	}
	_, err := q.AnswerTx(tx, a)
	return err
}

// answers tells whether a received text is one that is answered automatically.
func (q *Queue) answers(tx *db.Tx, which Answers, r *record) (wanted bool, err error) {
	switch which {
	case AnswersAll:
		return true, nil
	case AnswersNone:
		return false, nil
	}
	err = tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM opt_ins WHERE number = ?1) OR
		EXISTS (SELECT 1 FROM messages WHERE conversation = ?2 AND direction = 'outbound' AND author IS NOT NULL AND author ->> '$.kind' IN ('person', 'visitor'))`,
		r.From, r.Conversation).Scan(&wanted)
	return wanted, err
}

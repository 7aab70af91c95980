package queue

import (
	"time"

	"gatewayd/db"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// Consent says what a message needs of its recipient's consent. STOP holds for all
// but the answer that confirms it.
type Consent string

// What a message may need.
const (
	ConsentOpen       Consent = ""           // whoever sends it has consent elsewhere
	ConsentInvite     Consent = "invite"     // an opt-in of its conversation that holds
	ConsentInvitation Consent = "invitation" // it asks for that opt-in
	ConsentAnswer     Consent = "answer"     // it confirms a STOP, and passes the stop list
)

// Source is on what ground something is decided about a number's consent.
type Source struct {
	Reason  string // one of the reasons below
	Wording string // what was received or sent, or what somebody stated
	By      string // the id of a person or an API key; "": the gateway, or the number itself
	Message string // the id of the message that said so; "": none did

	at        time.Time // zero: now
	elsewhere bool      // it was heard by another gateway
}

func (q *Queue) timeOf(by Source) time.Time {
	if by.at.IsZero() {
		return q.o.Now()
	}
	return by.at
}

// The reasons of decisions.
const (
	ReasonAsked   = "asked"   // somebody wants to write to it
	ReasonWord    = "word"    // the number sent a word
	ReasonSilence = "silence" // it said nothing for long
	ReasonIdle    = "idle"    // nothing was said in the conversation for a while
	ReasonUsedUp  = "used-up" // as many messages went out as one opt-in is good for
	ReasonBlocked = "blocked" // the conversation was, for abuse
	ReasonClosed  = "closed"  // the conversation was
	ReasonAdmin   = "admin"   // somebody recorded what they were told
	ReasonImport  = "import"  // it comes from another system
	ReasonStated  = "stated"  // somebody here says that it agreed elsewhere; it lifts no STOP
	ReasonErased  = "erased"  // what is kept about the number was
)

// ConsentRules are what the owner may set about consent.
type ConsentRules struct {
	Words     Vocabulary              // nil: those that count without any setting
	Texts     map[string]ConsentTexts // of answers, by language; what lacks is built in
	Language  string                  // of answers to words that are no language's; "": English
	Name      string                  // who this is to those that are answered; "": "us"
	Contact   string                  // how to reach somebody, for the answer to HELP; "": as Texts say
	Answers   Answers
	Quiet     QuietHours
	Silence   time.Duration // after which an opt-in ends; 0: 90 days, below 0: never
	PerOptIn  int           // messages that one opt-in is good for; 0: 10, below 0: any number
	NoticeFor time.Duration // for how long it is tried to tell a number of that; 0: 3 days
}

// Answers says which words are answered automatically.
type Answers string

// Which are.
const (
	AnswersChat Answers = "chat" // of numbers that people here chat with
	AnswersAll  Answers = "all"  // of all numbers
	AnswersNone Answers = "none"
)

func (q *Queue) rules() ConsentRules {
	var r ConsentRules
	if q.o.Consent != nil {
		r = q.o.Consent()
	}
	if r.Words == nil {
		r.Words = common
	}
	if r.Language == "" {
		r.Language = "en"
	}
	if r.Answers == "" {
		r.Answers = AnswersChat
	}
	if r.Silence == 0 {
		r.Silence = 90 * 24 * time.Hour
	}
	if r.PerOptIn == 0 {
		r.PerOptIn = 10
	}
	if r.NoticeFor == 0 {
		r.NoticeFor = 3 * 24 * time.Hour
	}
	return r
}

// refused says why a message may not go to its recipient now; nil: it may. It is
// asked in the transaction that accepts a message and in the one that begins its
// first part, so no door can go round it.
func (q *Queue) refused(tx *db.Tx, r *record, way Way, accepting bool) (*sms.Error, error) {
	switch {
	case r.consent == ConsentAnswer:
		return nil, nil
	case q.stops[r.To]:
		return optedOut(), nil
	case way.Refused != nil:
		return way.Refused, nil
	case r.consent == ConsentInvite:
		return q.notOptedIn(tx, r, accepting)
	case r.consent == ConsentInvitation:
		return notInvited(tx, r)
	}
	return nil, nil
}

func optedOut() *sms.Error {
	return &sms.Error{Code: "opted-out", Title: "The recipient has said STOP",
		Detail: "This number asked for no more messages. It gets some again once it sends START.", Class: sms.Permanent}
}

// heard is what a received text has changed.
type heard struct {
	word    Word
	stopped bool // a STOP that was none before
	lifted  bool // a STOP
}

// hear takes a received text at its word, in the transaction that stores it and before
// anybody else hears of it: what they send in the same transaction goes by it.
// at is when another gateway heard it, zero: it was this one, now.
func (q *Queue) hear(tx *db.Tx, r *record, sim string, at time.Time) (h heard, err error) {
	if err := q.noteHeard(tx, r.From, r.CreatedAt); err != nil {
		return h, err
	}
	h.word = q.WordOf(r.Text)
	by := Source{Reason: ReasonWord, Wording: r.Text, Message: r.ID, at: r.CreatedAt}
	if !at.IsZero() && h.word.Kind != WordNone {
		by.at = q.notAhead(at)
		if older, err := q.decidedSince(tx, r.From, by.at, h.word.Kind == WordStop); older || err != nil {
			return heard{}, err
		}
	}
	switch {
	case h.word.Kind == WordStop:
		h.stopped, err = q.optOut(tx, r.From, sim, by)
	case h.word.Kind == WordStart && !r.PossibleDuplicate: // a repeated one must not undo what came between
		h.lifted, err = q.optIn(tx, r.From, sim, h.word.Yes, by)
	}
	return h, err
}

// OptOutTx puts a number on the stop list, as if it had said STOP, and ends its opt-ins.
// One whose conversation was blocked is told so, for it did not ask for it.
func (q *Queue) OptOutTx(tx *db.Tx, number string, by Source) error {
	open, err := optInsOf(tx, `WHERE number = ? ORDER BY coalesce(given_at, asked_at) DESC LIMIT 1`, number)
	if err != nil {
		return err
	}
	changed, err := q.optOut(tx, number, "", by)
	rules := q.rules()
	if err != nil || !changed || by.Reason != ReasonBlocked || rules.Answers == AnswersNone {
		return err
	}
	a := Answer{To: number, Text: rules.texts(everywhere).Stopped, Kind: AnswerStop}
	if len(open) > 0 { // else it goes by the SIM that the number keeps
		a.SIM, a.Conversation = open[0].sim, open[0].conversation
		a.Modem = q.modemOf(a.SIM)
	}
	_, err = q.AnswerTx(tx, a)
	return err
}

// optOut tells whether the number was not on the stop list before.
func (q *Queue) optOut(tx *db.Tx, number, sim string, by Source) (changed bool, err error) {
	changed = !q.stops[number]
	if !changed {
		if by.Reason == ReasonWord { // what somebody said for it, it says itself now
			_, err = tx.Exec(`UPDATE stop_list SET reason = ?, again_at = max(coalesce(again_at, 0), ?) WHERE number = ?`, by.Reason, toMS(q.timeOf(by)), number)
		}
		return false, err
	}
	now := q.timeOf(by)
	q.stop(tx, number, true)
	_, err = tx.Exec(`INSERT OR REPLACE INTO stop_list (number, since, word, reason) VALUES (?,?,?,?)`, number, toMS(now), by.word(), by.Reason)
	if err != nil {
		return false, err
	}
	open, err := optInsOf(tx, `WHERE number = ? AND state <> 'ended'`, number)
	if err != nil {
		return false, err
	}
	for _, o := range open {
		if err := q.endOptIn(tx, o.conversation, by.Reason, now); err != nil {
			return false, err
		}
	}
	e := by.entry(number, sms.DecisionOptOut)
	e.SIM = sim
	if len(open) == 1 {
		e.Conversation = open[0].conversation
	}
	return true, q.decided(tx, e)
}

// word is what the stop list says of how a number came there.
func (by Source) word() string {
	if by.Reason == ReasonWord {
		return bareWord(by.Wording)
	}
	return by.Reason
}

// OptInAgainTx takes a number off the stop list, as if it had sent START. What the
// number said itself only the number takes back: ErrConflict.
func (q *Queue) OptInAgainTx(tx *db.Tx, number string, by Source) error {
	if q.stops[number] && by.Reason != ReasonWord {
		var reason string
		if err := tx.QueryRow(`SELECT reason FROM stop_list WHERE number = ?`, number).Scan(&reason); err != nil {
			return err
		}
		if reason == ReasonWord {
			return Conflict("this number said STOP itself: it gets messages again once it sends START")
		}
	}
	_, err := q.optIn(tx, number, "", false, by)
	return err
}

// optIn lifts a STOP and gives what opt-ins a number was asked for, and tells whether
// there was a STOP. YES without either says nothing.
func (q *Queue) optIn(tx *db.Tx, number, sim string, yes bool, by Source) (lifted bool, err error) {
	now := q.timeOf(by)
	var ended []keptOptIn
	if lifted = q.stops[number]; lifted {
		// What the STOP ended comes back with it.
		ended, err = optInsOf(tx, `WHERE number = ? AND state = 'ended' AND ended_at >= (SELECT since FROM stop_list s WHERE s.number = opt_ins.number)
			AND reason IN ('`+ReasonWord+`', '`+ReasonAdmin+`', '`+ReasonImport+`')`, number)
		if err != nil {
			return false, err
		}
		q.stop(tx, number, false)
		if _, err := tx.Exec(`DELETE FROM stop_list WHERE number = ?`, number); err != nil {
			return false, err
		}
	}
	var give []keptOptIn
	if !by.elsewhere {
		if give, err = askedOf(tx, number, sim); err != nil {
			return false, err
		}
	}
	give = append(give, ended...)
	if len(give) == 0 && !lifted && !yes {
		give, err = optInsOf(tx, `WHERE number = ? AND sim = ? AND state = 'ended' AND reason IN ('`+ReasonSilence+`', '`+ReasonIdle+`', '`+ReasonUsedUp+`') ORDER BY ended_at DESC LIMIT 1`, number, sim)
		if err != nil {
			return false, err
		}
	}
	for _, o := range give {
		if err := q.giveOptIn(tx, o.conversation, now); err != nil {
			return false, err
		}
		e := by.entry(number, sms.DecisionOptIn)
		e.Conversation, e.SIM = o.conversation, o.sim
		if err := q.decided(tx, e); err != nil {
			return false, err
		}
	}
	if lifted && len(give) == 0 || by.Reason != ReasonWord && len(give) == 0 {
		e := by.entry(number, sms.DecisionOptIn)
		e.SIM = sim
		err = q.decided(tx, e)
	}
	return lifted, err
}

// Stopped tells whether a number is on the stop list.
func (q *Queue) Stopped(r db.Querier, of string) (stopped bool, err error) {
	err = r.QueryRow(`SELECT EXISTS (SELECT 1 FROM stop_list WHERE number = ?)`, of).Scan(&stopped)
	return stopped, err
}

// stop keeps the copy of the stop list in memory, which every part is held
// against, as the transaction has it.
func (q *Queue) stop(tx *db.Tx, number string, on bool) {
	before := q.stops[number]
	set := func(on bool) {
		if on {
			q.stops[number] = true
		} else {
			delete(q.stops, number)
		}
	}
	set(on)
	tx.OnRollback(func() { set(before) })
}

// answerable tells whether somebody reads what is sent to a number: no service, no
// name and no SIM of ours.
func (q *Queue) answerable(to string) bool {
	switch number.KindOf(to) {
	case number.International, number.National:
		return q.o.Own == nil || !q.o.Own(to)
	}
	return false
}

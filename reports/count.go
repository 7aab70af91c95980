package reports

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Kind is what is counted.
type Kind string

// The kinds.
const (
	Sent        Kind = "sent" // the network has taken every part
	Delivered   Kind = "delivered"
	Undelivered Kind = "undelivered"
	Failed      Kind = "failed" // or expired: it did not go
	Received    Kind = "received"
	Answered    Kind = "answered"  // a message that its phone wrote back to
	OptedOut    Kind = "opted-out" // the phone said STOP
	Spam        Kind = "spam"      // the phone complained
	Threat      Kind = "threat"
)

// counted are the types of the events that something is counted of.
var counted = map[string]Kind{
	sms.EventOf(sms.Sent): Sent, sms.EventOf(sms.Delivered): Delivered, sms.EventOf(sms.Undelivered): Undelivered,
	sms.EventOf(sms.Failed): Failed, sms.EventOf(sms.Expired): Failed, sms.EventOf(sms.Received): Received,
	sms.EventOfConsent(sms.DecisionOptOut): OptedOut,
}

var countedTypes = func() (all []string) {
	for t := range counted {
		all = append(all, t)
	}
	slices.Sort(all)
	return all
}()

// Author is who the counts are of.
type Author struct {
	Kind string // person, widget, key, auto; "": nobody
	ID   string
}

// idOfPerson is what a person's id begins with, under which a person hands in too.
const idOfPerson = "usr_"

// authorOf tells it of a message: a visitor counts for the widget, for visitors come and go.
func authorOf(by queue.By) Author {
	switch a := by.Author; {
	case a != nil && a.Kind == sms.AuthorVisitor:
		return Author{"widget", a.Widget}
	case a != nil && a.Kind == sms.AuthorAuto:
		return Author{"auto", ""}
	case a != nil:
		return Author{string(a.Kind), a.ID}
	case strings.HasPrefix(by.Key, idOfPerson):
		return Author{"person", by.Key}
	case by.Key != "":
		return Author{"key", by.Key}
	}
	return Author{}
}

// cell is what one number is of.
type cell struct {
	day       Day
	uncertain bool
	sim       string
	modem     string
	author    Author
	kind      Kind
	code      string
}

type amount struct{ messages, parts int }

// step is a clock that was set.
type step struct {
	upTo, began int64
	by          time.Duration
}

// countSome counts what one commit can take, and tells whether there is more. The
// numbers and the place in the log are one commit, so each event is counted once,
// whenever the gateway ends.
func (r *Reports) countSome(ctx context.Context) (more bool, err error) {
	var was, upTo int64
	sums := map[cell]amount{}
	var steps []step
	err = r.o.DB.Read(ctx, func(q db.Querier) error {
		if was, err = place(q); err != nil {
			return err
		}
		if steps, err = selectSteps(q); err != nil {
			return err
		}
		all, last, err := queue.Tallies(q, was, countedTypes, atOnce)
		if err != nil {
			return err
		}
		upTo, more = last, len(all) == atOnce
		for i := range all {
			if err := r.sum(q, &all[i], steps, sums); err != nil {
				return err
			}
		}
		return nil
	})
	// What nothing is counted of moves the place with the next that something is, or
	// when it holds much: no commit of its own for each event of the log.
	if err != nil {
		return false, err
	}
	if len(sums) == 0 && upTo-was < atOnce {
		r.passed.Store(upTo)
		return false, nil
	}
	return more, r.o.DB.Write(func(tx *db.Tx) error {
		// Clocks are set on the writer: what was read before would be of another day.
		now, err := selectSteps(tx)
		if err != nil {
			return err
		}
		if len(now) != len(steps) {
			more = true
			return nil
		}
		return store(tx, was, upTo, sums)
	})
}

// sum adds one event.
func (r *Reports) sum(q db.Querier, t *queue.Tally, steps []step, sums map[cell]amount) error {
	at, uncertain := t.At, t.ClockUncertain
	for _, s := range steps {
		if uncertain && t.Seq <= s.upTo && t.At.UnixMilli() >= s.began {
			at, uncertain = at.Add(s.by), false
		}
	}
	add := func(kind Kind, by Author, sim, modem, code string, parts int) {
		c := cell{DayOf(at), uncertain, sim, modem, by, kind, code}
		a := sums[c]
		sums[c] = amount{a.messages + 1, a.parts + parts}
	}
	switch kind := counted[t.Type]; kind {
	case OptedOut:
		return r.sumOptOut(q, t, add)
	case Received:
		add(Received, Author{}, t.SIM, t.Modem, "", t.Parts)
		return r.sumAnswer(q, t, add)
	case Failed, Undelivered:
		code := t.Code
		if code == "" && t.Type == sms.EventOf(sms.Expired) {
			code = "expired"
		}
		add(kind, authorOf(t.By), t.SIM, t.Modem, code, t.Parts)
	default:
		add(kind, authorOf(t.By), t.SIM, t.Modem, "", t.Parts)
	}
	return nil
}

type adder func(kind Kind, by Author, sim, modem, code string, parts int)

// sumAnswer counts what a received text means to who wrote before.
func (r *Reports) sumAnswer(q db.Querier, t *queue.Tally, add adder) error {
	text, err := queue.SaidIn(q, t.Row)
	if err != nil {
		return err
	}
	switch word := r.o.Word(text); word {
	case "stop": // its consent event counts
		return nil
	case string(Spam), string(Threat):
		sent, err := queue.SentBefore(q, t.Conversation, t.Row, false)
		if err != nil {
			return err
		}
		by := Author{}
		if sent != nil {
			by = authorOf(sent.By)
		}
		add(Kind(word), by, t.SIM, t.Modem, "", 0)
		return nil
	}
	sent, err := queue.SentBefore(q, t.Conversation, t.Row, true)
	if err == nil && sent != nil {
		add(Answered, authorOf(sent.By), t.SIM, t.Modem, "", 0)
	}
	return err
}

// sumOptOut counts a STOP for who wrote last. What admins decide is no phone's word.
func (r *Reports) sumOptOut(q db.Querier, t *queue.Tally, add adder) error {
	var said sms.Consent
	if err := json.Unmarshal(t.Data, &said); err != nil {
		return err
	}
	if said.Reason != queue.ReasonWord {
		return nil
	}
	row, conversation, err := queue.Whereabouts(q, said.Source)
	if err != nil {
		return err
	}
	sent, err := queue.SentBefore(q, cmp.Or(said.Conversation, conversation), row, false)
	if err != nil {
		return err
	}
	by, modem := Author{}, ""
	if sent != nil {
		by, modem = authorOf(sent.By), sent.Modem
		if said.SIM == "" {
			said.SIM = sent.SIM
		}
	}
	add(OptedOut, by, said.SIM, modem, "", 0)
	return nil
}

// Day is a day of the calendar in the gateway's time zone, as 20261127.
type Day int

// DayOf is the day of a time.
func DayOf(t time.Time) Day {
	y, m, d := t.Local().Date()
	return Day((y*100+int(m))*100 + d)
}

// Noon is a time within the day; of every day, also one of 23 hours.
func (d Day) Noon() time.Time {
	return time.Date(int(d)/10000, time.Month(int(d)/100%100), int(d)%100, 12, 0, 0, 0, time.Local)
}

// String is the day as 2026-11-27.
func (d Day) String() string { return d.Noon().Format(time.DateOnly) }

// ParseDay reads what String writes.
func ParseDay(s string) (Day, error) {
	t, err := time.ParseInLocation(time.DateOnly, s, time.Local)
	return DayOf(t), err
}

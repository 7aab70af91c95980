package queue

import (
	"time"

	"gatewayd/db"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// QuietHours say when numbers that had to be asked first are not to be texted. Of the
// hours that a number is in, the most particular count: those of its first digits, then
// those of its country, then those of all.
type QuietHours []QuietTime

// QuietTime is a time of each day, local to the number.
type QuietTime struct {
	For         number.Destination // "": all
	From, Until time.Duration      // since midnight; equal: none. From may be above Until
	Zone        *time.Location     // nil: the number tells, else this machine's
}

// End tells when the quiet hours that a number is in are over, zero if it is in none.
// A number that may be in several zones is in quiet hours while it is in any of them,
// unless that leaves no hour of a day: then the first one counts.
func (h QuietHours) End(of string, now time.Time) time.Time {
	q := h.of(of)
	if q == nil || q.From == q.Until {
		return time.Time{}
	}
	zones := []*time.Location{q.Zone}
	if q.Zone == nil {
		if zones = number.Zones(of); len(zones) == 0 {
			zones = []*time.Location{time.Local}
		}
	}
	end := q.over(zones, now)
	if end.Sub(now) >= 24*time.Hour {
		end = q.over(zones[:1], now)
	}
	if !end.After(now) {
		return time.Time{}
	}
	return end
}

// of finds the quiet time of a number; nil: it has none.
func (h QuietHours) of(to string) (best *QuietTime) {
	if len(h) == 0 {
		return nil
	}
	t := number.Look(to, "")
	rank := func(d number.Destination) int {
		switch {
		case d == "":
			return 1
		case !d.Covers(t):
			return 0
		case d[0] == '+':
			return 2 + len(d)
		}
		return 2
	}
	for i := range h {
		if r := rank(h[i].For); r > 0 && (best == nil || r > rank(best.For)) {
			best = &h[i]
		}
	}
	return best
}

// over is when it is quiet in none of the zones, within a day or so.
func (q *QuietTime) over(zones []*time.Location, now time.Time) time.Time {
	at := now
	for moved := true; moved && at.Sub(now) < 24*time.Hour; {
		moved = false
		for _, zone := range zones {
			if end := q.end(at.In(zone)); end.After(at) {
				at, moved = end, true
			}
		}
	}
	return at
}

// end is when the quiet time that a local time is in ends, else that time.
func (q *QuietTime) end(local time.Time) time.Time {
	since := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute + time.Duration(local.Second())*time.Second + time.Duration(local.Nanosecond())
	in, days := q.From <= since && since < q.Until, 0
	if q.From > q.Until {
		in = since >= q.From || since < q.Until
		if since >= q.From {
			days = 1
		}
	}
	if !in {
		return local
	}
	return time.Date(local.Year(), local.Month(), local.Day()+days, int(q.Until/time.Hour), int(q.Until%time.Hour/time.Minute), 0, 0, local.Location())
}

// quietUntil tells until when a message has to wait for its recipient's morning; zero:
// it has not. While nobody knows the time it has not.
func (q *Queue) quietUntil(r *record, at time.Time) time.Time {
	if r.consent != ConsentInvite && r.consent != ConsentInvitation || !q.o.Trusted() {
		return time.Time{}
	}
	return q.rules().Quiet.End(r.To, at)
}

// keepQuiet has a new message that would go out in quiet hours wait until they are over.
func (q *Queue) keepQuiet(r *record, now time.Time) {
	at := now
	if r.SendAt.After(now) {
		at = r.SendAt
	}
	if end := q.quietUntil(r, at); !end.IsZero() {
		r.SendAt, r.Warnings = end.UTC(), append(r.Warnings, sms.WarnQuietHours)
	}
}

// WaitsForMorning tells whether messages of a conversation wait because it is night at its
// number's.
func (q *Queue) WaitsForMorning(r db.Querier, conversation, number string) (yes bool, err error) {
	if !q.o.Trusted() || q.rules().Quiet.End(number, q.o.Now()).IsZero() {
		return false, nil
	}
	err = r.QueryRow(`SELECT EXISTS (SELECT 1 FROM messages WHERE conversation = ? AND direction = 'outbound' AND status IN ('scheduled', 'queued'))`, conversation).Scan(&yes)
	return yes, err
}

// postpone has a message wait that has waited into quiet hours, at a new place in the
// order. It is looked at again before long, for a wait that is longer than any backoff
// is none.
func (q *Queue) postpone(tx *db.Tx, r *record, until, now time.Time) error {
	told := r.lastEvent
	r.notBefore, r.ExpectedAt = until, until.UTC()
	if longest := now.Add(LongestBackoff - time.Minute); until.After(longest) {
		r.notBefore = longest
	}
	r.Error = &sms.Error{Code: "quiet-hours", Title: "It is too late, or too early, at the recipient's", Detail: "It is sent when the quiet hours there are over: see expected_at."}
	r.UpdatedAt, r.lastEvent = now, q.nextEvent()
	q.line(tx, r)
	if err := r.save(tx, sms.Queued, told); err != nil {
		return err
	}
	_, err := q.appendMessage(tx, r, told, now)
	return err
}

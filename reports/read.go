package reports

import (
	"cmp"
	"context"
	"slices"
	"time"

	"gatewayd/db"
)

// By says what a report has a line for.
type By string

// What there may be a line for.
const (
	ByDay    By = "day"
	BySIM    By = "sim"
	ByPerson By = "person"
	ByWidget By = "widget"
)

// MostDays bounds a report: each of its days may be a line.
const MostDays = 800

// Query says what of the counts is wanted.
type Query struct {
	By           By
	Since, Until Day    // both included
	SIM          string // "": of all
	Person       string // an id; "": of everybody
	Widget       string // an id; "": of all
}

// Line is what happened on a day, by a SIM, or to what somebody wrote.
type Line struct {
	Day    Day    // ByDay
	ID     string // of the person, the widget or the SIM; "": of none
	Modem  string // BySIM: the one that had it last
	Author string // ByPerson: person, key, auto or widget, whose messages these are; "": nobody's

	Sent, SentParts, Delivered, Undelivered, Failed   int
	Received, Answered, OptedOut, Complaints, Threats int
	Codes                                             map[string]int // of those that failed or were not delivered, by error
}

// Report reads the counts: of days all that are asked for, in order; of others those
// that there is something of, the busiest first. What is a received message, and
// whatever nobody wrote, is in the line without an id.
func (r *Reports) Report(ctx context.Context, want Query) (lines []Line, err error) {
	where, args := `day BETWEEN ? AND ?`, []any{int(want.Since), int(want.Until)}
	for _, f := range []struct {
		value, cond string
	}{{want.SIM, `sim = ?`}, {want.Person, `author IN ('person', 'key') AND id = ?`}, {want.Widget, `author = 'widget' AND id = ?`}} {
		if f.value != "" {
			where, args = where+` AND `+f.cond, append(args, f.value)
		}
	}
	switch want.By {
	case ByWidget:
		where += ` AND author = 'widget'`
	case ByPerson:
		where += ` AND author <> '' AND author <> 'widget'`
	}
	type key struct {
		day        Day
		author, id string
	}
	at := map[key]int{}
	line := func(k key) *Line {
		i, ok := at[k]
		if !ok {
			i = len(lines)
			at[k], lines = i, append(lines, Line{Day: k.day, ID: k.id, Author: k.author, Codes: map[string]int{}})
		}
		return &lines[i]
	}
	if want.By == ByDay {
		for d, n := want.Since, 0; d <= want.Until && n < MostDays; d, n = d.Next(), n+1 {
			line(key{day: d})
		}
	}
	err = r.o.DB.Read(ctx, func(q db.Querier) error {
		rows, err := q.Query(`SELECT day, sim, modem, author, id, kind, code, sum(messages), sum(parts) FROM report_counts WHERE `+where+
			` GROUP BY day, sim, modem, author, id, kind, code ORDER BY day`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var c cell
			var a amount
			if err := rows.Scan(&c.day, &c.sim, &c.modem, &c.author.Kind, &c.author.ID, &c.kind, &c.code, &a.messages, &a.parts); err != nil {
				return err
			}
			k := key{day: c.day}
			switch want.By {
			case BySIM:
				k = key{id: c.sim}
			case ByPerson, ByWidget:
				k = key{author: c.author.Kind, id: c.author.ID}
			}
			l := line(k)
			if want.By == BySIM && c.modem != "" {
				l.Modem = c.modem
			}
			l.add(c, a)
		}
		return rows.Err()
	})
	if err == nil && want.By != ByDay {
		slices.SortStableFunc(lines, func(a, b Line) int {
			return cmp.Or(cmp.Compare(b.Sent+b.Failed, a.Sent+a.Failed), cmp.Compare(b.Received, a.Received), cmp.Compare(a.ID, b.ID))
		})
	}
	return lines, err
}

func (l *Line) add(c cell, a amount) {
	into := map[Kind]*int{Sent: &l.Sent, Delivered: &l.Delivered, Undelivered: &l.Undelivered, Failed: &l.Failed, Received: &l.Received,
		Answered: &l.Answered, OptedOut: &l.OptedOut, Spam: &l.Complaints, Threat: &l.Threats}[c.kind]
	if into == nil {
		return // of another version
	}
	*into += a.messages
	if c.kind == Sent {
		l.SentParts += a.parts
	}
	if c.code != "" {
		l.Codes[c.code] += a.messages
	}
}

// Total adds up lines.
func Total(lines []Line) (all Line) {
	all.Codes = map[string]int{}
	for _, l := range lines {
		all.Sent, all.SentParts, all.Delivered, all.Undelivered, all.Failed = all.Sent+l.Sent, all.SentParts+l.SentParts, all.Delivered+l.Delivered, all.Undelivered+l.Undelivered, all.Failed+l.Failed
		all.Received, all.Answered, all.OptedOut, all.Complaints, all.Threats = all.Received+l.Received, all.Answered+l.Answered, all.OptedOut+l.OptedOut, all.Complaints+l.Complaints, all.Threats+l.Threats
		for code, n := range l.Codes {
			all.Codes[code] += n
		}
	}
	return all
}

// Today is the gateway's day.
func (r *Reports) Today() Day { return DayOf(r.o.Now()) }

// Next is the day after.
func (d Day) Next() Day { return DayOf(d.Noon().Add(24 * time.Hour)) }

// Back is the day so many days before.
func (d Day) Back(days int) Day {
	n := d.Noon()
	return DayOf(n.AddDate(0, 0, -days))
}

// Begin is when the day begins.
func (d Day) Begin() time.Time {
	n := d.Noon()
	return time.Date(n.Year(), n.Month(), n.Day(), 0, 0, 0, 0, time.Local)
}

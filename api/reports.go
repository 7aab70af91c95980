package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatewayd/auth"
	"gatewayd/queue"
	"gatewayd/reports"
	"gatewayd/sms"
	"gatewayd/wire"
)

const (
	usualDays  = 30     // of a report that names none
	mostErrors = 10_000 // of a table of errors
)

// notGone are the statuses of messages that did not go, or did not arrive.
var notGone = []sms.Status{sms.Failed, sms.Expired, sms.Undelivered}

func (r reply) VisitGetReportResponse(w http.ResponseWriter) error      { return r.write(w) }
func (r reply) VisitListSendErrorsResponse(w http.ResponseWriter) error { return r.write(w) }

// counts are those of a line of a report.
type counts struct {
	Sent        int            `json:"sent"`
	Parts       int            `json:"parts"`
	Delivered   int            `json:"delivered"`
	Undelivered int            `json:"undelivered"`
	Failed      int            `json:"failed"`
	Received    int            `json:"received"`
	Answered    int            `json:"answered"`
	OptedOut    int            `json:"opted_out"`
	Spam        int            `json:"spam"`
	Threat      int            `json:"threat"`
	Errors      map[string]int `json:"errors"`
}

// reportLine is a line of a report as it is shown; Day or ID names it.
type reportLine struct {
	Day   *string `json:"day"`
	Kind  *string `json:"kind"`
	ID    *string `json:"id"`
	Name  *string `json:"name"`
	Modem *string `json:"modem"`
	counts
}

func countsOf(l reports.Line) counts {
	return counts{l.Sent, l.SentParts, l.Delivered, l.Undelivered, l.Failed, l.Received, l.Answered, l.OptedOut, l.Complaints, l.Threats, l.Codes}
}

// wantedReport checks what of the counts is asked for.
func (a *API) wantedReport(by string, since, until *time.Time, sim, person, widget string) (reports.Query, error) {
	if a.o.Reports == nil {
		return reports.Query{}, notFound.because("Nothing is counted here.")
	}
	q := reports.Query{By: reports.By(cmp.Or(by, string(reports.ByDay))), SIM: sim, Person: person, Widget: widget}
	var err error
	q.Since, q.Until, err = a.wantedDays(since, until)
	return q, err
}

// wantedDays are both included.
func (a *API) wantedDays(since, until *time.Time) (from, to reports.Day, err error) {
	to = reports.DayOf(a.now())
	if until != nil {
		to = reports.DayOf(*until)
	}
	from = to.Back(usualDays - 1)
	if since != nil {
		from = reports.DayOf(*since)
	}
	switch {
	case from > to:
		return 0, 0, wrong(FieldError{Field: "since", Detail: "is after until"})
	case to.Back(reports.MostDays-1) > from:
		return 0, 0, wrong(FieldError{Field: "since", Detail: fmt.Sprintf("is too long before until: a report has %d days at most", reports.MostDays)})
	}
	return from, to, nil
}

// dayOf is a day of a request, in the gateway's time zone.
func dayOf(d *wire.FromDay) *time.Time {
	if d == nil {
		return nil
	}
	t := time.Date(d.Year(), d.Month(), d.Day(), 12, 0, 0, 0, time.Local)
	return &t
}

// report reads the counts, up to what has happened just now.
func (a *API) report(ctx context.Context, q reports.Query) (lines []reportLine, total reports.Line, err error) {
	if err := a.o.Reports.Count(ctx); err != nil {
		return nil, total, err
	}
	all, err := a.o.Reports.Report(ctx, q)
	if err != nil {
		return nil, total, err
	}
	names, err := a.authors(ctx)
	if err != nil {
		return nil, total, err
	}
	for _, l := range all {
		line := reportLine{Kind: orNil(l.Author), ID: orNil(l.ID), Modem: orNil(l.Modem), counts: countsOf(l)}
		switch q.By {
		case reports.ByDay:
			day := l.Day.String()
			line.Day = &day
		case reports.BySIM:
			line.Name = line.Modem
		default:
			line.Name = orNil(names[l.ID])
		}
		lines = append(lines, line)
	}
	return lines, reports.Total(all), nil
}

// authors are the names of people and API keys, by id.
func (a *API) authors(ctx context.Context) (map[string]string, error) {
	names := map[string]string{}
	keys, err := a.o.Keys.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		names[k.Principal] = k.Name
	}
	people, err := a.o.Keys.People(ctx)
	for _, p := range people {
		names[p.ID] = p.Name
	}
	if err != nil || a.o.Widgets == nil {
		return names, err
	}
	widgets, err := a.o.Widgets.List(ctx)
	for _, w := range widgets {
		names[w.ID] = w.Name
	}
	return names, err
}

// zone is the gateway's time zone, in words.
func (a *API) zone() string { return a.now().Local().Format("MST (UTC-07:00)") }

// GetReport tells what was sent, delivered and answered.
func (a server) GetReport(ctx context.Context, r GetReportRequestObject) (GetReportResponseObject, error) {
	p := r.Params
	q, err := a.wantedReport(string(or(p.By, "")), dayOf(p.Since), dayOf(p.Until), or(p.Sim, ""), or(p.Person, ""), or(p.Widget, ""))
	if err != nil {
		return nil, err
	}
	lines, total, err := a.report(ctx, q)
	if err != nil {
		return nil, err
	}
	if or(p.Format, "") == "csv" {
		return reportTable(q, lines), nil
	}
	return reply{status: http.StatusOK, v: map[string]any{"by": q.By, "since": q.Since.String(), "until": q.Until.String(), "time_zone": a.zone(),
		"lines": orEmpty(lines), "total": countsOf(total)}}, nil
}

// reportTable is a report for a spreadsheet.
func reportTable(q reports.Query, lines []reportLine) table {
	t := table{name: fmt.Sprintf("report-%s-%s-%s.csv", q.By, q.Since, q.Until)}
	t.rows = append(t.rows, []string{"day", "kind", "id", "name", "modem", "sent", "parts", "delivered", "undelivered", "failed", "received", "answered", "opted_out", "spam", "threat", "errors"})
	for _, l := range lines {
		row := []string{or(l.Day, ""), or(l.Kind, ""), or(l.ID, ""), or(l.Name, ""), or(l.Modem, "")}
		for _, n := range []int{l.Sent, l.Parts, l.Delivered, l.Undelivered, l.Failed, l.Received, l.Answered, l.OptedOut, l.Spam, l.Threat} {
			row = append(row, strconv.Itoa(n))
		}
		var errs []string
		for _, code := range slices.Sorted(maps.Keys(l.Errors)) {
			errs = append(errs, fmt.Sprintf("%s: %d", code, l.Errors[code]))
		}
		t.rows = append(t.rows, append(row, strings.Join(errs, "; ")))
	}
	return t
}

// sendError is a message that did not go.
type sendError struct {
	At        time.Time   `json:"at"`
	MessageID string      `json:"message_id"`
	Status    sms.Status  `json:"status"`
	To        *string     `json:"to"`
	Modem     *string     `json:"modem"`
	SIM       *string     `json:"sim"`
	Author    *sms.Author `json:"author"`
	Code      string      `json:"code"`
	Title     string      `json:"title"`
	Detail    string      `json:"detail"`
}

// sendErrors reads a page of what did not go.
func (a *API) sendErrors(ctx context.Context, key *auth.Key, f queue.Filter) (all []sendError, next string, err error) {
	f.Direction, f.Status = sms.Outbound, notGone
	found, err := a.search(ctx, key, f)
	if err != nil {
		return nil, "", err
	}
	sims, err := a.o.Queue.LastSIMs(ctx, found.Messages)
	if err != nil {
		return nil, "", err
	}
	for _, m := range found.Messages {
		e := sendError{At: m.UpdatedAt.UTC().Truncate(time.Millisecond), MessageID: m.ID, Status: m.Status, To: orNil(m.To), Modem: orNil(m.Modem),
			SIM: orNil(sims[m.Row]), Author: m.Author, Code: string(m.Status), Title: "Nobody could say why", Detail: "Its page tells its life."}
		switch {
		case m.Error != nil:
			e.Code, e.Title, e.Detail = m.Error.Code, m.Error.Title, m.Error.Detail
		case m.Status == sms.Expired:
			e.Title, e.Detail = "It was too late for it", "It waited until its expires_at was over. Give it more time, or look why no modem could send it."
		}
		all = append(all, e)
	}
	return all, found.Next, nil
}

// ListSendErrors lists the messages that did not go, and why.
func (a server) ListSendErrors(ctx context.Context, r ListSendErrorsRequestObject) (ListSendErrorsResponseObject, error) {
	p, key := r.Params, from(ctx).key
	begin, end, err := a.wantedDays(dayOf(p.Since), dayOf(p.Until))
	if err != nil {
		return nil, err
	}
	f := queue.Filter{Since: begin.Begin(), Until: end.Next().Begin(), Modem: or(p.Modem, ""), Author: or(p.Author, ""), Code: or(p.Code, ""),
		Cursor: or(p.Cursor, ""), Limit: or(p.Limit, defaultLimit)}
	if or(p.Format, "") == "csv" {
		return a.errorTable(ctx, key, f)
	}
	all, next, err := a.sendErrors(ctx, key, f)
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: map[string]any{"errors": orEmpty(all), "next_cursor": orNil(next)}}, nil
}

// errorTable is all of them for a spreadsheet.
func (a *API) errorTable(ctx context.Context, key *auth.Key, f queue.Filter) (t table, err error) {
	t.name = "errors.csv"
	t.rows = [][]string{{"at", "message_id", "status", "to", "modem", "sim", "author_kind", "author_id", "author_name", "code", "title", "detail"}}
	for f.Limit = maxLimit; ; {
		all, next, err := a.sendErrors(ctx, key, f)
		if err != nil {
			return t, err
		}
		for _, e := range all {
			by := or(e.Author, sms.Author{})
			t.rows = append(t.rows, []string{e.At.Format(time.RFC3339), e.MessageID, string(e.Status), or(e.To, ""), or(e.Modem, ""), or(e.SIM, ""),
				string(by.Kind), by.ID, by.Name, e.Code, e.Title, e.Detail})
		}
		if f.Cursor = next; next == "" || len(t.rows) > mostErrors {
			return t, nil
		}
	}
}

package api

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/queue"
	"gatewayd/reports"
	"gatewayd/sms"
)

// reportsView is the page of the reports.
type reportsView struct {
	Form    reportForm
	Zone    string
	Spans   []spanLink
	SIMs    []choice
	People  []choice
	Widgets []choice
	Faults  []string
	Tiles   []tileView
	Charts  []barsView
	Days    []reportLine
	DaysCSV string
	Tables  []reportPart
	Codes   []codeCount
	Errors  []errorLine
	Next    string // leads on to older errors, "" at the end
	First   string // leads back to the newest
	CSV     string // of all errors
	Looked  bool   // only so much was looked at
	ByCode  string // the error that is looked for
	AllOf   string // leads to all errors
}

// reportForm is what the reader filled in, as it was.
type reportForm struct{ Since, Until, SIM, Person, Widget string }

type choice struct{ ID, Name string }

type spanLink struct {
	Title, Link string
	Here        bool
}

// tileView is a number that matters, with what puts it in its place.
type tileView struct {
	Name  string
	Value int
	Kind  string
	Note  string
}

// reportPart is a table by person, widget or SIM.
type reportPart struct {
	ID, Title, Of string
	Lines         []partLine
	CSV           string
}

type partLine struct {
	Name, Note, Link string
	counts
}

type codeCount struct {
	Code  string
	Count int
	Link  string
}

type errorLine struct {
	sendError
	Pill pill
	By   string
}

// errorsShown is how many of the messages that did not go the page has.
const errorsShown = 20

// reportsPage is GET /reports.
func (a *API) reportsPage(c echo.Context) error {
	ctx := c.Request().Context()
	v := reportsView{Zone: a.zone(), Form: reportForm{Since: c.QueryParam("since"), Until: c.QueryParam("until"), SIM: c.QueryParam("sim"),
		Person: c.QueryParam("person"), Widget: c.QueryParam("widget")}, ByCode: c.QueryParam("code")}
	day := func(name, value string) *time.Time {
		t, err := time.ParseInLocation(time.DateOnly, value, time.Local)
		if value != "" && err != nil {
			v.Faults = append(v.Faults, name+" must be a day such as 2026-11-27.")
		}
		if value == "" || err != nil {
			return nil
		}
		return &t
	}
	since, until := day("From day", v.Form.Since), day("To day", v.Form.Until)
	q, err := a.wantedReport("", since, until, v.Form.SIM, v.Form.Person, v.Form.Widget)
	if p := (*problem)(nil); errors.As(err, &p) && p.kind == invalidFields {
		v.Faults = append(v.Faults, "The first day "+p.fields[0].Detail+".")
		q, err = a.wantedReport("", nil, nil, v.Form.SIM, v.Form.Person, v.Form.Widget)
	}
	if err != nil {
		return err
	}
	v.Form.Since, v.Form.Until = q.Since.String(), q.Until.String()
	var total reports.Line
	if v.Days, total, err = a.report(ctx, q); err != nil {
		return err
	}
	v.Tiles, v.Charts = tilesOf(total), chartsOf(v.Days)
	v.DaysCSV = v.table("day")
	v.spans(q, a.now())
	for _, part := range []struct {
		by             reports.By
		title, of, key string
		choices        *[]choice
	}{
		{reports.ByPerson, "By who wrote", "person or program", "person", &v.People},
		{reports.ByWidget, "By widget", "widget", "widget", &v.Widgets},
		{reports.BySIM, "By SIM", "SIM", "sim", &v.SIMs},
	} {
		q.By = part.by
		lines, _, err := a.report(ctx, q)
		if err != nil {
			return err
		}
		p := reportPart{ID: "by-" + part.key, Title: part.title, Of: part.of, CSV: v.table(string(part.by))}
		for _, l := range lines {
			one := partLine{Name: cmp.Or(or(l.Name, ""), or(l.ID, "")), counts: l.counts}
			switch {
			case or(l.Kind, "") == "auto":
				one.Name, one.Note = "gatewayd", "invitations, confirmations and notices"
			case one.Name == "":
				one.Name = "none"
			case or(l.Kind, "") == "key":
				one.Note = "API key"
			case part.by == reports.BySIM && or(l.ID, "") != one.Name:
				one.Note = or(l.ID, "")
			}
			if l.ID != nil {
				one.Link = v.link(part.key, *l.ID)
				*part.choices = append(*part.choices, choice{*l.ID, one.Name})
			}
			p.Lines = append(p.Lines, one)
		}
		if len(p.Lines) > 0 {
			v.Tables = append(v.Tables, p)
		}
	}
	v.choose()
	for _, code := range slices.SortedFunc(maps.Keys(total.Codes), func(x, y string) int {
		return cmp.Or(cmp.Compare(total.Codes[y], total.Codes[x]), cmp.Compare(x, y))
	}) {
		v.Codes = append(v.Codes, codeCount{code, total.Codes[code], v.link("code", code) + "#errors"})
	}
	if err := a.errorsOf(c, &v, q); err != nil {
		return err
	}
	f := a.frame(c, "Reports")
	f.Style = "reports.css"
	return a.page(c, http.StatusOK, "reports.html", f, v)
}

// choose has what is chosen among what can be, also where nothing is counted of it.
func (v *reportsView) choose() {
	for _, f := range []struct {
		chosen string
		among  *[]choice
	}{{v.Form.SIM, &v.SIMs}, {v.Form.Person, &v.People}, {v.Form.Widget, &v.Widgets}} {
		if f.chosen != "" && !slices.ContainsFunc(*f.among, func(c choice) bool { return c.ID == f.chosen }) {
			*f.among = append(*f.among, choice{f.chosen, f.chosen})
		}
	}
}

func (v *reportsView) values() url.Values {
	values := url.Values{}
	for name, value := range map[string]string{"since": v.Form.Since, "until": v.Form.Until, "sim": v.Form.SIM, "person": v.Form.Person, "widget": v.Form.Widget} {
		if value != "" {
			values.Set(name, value)
		}
	}
	return values
}

// link leads to the page with something else chosen.
func (v *reportsView) link(name, value string) string {
	values := v.values()
	if values.Set(name, value); value == "" {
		values.Del(name)
	}
	return "/reports?" + values.Encode()
}

// table leads to the report for a spreadsheet.
func (v *reportsView) table(by string) string {
	values := v.values()
	values.Set("by", by)
	values.Set("format", "csv")
	return "/v1/reports?" + values.Encode()
}

// spans are the ranges that people ask for most.
func (v *reportsView) spans(q reports.Query, now time.Time) {
	today := reports.DayOf(now)
	for _, s := range []struct {
		title string
		days  int
	}{{"Today", 1}, {"7 days", 7}, {"30 days", 30}, {"90 days", 90}, {"A year", 365}} {
		from := today.Back(s.days - 1)
		values := v.values()
		values.Set("since", from.String())
		values.Set("until", today.String())
		v.Spans = append(v.Spans, spanLink{s.title, "/reports?" + values.Encode(), q.Since == from && q.Until == today})
	}
}

// errorsOf lists the messages that did not go, in the same range and of the same author.
func (a *API) errorsOf(c echo.Context, v *reportsView, q reports.Query) error {
	f := queue.Filter{Since: q.Since.Begin(), Until: q.Until.Next().Begin(), Author: cmp.Or(q.Person, q.Widget), Code: v.ByCode, Cursor: c.QueryParam("cursor"), Limit: errorsShown}
	values := url.Values{"format": {"csv"}, "since": {v.Form.Since}, "until": {v.Form.Until}}
	for name, value := range map[string]string{"author": f.Author, "code": f.Code} {
		if value != "" {
			values.Set(name, value)
		}
	}
	v.CSV, v.AllOf = "/v1/reports/errors?"+values.Encode(), v.link("code", "")+"#errors"
	all, next, err := a.sendErrors(c.Request().Context(), keyOf(c), f)
	if err != nil {
		return err
	}
	names, err := a.authors(c.Request().Context())
	if err != nil {
		return err
	}
	for _, e := range all {
		line := errorLine{sendError: e, Pill: pillOf(e.Status)}
		if e.Author != nil {
			line.By = cmp.Or(names[e.Author.ID], e.Author.Name)
		}
		v.Errors = append(v.Errors, line)
	}
	onward := v.values()
	if v.ByCode != "" {
		onward.Set("code", v.ByCode)
	}
	if f.Cursor != "" {
		v.First = "/reports?" + onward.Encode() + "#errors"
	}
	if next != "" {
		onward.Set("cursor", next)
		v.Next, v.Looked = "/reports?"+onward.Encode()+"#errors", len(all) < errorsShown
	}
	return nil
}

// share says how much of it something is, in words; "" of nothing.
func share(n, of int, what string) string {
	if of == 0 {
		return ""
	}
	return strconv.Itoa((100*n+of/2)/of) + " % of " + what
}

func tilesOf(t reports.Line) []tileView {
	kind := func(n int, k string) string {
		if n == 0 {
			return ""
		}
		return k
	}
	return []tileView{
		{"Sent", t.Sent, "", countOf(t.SentParts, "part", "parts")},
		{"Delivered", t.Delivered, "", share(t.Delivered, t.Sent, "those sent")},
		{"Not delivered", t.Undelivered, kind(t.Undelivered, warn), share(t.Undelivered, t.Sent, "those sent")},
		{"Failed", t.Failed, kind(t.Failed, bad), share(t.Failed, t.Sent+t.Failed, "all")},
		{"Received", t.Received, "", ""},
		{"Answered", t.Answered, "", share(t.Answered, t.Sent, "those sent")},
		{"Said STOP", t.OptedOut, kind(t.OptedOut, warn), ""},
		{"Complaints", t.Complaints + t.Threats, kind(t.Complaints+t.Threats, bad), "SPAM or THREAT"},
	}
}

// barsView is a chart with a group of bars for each day.
type barsView struct {
	Title, Label  string
	Width, Height int
	Most          int
	Series        []seriesView
	First, Last   string
}

// seriesView is one of the bars of every day, as a path.
type seriesView struct{ Name, Class, Path string }

const (
	barsHeight = 100
	barWidth   = 3 // of a bar; one between days
)

// chartsOf draws the days twice: what came and went, and what went wrong.
func chartsOf(days []reportLine) (all []barsView) {
	type series struct {
		name, class string
		of          func(counts) int
	}
	for _, chart := range []struct {
		title  string
		series []series
	}{
		{"Messages a day", []series{
			{"sent", "sent", func(c counts) int { return c.Sent }}, {"delivered", "delivered", func(c counts) int { return c.Delivered }},
			{"received", "received", func(c counts) int { return c.Received }}}},
		{"What went wrong a day", []series{
			{"failed", "failed", func(c counts) int { return c.Failed }}, {"not delivered", "undelivered", func(c counts) int { return c.Undelivered }},
			{"said STOP or complained", "stopped", func(c counts) int { return c.OptedOut + c.Spam + c.Threat }}}},
	} {
		step := len(chart.series)*barWidth + barWidth
		v := barsView{Title: chart.title, Width: max(len(days)*step, 1), Height: barsHeight}
		sums := make([]int, len(chart.series))
		for _, d := range days {
			for i, s := range chart.series {
				v.Most, sums[i] = max(v.Most, s.of(d.counts)), sums[i]+s.of(d.counts)
			}
		}
		if v.Most == 0 {
			continue
		}
		v.Label = chart.title + ", in all:"
		for i, s := range chart.series {
			path := ""
			for n, d := range days {
				if h := (s.of(d.counts)*barsHeight + v.Most - 1) / v.Most; h > 0 {
					path += fmt.Sprintf("M%d %dh%dv%dh-%dz", n*step+i*barWidth, barsHeight-h, barWidth, h, barWidth)
				}
			}
			v.Series = append(v.Series, seriesView{s.name, s.class, path})
			v.Label += fmt.Sprintf(" %s %d", s.name, sums[i])
		}
		v.First, v.Last = or(days[0].Day, ""), or(days[len(days)-1].Day, "")
		all = append(all, v)
	}
	return all
}

// pillOf is a status as a pill.
func pillOf(s sms.Status) pill {
	if s == sms.Undelivered {
		return pill{string(s), warn}
	}
	return pill{string(s), bad}
}

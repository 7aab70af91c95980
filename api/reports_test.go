package api

import (
	"encoding/csv"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/queue"
	"gatewayd/sms"
)

// happened sends messages as their authors would, with an outcome each.
func (b *box) happened(text string, author *sms.Author, key, refused string) sms.Message {
	b.t.Helper()
	all, _, err := b.queue.Submit(ctx, []queue.Draft{{Message: sms.Message{To: "+491701234567", Text: text, Author: author}, KeyID: key}}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	m := all[0]
	if ok, err := b.queue.Advance(nil, &queue.Start{Row: m.Row, Part: 1, Modem: "office", SIM: "8949000000000000001", Local: "+491700000001", ExpectedMR: -1}); err != nil || !ok {
		b.t.Fatal(ok, err)
	}
	v := queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 1}
	if refused != "" {
		v = queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartFailed, MR: -1,
			Err: &sms.Error{Code: refused, Title: "The network refused it", Detail: "=HYPERLINK(\"https://evil.example\")", Class: sms.Permanent}}
	}
	if _, err := b.queue.Advance(&v, nil); err != nil {
		b.t.Fatal(err)
	}
	return m
}

// withReports has Anna, a widget and a program send, and one of each name that is a trap.
func withReports(t *testing.T) (b *box, anna auth.Person, failed sms.Message) {
	b = newBox(t, settings{})
	anna, _, err := b.o.Keys.AddPerson(ctx, auth.Person{Name: "@SUM(1+1)*cmd", Role: auth.Operator}, goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	by := &sms.Author{Kind: sms.AuthorPerson, ID: anna.ID, Name: "=1+1"}
	for range 3 {
		b.happened("hello", by, anna.ID, "")
	}
	failed = b.happened("<script>alert(1)</script>", by, anna.ID, "cms-38")
	b.happened("hi", &sms.Author{Kind: sms.AuthorVisitor, ID: "vis_1", Name: "<b>Guest</b>", Widget: "wdg_shop"}, "", "")
	return b, anna, failed
}

func TestReports(t *testing.T) {
	b, anna, failed := withReports(t)
	type line struct {
		Day, Kind, ID, Name, Modem *string
		Sent, Parts, Failed        int
		Errors                     map[string]int
	}
	var report struct {
		By, Since, Until, TimeZone string
		Lines                      []line
		Total                      line
	}
	get := func(query string) []line {
		t.Helper()
		report.Lines = nil
		b.get("/v1/reports" + query).want(200).into(&report)
		return report.Lines
	}
	days := get("")
	if today := days[len(days)-1]; len(days) != 30 || *today.Day != time.Now().Format(time.DateOnly) || today.Sent != 4 || today.Failed != 1 || today.Errors["cms-38"] != 1 {
		t.Errorf("%d days, today %+v", len(days), today)
	}
	if report.Total.Sent != 4 || report.Total.Parts != 4 || report.By != "day" {
		t.Errorf("%+v", report)
	}
	if l := get("?by=person"); len(l) != 1 || *l[0].ID != anna.ID || *l[0].Name != anna.Name || *l[0].Kind != "person" || l[0].Sent != 3 {
		t.Errorf("by person: %+v", l)
	}
	if l := get("?by=widget"); len(l) != 1 || *l[0].ID != "wdg_shop" || l[0].Name != nil || l[0].Sent != 1 {
		t.Errorf("by widget: %+v", l)
	}
	if l := get("?by=sim&person=" + anna.ID); len(l) != 1 || *l[0].ID != "8949000000000000001" || *l[0].Modem != "office" || l[0].Sent != 3 {
		t.Errorf("by SIM: %+v", l)
	}
	if l := get("?since=2026-01-01&until=2026-01-31"); len(l) != 31 || *l[0].Day != "2026-01-01" {
		t.Errorf("January: %d days", len(l))
	}
	for _, bad := range []string{"?by=year", "?since=yesterday", "?since=2026-02-01&until=2026-01-01", "?since=1990-01-01&until=2026-01-01", "?format=xls", "?what=1"} {
		b.get("/v1/reports" + bad).want(422)
	}
	var errors struct {
		Errors []struct {
			MessageID                        string `json:"message_id"`
			Status, SIM, Code, Title, Detail string
			Author                           struct{ ID string }
		}
	}
	for query, n := range map[string]int{"": 1, "?code=cms-38": 1, "?code=cms-21": 0, "?author=" + anna.ID: 1, "?author=wdg_shop": 0, "?modem=office": 1, "?modem=backup": 0, "?until=2026-01-01": 0} {
		b.get("/v1/reports/errors" + query).want(200).into(&errors)
		if len(errors.Errors) != n {
			t.Errorf("%q: %+v", query, errors)
		}
	}
	b.get("/v1/reports/errors").want(200).into(&errors)
	if e := errors.Errors[0]; e.MessageID != failed.ID || e.Status != "failed" || e.SIM != "8949000000000000001" || e.Code != "cms-38" || e.Title != "The network refused it" || e.Author.ID != anna.ID {
		t.Errorf("%+v", e)
	}
	b.ask("GET", "/v1/reports", bearer(b.send), "").want(403)
	b.ask("GET", "/v1/reports/errors", bearer(b.key(auth.Limits{}, auth.Watch)), "").want(403)
}

// No cell of a table is a formula to a spreadsheet, whatever people call themselves.
func TestReportsAsTables(t *testing.T) {
	b, _, failed := withReports(t)
	for target, name := range map[string]string{"/v1/reports?by=person&format=csv": "report-person-", "/v1/reports?format=csv": "report-day-", "/v1/reports/errors?format=csv": "errors.csv"} {
		a := b.get(target).want(200)
		if h := a.Header(); !strings.HasPrefix(h.Get("Content-Type"), "text/csv") || !strings.Contains(h.Get("Content-Disposition"), name) {
			t.Errorf("%s: %v", target, h)
		}
		rows, err := csv.NewReader(a.Body).ReadAll()
		if err != nil || len(rows) < 2 {
			t.Fatalf("%s: %d rows, %v", target, len(rows), err)
		}
		found := false
		for _, row := range rows {
			for _, cell := range row {
				if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) && cell != "+491701234567" {
					t.Errorf("%s has the formula %q", target, cell)
				}
				found = found || strings.HasPrefix(cell, "'")
			}
		}
		if !found && target != "/v1/reports?format=csv" {
			t.Errorf("%s: the trap is not there:\n%v", target, rows)
		}
		if strings.Contains(target, "errors") && rows[1][1] != failed.ID {
			t.Errorf("%v", rows[1])
		}
	}
}

// The page shows the same, and nothing that others wrote is markup in it.
func TestReportsPage(t *testing.T) {
	b, anna, failed := withReports(t)
	page := b.get("/reports").want(200).Body.String()
	for _, want := range []string{">Reports</a>", "/messages/" + failed.ID, "cms-38", "The network refused it", "wdg_shop", "@SUM(1&#43;1)*cmd",
		`href="/v1/reports?by=person&amp;format=csv&amp;since=`, "<svg viewBox", `aria-label="Messages a day, in all: sent 4 delivered 0 received 0"`, "<table>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, trap := range []string{"<script>alert", "<b>Guest", "style=", "onclick"} {
		if strings.Contains(page, trap) {
			t.Errorf("the page has %s", trap)
		}
	}
	if file := os.Getenv("PAGE"); file != "" { // to look at
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	only := b.get("/reports?since=2026-01-01&until=2026-01-02&code=cms-38&person=" + url.QueryEscape(anna.ID)).want(200).Body.String()
	if !strings.Contains(only, "Nothing happened in this time") || strings.Contains(only, failed.ID) || !strings.Contains(only, anna.ID+`" selected`) {
		t.Error("another time shows the same, or forgets what was chosen")
	}
	for query, want := range map[string]string{"?since=x": "From day must be a day", "?since=2026-02-01&until=2026-01-01": "is after until"} {
		if page := b.get("/reports" + query).want(200).Body.String(); !strings.Contains(page, want) {
			t.Errorf("%s lacks %q", query, want)
		}
	}
	if page := b.ask("GET", "/", bearer(b.key(auth.Limits{}, auth.Watch)), "").want(200).Body.String(); strings.Contains(page, "/reports") {
		t.Error("who may not read is led to the reports")
	}
	if q := viewQR("https://shop.local/welcome#H7KQM-2WXPT/Anna"); q.Size < 29 || !strings.HasPrefix(q.Path, "M4 4h7v1h-7z") {
		t.Errorf("%d %.40s", q.Size, q.Path)
	}
	if q := viewQR(strings.Repeat("x", 5000)); q.Path != "" {
		t.Error("a QR code of what fits in none")
	}
}

package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/client"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func csvFile(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadRows(t *testing.T) {
	rows, err := readRows(csvFile(t, "\ufeffto,text,priority,send_at,client_id\n+49 170 1234567,\"two\nlines\",9,2h,a\n12345,plain,,,\n"), "", client.NewMessage{From: new("office")}, "", noon)
	if err != nil || len(rows) != 2 {
		t.Fatalf("%v, %v", rows, err)
	}
	a, b := rows[0], rows[1]
	if a.line != 2 || a.m.To != "+49 170 1234567" || *a.m.Text != "two\nlines" || *a.m.Priority != 9 || !a.m.SendAt.Equal(noon.Add(2*time.Hour)) || *a.m.ClientID != "a" || *a.m.From != "office" {
		t.Errorf("the first row is %+v", a)
	}
	if b.line != 4 || b.m.Priority != nil || b.m.SendAt != nil || b.m.ClientID != nil || *b.m.Text != "plain" {
		t.Errorf("the second row is %+v", b)
	}
	// As a German spreadsheet writes it, with a template.
	rows, err = readRows(csvFile(t, "Name;to;Tag\r\nAnn;0170 1234567;Montag, 9 Uhr\r\n"), "Hallo {{.Name}}: {{.Tag}}", client.NewMessage{}, "DE", noon)
	if err != nil || len(rows) != 1 || *rows[0].m.Text != "Hallo Ann: Montag, 9 Uhr" {
		t.Errorf("%v, %v", rows, err)
	}
}

// Every wrong row is told with its line, and none is left out for another.
func TestWrongRows(t *testing.T) {
	_, err := readRows(csvFile(t, "to,text,priority,send_at\n+491701234567,fine,,\n,no number,,\n+491,short,,\n+491701234567,,,\n+491701234567,x,12,\n+491701234567,x,,soon\na,b\n"),
		"", client.NewMessage{}, "", noon)
	var wrong *rowErrors
	if !errors.As(err, &wrong) {
		t.Fatalf("%v", err)
	}
	var lines []string
	for _, s := range wrong.all {
		rest := s[strings.LastIndex(s, ".csv:")+5:]
		lines = append(lines, rest[:strings.Index(rest, ":")])
	}
	if !slices.Equal(lines, []string{"3", "4", "5", "6", "7", "8"}) {
		t.Errorf("mistakes in lines %v:\n%v", lines, err)
	}
	for content, want := range map[string]string{
		"":                                   "first line",
		"text\nx\n":                          "no column “to”",
		"to\n+491701234567\n":                "no column “text”",
		"to,text,sendat\n":                   "sendat",
		"to,text,to\n":                       "column 3",
		"to,text\n":                          "no rows",
		"to,text\n+491701234567,\xff\n":      "UTF-8",
		"to,text\n+491701234567,\"never en":  ":2:",
		"to,text\n+491701234567,a\" quote\n": ":2:",
	} {
		if _, err := readRows(csvFile(t, content), "", client.NewMessage{}, "", noon); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", content, err, want)
		}
	}
	if _, err := readRows(csvFile(t, "to,name\n+491701234567,Ann\n"), "{{.nmae}}", client.NewMessage{}, "", noon); err == nil || !strings.Contains(err.Error(), "nmae") {
		t.Errorf("a column that is not there: %v", err)
	}
	var usage usageError
	if _, err := readRows(csvFile(t, "to\n"), "{{", client.NewMessage{}, "", noon); !errors.As(err, &usage) {
		t.Errorf("a template that is none: %v", err)
	}
}

func FuzzReadRows(f *testing.F) {
	f.Add("to,text\n+491701234567,x\n", "")
	f.Add("to;name\n12345;\"a\nb\"\n", "{{.name}}")
	f.Add("to\ttext\r\n\"", "{{index . \"to\"}}")
	f.Fuzz(func(t *testing.T, content, text string) {
		if strings.Contains(text, "{{") && strings.ContainsAny(text, "(|$") || strings.Contains(text, "define") || strings.Contains(text, "template") {
			return // text/template itself is not under test, and may run for ever
		}
		rows, err := readRows(csvFile(t, content), text, client.NewMessage{}, "", noon)
		if err != nil {
			return
		}
		last := 1
		for _, r := range rows {
			if r.line <= last || r.m.To == "" || *r.m.Text == "" {
				t.Errorf("line %d after %d: %+v", r.line, last, r.m)
			}
			last = r.line
		}
	})
}

func TestInstant(t *testing.T) {
	for s, want := range map[string]time.Time{
		"90m":                       noon.Add(90 * time.Minute),
		"+2h":                       noon.Add(2 * time.Hour),
		"2026-12-01T07:00:00Z":      time.Date(2026, 12, 1, 7, 0, 0, 0, time.UTC),
		"2026-12-01T07:00:00+02:00": time.Date(2026, 12, 1, 5, 0, 0, 0, time.UTC),
		"2026-12-01 07:00":          time.Date(2026, 12, 1, 7, 0, 0, 0, time.Local),
	} {
		if got, err := instant("--at", s, noon); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v", s, got, err)
		}
	}
	if got, err := instant("--at", "", noon); got != nil || err != nil {
		t.Errorf("nothing is %v, %v", got, err)
	}
	var usage usageError
	if _, err := instant("--at", "tomorrow", noon); !errors.As(err, &usage) {
		t.Errorf("tomorrow: %v", err)
	}
}

func TestForwardURL(t *testing.T) {
	for s, want := range map[string]string{"3000": "http://localhost:3000", "localhost:3000/sms": "http://localhost:3000/sms", "https://x/y": "https://x/y"} {
		if got, err := forwardURL(s); err != nil || got != want {
			t.Errorf("%q is %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "ftp://x", "http://", ":", "http://:80"} {
		if got, err := forwardURL(s); err == nil {
			t.Errorf("%q is %q", s, got)
		}
	}
}

func TestListenerWants(t *testing.T) {
	l := listener{events: []string{"message.received", "alarm.*"}}
	for kind, want := range map[string]bool{"message.received": true, "message.receive": false, "message.sent": false, "alarm.begin": true, "alarm": false} {
		if l.wants(kind) != want {
			t.Errorf("%s: %t", kind, !want)
		}
	}
}

// A column that a template asks for and the file has not is told once, with those
// that it has.
func TestTemplateWithoutItsColumn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(file, []byte("to,name\n+491701234567,Ada\n+491701234568,Bo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := readRows(file, "Hello {{.nme}}", client.NewMessage{}, "", time.Now())
	if usage := (usageError{}); !errors.As(err, &usage) || strings.Count(err.Error(), "nme") != 1 || !strings.Contains(err.Error(), "to, name") {
		t.Errorf("%v", err)
	}
	if rows, err := readRows(file, "Hello {{.name}}", client.NewMessage{}, "", time.Now()); err != nil || len(rows) != 2 {
		t.Errorf("%v, %v", rows, err)
	}
}

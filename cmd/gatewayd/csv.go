package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"gatewayd/client"
	"gatewayd/sms/number"
)

// columns are those with a meaning of their own. With a template, others are
// what it is filled with.
var columns = []string{"to", "text", "from", "priority", "send_at", "expires_at", "client_id"}

// maxCSV is the largest file that is read: a million rows.
const maxCSV = 256 << 20

// row is a message and the line of the file that it stands in.
type row struct {
	line int
	m    client.NewMessage
}

// rowErrors are all mistakes of a file.
type rowErrors struct {
	file string
	all  []string
}

func (e *rowErrors) add(line int, format string, args ...any) {
	e.all = append(e.all, fmt.Sprintf("%s:%d: ", e.file, line)+fmt.Sprintf(format, args...))
}

// Error names the first twenty.
func (e *rowErrors) Error() string {
	shown := e.all
	if len(shown) > 20 {
		shown = append(slices.Clone(shown[:20]), fmt.Sprintf("and %d more", len(e.all)-20))
	}
	return fmt.Sprintf("%s can't be sent as it is:\n  %s", e.file, strings.Join(shown, "\n  "))
}

// readRows reads the file's rows; each message begins as base. Its error is a
// *rowErrors if rows are wrong, which then are all named.
func readRows(file, text string, base client.NewMessage, region string, now time.Time) ([]row, error) {
	b, err := readFile(file)
	if err != nil {
		return nil, err
	}
	var t *template.Template
	if text != "" {
		if t, err = template.New("text").Option("missingkey=error").Parse(text); err != nil {
			return nil, usageError{fmt.Errorf("--text: %w", err)}
		}
	}
	r := csv.NewReader(bytes.NewReader(b))
	r.Comma = delimiter(b)
	r.TrimLeadingSpace = true
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: its first line must name the columns, to and text: %w", file, err)
	}
	if err := checkHeader(file, header, t != nil); err != nil {
		return nil, err
	}
	if t != nil {
		if err := tryTemplate(t, header); err != nil {
			return nil, usageError{fmt.Errorf("--text: %w; the columns of %s are %s", err, file, strings.Join(header, ", "))}
		}
	}
	wrong := &rowErrors{file: file}
	var rows []row
	for {
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			wrong.add(syntax.StartLine, "%v", syntax.Err)
			if syntax.Err == csv.ErrFieldCount {
				continue
			}
			break // after a stray quote nobody knows where the next row begins
		} else if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		cells := map[string]string{}
		for i, name := range header {
			cells[name] = record[i]
		}
		m, mistakes := rowMessage(cells, t, base, region, now)
		for _, s := range mistakes {
			wrong.add(line, "%s", s)
		}
		rows = append(rows, row{line, m})
	}
	if len(wrong.all) > 0 {
		return nil, wrong
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s has no rows below its first line", file)
	}
	return rows, nil
}

func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, usageError{fmt.Errorf("--csv: %w", err)}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCSV+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxCSV {
		return nil, fmt.Errorf("%s is larger than %d MB: split it", file, maxCSV>>20)
	}
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("%s is not UTF-8; save it as “CSV UTF-8”", file)
	}
	return bytes.TrimPrefix(b, []byte("\ufeff")), nil // spreadsheets begin with a byte order mark
}

// delimiter finds what stands between the columns: spreadsheets of many
// countries write semicolons.
func delimiter(b []byte) rune {
	first, _, _ := bytes.Cut(b, []byte("\n"))
	for _, d := range ";\t" {
		if bytes.ContainsRune(first, d) && !bytes.ContainsRune(first, ',') {
			return d
		}
	}
	return ','
}

func checkHeader(file string, header []string, filled bool) error {
	for i := range header {
		header[i] = strings.TrimSpace(header[i])
		switch name := header[i]; {
		case name == "" || slices.Contains(header[:i], name):
			return fmt.Errorf("%s:1: column %d has no name of its own (%q)", file, i+1, name)
		case !filled && !slices.Contains(columns, name):
			return fmt.Errorf("%s:1: the column %q has no meaning; these have: %s; others are for --text, as {{.%s}}",
				file, name, strings.Join(columns, ", "), name)
		}
	}
	if !slices.Contains(header, "to") {
		return fmt.Errorf("%s:1: there is no column “to” with the numbers", file)
	}
	if !filled && !slices.Contains(header, "text") {
		return fmt.Errorf("%s:1: there is no column “text”, and no --text to make it of the others", file)
	}
	return nil
}

// missingColumn is how a template's error names what it did not find.
var missingColumn = regexp.MustCompile(`map has no entry for key "([^"]*)"`)

// tryTemplate finds out whether a template asks for columns that are not there:
// that is said once, not of every row.
func tryTemplate(t *template.Template, header []string) error {
	cells := map[string]string{}
	for _, name := range header {
		cells[name] = "x"
	}
	err := t.Execute(io.Discard, cells)
	if err == nil {
		return nil
	}
	if m := missingColumn.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("there is no column %q", m[1])
	}
	return nil // of a certain row's cells something may be wrong, which is said there
}

func rowMessage(cells map[string]string, t *template.Template, m client.NewMessage, region string, now time.Time) (client.NewMessage, []string) {
	var wrong []string
	m.To = strings.TrimSpace(cells["to"])
	// What only the daemon can know it says itself: national numbers, if no
	// region is known here.
	if _, err := number.Parse(m.To, region); err != nil && (m.To == "" || strings.HasPrefix(m.To, "+") || region != "" || strings.Trim(m.To, "0123456789 ()-./") != "") {
		wrong = append(wrong, "to "+err.Error())
	}
	text := cells["text"]
	if t != nil {
		var b strings.Builder
		if err := t.Execute(&b, cells); err != nil {
			wrong = append(wrong, "--text can't be filled: "+err.Error())
		}
		text = b.String()
	}
	if text == "" && len(wrong) == 0 {
		wrong = append(wrong, "the text is empty")
	}
	m.Text = &text
	if v := cells["from"]; v != "" {
		m.From = &v
	}
	if v := cells["client_id"]; v != "" {
		m.ClientID = &v
	}
	if v := strings.TrimSpace(cells["priority"]); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > 9 {
			wrong = append(wrong, fmt.Sprintf("priority %q: must be a number from 0 to 9", v))
		}
		m.Priority = &n
	}
	for name, into := range map[string]**time.Time{"send_at": &m.SendAt, "expires_at": &m.ExpiresAt} {
		at, err := instant(name, strings.TrimSpace(cells[name]), now)
		if err != nil {
			wrong = append(wrong, err.Error())
		} else if at != nil {
			*into = at
		}
	}
	return m, wrong
}

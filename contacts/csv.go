package contacts

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Row is one contact of a file that is to be imported.
type Row struct {
	Line    int // where it begins, of the file
	Contact Contact
	Groups  []string  // by name
	Wrong   []Mistake // for which it can't be imported
	LeftOut []Mistake // what is imported without
	Skipped string    // why it is not meant to be imported: it has no number
}

// File is what was read of one.
type File struct {
	Rows    []Row
	Ignored []string // headings of columns that mean nothing here
}

// Limits of a file.
const (
	MaxFile    = 16 << 20
	MaxRows    = 20_000
	maxColumns = 500
)

// FileError says why a file can't be read at all.
type FileError struct{ Detail string }

func (e *FileError) Error() string { return e.Detail }

func notReadable(format string, args ...any) error {
	return &FileError{fmt.Sprintf(format, args...)}
}

// ReadCSV reads a table whose first row names the columns, in any order, with commas,
// semicolons or tabs between them. National numbers are those of region.
func ReadCSV(file []byte, region string) (*File, error) {
	text := decode(file)
	if strings.ContainsRune(text, 0) {
		return nil, notReadable("the file is no table of text: save it as CSV")
	}
	first := 1 // the line at which the reader begins
	separator := ','
	line, rest, _ := strings.Cut(text, "\n")
	if s, ok := strings.CutPrefix(strings.TrimSpace(line), "sep="); ok && len(s) == 1 { // Excel's way to say it
		separator, text, first = rune(s[0]), rest, 2
	} else {
		separator = separatorOf(text)
	}
	r := csv.NewReader(strings.NewReader(text))
	if strings.ContainsRune("\r\n\"", separator) {
		return nil, notReadable("the line sep= names no separator")
	}
	r.Comma, r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = separator, -1, true, true
	head, err := r.Read()
	if err != nil {
		return nil, notReadable("the file is empty: its first row must name the columns, such as name and number")
	}
	if len(head) > maxColumns {
		return nil, notReadable("the file has %d columns; %d at most", len(head), maxColumns)
	}
	f := &File{}
	meaning := make([]column, len(head))
	for i, h := range head {
		meaning[i] = columnOf(h)
		if meaning[i] == ignored && strings.TrimSpace(h) != "" && len(f.Ignored) < 100 {
			f.Ignored = append(f.Ignored, shortened(strings.TrimSpace(h), 60))
		}
	}
	if !slices.Contains(meaning, colNumber) {
		return nil, notReadable("no column of the first row is one of numbers: name it number, phone or mobile")
	}
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return nil, notReadable("the file can't be read: %v", err)
		}
		at, _ := r.FieldPos(0)
		if !slices.ContainsFunc(cells, func(c string) bool { return strings.TrimSpace(c) != "" }) {
			continue
		}
		if len(f.Rows) == MaxRows {
			return nil, notReadable("the file has more than %d rows: import it in pieces", MaxRows)
		}
		f.Rows = append(f.Rows, rowOf(cells, meaning, region, at+first-1))
	}
}

// separatorOf is the one of , ; and tab that the first row has most of, outside of
// quotes.
func separatorOf(text string) rune {
	counts, quoted := map[rune]int{}, false
	for _, c := range text {
		if c == '"' {
			quoted = !quoted
		}
		if !quoted && c == '\n' {
			break
		}
		if !quoted {
			counts[c]++
		}
	}
	best := ','
	for _, c := range ";\t" {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return best
}

func rowOf(cells []string, meaning []column, region string, line int) Row {
	b := builder{Row: Row{Line: line}, region: region}
	var given, middle, family string
	for i, cell := range cells {
		if i >= len(meaning) {
			break
		}
		if cell = unguarded(strings.TrimSpace(cell)); cell == "" {
			continue
		}
		switch meaning[i] {
		case colName:
			b.first(&b.Contact.Name, cell)
		case colGiven:
			b.first(&given, cell)
		case colMiddle:
			b.first(&middle, cell)
		case colFamily:
			b.first(&family, cell)
		case colNumber:
			for one := range strings.SplitSeq(cell, ":::") { // as Google writes several
				b.number(one)
			}
		case colEmail:
			one, _, _ := strings.Cut(cell, ":::")
			b.first(&b.Contact.Email, strings.TrimSpace(one))
		case colOrganisation:
			b.first(&b.Contact.Organisation, cell)
		case colNote:
			b.first(&b.Contact.Note, cell)
		case colLanguage:
			b.first(&b.Contact.Language, cell)
		case colGroups:
			for _, one := range strings.FieldsFunc(strings.ReplaceAll(cell, ":::", ";"), func(c rune) bool { return c == ';' || c == ',' }) {
				b.group(one)
			}
		case colConsent:
			b.consent().Wording = cell
		case colConsentAt:
			b.consentAt(cell)
		}
	}
	if b.Contact.Name == "" {
		b.Contact.Name = strings.Join(slices.DeleteFunc([]string{given, middle, family}, func(s string) bool { return s == "" }), " ")
	}
	return b.done()
}

// unguarded takes off what keeps a spreadsheet from reading a cell as a formula or
// number: ="…" around it, or a ' in front.
func unguarded(cell string) string {
	if s, ok := strings.CutPrefix(cell, `="`); ok && strings.HasSuffix(s, `"`) {
		return strings.TrimSuffix(s, `"`)
	}
	if s, ok := strings.CutPrefix(cell, "'"); ok && (risky(s) || s != "" && strings.Trim(s, "0123456789 ") == "") {
		return s
	}
	return cell
}

// risky reports whether a spreadsheet could take a cell for a formula, or take off
// what guards it from that.
func risky(cell string) bool {
	cell = strings.TrimLeft(cell, " \u00a0'")
	return cell != "" && strings.ContainsRune("=+-@\t\r\n|%＝＋－＠", []rune(cell)[0])
}

// Guarded is a cell that no spreadsheet takes for a formula: names and texts are what
// others made up. A number stays as it is: of +491701234567 nothing can be computed.
func Guarded(cell string) string {
	if digits, ok := strings.CutPrefix(cell, "+"); ok && digits != "" && strings.Trim(digits, "0123456789") == "" {
		return cell
	}
	if risky(cell) {
		return "'" + cell
	}
	return cell
}

// CSVWriter writes contacts as a table that ReadCSV reads.
type CSVWriter struct {
	w       *csv.Writer
	numbers int
}

// NewCSVWriter begins a table for contacts of which each has so many numbers at most.
// It begins with a byte order mark, without which spreadsheets take it for
// Windows-1252.
func NewCSVWriter(w io.Writer, separator rune, numbers int) (*CSVWriter, error) {
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return nil, err
	}
	c := &CSVWriter{csv.NewWriter(w), max(numbers, 1)}
	c.w.Comma, c.w.UseCRLF = separator, true
	head := []string{"name", "number"}
	for i := 2; i <= c.numbers; i++ {
		head = append(head, fmt.Sprintf("number %d", i))
	}
	return c, c.w.Write(append(head, "email", "organisation", "groups", "language", "note", "consent", "consent at"))
}

// Write writes one contact.
func (c *CSVWriter) Write(one *Contact) error {
	row := []string{one.Name}
	for i := range c.numbers {
		n := ""
		if i < len(one.Numbers) {
			n = one.Numbers[i]
		}
		row = append(row, n)
	}
	groups := make([]string, len(one.Groups))
	for i, g := range one.Groups {
		groups[i] = g.Name
	}
	wording, at := "", ""
	if one.Consent != nil {
		wording, at = one.Consent.Wording, one.Consent.At.Format(time.RFC3339)
	}
	row = append(row, one.Email, one.Organisation, strings.Join(groups, ";"), one.Language, one.Note, wording, at)
	for i := range row {
		row[i] = Guarded(row[i])
	}
	return c.w.Write(row)
}

// Flush writes out what is left.
func (c *CSVWriter) Flush() error {
	c.w.Flush()
	return c.w.Error()
}

package api

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/contacts"
)

// importMedia are the content types that a file of contacts may have.
var importMedia = []string{"text/csv", "text/vcard", "text/x-vcard"}

// team takes the query's team; nil: it names none.
func (q *query) team() *string {
	t := q.line("team")
	if len(q.values["team"]) == 0 {
		return nil
	}
	return &t
}

// importContacts is POST /v1/contacts/import: the body is the file.
func (a *API) importContacts(c echo.Context) error {
	q := newQuery(c)
	dry := q.oneOf("dry_run", "true", "false") == "true"
	good, replace := q.oneOf("rows", "all", "good") == "good", q.oneOf("existing", "fill", "replace") == "replace"
	group, team := q.line("group"), q.team()
	if err := q.done(); err != nil {
		return err
	}
	r, key := c.Request(), keyOf(c)
	known, of, err := a.known(key, team)
	if err != nil {
		return err
	}
	values := r.Header.Values("Content-Type")
	if media, _, err := mime.ParseMediaType(strings.Join(values, ", ")); err != nil || !slices.Contains(importMedia, media) {
		return wrongMediaType.because("The body must be the file, declared as text/csv or text/vcard. With curl: -H 'Content-Type: text/csv' --data-binary @contacts.csv")
	}
	data, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, contacts.MaxFile))
	if err != nil {
		if tooMany := (*http.MaxBytesError)(nil); errors.As(err, &tooMany) {
			return tooLarge.because("The file is larger than %d MB: import it in pieces.", contacts.MaxFile>>20)
		}
		return badRequest.because("The file ended before its announced length, or came too slowly.")
	}
	f, err := known.Read(data)
	if err != nil {
		return err
	}
	o := contacts.Import{Team: of.Team, By: key.ID, Replace: replace, Group: group, Dry: dry, Good: good}
	report, err := known.Import(r.Context(), f, o)
	if err != nil {
		return err
	}
	if !dry && !report.Stored {
		return wrong(rowMistakes(report)...)
	}
	return a.json(c, http.StatusOK, viewImport(report))
}

// rowMistakes are the rows that are wrong, as mistakes of fields.
func rowMistakes(r *contacts.Report) (all []FieldError) {
	const most = 100
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Outcome != contacts.RowWrong || len(all) == most {
			continue
		}
		for _, p := range row.Problems {
			all = append(all, FieldError{Field: "line " + strconv.Itoa(row.Line) + ", " + p.Field, Detail: p.Detail})
		}
	}
	return all[:min(len(all), most)]
}

// maxDetails is how many rows a report tells of.
const maxDetails = 1000

type importView struct {
	Stored  bool         `json:"stored"`
	Rows    int          `json:"rows"`
	New     int          `json:"new"`
	Changed int          `json:"changed"`
	Same    int          `json:"same"`
	Skipped int          `json:"skipped"`
	Wrong   int          `json:"wrong"`
	Groups  []string     `json:"groups"`
	Ignored []string     `json:"ignored_columns"`
	Details []detailView `json:"details"`
	LeftOff int          `json:"left_off"`
	LeftOut int          `json:"-"` // rows that don't come in
}

type detailView struct {
	Line     int              `json:"line"`
	Name     string           `json:"name"`
	Numbers  []string         `json:"numbers"`
	Outcome  contacts.Outcome `json:"outcome"`
	Contact  *string          `json:"contact"`
	SameAs   *int             `json:"same_as_line"`
	Problems []FieldError     `json:"problems"`
}

// viewImport tells of each row that is not simply new, those that are wrong first.
func viewImport(r *contacts.Report) importView {
	v := importView{Stored: r.Stored, Rows: len(r.Rows), New: r.Counts[contacts.RowNew], Changed: r.Counts[contacts.RowChanged], Same: r.Counts[contacts.RowSame],
		Skipped: r.Counts[contacts.RowSkipped], Wrong: r.Counts[contacts.RowWrong], Groups: orEmpty(r.Groups), Ignored: orEmpty(r.Ignored), Details: []detailView{}}
	v.LeftOut = v.Skipped + v.Wrong
	for _, outcome := range []contacts.Outcome{contacts.RowWrong, contacts.RowNew, contacts.RowChanged, contacts.RowSame, contacts.RowSkipped} {
		for i := range r.Rows {
			row := &r.Rows[i]
			if row.Outcome != outcome || outcome == contacts.RowNew && len(row.Problems) == 0 {
				continue
			}
			if len(v.Details) == maxDetails {
				v.LeftOff++
				continue
			}
			d := detailView{Line: row.Line, Name: row.Name, Numbers: orEmpty(row.Numbers), Outcome: row.Outcome, Contact: orNil(row.Contact), Problems: []FieldError{}}
			if row.SameAs != 0 {
				d.SameAs = &row.SameAs
			}
			for _, p := range row.Problems {
				d.Problems = append(d.Problems, FieldError(p))
			}
			v.Details = append(v.Details, d)
		}
	}
	return v
}

// exportContacts is GET /v1/contacts/export. It is written as it is read; an error
// once it has begun cuts it off.
func (a *API) exportContacts(c echo.Context) error {
	q := newQuery(c)
	format, separator := q.oneOf("format", "csv", "vcard"), q.oneOf("separator", "comma", "semicolon", "tab")
	f := contacts.Filter{Q: q.line("q"), Group: q.line("group")}
	team := q.team()
	if err := q.done(); err != nil {
		return err
	}
	known, of, err := a.known(keyOf(c), team)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	most, err := known.MostNumbers(ctx, of)
	if err != nil {
		return err
	}
	if _, _, err := known.List(ctx, of, contacts.Filter{Limit: 1}); err != nil {
		return err // while it can be told
	}
	h, w := c.Response().Header(), bufio.NewWriterSize(c.Response(), 32<<10)
	write, flush := func(one *contacts.Contact) error { return contacts.WriteVCard(w, one) }, w.Flush
	if format == "vcard" {
		h.Set("Content-Type", "text/vcard; charset=utf-8")
		h.Set("Content-Disposition", `attachment; filename="contacts.vcf"`)
	} else {
		h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
		h.Set("Content-Disposition", `attachment; filename="contacts.csv"`)
		table, err := contacts.NewCSVWriter(w, map[string]rune{"": ',', "comma": ',', "semicolon": ';', "tab": '\t'}[separator], most)
		if err != nil {
			return err
		}
		write, flush = table.Write, func() error { return errors.Join(table.Flush(), w.Flush()) }
	}
	deadline := http.NewResponseController(c.Response().Writer)
	c.Response().WriteHeader(http.StatusOK)
	err = known.ByPiece(ctx, of, f, func(page []contacts.Contact) error {
		_ = deadline.SetWriteDeadline(time.Now().Add(writeWait))
		for i := range page {
			if err := write(&page[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		a.log.Error("an export of contacts was cut off", "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

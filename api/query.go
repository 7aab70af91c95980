package api

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

const maxLimit = 500

// query takes the parameters of a URL one by one, for a plain handler that has no
// generated type for them, and collects what is wrong
// with them. One that nobody took is wrong too: a misspelt filter that is
// ignored would answer with everything.
type query struct {
	values url.Values
	taken  map[string]bool
	errs   []FieldError
}

func newQuery(c echo.Context) *query {
	q := &query{taken: map[string]bool{}}
	var err error
	if q.values, err = url.ParseQuery(c.Request().URL.RawQuery); err != nil {
		q.wrong("query", "can't be read: a “%%” must begin an escape such as %%2B")
	}
	return q
}

func (q *query) wrong(name, format string, args ...any) {
	q.errs = append(q.errs, FieldError{Field: name, Detail: fmt.Sprintf(format, args...)})
}

// done returns all that was wrong as one error.
func (q *query) done() error {
	for _, name := range slices.Sorted(maps.Keys(q.values)) {
		if !q.taken[name] {
			q.wrong(shorten(name), "is not a known parameter")
		}
	}
	if len(q.errs) > 0 {
		return wrong(q.errs...)
	}
	return nil
}

// line takes a parameter that is given at most once; "" when it is not.
func (q *query) line(name string) string {
	q.taken[name] = true
	values := q.values[name]
	if len(values) == 0 {
		return ""
	}
	if len(values) > 1 {
		q.wrong(name, "is given more than once")
	} else if values[0] == "" {
		q.wrong(name, "is empty; leave it out instead")
	} else if err := checkLine(values[0], 255); err != "" {
		q.wrong(name, "%s", err)
	}
	return values[0]
}

// list takes a parameter that may be repeated, or hold several values with
// commas between them.
func (q *query) list(name string) []string {
	q.taken[name] = true
	var all []string
	for _, v := range q.values[name] {
		all = append(all, strings.Split(v, ",")...)
	}
	return all
}

func (q *query) oneOf(name string, allowed ...string) string {
	s := q.line(name)
	if s == "" {
		return ""
	}
	for _, a := range allowed {
		if s == a {
			return s
		}
	}
	q.wrong(name, "must be one of %s", strings.Join(allowed, ", "))
	return ""
}

func (q *query) integer(name string, least, most, otherwise int64) int64 {
	s := q.line(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < least || n > most {
		q.wrong(name, "must be a whole number from %d to %d", least, most)
		return otherwise
	}
	return n
}

func (q *query) limit() int { return int(q.integer("limit", 1, maxLimit, defaultLimit)) }

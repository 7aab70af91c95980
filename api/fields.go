package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// fields takes an object's members out one by one and collects what is wrong
// with them, so that one answer tells all mistakes.
type fields struct {
	o     *object
	path  string // in front of the names: "messages[3]."
	taken map[string]bool
	errs  *[]FieldError
}

func newFields(o *object, path string, errs *[]FieldError) *fields {
	return &fields{o: o, path: path, taken: map[string]bool{}, errs: errs}
}

// maxErrors bounds an answer by something else than the client's imagination.
const maxErrors = 100

func (f *fields) wrong(name, format string, args ...any) {
	if len(*f.errs) >= maxErrors {
		return
	}
	*f.errs = append(*f.errs, FieldError{Field: f.path + name, Detail: fmt.Sprintf(format, args...)})
}

// isWrong tells whether something was said about a field.
func (f *fields) isWrong(name string) bool {
	return slices.ContainsFunc(*f.errs, func(e FieldError) bool { return e.Field == f.path+name })
}

// take returns a member; absent and null are the same.
func (f *fields) take(name string) (any, bool) {
	f.taken[name] = true
	v := f.o.members[name]
	return v, v != nil
}

// done complains about what nobody took.
func (f *fields) done() {
	for _, name := range f.o.names {
		if !f.taken[name] {
			f.wrong(shorten(name), "is not a known field")
		}
	}
	for _, name := range f.o.twice {
		f.wrong(shorten(name), "is given twice")
	}
}

// shorten keeps an answer from growing with what a client invents.
func shorten(s string) string {
	const most = 64
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

// text takes a string that is not empty.
func (f *fields) text(name string) (string, bool) {
	v, ok := f.take(name)
	if !ok {
		return "", false
	}
	s, ok := v.(string)
	switch {
	case !ok:
		f.wrong(name, "must be a string")
	case s == "":
		f.wrong(name, "is empty")
	default:
		return s, true
	}
	return "", false
}

// line takes a string without control characters, of at most so many characters.
func (f *fields) line(name string, most int) (string, bool) {
	s, ok := f.text(name)
	if !ok {
		return "", false
	}
	if err := checkLine(s, most); err != "" {
		f.wrong(name, "%s", err)
		return "", false
	}
	return s, true
}

func checkLine(s string, most int) string {
	if utf8.RuneCountInString(s) > most {
		return fmt.Sprintf("is longer than %d characters", most)
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return fmt.Sprintf("contains the control character %U", r)
	}
	return ""
}

func (f *fields) boolean(name string, otherwise bool) bool {
	v, ok := f.take(name)
	if !ok {
		return otherwise
	}
	b, ok := v.(bool)
	if !ok {
		f.wrong(name, "must be true or false")
	}
	return b
}

func (f *fields) integer(name string, least, most, otherwise int) int {
	v, ok := f.take(name)
	if !ok {
		return otherwise
	}
	if n, ok := v.(json.Number); ok {
		if x, err := n.Float64(); err == nil && x == math.Trunc(x) && x >= float64(least) && x <= float64(most) {
			return int(x)
		}
	}
	f.wrong(name, "must be a whole number from %d to %d", least, most)
	return otherwise
}

func (f *fields) oneOf(name string, allowed ...string) string {
	s, ok := f.text(name)
	if !ok {
		return ""
	}
	for _, a := range allowed {
		if s == a {
			return s
		}
	}
	f.wrong(name, "must be one of %s", strings.Join(allowed, ", "))
	return ""
}

func (f *fields) instant(name string) time.Time {
	s, ok := f.text(name)
	if !ok {
		return time.Time{}
	}
	t, err := parseTime(s)
	if err != nil {
		f.wrong(name, "%s", err)
	}
	return t
}

// parseTime reads RFC 3339. Years are bounded so that a time survives being
// kept as milliseconds and written as JSON.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("must be a time such as 2026-11-30T08:00:00Z (RFC 3339, with its offset)")
	}
	if y := t.UTC().Year(); y < 1970 || y > 9998 {
		return time.Time{}, fmt.Errorf("must be a time from 1970 to 9998")
	}
	return t, nil
}

func (f *fields) base64(name string) []byte {
	s, ok := f.text(name)
	if !ok {
		return nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		f.wrong(name, "must be base64 (RFC 4648, with padding)")
		return nil
	}
	return b
}

func (f *fields) httpURL(name string) string {
	s, ok := f.line(name, 2048)
	if !ok {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" {
		f.wrong(name, "must be an http or https URL with a host and without a fragment")
		return ""
	}
	return s
}

// The limits of metadata.
const (
	maxMetadata      = 50
	maxMetadataName  = 64
	maxMetadataValue = 500
)

func (f *fields) metadata(name string) map[string]string {
	v, ok := f.take(name)
	if !ok {
		return nil
	}
	o, ok := v.(*object)
	if !ok {
		f.wrong(name, "must be an object of strings")
		return nil
	}
	if len(o.names) > maxMetadata {
		f.wrong(name, "has %d members; at most %d are allowed", len(o.names), maxMetadata)
		return nil
	}
	m := make(map[string]string, len(o.names))
	for _, key := range o.names {
		field := name + "." + shorten(key)
		s, ok := o.members[key].(string)
		if key == "" {
			f.wrong(name, "has a member without a name")
		} else if err := checkLine(key, maxMetadataName); err != "" {
			f.wrong(field, "has a name that %s", err)
		} else if !ok {
			f.wrong(field, "must be a string")
		} else if n := utf8.RuneCountInString(s); n > maxMetadataValue {
			f.wrong(field, "is longer than %d characters", maxMetadataValue)
		}
		m[key] = s
	}
	for _, key := range o.twice {
		f.wrong(name+"."+shorten(key), "is given twice")
	}
	return m
}

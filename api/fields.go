//lint:file-ignore U1000 Handlers that are not yet on the generated interface read their input with this.

package api

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
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

// words reads a list of strings.
func (f *fields) words(name string) []string {
	v, ok := f.take(name)
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) > 1000 {
		f.wrong(name, "must be an array of at most 1000 strings")
		return nil
	}
	words := make([]string, 0, len(list))
	for i, v := range list {
		word, ok := v.(string)
		if !ok {
			f.wrong(fmt.Sprintf("%s[%d]", name, i), "must be a string")
			continue
		}
		words = append(words, word)
	}
	return words
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

func (f *fields) hex(name string) []byte {
	s, ok := f.text(name)
	if !ok {
		return nil
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		f.wrong(name, "must be hex digits, two for each octet")
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

// readJSON reads a request's body, which must be one JSON value in UTF-8, into
// objects that know the order of their members.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64) (any, error) {
	body, err := readBody(w, r, limit, []string{"application/json"})
	if err != nil {
		return nil, err
	}
	v, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	return ordered(body, v), nil
}

package hooks

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// functions are what templates may call. All take any value, so that what a
// request does not have is an empty text and no error: an alert must not get
// lost for want of an annotation. The value comes last, for pipes.
func (x *run) functions() template.FuncMap {
	m := template.FuncMap{}
	for name, f := range map[string]func(args []any) (any, error){
		"upper":     x.one(strings.ToUpper),
		"lower":     x.one(strings.ToLower),
		"trim":      x.one(strings.TrimSpace),
		"line":      x.one(oneLine),
		"print":     x.print(""),
		"println":   x.print("\n"),
		"printf":    x.printf,
		"json":      x.json,
		"default":   x.otherwise,
		"truncate":  x.truncate,
		"join":      x.join,
		"split":     x.split,
		"replace":   x.replace,
		"first":     x.first,
		"last":      x.last,
		"date":      x.date,
		"contains":  x.two(strings.Contains),
		"hasPrefix": x.two(strings.HasPrefix),
		"hasSuffix": x.two(strings.HasSuffix),
		"query":     x.query,
		"header":    x.header,
		"body":      x.body,
		"eq":        x.equal(true),
		"ne":        x.equal(false),
		"lt":        x.order(func(c int) bool { return c < 0 }),
		"le":        x.order(func(c int) bool { return c <= 0 }),
		"gt":        x.order(func(c int) bool { return c > 0 }),
		"ge":        x.order(func(c int) bool { return c >= 0 }),
	} {
		m[name] = func(args ...any) (any, error) {
			if err := x.step(1); err != nil {
				return nil, err
			}
			v, err := f(args)
			if s, ok := v.(string); ok && len(s) > maxValue {
				return nil, fmt.Errorf("makes more than %d bytes", maxValue)
			}
			return v, err
		}
	}
	return m
}

// hidden are the functions that are put into a template, and that it can't call
// by itself.
func (x *run) hidden() template.FuncMap {
	return template.FuncMap{
		"_step": func(n int) (string, error) { return "", x.step(n) },
		"_out":  x.text,
		"_over": x.over,
	}
}

// over is what a range goes through. A map is sorted for it, however soon the
// range ends.
func (x *run) over(v any) (any, error) {
	if m, ok := v.(map[string]any); ok {
		return v, x.step(len(m))
	}
	return v, nil
}

// weigh pays for looking at the whole of a value.
func (x *run) weigh(v any) error {
	n := 1
	switch v := v.(type) {
	case string:
		n += len(v) / 64
	case []any:
		for _, e := range v {
			if err := x.weigh(e); err != nil {
				return err
			}
		}
	case map[string]any:
		n += len(v) // they are sorted
		for _, e := range v {
			if err := x.weigh(e); err != nil {
				return err
			}
		}
	}
	return x.step(n)
}

// text is how a value is printed.
func (x *run) text(v any) (string, error) {
	if err := x.weigh(v); err != nil {
		return "", err
	}
	return plainText(v), nil
}

func plainText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = plainText(v[i])
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		b, _ := json.Marshal(v) // plain values can be
		return string(b)
	}
	return fmt.Sprint(v)
}

func (x *run) texts(args []any) ([]string, error) {
	all := make([]string, len(args))
	for i, v := range args {
		var err error
		if all[i], err = x.text(v); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (x *run) exactly(n int, args []any) ([]string, error) {
	if len(args) != n {
		return nil, fmt.Errorf("takes %d values, not %d", n, len(args))
	}
	return x.texts(args)
}

func (x *run) one(f func(string) string) func([]any) (any, error) {
	return func(args []any) (any, error) {
		s, err := x.exactly(1, args)
		if err != nil {
			return nil, err
		}
		return f(s[0]), nil
	}
}

// two are functions such as contains: the part first, the whole last.
func (x *run) two(f func(whole, part string) bool) func([]any) (any, error) {
	return func(args []any) (any, error) {
		s, err := x.exactly(2, args)
		if err != nil {
			return nil, err
		}
		return f(s[1], s[0]), nil
	}
}

func (x *run) print(end string) func([]any) (any, error) {
	return func(args []any) (any, error) {
		s, err := x.texts(args)
		if err != nil {
			return nil, err
		}
		between := ""
		if end != "" {
			between = " "
		}
		return strings.Join(s, between) + end, nil
	}
}

// wideVerb finds verbs that would make much of little, such as %100000d.
var wideVerb = regexp.MustCompile(`%[^a-zA-Z%]*(?:\*|[0-9]{4,})`)

func (x *run) printf(args []any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("takes a format")
	}
	format, err := x.text(args[0])
	if err != nil {
		return nil, err
	}
	if wideVerb.MatchString(format) {
		return nil, errors.New("takes widths and precisions up to 999")
	}
	rest := append([]any{}, args[1:]...)
	for i, v := range rest {
		switch v.(type) {
		case nil, []any, map[string]any:
			if rest[i], err = x.text(v); err != nil {
				return nil, err
			}
		default:
			if err := x.weigh(v); err != nil {
				return nil, err
			}
		}
	}
	return fmt.Sprintf(format, rest...), nil
}

func (x *run) json(args []any) (any, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("takes 1 value, not %d", len(args))
	}
	if err := x.weigh(args[0]); err != nil {
		return nil, err
	}
	b, err := json.Marshal(args[0])
	return string(b), err
}

// otherwise is default: the second value unless it is empty.
func (x *run) otherwise(args []any) (any, error) {
	switch {
	case len(args) == 1: // there is none
		return args[0], nil
	case len(args) != 2:
		return nil, fmt.Errorf("takes 2 values, not %d", len(args))
	}
	if truth, _ := template.IsTrue(args[1]); !truth {
		return args[0], nil
	}
	return args[1], nil
}

func (x *run) truncate(args []any) (any, error) {
	s, err := x.exactly(2, args)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(s[0])
	if err != nil || n < 0 {
		return nil, errors.New("takes the most characters first, then the text")
	}
	return shorten(s[1], n), nil
}

// list is a value as a list: one that is none has one element, nil has none.
func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

func (x *run) join(args []any) (any, error) {
	if len(args) != 2 {
		return nil, errors.New("takes what stands between first, then a list")
	}
	between, err := x.text(args[0])
	if err != nil {
		return nil, err
	}
	s, err := x.texts(list(args[1]))
	if err != nil {
		return nil, err
	}
	size := len(between) * len(s)
	for _, one := range s {
		size += len(one)
	}
	if size > maxOutput*2 { // it is not even made
		return nil, fmt.Errorf("makes more than %d bytes", maxValue)
	}
	return strings.Join(s, between), nil
}

func (x *run) split(args []any) (any, error) {
	s, err := x.exactly(2, args)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(s[1], s[0])
	all := make([]any, len(parts))
	for i, p := range parts {
		all[i] = p
	}
	return all, x.step(len(parts))
}

func (x *run) replace(args []any) (any, error) {
	s, err := x.exactly(3, args)
	if err != nil {
		return nil, err
	}
	if size := len(s[2]) + strings.Count(s[2], s[0])*len(s[1]); size > 2*maxValue {
		return nil, fmt.Errorf("makes more than %d bytes", maxValue)
	}
	return strings.ReplaceAll(s[2], s[0], s[1]), nil
}

func (x *run) first(args []any) (any, error) {
	if len(args) != 1 {
		return nil, errors.New("takes a list")
	}
	if l := list(args[0]); len(l) > 0 {
		return l[0], nil
	}
	return nil, nil
}

func (x *run) last(args []any) (any, error) {
	if len(args) != 1 {
		return nil, errors.New("takes a list")
	}
	if l := list(args[0]); len(l) > 0 {
		return l[len(l)-1], nil
	}
	return nil, nil
}

// date writes a time as Go does: date "15:04" .startsAt. What is no time stays
// as it is.
func (x *run) date(args []any) (any, error) {
	s, err := x.exactly(2, args)
	if err != nil {
		return nil, err
	}
	if t, ok := parseTime(s[1]); ok {
		return t.In(x.zone).Format(s[0]), nil
	}
	return s[1], nil
}

// parseTime reads a time as programs write it: RFC 3339, or seconds or
// milliseconds since 1970.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil || math.IsNaN(n) || n < 1e8 || n > 1e14:
		return time.Time{}, false
	case n > 1e11:
		n /= 1000
	}
	return time.UnixMilli(int64(n * 1000)), true
}

func (x *run) query(args []any) (any, error) {
	s, err := x.exactly(1, args)
	if err != nil {
		return nil, err
	}
	return cut(x.request.Query.Get(s[0])), nil
}

func (x *run) header(args []any) (any, error) {
	s, err := x.exactly(1, args)
	if err != nil {
		return nil, err
	}
	return cut(x.request.Header.Get(s[0])), nil
}

// body is the request's body as it came.
func (x *run) body(args []any) (any, error) {
	if len(args) != 0 {
		return nil, errors.New("takes nothing")
	}
	return cut(string(x.request.Body)), nil
}

// equal is eq and ne. Numbers are equal to numbers of another kind; with several
// values, eq is true if the first is equal to one of the others.
func (x *run) equal(want bool) func([]any) (any, error) {
	return func(args []any) (any, error) {
		if len(args) < 2 {
			return nil, errors.New("takes 2 values")
		}
		for _, other := range args[1:] {
			if err := x.step(1); err != nil {
				return nil, err
			}
			if c, ok := compare(args[0], other); ok && c == 0 {
				return want, nil
			}
		}
		return !want, nil
	}
}

func (x *run) order(is func(int) bool) func([]any) (any, error) {
	return func(args []any) (any, error) {
		if len(args) != 2 {
			return nil, errors.New("takes 2 values")
		}
		c, ok := compare(args[0], args[1])
		return ok && is(c), nil
	}
}

// compare orders two values; ok is false for what has no order.
func compare(a, b any) (c int, ok bool) {
	if x, isNumber := float(a); isNumber {
		y, isNumber := float(b)
		return cmp.Compare(x, y), isNumber
	}
	switch a := a.(type) {
	case string:
		b, isString := b.(string)
		return strings.Compare(a, b), isString
	case bool:
		b, isBool := b.(bool)
		if a == b {
			return 0, isBool
		}
		return 1, isBool
	case nil:
		if s, isString := b.(string); b == nil || isString && s == "" {
			return 0, true
		}
	}
	return 0, false
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxMessageBody is the largest body that is read, where the document names no
// other (x-max-bytes).
const maxMessageBody = 64 << 10

// Parsed JSON takes far more memory than its bytes, so its shape has limits too.
const (
	maxDepth  = 16      // levels; messages need four
	maxValues = 100_000 // a full batch with all the metadata that is allowed has fewer
)

// object is a JSON object with its members in order, also those that are given
// twice: what an answer about mistakes needs.
type object struct {
	names   []string
	places  map[string]int // in names
	members map[string]any // nil, bool, json.Number, string, []any, *object
	twice   []string
}

// placeOf is where a member stands, -1: there is none.
func (o *object) placeOf(name string) int {
	if i, ok := o.places[name]; ok {
		return i
	}
	return -1
}

// readBody reads the bytes of a body that is declared as JSON, in one of the
// content types that are known for it.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, media []string) ([]byte, error) {
	if err := checkMediaType(r.Header.Values("Content-Type"), media); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		if tooMany := (*http.MaxBytesError)(nil); errors.As(err, &tooMany) {
			return nil, tooLarge.because("The body is larger than %d bytes.", limit)
		}
		p := badRequest.because("The body ended before its announced length, or too slowly.")
		p.cause = err
		return nil, p
	}
	return body, nil
}

// withCurl is for whoever tries the API out: curl declares a form unless it is told.
const withCurl = "With curl, add -H 'Content-Type: application/json'."

func checkMediaType(values, allowed []string) error {
	if len(values) != 1 {
		return wrongMediaType.because("Exactly one Content-Type is needed: application/json. " + withCurl)
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil || !slices.Contains(allowed, media) {
		return wrongMediaType.because("The content type is not application/json. " + withCurl)
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return wrongMediaType.because("JSON is UTF-8; the content type says another charset.")
	}
	return nil
}

// value is JSON as it was parsed.
type value struct {
	any        // nil, bool, json.Number, string, []any, map[string]any
	twice bool // an object has a member twice; the first one counts
}

// parseJSON parses one JSON value; what is not exactly that is a notJSON.
// encoding/json would take the last of two equal names and replace what is no
// character; an API that is strict must see them.
func parseJSON(body []byte) (value, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return value{}, notJSON.because("The body is empty.")
	}
	if !utf8.Valid(body) {
		return value{}, notJSON.because("The body is not UTF-8.")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		at := ""
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			at = fmt.Sprintf(", at byte %d", syntax.Offset)
		}
		return value{}, notJSON.because("%s%s.", capital(err.Error()), at)
	}
	if at := loneSurrogate(body); at >= 0 {
		return value{}, notJSON.because(`The \u escape at byte %d is half of a character; write both halves or the character itself.`, at+1)
	}
	p := parser{b: body, left: maxValues}
	v, err := p.value(0)
	return value{v, p.twice}, err
}

// ordered parses once more what parseJSON has parsed: slower, and nothing is lost.
func ordered(body []byte, v value) any {
	p := parser{b: body, left: maxValues, ordered: true}
	again, err := p.value(0)
	if err != nil { // it was parsed before
		return v.any
	}
	return again
}

// parser makes values of JSON that is known to be valid.
type parser struct {
	b       []byte
	i       int
	left    int // values that may still come
	ordered bool
	twice   bool
}

// next is the next byte that is no space; it is not passed.
func (p *parser) next() byte {
	for p.i < len(p.b) {
		switch c := p.b[p.i]; c {
		case ' ', '\t', '\r', '\n':
			p.i++
		default:
			return c
		}
	}
	return 0
}

func (p *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, notJSON.because("The JSON is nested deeper than %d levels.", maxDepth)
	}
	if p.left--; p.left < 0 {
		return nil, tooLarge.because("The JSON has more than %d values.", maxValues)
	}
	switch c := p.next(); c {
	case '{':
		return p.object(depth)
	case '[':
		list := []any{}
		for p.i++; p.next() != ']'; {
			v, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
			if p.next() == ',' {
				p.i++
			}
		}
		p.i++
		return list, nil
	case '"':
		return p.text()
	case 't':
		p.i += len("true")
		return true, nil
	case 'f':
		p.i += len("false")
		return false, nil
	case 'n':
		p.i += len("null")
		return nil, nil
	}
	start := p.i
	for p.i < len(p.b) && strings.IndexByte("+-.0123456789Ee", p.b[p.i]) >= 0 {
		p.i++
	}
	return json.Number(p.b[start:p.i]), nil
}

func (p *parser) object(depth int) (any, error) {
	o := object{members: map[string]any{}}
	if p.ordered {
		o.places = map[string]int{}
	}
	for p.i++; p.next() != '}'; {
		name, err := p.text()
		if err != nil {
			return nil, err
		}
		p.next()
		p.i++ // the colon
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		_, again := o.members[name]
		switch {
		case !again:
			o.members[name] = v
			if p.ordered {
				o.places[name] = len(o.names)
				o.names = append(o.names, name)
			}
		default:
			p.twice = true
			o.twice = append(o.twice, name)
		}
		if p.next() == ',' {
			p.i++
		}
	}
	p.i++
	if p.ordered {
		return &o, nil
	}
	return o.members, nil
}

// text reads a string, from its quote to the other.
func (p *parser) text() (string, error) {
	start, escaped := p.i, false
	for p.i++; p.b[p.i] != '"'; p.i++ {
		if p.b[p.i] == '\\' {
			escaped = true
			p.i++
		}
	}
	p.i++
	if !escaped {
		return string(p.b[start+1 : p.i-1]), nil
	}
	var s string
	err := json.Unmarshal(p.b[start:p.i], &s)
	return s, err
}

// loneSurrogate finds a \u escape that is one half of a character beyond
// U+FFFF, in valid JSON; -1: none. encoding/json would quietly turn it into
// another character.
func loneSurrogate(body []byte) int {
	for i := 0; i+1 < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		i++
		if body[i] != 'u' {
			continue
		}
		switch r := escaped(body[i+1:]); {
		case r >= 0xDC00 && r < 0xE000:
			return i - 1
		case r >= 0xD800 && r < 0xDC00:
			rest := body[i+5:]
			if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' {
				return i - 1
			}
			if low := escaped(rest[2:]); low < 0xDC00 || low >= 0xE000 {
				return i - 1
			}
			i += 6
		}
		i += 4
	}
	return -1
}

func escaped(b []byte) uint64 {
	if len(b) < 4 {
		return 0
	}
	r, _ := strconv.ParseUint(string(b[:4]), 16, 32)
	return r
}

// canonical writes a parsed value so that two bodies that are the same JSON
// give the same bytes: sorted names, one form of every number.
func canonical(v any) []byte {
	b, err := json.Marshal(plain(v))
	if err != nil { // nothing in it can fail
		panic("canonical JSON: " + err.Error())
	}
	return b
}

func plain(v any) any {
	switch v := v.(type) {
	case value:
		return plain(v.any)
	case *object:
		return plain(v.members)
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, member := range v {
			m[name] = plain(member)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plain(v[i])
		}
		return list
	case json.Number:
		// 4, 4.0 and 4e0 are one number. What no float holds stays as written.
		if f, err := v.Float64(); err == nil {
			return f
		}
		return "number " + v.String()
	}
	return v
}

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The largest bodies that are read.
const (
	maxMessageBody = 64 << 10
	maxBatchBody   = 4 << 20
)

// Parsed JSON takes far more memory than its bytes, so its shape has limits too.
const (
	maxDepth  = 16      // levels; messages need four
	maxValues = 100_000 // a full batch with all the metadata that is allowed has fewer
)

// object is a JSON object with its members in order. encoding/json would take
// the last of two equal names, ignore letter case and stop at the first
// mistake; an API that is strict must see them all.
type object struct {
	names   []string
	members map[string]any // nil, bool, json.Number, string, []any, *object
	twice   []string
}

// readJSON reads a request's body, which must be one JSON value in UTF-8.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64) (any, error) {
	if err := checkMediaType(r.Header.Values("Content-Type")); err != nil {
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
	return parseJSON(body)
}

func checkMediaType(values []string) error {
	if len(values) != 1 {
		return wrongMediaType.because("Exactly one Content-Type is needed: application/json.")
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil || media != "application/json" {
		return wrongMediaType.because("The content type is not application/json.")
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return wrongMediaType.because("JSON is UTF-8; the content type says another charset.")
	}
	return nil
}

// parseJSON parses one JSON value; what is not exactly that is a notJSON.
func parseJSON(body []byte) (any, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, notJSON.because("The body is empty.")
	}
	if !utf8.Valid(body) {
		return nil, notJSON.because("The body is not UTF-8.")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		at := ""
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			at = fmt.Sprintf(", at byte %d", syntax.Offset)
		}
		return nil, notJSON.because("%s%s.", capital(err.Error()), at)
	}
	if at := loneSurrogate(body); at >= 0 {
		return nil, notJSON.because(`The \u escape at byte %d is half of a character; write both halves or the character itself.`, at+1)
	}
	p := parser{Decoder: json.NewDecoder(bytes.NewReader(body)), left: maxValues}
	p.UseNumber()
	return p.value(0)
}

type parser struct {
	*json.Decoder
	left int // values that may still come
}

func (d *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, notJSON.because("The JSON is nested deeper than %d levels.", maxDepth)
	}
	if d.left--; d.left < 0 {
		return nil, tooLarge.because("The JSON has more than %d values.", maxValues)
	}
	token, err := d.Token()
	if err != nil {
		return nil, notJSON.because("%s.", capital(err.Error()))
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := d.value(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	case json.Delim('{'):
		o := &object{members: map[string]any{}}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, notJSON.because("%s.", capital(err.Error()))
			}
			v, err := d.value(depth + 1)
			if err != nil {
				return nil, err
			}
			o.add(name.(string), v)
		}
		_, err := d.Token()
		return o, err
	}
	return token, nil
}

func (o *object) add(name string, v any) {
	if _, ok := o.members[name]; ok {
		o.twice = append(o.twice, name)
		return
	}
	o.names = append(o.names, name)
	o.members[name] = v
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
	case *object:
		m := make(map[string]any, len(v.members))
		for name, member := range v.members {
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

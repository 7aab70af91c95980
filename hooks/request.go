package hooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"gatewayd/sms"
)

// Request is what somebody sends to a hook.
type Request = sms.HookRequest

// The limits of what is read of a body. Parsed, it takes far more memory than
// its bytes.
const (
	maxDepth  = 32
	maxValues = 50_000
	maxName   = 1 << 10 // bytes of a member's name
	maxFields = 1000    // of a form
)

// decode reads a request's body into plain values: nil, bool, int64, float64,
// string, []any and map[string]any. Without a body it is the query. Senders
// often declare the wrong content type, or none: JSON is also known by its looks.
func decode(r *Request) (any, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		media = ""
	}
	body := bytes.TrimSpace(r.Body)
	looksJSON := len(body) > 0 && (body[0] == '{' || body[0] == '[')
	switch {
	case len(body) == 0:
		return fields(r.Query), nil
	case media == "multipart/form-data":
		return multipartFields(r.Body, params["boundary"])
	case media == "application/json" || strings.HasSuffix(media, "+json"):
		return parseJSON(body)
	case looksJSON:
		if v, err := parseJSON(body); err == nil {
			return v, nil
		}
	}
	if media == "application/x-www-form-urlencoded" {
		if form, ok := formFields(body); ok {
			return form, nil
		}
	}
	return cut(strings.ToValidUTF8(string(body), "�")), nil
}

// formFields reads a form. curl -d declares whatever it sends as one: what is
// not a list of names and values is none.
func formFields(body []byte) (any, bool) {
	if bytes.Count(body, []byte("&")) >= maxFields {
		return nil, false
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || !bytes.ContainsRune(body, '=') {
		return nil, false
	}
	for name := range form {
		if strings.ContainsAny(name, " \r\n") || name == "" || len(name) > maxName {
			return nil, false
		}
	}
	return fields(form), true
}

// fields are a form's as plain values; what is given several times is a list.
func fields(form url.Values) map[string]any {
	m := make(map[string]any, len(form))
	for name, values := range form {
		if len(values) == 1 {
			m[name] = cut(strings.ToValidUTF8(values[0], "�"))
			continue
		}
		all := make([]any, len(values))
		for i, v := range values {
			all[i] = cut(strings.ToValidUTF8(v, "�"))
		}
		m[name] = all
	}
	return m
}

func multipartFields(body []byte, boundary string) (any, error) {
	if boundary == "" {
		return nil, errors.New("the content type multipart/form-data has no boundary")
	}
	form := url.Values{}
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return fields(form), nil
		}
		if err != nil {
			return nil, fmt.Errorf("the multipart form can't be read: %w", err)
		}
		if n >= maxFields {
			return nil, fmt.Errorf("the form has more than %d fields", maxFields)
		}
		name := part.FormName()
		if name == "" || len(name) > maxName || part.FileName() != "" {
			continue // a file is no text
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, fmt.Errorf("the multipart form can't be read: %w", err)
		}
		form.Add(name, string(value))
	}
}

// parseJSON reads one JSON value. A member that is null is one that is missing.
func parseJSON(body []byte) (any, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the JSON is not UTF-8")
	}
	d := jsonReader{Decoder: json.NewDecoder(bytes.NewReader(body)), left: maxValues}
	d.UseNumber()
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind the JSON value")
	}
	return v, nil
}

type jsonReader struct {
	*json.Decoder
	left int
}

func (d *jsonReader) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("the JSON is nested deeper than %d levels", maxDepth)
	}
	if d.left--; d.left < 0 {
		return nil, fmt.Errorf("the JSON has more than %d values", maxValues)
	}
	token, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("the JSON can't be read: %w", err)
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			return d.list(depth)
		}
		return d.object(depth)
	case json.Number:
		return plainNumber(token), nil
	case string:
		return cut(token), nil
	}
	return token, nil
}

func (d *jsonReader) list(depth int) (any, error) {
	all := []any{}
	for d.More() {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	_, err := d.Token()
	return all, err
}

func (d *jsonReader) object(depth int) (any, error) {
	m := map[string]any{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("the JSON can't be read: %w", err)
		}
		name, _ := token.(string)
		if len(name) > maxName {
			return nil, fmt.Errorf("the JSON has a name of more than %d bytes", maxName)
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if v != nil {
			m[name] = v
		}
	}
	_, err := d.Token()
	return m, err
}

// plainNumber is a whole number where it is one, else a float; one that is
// neither stays as it was written.
func plainNumber(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i
	}
	f, err := n.Float64()
	switch {
	case err != nil:
		return n.String()
	case f == float64(int64(f)) && f > -1<<53 && f < 1<<53:
		return int64(f)
	}
	return f
}

// cut leaves of a value what a text could ever need.
func cut(s string) string {
	if len(s) <= maxValue {
		return s
	}
	n := maxValue
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// get follows names into a value; nil: there is nothing.
func get(v any, names ...string) any {
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// str is the text at the end of names, "" if there is none.
func str(v any, names ...string) string {
	switch v := get(v, names...).(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

// firstOf is the first of several texts that says something.
func firstOf(texts ...string) string {
	for _, s := range texts {
		if strings.TrimSpace(s) != "" {
			return s
		}
	}
	return ""
}

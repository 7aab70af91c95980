package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is an answer by which the gateway refuses: problem+json (RFC 9457).
type Error struct {
	Type   string // stable, for programs, such as "/problems/queue-full"; "" if the answer is not the gateway's
	Status int    // of HTTP
	Title  string
	Detail string
	Fields []FieldError // every field that is wrong
	// RetryAfter is how long to wait before the same request may do better; 0:
	// nothing was said.
	RetryAfter time.Duration
}

// FieldError says what is wrong with one field. Its detail reads on from the
// field's name.
type FieldError struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// Error is all of it in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Title)
	if len(e.Fields) > 0 { // they say what the detail says, one by one
		for i, f := range e.Fields {
			fmt.Fprintf(&b, "%s %s %s", [2]string{":", ";"}[min(i, 1)], f.Field, f.Detail)
		}
		return b.String()
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	return b.String()
}

// errorOf reads an answer that is no success.
func errorOf(res *http.Response, body []byte) *Error {
	e := &Error{Status: res.StatusCode, RetryAfter: waitOf(res.Header, time.Now())}
	var p struct {
		Type, Title, Detail string
		Errors              []FieldError
	}
	if json.Unmarshal(body, &p) != nil || p.Title == "" {
		e.Title = fmt.Sprintf("%s answered %s", res.Request.URL.Host, res.Status)
		return e
	}
	e.Type, e.Title, e.Detail, e.Fields = p.Type, p.Title, p.Detail, p.Errors
	return e
}

// waitOf reads Retry-After: seconds, or a date, which proxies send.
func waitOf(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n > 0 && n < 1<<30 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

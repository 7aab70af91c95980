// Package door is what every door for people without a key has in common: how a request
// is told from another page's, what is counted together, how answers and refusals look.
// What may be asked behind a door is the affair of whoever opens it.
package door

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"gatewayd/auth"
)

// Handler answers a request, or says in an error why it does not.
type Handler func(http.ResponseWriter, *http.Request) error

// Refusal is an answer that is no success. Its code is what pages have words for.
type Refusal struct {
	Status int
	Code   string
	Detail string
	Retry  time.Duration // after which asking again may help; 0: nothing is said of it
}

func (r *Refusal) Error() string { return r.Code + ": " + r.Detail }

// Refuse makes one.
func Refuse(status int, code, format string, args ...any) *Refusal {
	return &Refusal{Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Later makes one that says after which time asking again may help.
func Later(status int, code, detail string, retry time.Duration) *Refusal {
	return &Refusal{status, code, detail, retry}
}

// Door wraps handlers.
type Door struct {
	Headers   map[string]string    // of every answer; a handler sets anew what it has to say otherwise
	RefusalOf func(error) *Refusal // what an error of a handler is to who asked
	Broken    string               // the detail of an answer to a request that panicked
	Count     func(route, method string, status int, took time.Duration)
	Log       *slog.Logger
}

// Headers are those that a page needs which nobody frames and which loads nothing.
func Headers() map[string]string {
	return map[string]string{
		"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Cache-Control":                "no-store",
	}
}

// Around is what happens with every request: headers, errors, counting.
func (d *Door) Around(route string, next Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		to := &counted{ResponseWriter: w}
		for name, value := range d.Headers {
			to.Header().Set(name, value)
		}
		if err := d.recovered(next, to, r); err != nil {
			d.fail(to, r, route, err)
		}
		d.Count(route, r.Method, to.status, time.Since(begin))
		d.Log.Debug("request", "method", r.Method, "route", route, "status", to.status, "took", time.Since(begin))
	}
}

func (d *Door) recovered(next Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		p := recover()
		if p == http.ErrAbortHandler {
			panic(p)
		}
		if p != nil {
			d.Log.Error("a handler panicked", "panic", p, "stack", string(debug.Stack()))
			err = Refuse(http.StatusInternalServerError, "internal", "%s", d.Broken)
		}
	}()
	return next(w, r)
}

// fail answers with an error, as problem+json.
func (d *Door) fail(w *counted, r *http.Request, route string, err error) {
	if w.status != 0 { // the answer has begun: it is cut off
		return
	}
	why := d.RefusalOf(err)
	if why.Status >= 500 && why.Code != "full" && !errors.Is(err, r.Context().Err()) {
		d.Log.Error("request failed", "route", route, "error", err)
	}
	h := w.Header()
	if why.Retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int((why.Retry+time.Second-1)/time.Second)))
	}
	h.Set("Content-Type", "application/problem+json")
	body, _ := json.Marshal(map[string]any{"type": "about:blank", "title": http.StatusText(why.Status), "status": why.Status, "code": why.Code, "detail": why.Detail})
	w.WriteHeader(why.Status)
	_, _ = w.Write(append(body, '\n'))
}

// counted remembers the status of an answer.
type counted struct {
	http.ResponseWriter
	status int
}

func (c *counted) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *counted) Write(b []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	return c.ResponseWriter.Write(b)
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// OwnPage tells whether one of our own pages has made a request. Whatever else a browser
// sends says so itself: no other page's script can write these headers.
func OwnPage(r *http.Request) bool {
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	if site != "" {
		return site == "same-origin"
	}
	return origin == "" || Ours(origin, r)
}

// Ours tells whether an origin is ours, as the request has reached us.
func Ours(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// Read reads the body of a request, which is JSON and nothing else: no form of
// another page can send that.
func Read(r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return Refuse(http.StatusUnsupportedMediaType, "other", "Send “Content-Type: application/json”.")
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return Refuse(http.StatusBadRequest, "other", "The body is not the JSON that it must be.")
	}
	return nil
}

// Answer writes v as JSON.
func Answer(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err = w.Write(append(b, '\n'))
	return err
}

// Limited takes a try of who, or refuses and says how long to wait.
func Limited(a *auth.Attempts, who string) error {
	if wait := a.Take(who); wait > 0 {
		return Later(http.StatusTooManyRequests, "limit", "Too many requests came from there.", wait)
	}
	return nil
}

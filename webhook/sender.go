package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	attemptTimeout = 15 * time.Second
	answerRead     = 4 << 10  // of the body, so that the connection can be used again
	answerGiven    = 64 << 10 // to a format that acts on it
	answerKept     = 256      // for people who look at what went wrong
)

// verdict says what an attempt's end means for its event.
type verdict int

const (
	delivered verdict = iota
	again             // try later and hold the number's later events
	refused           // a further try will hardly help
	never             // a further try will not help
	gone              // the endpoint wants no more
	pointless         // there was nothing to tell
)

// result is how an attempt ended.
type result struct {
	verdict verdict
	status  int    // 0 without an answer
	words   string // what went wrong; holds nothing of the URL's query, the event or the answer
	answer  string // its first bytes, as far as they can be printed
	took    time.Duration
	wait    time.Duration
}

func newClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: transport,
		// What a receiver answers must not make us ask another.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// attempt makes one attempt to tell an event. A fault in it, which would come again
// at each start, is this delivery's trouble alone.
func (e *endpoint) attempt(ctx context.Context, d Delivery, format string) (r result) {
	began := time.Now()
	defer func() {
		if p := recover(); p != nil {
			e.log().Error("telling an event panicked", logDelivery, d.ID, "panic", p, "stack", string(debug.Stack()))
			r = result{verdict: refused, words: "a fault of gatewayd; the log has the details"}
		}
		r.took = time.Since(began)
	}()
	return e.try(ctx, d, format)
}

func (e *endpoint) try(ctx context.Context, d Delivery, format string) result {
	s := e.is()
	if d.URL == "" {
		d.URL = s.URL
	}
	if isMail(d.URL) {
		return e.w.mail(ctx, d)
	}
	if reach := e.reach(); reach != anywhere && !strings.HasPrefix(strings.ToLower(d.URL), "https:") {
		return result{verdict: again, words: fmt.Sprintf("refused: plain http:// shows texts and numbers to the network; %s permits it", permits[reach])}
	}
	var f Format = standard{keys: func() [][]byte { return s.secrets.keys(e.now()) }, now: e.now}
	read := answerRead
	if format != "" {
		if f, read = e.w.o.Formats[format], answerGiven; f == nil {
			return result{verdict: refused, words: fmt.Sprintf("the format %q is not there any more", format)}
		}
	}
	req, err := f.Request(d)
	switch {
	case err != nil:
		return result{verdict: refused, words: err.Error()}
	case req == nil:
		return result{verdict: pointless, words: "there was nothing to tell this receiver"}
	}
	r, header, body := send(ctx, e.w.client[e.reach()], d.URL, s.Headers, req, read, e.now)
	if r.verdict == delivered && format != "" {
		if err := f.Answered(ctx, d, header, body); err != nil {
			r.verdict, r.words = again, "the answer could not be acted on: "+err.Error()
		}
	}
	return r
}

// send makes one attempt and reads so much of the answer.
func send(ctx context.Context, client *http.Client, to string, headers map[string]string, r *Request, read int, now func() time.Time) (result, http.Header, []byte) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(r.Body))
	if err != nil { // it was parsed before
		return result{verdict: again, words: "the request could not be made"}, nil, nil
	}
	req.Header.Set("User-Agent", "gatewayd")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	res, err := client.Do(req)
	if err != nil {
		return result{verdict: again, words: describe(err)}, nil, nil
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, int64(read)))
	out := judge(res.StatusCode, retryAfter(res.Header, now()))
	out.answer = printable(body)
	return out, res.Header, body
}

// printable is the beginning of an answer as one line.
func printable(b []byte) string {
	if len(b) > answerKept {
		b = b[:answerKept]
		for range utf8.UTFMax - 1 { // a character that was cut off
			if r, n := utf8.DecodeLastRune(b); r != utf8.RuneError || n != 1 {
				break
			}
			b = b[:len(b)-1]
		}
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '·'
		}
		return r
	}, string(b)))
}

// judge turns an answer's status into a verdict.
func judge(status int, wait time.Duration) result {
	r := result{status: status, words: fmt.Sprintf("HTTP %d", status)}
	if text := http.StatusText(status); text != "" {
		r.words += " " + text
	}
	switch {
	case status >= 200 && status <= 299:
		return result{verdict: delivered, status: status}
	case status == http.StatusGone:
		r.verdict = gone
		r.words += ": the webhook is disabled until it is enabled, one of its deliveries is retried or its url changes"
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		r.verdict, r.wait = again, wait
	case status >= 300 && status <= 399:
		r.verdict = refused
		r.words += ": redirects are not followed; set the address that it leads to"
	default:
		r.verdict = refused
	}
	return r
}

// describe words a failed attempt without the URL, whose query may be a secret.
func describe(err error) string {
	var ue *url.Error
	if errors.As(err, &ue) {
		if ue.Timeout() {
			return fmt.Sprintf("no answer within %s", attemptTimeout)
		}
		err = ue.Err
	}
	const most = 300
	words := []rune(err.Error())
	if len(words) > most {
		words = append(words[:most], '…')
	}
	return string(words)
}

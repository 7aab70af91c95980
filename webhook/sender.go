package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	attemptTimeout = 15 * time.Second
	answerRead     = 4 << 10 // of the body, so that the connection can be used again
)

// verdict says what an attempt's end means for its event.
type verdict int

const (
	delivered verdict = iota
	again             // try later and hold the number's later events
	refused           // a further try will hardly help
	gone              // the endpoint wants no more
)

// result is how an attempt ended.
type result struct {
	verdict verdict
	status  int    // 0 without an answer
	words   string // what went wrong; holds nothing of the URL's query, the event or the answer
	wait    time.Duration
}

// sender posts to one endpoint.
type sender struct {
	url    string
	keys   [][]byte
	client *http.Client
	now    func() time.Time
}

func newSender(c Endpoint, keys [][]byte, transport http.RoundTripper, now func() time.Time) *sender {
	if transport == nil {
		transport = newTransport(c.AllowPrivate, now)
	}
	return &sender{url: c.URL, keys: keys, now: now, client: &http.Client{
		Transport: transport,
		// What a receiver answers must not make us ask another.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// post makes one attempt.
func (s *sender) post(ctx context.Context, id string, body []byte) result {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil { // newEndpoint has parsed the URL before
		return result{verdict: again, words: "the request could not be made"}
	}
	at := s.now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "gatewayd")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	req.Header.Set("Webhook-Signature", sign(s.keys, id, at, body))
	res, err := s.client.Do(req)
	if err != nil {
		return result{verdict: again, words: describe(err)}
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, answerRead)
	return judge(res.StatusCode, retryAfter(res.Header, at))
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
		r.words += ": the webhook is disabled until one of its deliveries is retried or its url changes"
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

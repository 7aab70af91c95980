// Package client talks to gatewayd's HTTP API.
//
//	c, err := client.New("http://127.0.0.1:8080", os.Getenv("GATEWAYD_KEY"))
//	m, err := c.Send(ctx, client.NewMessage{To: "+491701234567", Text: new("Your parcel is here.")})
//	m, err = c.Wait(ctx, m.ID, client.Final)
//
// What is safe to repeat is repeated by itself: a call whose answer got lost,
// and one that was answered 429 or 503, after as long as Retry-After says.
// Messages go out with an Idempotency-Key, so repeating sends nothing twice.
// What the gateway refuses is an *Error, with every wrong field in it.
//
// [Client.Events] follows the gateway's event log, over broken connections and
// restarts; [VerifyWebhook] is for programs that receive webhooks instead.
// For operations that have no method here there is [Client.REST].
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatewayd/client/rest"
)

const (
	// maxAnswer is the most that is read of an answer: a page of 500 long
	// messages is far below.
	maxAnswer = 32 << 20
	// firstWait and longestWait frame the waits between attempts when the
	// gateway does not say how long to wait.
	firstWait   = 500 * time.Millisecond
	longestWait = 30 * time.Second
)

// Client makes calls with one API key. It is safe for concurrent use.
type Client struct {
	url      string
	http     *http.Client
	patience time.Duration
	timeout  time.Duration
	notice   func(err error, wait time.Duration)
	sign     rest.RequestEditorFn // shows the key
	rest     *rest.ClientWithResponses
}

// Option changes how a Client works.
type Option func(*Client)

// WithHTTPClient makes calls through h, which may know a CA of your own or a
// proxy. Without it no redirect is followed: the key is for one server.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithPatience sets for how long a call is repeated that got no answer, or 429
// or 503; two minutes without it. 0: it is not repeated.
func WithPatience(d time.Duration) Option { return func(c *Client) { c.patience = d } }

// WithTimeout sets how long one attempt of a call may take; 30 seconds without
// it. Event streams have no such limit.
func WithTimeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// WithNotice has f called before each wait: with what happened, and how long
// the wait is. f may be called by several goroutines at once.
func WithNotice(f func(err error, wait time.Duration)) Option {
	return func(c *Client) { c.notice = f }
}

// New returns a client of the gateway at address, such as
// "http://127.0.0.1:8080", which shows the API key with every call. It connects
// to nothing yet.
func New(address, key string, options ...Option) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the gateway's address %q is no http or https URL", address)
	}
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the API key is empty or has characters that no key has")
	}
	c := &Client{
		url:      strings.TrimSuffix(address, "/"),
		patience: 2 * time.Minute,
		timeout:  30 * time.Second,
		notice:   func(error, time.Duration) {},
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
	}
	for _, o := range options {
		o(c)
	}
	c.sign = func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("User-Agent", "gatewayd-client")
		return nil
	}
	c.rest, err = rest.NewClientWithResponses(c.url, rest.WithHTTPClient(c.http), rest.WithRequestEditorFn(c.sign))
	return c, err
}

// REST is every operation of the API as generated from its document, with this
// client's address and key. It repeats nothing.
func (c *Client) REST() *rest.ClientWithResponses { return c.rest }

// request makes one attempt. It may be called several times.
type request func(ctx context.Context) (*http.Response, error)

// call makes attempts until there is an answer that counts, and reads it into
// out; a *[]byte gets it as it is. The request must be safe to repeat.
func (c *Client) call(ctx context.Context, out any, do request) error {
	return c.repeat(ctx, out, true, do)
}

func (c *Client) repeat(ctx context.Context, out any, safe bool, do request) error {
	start := time.Now()
	for n := 0; ; n++ {
		err := c.attempt(ctx, out, do)
		if err == nil {
			return nil
		}
		wait, again := retryAfter(err, n)
		if !again || !safe && !undone(err) || ctx.Err() != nil || wait > c.patience-time.Since(start) {
			return err
		}
		c.notice(err, wait)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func (c *Client) attempt(ctx context.Context, out any, do request) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	res, err := do(ctx)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return errorOf(res, body)
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = body
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		// Not the gateway's: a proxy's page, or no gateway at all.
		return &Error{Status: res.StatusCode, Title: "The answer is not gatewayd's", Detail: err.Error()}
	}
	return nil
}

// retryAfter tells whether the same request may do better later, and how much
// later. n is how many attempts failed before.
func retryAfter(err error, n int) (time.Duration, bool) {
	// Half a second, twice as long each time, a little differently for everybody.
	wait := min(firstWait<<min(n, 10), longestWait)
	wait = wait/2 + rand.N(wait)
	var answer *Error
	if !errors.As(err, &answer) {
		return wait, true // no answer, or half of one
	}
	switch answer.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusBadGateway, http.StatusGatewayTimeout:
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if answer.RetryAfter > 0 {
			return answer.RetryAfter, true
		}
	case http.StatusConflict: // the first of two requests with one key is not answered yet
		return answer.RetryAfter, answer.RetryAfter > 0
	default:
		return 0, false
	}
	return wait, true
}

// undone tells whether the gateway said that it did nothing.
func undone(err error) bool {
	var answer *Error
	return errors.As(err, &answer) && (answer.Status == http.StatusTooManyRequests || answer.Status == http.StatusServiceUnavailable)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Do makes any call of the API: in is sent as JSON unless it is nil, and the
// answer is read into out, as it is if out is a *[]byte. A POST or PATCH is
// repeated only if the gateway says that nothing was done (429, 503).
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	safe := method != http.MethodPost && method != http.MethodPatch
	return c.repeat(ctx, out, safe, func(ctx context.Context) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		if in != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		if err := c.sign(ctx, req); err != nil {
			return nil, err
		}
		return c.http.Do(req)
	})
}

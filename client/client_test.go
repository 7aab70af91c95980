package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/api"
	"gatewayd/auth"
	"gatewayd/client"
	"gatewayd/db"
	"gatewayd/intake"
	"gatewayd/queue"
)

const phone = "+491701234567"

// box is the real API on a real queue, and a network in front of it that can
// break.
type box struct {
	t      *testing.T
	queue  *queue.Queue
	keys   *auth.Keys
	h      http.Handler
	key    string
	client *client.Client

	mu    sync.Mutex
	fault func(r *http.Request) (answer *http.Response, after bool, err error)
	seen  []*http.Request
	open  []*io.PipeWriter // the answers that are under way
	said  []string         // what the client told of its waits
}

func newBox(t *testing.T, o queue.Options, more ...client.Option) *box {
	t.Helper()
	ctx := context.Background()
	d, err := db.Open(ctx, db.Options{Dir: t.TempDir(), SingleConn: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	b := &box{t: t, keys: auth.New(d)}
	if b.queue, err = queue.Open(ctx, d, o); err != nil {
		t.Fatal(err)
	}
	if b.key, _, err = b.keys.Create(ctx, "test", []auth.Scope{auth.Admin}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	a := api.New(api.Options{Queue: b.queue, Keys: b.keys, Desk: intake.New(intake.Options{Queue: b.queue})})
	t.Cleanup(a.Stop)
	b.h = a.Handler()
	b.client = b.with(b.key, more...)
	return b
}

func (b *box) with(key string, more ...client.Option) *client.Client {
	b.t.Helper()
	c, err := client.New("http://gateway.test", key, append([]client.Option{
		client.WithHTTPClient(&http.Client{Transport: b}),
		client.WithNotice(func(err error, wait time.Duration) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.said = append(b.said, fmt.Sprintf("%v: %v", err, wait))
		})}, more...)...)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// RoundTrip is the network. It works in virtual time, as a real one would not.
func (b *box) RoundTrip(r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	b.seen = append(b.seen, r)
	fault := b.fault
	b.mu.Unlock()
	if fault != nil {
		answer, after, err := fault(r)
		if after { // the request got there, its answer did not come back
			b.h.ServeHTTP(httptest.NewRecorder(), server(r))
		}
		if answer != nil || err != nil {
			return answer, err
		}
	}
	reader, writer := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: writer, begun: make(chan struct{})}
	go func() {
		b.h.ServeHTTP(w, server(r))
		w.WriteHeader(http.StatusOK)
		writer.Close()
	}()
	context.AfterFunc(r.Context(), func() { writer.CloseWithError(context.Cause(r.Context())) })
	b.mu.Lock()
	b.open = append(b.open, writer)
	b.mu.Unlock()
	<-w.begun
	return &http.Response{StatusCode: w.status, Status: fmt.Sprint(w.status), Header: w.header, Request: r, Body: reader}, nil
}

// server is a client's request as the server gets it.
func server(r *http.Request) *http.Request {
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	} else {
		body, _ := io.ReadAll(r.Body)
		in.Body = io.NopCloser(bytes.NewReader(body))
	}
	in.RequestURI, in.Host = r.URL.RequestURI(), r.URL.Host
	return in
}

type pipeWriter struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	status int
	begun  chan struct{}
}

func (w *pipeWriter) Header() http.Header { return w.header }
func (w *pipeWriter) Flush()              {}
func (w *pipeWriter) WriteHeader(status int) {
	w.once.Do(func() { w.status = status; close(w.begun) })
}
func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// cut breaks the connections that there are.
func (b *box) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.open {
		w.CloseWithError(errors.New("connection reset"))
	}
	b.open = nil
}

// breaks puts a fault before the next n requests.
func (b *box) breaks(n int, f func(r *http.Request) (*http.Response, bool, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = func(r *http.Request) (*http.Response, bool, error) {
		b.mu.Lock()
		n--
		over := n < 0
		b.mu.Unlock()
		if over {
			return nil, false, nil
		}
		return f(r)
	}
}

func (b *box) requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.seen)
}

func answer(status int, header ...string) *http.Response {
	res := &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: http.Header{}, Body: http.NoBody,
		Request: httptest.NewRequest("GET", "http://gateway.test/", nil)}
	for i := 0; i < len(header); i += 2 {
		res.Header.Set(header[i], header[i+1])
	}
	return res
}

var text = client.NewMessage{To: phone, Text: new("hello")}

func (b *box) count() (n int) {
	b.t.Helper()
	for _, err := range b.client.List(context.Background(), client.Filter{}) {
		if err != nil {
			b.t.Fatal(err)
		}
		n++
	}
	return n
}

func TestSendGetListCancel(t *testing.T) {
	b := newBox(t, queue.Options{})
	ctx := t.Context()
	m, err := b.client.Send(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.client.Get(ctx, m.ID)
	if err != nil || got.ID != m.ID || *got.Text != "hello" || got.Status != client.StatusQueued {
		t.Fatalf("got %+v, %v", got, err)
	}
	batch := make([]client.NewMessage, 70)
	for i := range batch {
		batch[i] = client.NewMessage{To: phone, Text: new(fmt.Sprint(i))}
	}
	all, err := b.client.SendBatch(ctx, batch)
	if err != nil || len(all) != 70 || *all[69].Text != "69" {
		t.Fatalf("the batch: %d messages, %v", len(all), err)
	}
	var order []string
	for m, err := range b.client.List(ctx, client.Filter{Limit: new(20), Status: &[]client.Status{client.StatusQueued}}) {
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, *m.Text)
	}
	if len(order) != 71 || order[0] != "69" || order[70] != "hello" {
		t.Errorf("the list over its pages: %q", order)
	}
	for m, err := range b.client.List(ctx, client.Filter{}) {
		if err != nil || *m.Text != "69" {
			t.Errorf("%+v, %v", m, err)
		}
		break
	}
	if m, err = b.client.Cancel(ctx, m.ID); err != nil || m.Status != client.StatusCanceled {
		t.Errorf("canceled: %+v, %v", m, err)
	}
}

// What is refused is an *Error with every wrong field, and is not repeated.
func TestRefused(t *testing.T) {
	b := newBox(t, queue.Options{})
	_, err := b.client.Send(t.Context(), client.NewMessage{To: "nobody", Text: new(""), Priority: new(12)})
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Status != 422 || refused.Type != "/problems/invalid-fields" || len(refused.Fields) != 3 {
		t.Fatalf("%#v", err)
	}
	for _, want := range []string{"Some fields are wrong", "to ", "text ", "priority "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if _, err = b.with("gw_wrong").Get(t.Context(), "msg_1"); !errors.As(err, &refused) || refused.Status != 401 {
		t.Errorf("a wrong key: %v", err)
	}
	if n := b.requests(); n != 2 {
		t.Errorf("%d requests, want one each", n)
	}
	for _, address := range []string{"", "127.0.0.1:8080", "ftp://x", "http://", "http://x?y"} {
		if _, err := client.New(address, "k"); err == nil {
			t.Errorf("the address %q was taken", address)
		}
	}
	if _, err := client.New("http://x", "two words"); err == nil {
		t.Error("a key with a space was taken")
	}
}

// An answer that got lost: the message was taken, and is not taken again.
func TestLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, queue.Options{})
		b.breaks(3, func(*http.Request) (*http.Response, bool, error) { return nil, true, errors.New("connection reset") })
		m, err := b.client.Send(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		if n := b.count(); n != 1 {
			t.Errorf("%d messages", n)
		}
		if len(b.said) != 3 || !strings.Contains(b.said[0], "connection reset") {
			t.Errorf("told: %q", b.said)
		}
		b.breaks(1, func(*http.Request) (*http.Response, bool, error) { return nil, true, errors.New("connection reset") })
		if m, err = b.client.Cancel(t.Context(), m.ID); err != nil || m.Status != client.StatusCanceled {
			t.Errorf("canceling, whose answer got lost: %+v, %v", m, err)
		}
		b.breaks(1, func(*http.Request) (*http.Response, bool, error) { return nil, true, errors.New("connection reset") })
		if _, err := b.client.SendBatch(t.Context(), []client.NewMessage{text, text}); err != nil {
			t.Fatal(err)
		}
		if n := b.count(); n != 3 {
			t.Errorf("%d messages after the batch", n)
		}
		// What has no key of its own is not repeated.
		before := b.requests()
		b.breaks(1, func(*http.Request) (*http.Response, bool, error) { return nil, true, errors.New("connection reset") })
		var out any
		if err := b.client.Do(t.Context(), "POST", "/v1/messages", text, &out); err == nil || b.requests() != before+1 {
			t.Errorf("a bare POST: %v, %d requests", err, b.requests()-before)
		}
	})
}

// 429 and 503 are waited out, as long as the gateway says; patience ends.
func TestWaitsAsLongAsItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, queue.Options{})
		for status, want := range map[int]time.Duration{429: 7 * time.Second, 503: 11 * time.Second} {
			start := time.Now()
			b.breaks(2, func(*http.Request) (*http.Response, bool, error) {
				return answer(status, "Retry-After", fmt.Sprint(int(want.Seconds()))), false, nil
			})
			if _, err := b.client.Send(t.Context(), text); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != 2*want {
				t.Errorf("%d: it took %v", status, took)
			}
		}
		start := time.Now()
		date := start.Add(20 * time.Second).UTC().Format(http.TimeFormat)
		b.breaks(1, func(*http.Request) (*http.Response, bool, error) { return answer(503, "Retry-After", date), false, nil })
		if _, err := b.client.Send(t.Context(), text); err != nil || time.Since(start).Round(time.Second) != 20*time.Second {
			t.Errorf("a date: %v after %v", err, time.Since(start))
		}
		// Nobody is there: it is given up, in time, with what was wrong.
		start = time.Now()
		b.breaks(1000, func(*http.Request) (*http.Response, bool, error) { return nil, false, errors.New("refused") })
		_, err := b.client.Send(t.Context(), text)
		if took := time.Since(start); err == nil || !strings.Contains(err.Error(), "refused") || took > 2*time.Minute || took < time.Minute {
			t.Errorf("%v after %v", err, took)
		}
		before := b.requests()
		b.breaks(1, func(*http.Request) (*http.Response, bool, error) {
			return answer(503, "Retry-After", "3600"), false, nil
		})
		var refused *client.Error
		if _, err := b.client.Send(t.Context(), text); !errors.As(err, &refused) || refused.RetryAfter != time.Hour || b.requests() != before+1 {
			t.Errorf("an hour's wait: %v", err)
		}
		before = b.requests()
		b.breaks(1, func(*http.Request) (*http.Response, bool, error) {
			time.Sleep(time.Second)
			return answer(503, "Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"), false, nil
		})
		start = time.Now()
		if _, err := b.client.Send(t.Context(), text); !errors.As(err, &refused) || time.Since(start) > time.Minute || b.requests() != before+1 {
			t.Errorf("a wait without end: %v", err)
		}
		b.breaks(1, func(*http.Request) (*http.Response, bool, error) { return answer(500), false, nil })
		if _, err := b.client.Send(t.Context(), text); !errors.As(err, &refused) || refused.Status != 500 {
			t.Errorf("a defect is repeated: %v", err)
		}
	})
}

package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const hookSecret = "whsec_bm90IGEgc2VjcmV0LCBtYWtlIHlvdXIgb3duIG9uZSE="

// hooks is the end of a configuration with these endpoints.
func hooks(urls map[string]string) string {
	var b strings.Builder
	b.WriteString("webhooks:\n")
	for name, url := range urls {
		fmt.Fprintf(&b, "  - {name: %s, url: %q, secret: %s, events: [message.queued], allow_private: true}\n", name, url, hookSecret)
	}
	return b.String()
}

func measureWebhooks(ctx context.Context, s settings, t *table) error {
	if err := measureFastReceiver(ctx, s, t); err != nil {
		return err
	}
	return measureSickReceivers(ctx, s, t)
}

// measureFastReceiver compares how many webhooks a second a receiver gets that
// answers at once with what a loop of http.Client gets there that signs and
// stores nothing, from as many goroutines as the gateway posts from at once.
func measureFastReceiver(ctx context.Context, s settings, t *table) error {
	var rate, floor, cpu series
	for i := range min(s.rounds, 5) {
		r := newCounter(s.deliveries)
		bare, err := bareWebhooks(ctx, r, s.deliveries)
		if err != nil {
			return err
		}
		r.server.Close()
		r = newCounter(s.deliveries)
		told, used, err := tellFast(ctx, s, filepath.Join(s.dir, fmt.Sprint("fast", i)), r)
		r.server.Close()
		if err != nil {
			return err
		}
		rate, floor, cpu = append(rate, told), append(floor, bare), append(cpu, micros(used)/float64(s.deliveries)/1000)
	}
	t.add(compare(fmt.Sprintf("webhooks a second to a fast receiver, %d in a row ÷ loop of http.Client", s.deliveries), "/s", "", rate, floor))
	t.add(row{figure: "CPU a message that is posted in a batch and told by webhook", value: cpu.spread("%.2f") + " ms"})
	return nil
}

// counter is a receiver that takes the time from the first webhook to the last.
type counter struct {
	server *httptest.Server
	want   int64
	got    atomic.Int64
	first  time.Time
	took   chan time.Duration
}

func newCounter(want int) *counter {
	c := &counter{want: int64(want), took: make(chan time.Duration, 1)}
	c.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch c.got.Add(1) {
		case 1:
			c.first = time.Now()
		case c.want:
			c.took <- time.Since(c.first)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	return c
}

// wait returns webhooks a second once all have come.
func (c *counter) wait(ctx context.Context) (float64, error) {
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case took := <-c.took:
		return float64(c.want) / took.Seconds(), nil
	case <-over.C:
		return 0, fmt.Errorf("%d of %d webhooks came", c.got.Load(), c.want)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// bareWebhooks posts bodies as long as an event, signed, from eight goroutines.
func bareWebhooks(ctx context.Context, c *counter, n int) (float64, error) {
	const workers = 8
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	defer client.CloseIdleConnections()
	body := []byte(`{"type":"message.queued","data":"` + strings.Repeat("x", 700) + `"}`)
	var next atomic.Int64
	errs := make([]error, workers)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for errs[w] == nil && next.Add(1) <= int64(n) {
				mac := hmac.New(sha256.New, []byte(hookSecret))
				mac.Write(body)
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.server.URL, bytes.NewReader(body))
				if err == nil {
					req.Header.Set("Webhook-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
					var a *http.Response
					if a, err = client.Do(req); err == nil {
						_, _ = io.Copy(io.Discard, a.Body)
						a.Body.Close()
					}
				}
				errs[w] = err
			}
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	return c.wait(ctx)
}

// tellFast has a daemon tell of so many messages, each to a number of its own.
func tellFast(ctx context.Context, s settings, dir string, c *counter) (rate float64, cpu time.Duration, err error) {
	defer os.RemoveAll(dir)
	p, err := startDaemon(ctx, s.binary, dir, hooks(map[string]string{"fast": c.server.URL}))
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	before, err := p.used()
	if err != nil {
		return 0, 0, err
	}
	for n := 0; n < s.deliveries; n += batch {
		body, err := batchOf(min(batch, s.deliveries-n), false)
		if err != nil {
			return 0, 0, err
		}
		if err := postBatch(ctx, p.address, p.key, body); err != nil {
			return 0, 0, err
		}
	}
	if rate, err = c.wait(ctx); err != nil {
		return 0, 0, err
	}
	after, err := p.used()
	return rate, after.cpu - before.cpu, err
}

// measureSickReceivers takes the time from a POST to its webhook at a receiver
// that is well, of a daemon that has this one alone and of one that has six more
// in every kind of trouble. Both run side by side and are asked in turn.
func measureSickReceivers(ctx context.Context, s settings, t *table) (err error) {
	var well [2]*timed
	var daemons [2]*process
	for i := range well {
		well[i] = newTimed()
		defer well[i].server.Close()
		urls := map[string]string{"well": well[i].server.URL}
		if i == 1 {
			release := make(chan struct{})
			for name, handler := range troubles(well[1].server.URL, release) {
				server := httptest.NewServer(handler)
				defer server.Close()
				urls[name] = server.URL
			}
			defer close(release) // before the servers wait for their handlers
		}
		dir := filepath.Join(s.dir, fmt.Sprint("beside", i))
		defer os.RemoveAll(dir)
		p, err := startDaemon(ctx, s.binary, dir, hooks(urls))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.stop()) }()
		daemons[i] = p
	}
	var took [2]series
	var early, late used
	n := s.deliveries / 10
	for k := range n {
		for i, p := range daemons {
			d, err := well[i].after(ctx, p, k)
			if err != nil {
				return err
			}
			if k >= n/10 { // the first ones find the connections closed
				took[i] = append(took[i], micros(d))
			}
		}
		if k == n/2 {
			if early, err = daemons[1].used(); err != nil {
				return err
			}
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	if late, err = daemons[1].used(); err != nil {
		return err
	}
	const figure = "POST to its webhook at a receiver that is well, beside six in trouble ÷ alone, "
	add := func(name, goal string, q float64) {
		a, b := took[1].at(q), took[0].at(q)
		t.add(row{figure + name, duration(a), duration(b), fmt.Sprintf("%.2f", a/b), goal})
	}
	add("median", "", 0.5)
	add("p99", "≤ 100 ms more", 0.99)
	t.add(row{figure: fmt.Sprintf("resident memory beside them, after %d events and after %d", n/2, n),
		value: fmt.Sprintf("%.1f MB, %.1f MB", early.resident, late.resident), goal: "flat"})
	return nil
}

// troubles are receivers that are a daemon's trouble; release ends what hangs.
func troubles(elsewhere string, release <-chan struct{}) map[string]http.Handler {
	wait := func(r *http.Request, d time.Duration) {
		over := time.NewTimer(d)
		defer over.Stop()
		select {
		case <-over.C:
		case <-r.Context().Done():
		case <-release:
		}
	}
	return map[string]http.Handler{
		"fails": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInternalServerError) }),
		"hangs": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else nobody sees that the client has left
			wait(r, time.Hour)
		}),
		"slow": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			wait(r, 10*time.Second)
			w.WriteHeader(http.StatusNoContent)
		}),
		"resets": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				if tcp, ok := conn.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0)
				}
				conn.Close()
			}
		}),
		"talks": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			piece := make([]byte, 64<<10)
			for range 20 << 20 / len(piece) {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}),
		// Were it followed, the one that is well would get each event twice.
		"redirects": http.RedirectHandler(elsewhere, http.StatusTemporaryRedirect),
	}
}

// timed is a receiver that takes the time of each webhook.
type timed struct {
	server *httptest.Server
	came   chan time.Time
}

func newTimed() *timed {
	t := &timed{came: make(chan time.Time, 1000)}
	t.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.came <- time.Now()
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	return t
}

// after posts one message, and returns how long its webhook took.
func (t *timed) after(ctx context.Context, p *process, i int) (time.Duration, error) {
	start := time.Now()
	asked := false
	next := func() (int, bool) { // one message, to a number that those before did not have
		defer func() { asked = true }()
		return i, !asked
	}
	if err := p.client(ctx, single, next, &series{}); err != nil {
		return 0, err
	}
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case at := <-t.came:
		if len(t.came) > 0 {
			return 0, errors.New("a webhook came twice")
		}
		return at.Sub(start), nil
	case <-over.C:
		return 0, fmt.Errorf("the webhook of message %d did not come", i)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// measurePosts compares POSTs to the daemon, each answered only once it is on
// disk, with SQLite inserting the same rows, and with an echo handler that
// inserts them in groups and knows no rules: single ones, and batches of 100.
func measurePosts(ctx context.Context, s settings, t *table) error {
	var floor series
	kinds := []posting{{single, s.clients}, {hundred, 8}}
	seen := make([]struct{ rate, echo, p50, echo50, p99, echo99 series }, len(kinds))
	for i := range s.rounds {
		inserted, err := insertRows(ctx, filepath.Join(s.dir, fmt.Sprint("rows", i)), s.inserts, group)
		if err != nil {
			return err
		}
		floor = append(floor, inserted)
		for k, kind := range kinds {
			rate, took, err := postFor(ctx, s, kind, func() (*process, func() error, error) {
				return startEcho(ctx, filepath.Join(s.dir, fmt.Sprint("echo", k, i)))
			})
			if err != nil {
				return err
			}
			x := &seen[k]
			x.echo, x.echo50, x.echo99 = append(x.echo, rate), append(x.echo50, took.median()), append(x.echo99, took.at(0.99))
			rate, took, err = postFor(ctx, s, kind, func() (*process, func() error, error) {
				p, err := startDaemon(ctx, s.binary, filepath.Join(s.dir, fmt.Sprint("post", k, i)), "")
				if err != nil {
					return nil, nil, err
				}
				return p, p.stop, nil
			})
			if err != nil {
				return err
			}
			x.rate, x.p50, x.p99 = append(x.rate, rate), append(x.p50, took.median()), append(x.p99, took.at(0.99))
		}
	}
	t.add(compare(fmt.Sprintf("durable POSTs a second, %d clients ÷ rows in groups of %d", s.clients, group), "/s",
		"≥ 0.25; ≥ 5,000/s on 2 cores", seen[0].rate, floor))
	for k, kind := range kinds {
		x := seen[k]
		t.add(compare(fmt.Sprintf("%s, %d clients ÷ bare echo handler that inserts the same rows in groups", kind.body.name, kind.clients), "/s", "", x.rate, x.echo))
		t.add(compare("latency of that, p50", "", "", x.p50, x.echo50))
		t.add(compare("latency of that, p99", "", "", x.p99, x.echo99))
	}
	return nil
}

// posting is what clients post, and how many there are.
type posting struct {
	body    *body
	clients int
}

// body is the body of a request, and how many messages are in it.
type body struct {
	name     string
	path     string
	messages int
	of       func(i int) string
}

var single = &body{"messages a second, one a POST", "/v1/messages", 1, one}

var hundred = &body{"messages a second, 100 a POST", "/v1/messages/batch", 100, func(i int) string {
	var all []string
	for k := range 100 {
		all = append(all, one(100*i+k))
	}
	return `{"messages":[` + strings.Join(all, ",") + `]}`
}}

func one(i int) string {
	return fmt.Sprintf(`{"to":%q,"text":%q,"delivery_report":false}`, recipient(i), benchText)
}

// postFor starts something that takes messages, and posts to it for a while. The
// rate is of messages.
func postFor(ctx context.Context, s settings, kind posting, start func() (*process, func() error, error)) (rate float64, took series, err error) {
	p, stop, err := start()
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if _, _, err := p.postAll(ctx, kind, during(s.posting/5)); err != nil { // warms up
		return 0, nil, err
	}
	rate, took, err = p.postAll(ctx, kind, during(s.posting))
	return rate * float64(kind.body.messages), took, err
}

// during posts as fast as it goes for a time.
func during(d time.Duration) func(int) bool {
	end := time.Now().Add(d)
	return func(int) bool { return time.Now().Before(end) }
}

// spaced posts n messages, one in each space.
func spaced(ctx context.Context, n int, space time.Duration) func(int) bool {
	start := time.Now()
	return func(i int) bool {
		return i < n && pause(ctx, time.Until(start.Add(time.Duration(i)*space))) == nil
	}
}

// post posts single messages; see postAll.
func (p *process) post(ctx context.Context, clients int, more func(i int) bool) (rate float64, took series, err error) {
	return p.postAll(ctx, posting{single, clients}, more)
}

// postAll posts from several clients as long as more, given how many requests
// there were, says so. It returns requests a second and what each took in
// microseconds.
func (p *process) postAll(ctx context.Context, kind posting, more func(i int) bool) (rate float64, took series, err error) {
	clients := kind.clients
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wait  sync.WaitGroup
		given atomic.Int64
		times = make([]series, clients)
		errs  = make([]error, clients)
	)
	start := time.Now()
	next := func() (int, bool) {
		i := int(given.Add(1)) - 1
		return i, more(i) && ctx.Err() == nil
	}
	for c := range clients {
		wait.Go(func() {
			if errs[c] = p.client(ctx, kind.body, next, &times[c]); errs[c] != nil {
				cancel()
			}
		})
	}
	wait.Wait()
	elapsed := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return 0, nil, err
	}
	for _, t := range times {
		took = append(took, t...)
	}
	return float64(len(took)) / elapsed.Seconds(), took, nil
}

// client posts over one kept-alive connection. It is written by hand because
// it shares the processors with the daemon that it measures: net/http's client
// would take as much of them as the daemon's server.
func (p *process) client(ctx context.Context, of *body, next func() (int, bool), took *series) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	r := bufio.NewReader(conn)
	var out bytes.Buffer
	for i, ok := next(); ok; i, ok = next() {
		body := of.of(i)
		out.Reset()
		fmt.Fprintf(&out, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			of.path, p.address, p.key, len(body), body)
		start := time.Now()
		if _, err := conn.Write(out.Bytes()); err != nil {
			return err
		}
		if err := readAccepted(r); err != nil {
			return err
		}
		*took = append(*took, micros(time.Since(start)))
	}
	return nil
}

// readAccepted reads one answer, which must be a 202.
func readAccepted(r *bufio.Reader) error {
	status, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	length, chunked := 0, false
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		} else if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			chunked = true
		}
	}
	body := make([]byte, length)
	if chunked {
		if body, err = io.ReadAll(httputil.NewChunkedReader(r)); err == nil {
			_, err = r.ReadSlice('\n') // no trailer
		}
	} else {
		_, err = io.ReadFull(r, body)
	}
	if err != nil {
		return err
	}
	if len(status) < 12 || status[9:12] != "202" {
		return fmt.Errorf("POST was answered %q: %s", status, body)
	}
	return nil
}

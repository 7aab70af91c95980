package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// measurePosts compares POSTs to the daemon, each answered only once it is on
// disk, with SQLite inserting the same rows.
func measurePosts(ctx context.Context, s settings, t *table) error {
	var rate, floor, p50, p99 series
	for i := range s.rounds {
		inserted, err := insertRows(ctx, filepath.Join(s.dir, fmt.Sprint("rows", i)), s.inserts, group)
		if err != nil {
			return err
		}
		posted, took, err := postFor(ctx, s, filepath.Join(s.dir, fmt.Sprint("post", i)))
		if err != nil {
			return err
		}
		floor, rate = append(floor, inserted), append(rate, posted)
		p50, p99 = append(p50, took.median()/1000), append(p99, took.at(0.99)/1000)
	}
	t.add(compare(fmt.Sprintf("durable POSTs a second, %d clients ÷ rows in groups of %d", s.clients, group), "/s",
		"≥ 0.25; ≥ 5,000/s on 2 cores", rate, floor))
	t.add(row{figure: fmt.Sprintf("POST latency with %d clients, p50", s.clients), value: p50.spread("%.1f") + " ms"})
	t.add(row{figure: fmt.Sprintf("POST latency with %d clients, p99", s.clients), value: p99.spread("%.1f") + " ms"})
	return nil
}

// postFor runs a daemon without modems and posts to it for a while.
func postFor(ctx context.Context, s settings, dir string) (rate float64, took series, err error) {
	p, err := startDaemon(ctx, s.binary, dir, "")
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if _, _, err := p.post(ctx, s.clients, during(s.posting/5)); err != nil { // warms up
		return 0, nil, err
	}
	return p.post(ctx, s.clients, during(s.posting))
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

// post posts messages from several clients as long as more, given how many there
// were, says so. It returns messages a second and what each POST took in
// microseconds.
func (p *process) post(ctx context.Context, clients int, more func(i int) bool) (rate float64, took series, err error) {
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
			if errs[c] = p.client(ctx, next, &times[c]); errs[c] != nil {
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
func (p *process) client(ctx context.Context, next func() (int, bool), took *series) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	r := bufio.NewReader(conn)
	var out bytes.Buffer
	for i, ok := next(); ok; i, ok = next() {
		body := fmt.Sprintf(`{"to":%q,"text":%q,"delivery_report":false}`, recipient(i), benchText)
		out.Reset()
		fmt.Fprintf(&out, "POST /v1/messages HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			p.address, p.key, len(body), body)
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
	length := 0
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
		}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	if len(status) < 12 || status[9:12] != "202" {
		return fmt.Errorf("POST was answered %q: %s", status, body)
	}
	return nil
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// listening is how many listen to the event log at once.
const listening = 1000

// measureListeners opens a thousand streams of server-sent events and takes the
// time from the moment that a message is posted to that at which the last
// listener has read its event. The floor is one goroutine that writes the same
// bytes to a thousand connections.
func measureListeners(ctx context.Context, s settings, t *table) (err error) {
	dir := filepath.Join(s.dir, "listeners")
	defer os.RemoveAll(dir)
	p, err := startDaemon(ctx, s.binary, dir, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	first := func(i int) bool { return i < 1 }
	if _, _, err := p.post(ctx, 1, first); err != nil { // warms up
		return err
	}
	if err := pause(ctx, s.settle/2); err != nil {
		return err
	}
	before, err := p.used()
	if err != nil {
		return err
	}
	hello := fmt.Sprintf("GET /v1/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nAccept: text/event-stream\r\n\r\n", p.address, p.key)
	crowd, err := listen(ctx, p.address, hello)
	if err != nil {
		return err
	}
	defer crowd.close()
	if err := p.until(ctx, patience, "/metrics", func(body string) bool { return number([]byte(body), "gatewayd_http_event_streams ") >= listening }); err != nil {
		return err
	}
	if err := pause(ctx, s.settle/2); err != nil {
		return err
	}
	idle, err := p.used()
	if err != nil {
		return err
	}
	floor, err := listenToBare(ctx)
	if err != nil {
		return err
	}
	defer floor.close()

	var last, half, bare series
	for range s.events {
		seen, err := crowd.hear(ctx, func() error {
			_, _, err := p.post(ctx, 1, first)
			return err
		})
		if err != nil {
			return err
		}
		last, half = append(last, seen.at(1)), append(half, seen.median())
		if seen, err = floor.hear(ctx, floor.tell); err != nil {
			return err
		}
		bare = append(bare, seen.at(1))
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	after, err := p.used()
	if err != nil {
		return err
	}
	figure := fmt.Sprintf("POST to its event at the last of %d listeners, %d events", listening, s.events)
	t.add(row{figure + ", median", duration(last.median()), duration(bare.median()), fmt.Sprintf("%.2f", last.median()/bare.median()), ""})
	t.add(row{figure + ", p99", duration(last.at(0.99)), duration(bare.at(0.99)), fmt.Sprintf("%.2f", last.at(0.99)/bare.at(0.99)), ""})
	t.add(row{figure: "the same at half of the listeners, median", value: duration(half.median())})
	t.add(row{figure: "CPU a listener and event", value: duration(micros(after.cpu-idle.cpu) / float64(listening*s.events))})
	t.add(row{figure: fmt.Sprintf("resident memory a listener (%.1f MB without, %.1f MB with %d, %.1f MB after the events)", before.resident, idle.resident, listening, after.resident),
		value: fmt.Sprintf("%.1f KB", (after.resident-before.resident)*1024/listening)})
	return nil
}

// audience is many connections on which the end of an event is awaited.
type audience struct {
	conns []net.Conn
	heard chan time.Time
	lost  chan error
	tell  func() error // of the floor's
	end   func()
}

// listen opens the connections, says hello on each, and waits for the first
// line that is empty: what comes before is no event.
func listen(ctx context.Context, address, hello string) (*audience, error) {
	a := &audience{heard: make(chan time.Time, 4*listening), lost: make(chan error, listening), end: func() {}}
	var ready sync.WaitGroup
	for range listening {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			a.close()
			return nil, err
		}
		a.conns = append(a.conns, conn)
		if _, err := conn.Write([]byte(hello)); err != nil {
			a.close()
			return nil, err
		}
		ready.Add(1)
		go func() {
			r := bufio.NewReaderSize(conn, 2048)
			began := sync.OnceFunc(ready.Done)
			defer began()
			for {
				line, err := r.ReadSlice('\n')
				if err != nil {
					a.lost <- err
					return
				}
				began()
				if bytes.HasPrefix(line, []byte("data: ")) {
					a.heard <- time.Now()
				}
			}
		}()
	}
	if hello != "" {
		ready.Wait()
	}
	return a, nil
}

func (a *audience) close() {
	for _, c := range a.conns {
		c.Close()
	}
	a.end()
}

// hear makes one event happen and returns how many microseconds later each
// listener had it.
func (a *audience) hear(ctx context.Context, happen func() error) (took series, err error) {
	start := time.Now()
	if err := happen(); err != nil {
		return nil, err
	}
	over := time.NewTimer(patience)
	defer over.Stop()
	for range listening {
		select {
		case at := <-a.heard:
			took = append(took, micros(at.Sub(start)))
		case err := <-a.lost:
			return nil, fmt.Errorf("a listener was let go: %w", err)
		case <-over.C:
			return nil, fmt.Errorf("%d of %d listeners heard of an event", len(took), listening)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	slices.Sort(took)
	return took, nil
}

// listenToBare opens as many connections to a loop that writes to one after the
// other.
func listenToBare(ctx context.Context) (*audience, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	accepted := make(chan net.Conn, listening)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	a, err := listen(ctx, l.Addr().String(), "")
	if err != nil {
		l.Close()
		return nil, err
	}
	var others []net.Conn
	for range listening {
		others = append(others, <-accepted)
	}
	a.end = func() {
		l.Close()
		for _, c := range others {
			c.Close()
		}
	}
	// As long as an event of a message is.
	event := fmt.Appendf(nil, "id: 1\nevent: message.queued\ndata: {%s}\n\n", bytes.Repeat([]byte("x"), 700))
	a.tell = func() error {
		for _, c := range others {
			if _, err := c.Write(event); err != nil {
				return err
			}
		}
		return nil
	}
	return a, nil
}

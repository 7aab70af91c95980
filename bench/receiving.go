package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatewayd/modem"
)

// measureReceiving takes the time from the moment that an idle modem announces a
// text to that at which the webhook's receiver reads the first byte. The
// simulator's process notes the one, this one the other, by the same clock. The
// floor is a loop that fetches the text, commits one row and posts.
func measureReceiving(ctx context.Context, s settings, t *table) (err error) {
	device, err := startSimulator(ctx, simulation{modems: 2, texts: true})
	if err != nil {
		return err
	}
	defer device.end()
	hook, err := listenForWebhooks()
	if err != nil {
		return err
	}
	defer hook.server.Close()
	row, err := openOneRow(s.dir)
	if err != nil {
		return err
	}
	defer row.db.Close()
	commit, err := row.commits()
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "receive")
	defer os.RemoveAll(dir)
	p, err := startDaemon(ctx, s.binary, dir, list(device.modems[:1])+fmt.Sprintf(
		"webhooks:\n  - {url: \"http://%s/\", secret: %s, events: [message.received], allow_private: true}\n", hook.address, "whsec_bm90IGEgc2VjcmV0LCBtYWtlIHlvdXIgb3duIG9uZSE="))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := p.modemsReady(ctx, 1); err != nil {
		return err
	}
	port, err := modem.OpenSerial(device.modems[1].port)
	if err != nil {
		return err
	}
	bared := make(chan error, 1)
	go func() { bared <- bareReceiving(port, commit, hook.address) }()
	defer func() {
		port.Close()
		<-bared
	}()
	if err := pause(ctx, s.settle/2); err != nil {
		return err
	}

	const groups = 3
	var p50, p99, floor50, floor99 series
	for range groups {
		for i, into := range [][2]*series{{&p50, &p99}, {&floor50, &floor99}} {
			var took series
			for range s.texts / groups {
				d, err := hook.after(ctx, device, i)
				if err != nil {
					return err
				}
				took = append(took, micros(d))
			}
			*into[0], *into[1] = append(*into[0], took.median()), append(*into[1], took.at(0.99))
		}
	}
	t.add(compare(fmt.Sprintf("+CMTI on an idle modem to the webhook's first byte, %d texts, median", s.texts), "", "", p50, floor50))
	last := compare("+CMTI on an idle modem to the webhook's first byte, p99", "", "≤ 15 ms", p99, floor99)
	ms := make(series, len(p99))
	for i, us := range p99 {
		ms[i] = us / 1000
	}
	last.value = ms.spread("%.2f") + " ms"
	t.add(last)
	return nil
}

// webhooks receives webhooks, and takes the time of each one's first byte.
type webhooks struct {
	server  *http.Server
	address string
	first   chan time.Time
}

func listenForWebhooks() (*webhooks, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &webhooks{address: l.Addr().String(), first: make(chan time.Time, 16)}
	type connection struct{}
	h.server = &http.Server{
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connection{}, c)
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			c := r.Context().Value(connection{}).(*timedConn)
			h.first <- c.first
			c.first = time.Time{} // the next request comes after the answer to this one
			w.WriteHeader(http.StatusNoContent)
		}),
	}
	go h.server.Serve(timedListener{l})
	return h, nil
}

type timedListener struct{ net.Listener }

func (l timedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &timedConn{Conn: c}, nil
}

// timedConn notes when the first byte of a request was read.
type timedConn struct {
	net.Conn
	first time.Time
}

func (c *timedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.first.IsZero() {
		c.first = time.Now()
	}
	return n, err
}

// after has a phone write to a modem that is idle again and returns the time from the announcement
// to the webhook.
func (h *webhooks) after(ctx context.Context, device *simulator, i int) (time.Duration, error) {
	announced, err := device.ask("text %d %d", i, 20+rand.IntN(60))
	if err != nil {
		return 0, err
	}
	if announced < 0 {
		return 0, fmt.Errorf("modem %s did not announce a text, or still has one", modemName(i))
	}
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case first := <-h.first:
		return time.Duration(first.UnixNano() - announced), nil
	case <-over.C:
		return 0, fmt.Errorf("no webhook came for a text to modem %s within %v", modemName(i), patience)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// bareReceiving is the least that can receive: it waits for +CMTI, fetches the
// text, commits, posts, and deletes it, until its port is closed.
func bareReceiving(port io.ReadWriter, commit func() error, address string) error {
	b := &bare{port: port}
	for _, line := range []string{"ATE0", "AT+CMGF=0", "AT+CNMI=2,1,0,0,0"} {
		if err := b.command(line); err != nil {
			return err
		}
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for {
		index, err := b.announced()
		if err != nil {
			return err
		}
		if err := b.command("AT+CMGR=" + index); err != nil {
			return err
		}
		if err := commit(); err != nil {
			return err
		}
		body := `{"type":"message.received","text":"` + benchText + `"}`
		if _, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", address, len(body), body); err != nil {
			return err
		}
		r, err := http.ReadResponse(answers, nil)
		if err != nil {
			return err
		}
		r.Body.Close()
		if err := b.command("AT+CMGD=" + index); err != nil {
			return err
		}
	}
}

// announced waits for `+CMTI: "SM",7` and returns the 7.
func (b *bare) announced() (index string, err error) {
	for {
		if _, rest, ok := bytes.Cut(b.seen, []byte("+CMTI: ")); ok {
			if line, _, ok := strings.Cut(string(rest), "\r\n"); ok {
				_, index, _ = strings.Cut(line, ",")
				b.seen = b.seen[:0]
				return index, nil
			}
		}
		n, err := b.port.Read(b.buf[:])
		if err != nil {
			return "", err
		}
		b.seen = append(b.seen, b.buf[:n]...)
	}
}

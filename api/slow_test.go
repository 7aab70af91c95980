package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// hurried serves a box on a real socket with some limits of time a hundredth of what
// they are, so that who is slow there is slow soon, and who is not on a busy machine
// has all the time that there is.
func (b *box) hurried(t *testing.T, limits ...string) (addr string) {
	t.Helper()
	s := b.Server()
	for name, d := range map[string]*time.Duration{"ReadHeaderTimeout": &s.ReadHeaderTimeout, "ReadTimeout": &s.ReadTimeout,
		"WriteTimeout": &s.WriteTimeout, "IdleTimeout": &s.IdleTimeout} {
		if *d <= 0 || *d > 2*time.Minute {
			t.Fatalf("%s is %v", name, *d)
		}
		if slices.Contains(limits, name) {
			*d /= 100
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return l.Addr().String()
}

// drip sends begin, then a byte now and then until the server hangs up, and
// returns what it said.
func drip(t *testing.T, addr, begin string) (said string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, begin); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				if _, err := conn.Write([]byte("a")); err != nil {
					return
				}
			}
		}
	}()
	defer close(over)
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("the server still holds on after 20 s; it said %q", all)
	}
	return string(all)
}

func TestSlowClientsAreLetGo(t *testing.T) {
	written := make(chan error, 1)
	b := newBox(t, settings{change: func(o *Options) {
		o.Pages = map[string]http.Handler{"/endless/": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			chunk := []byte(strings.Repeat("x", 64<<10))
			for {
				if _, err := w.Write(chunk); err != nil {
					written <- err
					return
				}
			}
		})}
	}})
	post := fmt.Sprintf("POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n", b.send)

	drip(t, b.hurried(t, "ReadHeaderTimeout"), "GET /v1/messages HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	addr := b.hurried(t, "ReadTimeout")
	said := drip(t, addr, post+"Content-Length: 10000\r\n\r\n{\"to\":\"")
	if !strings.Contains(said, " 400 ") || !strings.Contains(said, "too slowly") {
		t.Errorf("a slow body is answered %q", said)
	}
	said = drip(t, addr, post+"Transfer-Encoding: chunked\r\n\r\n2710\r\n{\"to\":\"")
	if !strings.Contains(said, " 400 ") {
		t.Errorf("a slow body in chunks is answered %q", said)
	}
	b.nothingQueued()

	// One that does not read what it asked for.
	conn, err := net.Dial("tcp", b.hurried(t, "WriteTimeout"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /endless/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", b.read)
	select {
	case <-written:
	case <-time.After(20 * time.Second):
		t.Error("the server still writes to a client that does not read")
	}

	// One that says nothing any more.
	idle, err := net.Dial("tcp", b.hurried(t, "IdleTimeout"))
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	fmt.Fprintf(idle, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	r := bufio.NewReader(idle)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	if err := idle.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection: %v", err)
	}
}

// What is too large is refused before it is read.
func TestSizesAreLimited(t *testing.T) {
	b := newBox(t, settings{})
	addr := b.hurried(t)
	for request, want := range map[string]string{
		"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("a", 32<<10) + "\r\n\r\n": " 431 ",
		"GET /healthz?" + strings.Repeat("a", 32<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n":            " 431 ",
		"POST /v1/messages/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n":         " 401 ",
	} {
		said := drip(t, addr, request)
		if first, _, _ := strings.Cut(said, "\r\n"); !strings.Contains(first+" ", want) {
			t.Errorf("%.60q… is answered %q, want%s", request, first, want)
		}
	}
}

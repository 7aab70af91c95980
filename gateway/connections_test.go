package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/queue"
	numbers "gatewayd/sms/number"
)

// No more connections than are allowed are served at once; the next waits, and
// is served when one ends. What the gateway refuses to send, its API refuses.
func TestConnectionsAndDestinations(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g, err := New(ctx, Options{DataDir: t.TempDir(), Listener: l, MaxConnections: 2, Version: "test",
		Destinations: numbers.Rules{Deny: []numbers.Destination{"AT"}}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	ask := func() (answered chan string, conn net.Conn) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		answered = make(chan string, 1)
		go func() {
			head := make([]byte, 12)
			_, _ = conn.Read(head)
			answered <- string(head)
		}()
		return answered, conn
	}
	want := func(answered chan string) {
		t.Helper()
		select {
		case got := <-answered:
			if got != "HTTP/1.1 200" {
				t.Fatalf("answered %q", got)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("not answered")
		}
	}
	first, one := ask()
	want(first)
	second, two := ask()
	want(second)
	defer two.Close()
	third, three := ask()
	defer three.Close()
	select {
	case got := <-third:
		t.Fatalf("a third connection is answered %q", got)
	case <-time.After(100 * time.Millisecond): // it would be at once
	}
	one.Close()
	want(third)
	two.Close()

	token, _, err := g.Keys().Create(ctx, "shop", []auth.Scope{auth.Send}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("POST", "http://"+l.Addr().String()+"/v1/messages", strings.NewReader(`{"to":"+436641234567","text":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if all, _, err := g.Queue().List(ctx, queue.Filter{}); answer.StatusCode != http.StatusUnprocessableEntity || len(all) != 0 || err != nil {
		t.Errorf("a text to where the gateway does not send: %s, %d queued, %v", answer.Status, len(all), err)
	}
}

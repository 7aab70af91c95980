package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
)

// listener reads an event stream in a goroutine of its own.
type listener struct {
	t      *testing.T
	blocks chan string // separated by empty lines, without the comments' own
	cancel context.CancelFunc
	status chan int
	ended  chan struct{}
	begins int64 // after this event, if it was not asked for one
}

// listen opens an event stream over an in-memory connection, which works in a
// synctest bubble.
func (b *box) listen(t *testing.T, target string, h header) *listener {
	t.Helper()
	server, client := net.Pipe()
	s := b.Server()
	oneConn := make(chan net.Conn, 1)
	oneConn <- server
	go s.Serve(&pipeListener{conns: oneConn, closed: make(chan struct{})})
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{t: t, blocks: make(chan string, 1000), cancel: cancel, status: make(chan int, 1), ended: make(chan struct{})}
	t.Cleanup(func() {
		cancel()
		client.Close()
		server.Close()
		s.Close()
		<-l.ended
	})
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil }}
	t.Cleanup(transport.CloseIdleConnections)
	r, err := http.NewRequestWithContext(ctx, "GET", "http://gateway"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range h {
		r.Header.Set(k, v)
	}
	go func() {
		defer close(l.ended)
		defer close(l.blocks)
		resp, err := transport.RoundTrip(r)
		if err != nil {
			l.status <- 0
			return
		}
		defer resp.Body.Close()
		l.status <- resp.StatusCode
		var block strings.Builder
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if lines.Text() != "" {
				block.WriteString(lines.Text() + "\n")
				continue
			}
			l.blocks <- block.String()
			block.Reset()
		}
	}()
	if got := <-l.status; got != http.StatusOK {
		t.Fatalf("%s: status %d", target, got)
	}
	if r.URL.Query().Has("after") || r.Header.Get("Last-Event-ID") != "" {
		l.wantBlock("retry: 2000\n")
	} else if _, err := fmt.Sscanf(<-l.blocks, "retry: 2000\nid: %d\n", &l.begins); err != nil {
		t.Fatalf("a stream from now on does not say where it begins: %v", err)
	}
	return l
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipeListener) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}
func (p *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (l *listener) wantBlock(want string) {
	l.t.Helper()
	if got, ok := <-l.blocks; !ok || got != want {
		l.t.Fatalf("the stream has %q, want %q", got, want)
	}
}

// event wants an event of this type and returns its id and data.
func (l *listener) event(kind string) (id string, m sms.Message) {
	l.t.Helper()
	block, ok := <-l.blocks
	if !ok {
		l.t.Fatalf("the stream ended; want %s", kind)
	}
	var body struct {
		Type      string
		Timestamp time.Time
		Data      json.RawMessage
	}
	for _, line := range strings.Split(strings.TrimSpace(block), "\n") {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "id":
			id = value
		case "event":
			if value != kind {
				l.t.Fatalf("event %s, want %s: %s", value, kind, block)
			}
		case "data":
			if err := json.Unmarshal([]byte(value), &body); err != nil {
				l.t.Fatal(err)
			}
		}
	}
	if body.Type != kind || body.Timestamp.IsZero() {
		l.t.Fatalf("body %+v, want %s", body, kind)
	}
	if strings.HasPrefix(kind, "message.") {
		if err := json.Unmarshal(body.Data, &m); err != nil {
			l.t.Fatal(err)
		}
	}
	return id, m
}

// quiet wants that nothing comes, in virtual time.
func (l *listener) quiet() {
	l.t.Helper()
	synctest.Wait()
	select {
	case block, ok := <-l.blocks:
		l.t.Fatalf("the stream has %q (%v), want nothing", block, ok)
	default:
	}
}

// inBubble runs a test in virtual time, with the database's folder outside.
func inBubble(t *testing.T, o queue.Options, fn func(*testing.T, *box)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		fn(t, newBox(t, settings{single: true, dir: dir, queue: o}))
	})
}

func submit(b *box, text string) sms.Message {
	b.t.Helper()
	return b.post("/v1/messages", b.send, fmt.Sprintf(`{"to":"+491701234567","text":%q}`, text)).accepted()
}

func TestStreamBeginsNowAndResumes(t *testing.T) {
	inBubble(t, queue.Options{}, func(t *testing.T, b *box) {
		submit(b, "before")
		l := b.listen(t, "/v1/events", bearer(b.read))
		l.quiet()
		m := submit(b, "first\nline <b>")
		id, got := l.event("message.queued")
		if got.ID != m.ID || got.Text != "first\nline <b>" || id != "2" {
			t.Errorf("event %s tells of %+v", id, got)
		}
		b.ask("DELETE", "/v1/messages/"+m.ID, bearer(b.send), "").want(200)
		if _, got := l.event("message.canceled"); got.Status != sms.Canceled {
			t.Errorf("event tells of %+v", got)
		}
		if err := b.queue.AppendModemState(b.modems.all[0]); err != nil {
			t.Fatal(err)
		}
		l.event(sms.EventModemState)

		for _, l := range []*listener{
			b.listen(t, "/v1/events", bearer(b.read).with("Last-Event-ID", id)),
			b.listen(t, "/v1/events?after="+id, bearer(b.read)),
			b.listen(t, "/v1/events?after=0", bearer(b.read).with("Last-Event-ID", id)), // the browser's is newer
		} {
			l.event("message.canceled")
			l.event(sms.EventModemState)
			l.quiet()
		}
		l = b.listen(t, "/v1/events?after=0", bearer(b.read))
		if _, got := l.event("message.queued"); got.Text != "before" || got.Status != sms.Queued {
			t.Errorf("the log begins with %+v", got)
		}
	})
}

func TestStreamCatchesUpWithManyEvents(t *testing.T) {
	inBubble(t, queue.Options{}, func(t *testing.T, b *box) {
		var many []string
		for i := range 3*streamBatch + 7 {
			many = append(many, fmt.Sprintf(`{"to":"+49170%07d","text":"t"}`, i))
		}
		b.post("/v1/messages/batch", b.send, `{"messages":[`+strings.Join(many, ",")+`]}`).want(202)
		l := b.listen(t, "/v1/events?after=0", bearer(b.read))
		for i := range many {
			if id, _ := l.event("message.queued"); id != fmt.Sprint(i+1) {
				t.Fatalf("event %d has the id %s", i+1, id)
			}
		}
		l.quiet()
	})
}

func TestHeartbeats(t *testing.T) {
	inBubble(t, queue.Options{}, func(t *testing.T, b *box) {
		programs := b.listen(t, "/v1/events", bearer(b.read))
		pages := b.listen(t, "/v1/events?heartbeat=event", bearer(b.read))
		time.Sleep(heartbeatEvery - time.Second)
		programs.quiet()
		pages.quiet()
		time.Sleep(2 * time.Second)
		programs.wantBlock(": heartbeat\n")
		if id, _ := pages.event("heartbeat"); id != "" {
			t.Errorf("a heartbeat moves the cursor to %s", id)
		}
		// Far beyond every limit of the server for ordinary requests.
		for range 40 {
			time.Sleep(heartbeatEvery)
			programs.wantBlock(": heartbeat\n")
		}
		submit(b, "x")
		programs.event("message.queued")
	})
}

func TestStreamEndsWithItsKey(t *testing.T) {
	inBubble(t, queue.Options{}, func(t *testing.T, b *box) {
		l := b.listen(t, "/v1/events", bearer(b.read))
		if _, err := b.o.Keys.Revoke(ctx, "read"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(heartbeatEvery + time.Second)
		<-l.ended
		for block := range l.blocks {
			t.Errorf("a revoked key still gets %q", block)
		}
	})
}

func TestStreamsEndWhenTheServerStops(t *testing.T) {
	inBubble(t, queue.Options{}, func(t *testing.T, b *box) {
		l := b.listen(t, "/v1/events", bearer(b.read))
		if b.listeners.Load() != 1 {
			t.Errorf("%d listeners", b.listeners.Load())
		}
		b.ask("GET", "/readyz", nil, "").want(200)
		b.Stop()
		<-l.ended
		b.ask("GET", "/readyz", nil, "").problem(notReady)
		synctest.Wait()
		if b.listeners.Load() != 0 {
			t.Errorf("%d listeners after the end", b.listeners.Load())
		}
	})
}

// A reader whose event is no longer in the log, or never was, is told.
func TestReset(t *testing.T) {
	inBubble(t, queue.Options{}, func(t *testing.T, b *box) {
		for range 5 {
			submit(b, "old")
		}
		// What the reports have not counted yet is kept: the text is something to count.
		b.receives(1, "00040B911234567890F1000062101121436500"+"02E834")
		if err := b.o.Reports.Count(ctx); err != nil {
			t.Fatal(err)
		}
		// The log forgets what is older than an hour.
		time.Sleep(2 * time.Hour)
		if err := b.queue.Prune(ctx, time.Now(), queue.Retention{Events: time.Hour}); err != nil {
			t.Fatal(err)
		}
		submit(b, "new")
		oldest, newest, err := b.queue.Span(ctx)
		if err != nil || oldest <= 2 {
			t.Fatalf("the log still goes from %d to %d, %v", oldest, newest, err)
		}
		for _, after := range []int64{1, oldest - 2, newest + 1, 1 << 40} {
			l := b.listen(t, fmt.Sprintf("/v1/events?after=%d", after), bearer(b.read))
			if id, _ := l.event("reset"); id != fmt.Sprint(newest) {
				t.Errorf("after %d: reset goes on from %s, want %d", after, id, newest)
			}
			l.quiet()
			l.cancel()
		}
		l := b.listen(t, fmt.Sprintf("/v1/events?after=%d", oldest-1), bearer(b.read))
		if _, m := l.event("message.queued"); m.Text == "" {
			t.Errorf("the oldest event is %+v", m)
		}

		var page eventsPage
		b.ask("GET", "/v1/events?after=1", bearer(b.read).with("Accept", "application/json"), "").want(200).into(&page)
		if !page.Reset || len(page.Events) != 0 || page.NextAfter != newest {
			t.Errorf("page %+v", page)
		}
	})
}

// Erasing a message takes its events out of the log; who has seen them has
// missed nothing.
func TestErasingIsNoReset(t *testing.T) {
	inBubble(t, queue.Options{}, func(t *testing.T, b *box) {
		l := b.listen(t, "/v1/events", bearer(b.read))
		submit(b, "x")
		id, _ := l.event("message.queued")
		b.ask("DELETE", "/v1/numbers/+491701234567", bearer(b.admin), "").want(200)
		m := submit(b, "y")
		if next, got := l.event("message.queued"); got.ID != m.ID || next == id {
			t.Errorf("after event %s comes %s of %+v", id, next, got)
		}
		b.ask("DELETE", "/v1/numbers/+491701234567", bearer(b.admin), "").want(200)
		l = b.listen(t, "/v1/events", bearer(b.read).with("Last-Event-ID", "2"))
		l.quiet()
	})
}

type eventsPage struct {
	Events []struct {
		ID   int64
		Type string
		Data sms.Message
	}
	NextAfter int64 `json:"next_after"`
	Reset     bool
}

func TestEventPages(t *testing.T) {
	b := newBox(t, settings{})
	asJSON := bearer(b.read).with("Accept", "application/json")
	page := func(query string) (p eventsPage) {
		t.Helper()
		b.ask("GET", "/v1/events"+query, asJSON, "").want(200).into(&p)
		return p
	}
	if p := page(""); len(p.Events) != 0 || p.NextAfter != 0 || p.Reset {
		t.Errorf("an empty log: %+v", p)
	}
	for i := range 5 {
		submit(b, fmt.Sprint(i))
	}
	p := page("?limit=2")
	if len(p.Events) != 2 || p.Events[1].Data.Text != "1" || p.Events[1].ID != p.NextAfter || p.Events[0].Type != "message.queued" {
		t.Errorf("page %+v", p)
	}
	p = page(fmt.Sprintf("?after=%d", p.NextAfter))
	if len(p.Events) != 3 || p.Events[0].Data.Text != "2" {
		t.Errorf("page %+v", p)
	}
	if end := page(fmt.Sprintf("?after=%d", p.NextAfter)); len(end.Events) != 0 || end.NextAfter != p.NextAfter || end.Reset {
		t.Errorf("at the end %+v", end)
	}
	for query, field := range map[string]string{"?after=-1": "after", "?after=x": "after", "?after=": "after", "?limit=501": "limit", "?heartbeat=event": "heartbeat"} {
		b.ask("GET", "/v1/events"+query, asJSON, "").problem(invalidFields, field)
	}
	for query, field := range map[string]string{"?limit=5": "limit", "?heartbeat=never": "heartbeat", "?after=1.5": "after"} {
		b.get("/v1/events"+query).problem(invalidFields, field)
	}
	b.ask("GET", "/v1/events", bearer(b.read).with("Last-Event-ID", "x"), "").problem(invalidFields, "Last-Event-ID")
}

// A reader that does not read is let go: it holds no memory and no goroutine.
func TestStreamLetsASleepingReaderGo(t *testing.T) {
	inBubble(t, queue.Options{}, func(t *testing.T, b *box) {
		server, client := net.Pipe()
		conns := make(chan net.Conn, 1)
		conns <- server
		s := b.Server()
		go s.Serve(&pipeListener{conns: conns, closed: make(chan struct{})})
		defer s.Close()
		defer client.Close()
		fmt.Fprintf(client, "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", b.read)
		if _, err := bufio.NewReader(client).ReadString('\n'); err != nil { // and no more
			t.Fatal(err)
		}
		synctest.Wait()
		submit(b, "nobody reads this")
		synctest.Wait()
		if b.listeners.Load() != 1 {
			t.Fatalf("%d listeners", b.listeners.Load())
		}
		time.Sleep(2*writeWait + time.Second)
		synctest.Wait()
		if b.listeners.Load() != 0 {
			t.Errorf("%d listeners", b.listeners.Load())
		}
	})
}

// A browser whose stream breaks before the first event comes back to where it was.
func TestStreamSaysWhereItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, settings{single: true})
		post := func() { b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x"}`).accepted() }
		fresh := b.listen(t, "/v1/events?types=call.received", bearer(b.read))
		post()
		l := b.listen(t, "/v1/events", bearer(b.read))
		if fresh.begins != 0 || l.begins != 1 {
			t.Fatalf("they begin after %d and %d, want 0 and 1", fresh.begins, l.begins)
		}
		l.cancel()
		post()
		l = b.listen(t, "/v1/events", bearer(b.read).with("Last-Event-ID", fmt.Sprint(l.begins)))
		if id, _ := l.event("message.queued"); id != "2" {
			t.Errorf("it goes on with event %s", id)
		}
		fresh.wantBlock("id: 2\n") // the log may be pruned behind who wants few types
	})
}

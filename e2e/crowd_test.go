//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatewayd/sim"
	"gatewayd/sms"
)

// Ten thousand messages from 200 clients, each with its Idempotency-Key; every
// tenth is posted again with the same key at some moment: beside the first,
// after its connection broke, or long after. Meanwhile the daemon is killed
// three times. Each key gets one message, and each message is sent once: twice
// only if it was in a modem's hand at a kill, and then it says so.
func TestTenThousandPostsAndThreeKills(t *testing.T) {
	const (
		messages = 10_000
		clients  = 200
		modems   = 8
	)
	kills := []int64{2000, 5000, 8000} // when so many are accepted
	s := newSite(t, modems, sim.NetworkOptions{Latency: 8 * time.Millisecond, Jitter: 4 * time.Millisecond}, "queue: {unconfirmed_wait: 2s}\n")
	s.binary, s.level = quickBinary(t), "warn"
	s.start()
	c := &crowd{s: s, ids: make([]string, messages), http: &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * clients, MaxIdleConns: 2 * clients}}}
	defer c.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()

	var next atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= messages || ctx.Err() != nil {
					return
				}
				c.submit(ctx, &all, i)
			}
		})
	}
	began := time.Now()
	for _, at := range kills {
		s.eventually(fmt.Sprintf("%d messages are accepted", at), 2*time.Minute, func() bool { return c.accepted.Load() >= at })
		s.kill()
		s.start()
	}
	all.Wait()
	t.Logf("accepted after %v, %d sent", time.Since(began), len(s.net.Accepted()))
	if c.accepted.Load() != messages {
		t.Fatalf("%d messages were accepted, want %d", c.accepted.Load(), messages)
	}
	// Not until all is delivered: reports that came while it was dead are lost.
	for _, open := range []sms.Status{sms.Queued, sms.Sending, sms.Unconfirmed, sms.Queued} {
		s.eventually("no message is "+string(open), 3*time.Minute, func() bool {
			var page struct{ Messages []sms.Message }
			_, b := s.call(http.MethodGet, "/v1/messages?limit=1&direction=outbound&status="+string(open), "")
			return json.Unmarshal(b, &page) == nil && len(page.Messages) == 0
		})
	}

	t.Logf("sent after %v", time.Since(began))
	times := map[string]int{}
	for _, a := range s.net.Accepted() {
		times[a.Text]++
	}
	twice := 0
	for i, id := range c.ids {
		switch n := times[textOf(i)]; {
		case n == 0:
			t.Errorf("message %d was accepted as %s and never sent: %+v", i, id, s.message(id))
		case n > 1:
			twice += n - 1
			if m := s.message(id); !m.PossibleDuplicate {
				t.Errorf("message %d was sent %d times and is not marked possible_duplicate: %+v", i, n, m)
			}
		}
	}
	if len(times) != messages {
		t.Errorf("%d different texts were sent, want %d", len(times), messages)
	}
	if most := modems * len(kills); twice > most {
		t.Errorf("%d texts were sent twice; each kill can leave one in doubt on each modem, %d in all", twice, most)
	}
	t.Logf("%d POSTs for %d messages, %d of them broken off; %d texts sent twice, marked", c.posts.Load(), messages, c.broken.Load(), twice)
}

// crowd are clients that go on until they have their 202.
type crowd struct {
	s                       *site
	http                    *http.Client
	accepted, posts, broken atomic.Int64

	mu  sync.Mutex
	ids []string // by message
}

func textOf(i int) string { return fmt.Sprintf("message %d", i) }

// submit gets message i accepted, every tenth more than once.
func (c *crowd) submit(ctx context.Context, all *sync.WaitGroup, i int) {
	r := rand.New(rand.NewPCG(uint64(i), 10_000))
	if i%10 != 7 {
		c.once(ctx, i)
		return
	}
	switch r.IntN(3) {
	case 0: // beside the first
		all.Go(func() { c.once(ctx, i) })
		c.once(ctx, i)
	case 1: // the client hangs up before it has an answer, or does not know that it had one
		short, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(int(60*time.Millisecond))))
		if status, _, _ := c.post(short, i); status != http.StatusAccepted {
			c.broken.Add(1)
		}
		cancel()
		c.once(ctx, i)
	case 2: // long after
		c.once(ctx, i)
		all.Go(func() {
			pause(ctx, time.Duration(r.IntN(int(8*time.Second))))
			c.once(ctx, i)
		})
	}
}

// once posts message i until it is answered 202, and holds the answer against
// what the same key was answered before.
func (c *crowd) once(ctx context.Context, i int) {
	for ctx.Err() == nil {
		status, body, err := c.post(ctx, i)
		switch {
		case err != nil, status == http.StatusConflict: // the daemon is dead; the same key is at work
			pause(ctx, 20*time.Millisecond)
			continue
		case status != http.StatusAccepted:
			c.s.t.Errorf("message %d was answered %d %s", i, status, body)
			return
		}
		var m sms.Message
		if err := json.Unmarshal(body, &m); err != nil || m.Text != textOf(i) {
			c.s.t.Errorf("message %d was answered %s", i, body)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		switch c.ids[i] {
		case "":
			c.ids[i] = m.ID
			c.accepted.Add(1)
		case m.ID:
		default:
			c.s.t.Errorf("message %d became %s and, by the same key, %s", i, c.ids[i], m.ID)
		}
		return
	}
}

func (c *crowd) post(ctx context.Context, i int) (int, []byte, error) {
	c.posts.Add(1)
	body := fmt.Sprintf(`{"to": "+49171%07d", "text": %q}`, i%1000, textOf(i))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.s.base+"/v1/messages", bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.s.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", fmt.Sprintf("key-%d", i))
	a, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	return a.StatusCode, b, err
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

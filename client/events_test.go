package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/auth"
	"gatewayd/client"
	"gatewayd/queue"
	"gatewayd/sms"
)

// follower collects events in a goroutine of its own.
type follower struct {
	mu   sync.Mutex
	ids  []int64
	kind []string
	end  error
	done chan struct{}
}

func (b *box) follow(ctx context.Context, after int64) *follower {
	f := &follower{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for e, err := range b.client.Events(ctx, after) {
			f.mu.Lock()
			if err != nil {
				f.end = err
			} else {
				f.ids, f.kind = append(f.ids, e.ID), append(f.kind, e.Type)
				if !bytes.Contains(e.Body, []byte(`"type":"`+e.Type+`"`)) {
					b.t.Errorf("event %d has the body %s", e.ID, e.Body)
				}
			}
			f.mu.Unlock()
		}
	}()
	synctest.Wait()
	return f
}

func (f *follower) want(t *testing.T, ids ...int64) {
	t.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.ids, ids) {
		t.Errorf("events %v, want %v", f.ids, ids)
	}
}

func (b *box) send(n int) {
	b.t.Helper()
	for range n {
		if _, err := b.client.Send(context.Background(), text); err != nil {
			b.t.Error(err)
		}
	}
}

// The log is followed over broken connections: each event once, in order.
func TestEventsOverBrokenConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, queue.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		b.send(3)
		after1, start, now := b.follow(ctx, 1), b.follow(ctx, client.FromStart), b.follow(ctx, client.FromNow)
		b.send(2)
		after1.want(t, 2, 3, 4, 5)
		start.want(t, 1, 2, 3, 4, 5)
		now.want(t, 4, 5)

		b.breaks(9, func(*http.Request) (*http.Response, bool, error) {
			return nil, false, errors.New("the network is gone")
		})
		b.cut()
		synctest.Wait()
		b.mu.Lock()
		b.fault = nil
		b.mu.Unlock()
		b.send(2) // while nobody listens
		time.Sleep(time.Minute)
		after1.want(t, 2, 3, 4, 5, 6, 7)
		start.want(t, 1, 2, 3, 4, 5, 6, 7)
		now.want(t, 4, 5, 6, 7)

		// Minutes without an event, but with heartbeats, are no reason to come again.
		before := b.requests()
		time.Sleep(10 * time.Minute)
		if n := b.requests() - before; n != 0 {
			t.Errorf("%d new connections while it was quiet", n)
		}
		cancel()
		<-after1.done
		<-start.done
		<-now.done
		if !errors.Is(now.end, context.Canceled) {
			t.Errorf("the end: %v", now.end)
		}
	})
}

// A Retry-After from a wrong clock does not end a stream.
func TestStreamComesBackInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, queue.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		b.send(1)
		b.breaks(1, func(*http.Request) (*http.Response, bool, error) {
			return answer(503, "Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"), false, nil
		})
		f := b.follow(ctx, 1)
		synctest.Wait()
		b.send(2)
		time.Sleep(11 * time.Minute)
		f.want(t, 2, 3)
	})
}

// A connection that is open and dead is found out.
func TestSilentStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, queue.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		b.breaks(2, func(r *http.Request) (*http.Response, bool, error) {
			if !strings.Contains(r.Header.Get("Accept"), "event-stream") {
				return nil, false, nil
			}
			body, w := io.Pipe()
			context.AfterFunc(r.Context(), func() { w.CloseWithError(r.Context().Err()) })
			res := answer(200)
			res.Body = body
			return res, false, nil
		})
		f := b.follow(ctx, client.FromNow)
		b.send(1)
		f.want(t)
		time.Sleep(50 * time.Second)
		f.want(t, 1)
		if len(b.said) != 1 || !strings.Contains(b.said[0], "heartbeat") {
			t.Errorf("told: %q", b.said)
		}
		cancel()
		<-f.done
	})
}

// Events that the log no longer has are not passed over in silence.
func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, queue.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		b.send(2)
		f := b.follow(ctx, 4711) // of another log
		f.want(t, 2)
		b.send(1)
		f.want(t, 2, 3)
		if f.kind[0] != client.Reset || f.kind[1] != "message.queued" {
			t.Errorf("types %q", f.kind)
		}
		cancel()
		<-f.done
	})
}

// A key that ends ends the events; nothing is tried for ever.
func TestEventsOfARevokedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, queue.Options{})
		token, _, err := b.keys.Create(t.Context(), "short", []auth.Scope{auth.Read}, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		c := b.with(token)
		start := time.Now()
		for _, err = range c.Events(t.Context(), client.FromNow) {
		}
		var refused *client.Error
		if !errors.As(err, &refused) || refused.Status != 401 || time.Since(start) > 62*time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		for _, err = range c.Events(t.Context(), -7) {
		}
		if err == nil {
			t.Error("-7 is taken for an event")
		}
	})
}

// Wait sees what becomes of a message, whenever it happens.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, queue.Options{})
		m, err := b.client.Send(t.Context(), client.NewMessage{To: phone, Text: new("x"), ExpiresAt: new(time.Now().Add(time.Hour))})
		if err != nil {
			t.Fatal(err)
		}
		var seen []client.Status
		watched := make(chan error, 1)
		go func() {
			for m, err := range b.client.Watch(t.Context(), m.ID) {
				if err != nil {
					watched <- err
					return
				}
				if seen = append(seen, m.Status); client.Final(m) {
					break
				}
			}
			watched <- nil
		}()
		synctest.Wait()
		b.send(1) // of others nothing is told
		time.Sleep(time.Minute)
		b.cut()
		if _, err := b.queue.Cancel(t.Context(), m.ID); err != nil {
			t.Fatal(err)
		}
		if err := <-watched; err != nil || !slices.Equal(seen, []client.Status{client.StatusQueued, client.StatusCanceled}) {
			t.Errorf("%v, %v", seen, err)
		}
		if got, err := b.client.Wait(t.Context(), m.ID, nil); err != nil || got.Status != client.StatusCanceled {
			t.Errorf("of a message that is over: %+v, %v", got, err)
		}
		other, err := b.client.Send(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := b.client.Wait(ctx, other.ID, client.Final); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait in vain: %v", err)
		}
		var refused *client.Error
		if _, err := b.client.Wait(t.Context(), "msg_00000000000000000000000000", nil); !errors.As(err, &refused) || refused.Status != 404 {
			t.Errorf("of no message: %v", err)
		}
	})
}

// Final says what the table of statuses says: from where a message may go on
// only because a report came late, it is final.
func TestFinal(t *testing.T) {
	open := map[client.Status]bool{client.StatusScheduled: true, client.StatusQueued: true, client.StatusSending: true, client.StatusUnconfirmed: true}
	for _, s := range []client.Status{client.StatusScheduled, client.StatusQueued, client.StatusSending, client.StatusSent, client.StatusDelivered, client.StatusUndelivered,
		client.StatusUnconfirmed, client.StatusFailed, client.StatusExpired, client.StatusCanceled, client.StatusReceived} {
		if !sms.Status(s).Valid() {
			t.Errorf("%s is no status", s)
		}
		for _, report := range []bool{true, false} {
			want := !open[s] && (s != client.StatusSent || !report)
			if got := client.Final(&client.Message{Status: s, DeliveryReport: report}); got != want {
				t.Errorf("%s with report %t: final is %t", s, report, got)
			}
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"gatewayd/mirror"
	"gatewayd/sms"
)

// gateway is a light one.
type gateway struct {
	name, credentials string
	nc                *nats.Conn
	js                jetstream.JetStream
	taken             int
	has               map[string]bool // messages, by id
	seq               int64
	refused, unheard  *atomic.Int64 // how often a stream refused something, and a hello got no answer; all gateways together
	over              chan struct{}
}

// window is how much a gateway tells before the hub's stream has the first of it.
const window = 256

// patience is for everything.
const patience = 15 * time.Minute

// connect dials, and says hello until the hub answers.
func (g *gateway) connect(url string) (err error) {
	g.nc, err = nats.Connect(url, nats.UserCredentials(g.credentials), nats.CustomInboxPrefix(mirror.InboxPrefix(g.name)),
		nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.Timeout(20*time.Second), nats.Name(g.name))
	if err != nil {
		return fmt.Errorf("%s: %w", g.name, err)
	}
	if g.js, err = jetstream.New(g.nc, jetstream.WithPublishAsyncMaxPending(2*window), jetstream.WithPublishAsyncTimeout(20*time.Second)); err != nil {
		return err
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = g.hello(); err != nil {
			continue
		}
		g.over = make(chan struct{})
		go g.hellos()
		return nil
	}
	return fmt.Errorf("%s: the hub does not serve it: %w", g.name, err)
}

func (g *gateway) hello() error {
	b, err := json.Marshal(mirror.HelloRequest{
		Version: "light", Log: "light", Modems: json.RawMessage("[]"), Alarms: json.RawMessage("[]"), ClockTrusted: true, Now: time.Now(),
	})
	if err == nil {
		_, err = g.nc.Request(mirror.Hello(g.name), b, 5*time.Second)
	}
	return err
}

// hellos says hello from time to time, or the hub would take the gateway for away.
func (g *gateway) hellos() {
	for {
		t := time.NewTimer(mirror.HelloEvery - mirror.HelloEvery/10 + rand.N(mirror.HelloEvery/5))
		select {
		case <-t.C:
			if g.hello() != nil {
				g.unheard.Add(1)
			}
		case <-g.over:
			t.Stop()
			return
		}
	}
}

func (g *gateway) close() {
	close(g.over)
	g.nc.Close()
}

// take takes n messages, and has it told of each that it was stored, sent and delivered.
func (g *gateway) take(ctx context.Context, n int) error {
	var group errgroup.Group
	happened := make(chan mirror.Event, 3*n)
	group.Go(func() error { return g.tell(ctx, happened) })
	err := g.fetch(ctx, n, happened)
	close(happened)
	return errors.Join(err, group.Wait())
}

func (g *gateway) fetch(ctx context.Context, n int, happened chan<- mirror.Event) error {
	var have []uint64
	for end := time.Now().Add(patience); n > 0 || len(have) > 0; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: %d messages never came", g.name, n)
		}
		answer, err := g.pull(mirror.PullRequest{Have: have, Free: min(n, mirror.Window), Wait: 20})
		if errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) { // a hub that is very busy
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		have = nil
		for _, p := range answer.Items {
			var item mirror.Item
			if err := json.Unmarshal(p.Item, &item); err != nil {
				return fmt.Errorf("%s: %w", g.name, err)
			}
			if item.Message != nil && !g.has[item.Message.ID] { // what it did not get an answer for comes again
				g.has[item.Message.ID] = true
				g.happen(item.Message, happened)
				n--
			}
			have = append(have, p.Seq)
		}
	}
	return nil
}

func (g *gateway) pull(asked mirror.PullRequest) (answer mirror.PullAnswer, err error) {
	b, err := json.Marshal(asked)
	if err != nil {
		return answer, err
	}
	m, err := g.nc.Request(mirror.PullSubject(g.name), b, 60*time.Second)
	if err == nil {
		err = json.Unmarshal(m.Data, &answer)
	}
	return answer, err
}

// happen is what a gateway with a very quick modem tells of a message.
func (g *gateway) happen(m *mirror.Message, happened chan<- mirror.Event) {
	now := time.Now()
	g.taken++
	s := mirror.State{ID: m.ID, Address: m.Address, Mirror: g.taken, Epoch: m.Epoch, Status: sms.Queued, UpdatedAt: now}
	for _, s.Status = range []sms.Status{sms.Queued, sms.Sent, sms.Delivered} {
		switch s.Status {
		case sms.Sent:
			s.Attempts, s.SentAt = 1, now
		case sms.Delivered:
			s.DeliveredAt = now
		}
		told := s
		happened <- mirror.Event{At: now, State: &told}
	}
}

// tell tells the hub what happened, in order, as package link does: so many at once, from
// the first that was not confirmed again and under another name of the log when something
// was refused, later and fewer at once when there was too much.
func (g *gateway) tell(ctx context.Context, happened <-chan mirror.Event) error {
	var open []mirror.Event // not confirmed
	room, wait, log, ended := window, 250*time.Millisecond, 0, false
	for end := time.Now().Add(patience); ; {
		for !ended && len(open) < room {
			if len(open) > 0 && len(happened) == 0 {
				break
			}
			e, ok := <-happened
			if ended = !ok; ok {
				g.seq++
				e.Seq = g.seq
				open = append(open, e)
			}
		}
		if len(open) == 0 {
			return nil
		}
		n, err := g.publish(ctx, fmt.Sprintf("light.%d", log), open[:min(room, len(open))])
		open = open[n:]
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			room, wait = min(window, 2*room), 250*time.Millisecond
		case time.Now().After(end):
			return fmt.Errorf("%s: an event is not with the hub: %w", g.name, err)
		default:
			g.refused.Add(1)
			log++
			room = max(1, room/2)
			time.Sleep(wait/2 + rand.N(wait))
			wait = min(2*wait, 15*time.Second)
		}
	}
}

// publish tells some events, and how many of them the hub's stream has.
func (g *gateway) publish(ctx context.Context, log string, events []mirror.Event) (n int, err error) {
	var futures []jetstream.PubAckFuture
	for _, e := range events {
		e.Log = log
		b, err := json.Marshal(e)
		if err != nil {
			return 0, err
		}
		f, err := g.js.PublishAsync(mirror.Tell(g.name), b, jetstream.WithMsgID(fmt.Sprintf("%s.%s.%d", g.name, log, e.Seq)), jetstream.WithRetryAttempts(0))
		if err != nil {
			return 0, err
		}
		futures = append(futures, f)
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
			n++
		case err := <-f.Err():
			return n, err
		case <-ctx.Done():
			return n, ctx.Err()
		}
	}
	return n, nil
}

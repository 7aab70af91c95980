package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"gatewayd/failpoint"
	"gatewayd/queue"
)

const (
	parallel   = 8           // attempts of one endpoint at once, each of another lane
	loadAhead  = 64          // due deliveries read at once
	lookAgain  = time.Minute // while something waits: the clock may be set
	lookIdle   = time.Hour
	stopWait   = 3 * time.Second // for attempts under way when Run ends
	downAfter  = 5               // failures in a row after which a success means: it is back
	troubleGap = time.Second     // after a fault of our own database
)

// endpoint works through its deliveries. The fields below the line belong to
// its run goroutine.
type endpoint struct {
	Endpoint
	id       int64
	identity string
	name     string // as people see it
	urlHash  string
	queue    *queue.Queue
	store    *store
	sender   *sender
	metrics  *Metrics
	now      func() time.Time
	log      *slog.Logger
	disabled atomic.Bool
	wake     chan struct{} // holds one: look at the table again
	trouble  trouble
	failed   trouble                   // deliveries that were given up
	resume   atomic.Pointer[time.Time] // no attempt before it, by Retry-After
	back     atomic.Bool               // the endpoint answered again: nothing needs to wait

	// ————
	ready    []job
	underway map[int64]bool
	done     chan int64
}

func newEndpoint(c Endpoint, o Options) (*endpoint, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("webhook %s: its url is not one", c.Name)
	}
	name := c.Name
	if name == "" {
		name = u.Hostname()
	}
	if u.Scheme == "http" && !c.AllowPrivate {
		return nil, fmt.Errorf("webhook %s: plain http:// shows texts and numbers to the network; use https://, or set allow_private: true", name)
	}
	keys, err := parseSecrets(c.Secret)
	if err != nil {
		return nil, fmt.Errorf("webhook %s: %w", name, err)
	}
	if len(c.Events) == 0 {
		return nil, fmt.Errorf("webhook %s: it names no events", name)
	}
	sum := sha256.Sum256([]byte(c.URL))
	e := &endpoint{
		Endpoint: c, name: name, urlHash: hex.EncodeToString(sum[:16]),
		queue: o.Queue, sender: newSender(c, keys, o.Transport, o.Now), metrics: o.Metrics, now: o.Now,
		log: o.Log.With(logEndpoint, name), wake: make(chan struct{}, 1),
		underway: map[int64]bool{}, done: make(chan int64),
	}
	e.identity = "url " + e.urlHash
	if c.Name != "" {
		e.identity = "name " + c.Name
	}
	return e, nil
}

func (e *endpoint) isDisabled() bool { return e.disabled.Load() }

// poke makes the endpoint look at its table.
func (e *endpoint) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// run delivers until ctx ends, then gives what is under way a moment.
func (e *endpoint) run(ctx context.Context) error {
	attempts, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	for {
		wait, err := e.round(ctx, attempts)
		if err != nil && ctx.Err() == nil {
			e.log.Error("webhook deliveries can't be read", "error", err)
			wait = troubleGap
		}
		timer := time.NewTimer(wait)
		select {
		case row := <-e.done:
			delete(e.underway, row)
		case <-e.wake:
			e.ready = nil // what was read may be outdated
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			e.finish(abort)
			return ctx.Err()
		}
		timer.Stop()
	}
}

// finish waits for the attempts under way; those that take too long are cut
// off and made again at the next start.
func (e *endpoint) finish(abort func()) {
	timer := time.AfterFunc(stopWait, abort)
	defer timer.Stop()
	for len(e.underway) > 0 {
		delete(e.underway, <-e.done)
	}
}

// round starts what is due and returns how long there is nothing else to do.
func (e *endpoint) round(ctx, attempts context.Context) (time.Duration, error) {
	if e.isDisabled() {
		return lookIdle, e.failAll(ctx)
	}
	if e.back.Swap(false) {
		e.ready = nil
		if err := e.store.hurry(e.id); err != nil {
			return 0, err
		}
	}
	// A pause that is longer than any means that the clock was set back.
	if at := e.resume.Load(); at != nil && at.After(e.now()) && at.Sub(e.now()) <= longestPause {
		return min(at.Sub(e.now()), lookAgain), nil
	}
	for len(e.underway) < parallel {
		if len(e.ready) == 0 {
			if err := e.load(ctx); err != nil {
				return 0, err
			}
		}
		if len(e.ready) == 0 {
			return e.untilNext(ctx)
		}
		j := e.ready[0]
		e.ready = e.ready[1:]
		e.underway[j.row] = true
		go func() {
			e.deliver(attempts, j)
			e.done <- j.row
		}()
	}
	return lookAgain, nil // one of them ends before, or times out
}

// load reads the next slice of what is due.
func (e *endpoint) load(ctx context.Context) error {
	jobs, err := e.store.due(ctx, e.id, loadAhead+len(e.underway))
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if !e.underway[j.row] {
			e.ready = append(e.ready, j)
		}
	}
	return nil
}

func (e *endpoint) untilNext(ctx context.Context) (time.Duration, error) {
	at, ok, err := e.store.nextDue(ctx, e.id)
	if err != nil || !ok {
		return lookIdle, err
	}
	return min(max(at.Sub(e.now()), time.Millisecond), lookAgain), nil
}

// failAll ends what waits for a disabled endpoint.
func (e *endpoint) failAll(ctx context.Context) error {
	e.ready = nil
	for ctx.Err() == nil {
		more, err := e.store.failPending(e.id, "the webhook is disabled since it answered 410 Gone")
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// deliver makes one attempt and books its end.
func (e *endpoint) deliver(ctx context.Context, j job) {
	event, err := e.queue.Event(ctx, j.seq)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		e.metrics.attempts.WithLabelValues(e.name, "dropped").Inc()
		e.log.Info("a webhook delivery is dropped: its message was erased", logDelivery, j.id, logSeq, j.seq)
		e.insist(ctx, func() error { return e.store.drop(j.row, wordsErased) })
		return
	case err != nil:
		if ctx.Err() == nil {
			e.log.Error("an event can't be read for its webhook", logDelivery, j.id, logSeq, j.seq, "error", err)
			_ = pause(ctx, troubleGap)
		}
		return // it stays due
	}
	failpoint.Hit("webhook.before-post")
	r := e.sender.post(ctx, j.id, event.Body())
	failpoint.Hit("webhook.answered")
	if r.status == 0 && ctx.Err() != nil {
		return // cut off by our own end: not the receiver's fault
	}
	if r.verdict == gone {
		e.disabled.Store(true) // before the next of the lane can be seen
	}
	var next time.Time
	e.insist(ctx, func() (err error) {
		next, err = e.store.settle(j, e, r)
		return err
	})
	failpoint.Hit("webhook.booked")
	e.after(j, r, next)
}

// insist repeats a write until it is on disk: an attempt that was made and not
// booked would be made again.
func (e *endpoint) insist(ctx context.Context, write func() error) {
	for {
		err := write()
		if err == nil {
			return
		}
		e.log.Error("a webhook delivery can't be booked", "error", err)
		if pause(ctx, troubleGap) != nil {
			return
		}
	}
}

// after tells people and the run loop what an attempt's end means.
func (e *endpoint) after(j job, r result, next time.Time) {
	now := e.now()
	final := next.IsZero()
	switch {
	case r.verdict == delivered:
		e.metrics.attempts.WithLabelValues(e.name, "delivered").Inc()
		e.failed.end()
		if n, since := e.trouble.end(); n > 0 {
			e.log.Info("the webhook is reachable again", "failures", n, "since", since)
			if n >= downAfter {
				e.back.Store(true)
			}
		}
		return
	case r.verdict == gone:
		e.metrics.attempts.WithLabelValues(e.name, "gone").Inc()
		e.log.Error("the webhook answered 410 Gone and is disabled; retry one of its deliveries or change its url to enable it", logDelivery, j.id)
		return
	case final:
		e.metrics.attempts.WithLabelValues(e.name, "failed").Inc()
		e.failed.begin(now, func(n int, since time.Time) {
			e.log.Error("a webhook delivery is given up and kept; retry it once the receiver is mended",
				logDelivery, j.id, "answer", r.words, "given_up", n, "since", since)
		})
	default:
		e.metrics.attempts.WithLabelValues(e.name, "retry").Inc()
	}
	if r.wait > 0 { // what a receiver asks for with Retry-After holds for all it gets
		at := now.Add(min(r.wait, longestPause))
		e.resume.Store(&at)
	}
	e.trouble.begin(now, func(n int, since time.Time) {
		e.log.Warn("a webhook delivery failed", logDelivery, j.id, "answer", r.words, "next_try", next, "failures", n, "since", since)
	})
	e.log.Debug("webhook attempt failed", logDelivery, j.id, logSeq, j.seq, "answer", r.words, "next_try", next)
}

package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gatewayd/failpoint"
	"gatewayd/pulse"
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
	// lastChance is for what waited behind the event that was given up after three
	// days; if nothing of it is taken, the endpoint is disabled.
	lastChance = 10 * time.Minute
)

// endpoint works through its deliveries, on a goroutine that is there while it
// has something to do now. The fields below the line belong to that goroutine.
type endpoint struct {
	w        *Webhooks
	id       int64
	public   string // its id in the API
	kind     string // a const of kinds
	identity string
	urlHash  string
	created  time.Time
	now      func() time.Time
	settings atomic.Pointer[settings]
	disabled atomic.Bool            // by itself
	removed  atomic.Bool            // from the configuration while it runs: what waits for it is left where it is
	words    atomic.Pointer[string] // why
	failing  atomic.Int64           // since when, Unix milliseconds; 0: it is well
	doomed   atomic.Int64           // when an event was given up after three days, 0: none since the last success
	beat     pulse.Pulse            // of its goroutine
	after    int64                  // it gets the events behind this one
	trouble  trouble
	failed   trouble                   // deliveries that were given up
	resume   atomic.Pointer[time.Time] // no attempt before it, by Retry-After
	back     atomic.Bool               // the endpoint answered again: nothing needs to wait

	mu    sync.Mutex
	wake  chan struct{} // holds one: look at the table again
	works bool          // the goroutine is there
	over  bool          // an origin that nothing waits for any more
	timer *time.Timer   // begins it again

	// ————
	ready    []job
	underway map[int64]bool
	done     chan int64
}

// settings are what the owner of an endpoint may change.
type settings struct {
	Endpoint
	paused   bool
	position int
	secrets  secrets
	shown    string // its name, as people see it
	log      *slog.Logger
}

// The kinds of endpoints.
const (
	ofConfig = "config"
	ofAPI    = "api"
	ofOrigin = "origin" // what messages name themselves, all URLs of one host and port
)

func (w *Webhooks) newEndpoint(kind, name string, s settings) *endpoint {
	e := &endpoint{w: w, kind: kind, now: w.o.Now, wake: make(chan struct{}, 1), underway: map[int64]bool{}, done: make(chan int64)}
	e.use(s, name)
	return e
}

// use has other settings count.
func (e *endpoint) use(s settings, name string) {
	s.shown, s.log = name, e.w.log.With(logEndpoint, name)
	e.settings.Store(&s)
}

func (e *endpoint) name() string { return e.is().shown }

func (e *endpoint) log() *slog.Logger { return e.is().log }

// configured makes an endpoint of the configuration.
func (w *Webhooks) configured(c Endpoint, mail bool) (*endpoint, error) {
	name := c.Name
	if name == "" {
		name = hostOf(c.URL)
	}
	if err := checkURL(c.URL, mail, c.AllowPrivate, "allow_private: true"); err != nil {
		return nil, fmt.Errorf("webhook %s: its url %w", name, err)
	}
	s := settings{Endpoint: c}
	if !isMail(c.URL) || c.Secret != "" {
		keys, err := parseSecrets(c.Secret)
		if err != nil {
			return nil, fmt.Errorf("webhook %s: %w", name, err)
		}
		s.secrets = forever(keys)
	}
	if len(c.Events) == 0 {
		return nil, fmt.Errorf("webhook %s: it names no events", name)
	}
	e := w.newEndpoint(ofConfig, name, s)
	sum := sha256.Sum256([]byte(c.URL))
	e.urlHash = hex.EncodeToString(sum[:16])
	e.identity = "url " + e.urlHash
	if c.Name != "" {
		e.identity = "name " + c.Name
	}
	return e, nil
}

func (e *endpoint) is() *settings { return e.settings.Load() }

// isOff reports whether it gets nothing now.
func (e *endpoint) isOff() bool { return e.disabled.Load() || e.is().paused }

// reason says why it is disabled.
func (e *endpoint) reason() string {
	if words := e.words.Load(); words != nil {
		return *words
	}
	return ""
}

// poke has the endpoint look at its table. It returns false for an origin that
// was forgotten meanwhile.
func (e *endpoint) poke() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over || e.removed.Load() {
		return false
	}
	if e.works {
		select {
		case e.wake <- struct{}{}:
		default:
		}
		return true
	}
	if ctx := e.w.begin(); ctx != nil {
		e.works = true
		if e.timer != nil {
			e.timer.Stop()
		}
		go e.run(ctx)
	}
	return true
}

// rest ends the goroutine, which begins again after wait or when it is poked;
// false: it was poked.
func (e *endpoint) rest(wait time.Duration, idle bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.wake:
		return false
	default:
	}
	e.works = false
	if idle && e.kind == ofOrigin {
		e.over = true
		e.w.forget(e)
		return true
	}
	e.timer = time.AfterFunc(wait, func() { e.poke() })
	return true
}

// run delivers what is due until ctx ends, then gives what is under way a moment.
func (e *endpoint) run(ctx context.Context) {
	defer e.w.work.Done()
	defer e.beat.Rest()
	attempts, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	for ctx.Err() == nil {
		e.beat.Work()
		wait, idle, err := e.round(ctx, attempts)
		if err != nil && ctx.Err() == nil {
			e.log().Error("webhook deliveries can't be read", "error", err)
			wait = troubleGap
		}
		if len(e.underway) == 0 && err == nil && ctx.Err() == nil {
			if e.rest(wait, idle) {
				return
			}
			e.ready = nil
			continue
		}
		timer := time.NewTimer(wait)
		e.beat.Rest()
		select {
		case row := <-e.done:
			delete(e.underway, row)
		case <-e.wake:
			e.ready = nil // what was read may be outdated
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	e.beat.Rest() // the attempts have bounds of their own
	e.finish(abort)
	e.mu.Lock()
	e.works = false
	e.mu.Unlock()
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

// round starts what is due and returns how long there is nothing else to do, and
// whether nothing waits at all.
func (e *endpoint) round(ctx, attempts context.Context) (wait time.Duration, idle bool, err error) {
	if e.removed.Load() {
		return lookIdle, false, nil
	}
	if e.isOff() {
		return lookIdle, true, e.failAll(ctx)
	}
	if e.back.Swap(false) {
		e.ready = nil
		if err := e.w.store.hurry(e.id, false); err != nil {
			return 0, false, err
		}
	}
	grace := time.Duration(lookIdle)
	if at := e.doomed.Load(); at != 0 {
		if grace = time.UnixMilli(at).Add(lastChance).Sub(e.now()); grace <= 0 {
			return 0, false, e.disable(fmt.Sprintf("it took nothing for three days, since %s", time.UnixMilli(e.failing.Load()).UTC().Format(time.RFC3339)))
		}
	}
	// A pause that is longer than any means that the clock was set back.
	if at := e.resume.Load(); at != nil && at.After(e.now()) && at.Sub(e.now()) <= longestPause {
		return min(at.Sub(e.now()), lookAgain), false, nil
	}
	for len(e.underway) < parallel {
		if len(e.ready) == 0 {
			if err := e.load(ctx); err != nil {
				return 0, false, err
			}
		}
		if len(e.ready) == 0 {
			wait, idle, err := e.untilNext(ctx)
			return min(wait, grace), idle, err
		}
		e.beat.Rest() // for a slot
		leave := e.enter(ctx)
		e.beat.Work()
		if leave == nil {
			return lookAgain, false, nil
		}
		j := e.ready[0]
		e.ready = e.ready[1:]
		e.underway[j.row] = true
		go func() {
			e.deliver(attempts, j)
			leave()
			e.done <- j.row
		}()
	}
	return lookAgain, false, nil // one of them ends before, or times out
}

// load reads the next slice of what is due.
func (e *endpoint) load(ctx context.Context) error {
	ahead := loadAhead
	if e.kind == ofOrigin {
		ahead = parallel
	}
	jobs, err := e.w.store.due(ctx, e.id, ahead+len(e.underway))
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

func (e *endpoint) untilNext(ctx context.Context) (wait time.Duration, idle bool, err error) {
	at, ok, err := e.w.store.nextDue(ctx, e.id)
	if err != nil || !ok {
		return lookIdle, err == nil, err
	}
	look := time.Duration(lookAgain)
	if e.kind == ofOrigin { // they are many
		look = lookIdle
	}
	return min(max(at.Sub(e.now()), time.Millisecond), look), false, nil
}

// failAll ends what waits for an endpoint that gets nothing now.
func (e *endpoint) failAll(ctx context.Context) error {
	e.ready = nil
	words := "the webhook is paused"
	if e.disabled.Load() {
		words = "the webhook is disabled since " + e.reason()
	}
	for ctx.Err() == nil {
		e.beat.Work()
		more, err := e.w.store.failPending(e.id, words)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// deliver makes one attempt and books its end.
func (e *endpoint) deliver(ctx context.Context, j job) {
	j.erasures = e.w.erasures.Load()
	event, err := e.w.o.Queue.Event(ctx, j.seq)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		e.count("dropped")
		e.log().Info("a webhook delivery is dropped: its message was erased", logDelivery, j.id, logSeq, j.seq)
		e.insist(ctx, func() error { return e.w.store.drop(j.row, wordsErased) })
		return
	case err != nil:
		if ctx.Err() == nil {
			e.log().Error("an event can't be read for its webhook", logDelivery, j.id, logSeq, j.seq, "error", err)
			_ = pause(ctx, troubleGap)
		}
		return // it stays due
	}
	j.message = event.Message
	failpoint.Hit("webhook.before-post")
	r := e.attempt(ctx, Delivery{ID: j.id, Event: event, URL: j.url, Account: j.account, Attempt: j.attempts + 1}, j.format)
	failpoint.Hit("webhook.answered")
	if r.status == 0 && r.verdict == again && ctx.Err() != nil {
		return // cut off by our own end: not the receiver's fault
	}
	if r.verdict == pointless {
		e.count("dropped")
		e.insist(ctx, func() error { return e.w.store.drop(j.row, r.words) })
		return
	}
	if event.Number != "" && event.Message == "" {
		r.answer = "" // nothing would erase it with the number
	}
	if r.verdict == gone && e.kind == ofOrigin {
		r.verdict, r.words = never, "HTTP 410 Gone"
	}
	if r.verdict == gone {
		words := "it answered 410 Gone"
		e.words.Store(&words)
		e.disabled.Store(true) // before the next of the lane can be seen
	}
	var next time.Time
	e.insist(ctx, func() (err error) {
		next, err = e.w.store.settle(j, e, r)
		return err
	})
	failpoint.Hit("webhook.booked")
	e.tell(j, r, next)
	if r.verdict == gone {
		e.w.tellAlarm()
	}
}

// count counts the end of an attempt. Origins are many, so they count together.
func (e *endpoint) count(result string) {
	name := e.name()
	if e.kind == ofOrigin {
		name = "callback"
	}
	e.w.o.Metrics.attempts.WithLabelValues(name, result).Inc()
}

// insist repeats a write until it is on disk: an attempt that was made and not
// booked would be made again.
func (e *endpoint) insist(ctx context.Context, write func() error) {
	for {
		err := write()
		if err == nil {
			return
		}
		e.log().Error("a webhook delivery can't be booked", "error", err)
		if pause(ctx, troubleGap) != nil {
			return
		}
	}
}

// tell tells people and the run loop what an attempt's end means.
func (e *endpoint) tell(j job, r result, next time.Time) {
	now := e.now()
	final := next.IsZero()
	switch {
	case r.verdict == delivered:
		e.count("delivered")
		e.failed.end()
		if n, since := e.trouble.end(); n > 0 {
			e.log().Info("the webhook is reachable again", "failures", n, "since", since)
			if n >= downAfter {
				e.back.Store(true)
			}
		}
		return
	case r.verdict == gone:
		e.count("gone")
		e.log().Error("the webhook answered 410 Gone and is disabled; retry one of its deliveries or change its url to enable it", logDelivery, j.id)
		return
	case final:
		e.count("failed")
		e.failed.begin(now, func(n int, since time.Time) {
			e.log().Error("a webhook delivery is given up and kept; retry it once the receiver is mended",
				logDelivery, j.id, logMessage, j.message, "answer", r.words, "given_up", n, "since", since)
		})
	default:
		e.count("retry")
	}
	if r.wait > 0 { // what a receiver asks for with Retry-After holds for all it gets
		at := now.Add(min(r.wait, longestPause))
		e.resume.Store(&at)
	}
	e.trouble.begin(now, func(n int, since time.Time) {
		e.log().Warn("a webhook delivery failed", logDelivery, j.id, logMessage, j.message, "answer", r.words, "next_try", next, "failures", n, "since", since)
	})
	e.log().Debug("webhook attempt failed", logDelivery, j.id, logSeq, j.seq, logMessage, j.message, "answer", r.words, "next_try", next)
}

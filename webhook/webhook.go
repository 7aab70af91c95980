// Package webhook posts events to the endpoints of the configuration: signed
// as Standard Webhooks describes, at least once, in order per phone number.
//
// One follower copies what each endpoint wants from the event log into this
// package's own table and moves its cursor in the same commit. Each endpoint
// then works through its rows alone, so none delays another. The rows of one
// endpoint and number are a lane: only the oldest pending row of a lane, its
// head, is ever on the way. What is due is found by an index on the heads, so
// memory stays the same however much waits.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gatewayd/db"
	"gatewayd/queue"
)

// Endpoint is one receiver of events.
type Endpoint struct {
	// Name is shown in logs, lists and metrics and is the endpoint's identity:
	// what waits for it survives a change of the URL. Without one the URL is
	// the identity and its host is shown.
	Name string
	URL  string
	// Secret is whsec_ and base64; several are separated by spaces and each
	// signs, for receivers that change from one to the next.
	Secret string
	Events []string // types; "*" is all
	Match  Match
	// AllowPrivate permits plain HTTP and addresses of this host and the LAN.
	AllowPrivate bool
}

// Options are what New needs.
type Options struct {
	Queue     *queue.Queue
	DB        *db.DB
	Endpoints []Endpoint
	// Formats are further formats by the name that a Target asks for.
	Formats map[string]Format
	// Sources name further receivers of each event.
	Sources []Source
	// Mail sends an e-mail, for endpoints whose URL is mailto:…; id is the webhook-id,
	// for its Message-ID. An error that has Permanent() bool true is a refusal. nil:
	// no e-mail is set up.
	Mail func(ctx context.Context, to []string, subject, text, id string) error
	// Transport replaces the guarded one of every endpoint, for tests.
	Transport http.RoundTripper
	Now       func() time.Time
	// Trusted tells whether Now is the time of day; nil: it is. While it is not,
	// receivers may refuse our time stamps, which is no fault of an event's.
	Trusted func() bool
	Log     *slog.Logger
	Metrics *Metrics
}

// Webhooks delivers events while Run runs.
type Webhooks struct {
	o         Options
	store     *store
	endpoints []*endpoint
	log       *slog.Logger
}

// reader is this package's name among the durable readers of the event log.
const reader = "webhook"

// The keys of this package's log lines.
const (
	logEndpoint = "endpoint"
	logDelivery = "delivery"
	logSeq      = "seq"
)

// New checks the endpoints and books them in the database. It starts nothing.
func New(o Options) (*Webhooks, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Trusted == nil {
		o.Trusted = func() bool { return true }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	w := &Webhooks{o: o, log: o.Log}
	names := map[string]int{}
	for _, c := range o.Endpoints {
		e, err := newEndpoint(c, o)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(w.endpoints, func(o *endpoint) bool { return o.identity == e.identity }) {
			return nil, fmt.Errorf("webhook %s is there twice; give each its own name", e.name)
		}
		if names[e.name]++; names[e.name] > 1 { // two addresses on one host, both without a name
			e.name = fmt.Sprintf("%s-%d", e.name, names[e.name])
		}
		w.endpoints = append(w.endpoints, e)
	}
	var err error
	if w.store, err = openStore(o.DB, o.Now, o.Trusted, w.endpoints); err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	for _, e := range w.endpoints {
		e.store = w.store
		if e.isDisabled() {
			e.log.Warn("this webhook is disabled: it answered 410 Gone; retry one of its deliveries or change its url to enable it")
		}
	}
	if len(w.endpoints) == 0 {
		// Nobody is left to read for: nothing of the log is held.
		err = o.Queue.DropReader(reader)
	} else {
		_, err = o.Queue.Cursor(reader)
	}
	if err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	o.Metrics.endpoints.source.Store(w)
	return w, nil
}

// Run delivers until ctx is done; attempts under way then get a few seconds.
func (w *Webhooks) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.follow(ctx) })
	g.Go(func() error { return w.tidy(ctx) })
	for _, e := range w.endpoints {
		g.Go(func() error { return e.run(ctx) })
	}
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// find returns the configured endpoint with this id, nil if there is none.
func (w *Webhooks) find(id int64) *endpoint {
	for _, e := range w.endpoints {
		if e.id == id {
			return e
		}
	}
	return nil
}

// pause is a wait that ends with ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// trouble logs a fault that repeats: the first, then one in every period, then
// that it is over.
type trouble struct {
	mu    sync.Mutex
	since time.Time // zero: all is well
	told  time.Time
	count int
}

const troublePeriod = time.Hour

func (t *trouble) begin(now time.Time, tell func(count int, since time.Time)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if t.since.IsZero() {
		t.since = now
	} else if now.Sub(t.told) < troublePeriod {
		return
	}
	t.told = now
	tell(t.count, t.since)
}

// end reports how many faults there were, 0 if all was well before.
func (t *trouble) end() (count int, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	count, since = t.count, t.since
	t.count, t.since = 0, time.Time{}
	return count, since
}

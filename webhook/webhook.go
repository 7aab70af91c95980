// Package webhook posts events to endpoints, those of the configuration and
// those that the API makes, and to the URLs that messages name themselves:
// signed as Standard Webhooks describes, at least once, in order per phone number.
//
// One follower copies what each receiver wants from the event log into this
// package's own table and moves its cursor in the same commit. Each endpoint
// then works through its rows alone, so none delays another. The rows of one
// endpoint and number are a lane: only the oldest pending row of a lane, its
// head, is ever on the way. What is due is found by an index on the heads, so
// memory stays the same however much waits. What messages name themselves is
// worked through per origin, as an endpoint of its own that is there while
// something waits for it.
package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gatewayd/db"
	"gatewayd/pulse"
	"gatewayd/queue"
)

// Endpoint is one receiver of events.
type Endpoint struct {
	// Name is shown in logs, lists and metrics and is the endpoint's identity:
	// what waits for it survives a change of the URL. Without one the URL is
	// the identity and its host is shown.
	Name        string
	Description string
	URL         string // http, https, or mailto:a@b.example,c@d.example
	// Secret is whsec_ and base64; several are separated by spaces and each
	// signs, for receivers that change from one to the next.
	Secret string
	Events []string // types; "*" is all
	Match  Match
	// Stop: what this endpoint gets goes to no later one.
	Stop    bool
	Headers map[string]string
	// AllowPrivate permits plain HTTP and addresses of this host and the LAN.
	AllowPrivate bool
}

// Options are what New needs.
type Options struct {
	Queue     *queue.Queue
	DB        *db.DB
	Endpoints []Endpoint
	// Callbacks has the callback_url of messages told what becomes of them.
	Callbacks bool
	// AllowPrivate permits plain HTTP and addresses of this host and the LAN to
	// endpoints that the API makes and to callbacks.
	AllowPrivate bool
	// KeepFailed is how long a failed delivery is kept, and with it the event log;
	// 0: until somebody retries or drops it.
	KeepFailed time.Duration
	// Formats are further formats by the name that a Target asks for.
	Formats map[string]Format
	// Sources name further receivers of each event.
	Sources []Source
	// Mail sends an e-mail, for endpoints whose URL is mailto:…; id is the webhook-id,
	// for its Message-ID. An error that has Permanent() bool true is a refusal. nil:
	// no e-mail is set up.
	Mail func(ctx context.Context, to []string, subject, text, id string) error
	// Alarm is told which endpoints are disabled by themselves, in words, whenever that
	// changes and at the start; "": none is. May be nil.
	Alarm func(detail string)
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
	log       *slog.Logger
	callbacks secrets // of messages' own URLs
	place     atomic.Int64
	erasures  atomic.Int64  // so many there were
	wanted    chan struct{} // closed once there is something to follow the log for
	start     int64         // where following begins; set before wanted is closed
	followed  atomic.Int64  // the follower is done with the events up to here
	again     int64         // events up to here were there before this run
	reads     atomic.Bool   // this package is a reader of the log, which holds it
	want      sync.Once
	beat      pulse.Pulse      // the follower's
	client    [3]*http.Client  // by reach
	slots     [2]chan struct{} // attempts at origins: that are well, that fail
	alarmed   sync.Mutex
	managing  sync.Mutex // one change of endpoints or secrets at a time
	variable  atomic.Pointer[variable]
	removed   map[string]*endpoint // of the configuration, by identity, that may come back; managing guards it

	// endpoints are replaced as a whole, in the commit that changes them.
	endpoints atomic.Pointer[[]*endpoint]

	mu      sync.Mutex
	origins map[int64]*endpoint // that something waits for
	running context.Context     // nil: Run has not begun
	work    sync.WaitGroup
}

// reader is this package's name among the durable readers of the event log.
const reader = "webhook"

// The keys of this package's log lines.
const (
	logEndpoint = "endpoint"
	logDelivery = "delivery"
	logSeq      = "seq"
	logMessage  = "msg_id"
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
	w := &Webhooks{o: o, log: o.Log, wanted: make(chan struct{}), origins: map[int64]*endpoint{}, removed: map[string]*endpoint{},
		slots: [2]chan struct{}{make(chan struct{}, healthyCallbacks), make(chan struct{}, failingCallbacks)}}
	if o.Callbacks {
		w.o.Sources = append([]Source{callbacks{}}, o.Sources...)
	}
	for reach := range w.client {
		w.client[reach] = newClient(cmp.Or(o.Transport, http.RoundTripper(newTransport(reach == anywhere, o.Now, permits[reach]))))
	}
	w.variable.Store(&variable{o.Mail, o.KeepFailed})
	configured, err := w.fromConfig(o.Endpoints, o.Mail != nil)
	if err != nil {
		return nil, err
	}
	if err := w.open(configured); err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	for _, e := range w.list() {
		if e.disabled.Load() {
			e.log().Warn("this webhook is disabled; enable it, retry one of its deliveries, or change its url", "why", e.reason())
		}
	}
	w.tellAlarm()
	o.Metrics.endpoints.source.Store(w)
	return w, nil
}

// open reads and books the endpoints, and takes this package's place in the log.
func (w *Webhooks) open(configured []*endpoint) (err error) {
	w.o.Queue.OnErase(w.erase)
	w.o.Queue.OnExport("webhook_answers", exportAnswers)
	newest, err := w.newest(context.Background())
	if err != nil {
		return err
	}
	if w.store, err = openStore(w.o.DB, w.o.Now, w.o.Trusted, configured, newest); err != nil {
		return err
	}
	made, err := w.loadMade(newest, configured)
	if err != nil {
		return err
	}
	all := append(configured, made...)
	w.endpoints.Store(&all)
	if w.callbacks, err = w.loadSecrets(callbackEndpoint); err != nil {
		return err
	}
	if w.o.Callbacks && len(w.callbacks) == 0 {
		if _, err := w.RotateCallbackSecret(context.Background(), 0); err != nil {
			return err
		}
	}
	waiting, err := w.store.callbacksWait()
	if err != nil {
		return err
	}
	sources, err := w.needed()
	if err != nil {
		return err
	}
	if len(all) > 0 || sources || waiting {
		return w.follows()
	}
	// Nobody is left to read for: nothing of the log is held, and no received
	// message waits for us. The log is followed all the same for callbacks; the first
	// one makes this package a reader. What came right before the last run ended may
	// not be copied yet, so the end of the log is read again: what is there stays.
	if len(w.o.Sources) > 0 {
		w.start, w.again = max(newest-readAgain, 0), newest
		w.want.Do(func() {
			w.place.Store(newest)
			w.followed.Store(w.start)
			close(w.wanted)
		})
	}
	return w.o.Queue.DropReader(reader)
}

// needed tells whether a source may name receivers already.
func (w *Webhooks) needed() (any bool, err error) {
	err = w.o.DB.Read(context.Background(), func(q db.Querier) error {
		for _, s := range w.o.Sources {
			idle, ok := s.(Idler)
			if !ok {
				any = true
				continue
			}
			none, err := idle.Idle(q)
			if err != nil {
				return err
			}
			any = any || !none
		}
		return nil
	})
	return any, err
}

// readAgain is how many events are read again at a start without a place in the
// log, as far as they are young enough for their deliveries to be known still.
const (
	readAgain      = 10_000
	readAgainYoung = kept - 24*time.Hour
)

// follows makes this package a reader of the event log.
func (w *Webhooks) follows() error {
	if w.reads.Load() {
		return nil
	}
	from := int64(-1)
	select {
	case <-w.wanted: // not as a reader yet
		from = w.followed.Load()
	default:
	}
	at, err := w.o.Queue.CursorFrom(reader, from)
	if err == nil {
		w.reads.Store(true)
		w.want.Do(func() {
			w.start = at
			w.followed.Store(at)
			w.place.Store(at)
			close(w.wanted)
		})
	}
	return err
}

// list are the endpoints in their order.
func (w *Webhooks) list() []*endpoint { return *w.endpoints.Load() }

// Run delivers until ctx is done; attempts under way then get a few seconds.
func (w *Webhooks) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	w.mu.Lock()
	w.running = ctx
	w.mu.Unlock()
	g.Go(func() error { return w.follow(ctx) })
	g.Go(func() error { return w.tidy(ctx) })
	g.Go(func() error { return w.wakeOrigins(ctx) })
	for _, e := range w.list() {
		e.poke()
	}
	err := g.Wait()
	w.mu.Lock()
	w.running = nil // nobody begins any more
	w.mu.Unlock()
	w.work.Wait()
	for _, c := range w.client {
		c.CloseIdleConnections()
	}
	if !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// stuckAfter is how long one step of the follower or of an endpoint may take.
const stuckAfter = 2 * time.Minute

// Loops are the follower and the endpoints, as one that looks after them sees them.
func (w *Webhooks) Loops() []pulse.Loop {
	all := []pulse.Loop{{Name: "the webhooks' follower", Bound: stuckAfter, Pulse: &w.beat}}
	for _, e := range w.list() {
		all = append(all, pulse.Loop{Name: "the webhook " + e.name(), Bound: stuckAfter, Pulse: &e.beat})
	}
	return all
}

// Failing is an endpoint that takes nothing.
type Failing struct {
	Name  string
	Since time.Time
}

// Failing lists the endpoints that are to get something and have taken nothing since.
func (w *Webhooks) Failing() (all []Failing) {
	for _, e := range w.list() {
		if at := e.failing.Load(); at != 0 && !e.isOff() {
			all = append(all, Failing{e.name(), time.UnixMilli(at)})
		}
	}
	return all
}

// begin books a goroutine that works until this context ends; nil: Run does not run.
func (w *Webhooks) begin() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running == nil || w.running.Err() != nil {
		return nil
	}
	w.work.Add(1)
	return w.running
}

// find returns the endpoint with this id, nil if there is none.
func (w *Webhooks) find(id int64) *endpoint {
	for _, e := range w.list() {
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

func (t *trouble) goesOn() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count > 0
}

// end reports how many faults there were, 0 if all was well before.
func (t *trouble) end() (count int, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	count, since = t.count, t.since
	t.count, t.since = 0, time.Time{}
	return count, since
}

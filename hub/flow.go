package hub

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
)

// flow carries messages from the hub's ring into the gateways' streams, and takes them
// out again.
type flow struct {
	q      *queue.Queue
	d      *db.DB
	nc     *nats.Conn
	js     jetstream.JetStream
	pulls  fleetQueue
	log    *slog.Logger
	now    func() time.Time
	places func() []*place // by name; each call gives them anew
	// raise begins the gateway's next epoch: what it was given before is not sent any more.
	raise func(tx *db.Tx, gateway string) (epoch int64, err error)
	wake  func(gateway string) // it is to say hello now
	// command asks a gateway something now; what it refuses is a queue.ErrConflict.
	command func(ctx context.Context, gateway string, asked mirror.CommandRequest) (mirror.CommandAnswer, error)
	// applied tells up to which of a gateway's events the hub has booked them.
	applied func(ctx context.Context, gateway string) (seq int64, err error)

	routes    []Route
	fallback  string
	awayAfter time.Duration
	lease     time.Duration // 0: none

	lanes   map[string]*lane // by stream
	burdens burdens
	again   chan struct{} // all that waits is looked at again
	some    chan struct{} // there are items
	waits   waits

	// taking is held by whoever takes messages out of streams: one at a time.
	taking sync.Mutex
	moving sync.Mutex
	moves  moves
}

// open makes ready what run works with.
func (f *flow) open() (err error) {
	// An outcome that nobody hears of is looked up in the stream.
	f.js, err = jetstream.New(f.nc, jetstream.WithPublishAsyncTimeout(ackWait))
	f.again, f.some = make(chan struct{}, 1), make(chan struct{}, 1)
	f.burdens.of = map[string]*burden{}
	if err != nil {
		return err
	}
	// What somebody moved goes there from the first message that is routed.
	cut, err := f.cutMoves(context.Background())
	for _, m := range cut {
		f.moves.set(m.from, m.to)
	}
	f.lanes = map[string]*lane{}
	for shard := range mirror.Shards {
		stream := mirror.OutOf(shard)
		f.lanes[stream] = &lane{flow: f, stream: stream, some: make(chan struct{}, 1), newest: map[string]uint64{}}
	}
	return err
}

// run goes on until ctx is over.
func (f *flow) run(ctx context.Context) {
	var all sync.WaitGroup
	for _, l := range f.lanes {
		all.Go(func() { l.run(ctx) })
	}
	for _, loop := range []func(context.Context){f.forward, f.putItems, f.takeBack, f.watchFull} {
		all.Go(func() { loop(ctx) })
	}
	all.Wait()
}

// fleet is the picture to route by, now.
func (f *flow) fleet() *fleet {
	all := &fleet{places: f.places(), routes: f.routes, fallback: f.fallback, awayAfter: f.awayAfter, moves: f.moves.get()}
	f.burdens.put(all.places)
	for _, p := range all.places {
		l := f.lanes[mirror.Out(p.name)]
		p.full = p.full || l.waiting()+together > mostUnacknowledged
	}
	return all
}

// lookAgain has all that waits routed anew: something has changed in the fleet.
func (f *flow) lookAgain() { signal(f.again) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sleep waits, and tells whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// burden is how much a gateway has been given.
type burden struct {
	inLink int       // and is not known to have taken: at most so many
	since  int       // since it last told how full its ring is
	heard  time.Time // that was then
}

type burdens struct {
	most int // in the link of one
	mu   sync.Mutex
	of   map[string]*burden
}

func (b *burdens) get(gateway string) *burden {
	if b.of[gateway] == nil {
		b.of[gateway] = &burden{}
	}
	return b.of[gateway]
}

// put tells the places what each has.
func (b *burdens) put(places []*place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range places {
		one := b.get(p.name)
		if !one.heard.Equal(p.heard) {
			one.heard, one.since = p.heard, 0
		}
		p.outstanding, p.full = p.rings.Outbound.Depth+one.since, one.inLink >= b.most
	}
}

func (b *burdens) add(gateway string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.get(gateway)
	one.inLink, one.since = max(0, one.inLink+n), max(0, one.since+n)
}

func (b *burdens) set(gateway string, inLink int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.get(gateway).inLink = inLink
}

// heavy are the gateways that have at least so many in the link, as far as is known.
func (b *burdens) heavy(least int) (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, one := range b.of {
		if one.inLink >= least {
			all = append(all, name)
		}
	}
	return all
}

// watchFull looks how much is in the link of those that are full, or soon are.
func (f *flow) watchFull(ctx context.Context) {
	for sleep(ctx, time.Second) {
		for _, name := range f.burdens.heavy(f.burdens.most / 2) {
			n, err := f.pulls.Pending(ctx, name)
			if err != nil {
				continue // as full as it was
			}
			f.burdens.set(name, n)
			if n < f.burdens.most {
				f.lookAgain()
			}
		}
	}
}

package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/sms"
)

// One event of the log may be several to the hub: the pieces of a file go before the
// message that they belong to. So what the hub gets as sequence is the log's with room
// below it.
const places = 1 << 16

func wireOf(seq int64, place int) int64 { return seq*places + int64(place) }

// wireEnd is the last place of an event.
func wireEnd(seq int64) int64 { return wireOf(seq, places-1) }

const (
	perSecond = 500      // events, while what was untold is caught up with
	unacked   = 64 << 10 // bytes that may be told and not confirmed: on a thin link pings and hellos wait behind them
	atOnce    = 500      // events of one look into the log
	bookAfter = 128      // confirmed ones
)

// log names the telling to the hub. It is another one after a restore, and after a doubt
// about the order in which a cluster has stored what it was told: under another name the
// hub looks at what is told again by the ids that it is about, and leaves nothing out.
func (l *Link) log(ctx context.Context) (string, error) {
	id, err := l.o.Queue.LogID(ctx)
	return id + "." + strconv.FormatInt(l.kept().log, 10), err
}

// newest is the sequence that the hub comes to when it has all that is to be told now, or
// more than that, while it is not known yet what there is to tell of the last events.
func (l *Link) newest(ctx context.Context) (int64, error) {
	read, wire := l.read.Load(), l.wire.Load()
	_, newest, err := l.o.Queue.Span(ctx)
	if read >= newest { // what came last may be nothing that is told
		return wire, err
	}
	return wireEnd(newest), err
}

// toldTo is newest for somebody who waits for the hub to come to it. What happened last may
// be nothing that is told, and then the hub never comes there, so the log is read first: up
// to where it goes now, for as long as it may take to answer.
func (l *Link) toldTo(ctx context.Context) (int64, error) {
	_, newest, err := l.o.Queue.Span(ctx)
	if err != nil {
		return 0, err
	}
	for end := time.Now().Add(l.times.answer / 2); l.read.Load() < newest && time.Now().Before(end); {
		if !pause(ctx, 5*time.Millisecond) {
			return 0, ctx.Err()
		}
	}
	if l.read.Load() >= newest {
		return l.wire.Load(), nil
	}
	return wireEnd(newest), nil
}

// tell tells the hub what the event log says, from where its stream has it, in order.
func (s *session) tell(ctx context.Context) error {
	if err := s.tellStops(ctx); err != nil {
		return err
	}
	pace := rate.NewLimiter(perSecond, perSecond)
	well := time.Now() // then the stream was there
	for wait := s.l.times.first; ; wait = min(2*wait, s.l.times.most) {
		t := &telling{session: s, told: make(chan told, window), room: semaphore.NewWeighted(unacked), pace: pace}
		began := time.Now()
		err := t.run(ctx)
		if t.confirmed {
			well = time.Now()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.nc.IsClosed() {
			return err
		}
		if time.Since(began) > s.l.times.most {
			wait = s.l.times.first
		}
		if busy(t.failed) { // others tell too; whoever was refused with this one comes back at another time
			slower(pace)
			s.l.o.Log.Info("the hub takes no more for now; what happened here is told later, and more slowly", "per_second", pace.Limit())
		} else {
			s.l.o.Log.Warn("what happened here can't be told to the hub now; it is tried again", "error", words(err))
		}
		if errors.Is(t.failed, jetstream.ErrNoStreamResponse) && time.Since(well) < s.l.times.most {
			wait = s.l.times.first // a cluster elects who leads the stream, and is through with it soon
		}
		if !pause(ctx, wait/2+rand.N(wait)) {
			return ctx.Err()
		}
	}
}

// tooMany is JetStream's code for a stream that has more before its disk than it holds.
const tooMany = 10167

// busy tells whether the hub refused something for being told too much at once.
func busy(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && (refused.ErrorCode == tooMany || refused.Code == http.StatusTooManyRequests)
}

// slowest is the pace that a busy hub brings a gateway down to, events a second.
const slowest = 4

// slower halves the pace, as each doubling of what a hub is told may be what it can't take.
func slower(pace *rate.Limiter) {
	to := max(slowest, pace.Burst()/2)
	pace.SetLimit(rate.Limit(to))
	pace.SetBurst(to)
}

// faster adds to it, for each event that the hub has taken.
func faster(pace *rate.Limiter) {
	if to := pace.Burst() + 1; to <= perSecond {
		pace.SetLimit(rate.Limit(to))
		pace.SetBurst(to)
	}
}

// telling is one run from the cursor on; any doubt ends it, and another begins.
type telling struct {
	*session
	log  string
	told chan told // in their order; its room is the window
	room *semaphore.Weighted
	pace *rate.Limiter
	// How it ended: failed is why one was not confirmed; one was open, or did not even get
	// in line.
	failed      error
	open, stray bool
	confirmed   bool // at least one was
}

// told is what was handed over and has to be confirmed; without a future an event that
// there is nothing to tell of.
type told struct {
	seq    int64 // of the event, once all of it was told; 0: more of it comes
	size   int64
	future jetstream.PubAckFuture
}

func (t *telling) run(ctx context.Context) error {
	l := t.l
	var err error
	if t.log, err = l.log(ctx); err != nil {
		return err
	}
	if err := l.change(func(s *state) { s.clustered = t.nc.ConnectedClusterName() != "" }); err != nil {
		return err
	}
	l.mu.Lock()
	from := l.cursor
	l.mu.Unlock()
	l.read.Store(from)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return t.confirm(ctx) })
	group.Go(func() error { return t.follow(ctx, from) })
	err = group.Wait()
	return errors.Join(err, t.doubt())
}

// follow reads the log and hands over what is to be told.
func (t *telling) follow(ctx context.Context, from int64) error {
	for {
		changed := t.l.o.Queue.Changed()
		all, upTo, err := t.l.o.Queue.EventsOf(ctx, from, atOnce, tells)
		if err != nil {
			return err
		}
		passed := latest(all)
		for i, e := range all {
			if passed[i] {
				continue
			}
			if err := t.event(ctx, e); err != nil {
				return err
			}
		}
		if upTo > from {
			if err := t.put(ctx, told{seq: upTo}); err != nil {
				return err
			}
			from = upTo
			t.l.read.Store(upTo)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// latest tells which states of modems are followed by another of the same modem.
func latest(all []sms.Event) map[int]bool {
	passed, newest := map[int]bool{}, map[string]bool{}
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Type != sms.EventModemState {
			continue
		}
		var m struct{ Name string }
		if err := json.Unmarshal(all[i].Data, &m); err != nil {
			continue
		}
		passed[i] = newest[m.Name]
		newest[m.Name] = true
	}
	return passed
}

func (t *telling) put(ctx context.Context, one told) error {
	select {
	case t.told <- one:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// say hands over the last or the only thing to tell of an event.
func (t *telling) say(ctx context.Context, e mirror.Event, place int) error {
	return t.part(ctx, e, place, e.Seq)
}

// part hands over something of an event, under its sequence; done is the event once all
// of it is, else 0.
func (t *telling) part(ctx context.Context, e mirror.Event, place int, done int64) error {
	e.Log, e.Seq = t.log, wireOf(e.Seq, place)
	m, err := t.message(e)
	if err != nil {
		return err
	}
	size := min(int64(len(m.Data)), unacked)
	if err := errors.Join(t.pace.Wait(ctx), t.room.Acquire(ctx, size)); err != nil {
		return err
	}
	// A repetition by the client itself would come behind what was told after it.
	future, err := t.js.PublishMsgAsync(m, jetstream.WithRetryAttempts(0))
	if err != nil {
		return err
	}
	t.l.wire.Store(e.Seq)
	if err := t.put(ctx, told{seq: done, size: size, future: future}); err != nil {
		t.stray = true
		return err
	}
	return nil
}

func (s *session) message(e mirror.Event) (*nats.Msg, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	m := nats.NewMsg(mirror.Tell(s.name))
	m.Data = b
	m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("%s.%s.%d", s.name, e.Log, e.Seq))
	return m, nil
}

// confirm waits for the stream to have what was told, in order, and moves the cursor.
func (t *telling) confirm(ctx context.Context) error {
	var done, booked int64
	n := 0
	book := func() error {
		if done == booked {
			return nil
		}
		if err := t.l.advance(done); err != nil {
			return err
		}
		booked, n = done, 0
		return nil
	}
	var timer <-chan time.Time
	for {
		select {
		case one := <-t.told:
			if one.future != nil {
				select {
				case <-one.future.Ok():
				case err := <-one.future.Err():
					t.failed = err
					return errors.Join(err, book())
				case <-ctx.Done():
					t.open = true
					return errors.Join(ctx.Err(), book())
				}
				t.confirmed = true
				t.room.Release(one.size)
				faster(t.pace)
			}
			if one.seq != 0 {
				done = one.seq
			}
			if n++; n >= bookAfter {
				if err := book(); err != nil {
					return err
				}
				timer = nil
			} else if timer == nil {
				timer = time.After(t.l.times.book)
			}
		case <-timer:
			timer = nil
			if err := book(); err != nil {
				return err
			}
		case <-ctx.Done():
			return errors.Join(ctx.Err(), book())
		}
	}
}

// advance books that the hub's stream has the log up to an event.
func (l *Link) advance(seq int64) error {
	err := l.o.DB.Write(func(tx *db.Tx) error { return l.o.Queue.AdvanceTx(tx, Reader, seq, 0) })
	if err == nil {
		l.mu.Lock()
		l.cursor = max(l.cursor, seq)
		l.mu.Unlock()
	}
	return err
}

// doubt is called once nothing more is told, if something was told and not confirmed. A
// single server stores what comes by one connection in its order, so a cut leaves no hole.
// A cluster that elects, or a stream that refuses one and takes the next, may have stored
// what came behind; the hub would take what is told again for what it has, unless the log
// has another name.
func (t *telling) doubt() error {
	hole := t.failed != nil && t.refused(t.failed)
	open := t.failed != nil || t.open || t.stray
	for len(t.told) > 0 {
		one := <-t.told
		if one.future == nil {
			continue
		}
		open = true
		if t.failed == nil || hole {
			continue
		}
		select { // each ends: confirmed, refused, or not within its time
		case <-one.future.Ok(): // stored behind what was not
			hole = true
		case err := <-one.future.Err():
			hole = hole || t.refused(err)
		}
	}
	if open && (hole || t.l.kept().clustered) {
		return t.l.change(func(s *state) { s.log++ })
	}
	return nil
}

// refused tells whether something was not confirmed for another reason than a cut or a
// stream that is not there: what came behind it may be stored.
func (t *telling) refused(err error) bool {
	for _, whole := range []error{jetstream.ErrNoStreamResponse, nats.ErrDisconnected, nats.ErrConnectionClosed, jetstream.ErrJetStreamPublisherClosed} {
		if errors.Is(err, whole) {
			return false
		}
	}
	return !t.nc.IsClosed()
}

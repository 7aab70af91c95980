package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
)

// window is how many events may be told and not confirmed, whatever the hub says of its
// own.
const window = 256

// errNoAnswer is of a hub that is connected to and does not answer.
type errNoAnswer struct{ err error }

func (e *errNoAnswer) Error() string {
	if errors.Is(e.err, nats.ErrNoResponders) {
		return "NATS is there, but no hub answers on it; is gatewayd hub running?"
	}
	return "the hub does not answer: " + words(e.err)
}
func (e *errNoAnswer) Unwrap() error { return e.err }

// wanted is what the hub wants of this gateway, as it said last.
type wanted struct {
	mu       sync.Mutex
	window   int
	disabled bool
	pull     string
}

func (w *wanted) get() (window int, disabled bool, pull string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.window, w.disabled, w.pull
}

// listen subscribes to what the hub says by itself.
func (s *session) listen(ctx context.Context) error {
	_, err := s.nc.Subscribe(mirror.Wake(s.name), func(*nats.Msg) { nudge(s.again) })
	if err != nil {
		return err
	}
	s.commands.free = make(chan struct{}, maxCommands)
	_, err = s.nc.Subscribe(mirror.Command(s.name), func(m *nats.Msg) { s.command(ctx, m) })
	return err
}

// nudge fills a channel that holds one.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// firstHello is said until it is answered. A hub that is not there yet, behind a NATS
// that is, leaves the connection as it is.
func (s *session) firstHello(ctx context.Context) error {
	for wait := s.l.times.first; ; wait = min(2*wait, s.l.times.most) {
		err := s.hello(ctx)
		var none *errNoAnswer
		if err == nil || !errors.As(err, &none) || !errors.Is(err, nats.ErrNoResponders) {
			return err
		}
		s.l.set(false, words(err))
		if !pause(ctx, wait/2+rand.N(wait)) {
			return ctx.Err()
		}
	}
}

// hellos says hello from time to time, and when it is asked to. Two in a row without an
// answer end the session: on a half-open connection nothing else would.
func (s *session) hellos(ctx context.Context) error {
	silent := 0
	for {
		t := time.NewTimer(s.l.times.hello - s.l.times.hello/10 + rand.N(s.l.times.hello/5))
		select {
		case <-t.C:
		case <-s.again:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := s.hello(ctx)
		switch {
		case err == nil:
			silent = 0
		case errors.Is(err, nats.ErrNoResponders):
			s.l.set(false, words(err)) // streams and consumers go on without the hub
		default:
			if silent++; silent > 1 || s.nc.IsClosed() {
				return err
			}
			nudge(s.again)
		}
	}
}

// hello tells the hub how this gateway is, and does what its answer wants.
func (s *session) hello(ctx context.Context) error {
	request, err := s.l.hello(ctx)
	if err != nil {
		return err
	}
	request.Connection, request.Missed = s.connection(), s.missed.Swap(false)
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	asked := time.Since(s.l.began)
	limited, done := context.WithTimeout(ctx, s.l.times.answer)
	defer done()
	m, err := s.nc.RequestWithContext(limited, mirror.Hello(s.name), b)
	if err != nil {
		s.missed.Store(request.Missed || s.missed.Load())
		if ctx.Err() != nil {
			return cause(ctx, ctx.Err())
		}
		return &errNoAnswer{err}
	}
	var a mirror.HelloAnswer
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return fmt.Errorf("the hub's answer can't be read: %w", err)
	}
	return s.answered(ctx, a, asked)
}

// connection names the session's to the hub.
func (s *session) connection() string {
	id, err := s.nc.GetClientID()
	if err != nil {
		return "" // the server does not number them
	}
	return fmt.Sprintf("%s/%d", s.nc.ConnectedServerId(), id)
}

// hello is how this gateway is.
func (l *Link) hello(ctx context.Context) (h mirror.HelloRequest, err error) {
	if h.Modems, err = json.Marshal(l.o.Modems()); err != nil {
		return h, err
	}
	if h.Alarms, err = json.Marshal(l.o.Alarms()); err != nil {
		return h, err
	}
	if h.Log, err = l.log(ctx); err != nil {
		return h, err
	}
	if h.Newest, err = l.newest(ctx); err != nil {
		return h, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h.Version, h.Epoch, h.Told, h.Rings = l.o.Version, l.o.Queue.Epoch(), wireEnd(l.cursor), l.o.Queue.Stats()
	h.Consent, h.Configuration, h.ConfigError = l.state.consent, l.state.configuration, l.refused.why
	h.Uptime, h.ClockTrusted, h.Now = time.Since(l.began).Seconds(), l.o.Trusted(), l.o.Now()
	return h, nil
}

// answered does what the hub's answer wants. asked is when it was asked, since began: a
// lease counts from there, for the hub may have answered at once.
func (s *session) answered(ctx context.Context, a mirror.HelloAnswer, asked time.Duration) error {
	l := s.l
	if !s.fenced || a.Epoch > l.o.Queue.Epoch() { // the first time too: what a crash has left undone
		if err := l.o.Queue.Fence(ctx, a.Epoch); err != nil {
			return fmt.Errorf("the hub's epoch could not be stored: %w", err)
		}
		s.fenced = true
	}
	lease := time.Duration(a.Lease * float64(time.Second)).Truncate(time.Millisecond)
	if err := l.change(func(s *state) { s.lease, s.publicURL = max(0, lease), a.PublicURL }); err != nil {
		return err
	}
	l.heard.Store(max(1, int64(asked)))
	s.want(a)
	l.mu.Lock()
	l.nc = s.nc
	l.mu.Unlock()
	l.set(true, "")
	if n := a.NewestConsent; n != nil && *n < l.kept().consent {
		// What it decides from now on would have sequences that are known here.
		if err := l.change(func(s *state) { s.consent = 0 }); err != nil {
			return err
		}
		nudge(s.again)
	} else if err := l.consents(a.Consent); err != nil {
		l.o.Log.Error("decisions of numbers that the hub tells could not be stored; it is asked again", "error", err)
	} else if len(a.Consent) > 0 {
		nudge(s.again) // there may be more
	}
	if c := a.Configuration; c != nil && l.apply(ctx, *c) {
		nudge(s.again)
	}
	return nil
}

// want notes what the hub wants.
func (s *session) want(a mirror.HelloAnswer) {
	s.wanted.mu.Lock()
	was := [...]any{s.wanted.window, s.wanted.disabled, s.wanted.pull}
	s.wanted.window, s.wanted.disabled, s.wanted.pull = a.Window, a.Disabled, a.Pull
	if a.Window <= 0 {
		s.wanted.window = mirror.Window
	}
	changed := was != [...]any{s.wanted.window, s.wanted.disabled, s.wanted.pull}
	s.wanted.mu.Unlock()
	if changed {
		nudge(s.changed)
	}
}

// consents books what numbers have decided elsewhere.
func (l *Link) consents(all []mirror.Consent) error {
	if len(all) == 0 {
		return nil
	}
	return l.o.Queue.Do(func(tx *db.Tx) error {
		upTo := int64(0)
		for _, c := range all {
			upTo = max(upTo, c.Seq)
			err := l.o.Queue.OptTx(tx, c.Number, c.Stopped, c.At, queue.Source{Reason: c.Reason, Wording: c.Wording, By: queue.FromHub})
			if err != nil {
				return err
			}
		}
		return l.changeTx(tx, func(s *state) { s.consent = max(s.consent, upTo) })
	})
}

// apply has a configuration hold, and tells whether there is news of it for the hub.
func (l *Link) apply(ctx context.Context, c mirror.Configuration) bool {
	l.mu.Lock()
	known := l.state.configuration == c.Version || l.refused.version == c.Version
	l.mu.Unlock()
	if known {
		return false
	}
	err := l.o.Apply(ctx, c)
	if err == nil {
		err = l.change(func(s *state) { s.configuration = c.Version })
	}
	l.mu.Lock()
	l.refused = refused{}
	if err != nil {
		l.refused = refused{c.Version, err.Error()}
	}
	l.mu.Unlock()
	if err != nil {
		l.o.Log.Warn("what the hub sets could not be applied", "version", c.Version, "error", err)
	} else {
		l.o.Log.Info("what the hub sets holds", "version", c.Version)
	}
	return true
}

// Who asks the hub which of these numbers can be reached by internet, in the same order.
func (l *Link) Who(ctx context.Context, numbers []string) ([]mirror.Presence, error) {
	l.mu.Lock()
	nc, name := l.nc, l.status.Name
	l.mu.Unlock()
	if nc == nil {
		return nil, ErrDown
	}
	b, err := json.Marshal(mirror.WhoRequest{Numbers: numbers})
	if err != nil {
		return nil, err
	}
	limited, done := context.WithTimeout(ctx, l.times.answer)
	defer done()
	m, err := nc.RequestWithContext(limited, mirror.Who(name), b)
	if err != nil {
		return nil, &errNoAnswer{err}
	}
	var a mirror.WhoAnswer
	if err := json.Unmarshal(m.Data, &a); err != nil || len(a.People) != len(numbers) {
		return nil, errors.New("the hub's answer can't be read")
	}
	return a.People, nil
}

// ErrDown means that there is no link to the hub now.
var ErrDown = errors.New("there is no link to the hub now")

package link

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"golang.org/x/sync/errgroup"

	"gatewayd/mirror"
)

// Run keeps the link until ctx ends. Nothing that goes wrong with it ends it.
func (l *Link) Run(ctx context.Context) error {
	wait := l.times.first
	for ctx.Err() == nil {
		answered, err := l.once(ctx)
		if ctx.Err() != nil {
			break
		}
		if answered {
			wait = l.times.first
		}
		l.set(false, words(err))
		// Not all gateways of a hub that comes back come at the same moment.
		pause(ctx, wait/2+rand.N(wait))
		wait = min(2*wait, l.times.most)
	}
	return nil
}

// once is one session, from dialling to its end, and tells whether the hub answered in it.
func (l *Link) once(ctx context.Context) (answered bool, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	nc, name, err := l.dial(ctx, end)
	if err != nil {
		return false, err
	}
	defer nc.Close()
	s := &session{l: l, nc: nc, name: name, again: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
	s.patience = s.ackWait()
	if s.js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(2*window), jetstream.WithPublishAsyncTimeout(s.patience)); err != nil {
		return false, err
	}
	l.mu.Lock()
	l.sessions++
	l.mu.Unlock()
	defer l.hangUp()
	if err := s.listen(ctx); err != nil {
		return false, err
	}
	if err := s.firstHello(ctx); err != nil {
		return false, cause(ctx, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.hellos(ctx) })
	group.Go(func() error { return s.pull(ctx) })
	group.Go(func() error { return s.tell(ctx) })
	err = group.Wait()
	s.commands.Wait()
	return true, cause(ctx, err)
}

// ackWait is how long the stream may take to say that it has an event. In a cluster the
// server that dies takes what it was told with it, and nothing but silence tells; so that is
// not waited for longer than the way there and back lets it.
func (s *session) ackWait() time.Duration {
	most := s.l.times.ack
	if s.nc.ConnectedClusterName() == "" {
		return most
	}
	rtt, err := s.nc.RTT()
	if err != nil {
		return most
	}
	return min(most, most/5+4*rtt)
}

// cause is why a context ended, if it did, for err only says that it has.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && !errors.Is(c, context.Canceled) {
		return c
	}
	return err
}

func (l *Link) hangUp() {
	l.mu.Lock()
	l.nc = nil
	l.mu.Unlock()
}

// session is one connection to the hub.
type session struct {
	l        *Link
	nc       *nats.Conn
	js       jetstream.JetStream
	name     string
	patience time.Duration // for the stream to have an event
	missed   atomic.Bool   // what a server of the cluster had on the way here
	wanted   wanted
	fenced   bool          // by the epoch that was told; hello's own
	again    chan struct{} // holds one: say hello now
	changed  chan struct{} // holds one: what the hub wants has changed
	commands commands
}

// credentials are what the file of that name says.
type credentials struct {
	name, jwt string
	account   string // of the hub
	key       nkeys.KeyPair
}

// errCredentials is of a file that is no credentials.
type errCredentials struct {
	file string
	err  error
}

func (e *errCredentials) Error() string {
	return fmt.Sprintf("the credentials in %s can't be used (%v): have the hub make new ones, with gatewayd hub add-gateway or on its page Gateways, and put them there", e.file, e.err)
}
func (e *errCredentials) Unwrap() error { return e.err }

// readCredentials reads the file anew for each session: they may have been rotated.
func readCredentials(file string) (c credentials, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return c, &errCredentials{file, err}
	}
	defer clear(b)
	if c.jwt, err = nkeys.ParseDecoratedJWT(b); err != nil {
		return c, &errCredentials{file, err}
	}
	claims, err := jwt.DecodeUserClaims(c.jwt)
	if err != nil {
		return c, &errCredentials{file, err}
	}
	if c.key, err = nkeys.ParseDecoratedUserNKey(b); err != nil {
		return c, &errCredentials{file, err}
	}
	if c.name = claims.Name; c.name == "" || strings.ContainsAny(c.name, ".*> \t") {
		return c, &errCredentials{file, errors.New("they don't say which gateway they are of")}
	}
	if c.account = claims.IssuerAccount; c.account == "" { // it is told where a key of the account has signed
		c.account = claims.Issuer
	}
	return c, nil
}

// dial connects; end is called when the connection ends.
func (l *Link) dial(ctx context.Context, end context.CancelCauseFunc) (*nats.Conn, string, error) {
	c, err := readCredentials(l.o.CredentialsFile)
	if err != nil {
		return nil, "", err
	}
	if err := l.called(c); err != nil {
		return nil, "", err
	}
	d := &dialer{ctx: ctx, timeout: l.times.timeout}
	options := []nats.Option{
		nats.Name("gatewayd " + c.name), nats.CustomInboxPrefix(mirror.InboxPrefix(c.name)),
		nats.UserJWT(func() (string, error) { return c.jwt, nil }, c.key.Sign),
		nats.Timeout(l.times.timeout), nats.FlusherTimeout(l.times.timeout), nats.PingInterval(l.times.ping), nats.MaxPingsOutstanding(2),
		// A session ends with its connection, and the next dials anew: nothing is kept in a
		// buffer that a restart would lose.
		nats.NoReconnect(), nats.ReconnectBufSize(-1), nats.SetCustomDialer(d),
		nats.ClosedHandler(func(nc *nats.Conn) { end(ended(nc)) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			l.o.Log.Debug("the link to the hub", "error", err)
		}),
	}
	if l.o.CAFile != "" {
		options = append(options, nats.RootCAs(l.o.CAFile))
	}
	nc, err := nats.Connect(l.o.URL, options...)
	if err != nil && d.err != nil && (errors.Is(err, nats.ErrNoServers) || strings.Contains(err.Error(), d.err.Error())) {
		err = d.err // the connection's own word says more
	}
	return nc, c.name, err
}

// ended is why a connection has ended.
func ended(nc *nats.Conn) error {
	if err := nc.LastError(); err != nil {
		return err
	}
	return nats.ErrConnectionClosed
}

// dialer dials until a context ends, and remembers why it could not.
type dialer struct {
	ctx     context.Context
	timeout time.Duration
	err     error
}

// Dial opens a connection that ends with the context.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: d.timeout}).DialContext(d.ctx, network, address)
	if err != nil {
		d.err = err
		return nil, err
	}
	d.err = nil
	context.AfterFunc(d.ctx, func() { c.Close() })
	return c, nil
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

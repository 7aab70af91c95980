// Package hub is the internet side of a fleet of gateways: it runs or uses NATS
// JetStream, knows its gateways, gives each the messages that it is to send, and books
// what they tell.
package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Options are what a hub is made of.
type Options struct {
	DB      *db.DB
	Queue   *queue.Queue
	Log     *slog.Logger
	Now     func() time.Time
	DataDir string

	// Where gateways dial in: NATS in this process. TLS for both listeners, or none.
	Listen           string
	WebSocket        string // "": none
	Certificate, Key string // paths
	// Or a cluster by URL; then Listen is not used. CredentialsFile "": the hub's own
	// operator vouches for its account there.
	URL             string
	CredentialsFile string
	CAFile          string

	// Away hears of a gateway that was not heard for AwayAfter, since when; zero: it is here
	// again. Others hears which gateways there are. nil: nobody does.
	Away   func(name, title string, since time.Time)
	Others func(there map[string]bool)

	// Inbox are the inboxes of people; nil: nobody has one.
	Inbox Inboxes

	PublicURL     string
	Window        int           // 0: mirror.Window
	AwayAfter     time.Duration // until never delivered messages go elsewhere; 0: 5 minutes
	ExtendedAfter time.Duration // 0: a minute
	Lease         time.Duration // 0: none
	Pull          string        // PullRequest or PullConsumer; "": PullRequest
	MostInLink    int           // messages that wait for one gateway in its stream; 0: 1,000
	Default       string        // a gateway or group:NAME
	Routes        []Route
}

// Route sends numbers with a prefix to a gateway or a group.
type Route struct {
	Prefix string // +44
	To     string // a gateway, or group:NAME
}

// Inboxes are what the hub needs of the inboxes of people.
type Inboxes interface {
	// DeliverTx puts a message into its recipient's inbox; told again it changes nothing.
	DeliverTx(tx *db.Tx, gateway string, m mirror.Inbox) (sms.Copy, error)
	// Chunk stores a piece of a file; told again it changes nothing.
	Chunk(gateway string, c mirror.Chunk) error
	Who(ctx context.Context, numbers []string) []mirror.Presence
}

// Hub is one.
type Hub struct {
	*Registry
	o         Options
	queue     *queue.Queue
	log       *slog.Logger
	server    *server.Server // nil: a cluster elsewhere
	resolver  *server.MemAccResolver
	nc        *nats.Conn
	js        jetstream.JetStream
	reading   sync.Mutex // of the registry into known; before mu
	mu        sync.Mutex
	known     map[string]*known
	streams   map[string]bool // that are there
	making    sync.Mutex      // of streams and of what reads events, one at a time; before mu
	look      chan struct{}   // holds one: look at the registry now
	kept      chan struct{}   // holds one: there is something beside the inbound ring
	lastStop  time.Duration   // that NATS has to stop
	began     time.Time
	system    *nats.Conn        // nil: the cluster's operator is another
	own       string            // the public key of its own connection
	owners    map[string]string // of public keys
	connected atomic.Int64      // how often the connection was made

	revokeMu    sync.Mutex
	revokedLast []string // nil: the servers were told nothing yet
	consentMu   sync.Mutex
	consent     int64 // decisions of numbers up to here were told

	flow     *flow
	requests *requests // nil: each gateway has a consumer
}

// known is what the hub has in memory of a gateway.
type known struct {
	row
	prepared      bool // its stream and its consumer are there
	told          bool // it is known to be there, and others were told
	since         time.Time
	heard         bool            // it said hello since the hub runs
	lost          bool            // its last connection ended, and it said nothing since
	connections   map[string]bool // that it has, as far as they were heard of
	there         context.Context // ends when it goes; nil: it is not there
	leave         context.CancelFunc
	kept          time.Time // when its hello was written down
	toldVersion   int64     // of the configuration, since it came
	modems        []sms.Modem
	alarms        []sms.Alarm
	credentialsAt time.Time
}

// Open starts NATS, or dials the cluster. It answers nobody before Run.
func Open(ctx context.Context, o Options) (*Hub, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Window == 0 {
		o.Window = mirror.Window
	}
	if o.AwayAfter == 0 {
		o.AwayAfter = 5 * time.Minute
	}
	if o.ExtendedAfter == 0 {
		o.ExtendedAfter = time.Minute
	}
	if o.Pull == "" {
		o.Pull = PullRequest
	}
	if o.MostInLink == 0 {
		o.MostInLink = mostInLink
	}
	r, err := OpenRegistry(o.DB, o.Now, o.CredentialsFile, o.Pull)
	if err != nil {
		return nil, err
	}
	h := &Hub{Registry: r, o: o, queue: o.Queue, log: o.Log, known: map[string]*known{}, streams: map[string]bool{}, look: make(chan struct{}, 1), kept: make(chan struct{}, 1), lastStop: lastStop, began: time.Now()}
	if err := h.read(ctx); err != nil {
		return nil, err
	}
	if err := h.connect(ctx); err != nil {
		h.Close()
		return nil, err
	}
	if err := errors.Join(h.watchConnections(), h.changePull(ctx)); err != nil {
		h.Close()
		return nil, err
	}
	h.join()
	return h, nil
}

// connect starts the server, if it is ours, and makes the hub's own connection.
func (h *Hub) connect(ctx context.Context) (err error) {
	own, token, seed, err := user(h.keys.account, "", "hub", noLimits)
	if err != nil {
		return err
	}
	h.own = own
	options := []nats.Option{
		nats.Name("gatewayd hub"), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(500 * time.Millisecond), nats.ReconnectJitter(500*time.Millisecond, 500*time.Millisecond),
		nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(2), nats.Timeout(5 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if ctx.Err() == nil {
				h.log.Warn("the hub lost NATS and dials again; messages are accepted and wait", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { h.connected.Add(1); h.again() }),
		nats.ConnectHandler(func(*nats.Conn) { h.again() }),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) { h.log.Warn("NATS", "error", err) }),
	}
	address := h.o.URL
	if address == "" {
		var out []string
		if err := h.db.Read(ctx, func(r db.Querier) (err error) { out, err = revoked(r, h.now()); return err }); err != nil {
			return err
		}
		if h.server, h.resolver, err = startServer(h.o, h.keys, out); err != nil {
			return err
		}
		options = append(options, nats.InProcessServer(h.server))
	}
	if h.o.CAFile != "" {
		options = append(options, nats.RootCAs(h.o.CAFile))
	}
	if err := h.connectSystem(address, slices.Clone(options)); err != nil {
		return err
	}
	if h.o.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(h.o.CredentialsFile))
	} else {
		options = append(options, nats.UserJWTAndSeed(token, string(seed)))
	}
	if h.nc, err = nats.Connect(address, options...); err != nil {
		return fmt.Errorf("NATS: %w", err)
	}
	if h.js, err = jetstream.New(h.nc); err != nil {
		return err
	}
	return h.openFlow()
}

// Run serves the gateways until the context ends.
func (h *Hub) Run(ctx context.Context) error {
	defer h.Close()
	group, ctx := errgroup.WithContext(ctx)
	if err := h.answer(ctx); err != nil {
		return err
	}
	group.Go(func() error { h.keepLooking(ctx); return nil })
	group.Go(func() error { h.takeEvents(ctx); return nil })
	group.Go(func() error { h.enterKept(ctx); return nil })
	group.Go(func() error { return h.forward(ctx) })
	if err := h.handOn(ctx); err != nil {
		return err
	}
	if h.requests != nil {
		group.Go(func() error { return h.requests.serve(ctx) })
	}
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Close ends the connection, and the server if it is ours. Run does so too.
func (h *Hub) Close() {
	for _, c := range []*nats.Conn{h.nc, h.system} {
		if c != nil {
			c.Close()
		}
	}
	if h.server != nil {
		h.stopServer()
	}
}

// Address is where gateways dial in, when NATS runs here.
func (h *Hub) Address() string {
	if h.server == nil {
		return h.o.URL
	}
	u, err := url.Parse(h.server.ClientURL())
	if err != nil {
		return h.server.ClientURL()
	}
	if h.o.Certificate != "" {
		u.Scheme = "tls"
	}
	return u.String()
}

// WebSocketAddress is where they do by WebSocket; "": nowhere.
func (h *Hub) WebSocketAddress() string {
	if h.server == nil || h.o.WebSocket == "" {
		return ""
	}
	return h.server.WebsocketURL()
}

// Up tells whether the hub has NATS.
func (h *Hub) Up() bool { return h.nc.IsConnected() }

// again has streams and consumers looked at anew: a cluster may have lost them.
func (h *Hub) again() {
	h.mu.Lock()
	clear(h.streams)
	for _, k := range h.known {
		k.prepared = false
	}
	h.mu.Unlock()
	h.lookNow()
}

func (h *Hub) lookNow() {
	select {
	case h.look <- struct{}{}:
	default:
	}
}

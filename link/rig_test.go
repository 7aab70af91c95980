package link

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// rig is a hub made by hand on the real server of NATS, a gateway's database and queue,
// and a proxy between them. It knows of package mirror alone.
type rig struct {
	t       *testing.T
	dir     string
	creds   string
	server  *server.Server
	address string // of the server, the same after a restart
	nc      *nats.Conn
	js      jetstream.JetStream
	proxy   *proxy

	database *db.DB
	queue    *queue.Queue
	link     *Link
	stop     func()
	options  func(*Options)
	times    times
	buffered int // messages that the server holds in front of a stream; 0: as many as it wants

	mu     sync.Mutex
	answer mirror.HelloAnswer
	hellos []mirror.HelloRequest
	silent bool
	log    string // the hub's, of the gateway, as it has applied it
	seq    int64
	events []mirror.Event // applied
	twice  int            // that came again
	states map[string][]mirror.State
}

const name = "north"

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), states: map[string][]mirror.State{}, stop: func() {}, times: brisk}
	r.answer = mirror.HelloAnswer{Name: name, Epoch: 1, Window: 50}
	r.creds = filepath.Join(r.dir, "north.creds")
	writeCredentials(t, r.creds, name)
	r.startServer()
	r.proxy = newProxy(t, r.address)
	r.openQueue()
	t.Cleanup(func() {
		r.stop()
		r.database.Close()
		r.nc.Close()
		r.server.Shutdown()
	})
	return r
}

func writeCredentials(t *testing.T, file, name string) {
	t.Helper()
	account, err := nkeys.CreateAccount()
	fatal(t, err)
	user, err := nkeys.CreateUser()
	fatal(t, err)
	public, err := user.PublicKey()
	fatal(t, err)
	seed, err := user.Seed()
	fatal(t, err)
	claims := jwt.NewUserClaims(public)
	claims.Name = name
	token, err := claims.Encode(account)
	fatal(t, err)
	b, err := jwt.FormatUserConfig(token, seed)
	fatal(t, err)
	fatal(t, os.WriteFile(file, b, 0o600))
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// startServer starts the server, again where it was.
func (r *rig) startServer() {
	r.t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: filepath.Join(r.dir, "nats"), NoSigs: true, NoLog: true, SyncAlways: true, StreamMaxBufferedMsgs: r.buffered}
	if r.address != "" {
		_, port, err := net.SplitHostPort(r.address)
		fatal(r.t, err)
		p, err := net.LookupPort("tcp", port)
		fatal(r.t, err)
		o.Port = p
	}
	var err error
	r.server, err = server.NewServer(o)
	fatal(r.t, err)
	r.server.Start()
	if !r.server.ReadyForConnections(10 * time.Second) {
		r.t.Fatal("the server does not start")
	}
	r.address = r.server.Addr().String()
	r.nc, err = nats.Connect("nats://" + r.address)
	fatal(r.t, err)
	r.js, err = jetstream.New(r.nc)
	fatal(r.t, err)
	ctx := r.t.Context()
	_, err = r.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: mirror.Out(name), Subjects: []string{mirror.OutSubject(name)}, Retention: jetstream.WorkQueuePolicy})
	fatal(r.t, err)
	_, err = r.js.CreateOrUpdateConsumer(ctx, mirror.Out(name), jetstream.ConsumerConfig{Durable: mirror.Consumer(name), AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxAckPending: 50})
	fatal(r.t, err)
	_, err = r.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: mirror.Events, Subjects: []string{mirror.Tell("*")}, Duplicates: time.Minute})
	fatal(r.t, err)
	events, err := r.js.CreateOrUpdateConsumer(ctx, mirror.Events, jetstream.ConsumerConfig{Durable: "hub", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second, MaxAckPending: 1})
	fatal(r.t, err)
	_, err = events.Consume(r.apply)
	fatal(r.t, err)
	_, err = r.nc.Subscribe(mirror.Hello(name), r.hello)
	fatal(r.t, err)
}

// restartServer ends the server without grace and starts it where it was.
func (r *rig) restartServer() {
	r.t.Helper()
	r.nc.Close()
	r.server.Shutdown()
	r.server.WaitForShutdown()
	r.startServer()
}

func (r *rig) hello(m *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silent {
		return
	}
	var h mirror.HelloRequest
	if err := json.Unmarshal(m.Data, &h); err != nil {
		r.t.Error(err)
	}
	r.hellos = append(r.hellos, h)
	a := r.answer
	a.Consent = slices.DeleteFunc(slices.Clone(a.Consent), func(c mirror.Consent) bool { return c.Seq <= h.Consent })
	if a.Configuration != nil && a.Configuration.Version == h.Configuration {
		a.Configuration = nil
	}
	b, err := json.Marshal(a)
	if err == nil {
		err = m.Respond(b)
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) { // the server is started again just now
		r.t.Error(err)
	}
}

// apply is a hub's intake: what is not above the last of the same log is there already.
func (r *rig) apply(m jetstream.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var e mirror.Event
	if err := json.Unmarshal(m.Data(), &e); err != nil {
		r.t.Error(err)
	}
	if e.Log == r.log && e.Seq <= r.seq {
		r.twice++
	} else {
		r.log, r.seq = e.Log, e.Seq
		r.events = append(r.events, e)
		if s := e.State; s != nil {
			r.states[s.ID] = append(r.states[s.ID], *s)
		}
	}
	m.Ack()
}

func (r *rig) openQueue() {
	r.t.Helper()
	var err error
	r.database, err = db.Open(r.t.Context(), db.Options{Dir: filepath.Join(r.dir, "gateway")})
	fatal(r.t, err)
	r.queue, err = queue.Open(r.t.Context(), r.database, queue.Options{OutboundCapacity: 20, InboundCapacity: 100})
	fatal(r.t, err)
}

// brisk are times for tests. That a stream is slow on a busy machine is no doubt about what
// it has, so it may take its time.
var brisk = times{hello: 300 * time.Millisecond, answer: time.Second, first: 20 * time.Millisecond, most: 200 * time.Millisecond,
	timeout: time.Second, ping: 300 * time.Millisecond, fetch: 3 * time.Second, ack: 20 * time.Second, look: 50 * time.Millisecond, book: 20 * time.Millisecond}

// start runs the link, as a daemon that starts.
func (r *rig) start() {
	r.t.Helper()
	o := Options{URL: "nats://" + r.proxy.address(), CredentialsFile: r.creds, DB: r.database, Queue: r.queue, Version: "1",
		Modems: func() []sms.Modem { return nil }, Alarms: func() []sms.Alarm { return nil },
		Reset: func(string) error { return nil }, USSD: func(context.Context, string, sms.USSD) (sms.USSDAnswer, error) { return sms.USSDAnswer{}, nil },
		Apply: func(context.Context, mirror.Configuration) error { return nil },
		Log:   slog.New(slog.NewTextHandler(r.t.Output(), nil)),
	}
	if r.options != nil {
		r.options(&o)
	}
	var err error
	r.link, err = New(o)
	fatal(r.t, err)
	r.link.times = r.times
	fatal(r.t, r.queue.Resume())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.link.Run(ctx) }()
	r.stop = func() { cancel(); <-done; r.stop = func() {} }
}

// restart ends the gateway where it is and starts it again.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.database.Close()
	r.openQueue()
	r.start()
}

// until waits for a condition.
func (r *rig) until(what string, f func() bool) {
	r.t.Helper()
	r.within(20*time.Second, what, f)
}

func (r *rig) within(most time.Duration, what string, f func() bool) {
	r.t.Helper()
	for end := time.Now().Add(most); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("not within %v: %s (link %+v)", most, what, r.link.Status())
		}
	}
}

func (r *rig) locked(f func() bool) func() bool {
	return func() bool { r.mu.Lock(); defer r.mu.Unlock(); return f() }
}

// put puts an item into the gateway's stream.
func (r *rig) put(i mirror.Item) {
	r.t.Helper()
	b, err := json.Marshal(i)
	fatal(r.t, err)
	_, err = r.js.Publish(r.t.Context(), mirror.OutSubject(name), b)
	fatal(r.t, err)
}

// waiting is how much the stream holds.
func (r *rig) waiting() uint64 {
	s, err := r.js.Stream(r.t.Context(), mirror.Out(name))
	if err != nil {
		return 1
	}
	return s.CachedInfo().State.Msgs
}

// proxy is a link that can be cut, and that can carry nothing without being cut.
type proxy struct {
	thin     atomic.Int64 // bytes per second; 0: no bound
	listener net.Listener
	to       string

	mu      sync.Mutex
	open    []net.Conn
	stalled bool
	down    bool
	resume  *sync.Cond
}

func newProxy(t *testing.T, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(t, err)
	p := &proxy{listener: l, to: to}
	p.resume = sync.NewCond(&p.mu)
	go p.accept()
	t.Cleanup(func() { l.Close(); p.set(false, false); p.cut() })
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		down := p.down
		p.mu.Unlock()
		if down {
			c.Close()
			continue
		}
		s, err := net.Dial("tcp", p.to)
		if err != nil {
			c.Close()
			continue
		}
		p.mu.Lock()
		p.open = append(p.open, c, s)
		p.mu.Unlock()
		go p.carry(c, s)
		go p.carry(s, c)
	}
}

func (p *proxy) carry(from, to net.Conn) {
	defer to.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		for p.stalled {
			p.resume.Wait()
		}
		p.mu.Unlock()
		if thin := p.thin.Load(); thin > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(thin))
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		c.Close()
	}
	p.open = nil
}

// set has new connections refused, or all stand still.
func (p *proxy) set(down, stalled bool) {
	p.mu.Lock()
	p.down, p.stalled = down, stalled
	p.resume.Broadcast()
	p.mu.Unlock()
}

// words of a status, in one string.
func contains(s string, all ...string) bool {
	return !slices.ContainsFunc(all, func(w string) bool { return !strings.Contains(s, w) })
}

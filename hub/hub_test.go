package hub

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
)

// rig is a hub that runs, with the real server of NATS.
type rig struct {
	t *testing.T
	*Hub
	database *db.DB
	dir      string
	stop     func()
	logged   book
	inbound  int   // slots of the inbound ring; 0: 1000
	reserve  int64 // bytes that stay free on the disk
}

func newRig(t *testing.T, with func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	r.open(with)
	t.Cleanup(func() { r.stop() })
	return r
}

// book keeps what is logged.
type book struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (k *book) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.b.Write(b)
}

// said tells whether the hub has logged something.
func (r *rig) said(words string) bool {
	r.logged.mu.Lock()
	defer r.logged.mu.Unlock()
	return strings.Contains(r.logged.b.String(), words)
}

// options opens the database, and returns what a hub on it is to be.
func (r *rig) options(with func(*Options)) Options {
	r.t.Helper()
	var err error
	if r.database, err = db.Open(r.t.Context(), db.Options{Dir: r.dir, Reserve: r.reserve}); err != nil {
		r.t.Fatal(err)
	}
	q, err := queue.Open(r.t.Context(), r.database, queue.Options{OutboundCapacity: 1000, InboundCapacity: cmp.Or(r.inbound, 1000), Hub: true})
	if err != nil {
		r.t.Fatal(err)
	}
	o := Options{DB: r.database, Queue: q, DataDir: r.dir, Listen: "127.0.0.1:0", Log: slog.New(slog.NewTextHandler(io.MultiWriter(r.t.Output(), &r.logged), nil))}
	if with != nil {
		with(&o)
	}
	return o
}

func (r *rig) open(with func(*Options)) {
	r.t.Helper()
	var err error
	o := r.options(with)
	ctx, cancel := context.WithCancel(context.Background())
	if r.Hub, err = Open(ctx, o); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error("the hub ended:", err)
		}
		r.database.Close()
		r.stop = func() {}
	}
}

// dial connects as a gateway.
func (r *rig) dial(name, credentials string, more ...nats.Option) (*nats.Conn, error) {
	file := filepath.Join(r.t.TempDir(), name+".creds")
	if err := os.WriteFile(file, []byte(credentials), 0o600); err != nil {
		r.t.Fatal(err)
	}
	nc, err := nats.Connect(r.Address(), append([]nats.Option{
		nats.UserCredentials(file), nats.CustomInboxPrefix(mirror.InboxPrefix(name)), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.Timeout(20 * time.Second),
	}, more...)...)
	if err == nil {
		r.t.Cleanup(nc.Close)
	}
	return nc, err
}

func (r *rig) add(name, group string) string {
	r.t.Helper()
	creds, err := r.Registry.Add(name, "", group)
	if err != nil {
		r.t.Fatal(err)
	}
	return creds
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAGatewayTakesItsMessages(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Pull = PullConsumer })
	nc, err := r.dial("north", r.add("north", ""))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "its consumer is there", func() bool {
		_, err := r.js.Consumer(t.Context(), mirror.Out("north"), mirror.Consumer("north"))
		return err == nil
	})
	if _, err := r.js.Publish(t.Context(), mirror.OutSubject("north"), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(t.Context(), mirror.Out("north"), mirror.Consumer("north"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), mirror.Tell("north"), []byte("{}")); err != nil {
		t.Fatal(err)
	}
}

// prepared tells whether a gateway's consumer is there.
func (r *rig) prepared(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[name] != nil && r.known[name].prepared
}

// What a connection has taken with it, the next one is handed at once, by either way of
// pulling; what was acknowledged is not, and what went to another gateway neither.
func TestHandedOutAgain(t *testing.T) {
	for _, way := range []string{"consumer", "request"} {
		t.Run(way, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.Pull = way })
			north := r.gate("north")
			for _, text := range []string{"a", "b", "c"} {
				eventually(t, "the stream is there", func() bool {
					_, err := r.js.Publish(t.Context(), mirror.OutSubject("north"), []byte(`"`+text+`"`))
					return err == nil
				})
			}
			eventually(t, "it is prepared", func() bool { return r.prepared("north") })
			take := func(n int, wait time.Duration) (got string) {
				t.Helper()
				if way == "request" {
					b, err := json.Marshal(mirror.PullRequest{Free: n, Wait: wait.Seconds()})
					if err != nil {
						t.Fatal(err)
					}
					m, err := north.nc.Request(mirror.PullSubject("north"), b, 10*time.Second)
					if err != nil {
						t.Fatal(err)
					}
					var a mirror.PullAnswer
					if err := json.Unmarshal(m.Data, &a); err != nil {
						t.Fatal(err)
					}
					for _, i := range a.Items {
						got += strings.Trim(string(i.Item), `"`)
					}
					return got
				}
				c, err := north.js.Consumer(t.Context(), mirror.Out("north"), mirror.Consumer("north"))
				if err != nil {
					t.Fatal(err)
				}
				batch, err := c.Fetch(n, jetstream.FetchMaxWait(wait))
				if err != nil {
					t.Fatal(err)
				}
				for m := range batch.Messages() {
					got += strings.Trim(string(m.Data()), `"`)
				}
				return got
			}
			north.hello(mirror.HelloRequest{Connection: "S/1"})
			if got := take(2, 5*time.Second); got != "ab" {
				t.Fatalf("%q came", got)
			}
			north.hello(mirror.HelloRequest{Connection: "S/1"})
			if got := take(5, 500*time.Millisecond); got != "c" {
				t.Fatalf("by the same connection came %q", got)
			}
			north.hello(mirror.HelloRequest{Connection: "S/2"})
			if got := take(5, 3*time.Second); got != "abc" {
				t.Fatalf("by the next one came %q", got)
			}
			north.hello(mirror.HelloRequest{Connection: "S/2"})
			if got := take(5, 500*time.Millisecond); got != "" {
				t.Fatalf("by the same connection came %q", got)
			}
			north.hello(mirror.HelloRequest{Connection: "S/2", Missed: true})
			if got := take(5, 3*time.Second); got != "abc" {
				t.Fatalf("after a server fell silent came %q", got)
			}
		})
	}
}

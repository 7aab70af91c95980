package hub

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"gatewayd/db"
	"gatewayd/mirror"
)

// A server elsewhere takes the hub with what nats-config prints. It is away for a while in
// the middle, and whoever is put out is put out there.
func TestAServerElsewhere(t *testing.T) {
	dir := t.TempDir()
	d, err := db.Open(t.Context(), db.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	registry, err := OpenRegistry(d, time.Now, "", PullRequest)
	if err != nil {
		t.Fatal(err)
	}
	text, err := registry.ServerConfig()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	there := t.TempDir()
	t.Chdir(there) // where its resolver keeps accounts
	file := filepath.Join(there, "nats.conf")
	port := 0
	start := func() *server.Server {
		t.Helper()
		if err := os.WriteFile(file, fmt.Appendf(nil, "listen: 127.0.0.1:%d\nserver_name: one\njetstream: {store_dir: %q, sync_interval: always}\n%s", max(port, -1), there, text), 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := server.ProcessConfigFile(file)
		if err != nil {
			t.Fatal(err)
		}
		o.NoSigs, o.NoLog = true, true
		if port == 0 {
			o.Port = server.RANDOM_PORT
		}
		s, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("the server does not start")
		}
		return s
	}
	s := start()
	defer func() { s.Shutdown() }()
	address := s.ClientURL()
	if _, err := fmt.Sscanf(address, "nats://127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: dir}
	r.open(func(o *Options) { o.Listen, o.URL = "", address })
	t.Cleanup(func() { r.stop() })
	g := r.gate("north")
	g.hello(mirror.HelloRequest{})
	g.tell(mirror.Event{Arrived: arrived(0)})
	r.booked("north", 1)

	s.Shutdown()
	s.WaitForShutdown()
	eventually(t, "the hub sees it", func() bool { return !r.Up() })
	s = start()
	eventually(t, "the hub is back", func() bool { return r.Up() })
	g.hello(mirror.HelloRequest{})
	g.tell(mirror.Event{Arrived: arrived(1)})
	r.booked("north", 2)

	closed := make(chan struct{})
	creds, err := r.Rotate(t.Context(), "north", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.dial("north", creds, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) })); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Rotate(t.Context(), "north", 0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Error("revoked credentials are still connected")
	}
}

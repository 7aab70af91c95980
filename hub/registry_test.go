package hub

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"golang.org/x/sync/errgroup"

	"gatewayd/mirror"
	"gatewayd/sms"
)

// Gateways that are added at once are all known at once.
func TestManyAreAddedAtOnce(t *testing.T) {
	r := newRig(t, nil)
	const n = 128
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error {
			_, _, err := r.Add(t.Context(), sms.NewGateway{Name: fmt.Sprintf("branch-%d", i)})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if _, all := r.Count(); all != n {
		t.Errorf("%d gateways are known, want %d", all, n)
	}
}

// A hub with so many gateways that NATS can't stop its consumers in time ends all the same,
// and loses nothing by that.
func TestManyConsumersDoNotHoldUpTheEnd(t *testing.T) {
	consumers := func(o *Options) { o.Pull = PullConsumer }
	r := newRig(t, consumers)
	const n = 60 // of which NATS waits some ten milliseconds for each
	for i := range n {
		r.add(fmt.Sprintf("branch-%d", i), "")
	}
	r.lookNow()
	last := fmt.Sprintf("branch-%d", n-1)
	eventually(t, "all are prepared", func() bool {
		for i := range n {
			if !r.prepared(fmt.Sprintf("branch-%d", i)) {
				return false
			}
		}
		return true
	})
	for range 3 {
		if _, err := r.js.Publish(t.Context(), mirror.OutSubject(last), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	c, err := r.js.Consumer(t.Context(), mirror.Out(last), mirror.Consumer(last))
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
	r.lastStop = 50 * time.Millisecond
	server, begun := r.server, time.Now()
	r.stop()
	took := time.Since(begun)
	server.WaitForShutdown() // here the process goes on
	all := time.Since(begun)
	t.Logf("left after %v; NATS was through after %v", took, all)
	if took > all/2 {
		t.Errorf("the end took %v of the %v that NATS takes", took, all)
	}
	r.open(consumers)
	if c, err = r.js.Consumer(t.Context(), mirror.Out(last), mirror.Consumer(last)); err != nil {
		t.Fatal(err)
	}
	if info := c.CachedInfo(); info.NumPending != 2 || info.AckFloor.Consumer != 1 {
		t.Errorf("%d wait after a message of three was taken, %+v", info.NumPending, info.AckFloor)
	}
	batch, err := c.Fetch(2, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for range batch.Messages() {
		got++
	}
	if got != 2 {
		t.Errorf("%d messages came after the start, want 2", got)
	}
}

// A hub restored from a backup pushes what is set then under a version that is new to the gateway.
func TestAConfigurationIsNewToItsGateway(t *testing.T) {
	r := newRig(t, nil)
	north := r.gate("north")
	north.hello(mirror.HelloRequest{Configuration: 5})
	name := "Graz"
	g, err := r.Change(t.Context(), "north", sms.GatewayChange{Configuration: &sms.GatewaySettings{Name: &name}})
	if err != nil || g.Configuration.Version != 6 {
		t.Fatalf("%+v, %v", g.Configuration, err)
	}
	if a := north.hello(mirror.HelloRequest{Configuration: 5}); a.Configuration == nil || a.Configuration.Version != 6 {
		t.Errorf("it is told %+v", a.Configuration)
	}
}

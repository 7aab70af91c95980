package hub

import (
	"encoding/json"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Receipts and replies come to their gateway, in order, also those of the run before.
func TestItems(t *testing.T) {
	r := newRig(t, nil)
	north := r.gateway("north", "")
	put := func(item mirror.Item) {
		t.Helper()
		if err := r.queue.Do(func(tx *db.Tx) error { return r.PutTx(tx, "north", item) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.queue.Do(func(tx *db.Tx) error {
		for i := range 500 {
			if err := r.PutTx(tx, "north", mirror.Item{Receipts: []mirror.Receipt{{ID: fmt.Sprint(i), Address: &i}}}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	put(mirror.Item{Reply: &mirror.Reply{ID: "msg_1"}})
	put(mirror.Item{Receipts: []mirror.Receipt{{ID: "last"}}})
	left := func() (n int) {
		if err := r.database.Read(t.Context(), func(q db.Querier) error { return q.QueryRow(`SELECT count(*) FROM hub_items`).Scan(&n) }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	eventually(t, "all are in the stream", func() bool { return left() == 0 })
	r.stop()
	r.open(nil)
	put(mirror.Item{Receipts: []mirror.Receipt{{ID: "of the next run"}}})
	eventually(t, "it is in the stream", func() bool { return left() == 0 })
	var ids []string
	for seq := uint64(1); ; seq++ {
		m, err := readAt(t.Context(), r.nc, mirror.Out("north"), seq, mirror.OutSubject("north"))
		if err != nil {
			t.Fatal(err)
		}
		if m == nil {
			break
		}
		seq = m.Sequence
		var item mirror.Item
		if err := json.Unmarshal(m.Data, &item); err != nil {
			t.Fatal(err)
		}
		for _, one := range item.Receipts {
			ids = append(ids, one.ID)
		}
		if item.Reply != nil {
			ids = append(ids, item.Reply.ID)
		}
	}
	if len(ids) != 503 || ids[0] != "0" || ids[499] != "499" || ids[500] != "msg_1" || ids[501] != "last" || ids[502] != "of the next run" {
		t.Errorf("%d came: %v", len(ids), ids)
	}
	_ = north
}

// While NATS can't be reached all is accepted and waits; then it comes, once and in order.
func TestNATSIsAway(t *testing.T) {
	dir := t.TempDir()
	start := func(port int) *server.Server {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if !s.ReadyForConnections(5 * time.Second) {
			t.Fatal("NATS does not start")
		}
		return s
	}
	s := start(server.RANDOM_PORT)
	port := s.Addr().(*net.TCPAddr).Port
	r := newRig(t, func(o *Options) { o.URL = s.ClientURL() })
	north := r.gateway("north", "")
	north.hello(0)
	ids := r.submit(100, queue.Draft{})
	s.Shutdown()
	s.WaitForShutdown()
	ids = append(ids, r.submit(100, queue.Draft{Message: sms.Message{Text: "meanwhile"}})...)
	if err := r.queue.Do(func(tx *db.Tx) error {
		return r.PutTx(tx, "north", mirror.Item{Receipts: []mirror.Receipt{{ID: "1"}}})
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it was tried", func() bool { return r.said("messages wait for the stream") })
	s = start(port)
	t.Cleanup(s.Shutdown)
	eventually(t, "all are in the link", func() bool { return r.inLink("north", ids...) })
	got := r.inStream("north")
	if len(got) != len(ids) {
		t.Fatalf("%d of %d are in the stream", len(got), len(ids))
	}
	there := map[string]bool{}
	for _, id := range got {
		there[id] = true
	}
	if len(there) != len(ids) {
		t.Errorf("%d of %d are there", len(there), len(ids))
	}
}

package hub

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Before the disk of the hub is full nothing more goes into the streams: messages wait, and
// what gateways tell is refused as too much for now.
func TestStreamsLeaveTheReserve(t *testing.T) {
	r := newRig(t, nil)
	ids := r.submit(2, queue.Draft{})
	r.stop()
	r.reserve = 1 << 60
	r.open(nil)
	if _, err := r.database.LookAtDisk(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	north := r.gateway("north", "")
	north.hello(0)
	eventually(t, "it is said why they wait", func() bool { return r.Waiting()["the disk of the hub is nearly full"] > 0 })
	js, err := jetstream.New(north.nc)
	if err != nil {
		t.Fatal(err)
	}
	var refused *jetstream.APIError
	if _, err := js.Publish(t.Context(), mirror.Tell("north"), []byte(`{"log":"a","seq":1}`)); !errors.As(err, &refused) || refused.Code != 429 {
		t.Errorf("what it tells is answered with %v", err)
	}
	if r.inLink("north", ids...) || len(r.inStream("north")) > 0 {
		t.Error("they are in the link")
	}
	r.stop()
	r.reserve = 0
	r.open(nil)
	r.lookNow()
	eventually(t, "they go once there is room", func() bool { return r.inLink("north", ids...) })
}

// For a gateway that was deleted nothing is kept, and whoever answers it hears of that.
func TestNothingIsKeptForNobody(t *testing.T) {
	r := newRig(t, nil)
	put := func(i mirror.Item) error {
		return r.queue.Do(func(tx *db.Tx) error { return r.PutTx(tx, "nobody", i) })
	}
	if err := put(mirror.Item{Receipts: []mirror.Receipt{{ID: "1"}}}); err != nil {
		t.Error(err)
	}
	if err := put(mirror.Item{Reply: &mirror.Reply{ID: "in_1", From: "+491701111111", Text: "hello"}}); !errors.Is(err, sms.ErrNoGateway) {
		t.Errorf("a reply is answered with %v", err)
	}
	var n int
	if err := r.db.Read(t.Context(), func(q db.Querier) error { return q.QueryRow(`SELECT count(*) FROM hub_items`).Scan(&n) }); err != nil || n != 0 {
		t.Errorf("%d items are kept, %v", n, err)
	}
}

package hub

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// waiting is a reader of the event log that takes nothing, as a webhook whose receiver is away.
func (r *rig) waiting(name string) (takes func()) {
	r.t.Helper()
	if _, err := r.queue.Cursor(name); err != nil {
		r.t.Fatal(err)
	}
	return func() {
		r.t.Helper()
		_, newest, err := r.queue.Span(r.t.Context())
		if err == nil {
			err = r.db.Write(func(tx *db.Tx) error { return r.queue.AdvanceTx(tx, name, newest, 0) })
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// beside counts what is kept beside the inbound ring.
func (r *rig) beside() (n int) {
	r.t.Helper()
	if err := r.db.Read(r.t.Context(), func(q db.Querier) error {
		return q.QueryRow(`SELECT count(*) FROM hub_arrivals`).Scan(&n)
	}); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// A webhook that takes nothing holds up neither what becomes of messages nor other gateways,
// and nothing that was received meanwhile is lost, told twice, or out of order.
func TestFullInboundRing(t *testing.T) {
	r := &rig{t: t, dir: t.TempDir(), inbound: 3}
	r.open(nil)
	t.Cleanup(func() { r.stop() })
	takes := r.waiting("webhook:slow")
	north, south := r.gate("north"), r.gate("south")
	for i := range 6 {
		north.tell(mirror.Event{Arrived: arrived(i)})
	}
	south.tell(mirror.Event{Arrived: arrived(6)})
	south.tell(mirror.Event{Consent: []mirror.Consent{{Number: "+491705555555", Stopped: true, At: time.Now(), Reason: queue.ReasonWord}}})
	r.booked("north", 6)
	r.booked("south", 2)
	if n := r.beside(); n != 4 || len(r.texts()) != 3 {
		t.Fatalf("%d messages are kept beside the ring, %q in it", n, r.texts())
	}
	if err := r.db.Read(t.Context(), func(q db.Querier) error {
		stopped, err := r.queue.Stopped(q, "+491705555555")
		if err == nil && !stopped {
			t.Error("a STOP waits for a webhook")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	// Told again under another name of the log, as after a doubt, it changes nothing.
	for i := range 6 {
		north.tell(mirror.Event{Log: "log.1", Arrived: arrived(i)})
	}
	r.booked("north", 12)
	if r.said("put aside") {
		t.Error("what was told again was taken for something that can't be booked")
	}
	kept := r.beside()
	creds, err := r.Rotate(t.Context(), "north", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.open(nil)
	north.connect(creds)
	if n := r.beside(); n != kept {
		t.Fatalf("%d messages are kept beside the ring after a restart, %d before", n, kept)
	}
	for want := 6; want <= 9; want += 3 { // as far as the ring has room
		takes()
		n := min(want, 7)
		eventually(t, fmt.Sprintf("%d have entered the ring", n), func() bool { return len(r.texts()) == n })
	}
	eventually(t, "nothing is kept any more", func() bool { return r.beside() == 0 })
	page, _, err := r.queue.List(t.Context(), queue.Filter{Direction: sms.Inbound, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, m := range page { // the newest first
		order = append(order, m.Text)
	}
	want := []string{"text 6", "text 5", "text 4", "text 3", "text 2", "text 1", "text 0"}
	if !slices.Equal(order, want) {
		t.Errorf("they entered as %q", order)
	}
	takes()
	north.tell(mirror.Event{Arrived: arrived(7)})
	eventually(t, "the next goes straight into the ring", func() bool { return len(r.texts()) == 8 })
	// What comes while there is room again stands behind what is kept.
	takes()
	b, _ := json.Marshal(arrived(8))
	if err := r.db.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO hub_arrivals (gateway, message, arrived) VALUES ('north', ?, ?)`, arrived(8).Message.ID, string(b))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	north.tell(mirror.Event{Arrived: arrived(9)})
	eventually(t, "both are there", func() bool { return len(r.texts()) == 10 })
	if page, _, err := r.queue.List(t.Context(), queue.Filter{Direction: sms.Inbound, Limit: 2}); err != nil || page[0].Text != "text 9" {
		t.Errorf("the newest is %+v (%v)", page, err)
	}
}

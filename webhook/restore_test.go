package webhook

import (
	"context"
	"slices"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// What waited when the backup was made may have been delivered since: it is held,
// and delivered under the same webhook-id or dropped when somebody says so.
func TestRestoredDeliveriesAreHeld(t *testing.T) {
	for name, release := range map[string]bool{"release": true, "cancel": false} {
		t.Run(name, func(t *testing.T) { heldDeliveries(t, release) })
	}
}

func heldDeliveries(t *testing.T, release bool) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.always(500)
		r.submitMany(alice, 0, 3)
		r.submitMany(bob, 0, 1)
		settleDown(time.Second)
		pending := r.list(sms.DeliveryFilter{Status: sms.DeliveryPending})
		r.stop()
		d, err := db.Open(context.Background(), db.Options{Dir: r.dir, SingleConn: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Write(func(tx *db.Tx) error { return Restore(tx, false, time.Now()) }); err != nil {
			t.Fatal(err)
		}
		if n, err := Held(context.Background(), d); n != 4 || err != nil {
			t.Errorf("%d are held (%v)", n, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.always(200)
		r.forget()
		r.submitMany(carol, 0, 1)
		settleDown(24 * time.Hour)
		if got := r.got(nil); len(got) != 1 || got[0].number != carol {
			t.Errorf("delivered before somebody has said so: %+v", got)
		}
		r.forget()
		if err := r.w.SettleHeld(context.Background(), release); err != nil {
			t.Fatal(err)
		}
		settleDown(time.Minute)
		if n, err := Held(context.Background(), r.db); n != 0 || err != nil {
			t.Errorf("%d are still held (%v)", n, err)
		}
		if !release {
			if n := len(r.list(sms.DeliveryFilter{Status: sms.DeliveryDropped})); n != 4 || len(r.got(nil)) != 0 {
				t.Errorf("%d were dropped, %d delivered", n, len(r.got(nil)))
			}
			return
		}
		r.wantInOrder("app.example", alice, 3)
		var ids []string
		for _, p := range pending {
			ids = append(ids, p.ID)
		}
		for _, a := range r.got(nil) {
			if !slices.Contains(ids, a.id) {
				t.Errorf("delivered under another id: %s of %v", a.id, ids)
			}
		}
		if n := len(r.got(nil)); n != 4 {
			t.Errorf("%d were delivered", n)
		}
	})
}

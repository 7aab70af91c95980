package gateway

import (
	"testing"
	"time"

	"gatewayd/sim"
	"gatewayd/sms"
)

// When nothing more can be received, sending goes on.
func TestFullStorageSends(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.restart(func(o *Options) { o.Queue.InboundCapacity = 1 })
		if _, err := w.g.Queue().Cursor("a reader that never comes"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := w.net.Handset(phone).Send(w.modems[0].Number(), "x"); err != nil {
				t.Fatal(err)
			}
		}
		w.pass(30 * time.Second)
		if s := w.g.modems.List()[0].State; s != sms.StorageFull {
			t.Fatalf("the modem is %s", s)
		}
		w.until(w.submit(phone, "x").ID, sms.Sent, time.Minute)
	})
}

// Status reports find their messages though the modem tells no ICCID.
func TestNoICCID(t *testing.T) {
	inWorld(t, 0, air(), func(w *world) {
		w.modems = append(w.modems, w.net.AddModem(sim.ModemOptions{Name: "m1", ICCID: "none"}))
		w.restart(nil)
		w.until(w.submit(phone, "x").ID, sms.Delivered, time.Minute)
	})
}

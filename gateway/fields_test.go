package gateway

import (
	"bytes"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// What a message says of how it is to be sent is on the air: the time that the
// network has for it (TP-VP), class 0, whether a report is wanted, and its own header.
func TestFieldsAreOnTheAir(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(10 * time.Second)
		udh := []byte{6, 5, 4, 0x15, 0x82, 0x15, 0x82}
		w.until(w.submit(phone, "x", func(d *queue.Draft) {
			d.ExpiresAt, d.Flash, d.DeliveryReport = time.Now().Add(6*time.Hour), true, false
		}).ID, sms.Sent, time.Minute)
		w.until(w.submit(phone, "", func(d *queue.Draft) { d.Data, d.UDH = []byte("data"), udh }).ID, sms.Delivered, time.Minute)
		all := w.net.Accepted()
		first, err := pdu.ReadSubmit(all[0].TPDU)
		if err != nil || len(first.VP) != 1 {
			t.Fatalf("%+v, %v", first, err)
		}
		if vp := first.VP[0]; vp != 70 && vp != 71 { // (n+1)*5 minutes, and some seconds are gone
			t.Errorf("TP-VP is %d", vp)
		}
		if all[0].Class != 0 || all[0].Report || !all[1].Report {
			t.Errorf("class %d, reports %v, %v", all[0].Class, all[0].Report, all[1].Report)
		}
		if second, err := pdu.ReadSubmit(all[1].TPDU); err != nil || len(second.VP) != 0 || !bytes.Contains(all[1].TPDU, append(udh, "data"...)) {
			t.Errorf("%X, %v", all[1].TPDU, err)
		}
	})
}

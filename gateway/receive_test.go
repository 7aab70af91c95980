package gateway

import (
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"gatewayd/sim"
	"gatewayd/sms"
)

// Fifty texts while ten are sent, to a modem that announces each twice, some
// without saying where, and takes seven seconds to delete one, with a restart in
// the middle: all are received once, in order, unmarked.
func TestBurstIsReceivedOnce(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		m := w.modems[0]
		m.Fault(func(f *sim.Faults) {
			f.Slow = map[string]time.Duration{"+CMGD": 7 * time.Second}
			f.CMTITwice, f.CMTIUnknown = sim.Always, 3
		})
		var out []sms.Message
		for i := range 50 {
			if err := w.net.Handset(phone).Send(m.Number(), fmt.Sprintf("text %02d", i)); err != nil {
				t.Fatal(err)
			}
			if i%5 == 0 {
				out = append(out, w.submit(fmt.Sprintf("+4917099999%02d", i), "x"))
			}
			if i == 30 {
				w.restart(nil)
			}
			w.pass(1100 * time.Millisecond)
		}
		for _, o := range out {
			w.until(o.ID, sms.Delivered, 5*time.Minute)
		}
		for range 20 {
			if len(w.inbound()) < 50 || w.net.Waiting(m.Number()) > 0 {
				w.pass(time.Minute)
			}
		}
		got := w.inbound()
		slices.Reverse(got)
		if len(got) != 50 {
			t.Fatalf("%d received", len(got))
		}
		for i, m := range got {
			if want := fmt.Sprintf("text %02d", i); m.Text != want || m.PossibleDuplicate {
				t.Errorf("%q at the place of %q, possible duplicate: %v", m.Text, want, m.PossibleDuplicate)
			}
		}
		w.pass(15 * time.Minute)
		if s := w.g.modems.List()[0].Storage; s == nil || s.Used != 0 {
			t.Errorf("left in the SIM: %+v", s)
		}
	})
}

// Class 0 comes by itself, class 2 through the SIM, type 0 is nobody's, an MMS
// notification is one, and the network's repetition is marked: through modem and
// queue to the message. The PDUs are by hand or from a network.
func TestKindsAreReceivedAsWhatTheyAre(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		m := w.modems[0]
		w.pass(10 * time.Second)
		const head, scts = "0004" + "0B911234567890F1", "62101121436500"
		for _, raw := range []string{
			head + "0010" + scts + "02E834", head + "00F2" + scts + "02E834", head + "4000" + scts + "02E834", head + "00C8" + scts + "02E834",
			"0891683108200545F6640C980156184501300004410122212084237B0605040B8423F04006246170706C69636174696F6E2F766E642E7761702E6D6D732D6D65737361676500B487AF848C8298564F78614251464B4F344643008D9083687474703A2F2F3232312E3133312E3132382E3132392F564F78614251464B4F344643008805810302CA0D8907803132333731008A808E02CD7E",
			"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
		} {
			pdu, err := hex.DecodeString(raw)
			if err != nil {
				t.Fatal(err)
			}
			w.net.Inject(m.Number(), pdu)
			w.pass(20 * time.Second)
		}
		m.Fault(func(f *sim.Faults) { f.Duplicate = 1 })
		if err := w.net.Handset(phone).Send(m.Number(), "again"); err != nil {
			t.Fatal(err)
		}
		w.pass(5 * time.Minute)
		var got []string
		for _, m := range w.inbound() {
			s := fmt.Sprintf("%s %q", m.Kind, m.Text)
			switch {
			case m.Flash:
				s += " flash"
			case m.MMS != nil:
				s += " " + m.MMS.Location
			case m.Waiting != nil:
				s += " " + m.Waiting[0].Type
			case m.PossibleDuplicate:
				s += " again"
			}
			got = append(got, s)
		}
		slices.Reverse(got)
		want := []string{`text "hi" flash`, `text "hi"`, `message-waiting "hi" voicemail`, `mms-notification "" http://221.131.128.129/VOxaBQFKO4FC`,
			`undecodable ""`, `text "again"`, `text "again" again`}
		if !slices.Equal(got, want) {
			t.Errorf("%q\nwant\n%q", got, want)
		}
		if s := w.g.modems.List()[0].Storage; s == nil || s.Used != 0 {
			t.Errorf("left in the SIM: %+v", s)
		}
	})
}

package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

const dead = "+491700000000"

// Fifty messages to a number that fails, in whatever way, cost another number
// no more than the part that is on the air just then.
func TestFiftyToADeadNumber(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		last   sms.Status    // of the first to the dead number
		air    time.Duration // how long one of its parts is on the air
	}{
		"permanent":           {"+CMS ERROR: 1", sms.Failed, 2 * time.Second},
		"network's trouble":   {"+CMS ERROR: 38", sms.Queued, 2 * time.Second},
		"congestion":          {"+CMS ERROR: 42", sms.Queued, 2 * time.Second},
		"rejected":            {"+CMS ERROR: 21", sms.Failed, 2 * time.Second},
		"temporary":           {"+CMS ERROR: 41", sms.Queued, 2 * time.Second},
		"malformed":           {"+CMS ERROR: 96", sms.Failed, 2 * time.Second},
		"barred":              {"+CMS ERROR: 8", sms.Failed, 2 * time.Second},
		"modem's trouble":     {"+CMS ERROR: 500", sms.Queued, 2 * time.Second},
		"no word of it":       {"ERROR", sms.Queued, 2 * time.Second},
		"unknown outcome":     {"+CMS ERROR: 332", sms.Unconfirmed, 2 * time.Second},
		"no answer":           {sim.NoAnswer, sms.Unconfirmed, 60 * time.Second},
		"storage, they say":   {"+CMS ERROR: 322", sms.Queued, 2 * time.Second},
		"command not allowed": {"+CME ERROR: 3", sms.Failed, 2 * time.Second},
	} {
		for _, modems := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d", name, modems), func(t *testing.T) {
				inWorld(t, modems, air(), func(w *world) {
					for _, m := range w.modems {
						m.Fault(func(f *sim.Faults) { f.RejectFor = map[string]string{dead: c.answer} })
					}
					w.pass(10 * time.Second)
					w.until(w.submit(phone, "the SIMs work").ID, sms.Sent, time.Minute)
					var first sms.Message
					for i := range 50 {
						if m := w.submit(dead, "dead"); i == 0 {
							first = m
						}
					}
					limit := c.air + 4*time.Second // and its own time on the air, and a question or two
					if modems > 1 && limit > stallAfter {
						limit = stallAfter + 4*time.Second
					}
					for i := range 16 {
						w.pass(time.Duration(i*i%17) * time.Second / 2)
						start := time.Now()
						w.until(w.submit(fmt.Sprintf("+4917000001%02d", i%3), fmt.Sprint(i)).ID, sms.Sent, limit)
						if d := time.Since(start); d > limit {
							t.Errorf("message %d took %s", i, d)
						}
					}
					got := w.message(first.ID)
					restarts := int64(0)
					if c.answer == "ERROR" || c.answer == "+CMS ERROR: 500" {
						restarts = 1 // on the word of one recipient once
					}
					switch {
					case got.Status == c.last:
					case modems > 1 && restarts == 1 && got.Status == sms.Failed: // two modems blame it
					case c.last == sms.Unconfirmed && got.PossibleDuplicate: // it is in its resend
					default:
						t.Errorf("the first to the dead number is %s (%v)", got.Status, got.Error)
					}
					for _, m := range w.g.modems.List() {
						if m.State != sms.Ready || m.Counters.Restarts > restarts {
							t.Errorf("%s is %s (%s) after %d restarts", m.Name, m.State, m.Reason, m.Counters.Restarts)
						}
					}
				})
			})
		}
	}
}

// A SIM without credit is parked after five recipients, and says so; the other
// modem takes all, and nothing is started afresh.
func TestSIMWithoutCredit(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		w.pass(10 * time.Second)
		w.modems[0].Fault(func(f *sim.Faults) { f.Reject, f.SendError = sim.Always, "+CMS ERROR: 38" })
		start := time.Now()
		var all []sms.Message
		for i := range 40 {
			all = append(all, w.submit(fmt.Sprintf("+4917000000%02d", i), "x"))
		}
		for _, m := range all {
			if got := w.until(m.ID, sms.Delivered, 3*time.Minute); got.Modem != "m2" {
				t.Errorf("sent by %s", got.Modem)
			}
		}
		if d := time.Since(start); d > 45*2*time.Second {
			t.Errorf("took %s", d)
		}
		if n := w.modems[0].Stats().Sends; n != 5 {
			t.Errorf("the SIM without credit was tried %d times", n)
		}
		for _, m := range w.g.modems.List() {
			switch {
			case m.Name == "m1" && (m.State != sms.Parked || !strings.Contains(m.Reason, "cms-38") || !strings.Contains(m.Advice, "credit")):
				t.Errorf("m1 is %s: %s %s", m.State, m.Reason, m.Advice)
			case m.Counters.Restarts != 0:
				t.Errorf("%s was started afresh", m.Name)
			}
		}
	})
}

// With one modem, a message that parks it does not keep the others from being
// tried first when the park is over.
func TestParkerGoesBehindOthers(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.modems[0].Fault(func(f *sim.Faults) { f.RejectFor = map[string]string{dead: "+CMS ERROR: 50"} })
		w.pass(10 * time.Second)
		bad := w.submit(dead, "parks")
		w.pass(5 * time.Second)
		if s := w.g.modems.List()[0].State; s != sms.Parked {
			t.Fatalf("the modem is %s", s)
		}
		good := w.submit(phone, "x")
		w.until(good.ID, sms.Sent, 6*time.Minute)
		// That recipient alone is refused, as the next attempt shows.
		got := w.until(bad.ID, sms.Failed, 10*time.Minute)
		if got.Attempts != 2 || !strings.Contains(got.Error.Detail, "Only this recipient") || !strings.Contains(got.Error.Detail, "not tried again") {
			t.Errorf("after %d attempts: %v %s", got.Attempts, got.Error, got.Error.Detail)
		}
	})
}

// The only recipient of an alarm system gets its message through the other SIM
// when the first has no credit: nobody waits for five.
func TestOnlyRecipientGoesThroughTheOtherSIM(t *testing.T) {
	for _, code := range []string{"38", "21", "8", "28", "69", "500"} {
		inWorld(t, 2, air(), func(w *world) {
			if err := w.net.Handset(phone).Send(w.modems[0].Number(), "so that the number keeps this SIM"); err != nil {
				t.Fatal(err)
			}
			w.pass(10 * time.Second)
			w.modems[0].Fault(func(f *sim.Faults) { f.Reject, f.SendError = sim.Always, "+CMS ERROR: "+code })
			if got := w.until(w.submit(phone, "x").ID, sms.Sent, 10*time.Second); got.Modem != "m2" {
				t.Errorf("%s: sent by %s", code, got.Modem)
			}
		})
	}
}

// A service centre that takes no validity period gets the message without one.
func TestWithoutValidity(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(10 * time.Second)
		w.modems[0].Fault(func(f *sim.Faults) { f.Reject, f.SendError = 1, "+CMS ERROR: 199" })
		m := w.submit(phone, "x", func(d *queue.Draft) { d.ExpiresAt = time.Now().Add(time.Hour) })
		got := w.until(m.ID, sms.Sent, time.Minute)
		if a := w.net.Accepted(); got.Attempts != 2 || len(a) != 1 || a[0].TPDU[0]&0x18 != 0 {
			t.Errorf("%d attempts, accepted %+v", got.Attempts, a)
		}
	})
}

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

const phone = "+491701234567"

func air() sim.NetworkOptions { return sim.OnTheAir() }

// texts are kinds of text that gateways are known to spoil.
var texts = map[string]string{
	"short":            "Hello",
	"1,000 characters": strings.Repeat("The quick brown fox jumps! ", 37) + "x",
	"emoji":            strings.Repeat("grüße 👍🏽 🎉 ", 20),
	"extension":        strings.Repeat(`€{}[]~\^|`, 40),
	"Arabic":           strings.Repeat("مرحبا بالعالم ", 15),
}

func TestTextsArriveAsPosted(t *testing.T) {
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, air(), func(w *world) {
				m := w.submit(phone, text)
				got := w.until(m.ID, sms.Delivered, 2*time.Minute)
				if received := w.net.Handset(phone).Received(); len(received) != 1 || received[0] != text {
					t.Errorf("the handset shows %q", received)
				}
				if got.PossibleDuplicate || got.Attempts != 1 || got.From != w.modems[0].Number() {
					t.Errorf("delivered as %+v", got)
				}
			})
		})
	}
}

func TestTextsAreReceivedAsWritten(t *testing.T) {
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, air(), func(w *world) {
				w.pass(10 * time.Second)
				if err := w.net.Handset(phone).Send(w.modems[0].Number(), text); err != nil {
					t.Fatal(err)
				}
				w.pass(time.Minute)
				got := w.inbound()
				if len(got) != 1 || got[0].Text != text || got[0].From != phone || got[0].To != w.modems[0].Number() {
					t.Fatalf("received %+v", got)
				}
			})
		})
	}
}

// The right type of number (TP-DA) for each kind of recipient.
func TestTypeOfNumber(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		for to, want := range map[string]byte{phone: 0x91, "12345": 0x81} {
			m := w.submit(to, "x")
			w.until(m.ID, sms.Sent, time.Minute)
			accepted := w.net.Accepted()
			last := accepted[len(accepted)-1]
			if last.To != to || last.TOA != want {
				t.Errorf("to %s: the network saw %s with type %#x, want %#x", to, last.To, last.TOA, want)
			}
		}
	})
}

// Two modems, forty messages: both work at once, each has one part on the air
// at a time, and each recipient's messages come in order from one sender.
func TestTwoModemsShareTheWork(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		var last string
		for i := range 40 {
			last = w.submit(fmt.Sprintf("+4917000000%02d", i%10), fmt.Sprintf("text %d", i/10)).ID
		}
		start := time.Now()
		w.until(last, sms.Sent, 5*time.Minute)
		w.pass(time.Minute)
		used := time.Since(start) - time.Minute
		if one := 40 * 1500 * time.Millisecond; used > one*7/10 {
			t.Errorf("40 parts took %v; one modem alone takes %v", used, one)
		}
		sender := map[string]string{}
		next := map[string]int{}
		count := map[string]int{}
		accepted := w.net.Accepted()
		if len(accepted) != 40 {
			t.Fatalf("the network saw %d parts, want 40", len(accepted))
		}
		var busy = map[string]time.Time{}
		for _, s := range accepted {
			if from, ok := sender[s.To]; ok && from != s.From {
				t.Errorf("%s got texts from %s and %s", s.To, from, s.From)
			}
			sender[s.To] = s.From
			if want := fmt.Sprintf("text %d", next[s.To]); s.Text != want {
				t.Errorf("%s got %q, want %q", s.To, s.Text, want)
			}
			next[s.To]++
			count[s.Modem]++
			if at := busy[s.Modem]; s.At.Sub(at) < time.Second {
				t.Errorf("%s had two parts accepted within %v", s.Modem, s.At.Sub(at))
			}
			busy[s.Modem] = s.At
		}
		if count["m1"] < 12 || count["m2"] < 12 {
			t.Errorf("the work was shared %v", count)
		}
	})
}

func TestPinnedAndPriority(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		w.pass(10 * time.Second)
		pin := func(d *queue.Draft) { d.Pin = "m2" }
		for i := range 6 {
			w.submit(fmt.Sprintf("+4917000000%02d", i), "pinned", pin)
		}
		alarm := w.submit("+491709999999", "alarm", pin, func(d *queue.Draft) { d.Priority = 9 })
		w.until(alarm.ID, sms.Sent, time.Minute)
		accepted := w.net.Accepted()
		// The part on the air and the one already in the modem's hand may be ahead of it.
		if len(accepted) > 3 {
			t.Errorf("%d parts went before the alarm", len(accepted)-1)
		}
		w.pass(time.Minute)
		for _, s := range w.net.Accepted() {
			if s.Modem != "m2" {
				t.Errorf("a pinned message went out through %s", s.Modem)
			}
		}
	})
}

// A dead number steps aside: the other's messages are not delayed by it.
func TestDeadNumberDelaysNobody(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.net.SetFate("+491700000000", sim.Fate{CMS: 38})
		for range 20 {
			w.submit("+491700000000", "dead")
		}
		var last string
		for i := range 20 {
			last = w.submit(phone, fmt.Sprint(i)).ID
		}
		start := time.Now()
		w.until(last, sms.Sent, 5*time.Minute)
		if used := time.Since(start); used > 60*time.Second {
			t.Errorf("20 parts beside a dead number took %v", used)
		}
	})
}

func TestRefusedForGood(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.net.SetFate(phone, sim.Fate{CMS: 1})
		m := w.submit(phone, "x")
		got := w.until(m.ID, sms.Failed, time.Minute)
		if got.Error == nil || got.Error.Code != "cms-1" {
			t.Errorf("error = %v", got.Error)
		}
	})
}

// A modem that is pulled out gives its messages to another.
func TestFailover(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		first := w.submit(phone, "first")
		got := w.until(first.ID, sms.Delivered, time.Minute)
		for _, m := range w.modems {
			if m.Name() == got.Modem {
				m.Unplug()
			}
		}
		w.pass(5 * time.Second)
		second := w.submit(phone, "second")
		if again := w.until(second.ID, sms.Sent, time.Minute); again.Modem == got.Modem {
			t.Errorf("sent through the modem that was pulled out")
		}
	})
}

// No answer after Ctrl-Z: unconfirmed, then sent once more and marked.
func TestLostAnswer(t *testing.T) {
	for _, lost := range []bool{true, false} {
		t.Run(fmt.Sprintf("lost=%v", lost), func(t *testing.T) {
			o := air()
			o.Report = 0
			inWorld(t, 1, o, func(w *world) {
				w.pass(10 * time.Second)
				w.net.SetFate(phone, sim.Fate{Silent: true}) // no report settles it
				w.modems[0].Fault(func(f *sim.Faults) { f.Silent, f.Lost = 1, lost })
				m := w.submit(phone, "x")
				w.until(m.ID, sms.Unconfirmed, 2*time.Minute)
				got := w.until(m.ID, sms.Sent, 4*time.Minute)
				if !got.PossibleDuplicate {
					t.Error("the resend is not marked")
				}
				want := 2
				if lost {
					want = 1
				}
				if n := len(w.net.Accepted()); n != want {
					t.Errorf("the network accepted %d, want %d", n, want)
				}
			})
		})
	}
}

// An answer after the deadline settles its own message and no other.
func TestLateAnswerIsCreditedToItsOwn(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(10 * time.Second)
		w.net.SetFate(phone, sim.Fate{Silent: true})
		w.modems[0].Fault(func(f *sim.Faults) { f.Late, f.LateBy = 1, 62*time.Second })
		a := w.submit(phone, "A")
		w.until(a.ID, sms.Sending, time.Minute)
		b := w.submit("+491700000001", "B")
		gotA := w.until(a.ID, sms.Sent, 5*time.Minute)
		w.until(b.ID, sms.Sent, 5*time.Minute)
		w.pass(5 * time.Minute)
		var saw []string
		for _, s := range w.net.Accepted() {
			saw = append(saw, s.Text)
		}
		if gotA.PossibleDuplicate || len(saw) != 2 {
			t.Errorf("the network saw %q, A marked %v", saw, gotA.PossibleDuplicate)
		}
	})
}

func TestOKWithoutReferenceIsNoSuccess(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(10 * time.Second)
		w.net.SetFate(phone, sim.Fate{Silent: true})
		w.modems[0].Fault(func(f *sim.Faults) { f.OKOnly, f.Lost = 1, true })
		m := w.submit(phone, "x")
		w.until(m.ID, sms.Unconfirmed, time.Minute)
		w.until(m.ID, sms.Sent, 5*time.Minute)
	})
}

// Everything goes on where it was after the daemon was stopped at any point.
func TestStopAndStart(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		var ids []string
		for i := range 5 {
			ids = append(ids, w.submit(fmt.Sprintf("+4917000000%02d", i), texts["1,000 characters"]).ID)
		}
		for range 8 {
			w.pass(7 * time.Second)
			w.end()
			w.pass(time.Second)
			w.start()
		}
		for _, id := range ids {
			if got := w.until(id, sms.Delivered, 10*time.Minute); got.PossibleDuplicate {
				t.Error("an orderly stop made a message doubtful")
			}
		}
		if n := len(w.net.Accepted()); n != 35 {
			t.Errorf("the network saw %d parts, want 35", n)
		}
	})
}

// Received messages wait in the modem while the gateway is away.
func TestReceivedWhileAway(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(10 * time.Second)
		w.end()
		if err := w.net.Handset(phone).Send(w.modems[0].Number(), texts["emoji"]); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		w.start()
		w.pass(30 * time.Second)
		if got := w.inbound(); len(got) != 1 || got[0].Text != texts["emoji"] {
			t.Fatalf("received %+v", got)
		}
		if left := w.modems[0].Stored("SM"); len(left) != 0 {
			t.Errorf("%d messages were left in the SIM", len(left))
		}
	})
}

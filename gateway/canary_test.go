package gateway

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

func withCanary(every, wait time.Duration) func(*Options) {
	return func(o *Options) { o.Canary = Canary{Every: every, Wait: wait} }
}

// A test message goes to each modem from another, is measured, and is handed on
// to nobody.
func TestCanaryIsMeasured(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		w.restart(withCanary(time.Hour, 5*time.Minute))
		w.pass(canaryRest + time.Minute)
		for _, name := range []string{"m1", "m2"} {
			m, _ := w.g.modems.Get(name)
			c := m.Canary
			if c == nil || c.Outcome != "arrived" || c.From == name || c.Seconds == nil || *c.Seconds <= 0 || *c.Seconds > 30 {
				t.Errorf("%s: %+v", name, c)
			}
		}
		if got := w.inbound(); len(got) > 0 {
			t.Errorf("test messages are handed on: %+v", got)
		}
		if n := len(w.net.Accepted()); n != 2 {
			t.Errorf("%d test messages were sent in the first minutes, want 2", n)
		}
		w.pass(2 * time.Hour)
		if n := len(w.net.Accepted()); n != 6 {
			t.Errorf("%d test messages were sent in two hours, want 6", n)
		}
		// What only looks like one is somebody's message.
		if err := w.net.Handset(phone).Send(w.modems[0].Number(), canaryText+"drive"); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		if got := w.inbound(); len(got) != 1 || got[0].Text != canaryText+"drive" {
			t.Errorf("%+v", got)
		}
	})
}

// A modem that is registered and gets nothing is called deaf after a second
// sender has tried too, is healed, and is ready when something arrives. Nothing
// is held against one whose sender could not send.
func TestDeafModemIsHealed(t *testing.T) {
	inWorld(t, 3, air(), func(w *world) {
		w.restart(withCanary(time.Hour, 5*time.Minute))
		w.net.SetFate(w.modems[1].Number(), sim.Fate{Reports: []byte{}}) // never delivered
		m := w.state("m2", sms.Deaf, canaryRest+12*time.Minute)
		if m.Advice == "" || !strings.Contains(m.Reason, "test message") {
			t.Errorf("%q %q", m.Reason, m.Advice)
		}
		froms := map[string]bool{}
		for _, s := range w.net.Accepted() {
			if s.To == w.modems[1].Number() {
				froms[s.Modem] = true
			}
		}
		if len(froms) < 2 {
			t.Errorf("only %v has tried", froms)
		}
		// A deaf modem sends all the same.
		sent := w.submit(phone, "hello", func(d *queue.Draft) { d.Pin = "m2" })
		w.until(sent.ID, sms.Sent, 5*time.Minute)
		w.net.SetFate(w.modems[1].Number(), sim.Fate{})
		m = w.state("m2", sms.Ready, 20*time.Minute)
		if m.Canary == nil || m.Canary.Outcome != "waiting" && m.Canary.Outcome != "arrived" {
			t.Errorf("%+v", m.Canary)
		}
		if last := m.Healing.Last; len(last) == 0 || last[0].Outcome != "healed" || last[0].Step == "reopen" {
			t.Errorf("%+v", last)
		}
		for _, name := range []string{"m1", "m3"} {
			if m, _ := w.g.modems.Get(name); m.State != sms.Ready || len(m.Healing.Last) > 0 {
				t.Errorf("%s: %s %+v", name, m.State, m.Healing.Last)
			}
		}
	})
}

// A test message that never left says nothing of the modem that it was for.
func TestCanaryThatNeverLeft(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.restart(withCanary(time.Hour, 5*time.Minute))
		w.modems[0].Fault(func(f *sim.Faults) { f.Reject, f.SendError = sim.Always, "+CMS ERROR: 42" })
		w.pass(3 * time.Hour)
		// Nor does the page go on saying that one is on its way.
		if m, _ := w.g.modems.Get("m1"); m.State != sms.Ready || m.Canary != nil {
			t.Errorf("%s %+v", m.State, m.Canary)
		}
		page, _, err := w.g.Queue().List(context.Background(), queue.Filter{Direction: sms.Outbound, Limit: 10})
		if err != nil || len(page) == 0 || page[0].Metadata["purpose"] != "canary" {
			t.Errorf("%+v, %v", page, err)
		}
	})
}

// Alarms of modems begin and end with their states, and while one is healed
// nothing is said.
func TestModemAlarms(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.restart(withCanary(time.Hour, 5*time.Minute))
		codes := func() (all []string) {
			m, _ := w.g.modems.Get("m1")
			for _, a := range m.Alarms {
				all = append(all, a.Code)
			}
			return all
		}
		w.net.SetFate(w.modems[0].Number(), sim.Fate{Reports: []byte{}})
		w.state("m1", sms.Deaf, time.Hour)
		if got := codes(); !slices.Equal(got, []string{"modem-deaf"}) {
			t.Errorf("alarms %v", got)
		}
		w.state("m1", sms.Parked, 3*time.Hour)
		if got := codes(); !slices.Equal(got, []string{"modem-deaf", "modem-parked"}) {
			t.Errorf("alarms %v", got)
		}
		w.net.SetFate(w.modems[0].Number(), sim.Fate{})
		w.state("m1", sms.Ready, 5*time.Hour)
		w.pass(time.Second) // the state shows before the alarms' end is on disk
		if got := codes(); len(got) > 0 {
			t.Errorf("alarms %v", got)
		}
	})
}

// A modem whose received messages nobody takes is not deaf: what was sent to it
// lies in its storage, a test message too.
func TestCanaryBehindAFullQueue(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		w.restart(func(o *Options) {
			withCanary(time.Hour, 5*time.Minute)(o)
			o.Queue.InboundCapacity = 1
		})
		if _, err := w.g.Queue().Cursor("a reader that never comes"); err != nil {
			t.Fatal(err)
		}
		w.pass(canaryRest + 500*time.Millisecond) // the first one is on its way
		for range 3 {
			if err := w.net.Handset(phone).Send(w.modems[0].Number(), "x"); err != nil {
				t.Fatal(err)
			}
		}
		w.pass(3 * time.Hour)
		m, _ := w.g.modems.Get("m1")
		if m.State != sms.StorageFull || len(m.Healing.Last) > 0 || slices.Contains(w.states("m1"), string(sms.Deaf)) {
			t.Errorf("%s, healing %+v, states %v", m.State, m.Healing, w.states("m1"))
		}
	})
}

// An alarm of a modem that the configuration no longer has is over.
func TestAlarmOfAModemThatIsNoMore(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.restart(withCanary(time.Hour, 5*time.Minute))
		w.net.SetFate(w.modems[0].Number(), sim.Fate{Reports: []byte{}})
		w.state("m1", sms.Deaf, time.Hour)
		w.wantEvents("alarm.begin modem-deaf")
		w.restart(nil) // as before: nobody knows yet
		w.wantEvents("alarm.begin modem-deaf")
		w.restart(func(o *Options) { o.Modems[0].Name = "another" })
		w.pass(time.Second)
		w.wantEvents("alarm.begin modem-deaf", "alarm.end modem-deaf")
	})
}

package gateway

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gatewayd/sim"
	"gatewayd/sms"
)

const e3372 = "12d1:1506"

// inHub runs fn in a bubble with a gateway that looks for its modems at a hub;
// the world's modems are in no socket at first.
func inHub(t *testing.T, n int, fn func(*world, *hub), more ...func(*Options)) {
	inWorld(t, 0, air(), func(w *world) {
		h := newHub()
		for i := range n {
			m := w.net.AddModem(sim.ModemOptions{Name: fmt.Sprintf("m%d", i+1), IMEI: fmt.Sprintf("86000000000100%d", i+1), ICCID: fmt.Sprintf("894901000000000002%d", i+1)})
			m.Unplug()
			w.modems = append(w.modems, m)
		}
		w.restart(func(o *Options) {
			o.Modems = nil
			o.Discovery = h.discovery(true)
			for _, f := range more {
				f(o)
			}
		})
		fn(w, h)
	})
}

// state waits for a modem's state; it fails when within is over.
func (w *world) state(name string, state sms.ModemState, within time.Duration) sms.Modem {
	w.t.Helper()
	m, ok := w.becomes(name, state, within)
	if !ok {
		w.t.FailNow()
	}
	return m
}

// becomes is state for a goroutine that may not end the test.
func (w *world) becomes(name string, state sms.ModemState, within time.Duration) (sms.Modem, bool) {
	w.t.Helper()
	for end := time.Now().Add(within); ; {
		changed := w.g.Queue().Changed()
		m, _ := w.g.modems.Get(name)
		if m.State == state {
			return m, true
		}
		left := time.Until(end)
		if left <= 0 {
			w.t.Errorf("after %v %s is %q (%s), want %q; there are %v", within, name, m.State, m.Reason, state, w.names())
			return m, false
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (w *world) names() (all []string) {
	for _, m := range w.g.modems.List() {
		all = append(all, fmt.Sprintf("%s=%s", m.Name, m.State))
	}
	return all
}

// A stick is plugged in and sends; pulled out, that is seen at once, and its
// messages go through another. Its name stays, whatever socket it is in.
func TestPlugAndPlay(t *testing.T) {
	inHub(t, 2, func(w *world, h *hub) {
		h.plug("1-1", e3372, w.modems[0])
		w.state("usb-1-1", sms.Probing, 3*time.Second)
		m := w.state("modem-001001", sms.Ready, 5*time.Second)
		if m.Port != "/none/dev/ttyUSB1" || m.IMEI != "860000000001001" {
			t.Errorf("it is %+v", m)
		}
		sent := w.submit(phone, "hello")
		w.until(sent.ID, sms.Sent, 10*time.Second)

		h.unplug("1-1")
		w.state("modem-001001", sms.Absent, 2*time.Second)
		waits := w.submit(phone, "goes through the other")
		h.plug("1-2", e3372, w.modems[1])
		w.state("modem-001002", sms.Ready, 5*time.Second)
		if got := w.until(waits.ID, sms.Sent, time.Minute); got.Modem != "modem-001002" {
			t.Errorf("it went through %s", got.Modem)
		}

		h.plug("1-4.2", e3372, w.modems[0])
		if m := w.state("modem-001001", sms.Ready, 5*time.Second); m.Port != "/none/dev/ttyUSB3" {
			t.Errorf("it is at %s", m.Port)
		}
		if got := w.names(); !slices.Equal(got, []string{"modem-001001=ready", "modem-001002=ready"}) {
			t.Errorf("there are %v", got)
		}
	})
}

// A stick of each family, with all its ports, shows within three seconds of
// their appearing, and sends within five of registering.
func TestEveryFamilyPlugsIn(t *testing.T) {
	for _, p := range sim.Profiles() {
		t.Run(p.Slug, func(t *testing.T) {
			const attach = 25 * time.Second // longer than any family takes to start
			inWorld(t, 0, air(), func(w *world) {
				h := newHub()
				m := w.net.AddModem(sim.ModemOptions{Name: "m1", Profile: p, Attach: attach})
				m.Unplug()
				w.modems = append(w.modems, m)
				w.restart(func(o *Options) {
					o.Modems, o.Discovery = nil, h.discovery(true)
					if p.USB.Interfaces[0].Driver == "ch341" { // nobody may ask a bridge unasked
						o.Modems = []ModemOptions{{Name: "m1", Port: "/none/dev/ttyUSB9"}}
					}
				})
				waits := w.submit(phone, "as soon as it can")
				h.plugFamily("1-1.2", m)
				plugged := time.Now()
				w.pass(3 * time.Second)
				if all := w.g.modems.List(); len(all) != 1 || all[0].State == sms.Absent {
					t.Errorf("three seconds later there are %v", w.names())
				}
				w.until(waits.ID, sms.Sent, time.Minute)
				if took := time.Since(plugged) - attach; took > 5*time.Second {
					t.Errorf("it sent %v after registering", took)
				}
			})
		})
	}
}

// Names survive a restart, and a modem that was here is shown as absent.
func TestNamesSurviveRestarts(t *testing.T) {
	inHub(t, 2, func(w *world, h *hub) {
		h.plug("1-1", e3372, w.modems[0])
		w.state("modem-001001", sms.Ready, 5*time.Second)
		more := w.more
		h.unplug("1-1")
		// Another one whose IMEI ends alike takes the short name's place, not its name.
		twin := w.net.AddModem(sim.ModemOptions{Name: "twin", IMEI: "860000009001001"})
		w.restart(more)
		w.state("modem-001001", sms.Absent, time.Second)
		h.plug("1-1", e3372, twin)
		w.state("modem-860000009001001", sms.Ready, 5*time.Second)
		h.plug("1-3", e3372, w.modems[0])
		w.state("modem-001001", sms.Ready, 5*time.Second)
	})
}

// The configuration knows modems by IMEI, SIM or port; those keep their names,
// one of a port also where it is found elsewhere.
func TestConfiguredModemsAreFound(t *testing.T) {
	inHub(t, 3, func(w *world, h *hub) {
		h.plug("1-1", e3372, w.modems[0])
		h.plug("1-2", e3372, w.modems[1])
		port := h.plug("1-3", e3372, w.modems[2])
		w.state("office", sms.Ready, 5*time.Second)
		w.state("backup", sms.Ready, 5*time.Second)
		if m := w.state("desk", sms.Ready, 5*time.Second); m.Port != port {
			t.Errorf("desk is at %s, want %s", m.Port, port)
		}
		h.unplug("1-3")
		w.state("desk", sms.Absent, 2*time.Second)
		moved := h.plug("1-4", e3372, w.modems[2])
		if m := w.state("desk", sms.Ready, 5*time.Second); m.Port != moved {
			t.Errorf("desk is at %s, want %s", m.Port, moved)
		}
		if n := len(w.names()); n != 3 {
			t.Errorf("there are %v", w.names())
		}
	}, func(o *Options) {
		o.Discovery.Use = false
		o.Modems = []ModemOptions{
			{Name: "office", IMEI: "860000000001001"},
			{Name: "backup", ICCID: "8949010000000000022"},
			{Name: "desk", Port: "/none/dev/ttyUSB3"},
		}
	})
}

// What the configuration does not list is left alone if it is told so.
func TestNothingIsUsedUnasked(t *testing.T) {
	inHub(t, 1, func(w *world, h *hub) {
		h.plug("1-1", e3372, w.modems[0])
		w.pass(time.Minute)
		if n, _ := h.openings(); len(w.names()) > 0 || n > 0 {
			t.Errorf("there are %v; %d ports were opened", w.names(), n)
		}
	}, func(o *Options) { o.Discovery.Use = false })
}

// Whatever stands against a device that is plugged in is said in words.
func TestDevicesThatCannotBeUsed(t *testing.T) {
	inHub(t, 1, func(w *world, h *hub) {
		h.plug("1-1", "12d1:14db", nil) // HiLink
		h.plug("1-2", "2341:0043", nil) // a board that is no modem
		m := w.state("usb-1-1", sms.ModemFailed, 5*time.Second)
		if m.Reason == "" || m.Advice == "" || !m.Unidentified {
			t.Errorf("HiLink: %+v", m)
		}
		if got := w.names(); !slices.Equal(got, []string{"usb-1-1=failed"}) {
			t.Errorf("there are %v", got)
		}
		h.unplug("1-1")
		h.plug("1-3", e3372, w.modems[0])
		h.busy("1-3", true)
		m = w.state("usb-1-3", sms.BusyElsewhere, 3*time.Second)
		if want := "Stick (12d1:1506): Its port is held by ModemManager (process 77)."; m.Reason != want {
			t.Errorf("reason %q, want %q", m.Reason, want)
		}
		h.busy("1-3", false)
		w.state("modem-001001", sms.Ready, 10*time.Second)
		if got := w.names(); !slices.Equal(got, []string{"modem-001001=ready"}) {
			t.Errorf("there are %v", got)
		}
	})
}

// A device that says nothing is asked again, more and more seldom.
func TestSilentDeviceIsAskedAgain(t *testing.T) {
	inHub(t, 1, func(w *world, h *hub) {
		w.modems[0].Fault(func(f *sim.Faults) { f.Mute = true })
		h.plug("1-1", e3372, w.modems[0])
		w.state("usb-1-1", sms.ModemFailed, time.Minute)
		w.pass(10 * time.Minute)
		if n, _ := h.openings(); n < 5 || n > 30 {
			t.Errorf("it was asked %d times in ten minutes", n)
		}
		w.modems[0].Fault(func(f *sim.Faults) { f.Mute = false })
		w.state("modem-001001", sms.Ready, 90*time.Second)
	}, func(o *Options) { o.Discovery.PowerCycle = nil })
}

// A stick that hung before the daemon was started has its power switched, once
// an hour at most; one that is used goes up the ladder.
func TestHungStickIsSwitched(t *testing.T) {
	inHub(t, 1, func(w *world, h *hub) {
		mute := func() { w.modems[0].Fault(func(f *sim.Faults) { f.Mute = true }) }
		mute()
		h.plug("1-1.2", e3372, w.modems[0])
		w.state("modem-001001", sms.Ready, 5*time.Minute)
		mute()
		w.state("modem-001001", sms.Healing, 5*time.Minute)
		m := w.state("modem-001001", sms.Ready, 10*time.Minute)
		if _, cycled := h.openings(); !slices.Equal(cycled, []string{"1-1.2", "1-1.2"}) {
			t.Errorf("switched: %v", cycled)
		}
		if last := m.Healing.Last[0]; last.Step != "power" || last.Outcome != "healed" {
			t.Errorf("%+v", m.Healing.Last)
		}
		w.until(w.submit(phone, "hello").ID, sms.Sent, time.Minute)
	})
}

// A modem that does not come back is forgotten when somebody says so.
func TestForget(t *testing.T) {
	inHub(t, 1, func(w *world, h *hub) {
		h.plug("1-1", e3372, w.modems[0])
		w.state("modem-001001", sms.Ready, 5*time.Second)
		if err := w.g.modems.Forget("modem-001001"); err == nil {
			t.Error("a modem that is plugged in was forgotten")
		}
		h.unplug("1-1")
		w.state("modem-001001", sms.Absent, 2*time.Second)
		if err := w.g.modems.Forget("modem-001001"); err != nil {
			t.Error(err)
		}
		more := w.more
		w.restart(more)
		w.pass(time.Second)
		if got := w.names(); len(got) > 0 {
			t.Errorf("there are %v", got)
		}
		h.plug("1-1", e3372, w.modems[0])
		m := w.state("modem-001001", sms.Ready, 5*time.Second)
		w.until(w.submit(phone, "again").ID, sms.Sent, time.Minute)
		if m.Port == "" {
			t.Error("it has no port")
		}
	})
}

// A PIN that was refused is not entered again by the next start either.
func TestRefusedPINIsRemembered(t *testing.T) {
	inHub(t, 0, func(w *world, h *hub) {
		m := w.net.AddModem(sim.ModemOptions{Name: "locked", IMEI: "860000000009999", PIN: "4711"})
		m.Unplug()
		h.plug("1-1", e3372, m)
		w.state("office", sms.PINRequired, 20*time.Second)
		more := w.more
		for range 3 {
			w.restart(more)
			w.state("office", sms.PINRequired, 20*time.Second)
			w.pass(time.Hour)
		}
		if n := m.Stats().PINTries; n != 1 {
			t.Errorf("%d PINs were entered, want 1", n)
		}
	}, func(o *Options) { o.Modems = []ModemOptions{{Name: "office", IMEI: "860000000009999", PIN: "1234"}} })
}

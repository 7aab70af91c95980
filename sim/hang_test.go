package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"
)

// treatments are what a ladder may try, the weakest first. Each returns the
// dialogue to go on with.
var treatments = []struct {
	by Cure
	do func(t *testing.T, m *Modem, d *dialogue) *dialogue
}{
	{CureReopen, func(t *testing.T, m *Modem, d *dialogue) *dialogue {
		d.pipe.Close()
		return plainly2(t, m)
	}},
	{CureCFUN, func(t *testing.T, m *Modem, d *dialogue) *dialogue {
		d.say("AT+CFUN=4\rAT+CFUN=1\r")
		d.heard()
		return d
	}},
	{CureReset, func(t *testing.T, m *Modem, d *dialogue) *dialogue {
		d.say("AT+CFUN=1,1\r")
		d.after(20 * time.Second)
		d.pipe.Close()
		return plainly2(t, m)
	}},
	{CurePower, func(t *testing.T, m *Modem, d *dialogue) *dialogue {
		if err := m.PowerCycle(); err != nil {
			t.Fatal(err)
		}
		return plainly2(t, m)
	}},
}

// plainly2 is plainly on a modem that may say nothing.
func plainly2(t *testing.T, m *Modem) *dialogue {
	t.Helper()
	d := talk(t, m)
	d.say("ATE0;+CMEE=1\r")
	d.heard()
	return d
}

// Every hang is ended by its cure and by nothing weaker, in a family whose
// ports stay at a reset and in one whose ports vanish.
func TestHangsAndTheirCures(t *testing.T) {
	sick := map[Hang]func(t *testing.T, n *Network, m *Modem, d *dialogue) bool{
		HangMute: func(t *testing.T, n *Network, m *Modem, d *dialogue) bool {
			d.say("AT\r")
			return d.heard() == ""
		},
		HangRadio: func(t *testing.T, n *Network, m *Modem, d *dialogue) bool {
			d.say("AT+CREG?;+CSQ\r")
			said := d.heard()
			d.say("AT+CMGS=14\r")
			d.heard()
			d.say("0001000C9194711032547600000178\x1a")
			d.after(time.Second)
			return strings.Contains(said, "+CREG: 0,0") && strings.Contains(said, "+CSQ: 99,99") && d.heard() == "\r\n+CMS ERROR: 331\r\n"
		},
		HangSends: func(t *testing.T, n *Network, m *Modem, d *dialogue) bool {
			d.say("AT+CMGS=14\r")
			d.heard()
			d.say("0001000C9194711032547600000178\x1a")
			d.after(time.Second)
			return d.heard() == "\r\n+CMS ERROR: 500\r\n"
		},
		HangDeaf: func(t *testing.T, n *Network, m *Modem, d *dialogue) bool {
			d.say("AT+CREG?\r")
			if !strings.Contains(d.heard(), "+CREG: 0,1") {
				t.Error("it is not even registered")
			}
			before := n.Waiting(m.Number())
			m.Inject(deliverPDU(t, Text{Text: "x"}))
			d.after(time.Second)
			d.heard()
			return n.Waiting(m.Number()) > before
		},
	}
	for _, away := range []time.Duration{-1, 10 * time.Second} {
		for hang, isSick := range sick {
			for i, cure := range []Cure{CureReopen, CureCFUN, CureReset, CurePower, CureNever} {
				t.Run(fmt.Sprintf("%s/%s/%v", hang, cure, away), func(t *testing.T) {
					inBubble(t, NetworkOptions{Retry: time.Hour}, func(t *testing.T, n *Network) {
						m := n.AddModem(ModemOptions{Away: away})
						d := plainly(t, m)
						if isSick(t, n, m, d) {
							t.Fatal("sick before it was made so")
						}
						m.Fault(func(f *Faults) { f.Hang, f.Cure = hang, cure })
						for j, tr := range treatments {
							if !isSick(t, n, m, d) {
								t.Fatalf("well before %s", tr.by)
							}
							d = tr.do(t, m, d)
							d.after(time.Second)
							d.heard()
							if i == j {
								break
							}
						}
						if cure == CureNever {
							m.Fault(func(f *Faults) { f.Hang = NoHang })
							d.after(time.Second)
							d.heard()
						}
						if isSick(t, n, m, d) {
							t.Error("still sick")
						}
						if want := flagged(cure != CureNever); m.Stats().Cures != want {
							t.Errorf("%d cures counted", m.Stats().Cures)
						}
						if n.Waiting(m.Number()) != 0 {
							t.Error("what waited has not come")
						}
					})
				})
			}
		}
	}
}

// A restart takes the ports away for a while; opening fails meanwhile.
func TestPortsVanishAtARestart(t *testing.T) {
	for _, p := range Profiles() {
		commands := append([]string{"+CFUN=1,1"}, p.Resets...)
		for _, c := range commands {
			t.Run(p.Slug+" "+c, func(t *testing.T) {
				inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
					m := n.AddModem(ModemOptions{Profile: p, Warm: true, Away: 7 * time.Second})
					d := plainly(t, m)
					d.say("AT" + c + "\rAT+CMGF=1\r") // the second is never obeyed
					want := "\r\nOK\r\n"
					if p.Farewell != "" {
						want += "\r\n" + p.Farewell + "\r\n"
					}
					d.hears(want)
					if _, err := d.pipe.Write([]byte("AT\r")); !errors.Is(err, syscall.EIO) {
						t.Errorf("writing: %v", err)
					}
					if m.Present() {
						t.Error("it is there")
					}
					d.after(7*time.Second - 1)
					if _, err := m.OpenPipe(); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("opening too early: %v", err)
					}
					d.after(1)
					if !m.Present() {
						t.Fatal("it did not come back")
					}
					d = talk(t, m)
					d.say("AT\r")
					d.hears("AT\r\r\nOK\r\n")
					// Pulled while it restarts, it stays away until it is plugged in.
					d.say("AT+CFUN=1,1\r")
					d.heard()
					m.Unplug()
					d.after(time.Minute)
					if m.Present() {
						t.Error("came back unplugged")
					}
					if err := m.Plug(); err != nil || !m.Present() {
						t.Errorf("plugged in: %v", err)
					}
				})
			})
		}
	}
}

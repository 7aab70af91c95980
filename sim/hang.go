package sim

import (
	"slices"
	"strings"
)

// Hang is a way in which a modem can be stuck.
type Hang string

const (
	NoHang    Hang = ""
	HangMute  Hang = "mute"          // nothing is answered; what could cure it is heard nevertheless
	HangRadio Hang = "radio_gone"    // commands work, the radio does not: +CREG 0,0, +CSQ 99, +CMGS fails
	HangDeaf  Hang = "deaf"          // registered, sends, and the SMSC finds it out of reach
	HangSends Hang = "sending_fails" // every +CMGS fails with SendError, "": +CMS ERROR: 500
)

// Cure is what ends a hang. What is stronger ends it too, in the order of the
// constants.
type Cure string

const (
	CureNever  Cure = ""       // only Fault ends it
	CureReopen Cure = "reopen" // closing the port
	CureCFUN   Cure = "cfun"   // +CFUN=0 or 4, then 1
	CureReset  Cure = "reset"  // +CFUN=1,1 or the family's own command
	CurePower  Cure = "power"  // Unplug and Plug, or PowerCycle
)

var cures = map[Cure]int{CureReopen: 1, CureCFUN: 2, CureReset: 3, CurePower: 4}

// cured ends a hang if what was done is strong enough. Called with m.mu held.
func (m *Modem) cured(by Cure) {
	f := &m.faults
	if f.Hang == NoHang || cures[f.Cure] == 0 || cures[by] < cures[f.Cure] {
		return
	}
	f.Hang = NoHang
	m.stats.Cures++
}

// portClosed is told when a program has closed one of the ports.
func (m *Modem) portClosed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reopened()
}

// reopened is portClosed with m.mu held.
func (m *Modem) reopened() {
	m.cured(CureReopen)
	m.registrationChanged() // who was out of reach is there again
	m.flush()
}

// overhear is a mute modem that still obeys what could cure it, without a word.
func (m *Modem) overhear(b []byte) {
	t := m.tty
	for _, c := range b {
		if c != cr {
			if t.line = append(t.line, c); len(t.line) > maxLine {
				t.line = t.line[:0]
			}
			continue
		}
		_, line, is := strings.Cut(strings.ToUpper(string(t.line)), "AT")
		t.line = t.line[:0]
		if !is {
			continue
		}
		for _, c := range parse(line) {
			switch {
			case m.resets(c):
				if cures[m.faults.Cure] != 0 && cures[m.faults.Cure] <= cures[CureReset] {
					m.restart()
					return
				}
			case c.name == "+CFUN" && c.op == '=':
				was := m.cfun
				m.cfun = split(c.args).num(0, was)
				if was != 1 && m.cfun == 1 {
					m.cured(CureCFUN)
				}
				m.registrationChanged()
			}
		}
	}
	if m.faults.Hang != HangMute {
		t.out = t.out[:0]
	}
}

// resets tells whether a command restarts the modem.
func (m *Modem) resets(c command) bool {
	if c.name == "+CFUN" {
		return c.op == '=' && split(c.args).num(1, 0) == 1
	}
	return c.op != '?' && c.op != 't' && slices.Contains(m.profile.Resets, c.name)
}

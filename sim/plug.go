package sim

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// Present tells whether the modem's ports are there: it is plugged in and not
// just restarting.
func (m *Modem) Present() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.plugged
}

// Profile returns what the modem is of.
func (m *Modem) Profile() Profile { return m.profile }

// Unplug takes the modem off the machine: its ports vanish, what it was
// about to send is lost, and the SMSC keeps what comes for it.
func (m *Modem) Unplug() {
	m.mu.Lock()
	gone := m.drop()
	m.mu.Unlock()
	for _, p := range gone {
		p.close()
	}
}

// drop takes the ports away and returns the pseudo-terminals that are still to
// be closed, without the lock. Called with m.mu held.
func (m *Modem) drop() (gone []*pts) {
	m.plugged = false
	m.life++
	m.unacknowledged()
	m.attached = false
	for _, t := range m.ttys {
		t.out = nil
		if t.port != nil {
			t.port.hangUp()
			t.port = nil
		}
		if t.pts != nil {
			gone = append(gone, t.pts)
		}
	}
	m.cond.Broadcast()
	m.tell()
	return gone
}

// vanish is drop from within: the ports come back after so long, unless that
// is 0. Called with m.mu held.
func (m *Modem) vanish(back time.Duration, cures Cure) {
	for _, p := range m.drop() {
		m.net.closing.Go(p.close)
	}
	if back <= 0 {
		return
	}
	life := m.life
	m.net.clock.after(back, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.life == life {
			_ = m.appear(cures) // without a pseudo-terminal it stays away
		}
	})
}

// Plug plugs the modem in again, behind the same links if it has
// pseudo-terminals, whose numbers are others then.
func (m *Modem) Plug() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.plugged {
		return nil
	}
	return m.appear(CurePower)
}

func (m *Modem) appear(cures Cure) error {
	m.plugged = true
	m.cured(cures)
	m.boot()
	for _, t := range m.ttys {
		if t.pts == nil {
			continue
		}
		link := t.pts.link
		if m.faults.Renumber {
			link = renumbered(link)
		}
		if err := m.openPTS(t, link, t.pts.path); err != nil {
			return err
		}
	}
	m.flush()
	return nil
}

// renumbered is the link with the next number that is free: ttyUSB0 comes
// back as ttyUSB1.
func renumbered(link string) string {
	stem := strings.TrimRight(link, "0123456789")
	n, err := strconv.Atoi(link[len(stem):])
	if err != nil {
		return link
	}
	for {
		n++
		next := stem + strconv.Itoa(n)
		if _, err := os.Lstat(next); err != nil {
			return next
		}
	}
}

// PowerCycle takes the modem's power away and gives it back.
func (m *Modem) PowerCycle() error {
	m.Unplug()
	return m.Plug()
}

// Reset restarts the modem's firmware; the ports stay.
func (m *Modem) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cured(CureReset)
	m.boot()
	m.flush()
}

// Restart is what a reset command does: the ports vanish and come back, if
// that is the family's habit.
func (m *Modem) Restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.restart()
	m.flush()
}

// restart is Restart with m.mu held.
func (m *Modem) restart() {
	if m.profile.Farewell != "" {
		m.unsolicited(m.profile.Farewell)
	}
	m.flush()
	if m.far > 0 {
		m.vanish(m.far, CureReset)
		return
	}
	m.cured(CureReset)
	m.boot()
}

// pull is the fault UnplugAfter. Called with m.mu held.
func (m *Modem) pull() { m.vanish(m.faults.ReplugAfter, CurePower) }

// untilPulled cuts what goes over the line at the byte at which the modem is
// unplugged.
func (m *Modem) untilPulled(b []byte) (rest []byte, pulled bool) {
	left := &m.faults.UnplugAfter
	if *left <= 0 {
		return b, false
	}
	if *left > len(b) {
		*left -= len(b)
		return b, false
	}
	b, *left = b[:*left], 0
	return b, true
}

// noises begins what the modem says by itself.
func (m *Modem) noises(all []Noise) {
	defer m.serve(m.main)()
	for _, n := range all {
		m.noise(n, m.chatter, n.After)
	}
}

func (m *Modem) noise(n Noise, chatter int, in time.Duration) {
	huawei := strings.HasPrefix(n.Line, "^")
	m.after(in, func() {
		if huawei && (m.silent || m.chatter != chatter) {
			return // ^CURC=1 begins it anew
		}
		if state, _ := m.card.state(); !n.SIM || state == "READY" {
			m.unsolicited(n.Line)
		}
		if n.Every > 0 {
			m.noise(n, chatter, n.Every)
		}
	})
}

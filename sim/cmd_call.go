package sim

import (
	"fmt"
	"time"
)

// ringEvery is the time between two RINGs.
const ringEvery = 5 * time.Second

// Ring calls the modem from a number until it hangs up or HangUp is called.
func (m *Modem) Ring(from string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ringing%2 == 1 || !m.reachable() || m.profile.NoCalls && m.at().state == busy {
		return
	}
	defer m.serve(m.main)()
	m.ringing++
	m.ring(from, m.ringing)
	m.flush()
}

func (m *Modem) ring(from string, call int) {
	if m.ringing != call {
		return
	}
	m.unsolicited("RING")
	if m.main.settings.clip {
		m.unsolicited(fmt.Sprintf(`+CLIP: "%s",%d,,,,0`, from, address(from).TOA))
	}
	m.after(ringEvery, func() { m.ring(from, call) })
}

// HangUp ends the call from the caller's side.
func (m *Modem) HangUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ringing%2 == 1 {
		m.ringing++
		m.unsolicited("NO CARRIER")
		m.flush()
	}
}

// hangUp is +CHUP and ATH.
func hangUp(m *Modem, _ args) reply {
	m.ringing += m.ringing % 2
	return ok
}

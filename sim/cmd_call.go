package sim

import (
	"fmt"
	"time"
)

// USSD is the network's answer to a code.
type USSD struct {
	Text string
	UCS2 bool // coded as UCS2 (dcs 72) instead of the default alphabet (15)
	// Next holds the answers to what the user replies; with it the session
	// stays open. The one under "" is for any other reply.
	Next map[string]USSD
}

// SetUSSD sets the answer to a code such as "*100#".
func (n *Network) SetUSSD(code string, answer USSD) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ussd[code] = answer
}

func callCommands() map[string]handler {
	return map[string]handler{
		"+CUSD": {
			read: one(func(m *Modem) string { return fmt.Sprintf("+CUSD: %d", flagged(m.tty.settings.cusd)) }),
			set:  ussd, test: "(0-2)", sim: simCME,
		},
		"+CLIP": {
			read: one(func(m *Modem) string { return fmt.Sprintf("+CLIP: %d,1", flagged(m.tty.settings.clip)) }),
			set: func(m *Modem, a args) reply {
				v := a.num(0, 0)
				if !between(0, 1, v) {
					return cme(50)
				}
				m.tty.settings.clip = v == 1
				return ok
			},
			test: "(0,1)",
		},
		"+CHUP": {exec: func(m *Modem) reply { return hangUp(m, nil) }, test: "-"},
	}
}

func flagged(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ussdTime is how long the network takes for an answer, beside its latency.
const ussdTime = 500 * time.Millisecond

// ussd is +CUSD=<n>[,"<str>"[,<dcs>]]: 0 and 1 hide and show answers, 2 ends
// the session. A string is a code, or the reply in an open session.
func ussd(m *Modem, a args) reply {
	n := a.num(0, 0)
	if len(a) > 3 || !between(0, 2, n) {
		return cme(50)
	}
	if n == 2 {
		m.session = nil
		return ok
	}
	m.tty.settings.cusd = n == 1
	if len(a) < 2 {
		return ok
	}
	code, quoted := a.quoted(1)
	code, good := m.fromCharset(code)
	if !quoted || !good || code == "" {
		return cme(50)
	}
	if !m.reachable() {
		return cme(30)
	}
	m.net.mu.Lock()
	answers := m.net.ussd
	if m.session != nil {
		answers = m.session.Next
	}
	answer, known := answers[code]
	if !known && m.session != nil {
		answer, known = answers[""]
	}
	m.net.mu.Unlock()
	m.session = nil
	m.after(ussdTime+m.net.latency(), func() { m.answerUSSD(answer, known) })
	return ok
}

func (m *Modem) answerUSSD(answer USSD, known bool) {
	if !m.tty.settings.cusd {
		return
	}
	if !known {
		m.unsolicited("+CUSD: 4")
		return
	}
	state, dcs := 0, 15
	if answer.Next != nil {
		state = 1
		m.session = &answer
	}
	words := m.inCharset(answer.Text)
	if answer.UCS2 {
		dcs = 72
		words = ucs2Hex(answer.Text)
	}
	m.unsolicited(fmt.Sprintf(`+CUSD: %d,"%s",%d`, state, words, dcs))
}

// ringEvery is the time between two RINGs.
const ringEvery = 5 * time.Second

// Ring calls the modem from a number until it hangs up or HangUp is called.
func (m *Modem) Ring(from string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ringing%2 == 1 || !m.reachable() {
		return
	}
	m.ringing++
	m.ring(from, m.ringing)
	m.flush()
}

func (m *Modem) ring(from string, call int) {
	if m.ringing != call {
		return
	}
	m.unsolicited("RING")
	if m.tty.settings.clip {
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

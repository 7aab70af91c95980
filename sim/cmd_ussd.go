package sim

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/warthog618/sms/encoding/gsm7"
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
	code, good := m.ussdRequest(code)
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
	if m.faults.USSDSilent.strike() {
		return ok
	}
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
	var words string
	switch {
	case answer.UCS2 || m.profile.USSD == USSDUCS2:
		dcs = 72
		words = ucs2Hex(answer.Text)
	case m.packsUSSD():
		words = packed(answer.Text)
	default:
		words = m.inCharset(answer.Text)
	}
	m.unsolicited(fmt.Sprintf(`+CUSD: %d,"%s",%d`, state, words, dcs))
}

// NoticeUSSD is the network saying something of itself.
func (m *Modem) NoticeUSSD(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reachable() && m.main.settings.cusd {
		defer m.serve(m.main)()
		m.answerUSSD(USSD{Text: text}, true)
		m.flush()
	}
}

// packsUSSD tells whether +CUSD writes packed septets just now.
func (m *Modem) packsUSSD() bool { return m.profile.USSD == USSDPacked && !m.rawUSSD }

// ussdRequest reads the string of +CUSD=1.
func (m *Modem) ussdRequest(s string) (string, bool) {
	if !m.packsUSSD() {
		return m.fromCharset(s)
	}
	octets, err := hex.DecodeString(s)
	if err != nil {
		return "", false
	}
	septets := gsm7.Unpack7BitUSSD(octets, 0)
	b, err := gsm7.Decode(septets)
	return string(b), err == nil
}

// packed writes a string as septets in hex.
func packed(s string) string {
	septets, err := gsm7.Encode([]byte(s))
	if err != nil {
		septets, _ = gsm7.Encode([]byte(plain(s)))
	}
	return upperHex(gsm7.Pack7BitUSSD(septets, 0))
}

package sim

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

func smsCommands() map[string]handler {
	return map[string]handler{
		"+CMGF": number("+CMGF", 0, 1, "(0,1)", func(m *Modem) *int { return &m.tty.settings.cmgf }),
		"+CSDH": number("+CSDH", 0, 1, "(0,1)", func(m *Modem) *int { return &m.tty.settings.csdh }),
		"+CMMS": keepLink(),
		"+CSMS": {
			read: one(func(m *Modem) string { return fmt.Sprintf("+CSMS: %d,1,1,1", m.tty.settings.csms) }),
			set: func(m *Modem, a args) reply {
				v := a.num(0, bad)
				if len(a) != 1 || !between(0, 1, v) {
					return cms(303)
				}
				m.tty.settings.csms = v
				m.info("+CSMS: 1,1,1")
				return ok
			},
			test: "(0,1)",
		},
		"+CSMP": {
			read: one(func(m *Modem) string {
				p := m.tty.settings.csmp
				return fmt.Sprintf("+CSMP: %d,%d,%d,%d", p[0], p[1], p[2], p[3])
			}),
			set: func(m *Modem, a args) reply {
				p := m.tty.settings.csmp
				for i := range p {
					p[i] = a.num(i, p[i])
				}
				if len(a) > 4 || !between(0, 255, p[:]...) || p[0]&3 != 1 {
					return cms(305)
				}
				m.tty.settings.csmp = p
				return ok
			},
			test: "-",
		},
		"+CGSMS": {read: one(func(*Modem) string { return "+CGSMS: 3" }), set: func(_ *Modem, a args) reply {
			if !between(0, 3, a.num(0, bad)) {
				return cme(50)
			}
			return ok
		}, test: "(0-3)"},
		"+CSCA": {
			read: one(func(m *Modem) string {
				if m.card.smsc == "" {
					return `+CSCA: "",129`
				}
				return fmt.Sprintf(`+CSCA: "%s",%d`, m.inCharset(m.card.smsc), address(m.card.smsc).TOA)
			}),
			set:  setSMSC,
			test: "-",
			sim:  simCMS,
		},
		"+CNMI": {
			read: one(func(m *Modem) string {
				c := m.tty.settings.cnmi
				return fmt.Sprintf("+CNMI: %d,%d,%d,%d,%d", c[0], c[1], c[2], c[3], c[4])
			}),
			set:   setIndications,
			tests: indications,
		},
		"+CNMA": {exec: func(m *Modem) reply { return acknowledge(m, nil) }, set: acknowledge, test: "(0-2)", sim: simCMS},
		"+CMGS": {set: send, test: "-", sim: simCMS},
		"+CMGW": {set: writeToStore, exec: func(m *Modem) reply { return writeToStore(m, nil) }, test: "-", sim: simCMS},
		"+CMSS": {set: sendFromStore, test: "-", sim: simCMS},
	}
}

func setSMSC(m *Modem, a args) reply {
	number, quoted := a.quoted(0)
	number, good := m.fromCharset(number)
	toa := a.num(1, 0)
	if digits := strings.TrimPrefix(number, "+"); !quoted || !good || strings.Trim(digits, "0123456789") != "" || len(digits) > 20 {
		return cms(304)
	}
	if toa&0x70 == 0x10 && !strings.HasPrefix(number, "+") && number != "" {
		number = "+" + number
	}
	m.card.smsc = number
	return ok
}

// setIndications is +CNMI; what is left out becomes 0.
func setIndications(m *Modem, a args) reply {
	if m.faults.RefuseCNMI {
		return cms(303)
	}
	var c [5]int
	for i := range c {
		c[i] = a.num(i, 0)
		if !slices.Contains(m.profile.CNMI[i], c[i]) || slices.Contains(m.profile.CNMIRefused[i], c[i]) {
			return cms(303)
		}
	}
	if len(a) > 5 {
		return cms(303)
	}
	if m.faults.ForgetCNMI {
		return ok
	}
	m.tty.settings.cnmi = c
	if c[0] != 0 {
		if c[4] == 0 {
			for _, line := range m.tty.later {
				m.unsolicited(line)
			}
		}
		m.tty.later = nil
	}
	return ok
}

func indications(m *Modem) reply {
	var lists []string
	for _, values := range m.profile.CNMI {
		lists = append(lists, "("+strings.Trim(strings.ReplaceAll(fmt.Sprint(values), " ", ","), "[]")+")")
	}
	m.info("+CNMI: %s", strings.Join(lists, ","))
	return ok
}

// longestTPDU is an SMS-SUBMIT with everything in it.
const longestTPDU = 164

// send is +CMGS=<length> in PDU mode and +CMGS=<number>[,<type>] in text mode.
func send(m *Modem, a args) reply {
	if m.faults.RejectCommand.strike() {
		return reply{final: cmp.Or(m.faults.SendError, "+CMS ERROR: 500")}
	}
	if m.tty.settings.cmgf == 1 {
		to, good := m.destination(a)
		if !good {
			return cms(305)
		}
		return m.prompt(&entry{text: true, done: func(e *entry) reply {
			m.stats.Sends++
			s, r := m.composed(to, e.data)
			if s == nil {
				return r
			}
			return m.transmit(s, "+CMGS")
		}})
	}
	length := a.num(0, bad)
	if len(a) != 1 || !between(1, longestTPDU, length) {
		return cms(304)
	}
	return m.prompt(&entry{done: func(e *entry) reply {
		m.stats.Sends++
		s := e.submit(length)
		if s == nil {
			return cms(304)
		}
		return m.transmit(s, "+CMGS")
	}})
}

// submit reads what was written at the prompt; nil if it is no SMS-SUBMIT of
// the announced length.
func (e *entry) submit(length int) *submit {
	raw, err := hex.DecodeString(string(e.data))
	if e.bad || err != nil {
		return nil
	}
	s, err := readSubmit(raw, length)
	if err != nil {
		return nil
	}
	return s
}

func (m *Modem) ackPDU() string {
	if m.profile.AckPDU && m.tty.settings.csms == 1 {
		return `,"010000"`
	}
	return ""
}

// writeToStore is +CMGW: a message to be sent later by +CMSS.
func writeToStore(m *Modem, a args) reply {
	memory := m.tty.stores[1]
	put := func(pdu []byte, stat int) reply {
		i := m.keep(memory, &stored{stat: stat, pdu: pdu})
		if i == 0 {
			return cms(322)
		}
		m.info("+CMGW: %d", i)
		return ok
	}
	if m.tty.settings.cmgf == 1 {
		to := ""
		if len(a) > 0 {
			var good bool
			if to, good = m.destination(a); !good {
				return cms(305)
			}
		}
		return m.prompt(&entry{text: true, done: func(e *entry) reply {
			s, r := m.composed(to, e.data)
			if s == nil {
				return r
			}
			return put(s.raw, unsent)
		}})
	}
	length, stat := a.num(0, bad), a.num(1, unsent)
	if len(a) > 2 || !between(1, longestTPDU+12, length) || !between(unread, sent, stat) {
		return cms(304)
	}
	return m.prompt(&entry{done: func(e *entry) reply {
		raw, err := hex.DecodeString(string(e.data))
		if e.bad || err != nil || tpduLength(raw) != length {
			return cms(304)
		}
		if s := e.submit(length); s == nil && stat >= unsent {
			return cms(304)
		}
		return put(raw, stat)
	}})
}

// sendFromStore is +CMSS=<index>.
func sendFromStore(m *Modem, a args) reply {
	slots := m.slots(m.tty.stores[1])
	i := a.num(0, bad)
	if !between(1, len(slots), i) || *slots[i-1] == nil {
		return cms(321)
	}
	x := *slots[i-1]
	s, err := readSubmit(x.pdu, tpduLength(x.pdu))
	if len(a) != 1 || err != nil {
		return cms(304)
	}
	m.stats.Sends++
	x.stat = sent
	return m.transmit(s, "+CMSS")
}

package sim

import (
	"fmt"
	"time"
)

// ackTime is how long a modem with +CSMS=1 waits for +CNMA.
const ackTime = 15 * time.Second

// offer is the network bringing a PDU.
func (m *Modem) offer(p *parcel) verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.plugged || !m.reachable() || m.ack != 0 || m.faults.Hang == HangDeaf {
		return refused
	}
	defer m.serve(m.main)()
	if silent := spoil(p.raw, typeZero); silent != nil && m.faults.TypeZero.strike() {
		m.route(silent)
	}
	v := m.route(m.spoiled(p.raw))
	m.flush()
	if v == taken && m.faults.Duplicate.strike() {
		return refused // so the network believes
	}
	return v
}

// route does with a PDU what +CNMI says.
func (m *Modem) route(raw []byte) verdict {
	defer m.serve(m.main)()
	report, pid, dcs, readable := glance(raw)
	cnmi := &m.tty.settings.cnmi
	if report {
		switch cnmi[3] {
		case 0:
			return taken // reports that nobody asked for are dropped
		case 1:
			return m.direct("+CDS", raw, true)
		}
		return m.stow(m.tty.stores[2], "+CDSI", raw, true)
	}
	class := -1
	if readable {
		if pid == 0x40 {
			return taken // type 0: acknowledged and never shown
		}
		class = classOf(dcs)
	}
	// TS 27.005 3.4.1, table of <mt>.
	switch mt := cnmi[1]; {
	case class == 0 && mt > 0 && m.profile.ClassZero != "":
		return m.direct(m.profile.ClassZero, raw, false)
	case class == 2:
		return m.stow("SM", onlyIf(mt > 0, "+CMTI"), raw, false)
	case mt == 2 || mt == 3 && class == 3 || mt > 0 && class == 0:
		return m.direct("+CMT", raw, false)
	case mt > 0:
		return m.stow(m.tty.stores[2], "+CMTI", raw, false)
	}
	return m.stow(m.tty.stores[2], "", raw, false)
}

func onlyIf(cond bool, s string) string {
	if cond {
		return s
	}
	return ""
}

// stow keeps a PDU and announces it.
func (m *Modem) stow(memory, announce string, raw []byte, report bool) verdict {
	i := m.keep(memory, &stored{pdu: raw, report: report})
	if used, total := m.fill(memory); used >= total && m.profile.FullLine != "" {
		m.unsolicited(fmt.Sprintf(m.profile.FullLine, memory))
	}
	if i == 0 {
		return refused // full: the network keeps it
	}
	m.stowed = time.Now()
	if announce == "" || m.faults.CMTIMissing.strike() {
		return taken
	}
	if m.faults.CMTIUnknown.strike() {
		i = -1
	}
	line := fmt.Sprintf(`%s: "%s",%d`, announce, memory, i)
	m.indicate(line)
	if m.faults.CMTITwice.strike() {
		m.indicate(line)
	}
	return taken
}

// direct gives a PDU out without keeping it.
func (m *Modem) direct(name string, raw []byte, report bool) verdict {
	if m.tty.settings.cmgf == 1 {
		head, body := m.textOf(&stored{pdu: raw, report: report})
		line := name + ": " + head
		if !report {
			line += "\r\n" + body
		}
		m.indicate(line)
	} else {
		comma := ","
		if report {
			comma = m.profile.ReportLine
		}
		m.indicate(fmt.Sprintf("%s: %s%d\r\n%s", name, comma, tpduLength(raw), upperHex(raw)))
	}
	if m.tty.settings.csms == 0 {
		return taken // the modem acknowledged by itself; who reads it is not its business
	}
	m.acks++
	a := m.acks
	m.ack = a
	m.after(ackTime, func() {
		if m.ack == a {
			// TS 27.005 3.4.4: an error goes to the network, and nothing
			// is given out until +CNMI is set again.
			m.tty.settings.cnmi[1], m.tty.settings.cnmi[3] = 0, 0
			m.unacknowledged()
		}
	})
	return pending
}

// indicate announces a message, or holds that back in +CNMI mode 0.
func (m *Modem) indicate(line string) {
	const most = 32
	if m.tty.settings.cnmi[0] > 0 {
		m.unsolicited(line)
		return
	}
	if m.tty.later = append(m.tty.later, line); len(m.tty.later) > most {
		m.tty.later = m.tty.later[1:]
	}
}

// unacknowledged tells the network that a PDU given out was not taken.
func (m *Modem) unacknowledged() { m.settleAck(false) }

func (m *Modem) settleAck(good bool) {
	if m.ack == 0 {
		return
	}
	m.ack = 0
	if m.card != nil {
		m.net.answered(m.card.number, good)
	}
}

// acknowledge is +CNMA: alone, 0 or 1 takes the PDU, 2 refuses it. With a
// length an acknowledgement PDU follows at a prompt.
func acknowledge(m *Modem, a args) reply {
	n := a.num(0, 0)
	if len(a) > 2 || !between(0, 2, n) {
		return cms(304)
	}
	if m.faults.RefuseCNMA || m.ack == 0 || m.tty.settings.csms == 0 {
		return cms(340)
	}
	if len(a) == 2 {
		return m.prompt(&entry{done: func(e *entry) reply {
			if e.bad {
				return cms(304)
			}
			m.settleAck(n != 2)
			return ok
		}})
	}
	m.settleAck(n != 2)
	return ok
}

package sim

import (
	"fmt"
	"time"
)

// searchTime is how long +COPS=? takes.
const searchTime = 20 * time.Second

func networkCommands() map[string]handler {
	registration := func(name string, domain int, mode func(s *settings) *int) handler {
		return handler{
			read: one(func(m *Modem) string {
				stat := m.registration()[domain]
				n := *mode(&m.tty.settings)
				return fmt.Sprintf("%s: %d,%d%s", name, n, stat, m.cell(n, stat))
			}),
			set: func(m *Modem, a args) reply {
				n := a.num(0, 0)
				if len(a) > 1 || !between(0, 2, n) {
					return cme(50)
				}
				*mode(&m.tty.settings) = n
				return ok
			},
			test: "(0-2)",
		}
	}
	return map[string]handler{
		"+CREG":  registration("+CREG", 0, func(s *settings) *int { return &s.creg }),
		"+CGREG": registration("+CGREG", 1, func(s *settings) *int { return &s.cgreg }),
		"+CEREG": registration("+CEREG", 2, func(s *settings) *int { return &s.cereg }),
		"+COPS":  {read: operator, set: setOperator, tests: scan, sim: simCME},
		"+CGATT": {read: one(func(m *Modem) string {
			on := 0
			if s := m.registration()[1]; s == 1 || s == 5 {
				on = 1
			}
			return fmt.Sprintf("+CGATT: %d", on)
		}), test: "(0,1)"},
		"+CSQ": {exec: one((*Modem).quality), test: "(0-31,99),(0-7,99)"},
		"+CESQ": {exec: one(func(m *Modem) string {
			switch {
			case m.noRadio() || m.radio.RSSI == 99:
				return "+CESQ: 99,99,255,255,255,255"
			case m.radio.AcT < 2:
				return fmt.Sprintf("+CESQ: %d,%d,255,255,255,255", min(m.rssi()+111, 63), m.radio.BER)
			case m.radio.AcT < 7:
				return fmt.Sprintf("+CESQ: 99,99,%d,30,255,255", min(m.rssi()+114, 96))
			}
			return fmt.Sprintf("+CESQ: 99,99,255,255,%d,%d", m.radio.RSRQ, m.radio.RSRP)
		}), test: "(0-63,99),(0-7,99),(0-96,255),(0-49,255),(0-34,255),(0-97,255)"},
		"+CNMP": {read: one(func(*Modem) string { return "+CNMP: 2" }), test: "((2),(13),(38))"},
	}
}

// operatorName is the operator in one of the three forms of +COPS=3.
func (m *Modem) operatorName(form int) string {
	switch form {
	case 0:
		return m.inCharset(m.radio.Operator)
	case 1:
		return m.inCharset(m.radio.Short)
	}
	return m.radio.Numeric
}

func operator(m *Modem) reply {
	if !m.reachable() {
		m.info("+COPS: 0")
		return ok
	}
	form := m.tty.settings.copsFormat
	m.info(`+COPS: 0,%d,"%s",%d`, form, m.operatorName(form), m.radio.AcT)
	return ok
}

func setOperator(m *Modem, a args) reply {
	form := a.num(1, m.tty.settings.copsFormat)
	if !between(0, 2, form) {
		return cme(50)
	}
	switch a.num(0, bad) {
	case 0, 1, 4:
		if name := a.str(2); name != "" && name != m.operatorName(form) {
			return cme(30)
		}
		if !m.attached {
			m.search()
		}
	case 2:
		m.attached = false
		m.registrationChanged()
	case 3:
		m.tty.settings.copsFormat = form
	default:
		return cme(50)
	}
	return ok
}

// scan is +COPS=?, during which the modem does nothing else.
func scan(m *Modem) reply {
	m.tty.state = busy
	m.after(searchTime, func() {
		m.info(`+COPS: (2,"%s","%s","%s",%d),(3,"Other Net","Other","26299",%d),,(0-4),(0-2)`,
			m.operatorName(0), m.operatorName(1), m.operatorName(2), m.radio.AcT, m.radio.AcT)
		m.complete(ok)
	})
	return later
}

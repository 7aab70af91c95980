package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// handler is what the modem does for one command. A form that is nil is
// answered with ERROR, as is a command that is not in the table.
type handler struct {
	exec  func(m *Modem) reply
	set   func(m *Modem, a args) reply
	read  func(m *Modem) reply
	test  string               // the answer to =?; "-" for a plain OK
	tests func(m *Modem) reply // or what gives it
	sim   need
	maker bool // only of modems whose profile names it
}

// need says whether a command works without a usable SIM.
type need byte

const (
	noSIM  need = iota
	simCME      // refused with a +CME code
	simCMS      // refused with a +CMS code
)

// commands is the modem's command set. init fills it in, for some commands
// look into it themselves.
var commands map[string]handler

func init() {
	commands = map[string]handler{}
	for _, set := range []map[string]handler{basicCommands(), simCommands(), networkCommands(), smsCommands(), storeCommands(), callCommands(), makersCommands()} {
		for name, h := range set {
			commands[name] = h
		}
	}
}

// do runs one command.
func (m *Modem) do(c command) reply {
	h, known := commands[c.name]
	if !known || h.maker && !slices.Contains(m.profile.Commands, c.name) || slices.Contains(m.profile.Lacks, c.name) {
		if m.profile.Unknown != "" {
			return reply{final: m.profile.Unknown}
		}
		return failed
	}
	if m.starting(c.name) {
		return cms(m.profile.NotReady)
	}
	if len(c.name) == 1 || c.name[0] == '&' {
		return h.set(m, split(c.args))
	}
	if c.op == 't' {
		return m.test(c.name, h)
	}
	if h.sim != noSIM {
		if r := m.needSIM(h.sim == simCMS); r != ok {
			return r
		}
	}
	switch {
	case c.op == '=' && h.set != nil:
		return h.set(m, split(c.args))
	case c.op == '?' && h.read != nil:
		return h.read(m)
	case c.op == 0 && h.exec != nil:
		return h.exec(m)
	}
	return failed
}

func (m *Modem) test(name string, h handler) reply {
	switch {
	case h.tests != nil:
		return h.tests(m)
	case h.test == "":
		return failed
	case h.test != "-":
		m.info("%s: %s", name, h.test)
	}
	return ok
}

// early are the commands that a modem refuses while it starts.
var early = []string{"+CMGF", "+CPMS", "+CNMI", "+CMGL", "+CMGR", "+CMGD", "+CMGS", "+CMGW", "+CMSS"}

// starting tells whether it is too early for a command. Without a SIM that can
// be used there are other reasons to refuse it.
func (m *Modem) starting(name string) bool {
	return time.Now().Before(m.ready) && slices.Contains(early, name) && m.needSIM(true) == ok
}

// needSIM returns ok if the SIM can be used.
func (m *Modem) needSIM(sms bool) reply {
	state, code := m.card.state()
	switch state {
	case "READY":
		return ok
	case "SIM PIN":
		code = 11
	case "SIM PUK":
		code = 12
	}
	if !sms {
		return cme(code)
	}
	return cms(map[int]int{10: 310, 11: 311, 12: 316, 13: 313}[code])
}

// one is a command whose answer is one line of text.
func one(line func(m *Modem) string) func(m *Modem) reply {
	return func(m *Modem) reply {
		m.info("%s", line(m))
		return ok
	}
}

// number makes a handler for a setting with one numeric value.
func number(name string, low, high int, test string, at func(m *Modem) *int) handler {
	return handler{
		read: one(func(m *Modem) string { return fmt.Sprintf("%s: %d", name, *at(m)) }),
		set: func(m *Modem, a args) reply {
			v := a.num(0, low)
			if len(a) > 1 || !between(low, high, v) {
				return m.wrong(name)
			}
			*at(m) = v
			return ok
		},
		test: test,
	}
}

// wrong is the refusal of a parameter, in the family that the command belongs to.
func (m *Modem) wrong(name string) reply {
	switch name {
	case "+CMGF", "+CSMS", "+CMMS", "+CSDH":
		return cms(303)
	}
	return cme(50)
}

// flag is a basic command with 0 or 1.
func flag(at func(m *Modem) *bool) handler {
	return handler{set: func(m *Modem, a args) reply {
		v := a.num(0, 0)
		if !between(0, 1, v) {
			return failed
		}
		*at(m) = v == 1
		return ok
	}}
}

func same(r reply) handler {
	return handler{set: func(*Modem, args) reply { return r }}
}

func reset(m *Modem, a args) reply {
	if !between(0, 1, a.num(0, 0)) {
		return failed
	}
	m.tty.settings = m.defaults()
	m.tty.later = nil
	return ok
}

func basicCommands() map[string]handler {
	manufacturer := handler{exec: one(func(m *Modem) string { return m.profile.Manufacturer }), test: "-"}
	model := handler{exec: one(func(m *Modem) string { return m.profile.Model }), test: "-"}
	revision := handler{exec: one(func(m *Modem) string { return m.profile.Revision }), test: "-"}
	serial := handler{exec: one(func(m *Modem) string { return m.imei }), test: "-",
		set: func(m *Modem, a args) reply {
			switch a.num(0, 0) {
			case 0:
				m.info("%s", m.imei)
			case 1:
				m.info(`+CGSN: "%s"`, m.imei)
			default:
				return cme(50)
			}
			return ok
		}}
	return map[string]handler{
		"E":  flag(func(m *Modem) *bool { return &m.tty.settings.echo }),
		"V":  flag(func(m *Modem) *bool { return &m.tty.settings.verbose }),
		"Q":  flag(func(m *Modem) *bool { return &m.tty.settings.quiet }),
		"Z":  {set: reset},
		"&F": {set: reset},
		"&C": same(ok), "&D": same(ok), "&K": same(ok), "&S": same(ok), "&W": same(ok), "X": same(ok), "S": same(ok),
		"L": same(ok), "M": same(ok), "H": {set: hangUp},
		"D": same(reply{final: "NO CARRIER"}), "A": same(reply{final: "NO CARRIER"}), "O": same(reply{final: "NO CARRIER"}),
		"I": {set: func(m *Modem, _ args) reply {
			m.info("%s", strings.Join([]string{m.profile.Manufacturer, m.profile.Model, "Revision: " + m.profile.Revision}, "\r\n"))
			return ok
		}},
		"+CGMI": manufacturer, "+GMI": manufacturer,
		"+CGMM": model, "+GMM": model,
		"+CGMR": revision, "+GMR": revision,
		"+CGSN": serial, "+GSN": serial,
		"+GCAP": {exec: one(func(*Modem) string { return "+GCAP: +CGSM" }), test: "-"},
		"+CMEE": number("+CMEE", 0, 2, "(0-2)", func(m *Modem) *int { return &m.tty.settings.cmee }),
		"+CSCS": {
			read: one(func(m *Modem) string { return fmt.Sprintf(`+CSCS: "%s"`, m.tty.settings.cscs) }),
			set: func(m *Modem, a args) reply {
				name, quoted := a.quoted(0)
				switch {
				case quoted && (name == "GSM" || name == "IRA" || name == "UCS2" || name == "HEX"):
					m.tty.settings.cscs = name
					return ok
				}
				return cme(50)
			},
			test: `("GSM","IRA","UCS2","HEX")`,
		},
		"+CFUN": {read: one(func(m *Modem) string { return fmt.Sprintf("+CFUN: %d", m.cfun) }), set: setFunction, test: "(0,1,4),(0,1)"},
		"+CPAS": {exec: one(func(m *Modem) string { return fmt.Sprintf("+CPAS: %d", m.ringing%2*3) }), test: "(0,3)"},
		"+CCLK": {read: readClock, set: setClock, test: "-"},
		"+IPR":  {read: one(func(*Modem) string { return "+IPR: 0" }), set: func(*Modem, args) reply { return ok }, test: "(0),(115200)"},
		"+IFC":  {set: func(*Modem, args) reply { return ok }, test: "(0-2),(0-2)"},
	}
}

// setFunction is +CFUN: 0 off, 1 on, 4 radio off; with ,1 the modem restarts.
func setFunction(m *Modem, a args) reply {
	fun, again := a.num(0, 1), a.num(1, 0)
	if len(a) == 0 || fun != 0 && fun != 1 && fun != 4 || !between(0, 1, again) {
		return cme(50)
	}
	if again == 1 {
		return restarts(m)
	}
	was := m.cfun
	m.cfun = fun
	if was != 1 && fun == 1 {
		m.cured(CureCFUN)
		if m.faults.CFUNForgets {
			m.forget()
		}
		m.search()
	}
	m.registrationChanged()
	return ok
}

// restarts is a command after which the modem starts anew.
func restarts(m *Modem) reply {
	m.finish(ok)
	m.restart()
	m.tty.state = commanding
	return mum
}

// forget brings the settings of power-on back, without a word.
func (m *Modem) forget() {
	for _, t := range m.ttys {
		t.settings = m.defaults()
		t.later = nil
		t.setStores(m.profile.DefaultStore)
	}
}

package sim

import (
	"fmt"
	"strings"
	"time"
)

func simCommands() map[string]handler {
	about := func(format string, field func(c *card) string) handler {
		return handler{sim: simCME, test: "-",
			exec: one(func(m *Modem) string { return fmt.Sprintf(format, field(m.card)) })}
	}
	iccid := func(c *card) string { return c.iccid }
	return map[string]handler{
		"+CIMI":  about("%s", func(c *card) string { return c.imsi }),
		"+CCID":  about("+CCID: %s", iccid),
		"+ICCID": about("+ICCID: %s", iccid),
		"+CNUM":  {exec: ownNumber, sim: simCME, test: "-"},
		"+CPIN":  {read: pinState, set: enterPIN, test: "-"},
		"+CPINR": {exec: func(m *Modem) reply { return triesLeft(m, nil) }, set: triesLeft, test: "-"},
		"+CSIM":  {set: rawSIM, test: "-"},
		"+CRSM":  {set: simFile, test: "-"},
		"+CLCK":  {set: lock, sim: simCME, test: `("SC")`},
	}
}

func pinState(m *Modem) reply {
	if time.Now().Before(m.pinBusy) {
		return cme(14)
	}
	state, code := m.card.state()
	if state == "" {
		return cme(code)
	}
	switch m.faults.CPINForm {
	case "tight":
		m.info("+CPIN:%s", state)
	case "quoted":
		m.info("+CPIN: %q", state)
	case "bare":
		m.info("%s", state)
		return mum
	default:
		m.info("+CPIN: %s", state)
	}
	return ok
}

// enterPIN is +CPIN="1234", or +CPIN="puk","new pin" when the PUK is asked for.
func enterPIN(m *Modem, a args) reply {
	if m.card == nil {
		return cme(10)
	}
	m.stats.PINTries++
	var code int
	switch len(a) {
	case 1:
		code = m.card.enterPIN(a.str(0))
	case 2:
		code = m.card.enterPUK(a.str(0), a.str(1))
	default:
		return cme(50)
	}
	if code != 0 {
		return cme(code)
	}
	now := time.Now()
	m.pinBusy, m.ready = now.Add(m.profile.PINBusy), now.Add(m.profile.SMSAfter)
	m.search()
	return ok
}

// triesLeft is +CPINR, which tells the counters without touching them.
func triesLeft(m *Modem, a args) reply {
	if m.card == nil {
		return cme(10)
	}
	known := false
	for _, x := range []struct {
		name      string
		left, all int
	}{{"SIM PIN", m.card.pinTries, 3}, {"SIM PUK", m.card.pukTries, 10}} {
		if want := a.str(0); want == "" || want == x.name {
			m.info("+CPINR: %s,%d,%d", x.name, x.left, x.all)
			known = true
		}
	}
	if !known {
		return cme(50)
	}
	return ok
}

// rawSIM knows one command to the SIM: VERIFY PIN without a PIN, which answers
// how many tries are left.
func rawSIM(m *Modem, a args) reply {
	if m.card == nil {
		return cme(10)
	}
	apdu := a.str(1)
	if a.num(0, 0) != len(apdu) || len(apdu) < 10 {
		return cme(50)
	}
	status := "6D00"
	if strings.EqualFold(apdu, "0020000100") {
		status = fmt.Sprintf("63C%X", m.card.pinTries)
		if !m.card.locked {
			status = "9000"
		}
		if m.card.pinTries == 0 {
			status = "6983"
		}
	}
	m.info(`+CSIM: 4,"%s"`, status)
	return ok
}

// lock answers whether the SIM asks for a PIN; it does not change that.
func lock(m *Modem, a args) reply {
	if name, quoted := a.quoted(0); !quoted || name != "SC" || a.num(1, bad) != 2 {
		return cme(3)
	}
	on := 0
	if m.card.pin != "" {
		on = 1
	}
	m.info("+CLCK: %d", on)
	return ok
}

func ownNumber(m *Modem) reply {
	if m.card.number != "" {
		// The name alone would be in the character set of +CSCS (TS 27.007 7.1).
		m.info(`+CNUM: "","%s",%d`, m.card.number, address(m.card.number).TOA)
	}
	return ok
}

const clockForm = "06/01/02,15:04:05"

// readClock gives local time and zone in quarters of an hour.
func readClock(m *Modem) reply {
	now := m.net.now().Add(m.clockOff)
	_, offset := now.Zone()
	m.info(`+CCLK: "%s%+03d"`, now.Format(clockForm), offset/900)
	return ok
}

func setClock(m *Modem, a args) reply {
	s, quoted := a.quoted(0)
	if !quoted || len(s) < len(clockForm) {
		return cme(50)
	}
	t, err := time.ParseInLocation(clockForm, s[:len(clockForm)], m.net.opt.Zone)
	if err != nil {
		return cme(50)
	}
	m.clockOff = time.Until(t)
	return ok
}

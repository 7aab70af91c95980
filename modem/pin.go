package modem

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/warthog618/modem/info"

	"gatewayd/modem/at"
	"gatewayd/sms"
)

// A SIM dies of guessing: three wrong PINs ask for the PUK, ten wrong PUKs end
// it. So a PIN is entered once per SIM, only with all three tries left, and a
// PUK never.

const pinTries = 3

// PINs remembers, on disk, which PIN was entered on which SIM and not accepted.
type PINs interface {
	Tried(sim, pin string) (bool, error)
	// Try is called before the PIN is entered: a crash must not cost a second try.
	Try(sim, pin string) error
	Accepted(sim, pin string) error
	// Given is the PIN that a person gave for the SIM while the gateway ran, "" none.
	Given(sim string) (pin string, err error)
}

type pinsInMemory map[string]bool

func (p pinsInMemory) Tried(sim, pin string) (bool, error) { return p[sim+" "+pin], nil }
func (p pinsInMemory) Try(sim, pin string) error           { p[sim+" "+pin] = true; return nil }
func (p pinsInMemory) Given(string) (string, error)        { return "", nil }
func (p pinsInMemory) Accepted(sim, pin string) error      { delete(p, sim+" "+pin); return nil }

// unlock sees to it that the SIM is there and open.
func (m *Modem) unlock(ctx context.Context) (*trouble, error) {
	var err error
	radio := false
	entered := false
	for try := range 20 {
		if try > 0 {
			if err := m.sleep(ctx, 2*time.Second); err != nil {
				return nil, err
			}
		}
		var lines []string
		lines, err = m.ask(ctx, at.Command{Line: "AT+CPIN?", Prefix: "+CPIN", Mine: isPINState, Lenient: true, Timeout: 10 * time.Second})
		state := ""
		if len(lines) > 0 {
			state = strings.Trim(info.TrimPrefix(lines[len(lines)-1], "+CPIN"), `" `)
		}
		switch code := cmeCode(err); {
		case err != nil && answer(err) == nil:
			return nil, err
		case err == nil && state == "READY":
			m.settlePIN()
			return nil, nil
		case state == "SIM PIN", code == 11:
			if entered { // it needs a while to notice
				continue
			}
			if t, err := m.enterPIN(ctx); t != nil || err != nil {
				return t, err
			}
			entered = true
			if err := m.sleep(ctx, m.family().afterPIN); err != nil {
				return nil, err
			}
		case state == "SIM PUK", code == 12:
			return m.pukTrouble(), nil
		case state == "SIM PIN2", state == "SIM PUK2", code == 17, code == 18:
			return nil, nil // for other things than messages
		case strings.HasPrefix(state, "PH-"), code == 5, code == 6, code == 7, code >= 40 && code <= 48:
			return &trouble{state: sms.PINRequired, reason: "The modem is locked to another network or SIM (" + state + ").", retry: retryPIN,
				advice: "Use a SIM of the operator that sold the modem, or have the modem unlocked."}, nil
		case code == 14, code == 256, code == 515:
			continue // busy: it is being read
		case code == 10 || code == 13 || state == "NOT INSERTED" || state == "NOT READY":
			// Some say so as long as the radio is off.
			if !radio {
				radio = true
				if _, err := m.radioOn(ctx); err != nil {
					return nil, err
				}
				continue
			}
			if try < 4 {
				continue
			}
			return m.simTrouble(code), nil
		case code == 15, code == 262, code == 772:
			return m.simTrouble(code), nil
		default:
			if try < 4 {
				continue
			}
			return m.unfit("The port does not say whether a SIM is ready (AT+CPIN?).", err), nil
		}
	}
	return &trouble{state: sms.NoSIM, reason: "The SIM does not get ready.", advice: "Take the SIM out and put it in again.", retry: retrySIM, err: err}, nil
}

// isPINState also takes the bare READY of old modems.
func isPINState(line string) bool {
	return info.HasPrefix(line, "+CPIN") || line == "READY" || line == "SIM PIN" || line == "SIM PUK"
}

func (m *Modem) simTrouble(code int) *trouble {
	t := &trouble{state: sms.NoSIM, reason: "There is no SIM in the modem.", advice: "Put a SIM in; check that it sits the right way round.", retry: retrySIM}
	switch code {
	case 13:
		t.reason = "The SIM can't be read."
		t.advice = "Take the SIM out, clean its contacts, and try it in a phone."
	case 15:
		t.reason = "The modem refuses this SIM."
		t.advice = "Use a SIM of the operator that sold the modem, or have the modem unlocked."
	case 262, 772:
		t.reason = "The SIM is blocked or switched off."
		t.advice = "Try the SIM in a phone; ask its operator for another."
	}
	return t
}

func (m *Modem) pukTrouble() *trouble {
	return &trouble{state: sms.PUKRequired, reason: "The SIM asks for its PUK after too many wrong PINs.", retry: retryPIN,
		advice: "Put the SIM into a phone and enter the PUK there; gatewayd never does."}
}

func pinTrouble(reason, advice string) *trouble {
	return &trouble{state: sms.PINRequired, reason: reason, advice: advice, retry: retryPIN}
}

const pinAdvice = "Correct it on the page Setup, or pin in the configuration with a restart of gatewayd, or switch the PIN off with a phone."

// choosePIN returns the PIN to enter: that of the configuration, or the one that a
// person gave for this SIM, whichever has not been refused.
func (m *Modem) choosePIN(sim string) (pin string, byPerson bool, t *trouble) {
	unread := func(err error) *trouble {
		return pinTrouble("Whether the PIN was tried before can't be read, so it is not entered: "+err.Error()+".", "Check the disk.")
	}
	given, err := m.o.PINs.Given(sim)
	if err != nil {
		return "", false, unread(err)
	}
	for _, c := range []struct {
		pin      string
		byPerson bool
	}{{m.o.PIN, false}, {given, true}} {
		if c.pin == "" {
			continue
		}
		if n, err := strconv.ParseUint(c.pin, 10, 32); err != nil || len(c.pin) < 4 || len(c.pin) > 8 || n > 99999999 {
			t = pinTrouble("The configured PIN is not four to eight digits.", "Correct pin in the configuration.")
			continue
		}
		tried, err := m.o.PINs.Tried(sim, c.pin)
		if err != nil {
			return "", false, unread(err)
		}
		if !tried {
			return c.pin, c.byPerson, nil
		}
		t = pinTrouble("The configured PIN was refused by this SIM; it is not tried again.", pinAdvice)
	}
	return "", false, t
}

// enterPIN enters the PIN that is known, if it has not failed on this SIM before.
func (m *Modem) enterPIN(ctx context.Context) (*trouble, error) {
	sim := m.sim()
	pin, byPerson, t := m.choosePIN(sim)
	if t != nil {
		t.reason += m.triesWords(sim)
		return t, nil
	}
	if pin == "" { // it is not asked for its tries: some modems hang at what they don't know
		return pinTrouble("The SIM asks for its PIN."+m.triesWords(sim), "Enter it on the page Setup. Set pin or pin_file in the configuration instead where a file is kept for each box, or switch the PIN off with a phone."), nil
	}
	left, err := m.triesLeft(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case byPerson && (left < 0 || left > 1):
		// Who types it in now knows what it costs. The last try is left to a phone,
		// where the PUK can be entered too.
	case left < 0:
		return pinTrouble("The SIM asks for its PIN, and the modem does not say how many tries are left.",
			"Switch the SIM's PIN off with a phone, or enter it on the page Setup."), nil
	case byPerson:
		return pinTrouble("The SIM asks for its PIN and has only its last try left, which is not used up.",
			"Enter the right PIN in a phone, which brings all tries back; then enter it here."), nil
	case left < pinTries:
		return pinTrouble(fmt.Sprintf("The SIM asks for its PIN and has only %d of %d tries left, so none is used up.", left, pinTries),
			"Enter the right PIN in a phone, which brings all tries back, and check pin in the configuration; or enter it on the page Setup."), nil
	}
	if err := m.o.PINs.Try(sim, pin); err != nil {
		return pinTrouble("That the PIN is tried can't be stored, so it is not entered: "+err.Error()+".", "Check the disk."), nil
	}
	m.entered, m.enteredPIN = sim, pin
	_, err = m.port.Do(ctx, at.Command{Line: `AT+CPIN="` + pin + `"`, Name: "AT+CPIN=…", Timeout: 30 * time.Second})
	switch {
	case err == nil:
		m.settlePIN()
		return nil, nil
	case answer(err) == nil: // in doubt, until the SIM says how it is
		return nil, err
	}
	switch cmeCode(err) {
	case 14, 256, 515:
		return nil, nil // busy: likewise
	case 12:
		m.entered, m.enteredPIN = "", ""
		return m.pukTrouble(), nil
	}
	m.entered, m.enteredPIN = "", ""
	m.log.Warn("the SIM refused the PIN", "error", err)
	if left, err = m.triesLeft(ctx); err != nil {
		return nil, err
	}
	m.refusedSIM, m.triesKnown = sim, left
	return pinTrouble("The SIM refused the configured PIN; it is not tried again."+m.triesWords(sim), pinAdvice), nil
}

// triesWords tells how many tries the SIM has left since it refused a PIN, if the
// modem said.
func (m *Modem) triesWords(sim string) string {
	if m.refusedSIM != sim || m.triesKnown < 0 {
		return ""
	}
	return fmt.Sprintf(" It has %d of %d tries left.", m.triesKnown, pinTries)
}

// settlePIN notes that the PIN which was entered last was right. Its answer may
// have been lost; an open SIM is answer enough.
func (m *Modem) settlePIN() {
	if m.entered == "" {
		return
	}
	if err := m.o.PINs.Accepted(m.entered, m.enteredPIN); err != nil {
		m.log.Error("that the PIN was accepted can't be stored; it will not be entered again", "error", err)
	}
	m.entered, m.enteredPIN = "", ""
}

// pinCounters ask how many tries the PIN has without using one up: the standard's
// way first, then the makers', at last the SIM itself, which answers 63Cx to an
// empty VERIFY. An answer is read from its first line that has the prefix.
var pinCounters = []struct {
	command, prefix string
	name            string // what the first field must be, "": the counter is the first
	field           int
}{
	{`AT+CPINR="SIM PIN"`, "+CPINR", "SIM PIN", 1},
	{"AT^CPIN?", "^CPIN", "SIM PIN", 3}, // Huawei: SIM PIN,<times>,<puk>,<pin>,<puk2>,<pin2>
	{"AT+SPIC", "+SPIC", "", 0},         // SIMCom
	{"AT+QPINC?", "+QPINC", "SC", 1},    // Quectel
	{"AT+ZPINPUK=?", "+ZPINPUK", "", 0}, // ZTE
	{"AT#PCT", "#PCT", "", 0},           // Telit: of what is asked for
	{"AT^SPIC", "^SPIC", "", 0},         // Cinterion: likewise
}

// triesLeft is -1 if the modem does not say.
func (m *Modem) triesLeft(ctx context.Context) (int, error) {
	for _, c := range pinCounters {
		lines, err := m.ask(ctx, at.Command{Line: c.command, Prefix: c.prefix, Timeout: 10 * time.Second})
		if err != nil && answer(err) == nil {
			return -1, err
		}
		if err != nil || len(lines) == 0 {
			continue
		}
		f := quotedFields(info.TrimPrefix(lines[0], c.prefix))
		if len(f) <= c.field || c.name != "" && f[0] != c.name {
			continue
		}
		if n := number(f[c.field]); n >= 0 {
			return n, nil
		}
	}
	lines, err := m.ask(ctx, at.Command{Line: `AT+CSIM=10,"0020000100"`, Prefix: "+CSIM", Timeout: 10 * time.Second})
	if err != nil {
		return -1, dropAnswer(err)
	}
	for _, line := range lines {
		f := quotedFields(info.TrimPrefix(line, "+CSIM"))
		if len(f) >= 2 && len(f[1]) == 4 && strings.HasPrefix(strings.ToUpper(f[1]), "63C") {
			if n, err := strconv.ParseInt(f[1][3:], 16, 8); err == nil {
				return int(n), nil
			}
		}
	}
	return -1, nil
}

func number(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return -1
	}
	return n
}

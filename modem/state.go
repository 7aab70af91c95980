package modem

import (
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"gatewayd/modem/at"
	"gatewayd/sms"
)

// trouble is why a modem can't work now, in words for whoever stands before it.
type trouble struct {
	state  sms.ModemState
	reason string
	advice string
	retry  time.Duration // 0: the growing pause of losses
	err    error         // for the log
	ill    *illness      // not nil: the modem is to be healed
}

// Pauses before a modem in trouble is looked at again.
const (
	retrySIM   = 10 * time.Second // somebody may put one in
	retryPIN   = time.Minute      // only the configuration or a phone can help
	retryPort  = 2 * time.Second
	retryAlien = time.Minute // what is no modem seldom becomes one
)

// counters are read by Snapshot while Run's goroutine counts.
type counters struct {
	partsSent, partsFailed, unconfirmed, received, reports, restarts, late atomic.Int64
}

// Snapshot is a picture of the modem as it is now. Anybody may call it.
func (m *Modem) Snapshot() sms.Modem {
	s := *m.picture.Load()
	s.Counters = sms.Counters{
		PartsSent: m.count.partsSent.Load(), PartsFailed: m.count.partsFailed.Load(),
		Unconfirmed: m.count.unconfirmed.Load(), Received: m.count.received.Load(),
		Reports: m.count.reports.Load(), Restarts: m.count.restarts.Load(), LateAnswers: m.count.late.Load(),
	}
	s.Rate, s.Errors = m.tallied.rate(), m.tallied.byClass()
	return s
}

// publish makes what Run's goroutine knows visible to Snapshot.
func (m *Modem) publish() {
	s := m.now
	m.picture.Store(&s)
}

// enter moves to a state and tells, if the state or its reason is new.
func (m *Modem) enter(state sms.ModemState, reason, advice string) {
	if m.now.State == state && m.now.Reason == reason {
		return
	}
	if m.now.State != state {
		m.now.Since = time.Now()
	}
	m.now.State, m.now.Reason, m.now.Advice = state, reason, advice
	m.publish()
	if !asksNetwork(state) {
		m.turnAwayUSSD(reason)
	}
	m.meters.is(state)
	m.log.Info("modem state", "state", string(state), "reason", reason)
	if m.o.OnState != nil {
		m.o.OnState(m.Snapshot())
	}
}

// openTrouble explains why the port could not be opened.
func (m *Modem) openTrouble(err error) *trouble {
	t := &trouble{retry: retryPort, err: err}
	switch {
	case errors.Is(err, ErrNotPluggedIn):
		t.state, t.reason = sms.Absent, "It is not plugged in."
		t.advice = "Plug it in; any socket will do."
	case errors.Is(err, fs.ErrNotExist):
		t.state, t.reason = sms.Absent, "There is no port "+m.now.Port+"."
		t.advice = "Plug the modem in, or correct its port in the configuration."
	case errors.Is(err, ErrBusy):
		t.state, t.reason = sms.BusyElsewhere, "Another program holds "+m.now.Port+"."
		var by interface{ HeldBy() string }
		if errors.As(err, &by) && by.HeldBy() != "" {
			t.reason = m.now.Port + " is held by " + by.HeldBy() + "."
		}
		t.advice = "Stop the other program: often it is ModemManager, or a second gateway."
	case errors.Is(err, fs.ErrPermission):
		t.state, t.reason, t.retry = sms.ModemFailed, "No permission to open "+m.now.Port+".", retryAlien
		t.advice = "Add the user that runs gatewayd to the group dialout."
	case errors.Is(err, errNotSerial):
		t.state, t.reason, t.retry = sms.ModemFailed, m.now.Port+" is not a serial port.", retryAlien
		t.advice = "Set port to the modem's serial device, such as one in /dev/serial/by-id."
	default:
		t.state, t.reason, t.retry = sms.ModemFailed, fmt.Sprintf("%s can't be opened: %v.", m.now.Port, err), 0
		t.advice = "Unplug the modem and plug it in again."
	}
	return t
}

// lossTrouble explains an error of the port itself, not of a command; nil for
// errors that the modem answered.
func (m *Modem) lossTrouble(err error) *trouble {
	switch {
	case errors.Is(err, at.ErrHung):
		return &trouble{state: sms.Healing, reason: "The modem no longer takes what is written to it.", advice: powerAdvice, err: err, ill: hung}
	case errors.Is(err, at.ErrGone):
		return &trouble{state: sms.Absent, reason: "The port " + m.now.Port + " went away.",
			advice: "Check the cable and the power supply; the modem is used again as soon as it is back.", err: err}
	case errors.Is(err, at.ErrSilent):
		return &trouble{state: sms.Healing, reason: "The modem stopped answering.", advice: powerAdvice, err: err, ill: hung}
	case errors.Is(err, at.ErrParrot):
		return &trouble{state: sms.Healing, reason: "The modem answers, but no longer to questions.", advice: powerAdvice, err: err, ill: hung}
	}
	return nil
}

// sendable tells whether parts may be taken from the Outbox. It knows itself
// what a SIM at a limit may still send.
func (m *Modem) sendable() bool {
	if m.ussd.inSession() {
		return false
	}
	return m.now.State == sms.Ready || m.now.State == sms.StorageFull || m.now.State == sms.Limited || m.now.State == sms.Deaf
}

// judge derives the state of a modem that is up from all that is known.
func (m *Modem) judge() {
	switch {
	case m.parked != nil:
		m.enter(sms.Parked, m.parked.reason, m.parked.advice)
	case m.reg.denied():
		m.enter(sms.Denied, "The network refuses this SIM.",
			"Check that the SIM is active and may be used in this network and in this modem.")
	case !m.reg.registered() && m.reg.emergencyOnly():
		m.enter(sms.Searching, "The network allows emergency calls only.",
			"Check that the SIM is active and has a contract for this network.")
	case !m.reg.registered():
		m.enter(sms.Searching, "Not registered with a network yet.",
			"Check the antenna and where the modem stands, if this lasts longer than two minutes.")
	case m.o.NoRoaming && m.reg.roaming():
		m.enter(sms.Denied, "It is in a foreign network, and roaming is not allowed in the configuration.",
			"Set allow_roaming for this modem if its contract covers it, or wait until its own network is back.")
	case m.held(time.Now()):
		m.enter(sms.Searching, "The network gave no service for the last message.",
			"Check the antenna and where the modem stands, if this comes again and again.")
	case m.now.Storage != nil && m.now.Storage.Total > 0 && m.now.Storage.Used >= m.now.Storage.Total:
		m.enter(sms.StorageFull, fmt.Sprintf("The storage %s is full (%d messages).", m.now.Storage.Name, m.now.Storage.Total),
			"Nothing can be received until it is emptied, which happens by itself unless the inbound queue is full.")
	case m.blocked != nil:
		m.enter(sms.StorageFull, "Received messages can't be stored: "+m.blocked.Error()+".",
			"Check the disk and the readers of the inbound queue; SIM and network hold the messages meanwhile.")
	case m.deaf:
		m.enter(sms.Deaf, "It is registered, and a test message to it has not arrived.", deafTrouble("").advice)
	default:
		if m.o.Limit != nil {
			if reason, advice := m.o.Limit(m.now); reason != "" {
				m.enter(sms.Limited, reason, advice)
				return
			}
		}
		reason, advice := m.run.says()
		m.enter(sms.Ready, reason, advice)
	}
}

// registration is what +CREG, +CGREG and +CEREG said last, -1 for nothing.
type registration struct {
	circuit, packet, eps int
}

func (r registration) any(stats ...int) bool {
	for _, s := range stats {
		if r.circuit == s || r.packet == s || r.eps == s {
			return true
		}
	}
	return false
}

// registered: any of the three domains will do; an LTE modem may show none in
// the circuit-switched one and send all the same. 6 and 7 are for SMS only.
func (r registration) registered() bool    { return r.any(1, 5, 6, 7, 9, 10) }
func (r registration) roaming() bool       { return !r.any(1, 6, 9) && r.any(5, 7, 10) }
func (r registration) denied() bool        { return !r.registered() && !r.any(2) && r.any(3) }
func (r registration) emergencyOnly() bool { return r.any(8) }

func (r registration) String() string {
	switch {
	case r.any(1, 6, 9):
		return "home"
	case r.any(5, 7, 10):
		return "roaming"
	case r.any(2):
		return "searching"
	case r.any(3):
		return "denied"
	case r.any(8):
		return "emergency"
	}
	return "none"
}

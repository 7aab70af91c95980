package modem

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gatewayd/modem/at"
	"gatewayd/sms"
)

// rung is a step of the ladder that a sick modem is healed by, the gentlest
// first. Trouble with SIM or account is never answered so: no reset brings
// credit back.
type rung int

const (
	resync rung = iota // ESC and AT; it happens within a session
	reopen             // close the port and open it
	radio              // +CFUN off and on
	reset              // the modem's own restart
	power              // USB power, or the kernel lets go of it and takes it again
	park               // set aside for an hour
	rungs
)

// rungNames are what API, page and metrics call them.
var rungNames = [rungs]string{"resync", "reopen", "radio", "reset", "power", "park"}

var rungWords = [rungs]string{
	reopen: "its port is opened afresh", radio: "its radio is switched off and on", reset: "it is told to restart",
	power: "its USB power is switched off and on",
}

// proof is what shows that an illness is over.
type proof int

const (
	provenByAnswer  proof = iota // a whole bring-up
	provenBySending              // a part that the network took
	provenByNetwork              // with a network
	provenByMessage              // a message from outside
)

// illness is why a modem is healed, and within which rungs that makes sense.
type illness struct {
	from, to rung
	over     proof
}

var (
	hung     = &illness{reopen, park, provenByAnswer}  // nothing is answered, or nothing of use
	failing  = &illness{reopen, park, provenBySending} // every part fails by the modem's own fault
	simFails = &illness{reset, reset, provenByAnswer}  // once; then it is the SIM's, and nothing is healed
	offAir   = &illness{radio, power, provenByNetwork}
	searched = &illness{radio, reset, provenByNetwork} // it may be the place, so its power stays on
	deafness = &illness{radio, park, provenByMessage}
)

// Times of the ladder.
const (
	betweenRungs = 2 * time.Second
	radioOffFor  = 3 * time.Second
	radioSettles = 5 * time.Second
	resetTakes   = 60 * time.Second // until the port is back and answers; 5 to 40 s are usual
	powerLimit   = 30 * time.Second // for switching it
	powerTakes   = 75 * time.Second
	parkedFor    = time.Hour
	probation    = 10 * time.Minute // an illness that is back within it climbs on
	kept         = 12               // attempts that are shown
)

// ladder is where a modem stands on it. It outlives sessions of the port.
type ladder struct {
	next    rung      // to be climbed if the illness goes on
	todo    rung      // what the next session begins with: radio or reset
	ill     *illness  // nil: healthy, as far as is known
	until   time.Time // so long a modem that starts is waited for
	was     *illness  // the one that is over
	trial   time.Time // end of its probation
	running bool      // the newest attempt has no outcome yet
	begun   time.Time // when it was
	steps   [rungs]sms.HealingStep
	last    []sms.HealingAttempt // newest first
}

// climb takes the next rung for t, and waits as long as that asks for.
func (m *Modem) climb(ctx context.Context, t *trouble) {
	l := &m.ladder
	now := time.Now()
	if now.Before(l.until) && t.ill.over == provenByAnswer {
		if m.now.State != sms.Healing { // it was up already
			m.enter(sms.Healing, t.reason, t.advice)
		}
		m.pause(ctx, time.Second) // it is still starting
		return
	}
	m.attempted("failed")
	if l.ill == nil && (l.was != t.ill || now.After(l.trial)) {
		l.next = t.ill.from
	}
	l.ill, l.until, l.todo = t.ill, time.Time{}, 0
	step := max(l.next, t.ill.from)
	if t.ill == simFails {
		step = reset // whatever was climbed for other reasons: it is not set aside for its SIM
	}
	if step == power && m.o.PowerCycle == nil {
		step = park
	}
	l.next = step + 1
	if step > t.ill.to || step >= park {
		m.giveUp(ctx, t)
		return
	}
	m.attempt(step, t.reason)
	m.enter(sms.Healing, fmt.Sprintf("%s So %s.", t.reason, rungWords[step]), t.advice)
	m.log.Warn("healing the modem", "step", rungNames[step], "why", t.reason)
	switch step {
	case radio, reset:
		l.todo = step
	case power:
		m.cyclePower(ctx)
		return
	}
	m.pause(ctx, betweenRungs)
}

// giveUp ends a climb that has not helped. A modem without a network goes on
// looking for one; any other is set aside.
func (m *Modem) giveUp(ctx context.Context, t *trouble) {
	l := &m.ladder
	l.ill, l.next, l.trial = nil, t.ill.from, time.Time{}
	if t.ill.over == provenByNetwork {
		m.radioRest = time.Now().Add(parkedFor)
		m.pause(ctx, time.Millisecond)
		return
	}
	m.attempt(park, t.reason)
	m.attempted("parked")
	m.enter(sms.Parked, t.reason+" Nothing that can be done from here has helped.",
		"Unplug the modem for ten seconds and check its power supply; if it comes back to this, try another modem. It is tried again in an hour, and when it is plugged in again.")
	m.pause(ctx, parkedFor)
}

func (m *Modem) cyclePower(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, powerLimit)
	defer cancel()
	if err := m.o.PowerCycle(limited); err != nil {
		m.log.Warn("the modem's power could not be switched", "error", err)
		m.attempted("failed")
		m.pause(ctx, betweenRungs)
		return
	}
	m.ladder.until = time.Now().Add(powerTakes)
	m.pause(ctx, betweenRungs)
}

// apply does what a session on the ladder begins with.
func (m *Modem) apply(ctx context.Context) *trouble {
	step := m.ladder.todo
	m.ladder.todo = 0
	if step == 0 {
		return nil
	}
	err := m.port.Resync(ctx, 3)
	if step == reset {
		return m.restart(ctx, err == nil)
	}
	if err == nil {
		err = m.toggleRadio(ctx)
	}
	if err != nil && ctx.Err() == nil {
		return &trouble{state: sms.Healing, reason: "The modem does not switch its radio off and on.", ill: m.ladder.ill, err: err, advice: powerAdvice}
	}
	return nil
}

const powerAdvice = "If this goes on, check its power supply and plug it in again."

func (m *Modem) toggleRadio(ctx context.Context) error {
	_, err := m.port.Do(ctx, at.Command{Line: "AT+CFUN=4", Timeout: 20 * time.Second})
	if answer(err) != nil {
		_, err = m.port.Do(ctx, at.Command{Line: "AT+CFUN=0", Timeout: 20 * time.Second})
	}
	if err != nil {
		return err
	}
	if err := m.sleep(ctx, radioOffFor); err != nil {
		return err
	}
	if _, err := m.port.Do(ctx, at.Command{Line: "AT+CFUN=1", Timeout: 40 * time.Second}); err != nil {
		return err
	}
	return m.sleep(ctx, radioSettles)
}

// restart has the modem start again: its port goes away and comes back, or it
// is silent for a while. To one that no longer answers it is said all the same.
func (m *Modem) restart(ctx context.Context, hears bool) *trouble {
	for _, line := range m.family().restart {
		if !hears {
			if err := m.port.Shout(line); err != nil {
				break
			}
			continue
		}
		_, err := m.port.Do(ctx, at.Command{Line: line, Timeout: 10 * time.Second})
		if answer(err) == nil {
			break // obeyed, or gone, or silent: all of these may be a restart
		}
	}
	m.ladder.until = time.Now().Add(resetTakes)
	if err := m.sleep(ctx, betweenRungs); err != nil && ctx.Err() != nil {
		return nil
	}
	return &trouble{state: sms.Healing, reason: m.now.Reason, advice: m.now.Advice, retry: time.Second}
}

// awaited tells whether t is a port that is away because the modem restarts.
func (m *Modem) awaited(t *trouble) bool {
	return (t.state == sms.Absent || t.state == sms.ModemFailed) && time.Now().Before(m.ladder.until)
}

// healed notes that what was wrong is over, if p is what shows it.
func (m *Modem) healed(p proof) {
	l := &m.ladder
	if l.ill == nil || l.ill.over != p && (p != provenBySending || l.ill.over == provenByMessage) {
		return
	}
	l.was, l.ill, l.until = l.ill, nil, time.Time{}
	l.trial = time.Now().Add(probation)
	m.attempted("healed")
	m.radioRest = time.Time{}
}

// resynced counts the gentlest step, which needs no climb.
func (m *Modem) resynced(err error) {
	s := &m.ladder.steps[resync]
	s.Tried++
	if err == nil {
		s.Healed++
	}
	m.shown()
}

// attempt begins an entry of what was tried.
func (m *Modem) attempt(step rung, reason string) {
	l := &m.ladder
	now := time.Now()
	l.running, l.begun = true, now
	l.steps[step].Tried++
	l.last = append([]sms.HealingAttempt{{At: now.UTC().Truncate(time.Millisecond), Step: rungNames[step], Reason: reason, Outcome: "running"}}, l.last...)
	l.last = l.last[:min(len(l.last), kept)]
	m.shown()
}

// attempted ends it.
func (m *Modem) attempted(outcome string) {
	l := &m.ladder
	if !l.running {
		return
	}
	l.running = false
	a := &l.last[0]
	a.Outcome, a.Seconds = outcome, time.Since(l.begun).Round(100*time.Millisecond).Seconds()
	if outcome == "healed" {
		l.steps[slices.Index(rungNames[:], a.Step)].Healed++
	}
	m.meters.healing(a.Step, outcome)
	m.log.Info("modem healing", "step", a.Step, "outcome", outcome, "seconds", a.Seconds)
	m.shown()
}

// shown publishes the ladder's picture.
func (m *Modem) shown() {
	l := &m.ladder
	h := sms.HealingRecord{Last: append([]sms.HealingAttempt(nil), l.last...)}
	for step, name := range rungNames {
		s := l.steps[step]
		s.Step = name
		h.Steps = append(h.Steps, s)
	}
	m.now.Healing = h
	m.publish()
}

// A modem that finds no network for long is helped: some have lost more than
// the network.
const (
	offAirPatience = 3 * time.Minute  // neither registered nor searching, and no signal
	searchPatience = 20 * time.Minute // searching: it may be the place
)

// lookForIllness tells whether the radio is to be healed.
func (m *Modem) lookForIllness(now time.Time) *trouble {
	if m.reg.registered() || m.reg.denied() || m.reg.emergencyOnly() || m.lost.IsZero() || now.Before(m.radioRest) {
		return nil
	}
	t := &trouble{state: sms.Healing, advice: "Check the antenna and where the modem stands."}
	switch away := now.Sub(m.lost); {
	case now.Sub(m.upSince) < offAirPatience: // finding one takes a while, also behind a step of the ladder
		return nil
	case !m.reg.any(2) && m.now.Signal == nil && away >= offAirPatience:
		t.ill, t.reason = offAir, "The modem answers, but its radio is off the air."
	case away >= searchPatience:
		t.ill, t.reason = searched, fmt.Sprintf("No network was found for %d minutes.", int(away.Minutes()))
	default:
		return nil
	}
	return t
}

// Deaf says that a message which the network has for this modem did not arrive:
// it is registered and gets nothing. That is healed.
func (m *Modem) Deaf(reason string) {
	select {
	case m.deafened <- reason:
	default: // it is being healed already
	}
}

func deafTrouble(reason string) *trouble {
	return &trouble{state: sms.Deaf, reason: reason, ill: deafness,
		advice: "If it comes again after it was started afresh: check the SIM in a phone, the antenna, and then try another modem."}
}

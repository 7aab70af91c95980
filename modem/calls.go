package modem

import (
	"context"
	"strings"
	"time"

	"gatewayd/modem/at"
	"gatewayd/sms"
)

// An incoming call is a RING every few seconds, a +CLIP behind each if the
// caller shows a number, and an end that may be told or not. Nobody can take
// it, and some modems send nothing while they ring.

const (
	ringGap    = 12 * time.Second // between two RINGs of one call; three to six are usual, and one may get lost
	hungGap    = 8 * time.Second  // as ringGap, after a hang-up
	clipWait   = 7 * time.Second  // for the number: some give it behind the second RING only
	hangUps    = 3                // tries, each when it still rings
	hangUpWait = 5 * time.Second
)

// calling is the call that comes in, or the one that came last.
type calling struct {
	ringing     bool
	first, last time.Time // RING
	from        string
	known       bool // the network has said who it is, or that it won't
	told        bool
	hangUps     int
	hung        bool // it was hung up, and has not rung since
}

// lasts tells whether a RING now is one of this call.
func (c *calling) lasts(now time.Time) bool {
	gap := ringGap
	if c.hangUps > 0 {
		gap = hungGap
	}
	return c.ringing && now.Sub(c.last) <= gap
}

// rings takes a RING.
func (m *Modem) rings() {
	c, now := &m.calling, time.Now()
	if !c.lasts(now) {
		m.callEnded()
		*c = calling{ringing: true, first: now}
	}
	c.last, c.hung = now, false
}

// callFrom takes a +CLIP: `"+491700000000",145,,,,0`. Its last field tells
// whether the number is withheld.
func (m *Modem) callFrom(rest string) {
	f := quotedFields(rest)
	from := caller(f[0])
	if from != "" && len(f) > 1 && f[1] == "145" && from[0] != '+' {
		from = "+" + from
	}
	c, now := &m.calling, time.Now()
	if !c.lasts(now) || c.known && c.from != from { // its RING got lost
		m.callEnded()
		*c = calling{ringing: true, first: now}
	}
	c.last, c.from, c.known = now, from, true
	m.tellCall()
}

// caller is the number in what a modem gave for one, "" if there is none.
func caller(s string) string {
	s = fromUCS2(s)
	if strings.Trim(strings.TrimPrefix(s, "+"), "0123456789*#") != "" || len(s) > 32 {
		return ""
	}
	return s
}

// callMissed takes a MISSED_CALL: `10:42AM +491700000000`, which some modems
// give at a call's end, and some instead of everything else.
func (m *Modem) callMissed(rest string) {
	fields := strings.Fields(rest)
	from := ""
	if len(fields) > 1 {
		from = caller(fields[len(fields)-1])
	}
	c, now := &m.calling, time.Now()
	if !c.lasts(now) && now.Sub(c.last) > ringGap {
		m.callEnded()
		*c = calling{ringing: true, first: now, last: now}
	}
	if !c.known {
		c.from, c.known = from, true
	}
	m.callEnded()
}

// callEnded takes that it rings no more.
func (m *Modem) callEnded() {
	if m.calling.ringing {
		m.tellCall()
		m.calling.ringing = false
	}
}

// tellCall tells a call, once.
func (m *Modem) tellCall() {
	c := &m.calling
	if c.told {
		return
	}
	c.told = true
	m.log.Info("incoming call", "number_shown", c.from != "", "hung_up", !m.o.Ring())
	if m.o.OnCall == nil {
		return
	}
	to := m.now.Number
	if to == "" {
		to = m.o.Name
	}
	m.o.OnCall(sms.Call{Modem: m.o.Name, SIM: m.sim(), To: to, From: c.from, HungUp: !m.o.Ring(), At: c.first})
}

// nextDue is when something is to be done if nothing comes; zero: never.
func (c *calling) nextDue(ring bool) time.Time {
	switch {
	case c.ringing && !c.told:
		return c.first.Add(clipWait)
	case c.ringing && !ring && !c.hung && c.hangUps < hangUps:
		return c.last
	}
	return time.Time{}
}

// due tells whether attendCall has something to do.
func (c *calling) due(now time.Time, ring bool) bool {
	next := c.nextDue(ring)
	return !next.IsZero() && !now.Before(next)
}

// attendCall tells a call whose number does not come, and hangs up one that
// was told. Where it rings on all the same, the other command may do it.
func (m *Modem) attendCall(ctx context.Context) error {
	c := &m.calling
	if !c.told {
		m.tellCall()
		return nil
	}
	commands := []string{"AT+CHUP", "ATH"}
	if c.hangUps == 1 {
		commands = []string{"ATH", "AT+CHUP"}
	}
	c.hangUps++
	c.hung = true
	for _, line := range commands {
		_, err := m.port.Do(ctx, at.Command{Line: line, Timeout: hangUpWait})
		if answer(err) == nil {
			return err
		}
	}
	return nil
}

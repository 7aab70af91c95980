package modem

import (
	"math/rand/v2"
	"slices"
	"time"

	"gatewayd/sms"
)

// many recipients in a row that get the same answer are no accident.
const many = 5

// Pauses between parts while the network is short of something.
const (
	paceMin = 2 * time.Second
	paceMax = time.Minute
)

// lasting is how long, and with how many refusals, a trouble that may pass by
// itself is looked on before it counts as the SIM's.
const (
	lasting      = 10 * time.Minute
	lastingTimes = 3
)

// run is what the results of a SIM say together. One answer does not tell whom
// it blames: the same code for different recipients, with no success between,
// is the SIM's or the network's trouble; for one recipient among successes it
// is that recipient's. It holds the row of equal refusals that is going on, the
// recipients that were refused alone lately, and how much the SIM is slowed
// down: a few dozen strings at most. It outlives a session of the port, and
// ends with the SIM.
type run struct {
	sim string

	code   string    // of the row
	title  string    //
	since  time.Time // its first refusal
	n      int       // refusals
	to     []string  // their different recipients, many at most
	proven bool      // the network has accepted something from this SIM

	alone []alone // newest last, aloneMax at most

	pace  time.Duration // between parts; 0: none
	cured string        // whose faults alone started the modem afresh
	ailed []string      // different recipients of the faults in a row, two at most
}

// alone is a recipient that was refused while no other was.
type alone struct {
	to, code string
	others   bool // and others were accepted since
}

const aloneMax = 32

// of begins anew if another SIM is in the modem.
func (r *run) of(sim string) (same bool) {
	if r.sim == sim {
		return true
	}
	same = r.sim == ""
	*r = run{sim: sim}
	return same
}

// read adds a refusal and corrects what it means by what the others show.
func (r *run) read(o *Outcome, m *meaning, now time.Time) {
	e, to := o.Err, o.Part.To
	if e.Code != r.code {
		r.code, r.title, r.since, r.n, r.to = e.Code, e.Title, now, 0, r.to[:0]
	}
	r.n++
	if len(r.to) < many && !slices.Contains(r.to, to) {
		r.to = append(r.to, to)
	}
	among := r.apart(to, e.Code)
	only := len(r.to) == 1
	if only {
		// A row of several recipients says nothing of any of them.
		o.Times, o.Lasts = m.times, m.lasts
	}
	o.Blames = only && r.proven
	blame := func(class sms.Class, why string) { e.Class, e.Detail = class, e.Detail+" "+why }
	switch e.Class {
	case sms.Permanent:
		if len(r.to) < many {
			break
		}
		o.Elsewhere = true
		if r.proven {
			blame(sms.Later, "Five different recipients in a row were refused so, which is strange.")
			o.Times = 2
			break
		}
		blame(sms.Account, "Five different recipients were refused so, and none was accepted yet: check the SMSC number and the form of the numbers.")
		r.clear()
	case sms.Account:
		switch {
		case among && ofRecipient(m):
			blame(sms.Permanent, "Only this recipient is refused, others are accepted.")
		case m.first && r.n == 1, m.perhaps && only:
			e.Class, o.Elsewhere = sms.Later, true
		}
	case sms.Later, sms.Now:
		o.Elsewhere = m.sim || m.stays
		switch {
		case m.stays && r.n >= lastingTimes && now.Sub(r.since) >= lasting:
			blame(sms.Account, "It has lasted for ten minutes.")
		case m.sim && len(r.to) >= many:
			blame(sms.Account, "Five different recipients in a row were refused so.")
		case m.network && !only, len(r.to) >= many:
			r.slow()
		}
	case sms.Unknown:
		if !only {
			r.slow()
		}
	case sms.Fault:
		o.Elsewhere = true
		if m.cure == resetOnce && r.n > 1 {
			blame(sms.Account, "Starting the modem afresh did not help.")
		}
	}
}

// ofRecipient tells whether the network may mean the recipient: it is the
// network's answer, not the modem's.
func ofRecipient(m *meaning) bool {
	return m.perhaps || m.set == "CMS" && m.code < 300
}

// apart notes who was refused and tells whether that recipient was refused so
// before, and others were accepted meanwhile.
func (r *run) apart(to, code string) (among bool) {
	i := slices.IndexFunc(r.alone, func(a alone) bool { return a.to == to })
	a := alone{to: to, code: code}
	if i >= 0 {
		if r.alone[i].code == code {
			a = r.alone[i]
		}
		r.alone = slices.Delete(r.alone, i, i+1)
	}
	if len(r.alone) == aloneMax {
		r.alone = slices.Delete(r.alone, 0, 1)
	}
	r.alone = append(r.alone, a)
	return a.others
}

// success ends the row.
func (r *run) success(to string) {
	r.proven = true
	r.clear()
	if r.cured == to {
		r.cured = ""
	}
	if r.pace /= 2; r.pace < paceMin {
		r.pace = 0
	}
	r.alone = slices.DeleteFunc(r.alone, func(a alone) bool { return a.to == to })
	for i := range r.alone {
		r.alone[i].others = true
	}
}

func (r *run) clear() { r.code, r.title, r.n, r.to = "", "", 0, r.to[:0] }

// slow makes the pauses between parts twice as long.
func (r *run) slow() { r.pace = min(max(2*r.pace, paceMin), paceMax) }

// breath is the pause before the next part: half of it at random, so that
// gateways that were refused together don't come back together.
func (r *run) breath() time.Duration {
	if r.pace == 0 {
		return 0
	}
	return r.pace/2 + rand.N(r.pace/2+1)
}

// fault notes a fault at a recipient ("": before there was one) and tells whether
// the modem should be started afresh after so many in a row. One recipient
// alone does that once: if it goes on, it is the message that the modem can't digest.
func (r *run) fault(to string, inARow int) bool {
	if inARow == 1 {
		r.ailed = r.ailed[:0]
	}
	if !slices.Contains(r.ailed, to) && len(r.ailed) < 2 {
		r.ailed = append(r.ailed, to)
	}
	if inARow < 3 {
		return false
	}
	if len(r.ailed) > 1 || to == "" {
		return true
	}
	again := r.cured == to
	r.cured = to
	return !again
}

// says is what a technician should know of a SIM that is not parked.
func (r *run) says() (reason, advice string) {
	switch {
	case r.pace > 0 && r.n > 0:
		return "The network refuses messages (" + r.title + ", " + r.code + "), so sending is slowed down.",
			"Nothing needs to be done unless it lasts; then check whether the SIM has a limit of messages."
	case r.n >= many:
		return "The last messages were all refused: " + r.title + " (" + r.code + ").",
			"Look at one of them for what to do."
	}
	return "", ""
}

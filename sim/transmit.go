package sim

import (
	"cmp"
	"time"
)

// transmit sends a PDU and answers the command with the reference it got. The
// network has the message from the middle of the time that all takes.
func (m *Modem) transmit(s *submit, command string) reply {
	if !s.sca && m.card.smsc == "" {
		return cms(330)
	}
	if !m.reachable() {
		if m.faults.Hang == HangRadio && m.faults.SendError != "" {
			return reply{final: m.faults.SendError}
		}
		return cms(331)
	}
	m.mr++
	mr := m.mr
	f := &m.faults
	takes := m.net.latency()
	if refusal := m.rejection(s); refusal != "" {
		return m.answerIn(takes, 0, func() reply { return reply{final: refusal, silent: refusal == NoAnswer} })
	}
	air, late := takes, time.Duration(0)
	answer := func() reply {
		m.linkEnds()
		m.info("%s: %d%s", command, mr, m.ackPDU())
		return ok
	}
	lost := false
	switch {
	case f.Silent.strike():
		answer, lost = func() reply { return mum }, f.Lost
	case f.OKOnly.strike():
		answer, lost = func() reply { return ok }, f.Lost
	case f.Late.strike():
		late, lost = cmp.Or(f.LateBy, 70*time.Second), f.Lost
	case f.NetworkTimeout.strike():
		// The network has it, or has not; what answers is the modem's patience.
		takes, lost = cmp.Or(m.profile.SendLimit, sendLimit), f.Lost
		answer = func() reply { return replyOf(cmp.Or(m.profile.SendTimedOut, "+CMS ERROR: 332")) }
	}
	refused := 0
	take := func() {
		if lost {
			return
		}
		var report []byte
		// A network waits for one acknowledgement before it brings the next PDU.
		refused, report = m.net.submit(m, m.card.number, s, mr, f.ReportFirst && m.ack == 0)
		if report != nil {
			m.route(report)
		}
	}
	result := func() reply {
		if refused != 0 {
			return cms(refused)
		}
		return answer()
	}
	if takes+late == 0 {
		take()
		return result()
	}
	m.tty.state = busy
	m.after(air/2, take)
	return m.answerIn(takes, late, result)
}

// answerIn gives the answer after takes and late. If the fault says so the
// modem obeys commands from takes on, and the answer comes between theirs.
func (m *Modem) answerIn(takes, late time.Duration, answer func() reply) reply {
	if takes+late == 0 {
		return answer()
	}
	m.tty.state = busy
	if late > 0 && m.faults.LateDetached {
		m.after(takes, func() { m.complete(mum) })
		m.after(takes+late, func() {
			if r := answer(); !r.silent {
				m.unsolicited(r.words(m.tty.settings.cmee))
			}
		})
		return later
	}
	m.after(takes+late, func() { m.complete(answer()) })
	return later
}

// sendLimit is how long the radio layer tries, TR1M of TS 24.011.
const sendLimit = 40 * time.Second

// rejection is the error that a fault has for this message, "" if none.
func (m *Modem) rejection(s *submit) string {
	f := &m.faults
	switch {
	case f.Hang == HangSends:
		return cmp.Or(f.SendError, "+CMS ERROR: 500")
	case f.NoCredit:
		return "+CMS ERROR: 38"
	case f.DailyWall > 0:
		if today := m.net.now().Format(time.DateOnly); m.card.day != today {
			m.card.day, m.card.sent = today, 0
		}
		if m.card.sent >= f.DailyWall {
			return "+CMS ERROR: 21"
		}
		m.card.sent++
	}
	if e := f.RejectFor[s.t.DA.Number()]; e != "" {
		return e
	}
	if f.Reject.strike() {
		return cmp.Or(f.SendError, "+CMS ERROR: 500")
	}
	return ""
}

// linkTime is how long +CMMS=1 keeps the link open without another message.
const linkTime = 5 * time.Second

// keepLink is +CMMS: 0 is what 1 falls back to after linkTime, 2 stays.
func keepLink() handler {
	h := number("+CMMS", 0, 2, "(0-2)", func(m *Modem) *int { return &m.tty.settings.cmms })
	set := h.set
	h.set = func(m *Modem, a args) reply {
		r := set(m, a)
		m.linkEnds()
		return r
	}
	return h
}

func (m *Modem) linkEnds() {
	s := &m.tty.settings
	if s.link++; s.cmms != 1 {
		return
	}
	link := s.link
	m.after(linkTime, func() {
		if s.link == link {
			s.cmms = 0
		}
	})
}

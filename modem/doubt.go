package modem

import (
	"time"
)

// latest is how long after Ctrl-Z an answer may still come: twice the longest
// time that any maker names.
const latest = 4 * time.Minute

// doubt is a part that was handed over and not answered in time. Its answer
// may come while nobody waits, before the next part's Ctrl-Z, or, from a modem
// that obeys commands in between, even after that.
type doubt struct {
	part     *Part
	imei     string // of the modem that had it
	session  int    // of the port
	expected int    // TP-MR that it would get; -1: not known
	until    time.Time
	answered bool
	mr       int
}

func (m *Modem) doubtOf(o *Outcome, start time.Time) *doubt {
	if m.doubt != nil && m.doubt.answered {
		m.settle() // there is one at a time
	}
	return &doubt{part: o.Part, imei: m.now.IMEI, session: m.sessions, expected: o.ExpectedMR, until: start.Add(latest)}
}

// rival is the part in doubt, if its answer may still come after another
// part's Ctrl-Z. After a whole bring-up it can't: everything that the modem had
// to say of earlier commands has been heard by then.
func (m *Modem) rival() *doubt {
	d := m.doubt
	if d == nil || d.answered {
		return nil
	}
	if d.session != m.sessions || time.Now().After(d.until) {
		m.doubt = nil
		return nil
	}
	return d
}

// mayHaveSaid tells whether r may be this part's answer rather than that of the
// part that was submitted after it: every answer may, but one with a reference
// that is not its own.
func (d *doubt) mayHaveSaid(r *result) bool {
	mr, ok := reference(r.lines)
	return !ok || mr < 0 || d.expected < 0 || mr == d.expected
}

// later tells whether a has a reference that was given after b's: they count
// up, and begin again behind 255.
func later(a, b *result) bool {
	x, ok := reference(a.lines)
	y, ok2 := reference(b.lines)
	return ok && ok2 && x >= 0 && y >= 0 && (x-y)&0xff < 0x80
}

// late takes a +CMGS that no running command can have caused. It settles the
// part in doubt and no other.
func (m *Modem) late(line string) {
	m.mute = 0
	m.count.late.Add(1)
	m.meters.late.Inc()
	if m.doubt == nil {
		m.log.Warn("the modem confirmed a message that nobody waits for")
		return
	}
	m.doubt.answered = true
	m.doubt.mr, _ = reference([]string{line})
}

// lateResult takes a result that came before another part's own.
func (m *Modem) lateResult(d *doubt, r *result) {
	m.mute = 0
	m.count.late.Add(1)
	m.meters.late.Inc()
	if mr, ok := reference(r.lines); ok {
		m.doubt = d
		d.answered, d.mr = true, mr
	}
}

// settle books the late answer. A port that came back with another modem on it
// can't have answered for this one.
func (m *Modem) settle() {
	d := m.doubt
	m.doubt = nil
	if d.imei != m.now.IMEI {
		return
	}
	if m.lastMR < 0 {
		m.lastMR = d.mr
	}
	m.count.partsSent.Add(1)
	m.tallied.sent()
	m.book(&Outcome{Part: d.part, Result: Confirmed, MR: d.mr, ExpectedMR: -1})
}

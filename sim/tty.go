package sim

import (
	"fmt"
	"slices"
	"strings"
)

// The bytes that mean something by themselves.
const (
	lf    = '\n'
	cr    = '\r'
	ctrlZ = 0x1A
	esc   = 0x1B
	bs    = 0x08
)

// Limits of the modem's buffers. What goes beyond is lost, as in a real one.
const (
	maxLine = 2048
	maxHeld = 4096
)

// ttyState is what the interpreter makes of the next byte.
type ttyState int

const (
	commanding ttyState = iota // it belongs to a command line
	prompting                  // the prompt is not out yet: it is lost
	entering                   // it belongs to a PDU or a text
	busy                       // a command is under way: it is read afterwards
)

// settings are what AT commands set on a tty; ATZ brings the defaults back.
type settings struct {
	echo, verbose, quiet bool
	cmee                 int
	cmgf, csdh, csms     int
	csmp                 [4]int // fo, vp, pid, dcs of texts sent in text mode
	cnmi                 [5]int // mode, mt, bm, ds, bfr
	cmms, link           int    // link grows whenever the time of +CMMS=1 begins anew
	cscs                 string
	creg, cgreg, cereg   int
	copsFormat           int
	clip, cusd           bool
}

// defaults are the settings after power-on, ATZ and AT&F.
func (m *Modem) defaults() settings {
	return settings{echo: true, verbose: true, cscs: "GSM", csmp: [4]int{17, 167, 0, 0}}
}

// tty is one of a modem's serial ports, with settings of its own. All of it is
// guarded by the modem's lock.
type tty struct {
	Interface
	port port   // whoever has it open; nil: nobody
	pts  *pts   // the pseudo-terminal, nil unless one was made
	out  []byte // to be written by flush
	interpreter
}

// interpreter is what a restart of the modem forgets.
type interpreter struct {
	settings settings
	stores   [3]string // +CPMS
	state    ttyState
	line     []byte    // the command line so far
	over     bool      // the line was too long
	last     string    // the command that was obeyed last
	rest     []command // what is still to be done of the current line
	entry    *entry    // what the prompt is for
	held     []byte    // what was written while a command was under way
	later    []string  // unsolicited lines held back by +CNMI mode 0
}

func (t *tty) setStores(name string) { t.stores = [3]string{name, name, name} }

// entry is a PDU or a text being written after a prompt.
type entry struct {
	text bool // text mode: CR begins a new line
	data []byte
	bad  bool // it has something in it that no PDU has
	done func(e *entry) reply
}

// input takes what was written to a tty.
func (m *Modem) input(t *tty, b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.plugged {
		return
	}
	b, pulled := m.untilPulled(b)
	m.say("→", b)
	defer m.serve(t)()
	switch {
	case m.faults.Mute:
	case t.Role == RoleApp:
		m.parrot(b)
	case t.Role != RoleAT && t.Role != RoleSecond:
	case m.faults.Hang == HangMute:
		m.overhear(b)
	default:
		m.feed(b)
	}
	m.flush()
	if pulled {
		m.pull()
	}
}

func (m *Modem) feed(b []byte) {
	t := m.tty
	if t.state == busy && len(b) > 0 {
		m.stats.Overlaps++
	}
	for i, c := range b {
		if !m.plugged {
			return // it restarted, and its port is gone
		}
		switch t.state {
		case commanding:
			m.commandByte(c)
		case prompting:
			m.stats.Dropped++
			if c == esc && !m.faults.PromptDeaf {
				m.abort()
			}
		case entering:
			m.entryByte(c)
		case busy:
			room := maxHeld - len(t.held)
			t.held = append(t.held, b[i:min(len(b), i+room)]...)
			return
		}
	}
}

func (m *Modem) echo(c byte) {
	if m.tty.settings.echo || m.faults.KeepEcho {
		m.tty.out = append(m.tty.out, c)
	}
}

func (m *Modem) commandByte(c byte) {
	t := m.tty
	switch c {
	case esc: // whatever was begun is forgotten
		t.line, t.over = t.line[:0], false
		return
	case lf:
		m.echo(c)
		return
	case bs, 0x7F:
		m.echo(c)
		t.line = t.line[:max(len(t.line)-1, 0)]
		return
	case cr:
		m.echo(c)
		line, over := string(t.line), t.over
		t.line, t.over = t.line[:0], false
		m.obey(line, over)
		return
	}
	m.echo(c)
	if len(t.line) == maxLine {
		t.over = true
		return
	}
	t.line = append(t.line, c)
}

// obey runs a command line. What is in front of AT is noise; a line without
// AT is not for the modem.
func (m *Modem) obey(line string, over bool) {
	at := 0
	for at+1 < len(line) && (upper(line[at]) != 'A' || upper(line[at+1]) != 'T') {
		at++
	}
	if at+1 >= len(line) {
		return
	}
	m.stats.Lines++
	if over {
		m.finish(failed)
		return
	}
	m.tty.rest = parse(line[at+2:])
	m.proceed()
}

// proceed runs what is left of the line until a command fails or takes time.
func (m *Modem) proceed() {
	t := m.tty
	t.state = commanding
	for len(t.rest) > 0 {
		c := t.rest[0]
		if d := m.faults.Slow[c.name]; d > 0 && !c.waited {
			t.rest[0].waited = true
			t.state = busy
			m.after(d, func() { m.proceed(); m.catchUp() })
			return
		}
		t.rest, t.last = t.rest[1:], c.name
		r := m.do(c)
		if r.later {
			return
		}
		if r.final != "OK" {
			m.finish(r)
			return
		}
	}
	m.finish(ok)
}

// finish ends a command line with its final result.
func (m *Modem) finish(r reply) {
	t := m.tty
	t.state = commanding
	t.rest = nil
	if r.silent {
		return
	}
	if m.faults.Garbage.strike() {
		m.write(garbage)
	}
	m.gap()
	final := r.words(t.settings.cmee)
	switch {
	case final == "" || t.settings.quiet:
	case final == "OK" && slices.Contains(m.faults.NoFinal, t.last):
	case t.settings.verbose:
		m.write("\r\n" + final + "\r\n")
	default:
		if code, known := numeric[final]; known {
			final = code
		}
		m.write(final + "\r")
	}
	if m.faults.SilentReset.strike() {
		m.forget()
	}
}

// garbage is binary noise without the end of a line.
var garbage = strings.Repeat("\x00\xff\x7e\x81", 1024)

// complete ends a command that took its time, and goes on with the line.
func (m *Modem) complete(r reply) {
	if r.final == "OK" && !r.silent {
		m.proceed()
	} else {
		m.finish(r)
	}
	m.catchUp()
}

// catchUp reads what was written while a command was under way.
func (m *Modem) catchUp() {
	t := m.tty
	if t.state == busy || len(t.held) == 0 {
		return
	}
	held := t.held
	t.held = nil
	overlaps := m.stats.Overlaps // counted when it came
	m.feed(held)
	m.stats.Overlaps = overlaps
}

// prompt asks for a PDU or a text.
func (m *Modem) prompt(e *entry) reply {
	t := m.tty
	t.entry = e
	m.gap()
	f := &m.faults
	if f.NoPrompt.strike() {
		t.state = entering
		return later
	}
	if f.PromptDelay == 0 && !f.SplitPrompt {
		m.write(m.promptText())
		t.state = entering
		m.gap()
		return later
	}
	t.state = prompting
	pieces := []string{m.promptText()}
	if f.SplitPrompt {
		pieces = strings.Split(pieces[0], "")
	}
	m.after(f.PromptDelay, func() { m.promptPiece(e, pieces) })
	return later
}

func (m *Modem) promptPiece(e *entry, pieces []string) {
	if m.tty.entry != e {
		return // given up meanwhile
	}
	m.write(pieces[0])
	if len(pieces) > 1 {
		m.after(5e6, func() { m.promptPiece(e, pieces[1:]) })
		return
	}
	m.tty.state = entering
	m.gap()
}

func (m *Modem) entryByte(c byte) {
	e := m.tty.entry
	switch {
	case c == esc:
		m.abort()
		return
	case c == ctrlZ:
		m.echo(c)
		m.tty.entry = nil
		m.tty.state = commanding
		r := e.done(e)
		if r.later {
			return
		}
		if r.final == "OK" {
			m.proceed()
		} else {
			m.finish(r)
		}
		return
	case e.text && c == cr:
		m.echo(c)
		e.data = append(e.data, cr)
		m.write("\r\n> ")
		return
	case e.text && (c == bs || c == 0x7F):
		e.data = e.data[:max(len(e.data)-1, 0)]
		return
	case !e.text && !isHex(c):
		e.bad = true // line ends too: a PDU has none
	}
	m.echo(c)
	if len(e.data) == maxLine {
		e.bad = true
		return
	}
	e.data = append(e.data, c)
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f'
}

// abort is ESC at a prompt.
func (m *Modem) abort() {
	m.tty.entry = nil
	m.finish(replyOf(m.profile.Aborted))
}

// info writes a line of information between command and result.
func (m *Modem) info(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	m.gap()
	if m.tty.settings.verbose {
		m.write("\r\n")
	}
	m.write(line + "\r\n")
}

// unsolicited writes a line that no command asked for.
func (m *Modem) unsolicited(line string) {
	if m.plugged {
		defer m.serve(m.main)()
		m.write("\r\n" + line + "\r\n")
	}
}

// write adds to what flush will write.
func (m *Modem) write(s string) {
	switch {
	case m.faults.CRCRLF:
		s = strings.ReplaceAll(s, "\r\n", "\r\r\n")
	case m.faults.CROnly:
		s = strings.ReplaceAll(s, "\r\n", "\r")
	}
	m.tty.out = append(m.tty.out, s...)
}

// flush hands what was written to whoever has the ports open. With nobody
// there it is lost.
func (m *Modem) flush() {
	for _, t := range m.ttys {
		out := t.out
		if len(out) == 0 {
			continue
		}
		t.out = out[:0]
		if m.faults.Mute || m.faults.Hang == HangMute || t.port == nil {
			continue
		}
		out, pulled := m.untilPulled(out)
		m.say("←", out)
		t.port.send(out)
		if pulled {
			m.pull()
			return
		}
	}
}

// port is the other end of the tty. Its methods never wait and keep nothing of
// what they are given; they are called with the modem's lock held.
type port interface {
	send(b []byte)
	hangUp()
}

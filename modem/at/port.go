// Package at speaks the AT command language (3GPP TS 27.005, 27.007, ITU-T
// V.250) over any byte stream.
//
// One goroutine, the owner, calls every method of a Port. A reader
// goroutine only frames bytes into lines; the owner takes them in the order of
// the wire, so unsolicited lines are handled between and within commands, never
// beside them. After a time-out the port is out of step: nobody knows whose
// answer comes next, and nothing but Resync is written until a question has
// been answered that no earlier command can have asked.
package at

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// writeLimit ends a write that the modem does not take: a modem that stopped
// reading is as good as unplugged.
const writeLimit = 10 * time.Second

// pduLimit is how long after a +CMT line its PDU may come.
const pduLimit = 5 * time.Second

// Event is what a token meant to the command under way.
type Event int

// What Take can say.
const (
	Nothing   Event = iota // unsolicited, part of an answer, or noise
	Prompted               // the modem asks for the data
	Prompting              // it begins to: the rest of its prompt may still be on its way
	Done                   // the command is over: Result and Lines tell how
	Gone                   // the port is gone: Cause tells why
)

// Port is an AT port.
type Port struct {
	rwc    io.ReadWriteCloser
	log    *slog.Logger
	handle func(URC)

	tokens chan Token
	await  atomic.Bool // a prompt may come; the reader takes it back when it does
	closed chan struct{}
	done   chan struct{}
	once   sync.Once
	guard  *time.Timer // closes the port when a write hangs

	// All below belongs to the owner.
	cmd       Command
	running   bool
	submitted bool // Ctrl-Z was written, or may have been
	lines     []string
	result    *Error
	cause     error
	stale     bool // out of step
	lost      Command
	resyncing bool
	resyncs   int
	echoes    int
	reprompt  bool      // a prompt came that nobody will answer
	trail     string    // an unsolicited line whose PDU is to come
	trailEnd  time.Time // when it is given up
	out       []byte    // write buffer
	timer     *time.Timer
}

// Attach starts reading rwc, which the port owns from now on. handle is called
// by the owner's own calls, in the order of the wire; it must not run commands.
func Attach(rwc io.ReadWriteCloser, log *slog.Logger, handle func(URC)) *Port {
	p := &Port{
		rwc: rwc, log: log, handle: handle,
		tokens: make(chan Token, 256),
		closed: make(chan struct{}), done: make(chan struct{}),
		out: make([]byte, 0, 512), timer: time.NewTimer(time.Hour),
	}
	p.guard = time.AfterFunc(time.Hour, func() { _ = p.rwc.Close() })
	p.guard.Stop()
	go p.read()
	return p
}

// Close closes the port and waits for its reader.
func (p *Port) Close() error {
	var err error
	p.once.Do(func() {
		close(p.closed)
		err = p.rwc.Close()
		p.guard.Stop()
		t := time.NewTimer(2 * time.Second)
		defer t.Stop()
		select {
		case <-p.done:
		case <-t.C: // a transport whose Read outlives its Close
		}
	})
	return err
}

// Tokens is where the owner finds what came, to be given to Take.
func (p *Port) Tokens() <-chan Token { return p.tokens }

// Lines are the answer's lines so far; they are valid until the next command.
func (p *Port) Lines() []string { return p.lines }

// Result is the final result after Done: nil for OK.
func (p *Port) Result() error {
	if p.result == nil {
		return nil
	}
	return p.result
}

// Cause tells why the port is gone.
func (p *Port) Cause() error {
	if p.cause == nil {
		return ErrGone
	}
	return fmt.Errorf("%w: %w", ErrGone, p.cause)
}

// Stale tells whether the port is out of step and needs Resync.
func (p *Port) Stale() bool { return p.stale }

// Resyncs is how often the port was brought back into step. What came
// meanwhile may have been lost.
func (p *Port) Resyncs() int { return p.resyncs }

// Echoes is how often the modem has repeated what it was told.
func (p *Port) Echoes() int { return p.echoes }

func (p *Port) write(b []byte) error {
	if p.cause != nil {
		return p.Cause()
	}
	p.guard.Reset(writeLimit)
	n, err := p.rwc.Write(b)
	intime := p.guard.Stop()
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil && !intime {
		err = fmt.Errorf("%w: %w", ErrHung, err)
	}
	if err != nil {
		p.cause = fmt.Errorf("write: %w", err)
		return p.Cause()
	}
	return nil
}

// Drain takes what has come already, so that nothing older than the next
// command can be read as its answer. It fails with Cause once the port is gone.
func (p *Port) Drain() error {
	for {
		select {
		case t := <-p.tokens:
			p.Take(t)
			continue
		default:
		}
		if p.cause != nil {
			return p.Cause()
		}
		return nil
	}
}

// Begin writes a command. Its answer is found by giving Take the tokens until
// it says Done; the owner keeps the time and calls Abandon when it is over.
func (p *Port) Begin(c Command) error {
	if err := p.Drain(); err != nil {
		return err
	}
	if p.stale {
		return fmt.Errorf("%s: the port is out of step", c.name())
	}
	p.start(c)
	if err := p.write(append(append(p.out[:0], c.Line...), '\r')); err != nil {
		p.stop()
		return err
	}
	return nil
}

func (p *Port) start(c Command) {
	p.cmd, p.running, p.submitted = c, true, false
	p.lines, p.result = p.lines[:0], nil
	p.await.Store(c.Prompt || p.resyncing)
}

func (p *Port) stop() {
	p.running = false
	p.await.Store(p.resyncing)
}

// Abandon gives up the running command: its answer may still come, so the
// port is out of step.
func (p *Port) Abandon() {
	if p.running {
		p.lost = p.cmd
	}
	p.stop()
	p.stale = true
}

// Shout writes a line to a modem that answers nothing, which may hear it all
// the same. The port is out of step after that.
func (p *Port) Shout(line string) error {
	p.stale = true
	return p.write([]byte(line + "\r"))
}

// Data writes the data that the modem asked for, without ending it.
func (p *Port) Data(b []byte) error { return p.write(b) }

var ctrlZ = []byte{0x1a}

// Submit ends the data with Ctrl-Z. From the moment it is called nobody can
// know whether the data went out until the result tells.
func (p *Port) Submit() error {
	p.submitted = true
	return p.write(ctrlZ)
}

// Resume goes on waiting for the result of a submitted command, when the one
// that came may have been another's.
func (p *Port) Resume() {
	p.running, p.submitted = true, true
	p.lines, p.result = p.lines[:0], nil
}

// Do runs a command to its end, after Resync if the port is out of step.
func (p *Port) Do(ctx context.Context, c Command) ([]string, error) {
	if err := p.Drain(); err != nil {
		return nil, err
	}
	if p.stale {
		if err := p.Resync(ctx, 3); err != nil {
			return nil, err
		}
	}
	if err := p.Begin(c); err != nil {
		return nil, err
	}
	p.timer.Reset(c.Timeout)
	lines := 0
	for {
		select {
		case t := <-p.tokens:
			switch p.Take(t) {
			case Done:
				return append([]string(nil), p.lines...), p.Result()
			case Gone:
				return nil, p.Cause()
			case Nothing:
				if c.Lenient && len(p.lines) > lines { // what else comes must not go on for it
					lines = len(p.lines)
					p.timer.Reset(min(c.Timeout, 2*time.Second))
				}
			}
		case <-p.timer.C:
			p.Abandon()
			if c.Lenient && len(p.lines) > 0 {
				return append([]string(nil), p.lines...), nil
			}
			return nil, timeoutError(&c)
		case <-ctx.Done():
			p.Abandon()
			return nil, fmt.Errorf("%s: %w", c.name(), ctx.Err())
		}
	}
}

// Take says what a token means. The order matters: a PDU belongs to the line
// before it, then an unsolicited line is known by its prefix unless it is the
// running command's own answer, then the final results, then noise.
func (p *Port) Take(t Token) Event {
	switch {
	case t.Err != nil:
		if p.cause == nil {
			p.cause = t.Err
		}
		p.stop()
		return Gone
	case t.Prompt:
		if p.running && p.cmd.Prompt && !p.submitted {
			if t.Last {
				return Prompting
			}
			return Prompted
		}
		// The next command would become the text of a message.
		p.stale, p.reprompt = true, true
		return Nothing
	}
	line := t.Line
	if p.trail != "" && p.takePDU(line) {
		return Nothing
	}
	if p.running {
		if p.cmd.PDU && len(p.lines) > 0 && hexPDU(line) {
			p.lines = append(p.lines, line)
			return Nothing
		}
		// Before Ctrl-Z a +CMGS line can only be an earlier message's.
		if (!p.cmd.Prompt || p.submitted) && p.ownLine(line) {
			p.lines = append(p.lines, line)
			return Nothing
		}
	}
	if announced(line) {
		if hasPDU(line) {
			p.giveUpTrail()
			p.trail, p.trailEnd = line, time.Now().Add(pduLimit)
			return Nothing
		}
		p.handle(URC{Line: line})
		return Nothing
	}
	if done, err := final(line, &p.cmd); done {
		return p.finish(err)
	}
	if p.running && (line == p.cmd.Line || p.submitted && hexPDU(line)) {
		p.echoes++
		return Nothing
	}
	p.handle(URC{Line: line})
	return Nothing
}

// ownLine tells whether line belongs to the running command's answer. Bare
// text is asked last: it must not swallow what is known otherwise.
func (p *Port) ownLine(line string) bool {
	if p.cmd.Prefix != "" || p.cmd.Mine != nil {
		return p.cmd.own(line)
	}
	if announced(line) || line == p.cmd.Line {
		return false
	}
	if done, _ := final(line, &p.cmd); done {
		return false
	}
	return p.cmd.own(line)
}

func (p *Port) finish(err *Error) Event {
	if !p.running {
		p.log.Debug("a result that no command waits for")
		return Nothing
	}
	if p.cmd.Prompt && !p.submitted {
		if err == nil {
			return Nothing // an earlier message's OK; ours asks for data first
		}
		// The prompt may still be on its way, and with it the danger that the
		// next command becomes the text of a message.
		p.stale, p.lost = true, p.cmd
	}
	p.stop()
	p.result = err
	return Done
}

// takePDU gives line to the unsolicited line before it if it is its PDU.
func (p *Port) takePDU(line string) bool {
	if time.Now().After(p.trailEnd) {
		p.giveUpTrail()
		return false
	}
	if !hexPDU(line) {
		return false
	}
	// While a command reads stored messages, the announced length decides.
	if p.running && p.cmd.PDU && len(p.lines) > 0 && !fits(p.trail, line) && fits(p.lines[len(p.lines)-1], line) {
		return false
	}
	u := URC{Line: p.trail, PDU: line}
	p.trail = ""
	p.handle(u)
	return true
}

// giveUpTrail tells of a line whose PDU never came.
func (p *Port) giveUpTrail() {
	if p.trail != "" {
		u := URC{Line: p.trail}
		p.trail = ""
		p.handle(u)
	}
}

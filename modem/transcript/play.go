package transcript

import (
	"bytes"
	"io"
	"slices"
	"sync"
	"time"
)

// Player is a recorded modem: it answers every command as the recording did. A
// gatewayd of another version may ask in another order, so answers go by the
// command; where the recording has several, they come in turn, the last again.
type Player struct {
	answers map[string][]reply
	mu      sync.Mutex
	cond    *sync.Cond
	heard   []byte
	out     []byte
	closed  bool
	unknown []string
	asked   map[string]int
	timers  []*time.Timer
}

// reply is what the modem said between one command and the next, and when.
type reply struct{ entries []Entry }

// NewPlayer makes a modem of a recording. What it said before the first command
// is said at once.
func NewPlayer(t Transcript) *Player {
	p := &Player{answers: map[string][]reply{}, asked: map[string]int{}}
	p.cond = sync.NewCond(&p.mu)
	command, since := "", time.Duration(0)
	var heard []byte
	for _, e := range t.Entries {
		if e.Out {
			heard = append(heard, e.Bytes...)
			for {
				c, rest, ok := cut(heard)
				if !ok {
					break
				}
				heard = rest
				command, since = c, e.At
				p.answers[c] = append(p.answers[c], reply{})
			}
			continue
		}
		if command == "" {
			p.out = append(p.out, e.Bytes...)
			continue
		}
		all := p.answers[command]
		last := &all[len(all)-1]
		last.entries = append(last.entries, Entry{At: e.At - since, Bytes: e.Bytes})
	}
	return p
}

// cut takes one command from what was heard: up to its CR, a PDU up to Ctrl-Z,
// or ESC alone.
func cut(b []byte) (command string, rest []byte, ok bool) {
	b = bytes.TrimLeft(b, "\n")
	at := bytes.IndexAny(b, "\r\x1a\x1b")
	if at < 0 {
		return "", b, false
	}
	if b[at] == 0x1a {
		return "\x1a", b[at+1:], true // whatever the text
	}
	return string(b[:at+1]), b[at+1:], true
}

// Unknown are the commands that the recording has no answer to; they got ERROR.
func (p *Player) Unknown() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.unknown)
}

// Write hears commands.
func (p *Player) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, io.ErrClosedPipe
	}
	p.heard = append(p.heard, b...)
	for {
		c, rest, ok := cut(p.heard)
		if !ok {
			return len(b), nil
		}
		p.heard = rest
		p.answer(c)
	}
}

func (p *Player) answer(c string) {
	all := p.answers[c]
	if len(all) == 0 {
		if len(c) > 1 { // a bare CR or ESC needs none
			p.unknown = append(p.unknown, c[:len(c)-1])
			p.say("\r\nERROR\r\n")
		}
		return
	}
	n := p.asked[c]
	p.asked[c]++
	for _, e := range all[min(n, len(all)-1)].entries {
		text := string(e.Bytes)
		p.timers = append(p.timers, time.AfterFunc(e.At, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.say(text)
		}))
	}
}

func (p *Player) say(text string) {
	p.out = append(p.out, text...)
	p.cond.Broadcast()
}

// Read waits for what the modem says.
func (p *Player) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.out) == 0 && !p.closed {
		p.cond.Wait()
	}
	if p.closed {
		return 0, io.EOF
	}
	n := copy(b, p.out)
	p.out = p.out[n:]
	return n, nil
}

// Close ends it; a Player is used once.
func (p *Player) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, t := range p.timers {
		t.Stop()
	}
	p.cond.Broadcast()
	return nil
}

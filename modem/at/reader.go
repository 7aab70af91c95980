package at

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// maxLine is longer than any line that a modem means; a longer one is noise
// and is cut, so that noise can't grow without bound.
const maxLine = 4096

// Token is what the reader makes of the byte stream: one line, one prompt, or
// the end of the port.
type Token struct {
	Line   string
	Prompt bool
	Last   bool  // of a prompt: nothing had come after it when it was read
	Err    error // the port is gone; nothing comes after it
}

// framer cuts bytes into tokens. Lines end with CR, LF, or any row of them;
// blank lines vanish, and so do NULs and other control characters, which
// flow control, echoed ESC and Ctrl-Z, and line noise leave behind. What a
// +CUSD has in quotes may hold both, see lineEnd.
type framer struct {
	line     []byte
	cut      bool         // the rest of a line that was too long
	text     bool         // line is a +CUSD with an opening quote
	piece    int          // where its last line on the wire begins; 0: there is one so far
	quoteEnd time.Time    // when an open quote is given up, if piece > 0
	await    *atomic.Bool // set by the owner while a prompt may come
	out      func(Token)
}

func (f *framer) feed(b []byte) {
	if f.overdue() {
		f.giveUpQuote()
	}
	for i, c := range b {
		switch {
		case c == '\r' || c == '\n':
			f.lineEnd()
			f.cut = false
		case f.cut, !f.text && (c < ' ' || c == 0x7f):
		case len(f.line) == 0 && c == ' ':
		case len(f.line) == 0 && c == '>' && f.await.CompareAndSwap(true, false):
			// At once: the space after it may come late or never.
			f.out(Token{Prompt: true, Last: i == len(b)-1})
		default:
			f.text = f.text || f.quotes(c)
			f.line = append(f.line, c)
			if f.piece > 0 && len(f.line) == maxQuoted {
				f.giveUpQuote()
			}
			if len(f.line) == maxLine {
				f.flush()
				f.cut = true
			}
		}
	}
}

func (f *framer) flush() {
	n := len(f.line)
	for n > 0 && f.line[n-1] == ' ' {
		n--
	}
	if n > 0 {
		f.out(Token{Line: string(f.line[:n])})
	}
	f.line, f.text, f.piece = f.line[:0], false, 0
}

// read frames everything that comes until the port is gone or closed. It
// decides nothing: whatever a line means is the owner's to say, in order.
func (p *Port) read() {
	defer close(p.done)
	f := framer{line: make([]byte, 0, 512), await: &p.await, out: p.deliver}
	buf := make([]byte, 1024)
	empty := 0
	for {
		n, err := p.rwc.Read(buf)
		f.feed(buf[:n])
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errHangUp
			}
			p.deliver(Token{Err: err})
			return
		}
		if n > 0 {
			empty = 0
			continue
		}
		// A transport with a read time-out returns nothing now and then; one
		// that does so without waiting must not burn the processor.
		if empty++; empty > 10 {
			select {
			case <-p.closed:
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

func (p *Port) deliver(t Token) {
	select {
	case p.tokens <- t:
	case <-p.closed:
	}
}

package at

import (
	"bytes"
	"strings"
	"time"
)

// Networks write line ends into the texts of their USSD answers, and modems
// pass them on as they are. So the line of a +CUSD goes on to its closing
// quote, and within the quotes control characters are letters: that is how the
// default alphabet has $ and @.

const (
	quoteLimit = 2 * time.Second // from the first line to the closing quote
	maxQuoted  = 1024            // more than 182 characters in any coding
)

var quotedPrefix = []byte("+CUSD:")

// quotes tells whether the line holds an opening quote now.
func (f *framer) quotes(c byte) bool {
	return c == '"' && bytes.HasPrefix(f.line, quotedPrefix)
}

// lineEnd takes the end of a line of the wire, which is not that of the line
// if a quote is open.
func (f *framer) lineEnd() {
	piece := f.line[f.piece:]
	switch {
	case f.piece > 0 && len(piece) > 0 && neverText(string(piece)):
		f.piece = len(f.line)
		f.giveUpQuote()
	case !f.text || closed(f.line):
		f.flush()
	case len(piece) == 0: // a blank one
	default:
		if f.piece == 0 {
			f.quoteEnd = time.Now().Add(quoteLimit)
		}
		f.line = append(f.line, '\n')
		f.piece = len(f.line)
	}
}

// closed tells whether the line of a +CUSD is complete: behind its last quote
// stands the coding or nothing.
func closed(line []byte) bool {
	first, last := bytes.IndexByte(line, '"'), bytes.LastIndexByte(line, '"')
	if last == first {
		return false
	}
	rest := bytes.TrimLeft(line[last+1:], "\x00 ")
	if len(rest) == 0 {
		return bytes.Count(line, []byte{'"'})%2 == 0
	}
	return rest[0] == ',' && len(bytes.Trim(rest, ", 0123456789\x00")) == 0
}

// neverText knows lines that no network writes: the closing quote got lost.
func neverText(line string) bool {
	return announced(line) || strings.HasPrefix(line, "+CMS ERROR:") || strings.HasPrefix(line, "+CME ERROR:")
}

// overdue tells whether an open quote was not closed in time: it must not
// swallow the answers to commands.
func (f *framer) overdue() bool { return f.piece > 0 && time.Now().After(f.quoteEnd) }

// giveUpQuote hands over what was taken for one line as the lines that it was
// on the wire. What has not ended yet goes on as a line of its own.
func (f *framer) giveUpQuote() {
	whole := append([]byte(nil), f.line...)
	end := f.piece
	f.line, f.piece, f.text = f.line[:0], 0, false
	for _, piece := range bytes.Split(whole[:end], []byte{'\n'}) {
		f.line = append(f.line[:0], printable(piece)...)
		f.flush()
	}
	f.line = append(f.line[:0], bytes.TrimLeft(printable(whole[end:]), " ")...)
}

func printable(b []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, b)
}

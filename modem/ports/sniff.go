package ports

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// Reasons why what a port says on its own makes it no AT port.
var (
	errGPS   = errors.New("it is a GPS port: it streams positions")
	errNoise = errors.New("it speaks a binary protocol, not AT")
)

// sniffer listens along while a port is asked, and closes it as soon as what
// comes can't be a modem's: nothing more is written to it then.
type sniffer struct {
	io.ReadWriteCloser

	mu        sync.Mutex
	line      []byte
	total     int
	binary    int
	positions int
	answered  bool
	verdict   error
	closed    bool
}

// Bounds of patience. Line noise of a board that is just starting is short.
const (
	mostBinary    = 32
	mostPositions = 2
	longestLine   = 256
)

func (s *sniffer) Read(p []byte) (int, error) {
	n, err := s.ReadWriteCloser.Read(p)
	if s.hear(p[:n]) {
		s.Close()
		return 0, s.found()
	}
	return n, err
}

// hear tells whether enough was heard to give the port up.
func (s *sniffer) hear(b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.verdict != nil {
		return true
	}
	for _, c := range b {
		s.total++
		switch {
		case c == '\r' || c == '\n':
			s.endLine()
		case c == 0 || c == 0x11 || c == 0x13 || c == 0x1a || c == 0x1b || c == '\t' || c == 0x08:
			// flow control and echoes
		case c < ' ' || c >= 0x7f:
			s.binary++
		default:
			if len(s.line) < longestLine {
				s.line = append(s.line, c)
			}
		}
	}
	switch {
	case s.answered:
	case s.positions >= mostPositions:
		s.verdict = errGPS
	case s.binary >= mostBinary && s.binary*4 > s.total:
		s.verdict = errNoise
	}
	return s.verdict != nil
}

func (s *sniffer) endLine() {
	line := bytes.TrimSpace(s.line)
	s.line = s.line[:0]
	switch {
	case position(line):
		s.positions++
	case bytes.Equal(line, []byte("OK")) || bytes.Contains(line, []byte("ERROR")):
		s.answered = true // a modem may stream positions on its AT port too
	}
}

// position knows a sentence of NMEA 0183: $GPGGA,… and its kind.
func position(line []byte) bool {
	if len(line) < 7 || line[0] != '$' && line[0] != '!' || line[6] != ',' {
		return false
	}
	for _, c := range line[1:6] {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func (s *sniffer) found() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.verdict
}

// Close may come from the reader, from the owner, and from the end of the
// context: the first closes.
func (s *sniffer) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if !first {
		return nil
	}
	return s.ReadWriteCloser.Close()
}

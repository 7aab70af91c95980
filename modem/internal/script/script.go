// Package script plays a modem in tests: both ends of a wire in memory, and a
// conversation in which each step has a deadline. Everything works inside a
// synctest bubble.
package script

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// Wire is one end of a serial line in memory. Writes don't block unless Block
// was called on the other end; Close wakes everybody.
type Wire struct {
	in, out *half
}

// NewWire returns the two ends of a line.
func NewWire() (a, b *Wire) {
	x, y := newHalf(), newHalf()
	return &Wire{x, y}, &Wire{y, x}
}

type half struct {
	mu      sync.Mutex
	cond    *sync.Cond
	data    []byte
	writes  []string // as they were written
	blocked bool
	closed  error
}

func newHalf() *half {
	h := &half{}
	h.cond = sync.NewCond(&h.mu)
	return h
}

// ErrUnplugged is what the other end reads and writes after Unplug.
var ErrUnplugged = errors.New("input/output error")

func (w *Wire) Read(p []byte) (int, error) {
	h := w.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.data) == 0 && h.closed == nil {
		h.cond.Wait()
	}
	if len(h.data) == 0 {
		return 0, h.closed
	}
	n := copy(p, h.data)
	h.data = h.data[n:]
	return n, nil
}

func (w *Wire) Write(p []byte) (int, error) {
	h := w.out
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.blocked && h.closed == nil {
		h.cond.Wait()
	}
	if h.closed != nil {
		return 0, h.closed
	}
	h.data = append(h.data, p...)
	h.writes = append(h.writes, string(p))
	h.cond.Broadcast()
	return len(p), nil
}

// Close ends both directions.
func (w *Wire) Close() error {
	w.in.end(io.ErrClosedPipe)
	w.out.end(io.ErrClosedPipe)
	return nil
}

// Unplug ends both directions as pulling the cable does.
func (w *Wire) Unplug() {
	w.in.end(ErrUnplugged)
	w.out.end(ErrUnplugged)
}

// Block makes the other end's writes hang.
func (w *Wire) Block() {
	w.in.mu.Lock()
	w.in.blocked = true
	w.in.mu.Unlock()
}

// Writes are the other end's writes, each on its own.
func (w *Wire) Writes() []string {
	w.in.mu.Lock()
	defer w.in.mu.Unlock()
	return append([]string(nil), w.in.writes...)
}

func (h *half) end(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed == nil {
		h.closed = err
	}
	h.cond.Broadcast()
}

// Modem plays the modem at one end of a wire. What it hears is cut into what
// modems act on: a command up to its CR, a PDU up to its Ctrl-Z (shown as ␚),
// ESC (␛).
type Modem struct {
	t    testing.TB
	wire *Wire
	said chan string
	end  chan struct{}

	mu      sync.Mutex
	answers func(heard string) (answer string, ok bool)
}

// Play starts a modem at its end of a wire.
func Play(t testing.TB, wire *Wire) *Modem {
	m := &Modem{t: t, wire: wire, said: make(chan string, 1000), end: make(chan struct{})}
	go m.listen()
	return m
}

// Answer makes the modem answer by itself what f knows; the rest goes to Hear.
func (m *Modem) Answer(f func(heard string) (answer string, ok bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers = f
}

func (m *Modem) listen() {
	defer close(m.end)
	var line strings.Builder
	buf := make([]byte, 256)
	for {
		n, err := m.wire.Read(buf)
		for _, c := range buf[:n] {
			switch c {
			case '\r':
				if line.Len() > 0 {
					m.heard(line.String())
				}
				line.Reset()
			case 0x1a:
				m.heard(line.String() + "␚")
				line.Reset()
			case 0x1b:
				line.Reset()
				m.heard("␛")
			default:
				line.WriteByte(c)
			}
		}
		if err != nil {
			return
		}
	}
}

func (m *Modem) heard(s string) {
	m.t.Logf("→ %s", s)
	m.mu.Lock()
	answers := m.answers
	m.mu.Unlock()
	if answers != nil {
		if answer, ok := answers(s); ok {
			m.Say(answer)
			return
		}
	}
	m.said <- s
}

// deadline of each step of a conversation, in the bubble's time
const deadline = 10 * time.Minute

// Hear waits for the next thing that the other side says, which must be want.
func (m *Modem) Hear(want string) {
	m.t.Helper()
	if got := m.Next(); got != want {
		m.t.Fatalf("→ %q, want %q", got, want)
	}
}

// Next waits for the next thing that the other side says.
func (m *Modem) Next() string {
	m.t.Helper()
	select {
	case got := <-m.said:
		return got
	case <-time.After(deadline):
		m.t.Fatal("→ nothing")
		return ""
	}
}

// Quiet fails if anything was said that nobody heard yet.
func (m *Modem) Quiet(d time.Duration) {
	m.t.Helper()
	select {
	case got := <-m.said:
		m.t.Fatalf("→ %q, want silence", got)
	case <-time.After(d):
	}
}

// Say writes to the other side.
func (m *Modem) Say(s string) {
	m.t.Logf("← %q", s)
	if _, err := m.wire.Write([]byte(s)); err != nil {
		m.t.Logf("← failed: %v", err)
	}
}

// SayLines writes lines as modems do, each between two line ends, all at once:
// what the other side makes of the first comes after the last.
func (m *Modem) SayLines(lines ...string) {
	m.Say("\r\n" + strings.Join(lines, "\r\n\r\n") + "\r\n")
}

// Wire is the modem's end.
func (m *Modem) Wire() *Wire { return m.wire }

// Done is closed when the modem hears no more.
func (m *Modem) Done() <-chan struct{} { return m.end }

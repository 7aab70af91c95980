package sim

import (
	"fmt"
	"io"
	"io/fs"
	"syscall"
)

// Pipe opens the modem's tty in memory. It works in virtual time. Only one may
// have it open; the pipe of a second, or of an unplugged modem, fails at every
// call. After Close it may be opened again.
func (m *Modem) Pipe() io.ReadWriteCloser {
	p, err := m.OpenPipe()
	if err != nil {
		return broken{err}
	}
	return p
}

// OpenPipe is Pipe that fails as opening a port does: with fs.ErrNotExist if
// the modem is not plugged in, with EBUSY if someone else has it.
func (m *Modem) OpenPipe() (io.ReadWriteCloser, error) { return m.OpenPipeOf(m.profile.AT()) }

// OpenPipeOf is OpenPipe of another of the modem's ports, by the number of its
// USB interface.
func (m *Modem) OpenPipeOf(number int) (io.ReadWriteCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.ttyOf(number)
	if !m.plugged || t == nil {
		return nil, &fs.PathError{Op: "open", Path: m.name, Err: syscall.ENOENT}
	}
	if t.port != nil {
		return nil, &fs.PathError{Op: "open", Path: m.name, Err: syscall.EBUSY}
	}
	p := &pipe{m: m, t: t}
	t.port = p
	m.stream(t)
	return p, nil
}

// pipe is one opening of a modem's tty. Its fields are guarded by m.mu.
type pipe struct {
	m      *Modem
	t      *tty
	out    []byte // said by the modem, not yet read
	closed bool
	gone   bool // unplugged
}

func (p *pipe) send(b []byte) {
	p.out = append(p.out, b...)
	p.m.cond.Broadcast()
}

func (p *pipe) hangUp() {
	p.gone = true
	p.m.cond.Broadcast()
}

// Read waits until the modem says something. Of an unplugged modem it still
// gives what was said before, then EIO.
func (p *pipe) Read(b []byte) (int, error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	for !p.closed && !p.gone && len(p.out) == 0 {
		p.m.cond.Wait()
	}
	switch {
	case p.closed:
		return 0, fs.ErrClosed
	case len(p.out) == 0:
		return 0, &fs.PathError{Op: "read", Path: p.m.name, Err: syscall.EIO}
	}
	n := copy(b, p.out)
	p.out = p.out[n:]
	return n, nil
}

// Write returns when the modem has heard it all.
func (p *pipe) Write(b []byte) (int, error) {
	p.m.mu.Lock()
	for p.m.faults.Block && !p.closed && !p.gone {
		p.m.cond.Wait()
	}
	closed, gone := p.closed, p.gone
	p.m.mu.Unlock()
	switch {
	case closed:
		return 0, fs.ErrClosed
	case gone:
		return 0, &fs.PathError{Op: "write", Path: p.m.name, Err: syscall.EIO}
	}
	p.m.input(p.t, b)
	return len(b), nil
}

func (p *pipe) Close() error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.closed {
		return fs.ErrClosed
	}
	p.closed = true
	if p.t.port == p {
		p.t.port = nil
		p.m.reopened()
	}
	p.m.cond.Broadcast()
	return nil
}

// broken is the pipe of someone who could not open it.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error)  { return 0, b.err }
func (b broken) Write([]byte) (int, error) { return 0, b.err }
func (b broken) Close() error              { return fmt.Errorf("close: %w", b.err) }

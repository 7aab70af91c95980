package sim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// pts is a modem's pseudo-terminal. The simulator reads and writes the master,
// and holds the slave open as well: a program that closes it then hangs
// nothing up, and settings of a program that was killed can be undone.
type pts struct {
	m      *Modem
	t      *tty
	link   string
	path   string // /dev/pts/N
	master *os.File
	slave  *os.File
	rawOut syscallConn
	rawTTY syscallConn
	gone   chan struct{}
	ended  sync.WaitGroup
	open   atomic.Bool // a program has the slave open

	mu      sync.Mutex
	pending []byte        // could not be written yet
	more    chan struct{} // pending has something
}

// syscallConn is a descriptor that is used without taking it from the poller.
type syscallConn interface {
	Control(f func(fd uintptr)) error
	Write(f func(fd uintptr) (done bool)) error
}

// OpenPTY puts the modem's tty on a new pseudo-terminal. If link is not empty
// it becomes a symbolic link to it and is what is returned.
func (m *Modem) OpenPTY(link string) (path string, err error) {
	return m.OpenPTYOf(m.profile.AT(), link)
}

// OpenPTYOf is OpenPTY of another of the modem's ports, by the number of its
// USB interface.
func (m *Modem) OpenPTYOf(number int, link string) (path string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.plugged {
		return "", fmt.Errorf("modem %s is unplugged", m.name)
	}
	t := m.ttyOf(number)
	if t == nil {
		return "", fmt.Errorf("modem %s has no serial port at interface %d", m.name, number)
	}
	if t.pts != nil {
		return "", fmt.Errorf("modem %s has a pseudo-terminal already", m.name)
	}
	if err := m.openPTS(t, link, ""); err != nil {
		return "", err
	}
	m.flush()
	if link != "" {
		return link, nil
	}
	return t.pts.path, nil
}

// Port returns where the modem's pseudo-terminal is just now, "" if nowhere.
func (m *Modem) Port() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.at().pts; p != nil && m.plugged {
		return p.path
	}
	return ""
}

// Link returns the link that OpenPTY made, where it is just now; "" if there
// is none.
func (m *Modem) Link() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.at().pts; p != nil && m.plugged {
		return p.link
	}
	return ""
}

// openPTS opens a pseudo-terminal whose number is not that of last, for a
// modem that is plugged in again seldom gets the old one. Called with m.mu held.
func (m *Modem) openPTS(t *tty, link, last string) error {
	master, slave, err := openPTY()
	if err != nil {
		return fmt.Errorf("no pseudo-terminal for modem %s: %w", m.name, err)
	}
	if slave.Name() == last {
		firstMaster, firstSlave := master, slave
		master, slave, err = openPTY()
		firstSlave.Close()
		firstMaster.Close()
		if err != nil {
			return fmt.Errorf("no pseudo-terminal for modem %s: %w", m.name, err)
		}
	}
	p := &pts{m: m, t: t, link: link, path: slave.Name(), master: master, slave: slave,
		gone: make(chan struct{}), more: make(chan struct{}, 1)}
	if err := p.start(); err != nil {
		slave.Close()
		master.Close()
		return fmt.Errorf("pseudo-terminal %s of modem %s: %w", p.path, m.name, err)
	}
	t.pts, t.port = p, p
	p.block(m.faults.Block)
	m.stream(t)
	return nil
}

// openPTY is pty.Open with a master that Close wakes from a Read: pty.Open
// leaves it in blocking mode.
func openPTY() (master, slave *os.File, err error) {
	blocking, slave, err := pty.Open()
	if err != nil {
		return nil, nil, err
	}
	defer blocking.Close()
	fd, err := unix.FcntlInt(blocking.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		slave.Close()
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd), blocking.Name()), slave, nil
}

func (p *pts) start() error {
	var err error
	if p.rawOut, err = p.master.SyscallConn(); err != nil {
		return err
	}
	if p.rawTTY, err = p.slave.SyscallConn(); err != nil {
		return err
	}
	if err := p.raw(); err != nil {
		return err
	}
	if err := p.m.net.ttys.add(p); err != nil {
		return err
	}
	if p.link != "" {
		if err := relink(p.path, p.link); err != nil {
			p.m.net.ttys.remove(p)
			return err
		}
	}
	p.ended.Add(2)
	go p.read()
	go p.write()
	return nil
}

// relink points the link to the path, whatever it pointed to before.
func relink(path, link string) error {
	next := filepath.Join(filepath.Dir(link), "."+filepath.Base(link)+".new")
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(path, next); err != nil {
		return err
	}
	return os.Rename(next, link)
}

// raw takes line editing, echo and flow control off, as a tty is that nobody
// has configured.
func (p *pts) raw() error {
	var result error
	err := p.rawTTY.Control(func(fd uintptr) {
		t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if err != nil {
			result = err
			return
		}
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		result = unix.IoctlSetTermios(int(fd), unix.TCSETS, t)
	})
	return errors.Join(err, result)
}

// read passes on what programs write to the slave.
func (p *pts) read() {
	defer p.ended.Done()
	b := make([]byte, 4096)
	for {
		n, err := p.master.Read(b)
		if n > 0 {
			p.open.Store(true) // whoever writes has it open, even if the watch does not know yet
			p.m.input(p.t, b[:n])
		}
		if err != nil {
			return
		}
	}
}

// send writes what the slave's buffer has room for and leaves the rest to the
// writer. What is said while no program has the slave open is lost.
func (p *pts) send(b []byte) {
	if !p.open.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) == 0 {
		// Not rawOut.Write: the writer may be in it, waiting for p.mu. A closed
		// master ends this with an error, which the reader sees too.
		_ = p.rawOut.Control(func(fd uintptr) {
			n, _ := unix.Write(int(fd), b)
			b = b[max(n, 0):]
		})
	}
	if len(b) == 0 {
		return
	}
	p.pending = append(p.pending, b...)
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// write is the writer: it waits for room in the slave's buffer.
func (p *pts) write() {
	defer p.ended.Done()
	for {
		select {
		case <-p.more:
		case <-p.gone:
			return
		}
		err := p.rawOut.Write(func(fd uintptr) bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.pending) == 0 {
				return true
			}
			n, err := unix.Write(int(fd), p.pending)
			p.pending = p.pending[max(n, 0):]
			return len(p.pending) == 0 || err != nil && err != unix.EAGAIN
		})
		if err != nil {
			return
		}
	}
}

// block makes writes to the slave wait, or lets them go on.
func (p *pts) block(on bool) {
	flow := unix.TCOON
	if on {
		flow = unix.TCOOFF
	}
	// It fails for a terminal that is gone, where nobody writes any more.
	_ = p.rawTTY.Control(func(fd uintptr) { _ = unix.IoctlSetInt(int(fd), unix.TCXONC, flow) })
}

// opened and closed are told by the watch.
func (p *pts) opened() { p.open.Store(true) }

// closed runs after a program has closed the slave. If it was the last one,
// what it left behind is undone: settings, exclusive use (which a killed
// program does not give back), and what it has not read.
func (p *pts) closed() {
	if p.inUse() {
		return
	}
	p.open.Store(false)
	p.mu.Lock()
	p.pending = nil
	p.mu.Unlock()
	_ = p.rawTTY.Control(func(fd uintptr) {
		_ = unix.IoctlSetInt(int(fd), unix.TCFLSH, unix.TCIFLUSH)
		_ = unix.IoctlSetInt(int(fd), unix.TIOCNXCL, 0)
	})
	_ = p.raw()
	if p.inUse() { // opened in between: the watch will say so, but not take it back
		p.open.Store(true)
	}
}

// hangUp ends the port's use; close does what takes time. Called with m.mu held.
func (p *pts) hangUp() {
	if p.link != "" {
		if to, err := os.Readlink(p.link); err == nil && to == p.path {
			_ = os.Remove(p.link)
		}
	}
}

// close makes the pseudo-terminal vanish: whoever has it open gets EOF or EIO.
// Called without m.mu.
func (p *pts) close() {
	p.mu.Lock()
	select {
	case <-p.gone:
		p.mu.Unlock()
		p.ended.Wait()
		return
	default:
		close(p.gone)
	}
	p.mu.Unlock()
	p.m.net.ttys.remove(p)
	p.master.Close()
	p.slave.Close()
	p.ended.Wait()
}

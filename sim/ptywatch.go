package sim

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ttyWatch tells the pseudo-terminals of a network when programs open and
// close them. It starts with the first one.
type ttyWatch struct {
	mu    sync.Mutex
	file  *os.File // of inotify
	by    map[int32]*pts
	ended chan struct{}
}

func (w *ttyWatch) add(p *pts) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
		if err != nil {
			return fmt.Errorf("inotify: %w", err)
		}
		w.file = os.NewFile(uintptr(fd), "inotify")
		w.by = map[int32]*pts{}
		w.ended = make(chan struct{})
		go w.run(w.file, w.ended)
	}
	var wd int
	var err error
	if cerr := w.control(func(fd int) {
		wd, err = unix.InotifyAddWatch(fd, p.path, unix.IN_OPEN|unix.IN_CLOSE)
	}); cerr != nil {
		return cerr
	}
	if err != nil {
		return fmt.Errorf("inotify: %w", err)
	}
	w.by[int32(wd)] = p
	return nil
}

func (w *ttyWatch) control(f func(fd int)) error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) })
}

func (w *ttyWatch) remove(p *pts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for wd, q := range w.by {
		if q == p {
			delete(w.by, wd)
			// It vanishes with the terminal in any case.
			_ = w.control(func(fd int) { _, _ = unix.InotifyRmWatch(fd, uint32(wd)) })
		}
	}
}

func (w *ttyWatch) run(file *os.File, ended chan struct{}) {
	defer close(ended)
	b := make([]byte, 4096)
	for {
		n, err := file.Read(b)
		if err != nil {
			return
		}
		for e := b[:n]; len(e) >= unix.SizeofInotifyEvent; {
			wd := int32(binary.NativeEndian.Uint32(e))
			mask := binary.NativeEndian.Uint32(e[4:])
			size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(e[12:]))
			e = e[min(size, len(e)):]
			w.mu.Lock()
			p := w.by[wd]
			w.mu.Unlock()
			if p == nil {
				continue
			}
			if mask&unix.IN_OPEN != 0 {
				p.opened()
			}
			if mask&unix.IN_CLOSE != 0 {
				p.closed()
				p.m.portClosed()
			}
		}
	}
}

func (w *ttyWatch) close() {
	w.mu.Lock()
	file, ended := w.file, w.ended
	w.file = nil
	w.mu.Unlock()
	if file != nil {
		file.Close()
		<-ended
	}
}

// inUse tells whether any process that we may look at has the slave open,
// besides our own descriptor. Counting the watch's events would not do: equal
// ones that follow each other are told as one.
func (p *pts) inUse() bool {
	var tty unix.Stat_t
	var own string
	_ = p.rawTTY.Control(func(fd uintptr) {
		_ = unix.Fstat(int(fd), &tty)
		own = strconv.Itoa(int(fd))
	})
	self, _ := os.Readlink("/proc/self/exe")
	processes, _ := os.ReadDir("/proc")
	for _, process := range processes {
		if name := process.Name(); strings.Trim(name, "0123456789") != "" {
			continue
		}
		dir := filepath.Join("/proc", process.Name(), "fd")
		descriptors, err := os.ReadDir(dir)
		if err != nil {
			continue // not ours, or gone
		}
		for _, d := range descriptors {
			name := filepath.Join(dir, d.Name())
			if to, err := os.Readlink(name); err != nil || to != p.path {
				continue
			}
			// Ours, or that of a program which we are just starting: until it
			// becomes one it is a copy of ourselves.
			if exe, _ := os.Readlink(filepath.Join("/proc", process.Name(), "exe")); d.Name() == own && exe == self {
				continue
			}
			// Containers may have other terminals of the same name.
			var other unix.Stat_t
			if unix.Stat(name, &other) == nil && other.Dev == tty.Dev && other.Ino == tty.Ino {
				return true
			}
		}
	}
	return false
}

package ports

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatewayd/modem"
	"gatewayd/modem/internal/script"
	"gatewayd/sim"
)

// desk is what the ports of a machine lead to. It notes what is opened and
// every byte that is written.
type desk struct {
	t     *testing.T
	mu    sync.Mutex
	ports map[string]func() (io.ReadWriteCloser, error)
	wrote map[string]*strings.Builder // by path; there if it was opened
	open  map[string]int              // how many have it open

	streamers sync.WaitGroup
}

func newDesk(t *testing.T) *desk {
	return &desk{t: t, ports: map[string]func() (io.ReadWriteCloser, error){}, wrote: map[string]*strings.Builder{}, open: map[string]int{}}
}

func (d *desk) put(tty string, open func() (io.ReadWriteCloser, error)) { d.ports["/dev/"+tty] = open }

// Open is an Opener.
func (d *desk) Open(path string) (io.ReadWriteCloser, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	open := d.ports[path]
	if open == nil {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	if d.wrote[path] == nil {
		d.wrote[path] = &strings.Builder{}
	}
	rwc, err := open()
	if err != nil {
		return nil, err
	}
	d.open[path]++
	return &noted{ReadWriteCloser: rwc, desk: d, path: path}, nil
}

type noted struct {
	io.ReadWriteCloser
	desk *desk
	path string
	once sync.Once
}

func (n *noted) Write(p []byte) (int, error) {
	n.desk.mu.Lock()
	n.desk.wrote[n.path].Write(p)
	n.desk.mu.Unlock()
	return n.ReadWriteCloser.Write(p)
}

func (n *noted) Close() error {
	n.once.Do(func() {
		n.desk.mu.Lock()
		n.desk.open[n.path]--
		n.desk.mu.Unlock()
	})
	return n.ReadWriteCloser.Close()
}

// written is what was written to a tty; ok is false if it was never opened.
func (d *desk) written(tty string) (text string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.wrote["/dev/"+tty]
	if b == nil {
		return "", false
	}
	return b.String(), true
}

// forbidden dials, resets, switches off, enters a PIN, or crashes an MU609.
var forbidden = regexp.MustCompile(`(?i)ATD|CFUN=|&F|ATZ|CPIN=|GETPORTMODE|CMG[SWDRL]|COPS=\?|\x1a|\n`)

// check fails if anything forbidden was written anywhere, a port was left
// open, or one was opened that is not among those that may be.
func (d *desk) check(may ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, b := range d.wrote {
		if bad := forbidden.FindString(b.String()); bad != "" {
			d.t.Errorf("%s was written %q in %q", path, bad, b.String())
		}
		if d.open[path] != 0 {
			d.t.Errorf("%s was left open", path)
		}
		if len(may) > 0 && !strings.Contains(" "+strings.Join(may, " ")+" ", " "+strings.TrimPrefix(path, "/dev/")+" ") {
			d.t.Errorf("%s was opened", path)
		}
	}
}

// sim makes the tty a simulated modem's.
func (d *desk) sim(tty string, m *sim.Modem) {
	d.put(tty, func() (io.ReadWriteCloser, error) {
		rwc, err := m.OpenPipe()
		if errors.Is(err, syscall.EBUSY) {
			err = modem.ErrBusy
		}
		return rwc, err
	})
}

// answers makes the tty one that answers what f knows.
func (d *desk) answers(tty string, f func(heard string) (string, bool)) {
	d.put(tty, func() (io.ReadWriteCloser, error) {
		ours, theirs := script.NewWire()
		script.Play(d.t, theirs).Answer(f)
		return ours, nil
	})
}

func (d *desk) mute(tty string) {
	d.answers(tty, func(string) (string, bool) { return "", true })
}

// parrot says OK to everything, as the APP ports of some modems do.
func (d *desk) parrot(tty string) {
	d.answers(tty, func(heard string) (string, bool) { return "\r\nOK\r\n", heard != "␛" })
}

// streams makes the tty say something again and again, and hear nothing.
func (d *desk) streams(tty, what string, every time.Duration) {
	d.put(tty, func() (io.ReadWriteCloser, error) {
		ours, theirs := script.NewWire()
		d.streamers.Go(func() {
			for {
				if _, err := theirs.Write([]byte(what)); err != nil {
					return
				}
				<-time.After(every)
			}
		})
		return ours, nil
	})
}

func (d *desk) fails(tty string, err error) {
	d.put(tty, func() (io.ReadWriteCloser, error) { return nil, err })
}

const (
	sentences = "$GPGSV,1,1,01,21,,,22*7D\r\n$GPRMC,,V,,,,,,,,,,N*53\r\n"
	frames    = "\x7e\x01\x00\x9f\x83\xd1\xc4\x02\x7e\xff\xfe\x80\x81\x90\xaa\x7e"
)

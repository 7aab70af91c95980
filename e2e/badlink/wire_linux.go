package badlink

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// wire is a network device whose other end is this program: packets to its far address
// come out here, are lost or late, and go back in as from there. So both ends of a connection
// are this machine's own TCP, with its own retransmissions, and neither knows.
type wire struct {
	far     string // where one dials to get to the other end, through the device
	device  *os.File
	back    net.Listener // where that comes out
	weather atomic.Pointer[Weather]
	running sync.WaitGroup
	mu      sync.Mutex
	open    map[net.Conn]bool // of back: what would end them may be lost, or too late for the device
	closed  bool
}

// openWire makes a device; that takes root.
func openWire(to string) (_ *wire, err error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	ifr, err := unix.NewIfreq("badlink%d")
	if err != nil {
		return nil, err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return nil, err
	}
	w := &wire{device: os.NewFile(uintptr(fd), "/dev/net/tun"), open: map[net.Conn]bool{}}
	w.weather.Store(&Weather{})
	// Of the addresses that are set aside for measuring networks, four of one's own.
	net4 := [4]byte{198, 18 + byte(rand.IntN(2)), byte(rand.IntN(256)), byte(4 * rand.IntN(64))}
	near := net4
	near[3]++
	if err := setUp(ifr.Name(), near); err != nil {
		w.device.Close()
		return nil, err
	}
	if w.back, err = net.Listen("tcp", fmt.Sprintf("%s:0", net.IP(near[:]))); err != nil {
		w.device.Close()
		return nil, err
	}
	far := near
	far[3]++
	w.far = fmt.Sprintf("%s:%d", net.IP(far[:]), w.back.Addr().(*net.TCPAddr).Port)
	w.running.Go(w.packets)
	w.running.Go(func() { w.accept(to) })
	return w, nil
}

// setUp gives a device an address in a network of four, and turns it on.
func setUp(device string, address [4]byte) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	for _, set := range []struct {
		what  uint
		value [4]byte
	}{{unix.SIOCSIFADDR, address}, {unix.SIOCSIFNETMASK, [4]byte{255, 255, 255, 252}}} {
		ifr, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		if err := ifr.SetInet4Addr(set.value[:]); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(s, set.what, ifr); err != nil {
			return err
		}
	}
	ifr, err := unix.NewIfreq(device)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr)
}

func (w *wire) set(weather Weather) { w.weather.Store(&weather) }

func (w *wire) close() {
	w.back.Close()
	w.device.Close()
	w.mu.Lock()
	w.closed = true
	for c := range w.open {
		c.Close()
	}
	w.mu.Unlock()
	w.running.Wait()
}

// packets returns each packet, with its addresses exchanged: that leaves its sums as they
// are.
func (w *wire) packets() {
	way := make(chan parcel, underWay)
	w.running.Go(func() {
		for p := range way {
			time.Sleep(time.Until(p.due))
			if _, err := w.device.Write(p.b); err != nil {
				continue // the device is closed, or full: a lost packet
			}
		}
	})
	defer close(way)
	for {
		b := make([]byte, 2048)
		n, err := w.device.Read(b)
		if err != nil {
			return
		}
		weather := w.weather.Load()
		if n < 20 || b[0]>>4 != 4 || rand.Float64() < weather.Loss {
			continue
		}
		for i := range 4 {
			b[12+i], b[16+i] = b[16+i], b[12+i]
		}
		select {
		case way <- parcel{b[:n], time.Now().Add(weather.Delay)}:
		default: // a full line loses packets
		}
	}
}

// accept is the other end of the line.
func (w *wire) accept(to string) {
	var open sync.WaitGroup
	defer open.Wait()
	for {
		here, err := w.back.Accept()
		if err != nil {
			return
		}
		open.Go(func() { w.join(here, to) })
	}
}

// join hands on what comes by a connection, until it ends.
func (w *wire) join(here net.Conn, to string) {
	defer here.Close()
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.open[here] = true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, here)
	}()
	there, err := net.DialTimeout("tcp", to, 5*time.Second)
	if err != nil {
		_ = here.(*net.TCPConn).SetLinger(0)
		return
	}
	var both sync.WaitGroup
	for _, c := range [][2]net.Conn{{here, there}, {there, here}} {
		both.Go(func() {
			defer c[0].Close()
			defer c[1].Close()
			_, _ = io.Copy(c[0], c[1])
		})
	}
	both.Wait()
}

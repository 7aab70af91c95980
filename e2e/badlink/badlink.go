// Package badlink is a link that fails as links of branch offices do: it is cut, it swallows
// what it is given without saying so, it is slow to the other side of the world, it loses
// every fifth packet. For tests and benchmarks: a TCP address in front of another.
package badlink

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Weather is what a link does to what it carries.
type Weather struct {
	Delay time.Duration // each way; it does not throttle
	Loss  float64       // share of packets that don't arrive at once
}

// Link is one. It begins in good weather.
type Link struct {
	front net.Listener
	to    string // where the other end is
	wire  *wire  // nil: what happens to packets is modelled

	mu      sync.Mutex
	weather Weather
	cut     bool // connections end and are refused
	silent  bool // half open: nothing arrives any more, and nobody is told
	all     map[net.Conn]bool
	closed  bool
	running sync.WaitGroup
}

// New is a link to an address. Where the system lets it, packets are real and really lost,
// on a network device of its own (Real tells); else a lost one is a wait as long as its
// retransmission takes.
func New(to string) (*Link, error) {
	w, err := openWire(to)
	if err != nil {
		w = nil
	}
	return newLink(to, w)
}

func newLink(to string, w *wire) (*Link, error) {
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{front: front, to: to, wire: w, all: map[net.Conn]bool{}}
	l.running.Go(l.accept)
	return l, nil
}

// Address is where one dials to get to the other end.
func (l *Link) Address() string { return l.front.Addr().String() }

// Real tells whether packets are lost, and not only late.
func (l *Link) Real() bool { return l.wire != nil }

// Set changes the weather from the next packet on.
func (l *Link) Set(w Weather) {
	l.mu.Lock()
	l.weather = w
	l.mu.Unlock()
	if l.wire != nil {
		l.wire.set(w)
	}
}

// Cut ends all connections and refuses new ones.
func (l *Link) Cut() {
	l.mu.Lock()
	l.cut = true
	l.mu.Unlock()
	l.drop()
}

// Swallow makes it half open: connections stay, new ones are accepted, and nothing
// arrives.
func (l *Link) Swallow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = true
}

// Heal ends a cut or a silence. Connections from before a silence end: what they have
// swallowed is lost.
func (l *Link) Heal() {
	l.mu.Lock()
	was := l.silent
	l.cut, l.silent = false, false
	l.mu.Unlock()
	if was {
		l.drop()
	}
}

// Close ends it.
func (l *Link) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.front.Close()
	l.drop()
	l.running.Wait()
	if l.wire != nil {
		l.wire.close()
	}
}

// drop ends what is open, at once and with a reset.
func (l *Link) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.all {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		c.Close()
	}
	clear(l.all)
}

// keep notes a connection; false: the link is cut.
func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut || l.closed {
		return false
	}
	l.all[c] = true
	return true
}

func (l *Link) now() (w Weather, silent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.weather, l.silent
}

func (l *Link) accept() {
	for {
		near, err := l.front.Accept()
		if err != nil {
			return
		}
		if !l.keep(near) {
			_ = near.(*net.TCPConn).SetLinger(0)
			near.Close()
			continue
		}
		l.running.Go(func() { l.carry(near) })
	}
}

// carry joins a connection with one to the other end, until either ends.
func (l *Link) carry(near net.Conn) {
	defer l.forget(near)
	if _, silent := l.now(); silent { // its greeting never arrives
		l.swallow(near)
		return
	}
	to := l.to
	if l.wire != nil {
		to = l.wire.far
	}
	far, err := net.DialTimeout("tcp", to, 30*time.Second)
	if err != nil {
		return
	}
	defer l.forget(far)
	if !l.keep(far) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(far, near) })
	both.Go(func() { l.pump(near, far) })
	both.Wait()
}

func (l *Link) forget(c net.Conn) {
	c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, c)
}

func (l *Link) swallow(c net.Conn) {
	b := make([]byte, 4096)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// segment is what one packet of TCP carries.
const segment = 1448

// What is on its way at once: as much as a fast line across the world holds.
const underWay = 8192

// parcel is what was read at once, and when it arrives.
type parcel struct {
	b   []byte
	due time.Time
}

// pump carries one direction, in order: what comes behind a packet that is late is late too.
func (l *Link) pump(to, from net.Conn) {
	way := make(chan parcel, underWay)
	var arrive sync.WaitGroup
	arrive.Go(func() {
		defer to.Close()
		defer from.Close()
		broken := false
		for p := range way {
			time.Sleep(time.Until(p.due))
			if _, silent := l.now(); silent || broken {
				continue
			}
			if _, err := to.Write(p.b); err != nil {
				broken = true
				from.Close()
			}
		}
	})
	defer arrive.Wait()
	defer close(way)
	var last time.Time
	for {
		b := make([]byte, segment)
		n, err := from.Read(b)
		if n > 0 {
			due := time.Now()
			if l.wire == nil {
				w, _ := l.now()
				due = due.Add(w.late())
			}
			if due.Before(last) {
				due = last
			}
			last = due
			way <- parcel{b[:n], due}
		}
		if err != nil {
			return
		}
	}
}

// late is how long after it was sent a packet arrives: it is sent again after two round
// trips, 200 ms at least, and each time after twice as long.
func (w Weather) late() time.Duration {
	d, again := w.Delay, max(200*time.Millisecond, 4*w.Delay)
	for range 6 {
		if rand.Float64() >= w.Loss {
			break
		}
		d += again
		again *= 2
	}
	return d
}

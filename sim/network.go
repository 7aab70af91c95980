// Package sim is a simulated phone network: one service centre (SMSC),
// handsets, and any number of strict simulated modems behind pseudo-terminals
// or in-memory pipes. What a real modem would refuse, it refuses.
//
// Two locks, taken in this order and never the other way round: a Modem's
// (interpreter, storage, radio), then the Network's (routing, handsets,
// ledger). All waiting is done by the time package, so that everything but
// the pseudo-terminals runs in virtual time inside testing/synctest.
package sim

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"sync"
	"time"
)

// NetworkOptions shape a network. The zero value is a network that answers at
// once; OnTheAir gives one that takes the time a real one takes.
type NetworkOptions struct {
	Latency  time.Duration // from Ctrl-Z to the SMSC's answer, for each part
	Jitter   time.Duration // Latency varies by up to this much either way
	Delivery time.Duration // from the SMSC to a phone, for each part
	Report   time.Duration // from the delivery of a part to its status report
	Retry    time.Duration // until the SMSC offers again what a phone could not take; 0: a minute
	Seed     uint64        // of the jitter
	SMSC     string        // the service centre's number; "": one of Country
	Country  string        // calling code by which national numbers are routed; "": 49
	Zone     *time.Location
	Keep     int    // how many ledger entries, and messages of each handset, are kept; 0: 100,000
	Base     string // path under which Handler's pages are mounted; "": /handsets/
}

// OnTheAir returns options with the times of a real network: 1.5 s ± 0.5 s
// for each part sent, 1 s to deliver it, 1 s more for its status report.
func OnTheAir() NetworkOptions {
	return NetworkOptions{
		Latency: 1500 * time.Millisecond, Jitter: 500 * time.Millisecond,
		Delivery: time.Second, Report: time.Second, Retry: 10 * time.Second,
	}
}

// Network is one simulated phone network.
type Network struct {
	opt   NetworkOptions
	clock *clock
	ttys  ttyWatch
	// closing counts pseudo-terminals that vanished by themselves.
	closing sync.WaitGroup

	mu       sync.Mutex
	rand     *rand.Rand
	modems   []*Modem
	handsets map[string]*Handset
	boxes    map[string]*mailbox // by normalised number
	fates    map[string]Fate
	ussd     map[string]USSD
	ledger   ledger
	changed  chan struct{} // closed and replaced at every change a page or a test may wait for
	closed   bool
}

// Fate is what the network has in store for a number's messages.
type Fate struct {
	CMS     int    // refused at once with this +CMS ERROR; 0: accepted
	Reports []byte // accepted and never delivered; these TP-ST values are reported, one after the other
	Silent  bool   // delivered, but no status report is ever sent
	// ReportAs is the number that status reports name instead of the one that
	// was dialled: its national form, or the one it was ported to.
	ReportAs string
}

// NewNetwork starts a network. Close ends it.
func NewNetwork(o NetworkOptions) *Network {
	if o.Country == "" {
		o.Country = "49"
	}
	if o.SMSC == "" {
		o.SMSC = "+" + o.Country + "1710000000"
	}
	if o.Zone == nil {
		// Not UTC: a time stamp whose zone is overlooked is then visibly wrong.
		o.Zone = time.FixedZone("SMSC", 2*60*60)
	}
	if o.Retry == 0 {
		o.Retry = time.Minute
	}
	if o.Keep == 0 {
		o.Keep = 100_000
	}
	if o.Base == "" {
		o.Base = "/handsets/"
	}
	o.Base = "/" + strings.Trim(o.Base, "/") + "/"
	n := &Network{
		opt:      o,
		clock:    newClock(),
		rand:     rand.New(rand.NewPCG(o.Seed, 0x5eed)),
		handsets: map[string]*Handset{},
		boxes:    map[string]*mailbox{},
		fates:    map[string]Fate{},
		ussd:     map[string]USSD{"*100#": {Text: "Balance: 10.00 EUR"}},
		changed:  make(chan struct{}),
	}
	n.ledger.keep = o.Keep
	return n
}

// AddModem plugs a new modem with its SIM into the network. Two modems of one
// name, or two SIMs of one number, are a mistake in the caller's program.
func (n *Network) AddModem(o ModemOptions) *Modem {
	n.mu.Lock()
	o = o.withDefaults(len(n.modems), n.opt)
	m := newModem(n, o)
	for _, other := range n.modems {
		if other.name == m.name {
			panic(fmt.Sprintf("sim: two modems are called %q", m.name))
		}
	}
	n.modems = append(n.modems, m)
	number := m.Number()
	if number != "" {
		if _, taken := n.boxes[number]; taken {
			panic(fmt.Sprintf("sim: the number %s exists already", number))
		}
		n.boxes[number] = &mailbox{number: number, sub: m}
	}
	n.mu.Unlock()
	m.powerOn()
	return m
}

// Modems lists the modems in the order in which they were added.
func (n *Network) Modems() []*Modem {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]*Modem(nil), n.modems...)
}

// Handset returns the handset with that number and makes it if there is none.
// It returns nil if the number is no number, or belongs to a modem.
func (n *Network) Handset(number string) *Handset {
	n.mu.Lock()
	defer n.mu.Unlock()
	number = n.normal(number)
	if number == "" {
		return nil
	}
	h, _ := n.box(number).sub.(*Handset)
	return h
}

// Handsets lists all handsets by number.
func (n *Network) Handsets() []*Handset {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []*Handset
	for _, h := range n.handsets {
		all = append(all, h)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].number < all[j].number })
	return all
}

// SetFate decides what happens to messages for a number; the zero Fate
// delivers them again.
func (n *Network) SetFate(number string, f Fate) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fates[n.normal(number)] = f
}

// SetLatency changes the time that the SMSC takes from now on.
func (n *Network) SetLatency(latency, jitter time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opt.Latency, n.opt.Jitter = latency, jitter
}

// Changed returns a channel that is closed at the next change of a handset or
// the ledger. Take it, look, and only then wait for it.
func (n *Network) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

// tell wakes everyone who waits for a change. Called with n.mu held.
func (n *Network) tell() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// Close unplugs all modems and ends everything that the network started.
func (n *Network) Close() {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		n.tell()
	}
	modems := append([]*Modem(nil), n.modems...)
	n.mu.Unlock()
	for _, m := range modems {
		m.Unplug()
	}
	n.clock.close()
	n.closing.Wait()
	n.ttys.close()
}

// latency is the time that the next part takes. Called without n.mu.
func (n *Network) latency() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := n.opt.Latency
	if n.opt.Jitter > 0 {
		d += time.Duration((n.rand.Float64()*2 - 1) * float64(n.opt.Jitter))
	}
	return max(d, 0)
}

// now is the network's time, as its time stamps give it.
func (n *Network) now() time.Time { return time.Now().In(n.opt.Zone) }

// normal brings a dialled number into the one form that routing uses:
// international with "+", or a short code. "" means that nobody could route it.
func (n *Network) normal(number string) string {
	digits := strings.TrimPrefix(number, "+")
	if digits == "" || len(digits) > 20 || strings.Trim(digits, "0123456789") != "" {
		return ""
	}
	switch {
	case digits != number:
		if len(digits) < 7 || len(digits) > 15 || digits[0] == '0' {
			return "" // no country has such numbers: a short code dialled as international, most likely
		}
		return number
	case strings.HasPrefix(digits, "00"):
		return n.normal("+" + digits[2:])
	case digits[0] == '0':
		return n.normal("+" + n.opt.Country + digits[1:])
	case len(digits) <= 8:
		return digits
	}
	return ""
}

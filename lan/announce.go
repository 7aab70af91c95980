package lan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/mdns/v2"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Announcer tells the local network the box's name and its service, by mDNS and
// DNS-SD. Another box that has the name already keeps it; this one takes the next.
// It shares port 5353 with whatever else answers there, such as avahi-daemon.
type Announcer struct {
	port  int
	log   *slog.Logger
	named func(name string)
	// For tests: where it announces, loopback included.
	interfaces func() []net.Interface
	loopback   bool

	mu      sync.Mutex
	wanted  string
	changed chan struct{} // holds one: wanted is another
}

const (
	// probeFor is how long others may take to say that a name is theirs.
	probeFor = time.Second
	// probeAgain is after which time it is looked again whether a name is one box's
	// alone: two that are switched on at once may both have found it free.
	probeAgain     = 5 * time.Minute
	probeAgainSoon = 20 * time.Second // the first time
	// maxNames bounds the search for a free one.
	maxNames = 50
)

// NewAnnouncer prepares to announce HTTPS on a port. named is told the name under
// which the box is found, "" none, each time that it changes.
func NewAnnouncer(port int, log *slog.Logger, named func(string)) *Announcer {
	return &Announcer{port: port, log: log, named: named, interfaces: interfaces, changed: make(chan struct{}, 1)}
}

// Rename has the box be found by another name, "" none.
func (a *Announcer) Rename(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wanted == name {
		return
	}
	a.wanted = name
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

func (a *Announcer) name() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.wanted
}

// Run announces until ctx ends. A network that is not there, or that does not let
// it, is waited for.
func (a *Announcer) Run(ctx context.Context) {
	var server *mdns.Conn
	var where []netip.Addr
	wanted, taken, told, again := "", "", "", time.Time{}
	soon := probeAgainSoon
	stop := func() {
		if server != nil {
			if err := server.Close(); err != nil {
				a.log.Debug("mDNS did not close", "error", err)
			}
			server = nil
		}
	}
	defer stop()
	quiet := false // that it does not work was said
	for {
		here := a.addresses()
		if w := a.name(); w != wanted || !slices.Equal(here, where) || !again.IsZero() && time.Now().After(again) {
			if w != wanted || taken == "" {
				taken = w // else it keeps the name that it has
			}
			stop()
			wanted, where, again = w, here, time.Time{}
			var err error
			if w != "" && len(here) > 0 {
				if taken, err = a.free(ctx, taken, here); err == nil {
					server, err = a.announce(taken)
				}
				again = time.Now().Add(soon + rand.N(soon/4))
				soon = probeAgain
			}
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				level := slog.LevelWarn
				if quiet {
					level = slog.LevelDebug
				}
				quiet = true
				a.log.Log(ctx, level, "the box can't be announced on the network; its addresses work all the same, and it is tried again", "error", err)
				taken, where = "", nil
			case server != nil:
				quiet = false
			}
			now := taken
			if server == nil {
				now = ""
			}
			if now != told {
				told = now
				a.tell(now, w)
			}
		}
		timer := time.NewTimer(lookAgain)
		select {
		case <-ctx.Done():
		case <-a.changed:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// tell says under which name the box is found now.
func (a *Announcer) tell(now, wanted string) {
	switch {
	case now == "":
		a.log.Info("the box is announced under no name")
	case now != wanted:
		a.log.Warn("another box on the network has this one's name; it is found by the next", "name", now+".local", "taken", wanted+".local",
			"advice", "give one of the two another name on its page Setup")
	default:
		a.log.Info("the box is announced on the network", "name", now+".local", "port", a.port)
	}
	a.named(now)
}

// addresses are those of the interfaces that it announces on.
func (a *Announcer) addresses() []netip.Addr {
	var all []netip.Addr
	for _, i := range a.interfaces() {
		list, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, one := range list {
			if p, err := netip.ParsePrefix(one.String()); err == nil {
				all = append(all, p.Addr().Unmap())
			}
		}
	}
	return all
}

// free finds a name that nobody else on the network answers to.
func (a *Announcer) free(ctx context.Context, name string, own []netip.Addr) (string, error) {
	asker, err := a.open()
	if err != nil {
		return "", err
	}
	defer asker.Close()
	for n := range maxNames {
		candidate := nth(name, n)
		limited, cancel := context.WithTimeout(ctx, probeFor)
		_, whose, err := asker.QueryAddr(limited, candidate+".local")
		cancel()
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil || slices.Contains(own, whose.WithZone("")) {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("%s.local and the %d names behind it are taken", name, maxNames)
}

// nth is the name to try when n before it are taken: gatewayd, gatewayd-2, gatewayd-3.
func nth(name string, n int) string {
	if n == 0 {
		return name
	}
	base, number, numbered := name, "", false
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		base, number, numbered = name[:i], name[i+1:], true
	}
	first, err := strconv.Atoi(number)
	if !numbered || err != nil || first < 2 || first > 10*maxNames {
		base, first = name, 1
	}
	tail := fmt.Sprintf("-%d", first+n)
	return strings.TrimRight(base[:min(len(base), 63-len(tail))], "-") + tail
}

// announce answers for a name and its service.
func (a *Announcer) announce(name string) (*mdns.Conn, error) {
	host := name + ".local"
	options := []mdns.ServerOption{mdns.WithLocalNames(host)}
	for _, service := range []string{"_https._tcp", "_gatewayd._tcp"} {
		options = append(options, mdns.WithService(mdns.ServiceInstance{
			Instance: name, Service: service, Host: host + ".", Port: uint16(a.port), Text: []mdns.TXTEntry{mdns.NewTXTString("path", "/")},
		}))
	}
	return a.open(options...)
}

// open opens both families, or that which this machine has.
func (a *Announcer) open(options ...mdns.ServerOption) (*mdns.Conn, error) {
	var p4 *ipv4.PacketConn
	var p6 *ipv6.PacketConn
	l4, err4 := listenShared("udp4", mdns.DefaultAddressIPv4)
	if err4 == nil {
		p4 = ipv4.NewPacketConn(l4)
	}
	l6, err6 := listenShared("udp6", mdns.DefaultAddressIPv6)
	if err6 == nil {
		p6 = ipv6.NewPacketConn(l6)
	}
	if err4 != nil && err6 != nil {
		return nil, errors.Join(err4, err6)
	}
	options = append(options, mdns.WithInterfaces(a.interfaces()...), mdns.WithIncludeLoopback(a.loopback),
		mdns.WithQueryInterval(probeFor/4), mdns.WithCacheRefresh(false),
		mdns.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}))
	c, err := mdns.NewServer(p4, p6, options...)
	if err != nil {
		for _, l := range []net.PacketConn{l4, l6} {
			if l != nil {
				l.Close()
			}
		}
	}
	return c, err
}

// listenShared opens a port of multicast beside others that have it.
func listenShared(network, address string) (net.PacketConn, error) {
	to, err := net.ResolveUDPAddr(network, address)
	if err != nil {
		return nil, err
	}
	c, err := net.ListenUDP(network, to) // of a multicast address: shared
	if err != nil {
		return nil, err
	}
	return c, nil
}

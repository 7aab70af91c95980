package webhook

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// The reach of an endpoint: whom it may be, and what would permit more.
const (
	byConfig = iota // public addresses, for an endpoint of the configuration
	byAPI           // the same, for one that the API made and for callbacks
	anywhere
)

// PrivateSwitch is the key of the configuration that permits private addresses to
// endpoints that the API makes, and to callback URLs.
const PrivateSwitch = "http.allow_private_webhooks"

var permits = [...]string{
	byConfig: "allow_private: true for this webhook",
	byAPI:    PrivateSwitch + ": true in the configuration",
	anywhere: "",
}

// reach is whom the endpoint may be.
func (e *endpoint) reach() int {
	switch {
	case e.kind == ofConfig && !e.is().AllowPrivate:
		return byConfig
	case e.kind != ofConfig && !e.w.o.AllowPrivate:
		return byAPI
	}
	return anywhere
}

// guard refuses to connect to anything that is not a public unicast address, or
// with private only to what nobody may ever reach. The check sees the address
// that is dialled, after the name was resolved, so a name whose answer changes
// between check and use can't slip through.
func guard(private bool, permit string) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("refused: %s is no address", address)
		}
		if isMetadata(ap.Addr()) {
			return fmt.Errorf("refused: %s is a cloud's metadata service, which gives its machine's keys to whoever asks; no setting permits it", ap.Addr())
		}
		if why := forbidden(ap.Addr()); why != "" && !private {
			return fmt.Errorf("refused: %s is %s; %s permits it", ap.Addr(), why, permit)
		}
		return nil
	}
}

// metadata are the addresses where clouds give a machine its credentials.
var metadata = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("169.254.170.2"), netip.MustParseAddr("169.254.170.23"),
	netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192"),
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd00:ec2::23"), netip.MustParseAddr("fd20:ce::254"),
}

// isMetadata reports whether a, or the IPv4 address that is inside of it, is a
// metadata service.
func isMetadata(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	if slices.Contains(metadata, a) {
		return true
	}
	if !a.Is6() {
		return false
	}
	b := a.As16()
	var inside []byte
	switch {
	case nat64.Contains(a), localNAT64.Contains(a), compatible.Contains(a), translated.Contains(a):
		inside = b[12:]
	case sixToFour.Contains(a):
		inside = b[2:6]
	case teredo.Contains(a): // it is written inverted
		inside = []byte{^b[12], ^b[13], ^b[14], ^b[15]}
	default:
		return false
	}
	return slices.Contains(metadata, netip.AddrFrom4([4]byte(inside)))
}

// reserved are the networks that a webhook on the internet can't have.
var reserved = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an address of this host"},
	{netip.MustParsePrefix("10.0.0.0/8"), "a private address"},
	{netip.MustParsePrefix("100.64.0.0/10"), "an address inside a provider's network"},
	{netip.MustParsePrefix("127.0.0.0/8"), "an address of this host"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address"}, // with the metadata services of clouds
	{netip.MustParsePrefix("172.16.0.0/12"), "a private address"},
	{netip.MustParsePrefix("192.0.0.0/24"), "a reserved address"},
	{netip.MustParsePrefix("192.0.2.0/24"), "an address for documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a reserved address"},
	{netip.MustParsePrefix("192.168.0.0/16"), "a private address"},
	{netip.MustParsePrefix("198.18.0.0/15"), "an address for tests"},
	{netip.MustParsePrefix("198.51.100.0/24"), "an address for documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "an address for documentation"},
	{netip.MustParsePrefix("224.0.0.0/3"), "a multicast or reserved address"},

	{netip.MustParsePrefix("::1/128"), "an address of this host"},
	{netip.MustParsePrefix("fc00::/7"), "a private address"}, // with a cloud's metadata service
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("2001::/23"), "a reserved address"}, // with Teredo
	{netip.MustParsePrefix("2001:db8::/32"), "an address for documentation"},
	{netip.MustParsePrefix("2002::/16"), "a 6to4 address"}, // an IPv4 address is inside
	{netip.MustParsePrefix("3fff::/20"), "an address for documentation"},
}

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96")
	localNAT64    = netip.MustParsePrefix("64:ff9b:1::/48") // its /96 in use is each network's own; the address is at the end
	compatible    = netip.MustParsePrefix("::/96")
	translated    = netip.MustParsePrefix("::ffff:0:0:0/96")
	sixToFour     = netip.MustParsePrefix("2002::/16")
	teredo        = netip.MustParsePrefix("2001::/32")
)

// forbidden says what kind of address a is when webhooks must not reach it.
func forbidden(a netip.Addr) string {
	a = a.WithZone("").Unmap()
	if nat64.Contains(a) { // networks without IPv4 reach all of it through here
		b := a.As16()
		return forbidden(netip.AddrFrom4([4]byte(b[12:])))
	}
	for _, r := range reserved {
		if r.prefix.Contains(a) {
			return r.what
		}
	}
	if a.Is6() && !globalUnicast.Contains(a) {
		return "no public address"
	}
	return ""
}

// newTransport makes what endpoints post through: no proxy of the environment, which
// would make the guard check the proxy's address instead of the receiver's. Certificates
// are valid by the gateway's time: a machine that starts in 1970 would refuse all.
func newTransport(private bool, now func() time.Time, permit string) *http.Transport {
	d := &net.Dialer{Timeout: attemptTimeout, KeepAlive: 30 * time.Second, Control: guard(private, permit)}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            d.DialContext,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, Time: now},
		TLSHandshakeTimeout:    attemptTimeout,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    parallel,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // little of the answer's body is used
	}
}

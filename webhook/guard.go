package webhook

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// guarded refuses to connect to anything that is not a public unicast address.
// The check sees the address that is dialled, after the name was resolved, so
// a name whose answer changes between check and use can't slip through.
func guarded(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("refused: %s is no address", address)
	}
	if why := forbidden(ap.Addr()); why != "" {
		return fmt.Errorf("refused: %s is %s; allow_private: true for this webhook permits it", ap.Addr(), why)
	}
	return nil
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

// newTransport makes an endpoint's own: no proxy of the environment, which
// would make the guard check the proxy's address instead of the receiver's. Certificates
// are valid by the gateway's time: a machine that starts in 1970 would refuse all.
func newTransport(private bool, now func() time.Time) *http.Transport {
	d := &net.Dialer{Timeout: attemptTimeout, KeepAlive: 30 * time.Second}
	if !private {
		d.Control = guarded
	}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            d.DialContext,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, Time: now},
		TLSHandshakeTimeout:    attemptTimeout,
		MaxIdleConnsPerHost:    parallel,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // the answer's body is not used
	}
}

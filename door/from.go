package door

import (
	"net"
	"net/http"
	"net/netip"
)

// Address is the network address that a request came from. That of whoever stands
// behind a trusted proxy the gateway has put there.
func Address(r *http.Request) string {
	from := r.RemoteAddr
	if host, _, err := net.SplitHostPort(from); err == nil {
		from = host
	}
	ip, err := netip.ParseAddr(from)
	if err != nil {
		return from
	}
	return ip.Unmap().WithZone("").String()
}

// Guesser is whose tries are counted together: an IPv4 address, or the network that one
// customer gets of IPv6, for he has as many addresses in it as he likes.
func Guesser(r *http.Request) string { return GuesserOf(Address(r)) }

// GuesserOf is Guesser of an Address.
func GuesserOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || !ip.Is6() {
		return address
	}
	net64, err := ip.Prefix(64)
	if err != nil {
		return address
	}
	return net64.String()
}

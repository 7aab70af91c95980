// Package lan is the box on its local network: a listener with a certificate of
// its own, the name that phones find it by, and the words on the console that
// lead a phone there.
package lan

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Addresses are those by which others on the network reach this machine, IPv4
// first. What belongs to containers and bridges of this machine is not among them.
func Addresses() []netip.Addr {
	var all []netip.Addr
	for _, i := range interfaces() {
		addresses, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addresses {
			prefix, err := netip.ParsePrefix(a.String())
			if ip := prefix.Addr().Unmap(); err == nil && !ip.IsLinkLocalUnicast() {
				all = append(all, ip)
			}
		}
	}
	slices.SortFunc(all, func(a, b netip.Addr) int { return a.Compare(b) }) // IPv4 before IPv6
	return slices.Compact(all)
}

// interfaces are the network interfaces that lead to others.
func interfaces() []net.Interface {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(all, func(i net.Interface) bool {
		return i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || slices.ContainsFunc(
			[]string{"docker", "veth", "br-", "virbr", "lxc", "cni", "podman"}, func(p string) bool { return strings.HasPrefix(i.Name, p) })
	})
}

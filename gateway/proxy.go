package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// behind has whoever is asked behind proxies of our own see where requests come from:
// their address takes the place of the proxy's. X-Forwarded-For is read from its end, as
// far as it was written by those that are trusted: anybody can write its beginning.
func behind(trusted []netip.Prefix, next http.Handler) http.Handler {
	if len(trusted) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			if sender := senderBehind(trusted, from.Addr().Unmap(), r.Header.Values("X-Forwarded-For")); sender != from.Addr().Unmap() {
				own := *r // the server keeps its own
				own.RemoteAddr = netip.AddrPortFrom(sender, 0).String()
				r = &own
			}
		}
		next.ServeHTTP(w, r)
	})
}

func senderBehind(trusted []netip.Prefix, from netip.Addr, forwarded []string) netip.Addr {
	ours := func(a netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a.WithZone("")) })
	}
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !ours(from) {
			break
		}
		before, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(hop), "[]"))
		if err != nil {
			break
		}
		from = before.Unmap()
	}
	return from
}

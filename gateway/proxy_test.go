package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// Where a request comes from is believed of a proxy that is trusted and of nobody else.
func TestTrustedProxies(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, one := range []struct {
		from      string
		forwarded []string
		want      string
	}{
		{"127.0.0.1:40", []string{"192.0.2.7"}, "192.0.2.7:0"},
		{"127.0.0.1:40", []string{"203.0.113.9, 192.0.2.7"}, "192.0.2.7:0"}, // the first was claimed
		{"127.0.0.1:40", []string{"203.0.113.9", "192.0.2.7, 10.1.1.1"}, "192.0.2.7:0"},
		{"127.0.0.1:40", []string{"10.1.1.1"}, "10.1.1.1:0"},
		{"127.0.0.1:40", []string{"[2001:db8::1]"}, "[2001:db8::1]:0"},
		{"[::ffff:127.0.0.1]:40", []string{"192.0.2.7"}, "192.0.2.7:0"},
		{"127.0.0.1:40", nil, "127.0.0.1:40"},
		{"127.0.0.1:40", []string{"unknown"}, "127.0.0.1:40"},
		{"127.0.0.1:40", []string{"192.0.2.7, nonsense"}, "127.0.0.1:40"},
		{"192.0.2.1:40", []string{"192.0.2.7"}, "192.0.2.1:40"}, // not ours
		{"@", []string{"192.0.2.7"}, "@"},
	} {
		for proxies, want := range map[bool]string{true: one.want, false: one.from} {
			got, list := "", trusted
			if !proxies {
				list = nil
			}
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = one.from
			r.Header["X-Forwarded-For"] = one.forwarded
			behind(list, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr })).ServeHTTP(httptest.NewRecorder(), r)
			if got != want {
				t.Errorf("%s with %q is %s, want %s", one.from, one.forwarded, got, want)
			}
		}
	}
}

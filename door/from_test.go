package door

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestGuessersOfOneNetworkCountAsOne(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1234": "192.0.2.7", "[2001:db8:1:2:3:4:5:6]:99": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:5": "fe80::/64", "[::ffff:192.0.2.7]:1": "192.0.2.7", "@": "@",
	} {
		if got := Guesser(&http.Request{RemoteAddr: remote}); got != want {
			t.Errorf("%s is %s, want %s", remote, got, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for remote, want := range map[string]string{"203.0.113.7:1234": "203.0.113.7", "[::ffff:203.0.113.7]:1": "203.0.113.7", "[fe80::1%eth0]:1": "fe80::1"} {
		q := httptest.NewRequest("GET", "/", nil)
		q.RemoteAddr = remote
		q.Header.Set("X-Forwarded-For", "198.51.100.1") // anybody may write that
		if got := Address(q); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
	if GuesserOf("2001:db8::7") != GuesserOf("2001:db8::8") || GuesserOf("198.51.100.1") == GuesserOf("198.51.100.2") {
		t.Error("whose tries are counted together")
	}
}

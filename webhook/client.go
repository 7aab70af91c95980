package webhook

import (
	"net/http"
	"time"
)

// Client is an HTTP client with the guard of this package and its patience, for
// formats whose receivers name another address to ask. It follows no redirects.
func Client(private bool, now func() time.Time) *http.Client {
	return &http.Client{
		Transport:     newTransport(private, now, permits[byAPI]),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       attemptTimeout,
	}
}

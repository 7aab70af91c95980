package api

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/door"
)

// maxListeners is how many event streams a key may have open: each costs a
// goroutine and its buffers.
const maxListeners = 2000

// tellLimits adds to an answer, whatever it will be, what the key's limits are
// and what is left of them, in the fields of draft-ietf-httpapi-ratelimit-headers-10.
func (a *API) tellLimits(c echo.Context, key *auth.Key) {
	if key.Rate == 0 && key.Quota == 0 {
		return
	}
	c.Response().Before(func() {
		use, err := a.o.Keys.Use(c.Request().Context(), key)
		if err != nil {
			a.log.Debug("the rest of a key's limits is not told", "error", err)
			return
		}
		var policy, left []string // in one line each: many clients read but the first
		tell := func(name string, l *auth.Left, window time.Duration) {
			if l == nil {
				return
			}
			policy = append(policy, fmt.Sprintf(`"%s";q=%d;w=%d;qu="messages"`, name, l.Most, seconds(window)))
			left = append(left, fmt.Sprintf(`"%s";r=%d;t=%d`, name, l.Left, seconds(l.Resets)))
		}
		// What may go at once comes back within this time.
		tell(auth.PerMinute, use.Rate, key.Window())
		tell(auth.PerDay, use.Day, 24*time.Hour)
		h := c.Response().Header()
		h.Set("RateLimit-Policy", strings.Join(policy, ", "))
		h.Set("RateLimit", strings.Join(left, ", "))
	})
}

// seconds rounds up: asking a moment too early would only be refused again.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// wrongKey is the answer to a wrong key. Guessing is hopeless; what is limited is
// how much of it has to be answered. A valid key is not asked how many wrong ones
// came from its address, for behind a proxy all addresses are one.
func (a *API) wrongKey(r *http.Request, err error) error {
	if wait := a.wrongKeys.Take(door.Guesser(r)); wait > 0 {
		p := tooManyAttempts.because("Too many wrong keys came from this address.")
		p.retry, p.cause = wait, err
		return p
	}
	return err
}

// streams counts the event streams that are open, by the principal of their key.
type streams struct {
	mu   sync.Mutex
	open map[string]int
}

// enter counts one more, until leave is called.
func (s *streams) enter(key *auth.Key) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[key.Principal] >= maxListeners {
		p := tooManyListeners.because("This key has %d event streams open.", maxListeners)
		p.retry = heartbeatEvery // by then those whose reader is gone are noticed
		return nil, p
	}
	s.open[key.Principal]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[key.Principal]--; s.open[key.Principal] == 0 {
			delete(s.open, key.Principal)
		}
	}, nil
}

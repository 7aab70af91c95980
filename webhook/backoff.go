package webhook

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	firstDelay = 5 * time.Second
	maxDelay   = 4 * time.Hour
	// giveUp is the backoff that one event is given. It is counted in delays,
	// not by the clock: a Pi's may jump by years once it hears the time.
	giveUp = 72 * time.Hour
	// longestWait bounds what a Retry-After may ask of one event, and
	// longestPause what it may ask of the whole endpoint.
	longestWait  = 24 * time.Hour
	longestPause = time.Hour
	// An answer such as 400 will hardly change: three tries, then the event
	// steps aside.
	refusalsAllowed = 3
)

// delayAfter is the backoff after so many tries: 5 s, 15 s, 45 s … 4 h, give or
// take a fifth, so that a thousand numbers don't come back in one second.
func delayAfter(tries int) time.Duration {
	d := firstDelay
	for range tries {
		if d *= 3; d >= maxDelay {
			d = maxDelay
			break
		}
	}
	return d + time.Duration((rand.Float64()-0.5)*0.4*float64(d))
}

// refusalDelay spreads the three tries over ten minutes.
func refusalDelay(refusals int) time.Duration {
	d := 2 * time.Minute
	if refusals > 1 {
		d = 8 * time.Minute
	}
	return d - time.Duration(rand.Float64()*0.1*float64(d))
}

// retryAfter reads the header of that name, 0 if there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	var d time.Duration
	if s, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(max(s, 0), int(longestWait/time.Second))) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		// Against the sender's own clock where it tells it: ours may be wrong.
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			now = date
		}
		d = at.Sub(now)
	}
	return min(max(d, 0), longestWait)
}

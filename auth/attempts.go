package auth

import (
	"sync"
	"time"
)

// Attempts limits guesses: a bucket of tries per guesser that refills slowly.
type Attempts struct {
	burst int
	every time.Duration

	mu      sync.Mutex
	buckets map[string]*bucket
	swept   time.Time // when full buckets were last forgotten
}

type bucket struct {
	tries float64
	at    time.Time
}

// maxGuessers bounds the memory. Guessers beyond it share one bucket.
const maxGuessers = 4096

// NewAttempts allows burst tries at once and one more every so often.
func NewAttempts(burst int, every time.Duration) *Attempts {
	return &Attempts{burst: burst, every: every, buckets: map[string]*bucket{}}
}

// Take takes one try of who. It returns 0, or how long to wait for the next try.
func (a *Attempts) Take(who string) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	b := a.bucket(who, now)
	if wait := b.until(1, a.every); wait > 0 {
		return wait
	}
	b.tries--
	return 0
}

// Return gives a try back: it was not a guess.
func (a *Attempts) Return(who string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.bucket(who, time.Now())
	b.tries = min(b.tries+1, float64(a.burst))
}

func (a *Attempts) bucket(who string, now time.Time) *bucket {
	b, ok := a.buckets[who]
	if !ok && len(a.buckets) >= maxGuessers {
		if now.Sub(a.swept) >= a.every { // a sweep reads them all: not for every guess
			a.forgetFull(now)
		}
		if len(a.buckets) >= maxGuessers {
			who = ""
			b, ok = a.buckets[who]
		}
	}
	if !ok {
		b = &bucket{tries: float64(a.burst), at: now}
		a.buckets[who] = b
	}
	b.refill(now, float64(a.burst), a.every)
	return b
}

// refill adds what has come since, one every so often, up to most.
func (b *bucket) refill(now time.Time, most float64, every time.Duration) {
	if d := now.Sub(b.at); d > 0 {
		b.tries = min(b.tries+float64(d)/float64(every), most)
	}
	b.at = now
}

// until is how long it takes until so many are there.
func (b *bucket) until(wanted float64, every time.Duration) time.Duration {
	return max(0, time.Duration((wanted-b.tries)*float64(every)))
}

// forgetFull drops the buckets that say nothing any more.
func (a *Attempts) forgetFull(now time.Time) {
	a.swept = now
	for who, b := range a.buckets {
		if b.refill(now, float64(a.burst), a.every); b.tries >= float64(a.burst) {
			delete(a.buckets, who)
		}
	}
}

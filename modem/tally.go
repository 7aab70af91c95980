package modem

import (
	"slices"
	"sync"
	"time"

	"gatewayd/sms"
)

// tally counts what Run's goroutine sends while others read it: how fast, and
// what came of it instead.
type tally struct {
	epoch   time.Time // where spans are counted from, by the monotonic clock
	mu      sync.Mutex
	seconds spans // of the last minute
	minutes spans // of the last hour
	errors  map[sms.Class]sms.ErrorCount
}

// spans counts in sixty spans of time, the oldest of which is counted over.
type spans struct {
	of [60]int
	at [60]int64 // the number of the span that of counts
}

func (s *spans) add(n int64) {
	i := n % 60
	if s.at[i] != n {
		s.at[i], s.of[i] = n, 0
	}
	s.of[i]++
}

func (s *spans) sum(n int64) (sum int) {
	for i, at := range s.at {
		if n-at < 60 {
			sum += s.of[i]
		}
	}
	return sum
}

// newTally begins to count. A span that counts nothing has the number 0, which
// therefore has to be long over.
func newTally() tally { return tally{epoch: time.Now().Add(-60 * time.Hour)} }

func (t *tally) span(d time.Duration) int64 { return int64(time.Since(t.epoch) / d) }

func (t *tally) sent() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seconds.add(t.span(time.Second))
	t.minutes.add(t.span(time.Minute))
}

func (t *tally) failed(e *sms.Error) {
	if e == nil || e.Class == "" || e.Class == sms.Accepted {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.errors == nil {
		t.errors = map[sms.Class]sms.ErrorCount{}
	}
	t.errors[e.Class] = sms.ErrorCount{Class: e.Class, Count: t.errors[e.Class].Count + 1, At: time.Now(), Code: e.Code, Title: e.Title}
}

func (t *tally) rate() sms.SendRate {
	t.mu.Lock()
	defer t.mu.Unlock()
	return sms.SendRate{LastMinute: t.seconds.sum(t.span(time.Second)), LastHour: t.minutes.sum(t.span(time.Minute))}
}

// classes is the order in which errors are shown: what a person must look at first.
var classes = [...]sms.Class{sms.Account, sms.Fault, sms.Permanent, sms.Later, sms.Now, sms.Unknown}

func (t *tally) byClass() []sms.ErrorCount {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []sms.ErrorCount
	for _, c := range classes {
		if e, ok := t.errors[c]; ok {
			all = append(all, e)
		}
	}
	return slices.Clip(all)
}

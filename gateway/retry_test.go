package gateway

import (
	"testing"
	"time"

	"gatewayd/modem"
	"gatewayd/queue"
	"gatewayd/sms"
)

func TestRefused(t *testing.T) {
	l := newLines(t)
	f := l.modem("a")
	days := func(n int) time.Time { return l.now.Add(time.Duration(n) * 24 * time.Hour) }
	for name, c := range map[string]struct {
		class    sms.Class
		attempts int // this one included
		waiting  queue.Waiting
		fate     queue.Fate
		after    time.Duration // at least, and up to twice as much
		by       string
	}{
		"at once again":                      {sms.Now, 1, queue.Waiting{}, queue.PartRetry, soon, ""},
		"no longer at once":                  {sms.Now, 4, queue.Waiting{}, queue.PartRetry, 2 * time.Minute, ""},
		"backoff":                            {sms.Later, 1, queue.Waiting{}, queue.PartRetry, 15 * time.Second, ""},
		"its end":                            {sms.Later, 30, queue.Waiting{}, queue.PartRetry, 15 * time.Minute, ""},
		"waited long for its first attempt":  {sms.Later, 1, queue.Waiting{Since: days(-3)}, queue.PartRetry, 15 * time.Second, ""},
		"tried for a day":                    {sms.Later, 11, queue.Waiting{Since: days(-2)}, queue.PartFailed, 0, ""},
		"tried for a day, may take longer":   {sms.Later, 11, queue.Waiting{Since: days(-2), ExpiresAt: days(1)}, queue.PartRetry, 15 * time.Minute, ""},
		"for good":                           {sms.Permanent, 1, queue.Waiting{}, queue.PartFailed, 0, ""},
		"the SIM's trouble":                  {sms.Account, 9, queue.Waiting{Since: days(-9)}, queue.PartRetry, soon, ""},
		"the modem's trouble":                {sms.Fault, 1, queue.Waiting{}, queue.PartRetry, soon, "sim-a"},
		"of the only modem, again and again": {sms.Fault, 5, queue.Waiting{RefusedBy: "sim-a "}, queue.PartRetry, 4 * time.Minute, "sim-a"},
		"of the only modem, for a day":       {sms.Fault, 50, queue.Waiting{RefusedBy: "sim-a ", Since: days(-2)}, queue.PartFailed, 0, "sim-a"},
		"two modems in trouble":              {sms.Fault, 2, queue.Waiting{RefusedBy: "sim-b "}, queue.PartFailed, 0, ""},
		"an error in form only":              {sms.Accepted, 1, queue.Waiting{}, queue.PartConfirmed, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.waiting.Row, c.waiting.Attempts = 1, c.attempts-1
			if c.waiting.Since.IsZero() {
				c.waiting.Since = l.now
			}
			f.jobs = []*job{{entry: &entry{Waiting: c.waiting}}}
			v := f.verdict(modem.Outcome{Part: &modem.Part{Row: 1, Number: 1}, Result: modem.Refused, Err: &sms.Error{Class: c.class}})
			if v.Fate != c.fate || v.RefusedBy != c.by {
				t.Errorf("fate %d, refused by %q", v.Fate, v.RefusedBy)
			}
			if c.fate != queue.PartRetry {
				return
			}
			if d := v.NotBefore.Sub(l.now); d < c.after || d > 2*c.after {
				t.Errorf("again in %v, want %v or more", d, c.after)
			}
		})
	}
}

// What never left goes at once again, but not for ever before all others.
func TestNotSent(t *testing.T) {
	l := newLines(t)
	f := l.modem("a")
	e := &entry{Waiting: queue.Waiting{Row: 1, Since: l.now}}
	f.jobs = []*job{{entry: e}}
	for e.Attempts = range 20 {
		v := f.verdict(modem.Outcome{Part: &modem.Part{Row: 1, Number: 1}, Result: modem.NotSent})
		if at := v.NotBefore; v.Fate != queue.PartRetry || at.IsZero() != (e.Attempts < soonLimit) || !at.IsZero() && at.Before(l.now.Add(soon)) {
			t.Errorf("after %d attempts: fate %d, not before %v", e.Attempts, v.Fate, at)
		}
	}
	l.now = l.now.Add(2 * patience)
	if v := f.verdict(modem.Outcome{Part: &modem.Part{Row: 1, Number: 1}, Result: modem.NotSent}); v.Fate != queue.PartFailed || v.Err == nil {
		t.Errorf("in the end: %+v", v)
	}
}

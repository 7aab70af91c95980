package gateway

import (
	"strings"
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
	elsewhere := modem.Outcome{Elsewhere: true}
	blames := modem.Outcome{Elsewhere: true, Blames: true}
	seen := func(n int, since time.Duration) refusals { return refusals{"cms-x", l.now.Add(-since), n} }
	for name, c := range map[string]struct {
		class    sms.Class
		o        modem.Outcome
		attempts int // this one included
		waiting  queue.Waiting
		before   refusals
		fate     queue.Fate
		after    time.Duration // at least, and up to twice as much
		by       string
	}{
		"at once again":                      {class: sms.Now, attempts: 1, fate: queue.PartRetry, after: soon},
		"no longer at once":                  {class: sms.Now, attempts: 4, fate: queue.PartRetry, after: 2 * time.Minute},
		"at once, but for a day":             {class: sms.Now, attempts: 11, waiting: queue.Waiting{Since: days(-2)}, fate: queue.PartFailed},
		"malformed, once":                    {class: sms.Now, o: modem.Outcome{Times: 2}, attempts: 1, fate: queue.PartRetry, after: soon},
		"malformed, twice":                   {class: sms.Now, o: modem.Outcome{Times: 2}, attempts: 2, before: seen(1, 0), fate: queue.PartFailed},
		"malformed, after other troubles":    {class: sms.Now, o: modem.Outcome{Times: 2}, attempts: 3, fate: queue.PartRetry, after: soon},
		"malformed, as for many":             {class: sms.Now, attempts: 2, before: seen(1, 0), fate: queue.PartRetry, after: soon},
		"rejected twice":                     {class: sms.Later, o: modem.Outcome{Times: 3}, attempts: 2, before: seen(1, 0), fate: queue.PartRetry, after: 30 * time.Second},
		"rejected thrice":                    {class: sms.Later, o: modem.Outcome{Times: 3}, attempts: 3, before: seen(2, 0), fate: queue.PartFailed},
		"out of order for an hour":           {class: sms.Later, o: modem.Outcome{Lasts: 6 * time.Hour}, attempts: 8, before: seen(7, time.Hour), fate: queue.PartRetry, after: 15 * time.Minute},
		"out of order for hours":             {class: sms.Later, o: modem.Outcome{Lasts: 6 * time.Hour}, attempts: 8, before: seen(7, 6*time.Hour), fate: queue.PartFailed},
		"backoff":                            {class: sms.Later, attempts: 1, fate: queue.PartRetry, after: 15 * time.Second},
		"its end":                            {class: sms.Later, attempts: 30, fate: queue.PartRetry, after: 15 * time.Minute},
		"waited long for its first attempt":  {class: sms.Later, attempts: 1, waiting: queue.Waiting{Since: days(-3)}, fate: queue.PartRetry, after: 15 * time.Second},
		"tried for a day":                    {class: sms.Later, attempts: 11, waiting: queue.Waiting{Since: days(-2)}, fate: queue.PartFailed},
		"tried for a day, may take longer":   {class: sms.Later, attempts: 11, waiting: queue.Waiting{Since: days(-2), ExpiresAt: days(1)}, fate: queue.PartRetry, after: 15 * time.Minute},
		"two SIMs, the network's trouble":    {class: sms.Later, o: blames, attempts: 2, waiting: queue.Waiting{RefusedBy: "sim-b "}, fate: queue.PartRetry, after: 30 * time.Second, by: "sim-a"},
		"for good":                           {class: sms.Permanent, attempts: 1, fate: queue.PartFailed},
		"the SIM's trouble":                  {class: sms.Account, o: modem.Outcome{After: time.Hour}, attempts: 9, waiting: queue.Waiting{Since: days(-9)}, fate: queue.PartRetry, after: time.Hour},
		"the SIM's trouble, for a day":       {class: sms.Account, attempts: 11, waiting: queue.Waiting{Since: days(-2)}, fate: queue.PartFailed},
		"the modem's trouble":                {class: sms.Fault, o: elsewhere, attempts: 1, fate: queue.PartRetry, after: soon, by: "sim-a"},
		"the modem's trouble again":          {class: sms.Fault, o: elsewhere, attempts: 2, fate: queue.PartRetry, after: 30 * time.Second, by: "sim-a"},
		"of the only modem, again and again": {class: sms.Fault, o: blames, attempts: 5, waiting: queue.Waiting{RefusedBy: "sim-a "}, fate: queue.PartRetry, after: 4 * time.Minute, by: "sim-a"},
		"of the only modem, for a day":       {class: sms.Fault, o: blames, attempts: 50, waiting: queue.Waiting{RefusedBy: "sim-a ", Since: days(-2)}, fate: queue.PartFailed, by: "sim-a"},
		"two modems blame the message":       {class: sms.Fault, o: blames, attempts: 2, waiting: queue.Waiting{RefusedBy: "sim-b "}, fate: queue.PartFailed, by: "sim-a"},
		"two modems in trouble":              {class: sms.Fault, o: elsewhere, attempts: 2, waiting: queue.Waiting{RefusedBy: "sim-b "}, fate: queue.PartRetry, after: 30 * time.Second, by: "sim-a"},
		"an error in form only":              {class: sms.Accepted, attempts: 1, fate: queue.PartConfirmed},
		"validity refused, and it has one":   {class: sms.Permanent, o: modem.Outcome{Plain: true}, attempts: 1, waiting: queue.Waiting{ExpiresAt: days(1)}, fate: queue.PartRetry},
		"validity refused, and it has none":  {class: sms.Permanent, o: modem.Outcome{Plain: true}, attempts: 1, fate: queue.PartFailed},
		"no class":                           {attempts: 1, fate: queue.PartRetry, after: 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			c.waiting.Row, c.waiting.Attempts = 1, c.attempts-1
			if c.waiting.Since.IsZero() {
				c.waiting.Since = l.now
			}
			f.jobs = []*job{{entry: &entry{Waiting: c.waiting, refusals: c.before}}}
			c.o.Part, c.o.Result = &modem.Part{Row: 1, Number: 1}, modem.Refused
			c.o.Err = &sms.Error{Code: "cms-x", Class: c.class, Detail: "It was refused."}
			v := f.verdict(c.o)
			if v.Fate != c.fate || v.RefusedBy != c.by {
				t.Errorf("fate %d, refused by %q", v.Fate, v.RefusedBy)
			}
			says := map[queue.Fate]string{queue.PartRetry: "It was refused. It is tried again", queue.PartFailed: "It was refused. It is not tried again.", queue.PartConfirmed: ""}
			if said := v.Err.Detail; !strings.HasPrefix(said, says[c.fate]) {
				t.Errorf("it says %q", said)
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

// A refusal that another SIM may not give goes there at once, if there is one.
func TestRefusedHereGoesElsewhere(t *testing.T) {
	for _, class := range []sms.Class{sms.Later, sms.Now, sms.Fault, sms.Account} {
		l := newLines(t)
		f, other := l.modem("a"), l.modem("b")
		refuse := func(w queue.Waiting) time.Duration {
			f.jobs = []*job{{entry: &entry{Waiting: w}}}
			o := modem.Outcome{Part: &modem.Part{Row: w.Row, Number: 1}, Result: modem.Refused, Elsewhere: class != sms.Account, Err: &sms.Error{Class: class}}
			return f.verdict(o).NotBefore.Sub(l.now)
		}
		if d := refuse(queue.Waiting{Row: 1, Since: l.now}); d != 0 {
			t.Errorf("%s: elsewhere after %s", class, d)
		}
		if d := refuse(queue.Waiting{Row: 1, Since: l.now, RefusedBy: "sim-b "}); d < soon {
			t.Errorf("%s: refused by all, again after %s", class, d)
		}
		if d := refuse(queue.Waiting{Row: 1, Since: l.now, Pin: "a"}); d < soon {
			t.Errorf("%s: pinned, again after %s", class, d)
		}
		other.working = false
		if d := refuse(queue.Waiting{Row: 1, Since: l.now}); d < soon {
			t.Errorf("%s: nobody else works, again after %s", class, d)
		}
	}
}

// What is said of the next attempt is what will be.
func TestSaysWhatHappensNext(t *testing.T) {
	l := newLines(t)
	f := l.modem("a")
	for _, c := range []struct {
		fate  queue.Fate
		wait  time.Duration
		until time.Duration // it expires
		want  string
	}{
		{queue.PartFailed, 0, 0, "It is not tried again."},
		{queue.PartUnconfirmed, 0, 0, "A late answer or a status report settles it; else its on_unconfirmed decides."},
		{queue.PartRetry, 0, 0, "It is tried again as soon as a modem is free."},
		{queue.PartRetry, 2500 * time.Millisecond, 0, "It is tried again in 3 seconds."},
		{queue.PartRetry, 61 * time.Second, 0, "It is tried again in about a minute."},
		{queue.PartRetry, 29*time.Minute + 50*time.Second, 0, "It is tried again in about 29 minutes."},
		{queue.PartRetry, 10 * time.Minute, 5 * time.Minute, "It expires before it would be tried again."},
	} {
		v, e := &queue.Verdict{Fate: c.fate}, &entry{}
		if c.wait > 0 {
			v.NotBefore = l.now.Add(c.wait)
		}
		if c.until > 0 {
			e.ExpiresAt = l.now.Add(c.until)
		}
		if got := f.says(v, e); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
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

// What no modem takes steps aside after some attempts. A port that went away is
// no attempt that a modem refused, however often it happens, and neither is one that
// the gateway's own end cut off.
func TestUnpluggedIsNotRefused(t *testing.T) {
	l := newLines(t)
	f := l.modem("a")
	for code, waits := range map[string]bool{"not-sent": true, modem.PortGone: false, modem.Stopped: false} {
		f.jobs = []*job{{entry: &entry{Waiting: queue.Waiting{Row: 1, Since: l.now, Attempts: soonLimit}}}}
		v := f.verdict(modem.Outcome{Part: &modem.Part{Row: 1, Number: 1}, Result: modem.NotSent, Err: &sms.Error{Code: code, Class: sms.Now}})
		if v.Fate != queue.PartRetry || v.NotBefore.After(l.now) != waits {
			t.Errorf("%s: %v, not before %v", code, v.Fate, v.NotBefore)
		}
	}
}

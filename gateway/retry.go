package gateway

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"gatewayd/modem"
	"gatewayd/queue"
	"gatewayd/sms"
)

const (
	soon       = 3 * time.Second  // between attempts that may work almost at once
	firstDelay = 30 * time.Second // of the backoff, doubled each time
	longDelay  = 30 * time.Minute // its end
	// patience is how long an error that may pass is retried, and persistence
	// how often at least, for messages without expires_at: one may have waited
	// for days until there was a modem to try it.
	patience    = 24 * time.Hour
	persistence = 10
	// soonLimit is how many attempts follow each other closely before the
	// backoff begins.
	soonLimit = 3
)

// refusals are those of one message with one code, as far as this run of the
// daemon has seen them: after a restart the count begins again.
type refusals struct {
	code  string
	since time.Time
	n     int
}

// verdict decides what follows from a part's outcome. Called with f.mu held.
func (f *feed) verdict(o modem.Outcome) *queue.Verdict {
	v := &queue.Verdict{Row: o.Part.Row, Part: o.Part.Number, MR: o.MR, Err: o.Err}
	e := &entry{Waiting: queue.Waiting{Since: f.d.now()}}
	if j := f.find(o.Part.Row); j != nil {
		e = j.entry
	}
	switch o.Result {
	case modem.Confirmed:
		v.Fate = queue.PartConfirmed
	case modem.Unknown:
		v.Fate = queue.PartUnconfirmed
	case modem.NotSent:
		v.Fate = queue.PartRetry // at once, on any modem
		innocent := o.Err != nil && (o.Err.Code == modem.PortGone || o.Err.Code == modem.Stopped)
		if e.Attempts >= soonLimit && !innocent {
			// Lest one that no modem will take be always the next.
			v.Fate, v.NotBefore = f.later(e)
		}
	default:
		v.Fate, v.NotBefore, v.RefusedBy = f.refused(o, e)
	}
	if v.Fate == queue.PartFailed && v.Err == nil {
		v.Err = &sms.Error{Code: "refused", Title: "The modem refused the message"}
	}
	if v.Err != nil && v.Fate != queue.PartConfirmed {
		said := *v.Err
		said.Detail = strings.TrimSpace(said.Detail + " " + f.says(v, e))
		v.Err = &said
	}
	return v
}

// says tells in words what happens next. Nothing else promises it, for nothing
// else knows it.
func (f *feed) says(v *queue.Verdict, e *entry) string {
	wait := v.NotBefore.Sub(f.d.now())
	switch {
	case v.Fate == queue.PartUnconfirmed:
		return "A late answer or a status report settles it; else its on_unconfirmed decides."
	case v.Fate == queue.PartFailed:
		return "It is not tried again."
	case !e.ExpiresAt.IsZero() && e.ExpiresAt.Before(v.NotBefore):
		return "It expires before it would be tried again."
	case v.NotBefore.IsZero() || wait <= 0:
		return "It is tried again as soon as a modem is free."
	case wait < time.Minute:
		return fmt.Sprintf("It is tried again in %d seconds.", int((wait+time.Second-1)/time.Second))
	case wait < 2*time.Minute:
		return "It is tried again in about a minute."
	default:
		return fmt.Sprintf("It is tried again in about %d minutes.", int(wait/time.Minute))
	}
}

// refused decides by the class of a refusal, and by how often there was one.
func (f *feed) refused(o modem.Outcome, e *entry) (fate queue.Fate, notBefore time.Time, refusedBy string) {
	now, sim := f.d.now(), f.simNow()
	class := sms.Later
	if o.Err != nil && o.Err.Class != "" {
		class = o.Err.Class
		if e.refusals.code != o.Err.Code {
			e.refusals = refusals{code: o.Err.Code, since: now}
		}
		e.refusals.n++
	}
	if o.Plain && !e.plain && !e.ExpiresAt.IsZero() {
		e.plain = true
		return queue.PartRetry, now, ""
	}
	attempts := e.Attempts + 1
	elsewhere := f.others(e)
	if o.Elsewhere {
		refusedBy = sim
	}
	switch class {
	case sms.Permanent:
		return queue.PartFailed, time.Time{}, ""
	case sms.Accepted:
		return queue.PartConfirmed, time.Time{}, ""
	case sms.Account:
		// The SIM's trouble, not the message's: its modem is parked, and another
		// may take it at once.
		fate, notBefore = f.later(e)
		if fate == queue.PartRetry && elsewhere {
			return fate, now, ""
		}
		if after := now.Add(o.After); after.After(notBefore) {
			notBefore = after
		}
		return fate, notBefore, ""
	}
	switch {
	case o.Times > 0 && e.refusals.n >= o.Times, o.Lasts > 0 && now.Sub(e.refusals.since) >= o.Lasts:
		return queue.PartFailed, time.Time{}, refusedBy
	case class == sms.Fault && o.Blames && e.RefusedBy != "" && !contains(e.RefusedBy, sim):
		return queue.PartFailed, time.Time{}, refusedBy // a second one blames it
	case o.Elsewhere && elsewhere:
		return queue.PartRetry, now, refusedBy
	case class == sms.Fault && attempts == 1, class == sms.Now && attempts <= soonLimit:
		return queue.PartRetry, now.Add(soon), refusedBy
	}
	fate, notBefore = f.later(e)
	return fate, notBefore, refusedBy
}

// others reports whether another working modem may take a message that this
// one did not get through: one that has not refused it yet.
func (f *feed) others(e *entry) bool {
	if e.Pin != "" {
		return false
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	now := f.d.now()
	return slices.ContainsFunc(f.d.feeds, func(x *feed) bool {
		return x != f && x.sim != f.sim && !contains(e.RefusedBy, x.sim) && x.could(e, now)
	})
}

// later decides when a message is tried again, or that it was tried long enough.
func (f *feed) later(e *entry) (fate queue.Fate, notBefore time.Time) {
	now, attempts := f.d.now(), e.Attempts+1
	if e.ExpiresAt.IsZero() && attempts > persistence && now.Sub(e.Since) > patience {
		return queue.PartFailed, time.Time{}
	}
	delay := longDelay
	if n := attempts - 1; n < 6 {
		delay = firstDelay << n
	}
	// Half of it at random, so that messages held back together don't return together.
	return queue.PartRetry, now.Add(delay/2 + rand.N(delay/2))
}

package gateway

import (
	"math/rand/v2"
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

// verdict decides what follows from a part's outcome. Called with f.mu held.
func (f *feed) verdict(o modem.Outcome) *queue.Verdict {
	v := &queue.Verdict{Row: o.Part.Row, Part: o.Part.Number, MR: o.MR, Err: o.Err}
	switch o.Result {
	case modem.Confirmed:
		v.Fate = queue.PartConfirmed
	case modem.Unknown:
		v.Fate = queue.PartUnconfirmed
	case modem.NotSent:
		v.Fate = queue.PartRetry // at once, on any modem
		gone := o.Err != nil && o.Err.Code == modem.PortGone
		if j := f.find(o.Part.Row); j != nil && j.entry.Attempts >= soonLimit && !gone {
			// Lest one that no modem will take be always the next.
			v.Fate, v.NotBefore = f.later(j.entry)
		}
	default:
		v.Fate, v.NotBefore, v.RefusedBy = f.refused(o)
	}
	if v.Fate == queue.PartFailed && v.Err == nil {
		v.Err = &sms.Error{Code: "refused", Title: "The modem refused the message"}
	}
	return v
}

// refused decides by the class of a refusal.
func (f *feed) refused(o modem.Outcome) (fate queue.Fate, notBefore time.Time, refusedBy string) {
	now, sim := f.d.now(), f.simNow()
	class := sms.Later
	if o.Err != nil && o.Err.Class != "" {
		class = o.Err.Class
	}
	e := &entry{Waiting: queue.Waiting{Since: now}}
	if j := f.find(o.Part.Row); j != nil {
		e = j.entry
	}
	attempts := e.Attempts + 1
	switch class {
	case sms.Permanent:
		return queue.PartFailed, time.Time{}, ""
	case sms.Accepted:
		return queue.PartConfirmed, time.Time{}, ""
	case sms.Account:
		// The SIM's trouble, not the message's: its modem is parked, and another
		// may take it.
		return queue.PartRetry, now.Add(soon), ""
	case sms.Fault:
		refusedBy = sim
		if e.RefusedBy != "" && !contains(e.RefusedBy, sim) {
			return queue.PartFailed, time.Time{}, "" // a second one blames it
		}
		if attempts <= soonLimit {
			return queue.PartRetry, now.Add(soon), refusedBy
		}
	case sms.Now:
		if attempts <= soonLimit {
			return queue.PartRetry, now.Add(soon), ""
		}
	}
	fate, notBefore = f.later(e)
	return fate, notBefore, refusedBy
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

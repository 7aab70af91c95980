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
	// patience is how long an error that may pass is retried, for messages
	// without expires_at.
	patience = 24 * time.Hour
	// soonLimit is how many attempts follow each other closely before the
	// backoff begins.
	soonLimit = 3
)

// verdict decides what follows from a part's outcome. Called with f.mu held.
func (f *feed) verdict(o modem.Outcome) *queue.Verdict {
	v := &queue.Verdict{Row: o.Part.Row, Part: o.Part.Number, MR: o.MR, Err: o.Err}
	attempts, since := 1, f.d.now()
	if j := f.find(o.Part.Row); j != nil {
		attempts, since = j.entry.Attempts+1, j.entry.Since
	}
	sim := f.simNow()
	switch o.Result {
	case modem.Confirmed:
		v.Fate = queue.PartConfirmed
	case modem.Unknown:
		v.Fate = queue.PartUnconfirmed
	case modem.NotSent:
		v.Fate = queue.PartRetry // at once, on any modem
	default:
		v.Fate, v.NotBefore, v.RefusedBy = f.refused(o, attempts, since, sim)
	}
	if v.Fate == queue.PartFailed && v.Err == nil {
		v.Err = &sms.Error{Code: "refused", Title: "The modem refused the message"}
	}
	return v
}

// refused decides by the class of a refusal.
func (f *feed) refused(o modem.Outcome, attempts int, since time.Time, sim string) (fate queue.Fate, notBefore time.Time, refusedBy string) {
	now := f.d.now()
	class := sms.Later
	if o.Err != nil && o.Err.Class != "" {
		class = o.Err.Class
	}
	var refusals int
	if j := f.find(o.Part.Row); j != nil {
		refusals = wordCount(j.entry.RefusedBy)
		if !contains(j.entry.RefusedBy, sim) {
			refusals++
		}
	}
	switch class {
	case sms.Permanent:
		return queue.PartFailed, time.Time{}, ""
	case sms.Accepted:
		return queue.PartConfirmed, time.Time{}, ""
	case sms.Account:
		// The SIM's trouble, not the message's: another takes it at once, and
		// this one only when it works again.
		return queue.PartRetry, now.Add(soon), sim
	case sms.Fault:
		if refusals >= 2 {
			return queue.PartFailed, time.Time{}, ""
		}
		return queue.PartRetry, now.Add(soon), sim
	case sms.Now:
		if attempts <= soonLimit {
			return queue.PartRetry, now.Add(soon), ""
		}
	}
	if now.Sub(since) > patience {
		return queue.PartFailed, time.Time{}, ""
	}
	delay := longDelay
	if n := attempts - 1; n < 6 {
		delay = firstDelay << n
	}
	// Half of it at random, so that messages held back together don't return together.
	return queue.PartRetry, now.Add(delay/2 + rand.N(delay/2)), ""
}

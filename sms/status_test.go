package sms_test

import (
	"testing"

	"gatewayd/sms"
)

// TestTransitions writes the contract's paths down a second time: a step that
// is added to the table must be added here too, with a thought.
func TestTransitions(t *testing.T) {
	allowed := map[sms.Status][]sms.Status{
		sms.Scheduled:   {sms.Queued, sms.Canceled, sms.Expired, sms.Failed},
		sms.Queued:      {sms.Sending, sms.Sent, sms.Canceled, sms.Expired, sms.Failed, sms.Delivered, sms.Undelivered},
		sms.Sending:     {sms.Sent, sms.Queued, sms.Unconfirmed, sms.Failed, sms.Expired, sms.Delivered, sms.Undelivered},
		sms.Sent:        {sms.Delivered, sms.Undelivered},
		sms.Unconfirmed: {sms.Sent, sms.Queued, sms.Failed, sms.Delivered, sms.Undelivered},
		sms.Failed:      {sms.Sent, sms.Delivered},
	}
	for _, from := range sms.Statuses {
		for _, to := range sms.Statuses {
			want := false
			for _, s := range allowed[from] {
				want = want || s == to
			}
			if got := from.CanBecome(to); got != want {
				t.Errorf("%s → %s: %v, want %v", from, to, got, want)
			}
		}
	}
}

func TestStatusesAreComplete(t *testing.T) {
	seen := map[sms.Status]bool{}
	for _, s := range sms.Statuses {
		if seen[s] || !s.Valid() {
			t.Errorf("%s: listed twice or not in the table", s)
		}
		seen[s] = true
	}
	if len(seen) != 11 {
		t.Errorf("%d statuses, the contract has 11", len(seen))
	}
	for _, s := range []sms.Status{"", "SENT", "receiving"} {
		if s.Valid() || s.CanBecome(sms.Sent) || len(s.Sources()) > 0 {
			t.Errorf("%q passes for a status", s)
		}
	}
}

// TestSources: an UPDATE names the statuses it may come from; none of them may
// be missing, and none may be the status itself.
func TestSources(t *testing.T) {
	for _, to := range sms.Statuses {
		in := map[sms.Status]bool{}
		for _, from := range to.Sources() {
			in[from] = true
		}
		for _, from := range sms.Statuses {
			if in[from] != from.CanBecome(to) {
				t.Errorf("Sources of %s: %s is wrong", to, from)
			}
		}
		if in[to] {
			t.Errorf("%s may become itself", to)
		}
	}
	for _, s := range []sms.Status{sms.Scheduled, sms.Received} {
		if len(s.Sources()) > 0 {
			t.Errorf("%s is a first status, but may come from %v", s, s.Sources())
		}
	}
}

// TestEveryPathEnds: from every status a final one can be reached.
func TestEveryPathEnds(t *testing.T) {
	final := func(s sms.Status) bool {
		for _, to := range sms.Statuses {
			if s.CanBecome(to) {
				return false
			}
		}
		return true
	}
	ends := map[sms.Status]bool{}
	for _, s := range sms.Statuses {
		ends[s] = final(s)
	}
	for _, s := range []sms.Status{sms.Delivered, sms.Undelivered, sms.Expired, sms.Canceled, sms.Received} {
		if !ends[s] {
			t.Errorf("%s must be final", s)
		}
	}
	for range sms.Statuses {
		for _, s := range sms.Statuses {
			for _, to := range sms.Statuses {
				ends[s] = ends[s] || s.CanBecome(to) && ends[to]
			}
		}
	}
	for s, ok := range ends {
		if !ok {
			t.Errorf("%s never ends", s)
		}
	}
}

func TestEventOf(t *testing.T) {
	for s, want := range map[sms.Status]string{sms.Sent: "message.sent", sms.Received: "message.received", sms.Unconfirmed: "message.unconfirmed"} {
		if got := sms.EventOf(s); got != want {
			t.Errorf("EventOf(%s) = %s", s, got)
		}
	}
}

package gateway

import (
	"slices"
	"time"

	"gatewayd/sms"
)

// settled waits until every message has its final status, or is sent, and
// checks it against what the network had since its first before submissions:
// nothing lost, nothing twice without a mark, no mark where nothing was in
// doubt. It returns how many are marked, and how many of those have failed
// because the only resend was not answered either.
func (w *world) settled(tr trial, sent []sms.Message, before int, within time.Duration) (marked, doubtful int) {
	w.t.Helper()
	deadline := time.After(within)
	for _, m := range sent {
		for {
			changed := w.g.Queue().Changed()
			if got := w.message(m.ID); slices.Contains([]sms.Status{sms.Sent, sms.Delivered, sms.Undelivered, sms.Failed, sms.Expired}, got.Status) {
				break
			}
			select {
			case <-changed:
			case <-deadline:
				got := w.message(m.ID)
				state, _ := w.g.modems.Get("m1")
				w.t.Fatalf("%s: after %v %q is %s (%v), attempts %d; the modem is %s (%s)",
					tr.name, within, got.Text, got.Status, got.Error, got.Attempts, state.State, state.Reason)
			}
		}
	}
	parts, times := map[string]int{}, map[string]int{}
	accepted := w.net.Accepted()[before:]
	for _, s := range accepted {
		parts[string(s.TPDU)]++
	}
	for _, s := range accepted {
		if s.Complete {
			times[s.Text] = max(times[s.Text], parts[string(s.TPDU)])
		}
	}
	for _, m := range sent {
		got := w.message(m.ID)
		if got.PossibleDuplicate {
			marked++
			if !tr.doubt {
				w.t.Errorf("%s: %q is marked possible_duplicate, and nothing was in doubt", tr.name, m.Text)
			}
		}
		n := times[m.Text]
		if got.Status == sms.Failed && got.PossibleDuplicate && got.Error.Code == "unconfirmed" {
			doubtful++ // twice nobody could know, which is what it says
			continue
		}
		switch {
		case tr.refuse && got.Status == sms.Failed && n == 0:
			// It says so, and why.
		case n == 0:
			w.t.Errorf("%s: %q is %s (%v), and the network never had it", tr.name, m.Text, got.Status, got.Error)
		case n > 1 && !got.PossibleDuplicate:
			w.t.Errorf("%s: %q went out %d times and is not marked", tr.name, m.Text, n)
		case got.Status != sms.Sent && got.Status != sms.Delivered:
			w.t.Errorf("%s: %q is %s (%v)", tr.name, m.Text, got.Status, got.Error)
		}
	}
	return marked, doubtful
}

// arrived waits for texts that handsets have sent, each once, or more often
// with a mark, after the first known received messages.
func (w *world) arrived(tr trial, texts []string, known int, within time.Duration) {
	w.t.Helper()
	deadline := time.After(within)
	for {
		changed := w.g.Queue().Changed()
		page := w.inbound()
		page = page[:len(page)-known] // newest first
		plain := map[string]int{}
		for _, m := range page {
			if !m.PossibleDuplicate {
				plain[m.Text]++
			}
		}
		missing := ""
		for _, text := range texts {
			switch n := plain[text]; {
			case n == 0:
				missing = text
			case n > 1:
				w.t.Errorf("%s: %q was received %d times and is not marked", tr.name, text, n)
				return
			}
		}
		if missing == "" {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			w.t.Errorf("%s: %q was not received within %v; there are %d messages", tr.name, missing, within, len(page))
			return
		}
	}
}

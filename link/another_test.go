package link

import (
	"slices"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
)

// Another hub that calls the gateway the same, and one that was restored from a backup, tell
// all that numbers have decided.
func TestAnotherHubTellsItsConsent(t *testing.T) {
	r := newRig(t)
	fatal(t, r.queue.Do(func(tx *db.Tx) error {
		return r.queue.OptOutTx(tx, "+4915100000001", queue.Source{Reason: queue.ReasonWord, Wording: "STOP"})
	}))
	stop := func(seq int64, number string) mirror.Consent {
		return mirror.Consent{Seq: seq, Number: number, Stopped: true, At: time.Now(), Reason: queue.ReasonWord}
	}
	hub := func(newest int64, all ...mirror.Consent) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.answer.Consent, r.answer.NewestConsent = all, &newest
	}
	last := func(is func(mirror.HelloRequest) bool) func() bool {
		return r.locked(func() bool { return len(r.hellos) > 0 && is(r.hellos[len(r.hellos)-1]) })
	}
	at := func(seq int64) func() bool { return last(func(h mirror.HelloRequest) bool { return h.Consent == seq }) }
	stopped := func(number string) {
		t.Helper()
		var is bool
		fatal(t, r.database.Read(t.Context(), func(q db.Querier) (err error) { is, err = r.queue.Stopped(q, number); return err }))
		if !is {
			t.Errorf("%s is not stopped", number)
		}
	}
	told := func() (n int) {
		for _, e := range r.events {
			if slices.ContainsFunc(e.Consent, func(c mirror.Consent) bool { return c.Number == "+4915100000001" }) {
				n++
			}
		}
		return n
	}
	hub(9, stop(9, "+4915100000009"))
	r.start()
	r.until("the gateway has all", at(9))
	r.until("its stop list is told", r.locked(func() bool { return told() == 1 }))

	hub(2, stop(2, "+4915100000002")) // a backup: what it decides now has sequences that were used
	fatal(t, r.nc.Publish(mirror.Wake(name), nil))
	r.until("the gateway has what a restored hub decides", at(2))
	stopped("+4915100000002")
	if n := r.locked(func() bool { return told() == 1 }); !n() {
		t.Error("the same hub was told the stop list again")
	}

	hub(1, stop(1, "+4915100000003"))
	r.mu.Lock()
	log := r.hellos[len(r.hellos)-1].Log
	r.mu.Unlock()
	writeCredentials(t, r.creds, name) // of another account
	r.restart()
	r.until("the gateway has what another hub decided", at(1))
	stopped("+4915100000003")
	r.until("another hub is told the stop list", r.locked(func() bool { return told() == 2 }))
	if last(func(h mirror.HelloRequest) bool { return h.Log == log })() {
		t.Error("another hub is told under the same name of the log")
	}
	if s := r.link.Status(); s.Name != name {
		t.Errorf("it is called %q", s.Name)
	}
}

package link

import (
	"testing"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// What waits for the link to go by internet does not go to a number that said STOP meanwhile;
// nor does it where the hub has heard of it first.
func TestStopWhileItWaitsForTheLink(t *testing.T) {
	r := newRig(t)
	const phone, other = "+4915112345678", "+4915112345679"
	by := &sms.Author{Kind: sms.AuthorPerson, Name: "Ann"}
	draft := func(to string) queue.Draft {
		return queue.Draft{Message: sms.Message{To: to, Text: "are you there?", Via: sms.ViaInternet, Mode: sms.ModeOffline, Author: by}}
	}
	r.start()
	r.stop() // the link is away
	sent, _, err := r.queue.Submit(t.Context(), []queue.Draft{draft(phone), draft(other)}, nil)
	fatal(t, err)
	fatal(t, r.queue.Do(func(tx *db.Tx) error {
		return r.queue.OptOutTx(tx, phone, queue.Source{Reason: queue.ReasonAdmin, By: "key_1"})
	}))
	r.restart()
	failed := func(id string) func() bool {
		return func() bool {
			m, err := r.queue.Message(t.Context(), id)
			return err == nil && m.Status == sms.Failed && m.Error != nil && m.Error.Code == "opted-out"
		}
	}
	r.until("it fails here", failed(sent[0].ID))
	told := func(id string) func() bool {
		return r.locked(func() bool {
			for _, e := range r.events {
				if e.Inbox != nil && e.Inbox.ID == id {
					return true
				}
			}
			return false
		})
	}
	r.until("the other is told", told(sent[1].ID))
	if told(sent[0].ID)() {
		t.Error("it went out")
	}
	r.put(mirror.Item{Receipts: []mirror.Receipt{{ID: sent[1].ID, Copy: sms.CopyOptedOut}}})
	r.until("the hub's word counts", failed(sent[1].ID))
}

package queue

import (
	"gatewayd/db"
	"gatewayd/sms"
)

// StateTx enters into the log that somebody states a number's consent, which it gave
// elsewhere. That lifts no STOP, and a number that said STOP gets no entry that looks
// as if it did; nor does it answer for the number where it was asked by an invitation.
// It is no decision of the number's: a STOP that was said before, and is heard of after it,
// holds. conversation is the one that it is stated for, "": all of somebody's.
// The transaction must be one of Do, or of a function that the queue calls.
func (q *Queue) StateTx(tx *db.Tx, number, conversation string, by Source) error {
	if q.stops[number] {
		return nil
	}
	by.Reason = ReasonStated
	e := by.entry(number, sms.DecisionOptIn)
	e.Conversation = conversation
	return q.decided(tx, e)
}

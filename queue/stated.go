package queue

import (
	"gatewayd/db"
	"gatewayd/sms"
)

// StateTx enters into the log that somebody states a number's consent, which it gave
// elsewhere. That lifts no STOP, and a number that said STOP gets no entry that looks
// as if it did; nor does it answer for the number where it was asked by an invitation.
// The transaction must be one of Do, or of a function that the queue calls.
func (q *Queue) StateTx(tx *db.Tx, number string, by Source) error {
	if q.stops[number] {
		return nil
	}
	return q.decided(tx, by.entry(number, sms.DecisionOptIn))
}

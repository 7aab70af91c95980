package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gatewayd/db"
	"gatewayd/sms"
)

// callerOf is the number that an event is about which tells a call, or a decision
// about consent; "" for other events and for callers who show none.
func callerOf(e *sms.Event) (string, error) {
	if sms.IsConsent(e.Type) {
		var c sms.Consent
		if err := json.Unmarshal(e.Data, &c); err != nil {
			return "", fmt.Errorf("event %d: %w", e.Seq, err)
		}
		return c.Number, nil
	}
	if e.Type != sms.EventCall {
		return "", nil
	}
	var c sms.Call
	if err := json.Unmarshal(e.Data, &c); err != nil {
		return "", fmt.Errorf("event %d: %w", e.Seq, err)
	}
	return c.From, nil
}

// callsLookedAt is how far back in the log a call is looked for that may have
// been told before.
const callsLookedAt = 1000

// HasCall tells whether a call like c was told after since: one that rings on
// over a restart is told by both runs otherwise.
func (q *Queue) HasCall(ctx context.Context, c sms.Call, since time.Time) (found bool, err error) {
	err = q.db.Read(ctx, func(r db.Querier) error {
		_, newest, err := span(r)
		if err != nil {
			return err
		}
		all, _, err := events(r, nil, `WHERE e.seq > ? AND e.type = ? AND e.at > ?`, newest-callsLookedAt, sms.EventCall, toMS(since))
		for _, e := range all {
			var told sms.Call
			if err := json.Unmarshal(e.Data, &told); err != nil {
				return err
			}
			found = found || told.Modem == c.Modem && told.From == c.From
		}
		return err
	})
	return found, err
}

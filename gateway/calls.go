package gateway

import (
	"context"
	"time"

	"gatewayd/sms"
	numbers "gatewayd/sms/number"
)

// resumed is how long after the start a call may be one that the last run has
// told already.
const resumed = 30 * time.Second

// called writes an incoming call to the event log.
func (g *Gateway) called(c sms.Call) {
	if from, err := numbers.Parse(c.From, g.region()); err == nil {
		c.From = from // as messages name the same person
	}
	if time.Since(g.started) < resumed {
		told, err := g.queue.HasCall(context.Background(), c, g.dispatch.now().Add(-2*resumed))
		if told {
			return
		}
		if err != nil {
			g.log.Error("the event log can't be read for calls that were told before", "error", err)
		}
	}
	if err := g.queue.Append(sms.EventCall, c, nil); err != nil {
		g.log.Error("an incoming call could not be written to the event log", "modem", c.Modem, "error", err)
	}
}

package gateway

import (
	"cmp"
	"context"
	"fmt"

	"gatewayd/sms"
)

// acceptsMore is nil while nothing speaks against new messages.
func (g *Gateway) acceptsMore(context.Context) error {
	return cmp.Or(g.database.Damage(), g.database.Room())
}

// Ready is nil when messages are accepted, with or without modems: what
// /readyz says, without HTTP.
func (g *Gateway) Ready(ctx context.Context) error {
	if err := g.acceptsMore(ctx); err != nil {
		return err
	}
	if _, _, err := g.queue.Span(ctx); err != nil {
		return fmt.Errorf("the database does not answer: %w", err)
	}
	return nil
}

// Standing is one sentence of how the gateway stands, for who manages services.
func (g *Gateway) Standing() string {
	if g.hub != nil {
		return g.hubStanding()
	}
	all := g.modems.List()
	ready := 0
	for _, m := range all {
		if m.State == sms.Ready {
			ready++
		}
	}
	modems := "no modem"
	if len(all) > 0 {
		modems = fmt.Sprintf("%d of %d modems ready", ready, len(all))
	}
	return fmt.Sprintf("%s, %d waiting", modems, g.queue.Stats().Outbound.Depth)
}

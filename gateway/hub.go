package gateway

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"gatewayd/api"
	hubs "gatewayd/hub"
	"gatewayd/sms"
)

// openHub builds what makes this daemon a hub of gateways, if it is to be one. It has no
// modems of its own, so there is nothing to find and to dispatch.
func (g *Gateway) openHub(ctx context.Context) (err error) {
	if g.o.Hub == nil {
		return nil
	}
	o := *g.o.Hub
	o.DB, o.Queue, o.Now, o.Log, o.DataDir = g.database, g.queue, g.clock.Now, g.logOf("hub"), g.o.DataDir
	o.Away = g.gatewayAway
	o.Others = func(there map[string]bool) { g.alarms.endOthers([]string{gatewayIsAway}, there) }
	g.openInbox(o.PublicURL)
	o.Inbox = g.talk.inbox
	g.hub, err = hubs.Open(ctx, o)
	return err
}

// gatewayAway begins or ends the alarm of a gateway that is not heard.
func (g *Gateway) gatewayAway(name, title string, since time.Time) {
	if since.IsZero() {
		g.alarms.end(gatewayIsAway, name)
		return
	}
	g.alarms.begin(gatewayIsAway, name, kindOf(gatewayIsAway).title, fmt.Sprintf("Gateway %s was last heard at %s. What is for it waits; what it has, it goes on with.",
		cmp.Or(title, name), since.UTC().Format(time.RFC3339)))
}

// systemAlarms are those of no modem of ours: on a hub those of its gateways too.
func (g *Gateway) systemAlarms() []sms.Alarm {
	return g.alarms.list(func(id alarmID) bool { return id.modem == "" || g.hub != nil })
}

// fleetModems are the modems that the API tells of: of all gateways on a hub, else ours.
func (g *Gateway) fleetModems() api.Modems {
	if g.hub != nil {
		return g.hub.Modems()
	}
	return g.modems
}

// cancel is what cancels a message: on a hub it may be with a gateway; nil: the queue does.
func (g *Gateway) cancel() func(context.Context, string) (*sms.Message, error) {
	if g.hub == nil {
		return nil
	}
	return g.hub.Cancel
}

// hubStanding is Standing of a hub.
func (g *Gateway) hubStanding() string {
	there, all := g.hub.Count()
	words := []string{fmt.Sprintf("%d of %d gateways connected", there, all), fmt.Sprintf("%d waiting", g.queue.Stats().Outbound.Depth)}
	if !g.hub.Up() {
		words = append([]string{"NATS is not reached"}, words...)
	}
	return strings.Join(words, ", ")
}

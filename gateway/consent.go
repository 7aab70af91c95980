package gateway

import (
	"gatewayd/modem"
	"gatewayd/queue"
	numbers "gatewayd/sms/number"
)

// followConsent has the queue ask what holds now. What it asks on the database's writer
// looks at pictures of the modems only, and waits for none.
func (g *Gateway) followConsent(o *queue.Options) {
	o.Consent = func() queue.ConsentRules { return g.set.Load().Consent }
	o.Own = func(number string) bool {
		return g.modems != nil && g.modems.find(func(a *attached) bool {
			told := a.modem.Snapshot().Number
			return told != "" && numbers.Same(told, number) || a.o.Number != "" && numbers.Same(a.o.Number, number)
		}) != nil
	}
	o.ModemOf = func(sim string) string {
		if g.modems == nil {
			return ""
		}
		a := g.modems.find(func(a *attached) bool {
			m := a.modem.Snapshot()
			return m.ICCID == sim || modem.SIMOf(m) == sim || a.o.Name == sim
		})
		if a == nil {
			return ""
		}
		return a.o.Name
	}
}

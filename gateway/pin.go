package gateway

import (
	"context"

	"gatewayd/modem"
	"gatewayd/queue"
	"gatewayd/sms"
)

// errPINRefused means that the SIM has refused this very PIN before.
var errPINRefused = queue.Conflict("the SIM has refused this PIN before, and it is not tried again: enter the right one")

// EnterPIN keeps a PIN for the SIM in a modem that asks for one, and has it
// entered, once. What the SIM says to it is the modem's next state.
func (ms *modems) EnterPIN(_ context.Context, name, pin string) error {
	a := ms.named(name)
	if a == nil {
		return queue.ErrNotFound
	}
	m := a.modem.Snapshot()
	if m.State != sms.PINRequired {
		return queue.Conflict("the SIM in %s does not ask for a PIN: the modem is %s", name, m.State)
	}
	sim := modem.SIMOf(m)
	tried, err := ms.known.Tried(sim, pin)
	if err != nil {
		return err
	}
	if tried {
		return errPINRefused
	}
	if a.o.PIN != "" {
		if tried, err := ms.known.Tried(sim, a.o.PIN); err == nil && !tried {
			return queue.Conflict("the configuration file has a PIN for %s, which wins; change it there", name)
		}
	}
	if err := ms.known.give(sim, pin); err != nil {
		return err
	}
	a.modem.Wake()
	return nil
}

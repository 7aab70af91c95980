package api

import (
	"context"
	"net/http"
	"time"

	"gatewayd/sms"
)

// ListSignal shows how well a modem heard its network lately.
func (a server) ListSignal(ctx context.Context, r ListSignalRequestObject) (ListSignalResponseObject, error) {
	m, err := a.modem(r.Name)
	if err != nil {
		return nil, err
	}
	since := a.now().Add(-time.Duration(or(r.Params.Hours, 24)) * time.Hour)
	samples, err := a.o.Modems.SignalHistory(ctx, m.Name, since)
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: map[string]any{
		"since": since.UTC().Truncate(time.Millisecond), "step_seconds": int(sms.SignalStep / time.Second), "samples": orEmpty(samples),
	}}, nil
}

// aimed is what somebody who turns an antenna needs to know of a modem.
type aimed struct {
	Name       string         `json:"name"`
	State      sms.ModemState `json:"state"`
	Reason     string         `json:"reason"`
	Operator   *string        `json:"operator"`
	Technology *string        `json:"technology"`
	Cell       *string        `json:"cell"`
	Signal     *sms.Signal    `json:"signal"`
}

// AimModem has a modem measure its signal often, and shows what it measured.
func (a server) AimModem(_ context.Context, r AimModemRequestObject) (AimModemResponseObject, error) {
	m, err := a.modem(r.Name)
	if err != nil {
		return nil, err
	}
	if m, err = a.o.Modems.Aim(m.Name); err != nil {
		p := conflict.because("The modem can't measure: %s.", err)
		p.cause = err
		return nil, p
	}
	return reply{status: http.StatusOK, v: aimed{m.Name, m.State, m.Reason, orNil(m.Operator), orNil(m.Technology), orNil(m.Cell), m.Signal}}, nil
}

// GetSystem shows how the machine is.
func (a server) GetSystem(context.Context, GetSystemRequestObject) (GetSystemResponseObject, error) {
	return reply{status: http.StatusOK, v: a.system()}, nil
}

// system is how the machine is.
func (a *API) system() sms.System {
	if a.o.System == nil {
		return sms.System{}
	}
	return a.o.System()
}

package api

import (
	"context"
	"net/http"
	"time"

	"gatewayd/sms"
)

// ussdWait is longer than a modem takes for a step of a USSD session.
const ussdWait = 5 * time.Minute

// AskNetwork does a step of a USSD session.
func (a server) AskNetwork(ctx context.Context, r AskNetworkRequestObject) (AskNetworkResponseObject, error) {
	m, err := a.modem(r.Name)
	if err != nil {
		return nil, err
	}
	var step sms.USSD
	given := 0
	if r.Body.Code != nil {
		step.Code = *r.Body.Code
		given++
	}
	if r.Body.Reply != nil {
		step.Reply = *r.Body.Reply
		given++
	}
	if r.Body.Cancel != nil && *r.Body.Cancel {
		step.Cancel = true
		given++
	}
	if given != 1 {
		return nil, wrong(FieldError{Field: "code", Detail: "is needed, or reply, or cancel with true, and one of them only"})
	}
	// The network takes longer than other requests may.
	if err := http.NewResponseController(from(ctx).writer).SetWriteDeadline(time.Now().Add(ussdWait)); err != nil {
		a.log.Debug("a request keeps its time limit", "error", err)
	}
	result, err := a.o.Modems.USSD(ctx, m.Name, step)
	if err != nil {
		p := conflict.because("The network was not asked: %s.", err)
		p.cause = err
		return nil, p
	}
	return reply{status: http.StatusOK, v: result}, nil
}

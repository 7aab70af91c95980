package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Modems is what the API sees of the modems.
type Modems interface {
	// List returns all modems that are configured or known, in a fixed order.
	List() []sms.Modem
	Get(name string) (sms.Modem, bool)
	// Reset asks a modem to restart. It returns before that is done.
	Reset(name string) error
	// USSD does a step of a USSD session and waits for the network's answer; its
	// error says why the step was not begun.
	USSD(ctx context.Context, name string, step sms.USSD) (sms.USSDAnswer, error)
	// Transcript writes what went over a modem's port lately.
	Transcript(name string, masked bool, w io.Writer) error
	// Forget drops what is remembered of a modem that is not plugged in; its
	// error says why it can't.
	Forget(name string) error
}

// Deliveries is what the API sees of the webhooks. Its errors are those of
// package queue: ErrNotFound, ErrConflict, ErrBadCursor.
type Deliveries interface {
	// List returns deliveries newest first and the next page's cursor, "" at the end.
	List(context.Context, sms.DeliveryFilter) ([]sms.Delivery, string, error)
	// Retry makes a failed delivery due now.
	Retry(ctx context.Context, id string) (sms.Delivery, error)
	// Drop ends a delivery that nobody wants any more.
	Drop(ctx context.Context, id string) (sms.Delivery, error)
}

// modems are all modems as the key's holder may see them.
func (a *API) modems(key *auth.Key) []sms.Modem {
	all := []sms.Modem{}
	if a.o.Modems != nil {
		for _, m := range a.o.Modems.List() {
			all = append(all, discreet(key, m))
		}
	}
	return all
}

// listModems is GET /v1/modems.
func (a *API) listModems(c echo.Context) error {
	return a.json(c, http.StatusOK, map[string]any{"modems": a.modems(keyOf(c))})
}

// discreet leaves out of a modem what only an admin may see: the text that its
// network sent.
func discreet(key *auth.Key, m sms.Modem) sms.Modem {
	if m.Balance != nil && m.Balance.Answer != "" && !key.Can(auth.Admin) {
		b := *m.Balance
		b.Answer = ""
		m.Balance = &b
	}
	return m
}

func (a *API) modem(c echo.Context) (sms.Modem, error) {
	name := param(c, "name")
	if a.o.Modems != nil {
		if m, ok := a.o.Modems.Get(name); ok {
			return m, nil
		}
	}
	return sms.Modem{}, notFound.because("No modem has the name %q.", shorten(name))
}

// getModem is GET /v1/modems/{name}.
func (a *API) getModem(c echo.Context) error {
	m, err := a.modem(c)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, discreet(keyOf(c), m))
}

// resetModem is POST /v1/modems/{name}/reset.
func (a *API) resetModem(c echo.Context) error {
	m, err := a.modem(c)
	if err != nil {
		return err
	}
	if err := a.o.Modems.Reset(m.Name); err != nil {
		p := conflict.because("The modem can't be reset: %s.", err)
		p.cause = err
		return p
	}
	if now, ok := a.o.Modems.Get(m.Name); ok {
		m = now
	}
	return a.json(c, http.StatusAccepted, m)
}

// transcribeModem is GET /v1/modems/{name}/transcript.
func (a *API) transcribeModem(c echo.Context) error {
	q := newQuery(c)
	masked := q.oneOf("masked", "true", "false") != "false"
	if err := q.done(); err != nil {
		return err
	}
	m, err := a.modem(c)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := a.o.Modems.Transcript(m.Name, masked, &b); err != nil {
		p := conflict.because("The modem has no transcript: %s.", err)
		p.cause = err
		return p
	}
	return c.Blob(http.StatusOK, "text/plain; charset=utf-8", b.Bytes())
}

// forgetModem is DELETE /v1/modems/{name}.
func (a *API) forgetModem(c echo.Context) error {
	m, err := a.modem(c)
	if err != nil {
		return err
	}
	if err := a.o.Modems.Forget(m.Name); err != nil {
		p := conflict.because("The modem can't be forgotten: %s.", err)
		p.cause = err
		return p
	}
	return c.NoContent(http.StatusNoContent)
}

// getQueue is GET /v1/queue.
func (a *API) getQueue(c echo.Context) error {
	return a.json(c, http.StatusOK, a.o.Queue.Stats())
}

// listDeliveries is GET /v1/webhooks/deliveries.
func (a *API) listDeliveries(c echo.Context) error {
	q := newQuery(c)
	f := sms.DeliveryFilter{
		Status: sms.DeliveryStatus(q.oneOf("status", string(sms.DeliveryPending), string(sms.DeliveryDelivered),
			string(sms.DeliveryFailed), string(sms.DeliveryDropped))),
		Endpoint: q.line("endpoint"),
		Type:     q.line("type"),
		Message:  q.line("message"),
		Since:    q.instant("since"),
		Cursor:   q.line("cursor"),
		Limit:    q.limit(),
	}
	if err := q.done(); err != nil {
		return err
	}
	var page []sms.Delivery
	var next string
	if a.o.Deliveries != nil {
		var err error
		if page, next, err = a.o.Deliveries.List(c.Request().Context(), f); err != nil {
			return err
		}
	}
	for i := range page {
		page[i].History = orEmpty(page[i].History)
	}
	return a.json(c, http.StatusOK, map[string]any{"deliveries": orEmpty(page), "next_cursor": orNil(next)})
}

// retryDelivery is POST /v1/webhooks/deliveries/{id}/retry.
func (a *API) retryDelivery(c echo.Context) error {
	return a.changeDelivery(c, http.StatusAccepted, Deliveries.Retry, "Only a failed delivery can be retried.")
}

// dropDelivery is DELETE /v1/webhooks/deliveries/{id}.
func (a *API) dropDelivery(c echo.Context) error {
	return a.changeDelivery(c, http.StatusOK, Deliveries.Drop, "The delivery is over already.")
}

func (a *API) changeDelivery(c echo.Context, status int, change func(Deliveries, context.Context, string) (sms.Delivery, error), refused string) error {
	if a.o.Deliveries == nil {
		return notFound.because("No webhook is configured.")
	}
	d, err := change(a.o.Deliveries, context.WithoutCancel(c.Request().Context()), param(c, "id"))
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return notFound.because("No delivery has this id.")
	case errors.Is(err, queue.ErrConflict):
		return conflict.because("%s", refused)
	case err != nil:
		return err
	}
	d.History = orEmpty(d.History)
	return a.json(c, status, d)
}

package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

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
	// EnterPIN keeps a PIN for the SIM that asks for one, and has it entered once.
	EnterPIN(ctx context.Context, name, pin string) error
	// SignalHistory returns how well a modem heard its network since then, oldest
	// first: samples of sms.SignalStep, none of a time in which it was away.
	SignalHistory(ctx context.Context, name string, since time.Time) ([]sms.SignalSample, error)
	// Aim has a modem measure its signal often for a while, and returns it as it
	// is; its error says why it can't.
	Aim(name string) (sms.Modem, error)
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

// ListModems lists all modems.
func (a server) ListModems(ctx context.Context, _ ListModemsRequestObject) (ListModemsResponseObject, error) {
	return reply{status: http.StatusOK, v: map[string]any{"modems": a.modems(from(ctx).key)}}, nil
}

// discreet leaves out of a modem what the key's holder may not see: the text that its
// network sent is for admins, and who can only watch sees nothing that leads to a
// subscriber.
func discreet(key *auth.Key, m sms.Modem) sms.Modem {
	if !key.Can(auth.Read) {
		m.Number, m.IMSI, m.ICCID = "", "", ""
	}
	if m.Balance != nil && m.Balance.Answer != "" && !key.Can(auth.Admin) {
		b := *m.Balance
		b.Answer = ""
		m.Balance = &b
	}
	return m
}

func (a *API) modem(name string) (sms.Modem, error) {
	if a.o.Modems != nil {
		if m, ok := a.o.Modems.Get(name); ok {
			return m, nil
		}
	}
	return sms.Modem{}, notFound.because("No modem has the name %q.", shorten(name))
}

// GetModem shows one modem.
func (a server) GetModem(ctx context.Context, r GetModemRequestObject) (GetModemResponseObject, error) {
	m, err := a.modem(r.Name)
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: discreet(from(ctx).key, m)}, nil
}

// ResetModem asks a modem to restart.
func (a server) ResetModem(ctx context.Context, r ResetModemRequestObject) (ResetModemResponseObject, error) {
	m, err := a.modem(r.Name)
	if err != nil {
		return nil, err
	}
	if err := a.o.Modems.Reset(m.Name); err != nil {
		p := conflict.because("The modem can't be reset: %s.", err)
		p.cause = err
		return nil, p
	}
	if now, ok := a.o.Modems.Get(m.Name); ok {
		m = now
	}
	a.log.Info("a modem is restarted by hand", "modem", m.Name, "by", from(ctx).key.Name)
	return reply{status: http.StatusAccepted, v: discreet(from(ctx).key, m)}, nil
}

// TranscribeModem shows what went over a modem's port lately.
func (a server) TranscribeModem(_ context.Context, r TranscribeModemRequestObject) (TranscribeModemResponseObject, error) {
	m, err := a.modem(r.Name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := a.o.Modems.Transcript(m.Name, r.Params.Masked == nil || *r.Params.Masked, &b); err != nil {
		p := conflict.because("The modem has no transcript: %s.", err)
		p.cause = err
		return nil, p
	}
	return transcript{b.Bytes()}, nil
}

type transcript struct{ text []byte }

func (t transcript) VisitTranscribeModemResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8") // the generated one names no charset
	_, err := w.Write(t.text)
	return err
}

// ForgetModem drops what is remembered of a modem.
func (a server) ForgetModem(_ context.Context, r ForgetModemRequestObject) (ForgetModemResponseObject, error) {
	m, err := a.modem(r.Name)
	if err != nil {
		return nil, err
	}
	if err := a.o.Modems.Forget(m.Name); err != nil {
		p := conflict.because("The modem can't be forgotten: %s.", err)
		p.cause = err
		return nil, p
	}
	return ForgetModem204Response{}, nil
}

// GetQueue shows both rings.
func (a server) GetQueue(context.Context, GetQueueRequestObject) (GetQueueResponseObject, error) {
	return reply{status: http.StatusOK, v: a.o.Queue.Stats()}, nil
}

// ListDeliveries lists deliveries to webhooks.
func (a server) ListDeliveries(ctx context.Context, r ListDeliveriesRequestObject) (ListDeliveriesResponseObject, error) {
	p := r.Params
	f := sms.DeliveryFilter{Status: sms.DeliveryStatus(or(p.Status, "")), Endpoint: or(p.Endpoint, ""), Type: or(p.Type, ""), Message: or(p.Message, ""),
		Since: or(p.Since, time.Time{}), Cursor: or(p.Cursor, ""), Limit: or(p.Limit, defaultLimit)}
	var page []sms.Delivery
	var next string
	if a.o.Deliveries != nil {
		var err error
		if page, next, err = a.o.Deliveries.List(ctx, f); err != nil {
			return nil, err
		}
	}
	for i := range page {
		page[i].History = orEmpty(page[i].History)
	}
	return reply{status: http.StatusOK, v: map[string]any{"deliveries": orEmpty(page), "next_cursor": orNil(next)}}, nil
}

// RetryDelivery makes a failed delivery due now.
func (a server) RetryDelivery(ctx context.Context, r RetryDeliveryRequestObject) (RetryDeliveryResponseObject, error) {
	return a.changeDelivery(ctx, r.ID, http.StatusAccepted, Deliveries.Retry, "Only a failed delivery can be retried.")
}

// DropDelivery ends a delivery that nobody wants any more.
func (a server) DropDelivery(ctx context.Context, r DropDeliveryRequestObject) (DropDeliveryResponseObject, error) {
	return a.changeDelivery(ctx, r.ID, http.StatusOK, Deliveries.Drop, "The delivery is over already.")
}

func (a *API) changeDelivery(ctx context.Context, id string, status int, change func(Deliveries, context.Context, string) (sms.Delivery, error), refused string) (reply, error) {
	if a.o.Deliveries == nil {
		return reply{}, notFound.because("No webhook is configured.")
	}
	d, err := change(a.o.Deliveries, context.WithoutCancel(ctx), id)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return reply{}, notFound.because("No delivery has this id.")
	case errors.Is(err, queue.ErrConflict):
		return reply{}, conflict.because("%s", refused)
	case err != nil:
		return reply{}, err
	}
	d.History = orEmpty(d.History)
	return reply{status: status, v: d}, nil
}

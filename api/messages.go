package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatewayd/failpoint"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
	"gatewayd/wire"
)

// SendMessage takes one message in.
func (a server) SendMessage(ctx context.Context, r SendMessageRequestObject) (SendMessageResponseObject, error) {
	accepted, header, err := a.submit(ctx, r.Params.IdempotencyKey, []wire.NewMessage{*r.Body})
	if err != nil {
		return nil, err
	}
	header["Location"] = "/v1/messages/" + accepted[0].ID
	return reply{http.StatusAccepted, accepted[0], header}, nil
}

// SendBatch takes several messages in: all are accepted or none.
func (a server) SendBatch(ctx context.Context, r SendBatchRequestObject) (SendBatchResponseObject, error) {
	accepted, header, err := a.submit(ctx, r.Params.IdempotencyKey, r.Body.Messages, "messages")
	if err != nil {
		return nil, err
	}
	return reply{http.StatusAccepted, map[string]any{"messages": accepted}, header}, nil
}

// submit reads and queues messages that stand in the body, in the array of this
// name if they are a batch. The answer is given only once they are durable.
func (a server) submit(ctx context.Context, key *string, messages []wire.NewMessage, batch ...string) ([]sms.Message, map[string]string, error) {
	in := from(ctx)
	once := in.once(key)
	if once != nil {
		// A repetition gets the first answer even when its body would be
		// refused by now, because a time in it has passed or a modem is gone.
		accepted, replayed, err := a.o.Queue.Replay(ctx, once)
		if err != nil || replayed {
			return replay(accepted, err)
		}
	}
	drafts := make([]queue.Draft, len(messages))
	var own []mistake
	for i, m := range messages {
		var errs []FieldError
		var path []string
		if batch != nil {
			path = []string{batch[0], strconv.Itoa(i)}
		}
		drafts[i], errs = a.o.Desk.Draft(in.caller, in.order(m, path))
		own = append(own, mistakesOf(errs, path)...)
	}
	if errs := in.refused(own...); len(errs) > 0 {
		return nil, nil, wrong(cut(errs)...)
	}
	accepted, replayed, err := a.o.Desk.Submit(ctx, in.caller, drafts, once)
	if replayed || err != nil {
		return replay(accepted, err)
	}
	failpoint.Hit("api.before-202")
	return accepted, map[string]string{}, nil
}

// mistakesOf are what the desk found in the message at a place of the body.
func mistakesOf(errs []FieldError, path []string) (all []mistake) {
	for _, e := range errs {
		all = append(all, mistake{path: slices.Concat(path, strings.Split(e.Field, ".")), detail: e.Detail})
	}
	return all
}

// order is the message at a place of the body as the desk takes it.
func (in *incoming) order(m wire.NewMessage, path []string) intake.Message {
	o := order(m)
	if in.isWrong(append(path, "data")) {
		o.Data = []byte{} // it was left out, and meant all the same
	}
	return o
}

func order(m wire.NewMessage) intake.Message {
	o := intake.Message{
		To: m.To, From: or(m.From, ""), Gateway: or(m.Gateway, ""), Text: m.Text, Port: or(m.Port, 0), Priority: m.Priority,
		SendAt: or(m.SendAt, time.Time{}), ExpiresAt: or(m.ExpiresAt, time.Time{}), Flash: or(m.Flash, false), DeliveryReport: m.DeliveryReport,
		OnUnconfirmed: sms.OnUnconfirmed(or(m.OnUnconfirmed, "")), CallbackURL: or(m.CallbackURL, ""), ClientID: or(m.ClientID, ""),
		Unicode: intake.Unicode(or(m.Unicode, "")), RejectIfLate: or(m.RejectIfLate, false),
	}
	if m.Udh != nil {
		o.UDH, _ = hex.DecodeString(*m.Udh) // the document has checked it
	}
	if m.Data != nil {
		o.Data = *m.Data
	}
	if m.Metadata != nil {
		o.Metadata = *m.Metadata
	}
	return o
}

func replay(accepted []sms.Message, err error) ([]sms.Message, map[string]string, error) {
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return nil, nil, conflict.because("The message that this Idempotency-Key stands for was erased since; nothing was sent again.")
	case err != nil:
		return nil, nil, err
	}
	failpoint.Hit("api.replay")
	return accepted, map[string]string{"Idempotency-Replayed": "true"}, nil
}

// once is what an Idempotency-Key makes of the request; nil: it has none.
func (in *incoming) once(key *string) *queue.Idempotency {
	if key == nil {
		return nil
	}
	// The path counts as part of the body: a batch is not a repetition of a
	// single message.
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", in.op.path)
	h.Write(canonical(in.value))
	return &queue.Idempotency{KeyID: in.caller.KeyID, Key: *key, Body: h.Sum(nil)}
}

// GetMessage shows one message.
func (a server) GetMessage(ctx context.Context, r GetMessageRequestObject) (GetMessageResponseObject, error) {
	wait, mistake := waitOf(or(r.Params.Wait, ""))
	if mistake != "" {
		return nil, wrong(FieldError{Field: "wait", Detail: mistake})
	}
	var m *sms.Message
	err := a.waitFor(ctx, from(ctx).writer, wait, func(ctx context.Context) (_ bool, err error) {
		m, err = a.message(ctx, from(ctx).key, r.ID)
		return err == nil && until(m, string(or(r.Params.Until, ""))), err
	})
	if err != nil {
		return nil, err
	}
	a.o.Desk.Foreseen(ctx, m)
	return reply{status: http.StatusOK, v: m}, nil
}

// ListPDUs shows what a received message was made of.
func (a server) ListPDUs(ctx context.Context, r ListPDUsRequestObject) (ListPDUsResponseObject, error) {
	m, err := a.message(ctx, from(ctx).key, r.ID)
	if err != nil {
		return nil, err
	}
	pdus := []queue.PDU{} // an outbound message's rows are parts, and reports
	if m.Direction == sms.Inbound {
		if pdus, err = a.o.Queue.PDUs(ctx, m.Row); err != nil {
			return nil, err
		}
	}
	return reply{status: http.StatusOK, v: map[string]any{"pdus": pdus}}, nil
}

// ListMessages lists messages, newest first.
func (a server) ListMessages(ctx context.Context, r ListMessagesRequestObject) (ListMessagesResponseObject, error) {
	p := r.Params
	f := queue.Filter{
		Direction: sms.Direction(or(p.Direction, "")),
		To:        a.party(or(p.To, "")),
		From:      a.party(or(p.From, "")),
		Modem:     or(p.Modem, ""),
		Gateway:   or(p.Gateway, ""),
		Since:     or(p.Since, time.Time{}),
		Until:     or(p.Until, time.Time{}),
		ClientID:  or(p.ClientID, ""),
		Saying:    or(p.Q, ""),
		Cursor:    or(p.Cursor, ""),
		Limit:     or(p.Limit, defaultLimit),
	}
	for _, s := range or(p.Status, nil) {
		f.Status = append(f.Status, sms.Status(s))
	}
	if f.Saying != "" {
		found, err := a.search(ctx, from(ctx).key, f)
		if err != nil {
			return nil, err
		}
		return reply{status: http.StatusOK, v: messagePage{orEmpty(found.Messages), orNil(found.Next)}}, nil
	}
	page, next, err := a.list(ctx, from(ctx).key, f)
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: messagePage{orEmpty(page), orNil(next)}}, nil
}

type messagePage struct {
	Messages   []sms.Message `json:"messages"`
	NextCursor *string       `json:"next_cursor"`
}

// party normalises one side of a message to filter by. It may also be a
// modem's name or the name that a company sends under.
func (a *API) party(s string) string {
	if n, err := number.Parse(s, a.o.Region()); err == nil {
		return n
	}
	return s
}

// CancelMessage cancels a message that no modem has yet.
func (a server) CancelMessage(ctx context.Context, r CancelMessageRequestObject) (CancelMessageResponseObject, error) {
	return a.change(ctx, r.ID, a.o.Cancel)
}

// RedactMessage erases a message's text.
func (a server) RedactMessage(ctx context.Context, r RedactMessageRequestObject) (RedactMessageResponseObject, error) {
	return a.change(ctx, r.ID, a.o.Queue.Redact)
}

func (a *API) change(ctx context.Context, id string, how func(context.Context, string) (*sms.Message, error)) (reply, error) {
	if _, err := a.message(ctx, from(ctx).key, id); err != nil {
		return reply{}, err
	}
	m, err := how(context.WithoutCancel(ctx), id)
	return reply{status: http.StatusOK, v: m}, err
}

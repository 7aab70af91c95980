package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/labstack/echo/v4"

	"gatewayd/failpoint"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// sendMessage is POST /v1/messages.
func (a *API) sendMessage(c echo.Context) error {
	accepted, err := a.submit(c, maxMessageBody, func(body *object, errs *[]FieldError) []queue.Draft {
		return []queue.Draft{a.draft(callerOf(c), newFields(body, "", errs))}
	})
	if err != nil {
		return err
	}
	c.Response().Header().Set("Location", "/v1/messages/"+accepted[0].ID)
	return a.json(c, http.StatusAccepted, accepted[0])
}

// sendBatch is POST /v1/messages/batch: all messages are accepted or none.
func (a *API) sendBatch(c echo.Context) error {
	accepted, err := a.submit(c, maxBatchBody, func(body *object, errs *[]FieldError) []queue.Draft {
		return a.batch(callerOf(c), body, errs)
	})
	if err != nil {
		return err
	}
	return a.json(c, http.StatusAccepted, map[string]any{"messages": accepted})
}

func (a *API) batch(who intake.Caller, body *object, errs *[]FieldError) []queue.Draft {
	f := newFields(body, "", errs)
	v, ok := f.take("messages")
	list, isList := v.([]any)
	f.done()
	switch {
	case !ok:
		f.wrong("messages", "is missing")
	case !isList:
		f.wrong("messages", "must be an array")
	case len(list) == 0:
		f.wrong("messages", "is empty")
	case len(list) > maxBatch:
		f.wrong("messages", "has %d messages; at most %d are allowed", len(list), maxBatch)
		return nil
	}
	drafts := make([]queue.Draft, 0, len(list))
	for i, v := range list {
		o, ok := v.(*object)
		if !ok {
			f.wrong(fmt.Sprintf("messages[%d]", i), "must be an object")
			continue
		}
		drafts = append(drafts, a.draft(who, newFields(o, fmt.Sprintf("messages[%d].", i), errs)))
	}
	return drafts
}

// submit reads, checks and queues what a request asks for. The answer is
// given only once the messages are durable.
func (a *API) submit(c echo.Context, limit int64, read func(*object, *[]FieldError) []queue.Draft) ([]sms.Message, error) {
	r := c.Request()
	v, err := readJSON(c.Response(), r, limit)
	if err != nil {
		return nil, err
	}
	body, ok := v.(*object)
	if !ok {
		return nil, wrong(FieldError{Field: "body", Detail: "must be a JSON object"})
	}
	once, err := idempotency(c, body)
	if err != nil {
		return nil, err
	}
	if once != nil {
		// A repetition gets the first answer even when its body would be
		// refused by now, because a time in it has passed or a modem is gone.
		accepted, replayed, err := a.o.Queue.Replay(r.Context(), once)
		if err != nil || replayed {
			return a.replayed(c, accepted, err)
		}
	}
	var errs []FieldError
	drafts := read(body, &errs)
	if len(errs) > 0 {
		return nil, wrong(errs...)
	}
	accepted, replayed, err := a.o.Desk.Submit(r.Context(), callerOf(c), drafts, once)
	if replayed || err != nil {
		return a.replayed(c, accepted, err)
	}
	failpoint.Hit("api.before-202")
	return accepted, nil
}

func (a *API) replayed(c echo.Context, accepted []sms.Message, err error) ([]sms.Message, error) {
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return nil, conflict.because("The message that this Idempotency-Key stands for was erased since; nothing was sent again.")
	case err != nil:
		return nil, err
	}
	failpoint.Hit("api.replay")
	c.Response().Header().Set("Idempotency-Replayed", "true")
	return accepted, nil
}

// idempotency reads the header Idempotency-Key; nil: the request has none.
func idempotency(c echo.Context, body *object) (*queue.Idempotency, error) {
	values := c.Request().Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return nil, nil
	}
	key := values[0]
	if len(values) > 1 || key == "" || len(key) > 255 ||
		strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, wrong(FieldError{Field: "Idempotency-Key", Detail: "must be one header of 1 to 255 visible ASCII characters"})
	}
	// The path counts as part of the body: a batch is not a repetition of a
	// single message.
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", c.Path())
	h.Write(canonical(body))
	return &queue.Idempotency{KeyID: keyOf(c).ID, Key: key, Body: h.Sum(nil)}, nil
}

// getMessage is GET /v1/messages/{id}.
func (a *API) getMessage(c echo.Context) error {
	m, err := a.o.Queue.Message(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, m)
}

// listPDUs is GET /v1/messages/{id}/pdus.
func (a *API) listPDUs(c echo.Context) error {
	ctx := c.Request().Context()
	m, err := a.o.Queue.Message(ctx, param(c, "id"))
	if err != nil {
		return err
	}
	pdus := []queue.PDU{} // an outbound message's rows are parts, and reports
	if m.Direction == sms.Inbound {
		if pdus, err = a.o.Queue.PDUs(ctx, m.Row); err != nil {
			return err
		}
	}
	return a.json(c, http.StatusOK, map[string]any{"pdus": pdus})
}

// listMessages is GET /v1/messages.
func (a *API) listMessages(c echo.Context) error {
	q := newQuery(c)
	f := queue.Filter{
		Direction: sms.Direction(q.oneOf("direction", string(sms.Outbound), string(sms.Inbound))),
		To:        a.party(q.line("to")),
		From:      a.party(q.line("from")),
		Modem:     q.line("modem"),
		Since:     q.instant("since"),
		Until:     q.instant("until"),
		Cursor:    q.line("cursor"),
		Limit:     q.limit(),
	}
	for _, s := range q.list("status") {
		if !sms.Status(s).Valid() {
			q.wrong("status", "has %q, which is no status", shorten(s))
		}
		f.Status = append(f.Status, sms.Status(s))
	}
	if err := q.done(); err != nil {
		return err
	}
	page, next, err := a.o.Queue.List(c.Request().Context(), f)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, messagePage{orEmpty(page), orNil(next)})
}

type messagePage struct {
	Messages   []sms.Message `json:"messages"`
	NextCursor *string       `json:"next_cursor"`
}

// party normalises one side of a message to filter by. It may also be a
// modem's name or the name that a company sends under.
func (a *API) party(s string) string {
	if n, err := number.Parse(s, a.o.Region); err == nil {
		return n
	}
	return s
}

// cancelMessage is DELETE /v1/messages/{id}.
func (a *API) cancelMessage(c echo.Context) error {
	return a.change(c, a.o.Queue.Cancel)
}

// redactMessage is POST /v1/messages/{id}/redact.
func (a *API) redactMessage(c echo.Context) error {
	return a.change(c, a.o.Queue.Redact)
}

func (a *API) change(c echo.Context, how func(context.Context, string) (*sms.Message, error)) error {
	m, err := how(context.WithoutCancel(c.Request().Context()), param(c, "id"))
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, m)
}

// eraseNumber is DELETE /v1/numbers/{number}.
func (a *API) eraseNumber(c echo.Context) error {
	n, err := number.Parse(param(c, "number"), a.o.Region)
	if err != nil {
		// Companies send under names, which are kept as they came.
		name := param(c, "number")
		if !strings.ContainsFunc(name, unicode.IsLetter) || checkLine(name, 20) != "" {
			return wrong(FieldError{Field: "number", Detail: err.Error()})
		}
		n = name
	}
	erased, err := a.o.Queue.EraseNumber(context.WithoutCancel(c.Request().Context()), n)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, map[string]any{"number": n, "erased": erased})
}

package api

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/queue"
	"gatewayd/sms"
)

// Webhooks is what the API sees of the endpoints. Its errors are queue.ErrNotFound,
// queue.ErrConflict with words, and sms.WebhookMistakes.
type Webhooks interface {
	// Webhooks lists the endpoints in their order.
	Webhooks(context.Context) ([]sms.Webhook, error)
	Webhook(ctx context.Context, id string) (sms.Webhook, error)
	Create(context.Context, sms.WebhookChange) (sms.Webhook, error)
	Change(ctx context.Context, id string, c sms.WebhookChange) (sms.Webhook, error)
	Delete(ctx context.Context, id string) error
	// Enable is the way back of one that is disabled or paused.
	Enable(ctx context.Context, id string) (sms.Webhook, error)
	// RotateSecret shows the new secret; the old one signs too for the overlap.
	RotateSecret(ctx context.Context, id string, overlap time.Duration) (sms.Webhook, error)
	// Test posts an event now and waits for the answer.
	Test(ctx context.Context, id string) (sms.WebhookTest, error)
	Replay(ctx context.Context, id string, r sms.WebhookReplay) (sms.WebhookReplayed, error)
	CallbackSecret(context.Context) (sms.CallbackSecret, error)
	RotateCallbackSecret(ctx context.Context, overlap time.Duration) (sms.CallbackSecret, error)
}

// maxOverlap is how long an old secret may go on signing; the default is a day.
const maxOverlap = 30 * 24 * time.Hour

// webhookError words what the webhooks say no to.
func webhookError(err error) error {
	var mistakes sms.WebhookMistakes
	switch {
	case errors.As(err, &mistakes):
		var errs []FieldError
		for _, m := range mistakes {
			errs = append(errs, FieldError{Field: m.Field, Detail: m.Detail})
		}
		return wrong(errs[:min(len(errs), maxErrors)]...)
	case errors.Is(err, queue.ErrNotFound):
		return notFound.because("No webhook has this id.")
	case errors.Is(err, queue.ErrConflict):
		return conflict.because("%s.", capital(err.Error()))
	}
	return err
}

// hooks are the webhooks, if the gateway has any part for them.
func (a *API) hooks() (Webhooks, error) {
	if a.o.Webhooks == nil {
		return nil, notFound.because("This gateway has no webhooks.")
	}
	return a.o.Webhooks, nil
}

// withWebhook answers with what do makes of the webhook in the path.
func withWebhook[T any](a *API, c echo.Context, do func(ctx context.Context, w Webhooks, id string) (T, error)) error {
	w, err := a.hooks()
	if err != nil {
		return err
	}
	v, err := do(context.WithoutCancel(c.Request().Context()), w, param(c, "id"))
	if err != nil {
		return webhookError(err)
	}
	return a.json(c, http.StatusOK, v)
}

// listWebhooks is GET /v1/webhooks.
func (a *API) listWebhooks(c echo.Context) error {
	w, err := a.hooks()
	if err != nil {
		return err
	}
	all, err := w.Webhooks(c.Request().Context())
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, map[string]any{"webhooks": orEmpty(all)})
}

// createWebhook is POST /v1/webhooks.
func (a *API) createWebhook(c echo.Context) error {
	w, err := a.hooks()
	if err != nil {
		return err
	}
	change, err := readWebhook(c, true)
	if err != nil {
		return err
	}
	made, err := w.Create(context.WithoutCancel(c.Request().Context()), change)
	if err != nil {
		return webhookError(err)
	}
	c.Response().Header().Set("Location", "/v1/webhooks/"+made.ID)
	return a.json(c, http.StatusCreated, made)
}

// getWebhook is GET /v1/webhooks/{id}.
func (a *API) getWebhook(c echo.Context) error {
	return withWebhook(a, c, func(ctx context.Context, w Webhooks, id string) (sms.Webhook, error) { return w.Webhook(ctx, id) })
}

// changeWebhook is PATCH /v1/webhooks/{id}.
func (a *API) changeWebhook(c echo.Context) error {
	change, err := readWebhook(c, false)
	if err != nil {
		return err
	}
	return withWebhook(a, c, func(ctx context.Context, w Webhooks, id string) (sms.Webhook, error) {
		return w.Change(ctx, id, change)
	})
}

// deleteWebhook is DELETE /v1/webhooks/{id}.
func (a *API) deleteWebhook(c echo.Context) error {
	w, err := a.hooks()
	if err != nil {
		return err
	}
	if err := w.Delete(context.WithoutCancel(c.Request().Context()), param(c, "id")); err != nil {
		return webhookError(err)
	}
	return c.NoContent(http.StatusNoContent)
}

// enableWebhook is POST /v1/webhooks/{id}/enable.
func (a *API) enableWebhook(c echo.Context) error {
	return withWebhook(a, c, func(ctx context.Context, w Webhooks, id string) (sms.Webhook, error) { return w.Enable(ctx, id) })
}

// testWebhook is POST /v1/webhooks/{id}/test.
func (a *API) testWebhook(c echo.Context) error {
	// A mail server takes longer than other requests may.
	if err := http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		a.log.Debug("a request keeps its time limit", "error", err)
	}
	return withWebhook(a, c, func(ctx context.Context, w Webhooks, id string) (sms.WebhookTest, error) { return w.Test(ctx, id) })
}

// rotateWebhookSecret is POST /v1/webhooks/{id}/rotate-secret.
func (a *API) rotateWebhookSecret(c echo.Context) error {
	overlap, err := readOverlap(c)
	if err != nil {
		return err
	}
	return withWebhook(a, c, func(ctx context.Context, w Webhooks, id string) (sms.Webhook, error) {
		return w.RotateSecret(ctx, id, overlap)
	})
}

// replayWebhook is POST /v1/webhooks/{id}/replay.
func (a *API) replayWebhook(c echo.Context) error {
	o, err := readObject(c, false)
	if err != nil {
		return err
	}
	var errs []FieldError
	f := newFields(o, "", &errs)
	r := sms.WebhookReplay{Since: f.instant("since"), Until: f.instant("until"), All: f.oneOf("only", "failed", "all") == "all"}
	if f.done(); o.members["since"] == nil {
		f.wrong("since", "is missing")
	}
	if !r.Until.IsZero() && r.Until.Before(r.Since) {
		f.wrong("until", "is before since")
	}
	if len(errs) > 0 {
		return wrong(errs...)
	}
	return withWebhook(a, c, func(ctx context.Context, w Webhooks, id string) (sms.WebhookReplayed, error) {
		return w.Replay(ctx, id, r)
	})
}

// getCallbackSecret is GET /v1/webhooks/callback-secret.
func (a *API) getCallbackSecret(c echo.Context) error {
	return withWebhook(a, c, func(ctx context.Context, w Webhooks, _ string) (sms.CallbackSecret, error) {
		return w.CallbackSecret(ctx)
	})
}

// rotateCallbackSecret is POST /v1/webhooks/callback-secret/rotate.
func (a *API) rotateCallbackSecret(c echo.Context) error {
	overlap, err := readOverlap(c)
	if err != nil {
		return err
	}
	return withWebhook(a, c, func(ctx context.Context, w Webhooks, _ string) (sms.CallbackSecret, error) {
		return w.RotateCallbackSecret(ctx, overlap)
	})
}

// readObject reads a body that is an object; optional: it may be left out.
func readObject(c echo.Context, optional bool) (*object, error) {
	r := c.Request()
	if optional && r.ContentLength == 0 {
		return &object{members: map[string]any{}}, nil
	}
	v, err := readJSON(c.Response(), r, maxMessageBody)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*object)
	if !ok {
		return nil, wrong(FieldError{Field: "body", Detail: "must be a JSON object"})
	}
	return o, nil
}

func readOverlap(c echo.Context) (time.Duration, error) {
	o, err := readObject(c, true)
	if err != nil {
		return 0, err
	}
	var errs []FieldError
	f := newFields(o, "", &errs)
	overlap := 24 * time.Hour
	if s, ok := f.line("overlap", 64); ok {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 || d > maxOverlap {
			f.wrong("overlap", "must be a duration from 0s to 720h, such as 24h or 90m")
		}
		overlap = d
	}
	if f.done(); len(errs) > 0 {
		return 0, wrong(errs...)
	}
	return overlap, nil
}

// readWebhook reads what is wanted of a new webhook, or changed of one that is
// there by a JSON merge patch (RFC 7396): null takes the default.
func readWebhook(c echo.Context, isNew bool) (change sms.WebhookChange, err error) {
	r := c.Request()
	if media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && media == "application/merge-patch+json" && !isNew {
		r.Header.Set("Content-Type", mime.FormatMediaType("application/json", params))
	}
	o, err := readObject(c, false)
	if err != nil {
		return change, err
	}
	var errs []FieldError
	f := newFields(o, "", &errs)
	change = sms.WebhookChange{
		Name: patched(f, "name", 32), Description: patched(f, "description", 500), URL: patched(f, "url", 2048),
		Enabled: patchedBoolean(f, "enabled", true), Stop: patchedBoolean(f, "stop", false),
	}
	if isNew {
		change.Secret = patched(f, "secret", 255)
	}
	if change.URL == nil && isNew || change.URL != nil && *change.URL == "" && len(errs) == 0 {
		f.wrong("url", "is missing: the address that events are posted to")
	}
	if _, given := o.members["position"]; given {
		n := f.integer("position", 0, 1_000_000, 0)
		change.Position = &n
	}
	readEvents(f, &change)
	readMatch(f, &change, &errs)
	readHeaders(f, &change)
	if f.done(); len(errs) > 0 {
		return change, wrong(errs...)
	}
	return change, nil
}

// patched takes a string; null is "", absent nil.
func patched(f *fields, name string, most int) *string {
	v, given := f.o.members[name]
	if !given {
		return nil
	}
	s := ""
	if v != nil {
		s, _ = f.line(name, most)
	}
	f.taken[name] = true
	return &s
}

func patchedBoolean(f *fields, name string, otherwise bool) *bool {
	if _, given := f.o.members[name]; !given {
		return nil
	}
	b := f.boolean(name, otherwise)
	return &b
}

func readEvents(f *fields, change *sms.WebhookChange) {
	v, given := f.o.members["events"]
	f.taken["events"] = true
	if !given {
		return
	}
	events := []string{"*"}
	if v != nil {
		list, ok := v.([]any)
		if !ok || len(list) > 100 {
			f.wrong("events", "must be an array of event types")
			return
		}
		events = []string{}
		for i, one := range list {
			s, ok := one.(string)
			if !ok {
				f.wrong(fmt.Sprintf("events[%d]", i), "must be a string")
			}
			events = append(events, s)
		}
	}
	change.Events = &events
}

func readMatch(f *fields, change *sms.WebhookChange, errs *[]FieldError) {
	v, given := f.o.members["match"]
	f.taken["match"] = true
	if !given {
		return
	}
	m := &sms.WebhookMatchChange{}
	change.Match = m
	any := ""
	if v == nil {
		*m = sms.WebhookMatchChange{Modem: &any, To: &any, FromPrefix: &any, Keyword: &any}
		return
	}
	o, ok := v.(*object)
	if !ok {
		f.wrong("match", "must be an object")
		return
	}
	inner := newFields(o, "match.", errs)
	*m = sms.WebhookMatchChange{Modem: patched(inner, "modem", 255), To: patched(inner, "to", 255),
		FromPrefix: patched(inner, "from_prefix", 255), Keyword: patched(inner, "keyword", 255)}
	inner.done()
}

func readHeaders(f *fields, change *sms.WebhookChange) {
	v, given := f.o.members["headers"]
	f.taken["headers"] = true
	if !given {
		return
	}
	if v == nil {
		change.NoHeaders = true
		return
	}
	o, ok := v.(*object)
	if !ok {
		f.wrong("headers", "must be an object of strings")
		return
	}
	change.Headers = map[string]*string{}
	for _, name := range o.names {
		switch v := o.members[name].(type) {
		case nil:
			change.Headers[name] = nil
		case string:
			change.Headers[name] = &v
		default:
			f.wrong("headers."+shorten(name), "must be a string, or null to take it away")
		}
	}
	for _, name := range o.twice {
		f.wrong("headers."+shorten(name), "is given twice")
	}
}

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/wire"
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

// How long an old secret may go on signing, and does unless the request says so.
const (
	maxOverlap     = 30 * 24 * time.Hour
	defaultOverlap = 24 * time.Hour
)

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

// withWebhook answers with what do makes of the webhook that has the id.
func withWebhook[T any](ctx context.Context, a server, id string, do func(ctx context.Context, w Webhooks, id string) (T, error)) (reply, error) {
	w, err := a.hooks()
	if err != nil {
		return reply{}, err
	}
	v, err := do(context.WithoutCancel(ctx), w, id)
	if err != nil {
		return reply{}, webhookError(err)
	}
	return reply{status: http.StatusOK, v: v}, nil
}

// ListWebhooks lists the webhooks in their order.
func (a server) ListWebhooks(ctx context.Context, _ ListWebhooksRequestObject) (ListWebhooksResponseObject, error) {
	w, err := a.hooks()
	if err != nil {
		return nil, err
	}
	all, err := w.Webhooks(ctx)
	if err != nil {
		return nil, err
	}
	return reply{status: http.StatusOK, v: map[string]any{"webhooks": orEmpty(all)}}, nil
}

// CreateWebhook makes a webhook.
func (a server) CreateWebhook(ctx context.Context, r CreateWebhookRequestObject) (CreateWebhookResponseObject, error) {
	w, err := a.hooks()
	if err != nil {
		return nil, err
	}
	b := r.Body
	change := from(ctx).webhookChange(wire.WebhookChange{URL: &b.URL, Name: b.Name, Description: b.Description, Events: b.Events, Match: b.Match,
		Stop: b.Stop, Position: b.Position, Headers: b.Headers, Enabled: b.Enabled})
	change.Secret = b.Secret
	made, err := w.Create(context.WithoutCancel(ctx), change)
	if err != nil {
		return nil, webhookError(err)
	}
	return reply{http.StatusCreated, made, map[string]string{"Location": "/v1/webhooks/" + made.ID}}, nil
}

// GetWebhook shows one webhook.
func (a server) GetWebhook(ctx context.Context, r GetWebhookRequestObject) (GetWebhookResponseObject, error) {
	return withWebhook(ctx, a, r.ID, func(ctx context.Context, w Webhooks, id string) (sms.Webhook, error) { return w.Webhook(ctx, id) })
}

// ChangeWebhook changes a webhook.
func (a server) ChangeWebhook(ctx context.Context, r ChangeWebhookRequestObject) (ChangeWebhookResponseObject, error) {
	change := from(ctx).webhookChange(*r.Body)
	if change.URL != nil && *change.URL == "" {
		return nil, wrong(FieldError{Field: "url", Detail: "is missing: the address that events are posted to"})
	}
	return withWebhook(ctx, a, r.ID, func(ctx context.Context, w Webhooks, id string) (sms.Webhook, error) {
		return w.Change(ctx, id, change)
	})
}

// DeleteWebhook deletes a webhook.
func (a server) DeleteWebhook(ctx context.Context, r DeleteWebhookRequestObject) (DeleteWebhookResponseObject, error) {
	w, err := a.hooks()
	if err != nil {
		return nil, err
	}
	if err := w.Delete(context.WithoutCancel(ctx), r.ID); err != nil {
		return nil, webhookError(err)
	}
	return DeleteWebhook204Response{}, nil
}

// EnableWebhook is the way back of one that is disabled or paused.
func (a server) EnableWebhook(ctx context.Context, r EnableWebhookRequestObject) (EnableWebhookResponseObject, error) {
	return withWebhook(ctx, a, r.ID, func(ctx context.Context, w Webhooks, id string) (sms.Webhook, error) { return w.Enable(ctx, id) })
}

// TestWebhook posts an event now and tells how that went.
func (a server) TestWebhook(ctx context.Context, r TestWebhookRequestObject) (TestWebhookResponseObject, error) {
	// A mail server takes longer than other requests may.
	if err := http.NewResponseController(from(ctx).writer).SetWriteDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		a.log.Debug("a request keeps its time limit", "error", err)
	}
	return withWebhook(ctx, a, r.ID, func(ctx context.Context, w Webhooks, id string) (sms.WebhookTest, error) { return w.Test(ctx, id) })
}

// RotateWebhookSecret gives a webhook a new secret.
func (a server) RotateWebhookSecret(ctx context.Context, r RotateWebhookSecretRequestObject) (RotateWebhookSecretResponseObject, error) {
	overlap, err := rotationOf(r.Body)
	if err != nil {
		return nil, err
	}
	return withWebhook(ctx, a, r.ID, func(ctx context.Context, w Webhooks, id string) (sms.Webhook, error) {
		return w.RotateSecret(ctx, id, overlap)
	})
}

// ReplayWebhook sends events again.
func (a server) ReplayWebhook(ctx context.Context, r ReplayWebhookRequestObject) (ReplayWebhookResponseObject, error) {
	again := sms.WebhookReplay{Since: r.Body.Since, Until: or(r.Body.Until, time.Time{}), All: or(r.Body.Only, "") == wire.WebhookReplayOnlyAll}
	if !again.Until.IsZero() && again.Until.Before(again.Since) {
		return nil, wrong(FieldError{Field: "until", Detail: "is before since"})
	}
	return withWebhook(ctx, a, r.ID, func(ctx context.Context, w Webhooks, id string) (sms.WebhookReplayed, error) {
		return w.Replay(ctx, id, again)
	})
}

// GetCallbackSecret shows what signs for callback URLs.
func (a server) GetCallbackSecret(ctx context.Context, _ GetCallbackSecretRequestObject) (GetCallbackSecretResponseObject, error) {
	return withWebhook(ctx, a, "", func(ctx context.Context, w Webhooks, _ string) (sms.CallbackSecret, error) {
		return w.CallbackSecret(ctx)
	})
}

// RotateCallbackSecret makes a new secret for callback URLs.
func (a server) RotateCallbackSecret(ctx context.Context, r RotateCallbackSecretRequestObject) (RotateCallbackSecretResponseObject, error) {
	overlap, err := rotationOf(r.Body)
	if err != nil {
		return nil, err
	}
	return withWebhook(ctx, a, "", func(ctx context.Context, w Webhooks, _ string) (sms.CallbackSecret, error) {
		return w.RotateCallbackSecret(ctx, overlap)
	})
}

// rotationOf is the overlap that a secret's rotation asks for; the body may be missing.
func rotationOf(b *wire.SecretRotation) (time.Duration, error) {
	if b == nil {
		return defaultOverlap, nil
	}
	return overlapOf(b.Overlap, defaultOverlap, maxOverlap)
}

// overlapOf reads how long what is replaced stays good: whole seconds or a duration.
func overlapOf(v *wire.Overlap, otherwise, most time.Duration) (time.Duration, error) {
	if v == nil || *v == nil {
		return otherwise, nil
	}
	d := time.Duration(-1)
	switch v := (*v).(type) {
	case float64:
		if v <= most.Seconds() {
			d = time.Duration(v) * time.Second
		}
	case string:
		if parsed, err := time.ParseDuration(v); err == nil && parsed <= most {
			d = parsed
		}
	}
	if d < 0 {
		return 0, wrong(FieldError{Field: "overlap", Detail: fmt.Sprintf("must be whole seconds from 0 to %.0f, or a duration from 0s to %.0fh such as 24h or 90m",
			most.Seconds(), most.Hours())})
	}
	return d, nil
}

// webhookChange is what is wanted of a new webhook, or changed of one that is
// there by a JSON merge patch (RFC 7396): null takes the default. The types don't
// tell it from what was left out, so the body as it came is asked for that.
func (in *incoming) webhookChange(b wire.WebhookChange) sms.WebhookChange {
	given, _ := in.value.any.(map[string]any)
	c := sms.WebhookChange{
		Name: patched(given, "name", b.Name, ""), Description: patched(given, "description", b.Description, ""), URL: patched(given, "url", b.URL, ""),
		Enabled: patched(given, "enabled", b.Enabled, true), Stop: patched(given, "stop", b.Stop, false),
		Position: patched(given, "position", b.Position, 0), Events: patched(given, "events", b.Events, []string{"*"}),
		Headers: or(b.Headers, nil),
	}
	if headers, ok := given["headers"]; ok {
		c.NoHeaders = headers == nil
	}
	if match, ok := given["match"]; ok {
		m := or(b.Match, wire.NewWebhookMatch{})
		given, ok := match.(map[string]any)
		if !ok { // null: it matches any
			given = map[string]any{"modem": nil, "to": nil, "from_prefix": nil, "keyword": nil}
		}
		c.Match = &sms.WebhookMatchChange{Modem: patched(given, "modem", m.Modem, ""), To: patched(given, "to", m.To, ""),
			FromPrefix: patched(given, "from_prefix", m.FromPrefix, ""), Keyword: patched(given, "keyword", m.Keyword, "")}
	}
	return c
}

// patched is a member of a merge patch: nil if it was left out, otherwise if it
// is null.
func patched[T any](given map[string]any, name string, v *T, otherwise T) *T {
	if _, ok := given[name]; !ok {
		return nil
	}
	if v == nil {
		return &otherwise
	}
	return v
}

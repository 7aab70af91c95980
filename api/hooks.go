package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/door"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/wire"
)

// Hooks is what the API sees of the inbound hooks. Its errors are
// intake.Refused, *sms.HookError and those of package queue.
type Hooks interface {
	List(context.Context) ([]sms.Hook, error)
	Get(ctx context.Context, id string) (sms.Hook, error)
	// Create and Rotate return the token, which nobody can read again.
	Create(context.Context, sms.HookSettings) (sms.Hook, string, error)
	Update(ctx context.Context, id string, s sms.HookSettings) (sms.Hook, error)
	Rotate(ctx context.Context, id string, overlap time.Duration) (sms.Hook, string, error)
	Delete(ctx context.Context, id string) error
	// Defaults are the settings that a new hook of a preset begins with.
	Defaults(preset string) sms.HookSettings
	Preview(context.Context, sms.HookSettings, *sms.HookRequest) (sms.HookPreview, error)
	// Receive makes messages of a request.
	Receive(context.Context, *sms.HookRequest) (sms.HookAnswer, error)
}

// maxHookBody is the largest body that a hook reads: a group of some thousand
// alerts.
const maxHookBody = 1 << 20

// maxTokenOverlap is how long a token that was replaced may stay good.
const maxTokenOverlap = 7 * 24 * time.Hour

// receiveHook is POST /hooks/{token}. The token in the path is
// the credential.
func (a *API) receiveHook(c echo.Context) error {
	r := c.Request()
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, maxHookBody))
	if err != nil {
		if tooMany := (*http.MaxBytesError)(nil); errors.As(err, &tooMany) {
			return tooLarge.because("The body is larger than %d bytes.", maxHookBody)
		}
		p := badRequest.because("The body ended before its announced length, or too slowly.")
		p.cause = err
		return p
	}
	remote, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		remote = r.RemoteAddr
	}
	answer, err := a.o.Hooks.Receive(r.Context(), &sms.HookRequest{
		Token: param(c, "token"), Remote: remote, Method: r.Method, Header: r.Header, Query: r.URL.Query(), Body: body,
	})
	if answer.Preset == "" && errors.Is(err, queue.ErrNotFound) {
		// Only wrong tokens are counted: what guesses must not keep an alarm out.
		if wait := a.guesses.Take(door.Guesser(r)); wait > 0 {
			p := tooManyAttempts.because("Too many wrong tokens came from there.")
			p.retry = wait
			return p
		}
		return notFound.because("No such hook.")
	}
	if errors.Is(err, intake.ErrUnderWay) { // no sender comes again after 409
		p := notReady.because("The same request is under way. Ask again in a moment: it is then answered as the first was.")
		p.retry, p.cause, err = time.Second, err, p
	}
	if err != nil && answer.Preset == "supabase" {
		return a.supabaseError(c, err)
	}
	switch {
	case err != nil:
		p := problemOf(hookProblem(c.Response().Header(), err))
		if p.kind == hookTooFast && answer.Preset == "alertmanager" {
			again := *p.kind // it gives up after 429, and comes again after any 5xx
			again.Status, p.kind = http.StatusServiceUnavailable, &again
		}
		return p
	case answer.Preset == "supabase":
		return a.supabaseAnswer(c, answer)
	case answer.Preset == "slack":
		return c.String(http.StatusOK, "ok") // some of its clients take nothing else
	}
	return a.json(c, http.StatusAccepted, answer)
}

// putHook is PUT /hooks/{token}.
func (a *API) putHook(c echo.Context) error { return a.receiveHook(c) }

// getByHook is GET /hooks/{token}.
func (a *API) getByHook(c echo.Context) error { return a.receiveHook(c) }

// hookProblem is what is told of a request that a hook does not take.
func hookProblem(h http.Header, err error) error {
	var he *sms.HookError
	if !errors.As(err, &he) {
		return err
	}
	detail := capital(he.Detail) + "."
	switch he.Refusal {
	case sms.HookUnsigned:
		return badSignature.because("%s", detail)
	case sms.HookUnreadable:
		return badRequest.because("%s", detail)
	case sms.HookTooFast:
		p := hookTooFast.because("%s", detail)
		p.retry = he.Wait
		return p
	default:
		h.Set("Allow", "POST, PUT")
		return methodNotAllowed.because("%s", detail)
	}
}

// supabaseAnswer tells Supabase that a code is on its way, or that it is not:
// somebody waits for it.
func (a *API) supabaseAnswer(c echo.Context, answer sms.HookAnswer) error {
	for _, m := range answer.Messages {
		if m.Status == sms.Failed {
			return a.supabaseError(c, wrong(FieldError{Field: "to", Detail: "is a number that asked for no more messages"}))
		}
	}
	if answer.Skipped != nil && !answer.Replayed {
		return a.supabaseError(c, badRequest.because("%s.", capital(*answer.Skipped)))
	}
	return a.json(c, http.StatusOK, struct{}{})
}

// supabaseError tells an error so that Supabase shows it: it reads the body of
// 200 alone, and tries again after 429 and 503.
func (a *API) supabaseError(c echo.Context, err error) error {
	p := problemOf(hookProblem(c.Response().Header(), err))
	if p.Status == http.StatusUnauthorized || p.Status >= 429 {
		return p
	}
	return a.json(c, http.StatusOK, map[string]any{"error": map[string]any{"http_code": p.Status, "message": p.detail}})
}

// hookWithToken is a hook together with its token, which is shown once.
type hookWithToken struct {
	sms.Hook
	Token string `json:"token"`
	Path  string `json:"path"`
}

func withToken(h sms.Hook, token string) hookWithToken {
	return hookWithToken{h, token, "/hooks/" + token}
}

// ListHooks lists the hooks, newest first.
func (a server) ListHooks(ctx context.Context, _ ListHooksRequestObject) (ListHooksResponseObject, error) {
	all, err := a.o.Hooks.List(ctx)
	return reply{status: http.StatusOK, v: map[string]any{"hooks": orEmpty(all)}}, err
}

// GetHook shows one hook.
func (a server) GetHook(ctx context.Context, r GetHookRequestObject) (GetHookResponseObject, error) {
	h, err := a.o.Hooks.Get(ctx, r.ID)
	return reply{status: http.StatusOK, v: h}, err
}

// CreateHook makes a hook.
func (a server) CreateHook(ctx context.Context, r CreateHookRequestObject) (CreateHookResponseObject, error) {
	h, token, err := a.o.Hooks.Create(ctx, a.hookSettings(r.Body, nil))
	if err != nil {
		return nil, err
	}
	return reply{http.StatusCreated, withToken(h, token), map[string]string{"Location": "/v1/hooks/" + h.ID}}, nil
}

// UpdateHook changes a hook: what is not given stays.
func (a server) UpdateHook(ctx context.Context, r UpdateHookRequestObject) (UpdateHookResponseObject, error) {
	before, err := a.o.Hooks.Get(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	h, err := a.o.Hooks.Update(ctx, before.ID, a.hookSettings(r.Body, &before.HookSettings))
	return reply{status: http.StatusOK, v: h}, err
}

// DeleteHook deletes a hook.
func (a server) DeleteHook(ctx context.Context, r DeleteHookRequestObject) (DeleteHookResponseObject, error) {
	return DeleteHook204Response{}, a.o.Hooks.Delete(ctx, r.ID)
}

// RotateHook gives a hook a new token.
func (a server) RotateHook(ctx context.Context, r RotateHookRequestObject) (RotateHookResponseObject, error) {
	var asked *wire.Overlap
	if r.Body != nil {
		asked = r.Body.Overlap
	}
	overlap, err := overlapOf(asked, 0, maxTokenOverlap)
	if err != nil {
		return nil, err
	}
	h, token, err := a.o.Hooks.Rotate(ctx, r.ID, overlap)
	return reply{status: http.StatusOK, v: withToken(h, token)}, err
}

// PreviewHook tells what a hook would make of a request. Nothing is sent.
func (a server) PreviewHook(ctx context.Context, r PreviewHookRequestObject) (PreviewHookResponseObject, error) {
	var before *sms.HookSettings
	if r.Body.Hook != nil {
		h, err := a.o.Hooks.Get(ctx, *r.Body.Hook)
		if err != nil {
			return nil, err
		}
		before = &h.HookSettings
	}
	in := from(ctx)
	var settings wire.HookSettings // the body has all of its members, and two more
	if err := in.bind(&settings); err != nil {
		return nil, err
	}
	p, err := a.o.Hooks.Preview(ctx, a.hookSettings(&settings, before), hookSample(r.Body))
	if err != nil {
		return nil, hookProblem(in.writer.Header(), err)
	}
	return reply{status: http.StatusOK, v: p}, nil
}

// hookSample is the request that a preview is made of.
func hookSample(b *wire.HookPreviewRequest) *sms.HookRequest {
	r := &sms.HookRequest{Method: http.MethodPost, Header: http.Header{}, Query: url.Values{}}
	switch body := b.Sample.Body.(type) {
	case nil:
	case string:
		r.Body = []byte(body)
	default:
		r.Body = canonical(body)
		r.Header.Set("Content-Type", echo.MIMEApplicationJSON)
	}
	for name, value := range or(b.Sample.Headers, nil) {
		r.Header.Set(name, value)
	}
	for name, value := range or(b.Sample.Query, nil) {
		r.Query.Set(name, value)
	}
	return r
}

// hookSettings are what is given of a hook's settings; the others stay as before,
// or are those that a new hook of its preset begins with.
func (a *API) hookSettings(b *wire.HookSettings, before *sms.HookSettings) sms.HookSettings {
	preset := string(or(b.Preset, ""))
	var s sms.HookSettings
	switch {
	case before != nil:
		s = *before
	case preset != "":
		s = a.o.Hooks.Defaults(preset)
	case b.Template != nil:
		s = a.o.Hooks.Defaults("template")
	default:
		s = a.o.Hooks.Defaults("text")
	}
	if preset != "" {
		s.Preset = preset
	}
	s.Name, s.Template, s.ToTemplate = or(b.Name, s.Name), or(b.Template, s.Template), or(b.ToTemplate, s.ToTemplate)
	s.From, s.Secret = or(b.From, s.From), or(b.Secret, s.Secret)
	s.Enabled, s.Resolved, s.AllowGet = or(b.Enabled, s.Enabled), or(b.Resolved, s.Resolved), or(b.AllowGet, s.AllowGet)
	s.Priority, s.MaxParts = or(b.Priority, s.Priority), or(b.MaxParts, s.MaxParts)
	s.ExpiresAfter, s.DedupWindow = or(b.ExpiresAfter, s.ExpiresAfter), or(b.DedupWindow, s.DedupWindow)
	s.To, s.AllowFrom = or(b.To, s.To), or(b.AllowFrom, s.AllowFrom)
	s.MaxPerMinute = or(b.MaxPerMinute, s.MaxPerMinute)
	if b.Unicode != nil {
		s.Unicode = string(*b.Unicode)
	}
	return s
}

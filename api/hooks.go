package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
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
		if wait := a.guesses.Take(guesser(r.RemoteAddr)); wait > 0 {
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
		p := problemOf(hookProblem(c, err))
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
func hookProblem(c echo.Context, err error) error {
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
		c.Response().Header().Set("Allow", "POST, PUT")
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
	p := problemOf(hookProblem(c, err))
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

// listHooks is GET /v1/hooks.
func (a *API) listHooks(c echo.Context) error {
	all, err := a.o.Hooks.List(c.Request().Context())
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, map[string]any{"hooks": orEmpty(all)})
}

// getHook is GET /v1/hooks/{id}.
func (a *API) getHook(c echo.Context) error {
	h, err := a.o.Hooks.Get(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, h)
}

// createHook is POST /v1/hooks.
func (a *API) createHook(c echo.Context) error {
	f, errs, err := a.hookBody(c)
	if err != nil {
		return err
	}
	s := a.hookSettings(f, nil)
	if f.done(); len(*errs) > 0 {
		return wrong(*errs...)
	}
	h, token, err := a.o.Hooks.Create(c.Request().Context(), s)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Location", "/v1/hooks/"+h.ID)
	return a.json(c, http.StatusCreated, withToken(h, token))
}

// updateHook is PATCH /v1/hooks/{id}: what is not given stays.
func (a *API) updateHook(c echo.Context) error {
	f, errs, err := a.hookBody(c)
	if err != nil {
		return err
	}
	before, err := a.o.Hooks.Get(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	s := a.hookSettings(f, &before.HookSettings)
	if f.done(); len(*errs) > 0 {
		return wrong(*errs...)
	}
	h, err := a.o.Hooks.Update(c.Request().Context(), before.ID, s)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, h)
}

// deleteHook is DELETE /v1/hooks/{id}.
func (a *API) deleteHook(c echo.Context) error {
	if err := a.o.Hooks.Delete(c.Request().Context(), param(c, "id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// rotateHook is POST /v1/hooks/{id}/rotate.
func (a *API) rotateHook(c echo.Context) error {
	f, errs, err := a.hookBody(c)
	if err != nil {
		return err
	}
	overlap := time.Duration(f.integer("overlap", 0, 7*24*3600, 0)) * time.Second
	if f.done(); len(*errs) > 0 {
		return wrong(*errs...)
	}
	h, token, err := a.o.Hooks.Rotate(c.Request().Context(), param(c, "id"), overlap)
	if err != nil {
		return err
	}
	return a.json(c, http.StatusOK, withToken(h, token))
}

// previewHook is POST /v1/hooks/preview. Nothing is sent.
func (a *API) previewHook(c echo.Context) error {
	v, err := readJSON(c.Response(), c.Request(), 2*maxHookBody)
	if err != nil {
		return err
	}
	o, ok := v.(*object)
	if !ok {
		return wrong(FieldError{Field: "body", Detail: "must be a JSON object"})
	}
	var errs []FieldError
	f := newFields(o, "", &errs)
	var before *sms.HookSettings
	if id, ok := f.line("hook", 100); ok {
		h, err := a.o.Hooks.Get(c.Request().Context(), id)
		if err != nil {
			return err
		}
		before = &h.HookSettings
	}
	r := hookSample(f)
	s := a.hookSettings(f, before)
	if f.done(); len(errs) > 0 {
		return wrong(errs...)
	}
	p, err := a.o.Hooks.Preview(c.Request().Context(), s, r)
	if err != nil {
		return hookProblem(c, err)
	}
	return a.json(c, http.StatusOK, p)
}

// hookSample reads the request that a preview is made of.
func hookSample(f *fields) *sms.HookRequest {
	r := &sms.HookRequest{Method: http.MethodPost, Header: http.Header{}, Query: url.Values{}}
	v, ok := f.take("sample")
	o, isObject := v.(*object)
	if !isObject {
		if ok {
			f.wrong("sample", "must be an object")
		} else {
			f.wrong("sample", "is missing")
		}
		return r
	}
	s := newFields(o, f.path+"sample.", f.errs)
	switch body, _ := s.take("body"); body := body.(type) {
	case nil:
	case string:
		r.Body = []byte(body)
	default:
		r.Body = canonical(body)
		r.Header.Set("Content-Type", echo.MIMEApplicationJSON)
	}
	for name, value := range s.metadata("headers") {
		r.Header.Set(name, value)
	}
	for name, value := range s.metadata("query") {
		r.Query.Set(name, value)
	}
	s.done()
	return r
}

// hookBody reads a request's JSON object.
func (a *API) hookBody(c echo.Context) (*fields, *[]FieldError, error) {
	v, err := readJSON(c.Response(), c.Request(), maxMessageBody)
	if err != nil {
		return nil, nil, err
	}
	o, ok := v.(*object)
	if !ok {
		return nil, nil, wrong(FieldError{Field: "body", Detail: "must be a JSON object"})
	}
	errs := &[]FieldError{}
	return newFields(o, "", errs), errs, nil
}

// hookSettings reads what is given of a hook's settings; the others stay as
// before, or are those that a new hook of its preset begins with.
func (a *API) hookSettings(f *fields, before *sms.HookSettings) sms.HookSettings {
	preset := f.oneOf("preset", sms.HookPresets...)
	var s sms.HookSettings
	if before != nil {
		s = *before
	} else {
		if _, hasTemplate := f.o.members["template"]; preset == "" && hasTemplate {
			preset = "template"
		} else if preset == "" {
			preset = "text"
		}
		s = a.o.Hooks.Defaults(preset)
	}
	if preset != "" {
		s.Preset = preset
	}
	for _, t := range []struct {
		name string
		into *string
	}{{"name", &s.Name}, {"template", &s.Template}, {"to_template", &s.ToTemplate}, {"from", &s.From}, {"secret", &s.Secret}} {
		if v, ok := f.take(t.name); ok {
			if text, isString := v.(string); isString {
				*t.into = text
			} else {
				f.wrong(t.name, "must be a string")
			}
		}
	}
	if _, given := f.text("unicode"); given {
		s.Unicode = f.oneOf("unicode", string(intake.Allow), string(intake.Transliterate), string(intake.Reject), "")
	}
	s.Enabled = f.boolean("enabled", s.Enabled)
	s.Resolved = f.boolean("resolved", s.Resolved)
	s.AllowGet = f.boolean("allow_get", s.AllowGet)
	const week, day = 7 * 24 * 3600, 24 * 3600
	s.Priority = f.integer("priority", 0, queue.Priorities-1, s.Priority)
	s.MaxParts = f.integer("max_parts", 1, pdu.MaxParts, s.MaxParts)
	s.ExpiresAfter = f.integer("expires_after", 0, week, s.ExpiresAfter)
	s.DedupWindow = f.integer("dedup_window", 0, day, s.DedupWindow)
	s.MaxPerMinute = f.integer("max_per_minute", 0, auth.MaxLimit, s.MaxPerMinute)
	f.strings("to", &s.To)
	f.strings("allow_from", &s.AllowFrom)
	return s
}

// strings takes an array of strings.
func (f *fields) strings(name string, into *[]string) {
	v, ok := f.take(name)
	if !ok {
		return
	}
	all, isList := v.([]any)
	if !isList {
		f.wrong(name, "must be an array of strings")
		return
	}
	*into = []string{}
	for i, v := range all {
		s, isString := v.(string)
		if !isString || strings.TrimSpace(s) == "" {
			f.wrong(fmt.Sprintf("%s[%d]", name, i), "must be a string that is not empty")
			continue
		}
		*into = append(*into, s)
	}
}

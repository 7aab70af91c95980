package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

const hookID = "hook_aaaaaaaaaaaaaaaaaaaa"

// fakeHooks stand for the hooks, which this package must not import.
type fakeHooks struct {
	given   sms.HookSettings
	asked   sms.HookRequest
	overlap time.Duration
	to      []string // of the hooks that are listed
	answer  sms.HookAnswer
	err     error
}

func (f *fakeHooks) hook(s sms.HookSettings) sms.Hook {
	f.given = s
	if s.Name = strings.TrimSpace(s.Name); s.Name == "" {
		s.Name = "hook"
	}
	return sms.Hook{ID: hookID, HookSettings: s, HasSecret: s.Secret != "", CreatedAt: time.Now().UTC(), UpdatedAt: time.Now().UTC()}
}

func (f *fakeHooks) Defaults(preset string) sms.HookSettings {
	return sms.HookSettings{Enabled: true, Preset: preset, Priority: 4, MaxParts: 3, MaxPerMinute: 60, Resolved: true, To: []string{}, AllowFrom: []string{}}
}

func (f *fakeHooks) List(context.Context) ([]sms.Hook, error) {
	s := f.Defaults("text")
	if f.to != nil {
		s.To = f.to
	}
	return []sms.Hook{f.hook(s)}, f.err
}

func (f *fakeHooks) Get(context.Context, string) (sms.Hook, error) {
	s := f.Defaults("text")
	s.Name, s.To, s.Secret = "door", []string{"+491701234567"}, "a long secret"
	return f.hook(s), f.err
}

// refused is why settings are not taken: f.err, or that something is too long.
func (f *fakeHooks) refused(s sms.HookSettings) error {
	if len(s.Name) > 100 || len(s.From) > 100 || len(s.Template) > 8192 || len(s.ToTemplate) > 8192 {
		return intake.Refused{{Field: "name", Detail: "or another is too long"}}
	}
	return f.err
}

func (f *fakeHooks) Create(_ context.Context, s sms.HookSettings) (sms.Hook, string, error) {
	return f.hook(s), hookID + "_secret", f.refused(s)
}

func (f *fakeHooks) Update(_ context.Context, _ string, s sms.HookSettings) (sms.Hook, error) {
	return f.hook(s), f.refused(s)
}

func (f *fakeHooks) Rotate(_ context.Context, _ string, overlap time.Duration) (sms.Hook, string, error) {
	f.overlap = overlap
	return f.hook(f.Defaults("text")), hookID + "_new", f.err
}

func (f *fakeHooks) Delete(context.Context, string) error { return f.err }

func (f *fakeHooks) Preview(_ context.Context, s sms.HookSettings, r *sms.HookRequest) (sms.HookPreview, error) {
	f.given, f.asked = s, *r
	return sms.HookPreview{Text: "hello", To: []string{"+491701234567"}, Length: 5, Parts: 1, Encoding: sms.GSM7}, f.err
}

func (f *fakeHooks) Receive(_ context.Context, r *sms.HookRequest) (sms.HookAnswer, error) {
	f.asked = *r
	answer := f.answer
	if answer.Messages == nil {
		answer.Messages = []sms.HookText{}
	}
	return answer, f.err
}

func hookBox(t *testing.T) (*box, *fakeHooks) {
	f := &fakeHooks{}
	return newBox(t, settings{change: func(o *Options) { o.Hooks = f }}), f
}

func TestHooksAreManaged(t *testing.T) {
	b, f := hookBox(t)
	var made struct{ ID, Token, Path string }
	a := b.post("/v1/hooks", b.admin, `{"name":"door","template":"{{.}}","to":["+49 170 1234567"],"allow_from":["10.0.0.0/8"],"secret":"a long secret","resolved":false,"dedup_window":60,"max_per_minute":0,"unicode":"reject"}`)
	a.want(http.StatusCreated).into(&made)
	if made.ID != hookID || made.Token != hookID+"_secret" || made.Path != "/hooks/"+made.Token || a.Header().Get("Location") != "/v1/hooks/"+hookID {
		t.Errorf("made %+v", made)
	}
	if s := f.given; s.Preset != "template" || s.Resolved || s.DedupWindow != 60 || s.MaxPerMinute != 0 || s.Unicode != "reject" || s.To[0] != "+49 170 1234567" || s.Secret != "a long secret" || s.AllowFrom[0] != "10.0.0.0/8" {
		t.Errorf("given %+v", s)
	}
	if strings.Contains(a.Body.String(), "a long secret") {
		t.Error("the secret is shown")
	}
	b.ask("GET", "/v1/hooks", bearer(b.admin), "").want(http.StatusOK)
	b.ask("GET", "/v1/hooks/"+hookID, bearer(b.admin), "").want(http.StatusOK)
	// What is not given stays, the secret too.
	b.ask("PATCH", "/v1/hooks/"+hookID, bearer(b.admin), `{"priority":9,"to":[]}`).want(http.StatusOK)
	if s := f.given; s.Priority != 9 || s.Name != "door" || s.Secret != "a long secret" || len(s.To) != 0 {
		t.Errorf("changed to %+v", s)
	}
	b.post("/v1/hooks/"+hookID+"/rotate", b.admin, `{"overlap":60}`).want(http.StatusOK)
	if f.overlap != time.Minute {
		t.Errorf("overlap %v", f.overlap)
	}
	for body, want := range map[string]time.Duration{"": 0, `{}`: 0, `{"overlap":null}`: 0, `{"overlap":"24h"}`: 24 * time.Hour, `{"overlap":604800}`: 168 * time.Hour} {
		if b.post("/v1/hooks/"+hookID+"/rotate", b.admin, body).want(http.StatusOK); f.overlap != want {
			t.Errorf("%s: overlap %v", body, f.overlap)
		}
	}
	for _, body := range []string{`{"overlap":604801}`, `{"overlap":"169h"}`, `{"overlap":-1}`, `{"overlap":1.5}`, `{"overlap":true}`, `{"overlap":"soon"}`} {
		p := b.post("/v1/hooks/"+hookID+"/rotate", b.admin, body).problem(invalidFields, "overlap")
		if !strings.Contains(p.Detail, "whole seconds") || !strings.Contains(p.Detail, "or a duration") {
			t.Errorf("%s: %s", body, p.Detail)
		}
	}
	b.ask("DELETE", "/v1/hooks/"+hookID, bearer(b.admin), "").want(http.StatusNoContent)
	b.ask("GET", "/v1/hooks", bearer(b.send), "").problem(wrongScope)
	b.post("/v1/hooks", b.admin, `{"preset":"pager","priority":10,"to":"me","max_parts":0,"colour":1}`).problem(invalidFields, "preset", "to", "priority", "max_parts", "colour")
	f.err = intake.Refused{{Field: "to[0]", Detail: "is no number"}}
	b.post("/v1/hooks", b.admin, `{"name":"x","to":["y"]}`).problem(invalidFields, "to[0]")
	f.err = queue.ErrNotFound
	b.ask("GET", "/v1/hooks/x", bearer(b.admin), "").problem(notFound)
}

func TestHookPreview(t *testing.T) {
	b, f := hookBox(t)
	b.post("/v1/hooks/preview", b.admin, `{"template":"{{.a}}","to":["+491701234567"],"sample":{"body":{"a":[1,"x"]},"headers":{"X-A":"b"},"query":{"q":"r"}}}`).want(http.StatusOK)
	if r := f.asked; string(r.Body) != `{"a":[1,"x"]}` || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-A") != "b" || r.Query.Get("q") != "r" {
		t.Errorf("asked with %+v", r)
	}
	b.post("/v1/hooks/preview", b.admin, `{"hook":"`+hookID+`","sample":{"body":"plain"}}`).want(http.StatusOK)
	if string(f.asked.Body) != "plain" || f.given.Name != "door" {
		t.Errorf("asked with %+v for %+v", f.asked, f.given)
	}
	b.post("/v1/hooks/preview", b.admin, `{"sample":3}`).problem(invalidFields, "sample")
	b.post("/v1/hooks/preview", b.admin, `{}`).problem(invalidFields, "sample")
	f.err = &sms.HookError{Refusal: sms.HookUnreadable, Detail: "the JSON can't be read"}
	b.post("/v1/hooks/preview", b.admin, `{"sample":{"body":"{"}}`).problem(badRequest)
}

func TestHookDoor(t *testing.T) {
	b, f := hookBox(t)
	door := func(method, body string) *answer {
		return b.ask(method, "/hooks/"+hookID+"_secret?to=1", header{"Content-Type": "text/plain", "X-A": "b"}, body)
	}
	nothing := "resolved notices are off"
	f.answer = sms.HookAnswer{Messages: []sms.HookText{{ID: "msg_1", Status: sms.Queued, Length: 2, Parts: 1, Encoding: sms.GSM7}}, Preset: "text"}
	door("POST", "hi").want(http.StatusAccepted)
	if r := f.asked; r.Token != hookID+"_secret" || string(r.Body) != "hi" || r.Header.Get("X-A") != "b" || r.Query.Get("to") != "1" || r.Remote != "192.0.2.1" {
		t.Errorf("asked %+v", r)
	}
	door("PUT", "hi").want(http.StatusAccepted)
	door("GET", "").want(http.StatusAccepted)
	f.answer = sms.HookAnswer{Messages: []sms.HookText{}, Skipped: &nothing, Preset: "grafana"}
	door("POST", "hi").want(http.StatusAccepted)
	f.answer.Preset = "slack"
	if a := door("POST", "hi").want(http.StatusOK); a.Body.String() != "ok" {
		t.Errorf("slack is told %q", a.Body)
	}
	f.answer.Preset = "supabase"
	if a := door("POST", "hi").want(http.StatusOK); !strings.Contains(a.Body.String(), `{"error":{"http_code":400,"message":"Resolved notices are off."}}`) {
		t.Errorf("supabase is told %q of what was not sent", a.Body)
	}
	f.answer.Skipped, f.answer.Messages = nil, []sms.HookText{{ID: "msg_1", Status: sms.Failed, Length: 2, Parts: 1, Encoding: sms.GSM7}}
	if a := door("POST", "hi").want(http.StatusOK); !strings.Contains(a.Body.String(), `"http_code":422`) {
		t.Errorf("supabase is told %q of a number on the stop list", a.Body)
	}
	f.answer.Messages = nil
	if a := door("POST", "hi").want(http.StatusOK); strings.TrimSpace(a.Body.String()) != "{}" {
		t.Errorf("supabase is told %q", a.Body)
	}
	f.err = intake.Refused{{Field: "to[0]", Detail: "is no number"}}
	if a := door("POST", "hi").want(http.StatusOK); !strings.Contains(a.Body.String(), `{"error":{"http_code":422,"message":"to[0] is no number"}}`) {
		t.Errorf("supabase is told %q", a.Body)
	}
	f.err = queue.ErrFull
	if a := door("POST", "hi"); a.Code != 503 || a.Header().Get("Retry-After") == "" {
		t.Errorf("supabase is told %d", a.Code)
	}
	f.err = &sms.HookError{Refusal: sms.HookUnsigned, Detail: "webhook-signature does not match"}
	door("POST", "hi").problem(badSignature)
	f.answer.Preset = "text"
	door("POST", "hi").problem(badSignature)
	f.err = &sms.HookError{Refusal: sms.HookMethod, Detail: "no GET"}
	door("GET", "").problem(methodNotAllowed)
	f.err = &sms.HookError{Refusal: sms.HookUnreadable, Detail: "the JSON ends"}
	door("POST", "{").problem(badRequest)
	for preset, status := range map[string]int{"text": 429, "slack": 429, "supabase": 429, "grafana": 429, "alertmanager": 503} {
		f.answer.Preset, f.err = preset, &sms.HookError{Refusal: sms.HookTooFast, Detail: "too many", Wait: 1500 * time.Millisecond}
		if a := door("POST", "hi"); a.Code != status || a.Header().Get("Retry-After") != "2" || !strings.Contains(a.Body.String(), "/problems/hook-rate-exceeded") {
			t.Errorf("%s is told %d %s, again in %s", preset, a.Code, a.Body, a.Header().Get("Retry-After"))
		}
		// Nobody comes again after 409, and what is under way may fail yet.
		f.err = intake.ErrUnderWay
		if a := door("POST", "hi"); a.Code != 503 || a.Header().Get("Retry-After") != "1" {
			t.Errorf("%s is told %d %s of what is under way", preset, a.Code, a.Body)
		}
	}
	f.answer.Preset = "text"
	f.err = errors.New("disk")
	door("POST", "hi").want(503)
	door("POST", strings.Repeat("x", maxHookBody+1)).problem(tooLarge)
}

// Wrong tokens are answered alike, and slowly after some; right ones are not.
func TestHookTokensCantBeGuessed(t *testing.T) {
	b, f := hookBox(t)
	f.err = queue.ErrNotFound
	codes := map[int]int{}
	for range 30 {
		codes[b.ask("POST", "/hooks/wrong", header{"Content-Type": "text/plain"}, "x").Code]++
	}
	if codes[404] != 20 || codes[429] != 10 {
		t.Errorf("answered %v", codes)
	}
	f.err, f.answer = nil, sms.HookAnswer{Messages: []sms.HookText{}, Preset: "text"}
	b.ask("POST", "/hooks/right", header{"Content-Type": "text/plain"}, "x").want(http.StatusAccepted)
}

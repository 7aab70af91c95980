package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
)

// fakeWebhooks stand for the endpoints, which this package must not import.
type fakeWebhooks struct {
	change  sms.WebhookChange
	overlap time.Duration
	replay  sms.WebhookReplay
	done    string
}

func aWebhook(id string) sms.Webhook {
	position, secret, why := 3, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "it answered 410 Gone"
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return sms.Webhook{ID: id, Name: "chat", URL: "https://chat.example.org/hook", Source: sms.WebhookOfAPI, Status: sms.WebhookDisabled, Reason: &why, DisabledAt: &at,
		FailingSince: &at, Events: []string{"*"}, Position: &position, Headers: map[string]string{"X": sms.HiddenValue}, Secret: &secret, CreatedAt: &at}
}

func (f *fakeWebhooks) one(id string) (sms.Webhook, error) {
	switch id {
	case "whk_1":
		return aWebhook(id), nil
	case "whk_config":
		return sms.Webhook{}, fmt.Errorf("the webhook stands in the configuration file: %w", queue.ErrConflict)
	}
	return sms.Webhook{}, queue.ErrNotFound
}

func (f *fakeWebhooks) Webhooks(context.Context) ([]sms.Webhook, error) {
	return []sms.Webhook{aWebhook("whk_1")}, nil
}
func (f *fakeWebhooks) Webhook(_ context.Context, id string) (sms.Webhook, error) { return f.one(id) }
func (f *fakeWebhooks) Create(_ context.Context, c sms.WebhookChange) (sms.Webhook, error) {
	if f.change = c; *c.URL == "http://x.example/" {
		return sms.Webhook{}, sms.WebhookMistakes{{Field: "url", Detail: "is plain http://"}}
	}
	return aWebhook("whk_1"), nil
}
func (f *fakeWebhooks) Change(_ context.Context, id string, c sms.WebhookChange) (sms.Webhook, error) {
	f.change = c
	return f.one(id)
}
func (f *fakeWebhooks) Delete(_ context.Context, id string) error {
	f.done = "delete " + id
	_, err := f.one(id)
	return err
}
func (f *fakeWebhooks) Enable(_ context.Context, id string) (sms.Webhook, error) {
	f.done = "enable " + id
	return f.one(id)
}
func (f *fakeWebhooks) RotateSecret(_ context.Context, id string, overlap time.Duration) (sms.Webhook, error) {
	f.overlap = overlap
	return f.one(id)
}
func (f *fakeWebhooks) Test(_ context.Context, id string) (sms.WebhookTest, error) {
	f.done = "test " + id
	_, err := f.one(id)
	status, words := 500, "HTTP 500"
	return sms.WebhookTest{ID: "dlv_1", ResponseStatus: &status, LatencyMS: 7, Error: &words}, err
}
func (f *fakeWebhooks) Replay(_ context.Context, id string, r sms.WebhookReplay) (sms.WebhookReplayed, error) {
	f.replay = r
	f.done = "replay " + id
	_, err := f.one(id)
	return sms.WebhookReplayed{Replayed: 7}, err
}
func (f *fakeWebhooks) CallbackSecret(context.Context) (sms.CallbackSecret, error) {
	return sms.CallbackSecret{Secret: "whsec_x"}, nil
}
func (f *fakeWebhooks) RotateCallbackSecret(_ context.Context, overlap time.Duration) (sms.CallbackSecret, error) {
	f.overlap = overlap
	return sms.CallbackSecret{Secret: "whsec_y"}, nil
}

func newHookBox(t *testing.T) (*box, *fakeWebhooks) {
	f := &fakeWebhooks{}
	return newBox(t, settings{change: func(o *Options) { o.Webhooks = f }}), f
}

func TestWebhooksAreManaged(t *testing.T) {
	b, f := newHookBox(t)
	admin := bearer(b.admin)
	b.ask("GET", "/v1/webhooks", admin, "").want(http.StatusOK)
	b.ask("GET", "/v1/webhooks", bearer(b.read), "").problem(wrongScope)
	b.ask("GET", "/v1/webhooks/whk_1", admin, "").want(http.StatusOK)
	b.ask("GET", "/v1/webhooks/whk_2", admin, "").problem(notFound)
	a := b.ask("POST", "/v1/webhooks", admin, `{"url":"https://chat.example.org/","name":"chat","description":null,"events":["message.received"],"stop":true,"position":3,
		"match":{"keyword":"help","modem":null},"headers":{"X":"y"},"enabled":false,"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`).want(http.StatusCreated)
	c := f.change
	if a.Header().Get("Location") != "/v1/webhooks/whk_1" || *c.Name != "chat" || *c.Description != "" || len(*c.Events) != 1 || !*c.Stop || *c.Position != 3 || *c.Enabled ||
		*c.Match.Keyword != "help" || *c.Match.Modem != "" || c.Match.To != nil || *c.Headers["X"] != "y" || *c.Secret == "" {
		t.Errorf("%+v", c)
	}
	b.ask("POST", "/v1/webhooks", admin, `{"url":"http://x.example/"}`).problem(invalidFields, "url")

	// A merge patch: what is left out stays.
	b.ask("PATCH", "/v1/webhooks/whk_1", admin.with("Content-Type", "application/merge-patch+json"), `{"headers":{"X":null},"match":null,"events":null}`).want(http.StatusOK)
	c = f.change
	if c.Name != nil || c.URL != nil || c.Enabled != nil || c.Headers["X"] != nil || len(c.Headers) != 1 || *c.Match.Modem != "" || (*c.Events)[0] != "*" {
		t.Errorf("%+v", c)
	}
	if b.ask("PATCH", "/v1/webhooks/whk_1", admin, `{"headers":null}`).want(http.StatusOK); !f.change.NoHeaders {
		t.Errorf("%+v", f.change)
	}
	a = b.ask("PATCH", "/v1/webhooks/whk_config", admin, `{"stop":true}`)
	a.problem(conflict)
	if !strings.Contains(a.Body.String(), "configuration file") {
		t.Errorf("%s", a.Body)
	}
	b.ask("DELETE", "/v1/webhooks/whk_1", admin, "").want(http.StatusNoContent)
	b.ask("DELETE", "/v1/webhooks/whk_config", admin, "").problem(conflict)
	b.ask("DELETE", "/v1/webhooks/whk_1", bearer(b.send), "").problem(wrongScope)
}

func TestWebhooksAreTestedRotatedAndReplayed(t *testing.T) {
	b, f := newHookBox(t)
	admin := bearer(b.admin)
	for _, what := range []string{"enable", "test"} {
		b.ask("POST", "/v1/webhooks/whk_1/"+what, admin, "").want(http.StatusOK)
		if f.done != what+" whk_1" {
			t.Errorf("%s: %s", what, f.done)
		}
		b.ask("POST", "/v1/webhooks/whk_2/"+what, admin, "").problem(notFound)
	}
	for body, want := range map[string]time.Duration{"": 24 * time.Hour, "{}": 24 * time.Hour, `{"overlap":"90m"}`: 90 * time.Minute, `{"overlap":"0s"}`: 0, `{"overlap":0}`: 0, `{"overlap":3600}`: time.Hour} {
		for _, path := range []string{"/v1/webhooks/whk_1/rotate-secret", "/v1/webhooks/callback-secret/rotate"} {
			if b.ask("POST", path, admin, body).want(http.StatusOK); f.overlap != want {
				t.Errorf("%s %s: %s", path, body, f.overlap)
			}
		}
	}
	for body, field := range map[string]string{`{"overlap":"721h"}`: "overlap", `{"overlap":"-1h"}`: "overlap", `{"overlap":2592001}`: "overlap", `{"overlap":7.5}`: "overlap", `{"overlap":"soon"}`: "overlap", `{"over":"1h"}`: "over"} {
		b.ask("POST", "/v1/webhooks/whk_1/rotate-secret", admin, body).problem(invalidFields, field)
	}
	b.ask("GET", "/v1/webhooks/callback-secret", admin, "").want(http.StatusOK)
	b.ask("GET", "/v1/webhooks/callback-secret", bearer(b.read), "").problem(wrongScope)
	b.ask("POST", "/v1/webhooks/whk_1/replay", admin, `{"since":"2026-01-01T00:00:00Z","until":"2026-01-02T00:00:00Z","only":"all"}`).want(http.StatusOK)
	if !f.replay.All || f.replay.Since.IsZero() || f.replay.Until.IsZero() {
		t.Errorf("%+v", f.replay)
	}
	for body, field := range map[string]string{`{}`: "since", `{"since":"yesterday"}`: "since", `{"since":"2026-01-02T00:00:00Z","until":"2026-01-01T00:00:00Z"}`: "until",
		`{"since":"2026-01-02T00:00:00Z","only":"some"}`: "only"} {
		b.ask("POST", "/v1/webhooks/whk_1/replay", admin, body).problem(invalidFields, field)
	}
}

func TestWrongWebhookFields(t *testing.T) {
	b, _ := newHookBox(t)
	const with = `{"url":"https://x.example/",`
	for body, field := range map[string]string{`{}`: "url", `{"url":null}`: "url", `{"url":7}`: "url", `{"url":""}`: "url", with + `"colour":"red"}`: "colour", with + `"events":"*"}`: "events",
		with + `"events":[7]}`: "events[0]", with + `"match":7}`: "match", with + `"match":{"colour":"red"}}`: "match.colour", with + `"headers":[]}`: "headers",
		with + `"headers":{"X":7}}`: "headers.X", with + `"position":-1}`: "position", with + `"stop":"yes"}`: "stop", with + `"url":"https://y.example/"}`: "url", `[]`: "body"} {
		b.ask("POST", "/v1/webhooks", bearer(b.admin), body).problem(invalidFields, field)
	}
	b.ask("PATCH", "/v1/webhooks/whk_1", bearer(b.admin), `{"url":null}`).problem(invalidFields, "url")
	b.ask("PATCH", "/v1/webhooks/whk_1", bearer(b.admin), `{"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`).problem(invalidFields, "secret")
}

func TestDeliveriesAreFiltered(t *testing.T) {
	b, _ := newHookBox(t)
	b.ask("GET", "/v1/webhooks/deliveries?type=message.sent&message=msg_1&since=2026-01-02T00:00:00Z&endpoint=whk_1&status=failed", bearer(b.read), "").want(http.StatusOK)
	f := b.hooks.asked
	if f.Type != "message.sent" || f.Message != "msg_1" || f.Since.IsZero() || f.Endpoint != "whk_1" || f.Status != sms.DeliveryFailed {
		t.Errorf("%+v", f)
	}
}

func TestWebhooksPage(t *testing.T) {
	b, f := newHookBox(t)
	admin, form := bearer(b.admin), "application/x-www-form-urlencoded"
	page := b.ask("GET", "/webhooks", bearer(b.read), "").want(http.StatusOK).Body.String()
	for _, want := range []string{"chat", "It answered 410 Gone.", "message.received", "the endpoint answered 500", `aria-current="page">Webhooks`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, "<button name") || strings.Contains(page, "whsec_") {
		t.Error("who may only read sees buttons or a secret")
	}
	if strings.Contains(page, "example.org/hook") || !strings.Contains(b.ask("GET", "/webhooks", admin, "").Body.String(), "example.org/hook") {
		t.Error("a receiver's path, which may be its secret, is shown to whoever reads, or not even to an admin")
	}
	for body, want := range map[string][2]string{"do=test&id=whk_1": {"test whk_1", "The test did not arrive"}, "do=enable&id=whk_1": {"enable whk_1", "gets events again"},
		"do=replay&id=whk_1": {"replay whk_1", "7 events are sent again"}, "do=enable&id=whk_2": {"enable whk_2", "No webhook has this id"}, "do=retry&id=dlv_1": {"", "is sent again"}} {
		f.done = ""
		page = b.ask("POST", "/webhooks", admin.with("Content-Type", form), body).want(http.StatusOK).Body.String()
		if f.done != want[0] || !strings.Contains(page, want[1]) {
			t.Errorf("%s did %q, and the page does not say %q", body, f.done, want[1])
		}
	}
	b.ask("POST", "/webhooks", admin.with("Content-Type", form), "do=dance&id=whk_1").problem(badRequest)
	b.ask("POST", "/webhooks", bearer(b.read).with("Content-Type", form), "do=test&id=whk_1").problem(wrongScope)
}

package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/queue"
	"gatewayd/sms"
)

func TestHealth(t *testing.T) {
	var trouble error
	b := newBox(t, settings{change: func(o *Options) { o.Ready = func(context.Context) error { return trouble } }})
	b.ask("GET", "/healthz", nil, "").want(200)
	b.ask("GET", "/readyz", nil, "").want(200)
	trouble = errors.New("the disk is nearly full")
	a := b.ask("GET", "/readyz", nil, "")
	if p := a.problem(notReady); p.Detail != "The disk is nearly full." {
		t.Errorf("detail %q", p.Detail)
	}
	if a.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.ask("GET", "/healthz", nil, "").want(200)
}

// metered is a box with metrics; its registry must be filled before New.
func metered(t *testing.T, open bool) *box {
	registry := prometheus.NewRegistry()
	return newBox(t, settings{change: func(o *Options) {
		o.Metrics, o.Counters, o.MetricsOpen = registry, NewMetrics(registry, o.Queue), open
	}})
}

func TestMetrics(t *testing.T) {
	b := metered(t, false)
	for range 3 {
		submit(b, "x")
	}
	b.post("/v1/messages", b.send, `{}`).problem(invalidFields, "to", "text")
	b.get("/v1/messages/msg_1").problem(notFound)
	b.get("/v1/messages/msg_2").problem(notFound)
	for _, path := range []string{"/wp-login.php", "/.env", "/v1/" + strings.Repeat("x", 50), "/v1/messages/a/b/c"} {
		b.get(path).problem(notFound)
	}
	b.ask("BREW", "/coffee", nil, "").problem(notFound)
	b.ask("BREW", "/v1/queue", nil, "")
	text := b.get("/metrics").want(200).Body.String()
	for _, want := range []string{
		`gatewayd_http_requests_total{method="POST",route="/v1/messages",status="2xx"} 3`,
		`gatewayd_http_requests_total{method="POST",route="/v1/messages",status="4xx"} 1`,
		`gatewayd_http_requests_total{method="GET",route="/v1/messages/:id",status="4xx"} 2`,
		`gatewayd_http_requests_total{method="GET",route="unmatched",status="4xx"} 4`,
		`gatewayd_http_request_duration_seconds_count{route="/v1/messages"} 4`,
		`gatewayd_http_event_streams 0`,
		`gatewayd_queue_capacity{ring="outbound"} 100000`, `gatewayd_queue_depth{ring="outbound"} 3`,
		`gatewayd_queue_pointer{flag="retrieved",ring="outbound"} 2`, `gatewayd_queue_depth{ring="inbound"} 0`,
		`gatewayd_messages_open{status="queued"} 3`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	for _, never := range []string{"+491701234567", "msg_", "wp-login", "BREW", "xxxx"} {
		if strings.Contains(text, never) {
			t.Errorf("/metrics has %q", never)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestMetricsMayBeOpened(t *testing.T) {
	metered(t, false).ask("GET", "/metrics", nil, "").problem(noKey)
	metered(t, true).ask("GET", "/metrics", header{"Accept": "text/plain"}, "").want(200)
}

// A defect in a handler is told as such and ends nothing else.
func TestPanicIsA500(t *testing.T) {
	var log bytes.Buffer
	b := newBox(t, settings{change: func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		o.Pages = map[string]http.Handler{"/handsets/": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("on purpose") })}
	}})
	p := b.get("/handsets/").problem(internal)
	if strings.Contains(p.Detail, "on purpose") {
		t.Errorf("the client is told %q", p.Detail)
	}
	if !strings.Contains(log.String(), "on purpose") {
		t.Errorf("the log has %q", log.String())
	}
	b.get("/v1/queue").want(200)
}

// Numbers and texts stay out of the log above debug.
func TestLogKeepsQuietAboutPeople(t *testing.T) {
	var log bytes.Buffer
	b := newBox(t, settings{change: func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}})
	m := b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"a private text"}`).accepted()
	b.get("/v1/messages?to=%2B491701234567").want(200)
	b.ask("DELETE", "/v1/messages/"+m.ID, bearer(b.send), "").want(200)
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	b.ask("DELETE", "/v1/numbers/+491701234567", bearer(b.admin), "")
	b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"a private text"}`)
	if log.Len() == 0 {
		t.Error("a broken database is not in the log")
	}
	for _, never := range []string{"1701234567", "private", b.send, b.admin} {
		if strings.Contains(log.String(), never) {
			t.Errorf("the log has %q: %s", never, log.String())
		}
	}
}

// What is full is told, and when to come back; it fills no log.
func TestFullIsTold(t *testing.T) {
	var log bytes.Buffer
	b := newBox(t, settings{queue: queue.Options{OutboundCapacity: 1}, change: func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		o.Alarms = func() []sms.Alarm {
			return []sms.Alarm{{Code: "disk-full", Title: "The disk is full", Detail: "Make room."}}
		}
	}})
	const text = `{"to": "+491701234567", "text": "x"}`
	b.ask("POST", "/v1/messages", bearer(b.send), text)
	a := b.ask("POST", "/v1/messages", bearer(b.send), text)
	a.problem(queueFull)
	if a.Header().Get("Retry-After") == "" || strings.Contains(log.String(), "request failed") {
		t.Errorf("Retry-After %q; the log: %s", a.Header().Get("Retry-After"), log.String())
	}
	if p := problemOf(fmt.Errorf("commit: %w", queue.ErrDiskFull)); p.kind != diskFull || p.retry == 0 {
		t.Errorf("%+v", p)
	}
	if page := b.ask("GET", "/", bearer(b.read), "").Body.String(); !strings.Contains(page, "The disk is full: new texts are refused.") || !strings.Contains(page, "Make room.") {
		t.Error("the status page does not say that the disk is full")
	}
}

func TestErrorsOfTheRouterAreProblems(t *testing.T) {
	for code, want := range map[int]*kind{400: badRequest, 404: notFound, 405: methodNotAllowed, 414: badRequest, 500: internal, 503: internal} {
		if got := problemOf(echo.NewHTTPError(code, "x")).kind; got != want {
			t.Errorf("%d becomes %s, want %s", code, got.Name, want.Name)
		}
	}
}

package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// told keeps the types of the events that a host was posted.
type told struct {
	mu     sync.Mutex
	events map[string][]string
	status map[string]int // of the answer; 0: 200
}

func (l *told) RoundTrip(req *http.Request) (*http.Response, error) {
	var e struct{ Type string }
	b, err := io.ReadAll(req.Body)
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[req.URL.Host] = append(l.events[req.URL.Host], e.Type)
	status := l.status[req.URL.Host]
	if status == 0 {
		status = 200
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Header: http.Header{}, Request: req}, err
}

func (l *told) of(host string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events[host])
}

// The callback_url of a message hears of it from its acceptance to its report.
func TestCallbackFollowsItsMessage(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		l := &told{events: map[string][]string{}}
		w.restart(func(o *Options) { o.Transport = l })
		w.pass(10 * time.Second)
		m := w.submit(phone, "x", func(d *queue.Draft) { d.CallbackURL = "https://shop.example/7" })
		w.submit(phone, "y")
		w.until(m.ID, sms.Delivered, time.Minute)
		w.pass(time.Minute)
		if got, want := l.of("shop.example"), []string{"message.queued", "message.sending", "message.sent", "message.delivered"}; !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
		text := "x"
		for url, word := range map[string]string{"http://shop.example/": "http.allow_private_webhooks: true", "https://192.168.0.1/": "private address", "mailto:a@b.example": "http or https"} {
			_, errs := w.g.desk.Draft(intake.Caller{}, intake.Message{To: phone, Text: &text, CallbackURL: url})
			if len(errs) != 1 || errs[0].Field != "callback_url" || !strings.Contains(errs[0].Detail, word) {
				t.Errorf("%s: %+v", url, errs)
			}
		}
	})
}

// A webhook that is disabled raises an alarm, which the others are told, and
// which ends when it is enabled; over restarts too.
func TestDisabledWebhookIsAnAlarm(t *testing.T) {
	inWorld(t, 0, air(), func(w *world) {
		l := &told{events: map[string][]string{}, status: map[string]int{"gone.example": 410, "also.example": 410}}
		start := func(o *Options) { o.Transport = l }
		w.restart(start)
		ctx := context.Background()
		url := func(host string) sms.WebhookChange {
			u, events := "https://"+host+".example/", []string{"message.queued"}
			if host == "good" {
				events = []string{"alarm.begin", "alarm.end"}
			}
			return sms.WebhookChange{URL: &u, Events: &events}
		}
		ids := map[string]string{}
		for _, host := range []string{"gone", "good"} {
			h, err := w.g.webhooks.Create(ctx, url(host))
			if err != nil {
				t.Fatal(err)
			}
			ids[host] = h.ID
		}
		w.submit(phone, "x")
		w.pass(time.Minute)
		on := w.g.alarms.of("")
		if len(on) != 1 || on[0].Code != webhookDisabled || !strings.Contains(on[0].Detail, "gone.example: it answered 410 Gone. What waited") {
			t.Fatalf("alarms: %+v", on)
		}
		// Another one is told of anew.
		h, err := w.g.webhooks.Create(ctx, url("also"))
		if err != nil {
			t.Fatal(err)
		}
		w.submit(phone, "y")
		w.pass(time.Minute)
		if got, want := l.of("good.example"), []string{"alarm.begin", "alarm.end", "alarm.begin"}; !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
		w.restart(start)
		w.pass(time.Minute)
		if len(w.g.alarms.of("")) != 1 {
			t.Errorf("after a restart: %+v", w.g.alarms.of(""))
		}
		for _, id := range []string{ids["gone"], h.ID} {
			if _, err := w.g.webhooks.Enable(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		w.pass(time.Minute)
		if got := l.of("good.example"); len(w.g.alarms.of("")) != 0 || len(got) != 4 || got[3] != "alarm.end" {
			t.Errorf("told %v, alarms %+v", got, w.g.alarms.of(""))
		}
	})
}

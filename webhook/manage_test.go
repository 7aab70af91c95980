package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

func p[T any](v T) *T { return &v }

// make makes an endpoint by the API, at https://NAME.example/hook?token=s3cr3t.
func (r *rig) make(name string, change func(*sms.WebhookChange)) sms.Webhook {
	r.t.Helper()
	c := sms.WebhookChange{Name: p(name), URL: p("https://" + name + ".example/hook?token=s3cr3t"), Secret: p(testSecret)}
	if change != nil {
		change(&c)
	}
	h, err := r.w.Create(context.Background(), c)
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

func (r *rig) webhook(id string) sms.Webhook {
	r.t.Helper()
	h, err := r.w.Webhook(context.Background(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

func (r *rig) change(id string, c sms.WebhookChange) sms.Webhook {
	r.t.Helper()
	h, err := r.w.Change(context.Background(), id, c)
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

func at(host string) func(arrival) bool {
	return func(a arrival) bool { return a.host == host+".example" }
}

func TestEndpointComesAndGoesWhileRunning(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		r.submitMany(alice, 0, 1) // before it was there
		h := r.make("app", func(c *sms.WebhookChange) {
			c.Description = p("the shop")
			c.Headers = map[string]*string{"X-Shop": p("pass-s3cr3t")}
		})
		if h.Secret == nil || *h.Secret != testSecret || h.Source != sms.WebhookOfAPI || h.Status != sms.WebhookActive || !h.Enabled ||
			!slices.Equal(h.Events, []string{"*"}) || h.Headers["X-Shop"] != sms.HiddenValue || h.Position == nil || h.CreatedAt == nil {
			t.Errorf("made as %+v", h)
		}
		r.submitMany(alice, 1, 2)
		synctest.Wait()
		all := r.got(nil)
		wantTexts(t, all, "1")
		if all[0].header.Get("X-Shop") != "pass-s3cr3t" {
			t.Errorf("header %v", all[0].header)
		}
		if h = r.webhook(h.ID); h.Secret != nil {
			t.Error("the secret is shown twice")
		}
		r.restart()
		r.submitMany(alice, 2, 3)
		synctest.Wait()
		wantTexts(t, r.got(nil), "1", "2")

		// A change counts at once; what waits goes to the new address.
		r.always(500)
		r.submitMany(alice, 3, 4)
		settleDown(time.Second)
		h = r.change(h.ID, sms.WebhookChange{URL: p("https://new.example/"), Events: p([]string{"message.queued"}), Headers: map[string]*string{"X-Shop": nil, "X-New": p("1")}})
		if len(h.Headers) != 1 || h.Name != "app" || *h.Description != "the shop" || h.Waiting != 1 || h.FailingSince == nil {
			t.Errorf("changed to %+v", h)
		}
		r.always(200)
		settleDown(time.Minute)
		wantTexts(t, r.got(at("new")), "3")
		if r.webhook(h.ID).FailingSince != nil {
			t.Error("it still fails")
		}

		// A value that was hidden and comes back so stays.
		r.change(h.ID, sms.WebhookChange{Headers: map[string]*string{"X-New": p(sms.HiddenValue)}})
		r.submitMany(alice, 4, 5)
		synctest.Wait()
		if got := r.got(at("new")); got[len(got)-1].header.Get("X-New") != "1" {
			t.Errorf("header %v", got[len(got)-1].header)
		}

		r.always(500)
		r.submitMany(alice, 5, 6)
		settleDown(time.Second)
		if err := r.w.Delete(ctx, h.ID); err != nil {
			t.Fatal(err)
		}
		r.always(200)
		r.forget()
		r.submitMany(alice, 6, 7)
		settleDown(time.Hour)
		r.restart()
		settleDown(time.Hour)
		if n := len(r.got(nil)); n != 0 {
			t.Errorf("%d were told after it was deleted", n)
		}
		if d := r.list(sms.DeliveryFilter{Endpoint: h.ID, Status: sms.DeliveryDropped}); len(d) != 1 || *d[0].Error != "its webhook was deleted" {
			t.Errorf("%+v", d)
		}
		if n := r.count(`SELECT count(*) FROM webhook_secrets WHERE endpoint <> 0`); n != 0 {
			t.Errorf("%d secrets are left", n)
		}
		if _, err := r.w.Webhook(ctx, h.ID); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("%v", err)
		}
	})
}

func TestEndpointOfTheConfigurationIsReadOnly(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		ctx := context.Background()
		all, err := r.w.Webhooks(ctx)
		if err != nil || len(all) != 1 || all[0].Source != sms.WebhookOfConfig || all[0].Position != nil {
			t.Fatalf("%+v, %v", all, err)
		}
		id := all[0].ID
		_, changed := r.w.Change(ctx, id, sms.WebhookChange{Stop: p(true)})
		_, rotated := r.w.RotateSecret(ctx, id, 0)
		for what, err := range map[string]error{"change": changed, "rotate": rotated, "delete": r.w.Delete(ctx, id)} {
			if !errors.Is(err, queue.ErrConflict) || !strings.Contains(err.Error(), "stands in the configuration file") {
				t.Errorf("%s: %v", what, err)
			}
		}
		r.restart()
		if all, _ := r.w.Webhooks(ctx); all[0].ID != id {
			t.Error("its id changed with a restart")
		}
		if _, err := r.w.Create(ctx, sms.WebhookChange{Name: p("APP"), URL: p("https://x.example/")}); err == nil || !strings.Contains(err.Error(), "name of another") {
			t.Errorf("a name twice: %v", err)
		}
	})
}

func TestWrongEndpointsAreRefused(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		for field, c := range map[string]sms.WebhookChange{
			"url":         {URL: p("http://x.example/")},
			"url ":        {URL: p("https://192.168.0.7/")},
			"url  ":       {URL: p("https://[64:ff9b::a9fe:a9fe]/")},
			"url   ":      {URL: p("https://localhost/")},
			"url    ":     {URL: p("mailto:a@x.example")},
			"url     ":    {URL: p("https://a:b@x.example/")},
			"name":        {URL: p("https://x.example/"), Name: p("two words")},
			"events[0]":   {URL: p("https://x.example/"), Events: p([]string{"message.recieved"})},
			"events":      {URL: p("https://x.example/"), Events: p([]string{})},
			"headers":     {URL: p("https://x.example/"), Headers: map[string]*string{"Webhook-Id": p("1")}},
			"headers ":    {URL: p("https://x.example/"), Headers: map[string]*string{"Transfer-Encoding": p("chunked")}},
			"headers  ":   {URL: p("https://x.example/"), Headers: map[string]*string{"X": p("a\r\nB: c")}},
			"secret":      {URL: p("https://x.example/"), Secret: p("whsec_short")},
			"match":       {URL: p("https://x.example/"), Events: p([]string{"message.sent"}), Match: &sms.WebhookMatchChange{Modem: p("a")}},
			"description": {URL: p("https://x.example/"), Description: p(strings.Repeat("x", 501))},
		} {
			_, err := r.w.Create(ctx, c)
			var m sms.WebhookMistakes
			if !errors.As(err, &m) || len(m) != 1 || m[0].Field != strings.TrimSpace(field) {
				t.Errorf("%s: %v", field, err)
			}
		}
		_, err := r.w.Create(ctx, sms.WebhookChange{URL: p("http://192.168.0.7/")})
		if err == nil || !strings.Contains(err.Error(), PrivateSwitch+": true in the configuration") || strings.Contains(err.Error(), "\n") {
			t.Errorf("the owner's switch is not named in one line: %v", err)
		}
		if n := len(r.w.list()); n != 0 {
			t.Errorf("%d endpoints were made", n)
		}
	})
}

func TestStopKeepsEventsFromLaterEndpoints(t *testing.T) {
	first := testEndpoint("help", "message.received")
	first.Match, first.Stop = Match{Keyword: "help"}, true
	inBubble(t, []Endpoint{first}, func(r *rig) {
		last := r.make("last", func(c *sms.WebhookChange) { c.Position = p(20) })
		bobs := r.make("bob", func(c *sms.WebhookChange) {
			c.Position, c.Stop, c.Match = p(10), p(true), &sms.WebhookMatchChange{FromPrefix: p(bob)}
			c.Events = p([]string{"message.received"})
		})
		tell := func() (got [3][]string) {
			t.Helper()
			r.forget()
			r.receive(alice, "help me")
			r.receive(bob, "hello")
			r.receive(carol, "hello")
			settleDown(time.Second)
			for i, host := range []string{"help", "bob", "last"} {
				for _, a := range r.got(at(host)) {
					got[i] = append(got[i], a.number)
				}
				slices.Sort(got[i])
			}
			return got
		}
		check := func(what string, want [3][]string) {
			t.Helper()
			if got := tell(); !slices.EqualFunc(got[:], want[:], slices.Equal) {
				t.Errorf("%s: got %v, want %v", what, got, want)
			}
		}
		check("in order", [3][]string{{alice}, {bob}, {carol}})
		r.change(last.ID, sms.WebhookChange{Position: p(5)})
		r.forget()
		r.submitMany(alice, 0, 1) // a match stops received messages alone
		synctest.Wait()
		if n := len(r.got(at("last"))); n != 1 {
			t.Errorf("%d other events reached the last", n)
		}
		r.change(bobs.ID, sms.WebhookChange{Events: p([]string{"*"})})
		r.submitMany(alice, 1, 2)
		synctest.Wait()
		if n, m := len(r.got(at("bob"))), len(r.got(at("last"))); n != 1 || m != 2 {
			t.Errorf("%d other events reached bob, %d the last", n, m)
		}
		r.change(bobs.ID, sms.WebhookChange{Events: p([]string{"message.received"})})
		check("last comes before bob", [3][]string{{alice}, {bob}, {bob, carol}})
		r.restart()
		check("after a restart", [3][]string{{alice}, {bob}, {bob, carol}})
	})
}

func TestTestEventIsSentAtOnce(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		h := r.make("app", func(c *sms.WebhookChange) { c.Enabled = p(false) })
		r.body = "you are\n" + strings.Repeat("wélcome\x00 ", 2000)
		got, err := r.w.Test(ctx, h.ID)
		if err != nil || !got.Delivered || *got.ResponseStatus != 204 || got.Error != nil || !strings.HasPrefix(*got.Response, "you are wélcome· wél") || len(*got.Response) > 2*answerKept {
			t.Errorf("%+v, %v", got, err)
		}
		if a := r.got(nil); len(a) != 1 || a[0].event != "webhook.test" || a[0].id != got.ID {
			t.Errorf("arrived %+v", a)
		}
		for status, words := range map[int]string{500: "HTTP 500 Internal Server Error", 302: "redirects are not followed", 410: "would be disabled"} {
			r.always(status)
			if got, err = r.w.Test(ctx, h.ID); err != nil || got.Delivered || *got.ResponseStatus != status || !strings.Contains(*got.Error, words) {
				t.Errorf("%d: %+v, %v", status, got, err)
			}
		}
		r.setAnswer(func(req *http.Request, _ arrival) (int, http.Header) { <-req.Context().Done(); return 0, nil })
		if got, _ = r.w.Test(ctx, h.ID); got.ResponseStatus != nil || got.LatencyMS != attemptTimeout.Milliseconds() || *got.Error != "no answer within 15s" {
			t.Errorf("%+v", got)
		}
		if n := len(r.list(sms.DeliveryFilter{})); n != 0 {
			t.Errorf("%d deliveries are listed", n)
		}
	})
}

// A receiver that takes nothing for three days is disabled, with an alarm, and
// what it missed is told again when somebody asks for it.
func TestThreeDaysOfFailureDisableTheEndpoint(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app"), testEndpoint("other")}, func(r *rig) {
		ctx := context.Background()
		var alarm atomic.Value
		r.options = func(o *Options) { o.Alarm = func(detail string) { alarm.Store(detail) } }
		r.restart()
		r.setAnswer(func(_ *http.Request, a arrival) (int, http.Header) {
			if a.host == "app.example" {
				return 500, nil
			}
			return 200, nil
		})
		began := time.Now()
		r.submitMany(alice, 0, 5)
		r.submitMany(bob, 0, 1)
		settleDown(48 * time.Hour)
		r.submitMany(bob, 1, 3)
		settleDown(23 * time.Hour)
		id := r.w.list()[0].public
		if h := r.webhook(id); h.Status != sms.WebhookActive || h.FailingSince == nil || !h.FailingSince.Equal(began) || alarm.Load() != "" {
			t.Errorf("after 71 hours: %+v, %q", h, alarm.Load())
		}
		settleDown(2 * time.Hour)
		h := r.webhook(id)
		if h.Status != sms.WebhookDisabled || h.Reason == nil || !strings.Contains(*h.Reason, "took nothing for three days") || h.DisabledAt == nil || h.Waiting != 0 || h.Failed != 8 {
			t.Fatalf("after 73 hours: %+v", h)
		}
		if last, _ := alarm.Load().(string); !strings.Contains(last, "app: it took nothing for three days") {
			t.Errorf("alarm %q", last)
		}
		if r.webhook(r.w.list()[1].public).Status != sms.WebhookActive {
			t.Error("the other is disabled too")
		}
		r.always(200)
		r.submitMany(carol, 0, 2) // while it is disabled
		r.restart()
		r.submitMany(carol, 2, 3)
		settleDown(time.Hour)
		r.forget()
		if _, err := r.w.Replay(ctx, id, sms.WebhookReplay{Since: began}); !errors.Is(err, queue.ErrConflict) {
			t.Errorf("a replay while it is disabled: %v", err)
		}
		if h, err := r.w.Enable(ctx, id); err != nil || h.Status != sms.WebhookActive || h.FailingSince != nil {
			t.Errorf("%+v, %v", h, err)
		}
		if alarm.Load() != "" {
			t.Errorf("alarm %q", alarm.Load())
		}
		r.submitMany(carol, 3, 4)
		settleDown(time.Hour)
		app := at("app")
		wantTexts(t, r.got(app), "3")
		done, err := r.w.Replay(ctx, id, sms.WebhookReplay{Since: began})
		if err != nil || done.Replayed != 11 || done.More {
			t.Errorf("%+v, %v", done, err)
		}
		settleDown(time.Hour)
		for number, want := range map[string]string{alice: "01234", bob: "012", carol: "3012"} {
			if got := texts(r.got(func(a arrival) bool { return app(a) && a.number == number })); strings.Join(got, "") != want {
				t.Errorf("%s got %v, want %s", number, got, want)
			}
		}
		if h = r.webhook(id); h.Failed != 0 || h.Waiting != 0 {
			t.Errorf("%+v", h)
		}
		if done, err = r.w.Replay(ctx, id, sms.WebhookReplay{Since: began}); err != nil || done.Replayed != 0 {
			t.Errorf("a second replay: %+v, %v", done, err)
		}
	})
}

func TestReplayOfAllKeepsTheID(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		h := r.make("app", nil)
		for i := range 4 {
			r.submitMany(alice, i, i+1)
			settleDown(time.Hour)
		}
		first := r.got(nil)
		settleDown(8 * 24 * time.Hour) // the deliveries are forgotten, the events are not
		if n := len(r.list(sms.DeliveryFilter{})); n != 0 {
			t.Fatalf("%d deliveries are left", n)
		}
		r.forget()
		done, err := r.w.Replay(ctx, h.ID, sms.WebhookReplay{Since: first[1].at.Add(-time.Second), Until: first[2].at.Add(time.Second), All: true})
		if err != nil || done.Replayed != 2 {
			t.Errorf("%+v, %v", done, err)
		}
		settleDown(time.Minute)
		again := r.got(nil)
		wantTexts(t, again, "1", "2")
		if again[0].id != first[1].id || again[1].id != first[2].id {
			t.Errorf("ids %s %s, were %s %s", again[0].id, again[1].id, first[1].id, first[2].id)
		}
	})
}

func TestPausedEndpointMissesNothingForGood(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		h := r.make("app", nil)
		r.always(500)
		r.submitMany(alice, 0, 2)
		settleDown(time.Second)
		began := time.Now().Add(-time.Hour)
		if h = r.change(h.ID, sms.WebhookChange{Enabled: p(false)}); h.Status != sms.WebhookPaused {
			t.Errorf("%+v", h)
		}
		r.always(200)
		r.submitMany(alice, 2, 3)
		settleDown(time.Hour)
		r.restart()
		r.submitMany(alice, 3, 4)
		settleDown(time.Hour)
		r.forget()
		if d := r.list(sms.DeliveryFilter{Status: sms.DeliveryFailed}); len(d) != 2 {
			t.Fatalf("%+v", d)
		} else if _, err := r.w.Retry(ctx, d[0].ID); !errors.Is(err, queue.ErrConflict) {
			t.Errorf("retry while it is paused: %v", err)
		}
		if _, err := r.w.Enable(ctx, h.ID); err != nil {
			t.Fatal(err)
		}
		settleDown(time.Hour)
		if n := len(r.got(nil)); n != 0 {
			t.Errorf("%d came by themselves", n)
		}
		if done, err := r.w.Replay(ctx, h.ID, sms.WebhookReplay{Since: began}); err != nil || done.Replayed != 4 {
			t.Errorf("%+v, %v", done, err)
		}
		settleDown(time.Minute)
		r.wantInOrder("app.example", alice, 4)
	})
}

func TestFailedDeliveriesLetTheLogGoInTheEnd(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.options = func(o *Options) { o.KeepFailed = 30 * 24 * time.Hour }
		r.restart()
		r.always(400)
		r.submitMany(alice, 0, 1)
		settleDown(29 * 24 * time.Hour)
		d := r.only(sms.DeliveryFailed)
		settleDown(2 * 24 * time.Hour)
		if d := r.only(sms.DeliveryDropped); !strings.Contains(*d.Error, "kept for 30 days") {
			t.Errorf("%+v", d)
		}
		r.submitMany(bob, 0, 1)
		settleDown(2 * time.Hour)
		if err := r.q.Prune(context.Background(), time.Now(), queue.Retention{Events: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		if oldest, _, err := r.q.Span(context.Background()); err != nil || oldest <= d.Event {
			t.Errorf("the log is held from %d on, %v", oldest, err)
		}
	})
}

func TestDeliveryLogTellsWhatHappened(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.body = "no, " + alice + " again?"
		r.setAnswer(func(req *http.Request, a arrival) (int, http.Header) {
			time.Sleep(40 * time.Millisecond)
			return 503, nil
		})
		m := r.submit(alice, "secret words")
		settleDown(24 * time.Hour)
		d := r.only(sms.DeliveryPending)
		if *d.LatencyMS != 40 || d.Response == nil || *d.Response != r.body || len(d.History) != historyKept || d.Attempts < 12 {
			t.Errorf("%+v", d)
		}
		for i, a := range d.History {
			if *a.ResponseStatus != 503 || a.LatencyMS != 40 || a.Error == "" || i > 0 && !a.At.Before(d.History[i-1].At) || !a.At.Before(*d.LastAttemptAt) {
				t.Errorf("attempt %d: %+v", i, a)
			}
		}
		for what, f := range map[string]sms.DeliveryFilter{"type": {Type: "message.sent"}, "message": {Message: "msg_x"}, "since": {Since: time.Now()}, "endpoint": {Endpoint: "whk_x"}} {
			if got := r.list(f); len(got) != 0 {
				t.Errorf("%s: %+v", what, got)
			}
		}
		if got := r.list(sms.DeliveryFilter{Type: "message.queued", Message: m.ID, Since: d.CreatedAt, Endpoint: *d.Webhook}); len(got) != 1 {
			t.Errorf("%+v", got)
		}
		// What a receiver echoes goes with the message.
		err := r.db.Write(func(tx *db.Tx) error { return r.w.EraseTx(tx, m.ID, false) })
		if err != nil || r.only(sms.DeliveryPending).Response != nil {
			t.Errorf("the answer is still there, %v", err)
		}
		// So does what comes while it is erased.
		r.setAnswer(func(*http.Request, arrival) (int, http.Header) {
			if err := r.db.Write(func(tx *db.Tx) error { return r.w.EraseTx(tx, m.ID, false) }); err != nil {
				t.Error(err)
			}
			return 200, nil
		})
		settleDown(24 * time.Hour)
		if d := r.only(sms.DeliveryDelivered); d.Response != nil {
			t.Errorf("%+v", d)
		}
	})
}

func TestEventIsToldByMail(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		type letter struct {
			to                []string
			subject, text, id string
		}
		var got []letter
		fail := 2
		r.options = func(o *Options) {
			o.Mail = func(_ context.Context, to []string, subject, text, id string) error {
				got = append(got, letter{to, subject, text, id})
				if fail--; fail >= 0 {
					return errors.New("451 greylisted")
				}
				return nil
			}
		}
		r.restart()
		r.make("oncall", func(c *sms.WebhookChange) { c.URL = p("mailto:a@x.example,b@x.example") })
		r.receive(alice, "help\nme")
		settleDown(time.Hour)
		if len(got) != 3 {
			t.Fatalf("%d e-mails: %+v", len(got), got)
		}
		l := got[2]
		if !slices.Equal(l.to, []string{"a@x.example", "b@x.example"}) || l.subject != "SMS from "+alice || !strings.HasPrefix(l.text, "help\nme\n\n") ||
			!strings.Contains(l.text, "Modem: office") || l.id != got[0].id || !strings.HasPrefix(l.id, "dlv_") {
			t.Errorf("%+v", l)
		}
		if d := r.only(sms.DeliveryDelivered); d.Attempts != 3 || d.ResponseStatus != nil || d.Endpoint != "oncall" {
			t.Errorf("%+v", d)
		}
		// What a word means is told in words too.
		r.receive(alice, "Stop")
		settleDown(time.Hour)
		told := slices.ContainsFunc(got[3:], func(l letter) bool {
			return l.subject == "Consent of "+alice+": opt-out" && strings.HasPrefix(l.text, "Stop\n\n") && strings.Contains(l.text, "Reason: word")
		})
		if !told || len(got) != 5 {
			t.Errorf("%+v", got[3:])
		}
	})
}

// What the owner permits counts at each attempt, not when the endpoint was made.
func TestPermissionIsTakenBack(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.options = func(o *Options) { o.AllowPrivate = true }
		r.restart()
		h := r.make("app", func(c *sms.WebhookChange) { c.URL = p("http://app.example/") })
		r.submitMany(alice, 0, 1)
		synctest.Wait()
		if len(r.got(nil)) != 1 || !h.AllowPrivate {
			t.Fatalf("%+v arrived at %+v", r.got(nil), h)
		}
		r.options = nil
		r.restart()
		r.submitMany(alice, 1, 2)
		settleDown(time.Minute)
		if d := r.only(sms.DeliveryPending); len(r.got(nil)) != 1 || !strings.Contains(*d.Error, PrivateSwitch+": true in the configuration permits it") {
			t.Errorf("%+v", d)
		}
	})
}

// A name that the configuration takes later is shown with a number.
func TestNamesStayUnique(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.make("app", nil)
		r.endpoints = []Endpoint{testEndpoint("app")}
		r.restart()
		all, err := r.w.Webhooks(context.Background())
		if err != nil || len(all) != 2 || all[0].Name != "app" || all[1].Name != "app-2" {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

func FuzzPrintable(f *testing.F) {
	f.Add([]byte("a\x00é\xff"), 0)
	f.Fuzz(func(t *testing.T, b []byte, _ int) {
		s := printable(b)
		if strings.ContainsAny(s, "\r\n\x00") || len([]rune(s)) > answerKept {
			t.Errorf("%q", s)
		}
		if _, err := json.Marshal(s); err != nil {
			t.Error(err)
		}
	})
}

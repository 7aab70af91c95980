package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/sms"
)

// webhooksView is the page of the webhooks.
type webhooksView struct {
	MayChange  bool
	Said       *saidView
	Webhooks   []webhookView
	Deliveries []deliveryView
}

// saidView is what became of the button that was pressed.
type saidView struct {
	Kind, Title string
	Lines       []string
}

type webhookView struct {
	ID, Name, Description, Where, Source string
	Pill                                 pill
	Reason                               string
	FailingSince                         time.Time
	Events                               string
	Rules                                []string
	Waiting, Failed                      int
	Off, Behind                          bool
}

type deliveryView struct {
	ID, Endpoint, Type, Message string
	Pill                        pill
	At                          time.Time
	Attempts                    int
	Status, Took, What          string
	Failed                      bool
}

// shownDeliveries is how many the page lists.
const shownDeliveries = 50

// webhooksPage is GET /webhooks.
func (a *API) webhooksPage(c echo.Context) error { return a.showWebhooks(c, nil) }

func (a *API) showWebhooks(c echo.Context, said *saidView) error {
	w, err := a.hooks()
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	all, err := w.Webhooks(ctx)
	if err != nil {
		return err
	}
	v := webhooksView{MayChange: keyOf(c).Can(auth.Admin), Said: said}
	for _, h := range all {
		v.Webhooks = append(v.Webhooks, viewWebhook(h, v.MayChange))
	}
	if a.o.Deliveries != nil {
		page, _, err := a.o.Deliveries.List(ctx, sms.DeliveryFilter{Limit: shownDeliveries})
		if err != nil {
			return err
		}
		for _, d := range page {
			v.Deliveries = append(v.Deliveries, viewDelivery(d))
		}
	}
	return a.page(c, http.StatusOK, "webhooks.html", a.frame(c, "Webhooks"), v)
}

// webhookKinds colours the statuses of webhooks and of deliveries.
var webhookKinds = map[string]string{
	sms.WebhookActive: good, sms.WebhookPaused: idle, sms.WebhookDisabled: bad,
	string(sms.DeliveryPending): warn, string(sms.DeliveryDelivered): good, string(sms.DeliveryFailed): bad, string(sms.DeliveryDropped): idle,
}

func viewWebhook(h sms.Webhook, whole bool) webhookView {
	v := webhookView{ID: h.ID, Name: h.Name, Where: whereTo(h.URL, whole), Source: "made with the API", Pill: pill{h.Status, webhookKinds[h.Status]},
		Events: strings.Join(h.Events, ", "), Waiting: h.Waiting, Failed: h.Failed, Off: h.Status != sms.WebhookActive, Behind: h.Failed > 0}
	if h.Source == sms.WebhookOfConfig {
		v.Source = "in the configuration"
	}
	if len(h.Events) == 1 && h.Events[0] == "*" {
		v.Events = "all"
	}
	if h.Description != nil {
		v.Description = *h.Description
	}
	if h.Reason != nil {
		v.Reason = capital(*h.Reason) + "."
	}
	if h.FailingSince != nil && h.Status == sms.WebhookActive {
		v.Pill, v.FailingSince = pill{"failing", warn}, *h.FailingSince
	}
	for _, m := range []struct {
		name  string
		value *string
	}{{"modem", h.Match.Modem}, {"to", h.Match.To}, {"from", h.Match.FromPrefix}, {"first word", h.Match.Keyword}} {
		if m.value != nil {
			v.Rules = append(v.Rules, m.name+" "+*m.value)
		}
	}
	if h.Stop {
		v.Rules = append(v.Rules, "stops there")
	}
	return v
}

// whereTo is an address without what may be secret in it. Of many services that is
// the path, which is for those who may make webhooks.
func whereTo(raw string, whole bool) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return raw
	}
	if path := u.EscapedPath(); whole || path == "" || path == "/" {
		return u.Scheme + "://" + u.Host + path
	}
	return u.Scheme + "://" + u.Host + "/…"
}

func viewDelivery(d sms.Delivery) deliveryView {
	v := deliveryView{ID: d.ID, Endpoint: d.Endpoint, Type: d.Type, Pill: pill{string(d.Status), webhookKinds[string(d.Status)]}, At: d.CreatedAt,
		Attempts: d.Attempts, Status: "–", Took: "–", Failed: d.Status == sms.DeliveryFailed}
	if d.Webhook == nil {
		v.Endpoint = "a callback URL at " + d.Endpoint
	}
	if d.LastAttemptAt != nil {
		v.At = *d.LastAttemptAt
	}
	if d.MessageID != nil {
		v.Message = *d.MessageID
	}
	if d.ResponseStatus != nil {
		v.Status = fmt.Sprint(*d.ResponseStatus)
	}
	if d.LatencyMS != nil {
		v.Took = fmt.Sprintf("%d ms", *d.LatencyMS)
	}
	if d.Error != nil {
		v.What = *d.Error
	}
	if d.Response != nil {
		v.What = strings.TrimPrefix(v.What+" · “"+*d.Response+"”", " · ")
	}
	return v
}

// changeWebhooks is POST /webhooks: a button of the page was pressed.
func (a *API) changeWebhooks(c echo.Context) error {
	w, err := a.hooks()
	if err != nil {
		return err
	}
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, 8<<10)
	if err := r.ParseForm(); err != nil {
		return badRequest.because("The form can't be read.")
	}
	said, err := a.press(context.WithoutCancel(r.Context()), w, r.PostForm.Get("do"), r.PostForm.Get("id"))
	if p := (*problem)(nil); errors.As(webhookError(err), &p) && p.Status < 500 && p.kind != badRequest {
		said = &saidView{Kind: bad, Title: "That was not possible", Lines: []string{p.detail}}
	} else if err != nil {
		return err
	}
	return a.showWebhooks(c, said)
}

func (a *API) press(ctx context.Context, w Webhooks, button, id string) (*saidView, error) {
	switch button {
	case "test":
		t, err := w.Test(ctx, id)
		said := &saidView{Kind: good, Title: "The test arrived", Lines: []string{"It took " + fmt.Sprint(t.LatencyMS) + " ms."}}
		if !t.Delivered {
			said.Kind, said.Title = bad, "The test did not arrive"
		}
		if t.Error != nil {
			said.Lines = append(said.Lines, *t.Error)
		}
		if t.Response != nil {
			said.Lines = append(said.Lines, "The answer begins: "+*t.Response)
		}
		return said, err
	case "enable":
		h, err := w.Enable(ctx, id)
		return &saidView{Kind: good, Title: h.Name + " gets events again", Lines: []string{"What it missed can be sent again."}}, err
	case "replay":
		done, err := w.Replay(ctx, id, sms.WebhookReplay{Since: a.now().Add(-30 * 24 * time.Hour)})
		said := &saidView{Kind: good, Title: fmt.Sprintf("%d events are sent again", done.Replayed)}
		if done.More {
			said.Lines = []string{"There are more: press it again when these have arrived."}
		}
		return said, err
	case "retry":
		if a.o.Deliveries == nil {
			return nil, notFound.because("This gateway has no webhooks.")
		}
		d, err := a.o.Deliveries.Retry(ctx, id)
		return &saidView{Kind: good, Title: cmp.Or(d.Type, "The event") + " is sent again"}, err
	}
	return nil, badRequest.because("The form has no such button.")
}

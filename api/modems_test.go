package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"gatewayd/sms"
)

func TestModems(t *testing.T) {
	b := newBox(t, settings{})
	var all struct{ Modems []sms.Modem }
	b.get("/v1/modems").want(200).into(&all)
	if len(all.Modems) != 2 || all.Modems[1].Signal.DBm != -71 {
		t.Errorf("modems %+v", all.Modems)
	}
	if l := all.Modems[1].Limits; l == nil || *l.PerDay.Limit != 1000 || l.PerDay.Used != 812 || l.PerDay.ResetsAt == nil || l.PerMonth.Limit != nil {
		t.Errorf("limits %+v", l)
	}
	if page := b.get("/").want(200).Body.String(); !strings.Contains(page, "Today 812 of 1,000") || strings.Contains(page, "This month") {
		t.Error("the page does not show the limit of the day, or one that is none")
	}
	var m sms.Modem
	b.get("/v1/modems/backup").want(200).into(&m)
	if m.State != sms.PINRequired || m.Advice == "" {
		t.Errorf("modem %+v", m)
	}
	b.get("/v1/modems/nobody").problem(notFound)
	b.ask("POST", "/v1/modems/office/reset", bearer(b.admin), "").want(202)
	if len(b.modems.reset) != 1 || b.modems.reset[0] != "office" {
		t.Errorf("reset %v", b.modems.reset)
	}
	b.ask("POST", "/v1/modems/nobody/reset", bearer(b.admin), "").problem(notFound)
	b.modems.err = errors.New("it is not plugged in")
	if p := b.ask("POST", "/v1/modems/backup/reset", bearer(b.admin), "").problem(conflict); !strings.Contains(p.Detail, "not plugged in") {
		t.Errorf("detail %q", p.Detail)
	}
}

func TestForgetModem(t *testing.T) {
	b := newBox(t, settings{})
	b.ask("DELETE", "/v1/modems/backup", bearer(b.admin), "").want(204)
	if len(b.modems.forgotten) != 1 || b.modems.forgotten[0] != "backup" {
		t.Errorf("forgotten: %v", b.modems.forgotten)
	}
	b.ask("DELETE", "/v1/modems/backup", bearer(b.send), "").problem(wrongScope)
	b.ask("DELETE", "/v1/modems/nobody", bearer(b.admin), "").problem(notFound)
	b.modems.err = errors.New("it is plugged in; unplug it first")
	if p := b.ask("DELETE", "/v1/modems/office", bearer(b.admin), "").problem(conflict); !strings.Contains(p.Detail, "unplug it first") {
		t.Errorf("detail %q", p.Detail)
	}
}

func TestTranscript(t *testing.T) {
	b := newBox(t, settings{})
	for query, want := range map[string]string{"": "office masked=true", "?masked=true": "office masked=true", "?masked=false": "office masked=false"} {
		if got := b.ask("GET", "/v1/modems/office/transcript"+query, bearer(b.admin), "").want(200).Body.String(); got != want {
			t.Errorf("%q: %q", query, got)
		}
	}
	b.get("/v1/modems/office/transcript").problem(wrongScope)
	b.ask("GET", "/v1/modems/office/transcript?masked=maybe", bearer(b.admin), "").problem(invalidFields, "masked")
	b.ask("GET", "/v1/modems/nobody/transcript", bearer(b.admin), "").problem(notFound)
	b.modems.err = errors.New("it is not in use")
	b.ask("GET", "/v1/modems/office/transcript", bearer(b.admin), "").problem(conflict)
}

// Something that is plugged in and is no modem can be seen, and not be sent by.
func TestUnidentifiedDevice(t *testing.T) {
	b := newBox(t, settings{})
	b.modems.all = append(b.modems.all, sms.Modem{Name: "usb-1-1", Unidentified: true, State: sms.ModemFailed, Reason: "HiLink."})
	b.get("/v1/modems/usb-1-1").want(200)
	b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x","from":"usb-1-1"}`).problem(invalidFields, "from")
	if page := b.get("/").want(200).Body.String(); !strings.Contains(page, "HiLink.") || strings.Contains(page, "<option>usb-1-1") {
		t.Error("the page does not show it, or offers to send by it")
	}
}

func TestModemNamesAreEscapedInPaths(t *testing.T) {
	b := newBox(t, settings{})
	b.modems.all = []sms.Modem{{Name: "a/b ü+c", State: sms.Ready}}
	b.get("/v1/modems/a%2Fb%20%C3%BC+c").want(200)
}

func TestBoxWithoutModems(t *testing.T) {
	b := newBox(t, settings{change: func(o *Options) { o.Modems, o.Deliveries = nil, nil }})
	if got := strings.TrimSpace(b.get("/v1/modems").want(200).Body.String()); got != `{"modems":[]}` {
		t.Errorf("modems: %s", got)
	}
	b.get("/v1/modems/office").problem(notFound)
	if got := strings.TrimSpace(b.get("/v1/webhooks/deliveries").want(200).Body.String()); got != `{"deliveries":[],"next_cursor":null}` {
		t.Errorf("deliveries: %s", got)
	}
	b.ask("POST", "/v1/webhooks/deliveries/1/retry", bearer(b.admin), "").problem(notFound)
	b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"waits on disk"}`).accepted()
	b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x","from":"office"}`).problem(invalidFields, "from")
	if page := b.get("/").want(200).Body.String(); !strings.Contains(page, "there is no modem") {
		t.Error("the page does not say that there is no modem")
	}
}

func TestQueueShowsBothRings(t *testing.T) {
	b := newBox(t, settings{})
	for range 3 {
		b.post("/v1/messages", b.send, `{"to":"+491701234567","text":"x"}`).accepted()
	}
	var rings sms.Rings
	b.get("/v1/queue").want(200).into(&rings)
	if o := rings.Outbound; o.Capacity != 100_000 || o.Depth != 3 || o.LastRetrieved == nil || *o.LastRetrieved != 2 || o.LastSent != nil {
		t.Errorf("outbound %+v", o)
	}
	if i := rings.Inbound; i.Capacity != 100_000 || i.Depth != 0 || i.LastRetrieved != nil {
		t.Errorf("inbound %+v", i)
	}
}

func TestDeliveries(t *testing.T) {
	b := newBox(t, settings{})
	var page struct {
		Deliveries []sms.Delivery
		NextCursor *string `json:"next_cursor"`
	}
	b.get("/v1/webhooks/deliveries?status=failed&limit=3&endpoint=chat&cursor=c").want(200).into(&page)
	if len(page.Deliveries) != 1 || *page.NextCursor != "more" {
		t.Errorf("page %+v", page)
	}
	if want := (sms.DeliveryFilter{Status: "failed", Endpoint: "chat", Cursor: "c", Limit: 3}); b.hooks.asked != want {
		t.Errorf("asked for %+v", b.hooks.asked)
	}
	b.get("/v1/webhooks/deliveries?status=lost").problem(invalidFields, "status")
	b.get("/v1/webhooks/deliveries?cursor=wrong").problem(invalidFields, "cursor")
	b.get("/v1/webhooks/deliveries?foo=1").problem(invalidFields, "foo")
	b.ask("POST", "/v1/webhooks/deliveries/dlv_1/retry", bearer(b.admin), "").want(http.StatusAccepted)
	b.ask("POST", "/v1/webhooks/deliveries/dlv_done/retry", bearer(b.admin), "").problem(conflict)
	b.ask("POST", "/v1/webhooks/deliveries/nothing/retry", bearer(b.admin), "").problem(notFound)
	b.ask("DELETE", "/v1/webhooks/deliveries/dlv_1", bearer(b.admin), "").want(http.StatusOK)
	b.ask("DELETE", "/v1/webhooks/deliveries/dlv_done", bearer(b.admin), "").problem(conflict)
	b.ask("DELETE", "/v1/webhooks/deliveries/nothing", bearer(b.admin), "").problem(notFound)
}

package api

import (
	"html"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/sms"
)

// has wants a page to show these, and none of those.
func has(t *testing.T, page string, want []string, not ...string) {
	t.Helper()
	page = html.UnescapeString(page)
	for _, w := range want {
		if !strings.Contains(page, w) {
			t.Errorf("the page lacks %q", w)
		}
	}
	for _, w := range not {
		if strings.Contains(page, w) {
			t.Errorf("the page shows %q", w)
		}
	}
}

// Who may only watch sees how the box is, and nobody's number or text.
func TestStatusPageForATechnician(t *testing.T) {
	b := newBox(t, settings{})
	submit(b, "a secret text")
	for _, c := range []struct {
		scopes []auth.Scope
		want   []string
		not    []string
	}{
		{[]auth.Scope{auth.Watch}, nil, []string{`action="/reset"`, `href="/test`}},
		{[]auth.Scope{auth.Watch, auth.Service}, []string{`action="/reset"`, `href="/test?modem=office"`, "Send a test to yourself"}, nil},
	} {
		page := b.ask("GET", "/", bearer(b.keyFor(c.scopes...)), "").want(200).Body.String()
		has(t, page, append(c.want, "backup: Set pin in the configuration.", "Sim Mobile", "1 waiting. The oldest has waited since", "the network has it", "/acceptance"),
			append(c.not, "a secret text", "+491701234567", "+491700000001", "Latest messages", `id="ask"`, `id="send"`)...)
	}
	has(t, b.get("/").Body.String(), []string{"a secret text", "+491700000001"}, `action="/reset"`)
}

func TestStatusPageTellsAlarmsRatesAndErrors(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rsrp, sinr := -108.0, 14.0
	b := newBox(t, settings{change: func(o *Options) {
		o.Alarms = func() []sms.Alarm {
			return []sms.Alarm{{Code: "webhook-failing", Title: "A webhook fails", Detail: "Look at its server.", BegunAt: at}}
		}
		o.System = func() sms.System {
			return sms.System{Model: "Raspberry Pi 4", Disk: &sms.DiskRoom{Free: 12_300_000_000, Total: 31_000_000_000, State: "ok"}, Power: &sms.Power{UnderVoltageSeen: true},
				Warnings: []sms.SystemWarning{{Code: "under-voltage", Title: "The supply is too weak", Detail: "Use a better one."}}}
		}
	}})
	m := &b.modems.all[1]
	m.Rate = sms.SendRate{LastMinute: 3, LastHour: 1200}
	m.Errors = []sms.ErrorCount{{Class: sms.Account, Count: 7, At: at, Code: "cms-38", Title: "Network out of order"}}
	m.Signal.RSRP, m.Signal.SINR = &rsrp, &sinr
	m.Alarms = []sms.Alarm{{Code: "sim-limit", Modem: "office", Title: "The SIM's limit is near", Detail: "Look at the plan.", BegunAt: at}}
	has(t, b.get("/").want(200).Body.String(), []string{
		"A webhook fails", "Look at its server.", "since <time datetime=\"2026-01-02T03:04:05.000Z\">", `<a href="#modem-office">office</a>: The SIM's limit is near`,
		"1,200 SMS sent in the last hour, 3 in the last minute.", "<b>7</b> refused because of the SIM or its contract", "Network out of order",
		"−108 dBm <span class=\"outcome bad\">poor", "14 dB <span class=\"outcome good\">good", "Today 812 of 1,000",
		"12.3 GB of 31 GB free", "there was under-voltage since it was switched on", "The supply is too weak", "Raspberry Pi 4",
	}, "RSRQ")
}

func TestStatusPageTellsTheLastBackup(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		b           *sms.Backup
		value, kind string
	}{
		{nil, "none yet", idle},
		{&sms.Backup{FailingSince: now, Error: "no room"}, "none yet: the last try failed, no room", bad},
		{&sms.Backup{MadeAt: now.Add(-3 * time.Hour)}, "3 h 0 min ago", good},
		{&sms.Backup{MadeAt: now.Add(-50 * time.Hour), FailingSince: now, Error: "no room"}, "2 days ago; the last try failed, no room", warn},
	} {
		if _, value, kind := backupFact(c.b, now); value != c.value || kind != c.kind {
			t.Errorf("%+v is shown as %q, %s", c.b, value, kind)
		}
	}
	b := newBox(t, settings{change: func(o *Options) {
		o.System = func() sms.System { return sms.System{Backup: &sms.Backup{MadeAt: time.Now().Add(-3 * time.Hour)}} }
	}})
	has(t, b.get("/").want(200).Body.String(), []string{"Last backup", "3 h 0 min ago"})
}

func TestStatusPageTellsHowFarWebhooksAre(t *testing.T) {
	now := time.Now()
	since, failing, why := now.Add(-90*time.Second), now.Add(-time.Hour), "it answered 500"
	for _, c := range []struct {
		h    sms.Webhook
		line string
		pill pill
	}{
		{sms.Webhook{Name: "a", Status: sms.WebhookActive}, "Has taken every event.", pill{"active", good}},
		{sms.Webhook{Name: "a", Status: sms.WebhookActive, Waiting: 1200, WaitingSince: &since}, "1,200 events wait, the oldest for 1 min.", pill{"behind", warn}},
		{sms.Webhook{Name: "a", Status: sms.WebhookActive, Waiting: 1, WaitingSince: &since, FailingSince: &failing, Failed: 2}, "1 event waits, the oldest for 1 min. 2 could not be delivered.", pill{"failing", warn}},
		{sms.Webhook{Name: "a", Status: sms.WebhookDisabled, Reason: &why}, "Has taken every event.", pill{"disabled", bad}},
	} {
		if got := viewHook(c.h, now); got.Line != c.line || got.Pill != c.pill {
			t.Errorf("%+v is shown as %+v", c.h, got)
		}
	}
}

func TestRestartFromThePage(t *testing.T) {
	b := newBox(t, settings{})
	tech := b.signInWith(b.admin).with("Sec-Fetch-Site", "same-origin", "Content-Type", "application/x-www-form-urlencoded")
	a := b.ask("POST", "/reset", tech, "modem=office").want(http.StatusSeeOther)
	if a.Header().Get("Location") != "/#modem-office" || strings.Join(b.modems.reset, " ") != "office" {
		t.Errorf("to %s, restarted %v", a.Header().Get("Location"), b.modems.reset)
	}
	b.ask("POST", "/reset", tech, "modem=none").problem(notFound)
}

func TestSignalChart(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	f := func(v float64) *float64 { return &v }
	var samples []sms.SignalSample
	for i := range chartWidth {
		if i >= 100 && i < 124 { // two hours away
			continue
		}
		samples = append(samples, sms.SignalSample{At: now.Add(-chartSpan).Add(time.Duration(i) * sms.SignalStep), DBm: f(-71), RSRP: f(-95), WorstRSRP: f(-97), Technology: "LTE"})
	}
	samples[30].WorstRSRP = f(-112)
	v := viewChart(samples, now)
	if len(v.Away) != 1 || v.Away[0] != (awayView{100, 24}) || strings.Count(v.RSRP, "M") != 2 || strings.Count(v.RSSI, "M") != 2 {
		t.Errorf("away %v, path %s", v.Away, v.RSRP)
	}
	if v.Label != "Signal of the last 24 hours: RSRP was −95 dBm on average, −112 dBm at its weakest; there are times without a signal" {
		t.Errorf("label %q", v.Label)
	}
	if len(v.Rows) != 23 && len(v.Rows) != 22 {
		t.Errorf("%d hours", len(v.Rows))
	}
	if r := v.Rows[2]; r.Worst != "−112 dBm" || r.Mean != "−95 dBm" || r.Technology != "LTE" || !r.At.Equal(now.Add(-22*time.Hour)) {
		t.Errorf("third hour %+v", r)
	}
	if viewChart(nil, now) != nil || viewChart(samples[:1], now.Add(48*time.Hour)) != nil {
		t.Error("a chart of nothing")
	}
	// A modem of GSM has no RSRP; what is beyond the scale lies on its edge.
	v = viewChart([]sms.SignalSample{{At: now.Add(-time.Hour), DBm: f(-20)}, {At: now.Add(-50 * time.Minute), DBm: f(-200)}}, now)
	if v.Of != "RSSI" || v.RSRP != "" || v.RSSI != "M276 0h1M278 80h1" {
		t.Errorf("chart %+v", v)
	}
	b := newBox(t, settings{})
	b.modems.history = []sms.SignalSample{{At: time.Now().Add(-time.Hour), RSRP: f(-99), DBm: f(-80)}}
	has(t, b.get("/").want(200).Body.String(), []string{`role="img" aria-label="Signal of the last 24 hours: RSRP was −99 dBm`, `class="line rsrp"`, "<caption class=\"unseen\">RSRP of each hour"})
}

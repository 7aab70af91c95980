package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/intake"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// sends presses the button of the page for tests.
func (b *box) sends(h header, to, modem string) *answer {
	b.t.Helper()
	return b.ask("POST", "/test", h.with("Content-Type", "application/x-www-form-urlencoded"), url.Values{"to": {to}, "modem": {modem}}.Encode())
}

func TestATechnicianSendsATestToHimself(t *testing.T) {
	b := newBox(t, settings{change: func(o *Options) { o.Name = "pi-north" }})
	tech := bearer(b.keyFor(auth.Watch, auth.Service))
	has(t, b.ask("GET", "/test?modem=office", tech, "").want(200).Body.String(), []string{`<option value="office" selected>office (ready)`, "Test of pi-north: sent by modem office, "})
	at := b.sends(tech, "+491701234567", "office").want(http.StatusSeeOther).Header().Get("Location")
	m := b.messages()[0]
	if at != "/test?id="+m.ID+"#sent" {
		t.Errorf("leads to %s", at)
	}
	if !strings.HasPrefix(m.Text, "Test of pi-north: sent by modem office, 20") || !strings.HasSuffix(m.Text, " UTC.") || m.To != "+491701234567" || m.From != "+491700000001" ||
		m.OnUnconfirmed != sms.Fail || !m.DeliveryReport || m.ExpiresAt.Sub(m.CreatedAt).Round(time.Minute) != testLife {
		t.Errorf("sent %+v", m)
	}
	page := func() string { return b.ask("GET", "/test?id="+m.ID, tech, "").want(200).Body.String() }
	has(t, page(), []string{"The test with office", "waits for the modem", "<span>On the air</span> <span class=\"dim\">not yet</span>", `data-seq="1"`, `data-live="message modem"`}, "+491701234567")
	// A message of others is not for him, whatever its id.
	other := submit(b, "secret")
	b.ask("GET", "/test?id="+other.ID, tech, "").problem(notFound)
	b.ask("DELETE", "/v1/messages/"+m.ID, bearer(b.send), "").want(200)
	has(t, page(), []string{"canceled", "Somebody canceled it."}, "not yet")
	has(t, b.ask("GET", "/acceptance", tech, "").want(200).Body.String(), []string{"Queued 20", "; canceled 20"}, "+491701234567", "+491700000001")
}

func TestATestGoesThroughTheDesk(t *testing.T) {
	b := newBox(t, settings{desk: func(o *intake.Options) { o.Destinations = number.Rules{Deny: []number.Destination{"FR"}} }})
	tech := bearer(b.keyFor(auth.Watch, auth.Service))
	for _, c := range []struct{ to, modem, want string }{
		{"+33612345678", "office", "The number "},
		{"hello", "office", "The number "},
		{"", "office", "The number is missing."},
		{"+491701234567", "none", "Choose a modem."},
		{"+491701234567", "", "Choose a modem."},
	} {
		has(t, b.sends(tech, c.to, c.modem).want(http.StatusUnprocessableEntity).Body.String(), []string{c.want, `aria-invalid="true"`})
	}
	b.nothingQueued()
	// What was refused does not count; after ten he waits.
	for range mostTests {
		b.sends(tech, "+491701234567", "office").want(http.StatusSeeOther)
	}
	a := b.sends(tech, "+491701234567", "office").want(http.StatusTooManyRequests)
	has(t, a.Body.String(), []string{"You sent 10 tests within an hour. The next may go in 59 min."})
	if a.Header().Get("Retry-After") == "" {
		t.Error("it does not say when")
	}
	if n := len(b.messages()); n != mostTests {
		t.Errorf("%d were sent", n)
	}
	// Others have their own ten.
	b.sends(bearer(b.admin), "+491701234567", "office").want(http.StatusSeeOther)
}

func TestTestsWithinAnHour(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ts := tests{now: func() time.Time { return now }}
	for range mostTests {
		if ts.take("a") != 0 {
			t.Fatal("refused")
		}
		now = now.Add(time.Minute)
	}
	if wait := ts.take("a"); wait != 50*time.Minute {
		t.Errorf("to wait %s", wait)
	}
	ts.giveBack("a")
	if ts.take("a") != 0 || ts.take("a") == 0 || ts.take("b") != 0 {
		t.Error("counted wrongly")
	}
	now = now.Add(2 * time.Hour)
	ts.take("c")
	if len(ts.sent) != 1 {
		t.Errorf("kept %v", ts.sent)
	}
}

// Each step of a test's life is told in words, with its time, and so is each end.
func TestHowFarATestIs(t *testing.T) {
	b := newBox(t, settings{})
	at := func(s int) time.Time { return time.Date(2026, 1, 1, 0, 0, s, 0, time.UTC) }
	for _, c := range []struct {
		m     sms.Message
		now   string
		steps string
		says  string
	}{
		{sms.Message{Status: sms.Queued}, "waits for the modem", "Queued ✓, On the air, Accepted by the network, Delivered to the phone", ""},
		{sms.Message{Status: sms.Queued, Metadata: map[string]string{testMark: "backup"}}, "waits for the modem", "Queued ✓, On the air, Accepted by the network, Delivered to the phone", "SIM needs its PIN. Set pin in the configuration."},
		{sms.Message{Status: sms.Sending}, "on the air", "Queued ✓, On the air, Accepted by the network, Delivered to the phone", ""},
		{sms.Message{Status: sms.Sent, SentAt: at(3)}, "the network has it", "Queued ✓, On the air, Accepted by the network ✓, Delivered to the phone", "It waits for the phone's answer."},
		{sms.Message{Status: sms.Delivered, SentAt: at(3), DeliveredAt: at(5)}, "delivered", "Queued ✓, On the air, Accepted by the network ✓, Delivered to the phone ✓", ""},
		{sms.Message{Status: sms.Unconfirmed}, "no answer from the network", "Queued ✓, On the air, Accepted by the network, Delivered to the phone", "Look at the phone."},
		{sms.Message{Status: sms.Failed, Error: &sms.Error{Code: "opted-out", Title: "The recipient said STOP", Detail: "Remove it from the stop list."}}, "failed", "Queued ✓, failed ✕", "The recipient said STOP. Remove it from the stop list."},
		{sms.Message{Status: sms.Undelivered, SentAt: at(3)}, "not delivered", "Queued ✓, Accepted by the network ✓, not delivered ✕", "could not deliver"},
		{sms.Message{Status: sms.Expired}, "not sent in time", "Queued ✓, not sent in time ✕", "15 minutes"},
	} {
		if c.m.Metadata == nil {
			c.m.Metadata = map[string]string{testMark: "office"}
		}
		c.m.CreatedAt, c.m.UpdatedAt = at(1), at(9)
		v, err := b.viewTest(ctx, &c.m)
		if err != nil {
			t.Fatal(err)
		}
		var steps []string
		for _, s := range v.Steps {
			steps = append(steps, s.What+map[string]string{good: " ✓", bad: " ✕"}[s.Kind])
		}
		if v.Now.Word != c.now || strings.Join(steps, ", ") != c.steps || !strings.Contains(v.Advice, c.says) || c.says == "" && v.Advice != "" {
			t.Errorf("%s is shown as %+v", c.m.Status, v)
		}
	}
}

func TestAcceptanceSheet(t *testing.T) {
	b := newBox(t, settings{change: func(o *Options) { o.Name = "pi-north" }})
	used := 2.4
	b.modems.all[1].Canary = &sms.Canary{At: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), From: "backup", Outcome: "arrived", Seconds: &used}
	page := b.get("/acceptance").want(200).Body.String()
	has(t, page, append([]string{"Acceptance of pi-north", "gatewayd test", "356938035643809", "8949000000000000001", "+491700000001", "Sim Mobile (home)", "RSSI −71 dBm, good",
		"<dt>Signal, 24 h</dt><dd>not known", "<dt>Firmware</dt><dd>not known", "none known: send one before signing", "test message of 2026-01-02 03:04 UTC arrived after 2.4 s",
		"today 812 of 1,000", "never needed since the start", "none known: text this SIM before signing", "<dt>Power</dt><dd>not known", "Date, technician", "/assets/acceptance.css"}, checks...))
	has(t, b.ask("GET", "/acceptance", bearer(b.keyFor(auth.Watch)), "").want(200).Body.String(), []string{"356938035643809"}, "+491700000001")
	if got := b.ask("GET", "/assets/acceptance.css", nil, "").want(200).Body.String(); !strings.Contains(got, "@media print") {
		t.Error("nothing is said of paper")
	}
}

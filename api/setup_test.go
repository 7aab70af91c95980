package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatewayd/auth"
	"gatewayd/intake"
	"gatewayd/sms"
)

// fakeLAN is a box on its network.
type fakeLAN struct{ authority []byte }

func (fakeLAN) Addresses() []string {
	return []string{"https://gatewayd.local:8443", "https://192.168.1.5:8443"}
}
func (fakeLAN) Fingerprint() string { return "AB:CD:EF" }
func (f fakeLAN) Authority() []byte { return f.authority }

// press sends a form of the page Setup.
func (b *box) press(form url.Values) *answer {
	return b.ask("POST", "/setup", bearer(b.admin).with("Content-Type", "application/x-www-form-urlencoded"), form.Encode())
}

// The whole way of a technician, form by form, without script.
func TestSetupStepByStep(t *testing.T) {
	b := newBox(t, settings{change: func(o *Options) { o.LAN = fakeLAN{[]byte("der")} }})
	b.modems.all[1].IMSI = "262011234567890"
	page := func(query string, with ...string) string {
		t.Helper()
		body := b.ask("GET", "/setup"+query, bearer(b.admin), "").want(200).Body.String()
		for _, w := range with {
			if !strings.Contains(body, w) {
				t.Errorf("/setup%s lacks %q:\n%s", query, w, body)
			}
		}
		return body
	}
	// leads sends a form and follows where it leads.
	leads := func(form url.Values, to string, with ...string) {
		t.Helper()
		if at := b.press(form).want(http.StatusSeeOther).Header().Get("Location"); at != to {
			t.Errorf("%v leads to %q, want %q", form, at, to)
		}
		page(strings.TrimPrefix(to, "/setup"), with...)
	}
	page("", "0 of 7 done", "The SIM in office is from Germany.", `<option value="DE" selected>Germany</option>`, `href="/setup" aria-current="page"`)
	leads(url.Values{"do": {"country"}, "region": {"DE"}}, "/setup", "1 of 7 done", "https://192.168.1.5:8443", "AB:CD:EF", `href="/authority.crt"`)
	leads(url.Values{"do": {"name"}, "name": {"shop-2"}}, "/setup", "2 of 7 done", "PIN of the SIM in backup")
	// Leaving it and coming back to a step changes nothing.
	page("?step=country", "2 of 7 done", `<option value="DE" selected>`)
	page("?step=nonsense", "PIN of the SIM in backup")

	leads(url.Values{"do": {"sims"}, "modem": {"backup"}, "pin": {" 4711 "}}, "/setup?step=sims")
	if !slices.Equal(b.modems.pins, []string{"backup 4711"}) {
		t.Errorf("entered: %q", b.modems.pins)
	}
	// Going on while a SIM still asks is no way round it.
	leads(url.Values{"do": {"sims"}}, "/setup", "2 of 7 done", "PIN of the SIM in backup")
	b.modems.all[0].State = sms.Ready
	leads(url.Values{"do": {"sims"}}, "/setup", "3 of 7 done", "By SMS to")
	leads(url.Values{"do": {"alarms"}, "sms_to": {"+491701234567"}, "mail_to": {""}}, "/setup", "4 of 7 done", `href="/test"`)
	leads(url.Values{"do": {"test"}}, "/setup", "5 of 7 done", `href="/acceptance"`)
	leads(url.Values{"do": {"sheet"}}, "/setup", "6 of 7 done", "The app")

	a := b.press(url.Values{"do": {"key"}, "app": {"shop"}, "scope": {"send"}}).want(200).Body.String()
	_, rest, _ := strings.Cut(a, `<p class="token"><code>`)
	token, _, _ := strings.Cut(rest, "</code>")
	key, err := b.o.Keys.Check(ctx, token)
	if err != nil || key.Name != "shop" || !slices.Equal(key.Scopes, []auth.Scope{auth.Send}) {
		t.Errorf("the key that is shown: %q, %+v, %v", token, key, err)
	}
	if body := page("", "7 of 7 done", "This box is set up"); strings.Contains(body, token) {
		t.Error("the key is shown again")
	}
	if got := b.store.All(); got[sms.SettingRegion].Value != "DE" || got[sms.SettingName].Value != "shop-2" || got[sms.SettingAlarmSMS].Value != "+491701234567" {
		t.Errorf("%+v", got)
	}
}

func TestSetupSaysWhatIsWrong(t *testing.T) {
	b := newBox(t, settings{})
	wrong := func(form url.Values, words string) {
		t.Helper()
		if body := b.press(form).want(http.StatusUnprocessableEntity).Body.String(); !strings.Contains(body, words) {
			t.Errorf("%v: no %q in\n%s", form, words, body)
		}
	}
	wrong(url.Values{"do": {"sims"}, "modem": {"backup"}, "pin": {"12"}}, "Must be 4 to 8 digits.")
	wrong(url.Values{"do": {"sims"}, "modem": {"backup"}, "pin": {"12a4"}}, "Must be 4 to 8 digits.")
	wrong(url.Values{"do": {"key"}, "app": {" "}, "scope": {"send"}}, "Give the app a name")
	wrong(url.Values{"do": {"key"}, "app": {"x"}, "scope": {"admin"}}, "Choose what the app may do")
	b.store.wrong = intake.Refused{{Field: sms.SettingAlarmSMS, Detail: "must be phone numbers"}}
	wrong(url.Values{"do": {"alarms"}, "sms_to": {"<me>"}}, "Must be phone numbers.")
	wrong(url.Values{"do": {"alarms"}, "sms_to": {"<me>"}}, `value="&lt;me&gt;"`)
	b.store.wrong = nil
	b.store.all[sms.SettingRegion] = sms.Setting{Value: "AT", Source: sms.FromConfiguration}
	wrong(url.Values{"do": {"country"}, "region": {"DE"}}, "configuration file")
	if body := b.ask("GET", "/setup?step=country", bearer(b.admin), "").want(200).Body.String(); strings.Contains(body, `name="region"`) || !strings.Contains(body, "Set in the configuration file") {
		t.Errorf("a country that the file sets can be chosen:\n%s", body)
	}
	b.press(url.Values{"do": {"sims"}, "modem": {"none"}, "pin": {"1234"}}).want(http.StatusNotFound)
	b.press(url.Values{"do": {"everything"}}).want(http.StatusBadRequest)
	if len(b.modems.pins) > 0 {
		t.Errorf("entered: %q", b.modems.pins)
	}
}

func TestSettingsAPI(t *testing.T) {
	b := newBox(t, settings{})
	var got map[string]sms.Setting
	b.ask("GET", "/v1/settings", bearer(b.admin), "").want(200).into(&got)
	if got["name"] != (sms.Setting{Value: "gatewayd", Source: "default"}) || len(got) != 4 {
		t.Errorf("%+v", got)
	}
	b.ask("PATCH", "/v1/settings", bearer(b.admin), `{"default_region":"DE","alarms_mail_to":"a@b.example"}`).want(200).into(&got)
	if got["default_region"] != (sms.Setting{Value: "DE", Source: "settings"}) || got["alarms_mail_to"].Value != "a@b.example" || got["name"].Source != "default" {
		t.Errorf("%+v", got)
	}
	b.ask("PATCH", "/v1/settings", bearer(b.admin), `{"setup.done":"x"}`).problem(invalidFields, "setup.done")
	b.store.wrong = intake.Refused{{Field: sms.SettingAlarmSMS, Detail: "must be phone numbers"}}
	b.ask("PATCH", "/v1/settings", bearer(b.admin), `{"alarms_sms_to":"x"}`).problem(invalidFields, "alarms_sms_to")
	b.store.wrong, b.store.all[sms.SettingName] = nil, sms.Setting{Value: "x", Source: sms.FromConfiguration}
	b.ask("PATCH", "/v1/settings", bearer(b.admin), `{"name":"y"}`).problem(conflict)
	b.ask("PATCH", "/v1/settings", bearer(b.read), `{"name":"y"}`).problem(wrongScope)
}

func TestPINByAPI(t *testing.T) {
	b := newBox(t, settings{})
	service := b.keyFor(auth.Service)
	b.ask("PUT", "/v1/modems/backup/pin", bearer(service), `{"pin":"0012"}`).want(http.StatusAccepted)
	if !slices.Equal(b.modems.pins, []string{"backup 0012"}) {
		t.Errorf("%q", b.modems.pins)
	}
	for _, body := range []string{`{"pin":"12"}`, `{"pin":"123456789"}`, `{"pin":"12\"4"}`} {
		if a := b.ask("PUT", "/v1/modems/backup/pin", bearer(service), body); strings.Contains(a.Body.String(), "123456789") {
			t.Errorf("the PIN is told back: %s", a.Body)
		} else {
			a.problem(invalidFields, "pin")
		}
	}
	b.ask("PUT", "/v1/modems/none/pin", bearer(service), `{"pin":"1234"}`).problem(notFound)
	b.ask("PUT", "/v1/modems/backup/pin", bearer(b.send), `{"pin":"1234"}`).problem(wrongScope)
}

func TestAuthority(t *testing.T) {
	b := newBox(t, settings{change: func(o *Options) { o.LAN = fakeLAN{[]byte("der")} }})
	a := b.ask("GET", "/authority.crt", nil, "").want(200)
	if a.Body.String() != "der" || a.Header().Get("Content-Type") != "application/x-x509-ca-cert" {
		t.Errorf("%q %v", a.Body, a.Header())
	}
	b = newBox(t, settings{change: func(o *Options) { o.LAN = fakeLAN{} }})
	b.ask("GET", "/authority.crt", nil, "").want(404)
}

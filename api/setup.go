package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatewayd/auth"
	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
	"gatewayd/sms/number"
)

// The steps of the page Setup, in their order.
const (
	stepCountry = "country"
	stepName    = "name"
	stepSIMs    = "sims"
	stepAlarms  = "alarms"
	stepTest    = "test"
	stepSheet   = "sheet"
	stepKey     = "key"
)

// setupSteps are the steps with the words for them.
var setupSteps = []struct{ key, title string }{
	{stepCountry, "Country"},
	{stepName, "Name of this box"},
	{stepSIMs, "Modems and SIMs"},
	{stepAlarms, "Who is told of trouble"},
	{stepTest, "A test to your phone"},
	{stepSheet, "Acceptance sheet"},
	{stepKey, "A key for your app"},
}

type setupView struct {
	Steps []setupStep
	Done  int
	Step  string // that is shown; "": all is done
	Title string
	Next  string // the step behind it
	Said  *saidView
	Fault map[string]string // by field

	Region    settingView
	Countries []countryView
	Guess     string // why a country is offered
	Name      settingView
	Addresses []string
	Print     string // of the certificate
	Authority bool   // it can be downloaded
	Modems    []setupModem
	AlarmSMS  settingView
	AlarmMail settingView
	Token     string // of a key that was made just now
	App       string // its name
	Base      string // the address to give to the app
}

type setupStep struct {
	Key, Title    string
	Done, Current bool
}

type settingView struct {
	Value string
	Fixed bool // by the configuration file
}

type countryView struct {
	number.Country
	Chosen bool
}

type setupModem struct {
	Name, Reason, Advice string
	Pill                 pill
	AsksPIN              bool
}

// setupPage shows the step that is asked for, else the first that is not done.
func (a *API) setupPage(c echo.Context) error {
	return a.showSetup(c, c.QueryParam("step"), &setupView{})
}

func (a *API) showSetup(c echo.Context, step string, v *setupView) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	all := s.All()
	setting := func(name, field string) settingView {
		sv := settingView{all[name].Value, all[name].Source == sms.FromConfiguration}
		if v.Fault[field] != "" {
			sv.Value = c.FormValue(field) // as it was typed
		}
		return sv
	}
	v.Region, v.Name = setting(sms.SettingRegion, "region"), setting(sms.SettingName, "name")
	v.AlarmSMS, v.AlarmMail = setting(sms.SettingAlarmSMS, "sms_to"), setting(sms.SettingAlarmMail, "mail_to")
	modems := a.modems(keyOf(c))
	for _, m := range modems {
		v.Modems = append(v.Modems, setupModem{m.Name, m.Reason, m.Advice, modemWords[m.State], m.State == sms.PINRequired && !m.Unidentified})
	}
	a.offerCountry(v, modems)
	if a.o.LAN != nil {
		v.Addresses, v.Print, v.Authority = a.o.LAN.Addresses(), a.o.LAN.Fingerprint(), a.o.LAN.Authority() != nil
	}
	v.Base = baseOf(c.Request())

	asking := slices.ContainsFunc(v.Modems, func(m setupModem) bool { return m.AsksPIN })
	done := map[string]bool{}
	for _, d := range strings.Split(all[sms.SettingSetupDone].Value, ",") {
		done[d] = true
	}
	done[stepCountry] = done[stepCountry] || v.Region.Value != "" && v.Fault == nil && all[sms.SettingRegion].Value != ""
	done[stepName] = done[stepName] || all[sms.SettingName].Source != sms.FromDefault
	done[stepSIMs] = !asking && len(modems) > 0 && (done[stepSIMs] || slices.ContainsFunc(modems, func(m sms.Modem) bool { return m.State == sms.Ready }))
	done[stepAlarms] = done[stepAlarms] || all[sms.SettingAlarmSMS].Value != "" || all[sms.SettingAlarmMail].Value != ""
	for _, st := range setupSteps {
		if st.key == step {
			v.Step = step
		}
	}
	for i := 0; v.Step == "" && i < len(setupSteps); i++ {
		if key := setupSteps[i].key; !done[key] {
			v.Step = key
		}
	}
	for i, st := range setupSteps {
		if done[st.key] {
			v.Done++
		}
		v.Steps = append(v.Steps, setupStep{st.key, st.title, done[st.key], st.key == v.Step})
		if st.key == v.Step {
			v.Title = st.title
			if i+1 < len(setupSteps) {
				v.Next = setupSteps[i+1].key
			}
		}
	}
	f := a.frame(c, "Setup")
	f.Style = "setup.css"
	if v.Step == stepSIMs { // what a SIM says to its PIN shows by itself
		_, newest, err := a.o.Queue.Span(c.Request().Context())
		if err != nil {
			return err
		}
		f.Live, f.Seq = true, newest
	}
	status := http.StatusOK
	if len(v.Fault) > 0 {
		status = http.StatusUnprocessableEntity
	}
	return a.page(c, status, "setup.html", f, v)
}

// offerCountry fills the list of countries and chooses the one that is set, else
// the one whose operator issued a SIM.
func (a *API) offerCountry(v *setupView, modems []sms.Modem) {
	chosen := v.Region.Value
	if chosen == "" && !v.Region.Fixed {
		for _, m := range modems {
			if r := number.RegionOfIMSI(m.IMSI); r != "" {
				chosen, v.Guess = r, "The SIM in "+m.Name+" is from "+number.CountryName(r)+"."
				break
			}
		}
	}
	for _, country := range number.Countries() {
		v.Countries = append(v.Countries, countryView{country, strings.EqualFold(country.Region, chosen)})
	}
}

// baseOf is the address by which the browser reached this page.
func baseOf(r *http.Request) string {
	if secure(r) {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// changeSetup takes the form of one step.
func (a *API) changeSetup(c echo.Context) error {
	if _, err := a.settings(); err != nil {
		return err
	}
	form, err := readForm(c)
	if err != nil {
		return err
	}
	step, v := form.Get("do"), &setupView{}
	err = a.takeStep(c.Request().Context(), step, form, v)
	var refused intake.Refused
	switch {
	case errors.As(err, &refused):
		v.Fault = map[string]string{}
		for _, f := range refused {
			v.Fault[formField[f.Field]] = capital(f.Detail) + "."
		}
	case errors.Is(err, queue.ErrConflict):
		v.Fault = map[string]string{"": capital(err.Error()) + "."}
	case err != nil:
		return err
	}
	if v.Fault != nil || v.Said != nil || v.Token != "" {
		return a.showSetup(c, step, v)
	}
	next := ""
	if step == stepSIMs && form.Has("pin") {
		next = stepSIMs // to see what the SIM says to it
	}
	if next == "" {
		return c.Redirect(http.StatusSeeOther, "/setup")
	}
	return c.Redirect(http.StatusSeeOther, "/setup?step="+next)
}

// formField is the field of a form for what the API says is wrong.
var formField = map[string]string{"default_region": "region", "name": "name", "alarms_sms_to": "sms_to", "alarms_mail_to": "mail_to", "pin": "pin"}

func (a *API) takeStep(ctx context.Context, step string, form url.Values, v *setupView) error {
	values := map[string]string{}
	// What the configuration file sets has no field, and stays.
	put := func(setting, field string) {
		if form.Has(field) {
			values[setting] = form.Get(field)
		}
	}
	switch step {
	case stepCountry:
		put(sms.SettingRegion, "region")
	case stepName:
		put(sms.SettingName, "name")
	case stepAlarms:
		put(sms.SettingAlarmSMS, "sms_to")
		put(sms.SettingAlarmMail, "mail_to")
	case stepSIMs:
		if form.Has("pin") {
			return a.takePIN(ctx, form.Get("modem"), strings.TrimSpace(form.Get("pin")))
		}
	case stepKey:
		if form.Has("app") {
			return a.takeKey(ctx, form, v)
		}
	case stepTest, stepSheet:
	default:
		return badRequest.because("The form has no such step.")
	}
	if len(values) > 0 {
		if err := a.set(ctx, values); err != nil {
			return err
		}
	}
	return a.finish(ctx, step)
}

// finish notes that somebody is done with a step.
func (a *API) finish(ctx context.Context, step string) error {
	done := strings.Split(a.o.Settings.All()[sms.SettingSetupDone].Value, ",")
	if slices.Contains(done, step) {
		return nil
	}
	return a.set(ctx, map[string]string{sms.SettingSetupDone: strings.Trim(strings.Join(append(done, step), ","), ",")})
}

func (a *API) takePIN(ctx context.Context, name, pin string) error {
	m, err := a.modem(name)
	if err != nil {
		return err
	}
	if len(pin) < 4 || len(pin) > 8 || strings.Trim(pin, "0123456789") != "" {
		return intake.Refused{{Field: "pin", Detail: "must be 4 to 8 digits"}}
	}
	return a.o.Modems.EnterPIN(context.WithoutCancel(ctx), m.Name, pin)
}

// takeKey makes a key for an app, which is shown this once.
func (a *API) takeKey(ctx context.Context, form url.Values, v *setupView) error {
	name := strings.TrimSpace(form.Get("app"))
	if name == "" || len(name) > 64 {
		v.Fault = map[string]string{"app": "Give the app a name of up to 64 letters, to know the key by later."}
		return nil
	}
	scopes := []auth.Scope{}
	for _, s := range []auth.Scope{auth.Send, auth.Read} {
		if slices.Contains(form["scope"], string(s)) {
			scopes = append(scopes, s)
		}
	}
	if len(scopes) == 0 {
		v.Fault = map[string]string{"app": "Choose what the app may do."}
		return nil
	}
	token, _, err := a.o.Keys.Create(context.WithoutCancel(ctx), name, scopes, time.Time{})
	if err != nil {
		return err
	}
	v.Token, v.App = token, name
	v.Said = &saidView{Kind: good, Title: fmt.Sprintf("The key for %s is made", name), Lines: []string{"Copy it now: it is shown this once."}}
	return a.finish(ctx, stepKey)
}

package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"gatewayd/intake"
	"gatewayd/sms"
)

// SettingsStore is what people decide while the gateway runs, by their names in sms.
type SettingsStore interface {
	All() map[string]sms.Setting
	// Set changes some, all or none; "" goes back to the default. Errors:
	// intake.Refused, and queue.ErrConflict for what the configuration file sets.
	Set(ctx context.Context, values map[string]string) error
}

// LAN is how phones on the local network find the box.
type LAN interface {
	Addresses() []string // with https://; the one to try first in front
	Fingerprint() string // of the certificate that vouches for the box; "": none
	Authority() []byte   // that certificate, for phones to trust; nil: the configuration has one
}

// shownSettings are the settings in the API: all but the page's own notes.
var shownSettings = []string{sms.SettingRegion, sms.SettingName, sms.SettingAlarmSMS, sms.SettingAlarmMail}

// fieldOf is a setting's name in the API.
func fieldOf(setting string) string { return strings.ReplaceAll(setting, ".", "_") }

func (a *API) settings() (SettingsStore, error) {
	if a.o.Settings == nil {
		return nil, notFound.because("This gateway has no settings.")
	}
	return a.o.Settings, nil
}

func (a *API) showSettings() (reply, error) {
	s, err := a.settings()
	if err != nil {
		return reply{}, err
	}
	all, shown := s.All(), map[string]sms.Setting{}
	for _, name := range shownSettings {
		shown[fieldOf(name)] = all[name]
	}
	return reply{status: http.StatusOK, v: shown}, nil
}

// set changes settings and names what is wrong as the API does.
func (a *API) set(ctx context.Context, values map[string]string) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	err = s.Set(context.WithoutCancel(ctx), values)
	var refused intake.Refused
	if errors.As(err, &refused) {
		named := intake.Refused{}
		for _, f := range refused {
			named = append(named, FieldError{Field: fieldOf(f.Field), Detail: f.Detail})
		}
		return named
	}
	return err
}

// GetSettings shows what is set.
func (a server) GetSettings(context.Context, GetSettingsRequestObject) (GetSettingsResponseObject, error) {
	return a.showSettings()
}

// ChangeSettings changes what is named.
func (a server) ChangeSettings(ctx context.Context, r ChangeSettingsRequestObject) (ChangeSettingsResponseObject, error) {
	values := map[string]string{}
	for name, v := range map[string]*string{
		sms.SettingRegion: r.Body.DefaultRegion, sms.SettingName: r.Body.Name, sms.SettingAlarmSMS: r.Body.AlarmsSmsTo, sms.SettingAlarmMail: r.Body.AlarmsMailTo,
	} {
		if v != nil {
			values[name] = *v
		}
	}
	if err := a.set(ctx, values); err != nil {
		return nil, err
	}
	return a.showSettings()
}

// EnterPIN gives a modem the PIN that its SIM asks for.
func (a server) EnterPIN(ctx context.Context, r EnterPINRequestObject) (EnterPINResponseObject, error) {
	m, err := a.modem(r.Name)
	if err != nil {
		return nil, err
	}
	if err := a.o.Modems.EnterPIN(context.WithoutCancel(ctx), m.Name, r.Body.Pin); err != nil {
		return nil, err
	}
	if now, ok := a.o.Modems.Get(m.Name); ok {
		m = now
	}
	return reply{status: http.StatusAccepted, v: discreet(from(ctx).key, m)}, nil
}

// authority is the certificate that phones may trust. It is no secret.
func (a *API) authority(c echo.Context) error {
	if a.o.LAN == nil || a.o.LAN.Authority() == nil {
		return notFound.because("This gateway has made no certificate of its own.")
	}
	c.Response().Header().Set("Content-Disposition", `attachment; filename="gatewayd.crt"`)
	return c.Blob(http.StatusOK, "application/x-x509-ca-cert", a.o.LAN.Authority())
}

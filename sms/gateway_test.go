package sms_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"gatewayd/sms"
)

func TestGatewayRoundTrip(t *testing.T) {
	region, name, to := "AT", "box", []string{"+436641234567"}
	for _, g := range []sms.Gateway{
		{Name: "graz"},
		{Name: "graz", Title: "Graz", Group: "austria", Disabled: true, Connected: true, Since: utc, SeenAt: utc, Version: "1.2.3", Uptime: time.Minute, ClockTrusted: true,
			Modems: []sms.Modem{{Name: "office", State: sms.Ready, Alarms: []sms.Alarm{}}}, Alarms: []sms.Alarm{{Code: "balance-low", Severity: sms.SeverityWarning, BegunAt: utc}},
			Rings: sms.Rings{Outbound: sms.Ring{Capacity: 9, Depth: 1, LastSent: new(int)}}, Epoch: 2, Waiting: 3, InLink: 4, Stored: 5,
			Configuration: sms.GatewayConfiguration{Version: 3, Applied: 2, Error: "no", Wanted: sms.GatewaySettings{DefaultRegion: &region, Name: &name, AlarmsSMSTo: &to,
				AlarmsMailTo: &[]string{}, ChatRules: json.RawMessage(`{"puzzles":true}`)}}, CredentialsAt: utc, CreatedAt: utc},
	} {
		b, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		var back sms.Gateway
		if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, g) {
			t.Errorf("%s became %+v, %v", b, back, err)
		}
	}
	if (&sms.Gateway{}).UnmarshalJSON([]byte(`{"name":1}`)) == nil || (&sms.GatewayConfiguration{}).UnmarshalJSON([]byte(`{"version":"x"}`)) == nil {
		t.Error("what is none is taken")
	}
}

func TestStateOfAGateway(t *testing.T) {
	for want, g := range map[sms.GatewayState]sms.Gateway{
		sms.GatewayNew: {}, sms.GatewayAway: {SeenAt: utc}, sms.GatewayConnected: {SeenAt: utc, Connected: true}, sms.GatewayDisabled: {SeenAt: utc, Connected: true, Disabled: true},
	} {
		if got := g.State(); got != want {
			t.Errorf("%+v is %s, want %s", g, got, want)
		}
	}
}

package api

import (
	"context"
	"strings"
	"testing"
	"time"

	"gatewayd/auth"
	"gatewayd/db"
	"gatewayd/sms"
)

type fakeAlarms struct{}

func (fakeAlarms) AlarmsNow() []sms.Alarm {
	return []sms.Alarm{{Code: "modem-down", Modem: "office", Severity: sms.SeverityCritical, Title: "The modem is down", BegunAt: time.Now()}}
}

func (fakeAlarms) AlarmsEnded(_ context.Context, limit int) ([]sms.Alarm, error) {
	all := []sms.Alarm{{Code: "disk-low", Title: "b", BegunAt: time.Now(), EndedAt: time.Now()}, {Code: "disk-low", Title: "a", BegunAt: time.Now(), EndedAt: time.Now()}}
	return all[:min(limit, len(all))], nil
}

func (fakeAlarms) TestAlarms(context.Context) []sms.AlarmTest {
	id := "msg_1"
	return []sms.AlarmTest{{Channel: "sms", Receiver: "+491701234567", OK: true, Result: "It is queued.", Message: &id},
		{Channel: "mail", Receiver: "on-call@example.org", Result: "550 on-call@example.org is unknown"}}
}

// Who may only watch sees the alarms; who may test them sees nobody's number unless
// he may read.
func TestAlarmsOfTheAPI(t *testing.T) {
	b := newBox(t, settings{change: func(o *Options) { o.AlarmLog = fakeAlarms{} }})
	key := func(scopes string) header { // such as those of people who are signed in
		token, k, err := b.o.Keys.Create(context.Background(), "k", []auth.Scope{auth.Send}, time.Time{})
		if err == nil {
			err = b.db.Write(func(tx *db.Tx) error {
				_, err := tx.Exec(`UPDATE api_keys SET scopes = ? WHERE id = ?`, scopes, k.ID)
				return err
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		return bearer(token)
	}
	watch, service, both := key("watch"), key("service"), key("service,read")
	var got struct{ Alarms, Ended []sms.Alarm }
	b.ask("GET", "/v1/alarms", watch, "").want(200).into(&got)
	if len(got.Alarms) != 1 || got.Alarms[0].Severity != sms.SeverityCritical || len(got.Ended) != 2 {
		t.Errorf("%+v", got)
	}
	b.ask("GET", "/v1/alarms?limit=1", watch, "").want(200).into(&got)
	if len(got.Ended) != 1 {
		t.Errorf("%+v", got)
	}
	b.ask("GET", "/v1/alarms?limit=501", watch, "").want(422)
	b.ask("GET", "/v1/alarms", service, "").want(403)
	b.ask("POST", "/v1/alarms/test", watch, "").want(403)
	if body := b.ask("POST", "/v1/alarms/test", service, "").want(200).Body.String(); strings.Contains(body, "1234567") || strings.Contains(body, "on-call") ||
		!strings.Contains(body, "+49…4567") || !strings.Contains(body, "550 o…@example.org is unknown") {
		t.Error(body)
	}
	if body := b.ask("POST", "/v1/alarms/test", both, "").want(200).Body.String(); !strings.Contains(body, "+491701234567") {
		t.Error(body)
	}
	if body := newBox(t, settings{}).ask("GET", "/v1/alarms", nil, ""); body.Code != 401 {
		t.Error(body.Code)
	}
}

package api

import (
	"context"
	"net/http"
	"strings"

	"gatewayd/auth"
	"gatewayd/sms"
)

// AlarmLog is what needs a person, and who is told.
type AlarmLog interface {
	AlarmsNow() []sms.Alarm
	AlarmsEnded(ctx context.Context, limit int) ([]sms.Alarm, error) // the last first
	TestAlarms(context.Context) []sms.AlarmTest
}

type alarmsJSON struct {
	Alarms []sms.Alarm `json:"alarms"`
	Ended  []sms.Alarm `json:"ended"`
}

// ListAlarms lists what needs a person, and what did.
func (a server) ListAlarms(ctx context.Context, r ListAlarmsRequestObject) (ListAlarmsResponseObject, error) {
	v := alarmsJSON{}
	if a.o.AlarmLog != nil {
		var err error
		v.Alarms = a.o.AlarmLog.AlarmsNow()
		if v.Ended, err = a.o.AlarmLog.AlarmsEnded(ctx, or(r.Params.Limit, 50)); err != nil {
			return nil, err
		}
	}
	v.Alarms, v.Ended = orEmpty(v.Alarms), orEmpty(v.Ended)
	return reply{status: http.StatusOK, v: v}, nil
}

// TestAlarms tells everybody who is told of alarms that this is a test.
func (a server) TestAlarms(ctx context.Context, _ TestAlarmsRequestObject) (TestAlarmsResponseObject, error) {
	tests := []sms.AlarmTest{}
	if a.o.AlarmLog != nil {
		tests = orEmpty(a.o.AlarmLog.TestAlarms(ctx))
	}
	if !from(ctx).key.Can(auth.Read) {
		for i := range tests {
			hidden := masked(tests[i].Receiver)
			tests[i].Result = strings.ReplaceAll(tests[i].Result, tests[i].Receiver, hidden)
			tests[i].Receiver = hidden
		}
	}
	return reply{status: http.StatusOK, v: map[string]any{"tests": tests}}, nil
}

// masked shows of a number or an address what tells those who know it which one it is.
func masked(s string) string {
	if name, host, ok := strings.Cut(s, "@"); ok {
		return name[:min(1, len(name))] + "…@" + host
	}
	return s[:min(3, len(s))] + "…" + s[max(len(s)-4, min(3, len(s))):]
}

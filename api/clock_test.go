package api

import (
	"strings"
	"testing"
	"time"

	"gatewayd/clock"
	"gatewayd/sms"
)

func TestClock(t *testing.T) {
	lost := clock.New(clock.Options{Wall: func() time.Time { return time.Unix(100, 0) }, Synced: func() bool { return false }})
	for _, c := range []struct {
		clock  *clock.Clock
		expiry int // of a message whose expires_at is over by that clock
		source string
	}{
		{nil, 422, "configured"},
		{lost, 202, ""},
	} {
		b := newBox(t, settings{change: func(o *Options) { o.Clock = c.clock }})
		var got struct {
			Trusted bool
			Source  *string
			Advice  *string
			Wall    time.Time `json:"wall_time"`
		}
		b.get("/v1/clock").want(200).into(&got)
		page := b.get("/").want(200).Body.String()
		if c.source != "" {
			if !got.Trusted || *got.Source != c.source || got.Advice != nil || strings.Contains(page, clock.NotSet) {
				t.Errorf("a clock that is set: %+v", got)
			}
		} else if got.Trusted || got.Source != nil || !strings.Contains(*got.Advice, "clock.trust: always") || !strings.Contains(page, clock.NotSet) {
			t.Errorf("a clock that is not set: %+v", got)
		}
		told := newBox(t, settings{change: func(o *Options) {
			o.Clock, o.Alarms = c.clock, func() []sms.Alarm { return []sms.Alarm{{Code: "clock-not-set", Title: clock.NotSet}} }
		}})
		if n := strings.Count(told.get("/").want(200).Body.String(), clock.NotSet); n != 1 {
			t.Errorf("with its alarm the page says %d times that the clock is not set", n)
		}
		b.post("/v1/messages", b.send, `{"to":"+491700000000","text":"x","expires_at":"2001-01-01T00:00:00Z"}`).want(c.expiry)
	}
}

package api

import (
	"context"
	"time"

	"gatewayd/clock"
	"gatewayd/wire"
)

// GetClock says what time it is here, and whether that is sure.
func (a server) GetClock(context.Context, GetClockRequestObject) (GetClockResponseObject, error) {
	s := a.o.Clock.Status()
	v := GetClock200JSONResponse{Time: s.Time.UTC().Truncate(time.Millisecond), WallTime: s.Wall.UTC().Truncate(time.Millisecond), Trusted: true}
	if s.Source != clock.Nobody {
		source := wire.ClockSource(s.Source)
		v.Source = &source
	} else {
		advice := adviceOn(s)
		v.Trusted, v.Advice = false, &advice
	}
	return v, nil
}

// adviceOn says what an unset clock means and how it is set; "" if it is set.
func adviceOn(s clock.Status) string {
	if s.Source != clock.Nobody {
		return ""
	}
	return clock.Advice(s.Wall)
}

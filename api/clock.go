package api

import (
	"context"
	"net/http"
	"time"

	"gatewayd/clock"
)

// clockJSON is the answer of GetClock.
type clockJSON struct {
	Time     time.Time     `json:"time"`
	Trusted  bool          `json:"trusted"`
	Source   *clock.Source `json:"source"`
	WallTime time.Time     `json:"wall_time"`
	Advice   *string       `json:"advice"`
}

// GetClock says what time it is here, and whether that is sure.
func (a server) GetClock(context.Context, GetClockRequestObject) (GetClockResponseObject, error) {
	s := a.o.Clock.Status()
	v := clockJSON{Time: s.Time.UTC().Truncate(time.Millisecond), WallTime: s.Wall.UTC().Truncate(time.Millisecond), Trusted: true}
	if s.Source != clock.Nobody {
		v.Source = &s.Source
	} else {
		advice := adviceOn(s)
		v.Trusted, v.Advice = false, &advice
	}
	return reply{status: http.StatusOK, v: v}, nil
}

// adviceOn says what an unset clock means and how it is set; "" if it is set.
func adviceOn(s clock.Status) string {
	if s.Source != clock.Nobody {
		return ""
	}
	return clock.Advice(s.Wall)
}

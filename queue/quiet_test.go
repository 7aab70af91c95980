package queue

import (
	"testing"
	"time"
)

func TestQuietHours(t *testing.T) {
	zone := func(name string) *time.Location {
		z, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	h := QuietHours{
		{From: 21 * time.Hour, Until: 8 * time.Hour},
		{For: "AT", From: 12 * time.Hour, Until: 13*time.Hour + 30*time.Minute},
		{For: "+4366", From: time.Hour, Until: time.Hour}, // none there
		{For: "GB", From: 20 * time.Hour, Until: 9 * time.Hour, Zone: zone("Asia/Tokyo")},
	}
	for _, c := range []struct{ number, now, end string }{
		{"+491701234567", "2026-07-01T18:59:59Z", ""}, // 20:59 in Berlin
		{"+491701234567", "2026-07-01T19:00:00Z", "2026-07-02T06:00:00Z"},
		{"+491701234567", "2026-12-01T03:00:00Z", "2026-12-01T07:00:00Z"},
		{"+491701234567", "2026-12-01T07:00:00Z", ""},
		{"+491701234567", "2026-03-28T23:00:00Z", "2026-03-29T06:00:00Z"}, // the night of summer time
		{"+12125550100", "2026-12-01T02:00:00Z", "2026-12-01T13:00:00Z"},  // New York
		{"+431234567", "2026-12-01T11:15:00Z", "2026-12-01T12:30:00Z"},
		{"+431234567", "2026-12-01T22:15:00Z", ""},
		{"+436641234567", "2026-12-01T11:15:00Z", ""},
		{"+447700900123", "2026-12-01T12:00:00Z", "2026-12-02T00:00:00Z"}, // 21:00 in Tokyo
		// From Newfoundland to Guam: quiet until it is morning in all of it.
		{"+18005550100", "2026-12-01T01:00:00Z", "2026-12-01T22:00:00Z"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if end := h.End(c.number, now); !end.IsZero() {
			got = end.UTC().Format(time.RFC3339)
		}
		if got != c.end {
			t.Errorf("%s at %s: until %q, want %q", c.number, c.now, got, c.end)
		}
	}
	if end := (QuietHours{}).End("+491701234567", time.Now()); !end.IsZero() {
		t.Errorf("without quiet hours: %v", end)
	}
	// Where all zones together leave no hour, the first one counts.
	long := QuietHours{{From: 10 * time.Hour, Until: 8 * time.Hour}}
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	if end := long.End("+18005550100", now); end.Sub(now) >= 24*time.Hour {
		t.Errorf("quiet until %v", end)
	}
}

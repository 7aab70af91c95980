package queue

import (
	"encoding/json"
	"testing"
	"time"

	"gatewayd/sms"
)

// The short way to a snapshot says what the long one says.
func TestShortSnapshot(t *testing.T) {
	at := time.UnixMilli(1_763_812_800_123)
	for name, change := range map[string]func(*record){
		"queued":    func(*record) {},
		"scheduled": func(r *record) { r.Status = sms.Scheduled },
		"uncertain": func(r *record) { r.ClockUncertain = true },
		"of 1970":   func(r *record) { r.UpdatedAt = time.UnixMilli(-5) },
		"pinned":    func(r *record) { r.From = `<"office">` },
		"started":   func(r *record) { r.Modem, r.Attempts = "office", 1 },
		"foreseen": func(r *record) {
			r.ExpectedAt, r.ExpectedModem, r.ClockUncertain = at.Add(time.Minute), "office-2", true
		},
		"odd modem": func(r *record) { r.ExpectedModem = `<"office">` },
		"warned":    func(r *record) { r.Warnings = []sms.Warning{sms.WarnLate, sms.WarnNoModem} },
		"held":      func(r *record) { r.Held = true },
		"failed":    func(r *record) { r.Error = optedOut() },
	} {
		r := &record{Message: sms.Message{Direction: sms.Outbound, Status: sms.Queued, UpdatedAt: at}}
		change(r)
		want, err := json.Marshal(snapshot{Status: r.Status, Local: r.From, Modem: r.Modem, UpdatedAt: r.UpdatedAt.UnixMilli(),
			ExpectedAt: toMSOrZero(r.ExpectedAt), ExpectedModem: r.ExpectedModem, Warnings: codesOf(r.Warnings),
			Attempts: r.Attempts, ClockUncertain: r.ClockUncertain, Held: r.Held, Error: r.Error})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.snapshot(); err != nil || got != string(want) {
			t.Errorf("%s: %s, want %s (%v)", name, got, want, err)
		}
	}
}

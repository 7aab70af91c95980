package api

import (
	"testing"
	"time"

	"gatewayd/sms"
)

// What was done to a modem is told in words, and no more than has happened.
func TestHealingInWords(t *testing.T) {
	attempt := func(step, outcome string) sms.HealingAttempt {
		return sms.HealingAttempt{At: time.Now(), Step: step, Outcome: outcome, Seconds: 22.2}
	}
	for _, c := range []struct {
		tried, healed int64
		last          []sms.HealingAttempt
		line, first   string
	}{
		{0, 0, nil, "", ""},
		{1, 0, []sms.HealingAttempt{attempt("reopen", "running")}, "It is being healed", "under way"},
		{3, 0, []sms.HealingAttempt{attempt("reset", "running")}, "2 attempts to heal it, none has helped; one more is under way", "under way"},
		{1, 1, []sms.HealingAttempt{attempt("reopen", "healed")}, "1 attempt to heal it, 1 helped", "helped, after 22s"},
		{4, 0, []sms.HealingAttempt{attempt("park", "parked")}, "4 attempts to heal it, none has helped", "nothing else has helped"},
	} {
		v := viewHealing(sms.HealingRecord{Steps: []sms.HealingStep{{Step: "resync", Tried: 9, Healed: 9}, {Step: "reopen", Tried: c.tried, Healed: c.healed}}, Last: c.last})
		switch {
		case c.line == "" && v != nil:
			t.Errorf("%+v", v)
		case c.line != "" && (v.Line != c.line || v.Steps[0].Outcome != c.first || v.Steps[0].Step == ""):
			t.Errorf("%+v, want %q and %q", v, c.line, c.first)
		}
	}
}

package api

import (
	"fmt"
	"time"

	"gatewayd/sms"
)

// healingView is what was done to make a modem work again.
type healingView struct {
	Line  string
	Steps []healingLine
}

type healingLine struct {
	At                    time.Time
	Step, Reason, Outcome string
	Kind                  string
}

// stepWords say what each step of the ladder is.
var stepWords = map[string]string{
	"reopen": "port opened afresh", "radio": "radio switched off and on", "reset": "modem told to restart",
	"power": "USB power switched off and on", "park": "set aside for an hour",
}

// canaryLine says what came of the last test message, "" if there was none.
func canaryLine(c *sms.Canary) string {
	switch {
	case c == nil:
		return ""
	case c.Seconds != nil:
		return fmt.Sprintf("Last test message arrived after %.1f s.", *c.Seconds)
	case c.Outcome == "waiting":
		return "A test message to it is on its way."
	}
	return "The last test message has not arrived."
}

// viewHealing lists what was done to a modem that hung, nil if nothing was.
func viewHealing(h sms.HealingRecord) *healingView {
	if len(h.Last) == 0 {
		return nil
	}
	v := &healingView{}
	var tried, healed int64
	for _, s := range h.Steps {
		if s.Step != "resync" { // a matter of seconds, and of no interest here
			tried, healed = tried+s.Tried, healed+s.Healed
		}
	}
	running := h.Last[0].Outcome == "running"
	if running {
		tried--
	}
	helped := "none has helped"
	if healed > 0 {
		helped = count(healed) + " helped"
	}
	switch {
	case tried == 0:
		v.Line = "It is being healed"
	case running:
		v.Line = fmt.Sprintf("%s to heal it, %s; one more is under way", countOf(int(tried), "attempt", "attempts"), helped)
	default:
		v.Line = fmt.Sprintf("%s to heal it, %s", countOf(int(tried), "attempt", "attempts"), helped)
	}
	for _, a := range h.Last {
		l := healingLine{At: a.At, Step: stepWords[a.Step], Reason: a.Reason}
		took := (time.Duration(a.Seconds) * time.Second).String()
		switch a.Outcome {
		case "running":
			l.Outcome, l.Kind = "under way", idle
		case "healed":
			l.Outcome, l.Kind = "helped, after "+took, good
		case "parked":
			l.Outcome, l.Kind = "nothing else has helped", bad
		default:
			l.Outcome, l.Kind = "did not help", warn
		}
		v.Steps = append(v.Steps, l)
	}
	return v
}

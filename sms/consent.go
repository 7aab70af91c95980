package sms

import (
	"encoding/json"
	"strings"
	"time"
)

// Decision is what was decided about a number's consent.
type Decision string

// The decisions.
const (
	DecisionAsked  Decision = "asked"   // an invitation is on its way
	DecisionOptIn  Decision = "opt-in"  // it may be texted
	DecisionOptOut Decision = "opt-out" // nothing more may be sent to it
	DecisionEnded  Decision = "ended"   // an opt-in holds no longer; nobody said STOP
	DecisionHelp   Decision = "help"    // it asked who this is
)

// Decisions lists them.
var Decisions = []Decision{DecisionAsked, DecisionOptIn, DecisionOptOut, DecisionEnded, DecisionHelp}

// Consent is one entry of the log of consent: what was decided about a number, when, and
// on what ground.
type Consent struct {
	ID             int64
	At             time.Time
	ClockUncertain bool // nobody knew then whether the clock was right
	Number         string
	Decision       Decision
	Reason         string // word, silence, idle, used-up, blocked, admin, import, closed, erased
	Wording        string // what was received or sent, or what somebody stated
	Source         string // a message's id, that of a person or an API key, or "gateway"
	Conversation   string // "": it is about none
	SIM            string // that was answered to; "": none was
}

// EventOfConsent is the type of the event that tells a decision.
func EventOfConsent(d Decision) string { return consentEvents + string(d) }

const consentEvents = "consent."

// IsConsent tells whether an event of this type tells a decision.
func IsConsent(kind string) bool { return strings.HasPrefix(kind, consentEvents) }

type consentJSON struct {
	ID             int64     `json:"id"`
	At             time.Time `json:"at"`
	ClockUncertain bool      `json:"clock_uncertain"`
	Number         string    `json:"number"`
	Decision       Decision  `json:"decision"`
	Reason         string    `json:"reason"`
	Wording        string    `json:"wording"`
	Source         string    `json:"source"`
	Conversation   *string   `json:"conversation"`
	SIM            *string   `json:"sim"`
}

// MarshalJSON writes every field; one without a value is null.
func (c Consent) MarshalJSON() ([]byte, error) {
	return json.Marshal(consentJSON{c.ID, c.At.UTC().Truncate(time.Millisecond), c.ClockUncertain, c.Number, c.Decision, c.Reason, c.Wording, c.Source,
		orNil(c.Conversation), orNil(c.SIM)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *Consent) UnmarshalJSON(b []byte) error {
	var w consentJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*c = Consent{w.ID, w.At, w.ClockUncertain, w.Number, w.Decision, w.Reason, w.Wording, w.Source, value(w.Conversation), value(w.SIM)}
	return nil
}

package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"gatewayd/sms"
)

// summary is a webhook's body in one line, for the demo's terminal.
func summary(body []byte) string {
	var e struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return "not JSON: " + err.Error()
	}
	if e.Type == sms.EventModemState {
		var m sms.Modem
		if err := json.Unmarshal(e.Data, &m); err != nil {
			return e.Type + ": " + err.Error()
		}
		why := ""
		if m.Reason != "" {
			why = ": " + m.Reason
		}
		return fmt.Sprintf("%-20s %s is %s%s", e.Type, m.Name, m.State, why)
	}
	kind, _, _ := strings.Cut(e.Type, ".")
	switch {
	case sms.IsConsent(e.Type):
		var c sms.Consent
		if err := json.Unmarshal(e.Data, &c); err != nil {
			return e.Type + ": " + err.Error()
		}
		return fmt.Sprintf("%-20s of %s: %q", e.Type, c.Number, c.Wording)
	case kind == "conversation", kind == "sender": // no number and no text: whoever may see those asks for them
		var about struct{ ID, State string }
		if err := json.Unmarshal(e.Data, &about); err != nil {
			return e.Type + ": " + err.Error()
		}
		return strings.TrimRight(fmt.Sprintf("%-20s %s %s", e.Type, about.ID, about.State), " ")
	}
	switch e.Type {
	case sms.EventCall:
		var c sms.Call
		if err := json.Unmarshal(e.Data, &c); err != nil {
			return e.Type + ": " + err.Error()
		}
		from := c.From
		if from == "" {
			from = "a number that is not shown"
		}
		return fmt.Sprintf("%-20s from %s at %s", e.Type, from, c.Modem)
	case sms.EventAlarmBegin, sms.EventAlarmEnd:
		var a sms.Alarm
		if err := json.Unmarshal(e.Data, &a); err != nil {
			return e.Type + ": " + err.Error()
		}
		return fmt.Sprintf("%-20s %s: %s", e.Type, a.Modem, a.Title)
	}
	var m sms.Message
	if err := json.Unmarshal(e.Data, &m); err != nil {
		return e.Type + ": " + err.Error()
	}
	other := "to " + m.To
	if m.Direction == sms.Inbound {
		other = "from " + m.From
	}
	if m.Text == "" && m.Kind != sms.KindText {
		return fmt.Sprintf("%-20s %s: (%s)", e.Type, other, m.Kind)
	}
	return fmt.Sprintf("%-20s %s: %q", e.Type, other, m.Text)
}

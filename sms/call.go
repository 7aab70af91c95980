package sms

import (
	"encoding/json"
	"time"
)

// EventCall is the type of the event that tells an incoming call.
const EventCall = "call.received"

// Call is an incoming call, which a gateway for texts does not take.
type Call struct {
	Modem  string
	SIM    string // as in Incoming
	To     string // the SIM's number, else the modem's name
	From   string // "": withheld, or the network did not say
	HungUp bool   // the gateway ends it
	At     time.Time
}

type callJSON struct {
	Modem  string    `json:"modem"`
	To     string    `json:"to"`
	From   *string   `json:"from"`
	HungUp bool      `json:"hung_up"`
	At     time.Time `json:"at"`
}

// MarshalJSON writes every field; one without a value is null.
func (c Call) MarshalJSON() ([]byte, error) {
	return json.Marshal(callJSON{c.Modem, c.To, orNil(c.From), c.HungUp, c.At.UTC().Truncate(time.Millisecond)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *Call) UnmarshalJSON(b []byte) error {
	var w callJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*c = Call{Modem: w.Modem, To: w.To, From: value(w.From), HungUp: w.HungUp, At: w.At}
	return nil
}

package sms

import (
	"cmp"
	"encoding/json"
	"time"
)

// The types of the events that tell that something needs a person, and that it
// no longer does.
const (
	EventAlarmBegin = "alarm.begin"
	EventAlarmEnd   = "alarm.end"
)

// Severity is how bad something is.
type Severity string

// The severities, the worst last.
const (
	SeverityWarning  Severity = "warning"  // it will get worse if nobody does anything
	SeverityCritical Severity = "critical" // texts don't go out or don't come in now
)

// AtLeast tells whether s is as bad as another one.
func (s Severity) AtLeast(other Severity) bool {
	return s == SeverityCritical || other != SeverityCritical
}

// Alarm is something that needs a person. There is one of each code and modem
// at a time.
type Alarm struct {
	Code     string // stable, for programs: balance-low
	Modem    string
	Severity Severity
	Title    string
	Detail   string // what to do about it
	BegunAt  time.Time
	EndedAt  time.Time // zero: it goes on
}

type alarmJSON struct {
	Code     string     `json:"code"`
	Modem    *string    `json:"modem"`
	Severity Severity   `json:"severity"`
	Title    string     `json:"title"`
	Detail   string     `json:"detail"`
	BegunAt  time.Time  `json:"begun_at"`
	EndedAt  *time.Time `json:"ended_at"`
}

// MarshalJSON writes every field; one without a value is null.
func (a Alarm) MarshalJSON() ([]byte, error) {
	return json.Marshal(alarmJSON{a.Code, orNil(a.Modem), cmp.Or(a.Severity, SeverityWarning), a.Title, a.Detail, a.BegunAt.UTC().Truncate(time.Millisecond), timeOrNil(a.EndedAt)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (a *Alarm) UnmarshalJSON(b []byte) error {
	var w alarmJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*a = Alarm{w.Code, value(w.Modem), cmp.Or(w.Severity, SeverityWarning), w.Title, w.Detail, w.BegunAt, value(w.EndedAt)}
	return nil
}

// Balance is what is known of a prepaid SIM's credit.
type Balance struct {
	SIM      string // as in Incoming; not shown
	Amount   string // a decimal number such as 10.50, "" not known
	Currency string // as the network wrote it, "" if it did not
	At       time.Time
	Low      string // the mark below which it counts as low, "" none
	IsLow    bool
	Fault    string // why it could not be asked for or read, "" if it could
	Answer   string // the network's text in which no amount was found; for admins
}

type balanceJSON struct {
	Amount   *string    `json:"amount"`
	Currency *string    `json:"currency"`
	At       *time.Time `json:"at"`
	Low      *string    `json:"low"`
	IsLow    bool       `json:"is_low"`
	Fault    *string    `json:"fault"`
	Answer   *string    `json:"answer"`
}

// MarshalJSON writes every field; one without a value is null.
func (b Balance) MarshalJSON() ([]byte, error) {
	return json.Marshal(balanceJSON{orNil(b.Amount), orNil(b.Currency), timeOrNil(b.At), orNil(b.Low), b.IsLow, orNil(b.Fault), orNil(b.Answer)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (b *Balance) UnmarshalJSON(raw []byte) error {
	var w balanceJSON
	if err := json.Unmarshal(raw, &w); err != nil {
		return err
	}
	*b = Balance{Amount: value(w.Amount), Currency: value(w.Currency), At: value(w.At), Low: value(w.Low), IsLow: w.IsLow,
		Fault: value(w.Fault), Answer: value(w.Answer)}
	return nil
}

// AlarmTest is what came of a test of who is told of alarms.
type AlarmTest struct {
	Channel  string  `json:"channel"` // sms, mail
	Receiver string  `json:"receiver"`
	OK       bool    `json:"ok"`
	Result   string  `json:"result"`  // in words
	Message  *string `json:"message"` // the id of the SMS, nil: none was queued
}

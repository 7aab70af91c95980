package sms

import (
	"encoding/json"
	"time"
)

// ModemState says in one word how a modem is.
type ModemState string

// The states of a modem.
const (
	Absent        ModemState = "absent"         // configured or known, not plugged in
	Probing       ModemState = "probing"        // being brought up
	BusyElsewhere ModemState = "busy-elsewhere" // another program holds the port
	NoSIM         ModemState = "no-sim"
	PINRequired   ModemState = "pin-required"
	PUKRequired   ModemState = "puk-required"
	Searching     ModemState = "searching" // no network yet
	Denied        ModemState = "denied"    // the network refuses this SIM
	Ready         ModemState = "ready"
	Limited       ModemState = "limited" // a quota is used up
	StorageFull   ModemState = "storage-full"
	Deaf          ModemState = "deaf" // registered, and what the network has for it does not arrive
	Healing       ModemState = "healing"
	Parked        ModemState = "parked" // set aside until somebody acts
	ModemFailed   ModemState = "failed"
)

// Modem is a picture of one modem at one moment; it is never changed, only
// replaced.
type Modem struct {
	Name         string
	Unidentified bool // something plugged in that is no modem, or not yet: nothing is sent through it
	State        ModemState
	Reason       string    // why, in words; "" when ready
	Advice       string    // what to do about it, in words
	Warning      string    // what will become a trouble although it works, in words; "" for nothing
	Since        time.Time // when State began
	Port         string
	Manufacturer string
	Model        string
	Firmware     string
	IMEI         string
	IMSI         string
	ICCID        string
	Number       string
	SMSC         string
	Operator     string
	Technology   string   // GSM, EDGE, UTRAN, HSPA, LTE, NR
	Registration string   // home, roaming, searching, denied, emergency, none
	Cell         string   // identity of the cell in hexadecimal digits, "" if it is not told
	Signal       *Signal  // nil while unknown
	Storage      *Storage // nil while unknown
	Balance      *Balance // nil: it is not watched, or was not asked for yet
	Alarms       []Alarm  // that go on
	Limits       *Limits  // of the SIM; nil while that is unknown
	Healing      HealingRecord
	Canary       *Canary // of the last test message to it; nil: none was sent
	Rate         SendRate
	Errors       []ErrorCount // by class, in the order of the classes; of those that there were
	Counters     Counters
}

type modemJSON struct {
	Name         string        `json:"name"`
	Identified   bool          `json:"identified"`
	State        ModemState    `json:"state"`
	Reason       string        `json:"reason"`
	Advice       string        `json:"advice"`
	Warning      *string       `json:"warning"`
	Since        *time.Time    `json:"since"`
	Port         *string       `json:"port"`
	Manufacturer *string       `json:"manufacturer"`
	Model        *string       `json:"model"`
	Firmware     *string       `json:"firmware"`
	IMEI         *string       `json:"imei"`
	IMSI         *string       `json:"imsi"`
	ICCID        *string       `json:"iccid"`
	Number       *string       `json:"number"`
	SMSC         *string       `json:"smsc"`
	Operator     *string       `json:"operator"`
	Technology   *string       `json:"technology"`
	Registration *string       `json:"registration"`
	Cell         *string       `json:"cell"`
	Signal       *Signal       `json:"signal"`
	Storage      *Storage      `json:"storage"`
	Limits       *Limits       `json:"limits"`
	Healing      HealingRecord `json:"healing"`
	Canary       *Canary       `json:"canary"`
	Balance      *Balance      `json:"balance"`
	Alarms       []Alarm       `json:"alarms"`
	Rate         SendRate      `json:"rate"`
	Errors       []ErrorCount  `json:"errors"`
	Counters     Counters      `json:"counters"`
}

// MarshalJSON writes every field; one without a value is null, a list without
// entries is empty.
func (m Modem) MarshalJSON() ([]byte, error) {
	if m.Alarms == nil {
		m.Alarms = []Alarm{}
	}
	return json.Marshal(modemJSON{
		Name: m.Name, Identified: !m.Unidentified, State: m.State, Reason: m.Reason, Advice: m.Advice, Warning: orNil(m.Warning), Since: timeOrNil(m.Since),
		Port: orNil(m.Port), Manufacturer: orNil(m.Manufacturer), Model: orNil(m.Model),
		Firmware: orNil(m.Firmware), IMEI: orNil(m.IMEI), IMSI: orNil(m.IMSI), ICCID: orNil(m.ICCID),
		Number: orNil(m.Number), SMSC: orNil(m.SMSC), Operator: orNil(m.Operator),
		Technology: orNil(m.Technology), Registration: orNil(m.Registration),
		Cell: orNil(m.Cell), Signal: m.Signal, Storage: m.Storage, Limits: m.Limits, Healing: HealingRecord{emptied(m.Healing.Steps), emptied(m.Healing.Last)}, Canary: m.Canary, Balance: m.Balance, Alarms: m.Alarms,
		Rate: m.Rate, Errors: emptied(m.Errors), Counters: m.Counters,
	})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *Modem) UnmarshalJSON(b []byte) error {
	var w modemJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*m = Modem{
		Name: w.Name, Unidentified: !w.Identified, State: w.State, Reason: w.Reason, Advice: w.Advice, Warning: value(w.Warning), Since: value(w.Since),
		Port: value(w.Port), Manufacturer: value(w.Manufacturer), Model: value(w.Model),
		Firmware: value(w.Firmware), IMEI: value(w.IMEI), IMSI: value(w.IMSI), ICCID: value(w.ICCID),
		Number: value(w.Number), SMSC: value(w.SMSC), Operator: value(w.Operator),
		Technology: value(w.Technology), Registration: value(w.Registration),
		Cell: value(w.Cell), Signal: w.Signal, Storage: w.Storage, Limits: w.Limits, Healing: HealingRecord{filled(w.Healing.Steps), filled(w.Healing.Last)}, Canary: w.Canary, Balance: w.Balance, Alarms: w.Alarms,
		Rate: w.Rate, Errors: filled(w.Errors), Counters: w.Counters,
	}
	return nil
}

// emptied is a list that JSON shows as one, filled the way back.
func emptied[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func filled[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// Storage is the modem's or SIM's memory for received messages.
type Storage struct {
	Name  string `json:"name"` // SM, ME, MT
	Used  int    `json:"used"`
	Total int    `json:"total"`
}

// HealingRecord is what was done to make a sick modem work again.
type HealingRecord struct {
	Steps []HealingStep    `json:"steps"` // from the gentlest on
	Last  []HealingAttempt `json:"last"`  // newest first, twelve at most
}

// HealingStep counts one step since the daemon's start.
type HealingStep struct {
	Step   string `json:"step"` // resync, reopen, radio, reset, power, park
	Tried  int64  `json:"tried"`
	Healed int64  `json:"healed"` // the modem worked again after it
}

// HealingAttempt is one time that a step was taken.
type HealingAttempt struct {
	At      time.Time `json:"at"`
	Step    string    `json:"step"`
	Reason  string    `json:"reason"`
	Outcome string    `json:"outcome"` // running, healed, failed, parked
	Seconds float64   `json:"seconds"` // until the outcome
}

// Canary is a test message to a modem: whether what the network has for it arrives.
type Canary struct {
	At      time.Time `json:"at"`      // when the network took it
	From    string    `json:"from"`    // the modem that sent it
	Outcome string    `json:"outcome"` // waiting, arrived, lost
	Seconds *float64  `json:"seconds"` // end to end, once it has arrived
}

// Limits are how much a SIM may send, and how much of that it has sent.
type Limits struct {
	PerMinute          Quota `json:"per_minute"`           // parts; ResetsAt: when the next may go, if it must wait
	PerDay             Quota `json:"per_day"`              // parts
	PerMonth           Quota `json:"per_month"`            // parts
	RecipientsPerMonth Quota `json:"recipients_per_month"` // different numbers; counted only with a limit
}

// Quota is one limit and what is used of it.
type Quota struct {
	Limit    *int       `json:"limit"` // nil: none
	Used     int        `json:"used"`
	ResetsAt *time.Time `json:"resets_at"`
}

// NamedQuota is a quota with the name that it has in JSON.
type NamedQuota struct {
	Quota
	Name string
}

// All lists the quotas.
func (l *Limits) All() []NamedQuota {
	return []NamedQuota{
		{l.PerMinute, "per_minute"}, {l.PerDay, "per_day"}, {l.PerMonth, "per_month"}, {l.RecipientsPerMonth, "recipients_per_month"},
	}
}

// Counters count since the daemon's start.
type Counters struct {
	PartsSent   int64 `json:"parts_sent"`
	PartsFailed int64 `json:"parts_failed"`
	Unconfirmed int64 `json:"unconfirmed"`
	Received    int64 `json:"received"` // PDUs of messages
	Reports     int64 `json:"reports"`  // PDUs of status reports
	Restarts    int64 `json:"restarts"` // bring-ups after the first
	LateAnswers int64 `json:"late_answers"`
}

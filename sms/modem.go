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
	Deaf          ModemState = "deaf" // answers, but the radio is gone
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
	Signal       *Signal  // nil while unknown
	Storage      *Storage // nil while unknown
	Balance      *Balance // nil: it is not watched, or was not asked for yet
	Alarms       []Alarm  // that go on
	Counters     Counters
}

type modemJSON struct {
	Name         string     `json:"name"`
	Identified   bool       `json:"identified"`
	State        ModemState `json:"state"`
	Reason       string     `json:"reason"`
	Advice       string     `json:"advice"`
	Since        *time.Time `json:"since"`
	Port         *string    `json:"port"`
	Manufacturer *string    `json:"manufacturer"`
	Model        *string    `json:"model"`
	Firmware     *string    `json:"firmware"`
	IMEI         *string    `json:"imei"`
	IMSI         *string    `json:"imsi"`
	ICCID        *string    `json:"iccid"`
	Number       *string    `json:"number"`
	SMSC         *string    `json:"smsc"`
	Operator     *string    `json:"operator"`
	Technology   *string    `json:"technology"`
	Registration *string    `json:"registration"`
	Signal       *Signal    `json:"signal"`
	Storage      *Storage   `json:"storage"`
	Balance      *Balance   `json:"balance"`
	Alarms       []Alarm    `json:"alarms"`
	Counters     Counters   `json:"counters"`
}

// MarshalJSON writes every field; one without a value is null.
func (m Modem) MarshalJSON() ([]byte, error) {
	if m.Alarms == nil {
		m.Alarms = []Alarm{}
	}
	return json.Marshal(modemJSON{
		Name: m.Name, Identified: !m.Unidentified, State: m.State, Reason: m.Reason, Advice: m.Advice, Since: timeOrNil(m.Since),
		Port: orNil(m.Port), Manufacturer: orNil(m.Manufacturer), Model: orNil(m.Model),
		Firmware: orNil(m.Firmware), IMEI: orNil(m.IMEI), IMSI: orNil(m.IMSI), ICCID: orNil(m.ICCID),
		Number: orNil(m.Number), SMSC: orNil(m.SMSC), Operator: orNil(m.Operator),
		Technology: orNil(m.Technology), Registration: orNil(m.Registration),
		Signal: m.Signal, Storage: m.Storage, Balance: m.Balance, Alarms: m.Alarms, Counters: m.Counters,
	})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *Modem) UnmarshalJSON(b []byte) error {
	var w modemJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*m = Modem{
		Name: w.Name, Unidentified: !w.Identified, State: w.State, Reason: w.Reason, Advice: w.Advice, Since: value(w.Since),
		Port: value(w.Port), Manufacturer: value(w.Manufacturer), Model: value(w.Model),
		Firmware: value(w.Firmware), IMEI: value(w.IMEI), IMSI: value(w.IMSI), ICCID: value(w.ICCID),
		Number: value(w.Number), SMSC: value(w.SMSC), Operator: value(w.Operator),
		Technology: value(w.Technology), Registration: value(w.Registration),
		Signal: w.Signal, Storage: w.Storage, Balance: w.Balance, Alarms: w.Alarms, Counters: w.Counters,
	}
	return nil
}

// Signal is a received signal strength.
type Signal struct {
	DBm     int    `json:"dbm"`     // RSSI in dBm
	Percent int    `json:"percent"` // 0 to 100, from +CSQ 0 to 31
	Quality string `json:"quality"` // good, fair, poor, none
}

// Storage is the modem's or SIM's memory for received messages.
type Storage struct {
	Name  string `json:"name"` // SM, ME, MT
	Used  int    `json:"used"`
	Total int    `json:"total"`
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

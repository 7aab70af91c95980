package sms

import (
	"encoding/json"
	"time"
)

// Signal is how well a modem hears its network.
type Signal struct {
	DBm     int       `json:"dbm"`     // RSSI in dBm
	Percent int       `json:"percent"` // 0 to 100, from +CSQ 0 to 31
	Quality string    `json:"quality"` // good, fair, poor, none
	RSRP    *float64  `json:"rsrp"`    // dBm; of LTE and NR. Nil: not told, as the two below
	RSRQ    *float64  `json:"rsrq"`    // dB
	SINR    *float64  `json:"sinr"`    // dB
	At      time.Time `json:"at"`
}

type signalFields Signal

type signalJSON struct {
	signalFields
	At *time.Time `json:"at"`
}

// MarshalJSON writes every field; one without a value is null.
func (s Signal) MarshalJSON() ([]byte, error) {
	return json.Marshal(signalJSON{signalFields(s), timeOrNil(s.At)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Signal) UnmarshalJSON(b []byte) error {
	var w signalJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*s = Signal(w.signalFields)
	s.At = value(w.At)
	return nil
}

// SignalStep is how long the measures of one SignalSample were taken.
const SignalStep = 5 * time.Minute

// SignalSample is a modem's signal in SignalStep: the means, and the worst. There
// is none of a time in which the modem was away.
type SignalSample struct {
	At         time.Time // when it began
	DBm        *float64
	WorstDBm   *float64
	RSRP       *float64
	WorstRSRP  *float64
	RSRQ       *float64
	SINR       *float64
	Technology string // the last
}

// MarshalJSON writes every field; one without a value is null.
func (s SignalSample) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		At         *time.Time `json:"at"`
		DBm        *float64   `json:"dbm"`
		WorstDBm   *float64   `json:"worst_dbm"`
		RSRP       *float64   `json:"rsrp"`
		WorstRSRP  *float64   `json:"worst_rsrp"`
		RSRQ       *float64   `json:"rsrq"`
		SINR       *float64   `json:"sinr"`
		Technology *string    `json:"technology"`
	}{timeOrNil(s.At), s.DBm, s.WorstDBm, s.RSRP, s.WorstRSRP, s.RSRQ, s.SINR, orNil(s.Technology)})
}

// SendRate is how fast a modem sends: parts that it handed to the network.
type SendRate struct {
	LastMinute int `json:"last_minute"`
	LastHour   int `json:"last_hour"`
}

// ErrorCount counts the parts that failed with errors of one class since the
// daemon's start.
type ErrorCount struct {
	Class Class     `json:"class"`
	Count int64     `json:"count"`
	At    time.Time `json:"last_at"`
	Code  string    `json:"last_code"`  // of the last one
	Title string    `json:"last_title"` // in the standard's words
}

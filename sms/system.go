package sms

import (
	"encoding/json"
	"time"
)

// System is how the machine is that the gateway runs on.
type System struct {
	Model    string // of the board, "" if it does not say
	Uptime   time.Duration
	Celsius  *float64 // of the processor; nil: not told
	Disk     *DiskRoom
	Clock    ClockState
	Power    *Power // nil: this machine does not watch its supply
	Warnings []SystemWarning
}

// DiskRoom is the room on the disk of data_dir.
type DiskRoom struct {
	Free  int64  `json:"free_bytes"`
	Total int64  `json:"total_bytes"`
	State string `json:"state"` // ok, low, full
}

// ClockState says whether somebody vouches for the clock.
type ClockState struct {
	Trusted bool
	Source  string // "": nobody
}

// Power is what a Raspberry Pi says of its supply and of what it does about it.
type Power struct {
	UnderVoltage     bool `json:"under_voltage"`      // now
	UnderVoltageSeen bool `json:"under_voltage_seen"` // since it was switched on
	Throttled        bool `json:"throttled"`          // it works slower now
	ThrottledSeen    bool `json:"throttled_seen"`
	Hot              bool `json:"hot"` // its temperature limits it now
}

// SystemWarning is something about the machine that a person should know.
type SystemWarning struct {
	Code   string `json:"code"` // stable, for programs: under-voltage
	Title  string `json:"title"`
	Detail string `json:"detail"` // what to do about it
}

// MarshalJSON writes every field; one without a value is null.
func (s System) MarshalJSON() ([]byte, error) {
	type clock struct {
		Trusted bool    `json:"trusted"`
		Source  *string `json:"source"`
	}
	return json.Marshal(struct {
		Model    *string         `json:"model"`
		Uptime   float64         `json:"uptime_seconds"`
		Celsius  *float64        `json:"cpu_celsius"`
		Disk     *DiskRoom       `json:"disk"`
		Clock    clock           `json:"clock"`
		Power    *Power          `json:"power"`
		Warnings []SystemWarning `json:"warnings"`
	}{orNil(s.Model), s.Uptime.Seconds(), s.Celsius, s.Disk, clock{s.Clock.Trusted, orNil(s.Clock.Source)}, s.Power, emptied(s.Warnings)})
}

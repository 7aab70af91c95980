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
	Power    *Power  // nil: this machine does not watch its supply
	Backup   *Backup // the last one; nil: nobody has tried to make one
	Hub      *HubLink
	Warnings []SystemWarning
}

// HubLink is a gateway's link to the hub that it belongs to.
type HubLink struct {
	Name      string // of the gateway, as the hub calls it; "": not known yet
	Connected bool
	Since     time.Time // it has been so
	Error     string    // in words, why there is none
	Untold    int64     // events that the hub does not have yet
}

// MarshalJSON writes every field; one without a value is null.
func (h HubLink) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name      *string    `json:"name"`
		Connected bool       `json:"connected"`
		Since     *time.Time `json:"since"`
		Error     *string    `json:"error"`
		Untold    int64      `json:"untold_events"`
	}{orNil(h.Name), h.Connected, timeOrNil(h.Since), orNil(h.Error), h.Untold})
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

// Backup is what became of the last copies of the database.
type Backup struct {
	MadeAt       time.Time // the last one; zero: there is none yet
	Bytes        int64
	FailingSince time.Time // the first try after it that failed; zero: none did
	Error        string    // why the last try failed
}

// MarshalJSON writes every field; one without a value is null.
func (b Backup) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		MadeAt       *time.Time `json:"made_at"`
		Bytes        int64      `json:"bytes"`
		FailingSince *time.Time `json:"failing_since"`
		Error        *string    `json:"error"`
	}{timeOrNil(b.MadeAt), b.Bytes, timeOrNil(b.FailingSince), orNil(b.Error)})
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
		Backup   *Backup         `json:"last_backup"`
		Hub      *HubLink        `json:"hub"`
		Warnings []SystemWarning `json:"warnings"`
	}{orNil(s.Model), s.Uptime.Seconds(), s.Celsius, s.Disk, clock{s.Clock.Trusted, orNil(s.Clock.Source)}, s.Power, s.Backup, s.Hub, emptied(s.Warnings)})
}

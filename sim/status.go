package sim

import (
	"fmt"
	"slices"
	"strconv"
)

// ModemStatus is a picture of a modem, as its page and the API show it.
type ModemStatus struct {
	Name        string             `json:"name"`
	IMEI        string             `json:"imei"`
	Personality Personality        `json:"personality"`
	Present     bool               `json:"present"` // its ports are there
	Port        string             `json:"port,omitempty"`
	Radio       RadioStatus        `json:"radio"`
	SIM         SIMStatus          `json:"sim"`
	Storage     map[string]Storage `json:"storage"`
	Ringing     bool               `json:"ringing"`
	Faults      map[string]any     `json:"faults"` // those that are not off
	Counters    Counters           `json:"counters"`
}

// Personality is the family that a modem is of.
type Personality struct {
	Slug string `json:"slug"`
	Name string `json:"name"`
}

// RadioStatus is what the radio finds, and how the modem is registered.
type RadioStatus struct {
	Registration string `json:"registration"` // as it is; the radio may be off
	Finds        string `json:"finds"`        // what it would be with SIM and radio on
	RSSI         int    `json:"rssi"`
	Technology   string `json:"technology"`
	Operator     string `json:"operator"`
}

// SIMStatus is the SIM that is in, or was.
type SIMStatus struct {
	Present  bool   `json:"present"`
	State    string `json:"state"` // READY, SIM PIN, SIM PUK, or what is wrong
	Number   string `json:"number"`
	ICCID    string `json:"iccid"`
	PIN      string `json:"pin"` // it is simulated
	PINTries int    `json:"pin_tries"`
	PUKTries int    `json:"puk_tries"`
}

// Storage is how full a memory is.
type Storage struct {
	Used  int `json:"used"`
	Slots int `json:"slots"`
}

// Counters are Stats in the API's words.
type Counters struct {
	Sends    int `json:"sends"`
	Commands int `json:"commands"`
	Overlaps int `json:"overlaps"`
	Dropped  int `json:"dropped"`
	PINTries int `json:"pin_tries"`
	Cures    int `json:"cures"`
}

var technologies = map[string]int{"gsm": 0, "umts": 2, "lte": 7}

// registrations are states of +CREG by name, in the order of the page.
var registrations = []string{"home", "roaming", "searching", "denied", "emergency", "none"}

var registrationStats = map[string]int{"none": 0, "home": 1, "searching": 2, "denied": 3, "roaming": 5, "emergency": 8}

// nameOf finds the name of a value.
func nameOf(names map[string]int, value int) string {
	for name, v := range names {
		if v == value {
			return name
		}
	}
	return strconv.Itoa(value)
}

// best is the one of three domains that counts: any that is registered.
func best(stats [3]int) string {
	for _, want := range []int{1, 5, 2, 3, 8} {
		if slices.Contains(stats[:], want) {
			return nameOf(registrationStats, want)
		}
	}
	return "none"
}

// Status is how the modem is now.
func (m *Modem) Status() ModemStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := ModemStatus{
		Name: m.name, IMEI: m.imei, Personality: Personality{m.profile.Slug, m.profile.Name}, Present: m.plugged,
		Radio: RadioStatus{Registration: best(m.registration()), Finds: best([3]int{m.radio.CS, m.radio.PS, m.radio.EPS}),
			RSSI: m.radio.RSSI, Technology: nameOf(technologies, m.radio.AcT), Operator: m.radio.Operator},
		Storage: map[string]Storage{}, Ringing: m.ringing%2 == 1, Faults: map[string]any{},
		Counters: Counters{m.stats.Sends, m.stats.Lines, m.stats.Overlaps, m.stats.Dropped, m.stats.PINTries, m.stats.Cures},
	}
	if p := m.at().pts; p != nil && m.plugged {
		if s.Port = p.link; s.Port == "" {
			s.Port = p.path
		}
	}
	card := m.card
	s.SIM.Present = card != nil
	if card == nil {
		card = m.pulled
	}
	if card != nil {
		s.SIM.Number, s.SIM.ICCID, s.SIM.PIN = card.number, card.iccid, card.pin
		s.SIM.PINTries, s.SIM.PUKTries = card.pinTries, card.pukTries
	}
	state, code := m.card.state()
	if s.SIM.State = state; state == "" {
		s.SIM.State = cmeWords[code]
	}
	for _, name := range []string{"SM", "ME"} {
		used, total := m.fill(name)
		s.Storage[name] = Storage{used, total}
	}
	for _, f := range faultTable {
		if value := f.get(&m.faults); value != f.get(&Faults{}) {
			s.Faults[f.name] = f.json(value)
		}
	}
	return s
}

// json is a fault's value as the API writes it.
func (f fault) json(value string) any {
	switch f.kind {
	case Switch:
		return value == "on"
	case Counted, Number:
		if n, err := strconv.Atoi(value); err == nil {
			return n
		}
	}
	return value
}

// SetPIN gives the SIM a PIN, "" for none, and so many tries; the modem
// restarts as if it had been plugged in again.
func (m *Modem) SetPIN(pin string, pinTries, pukTries int) error {
	if len(pin) != 0 && (len(pin) < 4 || len(pin) > 8) || digits(pin) != len(pin) {
		return fmt.Errorf("%q is no PIN: it has four to eight digits, or is empty", pin)
	}
	if !between(0, 3, pinTries) || !between(0, 10, pukTries) {
		return fmt.Errorf("a PIN has 0 to 3 tries and a PUK 0 to 10, not %d and %d", pinTries, pukTries)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	card := m.card
	if card == nil {
		card = m.pulled
	}
	if card == nil {
		return fmt.Errorf("modem %s never had a SIM", m.name)
	}
	card.pin, card.pinTries, card.pukTries = pin, pinTries, pukTries
	if m.plugged {
		m.cured(CureReset)
		m.boot()
		m.flush()
	}
	return nil
}

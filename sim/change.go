package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ModemChange is what the API's PATCH and the forms of the page ask for. What
// is left out stays as it is.
type ModemChange struct {
	Present *bool                      `json:"present"` // plug in, unplug
	Action  string                     `json:"action"`
	From    string                     `json:"from"` // who rings
	Radio   *radioChange               `json:"radio"`
	SIM     *simChange                 `json:"sim"`
	Storage *storageChange             `json:"storage"`
	Faults  map[string]json.RawMessage `json:"faults"` // null clears one
}

type radioChange struct {
	Registration *string `json:"registration"`
	RSSI         *int    `json:"rssi"`
	Technology   *string `json:"technology"`
	Operator     *string `json:"operator"`
}

type simChange struct {
	Present  *bool   `json:"present"`
	PIN      *string `json:"pin"`
	PINTries *int    `json:"pin_tries"`
	PUKTries *int    `json:"puk_tries"`
}

type storageChange struct {
	SIM   *int `json:"SM"`
	Modem *int `json:"ME"`
}

// actions are what can be done with a modem beside setting it.
var actions = map[string]func(m *Modem, from string) error{
	"power_cycle":  func(m *Modem, _ string) error { return m.PowerCycle() },
	"restart":      func(m *Modem, _ string) error { m.Restart(); return nil },
	"clear_faults": func(m *Modem, _ string) error { m.ClearFaults(); return nil },
	"hang_up":      func(m *Modem, _ string) error { m.HangUp(); return nil },
	"ring": func(m *Modem, from string) error {
		number := m.net.normal(strings.TrimSpace(from))
		if number == "" {
			return fmt.Errorf("%q can't ring: write a number like +491701234567", from)
		}
		m.Ring(number)
		return nil
	},
}

// Change does what is asked for, or none of it if something makes no sense.
func (m *Modem) Change(c ModemChange) error {
	act := actions[c.Action]
	if act == nil && c.Action != "" {
		return fmt.Errorf("there is no action %q; there are %s", c.Action, strings.Join(slices.Sorted(maps.Keys(actions)), ", "))
	}
	radio, err := c.Radio.parse()
	if err != nil {
		return err
	}
	values, err := faultValues(c.Faults)
	if err != nil {
		return err
	}
	faults, err := parseFaults(values)
	if err != nil {
		return err
	}
	sm, me, err := c.Storage.parse(m)
	if err != nil {
		return err
	}
	if s := c.SIM; s != nil {
		now := m.Status().SIM
		if s.PIN != nil || s.PINTries != nil || s.PUKTries != nil {
			if err := m.SetPIN(or(s.PIN, now.PIN), or(s.PINTries, now.PINTries), or(s.PUKTries, now.PUKTries)); err != nil {
				return err
			}
		}
		if s.Present != nil && *s.Present != now.Present {
			m.SetSIM(*s.Present)
		}
	}
	if c.Storage != nil {
		m.SetSlots(sm, me)
	}
	if radio != nil {
		m.SetRadio(radio)
	}
	if len(values) > 0 {
		m.Fault(faults)
	}
	if act != nil {
		if err := act(m, c.From); err != nil {
			return err
		}
	}
	switch {
	case c.Present == nil:
	case *c.Present:
		return m.Plug()
	default:
		m.Unplug()
	}
	return nil
}

func or[V any](p *V, otherwise V) V {
	if p == nil {
		return otherwise
	}
	return *p
}

func (c *radioChange) parse() (func(*Radio), error) {
	if c == nil {
		return nil, nil
	}
	stat, known := registrationStats[or(c.Registration, "home")]
	if !known {
		return nil, fmt.Errorf("registration %q must be one of %s", *c.Registration, strings.Join(registrations, ", "))
	}
	act, known := technologies[or(c.Technology, "lte")]
	if !known {
		return nil, fmt.Errorf("technology %q must be one of gsm, lte, umts", *c.Technology)
	}
	if rssi := or(c.RSSI, 0); !between(0, 31, rssi) && rssi != 99 {
		return nil, fmt.Errorf("rssi %d must be from 0 to 31, or 99 for unknown", rssi)
	}
	if name := or(c.Operator, ""); len(name) > 40 || strings.ContainsFunc(name, control) || strings.Contains(name, `"`) {
		return nil, fmt.Errorf("operator %q must be one short line without quotes", name)
	}
	return func(r *Radio) {
		if c.Technology != nil {
			r.AcT = act
		}
		if c.Registration != nil {
			r.CS, r.PS, r.EPS = stat, stat, stat
		}
		if r.AcT < 7 {
			r.EPS = 0
		}
		r.Operator = or(c.Operator, r.Operator)
		if c.RSSI != nil {
			r.hears(*c.RSSI)
		}
	}, nil
}

func (c *storageChange) parse(m *Modem) (sm, me int, err error) {
	if c == nil {
		return 0, 0, nil
	}
	now := m.Status().Storage
	sm, me = or(c.SIM, now["SM"].Slots), or(c.Modem, now["ME"].Slots)
	if !between(0, 1000, sm, me) {
		return 0, 0, fmt.Errorf("memories hold 0 to 1000 messages, not %d and %d", sm, me)
	}
	return sm, me, nil
}

// faultValues turns JSON's values into words: true, 3, "5s", null.
func faultValues(raw map[string]json.RawMessage) (map[string]string, error) {
	values := map[string]string{}
	for name, v := range raw {
		var x any
		if err := json.Unmarshal(v, &x); err != nil {
			return nil, err
		}
		switch x := x.(type) {
		case nil:
			values[name] = ""
		case string:
			values[name] = x
		case bool, float64:
			values[name] = string(v)
		default:
			return nil, fmt.Errorf("fault %s: %s must be true, a number, a text or null", name, v)
		}
	}
	return values, nil
}

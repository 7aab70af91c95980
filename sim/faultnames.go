package sim

import (
	"fmt"
	"strings"
)

// FaultInfo is a fault by its name, with its value as text.
type FaultInfo struct {
	Name    string
	Group   string
	Words   string // what happens, in one line
	Kind    Kind
	Choices []string // of some texts
	Value   string
	Set     bool // it is not off
}

// FaultNames lists every fault there is.
func FaultNames() []string {
	var all []string
	for _, f := range faultTable {
		all = append(all, f.name)
	}
	return all
}

// Faults lists every fault with its value.
func (m *Modem) Faults() []FaultInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []FaultInfo
	for _, f := range faultTable {
		value := f.get(&m.faults)
		all = append(all, FaultInfo{f.name, f.group, f.words, f.kind, f.choices, value, value != f.get(&Faults{})})
	}
	return all
}

// SetFault sets a fault by its name to a value in words: "on", "3", "always",
// "5s", or a text. An empty value clears it.
func (m *Modem) SetFault(name, value string) error {
	return m.SetFaults(map[string]string{name: value})
}

// SetFaults sets several, or none of them if one can't be.
func (m *Modem) SetFaults(values map[string]string) error {
	f, err := parseFaults(values)
	if err == nil {
		m.Fault(f)
	}
	return err
}

// ClearFaults ends all faults.
func (m *Modem) ClearFaults() { m.Fault(func(f *Faults) { *f = Faults{} }) }

// parseFaults makes a function for Fault of values by name.
func parseFaults(values map[string]string) (func(f *Faults), error) {
	for name := range values {
		if faultNamed(name) == nil {
			return nil, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(FaultNames(), ", "))
		}
	}
	var trial Faults
	for name, value := range values {
		if err := faultNamed(name).set(&trial, strings.TrimSpace(value)); err != nil {
			return nil, fmt.Errorf("fault %s: %w", name, err)
		}
	}
	return func(f *Faults) {
		for name, value := range values {
			_ = faultNamed(name).set(f, strings.TrimSpace(value)) // it was tried above
		}
	}, nil
}

func faultNamed(name string) *fault {
	for i := range faultTable {
		if faultTable[i].name == name {
			return &faultTable[i]
		}
	}
	return nil
}

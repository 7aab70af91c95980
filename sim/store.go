package sim

// Message states of +CMGL and +CMGR.
const (
	unread = iota
	read
	unsent
	sent
)

// stored is a message in a slot.
type stored struct {
	stat   int
	pdu    []byte // with the SMSC address
	report bool
}

// store is a memory for messages: slots that are nil when empty.
type store []*stored

func (s store) resized(n int) store {
	r := make(store, n)
	copy(r, s)
	return r
}

// storeNamed returns the memory of that name; nil if there is none. MT, both
// together, is not a memory of its own: see slots.
func (m *Modem) storeNamed(name string) store {
	switch name {
	case "ME":
		return m.me
	case "SM":
		if m.card != nil {
			return m.card.slots
		}
	}
	return nil
}

// slots lists a memory's slots in the order of their indices, which begin
// with 1. MT is the SIM's followed by the modem's own.
func (m *Modem) slots(name string) []**stored {
	var all []**stored
	list := []string{name}
	if name == "MT" {
		list = []string{"SM", "ME"}
	}
	for _, name := range list {
		s := m.storeNamed(name)
		for i := range s {
			all = append(all, &s[i])
		}
	}
	return all
}

// keep stores a message in the named memory and returns its index there; 0 if
// it is full.
func (m *Modem) keep(name string, x *stored) int {
	if used, total := m.fill(name); used >= total {
		return 0
	}
	for i, slot := range m.slots(name) {
		if *slot == nil {
			*slot = x
			return i + 1
		}
	}
	return 0
}

// fill returns how many messages a memory holds and how many fit.
func (m *Modem) fill(name string) (used, total int) {
	for _, slot := range m.slots(name) {
		if *slot != nil {
			used++
		}
		total++
	}
	if limit := m.faults.Slots; limit > 0 {
		total = min(total, limit)
	}
	return used, total
}

package sim

// card is a SIM. Its fields are guarded by the lock of the modem it is in.
type card struct {
	iccid, imsi, number string
	smsc                string
	pin, puk            string // pin "": none is asked for
	locked              bool   // until the PIN was entered
	pinTries, pukTries  int
	slots               store
	day                 string // of the network, on which sent counts
	sent                int
}

func (c *card) dead() bool { return c.pukTries == 0 }

// enterPIN tries a PIN and returns the +CME code of the refusal, 0 if it was right.
func (c *card) enterPIN(pin string) int {
	switch {
	case c.dead():
		return 13
	case c.pinTries == 0:
		return 12
	case !c.locked:
		return 3
	case pin == c.pin:
		c.locked = false
		c.pinTries = 3
		return 0
	}
	c.pinTries--
	if c.pinTries == 0 {
		return 12
	}
	return 16
}

// enterPUK tries a PUK, which sets a new PIN.
func (c *card) enterPUK(puk, pin string) int {
	switch {
	case c.dead():
		return 13
	case c.pinTries > 0:
		return 3
	case puk == c.puk:
		c.pin, c.pinTries, c.pukTries, c.locked = pin, 3, 10, false
		return 0
	}
	c.pukTries--
	if c.dead() {
		return 13
	}
	return 16
}

// state is the answer to +CPIN?, or a +CME code.
func (c *card) state() (string, int) {
	switch {
	case c == nil:
		return "", 10
	case c.dead():
		return "", 13
	case c.pinTries == 0:
		return "SIM PUK", 0
	case c.locked:
		return "SIM PIN", 0
	}
	return "READY", 0
}

// SetSIM pulls the SIM out or puts it back, after which the modem restarts
// as if it had been plugged in again. The PIN counters stay with the SIM.
func (m *Modem) SetSIM(present bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if present && m.card == nil {
		m.card, m.pulled = m.pulled, nil
	} else if !present && m.card != nil {
		m.card, m.pulled = nil, m.card
	}
	m.cured(CureReset)
	m.boot()
	m.flush()
}

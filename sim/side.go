package sim

import (
	"fmt"
	"strings"
	"time"
)

// The ports beside the one that takes commands.

// parrot is a port that says OK to everything.
func (m *Modem) parrot(b []byte) {
	t := m.tty
	for _, c := range b {
		if c != cr {
			if t.line = append(t.line, c); len(t.line) > maxLine {
				t.line = t.line[:0]
			}
			continue
		}
		line := strings.ToUpper(strings.TrimSpace(string(t.line)))
		t.line = t.line[:0]
		if line == "ATI" {
			m.write("\r\nAPP1\r\n")
		}
		if strings.HasPrefix(line, "AT") {
			m.write("\r\nOK\r\n")
		}
	}
}

// stream begins the positions of a port that somebody opened. Called with
// m.mu held.
func (m *Modem) stream(t *tty) {
	if t.Role != RoleNMEA {
		return
	}
	defer m.serve(t)()
	p := t.port
	var next func()
	next = func() {
		if t.port == nil || t.port != p {
			return
		}
		now := time.Now().UTC().Format("150405.00")
		m.write(nmea("GPGGA,"+now+",,,,,0,00,99.99,,,,,,") + nmea("GPRMC,"+now+",V,,,,,,,,,,N"))
		m.after(time.Second, next)
	}
	m.after(0, next)
}

// nmea adds what stands around a sentence.
func nmea(s string) string {
	var sum byte
	for _, c := range []byte(s) {
		sum ^= c
	}
	return fmt.Sprintf("$%s*%02X\r\n", s, sum)
}

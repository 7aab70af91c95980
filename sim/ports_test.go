package sim

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// talkTo is talk with another port of the modem.
func talkTo(t *testing.T, m *Modem, number int) *dialogue {
	t.Helper()
	p, err := m.OpenPipeOf(number)
	if err != nil {
		t.Fatal(err)
	}
	return listen(t, p)
}

func TestPortsBesideTheOne(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		diag, nmea, at, second, app := talkTo(t, m, 0), talkTo(t, m, 1), talkTo(t, m, 2), talkTo(t, m, 3), talkTo(t, m, 4)
		if _, err := m.OpenPipeOf(5); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the disc opens as a port: %v", err)
		}
		if _, err := m.OpenPipe(); !errors.Is(err, syscall.EBUSY) {
			t.Errorf("the AT port opens twice: %v", err)
		}
		diag.ask("AT")
		diag.ask("AT+CFUN=1,1")
		app.ask("AT", "OK")
		app.ask("AT+CMGS=20", "OK")
		app.ask("ATI", "APP1", "OK")
		app.ask("hello")
		nmea.after(2 * time.Second)
		if got := nmea.heard(); !strings.HasPrefix(got, "$GPGGA,000000.00,") || strings.Count(got, "$GPRMC,") != 3 || strings.Count(got, "*") != 6 {
			t.Errorf("positions: %q", got)
		}
		nmea.ask("AT+CFUN=1,1") // said to deaf ears

		// Settings are each port's own; what comes unasked comes out of one.
		at.say("ATE0;+CMEE=1;+CNMI=2,1,0,2,0;+CREG=1\r")
		at.heard()
		second.say("AT+CMEE?;+CREG?\r")
		second.hears("AT+CMEE?;+CREG?\r\r\n+CMEE: 0\r\n\r\n+CREG: 0,1\r\n\r\nOK\r\n")
		second.say("ATE0;+CREG=1;+CNMI=2,1,0,2,0\r")
		second.heard()
		m.Inject(deliverPDU(t, Text{Text: "x"}))
		second.hears("")
		m.SetRegistration(5)
		second.hears("")
		at.hears("\r\n+CMTI: \"SM\",1\r\n\r\n+CREG: 5\r\n")

		second.ask("AT+CFUN=4", "OK")
		at.hears("\r\n+CREG: 0\r\n")
		second.ask("AT+CFUN=1", "OK")
		at.heard()

		// A command under way on one port leaves the other free.
		at.say("AT+COPS=?\r")
		second.ask("AT+CSQ", "+CSQ: 21,99", "OK")
		at.after(searchTime)
		if got := at.heard(); !strings.HasPrefix(got, "\r\n+COPS: (") {
			t.Errorf("the scan says %q", got)
		}
		second.hears("")

		m.Unplug()
		for _, d := range []*dialogue{diag, nmea, at, second, app} {
			if _, err := d.pipe.Write([]byte("AT\r")); !errors.Is(err, syscall.EIO) {
				t.Errorf("unplugged, a port is written: %v", err)
			}
		}
	})
}

// ^PORTSEL moves what comes unasked to the modem port and back.
func TestPortSelection(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{Profile: HuaweiE173, Warm: true})
		at, modem := plainly(t, m), talkTo(t, m, 0)
		at.ask("AT^CURC=0", "OK")
		modem.say("ATE0;+CNMI=2,1,0,2,0\r")
		modem.heard()
		at.ask("AT+CNMI=2,1,0,2,0;^PORTSEL=1", "OK")
		m.Inject(deliverPDU(t, Text{Text: "x"}))
		modem.hears("\r\n+CMTI: \"SM\",1\r\n")
		at.hears("")
		at.ask("AT^PORTSEL=0", "OK")
		m.Inject(deliverPDU(t, Text{Text: "x"}))
		modem.hears("")
		at.hears("\r\n+CMTI: \"SM\",2\r\n")
		at.ask("AT^PORTSEL=7", "+CME ERROR: 50")
	})
}

// The fault renumber, and ports that vanish and come back, on terminals.
func TestRenumberedLinks(t *testing.T) {
	n := NewNetwork(NetworkOptions{})
	defer n.Close()
	m := n.AddModem(ModemOptions{Away: 50 * time.Millisecond})
	dir := t.TempDir()
	for number, name := range map[int]string{0: "ttyUSB0", 1: "ttyUSB1", 2: "ttyUSB2", 3: "ttyUSB3", 4: "ttyUSB4"} {
		if _, err := m.OpenPTYOf(number, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.OpenPTYOf(5, ""); err == nil {
		t.Error("the disc has a terminal")
	}
	names := func() (all []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return all
	}
	nmea := openSerial(t, filepath.Join(dir, "ttyUSB1"))
	nmea.until("$GPRMC")
	app := openSerial(t, filepath.Join(dir, "ttyUSB4"))
	app.say("ATI\r")
	app.until("APP1\r\n\r\nOK\r\n")

	l := openSerial(t, filepath.Join(dir, "ttyUSB2"))
	l.say("AT+CFUN=1,1\r")
	eventually(t, "it left", func() bool { return !m.Present() })
	eventually(t, "it came back", m.Present)
	if got := m.Link(); got != filepath.Join(dir, "ttyUSB2") {
		t.Errorf("it is at %s", got)
	}
	l = openSerial(t, m.Link())
	l.say("AT\r")
	l.until("OK\r\n")

	if err := m.SetFault("renumber", "on"); err != nil {
		t.Fatal(err)
	}
	m.Unplug()
	if got := names(); len(got) != 0 {
		t.Errorf("unplugged it leaves %v", got)
	}
	if err := m.Plug(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names(), " "); got != "ttyUSB1 ttyUSB2 ttyUSB3 ttyUSB4 ttyUSB5" || m.Link() != filepath.Join(dir, "ttyUSB3") {
		t.Errorf("it came back at %s with %s", m.Link(), got)
	}
	l = openSerial(t, m.Link())
	l.say("AT\r")
	l.until("OK\r\n")

	// Pulled at a byte, and back by itself.
	if err := m.SetFaults(map[string]string{"unplug_after": "2", "replug_after": "50ms"}); err != nil {
		t.Fatal(err)
	}
	l.say("AT\r")
	eventually(t, "it was pulled", func() bool { return !m.Present() })
	eventually(t, "it is back", m.Present)
	if got := m.Link(); got != filepath.Join(dir, "ttyUSB4") {
		t.Errorf("it is at %s", got)
	}

	// A hang that closing the port ends, here too.
	l = openSerial(t, m.Link())
	if err := m.SetFaults(map[string]string{"hang": "mute", "hang_cure": "reopen"}); err != nil {
		t.Fatal(err)
	}
	l.port.Close()
	eventually(t, "it was cured", func() bool { return m.Stats().Cures == 1 })
	l = openSerial(t, m.Link())
	l.say("AT\r")
	l.until("OK\r\n")
}

// Each family's USB device has one port for commands, and its serial ports
// have drivers.
func TestUSBIdentities(t *testing.T) {
	ids := map[string]bool{}
	for _, p := range Profiles() {
		if ids[p.USB.ID()] || len(p.USB.ID()) != 9 {
			t.Errorf("%s is %s", p.Slug, p.USB.ID())
		}
		ids[p.USB.ID()] = true
		commands := 0
		for _, i := range p.USB.Interfaces {
			if i.Role == RoleAT {
				commands++
			}
			if len(i.Class+i.Subclass+i.Protocol) != 6 || i.Driver == "" {
				t.Errorf("%s: interface %+v", p.Slug, i)
			}
		}
		if commands != 1 {
			t.Errorf("%s has %d ports for commands", p.Slug, commands)
		}
	}
}

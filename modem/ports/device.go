// Package ports finds the modems among the serial ports of this machine: what
// is plugged in, which of its ports takes SMS commands, and who holds it. It
// reads sysfs and procfs through fs.FS, so tests bring their own machine.
package ports

import (
	"path/filepath"
	"slices"
)

// Mode says what a device offers as it is now.
type Mode string

// The modes of a device.
const (
	Serial      Mode = "serial"       // it has serial ports
	NotSwitched Mode = "cd-rom"       // a modem that still shows its installation disc
	NetworkOnly Mode = "network-card" // HiLink and its kind: a router, without a serial port
	QMIOnly     Mode = "qmi-mbim"     // a modem that offers QMI or MBIM alone
	NoDriver    Mode = "no-driver"    // it has serial interfaces, and no driver has taken them
)

// Policy says whether a device may be spoken to in order to learn what it is.
type Policy string

// A device that is no modem may take harm from being opened: boards restart
// when a line moves, and meters take what they read for commands.
const (
	Free    Policy = "free"     // the id or the driver says that it is a modem
	IfAsked Policy = "if-asked" // a bridge, a UART or a stranger: only if a person or the configuration says so
	Never   Policy = "never"    // it says itself that it is something else
)

// Role is what a serial port of a device is for.
type Role string

// The roles of a port. Only those with AT, SecondAT and Unknown are ever opened.
const (
	AT       Role = "at"        // commands and unsolicited lines
	SecondAT Role = "second-at" // takes commands too: PPP, or a second command port
	Unknown  Role = "unknown"
	Diag     Role = "diag"
	GPS      Role = "gps"
	Audio    Role = "audio"
	Foreign  Role = "foreign" // a known device's port that is for something else
)

// Interface is one interface of a USB device.
type Interface struct {
	Number   int    `json:"number"` // bInterfaceNumber, the stable key of a port within its device; -1 if not USB
	Class    uint8  `json:"class"`
	Subclass uint8  `json:"subclass"`
	Protocol uint8  `json:"protocol"`
	Label    string `json:"label,omitempty"` // as the device calls it
	Driver   string `json:"driver"`          // "" while none has taken it
}

// Tty is one serial port.
type Tty struct {
	Interface
	Name string `json:"name"` // ttyUSB2
	Path string `json:"path"` // /dev/ttyUSB2
	Role Role   `json:"role"`
}

// Device is one thing that is plugged in, with all the ttys that it shows. A
// bridge with several lines is a device for each of them.
type Device struct {
	Key          string      `json:"key"`    // the socket: "1-1.2"; stays over replugs and reboots
	Number       int         `json:"number"` // another one each time that something is plugged in; 0 if not USB
	Vendor       string      `json:"vendor"` // "12d1"; "" if not USB
	Product      string      `json:"product"`
	Manufacturer string      `json:"manufacturer"` // as the device says
	Name         string      `json:"name"`         // as the device says
	Serial       string      `json:"serial"`       // USB serial number: many have none, or all the same
	Family       string      `json:"family"`       // what its id stands for, "" if it is not known
	Mode         Mode        `json:"mode"`
	Policy       Policy      `json:"policy"`
	Named        bool        `json:"named"` // the caller of Scan named one of its ports
	Ttys         []Tty       `json:"ttys"`
	Interfaces   []Interface `json:"interfaces"` // all of them, those with a tty too

	known bool // its table says which ports take commands: no other is touched
}

// ID is the USB id, "12d1:1506", "" for what is not USB.
func (d Device) ID() string {
	if d.Vendor == "" {
		return ""
	}
	return d.Vendor + ":" + d.Product
}

// String names a device for people.
func (d Device) String() string {
	name := d.Name
	for _, s := range []string{d.Family, d.Manufacturer, d.Key} {
		if name == "" {
			name = s
		}
	}
	if id := d.ID(); id != "" {
		return name + " (" + id + ")"
	}
	return name
}

// Candidates are the ports that may be asked whether they take SMS commands,
// the likeliest first.
func (d Device) Candidates() []Tty {
	var all []Tty
	for _, role := range []Role{AT, SecondAT, Unknown} {
		for _, t := range d.Ttys {
			if t.Role == role {
				all = append(all, t)
			}
		}
	}
	return all
}

// Find returns the port that path leads to, through whatever links.
func (d Device) Find(path string) (Tty, bool) {
	want := resolve(path)
	i := slices.IndexFunc(d.Ttys, func(t Tty) bool { return resolve(t.Path) == want })
	if i < 0 {
		return Tty{}, false
	}
	return d.Ttys[i], true
}

// Same tells whether e is d, not unplugged in between.
func (d Device) Same(e Device) bool {
	return d.Key == e.Key && d.Number == e.Number && d.ID() == e.ID()
}

// ready tells whether the ports are there that d should have.
func (d Device) ready() bool {
	c := d.Candidates()
	return d.Mode == Serial && len(c) > 0 && (!d.known || c[0].Role == AT)
}

// resolve follows links as far as they lead.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Clean(path)
}

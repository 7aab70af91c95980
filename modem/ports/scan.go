package ports

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const (
	usbDevices = "bus/usb/devices"
	ttyClass   = "class/tty"
)

// Scan lists every modem and everything that could be one. sys is the root of
// sysfs, dev the folder of the device nodes. A plain UART is listed only if its
// path is among named, which may hold links; so is a port that sysfs does not
// know, such as a pseudo-terminal.
func Scan(sys fs.FS, dev string, named ...string) ([]Device, error) {
	if _, err := fs.ReadDir(sys, ttyClass); err != nil {
		return nil, fmt.Errorf("the machine's serial ports can't be listed: %w; is /sys mounted?", err)
	}
	var all []Device
	entries, _ := fs.ReadDir(sys, usbDevices) // a machine without USB has no such folder
	interfaces := map[string][]string{}
	for _, e := range entries {
		if socket, _, ok := strings.Cut(e.Name(), ":"); ok {
			interfaces[socket] = append(interfaces[socket], e.Name())
		}
	}
	for _, e := range entries {
		if dirs := interfaces[e.Name()]; len(dirs) > 0 {
			all = append(all, usbDevice(sys, dev, e.Name(), dirs)...)
		}
	}
	for _, p := range named {
		all = addNamed(all, sys, dev, p)
	}
	slices.SortFunc(all, func(a, b Device) int { return compareKeys(a.Key, b.Key) })
	return all, nil
}

// usbDevice reads one USB device; nothing if it can't be a modem.
func usbDevice(sys fs.FS, dev, socket string, dirs []string) []Device {
	dir := path.Join(usbDevices, socket)
	d := Device{
		Key: socket, Mode: Serial, Policy: IfAsked,
		Vendor: hexID(text(sys, dir, "idVendor")), Product: hexID(text(sys, dir, "idProduct")),
		Manufacturer: text(sys, dir, "manufacturer"), Name: text(sys, dir, "product"), Serial: text(sys, dir, "serial"),
	}
	if d.Vendor == "" || d.Product == "" { // gone meanwhile
		return nil
	}
	d.Number, _ = strconv.Atoi(text(sys, dir, "devnum"))
	for _, name := range dirs {
		i := readInterface(sys, path.Join(usbDevices, name))
		d.Interfaces = append(d.Interfaces, i)
		for _, tty := range ttysOf(sys, path.Join(usbDevices, name)) {
			d.Ttys = append(d.Ttys, Tty{Interface: i, Name: tty, Path: filepath.Join(dev, tty)})
		}
	}
	slices.SortStableFunc(d.Interfaces, func(a, b Interface) int { return cmp.Compare(a.Number, b.Number) })
	slices.SortFunc(d.Ttys, func(a, b Tty) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), compareKeys(a.Name, b.Name))
	})
	if !d.classify() {
		return nil
	}
	if d.isBridge() && len(d.Ttys) > 1 {
		return d.lines()
	}
	return []Device{d}
}

// lines makes a device of each line of a bridge, for each may lead elsewhere.
func (d Device) lines() []Device {
	var all []Device
	for i, t := range d.Ttys {
		line := d
		line.Key = fmt.Sprintf("%s:%d", d.Key, t.Number)
		if i > 0 && d.Ttys[i-1].Number == t.Number || i+1 < len(d.Ttys) && d.Ttys[i+1].Number == t.Number {
			line.Key += fmt.Sprintf(".%d", i)
		}
		line.Ttys = []Tty{t}
		all = append(all, line)
	}
	return all
}

func readInterface(sys fs.FS, dir string) Interface {
	return Interface{
		Number: int(hexByte(text(sys, dir, "bInterfaceNumber"))),
		Class:  hexByte(text(sys, dir, "bInterfaceClass")), Subclass: hexByte(text(sys, dir, "bInterfaceSubClass")),
		Protocol: hexByte(text(sys, dir, "bInterfaceProtocol")),
		Label:    text(sys, dir, "interface"), Driver: property(raw(sys, dir, "uevent"), "DRIVER"),
	}
}

// ttysOf lists an interface's ttys. cdc_acm puts them in tty/ttyACM0, the
// drivers of usb-serial in ttyUSB0/tty/ttyUSB0.
func ttysOf(sys fs.FS, dir string) []string {
	var all []string
	entries, _ := fs.ReadDir(sys, dir)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "tty") {
			continue
		}
		within := path.Join(dir, e.Name())
		if e.Name() != "tty" {
			within = path.Join(within, "tty")
		}
		ttys, _ := fs.ReadDir(sys, within)
		for _, t := range ttys {
			if strings.HasPrefix(t.Name(), "tty") {
				all = append(all, t.Name())
			}
		}
	}
	return all
}

// classify finds out what d is; false if it has nothing to do with modems.
func (d *Device) classify() bool {
	id := d.ID()
	l, disc := layoutOf(id), unswitchedOf(id)
	if l != nil {
		d.Family = l.name
	} else if disc != nil {
		d.Family = disc.name
	} else if name, ok := hilink[id]; ok {
		d.Family = name
	} else if name, ok := makers[d.Vendor]; ok {
		d.Family = name
	} else if d.isBridge() {
		d.Family = cmp.Or(bridges[d.Vendor], "serial bridge")
	}
	modem := l != nil || disc != nil || hilink[id] != "" || makers[d.Vendor] != "" || d.has(func(i Interface) bool {
		return slices.Contains(modemDrivers, i.Driver) || isMBIM(i)
	})
	switch {
	case modem:
		d.Policy = Free
	case d.isStranger():
		d.Policy = Never
	case !d.isBridge() && d.has(isNetwork): // a modem of CDC-ACM ports and a network card
		d.Policy = Free
	}
	d.assignRoles(l)
	if len(d.Ttys) > 0 {
		return true
	}
	return modem && d.modeWithoutTty(l, disc)
}

// modeWithoutTty says why a modem shows no serial port; false if it is none
// after all.
func (d *Device) modeWithoutTty(l *layout, disc *unswitched) bool {
	vendor := func(i Interface) bool { return i.Class == 0xff }
	switch {
	case hilink[d.ID()] != "":
		d.Mode = NetworkOnly
	case disc != nil && (l == nil || !d.has(vendor)): // an E220 keeps its id when it is switched
		d.Mode = NotSwitched
	case d.has(func(i Interface) bool { return slices.Contains(ttyDrivers, i.Driver) }):
		d.Mode = Serial // they are on their way
	case d.has(func(i Interface) bool { return vendor(i) && i.Driver == "" }):
		d.Mode = NoDriver
	case d.has(func(i Interface) bool { return i.Driver == "qmi_wwan" || isMBIM(i) }):
		d.Mode = QMIOnly
	case d.has(isNetwork):
		d.Mode = NetworkOnly
	case d.has(func(i Interface) bool { return i.Class == 8 }):
		d.Mode = NotSwitched
	default:
		return false
	}
	return true
}

func isMBIM(i Interface) bool { return i.Class == 2 && i.Subclass == 0x0e }

// isNetwork knows RNDIS, ECM and NCM.
func isNetwork(i Interface) bool {
	return i.Class == 2 && (i.Subclass == 6 || i.Subclass == 0x0d || i.Subclass == 2 && i.Protocol == 0xff) ||
		i.Class == 0xe0 && i.Subclass == 1 && i.Protocol == 3
}

func (d *Device) has(f func(Interface) bool) bool { return slices.ContainsFunc(d.Interfaces, f) }

func (d *Device) isBridge() bool {
	return d.has(func(i Interface) bool { return slices.Contains(bridgeDrivers, i.Driver) }) || bridges[d.Vendor] != ""
}

// isStranger knows boards and sticks that say themselves that they are no modem.
func (d *Device) isStranger() bool {
	if strangers[d.Vendor] != "" {
		return true
	}
	name := strings.ToLower(d.Manufacturer + " " + d.Name)
	return slices.ContainsFunc(strange, func(w string) bool { return strings.Contains(name, w) })
}

// assignRoles says what each tty is for: a Huawei says so itself, others are
// in the table, and the rest is a guess by name.
func (d *Device) assignRoles(l *layout) {
	told := false // the device says itself which port takes commands
	if d.Vendor == "12d1" {
		for i := range d.Ttys {
			d.Ttys[i].Role = huaweiRole(d.Ttys[i].Interface)
			told = told || d.Ttys[i].Role == AT || d.Ttys[i].Role == SecondAT
		}
	}
	d.known = told || l != nil && len(l.at) > 0 && !l.loose
	for i := range d.Ttys {
		t := &d.Ttys[i]
		switch {
		case t.Role == GPS || told && t.Role != "" && t.Role != Unknown:
		case told:
			t.Role = Foreign
		case d.known:
			t.Role = l.role(t.Number)
		default:
			if t.Role = labelRole(t.Label); t.Role == Unknown && l != nil {
				t.Role = l.role(t.Number)
			}
		}
	}
}

// addNamed makes sure that a port that the caller named is listed.
func addNamed(all []Device, sys fs.FS, dev, named string) []Device {
	real := resolve(named)
	for i := range all {
		if _, ok := all[i].Find(real); ok {
			all[i].Named = true
			return all
		}
	}
	d := Device{Policy: IfAsked, Mode: Serial, Named: true, Family: "serial port"}
	t := Tty{Interface: Interface{Number: -1}, Name: filepath.Base(real), Path: real, Role: Unknown}
	class := path.Join(ttyClass, t.Name)
	if _, err := fs.Stat(sys, class); err == nil && filepath.Dir(real) == resolve(dev) {
		t.Driver = property(raw(sys, class, "device/uevent"), "DRIVER")
		d.Key = t.Name
	} else if info, err := os.Stat(real); err == nil && info.Mode()&fs.ModeCharDevice != 0 {
		d.Key = real
	} else {
		return all
	}
	d.Ttys = []Tty{t}
	return append(all, d)
}

// maxAttribute is more than a file of sysfs holds.
const maxAttribute = 4096

func raw(sys fs.FS, dir, name string) string {
	f, err := sys.Open(path.Join(dir, name))
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxAttribute))
	if err != nil {
		return ""
	}
	return string(b)
}

// text reads an attribute. A device chooses its own strings, and they end up
// on terminals: what can't be printed is dropped.
func text(sys fs.FS, dir, name string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, raw(sys, dir, name)))
}

// property finds a line KEY=VALUE.
func property(lines, key string) string {
	for line := range strings.Lines(lines) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			return v
		}
	}
	return ""
}

// hexID is a vendor or product id, "" for anything else.
func hexID(s string) string {
	if n, err := strconv.ParseUint(s, 16, 16); err == nil && len(s) == 4 {
		return fmt.Sprintf("%04x", n)
	}
	return ""
}

func hexByte(s string) uint8 {
	n, err := strconv.ParseUint(s, 16, 8)
	if err != nil {
		return 0
	}
	return uint8(n)
}

// compareKeys puts 1-1.2 before 1-1.10.
func compareKeys(a, b string) int {
	for a != "" && b != "" {
		i, j := digits(a), digits(b)
		if i > 0 && j > 0 {
			x, y := strings.TrimLeft(a[:i], "0"), strings.TrimLeft(b[:j], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[i:], b[j:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits is how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

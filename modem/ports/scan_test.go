package ports

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/creack/pty"
)

// scan scans a tree, in a /dev without nodes.
func scan(t *testing.T, tr *tree, named ...string) []Device {
	t.Helper()
	devices, err := Scan(tr, "/dev", named...)
	if err != nil {
		t.Fatal(err)
	}
	return devices
}

func names(ttys []Tty) string {
	var all []string
	for _, t := range ttys {
		all = append(all, t.Name)
	}
	return strings.Join(all, " ")
}

func TestDevices(t *testing.T) {
	without := func(u usb, driver string) usb { // that driver is not loaded
		u.ifs = slices.Clone(u.ifs)
		for i := range u.ifs {
			if u.ifs[i].driver == driver {
				u.ifs[i].driver, u.ifs[i].ttys = "", nil
			}
		}
		return u
	}
	for name, c := range map[string]struct {
		usb        usb
		mode       Mode
		policy     Policy
		candidates string // in the order in which they are asked
		advice     string // part of what is said
	}{
		"Huawei E1750":                 {e1750, Serial, Free, "ttyUSB2 ttyUSB0", ""},
		"Huawei E3372, stick":          {e3372, Serial, Free, "ttyUSB0 ttyUSB1", ""},
		"Huawei E171":                  {e171, Serial, Free, "ttyUSB3 ttyUSB0 ttyUSB1 ttyUSB2", ""},
		"Huawei, a GPS port":           {e398, Serial, Free, "ttyUSB0 ttyUSB2", ""},
		"Huawei ME909u":                {me909u, Serial, Free, "ttyUSB2 ttyUSB0", ""},
		"Huawei E220":                  {e220, Serial, Free, "ttyUSB1 ttyUSB0", ""},
		"Huawei HiLink":                {hilinkStick, NetworkOnly, Free, "", "firmware for stick mode"},
		"Huawei E1750, disc":           {disc("12d1:1446"), NotSwitched, Free, "", "usb-modeswitch"},
		"Huawei E3372s, disc":          {disc("12d1:14fe"), NotSwitched, Free, "", "usb-modeswitch"},
		"Huawei E3372h, disc":          {disc("12d1:1f01"), NotSwitched, Free, "", "HiLink"},
		"Huawei E220, disc":            {disc("12d1:1003"), NotSwitched, Free, "", "usb-modeswitch"},
		"Huawei, id of no table, disc": {disc("12d1:1fff"), NotSwitched, Free, "", "usb-modeswitch"},
		"Huawei E220, no driver":       {without(e220, "option"), NoDriver, Free, "", "echo 12d1 1003"},
		"ZTE MF190":                    {mf190, Serial, Free, "ttyUSB2 ttyUSB1", ""},
		"ZTE MF626":                    {mf626, Serial, Free, "ttyUSB2 ttyUSB1", ""},
		"ZTE, disc":                    {disc("19d2:2000"), NotSwitched, Free, "", "usb-modeswitch"},
		"Quectel EC25":                 {ec25, Serial, Free, "ttyUSB2 ttyUSB3", ""},
		"Quectel EC25, no driver":      {without(ec25, "option"), NoDriver, Free, "", "echo 2c7c 0125"},
		"Quectel UC20":                 {uc20, Serial, Free, "ttyUSB0 ttyUSB1", ""},
		"SIMCom SIM7600":               {sim7600, Serial, Free, "ttyUSB2 ttyUSB3", ""},
		"SIMCom A7670":                 {a7670, Serial, Free, "ttyUSB1 ttyUSB2", ""},
		"Sierra MC7455":                {mc7455, Serial, Free, "ttyUSB2", ""},
		"Sierra MC7455, MBIM":          {mc7455MBIM, QMIOnly, Free, "", "AT ports"},
		"u-blox SARA-U201":             {sara, Serial, Free, "ttyACM0 ttyACM1 ttyACM2", ""},
		"Telit LE910":                  {le910, Serial, Free, "ttyUSB0 ttyUSB1 ttyUSB2 ttyUSB3", ""},
		"Intel XMM, unknown":           {xmm, Serial, Free, "ttyACM0 ttyACM1", ""},
		"SIM800 behind a CH340":        {sim800, Serial, IfAsked, "ttyUSB0", ""},
		"Zigbee stick":                 {zigbee, Serial, Never, "ttyUSB0", "name its port"},
		"Arduino":                      {arduino, Serial, Never, "ttyACM0", "name its port"},
		"GPS receiver":                 {receiver, Serial, Never, "ttyACM0", "name its port"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree()
			tr.plug(hub, keyboard, c.usb)
			all := scan(t, tr)
			if len(all) != 1 {
				t.Fatalf("%d devices: %v", len(all), all)
			}
			d := all[0]
			reason, advice := d.Trouble()
			if d.Key != c.usb.socket || d.ID() != c.usb.id || d.Mode != c.mode || d.Policy != c.policy ||
				names(d.Candidates()) != c.candidates || len(d.Interfaces) != len(c.usb.ifs) || d.Number == 0 {
				t.Errorf("%+v\ncandidates %s, want %s", d, names(d.Candidates()), c.candidates)
			}
			if (reason == "") != (c.advice == "") || !strings.Contains(advice, c.advice) {
				t.Errorf("%q %q, want %q", reason, advice, c.advice)
			}
			if d.Manufacturer != c.usb.maker || d.Name != c.usb.name || d.Serial != c.usb.serial {
				t.Errorf("%q %q %q", d.Manufacturer, d.Name, d.Serial)
			}
		})
	}
}

// The interface's own data come with each tty.
func TestTtyKnowsItsInterface(t *testing.T) {
	tr := newTree()
	tr.plug(ec25)
	for i, want := range []Tty{
		{Interface{Number: 0, Class: 0xff, Subclass: 0xff, Protocol: 0xff, Driver: "option"}, "ttyUSB0", "/dev/ttyUSB0", Diag},
		{Interface{Number: 1, Class: 0xff, Driver: "option"}, "ttyUSB1", "/dev/ttyUSB1", GPS},
		{Interface{Number: 2, Class: 0xff, Driver: "option"}, "ttyUSB2", "/dev/ttyUSB2", AT},
		{Interface{Number: 3, Class: 0xff, Driver: "option"}, "ttyUSB3", "/dev/ttyUSB3", SecondAT},
	} {
		if got := scan(t, tr)[0].Ttys[i]; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

// A bridge with four lines may lead to four modems, each with a key that stays.
func TestLinesOfABridge(t *testing.T) {
	tr := newTree()
	tr.plug(quad)
	var keys []string
	for i, d := range scan(t, tr) {
		keys = append(keys, d.Key)
		if len(d.Ttys) != 1 || d.Ttys[0].Number != i || d.Policy != IfAsked {
			t.Errorf("%+v", d)
		}
	}
	if got := strings.Join(keys, " "); got != "1-1.4:0 1-1.4:1 1-1.4:2 1-1.4:3" {
		t.Error(got)
	}
	// Two lines on one interface are told apart too.
	tr = newTree()
	tr.plug(usb{socket: "1-1.4", id: "1a86:55d2", ifs: []usbIf{{n: 0, codes: "ff/01/02", driver: "ch341", ttys: []string{"ttyUSB9", "ttyUSB10"}}}})
	if all := scan(t, tr); len(all) != 2 || all[0].Key == all[1].Key || all[0].Ttys[0].Name != "ttyUSB9" {
		t.Errorf("%+v", all)
	}
}

// Two equal sticks without serial numbers are two devices, told apart by their
// sockets; after a replug in the same sockets, with other numbers, they are
// known again by them, and known to have been unplugged.
func TestEqualSticks(t *testing.T) {
	tr := newTree()
	tr.plug(e1750.with("1-1.10", 3), e1750.with("1-1.2", 0))
	before := scan(t, tr)
	if len(before) != 2 || before[0].Key != "1-1.2" || before[1].Key != "1-1.10" ||
		names(before[0].Candidates()) != "ttyUSB2 ttyUSB0" || names(before[1].Candidates()) != "ttyUSB5 ttyUSB3" {
		t.Fatalf("%+v", before)
	}
	tr.unplug("1-1.2", "1-1.10")
	if left := scan(t, tr); len(left) != 0 {
		t.Fatalf("%+v", left)
	}
	tr.plug(e1750.with("1-1.2", 6), e1750.with("1-1.10", 0))
	after := scan(t, tr)
	for i := range after {
		if after[i].Key != before[i].Key || after[i].Same(before[i]) {
			t.Errorf("%+v, before %+v", after[i], before[i])
		}
	}
	if names(after[0].Candidates()) != "ttyUSB8 ttyUSB6" {
		t.Error(names(after[0].Candidates()))
	}
}

// Plain UARTs are listed only when they are named, also through a link, and so
// is a port that sysfs does not know.
func TestNamedPorts(t *testing.T) {
	dev := t.TempDir()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	for _, name := range []string{"ttyAMA0", "ttyUSB0", "ttyUSB2"} {
		if err := os.WriteFile(filepath.Join(dev, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"serial0": "ttyAMA0", "by-id": "ttyUSB2", "pty": slave.Name(), "dangling": "ttyUSB99"} {
		if err := os.Symlink(to, filepath.Join(dev, name)); err != nil {
			t.Fatal(err)
		}
	}
	tr := newTree()
	tr.plug(e1750)
	tr.change(func(files fstest.MapFS) {
		put(files, "devices/platform/soc/3f201000.serial/uevent", "DRIVER=uart-pl011\n")
		put(files, "devices/platform/soc/3f201000.serial/tty/ttyAMA0/dev", "204:64\n")
		link(files, "devices/platform/soc/3f201000.serial/tty/ttyAMA0/device", "devices/platform/soc/3f201000.serial")
		link(files, ttyClass+"/ttyAMA0", "devices/platform/soc/3f201000.serial/tty/ttyAMA0")
	})
	at := func(name string) string { return filepath.Join(dev, name) }
	for _, c := range []struct {
		named []string
		keys  string
	}{
		{nil, "1-1.2"},
		{[]string{at("ttyAMA0")}, "1-1.2 ttyAMA0"},
		{[]string{at("serial0"), at("ttyAMA0")}, "1-1.2 ttyAMA0"},
		{[]string{at("by-id")}, "1-1.2"},
		{[]string{at("dangling"), "/nowhere/ttyS0", dev}, "1-1.2"},
		{[]string{at("pty")}, slave.Name() + " 1-1.2"},
	} {
		all, err := Scan(tr, dev, c.named...)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, d := range all {
			keys = append(keys, d.Key)
			if d.ID() == "" && (!d.Named || d.Policy != IfAsked || len(d.Candidates()) != 1) {
				t.Errorf("%v: %+v", c.named, d)
			}
			if d.Key == "1-1.2" && d.Named != slices.Contains(c.named, at("by-id")) {
				t.Errorf("%v: named %v", c.named, d.Named)
			}
			if d.Key == "ttyAMA0" && (d.Ttys[0].Driver != "uart-pl011" || d.Ttys[0].Path != at("ttyAMA0")) {
				t.Errorf("%+v", d.Ttys[0])
			}
		}
		if got := strings.Join(keys, " "); got != c.keys {
			t.Errorf("%v: %s, want %s", c.named, got, c.keys)
		}
	}
}

// What a device calls itself ends up on terminals.
func TestStringsAreHarmless(t *testing.T) {
	tr := newTree()
	u := e1750
	u.maker, u.name = "\x1b[31mEvil\x07", "Stick\x00\xff\u202e"
	tr.plug(u)
	if d := scan(t, tr)[0]; d.Manufacturer != "[31mEvil" || d.Name != "Stick" {
		t.Errorf("%q %q", d.Manufacturer, d.Name)
	}
}

func TestWithoutSysfs(t *testing.T) {
	if _, err := Scan(os.DirFS(t.TempDir()), "/dev"); err == nil || !strings.Contains(err.Error(), "/sys mounted") {
		t.Error(err)
	}
}

// The same on a real file system, where links are the kernel's to follow.
func TestScanOnDisk(t *testing.T) {
	dir := t.TempDir()
	tr := newTree()
	tr.plug(e3372, sara.with("1-1.4", 0))
	for name, f := range tr.files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case f.Mode.IsDir():
			err = os.MkdirAll(path, 0o755)
		case f.Mode.IsRegular():
			err = os.WriteFile(path, f.Data, 0o644)
		default:
			err = os.Symlink(string(f.Data), path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	all, err := Scan(os.DirFS(dir), "/dev")
	if err != nil || len(all) != 2 || names(all[0].Candidates()) != "ttyUSB0 ttyUSB1" || names(all[1].Candidates()) != "ttyACM0 ttyACM1 ttyACM2" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestFindFollowsLinks(t *testing.T) {
	dev := t.TempDir()
	for _, name := range []string{"ttyUSB2", "ttyUSB0"} {
		if err := os.WriteFile(filepath.Join(dev, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("ttyUSB2", filepath.Join(dev, "by-id")); err != nil {
		t.Fatal(err)
	}
	tr := newTree()
	tr.plug(e1750)
	all, err := Scan(tr, dev)
	if err != nil {
		t.Fatal(err)
	}
	if tty, ok := all[0].Find(filepath.Join(dev, "by-id")); !ok || tty.Number != 2 {
		t.Errorf("%+v %v", tty, ok)
	}
	if tty, ok := all[0].Find(filepath.Join(dev, "ttyUSB9")); ok {
		t.Errorf("%+v", tty)
	}
}

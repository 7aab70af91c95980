package ports

import (
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
)

// FuzzScan: whatever a device claims, it is read without a panic, twice the
// same, no port is named outside of /dev, and nothing unprintable comes out.
func FuzzScan(f *testing.F) {
	f.Add("12d1", "1506", "HUAWEI", "ff", "02", "12", "00", "DRIVER=option\n", "ttyUSB0", "3")
	f.Add("12d1", "1f01", "", "08", "06", "50", "00", "DRIVER=usb-storage\n", "", "")
	f.Add("1a86", "7523", "\x1b[0m", "ff", "01", "02", "", "DRIVER=ch341", "ttyUSB10", "99999999999999999999")
	f.Add("", "xyz", "\xff", "1ff", "-1", "", "zz", "DRIVER", "tty", "-1")
	f.Fuzz(func(t *testing.T, vendor, product, name, class, subclass, protocol, number, uevent, tty, devnum string) {
		files := fstest.MapFS{ttyClass + "/ttyS0/dev": {}}
		const dev, itf = "bus/usb/devices/1-1.2", "bus/usb/devices/1-1.2:1.0"
		for path, content := range map[string]string{
			dev + "/idVendor": vendor, dev + "/idProduct": product, dev + "/product": name, dev + "/manufacturer": name, dev + "/serial": name,
			dev + "/devnum": devnum, itf + "/bInterfaceNumber": number, itf + "/bInterfaceClass": class, itf + "/bInterfaceSubClass": subclass,
			itf + "/bInterfaceProtocol": protocol, itf + "/uevent": uevent, itf + "/interface": name,
		} {
			put(files, path, content)
		}
		if tty != "" && !strings.ContainsAny(tty, "/\\\x00") && tty != "." && tty != ".." {
			put(files, itf+"/"+tty+"/tty/"+tty+"/dev", "188:0")
			put(files, itf+"/tty/"+tty+"/dev", "188:0")
		}
		all, err := Scan(files, "/dev")
		if err != nil {
			t.Fatal(err)
		}
		again, _ := Scan(files, "/dev")
		if !same(all, again) {
			t.Fatalf("%+v\n%+v", all, again)
		}
		for _, d := range all {
			if len(d.ID()) != 9 || d.Policy == "" || d.Mode == "" {
				t.Fatalf("%+v", d)
			}
			reason, advice := d.Trouble()
			for _, s := range []string{d.Name, d.Manufacturer, d.Serial, d.String(), reason, advice} {
				if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Fatalf("%q", s)
				}
			}
			for _, tty := range d.Ttys {
				if !strings.HasPrefix(tty.Path, "/dev/tty") || tty.Role == "" || strings.Count(tty.Path, "/") != 2 {
					t.Fatalf("%+v", tty)
				}
			}
			_ = d.Candidates()
		}
	})
}

func FuzzUevent(f *testing.F) {
	f.Add([]byte(ttyAdded))
	f.Add([]byte("libudev\x00\xfe\xed\xca\xfe"))
	f.Add([]byte("@\x00=\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := parseUevent(b)
		if !ok && e != nil {
			t.Fatal("a refused message has content")
		}
		for key, value := range e {
			if key == "" || strings.ContainsRune(key+value, 0) {
				t.Fatalf("%q=%q", key, value)
			}
		}
		if concerns(b) && !ok {
			t.Fatal("what can't be read concerns us")
		}
	})
}

func FuzzHolders(f *testing.F) {
	f.Add("       700\n", "2: FLOCK  ADVISORY  WRITE 708 00:06:1025 0 EOF\n")
	f.Add("\xbc\x02\x00\x00", "2: -> FLOCK")
	f.Add("-1", "FLOCK FLOCK FLOCK FLOCK FLOCK 00:06:1025")
	f.Fuzz(func(t *testing.T, content, locks string) {
		if pid := lockPID(content); pid < 0 {
			t.Fatalf("%q: %d", content, pid)
		}
		for _, pid := range flocks(strings.NewReader(locks), "00:06:1025") {
			if pid <= 0 || !strings.Contains(locks, "FLOCK") {
				t.Fatalf("%q: %d", locks, pid)
			}
		}
	})
}

// FuzzAnswers: what a port says is read without a panic, and a number that is
// found is one.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{`+CGSN: "356938035643809"`, "^ICCID: 98942000002143658709", `+COPS: 0,0,"Telekom.de",7`, "+CSQ: 20,99", `"SM",1,30`, `"`, ",", "", sentences, frames} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n := imei(s); n != "" && (digits(n) != len(n) || len(n) < 14 || len(n) > 16) {
			t.Fatalf("%q: %q", s, n)
		}
		if n := iccid(s); n != "" && (digits(n) < 18 || !strings.HasPrefix(n, "89")) {
			t.Fatalf("%q: %q", s, n)
		}
		if len(fields(s)) == 0 {
			t.Fatal("no field")
		}
		_, _, _, _ = signal(s), usage(s), radio(s), fromUCS2(s)
		var r registration
		r.read(s)
		_ = r.String()
		whole, parts := &sniffer{}, &sniffer{}
		whole.hear([]byte(s))
		for i := range len(s) {
			parts.hear([]byte{s[i]})
		}
		// In pieces a verdict can only come earlier.
		if whole.found() != nil && parts.found() == nil {
			t.Fatalf("%q: %v as a whole, nothing in pieces", s, whole.found())
		}
	})
}

// Socket names are put in an order, whatever they are.
func FuzzCompareKeys(f *testing.F) {
	f.Add("1-1.2", "1-1.10", "1-1.02")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if compareKeys(a, b) != -compareKeys(b, a) || compareKeys(a, a) != 0 {
			t.Fatalf("%q %q", a, b)
		}
		if compareKeys(a, b) < 0 && compareKeys(b, c) < 0 && compareKeys(a, c) >= 0 {
			t.Fatalf("%q < %q < %q", a, b, c)
		}
	})
}

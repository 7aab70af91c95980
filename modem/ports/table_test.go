package ports

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Every row of what is known of the families' ports, as interface numbers.
func TestPortsOfEachFamily(t *testing.T) {
	for ids, want := range map[string]struct{ at, also, never []int }{
		"12d1:1001":                     {[]int{2}, []int{0}, []int{1}},
		"12d1:1003":                     {[]int{1}, []int{0}, nil},
		"12d1:140c":                     {[]int{3}, nil, []int{2}},
		"12d1:1436 12d1:14ac":           {[]int{4}, nil, []int{3}},
		"19d2:0031 19d2:0021 19d2:0063": {[]int{3}, []int{1}, nil},
		"19d2:0016 19d2:0017 19d2:0117": {[]int{2}, []int{1}, nil},
		"19d2:0064":                     {[]int{2}, []int{0}, nil},
		"19d2:0001":                     {[]int{0}, []int{2}, nil},
		"2c7c:0125 2c7c:0121 2c7c:0191 2c7c:0195 2c7c:0296 2c7c:0306 2c7c:0512 2c7c:0800 2c7c:0801": {[]int{2}, []int{3}, []int{0, 1, 4}},
		"2c7c:0128":           {[]int{5}, nil, []int{0, 1}},
		"1e0e:9001":           {[]int{2}, []int{3}, []int{0, 1, 4}},
		"1e0e:9011":           {[]int{4}, []int{5}, nil},
		"1e0e:9205":           {[]int{2}, []int{3}, []int{0, 1}},
		"1e0e:9206":           {[]int{2}, []int{5}, []int{0, 1, 3, 4}},
		"1e0e:9100 1e0e:9200": {[]int{3}, []int{1}, nil},
		"1199:9071 1199:9079 1199:9091 1199:68c0": {[]int{3}, nil, []int{0, 2}},
		"1546:1102":           {[]int{0}, []int{2, 4}, []int{6, 8, 10, 12}},
		"1546:1010":           {[]int{6}, nil, []int{2, 4, 8}},
		"1bc7:1003":           {[]int{0}, []int{2}, nil},
		"1bc7:1004":           {[]int{0}, []int{3}, []int{2}},
		"1bc7:1031 1bc7:1033": {[]int{1}, []int{2}, []int{0}},
		"1bc7:1040":           {[]int{4}, []int{5}, []int{0}},
	} {
		for _, id := range strings.Fields(ids) {
			u := usb{socket: "1-1", id: id}
			for n := range 16 {
				u.ifs = append(u.ifs, serial(n, vendorSpecific, "option", fmt.Sprintf("ttyUSB%d", n)))
			}
			tr := newTree()
			tr.plug(u)
			var at, also []int
			for _, c := range scan(t, tr)[0].Candidates() {
				switch c.Role {
				case AT:
					at = append(at, c.Number)
				case SecondAT:
					also = append(also, c.Number)
				default:
					t.Errorf("%s: %+v would be asked", id, c)
				}
				if slices.Contains(want.never, c.Number) {
					t.Errorf("%s: interface %d would be asked", id, c.Number)
				}
			}
			if !slices.Equal(at, want.at) || !slices.Equal(also, want.also) {
				t.Errorf("%s: %v %v, want %v %v", id, at, also, want.at, want.also)
			}
		}
	}
}

// Every id that a device has before and after it was switched.
func TestEveryIDIsKnown(t *testing.T) {
	for _, id := range strings.Fields(`12d1:1446 12d1:1003 12d1:14fe 12d1:157c 12d1:1505 12d1:15ca 12d1:1c0b 12d1:1520 12d1:14d1 12d1:1f01
		19d2:2000 19d2:0166 19d2:1514 19d2:1225 1199:0fff 2001:a706 2001:a80b 1bbb:f000 1c9e:f000 1a8d:1000`) {
		tr := newTree()
		tr.plug(disc(id))
		all := scan(t, tr)
		if len(all) != 1 || all[0].Mode != NotSwitched || all[0].Family == "" {
			t.Errorf("%s: %+v", id, all)
		}
	}
	for _, id := range strings.Fields(`12d1:1001 12d1:1406 12d1:140c 12d1:1436 12d1:14ac 12d1:1506 12d1:1003 12d1:150f 12d1:151d 12d1:140b
		12d1:1c05 12d1:1c10 12d1:1465 12d1:14c9 12d1:1442 12d1:1573 19d2:0001 19d2:0016 19d2:0017 19d2:0031 19d2:0063 19d2:0117 19d2:0167
		19d2:1515 19d2:1405 2c7c:0125 2c7c:0121 2c7c:0191 2c7c:0195 2c7c:0296 2c7c:0306 2c7c:6002 2c7c:6026 2c7c:0800 05c6:9003 05c6:9090
		1e0e:9001 1e0e:9011 1e0e:9205 1e0e:9206 1199:68a3 1199:68aa 1199:6880 1199:9071 1199:9079 1199:9091 1546:1102 1546:1104 1546:1141
		1546:1143 1546:1146 1546:1010 05c6:90b2 1bc7:1003 1bc7:1004 1bc7:1201 1bc7:1040 1bc7:1041 2001:7d01 2001:7d00 1bbb:0000 1bbb:0017
		1bbb:011e 1c9e:9000 1c9e:9603 1c9e:9605 1c9e:9607 1a8d:1002 1a8d:1007 1a8d:1009`) {
		u := e171
		u.id = id
		tr := newTree()
		tr.plug(u.bare())
		all := scan(t, tr)
		if len(all) != 1 || all[0].Mode != Serial || all[0].Policy != Free || layoutOf(id) == nil {
			t.Errorf("%s: %+v", id, all)
		}
	}
	for id := range hilink {
		u := hilinkStick
		u.id = id
		tr := newTree()
		tr.plug(u)
		if all := scan(t, tr); len(all) != 1 || all[0].Mode != NetworkOnly {
			t.Errorf("%s: %+v", id, all)
		}
	}
}

// An id stands in one row only, and a row does not say two things of a port.
func TestTableIsSound(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range layouts {
		for _, id := range strings.Fields(l.ids) {
			if seen[id] {
				t.Errorf("%s stands there twice", id)
			}
			seen[id] = true
			if v, p, _ := strings.Cut(id, ":"); hexID(v) != v || hexID(p) != p {
				t.Errorf("%q is no id", id)
			}
		}
		all := slices.Concat(l.at, l.also, l.diag, l.gps, l.audio, l.other)
		slices.Sort(all)
		if len(slices.Compact(slices.Clone(all))) != len(all) {
			t.Errorf("%s: a port has two roles", l.name)
		}
	}
	for _, u := range before {
		for _, id := range strings.Fields(u.ids) {
			if hilink[id] != "" || layoutOf(id) != nil && id != "12d1:1003" {
				t.Errorf("%s is before and after", id)
			}
		}
	}
}

func TestName(t *testing.T) {
	taken := func(names ...string) func(string) bool {
		return func(s string) bool { return slices.Contains(names, s) }
	}
	for _, c := range []struct {
		imei, key string
		taken     func(string) bool
		want      string
	}{
		{"356938035643809", "1-1.2", nil, "modem-643809"},
		{"356938035643809", "1-1.2", taken("office"), "modem-643809"},
		{"356938035643809", "1-1.2", taken("modem-643809"), "modem-356938035643809"},
		{"", "1-1.2:3", nil, "modem-1-1.2-3"},
		{"", "/dev/serial/by-path/platform-3f980000.usb", nil, "modem-h-platform-3f980000.usb"},
	} {
		got := Name(c.imei, c.key, c.taken)
		if len(got) > 32 || got != c.want && c.imei != "" {
			t.Errorf("%s %s: %q", c.imei, c.key, got)
		}
		if c.imei == "" && !strings.HasPrefix(got, "modem-") {
			t.Errorf("%q", got)
		}
	}
}

func TestUnderVoltage(t *testing.T) {
	for _, c := range []struct {
		files       map[string]string
		weak, known bool
	}{
		{nil, false, false},
		{map[string]string{"class/hwmon/hwmon0/name": "cpu_thermal\n", "class/hwmon/hwmon0/in0_lcrit_alarm": "1\n"}, false, false},
		{map[string]string{"class/hwmon/hwmon1/name": "rpi_volt\n", "class/hwmon/hwmon1/in0_lcrit_alarm": "0\n"}, false, true},
		{map[string]string{"class/hwmon/hwmon1/name": "rpi_volt\n", "class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"}, true, true},
		{map[string]string{"devices/platform/soc/soc:firmware/get_throttled": "50000\n"}, false, true}, // it was, and is no more
		{map[string]string{"devices/platform/soc/soc:firmware/get_throttled": "0x50005\n"}, true, true},
	} {
		tr := newTree()
		for name, content := range c.files {
			put(tr.files, name, content)
		}
		if weak, known := UnderVoltage(tr); weak != c.weak || known != c.known {
			t.Errorf("%v: %v %v", c.files, weak, known)
		}
	}
}

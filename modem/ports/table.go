package ports

import (
	"slices"
	"strings"
)

// layout says what the interfaces of a USB device are for. Sources: the udev
// rules of ModemManager, pdiscovery.c of asterisk-chan-dongle, gammu's tracker,
// option.c of Linux; hardware.md repeats it for people.
type layout struct {
	ids   string // vendor:product, with spaces in between
	name  string
	at    []int // interfaces that take commands and tell what comes, the best first
	also  []int // take commands too: PPP, a second command port
	diag  []int
	gps   []int
	audio []int
	other []int
	// loose: firmware and settings move the ports about, so the numbers are no
	// more than a hint where to look first.
	loose bool
}

var layouts = []layout{
	{ids: "12d1:1001", name: "Huawei E1xx/E17x", at: []int{2}, also: []int{0}, audio: []int{1}},
	{ids: "12d1:1003", name: "Huawei E220/E230/E270", at: []int{1}, also: []int{0}},
	{ids: "12d1:140c", name: "Huawei E17x", at: []int{3}, audio: []int{2}},
	{ids: "12d1:1506", name: "Huawei E3372 and others", at: []int{3}, loose: true},
	{ids: "12d1:1436", name: "Huawei E17x", at: []int{4}, audio: []int{3}},
	{ids: "12d1:14ac", name: "Huawei E153/E173", at: []int{4}, audio: []int{3}},
	{ids: "12d1:1573", name: "Huawei ME909u/MU609"},
	{ids: "12d1:1406 12d1:150f 12d1:151d 12d1:140b 12d1:1c05 12d1:1c06 12d1:1c07 12d1:1c08 12d1:1c09 12d1:1c0a " +
		"12d1:1c0c 12d1:1c0d 12d1:1c0e 12d1:1c0f 12d1:1c10 12d1:1465 12d1:14c9 12d1:1442", name: "Huawei stick"},

	{ids: "19d2:0031 19d2:0021 19d2:0063", name: "ZTE MF6xx", at: []int{3}, also: []int{1}},
	{ids: "19d2:0016 19d2:0017 19d2:0117", name: "ZTE MF1xx/MF6xx", at: []int{2}, also: []int{1}},
	{ids: "19d2:0064", name: "ZTE MF627", at: []int{2}, also: []int{0}},
	{ids: "19d2:0001", name: "ZTE MF622", at: []int{0}, also: []int{2}},
	{ids: "19d2:0167 19d2:1515 19d2:1405", name: "ZTE stick"},

	{ids: "2c7c:0121", name: "Quectel EC21", at: []int{2}, also: []int{3}, diag: []int{0}, gps: []int{1}},
	{ids: "2c7c:0125", name: "Quectel EC25/EG25", at: []int{2}, also: []int{3}, diag: []int{0}, gps: []int{1}},
	{ids: "2c7c:0191", name: "Quectel EG91", at: []int{2}, also: []int{3}, diag: []int{0}, gps: []int{1}},
	{ids: "2c7c:0195", name: "Quectel EG95", at: []int{2}, also: []int{3}, diag: []int{0}, gps: []int{1}},
	{ids: "2c7c:0296", name: "Quectel BG96", at: []int{2}, also: []int{3}, diag: []int{0}, gps: []int{1}},
	{ids: "2c7c:0306", name: "Quectel EP06/EG06", at: []int{2}, also: []int{3}, diag: []int{0}, gps: []int{1}},
	{ids: "2c7c:0512 2c7c:0801", name: "Quectel LTE/5G module", at: []int{2}, also: []int{3}, diag: []int{0}, gps: []int{1}},
	{ids: "2c7c:0800", name: "Quectel RM500Q", at: []int{2}, also: []int{3}, diag: []int{0}, gps: []int{1}},
	{ids: "2c7c:0128", name: "Quectel LTE module", at: []int{5}},
	{ids: "2c7c:6002", name: "Quectel EC200S"},
	{ids: "2c7c:6026", name: "Quectel EC200T"},
	{ids: "05c6:9003", name: "Quectel UC20"},
	{ids: "05c6:9090", name: "Quectel UC15"},

	{ids: "1e0e:9001", name: "SIMCom SIM7100/SIM7500/SIM7600", at: []int{2}, also: []int{3}, diag: []int{0}, gps: []int{1}, audio: []int{4}},
	{ids: "1e0e:9011", name: "SIMCom A76xx", at: []int{4}, also: []int{5}},
	{ids: "1e0e:9205", name: "SIMCom SIM70xx", at: []int{2}, also: []int{3}, diag: []int{0}, gps: []int{1}},
	{ids: "1e0e:9206", name: "SIMCom SIM70xx", at: []int{2}, also: []int{5}, diag: []int{0}, gps: []int{1}, other: []int{3, 4}},
	{ids: "1e0e:9100 1e0e:9200", name: "SIMCom module", at: []int{3}, also: []int{1}},

	{ids: "1199:9071 1199:9079 1199:9091 1199:68c0", name: "Sierra MC74xx/EM75xx", at: []int{3}, diag: []int{0}, gps: []int{2}},
	{ids: "1199:68a3 1199:68aa 1199:6880", name: "Sierra AirCard"},

	{ids: "1546:1102", name: "u-blox SARA/LISA-U2", at: []int{0}, also: []int{2, 4}, other: []int{6, 8, 10, 12}},
	{ids: "1546:1107 1546:110a", name: "u-blox TOBY-R2/LARA-R2", at: []int{0}, also: []int{2, 4}, other: []int{6, 8, 10}},
	{ids: "1546:1010", name: "u-blox TOBY-L4", at: []int{6}, other: []int{2, 4, 8}},
	{ids: "1546:1104 1546:1141 1546:1143 1546:1146", name: "u-blox SARA-U2/TOBY-L2"},
	{ids: "05c6:90b2", name: "u-blox SARA-R410M"},

	{ids: "1bc7:1003", name: "Telit UC864", at: []int{0}, also: []int{2}},
	{ids: "1bc7:1004", name: "Telit UC864-G", at: []int{0}, also: []int{3}, gps: []int{2}},
	{ids: "1bc7:1031 1bc7:1033", name: "Telit LE910C1", at: []int{1}, also: []int{2}, diag: []int{0}},
	{ids: "1bc7:1040", name: "Telit LE922", at: []int{4}, also: []int{5}, diag: []int{0}},
	{ids: "1bc7:1041", name: "Telit LE922"},
	{ids: "1bc7:1201", name: "Telit LE910"},

	{ids: "2001:7d01 2001:7d00", name: "D-Link DWM-156"},
	{ids: "1bbb:0000 1bbb:0017 1bbb:011e", name: "Alcatel X060S/X200/L100V"},
	{ids: "1c9e:9000 1c9e:9603 1c9e:9605 1c9e:9607", name: "Longcheer stick"},
	{ids: "1a8d:1002 1a8d:1007 1a8d:1009", name: "BandLuxe C1xx-C3xx"},
}

// unswitched is a modem that still shows its installation disc, and what it
// becomes.
type unswitched struct {
	ids, name string
	// hilink: switched, it is a network card without serial ports.
	hilink bool
}

var before = []unswitched{
	{ids: "12d1:1446", name: "Huawei E1xx/E17x/E3xx"},
	{ids: "12d1:1003", name: "Huawei E220/E230/E270"}, // and stays so: serial interfaces join the disc
	{ids: "12d1:14fe", name: "Huawei E352/E173s/E3372s"},
	{ids: "12d1:157c", name: "Huawei E3276"},
	{ids: "12d1:1505", name: "Huawei E372"},
	{ids: "12d1:15ca", name: "Huawei E3131"},
	{ids: "12d1:1c0b", name: "Huawei E173s"},
	{ids: "12d1:1520", name: "Huawei K3765"},
	{ids: "12d1:14d1", name: "Huawei K3770"},
	{ids: "12d1:1f01", name: "Huawei E3372h/E3531/E353", hilink: true},
	{ids: "19d2:2000", name: "ZTE MF1xx/MF6xx"},
	{ids: "19d2:0166", name: "ZTE MF820"},
	{ids: "19d2:1514", name: "ZTE MF192"},
	{ids: "19d2:1225", name: "ZTE MF668"},
	{ids: "1199:0fff", name: "Sierra AirCard"},
	{ids: "2001:a706 2001:a80b", name: "D-Link DWM-156"},
	{ids: "1bbb:f000", name: "Alcatel X060S/X200/L100V"},
	{ids: "1c9e:f000", name: "Longcheer stick"},
	{ids: "1a8d:1000", name: "BandLuxe C1xx-C3xx"},
}

// hilink are the ids of routers in the shape of a stick.
var hilink = map[string]string{
	"12d1:14db": "Huawei HiLink (E3372h, E3531, E353)",
	"12d1:14dc": "Huawei HiLink (E3372h, E3531, E353)",
}

// makers build modems and little else, so an id of theirs that is in no table
// may be asked what it is.
var makers = map[string]string{
	"12d1": "Huawei", "19d2": "ZTE", "2c7c": "Quectel", "1e0e": "SIMCom", "1199": "Sierra", "1bc7": "Telit",
	"1bbb": "Alcatel", "1c9e": "Longcheer", "1a8d": "BandLuxe", "0af0": "Option", "1410": "Novatel",
	"2cb7": "Fibocom", "1e2d": "Cinterion",
}

// modemDrivers take nothing but modems.
var modemDrivers = []string{"option", "option1", "qcserial", "sierra", "hso", "qcaux", "qmi_wwan", "cdc_mbim", "huawei_cdc_ncm"}

// ttyDrivers make ttys of a modem's interfaces.
var ttyDrivers = []string{"option", "option1", "qcserial", "sierra", "cdc_acm", "qcaux", "hso"}

// bridges put a plain serial line on USB: their id says nothing of what is at
// its other end.
var bridges = map[string]string{
	"1a86": "CH34x serial bridge", "10c4": "CP210x serial bridge", "0403": "FTDI serial bridge", "067b": "PL2303 serial bridge",
}

var bridgeDrivers = []string{"ch341", "ch341-uart", "cp210x", "ftdi_sio", "pl2303", "mct_u232", "ark3116", "mos7840", "f81232", "xr_serial"}

// strangers are makers of boards with a serial port that never is a modem.
var strangers = map[string]string{
	"2341": "Arduino", "2a03": "Arduino", "2e8a": "Raspberry Pi Pico", "303a": "Espressif", "239a": "Adafruit",
	"16c0": "Teensy", "1cf1": "dresden elektronik", "0658": "Z-Wave stick",
}

// strange are words in the name of a device that is no modem.
var strange = []string{"arduino", "zigbee", "z-wave", "zwave", "conbee", "skyconnect", "gps", "gnss", "meter", "esp32", "marlin", "printer"}

// layoutOf finds a device's layout by its id.
func layoutOf(id string) *layout {
	i := slices.IndexFunc(layouts, func(l layout) bool { return slices.Contains(strings.Fields(l.ids), id) })
	if i < 0 {
		return nil
	}
	return &layouts[i]
}

func unswitchedOf(id string) *unswitched {
	i := slices.IndexFunc(before, func(u unswitched) bool { return slices.Contains(strings.Fields(u.ids), id) })
	if i < 0 {
		return nil
	}
	return &before[i]
}

// role is what the layout says of an interface.
func (l *layout) role(number int) Role {
	for role, numbers := range map[Role][]int{AT: l.at, SecondAT: l.also, Diag: l.diag, GPS: l.gps, Audio: l.audio, Foreign: l.other} {
		if slices.Contains(numbers, number) {
			return role
		}
	}
	if l.loose || len(l.at) == 0 {
		return Unknown
	}
	return Foreign
}

// huaweiRole reads the protocol byte, in which newer Huaweis say what each port
// is for; the older ones say ff everywhere, which is Unknown.
func huaweiRole(i Interface) Role {
	if i.Class != 0xff || i.Subclass != 1 && i.Subclass != 2 {
		return Unknown
	}
	switch i.Protocol {
	case 0x02, 0x12:
		return AT
	case 0x01, 0x10:
		return SecondAT
	case 0x05, 0x14:
		return GPS
	}
	return Foreign
}

// labelRole reads the name that the device gives an interface.
func labelRole(label string) Role {
	label = strings.ToLower(label)
	for _, w := range []struct {
		word string
		role Role
	}{{"nmea", GPS}, {"gps", GPS}, {"gnss", GPS}, {"diag", Diag}, {"audio", Audio}, {"voice", Audio}, {"pc ui", AT}} {
		if strings.Contains(label, w.word) {
			return w.role
		}
	}
	return Unknown
}

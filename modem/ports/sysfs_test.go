package ports

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"
	"sync"
	"testing/fstest"
)

// tree is a machine's sysfs, laid out as the kernel does it: folders under
// devices/, and links to them from bus/usb/devices and class/tty. It may change
// while it is read.
type tree struct {
	mu    sync.Mutex
	files fstest.MapFS
	next  int // device number
}

func newTree() *tree {
	return &tree{files: fstest.MapFS{
		ttyClass + "/tty":     {Mode: fs.ModeDir},
		ttyClass + "/ttyS0":   {Mode: fs.ModeDir},
		"class/hwmon":         {Mode: fs.ModeDir},
		"bus/usb/devices":     {Mode: fs.ModeDir},
		ttyClass + "/console": {Mode: fs.ModeDir},
	}, next: 3}
}

func (t *tree) Open(name string) (fs.File, error) {
	t.mu.Lock()
	files := t.files
	t.mu.Unlock()
	return files.Open(name)
}

// change swaps in a changed copy: a reader keeps the one that it has.
func (t *tree) change(f func(fstest.MapFS)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	files := maps.Clone(t.files)
	f(files)
	t.files = files
}

// usb is a device as its descriptors have it.
type usb struct {
	socket              string // 1-1.2
	id                  string // 12d1:1506
	maker, name, serial string
	ifs                 []usbIf
}

// usbIf is one interface: "ff/02/12", the driver, and its ttys.
type usbIf struct {
	n      int
	codes  string
	driver string
	label  string
	ttys   []string
}

func (u usb) dir() string {
	bus, rest, _ := strings.Cut(u.socket, "-")
	dir := "devices/platform/soc/3f980000.usb/usb" + bus
	for i := range rest {
		if rest[i] == '.' {
			dir += "/" + bus + "-" + rest[:i]
		}
	}
	return dir + "/" + u.socket
}

func put(files fstest.MapFS, name, content string) {
	files[name] = &fstest.MapFile{Data: []byte(content)}
}

func link(files fstest.MapFS, name, to string) {
	up := strings.Repeat("../", strings.Count(name, "/"))
	files[name] = &fstest.MapFile{Data: []byte(up + to), Mode: fs.ModeSymlink}
}

// plug plugs a device in, without its ttys.
func (t *tree) plug(devices ...usb) {
	for _, u := range devices {
		t.change(func(files fstest.MapFS) {
			dir := u.dir()
			link(files, "bus/usb/devices/"+u.socket, dir)
			t.next++
			put(files, dir+"/devnum", fmt.Sprintf("%d\n", t.next))
			put(files, dir+"/idVendor", u.id[:4]+"\n")
			put(files, dir+"/idProduct", u.id[5:]+"\n")
			for name, s := range map[string]string{"manufacturer": u.maker, "product": u.name, "serial": u.serial} {
				if s != "" {
					put(files, dir+"/"+name, s+"\n")
				}
			}
			for _, i := range u.ifs {
				putIf(files, u, i)
			}
		})
	}
}

func ifDir(u usb, i usbIf) string { return fmt.Sprintf("%s/%s:1.%d", u.dir(), u.socket, i.n) }

func putIf(files fstest.MapFS, u usb, i usbIf) {
	dir := ifDir(u, i)
	link(files, "bus/usb/devices/"+path.Base(dir), dir)
	put(files, dir+"/bInterfaceNumber", fmt.Sprintf("%02x\n", i.n))
	codes := strings.Split(i.codes, "/")
	put(files, dir+"/bInterfaceClass", codes[0]+"\n")
	put(files, dir+"/bInterfaceSubClass", codes[1]+"\n")
	put(files, dir+"/bInterfaceProtocol", codes[2]+"\n")
	if i.label != "" {
		put(files, dir+"/interface", i.label+"\n")
	}
	uevent := "DEVTYPE=usb_interface\n"
	if i.driver != "" {
		uevent += "DRIVER=" + i.driver + "\n"
	}
	put(files, dir+"/uevent", uevent+"PRODUCT="+strings.ReplaceAll(u.id, ":", "/")+"/102\nTYPE=0/0/0\nINTERFACE=255/2/18\n")
	for _, tty := range i.ttys {
		putTty(files, dir, i.driver, tty)
	}
}

func putTty(files fstest.MapFS, dir, driver, tty string) {
	node := dir + "/" + tty + "/tty/" + tty
	if driver == "cdc_acm" {
		node = dir + "/tty/" + tty
	} else {
		put(files, dir+"/"+tty+"/port_number", "0\n")
	}
	put(files, node+"/dev", "188:0\n")
	link(files, ttyClass+"/"+tty, node)
}

// tty lets one more tty appear.
func (t *tree) tty(u usb, n int, name string) {
	t.change(func(files fstest.MapFS) {
		for _, i := range u.ifs {
			if i.n == n {
				putTty(files, ifDir(u, i), i.driver, name)
			}
		}
	})
}

// unplug takes a device out.
func (t *tree) unplug(sockets ...string) {
	t.change(func(files fstest.MapFS) {
		for _, socket := range sockets {
			dir := usb{socket: socket}.dir()
			for name, f := range files {
				to := path.Join(path.Dir(name), string(f.Data))
				if name == dir || strings.HasPrefix(name, dir+"/") || f.Mode&fs.ModeSymlink != 0 && (to == dir || strings.HasPrefix(to, dir+"/")) {
					delete(files, name)
				}
			}
		}
	})
}

// The devices, from their makers' descriptors as the facts have them.

// with gives a device another socket and other tty numbers.
func (u usb) with(socket string, first int) usb {
	u.socket = socket
	u.ifs = append([]usbIf(nil), u.ifs...)
	for k, i := range u.ifs {
		var ttys []string
		for range i.ttys {
			prefix := "ttyUSB"
			if i.driver == "cdc_acm" {
				prefix = "ttyACM"
			}
			ttys = append(ttys, fmt.Sprintf("%s%d", prefix, first))
			first++
		}
		u.ifs[k].ttys = ttys
	}
	return u
}

// bare is the device before any of its ttys has appeared.
func (u usb) bare() usb {
	u.ifs = append([]usbIf(nil), u.ifs...)
	for k := range u.ifs {
		u.ifs[k].ttys = nil
	}
	return u
}

func serial(n int, codes, driver, tty string) usbIf {
	return usbIf{n: n, codes: codes, driver: driver, ttys: []string{tty}}
}

const vendorSpecific = "ff/ff/ff"

var (
	storage = usbIf{n: 0, codes: "08/06/50", driver: "usb-storage"}

	e1750 = usb{socket: "1-1.2", id: "12d1:1001", maker: "HUAWEI Technology", name: "HUAWEI Mobile", ifs: []usbIf{
		serial(0, vendorSpecific, "option", "ttyUSB0"), serial(1, vendorSpecific, "option", "ttyUSB1"),
		serial(2, vendorSpecific, "option", "ttyUSB2"), {n: 3, codes: "08/06/50", driver: "usb-storage"}}}
	e3372 = usb{socket: "1-1.2", id: "12d1:1506", maker: "HUAWEI_MOBILE", name: "HUAWEI_MOBILE", serial: "0123456789ABCDEF", ifs: []usbIf{
		serial(0, "ff/02/12", "option", "ttyUSB0"), serial(1, "ff/02/01", "option", "ttyUSB1"),
		{n: 2, codes: "ff/02/16", driver: "huawei_cdc_ncm"}, {n: 3, codes: "08/06/50", driver: "usb-storage"}}}
	e171 = usb{socket: "1-1.2", id: "12d1:1506", name: "HUAWEI Mobile", ifs: []usbIf{ // old firmware says ff everywhere
		serial(0, vendorSpecific, "option", "ttyUSB0"), serial(1, vendorSpecific, "option", "ttyUSB1"),
		serial(2, vendorSpecific, "option", "ttyUSB2"), serial(3, vendorSpecific, "option", "ttyUSB3")}}
	e398 = usb{socket: "1-1.2", id: "12d1:1506", name: "HUAWEI Mobile", ifs: []usbIf{ // one port says what it is
		serial(0, vendorSpecific, "option", "ttyUSB0"), serial(1, "ff/01/05", "option", "ttyUSB1"), serial(2, vendorSpecific, "option", "ttyUSB2")}}
	me909u = usb{socket: "1-1.2", id: "12d1:1573", name: "HUAWEI Mobile", ifs: []usbIf{
		serial(0, "ff/01/10", "option", "ttyUSB0"), {n: 2, codes: "02/06/00", driver: "cdc_ether"},
		serial(3, "ff/01/13", "option", "ttyUSB1"), serial(4, "ff/01/12", "option", "ttyUSB2"), serial(5, "ff/01/14", "option", "ttyUSB3")}}
	hilinkStick = usb{socket: "1-1.2", id: "12d1:14dc", maker: "HUAWEI", name: "HUAWEI Mobile", ifs: []usbIf{
		{n: 0, codes: "02/06/00", driver: "cdc_ether"}, {n: 1, codes: "0a/06/00", driver: "cdc_ether"}, {n: 2, codes: "08/06/50", driver: "usb-storage"}}}
	e220 = usb{socket: "1-1.2", id: "12d1:1003", ifs: []usbIf{
		serial(0, vendorSpecific, "option", "ttyUSB0"), serial(1, vendorSpecific, "option", "ttyUSB1"), {n: 2, codes: "08/06/50", driver: "usb-storage"}}}
	mf190 = usb{socket: "1-1.2", id: "19d2:0117", maker: "ZTE", name: "ZTE WCDMA Technologies MSM", ifs: []usbIf{
		serial(0, vendorSpecific, "option", "ttyUSB0"), serial(1, vendorSpecific, "option", "ttyUSB1"), serial(2, vendorSpecific, "option", "ttyUSB2")}}
	mf626 = usb{socket: "1-1.2", id: "19d2:0031", maker: "ZTE", ifs: []usbIf{
		serial(0, vendorSpecific, "option", "ttyUSB0"), serial(1, vendorSpecific, "option", "ttyUSB1"),
		{n: 2, codes: "08/06/50", driver: "usb-storage"}, serial(3, vendorSpecific, "option", "ttyUSB2")}}
	ec25 = usb{socket: "1-1.2", id: "2c7c:0125", maker: "Quectel", name: "EC25-E", ifs: []usbIf{
		serial(0, vendorSpecific, "option", "ttyUSB0"), serial(1, "ff/00/00", "option", "ttyUSB1"), serial(2, "ff/00/00", "option", "ttyUSB2"),
		serial(3, "ff/00/00", "option", "ttyUSB3"), {n: 4, codes: vendorSpecific, driver: "qmi_wwan"}}}
	sim7600 = usb{socket: "1-1.2", id: "1e0e:9001", maker: "SimTech, Incorporated", name: "SimTech, Incorporated", serial: "0123456789ABCDEF", ifs: []usbIf{
		serial(0, vendorSpecific, "option", "ttyUSB0"), serial(1, "ff/00/00", "option", "ttyUSB1"), serial(2, "ff/00/00", "option", "ttyUSB2"),
		serial(3, "ff/00/00", "option", "ttyUSB3"), serial(4, "ff/00/00", "option", "ttyUSB4"), {n: 5, codes: vendorSpecific, driver: "qmi_wwan"}}}
	a7670 = usb{socket: "1-1.2", id: "1e0e:9011", maker: "SIMCOM", name: "A7670E", ifs: []usbIf{
		{n: 0, codes: "e0/01/03", driver: "rndis_host"}, {n: 1, codes: "0a/00/00", driver: "rndis_host"}, serial(2, vendorSpecific, "option", "ttyUSB0"),
		serial(4, vendorSpecific, "option", "ttyUSB1"), serial(5, vendorSpecific, "option", "ttyUSB2")}}
	mc7455 = usb{socket: "1-1.2", id: "1199:9071", maker: "Sierra Wireless, Incorporated", name: "Sierra Wireless MC7455", serial: "LF60000000", ifs: []usbIf{
		serial(0, vendorSpecific, "qcserial", "ttyUSB0"), serial(2, vendorSpecific, "qcserial", "ttyUSB1"), serial(3, vendorSpecific, "qcserial", "ttyUSB2"),
		{n: 8, codes: vendorSpecific, driver: "qmi_wwan"}, {n: 10, codes: vendorSpecific, driver: "qmi_wwan"}}}
	mc7455MBIM = usb{socket: "1-1.2", id: "1199:9071", name: "Sierra Wireless MC7455", ifs: []usbIf{
		{n: 12, codes: "02/0e/00", driver: "cdc_mbim"}, {n: 13, codes: "0a/00/02", driver: "cdc_mbim"}}}
	sim800 = usb{socket: "1-1.3", id: "1a86:7523", name: "USB Serial", ifs: []usbIf{serial(0, "ff/01/02", "ch341", "ttyUSB0")}}
	sara   = usb{socket: "1-1.2", id: "1546:1102", maker: "u-blox", name: "u-blox Wireless Module", ifs: []usbIf{
		serial(0, "02/02/01", "cdc_acm", "ttyACM0"), serial(2, "02/02/01", "cdc_acm", "ttyACM1"), serial(4, "02/02/01", "cdc_acm", "ttyACM2"),
		serial(6, "02/02/01", "cdc_acm", "ttyACM3"), serial(8, "02/02/01", "cdc_acm", "ttyACM4"), serial(10, "02/02/01", "cdc_acm", "ttyACM5"),
		serial(12, "02/02/01", "cdc_acm", "ttyACM6")}}
	le910 = usb{socket: "1-1.2", id: "1bc7:1201", maker: "Telit", name: "LE910", ifs: []usbIf{
		serial(0, vendorSpecific, "option", "ttyUSB0"), {n: 2, codes: vendorSpecific, driver: "qmi_wwan"},
		serial(3, "ff/00/00", "option", "ttyUSB1"), serial(4, "ff/00/00", "option", "ttyUSB2"), serial(5, "ff/00/00", "option", "ttyUSB3"),
		{n: 6, codes: "ff/00/00", driver: "option", label: "Telit NMEA", ttys: []string{"ttyUSB4"}}}}
	uc20 = usb{socket: "1-1.2", id: "05c6:9003", maker: "Quectel", name: "UC20", ifs: []usbIf{
		serial(0, vendorSpecific, "option", "ttyUSB0"), serial(2, vendorSpecific, "option", "ttyUSB1")}}
	quad = usb{socket: "1-1.4", id: "0403:6011", maker: "FTDI", name: "Quad RS232-HS", ifs: []usbIf{
		serial(0, vendorSpecific, "ftdi_sio", "ttyUSB0"), serial(1, vendorSpecific, "ftdi_sio", "ttyUSB1"),
		serial(2, vendorSpecific, "ftdi_sio", "ttyUSB2"), serial(3, vendorSpecific, "ftdi_sio", "ttyUSB3")}}
	zigbee = usb{socket: "1-1.4", id: "10c4:ea60", maker: "Silicon Labs", name: "Sonoff Zigbee 3.0 USB Dongle Plus", ifs: []usbIf{
		serial(0, vendorSpecific, "cp210x", "ttyUSB0")}}
	arduino = usb{socket: "1-1.4", id: "2341:0043", maker: "Arduino (www.arduino.cc)", ifs: []usbIf{
		serial(0, "02/02/01", "cdc_acm", "ttyACM0"), {n: 1, codes: "0a/00/00", driver: "cdc_acm"}}}
	receiver = usb{socket: "1-1.4", id: "1546:01a7", maker: "u-blox AG", name: "u-blox 7 - GPS/GNSS Receiver", ifs: []usbIf{
		serial(0, "02/02/01", "cdc_acm", "ttyACM0")}}
	xmm = usb{socket: "1-1.2", id: "8087:07f5", name: "XMM7160", ifs: []usbIf{ // a maker that is in no table
		{n: 0, codes: "02/0d/00", driver: "cdc_ncm"}, serial(2, "02/02/01", "cdc_acm", "ttyACM0"), serial(4, "02/02/01", "cdc_acm", "ttyACM1")}}
	keyboard = usb{socket: "1-1.1", id: "046d:c31c", name: "USB Keyboard", ifs: []usbIf{{n: 0, codes: "03/01/01", driver: "usbhid"}}}
	hub      = usb{socket: "1-1", id: "0424:9514", ifs: []usbIf{{n: 0, codes: "09/00/01", driver: "hub"}}}
)

// disc is a modem that still shows its installation disc.
func disc(id string) usb {
	return usb{socket: "1-1.2", id: id, name: "Mass Storage", ifs: []usbIf{storage}}
}

package gateway

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"syscall"
	"testing/fstest"

	"gatewayd/modem"
	"gatewayd/modem/ports"
	"gatewayd/sim"
)

// hub is a USB hub in virtual time: sticks are plugged into its sockets, each
// time under another ttyUSB number, and sysfs shows them.
type hub struct {
	mu     sync.Mutex
	sys    fstest.MapFS
	number int // of the last device, and of its tty
	sticks map[string]*stick
	wake   chan struct{}
	opened []string
	cycled []string // sockets
}

// stick is a device in a socket; without a modem it is something else.
type stick struct {
	ttys  map[string]int // their interface's number
	modem *sim.Modem
	busy  bool // another program has its port
}

func newHub() *hub {
	return &hub{sticks: map[string]*stick{}, wake: make(chan struct{}, 1), sys: fstest.MapFS{
		"class/tty/ttyS0": {Mode: fs.ModeDir}, "bus/usb/devices": {Mode: fs.ModeDir},
	}}
}

func (h *hub) discovery(use bool) *Discovery {
	return &Discovery{
		Machine: ports.Machine{Sys: h, Dev: "/none/dev"}, Use: use, Open: h.open,
		Wake:       func(context.Context) (<-chan struct{}, error) { return h.wake, nil },
		PowerCycle: h.powerCycle,
	}
}

// openings is how often a port was opened, and which sockets were switched.
func (h *hub) openings() (opened int, cycled []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.opened), append([]string(nil), h.cycled...)
}

// powerCycle switches a socket's power off and on, which ends every hang.
func (h *hub) powerCycle(_ context.Context, d ports.Device) error {
	h.mu.Lock()
	s := h.sticks[d.Socket()]
	h.cycled = append(h.cycled, d.Socket())
	h.mu.Unlock()
	h.unplug(d.Socket())
	s.modem.Fault(func(f *sim.Faults) { f.Mute = false })
	if s.modem.Profile().USB.ID() == d.ID() {
		h.plugFamily(d.Socket(), s.modem)
	} else {
		h.plug(d.Socket(), d.ID(), s.modem)
	}
	return nil
}

func (h *hub) Open(name string) (fs.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sys.Open(name)
}

func (h *hub) open(path string) (io.ReadWriteCloser, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opened = append(h.opened, path)
	for _, s := range h.sticks {
		if number, ok := s.ttys[strings.TrimPrefix(path, "/none/dev/")]; ok && s.modem != nil {
			if s.busy {
				return nil, &ports.BusyError{Path: path, Holders: []ports.Holder{{PID: 77, Program: "ModemManager", How: "open"}}}
			}
			rwc, err := s.modem.OpenPipeOf(number)
			if err != nil && strings.Contains(err.Error(), syscall.EBUSY.Error()) {
				err = modem.ErrBusy
			}
			return rwc, err
		}
	}
	return nil, fs.ErrNotExist
}

// plug puts a device into a socket, with ids such as 12d1:1506 and one serial
// port, which takes AT commands if m is a modem. It returns the port's path.
func (h *hub) plug(socket, id string, m *sim.Modem) string {
	if m != nil {
		if err := m.Plug(); err != nil {
			panic(err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.number++
	tty := fmt.Sprintf("ttyUSB%d", h.number)
	s := &stick{ttys: map[string]int{}, modem: m}
	if m != nil {
		s.ttys[tty] = m.Profile().AT()
	}
	h.sticks[socket] = s
	h.change(func(files fstest.MapFS) {
		put := func(name, content string) { files[name] = &fstest.MapFile{Data: []byte(content + "\n")} }
		dir, inter := "bus/usb/devices/"+socket, "bus/usb/devices/"+socket+":1.0"
		put(dir+"/idVendor", id[:4])
		put(dir+"/idProduct", id[5:])
		put(dir+"/devnum", fmt.Sprint(h.number))
		put(dir+"/product", "Stick")
		put(inter+"/bInterfaceNumber", "00")
		if m == nil {
			put(inter+"/bInterfaceClass", "02")
			return
		}
		put(inter+"/bInterfaceClass", "ff")
		put(inter+"/bInterfaceSubClass", "02")
		put(inter+"/bInterfaceProtocol", "12")
		put(inter+"/uevent", "DRIVER=option")
		put(inter+"/"+tty+"/tty/"+tty+"/dev", "188:0")
		put("class/tty/"+tty+"/dev", "188:0")
	})
	return "/none/dev/" + tty
}

// plugFamily plugs a modem in with all the ports that its family shows. It
// returns the path of the one that takes commands.
func (h *hub) plugFamily(socket string, m *sim.Modem) (path string) {
	if err := m.Plug(); err != nil {
		panic(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.number++
	s := &stick{ttys: map[string]int{}, modem: m}
	h.sticks[socket] = s
	u := m.Profile().USB
	h.change(func(files fstest.MapFS) {
		put := func(name, content string) { files[name] = &fstest.MapFile{Data: []byte(content + "\n")} }
		dir := "bus/usb/devices/" + socket
		put(dir+"/idVendor", u.Vendor)
		put(dir+"/idProduct", u.Product)
		put(dir+"/devnum", fmt.Sprint(h.number))
		put(dir+"/product", u.Name)
		for _, i := range u.Interfaces {
			inter := fmt.Sprintf("%s:1.%d", dir, i.Number)
			put(inter+"/bInterfaceNumber", fmt.Sprintf("%02x", i.Number))
			put(inter+"/bInterfaceClass", i.Class)
			put(inter+"/bInterfaceSubClass", i.Subclass)
			put(inter+"/bInterfaceProtocol", i.Protocol)
			put(inter+"/uevent", "DRIVER="+i.Driver)
			if i.Role == sim.RoleNone {
				continue
			}
			tty := fmt.Sprintf("ttyUSB%d", 10*h.number+i.Number)
			if i.Driver == "ch341" { // a board's UART: it is found by its path
				tty = "ttyUSB9"
			}
			s.ttys[tty] = i.Number
			if i.Role == sim.RoleAT {
				path = "/none/dev/" + tty
			}
			put(inter+"/"+tty+"/tty/"+tty+"/dev", "188:0")
			put("class/tty/"+tty+"/dev", "188:0")
		}
	})
	return path
}

// unplug empties a socket.
func (h *hub) unplug(socket string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sticks[socket]
	delete(h.sticks, socket)
	if s.modem != nil {
		s.modem.Unplug()
	}
	h.change(func(files fstest.MapFS) {
		for name := range files {
			tty, isTTY := strings.CutPrefix(name, "class/tty/")
			tty, _, _ = strings.Cut(tty, "/")
			_, own := s.ttys[tty]
			if strings.HasPrefix(name, "bus/usb/devices/"+socket+"/") || strings.HasPrefix(name, "bus/usb/devices/"+socket+":") || isTTY && own {
				delete(files, name)
			}
		}
	})
}

// busy has another program take, or give back, a socket's port.
func (h *hub) busy(socket string, on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sticks[socket].busy = on
}

// change swaps in a changed copy: a reader keeps the one that it has.
func (h *hub) change(f func(fstest.MapFS)) {
	files := maps.Clone(h.sys)
	f(files)
	h.sys = files
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

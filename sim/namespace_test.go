//go:build e2e && modemmanager

package sim

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// world is the directory that a test in its own namespace builds its /dev and
// /sys in; the environment tells the test that it is there.
const world = "SIM_WORLD"

// inNamespace runs this test again in a mount namespace of its own, where it
// may put what it likes into /dev and /sys: the machine sees nothing of it. It
// returns the directory to build them in, or "" when the test has run.
func inNamespace(t *testing.T) (dir string) {
	t.Helper()
	if dir := os.Getenv(world); dir != "" {
		must(t, "making mounts private", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		must(t, "mounting a tmpfs", unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
		return dir
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), world+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	switch {
	case err != nil && cmd.ProcessState == nil:
		t.Fatalf("this test shows a program simulated USB devices in a mount namespace, and the kernel or the container "+
			"does not allow one (%v): run it as root with CAP_SYS_ADMIN, or leave out the build tag modemmanager", err)
	case err != nil:
		t.Fatalf("in a mount namespace: %v\n%s", err, out.Bytes())
	case !strings.Contains(out.String(), "--- PASS: "+t.Name()):
		t.Fatalf("in a mount namespace the test did not run:\n%s", out.Bytes())
	}
	t.Logf("in a mount namespace:\n%s", out.Bytes())
	return ""
}

// usbTree is a /dev and a /sys that show USB devices whose serial ports
// are pseudo-terminals, which were opened before: it has no ptmx.
type usbTree struct {
	t        *testing.T
	dev, sys string
	devices  int
	ttys     int
}

func newUSBTree(t *testing.T, dir string) *usbTree {
	t.Helper()
	u := &usbTree{t: t, dev: filepath.Join(dir, "dev"), sys: filepath.Join(dir, "sys")}
	must(t, "a /dev", os.MkdirAll(filepath.Join(u.dev, "pts"), 0o755))
	// Pseudo-terminals keep their names: the simulator looks for who has them open.
	must(t, "/dev/pts", unix.Mount("/dev/pts", filepath.Join(u.dev, "pts"), "", unix.MS_BIND|unix.MS_REC, ""))
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		at := filepath.Join(u.dev, name)
		must(t, "/dev/"+name, os.WriteFile(at, nil, 0o600))
		must(t, "/dev/"+name, unix.Mount("/dev/"+name, at, "", unix.MS_BIND, ""))
	}
	for _, path := range []string{"class/tty", "bus/usb/drivers", "devices/pci0000:00/0000:00:14.0/usb1"} {
		must(t, "a /sys", os.MkdirAll(filepath.Join(u.sys, path), 0o755))
	}
	must(t, "mounting /sys", unix.Mount(u.sys, "/sys", "", unix.MS_BIND|unix.MS_REC, ""))
	must(t, "mounting /dev", unix.Mount(u.dev, "/dev", "", unix.MS_BIND|unix.MS_REC, ""))
	return u
}

// plug shows a USB device whose serial ports are pseudo-terminals, by the
// number of their interface, and returns their names.
func (u *usbTree) plug(usb USB, ports map[int]string) (names []string) {
	u.t.Helper()
	u.devices++
	address := fmt.Sprintf("1-%d", u.devices)
	device := "/sys/devices/pci0000:00/0000:00:14.0/usb1/" + address
	u.files(device, map[string]string{"idVendor": usb.Vendor, "idProduct": usb.Product, "manufacturer": usb.Maker, "product": usb.Name})
	u.link(device+"/subsystem", "/sys/bus/usb")
	for _, i := range usb.Interfaces {
		at := fmt.Sprintf("%s/%s:1.%d", device, address, i.Number)
		u.files(at, map[string]string{"bInterfaceNumber": fmt.Sprintf("%02x", i.Number),
			"bInterfaceClass": i.Class, "bInterfaceSubClass": i.Subclass, "bInterfaceProtocol": i.Protocol})
		u.link(at+"/subsystem", "/sys/bus/usb")
		driver := "/sys/bus/usb/drivers/" + i.Driver
		must(u.t, "a driver", os.MkdirAll(driver, 0o755))
		u.link(at+"/driver", driver)
		port, serial := ports[i.Number]
		if !serial {
			continue
		}
		name := fmt.Sprintf("ttyUSB%d", u.ttys)
		u.ttys++
		tty := at + "/" + name + "/tty/" + name
		must(u.t, "a tty", os.MkdirAll(tty, 0o755))
		u.link(tty+"/subsystem", "/sys/class/tty")
		u.link(tty+"/device", at+"/"+name)
		u.link("/sys/class/tty/"+name, tty)
		u.link("/dev/"+name, port)
		names = append(names, name)
	}
	return names
}

func (u *usbTree) files(dir string, texts map[string]string) {
	u.t.Helper()
	must(u.t, "a device", os.MkdirAll(dir, 0o755))
	for name, text := range texts {
		must(u.t, name, os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644))
	}
}

func (u *usbTree) link(path, to string) {
	u.t.Helper()
	must(u.t, path, os.Symlink(to, path))
}

//go:build e2e

package sim

import (
	"bytes"
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
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), world+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	switch {
	case err != nil && cmd.ProcessState == nil:
		t.Fatalf("this test shows a program simulated USB devices in a mount namespace, and the kernel or the container "+
			"does not allow one (%v): run it as root with CAP_SYS_ADMIN, or allow user namespaces", err)
	case err != nil:
		t.Fatalf("in a mount namespace: %v\n%s", err, out.Bytes())
	case !strings.Contains(out.String(), "--- PASS: "+t.Name()):
		t.Fatalf("in a mount namespace the test did not run:\n%s", out.Bytes())
	}
	t.Logf("in a mount namespace:\n%s", out.Bytes())
	return ""
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// usbTree is a /dev and a /sys that show USB sticks whose AT ports are
// pseudo-terminals, which were opened before: it has no ptmx.
type usbTree struct {
	t        *testing.T
	dev, sys string
	taken    int
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
	for _, path := range []string{"class/tty", "bus/usb/drivers/option", "devices/pci0000:00/0000:00:14.0/usb1"} {
		must(t, "a /sys", os.MkdirAll(filepath.Join(u.sys, path), 0o755))
	}
	must(t, "mounting /sys", unix.Mount(u.sys, "/sys", "", unix.MS_BIND|unix.MS_REC, ""))
	must(t, "mounting /dev", unix.Mount(u.dev, "/dev", "", unix.MS_BIND|unix.MS_REC, ""))
	return u
}

// plug shows a stick whose AT port is a pseudo-terminal, and returns the
// port's name.
func (u *usbTree) plug(s stick, port string) string {
	u.t.Helper()
	name := "ttyUSB" + string(rune('0'+u.taken))
	address := "1-" + string(rune('1'+u.taken))
	u.taken++
	device := "/sys/devices/pci0000:00/0000:00:14.0/usb1/" + address
	usbif := device + "/" + address + ":1." + strings.TrimLeft(s.usbif[:1], "0") + s.usbif[1:]
	tty := usbif + "/" + name + "/tty/" + name
	must(u.t, "a tty", os.MkdirAll(tty, 0o755))
	vendor, product, _ := strings.Cut(s.usb, ":")
	for path, text := range map[string]string{
		device + "/idVendor":          vendor,
		device + "/idProduct":         product,
		device + "/manufacturer":      s.profile.Manufacturer,
		device + "/product":           s.profile.Model,
		usbif + "/bInterfaceNumber":   s.usbif,
		usbif + "/bInterfaceClass":    s.usbclass[0:2],
		usbif + "/bInterfaceSubClass": s.usbclass[2:4],
		usbif + "/bInterfaceProtocol": s.usbclass[4:6],
	} {
		must(u.t, path, os.WriteFile(path, []byte(text+"\n"), 0o644))
	}
	for path, to := range map[string]string{
		device + "/subsystem":       "/sys/bus/usb",
		usbif + "/subsystem":        "/sys/bus/usb",
		usbif + "/driver":           "/sys/bus/usb/drivers/option",
		tty + "/subsystem":          "/sys/class/tty",
		tty + "/device":             usbif + "/" + name,
		"/sys/class/tty/" + name:    tty,
		filepath.Join("/dev", name): port,
	} {
		must(u.t, path, os.Symlink(to, path))
	}
	return name
}

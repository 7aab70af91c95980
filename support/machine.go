package support

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// logLines is how much of the journal is taken.
const logLines = "5000"

// Machine are the parts about the machine. dir is where messages are kept.
func Machine(version, dir string) []Part {
	return []Part{
		{Name: "versions.txt", What: "gatewayd, Go, operating system, kernel", Plain: true, Make: func(_ context.Context, w io.Writer) error {
			fmt.Fprintf(w, "gatewayd %s, %s, %s/%s\n\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return errors.Join(copyFile(w, "/proc/version"), copyFile(w, "/etc/os-release"))
		}},
		{Name: "machine.txt", What: "disk, memory, load, clock, power supply", Plain: true, Make: func(ctx context.Context, w io.Writer) error { return machine(ctx, w, dir) }},
		{Name: "usb.txt", What: "what is plugged in, as sysfs has it, and the serial ports", Plain: true, Make: func(_ context.Context, w io.Writer) error { return usb(w, "/") }},
		{Name: "unit.txt", What: "what systemd says of the service", Plain: true, Make: func(ctx context.Context, w io.Writer) error {
			return command(ctx, w, "systemctl", "show", "gatewayd.service", "--no-pager",
				"--property=LoadState,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ActiveEnterTimestamp,InactiveEnterTimestamp,WatchdogTimestamp,MemoryCurrent,TasksCurrent,FragmentPath,DropInPaths")
		}},
		{Name: "log.txt", What: "the last " + logLines + " lines of the service's journal, from info on", Make: journal},
	}
}

func copyFile(w io.Writer, name string) error {
	b, err := os.ReadFile(name)
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// command runs a program of the system; one that is not there is an error in words.
func command(ctx context.Context, w io.Writer, name string, args ...string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("this machine has no %s", name)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = w, &errs, time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(errs.String()))
	}
	return nil
}

// journal writes the service's log without its lines at debug.
func journal(ctx context.Context, w io.Writer) error {
	var b bytes.Buffer
	err := command(ctx, &b, "journalctl", "--unit=gatewayd.service", "--priority=info", "--lines="+logLines, "--output=short-iso", "--no-pager", "--quiet")
	if err == nil && b.Len() == 0 {
		err = errors.New("the journal has nothing of gatewayd.service that this user may read")
	}
	for line := range strings.Lines(b.String()) {
		if !strings.Contains(line, "level=DEBUG") { // of a version that gave the journal no priorities
			io.WriteString(w, line)
		}
	}
	return err
}

func machine(ctx context.Context, w io.Writer, dir string) error {
	var errs []error
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", dir, err))
	} else {
		fmt.Fprintf(w, "disk of %s: %d of %d MB free, %d of %d files free\n", dir, disk.Bavail*uint64(disk.Bsize)/1e6, disk.Blocks*uint64(disk.Bsize)/1e6, disk.Ffree, disk.Files)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		if info, err := os.Lstat(f); err == nil {
			fmt.Fprintf(w, "  %s %10d %s %s\n", info.Mode(), info.Size(), info.ModTime().UTC().Format(time.RFC3339), filepath.Base(f))
		}
	}
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	errs = append(errs, err)
	fmt.Fprintf(w, "clock: %s, kernel's state %d (5: not synchronised), error at most %d µs\n", time.Now().Format(time.RFC3339), state, t.Maxerror)
	for _, f := range []string{"/proc/uptime", "/proc/loadavg", "/sys/firmware/devicetree/base/model", "/sys/devices/platform/soc/soc:firmware/get_throttled"} {
		if b, err := os.ReadFile(f); err == nil {
			fmt.Fprintf(w, "%s: %s\n", f, strings.Trim(string(b), "\x00\n"))
		}
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		for i, line := range strings.SplitAfter(string(b), "\n") {
			if i < 3 {
				io.WriteString(w, line)
			}
		}
	}
	return errors.Join(errs...)
}

// usb lists the devices as lsusb does, with the tree that they hang in. Serial
// numbers are left out: a modem's may be its IMEI.
func usb(w io.Writer, root string) error {
	devices := filepath.Join(root, "sys/bus/usb/devices")
	all, err := os.ReadDir(devices)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("this machine has no USB")
	}
	for _, d := range all {
		read := func(name string) string {
			b, _ := os.ReadFile(filepath.Join(devices, d.Name(), name))
			return strings.TrimSpace(string(b))
		}
		if read("idVendor") == "" {
			continue
		}
		fmt.Fprintf(w, "%-10s %s:%s %s %s, %s Mbit/s, %s, driver of its interfaces:", d.Name(), read("idVendor"), read("idProduct"), read("manufacturer"), read("product"), read("speed"), read("bMaxPower"))
		drivers, _ := filepath.Glob(filepath.Join(devices, d.Name(), d.Name()+":*", "driver"))
		for _, driver := range drivers {
			if to, err := os.Readlink(driver); err == nil {
				fmt.Fprintf(w, " %s", filepath.Base(to))
			}
		}
		fmt.Fprintln(w)
	}
	for _, pattern := range []string{"dev/ttyUSB*", "dev/ttyACM*", "dev/gatewayd/*"} {
		ports, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, p := range ports {
			if info, err := os.Lstat(p); err == nil {
				fmt.Fprintf(w, "%s /%s\n", info.Mode(), strings.TrimPrefix(p, root))
			}
		}
	}
	return err
}

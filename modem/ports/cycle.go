package ports

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Power takes the power from a socket and gives it back. It needs root.
type Power struct {
	Sys string // /sys
	// Switch switches one port of a hub off and on; nil, or an error: the kernel
	// is made to let go of the device and take it again, which restarts most
	// modems too.
	Switch func(ctx context.Context, hub, port string) error
}

// Uhubctl is a Switch that uses the program of that name; nil if there is none.
func Uhubctl() func(ctx context.Context, hub, port string) error {
	program, err := exec.LookPath("uhubctl")
	if err != nil {
		return nil
	}
	return func(ctx context.Context, hub, port string) error {
		// Cut off in the middle it would leave the socket without power.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, program, "-l", hub, "-p", port, "-a", "cycle", "-d", "10").CombinedOutput()
		if err != nil {
			return fmt.Errorf("uhubctl: %w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	}
}

// deauthorized is how long the kernel holds a device off.
const deauthorized = 5 * time.Second

var socketForm = regexp.MustCompile(`^[0-9]{1,3}-[0-9]{1,3}(\.[0-9]{1,3}){0,6}$`)

// ganged are the hubs built into Raspberry Pis: to switch one port there is to
// switch all, with every other modem. A modem at the root has no hub at all.
var ganged = []string{"0424:9512", "0424:9514", "0424:2514", "2109:3431"}

// Socket is the USB socket that d is in, "" if it is in none.
func (d Device) Socket() string {
	socket, _, _ := strings.Cut(d.Key, ":") // of a bridge each line is a device
	if !socketForm.MatchString(socket) {
		return ""
	}
	return socket
}

// Cycle restarts the device in a socket such as 1-1.2 by its power.
func (p Power) Cycle(ctx context.Context, socket string) error {
	if !socketForm.MatchString(socket) {
		return fmt.Errorf("%q is no USB socket; they look like 1-1.2", socket)
	}
	dir := filepath.Join(p.Sys, usbDevices, socket)
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("nothing is plugged into the USB socket %s", socket)
	}
	var failed error
	if hub, port, ok := strings.Cut(socket, "."); ok && p.Switch != nil {
		if at := strings.LastIndexByte(port, '.'); at >= 0 {
			hub, port = hub+"."+port[:at], port[at+1:]
		}
		id := hexID(read(p.Sys, hub, "idVendor")) + ":" + hexID(read(p.Sys, hub, "idProduct"))
		if !slices.Contains(ganged, id) {
			if failed = p.Switch(ctx, hub, port); failed == nil {
				return nil
			}
		}
	}
	authorized := filepath.Join(dir, "authorized")
	if err := os.WriteFile(authorized, []byte("0"), 0); err != nil {
		return errors.Join(failed, fmt.Errorf("the device in the USB socket %s can't be switched off: %w", socket, err))
	}
	wait := time.NewTimer(deauthorized)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done(): // it must not stay off for that
	}
	if err := os.WriteFile(authorized, []byte("1"), 0); err != nil {
		return fmt.Errorf("the device in the USB socket %s was switched off and can't be switched on: %w; unplug it and plug it in again", socket, err)
	}
	return ctx.Err()
}

func read(sys, socket, name string) string {
	b, err := os.ReadFile(filepath.Join(sys, usbDevices, socket, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// RequestCycle asks whoever serves dir, as root, for a Cycle, and waits until
// the request was taken. A request is an empty file that has the socket's name.
func RequestCycle(ctx context.Context, dir, socket string) error {
	if !socketForm.MatchString(socket) {
		return fmt.Errorf("%q is no USB socket", socket)
	}
	request := filepath.Join(dir, socket)
	f, err := os.OpenFile(request, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("the power of the USB socket %s can't be switched: %w", socket, err)
	}
	f.Close()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for {
		if _, err := os.Lstat(request); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			os.Remove(request)
			return fmt.Errorf("nobody switches the power of the USB socket %s: is gatewayd-usb.path enabled?", socket)
		}
	}
}

// ServeRequests does what the requests in dir ask for, once, and takes them
// away. Whoever writes there is not trusted: only what may be a modem is cycled,
// and nothing outside of dir is touched.
func (p Power) ServeRequests(ctx context.Context, dir string, devices []Device) error {
	// dir itself belongs to the one who asks, and may have become a link.
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("the requests in %s can't be read: %w", dir, err)
	}
	folder := os.NewFile(uintptr(fd), dir)
	defer folder.Close()
	names, err := folder.Readdirnames(64)
	if err != nil && len(names) == 0 {
		return nil // none, or gone again
	}
	slices.Sort(names)
	var errs []error
	for _, socket := range names {
		if may := slices.ContainsFunc(devices, func(d Device) bool { return d.Socket() == socket && d.Policy != Never }); may {
			errs = append(errs, p.Cycle(ctx, socket))
		} else {
			errs = append(errs, fmt.Errorf("refused: there is no modem in a USB socket %q", socket))
		}
		if err := unix.Unlinkat(fd, socket, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("the request %q can't be taken away: %w", socket, err))
		}
	}
	return errors.Join(errs...)
}

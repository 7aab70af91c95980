package ports

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Uevents tells when the kernel announces that something was plugged in or
// out. It ends with ctx. Where there is no such socket it fails, and Watch
// looks more often instead.
func Uevents(ctx context.Context) (<-chan struct{}, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("uevents: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("uevents: %w", err)
	}
	return listen(ctx, os.NewFile(uintptr(fd), "uevents")), nil
}

// listen passes on what concerns us. Who sent a message does not matter: it
// only makes Watch look for itself.
func listen(ctx context.Context, f *os.File) <-chan struct{} {
	wake := make(chan struct{}, 1)
	stop := context.AfterFunc(ctx, func() { f.Close() })
	go func() {
		defer close(wake)
		defer f.Close()
		defer stop()
		b := make([]byte, 64<<10)
		for {
			n, err := f.Read(b)
			switch {
			case errors.Is(err, unix.ENOBUFS): // too many at once: some are lost
			case err != nil:
				return
			case !concerns(b[:n]):
				continue
			}
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	}()
	return wake
}

// concerns tells whether a uevent is about a device that Scan looks at.
func concerns(message []byte) bool {
	e, ok := parseUevent(message)
	return ok && slices.Contains([]string{"tty", "usb", "usb-serial", "net", "usbmisc"}, e["SUBSYSTEM"])
}

// parseUevent reads "add@/devices/…", NUL, and KEY=VALUE pairs each ended by a
// NUL. udev's own messages begin with "libudev" and are not meant.
func parseUevent(message []byte) (map[string]string, bool) {
	head, rest, ok := bytes.Cut(message, []byte{0})
	if action, path, at := bytes.Cut(head, []byte("@")); !ok || !at || len(action) == 0 || !bytes.HasPrefix(path, []byte("/")) {
		return nil, false
	}
	e := map[string]string{}
	for pair := range bytes.SplitSeq(rest, []byte{0}) {
		if key, value, ok := bytes.Cut(pair, []byte("=")); ok && len(key) > 0 {
			e[string(key)] = string(value)
		}
	}
	return e, true
}

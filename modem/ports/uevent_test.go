package ports

import (
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const ttyAdded = "add@/devices/platform/soc/3f980000.usb/usb1/1-1/1-1.2/1-1.2:1.0/ttyUSB0/tty/ttyUSB0\x00ACTION=add\x00" +
	"DEVPATH=/devices/platform/soc/3f980000.usb/usb1/1-1/1-1.2/1-1.2:1.0/ttyUSB0/tty/ttyUSB0\x00SUBSYSTEM=tty\x00MAJOR=188\x00MINOR=0\x00DEVNAME=ttyUSB0\x00SEQNUM=2301\x00"

func TestUevents(t *testing.T) {
	e, ok := parseUevent([]byte(ttyAdded))
	if !ok || e["ACTION"] != "add" || e["SUBSYSTEM"] != "tty" || e["DEVNAME"] != "ttyUSB0" {
		t.Errorf("%v %v", e, ok)
	}
	for message, want := range map[string]bool{
		ttyAdded: true,
		"remove@/devices/usb1/1-1\x00ACTION=remove\x00SUBSYSTEM=usb\x00": true,
		"change@/devices/virtual/thermal\x00SUBSYSTEM=thermal\x00":       false,
		"libudev\x00\xfe\xed\xca\xfe":                                    false,
		"add@relative\x00SUBSYSTEM=tty\x00":                              false,
		"add@/x":                                                         false,
		"":                                                               false,
	} {
		if got := concerns([]byte(message)); got != want {
			t.Errorf("%q: %v", message, got)
		}
	}
}

// What comes in is passed on if it concerns us, never waited for, and ends
// with the context.
func TestListen(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	kernel := os.NewFile(uintptr(fds[1]), "kernel")
	defer kernel.Close()
	ctx, cancel := context.WithCancel(context.Background())
	wake := listen(ctx, os.NewFile(uintptr(fds[0]), "uevents"))
	for range 100 {
		for _, message := range []string{"change@/devices/virtual/thermal\x00SUBSYSTEM=thermal\x00", ttyAdded} {
			if _, err := kernel.WriteString(message); err != nil {
				t.Fatal(err)
			}
		}
	}
	wait := func() bool {
		t.Helper()
		select {
		case _, ok := <-wake:
			return ok
		case <-time.After(10 * time.Second):
			t.Fatal("nothing came")
			return false
		}
	}
	if !wait() {
		t.Fatal("it ended")
	}
	cancel()
	for wait() {
	}
}

// The real socket opens, where there is one, and ends with the context.
func TestKernelSocket(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	wake, err := Uevents(ctx)
	if err != nil {
		t.Logf("this machine lets nobody hear uevents: %v", err)
		return
	}
	cancel()
	for {
		select {
		case _, ok := <-wake:
			if !ok {
				return
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it did not end")
		}
	}
}

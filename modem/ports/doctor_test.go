package ports

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/modem"
	"gatewayd/modem/at"
	"gatewayd/sim"
)

// Each way of failing is said in words, and so is what to do.
func TestFailureInWords(t *testing.T) {
	stick, bridge := device(t, ec25), device(t, sim800)
	for _, c := range []struct {
		device         Device
		err            error
		reason, advice string
	}{
		{stick, modem.ErrBusy, "Another program holds", "ModemManager"},
		{stick, &BusyError{Path: "/dev/ttyUSB2", Holders: []Holder{{700, "pppd", "open"}}}, "held by pppd (process 700)", "dial-up"},
		{stick, fmt.Errorf("x: %w", fs.ErrPermission), "No permission", "dialout"},
		{stick, fs.ErrNotExist, "went away", "cable"},
		{stick, at.ErrGone, "went away", "power"},
		{stick, at.ErrSilent, "Nothing on its ports", "ten seconds"},
		{stick, at.ErrParrot, "no commands for messages", "USB mode"},
		{stick, errNoSMS, "no commands for messages", "no modem for texts"},
		{stick, at.ErrTimeout, "stopped answering", "power"},
		{bridge, at.ErrSilent, "Nothing behind it", "RX and TX"},
		{bridge, errNoise, "binary protocol", "Leave it"},
		{bridge, errGPS, "GPS", "Leave it"},
	} {
		e := &Error{Device: c.device, Attempts: []Attempt{{Port: c.device.Ttys[0], Err: c.err}}}
		reason, advice := e.Words()
		if !strings.Contains(reason, c.reason) || !strings.Contains(advice, c.advice) {
			t.Errorf("%v: %q %q", c.err, reason, advice)
		}
		if !strings.Contains(e.Error(), Why(c.err)) || !errors.Is(e, c.err) {
			t.Errorf("%v: %v", c.err, e)
		}
	}
	for _, u := range []usb{hilinkStick, ec25.bare()} {
		if reason, advice := (&Error{Device: device(t, u)}).Words(); reason == "" || advice == "" {
			t.Errorf("%q %q", reason, advice)
		}
	}
	if reason, advice := (&Error{Device: Device{Mode: Serial, Ttys: bridge.Ttys}}).Words(); reason == "" || advice == "" {
		t.Errorf("%q %q", reason, advice)
	}
}

// The doctor asks all devices at the same time, and leaves alone what says
// that it is something else.
func TestExamine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sim.NewNetwork(sim.NetworkOptions{})
		defer n.Close()
		d := newDesk(t)
		tr := newTree()
		tr.plug(ec25, zigbee.with("1-1.4", 4), sim800.with("1-1.3", 5), e1750.with("1-1.5", 6), hilinkStick.with("1-1.6", 0), e1750.with("1-1.7", 9))
		m := n.AddModem(sim.ModemOptions{})
		d.sim("ttyUSB2", m)
		d.parrot("ttyUSB4")
		d.sim("ttyUSB5", n.AddModem(sim.ModemOptions{NoSMSC: true}))
		for _, tty := range []string{"ttyUSB6", "ttyUSB8", "ttyUSB9", "ttyUSB11"} {
			d.mute(tty)
		}
		begin := time.Now()
		r, err := Examine(context.Background(), Machine{Sys: tr, Dev: "/dev"}, d.Open)
		if took := time.Since(begin); err != nil || len(r.Devices) != 6 || took > 12*time.Second {
			t.Fatalf("%+v, %v after %s", r, err, took)
		}
		for i, want := range []struct {
			key, port string
			sends     bool
			reason    string
		}{
			{"1-1.2", "/dev/ttyUSB2", true, ""}, {"1-1.3", "/dev/ttyUSB5", false, "No service centre"}, {"1-1.4", "", false, "something else"},
			{"1-1.5", "", false, "Nothing on its ports"}, {"1-1.6", "", false, "HiLink"}, {"1-1.7", "", false, "Nothing on its ports"},
		} {
			f := r.Devices[i]
			if f.Device.Key != want.key || f.Port != want.port || f.CanSend != want.sends || !strings.Contains(f.Reason, want.reason) || (f.Reason == "") != want.sends {
				t.Errorf("%+v", f)
			}
		}
		if !r.CanSend || r.UnderVoltage != nil {
			t.Errorf("%+v", r)
		}
		d.check("ttyUSB2", "ttyUSB5", "ttyUSB6", "ttyUSB8", "ttyUSB9", "ttyUSB11")
	})
}

// From the first tty to a modem that is known: within three seconds, with and
// without uevents, for a stick that no table knows and with a mute port before
// the right one.
func TestFoundInTime(t *testing.T) {
	for _, uevents := range []bool{true, false} {
		watchIn(t, uevents, nil, func(w *watching) {
			n := sim.NewNetwork(sim.NetworkOptions{})
			defer n.Close()
			d := newDesk(t)
			d.mute("ttyUSB0")
			d.sim("ttyUSB1", n.AddModem(sim.ModemOptions{}))
			w.quiet(1234 * time.Millisecond)
			w.tree.plug(unknown(2))
			w.uevent()
			begin := time.Now()
			s := w.next(time.Second)
			f, err := Probe(context.Background(), d.Open, s.Came[0])
			if took := time.Since(begin); err != nil || f.Port.Name != "ttyUSB1" || took > 3*time.Second {
				t.Errorf("%+v, %v after %s", f, err, took)
			}
		})
	}
}

// Without another opener the real serial ports are opened, and given back.
func TestExamineSerialPorts(t *testing.T) {
	dev := t.TempDir()
	n := sim.NewNetwork(sim.NetworkOptions{})
	defer n.Close()
	port := filepath.Join(dev, "ttyUSB2")
	if _, err := n.AddModem(sim.ModemOptions{}).OpenPTY(port); err != nil {
		t.Fatal(err)
	}
	tr := newTree()
	tr.plug(ec25)
	for range 2 {
		r, err := Examine(context.Background(), Machine{Sys: tr, Dev: dev}, nil)
		if err != nil || !r.CanSend {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	again, err := modem.OpenSerial(port)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

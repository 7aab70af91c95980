package ports

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"gatewayd/modem"
	"gatewayd/modem/at"
)

// Limits of looking at one device.
const (
	probeLimit   = 30 * time.Second
	inspectLimit = 40 * time.Second
)

// Finding is what is known of one device after looking at it.
type Finding struct {
	Device    Device     `json:"device"`
	HeldBy    []Holder   `json:"held_by"` // programs that use the port that takes its commands
	Port      string     `json:"port"`    // the port that takes SMS commands, "" if none was found
	Asked     []Asked    `json:"asked"`   // the ports that were opened, and what came of it
	Modem     *Identity  `json:"modem"`
	Condition *Condition `json:"condition"`
	CanSend   bool       `json:"can_send"`
	Reason    string     `json:"reason"` // why not, in words
	Advice    string     `json:"advice"`
}

// Asked is an Attempt in words.
type Asked struct {
	Port   string `json:"port"`
	Result string `json:"result"` // "takes SMS commands", or why not
}

// Report is what a doctor says of this machine.
type Report struct {
	Devices      []Finding `json:"devices"`
	UnderVoltage *bool     `json:"under_voltage"` // null on machines that don't say
	CanSend      bool      `json:"can_send"`
}

// Local is the machine that the program runs on.
func Local() Machine {
	return Machine{Sys: os.DirFS("/sys"), Proc: os.DirFS("/proc"), Locks: os.DirFS("/run/lock"), Dev: "/dev"}
}

// Examine looks at everything that is or could be a modem, asks what is free
// how it is, and changes nothing. A person has asked for it, so bridges are
// asked too. open is modem.OpenSerial if it is nil.
func Examine(ctx context.Context, m Machine, open Opener, named ...string) (Report, error) {
	if open == nil {
		open = modem.OpenSerial
	}
	open = m.Polite(os.Getpid(), open)
	devices, err := Scan(m.Sys, m.Dev, named...)
	if err != nil {
		return Report{}, err
	}
	r := Report{Devices: make([]Finding, len(devices))}
	if weak, known := UnderVoltage(m.Sys); known {
		r.UnderVoltage = &weak
	}
	var all sync.WaitGroup
	for i, d := range devices {
		all.Go(func() { r.Devices[i] = examine(ctx, open, d) })
	}
	all.Wait()
	for _, f := range r.Devices {
		r.CanSend = r.CanSend || f.CanSend
	}
	return r, ctx.Err()
}

func examine(ctx context.Context, open Opener, d Device) Finding {
	f := Finding{Device: d, HeldBy: []Holder{}, Asked: []Asked{}}
	if f.Reason, f.Advice = d.Trouble(); f.Reason != "" {
		return f
	}
	limited, cancel := context.WithTimeout(ctx, probeLimit)
	found, err := Probe(limited, open, d)
	cancel()
	var failed *Error
	if errors.As(err, &failed) {
		f.asked(failed.Attempts)
		f.HeldBy = failed.Holders()
		f.Reason, f.Advice = failed.Words()
		return f
	}
	if err != nil {
		f.Reason, f.Advice = "It could not be looked at: "+err.Error()+".", "Unplug it for ten seconds, then ask again."
		return f
	}
	f.asked(found.Attempts)
	f.Port, f.Modem = found.Port.Path, &found.Identity
	limited, cancel = context.WithTimeout(ctx, inspectLimit)
	defer cancel()
	c, err := Inspect(limited, open, found.Port.Path)
	if err != nil {
		f.Reason, f.Advice = "It stopped answering: "+Why(err)+".", "Unplug it for ten seconds, then ask again."
		return f
	}
	f.Condition = &c
	f.CanSend, f.Reason, f.Advice = c.CanSend()
	return f
}

func (f *Finding) asked(attempts []Attempt) {
	for _, a := range attempts {
		result := Why(a.Err)
		if a.Err == nil {
			result = "takes SMS commands"
		}
		f.Asked = append(f.Asked, Asked{Port: a.Port.Path, Result: result})
	}
}

// Holders are the programs that have e's ports.
func (e *Error) Holders() []Holder {
	all := []Holder{}
	for _, a := range e.Attempts {
		var busy *BusyError
		if errors.As(a.Err, &busy) {
			all = append(all, busy.Holders...)
		}
	}
	return all
}

// Words tell a person what stands against the device, and what to do about it.
func (e *Error) Words() (reason, advice string) {
	if len(e.Attempts) == 0 {
		if reason, advice = e.Device.Trouble(); reason == "" {
			reason, advice = "It has no port that could take AT commands.", "Look in its manual for a USB mode with AT ports."
		}
		return reason, advice
	}
	bridge := e.Device.Policy != Free
	for _, c := range []struct {
		is             error
		reason, advice string
	}{
		{modem.ErrBusy, "Another program holds its port.", "Stop the other program: often it is ModemManager, or a second gateway."},
		{fs.ErrPermission, "No permission to open its port.", "Add the user to the group dialout, or run this as root."},
		{at.ErrGone, "It went away while it was asked.", "Check the cable and the power supply."},
		{fs.ErrNotExist, "Its port went away.", "Check the cable and the power supply."},
		{errNoSMS, "It answers AT, but takes no commands for messages.", "It is no modem for texts, or needs another USB mode; its manual tells."},
		{at.ErrParrot, "It answers AT, but takes no commands for messages.", "It needs a USB mode with a real AT port; its manual tells."},
		{at.ErrTimeout, "It stopped answering.", "Unplug it for ten seconds; then check its power supply."},
	} {
		if errors.Is(e, c.is) {
			reason, advice = c.reason, c.advice
			break
		}
	}
	if holders := e.Holders(); len(holders) > 0 {
		reason, advice = "Its port is held by "+holders[0].String()+".", holders[0].Advice(e.Device)
	}
	switch {
	case reason != "":
	case bridge && !errors.Is(e, at.ErrSilent):
		reason, advice = "What is behind it is no modem: "+Why(e.Attempts[0].Err)+".", "Leave it; only modems are used."
	case bridge:
		reason, advice = "Nothing behind it answers AT commands.", "If a modem is connected there: check its power, whether RX and TX are crossed, and that it runs at 115200 baud."
	default:
		reason, advice = "Nothing on its ports answers AT commands.", "Unplug it for ten seconds; then check its power supply."
	}
	return reason, advice
}

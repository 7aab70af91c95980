package api

import (
	"fmt"
	"strings"
	"time"

	"gatewayd/clock"
	"gatewayd/sms"
)

// machineView is how the machine is that the gateway runs on.
type machineView struct {
	Facts    []machineFact
	Warnings []sms.SystemWarning
}

// machineFact is one of them, with its dot.
type machineFact struct{ Name, Value, Kind string }

// machine says how the machine is. What it does not tell is said to be not known.
func (a *API) machine() *machineView {
	s := a.system()
	v := &machineView{Warnings: s.Warnings}
	fact := func(name, value, kind string) { v.Facts = append(v.Facts, machineFact{name, value, kind}) }
	if disk := s.Disk; disk != nil {
		kind := map[string]string{"ok": good, "low": warn, "full": bad}[disk.State]
		fact("Disk", fmt.Sprintf("%s of %s free", gigabytes(disk.Free), gigabytes(disk.Total)), kind)
	} else {
		fact("Disk", "not known", idle)
	}
	fact(clockFact(a.o.Clock.Status()))
	switch p := s.Power; {
	case p == nil:
		fact("Power", "not known: this machine does not watch its supply", idle)
	case p.UnderVoltage:
		fact("Power", "under-voltage now", bad)
	case p.UnderVoltageSeen:
		fact("Power", "in order now; there was under-voltage since it was switched on", warn)
	default:
		fact("Power", "in order since it was switched on", good)
	}
	fact(backupFact(s.Backup, a.now()))
	if s.Hub != nil {
		fact(hubFact(*s.Hub, a.now()))
	}
	if s.Celsius != nil {
		kind := good
		if *s.Celsius >= 80 { // a Pi slows down from here on
			kind = warn
		}
		if s.Power != nil && s.Power.Hot {
			kind = bad
		}
		fact("Temperature", fmt.Sprintf("%.0f °C", *s.Celsius), kind)
	}
	if s.Uptime > 0 {
		fact("Running for", lasts(s.Uptime.Truncate(time.Minute)), "")
	}
	if s.Model != "" {
		fact("Board", s.Model, "")
	}
	return v
}

func clockFact(s clock.Status) (name, value, kind string) {
	if s.Source == clock.Nobody {
		return "Clock", "not set: nobody vouches for it", bad
	}
	return "Clock", "set", good
}

func backupFact(b *sms.Backup, now time.Time) (name, value, kind string) {
	switch {
	case b == nil:
		return "Last backup", "none yet", idle
	case b.MadeAt.IsZero():
		return "Last backup", "none yet: the last try failed, " + b.Error, bad
	}
	value, kind = lasts(now.Sub(b.MadeAt).Truncate(time.Minute))+" ago", good
	if !b.FailingSince.IsZero() {
		value, kind = value+"; the last try failed, "+b.Error, warn
	}
	return "Last backup", value, kind
}

func hubFact(h sms.HubLink, now time.Time) (name, value, kind string) {
	length := lasts(max(0, now.Sub(h.Since)).Truncate(time.Minute))
	switch {
	case h.Connected:
		return "Hub", "connected for " + length, good
	case h.Error == "":
		return "Hub", "not connected yet", idle
	}
	return "Hub", "away for " + length + ": " + h.Error, bad
}

func gigabytes(n int64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/1e9), ".0") + " GB"
}

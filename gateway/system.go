package gateway

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gatewayd/clock"
	"gatewayd/sms"
)

const (
	lookAtPower = 10 * time.Second
	// lookForPower is how often it is looked whether the supply is watched after
	// all: a driver may come later than we do.
	lookForPower = 5 * time.Minute
)

// board is the computer that the gateway runs on, as the kernel shows it.
type board struct {
	root    string      // where /sys and /proc are
	dips    uint32      // what get_throttled said last; watchPower's alone
	dipped  atomic.Bool // the supply was too weak since this run began
	looking bool        // dips is known
}

// The bits of get_throttled, as the firmware's documentation has them.
const (
	lowVoltage = 1 << 0
	capped     = 1 << 1 // the processor's frequency
	throttled  = 1 << 2
	tooHot     = 1 << 3
	happened   = 16 // the same bits, so far to the left: since it was switched on
)

// text reads a small file of the kernel's, "" if there is none.
func (m *board) text(path ...string) string {
	b, err := os.ReadFile(filepath.Join(append([]string{m.root}, path...)...))
	if err != nil || len(b) > 4096 {
		return ""
	}
	return strings.TrimRight(string(b), "\x00\r\n ")
}

// first reads the first file that the patterns find.
func (m *board) first(patterns ...string) string {
	for _, p := range patterns {
		paths, _ := filepath.Glob(filepath.Join(m.root, p)) // the patterns are right
		for _, path := range paths {
			if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(m.root, "/")); ok {
				if s := m.text(rest); s != "" {
					return s
				}
			}
		}
	}
	return ""
}

// throttling is what the firmware of a Raspberry Pi says of the supply; false
// elsewhere.
func (m *board) throttling() (bits uint32, ok bool) {
	s := m.first("sys/devices/platform/soc/soc:firmware/get_throttled", "sys/devices/platform/soc*/*firmware/get_throttled",
		"sys/devices/platform/*/*firmware/get_throttled")
	if n, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 32); err == nil {
		bits, ok = uint32(n), true
	}
	// The mainline kernel has this alone.
	monitors, _ := filepath.Glob(filepath.Join(m.root, "sys/class/hwmon/hwmon*"))
	for _, path := range monitors {
		dir, _ := filepath.Rel(m.root, path)
		if m.text(dir, "name") != "rpi_volt" {
			continue
		}
		switch m.text(dir, "in0_lcrit_alarm") {
		case "1":
			bits, ok = bits|lowVoltage|lowVoltage<<happened, true
		case "0":
			ok = true
		}
	}
	return bits, ok
}

// celsius is the processor's temperature; nil if it is not told.
func (m *board) celsius() *float64 {
	zones, _ := filepath.Glob(filepath.Join(m.root, "sys/class/thermal/thermal_zone*"))
	preferred := []string{"cpu-thermal", "cpu_thermal", "soc-thermal", "soc_thermal", "x86_pkg_temp"}
	best, rank := "", len(preferred)+1
	for _, path := range zones {
		dir, _ := filepath.Rel(m.root, path)
		r := slices.Index(preferred, m.text(dir, "type"))
		if r < 0 {
			r = len(preferred)
		}
		if r < rank {
			best, rank = dir, r
		}
	}
	if best == "" {
		return nil
	}
	n, err := strconv.Atoi(m.text(best, "temp"))
	if err != nil || n < -60_000 || n > 200_000 {
		return nil
	}
	v := float64(n) / 1000
	return &v
}

// uptime is how long ago the machine was started.
func (m *board) uptime() time.Duration {
	first, _, _ := strings.Cut(m.text("proc/uptime"), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil || !(seconds >= 0 && seconds < 1e9) { // also NaN
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

func (m *board) model() string {
	name := m.first("proc/device-tree/model", "sys/firmware/devicetree/base/model", "sys/class/dmi/id/product_name")
	return strings.ToValidUTF8(name[:min(len(name), 100)], "")
}

// power is what is known of the supply; nil if nothing is.
func (m *board) power() *sms.Power {
	bits, ok := m.throttling()
	if !ok {
		return nil
	}
	was := func(mask uint32) bool { return bits&(mask|mask<<happened) != 0 }
	return &sms.Power{
		UnderVoltage: bits&lowVoltage != 0, UnderVoltageSeen: was(lowVoltage) || m.dipped.Load(),
		Throttled: bits&(capped|throttled) != 0, ThrottledSeen: was(capped | throttled), Hot: bits&tooHot != 0,
	}
}

// look tells whether the supply is too weak, now or for a moment since the last
// look, which the firmware remembers.
func (m *board) look() (weak, watched bool) {
	bits, ok := m.throttling()
	if !ok {
		return false, false
	}
	const was = lowVoltage << happened
	weak = bits&lowVoltage != 0 || m.looking && bits&was != 0 && m.dips&was == 0
	m.dips, m.looking = bits, true
	if weak {
		m.dipped.Store(true)
	}
	return weak, true
}

// weakSupply is what to do about it.
const weakSupply = "Modems restart and SD cards lose data when the voltage drops. Use the power supply that was made for this board with its own cable, " +
	"and put the modems on a USB hub with a supply of its own: a modem may draw 2 A for a moment while it sends."

// watchPower begins and ends the alarm of a weak supply.
func (g *Gateway) watchPower(ctx context.Context) {
	for again := time.Duration(0); sleep(ctx, again); {
		weak, watched := g.board.look()
		g.raise(weak, underVoltage, "The power supply is too weak", weakSupply)
		again = lookForPower
		if watched {
			again = lookAtPower
		}
	}
}

// system is how the machine is.
func (g *Gateway) system() sms.System {
	m := &g.board
	s := sms.System{Model: m.model(), Uptime: m.uptime(), Celsius: m.celsius(), Power: m.power(), Backup: g.backups.look(context.Background())}
	warn := func(code, title, detail string) {
		s.Warnings = append(s.Warnings, sms.SystemWarning{Code: code, Title: title, Detail: detail})
	}
	if p := s.Power; p != nil {
		switch {
		case p.UnderVoltage:
			warn(underVoltage, "The power supply is too weak", weakSupply)
		case p.UnderVoltageSeen:
			warn("under-voltage-seen", "The power supply was too weak for a moment since the machine was started", weakSupply)
		}
		switch {
		case p.Hot:
			warn("hot", "The machine is too hot and works slower", "Give it air, a heat sink or a fan, and keep it out of the sun.")
		case p.Throttled && !p.UnderVoltage:
			warn("throttled", "The machine works slower than it can", "Check its power supply and its temperature.")
		}
	}
	if detail := g.alarms.detail(backupOld, ""); detail != "" {
		warn(backupOld, kindOf(backupOld).title, detail)
	}
	var f unix.Statfs_t
	if err := unix.Statfs(g.o.DataDir, &f); err == nil {
		s.Disk = &sms.DiskRoom{Free: int64(f.Bavail) * int64(f.Bsize), Total: int64(f.Blocks) * int64(f.Bsize), State: "ok"}
		switch {
		case g.alarms.goesOn(diskFull, ""):
			s.Disk.State = "full"
			warn(diskFull, "The disk is full", "New messages are refused until there is room on the disk of data_dir.")
		case g.alarms.goesOn(diskLow, ""):
			s.Disk.State = "low"
			warn(diskLow, "The disk is nearly full", fmt.Sprintf("%d MB are left. Make room on the disk of data_dir.", s.Disk.Free>>20))
		}
	}
	s.Hub = g.hubLink()
	status := g.clock.Status()
	s.Clock = sms.ClockState{Trusted: status.Source != clock.Nobody, Source: string(status.Source)}
	if !s.Clock.Trusted {
		warn(clockNotSet, clock.NotSet, clock.Advice(status.Wall))
	}
	return s
}

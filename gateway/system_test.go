package gateway

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatewayd/sms"
)

// kernel is a folder that shows a machine as the kernel does.
type kernel struct {
	t    *testing.T
	root string
}

func (b kernel) says(path, text string) {
	b.t.Helper()
	path = filepath.Join(b.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	// Whoever reads it meanwhile finds what it was, or what it is, as with the kernel's.
	whole := path + ".new"
	if err := os.WriteFile(whole, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(whole, path); err != nil {
		b.t.Fatal(err)
	}
}

const getThrottled = "sys/devices/platform/soc/soc:firmware/get_throttled"

func codes(s sms.System) (all []string) {
	for _, w := range s.Warnings {
		all = append(all, w.Code)
	}
	return all
}

// A Raspberry Pi whose supply is weak says so, in an alarm that ends too.
func TestUnderVoltage(t *testing.T) {
	b := kernel{t, t.TempDir()}
	b.says("proc/uptime", "3600.25 7000.00\n")
	b.says("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\x00")
	b.says("sys/class/thermal/thermal_zone0/type", "acpitz\n")
	b.says("sys/class/thermal/thermal_zone0/temp", "20000\n")
	b.says("sys/class/thermal/thermal_zone1/type", "cpu-thermal\n")
	b.says("sys/class/thermal/thermal_zone1/temp", "48312\n")
	b.says(getThrottled, "0\n")
	inWorld(t, 0, air(), func(w *world) {
		w.restart(func(o *Options) { o.Root = b.root })
		w.pass(time.Minute)
		s := w.g.system()
		if s.Model != "Raspberry Pi 4 Model B Rev 1.4" || s.Uptime != 3600250*time.Millisecond || s.Celsius == nil || *s.Celsius != 48.312 ||
			s.Power == nil || *s.Power != (sms.Power{}) || s.Disk == nil || s.Disk.State != "ok" || s.Disk.Total < s.Disk.Free || !s.Clock.Trusted || len(s.Warnings) > 0 || w.alarm(underVoltage) {
			t.Errorf("system %+v", s)
		}
		b.says(getThrottled, "50005\n")
		w.pass(lookAtPower + time.Second)
		if s = w.g.system(); !w.alarm(underVoltage) || !s.Power.UnderVoltage || !s.Power.Throttled || len(codes(s)) != 1 || codes(s)[0] != underVoltage {
			t.Errorf("system %+v, power %+v", s, s.Power)
		}
		b.says(getThrottled, "50000\n")
		w.pass(10*time.Minute + lookAtPower + time.Second) // it is held for as long
		if s = w.g.system(); w.alarm(underVoltage) || s.Power.UnderVoltage || !s.Power.UnderVoltageSeen || !s.Power.ThrottledSeen || len(codes(s)) != 1 || codes(s)[0] != "under-voltage-seen" {
			t.Errorf("system %+v, power %+v", s, s.Power)
		}
		b.says(getThrottled, "8\n")
		if s = w.g.system(); !s.Power.Hot || codes(s)[len(codes(s))-1] != "hot" {
			t.Errorf("system %+v, power %+v", s, s.Power)
		}
	})
}

// A dip between two looks is told, and so is that of the mainline kernel, which
// has no get_throttled.
func TestVoltageDips(t *testing.T) {
	b := kernel{t, t.TempDir()}
	m := board{root: b.root}
	look := func(what string, weak, watched bool) {
		t.Helper()
		if w, ok := m.look(); w != weak || ok != watched {
			t.Errorf("%s: weak %v, watched %v", what, w, ok)
		}
	}
	look("no board", false, false)
	b.says(getThrottled, "50000")
	look("a dip before the start", false, true)
	b.says(getThrottled, "0x0")
	look("cleared", false, true)
	b.says(getThrottled, "10000")
	look("a dip in between", true, true)
	look("the same dip", false, true)
	b.says(getThrottled, "rubbish")
	look("rubbish", false, false)
	b.says("sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
	b.says("sys/class/hwmon/hwmon3/name", "rpi_volt\n")
	b.says("sys/class/hwmon/hwmon3/in0_lcrit_alarm", "0\n")
	look("mainline", false, true)
	b.says("sys/class/hwmon/hwmon3/in0_lcrit_alarm", "1\n")
	look("mainline, low", true, true)
	if p := m.power(); p == nil || !p.UnderVoltage || !p.UnderVoltageSeen {
		t.Errorf("power %+v", p)
	}
}

// What the kernel's files say is read or passed over, whatever it is.
func FuzzBoard(f *testing.F) {
	f.Add("50005\n", "48312\n", "3600.25 1.00\n", "Raspberry Pi\x00")
	f.Add("0x", "-", "inf", "")
	f.Add("ffffffffffffffff", "99999999999999999999", "NaN", "\xff\xfe")
	f.Fuzz(func(t *testing.T, throttled, temp, uptime, model string) {
		b := kernel{t, t.TempDir()}
		b.says(getThrottled, throttled)
		b.says("sys/class/thermal/thermal_zone0/temp", temp)
		b.says("proc/uptime", uptime)
		b.says("proc/device-tree/model", model)
		m := board{root: b.root}
		m.look()
		m.power()
		if c := m.celsius(); c != nil && (*c < -60 || *c > 200) {
			t.Errorf("%v °C", *c)
		}
		if u := m.uptime(); u < 0 {
			t.Errorf("up for %s", u)
		}
		if name := m.model(); len(name) > 100 || bytes.ContainsRune([]byte(name), 0xFFFD) && !bytes.ContainsRune([]byte(model), 0xFFFD) {
			t.Errorf("model %q", name)
		}
	})
}

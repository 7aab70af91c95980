package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"gatewayd/config"
	"gatewayd/modem/ports"
	"gatewayd/sim"
	"gatewayd/sms"
)

// bench is a machine with simulated modems, for the doctor to look at.
type bench struct {
	t   *testing.T
	sys fstest.MapFS
	dev string
	net *sim.Network
	d   doctor
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, sys: fstest.MapFS{"class/tty/ttyS0/dev": {}}, dev: t.TempDir(), net: sim.NewNetwork(sim.NetworkOptions{})}
	t.Cleanup(b.net.Close)
	b.d.machine = ports.Machine{Sys: b.sys, Proc: fstest.MapFS{}, Dev: b.dev}
	return b
}

func (b *bench) file(name, content string) {
	b.sys[name] = &fstest.MapFile{Data: []byte(content)}
}

// plug puts a USB device with one interface for each of codes into a socket:
// "08/06/50 usb-storage", "ff/00/00 option ttyUSB2".
func (b *bench) plug(socket, id, maker, name string, interfaces ...string) {
	dir := "bus/usb/devices/" + socket
	for file, content := range map[string]string{"idVendor": id[:4], "idProduct": id[5:], "manufacturer": maker, "product": name, "devnum": "7"} {
		b.file(dir+"/"+file, content+"\n")
	}
	for n, i := range interfaces {
		f := strings.Fields(i + " - -") // no driver, no tty
		itf := fmt.Sprintf("%s:1.%d", dir, n)
		codes := strings.Split(f[0], "/")
		for file, content := range map[string]string{"bInterfaceNumber": fmt.Sprintf("%02x", n), "bInterfaceClass": codes[0], "bInterfaceSubClass": codes[1],
			"bInterfaceProtocol": codes[2], "uevent": "DRIVER=" + strings.Trim(f[1], "-")} {
			b.file(itf+"/"+file, content+"\n")
		}
		if f[2] != "-" {
			b.file(itf+"/"+f[2]+"/tty/"+f[2]+"/dev", "188:0\n")
			b.file("class/tty/"+f[2]+"/dev", "188:0\n")
		}
	}
}

// quectel plugs a simulated modem in as a Quectel EC25.
func (b *bench) quectel(o sim.ModemOptions) *sim.Modem {
	b.t.Helper()
	m := b.net.AddModem(o)
	if _, err := m.OpenPTY(filepath.Join(b.dev, "ttyUSB2")); err != nil {
		b.t.Fatal(err)
	}
	b.plug("1-1.2", "2c7c:0125", "Quectel", "EC25-E", "ff/ff/ff option ttyUSB0", "ff/00/00 option ttyUSB1", "ff/00/00 option ttyUSB2",
		"ff/00/00 option ttyUSB3", "ff/ff/ff qmi_wwan")
	return m
}

// held makes a program hold a modem's port.
func (b *bench) held(m *sim.Modem, program string) {
	b.d.machine.Proc = fstest.MapFS{
		"700/comm": {Data: []byte(program + "\n")},
		"700/fd/5": {Data: []byte(m.Port()), Mode: fs.ModeSymlink},
	}
}

// says runs the doctor and checks its words; sends is whether it finds that
// one can send.
func (b *bench) says(sends bool, want ...string) string {
	b.t.Helper()
	var out bytes.Buffer
	err := b.d.run(context.Background(), &out, false)
	if sends && err != nil || !sends && !errors.Is(err, errNoneSends) {
		b.t.Errorf("%v", err)
	}
	for _, w := range want {
		if !strings.Contains(out.String(), w) {
			b.t.Errorf("it does not say %q", w)
		}
	}
	if b.t.Failed() {
		b.t.Log(out.String())
	}
	return out.String()
}

// report runs the doctor and reads its JSON.
func (b *bench) report() modemReport {
	b.t.Helper()
	var out bytes.Buffer
	if err := b.d.run(context.Background(), &out, true); err != nil && !errors.Is(err, errNoneSends) {
		b.t.Fatal(err)
	}
	var r modemReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		b.t.Fatalf("%v in %s", err, out.String())
	}
	return r
}

func TestDoctorOfHealthyModem(t *testing.T) {
	b := newBench(t)
	m := b.quectel(sim.ModemOptions{})
	text := b.says(true, "Quectel EC25/EG25: EC25-E (2c7c:0125)", "socket    1-1.2", "ttyUSB0 if00 option, diag\n", "ttyUSB2 if02 option, at: takes SMS commands",
		"gatewayd Simulated Modem IMEI …"+m.IMEI()[11:], "SIM       ready, SMSC set", "home Simulated Net -71 dBm (good)", "=>        It can send.")
	if strings.Contains(text, m.IMEI()) {
		t.Error("the IMEI is shown in full")
	}
	r := b.report()
	if f := r.Devices[0]; !r.CanSend || !f.CanSend || f.Modem.IMEI != m.IMEI() || f.Port != filepath.Join(b.dev, "ttyUSB2") || f.Device.Mode != ports.Serial ||
		f.Condition.SMSC == "" || f.Condition.Storage == nil || r.UnderVoltage != nil || len(f.Asked) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestDoctorOfUnusableDevices(t *testing.T) {
	b := newBench(t)
	b.says(false, "No modem was found", "lsusb", "modems.list")
	b.plug("1-1.2", "12d1:1446", "HUAWEI", "HUAWEI Mobile", "08/06/50 usb-storage")
	b.plug("1-1.3", "12d1:14dc", "HUAWEI", "HUAWEI Mobile", "02/06/00 cdc_ether", "0a/00/00 cdc_ether")
	b.plug("1-1.4", "2c7c:0125", "Quectel", "EC25-E", "ff/ff/ff")
	b.plug("1-1.5", "2341:0043", "Arduino", "Uno", "02/02/01 cdc_acm ttyACM0")
	b.file("class/hwmon/hwmon1/name", "rpi_volt\n")
	b.file("class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
	text := b.says(false, "CD-ROM, not switched", "usb-modeswitch", "network card only (HiLink)", "stick mode", "no driver", "modprobe option", "left alone", "supply is too weak")
	if strings.Contains(text, "No modem was found") || strings.Count(text, "=>") != 4 {
		t.Error(text)
	}
	if r := b.report(); r.CanSend || len(r.Devices) != 4 || r.UnderVoltage == nil || !*r.UnderVoltage {
		t.Errorf("%+v", r)
	}
}

func TestDoctorOfSickModems(t *testing.T) {
	for name, c := range map[string]struct {
		options sim.ModemOptions
		change  func(*sim.Modem)
		want    []string
	}{
		"PIN":       {sim.ModemOptions{PIN: "4711"}, nil, []string{"asks for PIN", "Set pin or pin_file"}},
		"no SIM":    {sim.ModemOptions{NoSIM: true}, nil, []string{"SIM       none", "Put a SIM in"}},
		"no SMSC":   {sim.ModemOptions{NoSMSC: true}, nil, []string{"SMSC not set", "message centre"}},
		"searching": {sim.ModemOptions{}, func(m *sim.Modem) { m.SetRegistration(2) }, []string{"searching", "antenna"}},
		"denied":    {sim.ModemOptions{}, func(m *sim.Modem) { m.SetRegistration(3) }, []string{"denied", "The network refuses this SIM"}},
		"mute":      {sim.ModemOptions{}, func(m *sim.Modem) { m.Fault(func(f *sim.Faults) { f.Mute = true }) }, []string{"at: nothing answers", "power supply"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			m := b.quectel(c.options)
			if c.change != nil {
				c.change(m)
			}
			b.says(false, c.want...)
			if m.Stats().PINTries != 0 {
				t.Error("a PIN was entered")
			}
		})
	}
}

func TestDoctorOfHeldPorts(t *testing.T) {
	b := newBench(t)
	m := b.quectel(sim.ModemOptions{})
	b.held(m, "ModemManager")
	b.says(false, "held by   ModemManager (process 700)", `ATTRS{idVendor}=="2c7c", ENV{ID_MM_DEVICE_IGNORE}="1"`)

	b.held(m, "gatewayd")
	b.says(false, "held by   gatewayd (process 700)", "It is in use by gatewayd. The running daemon does not tell: set GATEWAYD_KEY")

	answer := sms.Modem{Name: "office", State: sms.Ready, Port: filepath.Join(b.dev, "ttyUSB2"), IMEI: m.IMEI(), Registration: "home", Operator: "Simulated Net",
		SMSC: "+491710000000", Signal: &sms.Signal{DBm: -71, Quality: "good"}}
	b.d.daemon = func(context.Context) ([]sms.Modem, error) { return []sms.Modem{{Name: "other"}, answer}, nil }
	b.says(true, "office: Quectel", "office is ready", "home Simulated Net -71 dBm (good)", "SMSC set", "It can send.")
	if r := b.report(); !r.CanSend || r.Devices[0].Daemon.Name != "office" || r.Devices[0].Name != "office" {
		t.Errorf("%+v", r)
	}
	answer.State, answer.Reason, answer.Advice = sms.Parked, "The SIM may not send.", "Top it up."
	b.says(false, "office is parked", "=>        The SIM may not send. Top it up.")

	answer = sms.Modem{Name: "office", State: sms.BusyElsewhere, Port: answer.Port, Reason: "It is held by another."}
	if text := b.says(false, "office is busy-elsewhere", "=>        It is held by another."); strings.Contains(text, "SMSC") {
		t.Errorf("of a SIM that nobody has seen it says %s", text)
	}

	b.d.daemon = func(context.Context) ([]sms.Modem, error) { return nil, nil }
	b.says(false, "not by the one that was asked")
	b.d.daemon = func(context.Context) ([]sms.Modem, error) { return nil, errors.New("connection refused") }
	b.says(false, "does not tell: connection refused")
	if m.Stats().Lines != 0 {
		t.Error("a port that is held was written to")
	}
}

func TestDoctorKnowsTheConfiguration(t *testing.T) {
	b := newBench(t)
	m := b.quectel(sim.ModemOptions{})
	uart := b.net.AddModem(sim.ModemOptions{})
	serial0 := filepath.Join(b.dev, "serial0")
	if _, err := uart.OpenPTY(serial0); err != nil {
		t.Fatal(err)
	}
	b.d.list = []config.Modem{{Name: "stick", IMEI: m.IMEI()}, {Name: "board", Port: serial0}, {Name: "lost", IMEI: "356938035643809"},
		{Name: "gone", Port: filepath.Join(b.dev, "ttyUSB9")}}
	text := b.says(true, "stick: Quectel", "board: serial port", "lost is configured (IMEI …3809), and is not to be seen", "gone is configured ("+b.dev+"/ttyUSB9)")
	if strings.Count(text, "It can send.") != 2 {
		t.Error(text)
	}
	// Without the configuration the board is not touched.
	b.d.list = nil
	lines := uart.Stats().Lines
	if r := b.report(); len(r.Devices) != 1 || uart.Stats().Lines != lines {
		t.Errorf("%+v", r)
	}
}

// What the command line and the configuration can have wrong ends with 2.
func TestModemsCommandLine(t *testing.T) {
	t.Setenv("GATEWAYD_KEY", "")
	t.Setenv("GATEWAYD_CONFIG", "")
	path := filepath.Join(t.TempDir(), "gatewayd.yaml")
	if err := os.WriteFile(path, []byte("modem: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--config", path}, {"office"}, {"--key-file", path + ".missing"}} {
		cmd := modemsCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(args)
		err := cmd.Execute()
		var mistakes config.Errors
		var usage usageError
		if !errors.As(err, &mistakes) && !errors.As(err, &usage) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

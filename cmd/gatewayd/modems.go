package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatewayd/client"
	"gatewayd/config"
	"gatewayd/modem/ports"
	"gatewayd/sms"
)

// errNoneSends ends the doctor with status 1; what is wrong was printed.
var errNoneSends = errors.New("no modem can send now")

// doctor looks at this machine's modems. Tests give it another machine.
type doctor struct {
	machine ports.Machine
	open    ports.Opener // nil: the serial ports
	list    []config.Modem
	// daemon asks the running daemon for its modems; nil: there is no key.
	daemon func(context.Context) ([]sms.Modem, error)
}

// modemReport is what `gatewayd modems --json` prints.
type modemReport struct {
	Devices      []modemFinding `json:"devices"`
	Absent       []absentModem  `json:"absent"` // configured, and not to be seen
	UnderVoltage *bool          `json:"under_voltage"`
	CanSend      bool           `json:"can_send"`
}

type modemFinding struct {
	ports.Finding
	Name   string     `json:"name"`   // in the configuration, or the running daemon's
	Daemon *sms.Modem `json:"daemon"` // what the running daemon says of it
}

type absentModem struct {
	Name  string `json:"name"`
	Where string `json:"where"` // the port, IMEI or ICCID by which it is configured
}

func modemsCommand() *cobra.Command {
	var t target
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "modems",
		Short: "Look at what is plugged in, and say what is wrong with it",
		Long: `Shows each device that is or could be a modem: its mode, driver and ports, which
of them takes SMS commands, who holds it, and how SIM, network and signal are.
What the running daemon holds is asked of the daemon, if there is a key.
Exit status 0 only if at least one can send.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d := doctor{machine: ports.Local()}
			if t.config != "" {
				c, err := config.Load(t.config, os.Environ())
				if err != nil {
					return err
				}
				d.list = c.Modems.List
			}
			if t.keyFile != "" || os.Getenv("GATEWAYD_KEY") != "" {
				c, err := t.connect(client.WithPatience(0))
				if err != nil {
					return err
				}
				d.daemon = c.modems
			}
			return d.run(cmd.Context(), cmd.OutOrStdout(), asJSON)
		},
	}
	t.flags(cmd)
	cmd.AddCommand(recordCommand())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with IMEI and ICCID in full")
	return cmd
}

func (d *daemon) modems(ctx context.Context) ([]sms.Modem, error) {
	var answer struct {
		Modems []sms.Modem `json:"modems"`
	}
	err := d.ask(ctx, http.MethodGet, "/v1/modems", nil, &answer)
	return answer.Modems, err
}

func (d doctor) run(ctx context.Context, out io.Writer, asJSON bool) error {
	r, err := d.look(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		_, err = io.WriteString(out, r.text())
	}
	if err == nil && !r.CanSend {
		err = errNoneSends
	}
	return err
}

func (d doctor) look(ctx context.Context) (modemReport, error) {
	var named []string
	for _, m := range d.list {
		if m.Port != "" {
			named = append(named, m.Port)
		}
	}
	found, err := ports.Examine(ctx, d.machine, d.open, named...)
	if err != nil {
		return modemReport{}, err
	}
	r := modemReport{Devices: []modemFinding{}, Absent: []absentModem{}, UnderVoltage: found.UnderVoltage, CanSend: found.CanSend}
	for _, f := range found.Devices {
		r.Devices = append(r.Devices, modemFinding{Finding: f})
	}
	d.askDaemon(ctx, &r)
	for _, m := range d.list {
		i := slices.IndexFunc(r.Devices, func(f modemFinding) bool { return f.is(m) })
		if i < 0 {
			r.Absent = append(r.Absent, absentModem{Name: m.Name, Where: cmp.Or(m.Port, masked("IMEI", m.IMEI), masked("ICCID", m.ICCID))})
			continue
		}
		r.Devices[i].Name = m.Name
	}
	return r, nil
}

// is tells whether f is the modem that m configures.
func (f *modemFinding) is(m config.Modem) bool {
	if m.Port != "" {
		_, ok := f.Device.Find(m.Port)
		return ok
	}
	imei, iccid := "", ""
	if f.Modem != nil {
		imei, iccid = f.Modem.IMEI, f.Modem.ICCID
	}
	if f.Daemon != nil {
		imei, iccid = f.Daemon.IMEI, f.Daemon.ICCID
	}
	return m.IMEI != "" && m.IMEI == imei || m.ICCID != "" && m.ICCID == iccid
}

// askDaemon lets the daemon speak for the modems that it holds.
func (d doctor) askDaemon(ctx context.Context, r *modemReport) {
	held := func(f modemFinding) bool {
		return slices.ContainsFunc(f.HeldBy, func(h ports.Holder) bool { return h.Program == "gatewayd" })
	}
	if !slices.ContainsFunc(r.Devices, held) {
		return
	}
	var modems []sms.Modem
	err := errors.New("set GATEWAYD_KEY to ask it how this modem is")
	if d.daemon != nil {
		modems, err = d.daemon(ctx)
	}
	for i := range r.Devices {
		f := &r.Devices[i]
		if !held(*f) {
			continue
		}
		if err != nil {
			f.Reason, f.Advice = "It is in use by gatewayd.", "The running daemon does not tell: "+err.Error()+"."
			continue
		}
		at := slices.IndexFunc(modems, func(m sms.Modem) bool {
			_, ok := f.Device.Find(m.Port)
			return ok && m.Port != ""
		})
		if at < 0 {
			f.Reason, f.Advice = "It is in use by a gatewayd, but not by the one that was asked.", "Ask that one: --url names its address."
			continue
		}
		m := modems[at]
		f.Daemon, f.Name, f.Port = &m, m.Name, m.Port
		f.Reason, f.Advice = m.Reason, m.Advice
		f.CanSend = m.State == sms.Ready || m.State == sms.StorageFull || m.State == sms.Deaf
		r.CanSend = r.CanSend || f.CanSend
	}
}

const nothingFound = `No modem was found: nothing that is plugged in looks like one.

Check, in this order:
  1. Does lsusb list the stick? If not: another cable and socket, and a powered hub.
  2. Is its light on? Sticks need up to half a minute after they are plugged in.
  3. A board on the pins of a Raspberry Pi is not found by itself: give its port,
     such as /dev/serial0, under modems.list, and name that file with --config.
  4. In a container or a virtual machine: pass the USB device in, and /dev and /sys.
`

// text is the report for people. Numbers that name a person's device or SIM
// are cut short, so that it can be shown to others.
func (r modemReport) text() string {
	var b strings.Builder
	if len(r.Devices) == 0 {
		b.WriteString(nothingFound)
	}
	for i := range r.Devices {
		if i > 0 {
			b.WriteByte('\n')
		}
		r.Devices[i].text(&b)
	}
	for _, m := range r.Absent {
		fmt.Fprintf(&b, "\n%s is configured (%s), and is not to be seen.\n", m.Name, m.Where)
	}
	if r.UnderVoltage != nil && *r.UnderVoltage {
		b.WriteString("\nThe Raspberry Pi's supply is too weak at this moment: use its maker's supply, and a powered hub for the modems.\n")
	}
	return b.String()
}

func (f *modemFinding) text(b *strings.Builder) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "  %-9s %s\n", name, strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
	d := f.Device
	title := d.String()
	if d.Family != "" && !strings.Contains(title, d.Family) {
		title = d.Family + ": " + title
	}
	if f.Name != "" {
		title = f.Name + ": " + title
	}
	fmt.Fprintln(b, title)
	line("socket", "%s", d.Key)
	line("mode", "%s", modeWords[d.Mode])
	for _, t := range d.Ttys {
		line("port", "%s", f.portWords(t))
	}
	for _, h := range f.HeldBy {
		line("held by", "%s", h)
	}
	switch {
	case f.Daemon != nil:
		m := f.Daemon
		line("daemon", "%s is %s", m.Name, m.State)
		if m.IMEI != "" {
			line("modem", "%s %s %s", m.Manufacturer, m.Model, masked("IMEI", m.IMEI))
		}
		if m.ICCID+m.SMSC != "" {
			line("SIM", "%s SMSC %s", masked("ICCID", m.ICCID), set(m.SMSC))
		}
		if m.Registration != "" {
			line("network", "%s %s %s", m.Registration, m.Operator, signalWords(m.Signal))
		}
	case f.Modem != nil:
		line("modem", "%s %s %s", f.Modem.Manufacturer, f.Modem.Model, masked("IMEI", f.Modem.IMEI))
		sim := simWords(f.Modem.SIM)
		if c := f.Condition; c != nil {
			sim += ", SMSC " + set(c.SMSC)
		}
		line("SIM", "%s %s", sim, masked("ICCID", f.Modem.ICCID))
		if c := f.Condition; c != nil {
			line("network", "%s %s %s", c.Registration, c.Operator, signalWords(c.Signal))
		}
	}
	if f.CanSend {
		line("=>", "It can send. %s %s", f.Reason, f.Advice)
		return
	}
	line("=>", "%s %s", f.Reason, f.Advice)
}

var modeWords = map[ports.Mode]string{
	ports.Serial: "modem or serial line", ports.NotSwitched: "CD-ROM, not switched", ports.NetworkOnly: "network card only (HiLink)",
	ports.QMIOnly: "QMI or MBIM only", ports.NoDriver: "no driver",
}

func (f *modemFinding) portWords(t ports.Tty) string {
	s := t.Path
	if t.Number >= 0 {
		s += fmt.Sprintf(" if%02x", t.Number)
	}
	if t.Driver != "" {
		s += " " + t.Driver
	}
	if t.Role != ports.Unknown {
		s += ", " + string(t.Role)
	}
	for _, a := range f.Asked {
		if a.Port == t.Path && len(f.HeldBy) == 0 {
			s += ": " + a.Result
		}
	}
	return s
}

func simWords(state string) string {
	switch state {
	case "READY":
		return "ready"
	case "":
		return "unknown"
	case "none":
		return "none"
	}
	return "asks for " + strings.TrimPrefix(state, "SIM ")
}

func signalWords(s *sms.Signal) string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("%d dBm (%s)", s.DBm, s.Quality)
}

func set(s string) string {
	if s == "" {
		return "not set"
	}
	return "set"
}

// masked shows the end of a number that names a device or a SIM.
func masked(what, number string) string {
	if number == "" {
		return ""
	}
	return what + " …" + number[max(0, len(number)-4):]
}

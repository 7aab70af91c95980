//go:build e2e && modemmanager

package sim

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const busConfig = `<busconfig>
  <type>system</type>
  <listen>unix:abstract=gatewayd-test-%d</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
`

// startBus starts a D-Bus of the test's own, with a polkit on it that lets
// root use modems, and makes it the system bus of whatever the test starts.
func startBus(t *testing.T, dir string) {
	t.Helper()
	config := filepath.Join(dir, "bus.conf")
	must(t, "the bus's configuration", os.WriteFile(config, fmt.Appendf(nil, busConfig, os.Getpid()), 0o600))
	r, w, err := os.Pipe()
	must(t, "a pipe", err)
	defer r.Close()
	cmd := exec.Command(find(t, "dbus-daemon", "dbus"), "--config-file="+config, "--nofork", "--nopidfile", "--nosyslog", "--print-address=1")
	cmd.Stdout = w
	start(t, cmd)
	w.Close()
	address, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("dbus-daemon did not start: %v", err)
	}
	address = strings.TrimSpace(address)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
	start(t, exec.Command(find(t, "polkitd", "polkitd"), "--no-debug"))
	ask := find(t, "dbus-send", "dbus")
	until(t, "polkit is there", func() bool {
		out, err := exec.CommandContext(t.Context(), ask, "--bus="+address, "--print-reply", "--dest=org.freedesktop.DBus", "/",
			"org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.PolicyKit1").CombinedOutput()
		return err == nil && strings.Contains(string(out), "boolean true")
	})
}

// mmcli asks ModemManager.
func mmcli(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := tryMMCLI(t, arguments...)
	if err != nil {
		t.Fatalf("mmcli %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
	return out
}

func tryMMCLI(t *testing.T, arguments ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), find(t, "mmcli", "modemmanager"), append(arguments, "--timeout=60")...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// show gives what mmcli shows of a modem or a text: the fields' paths, and
// their values.
func show(t *testing.T, arguments ...string) map[string]string {
	t.Helper()
	fields, err := tryShow(t, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

// tryShow is show of what may be gone.
func tryShow(t *testing.T, arguments ...string) (map[string]string, error) {
	out, err := tryMMCLI(t, append(arguments, "-J")...)
	var tree map[string]any
	if err == nil {
		err = json.Unmarshal([]byte(out), &tree)
	}
	if err != nil {
		return nil, fmt.Errorf("mmcli %s: %w: %s", strings.Join(arguments, " "), err, out)
	}
	flat := map[string]string{}
	flatten(flat, "", tree)
	return flat, nil
}

func flatten(flat map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			flatten(flat, strings.TrimPrefix(path+"."+name, "."), field)
		}
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, fmt.Sprint(one))
		}
		flat[path] = strings.Join(all, " ")
	default:
		flat[path] = fmt.Sprint(v)
	}
}

// findModem waits until ModemManager has a modem with the IMEI.
func findModem(t *testing.T, imei string) (path string) {
	t.Helper()
	until(t, "ModemManager has found the modem", func() bool {
		for _, p := range strings.Fields(show(t, "-L")["modem-list"]) {
			// Another's may have gone by now.
			if is, err := tryShow(t, "-m", p); err == nil && is["modem.3gpp.imei"] == imei {
				path = p
			}
		}
		return path != ""
	})
	return path
}

// texts are what ModemManager knows of a modem's messages.
func texts(t *testing.T, modem string) []map[string]string {
	t.Helper()
	var all []map[string]string
	for _, path := range strings.Fields(show(t, "-m", modem, "--messaging-list-sms")["modem.messaging.sms"]) {
		all = append(all, show(t, "-s", path))
	}
	return all
}

// plugInAll adds a modem of the family to the network and puts its serial
// ports, by their interfaces' numbers, on pseudo-terminals. Those for diagnosis
// are left out: ModemManager asks a port that is silent for half a minute.
func plugInAll(t *testing.T, n *Network, slug string) (m *Modem, ports map[int]string) {
	t.Helper()
	p, known := ProfileNamed(slug)
	if !known {
		t.Fatalf("no family %s", slug)
	}
	m = newPeer(t, n, p)
	ports = map[int]string{}
	for _, i := range p.USB.Interfaces {
		if i.Role == RoleNone || i.Role == RoleDiag {
			continue
		}
		port, err := m.OpenPTYOf(i.Number, "")
		if err != nil {
			t.Fatal(err)
		}
		ports[i.Number] = port
	}
	return m, ports
}

// plugins are those of ModemManager's that must take our families for their
// own. The SIM800 has none: ModemManager asks no port that says nothing but
// that it is a USB-to-serial bridge.
var plugins = map[string]string{
	"huawei-e3372":   "huawei",
	"huawei-e173":    "huawei",
	"simcom-sim7600": "simtech",
	"quectel-ec25":   "quectel",
	"zte-mf190":      "zte",
}

// A ModemManager that is shown our modems as USB devices must find them, take
// them for what they say they are, and exchange texts through them.
func TestModemManager(t *testing.T) {
	dir := inNamespace(t)
	if dir == "" {
		return
	}
	program := find(t, "ModemManager", "modemmanager")
	// ModemManager reads one new text at a time and forgets what is announced
	// meanwhile, so parts come one after the other, as on the air.
	n := NewNetwork(NetworkOptions{Delivery: time.Second})
	t.Cleanup(n.Close)
	modems := map[string]*Modem{}
	ports := map[string]map[int]string{}
	for slug := range plugins {
		modems[slug], ports[slug] = plugInAll(t, n, slug)
	}
	usb := newUSBTree(t, dir)
	events := filepath.Join(dir, "events")
	ttys := map[string][]string{}
	var text strings.Builder
	for slug, m := range modems {
		ttys[slug] = usb.plug(m.Profile().USB, ports[slug])
		for _, name := range ttys[slug] {
			fmt.Fprintf(&text, "action=add,subsystem=tty,name=%s\n", name)
		}
	}
	must(t, "the events", os.WriteFile(events, []byte(text.String()), 0o600))

	startBus(t, dir)
	log := filepath.Join(dir, "log")
	start(t, exec.Command(program, "--test-no-udev", "--test-no-suspend-resume", "--test-no-qrtr",
		"--no-auto-scan", "--initial-kernel-events="+events, "--log-level=DEBUG", "--log-file="+log))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ModemManager's log ends:\n%s", tail(log))
		}
	})
	until(t, "ModemManager is there", func() bool { _, err := tryMMCLI(t, "-L"); return err == nil })
	sideBySide(t, slices.Collect(maps.Keys(plugins)), func(t *testing.T, slug string) {
		modem := useByModemManager(t, n, modems[slug], plugins[slug])
		modems[slug].Unplug()
		for _, name := range ttys[slug] { // as udev would tell
			mmcli(t, "--report-kernel-event=action=remove,subsystem=tty,name="+name)
		}
		until(t, "ModemManager has seen the modem go", func() bool {
			return !slices.Contains(strings.Fields(show(t, "-L")["modem-list"]), modem)
		})
	})
}

// useByModemManager does what a desktop does, by mmcli, and returns the modem's
// name.
func useByModemManager(t *testing.T, n *Network, m *Modem, plugin string) (modem string) {
	modem = findModem(t, m.IMEI())
	is := show(t, "-m", modem)
	for field, want := range map[string]string{
		"modem.generic.plugin":       plugin,
		"modem.generic.manufacturer": m.Profile().Manufacturer,
		"modem.generic.model":        m.Profile().Model,
		"modem.generic.revision":     m.Profile().Revision,
	} {
		if is[field] != want {
			t.Errorf("%s is %q, not %q", field, is[field], want)
		}
	}
	h := n.Handset("+4917012345" + m.Number()[len(m.Number())-2:])
	early := "Before it was enabled"
	if err := h.Send(m.Number(), early); err != nil {
		t.Fatal(err)
	}
	until(t, "the modem has stored a text", func() bool { return len(m.Stored("SM"))+len(m.Stored("ME")) == 1 })
	mmcli(t, "-m", modem, "-e")
	until(t, "registered", func() bool { is = show(t, "-m", modem); return is["modem.generic.state"] == "registered" })
	for field, want := range map[string]string{
		"modem.3gpp.registration-state": "home",
		"modem.3gpp.operator-code":      "26201",
		"modem.3gpp.operator-name":      "Simulated Net",
	} {
		if is[field] != want {
			t.Errorf("%s is %q, not %q", field, is[field], want)
		}
	}

	sent := []string{"Hello from ModemManager", strings.TrimSpace(strings.Repeat("A long text of ModemManager. ", 12)), "Grüße ☎ привет"}
	for _, text := range sent {
		out := mmcli(t, "-m", modem, fmt.Sprintf("--messaging-create-sms=number=%s,text='%s',delivery-report-request=yes", h.Number(), text))
		at := strings.Index(out, "/org/")
		if at < 0 {
			t.Fatalf("mmcli created no text: %s", out)
		}
		path := strings.TrimSpace(out[at:])
		mmcli(t, "-s", path, "--send")
		if is := show(t, "-s", path); is["sms.properties.state"] != "sent" {
			t.Errorf("the text is %v", is)
		}
		gets(t, h, text)
		// ModemManager would add parts that come to one that it sent under the
		// same reference.
		mmcli(t, "-m", modem, "--messaging-delete-sms="+path)
	}
	var listed []map[string]string
	has := func(want map[string]string) int {
		found := 0
		listed = texts(t, modem)
	texts:
		for _, is := range listed {
			for field, value := range want {
				if is[field] != value {
					continue texts
				}
			}
			found++
		}
		return found
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ModemManager lists %q", listed)
		}
	})
	lists := func(text string) {
		t.Helper()
		until(t, fmt.Sprintf("ModemManager lists %q", text), func() bool {
			return has(map[string]string{"sms.content.number": h.Number(), "sms.content.text": text,
				"sms.properties.pdu-type": "deliver", "sms.properties.state": "received"}) == 1
		})
	}
	lists(early)
	// ModemManager knows no +CNMI with mode 1. Where 2 is refused, it hears of
	// no new texts; where direct reports are, of no reports.
	refused := m.Profile().CNMIRefused
	if !slices.Contains(refused[0], 2) {
		for _, text := range []string{"Hello from the handset", strings.TrimSpace(strings.Repeat("A long answer: €, ü. ", 20)), "Привет ☎"} {
			if err := h.Send(m.Number(), text); err != nil {
				t.Fatal(err)
			}
			lists(text)
		}
	}
	if !slices.Contains(refused[0], 2) && !slices.Contains(refused[3], 1) {
		until(t, "the texts are reported as delivered", func() bool {
			return has(map[string]string{"sms.properties.pdu-type": "status-report", "sms.properties.delivery-state": "completed-received"}) >= len(sent)
		})
	}
	for _, is := range texts(t, modem) {
		mmcli(t, "-m", modem, "--messaging-delete-sms="+is["sms.dbus-path"])
	}
	if left := len(received(m)); left != 0 {
		t.Errorf("%d messages left after ModemManager deleted them", left)
	}
	if out := mmcli(t, "-m", modem, "--3gpp-ussd-initiate=*100#"); !strings.Contains(out, "Balance: 10.00 EUR") {
		t.Errorf("the balance is %s", out)
	}
	return modem
}

// received are the texts, without the status reports, that a modem stores.
func received(m *Modem) (all [][]byte) {
	for _, raw := range slices.Concat(m.Stored("SM"), m.Stored("ME")) {
		if report, _, _, _ := glance(raw); !report {
			all = append(all, raw)
		}
	}
	return all
}

//go:build e2e

package sim

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// smsd is a gammu-smsd that runs, with its folders.
type smsd struct {
	t      *testing.T
	dir    string
	config string
}

func startSMSD(t *testing.T, link string) *smsd {
	t.Helper()
	program := find(t, "gammu-smsd", "gammu-smsd")
	d := &smsd{t: t, dir: t.TempDir()}
	d.config = filepath.Join(d.dir, "smsdrc")
	var text strings.Builder
	fmt.Fprintf(&text, "[gammu]\nport = %s\nconnection = at115200\n[smsd]\nservice = files\nlogfile = %s/log\ndebuglevel = 255\n", link, d.dir)
	for _, folder := range []string{"inbox", "outbox", "sentsms", "errorsms"} {
		path := filepath.Join(d.dir, folder)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%spath = %s/\n", folder, path)
	}
	text.WriteString("inboxformat = unicode\ndeliveryreport = sms\ncommtimeout = 1\nreceivefrequency = 1\nloopsleep = 1\n")
	if err := os.WriteFile(d.config, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the inbox: %q %q", d.files("inbox"), d.inbox())
			t.Logf("gammu-smsd's log ends:\n%s", tail(filepath.Join(d.dir, "log")))
		}
	})
	cmd := exec.Command(program, "-c", d.config)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	start(t, cmd)
	return d
}

// send hands gammu-smsd a text, as its users do.
func (d *smsd) send(to, text string) {
	d.t.Helper()
	cmd := exec.CommandContext(d.t.Context(), find(d.t, "gammu-smsd-inject", "gammu-smsd"),
		"-c", d.config, "TEXT", to, "-report", "-autolen", "1000", "-text", text)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("gammu-smsd-inject: %v\n%s", err, out)
	}
}

// files are the names in a folder.
func (d *smsd) files(folder string) []string {
	d.t.Helper()
	entries, err := os.ReadDir(filepath.Join(d.dir, folder))
	if err != nil {
		d.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// inbox gives the texts that came in: a long one lies in one file for each
// part, whose names differ in the last number only.
func (d *smsd) inbox() []string {
	d.t.Helper()
	joined := map[string]string{}
	var order []string
	for _, name := range d.files("inbox") {
		b, err := os.ReadFile(filepath.Join(d.dir, "inbox", name))
		if err != nil {
			d.t.Fatal(err)
		}
		whole := name[:strings.LastIndex(name, "_")]
		if _, known := joined[whole]; !known {
			order = append(order, whole)
		}
		joined[whole] += utf16Text(b)
	}
	var texts []string
	for _, whole := range order {
		texts = append(texts, joined[whole])
	}
	return texts
}

// utf16Text reads what gammu-smsd writes: UTF-16, the byte order in front. It
// counts escaped characters such as € twice, so there may be more behind the
// text, after a NUL.
func utf16Text(b []byte) string {
	var order binary.ByteOrder = binary.LittleEndian
	if len(b) >= 2 && b[0] == 0xFE {
		order = binary.BigEndian
	}
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		units = append(units, order.Uint16(b))
	}
	text, _, _ := strings.Cut(string(utf16.Decode(units)), "\x00")
	return strings.TrimPrefix(text, "\ufeff")
}

func TestGammuSMSD(t *testing.T) {
	t.Parallel()
	eachProfile(t, func(t *testing.T, p Profile) {
		n := NewNetwork(NetworkOptions{})
		t.Cleanup(n.Close)
		m, link := plugIn(t, n, p)
		h := n.Handset("+491701234567")
		d := startSMSD(t, link)

		sent := []string{"Hello from gammu-smsd", strings.Repeat("A long text for the handset. ", 12), "Grüße ☎ привет"}
		for _, text := range sent {
			d.send(h.Number(), text)
		}
		received := []string{"Hello from the handset", strings.Repeat("A long answer: €, ü. ", 20), "Привет ☎"}
		for _, text := range received {
			if err := h.Send(m.Number(), text); err != nil {
				t.Fatal(err)
			}
		}
		for _, text := range sent {
			gets(t, h, text)
		}
		for _, text := range received {
			until(t, fmt.Sprintf("gammu-smsd has received %q", text), func() bool { return slices.Contains(d.inbox(), text) })
		}
		// gammu knows one form of +CNMI alone, 2,1,0,2,0. Where that is refused,
		// as Qualcomm's do, it finds texts by looking, and there are no reports.
		if !slices.Contains(p.CNMIRefused[0], 2) {
			until(t, "every part is reported as delivered", func() bool {
				delivered := 0
				for _, text := range d.inbox() {
					delivered += strings.Count(text, "Delivered")
				}
				return delivered >= len(n.Accepted())
			})
		}
		until(t, "the SIM and the modem are emptied", func() bool { return len(m.Stored("SM"))+len(m.Stored("ME")) == 0 })
		if got := d.files("errorsms"); len(got) > 0 {
			t.Errorf("gammu-smsd could not send %q", got)
		}
		if got := h.Received(); len(got) != len(sent) {
			t.Errorf("the handset shows %q", got)
		}
	})
}

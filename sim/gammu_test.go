//go:build e2e

package sim

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gammu, a program that knows nothing of us, must take the simulated modem
// for a real one.
func gammu(t *testing.T, port string, arguments ...string) string {
	t.Helper()
	program, err := exec.LookPath("gammu")
	if err != nil {
		t.Fatalf("%v: install Debian's package gammu", err)
	}
	config := filepath.Join(t.TempDir(), "gammurc")
	text := fmt.Sprintf("[gammu]\nport = %s\nconnection = at115200\nlogformat = textalldate\nlogfile = %s.log\n", port, config)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"-c", config}, arguments...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(config + ".log")
		t.Fatalf("gammu %s: %v\n%s\n%s", strings.Join(arguments, " "), err, out, log)
	}
	return string(out)
}

func wants(t *testing.T, output string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(output, p) {
			t.Errorf("no %q in\n%s", p, output)
		}
	}
}

func TestGammuIdentifies(t *testing.T) {
	_, m, link := ptyModem(t)
	out := gammu(t, link, "identify")
	wants(t, out, m.IMEI(), Generic.Manufacturer, Generic.Model)
	wants(t, gammu(t, link, "monitor", "1"), "Signal strength", "SMS status")
	wants(t, gammu(t, link, "networkinfo"), "262 01", m.radio.Operator, "home network")
}

// gammu knows Huawei's and Quectel's modems by their names, and what it
// believes of them must hold here.
func TestGammuAndFamilies(t *testing.T) {
	for _, p := range Profiles()[1:] {
		t.Run(p.Slug, func(t *testing.T) {
			t.Parallel() // gammu sleeps most of its time
			n := NewNetwork(NetworkOptions{})
			defer n.Close()
			m := n.AddModem(ModemOptions{Profile: p, Warm: true})
			link, err := m.OpenPTY(filepath.Join(t.TempDir(), "ttyUSB0"))
			if err != nil {
				t.Fatal(err)
			}
			wants(t, gammu(t, link, "identify"), m.IMEI())
			h := n.Handset("+491701234567")
			text := "Hello from gammu, in two parts: " + strings.Repeat("one and another, ", 12)
			gammu(t, link, "sendsms", "TEXT", h.Number(), "-len", "1000", "-autolen", "1000", "-text", text)
			if err := h.Wait(t.Context(), func(all []Message) bool { return len(all) == 1 }); err != nil {
				t.Fatal(err)
			}
			if got := h.Received()[0]; got != text {
				t.Errorf("the handset shows %q", got)
			}
			if err := h.Send(m.Number(), "Answer"); err != nil {
				t.Fatal(err)
			}
			if err := h.Wait(t.Context(), func(all []Message) bool { return len(all) == 2 && all[1].Delivered }); err != nil {
				t.Fatal(err)
			}
			wants(t, gammu(t, link, "getallsms"), "Answer", h.Number())
		})
	}
}

func TestGammuSends(t *testing.T) {
	n, _, link := ptyModem(t)
	h := n.Handset("+491701234567")
	for i, text := range []string{
		"Hello",
		strings.Repeat("A long text, sent by gammu. ", 20),
		"€{}[]~\\^| and the escapes",
		"Ünicode ☎ " + strings.Repeat("привет ", 20),
	} {
		out := gammu(t, link, "sendsms", "TEXT", h.Number(), "-len", "1000", "-autolen", "1000", "-text", text)
		wants(t, out, "OK")
		if err := h.Wait(t.Context(), func(m []Message) bool { return len(m) == i+1 }); err != nil {
			t.Fatal(err)
		}
		if got := h.Received()[i]; got != text {
			t.Errorf("handset shows %q, not %q", got, text)
		}
	}
}

func TestGammuReads(t *testing.T) {
	n, m, link := ptyModem(t)
	h := n.Handset("+491701234567")
	text := "An answer of several parts: " + strings.Repeat("one and another, ", 20)
	if err := h.Send(m.Number(), text); err != nil {
		t.Fatal(err)
	}
	if err := h.Send(m.Number(), "Grüße 👋"); err != nil {
		t.Fatal(err)
	}
	if err := h.Wait(t.Context(), func(m []Message) bool { return len(m) == 2 && m[0].Delivered && m[1].Delivered }); err != nil {
		t.Fatal(err)
	}
	out := gammu(t, link, "geteachsms")
	wants(t, strings.ReplaceAll(out, "\n", ""), text[:60], "Grüße", h.Number())
	gammu(t, link, "deleteallsms", "1")
	if left := m.Stored("SM"); len(left) != 0 {
		t.Errorf("%d messages left after gammu deleted them", len(left))
	}
}

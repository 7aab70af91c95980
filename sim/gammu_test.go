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
// for a real one. It gets several commands at once, for it takes four seconds
// to look at a modem first.
func gammu(t *testing.T, port string, commands ...string) string {
	t.Helper()
	program := find(t, "gammu", "gammu")
	dir := t.TempDir()
	config, batch := filepath.Join(dir, "gammurc"), filepath.Join(dir, "batch")
	text := fmt.Sprintf("[gammu]\nport = %s\nconnection = at115200\nlogformat = textalldate\nlogfile = %s/log\n", port, dir)
	must(t, "gammu's configuration", os.WriteFile(config, []byte(text), 0o600))
	must(t, "gammu's commands", os.WriteFile(batch, []byte(strings.Join(commands, "\n")+"\n"), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-c", config, "batch", batch)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("gammu %q: %v\n%s\n%s", commands, err, out, tail(filepath.Join(dir, "log")))
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

func TestGammu(t *testing.T) {
	t.Parallel()
	eachProfile(t, func(t *testing.T, p Profile) {
		n := NewNetwork(NetworkOptions{})
		t.Cleanup(n.Close)
		m, link := plugIn(t, n, p)
		h := n.Handset("+491701234567")

		// Each ends up in another alphabet, or in several parts.
		texts := []string{
			strings.TrimSpace(strings.Repeat("A long text, sent by gammu. ", 20)),
			"€{}[]~\\^| and the escapes",
			"Ünicode ☎ " + strings.TrimSpace(strings.Repeat("привет ", 20)),
		}
		commands := []string{"identify", "getsecuritystatus", "monitor 1"}
		for _, text := range texts {
			commands = append(commands, fmt.Sprintf(`sendsms TEXT %s -len 1000 -autolen 1000 -text "%s"`, h.Number(), text))
		}
		wants(t, gammu(t, link, commands...), m.IMEI(), p.Model, "Nothing to enter",
			"Signal strength", "SMS status", "262 01", "Simulated Net", "home network", "OK")
		for _, text := range texts {
			gets(t, h, text)
		}

		text := "An answer of several parts: " + strings.Repeat("one and another, ", 20)
		for _, text := range []string{text, "Grüße 👋"} {
			if err := h.Send(m.Number(), text); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Wait(t.Context(), func(all []Message) bool {
			taken := 0
			for _, x := range all {
				if x.Delivered {
					taken++
				}
			}
			return taken == 2
		}); err != nil {
			t.Fatal(err)
		}
		out := gammu(t, link, "geteachsms", "getallsms",
			"deleteallsms 1", "deleteallsms 3", // the SIM's and the modem's
			`getussd "*100#"`)
		wants(t, strings.ReplaceAll(out, "\n", ""), text, "Grüße", h.Number(), "4 SMS parts", "Balance: 10.00 EUR")
		if left := len(m.Stored("SM")) + len(m.Stored("ME")); left != 0 {
			t.Errorf("%d messages left after gammu deleted them", left)
		}
	})
}

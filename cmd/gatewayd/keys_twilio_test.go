package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// twilioKeys runs a command of gatewayd keys to its end.
func twilioKeys(t *testing.T, config string, args ...string) (string, error) {
	t.Helper()
	cmd := keysCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append(args, "--config", config))
	err := cmd.Execute()
	return out.String(), err
}

// An account is made, listed, set and revoked by its SID.
func TestTwilioKeys(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "gatewayd.yaml")
	if err := os.WriteFile(config, []byte("data_dir: data\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(args ...string) string {
		t.Helper()
		out, err := twilioKeys(t, config, args...)
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return out
	}
	made := do("create", "--name", "app", "--scope", "send", "--twilio", "--sms-url", "https://example.org/sms", "--dedup", "30s", "--receives", "office,+491700000001")
	lines := regexp.MustCompile(`^(AC[0-9a-f]{32})\n([0-9a-zA-Z]{32})\n$`).FindStringSubmatch(made)
	if lines == nil {
		t.Fatalf("printed is %q", made)
	}
	sid := lines[1]
	further := do("create", "--name", "worker", "--scope", "send", "--twilio", "--account", sid)
	if !regexp.MustCompile(`^SK[0-9a-f]{32}\n[0-9a-zA-Z]{32}\n$`).MatchString(further) {
		t.Errorf("of a further key is printed %q", further)
	}
	want := "sms-url          https://example.org/sms\nstatus-callback  -\nreceives         office,+491700000001\nany-from         false\ndedup            30s\n"
	if got := do("twilio", sid); got != want {
		t.Errorf("it is set\n%s", got)
	}
	want = "sms-url          -\nstatus-callback  https://example.org/status\nreceives         all\nany-from         true\ndedup            30s\n"
	if got := do("twilio", sid, "--sms-url=", "--status-callback", "https://example.org/status", "--receives=", "--any-from"); got != want {
		t.Errorf("changed it is set\n%s", got)
	}
	if got := do("twilio", sid); got != want {
		t.Errorf("later it is set\n%s", got)
	}
	if got := do("twilio", sid, "--sms-url", "http://10.0.0.1/sms"); !strings.Contains(got, "warning: ") || !strings.Contains(got, "http.allow_private_webhooks") {
		t.Errorf("a plain http:// address is set without a word: %s", got)
	}
	if got := do("twilio", sid, "--new-token"); !regexp.MustCompile(`^[0-9a-f]{32}\n$`).MatchString(got) || strings.Contains(got, lines[2]) {
		t.Errorf("the new token is %q", got)
	}
	// Its token is none of ours to rotate; it is said what to do instead.
	for _, name := range []string{"app", "worker"} {
		if _, err := twilioKeys(t, config, "rotate", name); err == nil || !strings.Contains(err.Error(), "keys twilio ACCOUNT-SID --new-token") || !strings.Contains(err.Error(), "--account ACCOUNT-SID") {
			t.Errorf("rotating %s: %v", name, err)
		}
	}
	list := do("list")
	if !strings.Contains(list, sid) || !strings.Contains(list, strings.TrimSpace(further[:34])) || strings.Contains(list, lines[2]) {
		t.Errorf("listed is\n%s", list)
	}
	if got := do("revoke", sid); !strings.Contains(got, "(app)") {
		t.Errorf("revoked is %s", got)
	}
	for _, wrong := range [][]string{
		{"create", "--name", "x", "--scope", "send", "--sms-url", "https://example.org"},
		{"create", "--name", "x", "--scope", "send", "--account", sid},
		{"create", "--name", "x", "--scope", "send", "--twilio", "--account", sid, "--dedup", "1s"},
	} {
		var usage usageError
		if _, err := twilioKeys(t, config, wrong...); !errors.As(err, &usage) {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	for _, wrong := range [][]string{
		{"create", "--name", "x", "--scope", "send", "--twilio", "--sms-url", "example.org"},
		{"create", "--name", "x", "--scope", "send", "--twilio", "--dedup", "48h"},
		{"create", "--name", "x", "--scope", "send", "--twilio", "--account", "AC1"},
		{"twilio", "AC1"},
		{"revoke", "SK1"},
	} {
		if out, err := twilioKeys(t, config, wrong...); err == nil {
			t.Errorf("%v is accepted: %s", wrong, out)
		}
	}
}

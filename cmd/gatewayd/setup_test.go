package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatewayd/config"
)

// Setup can be repeated: it changes one value, and nothing that somebody wrote.
func TestSetup(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "etc", "config.yaml")
	t.Setenv("GATEWAYD_DATA_DIR", filepath.Join(dir, "data"))
	run := func(o setupOptions, with string) string {
		t.Helper()
		o.path = path
		var out bytes.Buffer
		if err := setup(context.Background(), strings.NewReader(""), &out, o); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), with) {
			t.Errorf("no %q in\n%s", with, out.String())
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	listens := func(want string) {
		t.Helper()
		c, err := config.Load(path, os.Environ())
		if err != nil || c.HTTP.LAN.Listen != want {
			t.Errorf("%v %q, want %q", err, c.HTTP.LAN.Listen, want)
		}
	}
	first := run(setupOptions{}, "was written") // nobody to ask: loopback
	listens("")
	if again := run(setupOptions{}, "stays as it is"); again != first {
		t.Errorf("the second time:\n%s", again)
	}
	run(setupOptions{lan: true}, `http.lan.listen is ":8443" now`)
	listens(":8443")
	run(setupOptions{lan: true}, "stays as it is")
	run(setupOptions{}, "stays as it is")
	run(setupOptions{loopback: true}, `http.lan.listen is "" now`)
	if again := run(setupOptions{loopback: true}, "stays"); again != first {
		t.Errorf("there and back:\n%s", again)
	}

	mine := "# mine\nhttp:\n  lan: # here\n    listen: \"127.0.0.1:9443\" # another port\n    name: shop\ndefault_region: AT\n"
	if err := errors.Join(os.WriteFile(path, []byte(mine), 0o600), os.Chmod(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := run(setupOptions{lan: true, yes: true}, "stays as it is"); got != mine {
		t.Errorf("a value that somebody wrote was changed:\n%s", got)
	}
	if got := run(setupOptions{loopback: true}, "now"); got != strings.Replace(mine, "127.0.0.1:9443", "", 1) {
		t.Errorf("more than the one value was changed:\n%s", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("nonsense: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var mistakes config.Errors
	if err := setup(context.Background(), strings.NewReader(""), &bytes.Buffer{}, setupOptions{path: path, lan: true}); !errors.As(err, &mistakes) {
		t.Errorf("a file with a mistake: %v", err)
	}
}

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatewayd/auth"
	"gatewayd/db"
)

// people runs "gatewayd people …" on the data directory of a test.
func people(t *testing.T, dir, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte("data_dir: data\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	root := rootCommand()
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(append([]string{"people", args[0], "--config", file}, args[1:]...))
	err = root.Execute()
	return out.String(), errs.String(), err
}

// The commands work while a daemon has the database open, and hold there at once.
func TestPeopleCommands(t *testing.T) {
	const horse, other = "correct horse battery", "another long sentence"
	dir := t.TempDir()
	if _, _, err := people(t, dir, horse+"\n", "add", "Anna", "--role", "admin", "--password-stdin"); err != nil {
		t.Fatal(err)
	}
	d, err := db.Open(t.Context(), db.Options{Dir: filepath.Join(dir, "data")})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	daemon := auth.New(d)
	signIn := func(name, password string) (string, error) {
		cookie, _, err := daemon.SignIn(t.Context(), name, password, "", true)
		return cookie, err
	}
	cookie, err := signIn("anna", horse)
	if err != nil {
		t.Fatal(err)
	}
	code, said, err := people(t, dir, "", "add", "Tess", "--role", "technician", "--sees-texts", "--invite")
	if err != nil || len(code) != 12 || !strings.Contains(said, "/welcome") {
		t.Fatalf("%q, %q, %v", code, said, err)
	}
	if _, err := daemon.Accept(t.Context(), strings.TrimSpace(code), "tess", horse); err != nil {
		t.Error(err)
	}
	if _, _, err := people(t, dir, "", "set", "tess", "--role", "operator", "--name", "Theo"); err != nil {
		t.Error(err)
	}
	// The password is lost: who may write the data directory sets another.
	if _, _, err := people(t, dir, other+"\r\n", "reset-password", "anna", "--password-stdin"); err != nil {
		t.Error(err)
	}
	if _, err := daemon.Session(t.Context(), cookie); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("the old session: %v", err)
	}
	if _, err := signIn("anna", other); err != nil {
		t.Error(err)
	}
	list, _, err := people(t, dir, "", "list")
	if err != nil || !strings.Contains(list, "Theo  operator") || strings.Contains(list, "argon2") {
		t.Errorf("%s, %v", list, err)
	}
	if list, _, err := people(t, dir, "", "list", "--json"); err != nil || !strings.Contains(list, `"name": "Anna"`) || strings.Contains(list, "argon2") {
		t.Errorf("%s, %v", list, err)
	}
	if _, _, err := people(t, dir, "", "remove", "Anna"); !errors.Is(err, auth.ErrLastAdmin) {
		t.Errorf("the last admin is removed: %v", err)
	}
	if code, _, err := people(t, dir, "", "reset-password", "theo", "--invite"); err != nil || len(code) != 12 {
		t.Error(code, err)
	}
	if _, _, err := people(t, dir, "", "remove", "theo"); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]string{
		{"add", "x"}, {"add", "--role", "admin"}, {"add", "x", "--role", "king", "--invite"}, {"add", "x", "--role", "admin"},
		{"add", "x", "--role", "admin", "--password-stdin"}, {"add", "x", "--role", "admin", "--password-stdin", "--invite"},
		{"add", "anna", "--role", "admin", "--invite"}, {"set", "anna"}, {"set", "anna", "--role", "king"}, {"reset-password"},
	} {
		var usage usageError
		if _, _, err := people(t, dir, "", bad...); !errors.As(err, &usage) {
			t.Errorf("people %q: %v, want an error of the command line", bad, err)
		}
	}
	if _, _, err := people(t, dir, "short\n", "add", "x", "--role", "admin", "--password-stdin"); err == nil || !strings.Contains(err.Error(), "at least 10 characters") {
		t.Error(err)
	}
	if _, _, err := people(t, dir, "", "remove", "nobody"); !errors.Is(err, auth.ErrNoPerson) {
		t.Error(err)
	}
}

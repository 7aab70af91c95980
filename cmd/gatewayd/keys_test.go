package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatewayd/auth"
)

// keys runs "gatewayd keys …" on the data directory of a test.
func keys(t *testing.T, dir string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte("data_dir: data\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	root := rootCommand()
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(append([]string{"keys", args[0], "--config", file}, args[1:]...))
	err = root.Execute()
	return out.String(), errs.String(), err
}

func TestKeysWithLimits(t *testing.T) {
	dir := t.TempDir()
	made, _, err := keys(t, dir, "create", "--name", "shop", "--scope", "send,read", "--rate", "60", "--burst", "5", "--quota", "1000",
		"--allow", "de,+43", "--premium", "--expires", "48h")
	if err != nil {
		t.Fatal(err)
	}
	next, said, err := keys(t, dir, "rotate", "shop", "--overlap", "2h")
	if err != nil || strings.Count(next, "\n") != 1 || next == made {
		t.Fatalf("%q, %v", next, err)
	}
	if !strings.Contains(said, made[:13]) || !strings.Contains(said, "ends at") {
		t.Errorf("rotate says %q", said)
	}
	list, _, err := keys(t, dir, "list", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Keys []auth.View }
	if err := json.Unmarshal([]byte(list), &all); err != nil || len(all.Keys) != 2 {
		t.Fatalf("%v in %s", err, list)
	}
	for _, k := range all.Keys {
		life := 48 * time.Hour
		if k.Principal == k.ID {
			life = 2 * time.Hour // the old one
		}
		if k.Principal != made[3:13] || *k.Rate != 60 || *k.Burst != 5 || *k.Quota != 1000 || len(k.Allow) != 2 || !k.Premium || !k.Valid ||
			time.Until(*k.ExpiresAt).Round(time.Hour) != life {
			t.Errorf("%+v", k)
		}
	}
	table, _, err := keys(t, dir, "list")
	if err != nil || !strings.Contains(table, "60/min  1000/day  DE,+43, premium") {
		t.Errorf("%s (%v)", table, err)
	}
	if _, said, err := keys(t, dir, "limit", "shop", "--quota", "7", "--allow", "", "--premium=false"); err != nil || !strings.Contains(said, "60/min, 7/day, to all\n") {
		t.Errorf("%q, %v", said, err)
	}
	for _, secret := range []string{made[14:], next[14:]} {
		if strings.Contains(list+table+said, strings.TrimSpace(secret)) {
			t.Error("a token is shown again")
		}
	}
	for _, bad := range [][]string{
		{"create", "--name", "a", "--scope", "send", "--allow", "Germany"}, {"create", "--name", "a", "--scope", "send", "--allow", ","},
		{"create", "--name", "a", "--scope", "send", "--rate", "-1"}, {"create", "--name", "a", "--scope", "send", "--burst", "3"},
		{"create", "--name", "a", "--scope", "send", "--expires", "-1h"}, {"create", "--name", "a", "--scope", "write"},
		{"rotate", "shop", "--overlap", "-1s"}, {"rotate"},
		{"limit", "shop"}, {"limit", "shop", "--rate", "-1"}, {"limit", "shop", "--allow", "XX"},
	} {
		var usage usageError
		if _, _, err := keys(t, dir, bad...); !errors.As(err, &usage) {
			t.Errorf("keys %q: %v, want an error of the command line", bad, err)
		}
	}
}

// Who has a running gateway in the environment, and names no configuration, means
// that one: a key in the database of this machine would open nothing there.
func TestKeysOfAnotherGateway(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("GATEWAYD_URL", "http://127.0.0.1:1")
	t.Setenv("GATEWAYD_CONFIG", "")
	t.Setenv("GATEWAYD_DATA_DIR", filepath.Join(dir, "data"))
	for _, args := range [][]string{{"create", "--name", "x", "--scope", "send"}, {"list"}, {"create", "--name", "x", "--scope", "send", "--twilio"}} {
		root := rootCommand()
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		root.SetArgs(append([]string{"keys"}, args...))
		err := root.Execute()
		if usage := (usageError{}); !errors.As(err, &usage) || !strings.Contains(err.Error(), "POST /v1/keys") {
			t.Errorf("keys %v: %v", args, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("a database was made all the same")
	}
	if _, _, err := keys(t, dir, "create", "--name", "x", "--scope", "send"); err != nil {
		t.Errorf("with its configuration: %v", err)
	}
}

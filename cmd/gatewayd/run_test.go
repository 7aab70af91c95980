package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatewayd/db"
	"gatewayd/gateway"
)

// A daemon that is told to stop while it still starts has failed at nothing.
func TestStoppedWhileStarting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := serve(ctx, gateway.Options{DataDir: t.TempDir(), Listener: l, Log: slog.New(slog.DiscardHandler)}, func(context.Context, *gateway.Gateway, *slog.Logger, func() func()) {}); err != nil {
		t.Error(err)
	}
}

// A newer gatewayd's database stays newer: the exit status says so, and the unit
// does not start the service again for it.
func TestNewerDatabaseIsNotTriedAgain(t *testing.T) {
	dir := t.TempDir()
	d, err := db.Open(t.Context(), db.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	err = d.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte("data_dir: "+dir+"\nhttp:\n  listen: 127.0.0.1:0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status := run([]string{"run", "--config", path})
	if status != 3 {
		t.Errorf("exit status %d, want 3", status)
	}
	unit, err := os.ReadFile("../../systemd/gatewayd.service")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(unit), "\nRestartPreventExitStatus=2 3\n") {
		t.Error("systemd would start it again")
	}
}

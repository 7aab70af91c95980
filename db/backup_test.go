package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A copy that is made while somebody writes is one moment of the database, holds
// nothing that was erased, and holds up no commit.
func TestBackupWhileWriting(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "copy.db")
	d := open(t, Options{Dir: dir})
	defer d.Close()
	for n := range 300 {
		if err := d.Write(func(tx *Tx) error {
			_, err := tx.Exec(`INSERT INTO t (n, filler) VALUES (?, ?)`, n, bytes.Repeat([]byte("a text that was erased"), 150))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Write(func(tx *Tx) error { _, err := tx.Exec(`UPDATE t SET filler = 'x'`); return err }); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- Backup(context.Background(), dir, out, false) }()
	var slowest time.Duration
	next := 300
	for running := true; running; next += 2 { // always two at once
		start := time.Now()
		if err := d.Write(func(tx *Tx) error {
			for n := range 2 {
				if _, err := tx.Exec(`INSERT INTO t (n) VALUES (?)`, next+n); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(start))
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
	}
	if slowest > busyTimeout/2 {
		t.Errorf("a commit took %v", slowest)
	}
	if b, err := os.ReadFile(out); err != nil || bytes.Contains(b, []byte("a text that was erased")) {
		t.Errorf("the copy holds what was erased (%v)", err)
	}
	if info, err := os.Stat(out); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(out), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	stage := staged(t, out)
	c := open(t, Options{Dir: stage})
	defer c.Close()
	if err := c.Read(context.Background(), func(r Querier) error {
		var n, last int
		err := r.QueryRow(`SELECT count(*), max(n) FROM t`).Scan(&n, &last)
		if n != last+1 || n%2 != 0 || n < 300 {
			t.Errorf("%d rows, the last is %d", n, last)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// staged is a backup made ready in a directory of its own.
func staged(t *testing.T, backup string) string {
	t.Helper()
	f, err := os.Open(backup)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stage, err := Stage(context.Background(), t.TempDir(), f)
	if err != nil {
		t.Fatal(err)
	}
	return stage
}

func TestBackupLeavesNothingHalf(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	d := open(t, Options{Dir: dir})
	defer d.Close()
	path := filepath.Join(out, "copy.db")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Backup(context.Background(), dir, path, false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("%v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := Backup(ctx, dir, path, true); err == nil {
		t.Error("a copy was made though nobody waits for it")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
		t.Errorf("%q %v", b, err)
	}
	if err := Backup(context.Background(), t.TempDir(), filepath.Join(out, "none.db"), false); err == nil || !strings.Contains(err.Error(), "no database") {
		t.Errorf("%v", err)
	}
	if all, _ := os.ReadDir(out); len(all) != 1 {
		t.Errorf("left behind: %v", all)
	}
	if err := Backup(context.Background(), dir, path, true); err != nil {
		t.Fatal(err)
	}
	staged(t, path)
}

func TestStageRefuses(t *testing.T) {
	from := t.TempDir()
	good := filepath.Join(from, "good.db")
	d := open(t, Options{Dir: filepath.Join(from, "data")})
	if err := d.Write(func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO t (filler) VALUES (randomblob(200000))`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Backup(context.Background(), filepath.Join(from, "data"), good, false), d.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	torn := bytes.Clone(whole)
	for i := 3 * pageSize; i < 6*pageSize; i++ {
		torn[i] ^= 0x5a
	}
	for name, b := range map[string][]byte{"empty": nil, "text": []byte(strings.Repeat("hello ", 1000)), "cut short": whole[:len(whole)-50*pageSize], "torn": torn} {
		dir := t.TempDir()
		if _, err := Stage(context.Background(), dir, bytes.NewReader(b)); err == nil {
			t.Errorf("%s: taken", name)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
	stage, err := Stage(context.Background(), t.TempDir(), bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	d = open(t, Options{Dir: stage})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// A backup of each older schema is brought up to date.
func TestBackupOfOlderSchemas(t *testing.T) {
	for _, version := range []int64{1, 4, 7} {
		dir := t.TempDir()
		schemaAt(t, dir, version)
		out := filepath.Join(t.TempDir(), "copy.db")
		if err := Backup(context.Background(), dir, out, false); err != nil {
			t.Fatal(err)
		}
		d := open(t, Options{Dir: staged(t, out)})
		if !strings.Contains(schema(t, d), "table restores") {
			t.Errorf("version %d was not brought up to date", version)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The database that is replaced is kept whole, its log with it: that would be
// taken for the new one's.
func TestReplace(t *testing.T) {
	dir, stage := t.TempDir(), t.TempDir()
	for path, content := range map[string]string{filepath.Join(dir, FileName): "old", filepath.Join(dir, FileName+"-wal"): "log", filepath.Join(stage, FileName): "new"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := time.Date(2026, 11, 26, 12, 30, 0, 0, time.UTC)
	kept, err := Replace(dir, stage, at)
	if err != nil || kept != filepath.Join(dir, "gatewayd-20261126-123000.db") {
		t.Fatal(kept, err)
	}
	found := map[string]string{}
	all, _ := os.ReadDir(dir)
	for _, e := range all {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found[e.Name()] = string(b)
	}
	if want := map[string]string{"gatewayd.db": "new", "gatewayd-20261126-123000.db": "old", "gatewayd-20261126-123000.db-wal": "log"}; fmt.Sprint(found) != fmt.Sprint(want) {
		t.Errorf("%v", found)
	}
}

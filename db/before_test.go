package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func versionOf(t *testing.T, path string) int64 {
	t.Helper()
	pool, err := sql.Open("sqlite3", plain(path, "rw"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	v, err := schemaOf(context.Background(), pool)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestUpgradeKeepsACopy: of a database that was in use, as it was, and none of a
// new one or one that is up to date; two are kept, and none for ever.
func TestUpgradeKeepsACopy(t *testing.T) {
	dir := t.TempDir()
	newest := newestSchema()
	schemaAt(t, dir, newest-2)
	for _, n := range []int64{3, 5, 9} {
		put(t, filepath.Join(dir, fmt.Sprintf("%s%s%d", FileName, beforeEnd, n)), []byte("an older copy"))
	}
	half := filepath.Join(dir, fmt.Sprintf(".%s%s%d.123.part", FileName, beforeEnd, newest))
	put(t, half, []byte("of a power cut"))
	d := open(t, Options{Dir: dir})
	u := d.Upgraded()
	want := filepath.Join(dir, fmt.Sprintf("%s%s%d", FileName, beforeEnd, newest))
	if u.From != newest-2 || u.To != newest || u.Copy != want || u.Why != nil {
		t.Errorf("%+v", u)
	}
	if v := versionOf(t, want); v != newest-2 {
		t.Errorf("the copy has schema %d", v)
	}
	if info, err := os.Stat(want); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if all := before(d.path); len(all) != copiesBefore || all[0] != want || !strings.HasSuffix(all[1], "-v9") {
		t.Errorf("kept: %q", all)
	}
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a power cut left is there: %v", err)
	}
	if err := d.ForgetBefore(time.Now().Add(-time.Hour)); err != nil || len(before(d.path)) != copiesBefore {
		t.Errorf("%v, %q", err, before(d.path))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, Options{Dir: dir})
	defer d.Close()
	if u := d.Upgraded(); u.From != u.To || u.Copy != "" {
		t.Errorf("opened again: %+v", u)
	}
	if err := d.ForgetBefore(time.Now().Add(time.Hour)); err != nil || len(before(d.path)) != 0 {
		t.Errorf("%v, %q", err, before(d.path))
	}
	fresh := open(t, Options{Dir: t.TempDir()})
	defer fresh.Close()
	if u := fresh.Upgraded(); u.Copy != "" || len(before(fresh.path)) != 0 {
		t.Errorf("of a new database: %+v", u)
	}
}

// TestUpgradeWithoutRoom goes on without a copy, and says so.
func TestUpgradeWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	schemaAt(t, dir, newestSchema()-1)
	full := func(_ string, f *unix.Statfs_t) error {
		f.Bsize, f.Bavail, f.Files, f.Ffree = 4096, 10, 1000, 1000
		return nil
	}
	d := &DB{path: filepath.Join(dir, FileName), space: &space{dir: dir, statfs: full}}
	var err error
	if d.pool, err = sql.Open("sqlite3", dsn(d.path, "", false)); err != nil {
		t.Fatal(err)
	}
	defer d.pool.Close()
	if err := d.migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	if u := d.Upgraded(); u.Copy != "" || u.Why == nil || !strings.Contains(u.Why.Error(), "no room") || len(before(d.path)) != 0 {
		t.Errorf("%+v", u)
	}
	if v := versionOf(t, d.path); v != newestSchema() {
		t.Errorf("schema %d", v)
	}
}

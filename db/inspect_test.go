package db

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// snapshot reads all files of a directory but for the lock, which says nothing.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir || e.Name() == LockName {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		var b []byte
		if info.Mode().IsRegular() {
			if b, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		all[strings.TrimPrefix(path, dir)] = fmt.Sprint(info.Mode(), " ", string(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// files of a database with rows in it: closed in order, or with its log, as a
// kill leaves it.
func files(t *testing.T, killed bool, more ...string) (dir string) {
	t.Helper()
	from := t.TempDir()
	d := open(t, Options{Dir: from, SingleConn: true})
	const fill = `WITH RECURSIVE c (n) AS (SELECT %d UNION ALL SELECT n + 1 FROM c WHERE n < %d) INSERT INTO t (n, filler) SELECT n, randomblob(900) FROM c`
	queries := [][]string{{fmt.Sprintf(fill, 1, 200)}, append(more, fmt.Sprintf(fill, 201, 220))}
	for i, qs := range queries {
		for _, query := range qs {
			if err := d.Write(func(tx *Tx) error { _, err := tx.Exec(query); return err }); err != nil {
				t.Fatal(err)
			}
		}
		if i == 1 && killed {
			break
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			return from
		}
		d = open(t, Options{Dir: from, SingleConn: true})
	}
	defer d.Close()
	dir = t.TempDir()
	for _, name := range []string{FileName, FileName + "-wal"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name), b)
	}
	return dir
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// change rewrites a file.
func change(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, f(b))
}

func overwrite(at, n int) func([]byte) []byte {
	return func(b []byte) []byte {
		for i := range n {
			b[at+i] = byte(i*7 + 13)
		}
		return b
	}
}

// foreign is the database of another program.
func foreign(t *testing.T, queries ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	pool, err := sql.Open("sqlite3", filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for _, q := range queries {
		if _, err := pool.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What can't be used is refused in words and stays as it is, byte for byte.
func TestUnusableFilesAreLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		make func(*testing.T) string
		want []string
	}{
		"no database": {func(t *testing.T) string {
			dir := t.TempDir()
			put(t, filepath.Join(dir, FileName), []byte(strings.Repeat("this is no database. ", 200)))
			return dir
		}, []string{"not a database", "gatewayd restore"}},
		"a few bytes": {func(t *testing.T) string {
			dir := t.TempDir()
			put(t, filepath.Join(dir, FileName), []byte("x"))
			return dir
		}, []string{"not a database"}},
		"a directory": {func(t *testing.T) string {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, FileName), 0o700); err != nil {
				t.Fatal(err)
			}
			return dir
		}, []string{"is no file but a directory"}},
		"another program's, with its id": {func(t *testing.T) string {
			return foreign(t, `CREATE TABLE notes (text)`, `PRAGMA application_id = 1234`)
		}, []string{"database of another program (application id 0x4d2)"}},
		"another program's, without id": {func(t *testing.T) string {
			return foreign(t, `CREATE TABLE notes (text)`, `INSERT INTO notes VALUES ('a')`)
		}, []string{"database of another program", "none of gatewayd's tables"}},
		"another program's, with migrations": {func(t *testing.T) string {
			return foreign(t, `CREATE TABLE goose_db_version (version_id, is_applied)`, `INSERT INTO goose_db_version VALUES (3, 1)`, `CREATE TABLE messages (text)`)
		}, []string{"database of another program"}},
		"a newer schema": {func(t *testing.T) string {
			return files(t, false, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
		}, []string{"version 9999", "install the newer gatewayd", "nothing was changed"}},
		"a newer schema in the log": {func(t *testing.T) string {
			return files(t, true, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
		}, []string{"version 9999", "install the newer gatewayd"}},
		"cut short": {func(t *testing.T) string {
			dir := files(t, false)
			change(t, filepath.Join(dir, FileName), func(b []byte) []byte { return b[:len(b)/2] })
			return dir
		}, []string{"damaged", "cut short"}},
		"header overwritten": {func(t *testing.T) string {
			dir := files(t, false)
			change(t, filepath.Join(dir, FileName), overwrite(0, 100))
			return dir
		}, []string{"damaged", "not a database, or its beginning is overwritten"}},
		"page size overwritten": {func(t *testing.T) string {
			dir := files(t, false)
			change(t, filepath.Join(dir, FileName), overwrite(16, 2))
			return dir
		}, []string{"damaged", "page size of"}},
		"schema damaged": {func(t *testing.T) string {
			dir := files(t, false)
			change(t, filepath.Join(dir, FileName), overwrite(100, 40))
			return dir
		}, []string{"damaged", "malformed", "gatewayd restore"}},
		"a table's middle damaged": {func(t *testing.T) string {
			dir := files(t, false)
			change(t, filepath.Join(dir, FileName), func(b []byte) []byte {
				at := len(b) / pageSize / 2 * pageSize
				return overwrite(at, 64)(b)
			})
			return dir
		}, []string{"damaged", "gatewayd restore"}},
		"a page of zeros": {func(t *testing.T) string {
			dir := files(t, true) // the log has newer pages than most of the file's
			change(t, filepath.Join(dir, FileName), func(b []byte) []byte {
				clear(b[len(b)/pageSize/2*pageSize:][:pageSize])
				return b
			})
			return dir
		}, []string{"damaged"}},
		"the log of another database": {func(t *testing.T) string {
			dir := files(t, false, `DELETE FROM t WHERE n > 50`)
			other := files(t, true)
			b, err := os.ReadFile(filepath.Join(other, FileName+"-wal"))
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, FileName+"-wal"), b)
			return dir
		}, []string{"damaged"}},
		"a log with other pages": {func(t *testing.T) string {
			dir := files(t, true)
			change(t, filepath.Join(dir, FileName+"-wal"), func(b []byte) []byte {
				binary.BigEndian.PutUint32(b[8:], 4096)
				return b
			})
			return dir
		}, []string{"belongs to another database"}},
		"a log alone": {func(t *testing.T) string {
			dir := files(t, true)
			if err := os.Remove(filepath.Join(dir, FileName)); err != nil {
				t.Fatal(err)
			}
			return dir
		}, []string{"not there", "they belong together"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := c.make(t)
			before := snapshot(t, dir)
			_, err := Open(context.Background(), Options{Dir: dir})
			if err == nil {
				t.Fatal("it was opened")
			}
			t.Log(err)
			for _, want := range append(c.want, filepath.Join(dir, FileName)) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if after := snapshot(t, dir); !maps.Equal(before, after) {
				t.Errorf("the files are %v now and were %v", slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
			}
		})
	}
}

// A kill leaves the log, and nothing of that is damage.
func TestKilledDatabaseOpens(t *testing.T) {
	for _, torn := range []int{0, 1, 700, 5000} {
		dir := files(t, true)
		change(t, filepath.Join(dir, FileName+"-wal"), func(b []byte) []byte { return b[:len(b)-torn] })
		if err := os.MkdirAll(filepath.Join(dir, ".check-1", "x"), 0o700); err != nil { // of a start that was killed
			t.Fatal(err)
		}
		d, err := Open(context.Background(), Options{Dir: dir})
		if err != nil {
			t.Errorf("%d bytes torn off the log: %v", torn, err)
			continue
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestHeaderTellsWhoseItIs(t *testing.T) {
	dir := t.TempDir()
	schemaAt(t, dir, 3) // of a version that wrote none
	d, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var h [100]byte
	if err := readStart(d.Path(), h[:]); err != nil {
		t.Fatal(err)
	}
	if id, v := binary.BigEndian.Uint32(h[68:]), binary.BigEndian.Uint32(h[60:]); id != applicationID || int64(v) != newest(t) {
		t.Errorf("application id %#x, version %d", id, v)
	}
}

// asOrdinaryUser runs f without root's rights to files. What f opens it must
// open itself, for the rights are those of this thread.
func asOrdinaryUser(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := unix.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := unix.Setfsuid(0); err != nil {
				t.Fatal(err)
			}
		}()
	}
	f()
}

func TestFilesOfOthersAreRefusedInWords(t *testing.T) {
	for name, deny := range map[string]func(dir string) error{
		"the file":      func(dir string) error { return os.Chmod(filepath.Join(dir, FileName), 0) },
		"the directory": func(dir string) error { return os.Chmod(dir, 0o500) },
		"may not read":  func(dir string) error { return os.Chmod(dir, 0o300) },
	} {
		dir := files(t, false)
		if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777), os.Remove(filepath.Join(dir, LockName)), deny(dir)); err != nil {
			t.Fatal(err)
		}
		var err error
		asOrdinaryUser(t, func() { _, err = Open(context.Background(), Options{Dir: dir}) })
		if err == nil || !strings.Contains(err.Error(), "permission denied") || !strings.Contains(err.Error(), "chown") {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := inWords(&fs.PathError{Op: "open", Path: "x", Err: unix.EROFS}); !strings.Contains(err.Error(), "SD card") {
		t.Error(err)
	}
}

// A damaged page that shows only later stops all reads and writes, and what
// there is stays as it is.
func TestDamageStopsEverything(t *testing.T) {
	for _, single := range []bool{true, false} {
		dir := files(t, false)
		d := open(t, Options{Dir: dir, SingleConn: single})
		if err := d.Write(insert(5000)); err != nil { // something in the log
			t.Fatal(err)
		}
		damage(t, d)
		select {
		case <-d.Damaged():
			t.Error("damaged before anybody looked")
		default:
		}
		err := d.Write(readAll)
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "malformed") || !strings.Contains(err.Error(), "restore") {
			t.Fatalf("a write that reads it: %v", err)
		}
		<-d.Damaged()
		before := snapshot(t, dir)
		if err := d.Write(insert(6000)); !errors.Is(err, ErrDamaged) {
			t.Errorf("a write: %v", err)
		}
		if err := d.WriteUrgent(insert(6000)); !errors.Is(err, ErrDamaged) {
			t.Errorf("an urgent write: %v", err)
		}
		if err := d.Read(context.Background(), func(Querier) error { return nil }); !errors.Is(err, ErrDamaged) {
			t.Errorf("a read: %v", err)
		}
		if err := d.Scrub(context.Background()); !errors.Is(err, ErrDamaged) {
			t.Errorf("a scrub: %v", err)
		}
		d.relieve() // the disk was full meanwhile
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		after := snapshot(t, dir)
		for _, name := range []string{"/" + FileName, "/" + FileName + "-wal"} {
			if before[name] != after[name] || after[name] == "" {
				t.Errorf("single %v: %s was changed, from %d to %d bytes", single, name, len(before[name]), len(after[name]))
			}
		}
	}
}

func readAll(tx *Tx) error {
	var n int
	return tx.QueryRow(`SELECT sum(length(filler)) FROM t`).Scan(&n)
}

// Who is in one group with the write that finds the damage has nothing written
// either.
func TestDamageFailsTheGroup(t *testing.T) {
	inBubble(t, func(t *testing.T, d *DB) {
		other := func(tx *Tx) error { _, err := tx.Exec(`INSERT INTO whole (n) VALUES (1)`); return err }
		if err := d.Write(func(tx *Tx) error {
			if _, err := tx.Exec(`CREATE TABLE whole (n)`); err != nil {
				return err
			}
			_, err := tx.Exec(`WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 600) INSERT INTO t (n, filler) SELECT n, randomblob(900) FROM c`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := d.Scrub(context.Background()); err != nil { // into the file
			t.Fatal(err)
		}
		damage(t, d)
		if err := d.Write(func(tx *Tx) error { _, err := tx.Exec(`PRAGMA shrink_memory`); return err }); err != nil {
			t.Fatal(err)
		}
		for i, err := range together(t, d, other, readAll, other) {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("write %d: %v", i, err)
			}
		}
	})
}

// damage spoils the pages of t's rows that no connection has read yet.
func damage(t *testing.T, d *DB) {
	t.Helper()
	f, err := os.OpenFile(d.Path(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() }) // not before the database: it would take its locks away
	b, err := os.ReadFile(d.Path())
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for page := len(b) / pageSize / 2; page < len(b)/pageSize; page++ {
		if b[page*pageSize] == 13 { // a leaf of a table
			if _, err := f.WriteAt(bytes.Repeat([]byte{byte(rnd.Uint32())}, 200), int64(page*pageSize)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

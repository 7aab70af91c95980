package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"gatewayd/db/powercut"
)

func powerDisk(t *testing.T, seed uint64) (dir string, d *powercut.Disk) {
	t.Helper()
	dir = t.TempDir()
	d, err := powercut.New(dir, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return dir, d
}

// Many write at once, the log is copied beside them, and the power goes: what
// Write has returned is there, in whole groups or not at all.
func TestPowerCutUnderLoad(t *testing.T) {
	lost := 0
	for seed := range uint64(12) {
		dir, disk := powerDisk(t, seed)
		d := openOn(t, dir)
		rnd := rand.New(rand.NewPCG(seed, 1))
		disk.CutAfter(50 + rnd.IntN(16000))
		const writers = 8
		var done [writers]int // the last that was written
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				filler := bytes.Repeat([]byte{byte(w)}, 12_000)
				write := []func(func(*Tx) error) error{d.Write, d.WriteUrgent}[w%2]
				for n := 1; n < 400; n++ {
					err := write(func(tx *Tx) error {
						for half := range 2 {
							if _, err := tx.Exec(`INSERT OR REPLACE INTO t (n, filler) VALUES (?, ?)`, 2*(w*1000+n)+half, filler[:6000]); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						return
					}
					done[w] = n
				}
			})
		}
		wg.Wait()
		if !disk.IsCut() {
			t.Logf("seed %d: all was written before the power went", seed)
		}
		_ = d.Close()
		lost += disk.Lost()
		if err := disk.Restore(); err != nil {
			t.Fatal(err)
		}
		d = openOn(t, dir)
		if err := d.Read(context.Background(), func(q Querier) error {
			var verdict string
			if err := q.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
				return fmt.Errorf("integrity: %s, %w", verdict, err)
			}
			for w := range writers {
				var rows, last int
				if err := q.QueryRow(`SELECT count(*), coalesce(max(n / 2 % 1000), 0) FROM t WHERE n / 2000 = ?`, w).Scan(&rows, &last); err != nil {
					return err
				}
				// At most the one under way came too.
				if rows != 2*last || last < done[w] || last > done[w]+1 {
					t.Errorf("seed %d: writer %d was told of %d, and %d halves are there up to %d", seed, w, done[w], rows, last)
				}
			}
			return nil
		}); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if lost == 0 {
		t.Error("no cut has lost anything")
	}
}

func openOn(t *testing.T, dir string) *DB {
	t.Helper()
	return open(t, Options{Dir: dir, VFS: powercut.Name})
}

// However a migration is interrupted, the next start finds the old schema or
// the new one, or one between, and goes on.
func TestInterruptedMigration(t *testing.T) {
	want := freshSchema(t)
	for version := range newest(t) {
		for _, how := range []string{"cut", "full"} {
			for seed := range uint64(2) {
				name := fmt.Sprintf("from version %d, %s, seed %d", version, how, seed)
				dir, disk := powerDisk(t, seed)
				if version > 0 {
					schemaAt(t, dir, version)
				}
				rnd := rand.New(rand.NewPCG(seed, uint64(version)))
				for interruptions := 0; ; interruptions++ {
					after := 1 + rnd.IntN(150)
					if how == "cut" {
						disk.CutAfter(after)
					} else {
						disk.FullAfter(after)
					}
					d, err := Open(context.Background(), Options{Dir: dir, VFS: powercut.Name, SingleConn: true})
					if err == nil {
						_ = d.Close()
					}
					if e := disk.Restore(); e != nil {
						t.Fatal(e)
					}
					if err == nil {
						break
					}
					if errors.Is(err, ErrDamaged) || interruptions > 1000 {
						t.Fatalf("%s: %v", name, err)
					}
				}
				d, err := Open(context.Background(), Options{Dir: dir, VFS: powercut.Name})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if got := schema(t, d); got != want {
					t.Errorf("%s: the schema becomes\n%s", name, got)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func freshSchema(t *testing.T) string {
	t.Helper()
	d, err := Open(context.Background(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	return schema(t, d)
}

// The first start makes directories and the file, and the promise given right
// after rests on their names too.
func TestNamesAreDurableAfterTheFirstStart(t *testing.T) {
	synced := map[string]bool{}
	real := syncDir
	syncDir = func(dir string) error { synced[dir] = true; return real(dir) }
	defer func() { syncDir = real }()
	root := t.TempDir()
	dir := filepath.Join(root, "var", "lib")
	d, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, want := range []string{root, filepath.Join(root, "var"), dir} {
		if !synced[want] {
			t.Errorf("%s was not synced", want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.new*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A first start that was cut off leaves a file without a page, or half of the
// one that was to get its name.
func TestFirstStartThatWasCutOff(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"an empty file":          {FileName: ""},
		"an empty file, journal": {FileName: "", FileName + "-journal": "half of a journal", FileName + "-wal": ""},
		"half of the new one":    {FileName + ".new": "SQLite form", FileName + ".new-journal": "x", FileName + ".new-wal": "y"},
	} {
		dir := t.TempDir()
		for f, content := range files {
			put(t, filepath.Join(dir, f), []byte(content))
		}
		d := open(t, Options{Dir: dir})
		if err := d.Write(insert(1)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantRows(t, d, 1)
		if err := d.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if all, err := os.ReadDir(dir); err != nil || len(all) != 2 { // the lock too
			t.Errorf("%s leaves %v, %v", name, all, err)
		}
	}
}

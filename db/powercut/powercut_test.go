package powercut

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// rig is a database on a disk, with one table of numbers.
type rig struct {
	t    *testing.T
	disk *Disk
	path string
	pool *sql.DB
	conn *sql.Conn
}

func newRig(t *testing.T, seed uint64, pragmas ...string) *rig {
	t.Helper()
	dir := t.TempDir()
	d, err := New(dir, seed)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, disk: d, path: filepath.Join(dir, "t.db")}
	t.Cleanup(func() {
		if r.pool != nil {
			r.close()
		}
		d.Close()
	})
	if err := r.open(); err != nil {
		t.Fatal(err)
	}
	for _, p := range pragmas {
		r.must("PRAGMA " + p)
	}
	r.must(`CREATE TABLE t (n INTEGER PRIMARY KEY, filler BLOB)`)
	return r
}

func (r *rig) open() (err error) {
	if r.pool, err = sql.Open("sqlite3", "file:"+r.path+"?vfs="+Name); err != nil {
		return err
	}
	r.conn, err = r.pool.Conn(context.Background())
	return err
}

func (r *rig) close() {
	if r.conn != nil {
		r.conn.Close()
	}
	r.pool.Close()
	r.pool, r.conn = nil, nil
}

func (r *rig) exec(query string, args ...any) error {
	_, err := r.conn.ExecContext(context.Background(), query, args...)
	return err
}

func (r *rig) must(query string, args ...any) {
	r.t.Helper()
	if err := r.exec(query, args...); err != nil {
		r.t.Fatalf("%s: %v", query, err)
	}
}

// fill commits rows until the power goes, and returns how many were committed.
func (r *rig) fill(upTo int) int {
	for n := 1; n <= upTo; n++ {
		if r.exec(`INSERT INTO t VALUES (?, randomblob(1500))`, n) != nil {
			return n - 1
		}
		if n%20 == 0 && r.exec(`DELETE FROM t WHERE n % 3 = 0 AND n < ?`, n-20) != nil {
			return n
		}
	}
	return upTo
}

// outcome brings the power back and tells whether the newest committed row is
// there and the database is whole.
func (r *rig) outcome(committed int) (kept, whole bool) {
	r.t.Helper()
	r.close()
	if err := r.disk.Restore(); err != nil {
		r.t.Fatal(err)
	}
	if r.open() != nil {
		return false, false
	}
	var verdict string
	err := r.conn.QueryRowContext(context.Background(), `PRAGMA integrity_check`).Scan(&verdict)
	if err != nil || verdict != "ok" {
		return false, false
	}
	var last int
	err = r.conn.QueryRowContext(context.Background(), `SELECT coalesce(max(n), 0) FROM t`).Scan(&last)
	return err == nil && last >= committed, err == nil
}

// The disk shows what it is for: every way to sync that SQLite calls safe is,
// and every other one is found out.
func TestOnlySyncedCommitsSurvive(t *testing.T) {
	for name, c := range map[string]struct {
		pragmas        []string
		losing, broken bool
	}{
		"log, full":             {[]string{"journal_mode=WAL", "synchronous=FULL"}, false, false},
		"log, full, full fsync": {[]string{"fullfsync=1", "checkpoint_fullfsync=1", "journal_mode=WAL", "synchronous=FULL"}, false, false},
		"log, normal":           {[]string{"journal_mode=WAL", "synchronous=NORMAL"}, true, false},
		"log, off":              {[]string{"journal_mode=WAL", "synchronous=OFF", "wal_autocheckpoint=10"}, true, true},
		"journal, extra":        {[]string{"journal_mode=DELETE", "synchronous=EXTRA"}, false, false},
		"journal, full":         {[]string{"journal_mode=DELETE", "synchronous=FULL"}, true, false}, // the journal's deletion is not synced
		"journal, off":          {[]string{"journal_mode=DELETE", "synchronous=OFF"}, true, true},
		"journal kept, full":    {[]string{"journal_mode=PERSIST", "synchronous=FULL"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var lost, broken int
			const cuts = 30
			for seed := range uint64(cuts) {
				r := newRig(t, seed, append([]string{"page_size=2048"}, c.pragmas...)...)
				r.must(`PRAGMA wal_checkpoint(TRUNCATE)`)
				r.disk.CutAfter(10 + int(seed*13))
				committed := r.fill(1000)
				if !r.disk.IsCut() {
					t.Fatalf("seed %d: %d rows and no cut", seed, committed)
				}
				kept, whole := r.outcome(committed)
				if !whole {
					broken++
				} else if !kept {
					lost++
				}
				if !kept && !c.losing || !whole && !c.broken {
					t.Errorf("seed %d: kept %v, whole %v after %d commits", seed, kept, whole, committed)
				}
			}
			if c.losing && lost+broken == 0 || c.broken && broken == 0 {
				t.Errorf("%d cuts lost %d times and broke %d times: the disk is too kind", cuts, lost, broken)
			}
			t.Logf("%d cuts: %d lost something, %d broke", cuts, lost, broken)
		})
	}
}

// The same seed and the same writes leave the same.
func TestSeedReproduces(t *testing.T) {
	var files [2]string
	for i := range files {
		r := newRig(t, 7, "journal_mode=WAL", "synchronous=OFF")
		r.disk.CutAfter(60)
		for n := 1; r.exec(`INSERT INTO t VALUES (?, zeroblob(1500))`, n) == nil; n++ {
		}
		r.close()
		lost := r.disk.Lost()
		if err := r.disk.Restore(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(r.path)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = fmt.Sprintf("%d lost, %d bytes", lost, info.Size())
	}
	if files[0] != files[1] {
		t.Errorf("%s, then %s", files[0], files[1])
	}
}

// What was not synced is nowhere but in this process, and a sync leaves
// nothing in it.
func TestUnsyncedStaysInMemory(t *testing.T) {
	r := newRig(t, 1, "journal_mode=WAL", "synchronous=FULL")
	r.must(`PRAGMA wal_checkpoint(TRUNCATE)`)
	r.must(`INSERT INTO t VALUES (1, NULL)`)
	size := func() int64 {
		info, err := os.Stat(r.path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	synced := size()
	if n := r.disk.Unsynced(); synced == 0 || n != 0 {
		t.Errorf("after a synced commit the log has %d bytes and %d sectors wait", synced, n)
	}
	r.must(`PRAGMA synchronous=NORMAL`)
	r.must(`INSERT INTO t VALUES (2, randomblob(5000))`)
	if n := r.disk.Unsynced(); size() != synced || n == 0 {
		t.Errorf("after a commit without a sync the log has %d bytes, before it had %d; %d sectors wait", size(), synced, n)
	}
	var n int
	if err := r.conn.QueryRowContext(t.Context(), `SELECT count(*) FROM t`).Scan(&n); err != nil || n != 2 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// A disk that is full says so, and has room again after a restart.
func TestFullDisk(t *testing.T) {
	r := newRig(t, 1, "journal_mode=WAL", "synchronous=FULL")
	r.disk.FullAfter(40)
	committed := r.fill(1000)
	if err := r.exec(`INSERT INTO t VALUES (5000, NULL)`); err == nil || err.Error() != "database or disk is full" {
		t.Errorf("%v", err)
	}
	if kept, whole := r.outcome(committed); !kept || !whole {
		t.Errorf("kept %v, whole %v", kept, whole)
	}
}

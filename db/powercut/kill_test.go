package powercut

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// TestMain is also the process that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("POWERCUT_CHILD"); path != "" {
		seed, _ := strconv.ParseUint(os.Getenv("POWERCUT_SEED"), 10, 64)
		Everywhere(seed)
		fmt.Fprintln(os.Stderr, fill(path, os.Getenv("POWERCUT_SYNC")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// fill commits rows for ever and tells each.
func fill(path, synchronous string) error {
	pool, err := sql.Open("sqlite3", "file:"+path+"?vfs="+Name+"&_journal_mode=WAL&_synchronous="+synchronous)
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(1)
	if _, err := pool.Exec(`CREATE TABLE t (n INTEGER PRIMARY KEY, filler BLOB)`); err != nil {
		return err
	}
	if _, err := pool.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return err
	}
	for n := 1; ; n++ {
		if _, err := pool.Exec(`INSERT INTO t VALUES (?, randomblob(3000))`, n); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// A kill of a process whose files lie on such a disk leaves what a power cut
// would leave.
func TestKillIsAPowerCut(t *testing.T) {
	for synchronous, losing := range map[string]bool{"FULL": false, "NORMAL": true} {
		lost := 0
		for seed := range 4 {
			path := filepath.Join(t.TempDir(), "t.db")
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), "POWERCUT_CHILD="+path, fmt.Sprint("POWERCUT_SEED=", seed), "POWERCUT_SYNC="+synchronous)
			child.Stderr = os.Stderr
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			told := 0
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if told, err = strconv.Atoi(lines.Text()); err != nil {
					t.Fatal(err)
				}
				if told == 30+10*seed {
					if err := child.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			}
			_ = child.Wait()
			pool, err := sql.Open("sqlite3", path)
			if err != nil {
				t.Fatal(err)
			}
			var verdict string
			var last int
			row := pool.QueryRowContext(context.Background(), `SELECT coalesce(max(n), 0), (SELECT integrity_check FROM pragma_integrity_check) FROM t`)
			if err := row.Scan(&last, &verdict); err != nil || verdict != "ok" {
				t.Errorf("%s, seed %d: %s, %v", synchronous, seed, verdict, err)
			}
			if last < told {
				lost++
			}
			pool.Close()
		}
		if losing != (lost > 0) {
			t.Errorf("synchronous=%s: something was lost after %d kills of 4", synchronous, lost)
		}
	}
}

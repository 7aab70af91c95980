package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, o Options) *DB {
	t.Helper()
	d, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(func(tx *Tx) error {
		_, err := tx.Exec(`CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, parent INTEGER REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED,
			filler BLOB)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

// inBubble runs f where goroutines that wait can be waited for, so that the
// tests decide what becomes one group.
func inBubble(t *testing.T, f func(*testing.T, *DB)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, Options{Dir: dir, SingleConn: true})
		defer func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}()
		f(t, d)
	})
}

// hold keeps the writer busy in a write of its own until release is called,
// which returns once all is written that was handed over meanwhile.
func hold(t *testing.T, d *DB) (release func()) {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	go func() {
		if err := d.Write(func(*Tx) error { close(entered); <-leave; return nil }); err != nil && !strings.Contains(err.Error(), "commit") {
			t.Error(err)
		}
	}()
	<-entered
	return func() {
		synctest.Wait()
		close(leave)
		synctest.Wait()
	}
}

// together makes the functions one group and returns their errors.
func together(t *testing.T, d *DB, fns ...func(*Tx) error) []error {
	t.Helper()
	release := hold(t, d)
	errs := make([]error, len(fns))
	for i, fn := range fns {
		go func() { errs[i] = d.Write(fn) }()
		synctest.Wait() // they wait in this order
	}
	release()
	return errs
}

func insert(n int) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO t (n) VALUES (?)`, n)
		return err
	}
}

func wantRows(t *testing.T, d *DB, want ...int) {
	t.Helper()
	got := []int{}
	err := d.Read(context.Background(), func(q Querier) error {
		r, err := q.Query(`SELECT n FROM t ORDER BY n`)
		if err != nil {
			return err
		}
		defer r.Close()
		for r.Next() {
			var n int
			if err := r.Scan(&n); err != nil {
				return err
			}
			got = append(got, n)
		}
		return r.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(append([]int{}, want...)) {
		t.Errorf("rows %v, want %v", got, want)
	}
}

func TestWaitingWritesAreOneTransaction(t *testing.T) {
	inBubble(t, func(t *testing.T, d *DB) {
		var seen [3]*Tx
		fns := make([]func(*Tx) error, 3)
		for i := range fns {
			fns[i] = func(tx *Tx) error { seen[i] = tx; return insert(i)(tx) }
		}
		for i, err := range together(t, d, fns...) {
			if err != nil {
				t.Errorf("write %d: %v", i, err)
			}
		}
		if seen[0] != seen[1] || seen[1] != seen[2] {
			t.Error("three waiting writes were not one group")
		}
		wantRows(t, d, 0, 1, 2)
	})
}

func TestGroupHasABound(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, Options{Dir: dir, SingleConn: true, Group: 2})
		defer d.Close()
		groups := map[*Tx]int{}
		fns := make([]func(*Tx) error, 5)
		for i := range fns {
			fns[i] = func(tx *Tx) error { groups[tx]++; return nil }
		}
		together(t, d, fns...)
		for _, n := range groups {
			if n > 2 {
				t.Errorf("%d writes in one group of two", n)
			}
		}
	})
}

func TestErrorUndoesItsOwnWriteAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, d *DB) {
		mine := errors.New("mine")
		errs := together(t, d,
			insert(1),
			func(tx *Tx) error { return errors.Join(insert(2)(tx), mine) },
			func(tx *Tx) error { _, err := tx.Exec(`INSERT INTO nowhere VALUES (1)`); return err },
			insert(1), // a unique key fails its statement
			insert(3))
		if errs[0] != nil || !errors.Is(errs[1], mine) || errs[2] == nil || errs[3] == nil || errs[4] != nil {
			t.Errorf("errors: %v", errs)
		}
		wantRows(t, d, 1, 3)
	})
}

func TestPanicUndoesItsOwnWriteAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, d *DB) {
		errs := together(t, d,
			insert(1),
			func(tx *Tx) error {
				if err := insert(2)(tx); err != nil {
					return err
				}
				panic("a fault")
			},
			insert(3))
		if errs[0] != nil || errs[2] != nil || errs[1] == nil || !strings.Contains(errs[1].Error(), "a fault") {
			t.Errorf("errors: %v", errs)
		}
		wantRows(t, d, 1, 3)
	})
}

func TestCommitErrorFailsTheGroup(t *testing.T) {
	inBubble(t, func(t *testing.T, d *DB) {
		mine := errors.New("mine")
		errs := together(t, d,
			insert(1),
			func(*Tx) error { return mine },
			// A deferred foreign key is found wanting only at COMMIT.
			func(tx *Tx) error { _, err := tx.Exec(`INSERT INTO t (n, parent) VALUES (2, 99)`); return err },
			insert(3))
		for i, err := range errs {
			if err == nil || (i != 1) != strings.Contains(err.Error(), "commit") {
				t.Errorf("write %d was told %v", i, err)
			}
		}
		wantRows(t, d)
		if err := d.Write(insert(4)); err != nil {
			t.Errorf("the write after a failed commit: %v", err)
		}
		wantRows(t, d, 4)
	})
}

func TestMemoryFollowsTheRows(t *testing.T) {
	inBubble(t, func(t *testing.T, d *DB) {
		var undone, done []int
		note := func(n int, then func(*Tx) error) func(*Tx) error {
			return func(tx *Tx) error {
				for _, k := range []int{n, n + 1} { // undone in the other order
					tx.OnRollback(func() { undone = append(undone, k) })
				}
				tx.OnCommit(func() { done = append(done, n) })
				return then(tx)
			}
		}
		want := func(u, c string) {
			t.Helper()
			if fmt.Sprint(undone) != u || fmt.Sprint(done) != c {
				t.Errorf("undone %v and done %v, want %s and %s", undone, done, u, c)
			}
			undone, done = nil, nil
		}
		together(t, d, note(10, insert(1)), note(20, func(*Tx) error { return errors.New("no") }), note(30, func(*Tx) error { panic("oh") }), note(40, insert(2)))
		want("[21 20 31 30]", "[10 40]")
		together(t, d, note(10, insert(3)), note(20, func(tx *Tx) error {
			_, err := tx.Exec(`INSERT INTO t (n, parent) VALUES (4, 99)`)
			return err
		}))
		want("[21 20 11 10]", "[]") // COMMIT failed
	})
}

// SQLite may undo the whole transaction by itself, for one when the disk is
// full. Nobody may be told "done" then, and nothing of the group may stay.
func TestFullDiskFailsTheGroup(t *testing.T) {
	inBubble(t, func(t *testing.T, d *DB) {
		if err := d.Write(insert(1)); err != nil {
			t.Fatal(err)
		}
		var pages int
		if err := d.Read(context.Background(), func(q Querier) error { return q.QueryRow(`PRAGMA page_count`).Scan(&pages) }); err != nil {
			t.Fatal(err)
		}
		if err := d.Write(func(tx *Tx) error {
			var most int
			return tx.QueryRow(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages+2)).Scan(&most)
		}); err != nil {
			t.Fatal(err)
		}
		errs := together(t, d,
			insert(2),
			func(tx *Tx) error {
				_, err := tx.Exec(`INSERT INTO t (n, filler) VALUES (3, zeroblob(1000000))`)
				return err
			},
			insert(4))
		if errs[1] == nil || !strings.Contains(errs[1].Error(), "full") {
			t.Errorf("the write that filled the disk: %v", errs[1])
		}
		want := []int{1}
		for i, n := range map[int]int{0: 2, 2: 4} {
			if errs[i] == nil {
				want = append(want, n)
			}
		}
		if len(want) == 3 && want[1] > want[2] {
			want[1], want[2] = want[2], want[1]
		}
		wantRows(t, d, want...)
		if err := d.Write(insert(5)); err != nil {
			t.Errorf("a small write afterwards: %v", err)
		}
	})
}

func TestUrgentGoesFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, d *DB) {
		release := hold(t, d)
		var order []string
		urgentDone := make(chan struct{})
		for range 3 {
			go func() {
				_ = d.Write(func(*Tx) error {
					// It would wait for ever if it were committed with the urgent one.
					<-urgentDone
					order = append(order, "normal")
					return nil
				})
			}()
		}
		synctest.Wait()
		go func() {
			if err := d.WriteUrgent(func(*Tx) error { order = append(order, "urgent"); return nil }); err != nil {
				t.Error(err)
			}
			close(urgentDone)
		}()
		release()
		if fmt.Sprint(order) != "[urgent normal normal normal]" {
			t.Errorf("order: %v", order)
		}
	})
}

func TestWriteSeesItsOwnRows(t *testing.T) {
	inBubble(t, func(t *testing.T, d *DB) {
		err := d.Write(func(tx *Tx) error {
			id, err := tx.Insert(`INSERT INTO t (n) VALUES (NULL)`)
			if err != nil || id != 1 {
				return fmt.Errorf("id %d, %w", id, err)
			}
			n, err := tx.Exec(`UPDATE t SET n = n + 1`)
			if err != nil || n != 1 {
				return fmt.Errorf("%d rows, %w", n, err)
			}
			var got int
			if err := tx.QueryRow(`SELECT n FROM t`).Scan(&got); err != nil || got != 2 {
				return fmt.Errorf("row %d, %w", got, err)
			}
			if err := tx.QueryRow(`SELECT n FROM nowhere`).Scan(&got); err == nil {
				return errors.New("a table that is not there was read")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestWhatWasWrittenSurvivesAReopening(t *testing.T) {
	dir := t.TempDir()
	d := open(t, Options{Dir: dir})
	if err := d.Write(insert(7)); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, Options{Dir: dir})
	defer d.Close()
	wantRows(t, d, 7)
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by us")
	d := open(t, Options{Dir: dir})
	defer d.Close()
	if d.Path() != filepath.Join(dir, FileName) {
		t.Errorf("path %s", d.Path())
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, d.Path(): 0o600, d.Path() + "-wal": 0o600, d.Path() + "-shm": 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != want {
			t.Errorf("%s has mode %04o, want %04o", path, info.Mode().Perm(), want)
		}
	}
}

func TestOddDirectories(t *testing.T) {
	for _, name := range []string{"a b", "50%25", "what?mode=memory", "#1", "grüße"} {
		dir := filepath.Join(t.TempDir(), name)
		d := open(t, Options{Dir: dir})
		if err := d.Write(insert(1)); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(filepath.Join(dir, FileName)); err != nil || info.Size() == 0 {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestPragmas(t *testing.T) {
	d := open(t, Options{Dir: t.TempDir()})
	defer d.Close()
	pragma := func(q Querier, name, want string) error {
		var got string
		if err := q.QueryRow(`PRAGMA ` + name).Scan(&got); err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s is %s, want %s", name, got, want)
		}
		return nil
	}
	if err := d.Write(func(tx *Tx) error {
		return errors.Join(pragma(tx, "journal_mode", "wal"), pragma(tx, "synchronous", "2"), // FULL
			pragma(tx, "foreign_keys", "1"), pragma(tx, "secure_delete", "1"), pragma(tx, "page_size", "1024"))
	}); err != nil {
		t.Error(err)
	}
	if err := d.Read(context.Background(), func(q Querier) error {
		if _, err := q.Query(`INSERT INTO t (n) VALUES (1) RETURNING n`); err == nil {
			rows, _ := q.Query(`INSERT INTO t (n) VALUES (2) RETURNING n`)
			if rows != nil && rows.Next() {
				return errors.New("a reader can write")
			}
		}
		return pragma(q, "foreign_keys", "1")
	}); err != nil {
		t.Error(err)
	}
	wantRows(t, d)
}

func TestReadSeesOneMoment(t *testing.T) {
	d := open(t, Options{Dir: t.TempDir()})
	defer d.Close()
	if err := d.Read(context.Background(), func(q Querier) error {
		var before, after int
		if err := q.QueryRow(`SELECT count(*) FROM t`).Scan(&before); err != nil {
			return err
		}
		if err := d.Write(insert(1)); err != nil {
			return err
		}
		if err := q.QueryRow(`SELECT count(*) FROM t`).Scan(&after); err != nil {
			return err
		}
		if before != 0 || after != 0 {
			return fmt.Errorf("%d rows, then %d", before, after)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	wantRows(t, d, 1)
}

// All reads that may go on at once meet in the middle and then ask what nobody
// has prepared yet; more wait behind them.
func TestManyReadsAtOnce(t *testing.T) {
	d := open(t, Options{Dir: t.TempDir()})
	defer d.Close()
	var wg sync.WaitGroup
	for round := range 5 {
		var met sync.WaitGroup
		met.Add(reads)
		for i := range reads {
			wg.Go(func() {
				if err := d.Read(context.Background(), func(q Querier) error {
					met.Done()
					met.Wait()
					var n int
					return q.QueryRow(fmt.Sprintf(`SELECT %d FROM (SELECT count(*) FROM t)`, round*100+i)).Scan(&n)
				}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	for i := range 5 * reads {
		wg.Go(func() {
			if err := d.Read(context.Background(), func(q Querier) error {
				var n int
				return q.QueryRow(fmt.Sprintf(`SELECT %d`, i)).Scan(&n)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestReadEndsWithItsContext(t *testing.T) {
	d := open(t, Options{Dir: t.TempDir()})
	defer d.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := d.Read(ctx, func(Querier) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestClosedDatabase(t *testing.T) {
	for _, single := range []bool{true, false} {
		d := open(t, Options{Dir: t.TempDir(), SingleConn: single})
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := d.Write(insert(1)); !errors.Is(err, ErrClosed) {
			t.Errorf("Write: %v", err)
		}
		if err := d.WriteUrgent(insert(1)); !errors.Is(err, ErrClosed) {
			t.Errorf("WriteUrgent: %v", err)
		}
		if err := d.Read(context.Background(), func(Querier) error { return nil }); !errors.Is(err, ErrClosed) {
			t.Errorf("Read: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
	}
}

// Whatever was handed over when Close is called was either written or told
// that it was not.
func TestCloseWhileWriting(t *testing.T) {
	dir := t.TempDir()
	d := open(t, Options{Dir: dir})
	const writers = 20
	var done [writers]bool
	var wg sync.WaitGroup
	begun := make(chan struct{}, writers)
	for i := range writers {
		wg.Go(func() {
			begun <- struct{}{}
			err := d.Write(insert(i))
			if done[i] = err == nil; err != nil && !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
	}
	for range writers / 2 {
		<-begun
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	d = open(t, Options{Dir: dir})
	defer d.Close()
	var want []int
	for i, ok := range done {
		if ok {
			want = append(want, i)
		}
	}
	wantRows(t, d, want...)
}

func TestManyWriters(t *testing.T) {
	d := open(t, Options{Dir: t.TempDir()})
	defer d.Close()
	var want []int
	var wg sync.WaitGroup
	for i := range 200 {
		want = append(want, i)
		wg.Go(func() {
			write := d.Write
			if i%3 == 0 {
				write = d.WriteUrgent
			}
			if err := write(insert(i)); err != nil {
				t.Error(err)
			}
			// It is there for everybody as soon as Write has returned.
			if err := d.Read(context.Background(), func(q Querier) error {
				var n int
				return q.QueryRow(`SELECT n FROM t WHERE n = ?`, i).Scan(&n)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantRows(t, d, want...)
}

func TestUnusableDirectories(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Options{Dir: file}); err == nil || !strings.Contains(err.Error(), "data directory") {
		t.Errorf("a file as directory: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(strings.Repeat("this is no database. ", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "not a database") || !strings.Contains(err.Error(), dir) {
		t.Errorf("a text as database: %v", err)
	}
}

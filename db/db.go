// Package db opens gatewayd.db, keeps its schema current and owns its one
// writer. It knows no table's meaning.
//
// Every write is a function handed to Write or WriteUrgent. One goroutine runs
// all that wait, each in its own SAVEPOINT, in one transaction, and wakes the
// callers only after the commit: when Write returns nil the change is on disk
// (synchronous=FULL). Reads use connections of their own (WAL).
package db

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gatewayd/failpoint"
	"gatewayd/pulse"
)

// FileName is the database's name in the data directory.
const FileName = "gatewayd.db"

// everywhere is the VFS of who names none; the crash laboratory sets it.
var everywhere string

// ErrClosed is returned for work handed to a closed database.
var ErrClosed = errors.New("the database is closed")

// Options are what Open needs.
type Options struct {
	Dir string // made if missing, mode 0700
	// VFS is SQLite's interface to the disk; "": its own. For power cuts in tests.
	VFS string
	// SingleConn reads through the writer's connection. For tests in virtual
	// time, where two connections would deadlock on SQLite's busy wait.
	SingleConn bool
	// Group is the most functions that one transaction takes; 0: 256.
	Group int
	// Reserve is the room, in bytes, that must stay free on the disk when new
	// work is taken; Ballast is the size of a file that is given up when there
	// is none left. 0: the disk is not watched; a write fails when it is full.
	Reserve, Ballast int64
	// Attach is another database of the same schema, whose tables the writer's
	// transactions see as replaced.NAME; "": none.
	Attach string
	// Committed hears, on the writer's goroutine, of each transaction that is on
	// disk: how many functions it took, and how long it was. nil: nobody does.
	Committed func(functions int, took time.Duration)
	// Copied: the file is a copy already, so none is kept of it from before a
	// migration.
	Copied bool
}

// DB is an open database.
type DB struct {
	path    string
	vfs     string
	upgrade Upgrade
	copied  bool
	users   *os.File // its lock tells others that the database is open
	damage  atomic.Pointer[error]
	damaged chan struct{} // closed once damage is set
	pool    *sql.DB       // the writer's one connection
	writer  *conn
	readers *sql.DB // nil with SingleConn
	urgent  chan *job
	normal  chan *job
	scrubs  chan chan error
	quit    chan struct{}
	done    chan struct{}
	group   int
	heard   func(functions int, took time.Duration)
	reading chan struct{} // holds one of each Read under way
	mu      sync.Mutex
	idle    []*conn // of readers
	once    sync.Once
	ended   error // of Close

	checkpoints  *sql.DB // nil with SingleConn: SQLite checkpoints by itself then
	longer       chan struct{}
	rest         chan struct{} // a checkpoint is done but for what came meanwhile
	checkpointed chan struct{}
	commits      int         // the writer goroutine's own
	urged        atomic.Bool // a checkpoint is wanted whatever the log's length
	beat         pulse.Pulse // the writer's: it rests while nobody has anything for it
	space        *space
}

type job struct {
	fn     func(*Tx) error
	urgent bool
	err    error
	done   chan struct{}
}

// Open opens or creates the database in o.Dir and brings its schema up to date.
func Open(ctx context.Context, o Options) (*DB, error) {
	if err := MakeDir(o.Dir); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(o.Dir, FileName)
	disk := newSpace(o)
	disk.prepare()
	users, opened, err := enter(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	defer opened()

	d := &DB{
		path: path, users: users, copied: o.Copied, vfs: cmp.Or(o.VFS, everywhere), damaged: make(chan struct{}),
		urgent: make(chan *job), normal: make(chan *job), scrubs: make(chan chan error),
		quit: make(chan struct{}), done: make(chan struct{}),
		group:   o.Group,
		heard:   o.Committed,
		reading: make(chan struct{}, reads),
		longer:  make(chan struct{}, 1), rest: make(chan struct{}), checkpointed: make(chan struct{}),
		space: disk,
	}
	if d.group <= 0 {
		d.group = 256
	}
	err = d.connect(ctx, o.SingleConn)
	if err == nil && o.Attach != "" {
		_, err = d.writer.sql.ExecContext(ctx, `ATTACH ? AS `+Attached, plain(o.Attach, "rw"))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, d.told(err)), d.disconnect())
	}
	failpoint.Hit("db.opened")
	go d.write()
	if d.checkpoints != nil {
		go d.checkpoint()
	} else {
		close(d.checkpointed)
	}
	return d, nil
}

// connect opens the connections and migrates the schema.
func (d *DB) connect(ctx context.Context, single bool) (err error) {
	defer func() { err = d.noticed(err) }()
	if d.pool, err = sql.Open("sqlite3", d.dsn(false)); err != nil {
		return err
	}
	d.pool.SetMaxOpenConns(1)
	if err := d.migrate(ctx); err != nil {
		return err
	}
	if d.writer, err = connection(ctx, d.pool); err != nil || single {
		return err
	}
	if d.readers, err = sql.Open("sqlite3", d.dsn(true)); err != nil {
		return err
	}
	d.readers.SetMaxOpenConns(reads)
	if d.checkpoints, err = sql.Open("sqlite3", d.dsn(false)); err != nil {
		return err
	}
	d.checkpoints.SetMaxOpenConns(1)
	_, err = d.writer.sql.ExecContext(ctx, fmt.Sprintf("PRAGMA wal_autocheckpoint=%d", backstop))
	return err
}

// disconnect closes what connect has opened, and at last the lock.
func (d *DB) disconnect() error {
	defer d.users.Close()
	var errs []error
	if d.Damage() != nil {
		leave, err := d.leaveLog()
		defer leave()
		errs = append(errs, err)
	}
	for _, c := range d.idle {
		errs = append(errs, c.close()...)
	}
	for _, pool := range []*sql.DB{d.readers, d.checkpoints} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	if d.writer != nil {
		errs = append(errs, d.writer.close()...)
	}
	if d.pool != nil {
		errs = append(errs, d.pool.Close())
	}
	return errors.Join(errs...)
}

// busyTimeout is how long a lock of another process is waited for.
const busyTimeout = 10 * time.Second

func (d *DB) dsn(readOnly bool) string { return dsn(d.path, d.vfs, readOnly) }

func dsn(path, vfs string, readOnly bool) string {
	v := url.Values{}
	if vfs != "" {
		v.Set("vfs", vfs)
	}
	v.Set("_busy_timeout", strconv.FormatInt(busyTimeout.Milliseconds(), 10))
	v.Set("_mutex", "no") // a connection has one user at a time: the writer, or whom database/sql lends it
	v.Set("_foreign_keys", "on")
	// Small caches: the hot pages of a ring are few, and a Pi has little memory.
	v.Set("_cache_size", "-4000")
	if readOnly {
		v.Set("mode", "ro")
		v.Set("_query_only", "on")
	} else {
		v.Set("_journal_mode", "WAL")
		v.Set("_synchronous", "FULL")
		v.Set("_secure_delete", "on") // an erased text leaves no copy in free pages
		v.Set("_txlock", "immediate")
	}
	return fileURL(path) + "?" + v.Encode()
}

func fileURL(path string) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	return u.String()
}

// Path is the database file.
func (d *DB) Path() string { return d.path }

// Closing is closed when Close begins.
func (d *DB) Closing() <-chan struct{} { return d.quit }

// Close waits for what is under way and closes the database.
func (d *DB) Close() error {
	d.once.Do(func() {
		close(d.quit)
		<-d.done
		<-d.checkpointed
		for range cap(d.reading) { // from now on none begins
			d.reading <- struct{}{}
		}
		d.ended = d.disconnect()
	})
	return d.ended
}

// Write runs fn in the next group's transaction and returns after its commit.
// An error of fn undoes fn alone; an error of the commit fails the whole group.
// fn runs on the writer's goroutine and may be run once only.
func (d *DB) Write(fn func(*Tx) error) error { return d.submit(d.normal, &job{fn: fn}) }

// WriteUrgent is Write ahead of everything that waits in Write. It is for what
// a modem waits for.
func (d *DB) WriteUrgent(fn func(*Tx) error) error {
	return d.submit(d.urgent, &job{fn: fn, urgent: true})
}

func (d *DB) submit(ch chan *job, j *job) error {
	j.done = make(chan struct{})
	select {
	case ch <- j:
	case <-d.quit:
		return ErrClosed
	}
	<-j.done
	return d.told(j.err)
}

// stuckAfter is how long one transaction may take before the writer counts as
// stuck: cards that are worn out take many seconds for a sync, and another
// process may hold a lock for busyTimeout.
const stuckAfter = 40 * time.Second

// Loop is the writer as one that looks after it sees it: idle, it writes nothing.
func (d *DB) Loop() pulse.Loop {
	return pulse.Loop{Name: "the database's writer", Bound: stuckAfter, Pulse: &d.beat}
}

// sliceBudget bounds one group's transaction, so that what a modem waits for
// never waits longer.
const sliceBudget = 5 * time.Millisecond

func (d *DB) write() {
	defer close(d.done)
	for {
		d.beat.Rest()
		var first *job
		select { // what a modem waits for goes first
		case first = <-d.urgent:
		default:
			select {
			case first = <-d.urgent:
			case first = <-d.normal:
			case done := <-d.scrubs:
				d.beat.Work()
				done <- d.truncate()
				continue
			case <-d.quit:
				return
			}
		}
		d.commitGroup(first)
	}
}

// commitGroup runs first and all that waits behind it in one transaction. It
// takes no more once the group is full, the slice is used up, or an urgent
// function has run: its caller waits for the commit and should not wait for a
// batch's rows too.
func (d *DB) commitGroup(first *job) {
	d.beat.Work()
	err := d.Damage()
	if err == nil {
		_, err = d.writer.exec("BEGIN IMMEDIATE")
	}
	if err != nil {
		first.err = fmt.Errorf("database: begin: %w", d.noticed(err))
		close(first.done)
		return
	}
	tx := &Tx{d: d, c: d.writer}
	start := time.Now()
	var ran []*job
	for j := first; j != nil; {
		j.err = tx.run(j.fn, len(ran) == 0)
		ran = append(ran, j)
		if tx.broken != nil {
			break
		}
		j = d.nextWaiting(j, len(ran), start)
	}
	err = tx.broken
	if err == nil {
		failpoint.Hit("db.before-commit")
		_, err = d.writer.exec("COMMIT")
		failpoint.Hit("db.after-commit")
		err = d.noticed(err)
	}
	if err != nil {
		_, _ = d.writer.exec("ROLLBACK")
		tx.undo(0)
		for _, j := range ran {
			if j.err == nil {
				j.err = fmt.Errorf("database: commit: %w", err)
			}
		}
	}
	if err == nil && d.heard != nil {
		d.heard(len(ran), time.Since(start))
	}
	for _, do := range tx.thens {
		do()
	}
	for _, j := range ran {
		close(j.done)
	}
	d.committed()
}

// nextWaiting takes what joins the group after last, if anything does.
func (d *DB) nextWaiting(last *job, ran int, start time.Time) *job {
	if ran >= d.group || time.Since(start) > sliceBudget {
		return nil
	}
	select {
	case j := <-d.urgent:
		return j
	default:
	}
	if last.urgent {
		return nil
	}
	select {
	case j := <-d.urgent:
		return j
	case j := <-d.normal:
		return j
	default:
		return nil
	}
}

// Tx is the writing transaction. Its statements are prepared once and kept.
type Tx struct {
	d *DB
	c *conn // the writer's
	// broken tells why SQLite has undone the whole transaction by itself, as it
	// may when the disk is full: nothing of it is left to commit.
	broken error
	undos  []func()
	thens  []func()
}

// OnRollback has undo run, on the writer's goroutine, if what the caller's
// function writes is undone: by its own error or by that of the commit. It is
// for what the writer keeps in memory beside the rows.
func (tx *Tx) OnRollback(undo func()) { tx.undos = append(tx.undos, undo) }

// OnCommit has then run once what the caller's function writes is on disk,
// before anybody hears of it.
func (tx *Tx) OnCommit(then func()) {
	tx.thens = append(tx.thens, then)
	n := len(tx.thens) - 1
	tx.OnRollback(func() { tx.thens = tx.thens[:n] })
}

// undo runs what was registered since mark, the last first.
func (tx *Tx) undo(mark int) {
	for i := len(tx.undos) - 1; i >= mark; i-- {
		tx.undos[i]()
	}
	tx.undos = tx.undos[:mark]
}

// run runs fn in a savepoint of its own, or as the first of its transaction. Its
// error undoes fn alone, unless the transaction is gone.
func (tx *Tx) run(fn func(*Tx) error, first bool) (err error) {
	// The first needs none: the transaction began with it.
	undo, keep := []string{"ROLLBACK", "BEGIN IMMEDIATE"}, ""
	if !first {
		if _, err := tx.c.exec("SAVEPOINT j"); err != nil {
			return fmt.Errorf("database: savepoint: %w", err)
		}
		undo, keep = []string{"ROLLBACK TO j"}, "RELEASE j"
	}
	mark := len(tx.undos)
	defer func() {
		if p := recover(); p != nil {
			// One caller's fault must not take the others' rows with it.
			err = fmt.Errorf("database: a write panicked: %v", p)
		}
		if err = tx.d.noticed(err); errors.Is(err, ErrDamaged) {
			tx.broken = err // nobody writes into a damaged file
		}
		if err != nil {
			tx.undo(mark)
			for _, s := range undo {
				if _, e := tx.c.exec(s); e != nil {
					tx.broken = err
					return
				}
			}
		}
		if keep == "" {
			return
		}
		if _, e := tx.c.exec(keep); e != nil {
			tx.broken = e
			if err == nil {
				err = fmt.Errorf("database: release: %w", e)
			}
		}
	}()
	return fn(tx)
}

// Exec runs a statement and returns the number of rows it changed.
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	r, err := tx.c.exec(query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Insert runs an INSERT and returns the new row's id.
func (tx *Tx) Insert(query string, args ...any) (int64, error) {
	r, err := tx.c.exec(query, args...)
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}

// Query reads what the transaction sees, its own changes included.
func (tx *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	return tx.c.query(context.Background(), query, args...)
}

// QueryRow reads one row of what the transaction sees.
func (tx *Tx) QueryRow(query string, args ...any) *sql.Row {
	return tx.c.queryRow(context.Background(), query, args...)
}

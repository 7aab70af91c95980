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

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"
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
}

// DB is an open database.
type DB struct {
	path    string
	vfs     string
	users   *os.File // its lock tells others that the database is open
	damage  atomic.Pointer[error]
	damaged chan struct{} // closed once damage is set
	pool    *sql.DB       // the writer's one connection
	conn    *sql.Conn
	readers *sql.DB // nil with SingleConn
	urgent  chan *job
	normal  chan *job
	scrubs  chan chan error
	quit    chan struct{}
	done    chan struct{}
	group   int
	stmts   map[string]*sql.Stmt // of conn; the writer goroutine's own
	rstmts  sync.Map             // query → *sql.Stmt of readers
	reading chan struct{}        // holds one of each Read under way
	once    sync.Once
	ended   error // of Close

	checkpoints  *sql.DB // nil with SingleConn: SQLite checkpoints by itself then
	longer       chan struct{}
	rest         chan struct{} // a checkpoint is done but for what came meanwhile
	checkpointed chan struct{}
	commits      int // the writer goroutine's own
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
	users, opened, err := enter(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	defer opened()

	d := &DB{
		path: path, users: users, vfs: cmp.Or(o.VFS, everywhere), damaged: make(chan struct{}),
		urgent: make(chan *job), normal: make(chan *job), scrubs: make(chan chan error),
		quit: make(chan struct{}), done: make(chan struct{}),
		group: o.Group, stmts: map[string]*sql.Stmt{},
		reading: make(chan struct{}, reads),
		longer:  make(chan struct{}, 1), rest: make(chan struct{}), checkpointed: make(chan struct{}),
	}
	if d.group <= 0 {
		d.group = 256
	}
	if err := d.connect(ctx, o.SingleConn); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", path, err), d.disconnect())
	}
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
	if err := migrate(ctx, d.pool); err != nil {
		return err
	}
	// The connection outlives the call that opened it.
	if d.conn, err = d.pool.Conn(context.WithoutCancel(ctx)); err != nil || single {
		return err
	}
	if d.readers, err = sql.Open("sqlite3", d.dsn(true)); err != nil {
		return err
	}
	// Each read has a connection and may need another one to prepare a query
	// for the first time.
	d.readers.SetMaxOpenConns(2 * reads)
	d.readers.SetMaxIdleConns(2)
	if d.checkpoints, err = sql.Open("sqlite3", d.dsn(false)); err != nil {
		return err
	}
	d.checkpoints.SetMaxOpenConns(1)
	_, err = d.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA wal_autocheckpoint=%d", backstop))
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
	for _, s := range d.stmts {
		errs = append(errs, s.Close())
	}
	d.rstmts.Range(func(_, s any) bool { errs = append(errs, s.(*sql.Stmt).Close()); return true })
	for _, pool := range []*sql.DB{d.readers, d.checkpoints} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	if d.conn != nil {
		errs = append(errs, d.conn.Close())
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
	return j.err
}

// sliceBudget bounds one group's transaction, so that what a modem waits for
// never waits longer.
const sliceBudget = 5 * time.Millisecond

func (d *DB) write() {
	defer close(d.done)
	for {
		var first *job
		select { // what a modem waits for goes first
		case first = <-d.urgent:
		default:
			select {
			case first = <-d.urgent:
			case first = <-d.normal:
			case done := <-d.scrubs:
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
	ctx := context.Background()
	err := d.Damage()
	if err == nil {
		_, err = d.conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	}
	if err != nil {
		first.err = fmt.Errorf("database: begin: %w", d.noticed(err))
		close(first.done)
		return
	}
	tx := &Tx{d: d}
	start := time.Now()
	var ran []*job
	for j := first; j != nil; {
		j.err = tx.run(j.fn)
		ran = append(ran, j)
		if tx.broken != nil {
			break
		}
		j = d.nextWaiting(j, len(ran), start)
	}
	err = tx.broken
	if err == nil {
		_, err = d.conn.ExecContext(ctx, "COMMIT")
		err = d.noticed(err)
	}
	if err != nil {
		_, _ = d.conn.ExecContext(ctx, "ROLLBACK")
		for _, j := range ran {
			if j.err == nil {
				j.err = fmt.Errorf("database: commit: %w", err)
			}
		}
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

// reads is how many reads go on at once.
const reads = 4

// Read runs fn with a consistent view of the database. fn must not keep the
// Querier.
func (d *DB) Read(ctx context.Context, fn func(Querier) error) error {
	if d.readers == nil {
		return d.submit(d.normal, &job{fn: func(tx *Tx) error { return fn(tx) }})
	}
	select {
	case <-d.quit:
		return ErrClosed
	default:
	}
	if err := d.Damage(); err != nil {
		return err
	}
	select {
	case d.reading <- struct{}{}:
		defer func() { <-d.reading }()
	case <-ctx.Done():
		return ctx.Err()
	case <-d.quit:
		return ErrClosed
	}
	tx, err := d.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("database: read: %w", d.noticed(err))
	}
	defer func() { _ = tx.Rollback() }()
	return d.noticed(fn(reader{ctx, d, tx}))
}

// Querier is the reading half of a transaction.
type Querier interface {
	Query(query string, args ...any) (*sql.Rows, error)
	QueryRow(query string, args ...any) *sql.Row
}

type reader struct {
	ctx context.Context
	d   *DB
	tx  *sql.Tx
}

// stmt is the query, prepared once per connection and kept. Queries are few:
// callers build them of constant pieces.
func (r reader) stmt(query string) (*sql.Stmt, error) {
	s, ok := r.d.rstmts.Load(query)
	if !ok {
		p, err := r.d.readers.Prepare(query)
		if err != nil {
			return nil, err
		}
		var raced bool
		if s, raced = r.d.rstmts.LoadOrStore(query, p); raced {
			p.Close()
		}
	}
	return r.tx.StmtContext(r.ctx, s.(*sql.Stmt)), nil
}

func (r reader) Query(query string, args ...any) (*sql.Rows, error) {
	s, err := r.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(r.ctx, args...)
}

func (r reader) QueryRow(query string, args ...any) *sql.Row {
	s, err := r.stmt(query)
	if err != nil { // the same error comes back from Scan
		return r.tx.QueryRowContext(r.ctx, query, args...)
	}
	return s.QueryRowContext(r.ctx, args...)
}

// Tx is the writing transaction. Its statements are prepared once and kept.
type Tx struct {
	d *DB
	// broken tells why SQLite has undone the whole transaction by itself, as it
	// may when the disk is full: nothing of it is left to commit.
	broken error
}

// run runs fn in a savepoint of its own. Its error undoes fn alone, unless the
// savepoint is gone, and with it the transaction.
func (tx *Tx) run(fn func(*Tx) error) (err error) {
	ctx := context.Background()
	if _, err := tx.d.conn.ExecContext(ctx, "SAVEPOINT j"); err != nil {
		return fmt.Errorf("database: savepoint: %w", err)
	}
	defer func() {
		if p := recover(); p != nil {
			// One caller's fault must not take the others' rows with it.
			err = fmt.Errorf("database: a write panicked: %v", p)
		}
		if err = tx.d.noticed(err); errors.Is(err, ErrDamaged) {
			tx.broken = err // nobody writes into a damaged file
		}
		if err != nil {
			if _, e := tx.d.conn.ExecContext(ctx, "ROLLBACK TO j"); e != nil {
				tx.broken = err
				return
			}
		}
		if _, e := tx.d.conn.ExecContext(ctx, "RELEASE j"); e != nil {
			tx.broken = e
			if err == nil {
				err = fmt.Errorf("database: release: %w", e)
			}
		}
	}()
	return fn(tx)
}

func (tx *Tx) stmt(query string) (*sql.Stmt, error) {
	if s, ok := tx.d.stmts[query]; ok {
		return s, nil
	}
	s, err := tx.d.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	tx.d.stmts[query] = s
	return s, nil
}

// Exec runs a statement and returns the number of rows it changed.
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	s, err := tx.stmt(query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Insert runs an INSERT and returns the new row's id.
func (tx *Tx) Insert(query string, args ...any) (int64, error) {
	s, err := tx.stmt(query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}

// Query reads what the transaction sees, its own changes included.
func (tx *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	s, err := tx.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(context.Background(), args...)
}

// QueryRow reads one row of what the transaction sees.
func (tx *Tx) QueryRow(query string, args ...any) *sql.Row {
	s, err := tx.stmt(query)
	if err != nil {
		// The same error comes back from Scan.
		return tx.d.conn.QueryRowContext(context.Background(), query, args...)
	}
	return s.QueryRowContext(context.Background(), args...)
}

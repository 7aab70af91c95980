package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"
)

// ErrDiskFull means that there is no room for new work, or not even for the
// write that was tried. Nothing of it was stored.
var ErrDiskFull = errors.New("the disk is full")

// BallastName is a file beside the database that does nothing but take up room,
// so that there is some to give up when there is no other.
const BallastName = "ballast"

// floor is how little room is left when the ballast goes even before a write
// has failed, and before the database is opened: opening takes a little too.
const floor = 2 << 20

// fewInodes is when files, not bytes, run out. Those of the database are made
// anew at each start.
const fewInodes = 16

// Disk is how the disk of the data directory stands.
type Disk struct {
	Free   int64 // bytes that may still be written
	Needed int64 // bytes that must stay free for what was promised
	Full   bool  // new work is refused
	Low    bool  // it will be soon, or is
	Why    string
}

// space watches the room on the disk. What the file system tells is a forecast:
// it knows nothing of some quotas, and others write too. A write's own error is
// the truth, and opens the last reserve at once.
type space struct {
	dir              string
	reserve, ballast int64
	statfs           func(string, *unix.Statfs_t) error

	refusal atomic.Pointer[error] // nil: new work is welcome

	mu      sync.Mutex
	starved time.Time // a write has failed for want of room, last; zero: all is well since
	held    bool      // the ballast is there
	last    Disk
}

func newSpace(o Options) *space {
	return &space{dir: o.Dir, reserve: o.Reserve, ballast: o.Ballast, statfs: unix.Statfs}
}

// prepare is called before the database is opened: it makes the ballast if
// there is ample room, and gives up the one that is there if there is none.
func (s *space) prepare() {
	if s.reserve <= 0 && s.ballast <= 0 {
		return // a command beside the daemon, whose ballast is none of our business
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.path())
	s.held = err == nil
	free, _, err := s.free()
	switch {
	case err != nil:
	case s.held && (free < floor || info.Size() != s.ballast):
		s.release()
	}
	if !s.held && free >= s.reserve+s.ballast {
		s.fill()
	}
}

func (s *space) path() string { return filepath.Join(s.dir, BallastName) }

func (s *space) free() (bytes, inodes int64, err error) {
	var f unix.Statfs_t
	if err := s.statfs(s.dir, &f); err != nil {
		return 0, 0, err
	}
	inodes = int64(f.Ffree)
	if f.Files == 0 { // a file system that has no fixed number of them
		inodes = fewInodes
	}
	return int64(f.Bavail) * int64(f.Bsize), inodes, nil // an int32 on 32-bit ARM
}

// fill makes the ballast and reports whether there was room for it, which only
// the file system can tell for sure. Called with mu held.
func (s *space) fill() bool {
	if s.ballast <= 0 {
		return true
	}
	err := func() error {
		f, err := os.OpenFile(s.path(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		err = unix.Fallocate(int(f.Fd()), 0, 0, s.ballast)
		if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
			err = write(f, s.ballast)
		}
		return errors.Join(err, f.Sync())
	}()
	if s.held = err == nil; !s.held {
		s.release()
	}
	return s.held
}

// write fills a file where room can't be reserved otherwise. Zeros would take
// none on a file system that compresses.
func write(f *os.File, size int64) error {
	block := make([]byte, 64<<10)
	state := uint64(1)
	for i := range block {
		state = state*6364136223846793005 + 1442695040888963407
		block[i] = byte(state >> 56)
	}
	for size > 0 {
		n, err := f.Write(block[:min(size, int64(len(block)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

// release gives the ballast up. Called with mu held.
func (s *space) release() {
	if err := os.Remove(s.path()); err != nil {
		_ = os.Truncate(s.path(), 0) // some file systems need room to remove a name
	}
	s.held = false
}

// hit notes that a write has failed for want of room, and gives up the ballast.
// It reports whether that has made any.
func (s *space) hit(now time.Time) (relieved bool) {
	if s.reserve <= 0 && s.ballast <= 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starved = now
	s.refuse("A write to the disk has failed for want of room")
	if relieved = s.held; relieved {
		s.release()
	}
	return relieved
}

func (s *space) refuse(why string) {
	err := fmt.Errorf("%w: %s", ErrDiskFull, why)
	s.refusal.Store(&err)
}

// quiet is how long no write may have failed before new work is taken again,
// where there is no ballast whose making would prove that there is room.
const quiet = 10 * time.Second

// look sees how much room there is. need is what must stay free; spare is what
// the database itself can use again.
func (s *space) look(now time.Time, promised, spare int64) (Disk, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, inodes, err := s.free()
	if err != nil {
		return s.last, false
	}
	need := max(s.reserve, s.reserve+promised-spare)
	relieved := false
	if free < floor && s.held {
		s.release()
		relieved = true
	}
	more := need
	if s.last.Full {
		more += need / 8 // not back and forth at the edge
	}
	if !s.held && s.ballast > 0 && !relieved && free >= more+s.ballast && s.fill() {
		free -= s.ballast
		s.starved = time.Time{}
	}
	if s.ballast <= 0 && now.Sub(s.starved) >= quiet {
		s.starved = time.Time{}
	}
	d := Disk{Free: free, Needed: need}
	d.Full = free < more || !s.starved.IsZero()
	switch {
	case !s.starved.IsZero():
		d.Why = "A write to the disk has failed for want of room"
	case d.Full:
		d.Why = "The disk has less room than what was accepted may need"
	case inodes < fewInodes:
		d.Why = "The disk has hardly room for another file, however small"
	default:
		d.Why = "The disk is nearly full"
	}
	d.Low = d.Full || inodes < fewInodes || free < 2*need || s.last.Low && free < 2*more+need/4
	s.last = d
	if d.Full {
		s.refuse(d.Why)
	} else {
		s.refusal.Store(nil)
	}
	return d, relieved
}

// Room is nil while there is room on the disk for new work beside all that was
// promised, else an ErrDiskFull.
func (d *DB) Room() error {
	if err := d.space.refusal.Load(); err != nil {
		return *err
	}
	return nil
}

// LookAtDisk sees how much room there is, opens and closes the last reserve, and
// decides what Room says. promised is how many bytes what was accepted may still
// need. It is to be called every now and then.
func (d *DB) LookAtDisk(ctx context.Context, promised int64) (Disk, error) {
	var spare int64
	if promised > 0 {
		err := d.Read(ctx, func(r Querier) error {
			var pages, size int64
			if err := r.QueryRow(`PRAGMA freelist_count`).Scan(&pages); err != nil {
				return err
			}
			err := r.QueryRow(`PRAGMA page_size`).Scan(&size)
			spare = pages * size
			return err
		})
		if err != nil {
			return Disk{}, err
		}
	}
	disk, relieved := d.space.look(time.Now(), promised, spare)
	if relieved {
		d.relieve()
	}
	return disk, nil
}

// told turns an error that comes of a full disk into ErrDiskFull, and opens the
// last reserve.
func (d *DB) told(err error) error {
	if err == nil || !isFull(err) {
		return err
	}
	if d.space.hit(time.Now()) {
		d.relieve()
	}
	return fmt.Errorf("%w: %w", ErrDiskFull, err)
}

// relieve has the log copied into the database, now that there is room: until
// then it can only grow.
func (d *DB) relieve() {
	d.urged.Store(true)
	select {
	case d.longer <- struct{}{}:
	default:
	}
}

// isFull reports whether an error of SQLite means that there is no room: by its
// own word, or by the system's behind it. A quota shows in the latter only.
func isFull(err error) bool {
	const shmSize = 19 // SQLITE_IOERR_SHMSIZE: the log's index could not be made longer
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
	}
	switch e.Code {
	case sqlite3.ErrFull:
		return true
	case sqlite3.ErrIoErr, sqlite3.ErrCantOpen:
		return e.SystemErrno == unix.ENOSPC || e.SystemErrno == unix.EDQUOT || e.ExtendedCode == sqlite3.ErrIoErr.Extend(shmSize)
	}
	return false
}

// Passing tells whether an error is of the database or the system below it, and not of
// what was to be written: the same may be written later.
func Passing(err error) bool {
	var e sqlite3.Error
	var path *fs.PathError
	switch {
	case err == nil:
		return false
	case errors.As(err, &e):
		return e.Code != sqlite3.ErrConstraint && e.Code != sqlite3.ErrMismatch && e.Code != sqlite3.ErrTooBig
	case errors.As(err, &path):
		return true
	}
	for _, of := range []error{ErrDiskFull, ErrClosed, ErrDamaged, sql.ErrTxDone, sql.ErrConnDone, driver.ErrBadConn, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}

package db

import (
	"errors"
	"fmt"
	"os"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"
)

// ErrDamaged means that the database's file contradicts itself.
var ErrDamaged = errors.New("the database file is damaged")

func isDamage(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB)
}

// noticed keeps the first sign of damage that SQLite gives. From then on
// nothing is written, for that may destroy what could still be saved, and
// nothing is read: what a damaged file says is not to be acted on.
func (d *DB) noticed(err error) error {
	if !isDamage(err) || errors.Is(err, ErrDamaged) {
		return err
	}
	err = fmt.Errorf("%w: %w; restore a backup with gatewayd restore FILE", ErrDamaged, err)
	if d.damage.CompareAndSwap(nil, &err) {
		close(d.damaged)
	}
	return err
}

// Damage is nil, or ErrDamaged with the details.
func (d *DB) Damage() error {
	if err := d.damage.Load(); err != nil {
		return *err
	}
	return nil
}

// Damaged is closed when the file turns out to be damaged. All reads and
// writes fail from then on.
func (d *DB) Damaged() <-chan struct{} { return d.damaged }

// leaveLog keeps SQLite from copying the log into a damaged file, which the
// last connection does that may write: it finds that somebody else has the file, and is
// not the last. A connection that only reads would do as well, but there is none to
// be had where the schema is what is damaged.
func (d *DB) leaveLog() (leave func(), err error) {
	f, err := os.Open(d.path)
	if err != nil {
		return func() {}, err
	}
	// What SQLite calls SHARED, on its range of the file. A lock of the open file, for one
	// of the process would be SQLite's own.
	shared := unix.Flock_t{Type: unix.F_RDLCK, Start: 0x40000002, Len: 510}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &shared); err != nil {
		f.Close()
		return func() {}, fmt.Errorf("%s is damaged and can't be locked: %w", d.path, err)
	}
	return func() { f.Close() }, nil
}

package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"
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
// last connection does that may write: it opens one that may not, to be the last.
func (d *DB) leaveLog() (leave func(), err error) {
	last, err := sql.Open("sqlite3", d.dsn(true))
	if err != nil {
		return func() {}, err
	}
	last.SetMaxOpenConns(1)
	// With its first read it takes the lock, and keeps it. What it reads does
	// not matter, nor whether it can.
	var version int
	_ = last.QueryRowContext(context.Background(), "PRAGMA schema_version").Scan(&version)
	return func() { last.Close() }, nil
}

package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// beforeEnd is between the database's name and the schema that a migration made
// of it: gatewayd.db.before-v17 is the database as it was before it had schema 17.
const beforeEnd = ".before-v"

// copiesBefore is how many such copies are kept; older ones go.
const copiesBefore = 2

// Upgrade is what Open did to a database of an older gatewayd.
type Upgrade struct {
	From, To int64  // versions of the schema; the same: nothing was done
	Copy     string // the database as it was before; "": there is none
	Why      error  // why not
}

// Upgraded tells what Open did to the schema.
func (d *DB) Upgraded() Upgrade { return d.upgrade }

// copyBefore copies the database before a migration, so that there is a way back
// to the gatewayd that was before. The copy has its name when it is whole and was
// looked through; a power cut leaves none, and the next start makes it anew, for
// the migration comes after it. Without room there is none: a gateway that works
// and can't go back is better than one that stands still.
func (d *DB) copyBefore(ctx context.Context, from, to int64) (path string, err error) {
	var pages, size int64
	for name, into := range map[string]*int64{"page_count": &pages, "page_size": &size} {
		if err := d.pool.QueryRowContext(ctx, "PRAGMA "+name).Scan(into); err != nil {
			return "", err
		}
	}
	room, _, err := d.space.free()
	if err != nil {
		return "", err
	}
	// The migration may write as much once more, into the log.
	if need := 2*pages*size + d.space.reserve + floor; room < need {
		return "", fmt.Errorf("no room for the copy: %d MB are free, %d are needed", room>>20, need>>20)
	}
	path = d.path + beforeEnd + strconv.FormatInt(to, 10)
	removeParts(filepath.Dir(path), filepath.Base(d.path)+beforeEnd, 0) // nobody else is at it: see enter
	if err := copyInto(ctx, d.pool, path); err != nil {
		return "", err
	}
	pruneBefore(d.path, copiesBefore)
	return path, nil
}

// copyInto writes a consistent copy of the database behind pool to path. It has
// its name only once all of it is on disk and nothing in it is damaged; nothing is
// left of one that fails.
func copyInto(ctx context.Context, pool *sql.DB, path string) (err error) {
	dir, name := filepath.Dir(path), filepath.Base(path)
	part, err := os.CreateTemp(dir, "."+name+".*.part") // mode 0600
	if err != nil {
		return err
	}
	keepOwner(part, dir)
	part.Close()
	defer func() {
		if err != nil {
			os.Remove(part.Name())
			os.Remove(part.Name() + "-journal")
			if isFull(err) {
				err = fmt.Errorf("no room for the copy in %s; nothing is left of it: %w", dir, err)
			}
		}
	}()
	if _, err := pool.ExecContext(ctx, `VACUUM INTO ?`, part.Name()); err != nil {
		return fmt.Errorf("copying the database: %w", err)
	}
	if err := flush(part.Name()); err != nil {
		return err
	}
	if err := check(ctx, part.Name()); err != nil {
		return fmt.Errorf("the copy can't be used: %w", err)
	}
	if err := os.Rename(part.Name(), path); err != nil {
		return err
	}
	return flush(dir)
}

// removeParts removes what copies left that were cut off, to files whose names
// begin so, if it is older than age.
func removeParts(dir, begin string, age time.Duration) {
	left, _ := filepath.Glob(filepath.Join(escape(dir), "."+escape(begin)+"*.part*"))
	for _, l := range left {
		if info, err := os.Stat(l); err == nil && time.Since(info.ModTime()) >= age {
			os.Remove(l)
		}
	}
}

// before lists the copies from before migrations, the latest schema first.
func before(path string) (all []string) {
	all, _ = filepath.Glob(escape(path) + beforeEnd + "*")
	version := func(name string) int {
		n, err := strconv.Atoi(strings.TrimPrefix(name, path+beforeEnd))
		if err != nil {
			return -1
		}
		return n
	}
	all = slices.DeleteFunc(all, func(name string) bool { return version(name) < 0 })
	slices.SortFunc(all, func(a, b string) int { return version(b) - version(a) })
	return all
}

func pruneBefore(path string, keep int) {
	all := before(path)
	for _, old := range all[min(keep, len(all)):] {
		os.Remove(old)
	}
}

// ForgetBefore removes the copies from before migrations that were made before
// since: what was erased after them is in them still.
func (d *DB) ForgetBefore(since time.Time) error {
	var errs []error
	for _, c := range before(d.path) {
		if info, err := os.Stat(c); err == nil && info.ModTime().Before(since) {
			errs = append(errs, os.Remove(c))
		}
	}
	return errors.Join(errs...)
}

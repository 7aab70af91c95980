package db

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// applicationID is in the header of our files, so that everybody can tell whose
// they are. Those of the first versions have none.
const applicationID = 0x67776442 // "gwdB"

const (
	advice = "nothing was changed; restore a backup with gatewayd restore FILE, or move the file away to begin with an empty database"
	// lookFor is how long a start looks for damage at most: a restart must not
	// keep the modems waiting. What is found later is found by using it.
	lookFor = 2 * time.Second
	// copied is the longest log that is copied to look through it.
	copied = 16 << 20
)

// inspect tells why the file is not one to write into: another program's, a
// newer gatewayd's or a damaged one. It changes nothing, and is only for a file
// that nobody has open.
func inspect(ctx context.Context, path string) error {
	left, _ := filepath.Glob(filepath.Join(escape(filepath.Dir(path)), checkPattern))
	for _, l := range left { // of a check that was cut off
		os.RemoveAll(l)
	}
	log, err := sizeOf(path + "-wal")
	if err != nil {
		return err
	}
	size, err := sizeOf(path)
	if err != nil {
		return err
	}
	if size == 0 {
		if log > 0 {
			return fmt.Errorf("the file is not there, or empty, but its log %s-wal is there: they belong together; %s, its log too", FileName, advice)
		}
		return nil // a new one
	}
	if journal, err := sizeOf(path + "-journal"); err != nil || journal > 0 {
		return err // a write that was cut off, which SQLite undoes
	}
	if err := inspectHeader(path, size, log); err != nil {
		return err
	}
	from := fileURL(path) + "?immutable=1"
	if log > copied {
		return nil
	}
	if log > 0 {
		// To read through the log SQLite writes an index beside it, so that is
		// done in a directory of its own, with the file under a second name.
		dir, err := secondName(path)
		defer os.RemoveAll(dir)
		if err != nil {
			return nil // no room, or no hard links: nothing says that it is damaged
		}
		from = fileURL(filepath.Join(dir, FileName)) + "?mode=ro"
	}
	pool, err := sql.Open("sqlite3", from)
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(1)
	err = inspectTables(ctx, pool)
	if err == nil {
		err = lookThrough(ctx, pool)
	}
	if isDamage(err) {
		err = fmt.Errorf("%w: %w; %s", ErrDamaged, err, advice)
	}
	return errors.Join(err, pool.Close())
}

// sizeOf is 0 for a file that is not there.
func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is no file but a %s; %s", path, kindOf(info.Mode()), advice)
	}
	return info.Size(), nil
}

func kindOf(m fs.FileMode) string {
	if m.IsDir() {
		return "directory"
	}
	return "special file"
}

// inspectHeader reads what SQLite's file format says in the first bytes of the
// file and of its log.
func inspectHeader(path string, size, log int64) error {
	var h [100]byte
	if err := readStart(path, h[:]); err != nil {
		return err
	}
	if string(h[:16]) != "SQLite format 3\x00" {
		return fmt.Errorf("%w: this is not a database, or its beginning is overwritten; %s", ErrDamaged, advice)
	}
	if id := binary.BigEndian.Uint32(h[68:]); id != 0 && id != applicationID {
		return fmt.Errorf("this is the database of another program (application id %#x); %s", id, advice)
	}
	page := int64(binary.BigEndian.Uint16(h[16:]))
	if page == 1 {
		page = 64 << 10
	}
	if page < 512 || page&(page-1) != 0 {
		return fmt.Errorf("%w: its header tells a page size of %d; %s", ErrDamaged, page, advice)
	}
	if log > 0 {
		var w [12]byte
		err := readStart(path+"-wal", w[:])
		if err == nil && binary.BigEndian.Uint32(w[:])&^1 == 0x377f0682 && int64(binary.BigEndian.Uint32(w[8:])) != page {
			err = fmt.Errorf("its log %s-wal belongs to another database; %s, its log too", FileName, advice)
		}
		return err // the log may hold what the file lacks
	}
	pages := int64(binary.BigEndian.Uint32(h[28:]))
	if string(h[24:28]) == string(h[92:96]) && pages*page > size {
		return fmt.Errorf("%w: it is cut short: %d bytes of %d are there; %s", ErrDamaged, size, pages*page, advice)
	}
	return nil
}

// readStart fills b with a file's first bytes; what is not there is zero.
func readStart(path string, b []byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadFull(f, b)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

const checkPattern = ".check-*"

// secondName makes a directory in which the file lies too, with a copy of its
// log.
func secondName(path string) (dir string, err error) {
	parent := filepath.Dir(path)
	if dir, err = os.MkdirTemp(parent, checkPattern); err != nil {
		return dir, err
	}
	if err := os.Link(path, filepath.Join(dir, FileName)); err != nil {
		return dir, err
	}
	from, err := os.Open(path + "-wal")
	if err != nil {
		return dir, err
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(dir, FileName+"-wal"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return dir, err
	}
	_, err = io.Copy(to, from)
	return dir, errors.Join(err, to.Close())
}

// escape takes a path for a pattern that matches nothing else.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// inspectTables tells whose tables these are.
func inspectTables(ctx context.Context, pool *sql.DB) error {
	var tables int
	err := pool.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE type = 'table'`).Scan(&tables)
	if err != nil || tables == 0 {
		return err // none: a first start that was cut off
	}
	_, err = schemaOf(ctx, pool)
	switch {
	case errors.Is(err, ErrForeign):
		err = fmt.Errorf("%w; %s", err, advice)
	case errors.Is(err, ErrNewer):
		err = fmt.Errorf("%w; nothing was changed", err)
	}
	return err
}

// ErrNewer means that a database was written by a newer gatewayd.
var ErrNewer = errors.New("a newer gatewayd wrote this database")

// newerAdvice is what to do about it.
const newerAdvice = "install the newer gatewayd again, or go back to a database from before it with gatewayd restore --back FILE"

// ErrForeign means that a file is no database of gatewayd's.
var ErrForeign = errors.New("this is the database of another program: it has none of gatewayd's tables")

// schemaOf tells the version of a database's schema, if it is one of ours.
func schemaOf(ctx context.Context, pool *sql.DB) (version int64, err error) {
	var goose, ours int
	err = pool.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE name = 'goose_db_version'), count(*) FILTER (WHERE name IN ('messages', 'outbound_ring'))
		FROM sqlite_master WHERE type = 'table'`).Scan(&goose, &ours)
	if err != nil {
		return 0, err
	}
	if goose == 0 {
		return 0, ErrForeign
	}
	err = pool.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&version)
	switch {
	case err != nil:
		return 0, err
	case version > 0 && ours < 2:
		return version, ErrForeign
	case version > newestSchema():
		return version, fmt.Errorf("%w: its schema is version %d, this one knows %d: %s", ErrNewer, version, newestSchema(), newerAdvice)
	}
	return version, nil
}

// lookThrough looks for damage as long as a start may wait for it.
func lookThrough(ctx context.Context, pool *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	rows, err := pool.QueryContext(ctx, `PRAGMA quick_check(2)`)
	if err == nil {
		defer rows.Close()
	}
	for err == nil && rows.Next() {
		var line string
		if err = rows.Scan(&line); err == nil && line != "ok" && !strings.Contains(line, " value in ") && !strings.HasPrefix(line, "CHECK constraint") {
			return fmt.Errorf("%w: %s; %s", ErrDamaged, strings.Join(strings.Fields(line), " "), advice)
		}
	}
	if err == nil {
		err = rows.Err()
	}
	if !isDamage(err) {
		return nil // it takes longer; or the caller gives up, which the next step sees
	}
	return err
}

package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Backup writes a consistent copy of the database in dir to path, whether or not
// a daemon has it open: one moment of it, without what was erased. The copy has
// its name only once all of it is on disk. An existing file is overwritten only
// with force.
func Backup(ctx context.Context, dir, path string, force bool) error {
	if _, err := os.Lstat(path); err == nil && !force {
		return fmt.Errorf("%s is there already; give another name, or --force", path)
	}
	from := filepath.Join(dir, FileName)
	if _, err := os.Stat(from); err != nil {
		return fmt.Errorf("there is no database to copy: %w", err)
	}
	// Not through Open: a copy must not change the schema that it copies. The
	// snapshot that is read holds up nobody; the daemon's log gets longer meanwhile.
	pool, err := sql.Open("sqlite3", plain(from, "rw"))
	if err != nil {
		return err
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	if _, err := schemaOf(ctx, pool); err != nil {
		return fmt.Errorf("database %s: %w", from, err)
	}
	return copyInto(ctx, pool, path)
}

// plain is a database for database/sql without what the daemon sets. With
// secure_delete, which a copy inherits, the gaps in its pages are zeros.
func plain(path, mode string) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(),
		RawQuery: url.Values{"mode": {mode}, "_secure_delete": {"on"}, "_busy_timeout": {fmt.Sprint(busyTimeout.Milliseconds())}}.Encode()}
	return u.String()
}

// Note executes one statement in the database in dir, whether or not a daemon has
// it open. Its schema stays as it is: a command must not change it under a daemon
// that is older.
func Note(ctx context.Context, dir, query string, args ...any) error {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); err != nil {
		return err
	}
	pool, err := sql.Open("sqlite3", plain(path, "rw"))
	if err != nil {
		return err
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	if _, err := schemaOf(ctx, pool); err != nil {
		return fmt.Errorf("database %s: %w", path, err)
	}
	_, err = pool.ExecContext(ctx, query, args...)
	return err
}

// flush makes a file's content, or a directory's names, durable.
func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Newer is ErrNewer if a newer gatewayd wrote the database in dir, which this
// one would not understand.
func Newer(ctx context.Context, dir string) error {
	pool, err := sql.Open("sqlite3", plain(filepath.Join(dir, FileName), "rw"))
	if err != nil {
		return nil
	}
	defer pool.Close()
	if _, err := schemaOf(ctx, pool); errors.Is(err, ErrNewer) {
		return err
	}
	return nil // or it can't be read, which is for others to say
}

// stagePattern names the directory in which a backup is made ready.
const stagePattern = "restore-*"

// Stage copies a backup into a new directory in dir and checks it there: that it
// is whole, gatewayd's, and of no newer schema. Nothing else is changed. The
// directory is the caller's to remove.
func Stage(ctx context.Context, dir string, backup io.Reader) (stage string, err error) {
	left, _ := filepath.Glob(filepath.Join(dir, stagePattern))
	for _, l := range left { // of a restore that was cut off
		os.RemoveAll(l)
	}
	if stage, err = os.MkdirTemp(dir, stagePattern); err != nil { // mode 0700
		return "", err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(stage)
			if isFull(err) {
				err = fmt.Errorf("no room in %s beside the database that is there: %w", dir, err)
			}
		}
	}()
	path := filepath.Join(stage, FileName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, backup)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("copying the backup: %w", err)
	}
	return stage, check(ctx, path)
}

// check looks at a whole file that nobody else has open.
func check(ctx context.Context, path string) error {
	pool, err := sql.Open("sqlite3", plain(path, "rw"))
	if err != nil {
		return err
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	if _, err := schemaOf(ctx, pool); err != nil {
		return err
	}
	rows, err := pool.QueryContext(ctx, `PRAGMA integrity_check(5)`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var faults []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			faults = append(faults, line)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(faults) > 0 {
		return fmt.Errorf("it is damaged: %s", strings.Join(faults, "; "))
	}
	return nil
}

// Replace puts the database of stage in the place of the one in dir, which it
// keeps beside it under a dated name. A power cut leaves the one or the other.
// Nobody may have either open.
func Replace(dir, stage string, now time.Time) (kept string, err error) {
	path := filepath.Join(dir, FileName)
	if err := flush(filepath.Join(stage, FileName)); err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		stem := "gatewayd-" + now.UTC().Format("20060102-150405")
		kept = filepath.Join(dir, stem+".db")
		err := os.Link(path, kept)
		if err != nil { // a file system without hard links
			err = os.Rename(path, kept)
		}
		if err != nil {
			return "", fmt.Errorf("keeping the database that is there: %w", err)
		}
		// A log that is left belongs to it, and would be taken for the new one's.
		for _, end := range []string{"-wal", "-shm"} {
			err := os.Rename(path+end, kept+end)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return "", err
			}
		}
		if err := flush(dir); err != nil {
			return "", err
		}
	}
	if err := os.Rename(filepath.Join(stage, FileName), path); err != nil {
		return kept, err
	}
	return kept, errors.Join(flush(dir), os.RemoveAll(stage))
}

// Attached is the schema name under which a transaction sees Options.Attach.
const Attached = "replaced"

// ContinueSequences makes numbers that are given once go on above those that the
// attached database has given; where there is none, far above our own.
func ContinueSequences(tx *Tx, attached bool) error {
	if !attached {
		const far = 1_000_000
		_, err := tx.Exec(`UPDATE sqlite_sequence SET seq = seq + ?`, far)
		return err
	}
	_, err := tx.Exec(`UPDATE sqlite_sequence SET seq = max(seq, coalesce((SELECT r.seq FROM replaced.sqlite_sequence r WHERE r.name = sqlite_sequence.name), 0))`)
	if err == nil {
		_, err = tx.Exec(`INSERT INTO sqlite_sequence (name, seq) SELECT name, seq FROM replaced.sqlite_sequence
			WHERE name NOT IN (SELECT name FROM main.sqlite_sequence)`)
	}
	return err
}

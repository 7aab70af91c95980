package db

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date; each migration is one transaction, so
// a power cut leaves the old schema or the new one. The daemon and a command
// may both be the first to come, so one at a time does it.
func migrate(ctx context.Context, pool *sql.DB, directory string) error {
	lock, err := os.Open(directory)
	if err != nil {
		return err
	}
	defer lock.Close() // and unlock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking the data directory: %w", err)
	}
	if err := create(ctx, filepath.Join(directory, FileName)); err != nil {
		return err
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, pool, dir)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("its schema is version %d, this gatewayd knows %d: install the newer gatewayd again", current, target)
	}
	_, err = p.Up(ctx)
	return err
}

// pageSize is half of what SQLite takes by itself. To book a part touches a
// dozen places of the database, and each is a page that the commit must write
// and sync; to read long lists smaller pages are no gain. It holds for new
// files: SQLite keeps that of an existing one.
const pageSize = 1024

// create sets what can't be changed once a file has its first page.
func create(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() > 0 {
		return err
	}
	file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	pool, err := sql.Open("sqlite3", file.String())
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(1)
	_, err = pool.ExecContext(ctx, fmt.Sprintf("PRAGMA page_size = %d", pageSize))
	if err == nil {
		_, err = pool.ExecContext(ctx, "PRAGMA journal_mode = WAL") // writes the first page
	}
	return errors.Join(err, pool.Close())
}

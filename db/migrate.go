package db

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"os"

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

package db

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
)

//go:embed migrations/*.sql
var migrations embed.FS

// newestSchema is the version of the last migration.
func newestSchema() int64 {
	files, _ := migrations.ReadDir("migrations") // embedded, and sorted by name
	number, _, _ := strings.Cut(files[len(files)-1].Name(), "_")
	version, _ := strconv.ParseInt(number, 10, 64)
	return version
}

// provider keeps account of the migrations. SQLite reads their files itself, each as
// a whole: goose's own reader of SQL takes 4 MB for each of their lines.
func provider(pool *sql.DB) (*goose.Provider, error) {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	var steps []*goose.Migration
	for _, f := range files {
		text, err := migrations.ReadFile("migrations/" + f.Name())
		if err != nil {
			return nil, err
		}
		number, _, _ := strings.Cut(f.Name(), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, err
		}
		steps = append(steps, goose.NewGoMigration(version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, string(text)); err != nil {
				return fmt.Errorf("%s: %w", f.Name(), err)
			}
			return nil
		}}, nil))
	}
	return goose.NewProvider(goose.DialectSQLite3, pool, nil, goose.WithGoMigrations(steps...), goose.WithDisableGlobalRegistry(true))
}

// enter is the door to the database: one at a time looks at what is there and
// brings it up to date, for the daemon and a command may both be the first to
// come. The lock in users is for as long as the database is open; opened lets
// the next one in.
func enter(ctx context.Context, path string) (user *os.File, opened func(), err error) {
	dir := filepath.Dir(path)
	door, err := os.Open(dir)
	if err != nil {
		return nil, nil, inWords(err)
	}
	defer func() {
		if err != nil {
			door.Close() // and unlock
			if user != nil {
				user.Close()
			}
		}
	}()
	if err := unix.Flock(int(door.Fd()), unix.LOCK_EX); err != nil {
		return nil, nil, fmt.Errorf("locking the data directory: %w", err)
	}
	user, alone, err := users(dir)
	if err != nil {
		return nil, nil, err
	}
	if alone {
		if err := inspect(ctx, path); err != nil {
			return user, nil, inWords(err)
		}
		if err := create(ctx, path); err != nil {
			return user, nil, inWords(err)
		}
	}
	return user, func() { door.Close() }, share(user)
}

// migrate brings the schema up to date; each migration is one transaction, so
// a power cut leaves the old schema or the new one. A database that was in use is
// copied before.
func (d *DB) migrate(ctx context.Context) error {
	pool := d.pool
	p, err := provider(pool)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("%w: its schema is version %d, this one knows %d: %s", ErrNewer, current, target, newerAdvice)
	}
	d.upgrade = Upgrade{From: current, To: target}
	// A disk of a test's own is not copied from.
	if current > 0 && current < target && !d.copied && d.vfs == "" {
		d.upgrade.Copy, d.upgrade.Why = d.copyBefore(ctx, current, target)
		if isDamage(d.upgrade.Why) || ctx.Err() != nil {
			return d.upgrade.Why
		}
	}
	if _, err = p.Up(ctx); err != nil {
		return err
	}
	return stamp(ctx, pool, target)
}

// stamp writes into the file's header whose it is and which schema it has, for
// those who look at it from outside. The table of migrations is the truth.
func stamp(ctx context.Context, pool *sql.DB, version int64) error {
	for name, want := range map[string]int64{"application_id": applicationID, "user_version": version} {
		var is int64
		err := pool.QueryRowContext(ctx, "PRAGMA "+name).Scan(&is)
		if err == nil && is != want {
			_, err = pool.ExecContext(ctx, fmt.Sprintf("PRAGMA %s = %d", name, want))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pageSize is half of what SQLite takes by itself. To book a part touches a
// dozen places of the database, and each is a page that the commit must write
// and sync; to read long lists smaller pages are no gain. It holds for new
// files: SQLite keeps that of an existing one.
const pageSize = 1024

// create makes the file if there is none, with what can't be changed once it
// has its first page. It gets its name when it is whole, so a power cut leaves
// none or one that opens. An existing file it only tries to open.
func create(ctx context.Context, path string) error {
	if size, err := sizeOf(path); err != nil {
		return err
	} else if size > 0 {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return f.Close()
	}
	fresh := path + ".new"
	for _, left := range []string{fresh, fresh + "-journal", fresh + "-wal", fresh + "-shm", path + "-journal"} {
		if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// By ourselves, so that the file is never readable by others.
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	keepOwner(f, filepath.Dir(path))
	pool, err := sql.Open("sqlite3", fileURL(fresh))
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(1)
	for _, pragma := range []string{
		fmt.Sprintf("page_size = %d", pageSize),
		fmt.Sprintf("application_id = %d", applicationID),
		"journal_mode = WAL",
	} {
		if err == nil {
			_, err = pool.ExecContext(ctx, "PRAGMA "+pragma)
		}
	}
	if err = errors.Join(err, pool.Close()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

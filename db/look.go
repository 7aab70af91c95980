package db

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
)

// Facts are what a database is, without anything that is in it.
type Facts struct {
	SQLite    string `json:"sqlite"`
	Schema    int64  `json:"schema"`
	PageSize  int64  `json:"page_size"`
	Pages     int64  `json:"pages"`
	FreePages int64  `json:"free_pages"`
	Check     string `json:"check,omitempty"` // what SQLite says of the file, if it was asked
}

// Look tells the facts of an open database.
func (d *DB) Look(ctx context.Context) (f Facts, err error) {
	err = d.Read(ctx, func(q Querier) (err error) {
		f, err = facts(q.QueryRow)
		return err
	})
	return f, err
}

// Look tells the facts of a database that is in dir, and what SQLite says of its
// file. It writes nothing, and is for another process than the daemon's.
func Look(ctx context.Context, dir string) (f Facts, err error) {
	path := filepath.Join(dir, FileName)
	if size, err := sizeOf(path); err != nil || size == 0 {
		return f, errors.Join(err, errors.New("there is no database"))
	}
	mode := "?mode=ro"
	if log, err := sizeOf(path + "-wal"); err == nil && log == 0 {
		mode = "?mode=ro&immutable=1" // nobody has it open, and nothing is made beside it
	}
	pool, err := sql.Open("sqlite3", fileURL(path)+mode)
	if err != nil {
		return f, err
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	f, err = facts(func(query string, args ...any) *sql.Row { return pool.QueryRowContext(ctx, query, args...) })
	if err == nil {
		err = pool.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&f.Check)
	}
	return f, err
}

func facts(row func(query string, args ...any) *sql.Row) (f Facts, err error) {
	for query, into := range map[string]any{
		`SELECT sqlite_version()`: &f.SQLite, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`: &f.Schema,
		`PRAGMA page_size`: &f.PageSize, `PRAGMA page_count`: &f.Pages, `PRAGMA freelist_count`: &f.FreePages,
	} {
		if err := row(query).Scan(into); err != nil {
			return f, err
		}
	}
	return f, nil
}

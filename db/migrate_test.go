package db

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// schemaAt makes a database as the gatewayd of that schema version left it.
func schemaAt(t *testing.T, dir string, version int64) {
	t.Helper()
	pool, err := sql.Open("sqlite3", dsn(filepath.Join(dir, FileName), "", false))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	p, err := provider(pool)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(context.Background(), version); err != nil {
		t.Fatal(err)
	}
}

func schema(t *testing.T, d *DB) string {
	t.Helper()
	var all []string
	if err := d.Read(context.Background(), func(q Querier) error {
		rows, err := q.Query(`SELECT type, name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose%' ORDER BY type, name`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var kind, name, text string
			if err := rows.Scan(&kind, &name, &text); err != nil {
				return err
			}
			all = append(all, kind+" "+name+": "+text)
		}
		return rows.Err()
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

func newest(t *testing.T) int64 {
	t.Helper()
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	for i, f := range files {
		if !strings.HasPrefix(filepath.Base(f), fmt.Sprintf("%04d_", i+1)) {
			t.Errorf("%s: migrations are numbered from 0001 without gaps", f)
		}
	}
	return int64(len(files))
}

func TestUpgradeFromEverySchema(t *testing.T) {
	fresh, err := Open(context.Background(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	want := schema(t, fresh)
	if err := fresh.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(want, "table messages") {
		t.Fatalf("the schema: %s", want)
	}
	for version := int64(1); version <= newest(t); version++ {
		dir := t.TempDir()
		schemaAt(t, dir, version)
		d, err := Open(context.Background(), Options{Dir: dir})
		if err != nil {
			t.Errorf("from version %d: %v", version, err)
			continue
		}
		if got := schema(t, d); got != want {
			t.Errorf("from version %d the schema becomes\n%s\nand not\n%s", version, got, want)
		}
		if err := d.Read(context.Background(), func(q Querier) error {
			var verdict string
			if err := q.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
				return fmt.Errorf("integrity: %s, %w", verdict, err)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(context.Background(), Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "version 9999") || !strings.Contains(err.Error(), "install the newer gatewayd") {
		t.Errorf("%v", err)
	}
}

// `keys create` and the daemon may both be the first to open the database.
func TestFirstOpenByManyAtOnce(t *testing.T) {
	for range 5 {
		dir := t.TempDir()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				d, err := Open(context.Background(), Options{Dir: dir})
				if err != nil {
					t.Error(err)
					return
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

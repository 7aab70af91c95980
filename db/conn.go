package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"

	"github.com/mattn/go-sqlite3" // the driver "sqlite3"
)

// conn is a connection with its statements, prepared once and kept. It has one
// user at a time. What changes rows goes past database/sql, which takes about
// as long for each of a part's ten statements as SQLite does.
type conn struct {
	sql    *sql.Conn
	raw    *sqlite3.SQLiteConn // the same beneath database/sql
	reads  map[string]*sql.Stmt
	writes map[string]*sqlite3.SQLiteStmt
	args   []driver.NamedValue // of the statement under way
}

// connection takes one out of the pool, until it is closed.
func connection(ctx context.Context, pool *sql.DB) (*conn, error) {
	// It outlives the call that opens it.
	c, err := pool.Conn(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	n := &conn{sql: c, reads: map[string]*sql.Stmt{}, writes: map[string]*sqlite3.SQLiteStmt{}}
	return n, c.Raw(func(raw any) error { n.raw = raw.(*sqlite3.SQLiteConn); return nil })
}

func (c *conn) close() []error {
	var errs []error
	for _, s := range c.reads {
		errs = append(errs, s.Close())
	}
	for _, s := range c.writes {
		errs = append(errs, s.Close())
	}
	return append(errs, c.sql.Close())
}

// exec runs a statement that gives no rows.
func (c *conn) exec(query string, args ...any) (driver.Result, error) {
	s, ok := c.writes[query]
	if !ok {
		p, err := c.raw.Prepare(query)
		if err != nil {
			return nil, err
		}
		s = p.(*sqlite3.SQLiteStmt)
		c.writes[query] = s
	}
	c.args = c.args[:0]
	for i, arg := range args {
		v, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return s.ExecContext(context.Background(), c.args)
}

func (c *conn) stmt(query string) (*sql.Stmt, error) {
	if s, ok := c.reads[query]; ok {
		return s, nil
	}
	s, err := c.sql.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.reads[query] = s
	return s, nil
}

func (c *conn) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := c.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

func (c *conn) queryRow(ctx context.Context, query string, args ...any) *sql.Row {
	s, err := c.stmt(query)
	if err != nil { // the same error comes back from Scan
		return c.sql.QueryRowContext(ctx, query, args...)
	}
	return s.QueryRowContext(ctx, args...)
}

// Querier is the reading half of a transaction. Queries are few: callers build
// them of constant pieces.
type Querier interface {
	Query(query string, args ...any) (*sql.Rows, error)
	QueryRow(query string, args ...any) *sql.Row
}

// reads is how many reads go on at once.
const reads = 4

type reader struct {
	ctx context.Context
	c   *conn
}

func (r reader) Query(query string, args ...any) (*sql.Rows, error) {
	return r.c.query(r.ctx, query, args...)
}

func (r reader) QueryRow(query string, args ...any) *sql.Row {
	return r.c.queryRow(r.ctx, query, args...)
}

// Read runs fn with a consistent view of the database. fn must not keep the
// Querier.
func (d *DB) Read(ctx context.Context, fn func(Querier) error) error {
	if d.readers == nil {
		return d.submit(d.normal, &job{fn: func(tx *Tx) error { return fn(tx) }})
	}
	select {
	case <-d.quit:
		return ErrClosed
	default:
	}
	if err := d.Damage(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case d.reading <- struct{}{}:
		defer func() { <-d.reading }()
	case <-ctx.Done():
		return ctx.Err()
	case <-d.quit:
		return ErrClosed
	}
	c, err := d.borrow(ctx)
	if err != nil {
		return fmt.Errorf("database: read: %w", d.noticed(err))
	}
	defer d.giveBack(c)
	if _, err := c.exec("BEGIN"); err != nil {
		return fmt.Errorf("database: read: %w", d.noticed(err))
	}
	defer func() { _, _ = c.exec("ROLLBACK") }()
	return d.noticed(fn(reader{ctx, c}))
}

// borrow takes the reading connection that was used last: its cache is warm.
func (d *DB) borrow(ctx context.Context) (*conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.idle); n > 0 {
		c := d.idle[n-1]
		d.idle = d.idle[:n-1]
		return c, nil
	}
	return connection(ctx, d.readers)
}

func (d *DB) giveBack(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idle = append(d.idle, c)
}

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	_ "github.com/mattn/go-sqlite3"

	"gatewayd/db"
)

// openRaw opens a database with the settings of the gateway's, through
// database/sql alone.
func openRaw(path string) (*sql.DB, error) {
	d, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL&_synchronous=FULL&_secure_delete=on&_foreign_keys=on&_cache_size=-4000&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	d.SetMaxOpenConns(1)
	return d, d.Ping()
}

const group = 64

// rows inserts every row that one message costs, in the gateway's own schema
// with its indexes.
type rows struct {
	db       *sql.DB
	prepared [3]*sql.Stmt
	next     int
}

func openRows(ctx context.Context, dir string) (*rows, error) {
	schema, err := db.Open(ctx, db.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	if err := schema.Close(); err != nil {
		return nil, err
	}
	d, err := openRaw(filepath.Join(dir, db.FileName))
	if err != nil {
		return nil, err
	}
	r := &rows{db: d, next: 1}
	for i, query := range []string{
		`INSERT INTO messages (row, id, direction, status, number, local, text, data, port, encoding, parts, modem, priority, flash,
			delivery_report, on_unconfirmed, callback_url, metadata, client_id, created_at, updated_at, key_id, pin, slot, queued_seq, last_event)
			VALUES (?,?,'outbound','queued',?,'',?,NULL,0,'gsm7',1,'',4,0,1,'resend','',NULL,NULL,?,?,?,'',?,?,?)`,
		`INSERT INTO outbound_ring (address, message, retrieved) VALUES (?,?,?)`,
		`INSERT INTO events (seq, type, at, message, state) VALUES (?,'message.queued',?,?,?)`,
	} {
		if r.prepared[i], err = d.PrepareContext(ctx, query); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return r, nil
}

// insert writes the rows of one message and returns its id.
func (r *rows) insert(ctx context.Context, tx *sql.Tx, to, text string) (id string, err error) {
	const snapshot = `{"s":"queued","l":"","u":1700000000000,"a":0,"p":false}`
	now, row := time.Now().UnixMilli(), r.next
	r.next++
	id = fmt.Sprintf("msg_01HZZZZZZZ%016d", row)
	for i, args := range [][]any{
		{row, id, to, text, now, now, "AbCdEfGh", row - 1, row, row},
		{row - 1, row, now},
		{row, now, row, snapshot},
	} {
		if _, err := tx.StmtContext(ctx, r.prepared[i]).ExecContext(ctx, args...); err != nil {
			return "", fmt.Errorf("row %d: %w", row, err)
		}
	}
	return id, nil
}

// insertRows is the floor of accepting messages: their rows, so many messages in
// one transaction. It returns messages a second.
func insertRows(ctx context.Context, dir string, n, atOnce int) (rate float64, err error) {
	defer os.RemoveAll(dir)
	r, err := openRows(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer r.db.Close()
	start := time.Now()
	for r.next <= n {
		tx, err := r.db.BeginTx(ctx, nil)
		if err != nil {
			return 0, err
		}
		for range atOnce {
			if _, err := r.insert(ctx, tx, recipient(r.next), benchText); err != nil {
				return 0, err
			}
		}
		if err := tx.Commit(); err != nil {
			return 0, err
		}
	}
	return float64(r.next-1) / time.Since(start).Seconds(), nil
}

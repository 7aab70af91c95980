package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"path/filepath"

	"gatewayd/sms/pdu"
)

// bare is the least that can send: it writes AT+CMGS, waits for the prompt,
// writes the PDU and Ctrl-Z, and waits for OK. It reads no errors, no reference
// and no unsolicited lines.
type bare struct {
	port io.ReadWriter
	seen []byte
	buf  [1024]byte
}

func (b *bare) until(mark []byte) error {
	for {
		if i := bytes.Index(b.seen, mark); i >= 0 {
			b.seen = append(b.seen[:0], b.seen[i+len(mark):]...)
			return nil
		}
		n, err := b.port.Read(b.buf[:])
		if err != nil {
			return err
		}
		b.seen = append(b.seen, b.buf[:n]...)
		if bytes.Contains(b.seen, []byte("ERROR")) {
			return fmt.Errorf("the modem answered %q", b.seen)
		}
	}
}

func (b *bare) command(line string) error {
	if _, err := b.port.Write([]byte(line + "\r")); err != nil {
		return err
	}
	return b.until(okay)
}

// send sends one part; before is what must be done first, nil for nothing.
func (b *bare) send(length int, hex string, before func() error) error {
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(b.port, "AT+CMGS=%d\r", length); err != nil {
		return err
	}
	if err := b.until([]byte("> ")); err != nil {
		return err
	}
	if _, err := io.WriteString(b.port, hex); err != nil {
		return err
	}
	if _, err := b.port.Write(ctrlZ); err != nil {
		return err
	}
	return b.until(okay)
}

// bareLoop sends n parts and returns the tap that watched.
func bareLoop(port io.ReadWriteCloser, n int, before func() error) (*tap, error) {
	t := newTap(port, n)
	b := &bare{port: t}
	for _, line := range []string{"ATE0", "AT+CMGF=0"} {
		if err := b.command(line); err != nil {
			return nil, err
		}
	}
	for i := range n {
		parts, err := pdu.Submit{To: recipient(i), Text: benchText}.Encode()
		if err != nil {
			return nil, err
		}
		length, hex := pdu.CMGS(parts[0])
		if err := b.send(length, hex, before); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// oneRow is a database whose one row is updated with a commit each time.
type oneRow struct{ db *sql.DB }

func openOneRow(dir string) (*oneRow, error) {
	d, err := openRaw(filepath.Join(dir, "one-row.db"))
	if err != nil {
		return nil, err
	}
	_, err = d.Exec(`CREATE TABLE part (row INTEGER PRIMARY KEY, sent_at INTEGER NOT NULL, parts INTEGER NOT NULL);
		INSERT INTO part VALUES (1, 0, 0)`)
	if err != nil {
		d.Close()
		return nil, err
	}
	return &oneRow{d}, nil
}

// commits returns a function that commits one change.
func (o *oneRow) commits() (func() error, error) {
	update, err := o.db.Prepare(`UPDATE part SET parts = parts + 1, sent_at = parts WHERE row = 1`)
	if err != nil {
		return nil, err
	}
	return func() error {
		_, err := update.Exec()
		return err
	}, nil
}

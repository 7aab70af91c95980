package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatewayd/failpoint"
)

const (
	// checkpointAt is the length of the write-ahead log, in pages, from which
	// it is copied into the database file.
	checkpointAt = 4000
	// checkpointWhenFull is the same while there is no room for a long log.
	checkpointWhenFull = 100
	// lookEvery is how many commits pass between two looks at that length.
	lookEvery = 64
	// backstop is SQLite's own limit, in pages: should our checkpoints ever
	// fall behind, the writer does one itself.
	backstop = 32 << 10
)

// checkpoint copies the write-ahead log into the database from a connection of
// its own, so that no commit waits for it: a passive checkpoint takes no lock
// that the writer needs. The log begins anew only once all of it is copied,
// and while it is being copied the writer goes on; what came meanwhile is
// little, and the writer copies it between two transactions. A log that begins
// anew stays short, and writing over it is cheaper than making it longer.
func (d *DB) checkpoint() {
	defer close(d.checkpointed)
	for {
		select {
		case <-d.longer:
		case <-d.quit:
			return
		}
		if d.Damage() != nil {
			continue // nothing is written into a damaged file
		}
		// A failure shows as a log that grows up to the backstop, and the
		// next look tries again. NOOP only tells the length.
		var busy, length, copied int
		err := d.checkpoints.QueryRow("PRAGMA wal_checkpoint(NOOP)").Scan(&busy, &length, &copied)
		limit := failpoint.Rather(checkpointAt, 100)
		if d.Room() != nil {
			limit = checkpointWhenFull
		}
		if err != nil || length < limit && !d.urged.Swap(false) {
			continue
		}
		// On a full disk the log can't be copied and only grows: that is to be
		// known before it takes the last room.
		failpoint.Hit("db.before-checkpoint")
		_, err = d.checkpoints.ExecContext(context.Background(), "PRAGMA wal_checkpoint(PASSIVE)")
		_ = d.told(err)
		failpoint.Hit("db.checkpointed")
		select {
		case d.rest <- struct{}{}:
		case <-d.quit:
			return
		}
	}
}

// committed copies the rest of the log after a checkpoint, and tells the
// checkpointer now and then that the log has grown.
func (d *DB) committed() {
	if d.checkpoints == nil || d.Damage() != nil {
		return
	}
	select {
	case <-d.rest:
		failpoint.Hit("db.before-rest")
		_, _ = d.writer.sql.ExecContext(context.Background(), "PRAGMA wal_checkpoint(PASSIVE)")
		failpoint.Hit("db.rest-copied")
	default:
	}
	if d.commits++; d.commits%failpoint.Rather(lookEvery, 8) == 0 || d.Room() != nil {
		select {
		case d.longer <- struct{}{}:
		default: // it is at it
		}
	}
}

// Scrub makes the write-ahead log forget what was erased. It is copied into the
// database, which overwrites what it deletes, and cut to nothing. Reads under way
// delay that, so it tries until ctx ends.
func (d *DB) Scrub(ctx context.Context) error {
	for {
		if err := d.Damage(); err != nil {
			return err
		}
		if d.checkpoints != nil { // most of it beside the writer
			_, _ = d.checkpoints.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
		}
		done := make(chan error, 1)
		select {
		case d.scrubs <- done:
		case <-d.quit:
			return ErrClosed
		}
		err := <-done
		if !errors.Is(err, errReading) {
			return err
		}
		again := time.NewTimer(100 * time.Millisecond)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return err
		}
	}
}

var errReading = errors.New("somebody reads the write-ahead log")

// truncate cuts the log to nothing. It runs between two transactions and waits
// for nobody.
func (d *DB) truncate() error {
	ctx := context.Background()
	if err := d.Damage(); err != nil {
		return err
	}
	if _, err := d.writer.sql.ExecContext(ctx, "PRAGMA busy_timeout=0"); err != nil {
		return err
	}
	var busy, length, copied int
	err := d.writer.sql.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &length, &copied)
	if err == nil && busy != 0 {
		err = errReading
	}
	if err == nil {
		// SQLite syncs no cut, and a power cut would bring back what was there. The
		// sync of a commit, however small, covers it.
		_, err = d.writer.sql.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version=%d", newestSchema()))
	}
	_, e := d.writer.sql.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout=%d", busyTimeout.Milliseconds()))
	return errors.Join(err, e)
}

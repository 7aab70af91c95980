package db

import (
	"context"
	"os"
)

const (
	// checkpointAt is the length of the write-ahead log, in octets, from which
	// it is copied into the database file.
	checkpointAt = 4 << 20
	// lookEvery is how many commits pass between two looks at that length.
	lookEvery = 64
	// backstop is SQLite's own limit, in pages: should our checkpoints ever
	// fall behind, the writer does one itself.
	backstop = 16 << 10
)

// checkpoint copies the write-ahead log into the database from a connection of
// its own, so that no commit waits for it: a passive checkpoint takes no lock
// that the writer needs.
func (d *DB) checkpoint() {
	defer close(d.checkpointed)
	for {
		select {
		case <-d.longer:
		case <-d.quit:
			return
		}
		info, err := os.Stat(d.path + "-wal")
		if err != nil || info.Size() < checkpointAt {
			continue
		}
		// A failure shows as a log that grows up to the backstop, and the
		// next look tries again.
		_, _ = d.checkpoints.ExecContext(context.Background(), "PRAGMA wal_checkpoint(PASSIVE)")
	}
}

// committed tells the checkpointer now and then that the log has grown.
func (d *DB) committed() {
	if d.checkpoints == nil {
		return
	}
	if d.commits++; d.commits%lookEvery == 0 {
		select {
		case d.longer <- struct{}{}:
		default: // it is at it
		}
	}
}

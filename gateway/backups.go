package gateway

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/db"
	"gatewayd/sms"
)

// errorKept bounds what is kept of why a backup failed.
const errorKept = 300

// BackedUp notes in the database in dir that a copy of it was made now, or why
// not, whether or not a daemon runs there: it reads the note when it is asked.
func BackedUp(ctx context.Context, dir string, bytes int64, failed error, now time.Time) error {
	if failed == nil {
		return db.Note(ctx, dir, `INSERT OR REPLACE INTO backups (id, made_at, bytes) VALUES (1, ?, ?)`, now.UnixMilli(), bytes)
	}
	why := failed.Error()
	return db.Note(ctx, dir, `INSERT INTO backups (id, failing_since, error) VALUES (1, ?, ?)
		ON CONFLICT DO UPDATE SET failing_since = coalesce(failing_since, excluded.failing_since), error = excluded.error`,
		now.UnixMilli(), why[:min(len(why), errorKept)])
}

// backups are what is known of copies of the database.
type backups struct {
	db   *db.DB
	last atomic.Pointer[sms.Backup] // as it was read last
}

func newBackups(d *db.DB, r prometheus.Registerer) *backups {
	b := &backups{db: d}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatewayd_backup_last_success_timestamp_seconds", Help: "When the last backup was made; 0: none was.",
	}, func() float64 {
		if last := b.look(context.Background()); last != nil && !last.MadeAt.IsZero() {
			return float64(last.MadeAt.UnixMilli()) / 1000
		}
		return 0
	}))
	return b
}

// look reads what became of the last backup; nil: nobody has tried. While the
// database can't be read it is what was read last.
func (b *backups) look(ctx context.Context) *sms.Backup {
	var last sms.Backup
	var made, failing sql.NullInt64
	err := b.db.Read(ctx, func(r db.Querier) error {
		return r.QueryRow(`SELECT made_at, bytes, failing_since, error FROM backups`).Scan(&made, &last.Bytes, &failing, &last.Error)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		b.last.Store(nil)
	case err == nil:
		if made.Valid {
			last.MadeAt = time.UnixMilli(made.Int64)
		}
		if failing.Valid {
			last.FailingSince = time.UnixMilli(failing.Int64)
		}
		b.last.Store(&last)
	}
	return b.last.Load()
}

// lookAtBackups tells of a last backup that is too old. Who has tried to make one
// wants backups; where nobody has, none is missed.
func (g *Gateway) lookAtBackups(ctx context.Context) {
	limit := g.set.Load().Alarms.BackupAge
	last := g.backups.look(ctx)
	if last == nil || limit == 0 {
		g.alarms.end(backupOld, "")
		return
	}
	since := last.MadeAt
	if since.IsZero() {
		since = last.FailingSince
	}
	if !g.clock.Trusted() {
		return // nobody knows how old it is
	}
	if g.dispatch.now().Sub(since) < limit {
		g.alarms.end(backupOld, "")
		return
	}
	detail := fmt.Sprintf("The last one is of %s.", since.UTC().Format("2 January 2006, 15:04 UTC"))
	if last.MadeAt.IsZero() {
		detail = fmt.Sprintf("The first try was on %s, and none was made.", since.UTC().Format("2 January 2006, 15:04 UTC"))
	}
	if last.Error != "" {
		detail += " The last try said: " + last.Error + "."
	}
	g.alarms.begin(backupOld, "", kindOf(backupOld).title, detail+" "+kindOf(backupOld).advice)
}

// shiftTx gives a backup of this run its time when the clock is set.
func (b *backups) shiftTx(tx *db.Tx, step time.Duration, began time.Time) error {
	_, err := tx.Exec(`UPDATE backups SET made_at = iif(made_at >= ?2, made_at + ?1, made_at),
		failing_since = iif(failing_since >= ?2, failing_since + ?1, failing_since)`, step.Milliseconds(), began.UnixMilli())
	return err
}

// restoreBackups keeps what the replaced database knows of backups: it is later.
const restoreBackups = `INSERT OR REPLACE INTO backups (id, made_at, bytes, failing_since, error)
	SELECT id, made_at, bytes, failing_since, error FROM replaced.backups`

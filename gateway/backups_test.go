package gateway

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/db"
)

// What the command notes shows while the daemon runs; a last backup that is too
// old is an alarm, and who has never tried is left alone.
func TestLastBackup(t *testing.T) {
	ctx := context.Background()
	inWorld(t, 0, air(), func(w *world) {
		w.restart(func(o *Options) { o.Alarms.BackupAge = 72 * time.Hour })
		note := func(failed error) {
			t.Helper()
			if err := BackedUp(ctx, w.dir, 4096, failed, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		metric := func() float64 {
			t.Helper()
			r := prometheus.NewPedanticRegistry()
			newBackups(w.g.database, r)
			f, err := r.Gather()
			if err != nil || len(f) != 1 {
				t.Fatal(f, err)
			}
			return f[0].GetMetric()[0].GetGauge().GetValue()
		}
		w.pass(10 * 24 * time.Hour)
		if s := w.g.system(); s.Backup != nil || metric() != 0 {
			t.Errorf("before any: %+v", s.Backup)
		}
		w.wantAlarms()

		note(errors.New("no room for the copy"))
		if b := w.g.system().Backup; b == nil || !b.MadeAt.IsZero() || b.Error != "no room for the copy" || metric() != 0 {
			t.Errorf("after a failure: %+v", b)
		}
		w.pass(71 * time.Hour)
		note(errors.New("no room again"))
		w.wantAlarms()
		w.pass(time.Hour + time.Minute) // of the first
		w.wantAlarms("begin backup-old")
		if s := w.g.system(); len(codes(s)) != 1 || codes(s)[0] != backupOld || !strings.Contains(s.Warnings[0].Detail, "none was made. The last try said: no room again.") {
			t.Errorf("%+v", s.Warnings)
		}

		made := time.Now()
		note(nil)
		w.pass(lookAtAlarms + time.Second)
		w.wantAlarms("begin backup-old", "end backup-old")
		if b := w.g.system().Backup; b == nil || !b.MadeAt.Equal(made) || b.Bytes != 4096 || !b.FailingSince.IsZero() || b.Error != "" || metric() != float64(made.Unix()) {
			t.Errorf("after one: %+v, metric %v", b, metric())
		}
		w.pass(48 * time.Hour)
		note(errors.New("the stick is gone"))
		if b := w.g.system().Backup; !b.MadeAt.Equal(made) || !b.FailingSince.Equal(time.Now()) {
			t.Errorf("after a failure that followed: %+v", b)
		}
		w.restart(w.more) // it is in the database
		w.pass(24*time.Hour + time.Minute)
		w.wantAlarms("begin backup-old", "end backup-old", "begin backup-old")
		w.restart(func(o *Options) { o.Alarms.BackupAge = 0 })
		w.pass(time.Minute)
		w.wantAlarms("begin backup-old", "end backup-old", "begin backup-old", "end backup-old")
	})
}

// While nobody vouches for the time no backup is old; one of that time gets its own.
func TestLastBackupAndTheClock(t *testing.T) {
	onMachine(t, 0, -56*years, func(o *Options) { o.Alarms.BackupAge = 72 * time.Hour }, func(m *machine) {
		if err := BackedUp(context.Background(), m.dir, 1, nil, m.g.clock.Now()); err != nil {
			t.Fatal(err)
		}
		m.pass(100 * time.Hour)
		if m.alarm(backupOld) {
			t.Error("a backup is old by a clock that is not set")
		}
		m.set(0, true)
		made := m.g.system().Backup.MadeAt
		if age := time.Since(made); age < 100*time.Hour || age > 101*time.Hour {
			t.Errorf("made %v ago", age)
		}
		m.pass(lookAtAlarms)
		if !m.alarm(backupOld) {
			t.Error("no alarm once the clock is set")
		}
	})
}

// A restore does not forget when the last backup was made.
func TestRestoreKeepsTheLastBackup(t *testing.T) {
	a := &archive{t: t, dir: t.TempDir()}
	a.in(func(*db.DB) {})
	a.back()
	made := time.UnixMilli(1_790_000_000_000)
	if err := BackedUp(context.Background(), a.dir, 7, nil, made); err != nil {
		t.Fatal(err)
	}
	if _, err := a.restore(); err != nil {
		t.Fatal(err)
	}
	a.in(func(d *db.DB) {
		b := newBackups(d, prometheus.NewRegistry()).look(context.Background())
		if b == nil || !b.MadeAt.Equal(made) || b.Bytes != 7 {
			t.Errorf("%+v", b)
		}
	})
}

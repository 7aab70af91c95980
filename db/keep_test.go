package db

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBackupsKept makes one a day for two years and looks at what is left.
func TestBackupsKept(t *testing.T) {
	keep := Keep{Daily: 7, Weekly: 4, Monthly: 6}
	at := time.Date(2025, 1, 1, 3, 0, 0, 0, time.UTC)
	var there []time.Time
	for range 730 {
		there = append(there, at)
		drop := keep.unwanted(slices.Clone(there))
		there = slices.DeleteFunc(there, func(x time.Time) bool { return slices.Contains(drop, x) })
		if !slices.Contains(there, at) {
			t.Fatalf("the newest of %s is gone", at)
		}
		at = at.AddDate(0, 0, 1)
	}
	var names []string
	for _, x := range there {
		names = append(names, x.Format(time.DateOnly))
	}
	// The last seven days, the last days of three weeks before, and of months.
	want := "2026-07-31 2026-08-31 2026-09-30 2026-10-31 2026-11-30 2026-12-06 2026-12-13 2026-12-20 2026-12-25 2026-12-26 2026-12-27 2026-12-28 2026-12-29 2026-12-30 2026-12-31"
	if got := strings.Join(names, " "); got != strings.ReplaceAll(want, "2026-12-06 ", "") {
		t.Errorf("kept %s", got)
	}
}

func TestBackupsIntoAFolder(t *testing.T) {
	dir, into := t.TempDir(), filepath.Join(t.TempDir(), "backups")
	d := open(t, Options{Dir: dir})
	defer d.Close()
	ctx, keep := context.Background(), Keep{Daily: 2}
	day := time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	var last string
	for i := range 4 {
		path, removed, err := Backups(ctx, dir, into, keep, day.AddDate(0, 0, i))
		if err != nil || len(removed) != max(0, min(1, i-1)) {
			t.Fatalf("day %d: %v, removed %q", i, err, removed)
		}
		last = path
	}
	put(t, filepath.Join(into, "notes.txt"), nil)
	if versionOf(t, last) != newestSchema() {
		t.Error("the last one can't be used")
	}
	// The clock was set back: it is the newest all the same, and stays.
	early, _, err := Backups(ctx, dir, into, keep, day.AddDate(-1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	// One that fails removes nothing.
	if _, removed, err := Backups(ctx, t.TempDir(), into, keep, day.AddDate(0, 1, 0)); err == nil || len(removed) > 0 {
		t.Errorf("of nothing: %v, removed %q", err, removed)
	}
	entries, err := os.ReadDir(into)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != filepath.Base(early)+" gatewayd-20261103T030000Z.db gatewayd-20261104T030000Z.db notes.txt" {
		t.Errorf("there are %s", got)
	}
}

package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Keep says how many backups of a folder are kept: the last of so many days, weeks
// and months that have one.
type Keep struct{ Daily, Weekly, Monthly int }

// backupForm is how the backups of a folder are named: by the second, in UTC, so
// that names sort as they were made.
const backupForm = "gatewayd-20060102T150405Z.db"

// unfinished is how old the beginnings of a backup are when nobody makes it any
// more.
const unfinished = 24 * time.Hour

// Backups makes a backup in a folder, named by the time, and removes those that
// keep does not want; the newest stays in any case, and none is removed unless the
// new one is whole. It returns the new one and what was removed.
func Backups(ctx context.Context, dir, into string, keep Keep, now time.Time) (path string, removed []string, err error) {
	if err := os.MkdirAll(into, 0o700); err != nil {
		return "", nil, inWords(err)
	}
	removeParts(into, "gatewayd-", unfinished)
	path = filepath.Join(into, now.UTC().Format(backupForm))
	if err := Backup(ctx, dir, path, false); err != nil {
		return "", nil, err
	}
	removed, err = dropBackups(into, keep, path)
	return path, removed, err
}

func dropBackups(into string, keep Keep, newest string) (removed []string, err error) {
	entries, err := os.ReadDir(into)
	if err != nil {
		return nil, err
	}
	var times []time.Time
	for _, e := range entries {
		// Another name is another's file.
		if at, err := time.Parse(backupForm, e.Name()); err == nil && e.Type().IsRegular() {
			times = append(times, at)
		}
	}
	var errs []error
	for _, at := range keep.unwanted(times) {
		path := filepath.Join(into, at.Format(backupForm))
		if path == newest { // the clock was set back since the others were made
			continue
		}
		if err := os.Remove(path); err != nil {
			errs = append(errs, fmt.Errorf("an old backup can't be removed: %w", err))
			continue
		}
		removed = append(removed, path)
	}
	return removed, errors.Join(errs...)
}

// unwanted are the times of backups that are not to be kept. Days, weeks and
// months are counted where there are backups: a gateway that was switched off for
// a year still has its last ones.
func (k Keep) unwanted(times []time.Time) (drop []time.Time) {
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) }) // the newest first
	kept := map[time.Time]bool{}
	for _, rule := range []struct {
		n    int
		same func(time.Time) string
	}{
		{k.Daily, func(t time.Time) string { return t.Format(time.DateOnly) }},
		{k.Weekly, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprint(y, "-", w) }},
		{k.Monthly, func(t time.Time) string { return t.Format("2006-01") }},
	} {
		last, left := "", rule.n
		for _, t := range times {
			if p := rule.same(t); p != last && left > 0 {
				kept[t], last = true, p
				left--
			}
		}
	}
	for i, t := range times {
		if i > 0 && !kept[t] {
			drop = append(drop, t)
		}
	}
	return drop
}

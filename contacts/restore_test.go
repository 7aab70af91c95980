package contacts

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
)

// A backup brings back nobody who was deleted since, and nothing that was changed since.
func TestRestore(t *testing.T) {
	r := newRig(t)
	anna, bert := r.add("Anna", "+491701234567"), r.add("Bert", "+491701234568")
	club, err := r.AddGroup(ctx, "", "Club")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddMembers(ctx, Of{}, club.ID, []string{anna.ID}); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(r.db.Path())
	backup := filepath.Join(t.TempDir(), "backup.db")
	if err := db.Backup(ctx, dir, backup, false); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(time.Hour)
	if _, err := r.Change(ctx, Of{}, "", anna.ID, func(c *Contact) { c.Name, c.Numbers = "Anna B.", []string{"+491701234568"} }); err == nil {
		t.Fatal("Bert has that number")
	}
	if err := r.Delete(ctx, Of{}, bert.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Change(ctx, Of{}, "", anna.ID, func(c *Contact) { c.Name, c.Numbers = "Anna B.", []string{"+491701234568"} }); err != nil {
		t.Fatal(err)
	}
	r.add("Carl", "+491701234567") // which was Anna's
	if err := r.DeleteGroup(ctx, Of{}, club.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddGroup(ctx, "", "Club"); err != nil {
		t.Fatal(err)
	}
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	stage, err := db.Stage(ctx, dir, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	d, err := db.Open(ctx, db.Options{Dir: stage, Attach: filepath.Join(dir, db.FileName), Copied: true})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Write(Restore); err != nil {
		t.Fatal(err)
	}
	var all []string
	err = d.Read(ctx, func(q db.Querier) error {
		page, _, err := list(q, Everybody, Filter{})
		for _, c := range page {
			all = append(all, c.Name+" "+strings.Join(c.Numbers, " "))
		}
		var groups int
		if err == nil {
			err = q.QueryRow(`SELECT count(*) FROM contact_groups WHERE deleted_at IS NULL`).Scan(&groups)
		}
		if groups != 1 {
			t.Errorf("%d groups", groups)
		}
		return err
	})
	if got := strings.Join(all, ", "); err != nil || got != "Anna B. +491701234568, Carl +491701234567" {
		t.Errorf("%s, %v", got, err)
	}
}

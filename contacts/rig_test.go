package contacts

import (
	"context"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
)

var ctx = context.Background()

// rig is contacts on a real database in a fresh folder.
type rig struct {
	*Contacts
	t   *testing.T
	db  *db.DB
	q   *queue.Queue
	now time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	d, err := db.Open(ctx, db.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	r := &rig{t: t, db: d, now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return r.now }
	if r.q, err = queue.Open(ctx, d, queue.Options{Now: now}); err != nil {
		t.Fatal(err)
	}
	r.Contacts = New(Options{DB: d, Queue: r.q, Region: func() string { return "DE" }, Now: now})
	return r
}

// add makes a contact of the team "".
func (r *rig) add(name string, numbers ...string) *Contact {
	r.t.Helper()
	c, err := r.Create(ctx, "usr_test", Contact{Name: name, Numbers: numbers})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// names are the contacts of a filter, in their order.
func (r *rig) names(of Of, f Filter) string {
	r.t.Helper()
	var all []string
	if err := r.ByPiece(ctx, of, f, func(page []Contact) error {
		for _, c := range page {
			all = append(all, c.Name)
		}
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// wantErr wants an error that says this.
func wantErr(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error that says %q", err, want)
	}
}

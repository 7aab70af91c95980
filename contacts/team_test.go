package contacts

import (
	"errors"
	"testing"
)

// Lists and look-ups by number show a team its own contacts only, whatever the others
// have; admins see all.
func TestTeamsSeeTheirOwn(t *testing.T) {
	r := newRig(t)
	const shared, theirs = "+491701234567", "+491701234568"
	r.add("Anna", shared)
	for name, n := range map[string]string{"Bert": shared, "Carl": theirs} {
		if _, err := r.Create(ctx, "usr_test", Contact{Team: "shop", Name: name, Numbers: []string{n}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		of        Of
		all, name string
	}{{Of{}, "Anna", "Anna"}, {Of{Team: "shop"}, "Bert Carl", "Bert"}, {Of{Team: "office"}, "", ""}, {Everybody, "Anna Bert Carl", "Anna"}} {
		if got := r.names(c.of, Filter{}); got != c.all {
			t.Errorf("%+v lists %q, want %q", c.of, got, c.all)
		}
		found, err := r.Find(ctx, c.of, shared)
		if c.name == "" && !errors.Is(err, ErrNotFound) || c.name != "" && (err != nil || found.Name != c.name) {
			t.Errorf("%+v finds %+v (%v), want %q", c.of, found, err, c.name)
		}
	}
	if found, err := r.Find(ctx, Of{}, theirs); !errors.Is(err, ErrNotFound) {
		t.Errorf("another team's number is found: %+v %v", found, err)
	}
}

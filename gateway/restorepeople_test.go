package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"gatewayd/auth"
	"gatewayd/db"
)

// People don't go back in time: who was removed stays removed, and what was changed
// last holds. Nobody is signed in, and no old code is good.
func TestRestoreKeepsWhatPeopleHaveBecome(t *testing.T) {
	const old, changed = "correct horse battery", "another long sentence"
	ctx := context.Background()
	a := &archive{t: t, dir: t.TempDir()}
	add := func(k *auth.Keys, name string, role auth.Role, password string) (auth.Person, string) {
		p, code, err := k.AddPerson(ctx, auth.Person{Name: name, Role: role}, password)
		if err != nil {
			t.Fatal(err)
		}
		return p, code
	}
	must := func(_ auth.Person, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var cookie, code string
	a.in(func(d *db.DB) {
		k := auth.New(d)
		add(k, "root", auth.Administrator, old)
		for _, name := range []string{"same", "removed", "disabled", "promoted", "renamed", "again"} {
			add(k, name, auth.Technician, old)
		}
		_, code = add(k, "invited", auth.Operator, "")
		var err error
		if cookie, _, err = k.SignIn(ctx, "same", old, "", false); err != nil {
			t.Fatal(err)
		}
	})
	a.back()
	a.in(func(d *db.DB) {
		k := auth.New(d)
		yes, operator, name := true, auth.Operator, "other"
		must(k.SetPassword(ctx, "root", changed))
		must(k.RemovePerson(ctx, "removed"))
		must(k.RemovePerson(ctx, "again"))
		add(k, "again", auth.Operator, changed)
		must(k.ChangePerson(ctx, "disabled", auth.PersonChange{Disabled: &yes}))
		must(k.ChangePerson(ctx, "promoted", auth.PersonChange{Role: &operator}))
		must(k.ChangePerson(ctx, "renamed", auth.PersonChange{Name: &name}))
		add(k, "made", auth.Operator, changed)
	})
	if r, err := a.restore(); err != nil || r.Unread != nil {
		t.Fatalf("%+v %v", r, err)
	}
	a.in(func(d *db.DB) {
		k := auth.New(d)
		if _, err := k.Session(ctx, cookie); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("a browser is still signed in: %v", err)
		}
		if _, err := k.Accept(ctx, code, "invited", changed); !errors.Is(err, auth.ErrWrongCode) {
			t.Errorf("a code of the backup is good: %v", err)
		}
		var got []string
		people, err := k.People(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range people {
			got = append(got, p.Name+" "+string(p.Role))
		}
		want := "[again operator disabled technician invited operator made operator other technician promoted operator root admin same technician]"
		if fmt.Sprint(got) != want {
			t.Errorf("there are %v, want %s", got, want)
		}
		for _, c := range []struct {
			name, password string
			good           bool
		}{
			{"root", changed, true}, {"root", old, false}, {"same", old, true}, {"disabled", old, false}, {"made", changed, true},
			{"again", changed, true}, {"again", old, false}, {"removed", old, false}, {"other", old, true}, {"renamed", old, false},
		} {
			if _, _, err := k.SignIn(ctx, c.name, c.password, "", false); (err == nil) != c.good {
				t.Errorf("%s with %q: %v", c.name, c.password, err)
			}
		}
	})
}

// On a new card, where nobody has been yet, the backup's people are there again, and
// the first-run code of the new database is worth nothing.
func TestRestoreBringsPeopleToANewBox(t *testing.T) {
	const password = "correct horse battery"
	ctx := context.Background()
	a := &archive{t: t, dir: t.TempDir()}
	a.in(func(d *db.DB) {
		if _, _, err := auth.New(d).AddPerson(ctx, auth.Person{Name: "root", Role: auth.Administrator}, password); err != nil {
			t.Fatal(err)
		}
	})
	a.back()
	a.dir = t.TempDir()
	var code string
	a.in(func(d *db.DB) {
		var err error
		if code, err = auth.New(d).FirstRun(ctx); err != nil || code == "" {
			t.Fatal(code, err)
		}
	})
	if r, err := a.restore(); err != nil || r.Unread != nil {
		t.Fatalf("%+v %v", r, err)
	}
	a.in(func(d *db.DB) {
		k := auth.New(d)
		if _, err := k.Claim(ctx, code, "thief", password); !errors.Is(err, auth.ErrWrongCode) {
			t.Errorf("the first-run code: %v", err)
		}
		if _, _, err := k.SignIn(ctx, "root", password, "", false); err != nil {
			t.Error(err)
		}
	})
}

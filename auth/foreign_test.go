package auth

import (
	"errors"
	"testing"
	"time"

	"gatewayd/db"
)

// A foreign key has a name, scopes and an end like any other; no token opens it.
func TestForeignKey(t *testing.T) {
	k := open(t, t.TempDir(), false)
	stored := ""
	key, err := k.CreateForeign(ctx, Key{Name: "app", Scopes: []Scope{Send}}, func(_ *db.Tx, key Key) error {
		stored = key.ID
		return nil
	})
	if err != nil || key.ID == "" || stored != key.ID {
		t.Fatalf("%+v, stored %q, %v", key, stored, err)
	}
	got, err := k.Foreign(ctx, key.ID)
	if err != nil || got.Name != "app" || !got.Can(Send) || got.Can(Read) {
		t.Errorf("it is %+v, %v", got, err)
	}
	for _, secret := range []string{"", random(secretLength)} {
		if _, err := k.Check(ctx, tokenPrefix+key.ID+"_"+secret); !errors.Is(err, ErrInvalid) {
			t.Errorf("a token opens it: %v", err)
		}
	}
	if _, _, _, err := k.Rotate(ctx, key.ID, 0); !errors.Is(err, ErrForeign) {
		t.Errorf("rotated, a token would open it: %v", err)
	}
	if _, err := k.Limit(ctx, key.ID, func(l *Limits) { l.Quota = 7 }); err != nil {
		t.Error(err)
	}
	if got, err = k.Foreign(ctx, key.ID); err != nil || got.Quota != 7 || got.Principal != key.ID {
		t.Errorf("limited it is %+v, %v", got, err)
	}
	k.Used(got)
	if got, err = k.Foreign(ctx, key.ID); err != nil || got.LastUsedAt.IsZero() {
		t.Errorf("used it is %+v, %v", got, err)
	}
	if _, err := k.Revoke(ctx, key.ID); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{key.ID, "nobody"} {
		if _, err := k.Foreign(ctx, id); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", id, err)
		}
	}
	fails := errors.New("the other table")
	if _, err := k.CreateForeign(ctx, Key{Name: "half", Scopes: []Scope{Send}}, func(*db.Tx, Key) error { return fails }); !errors.Is(err, fails) {
		t.Error(err)
	}
	all, err := k.List(ctx)
	if err != nil || len(all) != 1 {
		t.Errorf("after one that failed there are %d keys, %v", len(all), err)
	}
	for _, bad := range []struct {
		name    string
		scopes  []Scope
		expires time.Time
	}{{"", []Scope{Send}, time.Time{}}, {"x", nil, time.Time{}}, {"x", []Scope{Send}, time.Now().Add(-time.Hour)}} {
		if _, err := k.CreateForeign(ctx, Key{Name: bad.name, Scopes: bad.scopes, ExpiresAt: bad.expires}, func(*db.Tx, Key) error { return nil }); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

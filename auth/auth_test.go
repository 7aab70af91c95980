package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/db"
)

var ctx = context.Background()

// open opens the database in dir; single as tests in virtual time need it.
func open(t *testing.T, dir string, single bool) *Keys {
	t.Helper()
	d, err := db.Open(ctx, db.Options{Dir: dir, SingleConn: single})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return New(d)
}

func create(t *testing.T, k *Keys, name string, scopes ...Scope) (string, Key) {
	t.Helper()
	token, key, err := k.Create(ctx, name, scopes, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return token, key
}

func wantInvalid(t *testing.T, err error, what string) {
	t.Helper()
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("%s: got %v, want ErrInvalid", what, err)
	}
}

func TestCreatedKeyIsGoodForItsScopesOnly(t *testing.T) {
	k := open(t, t.TempDir(), false)
	token, made := create(t, k, "shop", Send, Read)
	got, err := k.Check(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != made.ID || got.Name != "shop" {
		t.Errorf("Check gave %+v, Create made %+v", got, made)
	}
	if !got.Can(Send) || !got.Can(Read) || got.Can(Admin) {
		t.Errorf("scopes of %v: send %v, read %v, admin %v", got.Scopes, got.Can(Send), got.Can(Read), got.Can(Admin))
	}
	_, admin := create(t, k, "root", Admin)
	if !admin.Can(Send) || !admin.Can(Read) {
		t.Error("admin does not include the other scopes")
	}
	if !strings.HasPrefix(token, made.Prefix()+"_") {
		t.Errorf("the token does not begin with what a list shows, %q", made.Prefix())
	}
}

func TestWrongTokens(t *testing.T) {
	k := open(t, t.TempDir(), false)
	token, key := create(t, k, "a", Read)
	other, _ := create(t, k, "b", Read)
	if _, err := k.Check(ctx, token); err != nil { // now it is cached
		t.Fatal(err)
	}
	last := token[len(token)-1]
	changed := token[:len(token)-1] + string(alphabet[(strings.IndexByte(alphabet, last)+1)%len(alphabet)])
	for what, wrong := range map[string]string{
		"empty":                 "",
		"id alone":              key.Prefix(),
		"last letter changed":   changed,
		"one letter short":      token[:len(token)-1],
		"one letter long":       token + "a",
		"upper case":            strings.ToUpper(token),
		"space behind":          token + " ",
		"id of another key":     token[:len(tokenPrefix)+idLength] + other[len(tokenPrefix)+idLength:],
		"unknown id":            tokenPrefix + strings.Repeat("0", idLength) + token[len(tokenPrefix)+idLength:],
		"right size, no letter": tokenPrefix + strings.Repeat("é", (idLength+1+secretLength)/2),
		"huge":                  strings.Repeat("gw_", 1<<20),
	} {
		_, err := k.Check(ctx, wrong)
		wantInvalid(t, err, what)
	}
}

func TestNeitherTokenNorCookieIsStored(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, false)
	token, _ := create(t, k, "shop", Read)
	cookie, err := k.Login(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	var names int
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		names += bytes.Count(b, []byte("shop"))
		for what, secret := range map[string]string{"secret": token[len(tokenPrefix)+idLength+1:], "cookie": cookie} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds the %s", filepath.Base(f), what)
			}
		}
	}
	if names == 0 {
		t.Error("the key's name is in no file: this test looks in the wrong place")
	}
}

// The command line is another process on the same file.
func TestOtherProcessCreatesAndRevokes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		daemon, cli := open(t, dir, true), open(t, dir, true)
		token, key := create(t, cli, "shop", Read)
		if _, err := daemon.Check(ctx, token); err != nil {
			t.Fatalf("a key just made by another process: %v", err)
		}
		cookie, err := daemon.Login(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cli.Revoke(ctx, key.Name); err != nil {
			t.Fatal(err)
		}
		_, err = daemon.Session(ctx, cookie)
		wantInvalid(t, err, "session of a revoked key")
		time.Sleep(freshFor)
		_, err = daemon.Check(ctx, token)
		wantInvalid(t, err, "revoked key")
	})
}

func TestRevokeHoldsAtOnceInTheSameProcess(t *testing.T) {
	k := open(t, t.TempDir(), false)
	for _, by := range []func(Key) string{
		func(key Key) string { return key.ID },
		func(key Key) string { return key.Prefix() },
		func(key Key) string { return key.Name },
	} {
		token, key := create(t, k, "shop", Read)
		if _, err := k.Check(ctx, token); err != nil {
			t.Fatal(err)
		}
		gone, err := k.Revoke(ctx, by(key))
		if err != nil || gone.ID != key.ID || gone.RevokedAt.IsZero() {
			t.Fatalf("Revoke(%q) = %+v, %v", by(key), gone, err)
		}
		_, err = k.Check(ctx, token)
		wantInvalid(t, err, "revoked by "+by(key))
	}
	if _, err := k.Revoke(ctx, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoking an unknown key: %v", err)
	}
	first, _ := k.List(ctx)
	again, err := k.Revoke(ctx, first[0].ID)
	if err != nil || !again.RevokedAt.Equal(first[0].RevokedAt) {
		t.Errorf("revoking twice: %v, from %v to %v", err, first[0].RevokedAt, again.RevokedAt)
	}
}

func TestRevokeByNameThatTwoKeysHave(t *testing.T) {
	k := open(t, t.TempDir(), false)
	token, a := create(t, k, "shop", Read)
	_, b := create(t, k, "shop", Read)
	_, err := k.Revoke(ctx, "shop")
	if err == nil || !strings.Contains(err.Error(), a.Prefix()) || !strings.Contains(err.Error(), b.Prefix()) {
		t.Errorf("got %v, want an error that names both keys", err)
	}
	if _, err := k.Check(ctx, token); err != nil {
		t.Errorf("one of them was revoked all the same: %v", err)
	}
}

func TestExpiry(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := open(t, dir, true)
		token, _, err := k.Create(ctx, "guest", []Scope{Read}, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		cookie, err := k.Login(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour - time.Millisecond)
		if _, err := k.Check(ctx, token); err != nil {
			t.Errorf("just before it expires: %v", err)
		}
		time.Sleep(time.Millisecond) // still within freshFor of the last look-up
		_, err = k.Check(ctx, token)
		wantInvalid(t, err, "expired key")
		_, err = k.Session(ctx, cookie)
		wantInvalid(t, err, "session of an expired key")
		if _, _, err := k.Create(ctx, "late", []Scope{Read}, time.Now()); err == nil {
			t.Error("a key that is expired when made was made")
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := open(t, dir, true)
		token, _ := create(t, k, "a", Read)
		login := func() string {
			cookie, err := k.Login(ctx, token)
			if err != nil {
				t.Fatal(err)
			}
			return cookie
		}
		left, stays := login(), login()
		if err := k.Logout(ctx, left); err != nil {
			t.Fatal(err)
		}
		_, err := k.Session(ctx, left)
		wantInvalid(t, err, "after sign-out")
		time.Sleep(SessionLife - time.Second)
		if key, err := k.Session(ctx, stays); err != nil || key.Name != "a" {
			t.Errorf("a session within its life: %v, %v", key, err)
		}
		time.Sleep(time.Second)
		_, err = k.Session(ctx, stays)
		wantInvalid(t, err, "after its life")
		_, err = k.Session(ctx, "")
		wantInvalid(t, err, "no cookie")
		_, err = k.Login(ctx, "gw_wrong")
		wantInvalid(t, err, "signing in with a wrong key")
	})
}

func TestLastUsedIsBookedNowAndThen(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := open(t, dir, true)
		token, _ := create(t, k, "a", Read)
		lastUsed := func() time.Time {
			keys, err := k.List(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return keys[0].LastUsedAt
		}
		if !lastUsed().IsZero() {
			t.Error("used before it was")
		}
		first := time.Now()
		for range 3 {
			if _, err := k.Check(ctx, token); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if !lastUsed().Equal(first.Truncate(time.Millisecond)) {
			t.Errorf("last used %v, want %v", lastUsed(), first)
		}
		time.Sleep(usedEvery)
		if _, err := k.Check(ctx, token); err != nil {
			t.Fatal(err)
		}
		if !lastUsed().After(first) {
			t.Error("later use was not booked")
		}
	})
}

func TestCreateRefuses(t *testing.T) {
	k := open(t, t.TempDir(), false)
	for _, c := range []struct {
		name   string
		scopes []Scope
	}{
		{"", []Scope{Read}}, {" a", []Scope{Read}}, {"a\nb", []Scope{Read}}, {strings.Repeat("x", 101), []Scope{Read}},
		{"a", nil}, {"a", []Scope{"write"}}, {"a", []Scope{Read, ""}},
	} {
		if _, _, err := k.Create(ctx, c.name, c.scopes, time.Time{}); err == nil {
			t.Errorf("Create(%q, %v) was accepted", c.name, c.scopes)
		}
	}
	if keys, _ := k.List(ctx); len(keys) != 0 {
		t.Errorf("%d keys were stored", len(keys))
	}
	if got, err := ParseScopes("send, read"); err != nil || len(got) != 2 || got[0] != Send || got[1] != Read {
		t.Errorf("ParseScopes: %v, %v", got, err)
	}
	if _, err := ParseScopes("send,write"); err == nil || !strings.Contains(err.Error(), "write") {
		t.Errorf("ParseScopes of an unknown scope: %v", err)
	}
}

func TestCheckSurvivesManyAtOnce(t *testing.T) {
	k := open(t, t.TempDir(), false)
	token, _ := create(t, k, "a", Read)
	errs := make(chan error)
	for range 16 {
		go func() {
			for range 50 {
				if _, err := k.Check(ctx, token); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 16 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAttempts(3, time.Minute)
		for i := range 3 {
			if wait := a.Take("x"); wait != 0 {
				t.Errorf("try %d has to wait %v", i, wait)
			}
		}
		time.Sleep(15 * time.Second)
		if wait := a.Take("x"); wait != 45*time.Second {
			t.Errorf("the fourth try has to wait %v, want 45s", wait)
		}
		if wait := a.Take("y"); wait != 0 {
			t.Errorf("another guesser has to wait %v", wait)
		}
		time.Sleep(45 * time.Second)
		if wait := a.Take("x"); wait != 0 {
			t.Errorf("after the wait: wait %v more", wait)
		}
		a.Return("x")
		if wait := a.Take("x"); wait != 0 {
			t.Errorf("a returned try is not there: %v", wait)
		}
		for i := range 2 * maxGuessers {
			a.Take(fmt.Sprint(i))
		}
		if len(a.buckets) > maxGuessers+1 {
			t.Errorf("%d buckets, want at most %d", len(a.buckets), maxGuessers+1)
		}
		time.Sleep(time.Hour)
		a.Take("z")
		if len(a.buckets) > 2 {
			t.Errorf("%d buckets are kept that say nothing", len(a.buckets))
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	d, err := db.Open(ctx, db.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	k := New(d)
	token, _, err := k.Create(ctx, "a", []Scope{Read}, time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := k.Check(ctx, token); err != nil {
			b.Fatal(err)
		}
	}
}

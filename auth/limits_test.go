package auth

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/db"
	"gatewayd/sms/number"
)

func limited(t *testing.T, k *Keys, l Limits) *Key {
	t.Helper()
	_, key, err := k.CreateLimited(ctx, "shop", []Scope{Send}, time.Time{}, l)
	if err != nil {
		t.Fatal(err)
	}
	return &key
}

// charge books messages as the queue does.
func charge(k *Keys, key *Key, messages int) error {
	return k.db.Write(func(tx *db.Tx) error { return k.Charge(key)(tx, messages) })
}

func wantLimit(t *testing.T, err error, limit string, wait time.Duration) {
	t.Helper()
	var e *LimitError
	if !errors.As(err, &e) || e.Limit != limit || e.Wait != wait {
		t.Errorf("got %+v (%v), want the limit of the %s and a wait of %v", e, err, limit, wait)
	}
}

func use(t *testing.T, k *Keys, key *Key) Use {
	t.Helper()
	u, err := k.Use(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestRate(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := open(t, dir, true)
		key := limited(t, k, Limits{Rate: 60, Burst: 5})
		for range 5 {
			if err := charge(k, key, 1); err != nil {
				t.Fatal(err)
			}
		}
		wantLimit(t, charge(k, key, 1), PerMinute, time.Second)
		if u := use(t, k, key); *u.Rate != (Left{Most: 5, Left: 0, Resets: 5 * time.Second}) || u.Day != nil {
			t.Errorf("left: %+v", u.Rate)
		}
		time.Sleep(time.Second)
		if err := charge(k, key, 1); err != nil {
			t.Errorf("after the wait: %v", err)
		}
		time.Sleep(time.Hour)
		// A batch goes once all that may go at once is there, and is owed then.
		if err := charge(k, key, 65); err != nil {
			t.Errorf("a batch: %v", err)
		}
		wantLimit(t, charge(k, key, 1), PerMinute, 61*time.Second)
		wantLimit(t, charge(k, key, 100), PerMinute, 65*time.Second)
		time.Sleep(61 * time.Second)
		// What is not committed is not charged.
		refused := errors.New("the disk is full")
		err := k.db.Write(func(tx *db.Tx) error { return errors.Join(k.Charge(key)(tx, 1), refused) })
		if !errors.Is(err, refused) {
			t.Fatal(err)
		}
		if err := charge(k, key, 1); err != nil {
			t.Errorf("what was undone is charged: %v", err)
		}
	})
}

func TestQuotaIsExactUnderManyAtOnce(t *testing.T) {
	k := open(t, t.TempDir(), false)
	key := limited(t, k, Limits{Quota: 100})
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 10 {
				if err := charge(k, key, 1); err == nil {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() != 100 || use(t, k, key).Day.Left != 0 {
		t.Errorf("%d of 100 went, %d are left", taken.Load(), use(t, k, key).Day.Left)
	}
}

func TestQuotaIsOfTheDay(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, false)
	now := time.Date(2026, 11, 22, 23, 30, 0, 0, time.Local)
	k.UseClock(func() time.Time { return now })
	key := limited(t, k, Limits{Quota: 10})
	if err := charge(k, key, 8); err != nil {
		t.Fatal(err)
	}
	err := charge(k, key, 3)
	wantLimit(t, err, PerDay, 30*time.Minute)
	if !strings.Contains(err.Error(), "2 of today's are left, and these are 3") {
		t.Error(err)
	}
	if u := use(t, k, key).Day; u.Left != 2 || u.Resets != 30*time.Minute {
		t.Errorf("a batch that is refused is charged: %+v", u)
	}
	wantLimit(t, charge(k, key, 11), PerDay, 30*time.Minute)

	again := open(t, dir, false) // a restart
	again.UseClock(func() time.Time { return now })
	if left := use(t, again, key).Day.Left; left != 2 {
		t.Errorf("after a restart %d are left, want 2", left)
	}
	now = now.Add(time.Hour) // the next day, if the clock is right
	if err := charge(again, key, 10); err != nil {
		t.Error(err)
	}
	now = now.Add(-time.Hour) // it was not
	if left := use(t, again, key).Day.Left; left != 2 {
		t.Errorf("a clock that jumped there and back left %d, want 2", left)
	}
	now = now.Add(time.Hour)
	wantLimit(t, charge(again, key, 1), PerDay, 23*time.Hour+30*time.Minute)
	if err := again.Prune(now); err != nil {
		t.Fatal(err)
	}
	wantLimit(t, charge(again, key, 1), PerDay, 23*time.Hour+30*time.Minute)
	if err := again.Prune(now.AddDate(0, 3, 0)); err != nil {
		t.Fatal(err)
	}
	if left := use(t, again, key).Day.Left; left != 10 {
		t.Errorf("what is long over is kept")
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := open(t, dir, true)
		limits := Limits{Rate: 60, Burst: 2, Quota: 10, Allow: []number.Destination{"DE", "+43"}, Premium: true}
		token, first, err := k.CreateLimited(ctx, "shop", []Scope{Send, Read}, time.Now().Add(100*time.Hour), limits)
		if err != nil {
			t.Fatal(err)
		}
		if first.Principal != first.ID {
			t.Errorf("principal %q of the first key %q", first.Principal, first.ID)
		}
		if err := charge(k, &first, 2); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Check(ctx, token); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Hour)
		next, second, old, err := k.Rotate(ctx, "shop", 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.Check(ctx, next)
		if err != nil {
			t.Fatal(err)
		}
		if got.Principal != first.ID || got.ID == first.ID || got.Name != "shop" || len(got.Scopes) != 2 ||
			got.Rate != 60 || got.Burst != 2 || got.Quota != 10 || number.Listed(got.Allow) != "DE,+43" || !got.Premium {
			t.Errorf("the new key: %+v", got)
		}
		if d := time.Until(got.ExpiresAt); d != 100*time.Hour {
			t.Errorf("the new key lives for %v", d)
		}
		if old.ID != first.ID || !old.ExpiresAt.Equal(time.Now().Add(24*time.Hour)) {
			t.Errorf("the old key: %+v", old)
		}
		if err := charge(k, got, 9); err != nil {
			if left := use(t, k, got).Day.Left; left != 10 {
				t.Errorf("another day: %d left, %v", left, err)
			}
		}
		if u := use(t, k, &second); u.Day.Left != use(t, k, &first).Day.Left {
			t.Error("the two keys have quotas of their own")
		}
		if _, err := k.Check(ctx, token); err != nil {
			t.Errorf("the old key within the overlap: %v", err)
		}
		// By name it is the newer one that is rotated, and not the one that goes.
		if _, _, again, err := k.Rotate(ctx, "shop", 48*time.Hour); err != nil || again.ID != second.ID {
			t.Errorf("rotated again: %+v, %v", again, err)
		}
		time.Sleep(24 * time.Hour)
		_, err = k.Check(ctx, token)
		wantInvalid(t, err, "the old key after the overlap")
		if _, _, _, err := k.Rotate(ctx, first.ID, 0); !errors.Is(err, ErrEnded) {
			t.Errorf("rotating an expired key: %v", err)
		}
		if _, _, _, err := k.Rotate(ctx, second.ID, 0); err != nil {
			t.Fatal(err)
		}
		_, err = k.Check(ctx, next)
		wantInvalid(t, err, "rotated without an overlap")
		if _, _, _, err := k.Rotate(ctx, "nobody", 0); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		for _, bad := range []time.Duration{-1, MaxOverlap + 1} {
			if _, _, _, err := k.Rotate(ctx, "shop", bad); err == nil {
				t.Errorf("an overlap of %v", bad)
			}
		}
		create(t, k, "shop", Read)
		if _, _, _, err := k.Rotate(ctx, "shop", 0); err == nil || !strings.Contains(err.Error(), "rotate one of") {
			t.Errorf("rotating by a name that two principals have: %v", err)
		}
	})
}

func TestLimitsAreChecked(t *testing.T) {
	k := open(t, t.TempDir(), false)
	for _, l := range []Limits{{Rate: -1}, {Quota: -1}, {Burst: 5}, {Rate: 1, Burst: -1}, {Quota: MaxLimit + 1}} {
		var wrong *WrongError
		if _, _, err := k.CreateLimited(ctx, "a", []Scope{Send}, time.Time{}, l); !errors.As(err, &wrong) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

func TestLimitsAreChanged(t *testing.T) {
	k := open(t, t.TempDir(), false)
	key := limited(t, k, Limits{Quota: 10, Rate: 60, Burst: 5, Allow: []number.Destination{"DE"}})
	if err := charge(k, key, 4); err != nil {
		t.Fatal(err)
	}
	token, next, _, err := k.Rotate(ctx, "shop", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Check(ctx, token); err != nil {
		t.Fatal(err)
	}
	changed, err := k.Limit(ctx, "shop", func(l *Limits) { l.Quota, l.Burst, l.Allow = 5, 2, nil })
	if err != nil || changed.Principal != key.ID {
		t.Fatal(changed, err)
	}
	now, err := k.Check(ctx, token) // at once in this process
	if err != nil || now.Quota != 5 || now.Rate != 60 || now.Burst != 2 || len(now.Allow) != 0 {
		t.Errorf("%+v, %v", now, err)
	}
	if old, err := k.Get(ctx, key.ID); err != nil || old.Quota != 5 {
		t.Errorf("the other key of the principal: %+v, %v", old, err)
	}
	if u := use(t, k, now); u.Day.Left != 1 || u.Rate.Left > 2 {
		t.Errorf("left: %+v %+v", u.Day, u.Rate)
	}
	var wrong *WrongError
	if _, err := k.Limit(ctx, next.ID, func(l *Limits) { l.Quota = -1 }); !errors.As(err, &wrong) {
		t.Error(err)
	}
	if _, err := k.Limit(ctx, "nobody", func(*Limits) {}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// Whoever rotates the older key once more, because the new token was lost, gets
// one that lives as long as the key did before, not as long as its overlap.
func TestRotatingTheOlderKeyAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		k := open(t, dir, true)
		_, first, err := k.Create(ctx, "shop", []Scope{Send}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := k.Rotate(ctx, first.ID, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		_, again, old, err := k.Rotate(ctx, first.ID, 24*time.Hour)
		if err != nil || old.ID != first.ID {
			t.Fatal(old, err)
		}
		if !again.ExpiresAt.IsZero() {
			t.Errorf("the key lives until %v; the one before had no end", again.ExpiresAt)
		}
	})
}

func TestLimitsSayWhenToComeAgain(t *testing.T) {
	for want, e := range map[string]LimitError{
		"this key may send 1 message a minute, up to 1 of them at once, and has sent too many just now; try again in 1m0s": {Limit: PerMinute, Most: 1, Burst: 1, Asked: 1, Wait: time.Minute - 1},
		"this key may send 5 messages a day, and today's are used up; try again in 1h0m2s":                                 {Limit: PerDay, Most: 5, Asked: 1, Wait: time.Hour + 1500*time.Millisecond},
		"this key may send 5 messages a day; 2 of today's are left, and these are 3; try again in 1h0m0s":                  {Limit: PerDay, Most: 5, Left: 2, Asked: 3, Wait: time.Hour},
		"this key may send 5 messages a day, and these are 6":                                                              {Limit: PerDay, Most: 5, Left: 5, Asked: 6, Wait: time.Hour},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

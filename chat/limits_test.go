package chat_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatewayd/captcha"
	"gatewayd/chat"
)

// A limit tells which it is and when there is room again, counts no refused message,
// and is the same after a restart.
func TestLimits(t *testing.T) {
	w := newWorld(t, 1)
	w.set(func(r *chat.AbuseRules) {
		r.Limits.Visitor = chat.Rate{PerMinute: 2, PerHour: 3}
		r.Limits.Address = chat.Rate{PerDay: 4}
		r.Limits.Widget = chat.Rate{PerDay: 6}
		r.SameText = 0
	})
	v1 := at("2001:db8:1:2::5", visitor("v1"))
	n := 0
	try := func(s chat.Sender) error {
		n++
		_, _, err := w.Begin(ctx, s, chat.Wanted{To: mobile(n), Text: "hi"})
		return err
	}
	ok := func(s chat.Sender) {
		t.Helper()
		if err := try(s); err != nil {
			t.Fatal(err)
		}
	}
	limited := func(s chat.Sender, says string, wait time.Duration) {
		t.Helper()
		err := try(s)
		var e *chat.Error
		if !errors.As(err, &e) || e.Code != chat.Limit || !strings.Contains(e.Detail, says) || e.RetryAfter != wait {
			t.Fatalf("%v, %+v", err, e)
		}
	}
	ok(v1)
	w.now = w.now.Add(20 * time.Second)
	ok(v1)
	for range 3 {
		limited(v1, "You may send 2 messages a minute. There is room again in 40 seconds.", 40*time.Second)
	}
	w.restart()
	limited(v1, "a minute", 40*time.Second)
	w.now = w.now.Add(40 * time.Second)
	ok(v1)
	limited(v1, "3 messages an hour", 59*time.Minute)
	// Another visitor behind the same /64: one message is left.
	v2 := at("2001:db8:1:2:ffff::1", visitor("v2"))
	ok(v2)
	limited(v2, "your network address together may send 4 messages a day", 24*time.Hour-time.Minute)
	v3 := at("2001:db8:1:3::1", visitor("v3"))
	ok(v3)
	ok(v3)
	limited(at("192.0.2.200", visitor("v4")), "on this page together may send 6 messages a day", 24*time.Hour-time.Minute)
	w.now = w.now.Add(24 * time.Hour)
	ok(v1)
	if got := w.record("v1"); got.Today != 1 || got.Address != "2001:db8:1:2::" {
		t.Errorf("%+v", got)
	}
}

// Of many who send at once exactly as many get through as the limits say.
func TestLimitsUnderManyAtOnce(t *testing.T) {
	w := newWorld(t, 1)
	w.set(func(r *chat.AbuseRules) {
		r.Limits.Person = chat.Rate{PerMinute: 7}
		r.Limits.Widget, r.Limits.Address, r.Limits.Visitor = chat.Rate{PerDay: 13}, chat.Rate{}, chat.Rate{}
		r.SameText = 0
	})
	var persons, visitors, others atomic.Int32
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 5 {
				s, count := person("anna", ""), &persons
				if g%2 == 0 {
					s, count = visitor(fmt.Sprint("v", g, i)), &visitors
				}
				_, _, err := w.Begin(ctx, s, chat.Wanted{To: mobile(100*g + i), Text: "hi"})
				var e *chat.Error
				switch {
				case err == nil:
					count.Add(1)
				case !errors.As(err, &e) || e.Code != chat.Limit:
					others.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if persons.Load() != 7 || visitors.Load() != 13 || others.Load() != 0 {
		t.Errorf("%d of 7, %d of 13, and %d for other reasons", persons.Load(), visitors.Load(), others.Load())
	}
}

// A stranger solves a puzzle first, each only once and for oneself alone, and a harder
// one when it looks like a program.
func TestPuzzles(t *testing.T) {
	w := newWorld(t, 1)
	const normal, hard = captcha.Effort(200), captcha.Effort(1000)
	w.puzzles = true
	w.set(func(r *chat.AbuseRules) { r.Puzzles, r.SameText = true, 3 })
	w.EasyPuzzles(normal, hard)
	v1 := visitor("v1")
	begin := func(s chat.Sender, i int, text string) error {
		_, _, err := w.Begin(ctx, s, chat.Wanted{To: mobile(i), Text: text})
		return err
	}
	puzzle := func(s chat.Sender, needed bool, effort captcha.Effort) string {
		t.Helper()
		p, need, err := w.Challenge(ctx, s)
		if err != nil || need != needed || p.MaxNumber != int64(effort) {
			t.Fatal(p, need, err)
		}
		solution, err := captcha.Solve(p)
		if err != nil {
			t.Fatal(err)
		}
		return solution
	}
	w.refused(begin(v1, 0, "hi"), chat.Captcha)
	easy := puzzle(v1, true, normal)
	if err := w.Prove(ctx, v1, "nonsense"); !errors.Is(err, captcha.ErrWrong) {
		t.Fatal(err)
	}
	if err := w.Prove(ctx, v1, easy); err != nil {
		t.Fatal(err)
	}
	for _, s := range []chat.Sender{v1, visitor("v2")} {
		if err := w.Prove(ctx, s, easy); !errors.Is(err, captcha.ErrWrong) {
			t.Error("a solution was used twice:", err)
		}
	}
	w.refused(begin(visitor("v2"), 9, "hi"), chat.Captcha)
	for i := range 3 {
		w.now = w.now.Add(time.Duration(20+7*i) * time.Second)
		if err := begin(v1, i, "the same"); err != nil {
			t.Fatal(err)
		}
	}
	w.now = w.now.Add(time.Minute)
	w.refused(begin(v1, 3, "another"), chat.Captcha)
	w.restart()
	w.EasyPuzzles(normal, hard)
	again, _, err := w.Challenge(ctx, visitor("v3"))
	if err != nil {
		t.Fatal(err)
	}
	if simple, err := captcha.Solve(again); err != nil {
		t.Fatal(err)
	} else if err := w.Prove(ctx, v1, simple); !errors.Is(err, captcha.ErrWrong) {
		t.Error("an easy puzzle is enough for a program:", err)
	}
	if err := w.Prove(ctx, v1, puzzle(v1, true, hard)); err != nil {
		t.Fatal(err)
	}
	puzzle(v1, false, normal)
	if err := begin(v1, 3, "another"); err != nil {
		t.Error(err)
	}
	if err := begin(person("anna", ""), 8, "people solve none"); err != nil {
		t.Error(err)
	}
}

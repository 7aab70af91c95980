package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
)

// A modem may ask for a message while it is canceled or erased: what it then
// starts with is not what the row says any more.
func TestStartOfAChangedMessage(t *testing.T) {
	b := open(t, queue.Options{})
	for name, change := range map[string]func(sms.Message) error{
		"canceled": func(m sms.Message) error { _, err := b.q.Cancel(context.Background(), m.ID); return err },
		"erased":   func(m sms.Message) error { _, err := b.q.EraseNumber(context.Background(), m.To); return err },
	} {
		m := b.submit("+491701234567", "x")
		job, err := b.q.Job(context.Background(), m.Row, "8949")
		if err != nil {
			t.Fatal(err)
		}
		if err := change(m); err != nil {
			t.Fatal(err)
		}
		s := b.startOf(m, 1)
		s.Job = job
		if ok, err := b.q.Advance(nil, s); ok || err != nil {
			t.Errorf("%s: start = %v, %v", name, ok, err)
		}
		b.holds(name)
	}
	// A SIM refused it meanwhile.
	m := b.submit("+491701234567", "x")
	job, err := b.q.Job(context.Background(), m.Row, "8949")
	if err != nil {
		t.Fatal(err)
	}
	b.begin(m, 1)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartRetry, Err: &sms.Error{Code: "x"}, RefusedBy: "other"}, nil)
	s := b.startOf(m, 1)
	s.Job = job
	b.advance(nil, s)
	if got := b.want(m.ID, sms.Sending); got.Attempts != 2 {
		t.Errorf("attempts = %d, want 2", got.Attempts)
	}
}

// Whoever takes in gets what waits in the order of acceptance, of the priority and
// the modems that it asks for and up to where it asks; each once.
func TestTakeIn(t *testing.T) {
	b := open(t, queue.Options{})
	put := func(n, priority int, pin string) {
		t.Helper()
		var drafts []queue.Draft
		for i := range n {
			drafts = append(drafts, queue.Draft{Pin: pin, Message: sms.Message{To: fmt.Sprintf("+4917%09d", i), Text: "x", Priority: priority}})
		}
		if _, _, err := b.q.Submit(context.Background(), drafts, nil); err != nil {
			t.Fatal(err)
		}
	}
	take := func(priority int, pins []string, upTo int64, limit int, want ...int64) {
		t.Helper()
		all, err := b.q.TakeIn(context.Background(), priority, "", pins, upTo, limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, w := range all {
			got = append(got, w.Seq)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("taken in: %v, want %v", got, want)
		}
	}
	both, end := []string{"", "a", "nobody"}, int64(math.MaxInt64)
	put(2, 4, "")  // 1, 2
	put(2, 4, "a") // 3, 4
	put(1, 9, "")  // 5
	put(2, 4, "b") // 6, 7
	put(2, 4, "")  // 8, 9
	for _, restart := range []bool{false, true} {
		if restart {
			b.restart()
		}
		take(4, both, end, 3, 1, 2, 3)
		take(4, both, end, 3, 4, 8, 9)
		take(4, both, end, 3)
		take(4, []string{"b"}, 6, 3, 6)
		take(9, []string{""}, end, 3, 5)
		if a, b := b.first(4, "b"), b.first(4, "a"); a != 7 || b != 0 {
			t.Errorf("the first places are %d and %d", a, b)
		}
	}
	if n := b.q.LastPlace(); n != 9 {
		t.Errorf("the last place is %d", n)
	}

	// Over the blocks that places are kept in.
	put(3000, 5, "")
	for seq := int64(10); seq < 3010; seq += 600 {
		var want []int64
		for i := range int64(600) {
			want = append(want, seq+i)
		}
		take(5, []string{""}, end, 600, want...)
	}
	take(5, []string{""}, end, 600)
	put(1, 5, "")
	take(5, []string{""}, end, 600, 3010)
}

// first is the place of the first message of a priority for one modem that was not
// taken in; 0: there is none.
func (b *box) first(priority int, pin string) (first int64) {
	for _, x := range b.q.Backlogs() {
		if x.Priority == priority && x.Pin == pin && (first == 0 || x.First < first) {
			first = x.First
		}
	}
	return first
}

// A restart finds the places as they were given, not as messages were accepted.
func TestPlacesAfterRestart(t *testing.T) {
	b := open(t, queue.Options{})
	var rows []int64
	first := b.submit("+491701234567", "x")
	for range 3 {
		rows = append(rows, b.submit("+491701234567", "x").Row)
	}
	b.begin(first, 1)
	b.advance(&queue.Verdict{Row: first.Row, Part: 1, Fate: queue.PartUnconfirmed}, nil)
	b.now = b.now.Add(time.Hour)
	if _, err := b.q.SettleUnconfirmed(b.now); err != nil {
		t.Fatal(err)
	}
	b.restart()
	var got []int64
	for range 4 {
		all, err := b.q.TakeIn(context.Background(), sms.DefaultPriority, "", []string{""}, math.MaxInt64, 1)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		got = append(got, all[0].Row)
	}
	if want := append(rows, first.Row); !slices.Equal(got, want) {
		t.Errorf("taken in: %v, want %v", got, want)
	}
}

// What is over while nobody takes it in leaves nothing behind, and what waits
// keeps its place.
func TestForgetOver(t *testing.T) {
	b := open(t, queue.Options{})
	put := func(n int, expires time.Time) {
		t.Helper()
		var drafts []queue.Draft
		for range n {
			drafts = append(drafts, queue.Draft{Pin: "away", Message: sms.Message{To: "+491701234567", Text: "x", ExpiresAt: expires}})
		}
		if _, _, err := b.q.Submit(context.Background(), drafts, nil); err != nil {
			t.Fatal(err)
		}
	}
	put(1500, b.now.Add(time.Minute))
	put(2, time.Time{})
	b.now = b.now.Add(time.Minute)
	if _, err := b.q.ExpireDue(b.now); err != nil {
		t.Fatal(err)
	}
	if err := b.q.ForgetOver(context.Background()); err != nil {
		t.Fatal(err)
	}
	if first := b.first(0, "away"); first != 1501 {
		t.Errorf("the first that waits is at place %d, want 1501", first)
	}
	all, err := b.q.TakeIn(context.Background(), 0, "", []string{"away"}, math.MaxInt64, 10)
	if err != nil || len(all) != 2 {
		t.Errorf("%d wait (%v)", len(all), err)
	}
}

// What a report settles while the queue starts gets a place of its own, behind
// all that wait, and is told once.
func TestPlaceOfWhatIsSettledAtTheStart(t *testing.T) {
	b := open(t, queue.Options{})
	first := b.submit("+491701234567", "waits")
	long := b.submit("+491701234568", strings.Repeat("x", 200))
	b.begin(long, 1)
	b.report(5, long.To, 0) // before the answer, which is lost
	b.restart()
	b.want(long.ID, sms.Queued)
	b.holds("the start")
	all, err := b.takeIn()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Row != first.Row || all[1].Row != long.Row || all[0].Seq >= all[1].Seq {
		t.Errorf("%+v wait", all)
	}
}

// A priority that there is not is refused, whoever asks.
func TestPriorityOutOfRange(t *testing.T) {
	b := open(t, queue.Options{})
	for _, p := range []int{-1, 10} {
		d := queue.Draft{Message: sms.Message{To: "+491701234567", Text: "x", Priority: p}}
		_, _, err := b.q.Submit(context.Background(), []queue.Draft{d}, nil)
		if bad := (*queue.DraftError)(nil); !errors.As(err, &bad) || bad.Field != "priority" {
			t.Errorf("priority %d: %v", p, err)
		}
	}
}

// What is taken in of one key brings along what its recipients are to get before,
// of other keys and of that priority.
func TestTakeInBringsAlong(t *testing.T) {
	b := open(t, queue.Options{})
	put := func(key, to string, priority int) {
		t.Helper()
		d := queue.Draft{KeyID: key, Message: sms.Message{To: to, Text: "x", Priority: priority}}
		if _, _, err := b.q.Submit(context.Background(), []queue.Draft{d}, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("flood", "+491700000001", 4) // 1
	put("flood", "+491700000002", 4) // 2
	put("flood", "+491700000002", 5) // 3
	put("few", "+491700000002", 4)   // 4
	put("flood", "+491700000002", 4) // 5
	take := func(key string, want ...int64) {
		t.Helper()
		all, err := b.q.TakeIn(context.Background(), 4, key, []string{""}, math.MaxInt64, 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, w := range all {
			got = append(got, w.Seq)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: taken in %v, want %v", key, got, want)
		}
	}
	b.restart()
	take("few", 2, 4)
	take("flood", 1, 2, 5)
	take("flood")
	for _, x := range b.q.Backlogs() {
		if x.Priority != 5 || x.Key != "flood" || x.Messages != 1 || x.Parts != 1 {
			t.Errorf("left: %+v", x)
		}
	}
}

package queue_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
)

// One message is erased with all that tells of it, and frees its slot; what is
// still to be sent is not.
func TestEraseMessage(t *testing.T) {
	b := open(t, queue.Options{})
	ctx := context.Background()
	const secret, number = "the secret sentence", "+491733333333"
	m, kept := b.submit(number, secret), b.submit(number, "kept")
	if err := b.q.EraseMessage(ctx, m.ID); !errors.Is(err, queue.ErrConflict) {
		t.Fatalf("erasing a waiting message: %v", err)
	}
	b.begin(m, 1)
	if err := b.q.EraseMessage(ctx, m.ID); !errors.Is(err, queue.ErrConflict) {
		t.Fatalf("erasing a message in a modem's hand: %v", err)
	}
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 1}, nil)
	b.receive("SM", 1, b.texts("+491755555555", "an answer", 0)[0])
	inbound, _, err := b.q.List(ctx, queue.Filter{Direction: sms.Inbound})
	if err != nil || len(inbound) != 1 {
		t.Fatal(inbound, err)
	}
	for _, id := range []string{m.ID, inbound[0].ID} {
		if err := b.q.EraseMessage(ctx, id); err != nil {
			t.Fatal(err)
		}
		if err := b.q.EraseMessage(ctx, id); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("erased twice: %v", err)
		}
	}
	if page, _, _ := b.q.List(ctx, queue.Filter{}); len(page) != 1 || page[0].ID != kept.ID {
		t.Errorf("left are %v", page)
	}
	if events, err := b.q.EventsAfter(ctx, 0, 10); err != nil || len(events) != 1 || events[0].Message != kept.ID {
		t.Errorf("events left: %+v (%v)", events, err)
	}
	if d := b.rings(); d.Outbound.Depth != 1 || d.Inbound.Depth != 0 {
		t.Errorf("slots in use: %+v", d)
	}
	if n := b.q.CountByStatus(); n[sms.Sent] != 0 || n[sms.Queued] != 1 {
		t.Errorf("counted are %v", n)
	}
	for _, name := range []string{b.db.Path(), b.db.Path() + "-wal"} {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, gone := range []string{secret, "an answer"} {
			if strings.Contains(string(file), gone) {
				t.Errorf("%s still holds %q", name, gone)
			}
		}
	}
	b.restart()
	b.want(kept.ID, sms.Queued)
}

// A share is what was handed in with some keys, and what came to some modems.
func TestShare(t *testing.T) {
	b := open(t, queue.Options{})
	ctx := context.Background()
	by := func(key string) func(*queue.Draft) { return func(d *queue.Draft) { d.KeyID = key } }
	mine := b.submit("+491700000001", "a", by("one"))
	too := b.submit("+491700000001", "b", by("two"))
	other := b.submit("+491700000001", "c", by("three"))
	b.receive("SM", 1, b.texts("+491755555555", "an answer", 0)[0])
	all, _, err := b.q.List(ctx, queue.Filter{})
	if err != nil || len(all) != 4 {
		t.Fatal(all, err)
	}
	in := all[0]
	for name, c := range map[string]struct {
		of   queue.Share
		want []string
	}{
		"all that came":     {queue.Share{Keys: []string{"one", "two"}}, []string{in.ID, too.ID, mine.ID}},
		"by modem":          {queue.Share{Keys: []string{"one"}, Modems: []string{"x", in.Modem}}, []string{in.ID, mine.ID}},
		"by number":         {queue.Share{Keys: []string{"one"}, Modems: []string{in.To}}, []string{in.ID, mine.ID}},
		"of another modem":  {queue.Share{Keys: []string{"three"}, Modems: []string{"x"}}, []string{other.ID}},
		"nothing that came": {queue.Share{Keys: []string{"one"}, Modems: []string{}}, []string{mine.ID}},
		"nothing at all":    {queue.Share{Modems: []string{}}, nil},
	} {
		page, _, err := b.q.List(ctx, queue.Filter{Of: &c.of})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range page {
			got = append(got, m.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		for _, m := range all {
			_, err := b.q.MessageOf(ctx, &c.of, m.ID)
			if slices.Contains(c.want, m.ID) != (err == nil) || err != nil && !errors.Is(err, queue.ErrNotFound) {
				t.Errorf("%s: %s alone: %v", name, m.ID, err)
			}
		}
	}
	events, err := b.q.EventsAfter(ctx, 0, 10)
	if err != nil || events[0].Key != "one" || events[3].Key != "" {
		t.Errorf("events tell the keys %q and %q (%v)", events[0].Key, events[3].Key, err)
	}
}

// The page before a cursor is the one that led to it, whatever came meanwhile.
func TestNewerPages(t *testing.T) {
	b := open(t, queue.Options{})
	ctx := context.Background()
	var ids []string
	for range 7 {
		ids = append([]string{b.submit("+491700000001", "x").ID}, ids...)
	}
	first, next, err := b.q.List(ctx, queue.Filter{Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := b.q.List(ctx, queue.Filter{Limit: 3, Cursor: next})
	if err != nil {
		t.Fatal(err)
	}
	b.submit("+491700000001", "new")
	back, next, err := b.q.List(ctx, queue.Filter{Limit: 3, Cursor: queue.CursorAt(&second[0]), Newer: true})
	if err != nil || len(back) != 3 || back[0].ID != first[0].ID || back[2].ID != first[2].ID {
		t.Errorf("before the second page are %v (%v)", back, err)
	}
	if again, _, err := b.q.List(ctx, queue.Filter{Limit: 3, Cursor: next}); err != nil || again[0].ID != ids[3] {
		t.Errorf("and behind that %v (%v)", again, err)
	}
	if none, next, err := b.q.List(ctx, queue.Filter{Limit: 3, Cursor: queue.CursorAt(&sms.Message{Row: 1000}), Newer: true}); err != nil || len(none) != 0 || next != "" {
		t.Errorf("newer than all are %v, %q (%v)", none, next, err)
	}
}

func TestSentWithin(t *testing.T) {
	b := open(t, queue.Options{})
	ctx := context.Background()
	m := b.submit("+491700000001", "sent")
	b.submit("+491700000002", "waits")
	b.begin(m, 1)
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 1}, nil)
	at := b.message(m.ID).SentAt
	for _, c := range []struct {
		f    queue.Filter
		want int
	}{
		{queue.Filter{SentSince: at}, 1}, {queue.Filter{SentSince: at.Add(time.Second)}, 0},
		{queue.Filter{SentUntil: at}, 0}, {queue.Filter{SentUntil: at.Add(time.Second)}, 1},
		{queue.Filter{SentSince: at, SentUntil: at.Add(time.Second)}, 1},
	} {
		if page, _, err := b.q.List(ctx, c.f); err != nil || len(page) != c.want {
			t.Errorf("%v to %v: %d messages, want %d (%v)", c.f.SentSince, c.f.SentUntil, len(page), c.want, err)
		}
	}
}

func TestOptedOut(t *testing.T) {
	b := open(t, queue.Options{})
	const number = "+491755555555"
	is := func(want bool) {
		t.Helper()
		if got, err := b.q.OptedOut(context.Background(), number); got != want || err != nil {
			t.Errorf("opted out: %v, %v", got, err)
		}
	}
	is(false)
	b.receive("SM", 1, b.texts(number, "Stop!", 0)[0])
	is(true)
	b.receive("SM", 2, b.texts(number, "start", 0)[0])
	is(false)
}

// What nobody wants of the log can be passed over, and no further: to before the
// first event of a message that names a callback_url.
func TestUpToCallback(t *testing.T) {
	b := open(t, queue.Options{})
	look := func(after int64) (int64, bool) {
		t.Helper()
		upTo, some, err := b.q.UpToCallback(context.Background(), after)
		if err != nil {
			t.Fatal(err)
		}
		return upTo, some
	}
	b.submit("+491733333333", "nobody asks")
	_, end, err := b.q.Span(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if upTo, some := look(0); upTo != end || some {
		t.Errorf("without callbacks: up to %d of %d, some %v", upTo, end, some)
	}
	d := queue.Draft{Message: sms.Message{To: "+491733333334", Text: "somebody asks", CallbackURL: "https://shop.example/"}}
	if _, _, err := b.q.Submit(context.Background(), []queue.Draft{d}, nil); err != nil {
		t.Fatal(err)
	}
	b.submit("+491733333335", "nobody asks")
	if upTo, some := look(0); upTo != end || !some {
		t.Errorf("before the callback: up to %d, want %d, some %v", upTo, end, some)
	}
	if upTo, some := look(end + 1); upTo <= end+1 || some {
		t.Errorf("behind it: up to %d, some %v", upTo, some)
	}
}

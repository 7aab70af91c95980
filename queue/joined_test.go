package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Others who keep something about a message hear of it in the commit that erases
// it, while it is still there, with the events that tell of it.
func TestErasersAreToldInTheSameCommit(t *testing.T) {
	b := open(t, queue.Options{})
	ctx := context.Background()
	var told []queue.Erasure
	refuse := errors.New("not now")
	var verdict error
	b.q.OnErase(func(tx *db.Tx, e queue.Erasure) error {
		for _, m := range e.Messages {
			var n int
			if err := tx.QueryRow(`SELECT count(*) FROM messages WHERE row = ? AND id = ?`, m.Row, m.ID).Scan(&n); err != nil || n != 1 {
				t.Errorf("message %s is gone before the others hear of it (%v)", m.ID, err)
			}
			for _, seq := range m.Events {
				if e, err := b.q.Event(ctx, seq); err != nil || e.Message != m.ID {
					t.Errorf("event %d is none of message %s: %v", seq, m.ID, err)
				}
			}
			if len(m.Events) == 0 {
				t.Errorf("no events of message %s", m.ID)
			}
		}
		told = append(told, e)
		return verdict
	})
	const number = "+491701234567"
	first := b.submit(number, "one")
	b.submit("+491709999999", "stays")
	if _, err := b.q.Cancel(ctx, first.ID); err != nil {
		t.Fatal(err)
	}
	verdict = refuse
	if _, err := b.q.Redact(ctx, first.ID); !errors.Is(err, refuse) {
		t.Fatalf("redacted although somebody could not erase his: %v", err)
	}
	if m := b.message(first.ID); m.Redacted || m.Text != "one" {
		t.Fatalf("half erased: %+v", m)
	}
	verdict, told = nil, nil
	if _, err := b.q.Redact(ctx, first.ID); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || told[0].Number != "" || len(told[0].Messages) != 1 || len(told[0].Messages[0].Events) != 2 {
		t.Errorf("redacting told %+v", told)
	}
	second := b.submit(number, "two")
	told = nil
	if _, err := b.q.EraseNumber(ctx, number); err != nil {
		t.Fatal(err)
	}
	var rows []int64
	for _, e := range told {
		if e.Number != number {
			t.Errorf("erasing a number told of %q", e.Number)
		}
		for _, m := range e.Messages {
			rows = append(rows, m.Row)
		}
	}
	if !slices.Equal(rows, []int64{first.Row, second.Row}) {
		t.Errorf("erasing told of rows %v", rows)
	}
	if n := len(told); n == 0 || len(told[n-1].Messages) != 0 {
		t.Errorf("the last step tells of what belongs to no message: %+v", told)
	}

	gone := b.submit("+491702222222", "old", func(d *queue.Draft) { d.DeliveryReport = false })
	if _, err := b.q.Cancel(ctx, gone.ID); err != nil {
		t.Fatal(err)
	}
	for _, keep := range []queue.Retention{{Texts: time.Hour}, {Messages: time.Hour}} {
		b.now, told = b.now.Add(24*time.Hour), nil
		b.submit("+491703333333", "new")
		if err := b.q.Prune(ctx, b.now, keep); err != nil {
			t.Fatal(err)
		}
		if len(told) != 1 || told[0].Messages[0].ID != gone.ID {
			t.Errorf("pruning with %+v told %+v", keep, told)
		}
	}
}

// What is charged for is in the commit that accepts it: a refusal leaves nothing
// behind, and a repetition costs nothing.
func TestOnlyWhatIsNewIsCharged(t *testing.T) {
	for _, size := range []int{1, 3, 60} { // alone, in one transaction, in slices
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			b := open(t, queue.Options{})
			ctx := context.Background()
			var charged []int
			var verdict error
			charge := func(tx *db.Tx, fresh int) error {
				charged = append(charged, fresh)
				return verdict
			}
			drafts := make([]queue.Draft, size)
			for i := range drafts {
				drafts[i] = queue.Draft{Message: sms.Message{To: "+491701234567", Text: "x", Priority: 4, ClientID: fmt.Sprint("c", i)}, KeyID: "k"}
			}
			once := &queue.Idempotency{KeyID: "k", Key: "1", Body: []byte("b")}
			verdict = errors.New("no more today")
			if _, _, err := b.q.SubmitCharged(ctx, drafts, once, charge); !errors.Is(err, verdict) {
				t.Fatalf("got %v", err)
			}
			if all, _, err := b.q.List(ctx, queue.Filter{Limit: 10}); err != nil || len(all) != 0 || b.rings().Outbound.Depth != 0 {
				t.Fatalf("a refused batch left %d messages (%v)", len(all), err)
			}
			verdict, charged = nil, nil
			if _, replayed, err := b.q.SubmitCharged(ctx, drafts, once, charge); err != nil || replayed {
				t.Fatal(replayed, err)
			}
			if _, replayed, err := b.q.SubmitCharged(ctx, drafts, once, charge); err != nil || !replayed {
				t.Fatal(replayed, err)
			}
			if _, _, err := b.q.SubmitCharged(ctx, drafts, nil, charge); err != nil { // the same client_ids
				t.Fatal(err)
			}
			more := append(slices.Clone(drafts), queue.Draft{Message: sms.Message{To: "+491701234567", Text: "y", Priority: 4}, KeyID: "k"})
			if _, _, err := b.q.SubmitCharged(ctx, more, nil, charge); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(charged, []int{size, 1}) {
				t.Errorf("charged %v, want %v", charged, []int{size, 1})
			}
		})
	}
}

// A message that stands twice in one request is one message.
func TestTwinsAreChargedOnce(t *testing.T) {
	for _, size := range []int{2, 60} {
		b, charged := open(t, queue.Options{}), 0
		drafts := make([]queue.Draft, size)
		for i := range drafts {
			drafts[i] = queue.Draft{Message: sms.Message{To: "+491701234567", Text: "x", Priority: 4, ClientID: "c"}, KeyID: "k"}
		}
		_, _, err := b.q.SubmitCharged(context.Background(), drafts, nil, func(_ *db.Tx, fresh int) error {
			charged += fresh
			return nil
		})
		if err != nil || charged != 1 {
			t.Errorf("%d twins are charged as %d (%v)", size, charged, err)
		}
	}
}

// What the history forgets is in no file either.
func TestForgottenTextsAreInNoFile(t *testing.T) {
	for _, keep := range []queue.Retention{{Texts: time.Hour}, {Messages: time.Hour}} {
		b := open(t, queue.Options{})
		ctx := context.Background()
		const secret = "the secret sentence"
		old := b.submit("+491701234567", secret)
		if _, err := b.q.Cancel(ctx, old.ID); err != nil {
			t.Fatal(err)
		}
		there := func() (n int) {
			for _, name := range []string{b.db.Path(), b.db.Path() + "-wal"} {
				file, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				n += bytes.Count(file, []byte(secret))
			}
			return n
		}
		if there() == 0 {
			t.Fatal("the text is in no file before it is forgotten")
		}
		b.now = b.now.Add(24 * time.Hour)
		b.submit("+491703333333", "new")
		if err := b.q.Prune(ctx, b.now, keep); err != nil {
			t.Fatal(err)
		}
		if n := there(); n != 0 {
			t.Errorf("with %+v the text is still there %d times", keep, n)
		}
	}
}

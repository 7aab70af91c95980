package queue_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// A text for its recipient alone, such as a code, is sent, and is shown and found by
// nobody; once it is sent it is kept nowhere. A hub's gateway does the same.
func TestSecretIsShownToNobody(t *testing.T) {
	ctx := context.Background()
	const text = "482913 is your code"
	secret := sms.Message{To: "+491701234567", Text: text, Redacted: true}
	kept := func(b *box) (n int) {
		t.Helper()
		err := b.db.Read(ctx, func(r db.Querier) error {
			return r.QueryRow(`SELECT count(*) FROM messages WHERE text LIKE '%482913%'`).Scan(&n)
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	hidden := func(b *box, m sms.Message) {
		t.Helper()
		j, err := json.Marshal(m)
		if err != nil || strings.Contains(string(j), "482913") || !m.Redacted || m.Shown() != "" {
			t.Fatalf("%s (%v)", j, err)
		}
		found, err := b.q.Search(ctx, queue.Filter{Saying: "482913"})
		if err != nil || len(found.Messages) > 0 {
			t.Fatal(found, err)
		}
		if page, _, err := b.q.List(ctx, queue.Filter{Saying: "482913", Limit: 10}); err != nil || len(page) > 0 {
			t.Fatal(page, err)
		}
	}
	for name, submit := range map[string]func(*box) sms.Message{
		"here": func(b *box) sms.Message {
			return b.submit(secret.To, "", func(d *queue.Draft) { d.Message = secret })
		},
		"in a batch": func(b *box) sms.Message {
			all := make([]queue.Draft, 20)
			for i := range all {
				all[i].Message = secret
			}
			m, _, err := b.q.Submit(ctx, all, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, other := range m[1:] {
				if _, err := b.q.Cancel(ctx, other.ID); err != nil {
					t.Fatal(err)
				}
			}
			return m[0]
		},
		"of a hub": func(b *box) sms.Message {
			const id = "msg_01M81J3330RPC7KZXTTDHCE93A"
			errs, err := b.q.StoreMirrored(ctx, []queue.Mirrored{{ID: id, Address: 4, Epoch: 1, Draft: queue.Draft{Message: secret}}})
			if err != nil || errs[0] != nil {
				t.Fatal(errs, err)
			}
			return b.message(id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, queue.Options{BatchSlice: 2})
			m := submit(b)
			hidden(b, m)
			b.restart()
			if got := b.message(m.ID); got.Text != text {
				t.Fatalf("what is to be sent is %q", got.Text)
			}
			hidden(b, b.message(m.ID))
			b.begin(m, 1)
			b.advance(&queue.Verdict{Row: m.Row, Part: 1, MR: 1}, nil)
			hidden(b, b.want(m.ID, sms.Sent))
			if n := kept(b); n > 0 {
				t.Fatalf("%d are kept", n)
			}
		})
	}
	hub := openHub(t, queue.Options{})
	m := hub.submit(secret.To, "", func(d *queue.Draft) { d.Message = secret })
	if r := hub.give(m, "north", 1); r.Message.Text != text || !r.Message.Redacted {
		t.Fatalf("%+v", r)
	}
	hub.apply("north", 1, queue.State{ID: m.ID, Epoch: 1, Status: sms.Sent, SentAt: hub.now})
	hidden(hub, hub.want(m.ID, sms.Sent))
	if n := kept(hub); n > 0 {
		t.Fatalf("%d are kept", n)
	}
}

package chat_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatewayd/chat"
	"gatewayd/queue"
	"gatewayd/sms"
)

// Whatever order messages, complaints, admins' words, restarts and modems come in: what
// a blocked sender wrote is handed to no modem.
func TestNothingOfABlockedSenderGoesOut(t *testing.T) {
	went, refused, blocks := 0, 0, 0
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w, r, b := interleave(t, rand.New(rand.NewPCG(seed, 7)))
			went, refused, blocks = went+w, refused+r, blocks+b
		})
	}
	if went == 0 || refused == 0 || blocks == 0 {
		t.Errorf("nothing was tried: %d went out, %d were refused, %d blocks", went, refused, blocks)
	}
}

func interleave(t *testing.T, random *rand.Rand) (went, refused, blocks int) {
	w := newWorld(t, 3)
	w.set(func(r *chat.AbuseRules) { r.Limits, r.SameText = chat.Limits{}, 0 })
	senders := []chat.Sender{person("usr_a", ""), person("usr_b", ""), person("usr_c", "sales"),
		at("192.0.2.1", visitor("v1")), at("192.0.2.1", visitor("v2")), at("192.0.2.9", visitor("v3"))}
	address := map[string]string{"v1": "addr_192.0.2.1", "v2": "addr_192.0.2.1", "v3": "addr_192.0.2.9"}
	barred := func(id string) bool {
		all, _, err := w.Senders(ctx, chat.SenderFilter{State: chat.SendersBlocked})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(all, func(s chat.SenderRecord) bool { return s.ID == id || s.ID == address[id] })
	}
	for step := range 150 {
		s := senders[random.IntN(len(senders))]
		to := mobile(random.IntN(8))
		switch random.IntN(9) {
		case 0, 1, 2, 3:
			mode := chat.Transaction
			if s.Kind == sms.AuthorVisitor {
				mode = chat.ByInvitation
			}
			was := barred(s.ID)
			_, _, err := w.Begin(ctx, s, chat.Wanted{To: to, Mode: mode, Text: fmt.Sprint("text ", step)})
			var e *chat.Error
			if err != nil && !errors.As(err, &e) {
				t.Fatal(err)
			}
			if was && (e == nil || e.Code != chat.BlockedSender) {
				t.Fatalf("step %d: %s is blocked and got %v", step, s.ID, err)
			}
		case 4, 5:
			word := []string{"SPAM", "THREAT", "STOP", "YES", "START", "hello"}[random.IntN(6)]
			w.says(to, []string{"a", "b", "c"}[random.IntN(3)], word)
			w.now = w.now.Add(time.Hour)
		case 6:
			page, _, err := w.q.List(ctx, queue.Filter{Direction: sms.Outbound, Status: []sms.Status{sms.Queued}, Limit: 20})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page {
				by := ""
				if m.Author != nil {
					by = m.Author.ID
				}
				was := by != "" && barred(by)
				if ok := w.onAir(m); ok && was {
					t.Fatalf("step %d: %q of %s, who is blocked, was handed to a modem", step, m.Text, by)
				} else if ok {
					went++
				} else {
					refused++
				}
			}
		case 7:
			var err error
			if random.IntN(3) == 0 {
				_, err = w.BlockSender(ctx, s.ID, "", "usr_admin")
				blocks++
			} else {
				_, err = w.ReopenSender(ctx, s.ID, "usr_admin")
			}
			var e *chat.Error
			if err != nil && !errors.As(err, &e) {
				t.Fatal(err)
			}
		case 8:
			if random.IntN(4) == 0 {
				w.restart()
			}
		}
	}
	return went, refused, blocks
}

// Once it was said that a sender is blocked, nothing that it hands in at the same moment
// gets through.
func TestBlockedWhileSending(t *testing.T) {
	w := newWorld(t, 1)
	w.set(func(r *chat.AbuseRules) { r.Limits = chat.Limits{} })
	anna := person("usr_anna", "")
	v := w.begin(anna, chat.Wanted{To: phone, Mode: chat.Transaction, Text: "hello"})
	var blocked atomic.Bool
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				was := blocked.Load()
				_, err := w.Send(ctx, anna, v.ID, "on and on", "")
				if err == nil && was {
					t.Error("sent after the block")
				}
				if err != nil || was {
					return
				}
			}
		})
	}
	if _, err := w.BlockSender(ctx, "usr_anna", "", "usr_admin"); err != nil {
		t.Error(err)
	}
	blocked.Store(true)
	wg.Wait()
	for _, m := range w.air() {
		if m.Author != nil && m.Author.ID == "usr_anna" {
			t.Errorf("%q was handed to a modem", m.Text)
		}
	}
}

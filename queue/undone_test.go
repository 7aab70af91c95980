package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// undone does something whose commit fails, if it can be brought into the
// transaction of one that must fail, and reports whether it was.
func (b *box) undone(do func() error) bool {
	b.t.Helper()
	began, end := make(chan struct{}), make(chan error, 1)
	go func() {
		end <- b.db.Write(func(tx *db.Tx) error {
			close(began)
			time.Sleep(time.Millisecond) // until the other one waits; if that takes longer it runs by itself
			if _, err := tx.Exec(`PRAGMA defer_foreign_keys = ON`); err != nil {
				return err
			}
			_, err := tx.Exec(`INSERT INTO parts (message, number, modem, sim, sent_at) VALUES (-1, 1, '', '', 0)`)
			return err
		})
	}()
	<-began
	err := do()
	if e := <-end; e == nil || !strings.Contains(e.Error(), "FOREIGN KEY") {
		b.t.Fatalf("a commit that must fail: %v", e)
	}
	return err != nil && strings.Contains(err.Error(), "FOREIGN KEY")
}

// What the queue keeps in memory is as the rows are, too, after a commit that
// failed: nothing of it is seen, and what is done next is not misled by it.
func TestMemoryAfterFailedCommits(t *testing.T) {
	b := open(t, queue.Options{OutboundCapacity: 12, ReportWait: time.Hour, BatchSlice: 2})
	rnd := rand.New(rand.NewPCG(1, 1))
	failed := map[string]int{}
	// What a dispatcher knows: the place that each message was offered at.
	offered, last, of := map[int64]int64{}, int64(0), b.q
	offer := func(after string) {
		t.Helper()
		if b.q != of { // restarted
			clear(offered)
			last, of = 0, b.q
		}
		for n := 1; n > 0; {
			found, err := b.takeIn()
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range found {
				if w.Seq <= last {
					t.Errorf("after %s: place %d is offered after place %d", after, w.Seq, last)
				}
				if offered[w.Row] == w.Seq {
					t.Errorf("after %s: message %d is offered twice at place %d", after, w.Row, w.Seq)
				}
				offered[w.Row], last = w.Seq, w.Seq
			}
			n = len(found)
		}
		err := b.db.Read(context.Background(), func(r db.Querier) error {
			rows, err := r.Query(`SELECT row, queued_seq FROM messages WHERE status = 'queued'`)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var row, seq int64
				if err := rows.Scan(&row, &seq); err != nil {
					return err
				}
				if offered[row] != seq {
					t.Errorf("after %s: message %d waits at place %d and was offered at %d", after, row, seq, offered[row])
				}
			}
			return rows.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 250 {
		what := b.something(rnd)
		b.holds(what)
		offer(what)
		page, _, err := b.q.List(context.Background(), queue.Filter{Direction: sms.Outbound, Limit: 20})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			continue
		}
		m := page[rnd.IntN(len(page))]
		kind, do := "", func() error { return nil }
		switch rnd.IntN(8) {
		case 0:
			kind, do = "submit", func() error {
				_, _, err := b.q.Submit(context.Background(), []queue.Draft{{Message: sms.Message{To: m.To, Text: "x"}}, {Message: sms.Message{To: m.To, Text: "x"}}}, nil)
				return err
			}
		case 1, 2:
			kind, do = "start", func() error { _, err := b.q.Advance(nil, b.startOf(m, 1)); return err }
		case 3, 4:
			fate := queue.Fate(rnd.IntN(4))
			if parts, err := b.q.Parts(context.Background(), m.Row); err != nil || len(parts) == 0 || !answerable(m) {
				continue
			}
			kind, do = fmt.Sprint("fate", fate), func() error {
				_, err := b.q.Advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: fate, MR: 3, Err: &sms.Error{Code: "x"}}, nil)
				return err
			}
		case 5:
			kind, do = "cancel", func() error { _, err := b.q.Cancel(context.Background(), m.ID); return err }
		case 6:
			kind, do = "report", func() error { b.now = b.now.Add(2 * time.Hour); _, err := b.q.FreeReported(b.now); return err }
		case 7:
			kind, do = "receive", func() error {
				return b.q.Receive(sms.Incoming{Modem: "office", ICCID: "8949", PDU: b.texts(m.To, []string{"STOP", "START", "hello"}[rnd.IntN(3)], 0)[0], Index: -1, At: b.now})
			}
		}
		if b.undone(do) {
			failed[kind]++
		}
		b.holds("undone " + kind)
		offer("undone " + kind)
		if t.Failed() {
			t.Fatal("step", i)
		}
	}
	t.Log(failed)
	if len(failed) < 5 {
		t.Errorf("only %v were undone", failed)
	}
}

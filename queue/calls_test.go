package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// A call belongs to its number: it is told in order with its texts, and erased
// with them.
func TestCallsBelongToTheirNumber(t *testing.T) {
	b, ctx := open(t, queue.Options{}), context.Background()
	const number = "+491733333333"
	for _, from := range []string{number, "+491700000009", "", "01733333333"} {
		if err := b.q.Append(sms.EventCall, sms.Call{Modem: "m", From: from, At: b.now}, nil); err != nil {
			t.Fatal(err)
		}
	}
	all, err := b.q.EventsAfter(ctx, 0, 10)
	if err != nil || len(all) != 4 || all[0].Number != number || all[2].Number != "" || all[0].Type != "call.received" {
		t.Fatalf("%+v, %v", all, err)
	}
	if _, err := b.q.EraseNumber(ctx, number); err != nil {
		t.Fatal(err)
	}
	if all, err = b.q.EventsAfter(ctx, 0, 10); err != nil || len(all) != 2 || all[0].Number != "+491700000009" || all[1].Number != "" {
		t.Fatalf("after erasing: %+v, %v", all, err)
	}
}

func TestHasCall(t *testing.T) {
	b, ctx := open(t, queue.Options{}), context.Background()
	c := sms.Call{Modem: "m", From: "+491733333333", At: b.now}
	has := func(c sms.Call, since time.Time, want bool) {
		t.Helper()
		if got, err := b.q.HasCall(ctx, c, since); err != nil || got != want {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	has(c, b.now.Add(-time.Hour), false)
	if err := b.q.Append(sms.EventCall, c, nil); err != nil {
		t.Fatal(err)
	}
	has(c, b.now.Add(-time.Minute), true)
	has(c, b.now, false)
	has(sms.Call{Modem: "n", From: c.From}, b.now.Add(-time.Minute), false)
	has(sms.Call{Modem: "m"}, b.now.Add(-time.Minute), false)
}

// An event and what its writer stores are one commit, or none.
func TestAppendTogether(t *testing.T) {
	b, ctx := open(t, queue.Options{}), context.Background()
	broken := errors.New("broken")
	for _, c := range []struct {
		tell bool
		err  error
		want int
	}{{false, nil, 0}, {true, broken, 0}, {true, nil, 1}} {
		err := b.q.Append(sms.EventAlarmBegin, sms.Alarm{Code: "c", BegunAt: b.now}, func(tx *db.Tx) (bool, error) { return c.tell, c.err })
		if !errors.Is(err, c.err) {
			t.Errorf("%v, want %v", err, c.err)
		}
		if all, err := b.q.EventsAfter(ctx, 0, 10); err != nil || len(all) != c.want {
			t.Errorf("%+v, %v", all, err)
		}
	}
}

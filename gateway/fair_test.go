package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/modem"
	"gatewayd/queue"
	"gatewayd/sms"
)

func key(id string) func(*queue.Draft) { return func(d *queue.Draft) { d.KeyID = id } }

// mix puts what each key has in turns, as they should be sent: one that comes anew
// has its turn first.
func mix(keys ...[]int64) (rows []int64) {
	for i := 0; len(keys) > 0; i++ {
		keys = slices.DeleteFunc(keys, func(k []int64) bool { return i >= len(k) })
		for _, k := range keys {
			rows = append(rows, k[i])
		}
	}
	return rows
}

// Keys of the same priority take turns, however much one has waiting, on the disk
// too, and whenever the other comes; one key's own messages keep their order.
func TestKeysTakeTurns(t *testing.T) {
	b := newBacklog(t)
	x := b.modem("x")
	flood := b.wait(100, from0(0), key("flood"))
	b.wants(x, flood[:7]...)
	few := b.wait(5, from0(1000), key("few"))
	b.wants(x, mix(few, flood[7:12])...)
	one := b.wait(3, from0(2000), key("one"))
	two := b.wait(3, from0(3000), key("two"))
	b.wants(x, mix(one, two, flood[12:15])...)
	b.wants(x, flood[15:]...)
	b.over()
}

// A key that sends one message at a time waits for no more than one of another's.
func TestOneAtATime(t *testing.T) {
	b := newBacklog(t)
	x := b.modem("x")
	flood := b.wait(50, from0(0), key("flood"))
	for i := range 10 {
		if i == 0 {
			b.wants(x, flood[:2]...)
		}
		few := b.wait(1, from0(1000), key("few"))[0]
		if a, b := b.send(x), b.send(x); a != few && b != few {
			t.Fatalf("%d and %d go before %d", a, b, few)
		}
	}
	for b.send(x) != 0 {
	}
	b.over()
}

// Turns are counted in parts.
func TestTurnsAreParts(t *testing.T) {
	b := newBacklog(t)
	x := b.modem("x")
	long := b.wait(4, from0(0), key("long"), func(d *queue.Draft) { d.Text = strings.Repeat("x", 400) })
	short := b.wait(12, from0(1000), key("short"))
	var sent []int64
	for p := b.begin(x); p != nil; p = b.begin(x) {
		if p.Number == 1 {
			sent = append(sent, p.Row)
		}
		b.finish(x, modem.Outcome{Part: p, Result: modem.Confirmed, MR: -1})
	}
	want := slices.Concat(long[:1], short[:3], long[1:2], short[3:6], long[2:3], short[6:9], long[3:4], short[9:])
	if !slices.Equal(sent, want) {
		t.Errorf("sent %v, want %v", sent, want)
	}
	b.over()
}

// What two keys write to one number arrives in its order, and neither waits for
// the other's flood for that.
func TestOrderAcrossKeys(t *testing.T) {
	b := newBacklog(t)
	x := b.modem("x")
	flood := b.wait(100, func(i int) string { return number(i % 50) }, key("flood")) // each number twice
	alerts := b.wait(2, one(number(45)), key("alerts"))
	b.wants(x, flood[0], flood[45], flood[1], flood[95], flood[2], alerts[0], flood[3], alerts[1])
	b.wants(x, flood[4:45]...)
	b.wants(x, flood[46:95]...)
	b.wants(x, flood[96:]...)
	b.over()
}

// A key whose modem was away does not have it for hours when it is back.
func TestCreditIsBounded(t *testing.T) {
	b := newBacklog(t)
	b.d.window = 20
	x, y := b.modem("x"), b.modem("y")
	its := b.wait(400, from0(0), key("pinned"), from("y"))
	b.is(y, sms.Absent)
	any := b.wait(1000, from0(1000), key("any"))
	b.wants(x, any[:600]...)
	b.is(x, sms.Absent)
	b.is(y, sms.Ready)
	n, others := 0, 0
	for others == 0 && n < len(its) {
		if row := b.send(y); slices.Contains(any, row) {
			others++
		} else {
			n++
		}
	}
	if n > mostCredit+2 { // the last one may begin within it
		t.Errorf("%d messages go before another key's", n)
	}
}

// While a broadcast of ten thousand goes out, long messages and all, each alarm of
// another key is the next part on the air, on whichever modem is free first.
func TestBroadcastDelaysNoAlarm(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(10 * time.Second)
		const all = 10_000
		drafts := make([]queue.Draft, all)
		for i := range drafts {
			drafts[i] = queue.Draft{KeyID: "news", Message: sms.Message{To: number(i), Text: "news", Priority: sms.DefaultPriority}}
			if i%3 == 0 {
				drafts[i].Text = strings.Repeat("news ", 100)
			}
		}
		for part := range slices.Chunk(drafts, 1000) {
			if _, _, err := w.g.Queue().Submit(context.Background(), part, nil); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 20 {
			w.pass(time.Duration(7+i*i%13)*time.Second + time.Duration(i*37%100)*10*time.Millisecond)
			before := len(w.net.Accepted())
			to := fmt.Sprintf("+4917600000%02d", i)
			m := w.submit(to, "alarm", priority(9), key("alarms"))
			w.until(m.ID, sms.Sent, 10*time.Second)
			at := -1
			for n, s := range w.net.Accepted()[before:] {
				if s.To == to {
					at = n
				}
			}
			if at < 0 || at > 1 {
				t.Errorf("alarm %d is part %d after the one on the air", i, at)
			}
		}
		if n := w.g.Queue().CountByStatus()[sms.Queued]; n < all/2 {
			t.Fatalf("the broadcast was almost over: %d left", n)
		}
	})
}

// A broadcast of one key does not starve another's ordinary messages either.
func TestBroadcastSharesTheAir(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(10 * time.Second)
		drafts := make([]queue.Draft, 5000)
		for i := range drafts {
			drafts[i] = queue.Draft{KeyID: "news", Message: sms.Message{To: number(i), Text: "news", Priority: sms.DefaultPriority}}
		}
		if _, _, err := w.g.Queue().Submit(context.Background(), drafts, nil); err != nil {
			t.Fatal(err)
		}
		w.pass(20 * time.Second)
		start := time.Now()
		var last sms.Message
		for i := range 10 {
			last = w.submit(number(9000+i), "mine", key("other"))
		}
		w.until(last.ID, sms.Sent, time.Minute)
		if d := time.Since(start); d > 50*time.Second { // twenty parts of about two seconds
			t.Errorf("ten messages took %s", d)
		}
	})
}

// A number that does not get its messages stands behind what waits of every key, and
// costs its own key's other numbers no turn beyond that of its part.
func TestDeadNumberOfAnotherKey(t *testing.T) {
	b := newBacklog(t)
	x := b.modem("x")
	bad := b.wait(10, one(phone), key("a"))
	mine := b.wait(3, from0(0), key("a"))
	theirs := b.wait(6, from0(1000), key("b"))
	fail := func(row int64) {
		t.Helper()
		p := b.begin(x)
		if p.Row != row {
			t.Fatalf("message %d goes, want %d", p.Row, row)
		}
		b.finish(x, modem.Outcome{Part: p, Result: modem.Refused, Err: &sms.Error{Code: "x", Class: sms.Permanent}})
	}
	fail(bad[0])
	b.wants(x, mix(theirs[:4], mine)...)
	b.wants(x, theirs[4:]...)
	late := b.wait(2, from0(2000), key("b"))
	fail(bad[1])
	b.wants(x, late...)
	b.wants(x, bad[2:]...)
	b.over()
}

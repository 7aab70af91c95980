package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"gatewayd/intake"
	"gatewayd/queue"
	"gatewayd/sms"
)

// post hands messages in at the desk, as a door does.
func (w *world) post(key string, messages ...intake.Message) []sms.Message {
	w.t.Helper()
	who := intake.Caller{KeyID: key}
	var drafts []queue.Draft
	for _, m := range messages {
		d, errs := w.g.desk.Draft(who, m)
		if len(errs) > 0 {
			w.t.Fatal(errs)
		}
		drafts = append(drafts, d)
	}
	all, _, err := w.g.desk.Submit(context.Background(), who, drafts, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func text(to, s string) intake.Message { return intake.Message{To: to, Text: &s} }

func many(first, n int) (all []intake.Message) {
	for i := range n {
		all = append(all, text(number(first+i), "x"))
	}
	return all
}

// whenSent waits until a message was sent.
func (w *world) whenSent(id string) sms.Message {
	w.t.Helper()
	for deadline := time.After(100 * time.Hour); ; {
		changed := w.g.Queue().Changed()
		if m := w.message(id); !m.SentAt.IsZero() {
			return m
		}
		select {
		case <-changed:
		case <-deadline:
			w.t.Fatalf("message %s is not sent", id)
		}
	}
}

// cameTrue checks that messages were sent when they were expected, within some
// time and a part of it.
func (w *world) cameTrue(all []sms.Message, within time.Duration, part float64) {
	w.t.Helper()
	for i, m := range all {
		got := w.whenSent(m.ID)
		if m.ExpectedAt.IsZero() {
			w.t.Fatalf("message %d was expected at no time", i)
		}
		off, took := got.SentAt.Sub(m.ExpectedAt), got.SentAt.Sub(m.CreatedAt)
		if off.Abs() > within+time.Duration(part*float64(took)) {
			w.t.Errorf("message %d was sent after %s, %s off", i, took, off)
		}
	}
}

// What is foreseen comes true: with a backlog, with long texts, with two keys that
// take turns.
func TestForeseenComesTrue(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(10 * time.Second)
		for i := range 4 { // it learns how long a part takes
			w.until(w.submit(number(i), "x").ID, sms.Sent, time.Minute)
		}
		all := w.post("a", many(100, 40)...)
		if m := all[0].ExpectedModem; m != "m1" {
			t.Errorf("expected through %q", m)
		}
		long := text(number(500), texts["1,000 characters"])
		all = append(all, w.post("a", long)...)
		all = append(all, w.post("b", many(600, 5)...)...) // in turns with a, which its later ones did not know
		w.cameTrue(all[41:], 4*time.Second, 0.25)
		w.cameTrue(all[:30], 4*time.Second, 0.5)
	})
}

// At the pace of a minute, and at the wall of a day.
func TestForeseenAtALimit(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.restart(func(o *Options) { o.Modems[0].Limits = Limits{PerMinute: 5} })
		w.pass(10 * time.Second)
		all := w.post("a", many(0, 23)...)
		w.cameTrue(all, 15*time.Second, 0.1)
		if d := all[22].ExpectedAt.Sub(all[22].CreatedAt); d < 3*time.Minute {
			t.Errorf("the last is expected after %s", d)
		}
		// One that waits at the limit is told right later too.
		w.pass(2 * time.Minute)
		w.post("a", many(100, 5)...)
		m := w.post("a", text(number(200), "x"))[0]
		w.pass(20 * time.Second)
		got := w.message(m.ID)
		w.g.desk.Foreseen(context.Background(), &got)
		sent := w.whenSent(m.ID)
		if off := sent.SentAt.Sub(got.ExpectedAt); off.Abs() > 5*time.Second {
			t.Errorf("it was %s off", off)
		}
	})
	inWorld(t, 2, air(), func(w *world) {
		w.restart(func(o *Options) {
			o.Modems[0].Limits, o.Modems[1].Limits = Limits{PerDay: 3}, Limits{PerDay: 4}
		})
		w.pass(10 * time.Second)
		all := w.post("a", many(0, 16)...)
		for i, days := range []int{0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2} {
			from, to := dayAfter(all[i].CreatedAt, days), dayAfter(all[i].CreatedAt, days+1)
			if at := all[i].ExpectedAt; at.Before(from) || !at.Before(to) {
				t.Errorf("message %d is expected at %s, want %d days on", i, at, days)
			}
		}
		w.cameTrue(all, 30*time.Second, 0.05)
	})
}

// dayAfter is the midnight so many days after a time, the time itself for 0.
func dayAfter(at time.Time, days int) time.Time {
	for range days {
		at = nextDay(at)
	}
	return at
}

// What nobody can send is said, and what is pinned to a modem that is away.
func TestForeseenWithoutAModem(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		w.pass(10 * time.Second)
		w.modems[0].Unplug()
		w.pass(10 * time.Second)
		pinned := text(phone, "x")
		pinned.From = "m1"
		all := w.post("a", text(phone, "x"), pinned)
		if m := all[0]; m.ExpectedModem != "m2" || len(m.Warnings) > 0 {
			t.Errorf("expected through %q, warnings %v", m.ExpectedModem, m.Warnings)
		}
		if m := all[1]; !m.ExpectedAt.IsZero() || len(m.Warnings) != 1 || m.Warnings[0] != sms.WarnNoModem {
			t.Errorf("expected at %s, warnings %v", m.ExpectedAt, m.Warnings)
		}
		if err := w.modems[0].Plug(); err != nil {
			t.Fatal(err)
		}
		w.until(all[1].ID, sms.Sent, 5*time.Minute)
	})
}

// A message that is to be refused rather than late is, and one that is in time is not.
func TestForeseenLate(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(10 * time.Second)
		w.post("a", many(0, 100)...)
		late := text(phone, "x")
		late.ExpiresAt = time.Now().Add(time.Minute)
		late.To = number(999)
		m := w.post("a", late)[0]
		late.To = phone // not behind that one
		if len(m.Warnings) != 1 || m.Warnings[0] != sms.WarnLate {
			t.Errorf("warnings %v", m.Warnings)
		}
		late.RejectIfLate = true
		d, _ := w.g.desk.Draft(intake.Caller{KeyID: "a"}, late)
		_, _, err := w.g.desk.Submit(context.Background(), intake.Caller{KeyID: "a"}, []queue.Draft{d}, nil)
		if refused := (*intake.Late)(nil); !errors.As(err, &refused) || refused.At.Before(late.ExpiresAt) {
			t.Errorf("%v", err)
		}
		if m := w.post("b", late)[0]; m.ExpectedAt.After(late.ExpiresAt) { // another key has its turn before
			t.Errorf("%+v", m)
		}
		nine := 9
		late.Priority = &nine
		w.cameTrue(w.post("a", late), 5*time.Second, 0)
		w.until(m.ID, sms.Expired, 2*time.Minute)
	})
}

// A number is foreseen through the SIM that it keeps, send_at is kept to, and the
// modem with room is preferred.
func TestForeseenThrough(t *testing.T) {
	inWorld(t, 3, air(), func(w *world) {
		if err := w.net.Handset(phone).Send(w.modems[1].Number(), "so that the number keeps this SIM"); err != nil {
			t.Fatal(err)
		}
		w.pass(20 * time.Second)
		later := text(phone, "x")
		later.SendAt = time.Now().Add(time.Hour)
		all := w.post("a", text(phone, "x"), later)
		for _, m := range all {
			if m.ExpectedModem != "m2" {
				t.Errorf("expected through %q", m.ExpectedModem)
			}
		}
		if d := all[1].ExpectedAt.Sub(later.SendAt); d < 0 || d > 10*time.Second {
			t.Errorf("expected %s after send_at", d)
		}
		w.cameTrue(all, 4*time.Second, 0)
	})
}

// Foreseeing costs a post little, however much waits.
func BenchmarkForesee(b *testing.B) {
	now := time.Now()
	d := newDispatcher(func() time.Time { return now })
	s := foresight{d: d}
	var modems []pacer
	work := workload{}
	for i := range 4 {
		modems = append(modems, pacer{name: fmt.Sprint(i), limits: Limits{PerMinute: 15, PerDay: 1000}, air: airTime, left: 15, day: 1000, month: math.MaxInt})
	}
	for i := range 10 {
		work[backlogName{4, fmt.Sprint(i), ""}] = 10_000
	}
	for b.Loop() {
		s.outlook(modems, work, question{to: phone, key: "1", priority: 4, parts: 1, before: 10_000}, now)
	}
}

// Whoever has neither a clock nor a modem is told of the modem all the same, and
// nothing of times.
func TestForeseenWithoutAClock(t *testing.T) {
	onMachine(t, 1, -50*365*24*time.Hour, nil, func(m *machine) {
		m.pass(10 * time.Second)
		if sent := m.post("a", text(phone, "x"))[0]; !sent.ExpectedAt.IsZero() || len(sent.Warnings) > 0 {
			t.Errorf("with a modem: expected at %s, warnings %v", sent.ExpectedAt, sent.Warnings)
		}
		m.modems[0].Unplug()
		m.pass(10 * time.Second)
		if sent := m.post("a", text(phone, "x"))[0]; !sent.ExpectedAt.IsZero() || len(sent.Warnings) != 1 || sent.Warnings[0] != sms.WarnNoModem {
			t.Errorf("without one: expected at %s, warnings %v", sent.ExpectedAt, sent.Warnings)
		}
		if p, _ := m.g.desk.Preview(context.Background(), intake.Caller{KeyID: "a"}, text(phone, "x")); !p.Outlook.At.IsZero() ||
			len(p.Warnings) != 1 || len(p.Outlook.Because) != 1 {
			t.Errorf("the preview says %+v, %v", p.Outlook, p.Warnings)
		}
	})
}

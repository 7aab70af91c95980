package reports

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// What is counted, and for whom.
func TestEachKindIsCountedForWhoWrote(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.send(anna, "usr_anna", strings.Repeat("x", 200), "") // two parts
		r.report(true, 1)
		r.report(true, 0)
		r.send(itself, "", "an invitation, which nobody answers", "")
		r.hear("hello there")
		r.hear("and once more") // the same message is answered once
		r.send(guest, "", "hi", "")
		r.hear("spam")
		r.send(guest, "", "hi again", "")
		r.report(false, 0)
		r.send(nil, "key_1", "by a program", "")
		r.hear("threat")
		r.send(guest, "", "refused", "cms-38")
		r.hear("stop")
		r.optOut("admin") // no phone's word
		r.settle()

		all := map[string]Line{}
		for _, l := range r.lines(Query{By: ByPerson}) {
			all[l.Author+" "+l.ID] = l
		}
		if l := all["person usr_anna"]; l.Sent != 1 || l.SentParts != 2 || l.Delivered != 1 || l.Answered != 1 || l.OptedOut != 0 {
			t.Errorf("of the person: %+v", l)
		}
		if l := all["key key_1"]; l.Sent != 1 || l.Threats != 1 || l.Answered != 0 {
			t.Errorf("of the program: %+v", l)
		}
		if l := all["auto "]; l.Sent != 1 || l.Answered != 0 {
			t.Errorf("of the gateway: %+v", l)
		}
		widgets := r.lines(Query{By: ByWidget})
		if len(widgets) != 1 || widgets[0].ID != "wdg_shop" {
			t.Fatalf("widgets: %+v", widgets)
		}
		if l := widgets[0]; l.Sent != 2 || l.Undelivered != 1 || l.Failed != 1 || l.Codes["cms-38"] != 1 || l.Complaints != 1 || l.OptedOut != 1 || l.Answered != 0 {
			t.Errorf("of the widget: %+v", l)
		}
		sims := r.lines(Query{By: BySIM})
		if len(sims) != 1 || sims[0].ID != iccid || sims[0].Modem != "office" || sims[0].Received != 5 || sims[0].Sent != 5 {
			t.Errorf("of the SIM: %+v", sims)
		}
		if l := r.lines(Query{By: ByDay})[0]; l.Day != r.r.Today() || l.Sent != 5 || l.OptedOut != 1 || l.Received != 5 {
			t.Errorf("of today: %+v", l)
		}
		if l := Total(r.lines(Query{By: ByDay, Since: r.r.Today(), Until: r.r.Today(), Person: "usr_anna"})); l.Sent != 1 || l.Received != 0 {
			t.Errorf("of today and the person: %+v", l)
		}
		// Nothing of the phone or the texts is kept, nor of the stranger.
		if n := r.number(`SELECT count(*) FROM report_counts WHERE sim || modem || author || id || kind || code LIKE '%1701000001%' OR id = 'vis_1'`); n != 0 {
			t.Errorf("%d rows tell of somebody", n)
		}
	})
}

// Days pass, the gateway restarts in the middle, and each event is counted once, on
// its day.
func TestDaysAndRestarts(t *testing.T) {
	inBubble(t, func(r *rig) {
		first := r.r.Today()
		for day := range 5 {
			for i := range day + 1 {
				r.send(anna, "usr_anna", fmt.Sprint("text ", i), "")
				if i%2 == 0 {
					r.stop() // before it is counted, or after
					r.start()
				}
			}
			r.settle()
			r.stop()
			r.start()
			time.Sleep(24 * time.Hour)
		}
		lines := r.lines(Query{By: ByDay, Since: first, Until: r.r.Today()})
		if len(lines) != 6 {
			t.Fatalf("%d days: %+v", len(lines), lines)
		}
		for i, l := range lines[:5] {
			if l.Sent != i+1 {
				t.Errorf("%s: %d sent, want %d", l.Day, l.Sent, i+1)
			}
		}
		if lines[5].Sent != 0 {
			t.Errorf("today: %+v", lines[5])
		}
	})
}

// The numbers and the place in the log are one commit: one that fails counts nothing,
// and the same events come again.
func TestNothingIsCountedTwice(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.send(anna, "usr_anna", "one", "")
		r.settle()
		r.stop() // nobody follows
		r.start()
		r.cancel()
		<-r.ended
		r.send(anna, "usr_anna", "two", "")
		was := r.number(`SELECT seq FROM report_place`)
		r.must(r.db.Write(func(tx *db.Tx) error {
			_, err := tx.Exec(`CREATE TRIGGER full BEFORE INSERT ON report_counts BEGIN SELECT raise(ABORT, 'disk full'); END`)
			return err
		}))
		if err := r.r.Count(context.Background()); err == nil {
			t.Error("a commit that failed is told as none")
		}
		if now := r.number(`SELECT seq FROM report_place`); now != was {
			t.Errorf("the place went on to %d without the numbers", now)
		}
		r.must(r.db.Write(func(tx *db.Tx) error {
			_, err := tx.Exec(`DROP TRIGGER full`)
			return err
		}))
		// Two that count at once, as two processes would: the second finds it done.
		sums := map[cell]amount{{day: r.r.Today(), kind: Sent}: {1, 1}}
		r.must(r.r.Count(context.Background()))
		upTo := int64(r.number(`SELECT seq FROM report_place`))
		r.must(r.db.Write(func(tx *db.Tx) error { return store(tx, int64(was), upTo, sums) }))
		if l := r.total(); l.Sent != 2 {
			t.Errorf("%d sent, want 2", l.Sent)
		}
		r.ended <- nil
	})
}

// An event that is not counted is not pruned, and received messages don't wait.
func TestLogIsHeldAndTheRingIsNot(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.cancel()
		<-r.ended
		r.send(anna, "usr_anna", "old", "")
		r.hear("hello")
		time.Sleep(48 * time.Hour)
		prune := func() {
			r.must(r.q.Prune(context.Background(), r.now(), queue.Retention{Events: time.Hour}))
		}
		r.send(anna, "usr_anna", "new", "")
		r.must(r.q.PassInbound())
		if depth := r.q.Stats().Inbound.Depth; depth != 0 {
			t.Errorf("%d received messages wait for the reports", depth)
		}
		prune()
		if n := r.number(`SELECT count(*) FROM events WHERE type = 'message.sent'`); n != 2 {
			t.Errorf("%d events are left of what is not counted", n)
		}
		r.must(r.r.Count(context.Background()))
		prune()
		if n := r.number(`SELECT count(*) FROM events WHERE type = 'message.sent'`); n != 1 {
			t.Errorf("%d events are left of what is counted", n)
		}
		r.must(r.q.AppendModemState(sms.Modem{Name: "office"})) // which nothing is counted of
		time.Sleep(2 * time.Hour)
		r.must(r.r.Count(context.Background()))
		prune()
		if n := r.number(`SELECT count(*) FROM events`); n != 0 {
			t.Errorf("%d events are held that say nothing to the reports", n)
		}
		r.send(anna, "usr_anna", "and on", "")
		r.must(r.r.Count(context.Background()))
		if l := r.total(); l.Sent != 3 || l.Received != 1 {
			t.Errorf("%+v", l)
		}
		r.ended <- nil
	})
}

// A clock that is set moves what was counted by it, and what is yet to be, once.
func TestClockIsSet(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.send(anna, "usr_anna", "before", "") // by a clock that was right
		r.settle()
		r.stop()
		r.untrusted = true
		r.start()
		early := r.r.Today()
		r.send(anna, "usr_anna", "counted", "")
		r.settle()
		r.send(anna, "usr_anna", "not counted yet", "")
		const step = 100 * 24 * time.Hour
		r.must(r.db.Write(func(tx *db.Tx) error {
			if err := r.q.ShiftTx(tx, step, r.began, r.now().Add(step)); err != nil {
				return err
			}
			return r.r.ShiftTx(tx, step, r.began)
		}))
		r.skew, r.untrusted = step, false
		r.settle()
		r.send(anna, "usr_anna", "afterwards", "")
		r.settle()
		late := r.lines(Query{By: ByDay})[0]
		if then := r.lines(Query{By: ByDay, Since: early, Until: early})[0]; then.Sent != 1 || late.Sent != 3 {
			t.Errorf("then %d, now %d; want 1 and 3", then.Sent, late.Sent)
		}
		if n := r.number(`SELECT count(*) FROM report_counts WHERE uncertain = 1`) + r.number(`SELECT count(*) FROM report_steps`); n != 0 {
			t.Errorf("%d rows still wait for a clock", n)
		}
	})
}

// Counts are kept as long as they are to be.
func TestOldCountsGo(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.keep = 30 * 24 * time.Hour
		r.send(anna, "usr_anna", "old", "")
		r.settle()
		time.Sleep(29 * 24 * time.Hour)
		synctest.Wait()
		if r.total().Sent != 1 {
			t.Error("gone too soon")
		}
		time.Sleep(3 * 24 * time.Hour)
		synctest.Wait()
		if r.total().Sent != 0 {
			t.Error("kept for too long")
		}
	})
}

// A database of before the reports is counted from its beginning on, however long.
func TestOldLogIsCounted(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.cancel()
		<-r.ended
		for range atOnce/2 + 5 { // two events that count each
			r.send(anna, "usr_anna", "x", "")
			r.report(true, 0)
		}
		r.must(r.r.Count(context.Background()))
		if l := r.total(); l.Sent != atOnce/2+5 || l.Delivered != l.Sent {
			t.Errorf("%+v", l)
		}
		r.ended <- nil
	})
}

func TestDay(t *testing.T) {
	for d, want := range map[Day]string{20261127: "2026-11-27", 20240229: "2024-02-29"} {
		if got, err := ParseDay(d.String()); d.String() != want || got != d || err != nil {
			t.Errorf("%d: %s, %d, %v", d, d, got, err)
		}
	}
	if d := Day(20241231); d.Next() != 20250101 || d.Back(366) != 20231231 || DayOf(d.Begin()) != d || DayOf(d.Begin().Add(-1)) != 20241230 {
		t.Error(d.Next(), d.Back(366), d.Begin())
	}
}

// Of a backup and of what it replaces the larger number stays, and nothing that
// either has counted is counted again.
func TestRestoreKeepsTheLargerNumber(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.send(anna, "usr_anna", "in both", "")
		r.settle()
		r.stop()
		backup := t.TempDir()
		b, err := os.ReadFile(filepath.Join(r.dir, db.FileName))
		r.must(err)
		r.must(os.WriteFile(filepath.Join(backup, db.FileName), b, 0o600))
		r.start()
		r.send(anna, "usr_anna", "after the backup", "")
		r.settle()
		r.stop()
		replaced := r.dir
		d, err := db.Open(context.Background(), db.Options{Dir: backup, Attach: filepath.Join(replaced, db.FileName), Copied: true, SingleConn: true})
		r.must(err)
		r.must(d.Write(Restore))
		r.must(d.Close())
		r.dir = backup
		r.start()
		r.settle()
		if l := r.total(); l.Sent != 2 {
			t.Errorf("%d sent, want 2", l.Sent)
		}
	})
}

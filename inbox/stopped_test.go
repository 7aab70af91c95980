package inbox

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// STOP holds for the inbox as for the phone, and START brings it back.
func TestNothingComesAfterSTOP(t *testing.T) {
	r := newRig(t)
	b := r.signedIn(phone, "Bob")
	decide := func(d sms.Decision) {
		t.Helper()
		if err := r.q.RecordConsent(phone, d, queue.Source{Reason: queue.ReasonAdmin, By: "key_1"}); err != nil {
			t.Fatal(err)
		}
	}
	decide(sms.DecisionOptOut)
	for id, bySMS := range map[string]bool{firstID: false, secondID: true} {
		if c := r.tells("north", mirror.Inbox{ID: id, To: phone, Name: "Ann", Text: "hello", BySMS: bySMS}); c != sms.CopyOptedOut {
			t.Errorf("after STOP it is %q", c)
		}
	}
	if all := b.list(""); len(all) != 0 {
		t.Errorf("%+v came", all)
	}
	decide(sms.DecisionOptIn)
	if c := r.tells("north", mirror.Inbox{ID: thirdID, To: phone, Name: "Ann", Text: "hello"}); c != sms.CopySent {
		t.Errorf("after START it is %q", c)
	}
}

// What is written to a gateway that was deleted is refused, and does not stand there as sent.
func TestNobodyIsAnsweredWhoIsGone(t *testing.T) {
	r := newRig(t)
	b := r.signedIn(phone, "Bob")
	r.tells("north", mirror.Inbox{ID: firstID, To: phone, Name: "Ann", Text: "hello"})
	path := fmt.Sprintf("/inbox/v1/threads/%d/messages", b.list("")[0].ID)
	r.gone = "north"
	b.ask("POST", path, map[string]any{"text": "are you there?"}).want(409, "gone")
	if newest := b.list("")[0].Newest; newest.ID != firstID {
		t.Errorf("%+v stands there", newest)
	}
	r.gone = ""
	b.ask("POST", path, map[string]any{"text": "are you there?"}).want(201)
}

// A file behind a link in a text to somebody without an inbox is kept as long as texts are.
func TestLinksEndAsTextsDo(t *testing.T) {
	r := newRig(t)
	f := sms.File{ID: strings.Repeat("p", 26), Name: "cat.txt", Type: "text/plain", Size: 4}
	if err := r.Chunk("north", mirror.Chunk{File: f, Data: []byte("meow")}); err != nil {
		t.Fatal(err)
	}
	r.tells("north", mirror.Inbox{ID: firstID, To: phone, Name: "Ann", Text: "look", Files: []sms.File{f}})
	kept := func() (n int) {
		t.Helper()
		if err := r.db.Read(ctx, func(q db.Querier) error { return holds(q, func(string) { n++ }) }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, days := range []int{29, 31} {
		r.now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC).AddDate(0, 0, days)
		if err := r.prune(); err != nil {
			t.Fatal(err)
		}
		var doubtful int // those are swept
		if err := r.db.Read(ctx, func(q db.Querier) error {
			return q.QueryRow(`SELECT count(*) FROM stored_files WHERE id = ? AND doubtful = 1`, f.ID).Scan(&doubtful)
		}); err != nil {
			t.Fatal(err)
		}
		if n, over := kept(), days > 30; (n == 0) != over || (doubtful == 1) != over {
			t.Errorf("after %d days %d links hold it, and of %d is looked whether anybody does", days, n, doubtful)
		}
	}
}

package queue_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

const phone = "+491711111111"

func TestReceive(t *testing.T) {
	b := open(t, queue.Options{})
	b.receive("SM", 3, b.texts(phone, "hi there", 0)[0])
	got := b.inbound()
	if len(got) != 1 || got[0].Text != "hi there" || got[0].From != phone || got[0].To != "+491700000000" || got[0].Status != sms.Received {
		t.Fatalf("received %+v", got)
	}
	b.wantTold(got[0].ID, "received")
}

// What a phone wrote is what is handed over, parts out of order and with a
// restart in between.
func TestLongTextsOutOfOrderOverRestart(t *testing.T) {
	for name, text := range map[string]string{
		"1,000 characters": strings.Repeat("The quick brown fox jumps! ", 37) + "x",
		"emoji":            strings.Repeat("grüße 👍🏽 🎉 ", 20),
		"extension":        strings.Repeat(`€{}[]~\^|`, 40),
		"Arabic":           strings.Repeat("مرحبا بالعالم ", 15),
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, queue.Options{})
			raw := b.texts(phone, text, 200)
			if len(raw) < 2 {
				t.Fatal("not a long text")
			}
			for i := len(raw) - 1; i >= 0; i-- {
				b.receive("SM", i, raw[i])
				b.restart()
				b.receive("SM", i, raw[i]) // read again: its deletion was not booked
			}
			got := b.inbound()
			if len(got) != 1 || got[0].Text != text || got[0].PossibleDuplicate || got[0].Parts != len(raw) {
				t.Fatalf("%d messages: %+v", len(got), got)
			}
		})
	}
}

func TestSamePDU(t *testing.T) {
	b := open(t, queue.Options{})
	raw := b.texts(phone, "hi", 0)[0]
	b.receive("SM", 1, raw)
	b.receive("SM", 1, raw)
	if n := len(b.inbound()); n != 1 {
		t.Fatalf("%d messages after a slot was read twice", n)
	}
	b.receive("SM", 2, raw)
	if got := b.inbound(); len(got) != 2 || !got[1].PossibleDuplicate || got[0].PossibleDuplicate {
		t.Fatalf("the same PDU in another slot: %+v", got)
	}
	if err := b.q.Deleted("8949", "SM", 1); err != nil {
		t.Fatal(err)
	}
	b.receive("SM", 1, raw)
	if got := b.inbound(); len(got) != 3 || !got[2].PossibleDuplicate {
		t.Fatalf("the same PDU after its deletion: %+v", got)
	}
	b.receive("SM", 1, b.texts(phone, "other", 0)[0]) // the slot was used again, the deletion never confirmed
	if got := b.inbound(); len(got) != 4 || got[3].Text != "other" {
		t.Fatalf("another PDU in the slot: %+v", got)
	}
}

// What a modem handed over directly before it had told its SIM may come again
// under that SIM: the network was not told that it was taken.
func TestSamePDUBeforeTheSIMWasKnown(t *testing.T) {
	b := open(t, queue.Options{})
	raw := b.texts(phone, "hi", 0)[0]
	for _, in := range []sms.Incoming{
		{Modem: "office", ICCID: "imei:", PDU: raw}, {Modem: "office", ICCID: "8949", PDU: raw, Storage: "SM", Index: 1}, {Modem: "other", ICCID: "8950", PDU: raw},
	} {
		in.At = b.now
		if err := b.q.Receive(in); err != nil {
			t.Fatal(err)
		}
	}
	got := b.inbound()
	if len(got) != 3 || got[0].PossibleDuplicate || !got[1].PossibleDuplicate || got[2].PossibleDuplicate {
		t.Errorf("%+v", got)
	}
}

func TestReusedReference(t *testing.T) {
	b := open(t, queue.Options{})
	first, second := strings.Repeat("a", 200), strings.Repeat("b", 200)
	one, two := b.texts(phone, first, 1), b.texts(phone, second, 1)
	b.receive("SM", 1, one[0])
	b.receive("SM", 2, two[0])
	b.receive("SM", 3, two[1])
	b.receive("SM", 4, one[1])
	got := b.inbound()
	if len(got) != 2 || got[0].Text != second || got[1].Text != first {
		t.Fatalf("two texts under one reference became %+v", got)
	}
}

func TestMissingPartsAreHandedOver(t *testing.T) {
	b := open(t, queue.Options{AssemblyWait: time.Hour})
	raw := b.texts(phone, strings.Repeat("a", 400), 9)
	b.receive("SM", 1, raw[0])
	b.receive("SM", 2, raw[2])
	if err := b.q.AssembleOverdue(b.now.Add(59 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n := len(b.inbound()); n != 0 {
		t.Fatalf("%d messages before the wait was over", n)
	}
	if err := b.q.AssembleOverdue(b.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	got := b.inbound()
	if len(got) != 1 || !got[0].Incomplete || got[0].Parts != 3 || !strings.HasPrefix(got[0].Text, strings.Repeat("a", 153)) {
		t.Fatalf("handed over: %+v", got)
	}
	b.receive("SM", 5, raw[0]) // told again by the network: adds nothing
	b.receive("SM", 6, raw[2])
	if err := b.q.AssembleOverdue(b.now.Add(9 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := len(b.inbound()); n != 1 {
		t.Fatalf("%d messages after repeated parts", n)
	}
}

func TestUndecodableIsKept(t *testing.T) {
	b := open(t, queue.Options{})
	b.receive("SM", 1, []byte{0xFF, 0x00, 0x13})
	got := b.inbound()
	if len(got) != 1 || got[0].Error == nil || got[0].Error.Code != "undecodable" || got[0].Text != "" {
		t.Fatalf("kept as %+v", got)
	}
}

func TestStop(t *testing.T) {
	b := open(t, queue.Options{})
	waiting := b.submit(phone, "already accepted")
	other := b.submit("+491702222222", "somebody else")
	b.receive("SM", 1, b.texts(phone, " Stop. ", 0)[0])
	if ok, err := b.q.Advance(nil, b.startOf(waiting, 1)); ok || err != nil {
		t.Fatalf("a message to a stopped number was started: %v %v", ok, err)
	}
	if got := b.want(waiting.ID, sms.Failed); got.Error.Code != "opted-out" {
		t.Error(got.Error)
	}
	late := b.submit(phone, "after the STOP")
	if late.Status != sms.Queued {
		t.Errorf("accepted as %s", late.Status)
	}
	b.want(late.ID, sms.Failed)
	b.wantTold(late.ID, "queued", "failed")
	b.begin(other, 1)
	b.receive("SM", 2, b.texts(phone, "please do not stop", 0)[0])
	b.receive("SM", 3, b.texts(phone, "START", 0)[0])
	b.want(b.submit(phone, "again").ID, sms.Queued)
}

// A network that tells senders in their national form changes nothing: STOP
// holds, and the sender is the number that texts to it are sent to.
func TestNationalSender(t *testing.T) {
	b := open(t, queue.Options{Region: func() string { return "DE" }})
	b.receive("SM", 1, b.texts("0"+phone[3:], "STOP", 0)[0])
	b.want(b.submit(phone, "x").ID, sms.Failed)
	if got := b.inbound(); len(got) != 1 || got[0].From != phone {
		t.Errorf("received %+v", got)
	}
	for i, from := range []string{"72345", "FONIC", "+15005550006"} {
		b.receive("SM", i+2, b.texts(from, "x", 0)[0])
		if got := b.inbound()[i+1].From; got != from {
			t.Errorf("%s became %s", from, got)
		}
	}
}

func TestInboundRing(t *testing.T) {
	b := open(t, queue.Options{InboundCapacity: 2})
	ctx := context.Background()
	if _, err := b.q.Cursor("webhook"); err != nil {
		t.Fatal(err)
	}
	b.receive("SM", 1, b.texts(phone, "one", 0)[0])
	b.receive("SM", 2, b.texts(phone, "two", 0)[0])
	in := sms.Incoming{Modem: "office", ICCID: "8949", PDU: b.texts(phone, "three", 0)[0], Storage: "SM", Index: 3, At: b.now}
	if err := b.q.Receive(in); !errors.Is(err, queue.ErrInboundFull) {
		t.Fatalf("a third message into two slots: %v", err)
	}
	if n := len(b.inbound()); n != 2 {
		t.Fatalf("%d messages", n)
	}
	events, err := b.q.EventsAfter(ctx, 0, 10)
	if err != nil || len(events) != 2 {
		t.Fatal(events, err)
	}
	err = b.db.Write(func(tx *db.Tx) error { return b.q.AdvanceTx(tx, "webhook", events[0].Seq, 0) })
	if err != nil {
		t.Fatal(err)
	}
	r := b.rings().Inbound
	if r.Depth != 1 || r.LastProcessed == nil || *r.LastProcessed != 0 || *r.LastRetrieved != 1 {
		t.Fatalf("ring after the first was read: %+v", r)
	}
	if err := b.q.Receive(in); err != nil {
		t.Fatalf("with a free slot: %v", err)
	}
	if err := b.q.DropReader("webhook"); err != nil {
		t.Fatal(err)
	}
	if r := b.rings().Inbound; r.Depth != 0 {
		t.Errorf("without a reader: %+v", r)
	}
}

func TestListAndCursor(t *testing.T) {
	b := open(t, queue.Options{})
	ctx := context.Background()
	var ids []string
	for range 5 {
		ids = append(ids, b.submit("+491701234567", "x").ID)
	}
	b.receive("SM", 1, b.texts(phone, "in", 0)[0])
	var got []string
	cursor := ""
	for {
		page, next, err := b.q.List(ctx, queue.Filter{Direction: sms.Outbound, Status: []sms.Status{sms.Queued, sms.Sent}, Cursor: cursor, Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			got = append(got, m.ID)
		}
		b.submit("+491701234567", "arrives while reading")
		if cursor = next; cursor == "" {
			break
		}
	}
	if len(got) != 5 || got[0] != ids[4] || got[4] != ids[0] {
		t.Errorf("listed %v, want %v newest first", got, ids)
	}
	if _, _, err := b.q.List(ctx, queue.Filter{Cursor: "garbage"}); !errors.Is(err, queue.ErrBadCursor) {
		t.Error(err)
	}
	if page, _, _ := b.q.List(ctx, queue.Filter{From: phone}); len(page) != 1 {
		t.Errorf("%d messages from %s", len(page), phone)
	}
}

// Erased means erased: neither the database nor its write-ahead log has it.
func TestErase(t *testing.T) {
	b := open(t, queue.Options{})
	ctx := context.Background()
	const secret, number = "the secret sentence", "+491733333333"
	m := b.submit(number, secret)
	if _, err := b.q.Redact(ctx, m.ID); !errors.Is(err, queue.ErrConflict) {
		t.Fatalf("redacting a waiting message: %v", err)
	}
	b.begin(m, 1)
	if _, err := b.q.EraseNumber(ctx, number); !errors.Is(err, queue.ErrConflict) || err.Error() != "a message to this number is with a modem; try again in a few minutes" {
		t.Fatalf("erasing a number in a modem's hand: %v", err)
	}
	b.advance(&queue.Verdict{Row: m.Row, Part: 1, Fate: queue.PartConfirmed, MR: 1}, nil)
	if got, err := b.q.Redact(ctx, m.ID); err != nil || got.Text != "" || !got.Redacted {
		t.Fatal(got, err)
	}
	if events, err := b.q.EventsAfter(ctx, 0, 10); err != nil || strings.Contains(string(events[0].Data), secret) {
		t.Errorf("events still tell the text (%v)", err)
	}
	b.receive("SM", 1, b.texts(number, "an answer", 0)[0])
	if n, err := b.q.EraseNumber(ctx, number); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	if page, _, _ := b.q.List(ctx, queue.Filter{}); len(page) != 0 {
		t.Errorf("%d messages left", len(page))
	}
	if events, err := b.q.EventsAfter(ctx, 0, 10); err != nil || len(events) != 0 {
		t.Errorf("%d events left (%v)", len(events), err)
	}
	if d := b.rings(); d.Outbound.Depth != 0 || d.Inbound.Depth != 0 {
		t.Errorf("slots left: %+v", d)
	}
	for _, name := range []string{b.db.Path(), b.db.Path() + "-wal"} {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, gone := range []string{secret, number, number[1:], "an answer"} {
			if strings.Contains(string(file), gone) {
				t.Errorf("%s still holds %q", name, gone)
			}
		}
	}
	b.submit("+491701234567", "next")
	if e, err := b.q.EventsAfter(ctx, 0, 10); err != nil || len(e) != 1 || e[0].Seq < 5 {
		t.Errorf("the sequence of erased events is used again: %+v (%v)", e, err)
	}
	if err := b.db.Close(); err != nil { // the last connection's close folds the log in
		t.Fatal(err)
	}
	file, err := os.ReadFile(b.db.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{secret, number, number[1:], "an answer"} {
		if strings.Contains(string(file), gone) {
			t.Errorf("the file still holds %q", gone)
		}
	}
	b.start()
}

// What belongs to no message of the number goes too: parts, repeated parts, and
// reports that matched nothing.
func TestEraseLeavesNothing(t *testing.T) {
	b := open(t, queue.Options{})
	const number = "+491733333333"
	raw := b.texts(number, strings.Repeat("a", 400), 9)
	b.receive("SM", 1, raw[0])
	b.receive("SM", 2, raw[0]) // told again by the network
	b.receive("SM", 3, raw[1])
	b.report(5, number, 0)
	b.report(6, "0"+number[3:], 0) // in its national form
	stays := b.texts("+491734444444", strings.Repeat("b", 200), 9)
	b.receive("SM", 4, stays[0])
	if _, err := b.q.EraseNumber(context.Background(), number); err != nil {
		t.Fatal(err)
	}
	err := b.db.Read(context.Background(), func(r db.Querier) error {
		for query, want := range map[string]int{`SELECT count(*) FROM received_pdus`: 1, `SELECT count(*) FROM early_reports`: 0} {
			var n int
			if err := r.QueryRow(query).Scan(&n); err != nil || n != want {
				t.Errorf("%s: %d, want %d (%v)", query, n, want, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.receive("SM", 5, stays[1])
	if n := len(b.inbound()); n != 1 {
		t.Errorf("another number's text is gone too")
	}
}

// Erasing much leaves the modems room to book.
func TestEraseInSlices(t *testing.T) {
	b := open(t, queue.Options{})
	const number, all = "+491733333333", 2000
	drafts := make([]queue.Draft, all)
	for i := range drafts {
		drafts[i].Message = sms.Message{To: number, Text: "x"}
	}
	if _, _, err := b.q.Submit(context.Background(), drafts, nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan int)
	go func() {
		n, err := b.q.EraseNumber(context.Background(), number)
		if err != nil {
			t.Error(err)
		}
		done <- n
	}()
	between := 0
	for {
		select {
		case n := <-done:
			if n != all || between < 3 {
				t.Errorf("%d erased, with %d commits in between", n, between)
			}
			if d := b.rings().Outbound.Depth; d != 0 {
				t.Errorf("depth %d", d)
			}
			return
		default:
		}
		err := b.db.WriteUrgent(func(tx *db.Tx) error {
			var n int
			err := tx.QueryRow(`SELECT count(*) FROM messages`).Scan(&n)
			if n > 0 && n < all {
				between++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPrune(t *testing.T) {
	b := open(t, queue.Options{})
	ctx := context.Background()
	old := b.submit("+491701234567", "old", func(d *queue.Draft) { d.DeliveryReport = false })
	waiting := b.submit("+491701234567", "old but waiting", func(d *queue.Draft) { d.SendAt = b.now.Add(365 * 24 * time.Hour) })
	b.begin(old, 1)
	b.advance(&queue.Verdict{Row: old.Row, Part: 1, Fate: queue.PartConfirmed, MR: 1}, nil)
	b.now = b.now.Add(10 * 24 * time.Hour)
	fresh := b.submit("+491701234567", "fresh")
	day := 24 * time.Hour
	if err := b.q.Prune(ctx, b.now, queue.Retention{Texts: 5 * day, Messages: 30 * day}); err != nil {
		t.Fatal(err)
	}
	if m := b.message(old.ID); !m.Redacted || m.Text != "" {
		t.Errorf("an old text was kept: %+v", m)
	}
	if m := b.message(fresh.ID); m.Redacted {
		t.Error("a fresh text was erased")
	}
	if err := b.q.Prune(ctx, b.now, queue.Retention{Messages: 5 * day, Events: 5 * day}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.q.Message(ctx, old.ID); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("an old message was kept: %v", err)
	}
	if m := b.message(waiting.ID); m.Redacted {
		t.Error("a scheduled message lost its text")
	}
	if oldest, newest, err := b.q.Span(ctx); err != nil || oldest != newest || newest == 0 {
		t.Errorf("log from %d to %d (%v), want the newest event alone", oldest, newest, err)
	}
}

// Readers that hold the log keep it from being pruned.
func TestPruneWaitsForReaders(t *testing.T) {
	b := open(t, queue.Options{})
	ctx := context.Background()
	if _, err := b.q.Cursor("webhook"); err != nil {
		t.Fatal(err)
	}
	b.submit("+491701234567", "a")
	b.submit("+491701234567", "b")
	b.now = b.now.Add(time.Hour)
	if err := b.q.Prune(ctx, b.now, queue.Retention{Events: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if e, _ := b.q.EventsAfter(ctx, 0, 10); len(e) != 2 {
		t.Fatalf("%d events left, want both", len(e))
	}
}

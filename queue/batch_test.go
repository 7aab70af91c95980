package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

const secretOfBatches = "the secret of the batch"

// batchOf is n messages to one number.
func batchOf(n int) []queue.Draft {
	all := make([]queue.Draft, n)
	for i := range all {
		all[i] = queue.Draft{KeyID: "k", Message: sms.Message{To: "+491701234567", Text: fmt.Sprintf("%s, %d", secretOfBatches, i), DeliveryReport: true}}
	}
	return all
}

func idsOf(all []sms.Message) (ids []string) {
	for _, m := range all {
		ids = append(ids, m.ID)
	}
	return ids
}

func (b *box) exec(query string) {
	b.t.Helper()
	if err := b.db.Write(func(tx *db.Tx) error { _, err := tx.Exec(query); return err }); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) number(query string) (n int64) {
	b.t.Helper()
	if err := b.db.Read(context.Background(), func(r db.Querier) error { return r.QueryRow(query).Scan(&n) }); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// failFrom has the disk fail at the message after the next n. It lasts until
// works, or a restart.
func (b *box) failFrom(n int) {
	b.t.Helper()
	b.exec(fmt.Sprintf(`CREATE TEMP TRIGGER failing BEFORE INSERT ON main.messages WHEN (SELECT count(*) FROM messages) >= %d
		BEGIN SELECT RAISE(ABORT, 'the disk fails'); END`, b.number(`SELECT count(*) FROM messages`)+int64(n)))
}

func (b *box) works() { b.exec(`DROP TRIGGER failing`) }

// cutOff submits a batch of which only some messages are written out.
func (b *box) cutOff(drafts []queue.Draft, written int, once *queue.Idempotency) []sms.Message {
	b.t.Helper()
	b.failFrom(written)
	before := b.number(`SELECT count(*) FROM messages`)
	accepted, replayed, err := b.q.Submit(context.Background(), drafts, once)
	if err != nil || replayed || len(accepted) != len(drafts) {
		b.t.Fatalf("%d messages are accepted (%v)", len(accepted), err)
	}
	if n := b.number(`SELECT count(*) FROM messages`) - before; n != int64(written) {
		b.t.Fatalf("%d are written out, want %d", n, written)
	}
	return accepted
}

// A batch is accepted as a whole, and all of it is there whenever the gateway ends.
func TestBatchThatWasCutOff(t *testing.T) {
	const all, slice = 18, 4
	for written := 0; written < all; written += slice {
		t.Run(fmt.Sprint(written), func(t *testing.T) {
			b := open(t, queue.Options{BatchSlice: slice})
			once := &queue.Idempotency{KeyID: "k", Key: "order", Body: []byte("x")}
			drafts := batchOf(all)
			drafts[17].SendAt = b.now.Add(time.Minute)
			accepted := b.cutOff(drafts, written, once)
			b.holds("cutting it off")
			replays := func(when string) {
				t.Helper()
				for name, again := range map[string]func() ([]sms.Message, bool, error){
					"submit": func() ([]sms.Message, bool, error) { return b.q.Submit(context.Background(), drafts, once) },
					"replay": func() ([]sms.Message, bool, error) { return b.q.Replay(context.Background(), once) },
				} {
					if same, replayed, err := again(); err != nil || !replayed || !reflect.DeepEqual(same, accepted) {
						t.Errorf("%s %s: %v %v", name, when, replayed, err)
					}
				}
			}
			replays("before the restart")
			after := b.now
			b.now = b.now.Add(time.Hour)
			b.restart()
			b.holds("restart")
			replays("after the restart")
			page, _, err := b.q.List(context.Background(), queue.Filter{Limit: 500})
			if err != nil {
				t.Fatal(err)
			}
			slices.Reverse(page)
			if !slices.Equal(idsOf(page), idsOf(accepted)) {
				t.Errorf("%d messages are there", len(page))
			}
			for i, m := range page {
				if m.Text != drafts[i].Text || !m.CreatedAt.Equal(after) {
					t.Errorf("message %d was accepted at %v and says %q", i, m.CreatedAt, m.Text)
				}
			}
			b.want(accepted[17].ID, sms.Scheduled) // until somebody looks what is due
			waiting, err := b.takeIn()
			if err != nil || len(waiting) != all-1 {
				t.Errorf("%d messages wait (%v)", len(waiting), err)
			}
			for i, w := range waiting {
				if w.Row != accepted[i].Row {
					t.Errorf("message %d stands at place %d", w.Row, i)
				}
			}
			// And its rows are nobody else's.
			if m := b.submit("+491701234567", "new"); m.Row != accepted[17].Row+1 {
				t.Errorf("row %d comes after %d", m.Row, accepted[17].Row)
			}
			if n := b.number(`SELECT count(*) FROM batch_slices`); n != 0 {
				t.Errorf("%d slices are left", n)
			}
		})
	}
}

// A disk that fails for a while delays a batch. Its caller has been told that it
// is accepted, which it is.
func TestBatchGoesOnAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &box{t: t, dir: t.TempDir(), o: queue.Options{BatchSlice: 4}}
		b.startSingle()
		accepted := b.cutOff(batchOf(18), 8, nil)
		time.Sleep(10 * time.Second)
		if n := b.number(`SELECT count(*) FROM messages`); n != 8 {
			t.Errorf("%d are written out while the disk fails", n)
		}
		b.works()
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		for _, m := range accepted {
			b.want(m.ID, sms.Queued)
		}
		// One that is left over when the queue ends leaves nobody behind: else
		// this bubble would not end.
		b.cutOff(batchOf(18), 8, nil)
		if err := b.db.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// resumed opens a queue that nobody else joins.
func resumed(ctx context.Context, d *db.DB, o queue.Options) (*queue.Queue, error) {
	q, err := queue.Open(ctx, d, o)
	if err == nil {
		err = q.Resume()
	}
	return q, err
}

// startSingle opens the box in virtual time.
func (b *box) startSingle() {
	b.t.Helper()
	var err error
	if b.db, err = db.Open(context.Background(), db.Options{Dir: b.dir, SingleConn: true}); err != nil {
		b.t.Fatal(err)
	}
	if b.q, err = resumed(context.Background(), b.db, b.o); err != nil {
		b.t.Fatal(err)
	}
}

// What a modem waits for waits for one slice of a batch, never for two.
func TestUrgentGoesBetweenSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all, slice = 30, 3
		b := &box{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), o: queue.Options{BatchSlice: slice}}
		var seen []int
		asked := 0
		submitting := false
		// Now is asked once a slice, on the writer's goroutine: another wants
		// to write then, and is found waiting.
		b.o.Now = func() time.Time {
			if submitting {
				n := asked
				asked++
				go func() {
					_ = b.db.WriteUrgent(func(tx *db.Tx) error {
						var there int
						err := tx.QueryRow(`SELECT count(*) FROM messages`).Scan(&there)
						seen = append(seen, there-n*slice)
						return err
					})
				}()
				synctest.Wait()
			}
			return b.now
		}
		b.startSingle()
		submitting = true
		if _, _, err := b.q.Submit(context.Background(), batchOf(all), nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(seen) != 1+all/slice {
			t.Errorf("%d commits for a batch of %d", len(seen), all)
		}
		for i, n := range seen {
			if n != 0 {
				t.Errorf("who waited for commit %d found %d more messages", i, n)
			}
		}
		if err := b.db.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// What is promised to a batch is nobody else's, and a batch that does not fit
// leaves nothing behind.
func TestBatchKeepsItsSlots(t *testing.T) {
	b := open(t, queue.Options{OutboundCapacity: 12, BatchSlice: 2})
	full := func(n int) {
		t.Helper()
		before := b.number(`SELECT count(*) + (SELECT count(*) FROM batch_slices) + (SELECT count(*) FROM idempotency) FROM messages`)
		_, _, err := b.q.Submit(context.Background(), batchOf(n), &queue.Idempotency{KeyID: "k", Key: fmt.Sprint(b.now, n), Body: []byte("x")})
		if !errors.Is(err, queue.ErrFull) {
			t.Errorf("%d messages more: %v", n, err)
		}
		if after := b.number(`SELECT count(*) + (SELECT count(*) FROM batch_slices) + (SELECT count(*) FROM idempotency) FROM messages`); before != after {
			t.Errorf("a refused batch of %d left something", n)
		}
	}
	full(13)
	first := b.cutOff(batchOf(8), 4, nil)
	full(5)
	if p := b.q.Promised(); p != 8*4<<10 {
		t.Errorf("%d bytes are promised", p)
	}
	// One of its messages goes out: its slot waits for a report, and may be taken.
	b.begin(first[0], 1)
	b.advance(&queue.Verdict{Row: first[0].Row, Part: 1, Fate: queue.PartConfirmed, MR: 3}, nil)
	// The rest of the batch still fails, and nothing else.
	b.exec(fmt.Sprintf(`CREATE TEMP TRIGGER still BEFORE INSERT ON main.messages WHEN NEW.row BETWEEN %d AND %d
		BEGIN SELECT RAISE(ABORT, 'the disk fails'); END`, first[4].Row, first[7].Row))
	b.works()
	for range 5 {
		b.submit("+491701234567", "x")
	}
	full(1)
	full(3)
	if out, _, err := b.q.Full(context.Background(), false, false); !out || err != nil {
		t.Errorf("it is not full (%v)", err)
	}
	b.restart()
	for _, m := range first[1:] {
		b.want(m.ID, sms.Queued)
	}
	if n := b.number(`SELECT max(address) FROM outbound_ring`); n > 11 {
		t.Errorf("slot %d of 12 is taken", n)
	}
	b.holds("restart")
	full(1)
}

// A ring that was made smaller meanwhile loses nothing of a batch.
func TestBatchAndASmallerRing(t *testing.T) {
	b := open(t, queue.Options{OutboundCapacity: 100, BatchSlice: 2})
	accepted := b.cutOff(batchOf(80), 0, nil)
	b.o.OutboundCapacity = 3
	b.restart()
	for _, m := range accepted {
		b.want(m.ID, sms.Queued)
	}
	b.holds("restart")
	b.restart()
	b.holds("another restart")
}

// A message of a large batch is like any other.
func TestBatchIsLikeSingleMessages(t *testing.T) {
	dump := func(slice int) (all []string) {
		b := open(t, queue.Options{BatchSlice: slice})
		b.receive("", -1, b.texts("+491700000003", "STOP", 0)[0])
		b.submit("+491700000001", "known", func(d *queue.Draft) { d.ClientID, d.KeyID = "known", "k" })
		var drafts []queue.Draft
		for _, m := range []sms.Message{
			{To: "+491700000001", Text: "ÄÖÜ <&> €日本", Priority: 7, DeliveryReport: true, CallbackURL: "https://shop.example/x", Metadata: map[string]string{"order": "7"}},
			{To: "+491700000001", Data: []byte{1, 2, 0, 255}, Port: 2948, OnUnconfirmed: sms.Fail},
			{To: "+491700000001", Data: []byte{}},
			{To: "+491700000001", Data: []byte{1}, UDH: []byte{3, 0x70, 1, 0}, ExpectedAt: b.now.Add(time.Minute), ExpectedModem: "a \"b\"", Warnings: []sms.Warning{sms.WarnLate, sms.WarnNoModem}},
			{To: "+491700000001", Text: "!", Flash: true, From: "office", Metadata: map[string]string{}},
			{To: "+491700000002", Text: strings.Repeat("long ", 100), SendAt: b.now.Add(time.Hour), ExpiresAt: b.now.Add(2 * time.Hour)},
			{To: "+491700000002", Text: "it is time", SendAt: b.now},
			{To: "+491700000003", Text: "to one who said STOP"},
			{To: "+491700000001", Text: "known", ClientID: "known"},
			{To: "+491700000001", Text: "new", ClientID: "new"},
			{To: "+491700000001", Text: "new", ClientID: "new"},
		} {
			drafts = append(drafts, queue.Draft{Message: m, Pin: m.From, KeyID: "k"})
		}
		once := &queue.Idempotency{KeyID: "k", Key: "1", Body: []byte("x")}
		accepted, _, err := b.q.Submit(context.Background(), drafts, once)
		if err != nil {
			t.Fatal(err)
		}
		again, replayed, err := b.q.Submit(context.Background(), drafts, once)
		if err != nil || !replayed || !slices.Equal(idsOf(again), idsOf(accepted)) {
			t.Errorf("%v %v", replayed, err)
		}
		for _, list := range [][]sms.Message{accepted, again} {
			for _, m := range list {
				m.ID = ""
				all = append(all, fmt.Sprintf("%#v", m))
			}
		}
		err = b.db.Read(context.Background(), func(r db.Querier) error {
			for _, table := range []string{"messages", "events", "outbound_ring", "batch_slices", "idempotency"} {
				rows, err := r.Query(`SELECT * FROM ` + table)
				if err != nil {
					return err
				}
				defer rows.Close()
				columns, err := rows.Columns()
				if err != nil {
					return err
				}
				for rows.Next() {
					row := make([]any, len(columns))
					for i := range row {
						row[i] = &row[i]
					}
					if err := rows.Scan(row...); err != nil {
						return err
					}
					if i := slices.Index(columns, "id"); i >= 0 {
						row[i] = ""
					}
					all = append(all, table+anyID.ReplaceAllString(fmt.Sprintf(" %q", row), "msg_"))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	one, many := dump(100), dump(2)
	if len(one) != len(many) {
		t.Fatalf("%d rows and %d", len(one), len(many))
	}
	for i := range one {
		if one[i] != many[i] {
			t.Errorf("at once %s\nin slices %s", one[i], many[i])
		}
	}
}

// anyID is a message's id within what an event tells.
var anyID = regexp.MustCompile(`msg_[0-9A-Z]{26}`)

// A client_id of a message that is not written out yet is used up all the same.
func TestClientIDInABatch(t *testing.T) {
	b := open(t, queue.Options{BatchSlice: 2})
	drafts := batchOf(6)
	for i := range drafts {
		drafts[i].ClientID = fmt.Sprint("mine-", i)
	}
	accepted := b.cutOff(drafts, 2, nil)
	for i := range drafts {
		again, _, err := b.q.Submit(context.Background(), drafts[i:i+1], nil)
		if err != nil || again[0].ID != accepted[i].ID {
			t.Errorf("message %d again: %v", i, err)
		}
	}
	if again, _, err := b.q.Submit(context.Background(), drafts, nil); err != nil || !slices.Equal(idsOf(again), idsOf(accepted)) {
		t.Errorf("all again: %v", err)
	}
	other := drafts[5]
	other.Text = "another"
	if _, _, err := b.q.Submit(context.Background(), []queue.Draft{other}, nil); !errors.Is(err, queue.ErrKeyReused) {
		t.Errorf("with another text: %v", err)
	}
	// A batch that is refused has used none.
	drafts = batchOf(6)
	for i := range drafts {
		drafts[i].ClientID = fmt.Sprint("next-", i)
	}
	refused := append(slices.Clone(drafts), other)
	if _, _, err := b.q.Submit(context.Background(), refused, nil); !errors.Is(err, queue.ErrKeyReused) {
		t.Errorf("one of them with another text: %v", err)
	}
	next, _, err := b.q.Submit(context.Background(), drafts, nil)
	b.restart()
	if err != nil || len(next) != 6 || b.number(`SELECT count(*) FROM messages`) != 12 {
		t.Errorf("%d messages are there (%v)", b.number(`SELECT count(*) FROM messages`), err)
	}
	for _, m := range append(accepted, next...) {
		b.want(m.ID, sms.Queued)
	}
}

// Erasing a number erases it from what is not written out yet.
func TestEraseWhileABatchIsWrittenOut(t *testing.T) {
	b := open(t, queue.Options{BatchSlice: 2})
	b.cutOff(batchOf(9), 4, &queue.Idempotency{KeyID: "k", Key: "1", Body: []byte("x")})
	if _, err := b.q.EraseNumber(context.Background(), "+491701234567"); err == nil {
		t.Error("it says that it is erased, and the disk fails")
	}
	b.works()
	if n, err := b.q.EraseNumber(context.Background(), "+491701234567"); n != 9 || err != nil {
		t.Fatalf("%d were erased (%v)", n, err)
	}
	for _, name := range []string{b.db.Path(), b.db.Path() + "-wal"} {
		if file, err := os.ReadFile(name); err != nil || bytes.Contains(file, []byte(secretOfBatches)) {
			t.Errorf("%s has it still (%v)", name, err)
		}
	}
	b.restart()
	if n := b.number(`SELECT count(*) FROM messages`); n != 0 {
		t.Errorf("%d messages came back", n)
	}
}

// Of a batch that was being written out when the backup was made, all is held.
func TestRestoredBatchIsHeld(t *testing.T) {
	b := open(t, queue.Options{BatchSlice: 2})
	empty := b.copyOf()
	accepted := b.cutOff(batchOf(9), 4, nil)
	c := b.copyOf()
	if took := empty.restore(b, ""); took.Missing != 9 || took.Held != 0 {
		t.Errorf("before the batch: %+v", took)
	}
	if took := c.restore(b, ""); took.Held != 9 || took.Missing != 0 {
		t.Errorf("%+v", took)
	}
	c.holds("restore")
	for _, m := range accepted {
		if m := c.want(m.ID, sms.Queued); !m.Held {
			t.Errorf("message %d is not held", m.Row)
		}
	}
	if w, err := c.takeIn(); len(w) != 0 || err != nil {
		t.Errorf("%d wait (%v)", len(w), err)
	}
	c.decide(queue.Release)
	if w, err := c.takeIn(); len(w) != 9 || err != nil {
		t.Errorf("%d wait (%v)", len(w), err)
	}
}

// Who is answered again finds what the answer tells of.
func TestAnsweredAgainIsThere(t *testing.T) {
	for name, again := range map[string]func(*box, []queue.Draft, *queue.Idempotency) ([]sms.Message, bool, error){
		"replay": func(b *box, _ []queue.Draft, once *queue.Idempotency) ([]sms.Message, bool, error) {
			return b.q.Replay(context.Background(), once)
		},
		"key": func(b *box, drafts []queue.Draft, once *queue.Idempotency) ([]sms.Message, bool, error) {
			return b.q.Submit(context.Background(), drafts, once)
		},
		"client_id": func(b *box, drafts []queue.Draft, _ *queue.Idempotency) ([]sms.Message, bool, error) {
			return b.q.Submit(context.Background(), drafts[8:], nil)
		},
	} {
		b := open(t, queue.Options{BatchSlice: 2})
		drafts, once := batchOf(9), &queue.Idempotency{KeyID: "k", Key: "1", Body: []byte("x")}
		drafts[8].ClientID = "last"
		accepted := b.cutOff(drafts, 4, once)
		b.works()
		if same, _, err := again(b, drafts, once); err != nil || same[len(same)-1].ID != accepted[8].ID {
			t.Fatalf("%s: %v", name, err)
		}
		for _, m := range accepted {
			b.want(m.ID, sms.Queued)
		}
	}
}

package webhook

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

func TestErasedMessageIsNotTold(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.always(500)
		r.submitMany(alice, 0, 3)
		r.submitMany(bob, 0, 1)
		settleDown(time.Second)
		if _, err := r.q.EraseNumber(context.Background(), alice); err != nil {
			t.Fatal(err)
		}
		r.forget()
		r.always(200)
		settleDown(time.Minute)
		for _, a := range r.got(nil) {
			if a.number != bob {
				t.Errorf("told after it was erased: %+v", a)
			}
		}
		dropped := r.list(sms.DeliveryFilter{Status: sms.DeliveryDropped})
		if len(dropped) != 3 || *dropped[0].Error != wordsErased {
			t.Errorf("dropped: %+v", dropped)
		}
		if _, err := r.w.Retry(context.Background(), dropped[0].ID); !errors.Is(err, queue.ErrConflict) {
			t.Errorf("retry: %v", err)
		}
	})
}

func TestRedactedTextIsNotTold(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.always(500)
		m := r.submit(alice, "secret words")
		if _, err := r.q.Cancel(context.Background(), m.ID); err != nil {
			t.Fatal(err)
		}
		settleDown(time.Second)
		if n := r.count(`SELECT count(*) FROM webhook_deliveries WHERE answer IS NOT NULL`); n == 0 {
			t.Fatal("no receiver answered anything")
		}
		if _, err := r.q.Redact(context.Background(), m.ID); err != nil {
			t.Fatal(err)
		}
		if n := r.count(`SELECT count(*) FROM webhook_deliveries WHERE answer IS NOT NULL`); n != 0 {
			t.Errorf("%d answers outlived the text", n)
		}
		r.forget()
		r.always(200)
		settleDown(time.Minute)
		wantTexts(t, r.got(nil), "", "")
	})
}

func TestMatchNarrowsReceivedMessages(t *testing.T) {
	fire := testEndpoint("fire")
	fire.Match = Match{Keyword: "fire", FromPrefix: "+4917"}
	inBubble(t, []Endpoint{fire, testEndpoint("all")}, func(r *rig) {
		r.receive(alice, "Fire! now")
		r.receive(bob, "I see fire")
		r.receive("+15005550006", "fire")
		r.submit(carol, "not received")
		synctest.Wait()
		got := map[string]int{}
		for _, a := range r.got(func(a arrival) bool { return a.host == "fire.example" }) {
			got[a.text]++
		}
		if len(got) != 2 || got["Fire! now"] != 1 || got["not received"] != 1 {
			t.Errorf("arrived: %v", got)
		}
		if n := len(r.got(func(a arrival) bool { return a.host == "all.example" })); n != 4 {
			t.Errorf("%d at the endpoint without match", n)
		}
	})
}

func TestPendingEventsAreNotPruned(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		prune := func() (oldest int64) {
			t.Helper()
			if err := r.q.Prune(context.Background(), time.Now(), queue.Retention{Events: time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			oldest, _, err := r.q.Span(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return oldest
		}
		r.submitMany(bob, 0, 5)
		settleDown(2 * tidyEvery)
		r.always(500)
		r.submitMany(alice, 0, 1)
		synctest.Wait()
		first := r.list(sms.DeliveryFilter{Status: sms.DeliveryPending})
		if len(first) != 1 {
			t.Fatalf("pending: %+v", first)
		}
		r.submitMany(bob, 5, 10)
		settleDown(2 * tidyEvery)
		if oldest := prune(); oldest != first[0].Event {
			t.Errorf("the oldest event is %d, want %d, which is pending", oldest, first[0].Event)
		}
		r.always(200)
		settleDown(time.Hour)
		if oldest := prune(); oldest != 0 && oldest <= first[0].Event {
			t.Errorf("event %d is still held", oldest)
		}
	})
}

func TestInboundSlotsAreFreedWithoutAnyoneWantingTheEvents(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app", "message.sent")}, func(r *rig) {
		r.receive(alice, "hello")
		synctest.Wait()
		if in := r.q.Stats().Inbound; in.Depth != 0 {
			t.Errorf("inbound ring: %+v", in)
		}
		// Other events move the cursor after a while, without a commit each.
		r.submit(alice, "x")
		_, newest, err := r.q.Span(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		settleDown(lazyAdvance)
		at, err := r.q.Readers(context.Background())
		if err != nil || at[reader] != newest {
			t.Errorf("cursor %d of %d, %v", at[reader], newest, err)
		}
	})
}

func TestWithoutEndpointsTheLogIsNotHeld(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.always(500)
		r.submitMany(alice, 0, 1)
		settleDown(time.Second)
		endpoints := r.endpoints
		r.endpoints = nil
		r.restart()
		r.submitMany(alice, 1, 2)
		settleDown(time.Hour)
		if at, err := r.q.Readers(context.Background()); err != nil || len(at) != 0 {
			t.Errorf("readers: %v, %v", at, err)
		}
		if d := r.list(sms.DeliveryFilter{Status: sms.DeliveryPending}); len(d) != 1 {
			t.Errorf("pending: %+v", d)
		}
		// It comes back within a week: what waited goes on, what came between is not told.
		r.endpoints = endpoints
		r.always(200)
		r.restart()
		r.submitMany(alice, 2, 3)
		settleDown(time.Minute)
		got := r.got(func(a arrival) bool { return a.status == 200 })
		wantTexts(t, got, "0", "2")
	})
}

func TestTableIsPruned(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app"), testEndpoint("other")}, func(r *rig) {
		r.submitMany(alice, 0, 300)
		settleDown(6 * 24 * time.Hour)
		if n := len(r.list(sms.DeliveryFilter{Limit: 500})); n != 500 {
			t.Errorf("%d deliveries are listed after six days", n)
		}
		r.setAnswer(func(_ *http.Request, a arrival) (int, http.Header) { return 500, nil })
		r.submitMany(bob, 0, 1)
		settleDown(time.Second)
		r.endpoints = r.endpoints[:1] // the other leaves the configuration
		r.restart()
		settleDown(26 * time.Hour)
		all := r.list(sms.DeliveryFilter{})
		if len(all) != 2 {
			t.Errorf("after a week: %+v", all)
		}
		settleDown(6 * 24 * time.Hour)
		all = r.list(sms.DeliveryFilter{})
		if len(all) != 1 || all[0].Endpoint != "app" || all[0].Status != sms.DeliveryFailed {
			t.Errorf("a week after the endpoint left: %+v", all)
		}
		if n := r.count(`SELECT count(*) FROM webhook_endpoints`); n != 1 {
			t.Errorf("%d endpoints are kept", n)
		}
	})
}

func TestClockThatJumps(t *testing.T) {
	var offset atomic.Int64
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.stop()
		r.now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())).Round(0) }
		r.start()
		r.always(500)
		r.submitMany(alice, 0, 2)
		settleDown(time.Minute)
		tries := len(r.got(nil))
		// A Pi hears the time: years pass in a moment, and the event has its
		// three days all the same.
		offset.Store(int64(10 * 365 * 24 * time.Hour))
		settleDown(time.Hour)
		if n := len(r.got(nil)); n > tries+6 {
			t.Errorf("%d attempts in the hour after the jump", n-tries)
		}
		if n := len(r.list(sms.DeliveryFilter{Status: sms.DeliveryPending})); n != 2 {
			t.Fatalf("%d pending after the clock was set forward", n)
		}
		// It is set back: nothing waits for years.
		offset.Store(0)
		settleDown(maxDelay)
		r.always(200)
		settleDown(maxDelay + maxDelay/4) // and its jitter
		r.wantInOrder("app.example", alice, 2)
	})
}

func TestMemoryStaysFlatWithALongBacklog(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.always(500)
		m := r.submit(alice, "0")
		synctest.Wait()
		r.stop()
		var err error
		if r.db, err = db.Open(context.Background(), db.Options{Dir: r.dir, SingleConn: true}); err != nil {
			t.Fatal(err)
		}
		// Of a hundred thousand most wait in one lane, ten thousand each in its own.
		if err := r.db.Write(func(tx *db.Tx) error {
			_, err := tx.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
				INSERT INTO webhook_deliveries (id, endpoint, seq, type, message, lane, head, state, next_at, created_at)
				SELECT 'dlv_' || i, d.endpoint, d.seq, d.type, ?, CASE WHEN i % 10 THEN d.lane ELSE i END, i % 10 = 0, 'pending', 0, 0
				FROM n, webhook_deliveries d WHERE d.id LIKE 'dlv_0%'`, m.ID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := r.db.Close(); err != nil {
			t.Fatal(err)
		}
		r.setAnswer(func(req *http.Request, _ arrival) (int, http.Header) {
			<-req.Context().Done()
			return 0, nil
		})
		r.start()
		if n := r.count(`SELECT count(*) FROM webhook_deliveries WHERE head = 1`); n != 10001 {
			t.Fatalf("%d lanes wait", n)
		}
		settleDown(3 * attemptTimeout)
		r.cancel()
		<-r.ended
		r.ended <- nil
		if e := r.w.list()[0]; cap(e.ready) > 500 {
			t.Errorf("%d of the backlog are in memory", cap(e.ready))
		}
	})
}

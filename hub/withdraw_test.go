package hub

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// take hands the gateway the first of its stream, and no more.
func (s *stand) take(n int) {
	s.t.Helper()
	if s.r.o.Pull == PullRequest {
		s.takeByRequest(n)
		return
	}
	js, err := jetstream.New(s.nc)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := js.Consumer(s.t.Context(), mirror.Out(s.name), mirror.Consumer(s.name))
	if err != nil {
		s.t.Fatal(err)
	}
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(2*time.Second))
	if err != nil {
		s.t.Fatal(err)
	}
	for m := range batch.Messages() {
		s.store(m.Data())
		if err := m.DoubleAck(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// takeByRequest asks for one after the other until it has as many, or none comes.
func (s *stand) takeByRequest(n int) {
	s.t.Helper()
	var have []uint64
	for end := false; !end; {
		asked := mirror.PullRequest{Have: have, Free: n, Wait: 2}
		if end = n == 0; end {
			asked.Wait = 0
		}
		var answer mirror.PullAnswer
		eventually(s.t, "it is answered", func() bool {
			var err error
			answer, err = s.ask(s.t.Context(), asked)
			return err == nil
		})
		have = nil
		for _, p := range answer.Items {
			s.store(p.Item)
			have = append(have, p.Seq)
		}
		if n -= len(answer.Items); len(answer.Items) == 0 {
			n = 0
		}
	}
}

func TestCancel(t *testing.T) {
	r := newRig(t, nil)
	waits := r.submit(1, queue.Draft{Gateway: "nowhere"})[0]
	if m, err := r.Cancel(t.Context(), waits); err != nil || m.Status != sms.Canceled {
		t.Fatalf("one that waits at the hub: %+v, %v", m, err)
	}
	north := r.gateway("north", "")
	north.hello(0)
	ids := r.submit(4, queue.Draft{})
	eventually(t, "they are in the link", func() bool { return r.inLink("north", ids...) })
	north.take(2)

	if m, err := r.Cancel(t.Context(), ids[3]); err != nil || m.Status != sms.Canceled {
		t.Fatalf("one in the link: %+v, %v", m, err)
	}
	if got := r.inStream("north"); !slices.Equal(got, ids[2:3]) {
		t.Fatalf("in the stream are %v", got)
	}
	north.tell(sms.Queued, ids[0], ids[1])
	if m, err := r.Cancel(t.Context(), ids[0]); err != nil || m.Status != sms.Canceled {
		t.Fatalf("one at the gateway: %+v, %v", m, err)
	}
	north.tell(sms.Sending, ids[1])
	if _, err := r.Cancel(t.Context(), ids[1]); !errors.Is(err, queue.ErrConflict) || !strings.Contains(err.Error(), "was handed to a modem") {
		t.Fatalf("one that a modem has: %v", err)
	}
	north.tell(sms.Sent, ids[1])
	if _, err := r.Cancel(t.Context(), ids[1]); !errors.Is(err, queue.ErrConflict) {
		t.Fatalf("one that was sent: %v", err)
	}
	north.take(1)
	north.hello(time.Hour)
	if _, err := r.Cancel(t.Context(), ids[2]); !errors.Is(err, queue.ErrConflict) || !strings.Contains(err.Error(), "is not connected") {
		t.Fatalf("one at a gateway that is away: %v", err)
	}
	if _, err := r.Cancel(t.Context(), "msg_none"); !errors.Is(err, queue.ErrNotFound) {
		t.Fatal(err)
	}
}

// A message that is handed out while it is deleted is put back: nobody knows whether it
// got there.
func TestHandedOutMeanwhile(t *testing.T) {
	r := newRig(t, nil)
	north := r.gateway("north", "")
	north.hello(0)
	id := r.submit(1, queue.Draft{})[0]
	eventually(t, "it is in the link", func() bool { return r.inLink("north", id) })
	f := *r.flow.copyForTest()
	f.pulls = &lateDelivery{fleetQueue: r.flow.pulls}
	relay, err := r.queue.RelayOf(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	taken, kept, err := f.withdraw(t.Context(), []queue.Relayed{*relay}, func(*db.Tx, queue.Relayed) error {
		t.Error("it counts as never delivered")
		return nil
	})
	if err != nil || len(taken) != 0 || len(kept) != 1 {
		t.Fatalf("taken %v, kept %v, %v", taken, kept, err)
	}
	if got := r.inStream("north"); !slices.Equal(got, []string{id}) {
		t.Fatalf("in the stream are %v", got)
	}
	if now, err := r.queue.RelayOf(t.Context(), id); err != nil || now.StreamSeq <= relay.StreamSeq {
		t.Fatalf("it is booked at %+v, %v", now, err)
	}
}

// lateDelivery has everything delivered from the second time on that it is asked.
type lateDelivery struct {
	fleetQueue
	asked atomic.Int32
}

func (l *lateDelivery) Delivered(ctx context.Context, gateway string) (uint64, error) {
	if l.asked.Add(1) == 1 {
		return l.fleetQueue.Delivered(ctx, gateway)
	}
	return 1 << 60, nil
}

// copyForTest is the same flow, whose parts can be exchanged.
func (f *flow) copyForTest() *flow {
	return &flow{q: f.q, d: f.d, nc: f.nc, js: f.js, pulls: f.pulls, log: f.log, now: f.now, places: f.places, lanes: f.lanes,
		burdens: burdens{most: f.burdens.most, of: map[string]*burden{}}}
}

// A hub that dies between the deletion and its booking: the message waits anew, and
// comes once.
func TestHubDiesWhileWithdrawing(t *testing.T) {
	r := newRig(t, nil)
	north := r.gateway("north", "")
	north.hello(0)
	ids := r.submit(3, queue.Draft{})
	eventually(t, "they are in the link", func() bool { return r.inLink("north", ids...) })
	north.take(1)
	for _, id := range ids[:2] { // the first was handed out
		relay, err := r.queue.RelayOf(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.database.Write(func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO hub_withdrawals (message, gateway, epoch, seq) VALUES (?, ?, ?, ?)`, relay.Row, "north", relay.Epoch, relay.StreamSeq)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := deleteAt(t.Context(), r.nc, "north", relay.StreamSeq); err != nil {
			t.Fatal(err)
		}
	}
	r.stop()
	r.open(nil)
	eventually(t, "it is in the stream again", func() bool { return len(r.inStream("north")) == 3 })
	if got := r.inStream("north"); !slices.Contains(got, ids[0]) || !slices.Contains(got, ids[1]) || !slices.Contains(got, ids[2]) {
		t.Fatalf("in the stream are %v", got)
	}
	var left int
	if err := r.database.Read(t.Context(), func(q db.Querier) error {
		return q.QueryRow(`SELECT count(*) FROM hub_withdrawals`).Scan(&left)
	}); err != nil || left != 0 {
		t.Fatal(left, err)
	}
}

// What was given and perhaps published when the hub died is in the stream once, whatever
// the server remembers of its id.
func TestPublishedBeforeTheHubDied(t *testing.T) {
	r := newRig(t, nil)
	north := r.gateway("north", "")
	ids := r.submit(2, queue.Draft{Gateway: "nowhere"})
	var given []queue.Relayed
	waiting, err := r.queue.Unrouted(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.queue.Do(func(tx *db.Tx) error {
		for _, u := range waiting {
			g, err := r.queue.GiveTx(tx, u.Row, "north", 1)
			if err != nil {
				return err
			}
			given = append(given, *g)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// The first is in the stream, and nothing is booked.
	l := r.flow.lanes[mirror.Out("north")]
	all := []publication{{msg: toGateway("north", publicationID(given[0]), []byte(`{"message":{"id":"`+ids[0]+`"}}`))}}
	r.flow.publish(t.Context(), all)
	if all[0].err != nil {
		t.Fatal(all[0].err)
	}
	found := map[string]uint64{}
	if err := (&lane{flow: r.flow, stream: l.stream, newest: map[string]uint64{}}).look(t.Context(), "north", found); err != nil || found[publicationID(given[0])] != all[0].seq {
		t.Fatalf("found %v, %v", found, err)
	}
	r.stop()
	r.open(nil)
	eventually(t, "both are booked", func() bool { return r.inLink("north", ids...) })
	if got := r.inStream("north"); !slices.Equal(got, ids) {
		t.Fatalf("in the stream are %v, want %v", got, ids)
	}
	if relay, err := r.queue.RelayOf(t.Context(), ids[0]); err != nil || relay.StreamSeq != all[0].seq {
		t.Fatalf("booked at %+v, %v", relay, err)
	}
	_ = north
}

func TestExpiresInTheLink(t *testing.T) {
	r := newRig(t, nil)
	north := r.gateway("north", "")
	north.hello(0)
	soon := r.submit(2, queue.Draft{Message: sms.Message{ExpiresAt: time.Now().Add(1500 * time.Millisecond)}})
	later := r.submit(1, queue.Draft{Message: sms.Message{To: "+49177", ExpiresAt: time.Now().Add(time.Hour)}})[0]
	eventually(t, "they are in the link", func() bool { return r.inLink("north", append(soon, later)...) })
	north.take(1)
	eventually(t, "it has expired", func() bool { return r.message(soon[1]).Status == sms.Expired })
	if m := r.message(soon[0]); m.Status != sms.Queued {
		t.Errorf("the hub ended one that its gateway has: %s", m.Status)
	}
	if got := r.inStream("north"); !slices.Equal(got, []string{later}) {
		t.Errorf("in the stream are %v", got)
	}
	if m := r.message(soon[1]); m.Error == nil || !strings.Contains(m.Error.Detail, "north") {
		t.Errorf("it expired because %+v", m.Error)
	}
}

// A stream that somebody has emptied while the hub was down.
func TestStreamThatLostItsMessages(t *testing.T) {
	r := newRig(t, nil)
	north := r.gateway("north", "")
	north.hello(0)
	ids := r.submit(3, queue.Draft{})
	eventually(t, "they are in the link", func() bool { return r.inLink("north", ids...) })
	north.take(1)
	stream, err := r.js.Stream(t.Context(), mirror.Out("north"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.js.DeleteStream(t.Context(), info.Config.Name); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.open(nil)
	eventually(t, "they are in the stream again", func() bool {
		return r.prepared("north") && slices.Contains(r.inStream("north"), ids[1]) && slices.Contains(r.inStream("north"), ids[2])
	})
}

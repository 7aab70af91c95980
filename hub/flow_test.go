package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// stand stands in for a gateway: it takes what its stream has, and tells what it is told to.
type stand struct {
	t     *testing.T
	r     *rig
	name  string
	nc    *nats.Conn
	modem sms.Modem
	stop  func()

	mu       sync.Mutex
	has      map[string]mirror.Message
	status   map[string]sms.Status
	slots    map[string]int
	taken    []string // ids, in order, repetitions too
	receipts []mirror.Receipt
	replies  []mirror.Reply
	seq      int64
	canceled map[string]bool
}

// gateway adds one that has never connected.
func (r *rig) gateway(name, group string) *stand {
	r.t.Helper()
	creds := r.add(name, group)
	s := &stand{t: r.t, r: r, name: name, has: map[string]mirror.Message{}, status: map[string]sms.Status{}, slots: map[string]int{}, canceled: map[string]bool{}, stop: func() {}}
	s.modem = sms.Modem{Name: "sim1", State: sms.Ready, ICCID: "iccid-" + name, Number: ""}
	nc, err := r.dial(name, creds)
	if err != nil {
		r.t.Fatal(err)
	}
	s.nc = nc
	r.lookNow()
	eventually(r.t, name+" is ready", func() bool { return r.prepared(name) })
	if _, err := nc.Subscribe(mirror.Command(name), s.command); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// hello has the hub know that the gateway was there, so long ago.
func (s *stand) hello(ago time.Duration) {
	s.t.Helper()
	modems, _ := json.Marshal([]sms.Modem{s.modem})
	b, _ := json.Marshal(mirror.HelloRequest{Modems: modems, Rings: sms.Rings{Outbound: sms.Ring{Capacity: 100, Depth: len(s.has)}}})
	if err := s.r.database.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE gateways SET hello = ?, seen_at = ? WHERE name = ?`, string(b), time.Now().Add(-ago).UnixMilli(), s.name)
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	s.r.mu.Lock()
	k := s.r.known[s.name]
	k.seen, k.modems, k.heard, k.lost = time.Time{}, []sms.Modem{s.modem}, ago < mirror.AwayAfter, false
	s.r.mu.Unlock()
	if err := s.r.read(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.r.flow.lookAgain()
}

// store does what a gateway does with an item.
func (s *stand) store(data []byte) {
	var item mirror.Item
	if err := json.Unmarshal(data, &item); err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receipts = append(s.receipts, item.Receipts...)
	if item.Reply != nil {
		s.replies = append(s.replies, *item.Reply)
	}
	if m := item.Message; m != nil {
		s.taken = append(s.taken, m.ID)
		if old, ok := s.has[m.ID]; !ok || old.Epoch < m.Epoch {
			s.has[m.ID], s.status[m.ID] = *m, sms.Queued
			s.slots[m.ID] = len(s.slots)
		}
	}
}

// pull takes what there is, until stop: by its consumer, or by requests.
func (s *stand) pull(form string) {
	s.stop()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.stop = func() { cancel(); <-done; s.stop = func() {} }
	s.t.Cleanup(func() { s.stop() })
	go func() {
		defer close(done)
		if form == "request" {
			s.byRequest(ctx)
		} else {
			s.byConsumer(ctx)
		}
	}()
}

func (s *stand) byConsumer(ctx context.Context) {
	js, err := jetstream.New(s.nc)
	if err != nil {
		s.t.Error(err)
		return
	}
	c, err := js.Consumer(ctx, mirror.Out(s.name), mirror.Consumer(s.name))
	if err != nil {
		s.t.Error(err)
		return
	}
	for ctx.Err() == nil {
		batch, err := c.Fetch(100, jetstream.FetchMaxWait(time.Second), jetstream.FetchContext(ctx))
		if err != nil {
			batch, err = c.FetchNoWait(100)
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		for m := range batch.Messages() {
			s.store(m.Data())
			_ = m.Ack()
		}
	}
}

func (s *stand) byRequest(ctx context.Context) {
	var have []uint64
	for ctx.Err() == nil {
		answer, err := s.ask(ctx, mirror.PullRequest{Have: have, Free: 100, Wait: 0.5})
		if err != nil {
			sleep(ctx, 10*time.Millisecond)
			continue
		}
		have = nil
		for _, p := range answer.Items {
			s.store(p.Item)
			have = append(have, p.Seq)
		}
	}
}

func (s *stand) ask(ctx context.Context, asked mirror.PullRequest) (answer mirror.PullAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	b, _ := json.Marshal(asked)
	m, err := s.nc.RequestWithContext(ctx, mirror.PullSubject(s.name), b)
	if err == nil {
		err = json.Unmarshal(m.Data, &answer)
	}
	return answer, err
}

// obeys has it cancel messages when it is woken, as one does that hears of a new epoch.
func (s *stand) obeys(status sms.Status, ids ...string) {
	s.t.Helper()
	if _, err := s.nc.Subscribe(mirror.Wake(s.name), func(*nats.Msg) {
		s.told(status, &sms.Error{Code: "moved"}, ids...)
		ids = nil
	}); err != nil {
		s.t.Fatal(err)
	}
	if err := s.nc.Flush(); err != nil {
		s.t.Fatal(err)
	}
}

// tell has the hub hear the status of a message.
func (s *stand) tell(status sms.Status, ids ...string) {
	s.t.Helper()
	s.told(status, nil, ids...)
}

func (s *stand) told(status sms.Status, why *sms.Error, ids ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		m := s.has[id]
		s.status[id] = status
		s.seq++
		err := s.r.queue.Do(func(tx *db.Tx) error {
			err := s.r.queue.ApplyTx(tx, s.name, s.seq, queue.State{ID: id, Address: m.Address, Mirror: s.slots[id], Epoch: m.Epoch, Status: status,
				Modem: s.modem.Name, SIM: s.modem.ICCID, Attempts: 1, UpdatedAt: time.Now(), Error: why})
			if err != nil {
				return err
			}
			_, err = tx.Exec(`UPDATE gateways SET seq = ? WHERE name = ?`, s.seq, s.name)
			return err
		})
		if err != nil {
			s.t.Errorf("%s: %s is %s: %v", s.name, id, status, err)
		}
	}
}

// command answers the hub.
func (s *stand) command(m *nats.Msg) {
	var asked mirror.CommandRequest
	if err := json.Unmarshal(m.Data, &asked); err != nil {
		s.t.Error(err)
	}
	var answer mirror.CommandAnswer
	switch {
	case asked.Cancel != "":
		s.mu.Lock()
		status := s.status[asked.Cancel]
		s.mu.Unlock()
		if answer.Status = sms.Canceled; status != sms.Queued {
			answer = mirror.CommandAnswer{Error: fmt.Sprintf("message %s is %s and was handed to a modem", asked.Cancel, status)}
		} else {
			s.tell(sms.Canceled, asked.Cancel)
		}
	case asked.Mirror != nil:
		s.mu.Lock()
		for _, id := range slices.Sorted(maps.Keys(s.has)) {
			if id > asked.Mirror.After {
				if len(answer.Slots) == asked.Mirror.Limit {
					answer.More = true
					break
				}
				answer.Slots = append(answer.Slots, mirror.Slot{ID: id, Direction: sms.Outbound, Address: s.has[id].Address, Mirror: s.slots[id], Status: s.status[id], Epoch: s.has[id].Epoch})
			}
		}
		answer.Newest = s.seq
		s.mu.Unlock()
	}
	b, _ := json.Marshal(answer)
	if err := m.Respond(b); err != nil {
		s.t.Error(err)
	}
}

func (s *stand) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.has)
}

// submit posts texts to as many numbers, and returns their ids.
func (r *rig) submit(n int, of queue.Draft) (ids []string) {
	r.t.Helper()
	var drafts []queue.Draft
	for i := range n {
		d := of
		if d.To == "" {
			d.To = fmt.Sprintf("+4917%08d", i)
		}
		if d.Text == "" {
			d.Text = fmt.Sprintf("text %d", i)
		}
		drafts = append(drafts, d)
	}
	all, _, err := r.queue.Submit(r.t.Context(), drafts, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, m := range all {
		ids = append(ids, m.ID)
	}
	return ids
}

func (r *rig) message(id string) sms.Message {
	r.t.Helper()
	m, err := r.queue.Message(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return *m
}

// inStream lists the ids of the messages that a gateway's stream has.
func (r *rig) inStream(gateway string) (ids []string) {
	r.t.Helper()
	for seq := uint64(1); ; seq++ {
		m, err := readAt(r.t.Context(), r.nc, mirror.Out(gateway), seq, mirror.OutSubject(gateway))
		if err != nil {
			r.t.Fatal(err)
		}
		if m == nil {
			return ids
		}
		seq = m.Sequence
		var item mirror.Item
		if err := json.Unmarshal(m.Data, &item); err != nil {
			r.t.Fatal(err)
		}
		if item.Message != nil {
			ids = append(ids, item.Message.ID)
		}
	}
}

func (r *rig) inLink(gateway string, ids ...string) bool {
	for _, id := range ids {
		one, err := r.queue.RelayOf(r.t.Context(), id)
		if err != nil || one.Gateway != gateway || one.StreamSeq == 0 {
			return false
		}
	}
	return true
}

func TestMessagesComeToTheirGateway(t *testing.T) {
	for _, form := range []string{"consumer", "request"} {
		t.Run(form, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.Pull = form })
			north, south := r.gateway("north", ""), r.gateway("south", "")
			north.hello(0)
			south.hello(0)
			toNorth := r.submit(300, queue.Draft{Gateway: "north"})
			toSouth := r.submit(20, queue.Draft{Pin: "sim1@south", Message: sms.Message{Priority: 7, Metadata: map[string]string{"a": "b"}}})
			eventually(t, "they are in the link", func() bool { return r.inLink("north", toNorth...) && r.inLink("south", toSouth...) })
			north.pull(form)
			south.pull(form)
			eventually(t, "all are there", func() bool { return north.count() == 300 && south.count() == 20 })
			if !slices.Equal(north.taken, toNorth) {
				t.Error("they came in another order, or twice")
			}
			m := south.has[toSouth[0]]
			if m.From != "sim1" || m.Priority != 7 || m.Text != "text 0" || m.Metadata["a"] != "b" || m.Epoch != 1 {
				t.Errorf("south got %+v", m)
			}
			if relay, err := r.queue.RelayOf(t.Context(), toSouth[0]); err != nil || m.Address != relay.Address {
				t.Errorf("its address is %d, the hub has %+v (%v)", m.Address, relay, err)
			}
			eventually(t, "the stream is empty", func() bool { return len(r.inStream("north"))+len(r.inStream("south")) == 0 })
			north.tell(sms.Queued, toNorth...)
			south.tell(sms.Queued, toSouth...)
			south.tell(sms.Sent, toSouth[0])
			if m := r.message(toSouth[0]); m.Status != sms.Sent || m.Modem != "sim1@south" {
				t.Errorf("the hub has %s by %s", m.Status, m.Modem)
			}
		})
	}
}

func TestMessagesWaitWithAReason(t *testing.T) {
	r := newRig(t, nil)
	id := r.submit(1, queue.Draft{Gateway: "group:de"})[0]
	reason := func() string { return strings.Join(slices.Sorted(maps.Keys(r.Waiting())), "; ") }
	eventually(t, "it waits", func() bool { return strings.Contains(reason(), "group de has no gateway") })
	if why, err := r.WaitsFor(t.Context(), id); err != nil || !strings.Contains(why, "group de has no gateway") {
		t.Error("it is said to wait because", why, err)
	}
	none := func(d queue.Draft) bool { return r.NoneFor(t.Context(), []queue.Draft{d})[0] }
	if !none(queue.Draft{Gateway: "group:de"}) {
		t.Error("nobody is told that no gateway takes it")
	}
	north := r.gateway("north", "de")
	south := r.gateway("south", "de")
	eventually(t, "it waits for one that is ready", func() bool { return strings.Contains(reason(), "no gateway of group de") })
	south.hello(0)
	eventually(t, "it goes to the one that is there", func() bool { return r.inLink("south", id) })
	eventually(t, "nothing waits", func() bool { return len(r.Waiting()) == 0 })
	if why, err := r.WaitsFor(t.Context(), id); err != nil || why != "" {
		t.Error("it is still said to wait because", why, err)
	}
	if north.count() != 0 {
		t.Error("the other has something")
	}
	later := queue.Draft{Gateway: "north"}
	later.SendAt = time.Now().Add(time.Hour)
	inbox := queue.Draft{Gateway: "north"}
	inbox.Via = sms.ViaInternet
	for i, c := range []struct {
		draft queue.Draft
		none  bool
	}{
		{queue.Draft{Gateway: "north"}, true}, {queue.Draft{Gateway: "south"}, false}, {queue.Draft{Gateway: "group:de"}, false},
		{queue.Draft{Pin: "iccid-north"}, true}, {queue.Draft{Pin: "sim1@south"}, false}, {later, false}, {inbox, false},
	} {
		if none(c.draft) != c.none {
			t.Errorf("of draft %d it is said that no gateway takes it: %t", i, !c.none)
		}
	}
	south.hello(2 * mirror.AwayAfter)
	if !none(queue.Draft{Gateway: "south"}) {
		t.Error("nobody is told that it is away")
	}
}

// What a full gateway does not get waits at the hub, in order per number, and comes.
func TestFullGateway(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MostInLink = 300 })
	north := r.gateway("north", "")
	north.hello(0)
	ids := r.submit(900, queue.Draft{})
	eventually(t, "the rest waits", func() bool { return r.Waiting()["as much as may wait for gateway north waits for it"] > 0 })
	eventually(t, "the link is full", func() bool { return len(r.inStream("north")) >= 300 })
	for range 3 { // it looks again, and gives no more
		w := &r.flow.waits
		w.mu.Lock()
		w.why = nil
		w.mu.Unlock()
		r.flow.lookAgain()
		eventually(t, "it has looked", func() bool { return w.get() != nil })
	}
	if n := len(r.inStream("north")); n > 300+together {
		t.Errorf("%d messages are in the link", n)
	}
	north.pull(PullRequest)
	eventually(t, "all came", func() bool { return north.count() == len(ids) })
	if !slices.Equal(north.taken, ids) {
		t.Error("they came in another order, or twice")
	}
}

package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// North names a place of south's as the one to answer to, and the hub, which may publish
// everywhere, answers only north.
func TestAnAnswerGoesToNobodyElse(t *testing.T) {
	for _, pull := range []string{"consumer", "request"} {
		t.Run(pull, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.Pull = pull })
			south, north := r.gate("south"), r.gate("north")
			eventually(t, "both are known", func() bool { return r.prepared("north") && r.prepared("south") })
			heard := make(chan *nats.Msg, 10)
			if _, err := south.nc.ChanSubscribe("gatewayd.gw.south.>", heard); err != nil {
				t.Fatal(err)
			}
			if err := south.nc.Flush(); err != nil {
				t.Fatal(err)
			}
			last := func(name string) uint64 {
				t.Helper()
				s, err := r.js.Stream(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				return s.CachedInfo().State.LastSeq
			}
			messages, events := last(mirror.Out("south")), last(mirror.Events)
			asks := []string{mirror.Hello("north"), mirror.Who("north"), mirror.Tell("north")}
			if pull == "request" {
				asks = append(asks, mirror.PullSubject("north"))
			}
			for _, ask := range asks {
				for _, reply := range []string{mirror.Command("south"), mirror.OutSubject("south"), mirror.EventSubject("south"), "$JS.API.STREAM.PURGE." + mirror.Out("south")} {
					if err := north.nc.PublishRequest(ask, reply, []byte(`{"log":"a"}`)); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := north.nc.Request(ask, []byte(`{"log":"a"}`), 5*time.Second); err != nil {
					t.Fatal(ask, err) // it is answered behind them
				}
			}
			r.wake("south")
			if m := <-heard; m.Subject != mirror.Wake("south") {
				t.Errorf("south heard %s: %s", m.Subject, m.Data)
			}
			if is := last(mirror.Out("south")); is != messages {
				t.Errorf("the stream of messages went from %d to %d", messages, is)
			}
			if is := last(mirror.Events); is != events+1 { // what north told as it should
				t.Errorf("the stream of events went from %d to %d", events, is)
			}
		})
	}
}

// JetStream answers where a message says, and one of its own subjects there is a command. So
// a gateway that pulls by asking the hub can say nothing to JetStream at all.
func TestAGatewayHasNothingAtJetStream(t *testing.T) {
	r := newRig(t, nil)
	denied := make(chan string, 100)
	north, err := r.dial("north", r.add("north", ""), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			denied <- err.Error()
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	r.gate("south")
	eventually(t, "both are known", func() bool { return r.prepared("north") && r.prepared("south") })
	stream := mirror.Out("north")
	for _, subject := range []string{
		"$JS.API.CONSUMER.INFO." + stream + "." + mirror.Consumer("north"), "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + mirror.Consumer("north"),
		"$JS.ACK." + stream + "." + mirror.Consumer("north") + ".1.1.1.0.0", "$JS.API.DIRECT.GET." + stream, "$JS.API.STREAM.PURGE." + stream, "$JS.API.INFO",
		mirror.OutSubject("north"), mirror.EventSubject("north"), mirror.Tell("south"),
	} {
		if err := north.PublishRequest(subject, "$JS.API.STREAM.DELETE."+mirror.Events, nil); err != nil {
			t.Fatal(err)
		}
		if err := north.Flush(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-denied:
		case <-time.After(5 * time.Second):
			t.Errorf("north may publish to %s", subject)
		}
	}
}

// What is told goes into the stream with its id and with nothing else that NATS would obey, and
// with no id of another's, which would keep that one's event from being taken.
func TestWhatIsToldIsTheGatewaysOwn(t *testing.T) {
	r := newRig(t, nil)
	north := r.gate("north")
	eventually(t, "it is known", func() bool { return r.prepared("north") })
	tell := func(id string, more nats.Header) (*nats.Msg, error) {
		m := nats.NewMsg(mirror.Tell("north"))
		m.Data = []byte(`{"log":"log","seq":1}`)
		for k, v := range more {
			m.Header[k] = v
		}
		m.Header.Set(jetstream.MsgIDHeader, id)
		return north.nc.RequestMsg(m, time.Second)
	}
	var answer jetstream.PubAck
	m, err := tell("north.log.1", nats.Header{"Nats-Rollup": {"all"}, "Nats-Expected-Last-Sequence": {"77"}})
	if err != nil || json.Unmarshal(m.Data, &answer) != nil || answer.Stream != mirror.Events || answer.Sequence == 0 || answer.Duplicate {
		t.Fatalf("the stream says %+v, %v", m, err)
	}
	if m, err = tell("north.log.1", nil); err != nil || json.Unmarshal(m.Data, &answer) != nil || !answer.Duplicate {
		t.Errorf("told again, the stream says %s, %v", m.Data, err)
	}
	if m, err := tell("south.log.1", nil); err == nil {
		t.Errorf("under an id of south's the stream says %s", m.Data)
	}
}

// Whose connection it is the server says: a gateway that names another's puts nobody out.
func TestAGatewayEndsNoConnectionButItsOwn(t *testing.T) {
	r := newRig(t, nil)
	south, north := r.gate("south"), r.gate("north")
	north.hello(mirror.HelloRequest{})
	south.hello(mirror.HelloRequest{})
	is := func(g *gate) string {
		id, err := g.nc.GetClientID()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s/%d", g.nc.ConnectedServerId(), id)
	}
	eventually(t, "the server has told of both", func() bool { return r.its("north", is(north)) && r.its("south", is(south)) })
	north.hello(mirror.HelloRequest{Connection: is(south)})
	north.hello(mirror.HelloRequest{Connection: is(north)})
	if south.hello(mirror.HelloRequest{}); south.nc.Stats().Reconnects != 0 {
		t.Error("south was put out")
	}
	north.hello(mirror.HelloRequest{Connection: "another"}) // what it had before was its own
	eventually(t, "its own from before is ended", func() bool { return north.nc.Stats().Reconnects == 1 })
}

// A gateway that says it knows of an epoch far ahead would leave the hub none to raise its own to.
func TestAnEpochFarAhead(t *testing.T) {
	r := newRig(t, nil)
	north := r.gate("north")
	north.hello(mirror.HelloRequest{Epoch: 3})
	if _, err := north.nc.Request(mirror.Hello("north"), []byte(`{"log":"log","epoch":9223372036854775807}`), 500*time.Millisecond); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("it is answered: %v", err)
	}
	if a := north.hello(mirror.HelloRequest{Epoch: 3}); a.Epoch != 3 {
		t.Errorf("the hub is at %d", a.Epoch)
	}
}

// Nor is a message booked under an epoch that its gateway does not have: no move would reach it.
func TestAStateUnderAnEpochFarAhead(t *testing.T) {
	r := newRig(t, nil)
	north := r.gate("north")
	north.hello(mirror.HelloRequest{})
	id := r.submit(1, queue.Draft{Gateway: "north"})[0]
	eventually(t, "it is in the link", func() bool { return r.inLink("north", id) })
	north.tell(mirror.Event{State: &mirror.State{ID: id, Status: sms.Queued, Epoch: 1 << 60, UpdatedAt: time.Now()}})
	var epoch int64
	eventually(t, "it is booked", func() bool {
		var stored bool
		if err := r.db.Read(t.Context(), func(q db.Querier) error {
			return q.QueryRow(`SELECT epoch, stored_at IS NOT NULL FROM relays`).Scan(&epoch, &stored)
		}); err != nil {
			t.Fatal(err)
		}
		return stored
	})
	if is := r.epochOf("north"); epoch != is {
		t.Errorf("it is booked under the epoch %d, and its gateway has %d", epoch, is)
	}
}

// A gateway that asks more than it needs is not answered any more; nobody else waits for it.
func TestOneGatewayDoesNotKeepOthersWaiting(t *testing.T) {
	r := newRig(t, nil)
	south, north := r.gate("south"), r.gate("north")
	south.hello(mirror.HelloRequest{})
	north.hello(mirror.HelloRequest{})
	held, free := make(chan struct{}), make(chan struct{})
	go func() { _ = r.db.Write(func(*db.Tx) error { close(held); <-free; return nil }) }()
	<-held
	for i := range 500 { // each has something new to be written down
		if err := north.nc.PublishRequest(mirror.Hello("north"), north.nc.NewRespInbox(), fmt.Appendf(nil, `{"log":"%d"}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := north.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	_, err := south.nc.Request(mirror.Hello("south"), []byte(`{"log":"log"}`), 5*time.Second)
	close(free)
	if err != nil {
		t.Error("south waits for north:", err)
	}
}

func TestWhatNoGatewaySays(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	id := arrived(0).Message.ID
	for name, e := range map[string]mirror.Event{
		"an id":         {State: &mirror.State{ID: "x", Status: sms.Sent}},
		"a status":      {State: &mirror.State{ID: id, Status: "eaten"}},
		"a SIM":         {State: &mirror.State{ID: id, Status: sms.Sent, SIM: long(1000)}},
		"an error":      {State: &mirror.State{ID: id, Status: sms.Failed, Error: &sms.Error{Detail: long(10_000)}}},
		"another's id":  {Arrived: &mirror.Arrived{Message: sms.Message{ID: "../../x"}}},
		"a text":        {Arrived: &mirror.Arrived{Message: sms.Message{ID: id, Text: long(300_000)}}},
		"a sender":      {Arrived: &mirror.Arrived{Message: sms.Message{ID: id, From: long(1000)}}},
		"a number":      {Consent: []mirror.Consent{{Number: "+49\n170", Reason: "word"}}},
		"no number":     {Consent: []mirror.Consent{{Reason: "word"}}},
		"a reason":      {Consent: []mirror.Consent{{Number: "+491701234567", Reason: "Because I say so"}}},
		"decisions":     {Consent: make([]mirror.Consent, 1001)},
		"an inbox's id": {Inbox: &mirror.Inbox{ID: "1", To: "+491701234567"}},
		"a name":        {Inbox: &mirror.Inbox{ID: id, To: "+491701234567", Name: long(5000)}},
		"files":         {Inbox: &mirror.Inbox{ID: id, To: "+491701234567", Files: make([]sms.File, 101)}},
		"a file's name": {Chunk: &mirror.Chunk{File: sms.File{Name: long(5000)}}},
		"a modem":       {Modem: json.RawMessage(`"` + long(70_000) + `"`)},
		"its log":       {Log: long(1000)},
	} {
		if wrong(e) == nil {
			t.Errorf("%s was believed", name)
		}
	}
	for name, e := range map[string]mirror.Event{
		"arrived": {Log: "log.1", Arrived: arrived(1)},
		"state":   {State: &mirror.State{ID: id, Status: sms.Queued, Mirror: -1}},
		"consent": {Consent: []mirror.Consent{{Number: "12345", Stopped: true, Reason: queue.ReasonWord, Wording: "STOP"}}},
		"inbox":   {Inbox: &mirror.Inbox{ID: id, To: "+491701234567", Text: long(40_000), Files: []sms.File{{ID: long(26), Name: long(200)}}}},
	} {
		if err := wrong(e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a gateway says to have received is not another's message, nor one of the hub's, and
// has no files of others with it.
func TestAForgedArrivalChangesNothing(t *testing.T) {
	r := newRig(t, nil)
	south, north := r.gate("south"), r.gate("north")
	ids, _, err := r.queue.Submit(t.Context(), []queue.Draft{{Message: sms.Message{To: "+491701234567", Text: "from the hub"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	south.tell(mirror.Event{Arrived: arrived(0)})
	r.booked("south", 1)
	for _, forged := range []string{arrived(0).Message.ID, ids[0].ID} {
		a := arrived(1)
		a.Message.ID, a.Message.Text = forged, "forged"
		north.tell(mirror.Event{Arrived: a})
	}
	a := arrived(2)
	a.Message.Files, a.Message.Metadata = []sms.File{{ID: "somebodyelses"}}, map[string]string{"a": "b"}
	north.tell(mirror.Event{Arrived: a})
	r.booked("north", 3)
	var aside int
	if err := r.db.Read(context.Background(), func(q db.Querier) error {
		return q.QueryRow(`SELECT count(*) FROM gateway_unreadable WHERE gateway = 'north'`).Scan(&aside)
	}); err != nil || aside != 2 {
		t.Errorf("%d were put aside, %v", aside, err)
	}
	if got := fmt.Sprint(r.texts()); got != "[text 0 text 2]" {
		t.Errorf("received %s", got)
	}
	m, err := r.queue.Message(t.Context(), a.Message.ID)
	if err != nil || len(m.Files) > 0 || len(m.Metadata) > 0 || m.Gateway != "north" {
		t.Errorf("%+v %v", m, err)
	}
}

// What a gateway tells of modems and alarms takes no more memory than a gateway has of them.
func TestWhatAGatewayTellsIsBounded(t *testing.T) {
	if n := len(read[sms.Modem](json.RawMessage(`[{}` + strings.Repeat(`,{}`, 50_000) + `]`))); n != mostTold {
		t.Errorf("%d modems are kept", n)
	}
	h := &Hub{known: map[string]*known{"north": {}}}
	for i := range 2 * mostTold {
		b := json.RawMessage(fmt.Sprintf(`{"name":"%d","code":"%d"}`, i, i))
		h.noted(told{gateway: "north", event: mirror.Event{Modem: b, Alarm: b}})
	}
	if k := h.known["north"]; len(k.modems) != mostTold || len(k.alarms) != mostTold {
		t.Errorf("%d modems and %d alarms are kept", len(k.modems), len(k.alarms))
	}
	r := newRig(t, nil)
	g := r.gate("north")
	g.tellRaw([]byte(strings.Repeat("x", 500_000)))
	g.tell(mirror.Event{Arrived: arrived(0)})
	r.booked("north", 1)
	var kept int
	if err := r.db.Read(t.Context(), func(q db.Querier) error {
		return q.QueryRow(`SELECT length(event) FROM gateway_unreadable`).Scan(&kept)
	}); err != nil || kept != keptOfUnreadable {
		t.Errorf("%d bytes are kept, %v", kept, err)
	}
}

// A gateway's credentials open so many subscriptions and no more.
func TestSubscriptionsAreBounded(t *testing.T) {
	r := newRig(t, nil)
	refused := make(chan error, 100)
	nc, err := r.dial("north", r.add("north", ""), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case refused <- err:
		default:
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stream takes a large event", func() bool {
		_, err := js.Publish(t.Context(), mirror.Tell("north"), make([]byte, 600_000))
		return err == nil
	})
	for i := range mostSubscriptions + 1 {
		if _, err := nc.SubscribeSync(fmt.Sprintf("gatewayd.gw.north.x%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-refused:
		if !strings.Contains(err.Error(), "maximum subscriptions") {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("north may have as many subscriptions as it likes")
	}
}

package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

// gate is a gateway as the hub sees one.
type gate struct {
	*rig
	name string
	nc   *nats.Conn
	js   jetstream.JetStream
	seq  int64
}

func (r *rig) gate(name string) *gate {
	r.t.Helper()
	g := &gate{rig: r, name: name}
	g.connect(r.add(name, ""))
	return g
}

func (g *gate) connect(creds string) {
	g.t.Helper()
	var err error
	if g.nc, err = g.dial(g.name, creds); err == nil {
		g.js, err = jetstream.New(g.nc)
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *gate) hello(q mirror.HelloRequest) (a mirror.HelloAnswer) {
	g.t.Helper()
	if q.Log == "" {
		q.Log = "log"
	}
	b, _ := json.Marshal(q)
	var m *nats.Msg
	eventually(g.t, "hello is answered", func() (ok bool) {
		var err error
		m, err = g.nc.Request(mirror.Hello(g.name), b, time.Second)
		return err == nil
	})
	if err := json.Unmarshal(m.Data, &a); err != nil {
		g.t.Fatal(err)
	}
	return a
}

// tell publishes an event; what is told again has its sequence set.
func (g *gate) tell(e mirror.Event) {
	g.t.Helper()
	if e.Log == "" {
		e.Log = "log"
	}
	if e.Seq == 0 {
		g.seq++
		e.Seq = g.seq
	}
	b, err := json.Marshal(e)
	if err != nil {
		g.t.Fatal(err)
	}
	g.tellRaw(b)
}

func (g *gate) tellRaw(b []byte) {
	g.t.Helper()
	eventually(g.t, "the stream takes an event", func() bool {
		_, err := g.js.Publish(g.t.Context(), mirror.Tell(g.name), b)
		return err == nil
	})
}

func arrived(n int) *mirror.Arrived {
	return &mirror.Arrived{SIM: "8949", Mirror: n, Dialled: true, Message: sms.Message{
		ID: fmt.Sprintf("msg_01ARZ3NDEKTSV4RRFFQ69G5%03d", n), Direction: sms.Inbound, Status: sms.Received, From: "+491700000001", To: "+491700000000",
		Text: fmt.Sprintf("text %d", n), Parts: 1, Encoding: sms.GSM7, CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}}
}

// texts are what the hub has received, in order.
func (r *rig) texts() (all []string) {
	r.t.Helper()
	page, _, err := r.queue.List(r.t.Context(), queue.Filter{Direction: sms.Inbound, Limit: 100})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, m := range page {
		all = append(all, m.Text)
	}
	slices.Sort(all)
	return all
}

func (r *rig) booked(name string, seq int64) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("%s is booked up to %d", name, seq), func() (is bool) {
		err := r.db.Read(context.Background(), func(q db.Querier) error {
			g, err := load(q, name)
			is = g.seq == seq
			return err
		})
		return err == nil && is
	})
}

func TestEventsAreBookedOnce(t *testing.T) {
	r := newRig(t, nil)
	g := r.gate("north")
	for i := range 5 {
		g.tell(mirror.Event{Arrived: arrived(i)})
	}
	r.booked("north", 5)
	// A cut: what was not known to be told is told again, and goes on.
	for i := 2; i < 8; i++ {
		g.tell(mirror.Event{Seq: int64(i + 1), Arrived: arrived(i)})
	}
	r.booked("north", 8)
	want := []string{"text 0", "text 1", "text 2", "text 3", "text 4", "text 5", "text 6", "text 7"}
	if got := r.texts(); !slices.Equal(got, want) {
		t.Errorf("received %q", got)
	}
	// A restored backup begins another log, which counts anew.
	g.tell(mirror.Event{Log: "second", Seq: 1, Arrived: arrived(8)})
	r.booked("north", 1)
	if got := r.texts(); len(got) != 9 {
		t.Errorf("received %q", got)
	}
}

// What came while the hub was not there, and what it had fetched and not booked when it was
// killed, comes in order: nothing later goes before it and has it taken for told.
func TestWhatWasFetchedComesAgainInOrder(t *testing.T) {
	r := newRig(t, nil)
	g := r.gate("north")
	g.tell(mirror.Event{Arrived: arrived(0)})
	r.booked("north", 1)
	eventually(t, "it is taken out", func() bool {
		s, err := r.js.Stream(t.Context(), mirror.Events)
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().State.Msgs == 0
	})
	// A hub that is killed with events in its hands, and others that come afterwards.
	held := make(chan struct{})
	free := make(chan struct{})
	go r.db.Write(func(*db.Tx) error { close(held); <-free; return nil })
	<-held
	for i := 1; i < 4; i++ {
		g.tell(mirror.Event{Arrived: arrived(i)})
	}
	eventually(t, "they are in its hands", func() bool {
		c := r.eventConsumer()
		return c != nil && c.Delivered.Stream == 4
	})
	if err := r.js.DeleteConsumer(t.Context(), mirror.Events, r.eventConsumer().Name); err != nil { // as a server that forgot it
		t.Fatal(err)
	}
	for i := 4; i < 7; i++ {
		g.tell(mirror.Event{Arrived: arrived(i)})
	}
	close(free)
	r.booked("north", 7)
	if got := r.texts(); len(got) != 7 {
		t.Errorf("received %q", got)
	}
	creds, err := r.Rotate(t.Context(), "north", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.open(nil)
	g.connect(creds)
	g.tell(mirror.Event{Arrived: arrived(7)})
	r.booked("north", 8)
	if got := r.texts(); len(got) != 8 {
		t.Errorf("received %q", got)
	}
}

func TestWhatCannotBeBookedHoldsUpNobody(t *testing.T) {
	r := newRig(t, nil)
	g := r.gate("north")
	g.tellRaw([]byte("no JSON"))
	g.tellRaw([]byte("{}"))
	g.tell(mirror.Event{Modem: json.RawMessage(`{"name": 7}`)})
	g.tell(mirror.Event{Arrived: arrived(0)})
	r.booked("north", 2)
	var kept []string
	if err := r.db.Read(t.Context(), func(q db.Querier) error {
		rows, err := q.Query(`SELECT event FROM gateway_unreadable ORDER BY id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return err
			}
			kept = append(kept, s)
		}
		return rows.Err()
	}); err != nil {
		t.Fatal(err)
	}
	if len(kept) != 3 || kept[0] != "no JSON" || kept[1] != "{}" {
		t.Errorf("put aside: %q", kept)
	}
	if got := r.texts(); !slices.Equal(got, []string{"text 0"}) {
		t.Errorf("received %q", got)
	}
}

// What can't be booked now is booked later and not put aside.
func TestWhatCannotBeBookedNowIsBookedLater(t *testing.T) {
	r := newRig(t, nil)
	g := r.gate("north")
	g.hello(mirror.HelloRequest{})
	for _, query := range []string{`ALTER TABLE inbound_ring RENAME TO inbound_ring_away`, `ALTER TABLE inbound_ring_away RENAME TO inbound_ring`} {
		if err := r.db.Write(func(tx *db.Tx) error { _, err := tx.Exec(query); return err }); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(query, "TO inbound_ring_away") {
			break
		}
		g.tell(mirror.Event{Arrived: arrived(0)})
		eventually(t, "it was tried", func() bool { return r.said("can't be booked now") })
	}
	r.booked("north", 1)
	if got := r.texts(); !slices.Equal(got, []string{"text 0"}) {
		t.Errorf("received %q", got)
	}
}

// An alarm that is told again under another name of the same log is one.
func TestAnAlarmIsToldOnce(t *testing.T) {
	r := newRig(t, nil)
	g := r.gate("north")
	begin := json.RawMessage(`{"code":"modem-dead","modem":"office","title":"x","begun_at":"2026-01-02T03:04:05Z"}`)
	end := json.RawMessage(`{"code":"modem-dead","modem":"office","title":"x","begun_at":"2026-01-02T03:04:05Z","ended_at":"2026-01-02T04:04:05Z"}`)
	for i, log := range []string{"life.1", "life.2", "other.1"} {
		g.tell(mirror.Event{Log: log, Seq: 5, Alarm: begin})
		g.tell(mirror.Event{Log: log, Seq: 7, Alarm: end})
		g.tell(mirror.Event{Log: log, Seq: int64(10 + i), Modem: json.RawMessage(`{"name":"office","state":"ready"}`)})
		r.booked("north", int64(10+i))
	}
	var told []string
	events, err := r.queue.EventsAfter(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Type == sms.EventAlarmBegin || e.Type == sms.EventAlarmEnd {
			told = append(told, e.Type)
		}
	}
	if want := []string{sms.EventAlarmBegin, sms.EventAlarmEnd, sms.EventAlarmBegin, sms.EventAlarmEnd}; !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
}

// A gateway that was at another hub, or was deleted here and added again, has heard of epochs
// that this one never raised; it would send nothing of an older one.
func TestAGatewayBringsItsEpoch(t *testing.T) {
	r := newRig(t, nil)
	g := r.gate("north")
	if a := g.hello(mirror.HelloRequest{Epoch: 7}); a.Epoch != 7 {
		t.Errorf("the hub says %d", a.Epoch)
	}
	if a := g.hello(mirror.HelloRequest{Epoch: 3}); a.Epoch != 7 {
		t.Errorf("the hub says %d", a.Epoch)
	}
	if is, err := r.Gateway(t.Context(), "north"); err != nil || is.Epoch != 7 {
		t.Errorf("%+v %v", is, err)
	}
}

func TestHello(t *testing.T) {
	r := newRig(t, func(o *Options) { o.PublicURL, o.Lease = "https://sms.example.org", time.Hour })
	g := r.gate("north")
	modems := json.RawMessage(`[{"name":"office","state":"ready","number":"+491700000000"}]`)
	a := g.hello(mirror.HelloRequest{Version: "1.0", Modems: modems, Uptime: 60})
	if a.Name != "north" || a.Epoch != 1 || a.Window != mirror.Window || a.Lease != 3600 || a.PublicURL != "https://sms.example.org" || a.Configuration != nil || a.Disabled {
		t.Errorf("%+v", a)
	}
	is, err := r.Gateway(t.Context(), "north")
	if err != nil || is.State() != sms.GatewayConnected || is.Version != "1.0" || len(is.Modems) != 1 || is.Since.IsZero() {
		t.Errorf("%+v %v", is, err)
	}
	if all := r.Modems().List(); len(all) != 1 || all[0].Name != "office@north" || all[0].State != sms.Ready {
		t.Errorf("modems %+v", all)
	}
	// An event between two hellos changes the picture.
	g.tell(mirror.Event{Modem: json.RawMessage(`{"name":"office","state":"searching"}`)})
	r.booked("north", 1)
	eventually(t, "its modem searches", func() bool { return r.Modems().List()[0].State == sms.Searching })

	// A configuration is handed over until it is applied, or could not be.
	region, title := "GB", "North"
	woken := make(chan *nats.Msg, 10)
	if _, err := g.nc.ChanSubscribe(mirror.Wake("north"), woken); err != nil {
		t.Fatal(err)
	}
	g.nc.Flush()
	if is, err = r.Change(t.Context(), "north", sms.GatewayChange{Title: &title, Configuration: &sms.GatewaySettings{DefaultRegion: &region}}); err != nil || is.Title != "North" || is.Configuration.Version != 1 {
		t.Fatalf("%+v %v", is, err)
	}
	select {
	case <-woken:
	case <-time.After(5 * time.Second):
		t.Error("the gateway was not woken")
	}
	for range 2 {
		if a := g.hello(mirror.HelloRequest{}); a.Configuration == nil || a.Configuration.Version != 1 || *a.Configuration.DefaultRegion != "GB" || a.Title != "North" {
			t.Fatalf("%+v", a)
		}
	}
	if a := g.hello(mirror.HelloRequest{ConfigError: "no such region"}); a.Configuration != nil {
		t.Error("what could not be applied came again")
	}
	if is, _ := r.Gateway(t.Context(), "north"); is.Configuration.Error != "no such region" || is.Configuration.Applied != 0 {
		t.Errorf("%+v", is.Configuration)
	}
	if _, err := r.Change(t.Context(), "north", sms.GatewayChange{Configuration: &sms.GatewaySettings{DefaultRegion: &region}}); err != nil {
		t.Fatal(err)
	}
	if a := g.hello(mirror.HelloRequest{ConfigError: "no such region"}); a.Configuration == nil || a.Configuration.Version != 2 {
		t.Error("the next version did not come")
	}
	g.hello(mirror.HelloRequest{Configuration: 2, Version: "1.1", Modems: modems})
	if is, _ := r.Gateway(t.Context(), "north"); is.Configuration.Error != "" || is.Configuration.Applied != 2 {
		t.Errorf("%+v", is.Configuration)
	}

	// Its connection ends: it is away at once, and its modems are.
	g.nc.Close()
	eventually(t, "it is away", func() bool { is, _ := r.Gateway(t.Context(), "north"); return is.State() == sms.GatewayAway })
	if r.Modems().List()[0].State != sms.Absent {
		t.Error("its modem is not away")
	}
	r.stop()
	r.open(nil)
	is, err = r.Gateway(t.Context(), "north")
	if err != nil || is.State() != sms.GatewayAway || is.Version != "1.1" || is.SeenAt.IsZero() || len(is.Modems) != 1 || is.Configuration.Applied != 2 {
		t.Errorf("after a restart: %+v %v", is, err)
	}
	var states []string
	events, err := r.queue.EventsAfter(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Type == sms.EventGatewayState {
			var g struct{ State string }
			if err := json.Unmarshal(e.Data, &g); err != nil {
				t.Fatal(err)
			}
			states = append(states, g.State)
		}
	}
	if !slices.Equal(states, []string{"connected", "away"}) {
		t.Errorf("the log tells %q", states)
	}
}

func TestConsentTravels(t *testing.T) {
	r := newRig(t, nil)
	north, south := r.gate("north"), r.gate("south")
	north.hello(mirror.HelloRequest{})
	south.hello(mirror.HelloRequest{})
	woken := make(chan *nats.Msg, 10)
	if _, err := south.nc.ChanSubscribe(mirror.Wake("south"), woken); err != nil {
		t.Fatal(err)
	}
	south.nc.Flush()
	north.tell(mirror.Event{Consent: []mirror.Consent{{Number: "+491700000001", Stopped: true, At: time.Now(), Reason: queue.ReasonWord, Wording: "STOP"}}})
	select {
	case <-woken:
	case <-time.After(5 * time.Second):
		t.Fatal("south was not woken")
	}
	a := south.hello(mirror.HelloRequest{})
	if len(a.Consent) != 1 || a.Consent[0].Number != "+491700000001" || !a.Consent[0].Stopped || a.Consent[0].Seq == 0 {
		t.Fatalf("%+v", a.Consent)
	}
	if a := south.hello(mirror.HelloRequest{Consent: a.Consent[0].Seq}); len(a.Consent) != 0 {
		t.Errorf("told again: %+v", a.Consent)
	}
	if stopped, err := r.queue.StopList(t.Context(), "", 10); err != nil || len(stopped) != 1 {
		t.Errorf("the hub's stop list has %v, %v", stopped, err)
	}
}

func TestAGatewayThatIsAwayIsToldOf(t *testing.T) {
	now := time.Now()
	said := make(chan time.Time, 10)
	r := newRig(t, func(o *Options) {
		o.AwayAfter = time.Millisecond
		o.Away = func(name, _ string, since time.Time) { said <- since }
	})
	g := r.gate("north")
	g.hello(mirror.HelloRequest{})
	if since := <-said; !since.IsZero() {
		t.Error("away though it is here")
	}
	g.nc.Close()
	if since := <-said; since.Before(now) {
		t.Error("away since", since)
	}
}

// eventConsumer is by what the hub reads events; nil: there is none.
func (r *rig) eventConsumer() *jetstream.ConsumerInfo {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), mirror.Events)
	if err != nil {
		r.t.Fatal(err)
	}
	for c := range s.ListConsumers(r.t.Context()).Info() {
		return c
	}
	return nil
}

// What could not be booked, and what waits for a gateway, goes with the number that it is about.
func TestErasedAndExportedWithTheNumber(t *testing.T) {
	r := newRig(t, nil)
	g := r.gate("north")
	const number, other = "+491701111111", "+491702222222"
	for _, n := range []string{number, other} {
		g.tellRaw([]byte(`{"arrived": 7, "from": "` + n + `"}`))
	}
	left := func() (n int) {
		t.Helper()
		if err := r.db.Read(t.Context(), func(q db.Querier) error {
			return q.QueryRow(`SELECT (SELECT count(*) FROM gateway_unreadable) + (SELECT count(*) FROM hub_items) + (SELECT count(*) FROM hub_arrivals)`).Scan(&n)
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	eventually(t, "they are put aside", func() bool { return left() == 2 })
	r.nc.Close() // what is to be put into streams stays
	if err := r.queue.Do(func(tx *db.Tx) error {
		for _, n := range []string{number, other} {
			if err := r.PutTx(tx, "north", mirror.Item{Reply: &mirror.Reply{ID: "in_" + n, From: n, Text: "hello"}}); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO hub_arrivals (gateway, message, arrived) VALUES ('north', ?1, json_object('message', json_object('from', ?1)))`, n); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	exported := func(of string) (n int) {
		t.Helper()
		if err := r.queue.ExportNumber(t.Context(), of, func(section string, row any) error {
			if section == "hub" {
				n++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := exported(number); n != 3 {
		t.Errorf("%d rows are exported", n)
	}
	if _, err := r.queue.EraseNumber(t.Context(), number); err != nil {
		t.Fatal(err)
	}
	if n := left(); n != 3 || exported(number) != 0 || exported(other) != 3 {
		t.Errorf("%d rows are left, %d of them about the number, %d about the other", n, exported(number), exported(other))
	}
}

// A gateway that goes while it is asked for something is not waited for until the time is up.
func TestAGatewayThatGoesWhileItIsAsked(t *testing.T) {
	r := newRig(t, nil)
	g := r.gate("north")
	asked := make(chan struct{})
	if _, err := g.nc.Subscribe(mirror.Command("north"), func(*nats.Msg) { close(asked) }); err != nil {
		t.Fatal(err)
	}
	g.hello(mirror.HelloRequest{})
	said := make(chan error)
	go func() {
		_, err := r.command(t.Context(), "north", mirror.CommandRequest{Reset: "sim1"})
		said <- err
	}()
	<-asked
	g.nc.Close()
	if err := <-said; !errors.Is(err, sms.ErrGatewayAway) || !errors.Is(err, errWent) {
		t.Error(err)
	}
}

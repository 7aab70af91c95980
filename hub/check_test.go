package hub

import (
	"errors"
	"slices"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

func TestCheck(t *testing.T) {
	r := newRig(t, nil)
	north, south := r.gateway("north", ""), r.gateway("south", "")
	north.hello(0)
	south.hello(0)
	ids := r.submit(700, queue.Draft{Gateway: "north"})
	eventually(t, "they are in the link", func() bool { return r.inLink("north", ids...) })
	for range 6 {
		north.take(100)
	}
	stored := ids[:600]
	north.tell(sms.Queued, stored...)
	north.tell(sms.Sent, stored[:20]...)
	done, err := r.Check(t.Context(), "north")
	if err != nil || done.Compared != 600 || len(done.Differences) != 0 {
		t.Fatalf("%d compared, %v, %v", done.Compared, done.Differences, err)
	}

	// One that was moved away is no difference, whatever the gateway still says of it.
	if err := r.queue.Do(func(tx *db.Tx) error {
		relay, err := r.queue.RelayOf(t.Context(), stored[30])
		if err != nil {
			return err
		}
		if err := r.queue.MoveTx(tx, relay.Row, true); err != nil {
			return err
		}
		_, err = r.queue.GiveTx(tx, relay.Row, "south", 1)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	north.mu.Lock()
	north.status[stored[0]] = sms.Failed
	north.slots[stored[1]] = 5000
	one := north.has[stored[2]]
	one.Address += 3
	north.has[stored[2]] = one
	delete(north.has, stored[3])
	north.has["msg_zz"], north.status["msg_zz"] = mirror.Message{ID: "msg_zz"}, sms.Sent
	north.mu.Unlock()
	done, err = r.Check(t.Context(), "north")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range done.Differences {
		got = append(got, d.ID+" "+d.Field)
	}
	want := []string{stored[0] + " status", stored[1] + " mirror", stored[2] + " address", stored[3] + " message", "msg_zz message"}
	if !slices.Equal(got, want) {
		t.Errorf("differences:\n%v\nwant\n%v", got, want)
	}
	if d := done.Differences[0]; d.Hub != "sent" || d.Gateway != "failed" {
		t.Errorf("the first is %+v", d)
	}

	// What is under way is looked at again.
	north.mu.Lock()
	north.status[stored[0]], north.slots[stored[1]], north.has[stored[3]] = sms.Sent, 1, one
	north.has[stored[3]] = mirror.Message{ID: stored[3], Address: 3, Epoch: 1}
	one.Address -= 3
	north.has[stored[2]] = one
	delete(north.has, "msg_zz")
	north.status[stored[40]] = sms.Sent
	north.mu.Unlock()
	time.AfterFunc(500*time.Millisecond, func() { north.tell(sms.Sent, stored[40]) })
	if done, err = r.Check(t.Context(), "north"); err != nil || len(done.Differences) != 0 {
		t.Errorf("%v, %v", done.Differences, err)
	}
	north.nc.Close()
	// Until the server knows it, what is asked goes to nobody, and is waited for.
	eventually(t, "its connection is known to have ended", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.known["north"].lost
	})
	if _, err := r.Check(t.Context(), "north"); !errors.Is(err, sms.ErrGatewayAway) {
		t.Error(err)
	}
	if _, err := r.Check(t.Context(), "nowhere"); !errors.Is(err, sms.ErrNoGateway) {
		t.Error(err)
	}
}

func TestMirror(t *testing.T) {
	r := newRig(t, nil)
	north := r.gateway("north", "")
	north.hello(0)
	ids := r.submit(5, queue.Draft{})
	eventually(t, "they are in the link", func() bool { return r.inLink("north", ids...) })
	north.take(2)
	north.tell(sms.Queued, ids[:2]...)
	north.tell(sms.Sent, ids[0])
	north.hello(30 * time.Second)
	m, err := r.Mirror(t.Context(), "north")
	if err != nil {
		t.Fatal(err)
	}
	if m.Outbound.Gap != 3 || m.Outbound.Hub.LastSent == nil || *m.Outbound.Hub.LastRetrieved != 4 || *m.Outbound.Hub.LastConfirmed != 1 || m.Outbound.Gateway.Depth != 2 {
		t.Errorf("outbound is %+v", m.Outbound)
	}
	if !m.InterruptedAt.IsZero() || !m.ExtendedAt.IsZero() {
		t.Error("it counts as away")
	}
	north.hello(90 * time.Second)
	if m, err = r.Mirror(t.Context(), "north"); err != nil || m.InterruptedAt.IsZero() || m.ExtendedAt.Sub(m.InterruptedAt) != time.Minute {
		t.Errorf("interrupted at %v, extended at %v, %v", m.InterruptedAt, m.ExtendedAt, err)
	}
}

package hub

import (
	"errors"
	"slices"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// What a gateway that is away for long never got goes to another of its group; what it
// got, and what names it, stays.
func TestAwayGatewaysMessagesGoElsewhere(t *testing.T) {
	r := newRig(t, nil)
	north, south := r.gateway("north", "g"), r.gateway("south", "g")
	north.hello(0)
	south.hello(time.Hour)
	ids := r.submit(5, queue.Draft{Gateway: "group:g"})
	named := r.submit(1, queue.Draft{Gateway: "north", Message: sms.Message{To: "+4955"}})[0]
	pinned := r.submit(1, queue.Draft{Pin: "sim1@north", Message: sms.Message{To: "+4956"}})[0]
	eventually(t, "they are in the link", func() bool { return r.inLink("north", append(ids, named, pinned)...) })
	north.take(2)
	south.hello(0)
	north.hello(2 * time.Minute) // not long enough
	if err := r.flow.sweepAway(t.Context(), map[string]sweep{}); err != nil {
		t.Fatal(err)
	}
	if !r.inLink("north", append(ids, named, pinned)...) {
		t.Fatal("they went too early")
	}
	north.hello(6 * time.Minute)
	eventually(t, "they are in the other's link", func() bool { return r.inLink("south", ids[2:]...) })
	if !r.inLink("north", append(ids[:2:2], named, pinned)...) {
		t.Error("something went that must not")
	}
	if got := r.inStream("north"); !slices.Equal(got, []string{named, pinned}) {
		t.Errorf("in its stream are %v", got)
	}
	if got := r.inStream("south"); !slices.Equal(got, ids[2:]) {
		t.Errorf("in the other's stream are %v", got)
	}
	if m := r.message(ids[2]); m.PossibleDuplicate {
		t.Error("one that it never got is a possible duplicate")
	}
}

func TestMove(t *testing.T) {
	r := newRig(t, nil)
	north, south := r.gateway("north", ""), r.gateway("south", "g")
	north.hello(0)
	south.hello(0)
	ids := r.submit(5, queue.Draft{Gateway: "north"})
	once := r.submit(1, queue.Draft{Gateway: "north", Message: sms.Message{To: "+4955", OnUnconfirmed: sms.Fail}})[0]
	pinned := r.submit(1, queue.Draft{Pin: "sim1@north", Message: sms.Message{To: "+4956"}})[0]
	eventually(t, "they are in the link", func() bool { return r.inLink("north", append(ids, once, pinned)...) })
	north.take(3)
	north.tell(sms.Queued, ids[0], ids[1], ids[2])
	north.tell(sms.Sent, ids[0])
	north.hello(time.Hour)

	var wrong *sms.WrongGateway
	for _, to := range []string{"", "north", "nowhere", "group:none"} {
		if _, err := r.Move(t.Context(), "north", to); !errors.As(err, &wrong) || wrong.Field != "to" {
			t.Errorf("to %q: %v", to, err)
		}
	}
	if _, err := r.Move(t.Context(), "nowhere", "south"); !errors.Is(err, sms.ErrNoGateway) {
		t.Error(err)
	}
	done, err := r.Move(t.Context(), "north", "group:g")
	if err != nil {
		t.Fatal(err)
	}
	if done.Epoch != 2 || done.Moved != 5 || done.MayDuplicate != 2 || done.Kept != 1 {
		t.Errorf("the answer is %+v", done)
	}
	moved := append(ids[1:5:5], once)
	eventually(t, "they are in the other's link", func() bool { return r.inLink("south", moved...) })
	if !r.inLink("north", ids[0]) {
		t.Error("one that was sent went elsewhere")
	}
	for i, id := range ids[1:] {
		if m := r.message(id); m.PossibleDuplicate != (i < 2) {
			t.Errorf("message %d: possible_duplicate is %v", i+1, m.PossibleDuplicate)
		}
	}
	south.take(5)
	if !south.has[ids[1]].MayHaveGone || south.has[ids[3]].MayHaveGone || south.has[ids[1]].Epoch != 1 {
		t.Errorf("the other got %+v", south.has)
	}
	eventually(t, "the pinned one goes on under the new epoch", func() bool {
		relay, err := r.queue.RelayOf(t.Context(), pinned)
		return err == nil && relay.Gateway == "north" && relay.Epoch == 2 && relay.StreamSeq > 0
	})
	// A message that wants at most once and was delivered fails: nobody can know.
	north.hello(0)
	last := r.submit(1, queue.Draft{Gateway: "north", Message: sms.Message{To: "+4957", OnUnconfirmed: sms.Fail}})[0]
	eventually(t, "it is in the link", func() bool { return r.inLink("north", last) })
	north.take(2)
	north.tell(sms.Queued, last)
	if _, err := r.Move(t.Context(), "north", "south"); err != nil {
		t.Fatal(err)
	}
	if m := r.message(last); m.Status != sms.Failed || m.Error == nil || m.Error.Code != "unconfirmed" {
		t.Errorf("it is %s: %+v", m.Status, m.Error)
	}
}

// What was given after the lease had run out was not sent by the gateway that got it.
func TestMoveAfterTheLease(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Lease = time.Minute })
	north, south := r.gateway("north", ""), r.gateway("south", "")
	south.hello(0)
	north.hello(30 * time.Second)
	early := r.submit(1, queue.Draft{Gateway: "north"})[0]
	eventually(t, "it is in the link", func() bool { return r.inLink("north", early) })
	north.take(1)
	north.hello(10 * time.Minute)
	late := r.submit(1, queue.Draft{Gateway: "north", Message: sms.Message{To: "+4955"}})[0]
	eventually(t, "it is in the link", func() bool { return r.inLink("north", late) })
	north.take(1)
	// It was there when it got the first, and for the hub not any more when it got the second.
	f := r.flow.copyForTest()
	f.lease = time.Minute
	for id, want := range map[string]bool{early: true, late: false} {
		relay, err := r.queue.RelayOf(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		heard := time.Now().Add(-30 * time.Second)
		if id == late {
			heard = time.Now().Add(-10 * time.Minute)
		}
		if got := f.mayHaveGone(&place{heard: heard}, *relay); got != want {
			t.Errorf("it may have gone: %v, want %v", got, want)
		}
	}
	done, err := r.Move(t.Context(), "north", "south")
	if err != nil || done.Moved != 2 || done.MayDuplicate != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
}

// A move that the hub's end cut goes on at the next start.
func TestHubDiesWhileMoving(t *testing.T) {
	r := newRig(t, nil)
	north, south := r.gateway("north", ""), r.gateway("south", "")
	north.hello(0)
	south.hello(0)
	ids := r.submit(3, queue.Draft{Gateway: "north"})
	eventually(t, "they are in the link", func() bool { return r.inLink("north", ids...) })
	north.hello(time.Hour)
	if err := r.database.Write(func(tx *db.Tx) error {
		epoch, err := r.raise(tx, "north")
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO hub_moves (gateway, epoch, target) VALUES ('north', ?, 'south')`, epoch)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.open(nil)
	eventually(t, "they are in the other's link", func() bool { return r.inLink("south", ids...) })
	if len(r.inStream("north")) != 0 {
		t.Error("something is left")
	}
}

// A gateway that is there says itself what it has not begun: nothing of that is a
// possible duplicate.
func TestMoveOfAGatewayThatIsThere(t *testing.T) {
	r := newRig(t, nil)
	north, south := r.gateway("north", ""), r.gateway("south", "")
	north.hello(0)
	south.hello(0)
	ids := r.submit(4, queue.Draft{Gateway: "north"})
	eventually(t, "they are in the link", func() bool { return r.inLink("north", ids...) })
	north.take(3)
	north.tell(sms.Queued, ids[:3]...)
	north.tell(sms.Sending, ids[0])
	north.obeys(sms.Canceled, ids[1:3]...)
	done, err := r.Move(t.Context(), "north", "south")
	if err != nil || done.Moved != 3 || done.MayDuplicate != 0 || done.Kept != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	eventually(t, "they are in the other's link", func() bool { return r.inLink("south", ids[1:]...) })
	for _, id := range ids[1:] {
		if m := r.message(id); m.PossibleDuplicate || m.Status != sms.Queued {
			t.Errorf("%s: %s, possible duplicate %v", id, m.Status, m.PossibleDuplicate)
		}
	}
	north.tell(sms.Sent, ids[0])
	if m := r.message(ids[0]); m.Status != sms.Sent || m.Gateway != "north" {
		t.Errorf("the one that it had begun is %s at %s", m.Status, m.Gateway)
	}
}

// A move that was cut holds from the first message that is routed, before it is gone on with.
func TestCutMoveHoldsAtOnce(t *testing.T) {
	r := newRig(t, nil)
	r.gateway("north", "")
	r.gateway("south", "")
	if err := r.database.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO hub_moves (gateway, epoch, target) VALUES ('north', 1, 'south')`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	f := &flow{d: r.database, nc: r.nc, places: r.places} // that of the next run
	f.burdens.most = mostInLink
	if err := f.open(); err != nil {
		t.Fatal(err)
	}
	if c := f.fleet().route(ask{to: "+49170", wish: "north"}); c.gateway != "south" {
		t.Errorf("it goes to %+v", c)
	}
}

package hub

import (
	"context"
	"testing"

	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// besideNorth names another gateway of north's stream.
func besideNorth(t *testing.T) string {
	t.Helper()
	for _, c := range "abcdefghijklmnopqrstuvwxyz0123456789" {
		if n := "n" + string(c); mirror.Out(n) == mirror.Out("north") {
			return n
		}
	}
	t.Fatal("no second gateway for the stream")
	return ""
}

// A gateway that pulls by requests gets its own and deletes its own, no other's.
func TestRequests(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Pull, o.Window = "request", 10 })
	name := besideNorth(t)
	north, other := r.gateway("north", ""), r.gateway(name, "")
	north.hello(0)
	other.hello(0)
	ids := r.submit(30, queue.Draft{Gateway: "north"})
	others := r.submit(3, queue.Draft{Gateway: name, Message: sms.Message{To: "+4955"}})
	eventually(t, "they are in the link", func() bool { return r.inLink("north", ids...) && r.inLink(name, others...) })
	ask := func(s *stand, p mirror.PullRequest) []mirror.Pulled {
		t.Helper()
		a, err := s.ask(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return a.Items
	}
	first := ask(north, mirror.PullRequest{Free: 4})
	if len(first) != 4 {
		t.Fatalf("%d of 4 came", len(first))
	}
	if seq, err := r.flow.pulls.Delivered(t.Context(), "north"); err != nil || seq != first[3].Seq {
		t.Errorf("handed out up to %d, not %d: %v", seq, first[3].Seq, err)
	}
	// No more than the window is handed out.
	if more := ask(north, mirror.PullRequest{Free: 100}); len(more) != 6 {
		t.Errorf("%d of 6 came", len(more))
	}
	if more := ask(north, mirror.PullRequest{Free: 100}); len(more) != 0 {
		t.Errorf("%d came beyond the window", len(more))
	}
	// The other says that it has what is not its own.
	var stolen []uint64
	for _, p := range first {
		stolen = append(stolen, p.Seq)
	}
	if got := ask(other, mirror.PullRequest{Have: stolen, Free: 10}); len(got) != 3 {
		t.Errorf("the other got %d of 3", len(got))
	}
	if n := len(r.inStream("north")); n != 30 {
		t.Errorf("%d of 30 are left", n)
	}
	if got := ask(north, mirror.PullRequest{Have: stolen, Free: 100}); len(got) != 4 {
		t.Errorf("%d of 4 came for those that it has", len(got))
	}
	if n := len(r.inStream("north")); n != 26 {
		t.Errorf("%d of 26 are left", n)
	}
	// Another start of the hub: what was not said to be there is handed out again.
	r.stop()
	r.open(func(o *Options) { o.Pull, o.Window = "request", 100 })
	creds, err := r.Rotate(t.Context(), "north", 0)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := r.dial("north", creds)
	if err != nil {
		t.Fatal(err)
	}
	north.nc = nc
	if got := ask(north, mirror.PullRequest{Free: 100}); len(got) != 26 {
		t.Errorf("%d of 26 came after the start", len(got))
	}
	// One that waits ends when the gateway asks anew.
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = north.ask(context.Background(), mirror.PullRequest{Free: 5, Wait: 30})
	}()
	waits := r.requests.get("north")
	eventually(t, "it waits", func() bool {
		if waits.mu.TryLock() {
			waits.mu.Unlock()
			return false
		}
		return true
	})
	ask(north, mirror.PullRequest{Free: 5})
	eventually(t, "the one before it has ended", func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
}

// What a gateway has is taken out of its stream, and nothing that it was not handed or that is
// another's.
func TestOnlyWhatIsConfirmedIsTakenOut(t *testing.T) {
	r := newRig(t, nil)
	name := besideNorth(t)
	north, other := r.gateway("north", ""), r.gateway(name, "")
	north.hello(0)
	other.hello(0)
	others := r.submit(2, queue.Draft{Gateway: name, Message: sms.Message{To: "+4955"}})
	eventually(t, "the other's are in the link", func() bool { return r.inLink(name, others...) })
	ids := r.submit(10, queue.Draft{Gateway: "north"})
	eventually(t, "they are in the link", func() bool { return r.inLink("north", ids...) })
	ask := func(p mirror.PullRequest) (places []uint64) {
		t.Helper()
		a, err := north.ask(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range a.Items {
			places = append(places, i.Seq)
		}
		return places
	}
	left := func(want int) {
		t.Helper()
		if n := len(r.inStream("north")); n != want {
			t.Errorf("%d are left, want %d", n, want)
		}
	}
	four := ask(mirror.PullRequest{Free: 4})
	ask(mirror.PullRequest{Have: four})
	left(6)
	rest := ask(mirror.PullRequest{Free: 10})
	ask(mirror.PullRequest{Have: []uint64{rest[0], rest[2], rest[5]}})
	left(3)
	ask(mirror.PullRequest{Have: []uint64{rest[1], rest[3], rest[4]}})
	left(0)
	if n := len(r.inStream(name)); n != 2 {
		t.Errorf("%d of the other's 2 are left", n)
	}
}

package hub

import (
	"context"
	"strings"
	"testing"

	"gatewayd/mirror"
	"gatewayd/queue"
	"gatewayd/sms"
)

// The other way of pulling begins with streams of its own, once nothing is under way: in the
// stream, or stored by a gateway that has not said so yet.
func TestPullIsChanged(t *testing.T) {
	for _, ways := range [][2]string{{"consumer", "request"}, {"request", "consumer"}} {
		t.Run(ways[0]+" to "+ways[1], func(t *testing.T) {
			pull := func(way string) func(*Options) { return func(o *Options) { o.Pull = way } }
			r := newRig(t, pull(ways[0]))
			north := r.gateway("north", "")
			north.hello(0)
			ids := r.submit(3, queue.Draft{Gateway: "north"})
			eventually(t, "they are in the link", func() bool { return r.inLink("north", ids...) })
			refused := func(why string) {
				t.Helper()
				r.stop()
				if err := r.try(pull(ways[1])); err == nil || !strings.Contains(err.Error(), "hub.pull was changed while messages are on their way") {
					t.Fatalf("%s: %v", why, err)
				}
				r.open(pull(ways[0]))
			}
			refused("with messages in the stream")
			creds, err := r.Rotate(t.Context(), "north", 0)
			if err != nil {
				t.Fatal(err)
			}
			if north.nc, err = r.dial("north", creds); err != nil {
				t.Fatal(err)
			}
			north.hello(0)
			eventually(t, "it is prepared", func() bool { return r.prepared("north") })
			north.pull(ways[0])
			eventually(t, "they have come", func() bool { return north.count() == 3 && len(r.inStream("north")) == 0 })
			north.stop()
			refused("with messages that nobody has told of")
			if north.nc, err = r.dial("north", creds); err != nil {
				t.Fatal(err)
			}
			north.tell(sms.Queued, ids...)
			r.stop()
			r.open(pull(ways[1]))
			if creds, err = r.Rotate(t.Context(), "north", 0); err != nil { // they let it pull the other way
				t.Fatal(err)
			}
			if north.nc, err = r.dial("north", creds); err != nil {
				t.Fatal(err)
			}
			north.hello(0)
			more := r.submit(2, queue.Draft{Gateway: "north"})
			eventually(t, "new ones are in the link", func() bool { return r.inLink("north", more...) })
			north.pull(ways[1])
			eventually(t, "they have come", func() bool { return north.count() == 5 })
			s, err := r.js.Stream(t.Context(), mirror.Out("north"))
			if err != nil || s.CachedInfo().Config.Retention != r.retention() {
				t.Errorf("the stream is %+v, %v", s.CachedInfo().Config, err)
			}
		})
	}
}

// try opens a hub that may be refused, and closes what was opened.
func (r *rig) try(with func(*Options)) error {
	r.t.Helper()
	o := r.options(with)
	h, err := Open(context.Background(), o)
	if err == nil {
		h.Close()
	}
	r.database.Close()
	return err
}

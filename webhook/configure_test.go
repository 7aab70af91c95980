package webhook

import (
	"context"
	"testing"
	"time"
)

// What waits for a webhook that is taken out of the configuration waits until it
// is back; one that stays notices nothing; a new one gets what comes from now on.
func TestConfigureWhileItRuns(t *testing.T) {
	a, b, c := testEndpoint("a"), testEndpoint("b"), testEndpoint("c")
	inBubble(t, []Endpoint{a, b}, func(r *rig) {
		configure := func(all ...Endpoint) {
			t.Helper()
			if err := r.w.Configure(context.Background(), Configuration{Endpoints: all}); err != nil {
				t.Fatal(err)
			}
		}
		r.always(500)
		r.submitMany(alice, 0, 3)
		settleDown(time.Minute)
		configure(a, c)
		r.forget()
		settleDown(24 * time.Hour)
		if n := len(r.got(func(x arrival) bool { return x.host == "b.example" })); n != 0 {
			t.Errorf("a webhook that is gone was told %d times", n)
		}
		r.always(204)
		r.forget()
		r.submitMany(alice, 3, 5)
		settleDown(24 * time.Hour)
		r.wantInOrder("a.example", alice, 5)
		r.forget()
		configure(b, c)
		r.submitMany(alice, 5, 6)
		settleDown(24 * time.Hour)
		texts := ""
		for _, x := range r.got(func(x arrival) bool { return x.host == "b.example" }) {
			texts += x.text
		}
		if texts != "0125" {
			t.Errorf("the one that is back was told %q", texts)
		}
		bad := testEndpoint("d")
		bad.URL = "http://plain.example/"
		if err := r.w.Configure(context.Background(), Configuration{Endpoints: []Endpoint{bad}}); err == nil || len(r.w.list()) != 2 {
			t.Errorf("%v; %d endpoints are left", err, len(r.w.list()))
		}
		// A new address is a new start for one that was disabled, which keeps its id.
		r.always(410)
		r.submitMany(bob, 0, 1)
		settleDown(time.Minute)
		before := r.w.list()[0]
		if !before.disabled.Load() {
			t.Fatal("410 did not disable it")
		}
		r.always(204)
		b.URL = "https://moved.example/hook"
		configure(b, c)
		r.forget()
		r.submitMany(bob, 1, 2)
		settleDown(time.Minute)
		if after := r.w.list()[0]; after != before || len(r.got(func(x arrival) bool { return x.host == "moved.example" })) != 1 {
			t.Errorf("at the new address %d events came", len(r.got(func(x arrival) bool { return x.host == "moved.example" })))
		}
		r.restart() // with the endpoints of the start
	})
}

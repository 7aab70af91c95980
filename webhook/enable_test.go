package webhook

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/sms"
)

// An e-mail that was handed over just when the gateway stops is not sent again.
func TestEMailAtTheEndIsBooked(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		sent := 0
		r.options = func(o *Options) {
			o.Mail = func(ctx context.Context, _ []string, _, _, _ string) error {
				sent++
				<-ctx.Done() // the server was slow to say so
				return nil
			}
		}
		r.restart()
		r.make("oncall", func(c *sms.WebhookChange) { c.URL = p("mailto:a@x.example") })
		r.receive(alice, "it burns")
		synctest.Wait()
		r.restart()
		settleDown(time.Hour)
		if sent != 1 {
			t.Errorf("%d e-mails", sent)
		}
	})
}

// Each event that comes while an endpoint is enabled is told by itself or by a
// replay: none falls between the two.
func TestNothingIsLostWhileItIsEnabled(t *testing.T) {
	const rounds = 60
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		h := r.make("app", nil)
		began := time.Now().Add(-time.Hour)
		for i := range rounds {
			r.change(h.ID, sms.WebhookChange{Enabled: p(false)})
			var both sync.WaitGroup
			both.Go(func() {
				for j := range 3 {
					r.submit(alice, fmt.Sprint(3*i+j))
				}
			})
			both.Go(func() {
				if _, err := r.w.Enable(ctx, h.ID); err != nil {
					t.Error(err)
				}
			})
			both.Wait()
			settleDown(time.Second)
		}
		if _, err := r.w.Replay(ctx, h.ID, sms.WebhookReplay{Since: began}); err != nil {
			t.Fatal(err)
		}
		settleDown(time.Minute)
		told := texts(r.got(nil))
		for i := range 3 * rounds {
			if !slices.Contains(told, fmt.Sprint(i)) {
				t.Errorf("%d was told neither at once nor by the replay", i)
			}
		}
	})
}

// Whoever has mended the receiver of an endpoint that is on need not wait for what
// waits out a backoff, or a pause that the receiver asked for.
func TestEnableHurriesWhatWaits(t *testing.T) {
	for _, status := range []int{0, http.StatusUnauthorized, http.StatusServiceUnavailable} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inBubble(t, nil, func(r *rig) {
				h := r.make("app", nil)
				r.setAnswer(func(*http.Request, arrival) (int, http.Header) { return status, http.Header{"Retry-After": {"600"}} })
				r.submitMany(alice, 0, 2)
				for range refusalsAllowed + 1 { // tries that somebody asks for use up none of its own
					if _, err := r.w.Enable(context.Background(), h.ID); err != nil {
						t.Fatal(err)
					}
					settleDown(time.Second)
				}
				r.always(http.StatusOK)
				before := len(r.got(nil))
				settleDown(time.Second)
				if n := len(r.got(nil)); n != before {
					t.Fatalf("%d came by themselves", n-before)
				}
				if _, err := r.w.Enable(context.Background(), h.ID); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if told := texts(r.got(nil)[before:]); !slices.Equal(told, []string{"0", "1"}) {
					t.Errorf("told %q", told)
				}
			})
		})
	}
}

// faulty is a format that panics.
type faulty struct{ shouting }

func (*faulty) Request(Delivery) (*Request, error) { panic("a fault") }

// A fault of ours in one delivery is its own trouble: the others go on.
func TestPanicOfAFormatIsIsolated(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.options = func(o *Options) {
			o.Formats = map[string]Format{"shout": &faulty{}}
			o.Sources = []Source{naming{{URL: "https://loud.example/", Format: "shout"}}}
		}
		r.restart()
		r.submitMany(alice, 0, 2)
		settleDown(time.Minute)
		r.wantInOrder("app.example", alice, 2)
		if d := r.list(sms.DeliveryFilter{Endpoint: "loud.example"}); len(d) != 2 || d[0].Error == nil && d[1].Error == nil {
			t.Errorf("%+v", d)
		}
	})
}

package webhook

import (
	"context"
	"net/http"
	"testing"
	"time"

	"gatewayd/sms"
)

// Whatever a receiver does for an hour, others are not delayed, and afterwards
// it gets everything in order; what was refused is replayed.
func TestAnHourOfEveryTrouble(t *testing.T) {
	wait := func(req *http.Request, d time.Duration) bool {
		select {
		case <-time.After(d):
			return true
		case <-req.Context().Done():
			return false
		}
	}
	for what, trouble := range map[string]func(*http.Request, arrival) (int, http.Header){
		"500":      func(*http.Request, arrival) (int, http.Header) { return 500, nil },
		"hangs":    func(req *http.Request, _ arrival) (int, http.Header) { wait(req, time.Hour); return 0, nil },
		"resets":   func(*http.Request, arrival) (int, http.Header) { return 0, nil },
		"slow":     func(req *http.Request, _ arrival) (int, http.Header) { wait(req, 14*time.Second); return 200, nil },
		"too slow": func(req *http.Request, _ arrival) (int, http.Header) { wait(req, 16*time.Second); return 0, nil },
		"redirect": func(*http.Request, arrival) (int, http.Header) {
			return 302, http.Header{"Location": {"https://other.example/"}}
		},
		"one bad number": func(_ *http.Request, a arrival) (int, http.Header) {
			if a.number == alice {
				return 400, nil
			}
			return 200, nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, []Endpoint{testEndpoint("app"), testEndpoint("other")}, func(r *rig) {
				const rounds = 12
				numbers := []string{alice, bob, carol}
				r.setAnswer(func(req *http.Request, a arrival) (int, http.Header) {
					if a.host == "app.example" {
						return trouble(req, a)
					}
					return 200, nil
				})
				began := time.Now()
				for i := range rounds {
					start := time.Now()
					for _, n := range numbers {
						r.submitMany(n, i, i+1)
					}
					settleDown(5 * time.Minute)
					for _, a := range r.got(at("other"))[i*len(numbers):] {
						if d := a.at.Sub(start); d > 100*time.Millisecond {
							t.Errorf("the other was delayed by %s", d)
						}
					}
				}
				r.always(200)
				settleDown(2 * maxDelay)
				if n := len(r.list(sms.DeliveryFilter{Status: sms.DeliveryFailed, Limit: 500})); n > 0 {
					r.forget()
					done, err := r.w.Replay(context.Background(), r.w.list()[0].public, sms.WebhookReplay{Since: began, All: true})
					if err != nil || done.Replayed != rounds*len(numbers) {
						t.Errorf("%+v, %v", done, err)
					}
					settleDown(time.Hour)
				}
				for _, n := range numbers {
					r.wantInOrder("app.example", n, rounds)
				}
				if n := r.count(`SELECT count(*) FROM webhook_deliveries WHERE state <> 'delivered'`); n != 0 {
					t.Errorf("%d were not delivered", n)
				}
			})
		})
	}
}

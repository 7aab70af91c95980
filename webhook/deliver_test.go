package webhook

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
)

func TestEventIsDeliveredAtOnce(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		m := r.submit(alice, "hello")
		synctest.Wait()
		all := r.got(nil)
		if len(all) != 1 || all[0].event != "message.queued" || all[0].msg != m.ID || all[0].number != alice || all[0].text != "hello" {
			t.Fatalf("arrived: %+v", all)
		}
		d := r.only(sms.DeliveryDelivered)
		if d.ID != all[0].id || d.Endpoint != "app" || *d.MessageID != m.ID || d.Type != "message.queued" || d.Attempts != 1 ||
			*d.ResponseStatus != 204 || d.Error != nil || d.DeliveredAt == nil || d.LastAttemptAt == nil || d.NextAttemptAt != nil || d.Event == 0 {
			t.Errorf("listed as %+v", d)
		}
	})
}

func TestModemEventsAreDeliveredToo(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app", "modem.state"), testEndpoint("other", "message.sent")}, func(r *rig) {
		if err := r.q.AppendModemState(sms.Modem{Name: "office", State: sms.Ready}); err != nil {
			t.Fatal(err)
		}
		r.submit(alice, "nobody asked")
		synctest.Wait()
		if all := r.got(nil); len(all) != 1 || all[0].host != "app.example" || all[0].event != "modem.state" {
			t.Errorf("arrived: %+v", all)
		}
	})
}

func TestFlakyReceiverGetsEverythingInOrder(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app"), testEndpoint("other")}, func(r *rig) {
		r.setAnswer(func(req *http.Request, _ arrival) (int, http.Header) {
			select {
			case <-time.After(time.Duration(rand.IntN(3000)) * time.Millisecond):
			case <-req.Context().Done():
			}
			return []int{0, 200, 204, 408, 425, 500, 503, 200, 200}[rand.IntN(9)], nil
		})
		numbers := []string{alice, bob, carol}
		for i := range 15 {
			for _, n := range numbers {
				r.submitMany(n, i, i+1)
			}
			settleDown(time.Second)
		}
		settleDown(72 * time.Hour)
		for _, host := range []string{"app.example", "other.example"} {
			for _, n := range numbers {
				r.wantInOrder(host, n, 15)
			}
		}
	})
}

func TestReceiverThatIsDownGetsEverythingOnceBack(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.always(0)
		for i := range 60 {
			for n := range 20 {
				r.submitMany(name(n), i, i+1)
			}
			settleDown(time.Hour)
		}
		tries := len(r.got(of(name(0))))
		if tries < 10 || tries > 40 {
			t.Errorf("%d attempts in 60 hours", tries)
		}
		r.always(200)
		// The backoff of one number ends within its longest delay; its success
		// shows that the receiver is back and the others need not wait.
		settleDown(maxDelay + maxDelay/4)
		for n := range 20 {
			r.wantInOrder("app.example", name(n), 60)
		}
		first, last := r.got(func(a arrival) bool { return a.status == 200 })[0].at, r.got(nil)[len(r.got(nil))-1].at
		if last.Sub(first) > time.Minute {
			t.Errorf("%s from the first success to the last event", last.Sub(first))
		}
	})
}

func TestRetriesSurviveRestarts(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.always(503)
		r.submitMany(alice, 0, 3)
		r.submitMany(bob, 0, 3)
		settleDown(30 * time.Second)
		before := len(r.got(of(alice)))
		r.restart()
		if n := len(r.got(of(alice))); n > before+1 {
			t.Errorf("%d attempts at the restart: the backoff was forgotten", n-before)
		}
		r.submitMany(alice, 3, 5)
		settleDown(10 * time.Hour)
		r.restart()
		r.always(200)
		settleDown(5 * time.Hour)
		r.wantInOrder("app.example", alice, 5)
		r.wantInOrder("app.example", bob, 3)
		for _, d := range r.list(sms.DeliveryFilter{}) {
			if d.Status != sms.DeliveryDelivered {
				t.Errorf("%+v", d)
			}
		}
	})
}

func TestEventsWhileStoppedAreDeliveredAtTheStart(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.submitMany(alice, 0, 1)
		synctest.Wait()
		r.cancel()
		<-r.ended
		r.ended <- nil
		r.submitMany(alice, 1, 300)
		r.restart()
		synctest.Wait()
		r.wantInOrder("app.example", alice, 300)
		if n := len(r.got(nil)); n != 300 {
			t.Errorf("%d attempts for 300 events", n)
		}
	})
}

func TestStoppingLetsAttemptsEnd(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		slow := 2 * time.Second
		r.setAnswer(func(req *http.Request, _ arrival) (int, http.Header) {
			select {
			case <-time.After(slow):
				return 200, nil
			case <-req.Context().Done():
				return 0, nil
			}
		})
		r.submitMany(alice, 0, 1)
		synctest.Wait()
		r.restart() // while the receiver thinks
		synctest.Wait()
		if all := r.got(nil); len(all) != 1 || all[0].status != 200 {
			t.Fatalf("arrived: %+v", all)
		}

		slow = time.Hour
		r.submitMany(alice, 1, 2)
		synctest.Wait()
		began := time.Now()
		r.stop()
		if d := time.Since(began); d != stopWait {
			t.Errorf("stopping took %s", d)
		}
		slow = 0
		r.start()
		settleDown(time.Second)
		r.wantInOrder("app.example", alice, 2)
		if d := r.list(sms.DeliveryFilter{})[0]; d.Attempts != 1 {
			t.Errorf("an attempt that our own end cut off was counted: %+v", d)
		}
	})
}

func TestOneNumbersTroubleDoesNotHoldTheOthers(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.setAnswer(func(_ *http.Request, a arrival) (int, http.Header) {
			if a.number == alice {
				return 500, nil
			}
			return 200, nil
		})
		r.submitMany(alice, 0, 50)
		r.submitMany(bob, 0, 5)
		synctest.Wait()
		r.wantInOrder("app.example", bob, 5)
		if all := r.got(of(alice)); len(all) != 1 {
			t.Errorf("%d attempts for alice", len(all))
		}
	})
}

// An alarm that a failing receiver missed the begin of is not left on there.
func TestAlarmEndsAfterItBegan(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app", sms.EventAlarmBegin, sms.EventAlarmEnd)}, func(r *rig) {
		r.setAnswer(func(_ *http.Request, a arrival) (int, http.Header) {
			if a.event == sms.EventAlarmBegin {
				return 500, nil
			}
			return 200, nil
		})
		for _, kind := range []string{sms.EventAlarmBegin, sms.EventAlarmEnd} {
			if err := r.q.Append(kind, sms.Alarm{Code: "modem-parked", Modem: "one", BegunAt: time.Now()}, nil); err != nil {
				t.Fatal(err)
			}
		}
		settleDown(time.Hour)
		if n := len(r.got(func(a arrival) bool { return a.event == sms.EventAlarmEnd })); n > 0 {
			t.Error("the end was told before the begin")
		}
		r.always(200)
		settleDown(3 * time.Hour)
		if n := len(r.got(func(a arrival) bool { return a.event == sms.EventAlarmEnd })); n != 1 {
			t.Errorf("the end was told %d times", n)
		}
	})
}

func TestAfterThreeDaysAnEventIsGivenUpAndKept(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.setAnswer(func(_ *http.Request, a arrival) (int, http.Header) {
			if a.text == "0" || a.text == "1" {
				return 500, nil
			}
			return 200, nil
		})
		r.submitMany(alice, 0, 3)
		settleDown(71 * time.Hour)
		if n := len(r.list(sms.DeliveryFilter{Status: sms.DeliveryPending})); n != 3 {
			t.Fatalf("%d pending after 71 hours", n)
		}
		// The second has waited as long behind the first and gets one try.
		settleDown(90 * time.Minute)
		failed := r.list(sms.DeliveryFilter{Status: sms.DeliveryFailed})
		if len(failed) != 2 || failed[1].Attempts < 20 || failed[0].Attempts > 2 || *failed[1].ResponseStatus != 500 ||
			*failed[1].Error != "HTTP 500 Internal Server Error" || failed[1].NextAttemptAt != nil {
			t.Fatalf("failed: %+v", failed)
		}
		if got := r.got(of(alice)); got[len(got)-1].text != "2" || got[len(got)-1].status != 200 {
			t.Errorf("the last attempt is %+v", got[len(got)-1])
		}
		// It is kept, however long, and its event with it.
		if err := r.q.Prune(context.Background(), time.Now(), queue.Retention{Events: time.Hour}); err != nil {
			t.Fatal(err)
		}
		settleDown(30 * 24 * time.Hour)
		r.forget()
		r.always(200)
		for _, d := range failed {
			again, err := r.w.Retry(context.Background(), d.ID)
			if err != nil || again.Status != sms.DeliveryPending {
				t.Fatalf("%+v, %v", again, err)
			}
			synctest.Wait()
		}
		wantTexts(t, r.got(nil), "1", "0")
		if n := len(r.list(sms.DeliveryFilter{Status: sms.DeliveryFailed})); n != 0 {
			t.Errorf("%d still failed", n)
		}
	})
}

func TestARetriedEventHasThreeDaysAgain(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.always(400)
		r.submitMany(alice, 0, 1)
		settleDown(time.Hour)
		d := r.only(sms.DeliveryFailed)
		r.always(500)
		if _, err := r.w.Retry(context.Background(), d.ID); err != nil {
			t.Fatal(err)
		}
		settleDown(71 * time.Hour)
		r.always(200)
		settleDown(time.Hour + maxDelay)
		if d = r.only(sms.DeliveryDelivered); d.Attempts < 20 {
			t.Errorf("%+v", d)
		}
	})
}

func TestRefusedEventStepsAside(t *testing.T) {
	for _, status := range []int{300, 301, 302, 307, 308, 400, 401, 403, 404, 405, 409, 413, 415, 422, 451} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
				r.setAnswer(func(_ *http.Request, a arrival) (int, http.Header) {
					if a.text == "0" {
						return status, http.Header{"Location": {"https://elsewhere.example/"}}
					}
					return 200, nil
				})
				r.submitMany(alice, 0, 2)
				start := time.Now()
				settleDown(10 * time.Minute)
				all := r.got(nil)
				wantTexts(t, all, "0", "0", "0", "1")
				for _, a := range all {
					if a.host != "app.example" {
						t.Errorf("a redirect was followed to %s", a.host)
					}
				}
				if third := all[2].at.Sub(start); third < 8*time.Minute {
					t.Errorf("the third try came after %s", third)
				}
				if d := r.only(sms.DeliveryFailed); *d.ResponseStatus != status || d.Attempts != 3 {
					t.Errorf("%+v", d)
				}
			})
		})
	}
}

func TestGoneDisablesTheEndpoint(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app"), testEndpoint("other")}, func(r *rig) {
		app := func(a arrival) bool { return a.host == "app.example" }
		r.setAnswer(func(_ *http.Request, a arrival) (int, http.Header) {
			if a.host == "app.example" {
				return 410, nil
			}
			return 200, nil
		})
		r.submitMany(alice, 0, 2)
		settleDown(time.Minute)
		r.submitMany(bob, 0, 2)
		settleDown(24 * time.Hour)
		if n := len(r.got(app)); n != 1 {
			t.Errorf("%d attempts at an endpoint that is gone", n)
		}
		r.wantInOrder("other.example", bob, 2)
		r.always(200)
		r.restart() // it stays disabled
		r.submitMany(bob, 2, 3)
		settleDown(time.Hour)
		if n := len(r.got(app)); n != 1 {
			t.Errorf("%d attempts after the restart", n)
		}
		failed := r.list(sms.DeliveryFilter{Status: sms.DeliveryFailed, Endpoint: "app"})
		if len(failed) != 2 || !strings.Contains(*failed[1].Error, "disabled until") || !strings.Contains(*failed[0].Error, "disabled since") {
			t.Fatalf("failed: %+v", failed)
		}
		if !strings.Contains(r.logs.String(), "410") {
			t.Errorf("the log does not tell it:\n%s", r.logs.String())
		}

		// A retry enables it, for new events too.
		if _, err := r.w.Retry(context.Background(), failed[1].ID); err != nil {
			t.Fatal(err)
		}
		r.submitMany(carol, 0, 1)
		settleDown(time.Second)
		wantTexts(t, r.got(func(a arrival) bool { return app(a) && a.status == 200 }), "0", "0")
		r.restart()
		r.submitMany(carol, 1, 2)
		settleDown(time.Second)
		r.wantInOrder("app.example", carol, 2)
	})
}

func TestANewAddressEnablesTheEndpoint(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.setAnswer(func(_ *http.Request, a arrival) (int, http.Header) {
			if a.host == "app.example" {
				return 410, nil
			}
			return 200, nil
		})
		r.submitMany(alice, 0, 1)
		settleDown(time.Second)
		r.endpoints[0].URL = "https://new.example/hook?token=s3cr3t"
		r.restart()
		r.submitMany(alice, 1, 2)
		settleDown(time.Second)
		wantTexts(t, r.got(func(a arrival) bool { return a.host == "new.example" }), "1")
	})
}

func TestPendingFollowsTheNameToANewAddress(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.always(500)
		r.submitMany(alice, 0, 3)
		settleDown(time.Second)
		r.endpoints[0].URL = "https://new.example/hook?token=s3cr3t"
		r.always(200)
		r.restart()
		settleDown(time.Minute)
		r.wantInOrder("new.example", alice, 3)
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for _, status := range []int{429, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
				start := time.Now()
				r.setAnswer(func(_ *http.Request, a arrival) (int, http.Header) {
					if time.Since(start) < 20*time.Minute {
						return status, http.Header{"Retry-After": {"1200"}}
					}
					return 200, nil
				})
				r.submitMany(alice, 0, 2)
				settleDown(time.Minute)
				r.submitMany(bob, 0, 2) // what it asked for holds for every number
				settleDown(18 * time.Minute)
				if n := len(r.got(nil)); n != 1 {
					t.Errorf("%d attempts before the time", n)
				}
				settleDown(2 * time.Minute)
				r.wantInOrder("app.example", alice, 2)
				r.wantInOrder("app.example", bob, 2)
			})
		})
	}
}

func TestHangingReceiverDoesNotDelayAnother(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("hangs"), testEndpoint("app")}, func(r *rig) {
		r.setAnswer(func(req *http.Request, a arrival) (int, http.Header) {
			if a.host == "hangs.example" {
				<-req.Context().Done()
				return 0, nil
			}
			return 200, nil
		})
		start := time.Now()
		for n := range 50 {
			r.submitMany(name(n), 0, 2)
		}
		synctest.Wait()
		for n := range 50 {
			r.wantInOrder("app.example", name(n), 2)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the other endpoint was delayed by %s", d)
		}
		settleDown(attemptTimeout)
		if n := len(r.got(func(a arrival) bool { return a.host == "hangs.example" })); n != parallel {
			t.Errorf("%d attempts ended after %s, want %d", n, attemptTimeout, parallel)
		}
		d := r.list(sms.DeliveryFilter{Endpoint: "hangs", Limit: 500})
		if last := d[len(d)-1]; last.Error == nil || *last.Error != "no answer within 15s" || last.ResponseStatus != nil {
			t.Errorf("%+v", last)
		}
	})
}

func TestNumbersGoInParallelWithinABound(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.setAnswer(func(req *http.Request, _ arrival) (int, http.Header) {
			time.Sleep(time.Second)
			return 200, nil
		})
		start := time.Now()
		for n := range 4 * parallel {
			r.submitMany(name(n), 0, 2)
		}
		settleDown(8 * time.Second)
		for n := range 4 * parallel {
			r.wantInOrder("app.example", name(n), 2)
		}
		if r.mostBusy["app.example"] != parallel {
			t.Errorf("%d at once, want %d", r.mostBusy["app.example"], parallel)
		}
		last := r.got(nil)[8*parallel-1]
		if d := last.at.Sub(start); d != 7*time.Second {
			t.Errorf("the last request began after %s", d)
		}
	})
}

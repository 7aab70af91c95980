package webhook

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

// callback makes one event of a message that names its receiver.
func (r *rig) callback(to, text, url string) sms.Message {
	r.t.Helper()
	m, _, err := r.q.Submit(context.Background(), []queue.Draft{{Message: sms.Message{To: to, Text: text, CallbackURL: url}}}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return m[0]
}

// withCallbacks starts again with callbacks, and has the world know their secret.
func (r *rig) withCallbacks(hosts ...string) {
	r.t.Helper()
	was := r.options
	r.options = func(o *Options) {
		if o.Callbacks = true; was != nil {
			was(o)
		}
	}
	r.restart()
	s, err := r.w.CallbackSecret(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, h := range hosts {
		r.secrets[h] = s.Secret
	}
}

func TestCallbackIsToldItsMessageAlone(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.withCallbacks("shop.example", "shop.example:8443")
		m := r.callback(alice, "0", "https://shop.example/order?id=7&token=s3cr3t")
		r.submit(alice, "nobody's")
		r.callback(bob, "0", "https://shop.example:8443/b")
		r.receive(alice, "not about a message that was sent")
		synctest.Wait()
		got := r.got(func(a arrival) bool { return a.number == alice })
		if len(got) != 1 || got[0].path != "/order?id=7&token=s3cr3t" || got[0].msg != m.ID || got[0].event != "message.queued" {
			t.Fatalf("arrived %+v", got)
		}
		if n := len(r.got(nil)); n != 2 {
			t.Errorf("%d arrived", n)
		}
		d := r.list(sms.DeliveryFilter{Message: m.ID})
		if len(d) != 1 || d[0].Endpoint != "shop.example" || d[0].Webhook != nil || d[0].Status != sms.DeliveryDelivered || d[0].ID != got[0].id {
			t.Errorf("listed as %+v", d)
		}
		if n := r.count(`SELECT count(*) FROM webhook_deliveries WHERE url IS NOT NULL`); n != 0 {
			t.Errorf("%d URLs are kept after their delivery", n)
		}
		if _, err := r.q.Cancel(context.Background(), m.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got = r.got(of(alice)); len(got) != 2 || got[1].event != "message.canceled" || got[1].id == got[0].id {
			t.Errorf("arrived %+v", got)
		}
		if len(r.w.origins) != 0 {
			t.Errorf("%d origins are in memory, and nothing waits", len(r.w.origins))
		}
	})
}

func TestCallbackRetriesSurviveRestartsAndAreErased(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.withCallbacks("shop.example")
		r.always(503)
		const url = "https://shop.example/?to=%2B491701000001"
		m := r.callback(alice, "0", url)
		r.callback(alice, "1", url)
		r.callback(bob, "0", url)
		settleDown(30 * time.Second)
		id := r.got(of(bob))[0].id
		r.restart()
		settleDown(time.Minute)
		if n := r.count(`SELECT count(*) FROM webhook_deliveries WHERE message = ? AND url IS NOT NULL AND answer IS NOT NULL`, m.ID); n == 0 {
			t.Fatal("there is nothing to erase")
		}
		if n := r.exported(alice); n == 0 {
			t.Error("what webhooks answered is in no export")
		}
		if _, err := r.q.EraseNumber(context.Background(), alice); err != nil {
			t.Fatal(err)
		}
		if n := r.count(`SELECT count(*) FROM webhook_deliveries WHERE message = ? AND (url IS NOT NULL OR answer IS NOT NULL)`, m.ID); n != 0 || r.exported(alice) != 0 {
			t.Error("what an erased message named is still there")
		}
		r.forget()
		r.always(200)
		settleDown(2 * time.Hour)
		if got := r.got(nil); len(got) != 1 || got[0].number != bob || got[0].id != id || got[0].path != "/?to=%2B491701000001" {
			t.Errorf("arrived %+v", got)
		}
	})
}

// exported counts the answers of an export that are about a number's messages.
func (r *rig) exported(number string) (n int) {
	r.t.Helper()
	err := r.q.ExportNumber(context.Background(), number, func(section string, row any) error {
		if section != "webhook_answers" {
			return nil
		}
		a := row.(exportedAnswer)
		m, err := r.q.Message(context.Background(), a.Message)
		if err != nil || m.To != number || a.URL == nil || !strings.Contains(*a.URL, "shop.example") {
			r.t.Errorf("exported is %+v (%v)", a, err)
		}
		if a.Answer != nil && *a.Answer == "thanks" {
			n++
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// Without endpoints nothing holds the log or a received message, and yet no
// callback is lost with the process.
func TestCallbackBeforeAKillIsTold(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.withCallbacks("shop.example")
		r.callback(alice, "0", "https://shop.example/")
		settleDown(time.Hour)
		r.restart()
		readers := func() int {
			t.Helper()
			all, err := r.q.Readers(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		if n := readers(); n != 0 {
			t.Errorf("%d readers while nothing waits", n)
		}
		r.cancel() // from here on nobody copies
		<-r.ended
		r.ended <- nil
		for i := 1; i < 300; i++ {
			r.callback(alice, fmt.Sprint(i), "https://shop.example/")
		}
		r.receive(bob, "nobody waits for this")
		r.restart()
		synctest.Wait()
		r.wantInOrder("shop.example", alice, 300)
		if n := readers(); n != 1 {
			t.Errorf("%d readers after a callback", n)
		}
		r.restart()
		settleDown(8 * 24 * time.Hour)
		r.restart()
		settleDown(time.Hour)
		if n := len(r.got(nil)); n != 300 {
			t.Errorf("%d attempts for 300 events", n)
		}
	})
}

// What a message named goes with it when the history forgets it.
func TestForgottenMessageLeavesNoURL(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		r.withCallbacks("shop.example")
		r.always(400)
		m := r.callback(alice, "0", "https://shop.example/?to=%2B491701000001")
		if _, err := r.q.Cancel(context.Background(), m.ID); err != nil {
			t.Fatal(err)
		}
		settleDown(time.Hour)
		if n := len(r.list(sms.DeliveryFilter{Status: sms.DeliveryFailed})); n != 2 {
			t.Fatalf("%d failed", n)
		}
		settleDown(48 * time.Hour)
		if err := r.q.Prune(context.Background(), time.Now(), queue.Retention{Messages: 24 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		settleDown(25 * time.Hour)
		if n := r.count(`SELECT count(*) FROM webhook_deliveries WHERE url IS NOT NULL OR answer IS NOT NULL`); n != 0 {
			t.Errorf("%d rows still have it", n)
		}
	})
}

func TestCallbackSecretRotates(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		ctx := context.Background()
		r.withCallbacks()
		old, err := r.w.CallbackSecret(ctx)
		if err != nil || !strings.HasPrefix(old.Secret, "whsec_") {
			t.Fatalf("%+v, %v", old, err)
		}
		fresh, err := r.w.RotateCallbackSecret(ctx, time.Hour)
		if err != nil || fresh.Secret == old.Secret || fresh.OldUntil == nil {
			t.Fatalf("%+v, %v", fresh, err)
		}
		repeated, err := r.w.RotateCallbackSecret(ctx, time.Hour) // its answer got lost
		if err != nil {
			t.Fatal(err)
		}
		r.secrets["shop.example"] = repeated.Secret + " " + fresh.Secret + " " + old.Secret
		r.callback(alice, "0", "https://shop.example/")
		synctest.Wait()
		r.restart()
		r.callback(alice, "1", "https://shop.example/")
		synctest.Wait()
		settleDown(time.Hour)
		r.secrets["shop.example"] = repeated.Secret
		r.callback(alice, "2", "https://shop.example/")
		synctest.Wait()
		r.wantInOrder("shop.example", alice, 3)
	})
}

// Receivers that hang delay no other, and cost no more than the slots
// that all of them share.
func TestHangingCallbacksAreBounded(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		const many = 150
		r.withCallbacks("good.example")
		s, _ := r.w.CallbackSecret(context.Background())
		for i := range many {
			r.secrets[fmt.Sprintf("h%d.example", i)] = s.Secret
		}
		var busy, most atomic.Int64
		r.setAnswer(func(req *http.Request, a arrival) (int, http.Header) {
			if !strings.HasPrefix(a.host, "h") {
				return 200, nil
			}
			most.Store(max(most.Load(), busy.Add(1)))
			<-req.Context().Done()
			busy.Add(-1)
			return 0, nil
		})
		for i := range many {
			r.callback(name(i), "0", fmt.Sprintf("https://h%d.example/%d", i, i))
		}
		synctest.Wait()
		if n := most.Load(); n != healthyCallbacks {
			t.Errorf("%d attempts at once", n)
		}
		r.wantInOrder("app.example", name(0), 1)
		settleDown(time.Minute) // each has failed once, and is known for it
		most.Store(0)
		r.forget()
		start := time.Now()
		r.callback(alice, "0", "https://good.example/")
		settleDown(time.Second)
		if got := r.got(at("good")); len(got) != 1 || got[0].at.Sub(start) > time.Second {
			t.Errorf("the good one got %+v", got)
		}
		settleDown(4 * time.Hour)
		if n := most.Load(); n > failingCallbacks {
			t.Errorf("%d attempts at once at those that fail", n)
		}
		r.callback(alice, "1", "https://good.example/")
		synctest.Wait()
		r.wantInOrder("good.example", alice, 2)
		if n := r.working(); n > failingCallbacks { // those that hang just now
			t.Errorf("%d origins have a goroutine, and most only wait", n)
		}
		r.always(200)
		settleDown(6 * time.Hour)
		if n := r.count(`SELECT count(*) FROM webhook_deliveries WHERE state = 'pending'`); n != 0 || len(r.w.origins) != 0 {
			t.Errorf("%d are pending, %d origins in memory", n, len(r.w.origins))
		}
	})
}

// working counts the origins that have a goroutine.
func (r *rig) working() (n int) {
	r.w.mu.Lock()
	all := slices.Collect(maps.Values(r.w.origins))
	r.w.mu.Unlock()
	for _, e := range all {
		e.mu.Lock()
		if e.works {
			n++
		}
		e.mu.Unlock()
	}
	return n
}

// shouting is a format of its own, with an account.
type shouting struct{ answered []string }

func (s *shouting) Request(d Delivery) (*Request, error) {
	switch d.Account {
	case "silent":
		return nil, nil
	case "broken":
		return nil, fmt.Errorf("the account %s is gone", d.Account)
	}
	return &Request{Header: http.Header{"Content-Type": {"text/shout"}}, Body: []byte(strings.ToUpper(d.Account + " " + d.Event.Type))}, nil
}

func (s *shouting) Answered(_ context.Context, d Delivery, _ http.Header, body []byte) error {
	s.answered = append(s.answered, fmt.Sprintf("%s %d %s", d.ID, d.Attempt, body))
	if d.Attempt == 1 {
		return fmt.Errorf("not now")
	}
	return nil
}

type naming []Target

func (n naming) Targets(_ db.Querier, e *sms.Event) ([]Target, error) {
	if e.Message == "" {
		return nil, nil
	}
	return n, nil
}

func TestFormatsAndSourcesOfOthers(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		f := &shouting{}
		var bodies []string
		r.options = func(o *Options) {
			o.Formats = map[string]Format{"shout": f}
			o.Sources = []Source{naming{{URL: "https://a.example/", Format: "shout", Account: "loud"}, {URL: "https://a.example/", Format: "shout", Account: "silent"},
				{URL: "https://a.example/", Format: "shout", Account: "broken"}}}
			o.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				b, err := io.ReadAll(req.Body)
				bodies = append(bodies, req.Header.Get("Content-Type")+" "+string(b))
				return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("<Response/>")), Request: req}, err
			})
		}
		r.restart()
		r.submit(alice, "0")
		settleDown(time.Hour)
		if want := []string{"text/shout LOUD MESSAGE.QUEUED", "text/shout LOUD MESSAGE.QUEUED"}; !slices.Equal(bodies, want) {
			t.Errorf("posted %q", bodies)
		}
		if len(f.answered) != 2 || !strings.HasSuffix(f.answered[1], " 2 <Response/>") || f.answered[0][:30] != f.answered[1][:30] {
			t.Errorf("answered %q", f.answered)
		}
		if d := r.only(sms.DeliveryDropped); !strings.Contains(*d.Error, "nothing to tell") {
			t.Errorf("%+v", d)
		}
		if d := r.only(sms.DeliveryFailed); d.Attempts != 3 || *d.Error != "the account broken is gone" {
			t.Errorf("%+v", d)
		}
		if d := r.only(sms.DeliveryDelivered); d.Attempts != 2 || len(d.History) != 1 || !strings.Contains(d.History[0].Error, "not now") {
			t.Errorf("%+v", d)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

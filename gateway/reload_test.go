package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatewayd/queue"
	"gatewayd/sms"
	numbers "gatewayd/sms/number"
	"gatewayd/webhook"
)

const reloadSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

// post is one event as a webhook got it.
type post struct{ host, id, kind, message string }

// posts is the network behind the webhooks.
type posts struct {
	mu  sync.Mutex
	all []post
}

func (p *posts) RoundTrip(req *http.Request) (*http.Response, error) {
	var e struct {
		Type string
		Data struct{ ID string }
	}
	b, err := io.ReadAll(req.Body)
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, post{req.URL.Host, req.Header.Get("Webhook-Id"), e.Type, e.Data.ID})
	return &http.Response{StatusCode: 200, Body: http.NoBody, Header: http.Header{}, Request: req}, err
}

// of lists what a message's webhook was told at a host, in order.
func (p *posts) of(host, message string) (kinds []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[string]bool{}
	for _, x := range p.all {
		if x.host == host && x.message == message && !seen[x.id] {
			seen[x.id] = true
			kinds = append(kinds, x.kind)
		}
	}
	return kinds
}

// Whatever the configuration says from one moment to the next: nothing is lost,
// nothing goes out twice, and who is told events stays told them, in order.
func TestReloadUnderTraffic(t *testing.T) {
	inWorld(t, 3, air(), func(w *world) {
		rnd := rand.New(rand.NewPCG(9, 0))
		l := &posts{}
		var base Options
		w.restart(func(o *Options) {
			o.Transport = l
			o.Webhooks = []webhook.Endpoint{{Name: "stays", URL: "https://stays.example/", Secret: reloadSecret, Events: []string{"*"}}}
			base = *o
		})
		all := base.Modems
		var sent []sms.Message
		var received []string
		for i := range 200 {
			w.pass(time.Duration(rnd.IntN(8000)) * time.Millisecond)
			text := fmt.Sprintf("message %d", len(sent))
			if rnd.IntN(4) == 0 {
				text += strings.Repeat(" and more of it", 25)
			}
			sent = append(sent, w.submit(fmt.Sprintf("+49170000000%d", rnd.IntN(5)), text))
			if rnd.IntN(5) == 0 {
				text := fmt.Sprintf("answer %d", len(received))
				if err := w.net.Handset(phone).Send(w.modems[rnd.IntN(3)].Number(), text); err != nil {
					t.Fatal(err)
				}
				received = append(received, text)
			}
			o := base
			o.Modems = nil
			for j, m := range all {
				switch rnd.IntN(6) {
				case 0: // it is taken away
					if len(o.Modems) > 0 || j < 2 {
						continue
					}
				case 1:
					m.Name = fmt.Sprint("renamed-", j)
				case 2:
					m.SMSC = ""
					m.NoRoaming = true
				case 3:
					m.Limits.PerMinute = 10 + rnd.IntN(50)
				}
				o.Modems = append(o.Modems, m)
			}
			rnd.Shuffle(len(o.Modems), func(a, b int) { o.Modems[a], o.Modems[b] = o.Modems[b], o.Modems[a] })
			if rnd.IntN(2) == 0 {
				o.Webhooks = append(slices.Clone(o.Webhooks), webhook.Endpoint{Name: fmt.Sprint("now-and-then-", rnd.IntN(3)),
					URL: fmt.Sprintf("https://other%d.example/", rnd.IntN(3)), Secret: reloadSecret, Events: []string{"message.sent"}})
			}
			if i == 199 {
				o = base
			}
			if _, err := w.g.Reload(o); err != nil {
				t.Fatal(err)
			}
		}
		// A long one that began through a modem that was taken away goes from its first
		// part through another, and says so.
		long := slices.Clone(sent)
		short := slices.DeleteFunc(slices.Clone(sent), func(m sms.Message) bool { return m.Parts > 1 })
		w.settled(trial{name: "reload", doubt: true}, long, 0, 3*time.Hour)
		w.settled(trial{name: "reload"}, short, 0, time.Hour)
		w.arrived(trial{name: "reload"}, received, 0, time.Hour)
		w.pass(time.Minute)
		for _, m := range sent {
			if got := l.of("stays.example", m.ID); len(got) < 4 || got[0] != "message.queued" || !slices.IsSortedFunc(got, lifeOrder) {
				t.Errorf("the webhook of %q was told %v", m.Text, got)
			}
		}
		if names := w.names(); len(w.g.modems.attached()) != 3 {
			t.Errorf("at the end: %v", names)
		}
	})
}

// lifeOrder puts a message's events in order; what may come again counts as one.
func lifeOrder(a, b string) int {
	order := []string{"message.queued", "message.sending", "message.sent", "message.delivered"}
	at := func(s string) int { return min(slices.Index(order, s), 2+slices.Index(order, s)/3) }
	if at(a) <= 1 && at(b) <= 1 {
		return 0 // it waits again after its modem went
	}
	return at(a) - at(b)
}

// What Reload tells: what holds now, what needs a restart; and what it refuses
// changes nothing.
func TestReloadTells(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		var base Options
		w.restart(func(o *Options) { base = *o })
		w.pass(20 * time.Second)
		first := w.g.modems.named("m1")
		check := func(o Options, applied, restart string) {
			t.Helper()
			c, err := w.g.Reload(o)
			if err != nil || strings.Join(c.Applied, "; ") != applied || strings.Join(c.Restart, "; ") != restart {
				t.Errorf("applied %q, want %q; restart %q, want %q; %v", c.Applied, applied, c.Restart, restart, err)
			}
		}
		check(base, "", "")
		o := base
		o.Modems = slices.Clone(base.Modems)
		o.Modems[0].Limits, o.Modems[1].PIN, o.Unicode, o.Region, o.MetricsOpen = Limits{PerDay: 1}, "0012", "reject", "DE", true
		check(o, "messages.unicode; default_region; modem m1: its limits; modem m2: started anew", "http.metrics_open")
		if w.g.modems.named("m1") != first {
			t.Error("m1 was started anew for its limits")
		}
		if w.g.desk.Unicode() != "reject" {
			t.Error("the desk has not heard of it")
		}
		if w.g.region() != "DE" {
			t.Errorf("the region is %q", w.g.region())
		}
		w.pass(time.Minute)
		w.until(w.submit(phone, "one", func(d *queue.Draft) { d.Pin = "m1" }).ID, sms.Delivered, time.Minute)
		walled := w.submit(phone, "two", func(d *queue.Draft) { d.Pin = "m1" })
		w.pass(10 * time.Minute)
		if got := w.message(walled.ID); got.Status != sms.Queued {
			t.Errorf("past the limit of one it is %s", got.Status)
		}
		o.Modems[0].Limits.PerDay = 2
		check(o, "modem m1: its limits", "http.metrics_open")
		w.until(walled.ID, sms.Delivered, time.Minute)

		bad := o
		bad.Webhooks = []webhook.Endpoint{{Name: "a", URL: "http://plain.example/", Secret: reloadSecret, Events: []string{"*"}}}
		bad.Modems, bad.Destinations = nil, numbers.Rules{}
		if _, err := w.g.Reload(bad); err == nil || len(w.g.modems.attached()) != 2 {
			t.Errorf("%v; %d modems are left", err, len(w.g.modems.attached()))
		}
		twice := o
		twice.Modems = append(slices.Clone(o.Modems), o.Modems[0])
		if _, err := w.g.Reload(twice); err == nil {
			t.Error("a name that is there twice was taken")
		}
		none := o
		none.Modems = nil
		check(none, "modem m1: removed; modem m2: removed", "http.metrics_open")
		if all := w.g.modems.List(); len(all) != 0 {
			t.Errorf("%+v", all)
		}
		waits := w.submit(phone, "three")
		check(base, "messages.unicode; default_region; modem m1: added; modem m2: added", "")
		w.until(waits.ID, sms.Delivered, time.Minute)
		w.stop()
		w.pass(time.Minute)
		if _, err := w.g.Reload(base); err == nil {
			t.Error("a gateway that has ended was reloaded")
		}
	})
}

// A modem that is on the air ends its part before it is started anew.
func TestReloadLeavesThePartOnTheAir(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		var base Options
		w.restart(func(o *Options) { base = *o })
		w.pass(20 * time.Second)
		m := w.submit(phone, "on the air")
		w.until(m.ID, sms.Sending, time.Minute)
		o := base
		o.Modems = slices.Clone(base.Modems)
		o.Modems[0].Name = "renamed"
		if _, err := w.g.Reload(o); err != nil {
			t.Fatal(err)
		}
		got := w.until(m.ID, sms.Delivered, time.Minute)
		if n := len(w.net.Accepted()); n != 1 || got.PossibleDuplicate {
			t.Errorf("it went out %d times, marked: %v", n, got.PossibleDuplicate)
		}
		if _, err := w.g.Queue().Message(context.Background(), m.ID); err != nil {
			t.Error(err)
		}
	})
}

package gateway

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

// events are the types of the log's events that are about no message, with the
// code of an alarm.
func (w *world) events() (all []string) {
	w.t.Helper()
	log, err := w.g.Queue().EventsAfter(context.Background(), 0, 500)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range log {
		if strings.HasPrefix(e.Type, "alarm.") {
			var a sms.Alarm
			if err := json.Unmarshal(e.Data, &a); err != nil {
				w.t.Fatal(err)
			}
			all = append(all, e.Type+" "+a.Code)
		}
	}
	return all
}

func (w *world) wantEvents(want ...string) {
	w.t.Helper()
	if got := w.events(); !slices.Equal(got, want) {
		w.t.Fatalf("alarms told: %q, want %q", got, want)
	}
}

func watching(a Account) func(*Options) {
	return func(o *Options) { o.Modems[0].Account = a }
}

func (w *world) picture() sms.Modem {
	w.t.Helper()
	m, ok := w.g.modems.Get("m1")
	if !ok {
		w.t.Fatal("no m1")
	}
	return m
}

func TestBalanceIsWatched(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		watch := watching(Account{Code: "*100#", Every: 10 * time.Hour, Low: "5.00"})
		w.restart(watch)
		w.pass(time.Minute)
		b := w.picture().Balance
		if b == nil || b.Amount != "10.00" || b.Currency != "EUR" || b.IsLow || b.Low != "5.00" || b.At.IsZero() || b.Fault != "" {
			t.Fatalf("%+v", b)
		}
		w.net.SetUSSD("*100#", sim.USSD{Text: "Balance: 4.99 EUR"})
		w.pass(9 * time.Hour)
		if got := w.picture().Balance.Amount; got != "10.00" {
			t.Errorf("asked too soon: %s", got)
		}
		w.wantEvents()
		w.pass(2 * time.Hour)
		if m := w.picture(); m.Balance.Amount != "4.99" || !m.Balance.IsLow || len(m.Alarms) != 1 || m.Alarms[0].Code != "balance-low" ||
			!strings.Contains(m.Alarms[0].Detail, "4.99 EUR") {
			t.Errorf("%+v %+v", m.Balance, m.Alarms)
		}
		w.wantEvents("alarm.begin balance-low")
		// A restart neither asks again nor tells again.
		w.net.SetUSSD("*100#", sim.USSD{Text: "Balance: 20.00 EUR"})
		w.restart(watch)
		w.pass(time.Hour)
		if m := w.picture(); m.Balance == nil || m.Balance.Amount != "4.99" || len(m.Alarms) != 1 {
			t.Errorf("after a restart: %+v %+v", m.Balance, m.Alarms)
		}
		w.wantEvents("alarm.begin balance-low")
		// Whoever asks by hand is told by the network, and so are we.
		if a, err := w.g.modems.USSD(context.Background(), "m1", sms.USSD{Code: "*100#"}); err != nil || a.Text != "Balance: 20.00 EUR" {
			t.Errorf("%+v, %v", a, err)
		}
		if m := w.picture(); m.Balance.Amount != "20.00" || len(m.Alarms) != 0 {
			t.Errorf("asked by hand: %+v %+v", m.Balance, m.Alarms)
		}
		w.wantEvents("alarm.begin balance-low", "alarm.end balance-low")
	})
}

// A pattern that does not fit says so, and shows what it was held against.
func TestBalanceThatCannotBeRead(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.restart(watching(Account{Code: "*100#", Pattern: regexp.MustCompile(`Guthaben ([0-9.]+)`), Every: 24 * time.Hour}))
		w.pass(time.Minute)
		b := w.picture().Balance
		if b == nil || b.Amount != "" || b.Answer != "Balance: 10.00 EUR" || !strings.Contains(b.Fault, "pattern") {
			t.Fatalf("%+v", b)
		}
		w.wantEvents("alarm.begin balance-unknown")
		w.restart(watching(Account{Code: "*100#", Pattern: regexp.MustCompile(`Balance: ([0-9.]+)`), Every: time.Hour}))
		w.pass(2 * time.Hour)
		if b := w.picture().Balance; b == nil || b.Amount != "10.00" || b.Answer != "" || b.Fault != "" {
			t.Errorf("%+v", b)
		}
		w.wantEvents("alarm.begin balance-unknown", "alarm.end balance-unknown")
	})
}

// A code that the network does not know is asked again, hourly, and told when
// that goes on. Taken out of the configuration, the alarm ends.
func TestBalanceThatCannotBeAsked(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.restart(watching(Account{Code: "*999#", Every: 24 * time.Hour}))
		w.pass(90 * time.Minute)
		if b := w.picture().Balance; b == nil || !strings.Contains(b.Fault, "does not know this code") {
			t.Errorf("%+v", b)
		}
		w.wantEvents()
		w.pass(2 * time.Hour)
		w.wantEvents("alarm.begin balance-unknown")
		w.restart(nil)
		w.pass(time.Second)
		w.wantEvents("alarm.begin balance-unknown", "alarm.end balance-unknown")
		if m := w.picture(); m.Balance != nil || len(m.Alarms) != 0 {
			t.Errorf("%+v %+v", m.Balance, m.Alarms)
		}
	})
}

// A menu in front of the balance is closed, so that texts go out.
func TestBalanceInAMenu(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.net.SetUSSD("*100#", sim.USSD{Text: "Balance 3.00 EUR\n1 Top up", Next: map[string]sim.USSD{"1": {Text: "?"}}})
		w.restart(watching(Account{Code: "*100#", Every: 24 * time.Hour}))
		w.pass(time.Minute)
		if b := w.picture().Balance; b == nil || b.Amount != "3.00" {
			t.Errorf("%+v", b)
		}
		m := w.submit(phone, "x")
		w.until(m.ID, sms.Sent, 10*time.Second)
	})
}

func TestTopUpDate(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		now := time.Now()
		watch := watching(Account{TopUpBy: now.Add(10 * time.Hour), TopUpWarn: 6 * time.Hour})
		w.restart(watch)
		w.pass(3 * time.Hour)
		w.wantEvents()
		w.pass(2 * time.Hour)
		w.wantEvents("alarm.begin top-up-due")
		w.restart(watch)
		w.pass(30 * time.Hour)
		w.wantEvents("alarm.begin top-up-due")
		if a := w.picture().Alarms; len(a) != 1 || !strings.Contains(a[0].Title, "was to be topped up") {
			t.Errorf("%+v", a)
		}
		w.restart(watching(Account{TopUpBy: now.Add(200 * time.Hour), TopUpWarn: 14 * time.Hour}))
		w.pass(time.Minute)
		w.wantEvents("alarm.begin top-up-due", "alarm.end top-up-due")
	})
}

// The SIM gets its text every so often, however often the gateway starts.
func TestKeepAlive(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		watch := watching(Account{Alive: 30 * time.Hour, AliveTo: phone, AliveText: "still here"})
		sent := func() (n int) {
			t.Helper()
			page, _, err := w.g.Queue().List(context.Background(), queue.Filter{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page {
				if m.Metadata["purpose"] != "keep-alive" || m.Text != "still here" || m.Modem != "m1" || m.Status != sms.Delivered {
					t.Errorf("%+v", m)
				}
				n++
			}
			return n
		}
		w.restart(watch)
		w.pass(time.Hour)
		if n := sent(); n != 1 {
			t.Fatalf("%d texts, want 1", n)
		}
		w.restart(watch)
		w.pass(28 * time.Hour)
		if n := sent(); n != 1 {
			t.Fatalf("%d texts after a restart, want 1", n)
		}
		w.restart(watch)
		w.pass(2 * time.Hour)
		if n := sent(); n != 2 {
			t.Fatalf("%d texts after 31 hours, want 2", n)
		}
	})
}

// A call is told once, also when the gateway restarts while it rings.
func TestCallsAreTold(t *testing.T) {
	calls := func(w *world) (all []sms.Call) {
		log, err := w.g.Queue().EventsAfter(context.Background(), 0, 500)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range log {
			if e.Type == sms.EventCall {
				var c sms.Call
				if err := json.Unmarshal(e.Data, &c); err != nil {
					w.t.Fatal(err)
				}
				all = append(all, c)
			}
		}
		return all
	}
	inWorld(t, 1, air(), func(w *world) {
		ring := func(o *Options) { o.CallsRing, o.Region = true, "DE" }
		w.restart(ring)
		w.pass(time.Minute)
		w.modems[0].Ring("01701112222")
		w.pass(12 * time.Second)
		w.restart(ring)
		w.pass(20 * time.Second)
		if got := calls(w); len(got) != 1 || got[0].From != "+491701112222" || got[0].HungUp || got[0].Modem != "m1" {
			t.Errorf("%+v", got)
		}
		w.modems[0].HangUp()
		w.restart(nil)
		w.pass(time.Minute)
		w.modems[0].Ring("+491701112222")
		w.pass(time.Minute)
		w.modems[0].Ring("+491701112222") // rings again, for it was hung up
		w.pass(time.Minute)
		if got := calls(w); len(got) != 3 || !got[2].HungUp {
			t.Errorf("%+v", got)
		}
	})
}

// The balance of a SIM that is no longer in the modem is not measured as that of
// the next.
func TestBalanceOfAnotherSIM(t *testing.T) {
	g, _ := still(t, queue.Options{})
	a := &account{Account: Account{Code: "*100#"}, name: "m1", db: g.database, queue: g.queue, alarms: g.alarms, now: g.dispatch.now, gauge: g.balances}
	measured := func() int {
		all := make(chan prometheus.Metric, 2)
		g.balances.Collect(all)
		return len(all)
	}
	turn := func(sim string, answer sms.USSDAnswer, want int) {
		t.Helper()
		if err := a.turnTo(t.Context(), sim); err != nil {
			t.Fatal(err)
		}
		a.book(answer)
		if n := measured(); n != want {
			t.Errorf("%s: %d balances are measured, want %d", sim, n, want)
		}
	}
	turn("one", sms.USSDAnswer{State: sms.USSDDone, Text: "Balance 3.00 EUR"}, 1)
	turn("two", sms.USSDAnswer{State: sms.USSDFailed, Reason: "The network gave no answer."}, 0)
	turn("one", sms.USSDAnswer{State: sms.USSDFailed, Reason: "The network gave no answer."}, 1)
	if err := a.turnTo(t.Context(), "three"); err != nil || measured() != 0 {
		t.Errorf("%d balances of a SIM that was not asked for (%v)", measured(), err)
	}
}

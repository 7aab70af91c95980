package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

// alarmEvents are the alarms told so far, the kind and the code of each, with its modem.
func (w *world) alarmEvents() (all []string) {
	w.t.Helper()
	events, err := w.g.Queue().EventsAfter(context.Background(), 0, 100_000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range events {
		if kind, ok := strings.CutPrefix(e.Type, "alarm."); ok {
			var a sms.Alarm
			if err := json.Unmarshal(e.Data, &a); err != nil {
				w.t.Fatal(err)
			}
			all = append(all, strings.TrimSpace(kind+" "+a.Code+" "+a.Modem))
		}
	}
	return all
}

func (w *world) wantAlarms(want ...string) {
	w.t.Helper()
	if got := w.alarmEvents(); !slices.Equal(got, want) {
		w.t.Fatalf("alarms told: %q, want %q", got, want)
	}
}

func (w *world) plug(m *sim.Modem) {
	w.t.Helper()
	if err := m.Plug(); err != nil {
		w.t.Fatal(err)
	}
}

// A modem that is pulled out is told within three seconds; plugged in again it is
// over once it worked for a while. A restart in the middle changes nothing.
func TestPulledModemIsTold(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		w.pass(2 * time.Minute)
		w.wantAlarms()
		w.modems[0].Unplug()
		w.pass(3 * time.Second)
		w.wantAlarms("begin modem-down m1")
		m, _ := w.g.modems.Get("m1")
		if len(m.Alarms) != 1 || m.Alarms[0].Severity != sms.SeverityCritical || !strings.Contains(m.Alarms[0].Detail, "Plug the modem in") {
			t.Errorf("%+v", m.Alarms)
		}
		w.restart(nil)
		w.pass(2 * time.Minute)
		w.wantAlarms("begin modem-down m1")
		w.plug(w.modems[0])
		w.pass(2 * time.Minute)
		w.wantAlarms("begin modem-down m1", "end modem-down m1")
		now := w.g.AlarmsNow()
		ended, err := w.g.AlarmsEnded(context.Background(), 10)
		if err != nil || len(now) != 0 || len(ended) != 1 || ended[0].Code != modemDown || ended[0].EndedAt.IsZero() {
			t.Errorf("%v %+v %+v", err, now, ended)
		}
	})
}

// A modem that is not there from the start is told, not before it was looked for.
func TestModemThatNeverCame(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.modems[0].Unplug()
		w.restart(nil)
		w.pass(graceStart - 5*time.Second)
		w.wantAlarms()
		w.pass(10 * time.Second)
		w.wantAlarms("begin modem-down m1")
	})
}

// A modem may search for its network for a while.
func TestSearchingModem(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(time.Minute)
		for range 5 { // it loses it for a moment now and then
			w.modems[0].SetRegistration(2)
			w.pass(2 * time.Minute)
			w.modems[0].SetRegistration(1)
			w.pass(10 * time.Minute)
		}
		w.wantAlarms()
		w.modems[0].SetRegistration(2)
		w.pass(4 * time.Minute)
		w.wantAlarms()
		w.pass(3 * time.Minute)
		w.wantAlarms("begin modem-down m1")
		w.modems[0].SetRegistration(3)
		w.pass(2 * time.Minute)
		if m, _ := w.g.modems.Get("m1"); m.State != sms.Denied || len(m.Alarms) != 1 || !strings.Contains(m.Alarms[0].Detail, "refuses") {
			t.Errorf("%s %+v", m.State, m.Alarms)
		}
	})
}

// A modem with a bad cable is one alarm, however often it comes and goes.
func TestFlappingIsOneAlarm(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(2 * time.Minute)
		for range 40 {
			w.modems[0].Unplug()
			w.pass(5 * time.Second)
			w.plug(w.modems[0])
			w.pass(85 * time.Second)
		}
		got := w.alarmEvents()
		if len(got) > 5 || got[len(got)-1] != "begin modem-down m1" {
			t.Errorf("told: %q", got)
		}
		if a := w.g.AlarmsNow(); len(a) != 1 || !strings.Contains(a[0].Detail, "times or more within an hour") {
			t.Errorf("%+v", a)
		}
		w.pass(flapQuiet - 3*time.Minute)
		if len(w.g.AlarmsNow()) != 1 {
			t.Error("it was not quiet for long enough")
		}
		w.pass(5 * time.Minute)
		if len(w.g.AlarmsNow()) != 0 || len(w.alarmEvents()) != len(got)+1 {
			t.Errorf("told: %q", w.alarmEvents())
		}
		w.pass(3 * time.Hour)
		if n := len(w.g.alarms.all); n != 0 {
			t.Errorf("%d conditions are kept though nothing is", n)
		}
	})
}

// At nine tenths of a limit there is a warning; used up, it is told anew as worse;
// on the next day it is over.
func TestSIMLimitIsTold(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.restart(func(o *Options) { o.Modems[0].Limits.PerDay = 10 })
		w.pass(2 * time.Minute)
		send := func(n int) {
			for i := range n {
				w.until(w.submit(fmt.Sprintf("+4917000000%02d", i), "x").ID, sms.Delivered, time.Hour)
			}
			w.pass(time.Minute)
		}
		send(8)
		w.wantAlarms()
		send(1)
		w.wantAlarms("begin sim-limit m1")
		if a := w.g.AlarmsNow(); a[0].Severity != sms.SeverityWarning || !strings.Contains(a[0].Detail, "nine tenths of the limit of the day, 10") {
			t.Errorf("%+v", a)
		}
		send(1)
		w.wantAlarms("begin sim-limit m1", "end sim-limit m1", "begin sim-limit m1")
		if a := w.g.AlarmsNow(); a[0].Severity != sms.SeverityCritical {
			t.Errorf("%+v", a)
		}
		w.pass(25 * time.Hour)
		w.wantAlarms("begin sim-limit m1", "end sim-limit m1", "begin sim-limit m1", "end sim-limit m1")
	})
}

// What could go and waits for long is told; what may not go yet is not.
func TestOldQueueIsTold(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(2 * time.Minute)
		w.submit(phone, "later", func(d *queue.Draft) { d.SendAt = time.Now().Add(24 * time.Hour) })
		w.net.SetFate(dead, sim.Fate{CMS: 38})
		w.submit(dead, "in backoff")
		w.pass(2 * time.Hour)
		w.wantAlarms()
		w.modems[0].Unplug()
		m := w.submit(phone, "waits")
		w.pass(10 * time.Minute)
		w.wantAlarms("begin modem-down m1")
		w.pass(10 * time.Minute)
		w.wantAlarms("begin modem-down m1", "begin queue-old")
		w.plug(w.modems[0])
		w.until(m.ID, sms.Delivered, 5*time.Minute)
		w.pass(3 * time.Minute)
		if now := w.g.AlarmsNow(); len(now) != 0 {
			t.Errorf("%+v", now)
		}
	})
}

// A modem whose parts are refused is told, once there are enough of them.
func TestFailureRateIsTold(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(2 * time.Minute)
		w.net.SetFate(dead, sim.Fate{CMS: 1})
		send := func(n int, to string) {
			for range n {
				m := w.submit(to, "x")
				status := sms.Delivered
				if to == dead {
					status = sms.Failed
				}
				w.until(m.ID, status, 10*time.Minute)
			}
			w.pass(3 * time.Minute)
		}
		send(15, dead)
		w.wantAlarms() // fewer than 20 tell nothing
		send(10, phone)
		send(15, dead)
		w.wantAlarms("begin failure-rate m1")
		w.pass(90 * time.Minute)
		w.wantAlarms("begin failure-rate m1", "end failure-rate m1")
	})
}

// An endpoint that takes nothing is told long before it is disabled.
func TestFailingWebhookIsTold(t *testing.T) {
	inWorld(t, 0, air(), func(w *world) {
		l := &told{events: map[string][]string{}, status: map[string]int{"down.example": 500}}
		w.restart(func(o *Options) { o.Transport = l })
		u, events := "https://down.example/", []string{"message.queued"}
		if _, err := w.g.webhooks.Create(context.Background(), sms.WebhookChange{URL: &u, Events: &events}); err != nil {
			t.Fatal(err)
		}
		w.submit(phone, "x")
		w.pass(14 * time.Minute)
		w.wantAlarms()
		w.pass(2 * time.Minute)
		if a := w.g.alarms.of(""); !slices.ContainsFunc(a, func(a sms.Alarm) bool { return a.Code == webhookFailing && strings.Contains(a.Detail, "down.example") }) {
			t.Errorf("%+v", a)
		}
		l.mu.Lock()
		l.status["down.example"] = 200
		l.mu.Unlock()
		w.pass(3 * time.Hour)
		if w.g.alarms.goesOn(webhookFailing, "") {
			t.Error("it is not over")
		}
	})
}

// What begins while nothing can be written is shown, and written later in its order.
func TestAlarmWhileNothingCanBeWritten(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(2 * time.Minute)
		rename := func(from, to string) {
			if err := w.g.database.Write(func(tx *db.Tx) error {
				_, err := tx.Exec(`ALTER TABLE ` + from + ` RENAME TO ` + to)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		rename("alarms", "broken")
		w.modems[0].Unplug()
		w.pass(time.Minute)
		w.wantAlarms()
		if a := w.g.AlarmsNow(); len(a) != 1 || a[0].Code != modemDown {
			t.Errorf("%+v", a)
		}
		rename("broken", "alarms")
		w.pass(rewriteEvery + time.Second)
		w.wantAlarms("begin modem-down m1")
	})
}

// A week in which nothing happens but texts tells nothing, and nobody looks dead.
func TestQuietWeek(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.restart(func(o *Options) { o.PollEvery = time.Hour })
		for range 7 {
			w.pass(24 * time.Hour)
			w.until(w.submit(phone, "x").ID, sms.Delivered, time.Minute)
			if err := w.g.Alive(); err != nil {
				t.Fatal(err)
			}
		}
		w.wantAlarms()
	})
}

// A modem that is forgotten has no alarms any more, and old ones are forgotten too.
func TestAlarmsAreForgotten(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(2 * time.Minute)
		w.modems[0].Unplug()
		w.pass(time.Minute)
		w.plug(w.modems[0])
		w.pass(2 * time.Minute)
		ctx := context.Background()
		if all, err := w.g.AlarmsEnded(ctx, 10); err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		if err := w.g.alarms.prune(ctx); err != nil {
			t.Fatal(err)
		}
		if all, err := w.g.AlarmsEnded(ctx, 10); err != nil || len(all) != 1 {
			t.Error(all, err)
		}
		w.g.alarms.now = func() time.Time { return time.Now().Add(alarmsKept + time.Hour) }
		if err := w.g.alarms.prune(ctx); err != nil {
			t.Fatal(err)
		}
		if all, err := w.g.AlarmsEnded(ctx, 10); err != nil || len(all) != 0 {
			t.Error(all, err)
		}
	})
}

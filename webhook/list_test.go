package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sms"
)

func TestListPagesNewestFirst(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app"), testEndpoint("other", "message.received")}, func(r *rig) {
		r.setAnswer(func(_ *http.Request, a arrival) (int, http.Header) {
			if a.text == "7" || a.text == "8" {
				return 400, nil
			}
			return 200, nil
		})
		r.submitMany(alice, 0, 25)
		r.receive(bob, "hello")
		settleDown(time.Hour)
		var seqs []int64
		f := sms.DeliveryFilter{Limit: 10, Endpoint: "app"}
		pages := 0
		for {
			page, next, err := r.w.List(context.Background(), f)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, d := range page {
				seqs = append(seqs, d.Event)
			}
			if next == "" {
				break
			}
			f.Cursor = next
		}
		if pages != 3 || len(seqs) != 26 || !slices.IsSortedFunc(seqs, func(a, b int64) int { return int(b - a) }) {
			t.Errorf("%d pages: %v", pages, seqs)
		}
		if page := r.list(sms.DeliveryFilter{Status: sms.DeliveryFailed}); len(page) != 2 {
			t.Errorf("failed: %+v", page)
		}
		if page := r.list(sms.DeliveryFilter{Endpoint: "other"}); len(page) != 1 || page[0].Type != "message.received" {
			t.Errorf("other: %+v", page)
		}
		if page := r.list(sms.DeliveryFilter{Endpoint: "none"}); page == nil || len(page) != 0 {
			t.Errorf("none: %+v", page)
		}
		for _, bad := range []string{"x", "-1", "0", "1.5", "'; --"} {
			if _, _, err := r.w.List(context.Background(), sms.DeliveryFilter{Cursor: bad}); !errors.Is(err, queue.ErrBadCursor) {
				t.Errorf("cursor %q: %v", bad, err)
			}
		}
	})
}

func TestDeliveryAsJSON(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.always(503)
		r.submit(alice, "x")
		synctest.Wait()
		b, err := json.Marshal(r.only(sms.DeliveryPending))
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"id", "endpoint", "webhook_id", "latency_ms", "response", "history", "event", "type", "message_id", "status", "attempts", "response_status", "error",
			"created_at", "last_attempt_at", "next_attempt_at"} {
			if m[key] == nil {
				t.Errorf("%s is missing in %s", key, b)
			}
		}
		if v, ok := m["delivered_at"]; !ok || v != nil || len(m) != 17 || !strings.HasSuffix(m["created_at"].(string), "Z") {
			t.Errorf("%s", b)
		}
	})
}

func TestRetryOfWhatIsPendingOrOver(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		ctx := context.Background()
		r.always(500)
		r.submitMany(alice, 0, 2)
		settleDown(24 * time.Hour)
		tries := len(r.got(nil))
		pending := r.list(sms.DeliveryFilter{})
		// Of one that waits behind another the other is tried now.
		if _, err := r.w.Retry(ctx, pending[0].ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := r.got(nil); len(got) != tries+1 || got[tries].text != "0" {
			t.Errorf("%d attempts after the retry", len(got)-tries)
		}
		r.always(200)
		if _, err := r.w.Retry(ctx, pending[1].ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.wantInOrder("app.example", alice, 2)
		if _, err := r.w.Retry(ctx, pending[0].ID); !errors.Is(err, queue.ErrConflict) {
			t.Errorf("retry of a delivered one: %v", err)
		}
		if _, err := r.w.Retry(ctx, "dlv_none"); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("retry of none: %v", err)
		}
	})
}

func TestRetryWithoutItsEndpoint(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app"), testEndpoint("other")}, func(r *rig) {
		r.always(400)
		r.submitMany(alice, 0, 1)
		settleDown(time.Hour)
		r.endpoints = r.endpoints[1:]
		r.restart()
		d := r.list(sms.DeliveryFilter{Endpoint: "app"})[0]
		if _, err := r.w.Retry(context.Background(), d.ID); !errors.Is(err, queue.ErrConflict) || !strings.Contains(err.Error(), "configuration") {
			t.Errorf("%v", err)
		}
		if after := r.list(sms.DeliveryFilter{Endpoint: "app"})[0]; after.Status != sms.DeliveryFailed {
			t.Errorf("%+v", after)
		}
	})
}

func TestDropLetsTheNextGo(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		r.setAnswer(func(_ *http.Request, a arrival) (int, http.Header) {
			if a.text == "0" {
				return 500, nil
			}
			return 200, nil
		})
		r.submitMany(alice, 0, 2)
		settleDown(time.Minute)
		pending := r.list(sms.DeliveryFilter{})
		d, err := r.w.Drop(context.Background(), pending[1].ID)
		if err != nil || d.Status != sms.DeliveryDropped || *d.Error != "dropped on request" || d.DeliveredAt != nil {
			t.Errorf("%+v, %v", d, err)
		}
		synctest.Wait()
		if got := r.got(nil); got[len(got)-1].text != "1" {
			t.Errorf("the last attempt is %+v", got[len(got)-1])
		}
		for id, want := range map[string]error{pending[1].ID: queue.ErrConflict, pending[0].ID: queue.ErrConflict, "dlv_none": queue.ErrNotFound} {
			if _, err := r.w.Drop(context.Background(), id); !errors.Is(err, want) {
				t.Errorf("%s: %v", id, err)
			}
		}
		// A failed one can be dropped as well.
		r.always(400)
		r.submitMany(alice, 2, 3)
		settleDown(time.Hour)
		if _, err := r.w.Drop(context.Background(), r.only(sms.DeliveryFailed).ID); err != nil {
			t.Error(err)
		}
	})
}

func TestUnnamedEndpointsShowTheirHost(t *testing.T) {
	a, b := testEndpoint("x"), testEndpoint("x")
	a.Name, b.Name = "", ""
	b.URL += "&second=1"
	inBubble(t, []Endpoint{a, b}, func(r *rig) {
		r.submitMany(alice, 0, 1)
		synctest.Wait()
		var names []string
		for _, d := range r.list(sms.DeliveryFilter{}) {
			names = append(names, d.Endpoint)
		}
		slices.Sort(names)
		if !slices.Equal(names, []string{"x.example", "x.example-2"}) {
			t.Errorf("shown as %v", names)
		}
	})
}

func TestMetrics(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app"), testEndpoint("dead")}, func(r *rig) {
		r.setAnswer(func(_ *http.Request, a arrival) (int, http.Header) {
			switch {
			case a.host == "dead.example":
				return 410, nil
			case a.text == "0":
				return 503, nil
			}
			return 200, nil
		})
		r.stop()
		registry := prometheus.NewRegistry()
		m := NewMetrics(registry)
		r.startWith(m)
		r.submitMany(bob, 1, 2)
		synctest.Wait()
		r.submitMany(alice, 0, 1)
		settleDown(2 * time.Second)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				key := family.GetName()
				for _, l := range m.GetLabel() {
					key += " " + l.GetValue()
				}
				got[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		want := map[string]float64{
			"gatewayd_webhook_attempts_total app delivered": 1,
			"gatewayd_webhook_attempts_total app retry":     1,
			"gatewayd_webhook_attempts_total dead gone":     1,
			"gatewayd_webhook_disabled app":                 0,
			"gatewayd_webhook_disabled dead":                1,
			"gatewayd_webhook_lag_seconds app":              2,
			"gatewayd_webhook_lag_seconds dead":             0,
		}
		if !maps.Equal(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	})
}

// A message's deliveries are found by its id, however many there are of others.
func TestDeliveriesOfAMessageAreFoundByAnIndex(t *testing.T) {
	inBubble(t, []Endpoint{testEndpoint("app")}, func(r *rig) {
		query, args := listed(sms.DeliveryFilter{Message: "msg_x"}, 1<<62, 10)
		var plan []string
		err := r.db.Read(context.Background(), func(q db.Querier) error {
			rows, err := q.Query(`EXPLAIN QUERY PLAN `+query, args...)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var id, parent, unused int
				var step string
				if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
					return err
				}
				plan = append(plan, step)
			}
			return rows.Err()
		})
		if p := strings.Join(plan, "; "); err != nil || !strings.Contains(p, "webhook_deliveries_message (message=? AND rowid<?)") || strings.Contains(p, "SCAN") || strings.Contains(p, "TEMP") {
			t.Errorf("%s (%v)", p, err)
		}
	})
}

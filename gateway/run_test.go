package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
	"gatewayd/sms/pdu"
	"gatewayd/webhook"
)

// receiver is what a webhook sees of the network.
type receiver func(*http.Request) (*http.Response, error)

func (r receiver) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

func withWebhook(r receiver) func(*Options) {
	return func(o *Options) {
		o.Transport = r
		o.Webhooks = []webhook.Endpoint{{URL: "https://app.example/", Events: []string{"*"},
			Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="}}
	}
}

// Ten seconds are the end, whatever hangs; a part on the air has eight of them.
func TestEndsWithinTenSeconds(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.restart(withWebhook(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}))
		w.pass(10 * time.Second)
		w.modems[0].Fault(func(f *sim.Faults) { f.Silent = 1 })
		m := w.submit(phone, "x")
		w.until(m.ID, sms.Sending, time.Second) // which is booked before the modem has it
		w.pass(time.Second)
		start := time.Now()
		w.end()
		if took := time.Since(start); took < 8*time.Second || took > 10*time.Second {
			t.Errorf("the end took %v", took)
		}
		w.more = nil
		w.start()
		w.until(m.ID, sms.Unconfirmed, time.Second)
	})
}

// What is answered in the last moment is booked.
func TestAnsweredInTheLastMoment(t *testing.T) {
	inWorld(t, 1, air(), func(w *world) {
		w.pass(10 * time.Second)
		w.modems[0].Fault(func(f *sim.Faults) { f.Late, f.LateBy = 1, 6*time.Second })
		m := w.submit(phone, "x")
		w.until(m.ID, sms.Sending, time.Second)
		w.end()
		w.start()
		if got := w.until(m.ID, sms.Delivered, time.Minute); got.PossibleDuplicate {
			t.Error("it counts as doubtful")
		}
	})
}

// Events are told though there is no modem.
func TestWebhooksWithoutModems(t *testing.T) {
	inWorld(t, 0, air(), func(w *world) {
		var told atomic.Int32
		w.restart(withWebhook(func(*http.Request) (*http.Response, error) {
			told.Add(1)
			return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
		}))
		w.pass(time.Minute)
		w.submit(phone, "x")
		w.pass(time.Second)
		if n := told.Load(); n != 1 {
			t.Errorf("%d events were told, want 1", n)
		}
	})
}

// still is a gateway that doesn't run, with a clock that stands still.
func still(t *testing.T, o queue.Options) (g *Gateway, now *time.Time) {
	now = new(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	o.Now = func() time.Time { return *now }
	g, err := New(context.Background(), Options{DataDir: t.TempDir(), Queue: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.database.Close() })
	return g, now
}

// A text of which parts are missing does not block a full ring for ever.
func TestOverdueSetInAFullRing(t *testing.T) {
	g, now := still(t, queue.Options{InboundCapacity: 1, AssemblyWait: time.Minute})
	receive := func(text string) {
		t.Helper()
		raw, err := pdu.EncodeText("+491710760000", phone, text, *now, 1)
		if err == nil {
			err = g.queue.Receive(sms.Incoming{Modem: "m", ICCID: "8949", PDU: raw[0], At: *now})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	receive(strings.Repeat("a", 200))
	*now = now.Add(time.Minute)
	receive("b")
	for range 2 {
		if _, err := g.settleDue(*now); err != nil {
			t.Error(err)
		}
	}
	receive("c")
	if page, _, err := g.queue.List(context.Background(), queue.Filter{}); err != nil || len(page) != 3 {
		t.Errorf("%d messages were received (%v), want 3", len(page), err)
	}
}

// One row that can't be read keeps nothing else from being done.
func TestHousekeepingGoesOn(t *testing.T) {
	g, now := still(t, queue.Options{})
	ctx := context.Background()
	m, _, err := g.queue.Submit(ctx, []queue.Draft{
		{Message: sms.Message{To: phone, Text: "bad", SendAt: now.Add(time.Minute)}},
		{Message: sms.Message{To: phone, Text: "good", ExpiresAt: now.Add(time.Minute)}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = g.database.Write(func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE messages SET metadata = 'no JSON' WHERE row = ?`, m[0].Row)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	*now = now.Add(time.Minute)
	if _, err := g.settleDue(*now); err == nil || errors.Is(err, queue.ErrInboundFull) {
		t.Errorf("settleDue says %v", err)
	}
	if got, err := g.queue.Message(ctx, m[1].ID); err != nil || got.Status != sms.Expired {
		t.Errorf("%+v, %v", got, err)
	}
}

// Messages that expire while no modem works leave nothing behind.
func TestExpiredAreForgotten(t *testing.T) {
	g, now := still(t, queue.Options{})
	ctx := context.Background()
	stays := queue.Draft{Message: sms.Message{To: phone, Text: "stays"}}
	if _, _, err := g.queue.Submit(ctx, []queue.Draft{stays}, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		drafts := make([]queue.Draft, loadAtOnce)
		for j := range drafts {
			drafts[j].Message = sms.Message{To: fmt.Sprintf("+49170%02d%05d", i, j/2), Text: "x", ExpiresAt: now.Add(time.Minute)}
		}
		if _, _, err := g.queue.Submit(ctx, drafts, nil); err != nil {
			t.Fatal(err)
		}
		if err := g.dispatch.load(ctx, g.queue); err != nil {
			t.Fatal(err)
		}
		*now = now.Add(time.Minute)
		if _, err := g.queue.ExpireDue(*now); err != nil {
			t.Fatal(err)
		}
	}
	d := g.dispatch
	if n := len(d.entries); n > 4*loadAtOnce {
		t.Errorf("%d messages are held in memory, 1 waits", n)
	}
	if n := len(d.recipients); n > 2*loadAtOnce {
		t.Errorf("%d recipients are held in memory", n)
	}
	if h := d.lanes[lane{kind: anyModem}]; h.Len() != len(d.recipients) {
		t.Errorf("%d lines of %d recipients", h.Len(), len(d.recipients))
	}
	if d.entries[1] == nil {
		t.Error("the one that waits is forgotten")
	}
}

package gateway

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gatewayd/db"
	"gatewayd/queue"
	"gatewayd/sim"
	"gatewayd/sms"
)

// A phone is asked, answers, says nothing for too long, is told so by the SIM that it
// knows, says STOP and is told that; the gateway's own SIM is told nothing. All of it by
// what another configuration says while the gateway runs.
func TestConsentInTheGateway(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		handset, second := w.net.Handset(phone), w.modems[1]
		w.pass(time.Minute)
		o := *w.g.set.Load()
		o.Consent = queue.ConsentRules{Name: "Praxis", Answers: queue.AnswersAll, Silence: 2 * time.Hour}
		if c, err := w.g.Reload(o); err != nil || !slices.Contains(c.Applied, "consent") {
			t.Fatalf("reloaded: %+v (%v)", c, err)
		}
		iccid := ""
		for _, m := range w.g.modems.List() {
			if m.Name == second.Name() {
				iccid = m.ICCID
			}
		}
		const conversation = "conv_1"
		err := w.g.queue.Do(func(tx *db.Tx) error {
			if err := w.g.queue.AskOptInTx(tx, conversation, phone, iccid, queue.Source{Wording: "YES?"}); err != nil {
				return err
			}
			_, err := w.g.queue.SubmitTx(tx, queue.Draft{Pin: second.Name(), Consent: queue.ConsentInvitation,
				Message: sms.Message{To: phone, Text: "YES?", Priority: 4, Conversation: conversation}})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		says := func(text string) {
			t.Helper()
			if err := handset.Send(second.Number(), text); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Minute)
		}
		last := func(begin string) {
			t.Helper()
			got := incoming(handset)
			if len(got) == 0 || !strings.HasPrefix(got[len(got)-1].Text, begin) || got[len(got)-1].Peer != second.Number() {
				t.Fatalf("the phone has %+v, want %q from %s", got, begin, second.Number())
			}
		}
		w.pass(time.Minute)
		last("YES?")
		says("Yes")
		hello := w.submit(phone, "hello", func(d *queue.Draft) {
			d.Pin, d.Conversation, d.Consent = second.Name(), conversation, queue.ConsentInvite
		})
		w.until(hello.ID, sms.Delivered, time.Minute)
		w.pass(2*time.Hour + 5*time.Minute)
		last("We have not heard from you for long, so you get no more messages from Praxis.")
		says("start")
		says("Stop")
		last("You get no more messages from Praxis.")
		refused := w.submit(phone, "x")
		w.until(refused.ID, sms.Failed, time.Minute)

		// Of its own numbers one says HELP to the other.
		loop := w.submit(second.Number(), "HELP", func(d *queue.Draft) { d.Pin = w.modems[0].Name() })
		w.until(loop.ID, sms.Delivered, time.Minute)
		w.pass(time.Hour)
		sent, _, err := w.g.queue.List(t.Context(), queue.Filter{To: w.modems[0].Number(), Direction: sms.Outbound, Limit: 10})
		if err != nil || len(sent) > 0 {
			t.Errorf("the gateway answers itself: %+v (%v)", sent, err)
		}
	})
}

// incoming is what a handset has got.
func incoming(h *sim.Handset) (all []sim.Message) {
	for _, m := range h.Messages() {
		if m.Incoming {
			all = append(all, m)
		}
	}
	return all
}

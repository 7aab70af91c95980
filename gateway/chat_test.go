package gateway

import (
	"testing"
	"time"

	"gatewayd/chat"
	"gatewayd/queue"
	"gatewayd/sms"
)

// A stranger chats with a phone through one SIM. What a program sends to the phone goes
// through the other one, although the phone knows the stranger's, and is answered there;
// without another it goes all the same.
func TestProgramsAvoidAStrangersSIM(t *testing.T) {
	inWorld(t, 2, air(), func(w *world) {
		w.pass(time.Minute)
		c := w.g.talk.chat
		rules := c.AbuseRules()
		rules.Puzzles = false
		if _, err := c.SetAbuseRules(t.Context(), rules, "usr_1"); err != nil {
			t.Fatal(err)
		}
		stranger := chat.Sender{Kind: sms.AuthorVisitor, ID: "vis_1", Name: "Vera", Address: "192.0.2.1", Widget: "wdg_1"}
		v, _, err := c.Begin(t.Context(), stranger, chat.Wanted{To: phone, Text: "hello"})
		if err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		handset := w.net.Handset(phone)
		says := func(to, text string) sms.Message {
			t.Helper()
			if err := handset.Send(to, text); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Minute)
			got, _, err := w.g.queue.List(t.Context(), queue.Filter{Direction: sms.Inbound, Limit: 1})
			if err != nil || len(got) != 1 || got[0].Text != text {
				t.Fatalf("%v %+v", err, got)
			}
			return got[0]
		}
		if m := says(v.Local, "YES"); m.Conversation != v.ID {
			t.Fatalf("%+v", m)
		}
		w.pass(time.Minute)
		for range 2 {
			sent := w.until(w.submit(phone, "Your code is 123.").ID, sms.Delivered, time.Minute)
			if sent.Modem == v.Modem {
				t.Fatalf("it went through the stranger's SIM: %+v", sent)
			}
			if m := says(sent.From, "thanks"); m.Conversation == v.ID {
				t.Errorf("the answer came to the stranger: %+v", m)
			}
			if m, err := c.Send(t.Context(), stranger, v.ID, "still there?", ""); err != nil {
				t.Fatal(err)
			} else if sent := w.until(m.ID, sms.Delivered, time.Minute); sent.Modem != v.Modem {
				t.Errorf("the stranger's text went through %s", sent.Modem)
			}
		}
		for _, m := range w.modems {
			if m.Name() != v.Modem {
				m.SetSIM(false)
			}
		}
		w.pass(time.Minute)
		if sent := w.until(w.submit(phone, "The server is down.").ID, sms.Delivered, 5*time.Minute); sent.Modem != v.Modem {
			t.Errorf("%+v", sent)
		}
	})
}

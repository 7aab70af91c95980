package sim

import (
	"testing"
)

func TestEchoUntilTurnedOff(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		d := talk(t, n.AddModem(ModemOptions{}))
		d.say("AT\r")
		d.hears("AT\r\r\nOK\r\n")
		d.say("ATE0\r")
		d.hears("ATE0\r\r\nOK\r\n")
		d.ask("AT", "OK")
		d.ask("ATE1", "OK")
		d.say("at+csq\r")
		d.hears("at+csq\r\r\n+CSQ: 21,99\r\n\r\nOK\r\n")
		d.say("ATZ\r")
		d.heard()
		d.say("AT\r")
		d.hears("AT\r\r\nOK\r\n")
	})
}

func TestSendOnePart(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		d := plainly(t, m)
		got := d.sends(submitTPDU(t, "+491701234567", "Hello {€}", true))
		if got != "\r\n+CMGS: 1\r\n\r\nOK\r\n" {
			t.Fatalf("answer %q", got)
		}
		d.after(1)
		h := n.Handset("+491701234567")
		if texts := h.Received(); len(texts) != 1 || texts[0] != "Hello {€}" {
			t.Fatalf("handset has %q", texts)
		}
	})
}

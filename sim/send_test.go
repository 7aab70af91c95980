package sim

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/warthog618/sms/encoding/tpdu"
)

func TestSendByteByByte(t *testing.T) {
	inBubble(t, NetworkOptions{Latency: 3 * time.Second}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{Number: "+491712222222"})
		d := plainly(t, m)
		pdu := submitTPDU(t, "+491701234567", "Hello {€}", true)
		d.say(fmt.Sprintf("AT+CMGS=%d\r", len(pdu)))
		d.hears("\r\n> ")
		for _, c := range "00" + hex.EncodeToString(pdu) {
			d.say(string(c))
		}
		d.hears("")
		d.say("\x1a")
		d.hears("")
		if len(n.Accepted()) != 0 {
			t.Fatal("accepted before its time")
		}
		d.after(1500 * time.Millisecond)
		d.hears("") // the network has it, the answer is on its way
		all := n.Accepted()
		if len(all) != 1 {
			t.Fatalf("%d accepted", len(all))
		}
		d.after(1500 * time.Millisecond)
		d.hears("\r\n+CMGS: 1\r\n\r\nOK\r\n")
		want := Submission{Seq: 1, At: all[0].At, Modem: "sim1", From: "+491712222222", To: "+491701234567", TOA: 0x91, MR: 1,
			TPDU: pdu, Report: true, Class: -1, Part: 1, Parts: 1, Text: "Hello {€}", Complete: true}
		if fmt.Sprint(all[0]) != fmt.Sprint(want) {
			t.Errorf("ledger has\n %v, not\n %v", all[0], want)
		}
		if got := n.Handset("+491701234567").Received(); len(got) != 1 || got[0] != "Hello {€}" {
			t.Errorf("handset has %q", got)
		}
		if s := m.Stats(); s.Sends != 1 || s.Overlaps != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestEchoShowsThePDUToo(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		d := talk(t, n.AddModem(ModemOptions{}))
		pdu := submitTPDU(t, "+491701234567", "x", false)
		written := "00" + hex.EncodeToString(pdu)
		d.say(fmt.Sprintf("AT+CMGS=%d\r", len(pdu)))
		d.hears(fmt.Sprintf("AT+CMGS=%d\r\r\n> ", len(pdu)))
		d.say(written + "\x1a")
		d.hears(written + "\x1a\r\n+CMGS: 1\r\n\r\nOK\r\n")
	})
}

// What a modem does not send: anything but an SMS-SUBMIT in pure hex of the
// announced length.
func TestStrictPDUs(t *testing.T) {
	good := submitTPDU(t, "+491701234567", "Good morning", false)
	deliver, err := Delivers(Text{From: "+491701234567", Text: "x", At: time.Now(), SMSC: "+49171"})
	if err != nil {
		t.Fatal(err)
	}
	x := hex.EncodeToString
	long := submitTPDU(t, "+491701234567", strings.Repeat("ab", 80), false)
	longer := append([]byte(nil), long...)
	longer[len(longer)-141]++ // TP-UDL 161
	noNumber := append([]byte{1, 0, 0, 0x91, 0, 0, 1, 'x'}, nil...)
	for name, c := range map[string]struct {
		length  int
		written string
	}{
		"length too small":         {len(good) - 1, "00" + x(good)},
		"length too large":         {len(good) + 1, "00" + x(good)},
		"length counts the SMSC":   {len(good) + 1, "00" + x(good)},
		"no SMSC address":          {len(good), x(good)},
		"odd number of digits":     {len(good), "00" + x(good) + "0"},
		"CR in the PDU":            {len(good), "00" + x(good)[:10] + "\r" + x(good)[10:]},
		"CR at its end":            {len(good), "00" + x(good) + "\r"},
		"LF after the command":     {len(good), "\n00" + x(good)},
		"a blank":                  {len(good), "00 " + x(good)},
		"a command instead":        {len(good), "AT\r"},
		"nothing":                  {len(good), ""},
		"a DELIVER":                {tpduLength(deliver[0]), x(deliver[0])},
		"TP-UDL too large":         {len(good), "00" + x(append(append([]byte(nil), good[:12]...), append([]byte{200}, good[13:]...)...))},
		"161 septets":              {len(longer), "00" + x(longer)},
		"octets after the text":    {len(good) + 1, "00" + x(good) + "00"},
		"no destination":           {len(noNumber), "00" + x(noNumber)},
		"SMSC address without end": {len(good), "0B91" + x(good)},
		"a flood of digits":        {len(good), "00" + strings.Repeat("A", 5000)},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
				d := plainly(t, n.AddModem(ModemOptions{}))
				d.say(fmt.Sprintf("AT+CMGS=%d\r", c.length))
				d.hears("\r\n> ")
				d.say(c.written + "\x1a")
				d.hears("\r\n+CMS ERROR: 304\r\n")
				if len(n.Accepted()) != 0 {
					t.Error("accepted")
				}
				if got := d.sends(good); got != "\r\n+CMGS: 1\r\n\r\nOK\r\n" {
					t.Errorf("afterwards a good one is answered %q", got)
				}
			})
		})
	}
}

func TestEscapeLeavesThePrompt(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		d := plainly(t, n.AddModem(ModemOptions{}))
		d.say("AT+CMGS=20\r")
		d.hears("\r\n> ")
		d.say("0011AT\r") // whatever is written now is message text
		d.hears("")
		d.say("\x1b\r")
		d.hears("\r\nOK\r\n")
		d.ask("AT", "OK")
		if len(n.Accepted()) != 0 {
			t.Error("accepted")
		}
	})
}

func TestReferencesWrap(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		d := plainly(t, n.AddModem(ModemOptions{FirstMR: 254}))
		pdu := submitTPDU(t, "+491701234567", "x", false)
		for _, want := range []int{255, 0, 1} {
			if got := d.sends(pdu); got != fmt.Sprintf("\r\n+CMGS: %d\r\n\r\nOK\r\n", want) {
				t.Errorf("%q, not %d", got, want)
			}
		}
	})
}

func TestLongTextsArriveWhole(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("Drei Chinesen mit dem Kontrabaß. ", 31),
		strings.Repeat("€{}[]~\\^|", 90),
		strings.Repeat("👋🏽 família 👨‍👩‍👧‍👦 ", 30),
		strings.Repeat("السلام عليكم ", 40),
		strings.Repeat("x", 160), strings.Repeat("x", 161), strings.Repeat("ж", 70), strings.Repeat("ж", 71),
	} {
		inBubble(t, NetworkOptions{Delivery: time.Second}, func(t *testing.T, n *Network) {
			m := n.AddModem(ModemOptions{})
			h := n.Handset("+491701234567")
			d := plainly(t, m)
			parts := submitTPDUs(t, h.Number(), text, false)
			for i := len(parts) - 1; i >= 0; i-- { // the last part first
				if got := d.sends(parts[i]); !strings.HasSuffix(got, "OK\r\n") {
					t.Fatal(got)
				}
				if i > 0 && len(h.Messages()) != 0 {
					t.Fatal("shown before all parts were there")
				}
			}
			d.after(time.Second)
			if got := h.Received(); len(got) != 1 || got[0] != text {
				t.Errorf("handset has %q, not %q", got, text)
			}
			for _, e := range n.Accepted() {
				if e.Text != text || !e.Complete || e.Parts != len(parts) || len(parts) > 1 && e.Ref != 77 {
					t.Errorf("ledger has %+v", e)
				}
			}
		})
	}
}

// Escape sequences and surrogate pairs that a careless sender cuts between two
// parts come out whole.
func TestCutCharacters(t *testing.T) {
	for _, c := range []struct {
		alphabet tpdu.Alphabet
		uds      [2][]byte
		want     string
	}{
		{tpdu.Alpha7Bit, [2][]byte{{'a', 0x1B}, {'e', 'b'}}, "a€b"},
		{tpdu.AlphaUCS2, [2][]byte{{0, 'a', 0xD8, 0x3D}, {0xDC, 0x4B, 0, 'b'}}, "a👋b"},
		{tpdu.AlphaUCS2, [2][]byte{{0, 'a', 0xD8, 0x3D}, {0, 'b'}}, "a\uFFFDb"},
	} {
		got, _ := text([]*part{{alphabet: c.alphabet, ud: c.uds[0]}, {alphabet: c.alphabet, ud: c.uds[1]}})
		if got != c.want {
			t.Errorf("%q, not %q", got, c.want)
		}
	}
}

func TestNumbersOnTheNetwork(t *testing.T) {
	for _, c := range []struct {
		dialled string
		handset string // "": refused with +CMS ERROR: 1
	}{
		{"+491701234567", "+491701234567"},
		{"00491701234567", "+491701234567"},
		{"01701234567", "+491701234567"},
		{"12345", "12345"},
		{"116", "116"},
		{"+12345", ""},            // a short code in international form
		{"491701234567", ""},      // without its plus
		{"+4917012345678901", ""}, // longer than E.164 allows
	} {
		inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
			d := plainly(t, n.AddModem(ModemOptions{}))
			got := d.sends(submitTPDU(t, c.dialled, "x", false))
			if c.handset == "" {
				if got != "\r\n+CMS ERROR: 1\r\n" {
					t.Errorf("%s: %q", c.dialled, got)
				}
				return
			}
			d.after(1)
			if all := n.Accepted(); len(all) != 1 || all[0].To != c.dialled || all[0].TOA != address(c.dialled).TOA {
				t.Errorf("%s: ledger has %v", c.dialled, all)
			}
			if len(n.Handset(c.handset).Received()) != 1 {
				t.Errorf("%s did not reach %s", c.dialled, c.handset)
			}
		})
	}
}

func TestSendingNeedsNetworkAndSMSC(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{NoSMSC: true})
		d := plainly(t, m)
		pdu := submitTPDU(t, "+491701234567", "x", false)
		if got := d.sends(pdu); got != "\r\n+CMS ERROR: 330\r\n" {
			t.Errorf("without SMSC: %q", got)
		}
		// An SMSC address in the PDU does instead.
		d.say(fmt.Sprintf("AT+CMGS=%d\r", len(pdu)))
		d.hears("\r\n> ")
		d.say("0791947101000000" + hex.EncodeToString(pdu) + "\x1a")
		d.hears("\r\n+CMGS: 1\r\n\r\nOK\r\n")
		m.SetRegistration(2)
		d.ask(`AT+CSCA="+491710000000",145`, "OK")
		if got := d.sends(pdu); got != "\r\n+CMS ERROR: 331\r\n" {
			t.Errorf("without a network: %q", got)
		}
		m.SetRegistration(5)
		if got := d.sends(pdu); got != "\r\n+CMGS: 2\r\n\r\nOK\r\n" {
			t.Errorf("roaming: %q", got)
		}
	})
}

func TestTextMode(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		d := plainly(t, m)
		h := n.Handset("+491701234567")
		d.ask("AT+CMGF=1", "OK")
		d.say("AT+CMGS=\"+491701234567\"\r")
		d.hears("\r\n> ")
		d.say("first line\r")
		d.hears("\r\n> ")
		d.say("second\x1a")
		d.hears("\r\n+CMGS: 1\r\n\r\nOK\r\n")
		d.say("AT+CMGS=\"01701234567\",129\r")
		d.hears("\r\n> ")
		d.say(strings.Repeat("x", 161) + "\x1a")
		d.hears("\r\n+CMS ERROR: 305\r\n") // longer than one SMS
		d.ask(`AT+CSCS="UCS2";+CSMP=17,167,0,8`, "OK")
		d.say("AT+CMGS=\"002B003400390031003700300031003200330034003500360037\"\r")
		d.hears("\r\n> ")
		d.say("0645D83DDC4B\x1a")
		d.hears("\r\n+CMGS: 2\r\n\r\nOK\r\n")
		d.after(1)
		if got := h.Received(); len(got) != 2 || got[0] != "first line\rsecond" || got[1] != "م👋" {
			t.Errorf("handset has %q", got)
		}
		d.ask(`AT+CSCS="GSM";+CNMI=2,2,0,0,0`, "OK")
		if err := h.Send(m.Number(), "Hello"); err != nil {
			t.Fatal(err)
		}
		d.after(1)
		d.hears("\r\n+CMT: \"+491701234567\",,\"00/01/01,02:00:00+08\"\r\nHello\r\n")
		d.ask("AT+CNMI=2,1;+CSDH=1", "OK")
		if err := h.Send(m.Number(), "again"); err != nil {
			t.Fatal(err)
		}
		d.after(1)
		d.hears("\r\n+CMTI: \"SM\",1\r\n")
		d.ask("AT+CMGR=1", `+CMGR: "REC UNREAD","+491701234567",,"00/01/01,02:00:00+08",145,4,0,0,"+491710000000",145,5`+"\r\nagain", "OK")
		d.ask(`AT+CMGL="REC UNREAD"`, "OK")
	})
}

func TestStoreAndSendLater(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		d := plainly(t, n.AddModem(ModemOptions{}))
		pdu := submitTPDU(t, "+491701234567", "stored", false)
		d.say(fmt.Sprintf("AT+CMGW=%d\r", len(pdu)))
		d.hears("\r\n> ")
		d.say("00" + hex.EncodeToString(pdu) + "\x1a")
		d.hears("\r\n+CMGW: 1\r\n\r\nOK\r\n")
		d.ask("AT+CMGL=2", fmt.Sprintf("+CMGL: 1,2,,%d\r\n00%s", len(pdu), upperHex(pdu)), "OK")
		d.ask("AT+CMSS=2", "+CMS ERROR: 321")
		d.ask("AT+CMSS=1", "+CMSS: 1", "OK")
		d.after(1)
		if got := n.Handset("+491701234567").Received(); len(got) != 1 || got[0] != "stored" {
			t.Errorf("handset has %q", got)
		}
		d.ask("AT+CMGL=3", fmt.Sprintf("+CMGL: 1,3,,%d\r\n00%s", len(pdu), upperHex(pdu)), "OK")
	})
}

// Ledger and handsets forget their oldest; sequence numbers stay.
func TestOldestIsForgotten(t *testing.T) {
	inBubble(t, NetworkOptions{Keep: 4}, func(t *testing.T, n *Network) {
		d := plainly(t, n.AddModem(ModemOptions{}))
		for i := range 20 {
			d.sends(submitTPDU(t, "+491701234567", fmt.Sprint(i), false))
			d.after(1)
		}
		all := n.Accepted()
		if len(all) < 4 || len(all) > 5 || all[len(all)-1].Seq != 20 || all[0].Text != fmt.Sprint(all[0].Seq-1) {
			t.Errorf("ledger %v", all)
		}
		if got := n.AcceptedAfter(3); len(got) != len(all) {
			t.Errorf("after a forgotten one: %d", len(got))
		}
		texts := n.Handset("+491701234567").Received()
		if len(texts) < 4 || len(texts) > 5 || texts[len(texts)-1] != "19" {
			t.Errorf("handset has %q", texts)
		}
	})
}

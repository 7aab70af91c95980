package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// deliverPDU is a PDU of one part as the SMSC sends it.
func deliverPDU(t *testing.T, x Text) []byte {
	t.Helper()
	if x.From == "" {
		x.From = "+491701234567"
	}
	x.SMSC, x.At = "+491710000000", time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
	all, err := Delivers(x)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[0]
}

func TestDeliverIsAPublicVector(t *testing.T) {
	// The PDU of "hellohello" that many introductions explain, but for the
	// type of its sender's number, which is a plain 81 here.
	all, err := Delivers(Text{From: "27838890001", SMSC: "+27831000015", Text: "hellohello",
		At: time.Date(1999, 3, 29, 15, 16, 59, 0, time.FixedZone("", 2*3600))})
	if err != nil {
		t.Fatal(err)
	}
	const want = "07917238010010F5040B817238880900F10000993092516195800AE8329BFD4697D9EC37"
	if got := upperHex(all[0]); got != want {
		t.Errorf("%s, not\n %s", got, want)
	}
}

func TestIndicationsRouteAsTold(t *testing.T) {
	plain := Text{Text: "x"}
	flash := Text{Text: "x", HasClass: true, Class: 0}
	forSIM := Text{Text: "x", HasClass: true, Class: 2}
	forTE := Text{Text: "x", HasClass: true, Class: 3}
	silent := Text{Text: "x", PID: 0x40}
	cmt := func(x Text) string {
		pdu := deliverPDU(t, x)
		return fmt.Sprintf("\r\n+CMT: ,%d\r\n%s\r\n", tpduLength(pdu), upperHex(pdu))
	}
	const cmti = "\r\n+CMTI: \"ME\",1\r\n"
	const cmtiSIM = "\r\n+CMTI: \"SM\",1\r\n"
	for _, c := range []struct {
		mt     int
		x      Text
		says   string
		me, sm int // messages kept
	}{
		{0, plain, "", 1, 0}, {1, plain, cmti, 1, 0}, {2, plain, cmt(plain), 0, 0}, {3, plain, cmti, 1, 0},
		{0, flash, "", 1, 0}, {1, flash, cmt(flash), 0, 0}, {2, flash, cmt(flash), 0, 0}, {3, flash, cmt(flash), 0, 0},
		{0, forSIM, "", 0, 1}, {1, forSIM, cmtiSIM, 0, 1}, {2, forSIM, cmtiSIM, 0, 1}, {3, forSIM, cmtiSIM, 0, 1},
		{0, forTE, "", 1, 0}, {1, forTE, cmti, 1, 0}, {2, forTE, cmt(forTE), 0, 0}, {3, forTE, cmt(forTE), 0, 0},
		{1, silent, "", 0, 0}, {2, silent, "", 0, 0},
	} {
		inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
			m := n.AddModem(ModemOptions{})
			d := plainly(t, m)
			d.ask(`AT+CPMS="ME","ME","ME"`, "+CPMS: 0,50,0,50,0,50", "OK")
			d.ask(fmt.Sprintf("AT+CNMI=2,%d", c.mt), "OK")
			m.Inject(deliverPDU(t, c.x))
			if got := d.heard(); got != c.says {
				t.Errorf("mt %d, class %d: said %q, not %q", c.mt, c.x.Class, got, c.says)
			}
			if me, sm := len(m.Stored("ME")), len(m.Stored("SM")); me != c.me || sm != c.sm {
				t.Errorf("mt %d, class %d: %d in ME and %d in SM, not %d and %d", c.mt, c.x.Class, me, sm, c.me, c.sm)
			}
		})
	}
}

func TestModeZeroHoldsIndicationsBack(t *testing.T) {
	for bfr, want := range []string{"\r\n+CMTI: \"SM\",1\r\n\r\n+CMTI: \"SM\",2\r\n\r\nOK\r\n", "\r\nOK\r\n"} {
		inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
			m := n.AddModem(ModemOptions{})
			d := plainly(t, m)
			d.ask("AT+CNMI=0,1", "OK")
			m.Inject(deliverPDU(t, Text{Text: "1"}))
			m.Inject(deliverPDU(t, Text{Text: "2"}))
			d.hears("")
			d.say(fmt.Sprintf("AT+CNMI=2,1,0,0,%d\r", bfr))
			d.hears(want)
		})
	}
}

func TestReadListDelete(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		d := plainly(t, m)
		d.ask("AT+CNMI=2,1,0,0,0", "OK")
		var pdus []string
		for _, s := range []string{"one", "two", "three"} {
			pdu := deliverPDU(t, Text{Text: s})
			pdus = append(pdus, fmt.Sprintf("%d\r\n%s", tpduLength(pdu), upperHex(pdu)))
			m.Inject(pdu)
		}
		d.hears("\r\n+CMTI: \"SM\",1\r\n\r\n+CMTI: \"SM\",2\r\n\r\n+CMTI: \"SM\",3\r\n")
		d.ask("AT+CMGR=2", "+CMGR: 0,,"+pdus[1], "OK")
		d.ask("AT+CMGR=2", "+CMGR: 1,,"+pdus[1], "OK") // read now
		d.ask("AT+CMGL=0", "+CMGL: 1,0,,"+pdus[0], "+CMGL: 3,0,,"+pdus[2], "OK")
		d.ask("AT+CMGL=4", "+CMGL: 1,1,,"+pdus[0], "+CMGL: 2,1,,"+pdus[1], "+CMGL: 3,1,,"+pdus[2], "OK")
		d.ask("AT+CMGD=?", "+CMGD: (1,2,3),(0-4)", "OK")
		d.ask("AT+CMGD=2", "OK")
		d.ask("AT+CMGR=2", "+CMS ERROR: 321")
		m.Inject(deliverPDU(t, Text{Text: "four"}))
		d.hears("\r\n+CMTI: \"SM\",2\r\n") // a free slot is used again
		d.ask("AT+CMGD=1,1", "OK")         // the read ones
		d.ask("AT+CPMS?", `+CPMS: "SM",1,30,"SM",1,30,"SM",1,30`, "OK")
		d.ask("AT+CMGD=1,4", "OK")
		d.ask("AT+CMGL=4", "OK")
	})
}

// A full memory takes nothing; the network keeps it all, and brings it when
// there is room.
func TestFullMemory(t *testing.T) {
	inBubble(t, NetworkOptions{Delivery: time.Second}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{SIMSlots: 3})
		d := plainly(t, m)
		d.ask("AT+CNMI=2,1,0,1,0", "OK")
		h := n.Handset("+491701234567")
		for i := range 5 {
			if err := h.Send(m.Number(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		d.after(time.Second)
		d.hears("\r\n+CMTI: \"SM\",1\r\n\r\n+CMTI: \"SM\",2\r\n\r\n+CMTI: \"SM\",3\r\n")
		if w := n.Waiting(m.Number()); w != 2 {
			t.Fatalf("the SMSC has %d waiting", w)
		}
		if all := h.Messages(); !all[2].Delivered || all[3].Delivered {
			t.Error("the handset believes otherwise")
		}
		d.ask("AT+CMGD=1", "OK", `+CMTI: "SM",1`)
		d.ask("AT+CMGD=2", "OK", `+CMTI: "SM",2`)
		d.ask("AT+CMGD=3", "OK")
		if w := n.Waiting(m.Number()); w != 0 {
			t.Errorf("the SMSC still has %d", w)
		}
	})
}

func TestHeldWhileUnpluggedOrOutOfReach(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{Attach: 2 * time.Second})
		time.Sleep(2 * time.Second)
		h := n.Handset("+491701234567")
		send := func(text string) {
			if err := h.Send(m.Number(), text); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		m.SetRegistration(2)
		send("1")
		if len(m.Stored("SM")) != 0 {
			t.Fatal("received without a network")
		}
		m.SetRegistration(1)
		time.Sleep(time.Second)
		if len(m.Stored("SM")) != 1 {
			t.Fatal("not received when the network was back")
		}
		m.Unplug()
		send("2")
		if err := m.Plug(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if len(m.Stored("SM")) != 1 {
			t.Fatal("received before it was registered")
		}
		time.Sleep(2 * time.Second)
		if len(m.Stored("SM")) != 2 {
			t.Fatal("not received after it was plugged in")
		}
	})
}

func TestReports(t *testing.T) {
	inBubble(t, NetworkOptions{Report: time.Second}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		d := plainly(t, m)
		d.ask("AT+CNMI=2,1,0,1,0", "OK")
		report := func(mr byte, to string, status byte, sent, done time.Time) string {
			raw, err := statusReport(n.opt.SMSC, &slip{mr: mr, to: address(to), scts: sent}, status, done)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("\r\n+CDS: %d\r\n%s\r\n", tpduLength(raw), upperHex(raw))
		}
		const number = "+491701234567"
		start := n.now()
		d.sends(submitTPDU(t, number, "delivered", true))
		d.after(time.Second)
		d.hears(report(1, number, 0, start, start))

		d.sends(submitTPDU(t, number, "no report wanted", false))
		d.after(time.Minute)
		d.hears("")

		h := n.Handset(number)
		h.SetOn(false)
		sent := n.now()
		d.sends(submitTPDU(t, number, "waits", true))
		d.after(time.Hour)
		d.hears("")
		h.SetOn(true)
		on := n.now()
		d.after(time.Second)
		d.hears(report(3, number, 0, sent, on))

		n.SetFate("+491700000049", Fate{Reports: []byte{0x30, 0x49}})
		sent = n.now()
		d.sends(submitTPDU(t, "+491700000049", "no such number", true))
		d.after(time.Second)
		d.hears(report(4, "+491700000049", 0x30, sent, sent))
		d.after(time.Second)
		d.hears(report(4, "+491700000049", 0x49, sent, sent))

		n.SetFate("+491700000038", Fate{CMS: 38})
		if got := d.sends(submitTPDU(t, "+491700000038", "refused", true)); got != "\r\n+CMS ERROR: 38\r\n" {
			t.Errorf("%q", got)
		}
		n.SetFate("+491700000001", Fate{Silent: true})
		d.sends(submitTPDU(t, "+491700000001", "nothing is reported", true))
		d.after(time.Minute)
		d.hears("")
		if len(n.Handset("+491700000001").Received()) != 1 {
			t.Error("not delivered")
		}

		n.SetFate("+491700000001", Fate{ReportAs: "01700000001"})
		sent = n.now()
		d.sends(submitTPDU(t, "+491700000001", "reported in another form", true))
		d.after(time.Minute)
		d.hears(report(7, "01700000001", 0, sent, sent))
		if all := n.AcceptedAfter(5); len(all) != 1 || all[0].Seq != 6 || len(n.AcceptedAfter(6)) != 0 || len(n.Accepted()) != 6 {
			t.Errorf("ledger after the fifth: %v", all)
		}

		d.ask("AT+CNMI=2,1,0,2,0", "OK")
		d.sends(submitTPDU(t, number, "stored report", true))
		d.after(time.Second)
		d.hears("\r\n+CDSI: \"SM\",1\r\n")
		d.ask("AT+CNMI=2,1,0,0,0", "OK")
		d.sends(submitTPDU(t, number, "dropped report", true))
		d.after(time.Minute)
		d.hears("")
		if len(m.Stored("SM")) != 1 {
			t.Errorf("%d reports kept", len(m.Stored("SM")))
		}
	})
}

func TestValidityEnds(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		d := plainly(t, m)
		d.ask("AT+CNMI=2,1,0,1,0", "OK")
		h := n.Handset("+491701234567")
		h.SetOn(false)
		pdu := submitTPDU(t, h.Number(), "x", true)
		pdu[0] |= 0x10
		pdu = slices.Insert(pdu, 12, byte(5)) // relative: half an hour
		d.sends(pdu)
		d.after(29 * time.Minute)
		d.hears("")
		d.after(time.Minute)
		if got := d.heard(); !strings.HasPrefix(got, "\r\n+CDS: ") || !strings.HasSuffix(got, "46\r\n") {
			t.Errorf("%q", got)
		}
		h.SetOn(true)
		d.after(time.Hour)
		if len(h.Received()) != 0 {
			t.Error("delivered after its time")
		}
	})
}

// With +CSMS=1 each PDU waits for +CNMA. One that is missing turns all
// receiving off until +CNMI is set again, and the network keeps the PDU.
func TestAcknowledgement(t *testing.T) {
	inBubble(t, NetworkOptions{Retry: time.Minute}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		d := plainly(t, m)
		d.ask("AT+CSMS=1", "+CSMS: 1,1,1", "OK")
		d.ask("AT+CNMI=2,2,0,1,0", "OK")
		cmt := func(s string) string {
			pdu := deliverPDU(t, Text{Text: s})
			m.Inject(pdu)
			return fmt.Sprintf("\r\n+CMT: ,%d\r\n%s\r\n", tpduLength(pdu), upperHex(pdu))
		}
		one, two, three := cmt("1"), cmt("2"), cmt("3")
		d.hears(one) // and no second before the first is acknowledged
		d.ask("AT+CNMA=3", "+CMS ERROR: 304")
		d.ask("AT+CNMA", "OK", strings.Trim(two, "\r\n"))
		d.ask("AT+CNMA=1", "OK", strings.Trim(three, "\r\n"))
		d.after(ackTime)
		d.ask("AT+CNMI?", "+CNMI: 2,0,0,0,0", "OK")
		d.ask("AT+CNMA", "+CMS ERROR: 340")
		if w := n.Waiting(m.Number()); w != 1 {
			t.Errorf("the SMSC has %d waiting", w)
		}
		d.sends(submitTPDU(t, "+491701234567", "x", true))
		d.after(30 * time.Second)
		d.hears("")
		d.ask("AT+CNMI=2,2,0,1,0", "OK")
		d.after(30 * time.Second) // a minute after it was refused
		got := d.heard()
		if got != three {
			t.Errorf("after +CNMI: %q", got)
		}
		d.ask("AT+CNMA=2", "OK") // refused: it comes again
		d.after(time.Minute)
		if got := d.heard(); got != three {
			t.Errorf("after the refusal: %q", got)
		}
		d.say("AT+CNMA=1,3\r")
		d.hears("\r\n> ")
		d.say("no hex\x1a")
		d.hears("\r\n+CMS ERROR: 304\r\n")
		d.say("AT+CNMA=1,3\r")
		d.hears("\r\n> ")
		d.say("000000\x1a")
		if got := d.heard(); !strings.HasPrefix(got, "\r\nOK\r\n\r\n+CDS: ") {
			t.Errorf("after the acknowledgement with a PDU: %q", got)
		}
	})
}

// With +CSMS=0 the modem acknowledges by itself: what comes while nobody has
// the port open is lost with mt 2, and kept with mt 1.
func TestNobodyListens(t *testing.T) {
	for _, mt := range []int{1, 2} {
		inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
			m := n.AddModem(ModemOptions{})
			d := plainly(t, m)
			d.ask(fmt.Sprintf("AT+CNMI=2,%d", mt), "OK")
			d.pipe.Close()
			m.Inject(deliverPDU(t, Text{Text: "x"}))
			d.after(time.Second)
			d = talk(t, m)
			d.hears("")
			if got := len(m.Stored("SM")); got != 2-mt {
				t.Errorf("mt %d: %d kept", mt, got)
			}
			if n.Waiting(m.Number()) != 0 {
				t.Error("the SMSC does not know")
			}
		})
	}
}

func TestModemToModem(t *testing.T) {
	inBubble(t, NetworkOptions{Latency: time.Second, Delivery: time.Second}, func(t *testing.T, n *Network) {
		a, b := n.AddModem(ModemOptions{}), n.AddModem(ModemOptions{})
		da, db := plainly(t, a), plainly(t, b)
		db.ask("AT+CNMI=2,1,0,0,0", "OK")
		da.ask("AT+CNMI=2,1,0,1,0", "OK")
		words := strings.Repeat("von Modem zu Modem, 👋 ", 10)
		parts := submitTPDUs(t, b.Number(), words, true)
		for i, p := range parts {
			da.sends(p)
			da.after(time.Second)
			da.hears(fmt.Sprintf("\r\n+CMGS: %d\r\n\r\nOK\r\n", i+1))
			da.after(time.Second)
			db.hears(fmt.Sprintf("\r\n+CMTI: \"SM\",%d\r\n", i+1))
			if got := da.heard(); !strings.HasPrefix(got, "\r\n+CDS: ") {
				t.Errorf("report %q", got)
			}
		}
		var all []*part
		for _, raw := range b.Stored("SM") {
			x, good := readDelivered(raw)
			if !good || x.OA.Number() != a.Number() {
				t.Fatalf("unreadable or from %q: %X", x.OA.Number(), raw)
			}
			all = append(all, partOf(x, x.OA.Number(), "", time.Now()))
		}
		if got, _ := text(all); got != words {
			t.Errorf("%q arrived", got)
		}
	})
}

// Phones: a reference that is used again, parts that come twice, and data.
func TestHandsetPutsTogether(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		a, b := n.Handset("+491700000001"), n.Handset("+491700000002")
		long := func(c string) string { return strings.Repeat(c, 200) }
		for _, s := range []string{long("a"), long("b")} {
			if err := a.SendText(b.Number(), Text{Text: s, Ref: 9}); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.SendText(b.Number(), Text{Text: long("c"), Ref: 300, Wide: true}); err != nil {
			t.Fatal(err)
		}
		if err := a.SendText(b.Number(), Text{Data: []byte{1, 2, 3}, Port: 2948, Ref: -1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := b.Received(); !slices.Equal(got, []string{long("a"), long("b"), long("c"), ""}) {
			t.Errorf("%q", got)
		}
		if m := b.Messages()[3]; string(m.Data) != "\x01\x02\x03" {
			t.Errorf("data %x", m.Data)
		}

		var set assembler
		for i, c := range []struct {
			seq  int
			ud   string
			want string // of the message that it completes
		}{
			{1, "old", ""}, {2, "old", ""}, {1, "old", ""}, // the last is a repeat
			{1, "new ", ""}, {3, "end", ""}, // the reference is used again
			{2, "and ", "new and end"},
			{2, "and ", ""},
		} {
			whole := set.add(&part{from: "x", bits: 8, ref: 1, total: 3, seq: c.seq, ud: []byte(c.ud)})
			got := ""
			if whole != nil {
				got, _ = text(whole)
			}
			if got != c.want {
				t.Errorf("part %d completes %q, not %q", i, got, c.want)
			}
		}
	})
}

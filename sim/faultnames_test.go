package sim

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// trial is a modem on which a fault is shown.
type trial struct {
	*testing.T
	n *Network
	m *Modem
	d *dialogue
	// report has sends ask for a status report.
	report bool
}

func (x *trial) set(name, value string) {
	x.Helper()
	if err := x.m.SetFault(name, value); err != nil {
		x.Fatal(err)
	}
}

const trialPeer = "+491701234567"

// sends sends a text and returns what the modem answers within so long.
func (x *trial) sends(within time.Duration) string {
	x.Helper()
	tpdu := submitTPDU(x.T, trialPeer, "x", x.report)
	x.d.say(fmt.Sprintf("AT+CMGS=%d\r", len(tpdu)))
	x.d.heard()
	x.d.say("00" + hex.EncodeToString(tpdu) + "\x1a")
	x.d.after(within)
	return x.d.heard()
}

func (x *trial) wants(got, want string) {
	x.Helper()
	if got != want {
		x.Errorf("the modem said\n %q, not\n %q", got, want)
	}
}

// gets has a text arrive, and returns the PDU that is stored.
func (x *trial) gets(text Text) []byte {
	x.Helper()
	x.m.Inject(deliverPDU(x.T, text))
	x.d.after(time.Second)
	all := x.m.Stored("SM")
	if len(all) == 0 {
		x.Fatal("nothing was stored")
	}
	return all[len(all)-1]
}

func (x *trial) arrived() int { return len(x.n.Handset(trialPeer).Received()) }

const sentOK = "\r\n+CMGS: 1\r\n\r\nOK\r\n"

// demonstrations show each fault of the table; a fault without a demonstration
// is a mistake. The network takes 2 s, a refused PDU is offered again after a
// minute, and +CNMI announces what is stored.
var demonstrations = map[string]func(x *trial){
	"hang": func(x *trial) {
		x.set("hang", "mute")
		x.d.ask("AT")
		x.set("hang", "")
		x.d.ask("AT", "OK")
	},
	"hang_cure": func(x *trial) {
		x.set("hang", "sending_fails")
		x.set("hang_cure", "cfun")
		x.wants(x.sends(3*time.Second), "\r\n+CMS ERROR: 500\r\n")
		x.d.ask("AT+CFUN=0", "OK")
		x.d.ask("AT+CFUN=1", "OK")
		if got := x.sends(3 * time.Second); !strings.HasSuffix(got, "OK\r\n") {
			x.Errorf("cured, it says %q", got)
		}
	},
	"mute": func(x *trial) {
		x.set("mute", "on")
		x.d.ask("AT+CFUN=1,1")
		x.set("mute", "off")
		x.d.ask("AT", "OK") // and it did not restart
	},
	"block": func(x *trial) {
		x.set("block", "on")
		wrote := make(chan error, 1)
		go func() {
			_, err := io.WriteString(x.d.pipe, "AT\r")
			wrote <- err
		}()
		synctest.Wait()
		if len(wrote) != 0 {
			x.Error("the write returned")
		}
		x.set("block", "off")
		if err := <-wrote; err != nil {
			x.Error(err)
		}
	},
	"lists_hang": func(x *trial) {
		x.set("lists_hang", "2")
		x.set("hang_cure", "power")
		x.d.ask("AT+CMGL=4", "OK")
		x.d.ask("AT+CMGL=4")
		x.d.ask("AT")
		if err := x.m.PowerCycle(); err != nil {
			x.Fatal(err)
		}
		plainly(x.T, x.m).ask("AT+CMGL=4", "OK")
	},
	"unplug_after": func(x *trial) {
		x.set("unplug_after", "20") // AT+CSQ and CR are 7, and 13 of its answer
		x.d.say("AT+CSQ\r")
		x.d.hears("\r\n+CSQ: 21,99")
		if x.m.Present() {
			x.Error("it is there")
		}
		x.d.after(time.Hour)
		if x.m.Present() {
			x.Error("it came back")
		}
		if err := x.m.Plug(); err != nil {
			x.Fatal(err)
		}
		// In the middle of what is written: the rest is never heard.
		d := plainly(x.T, x.m)
		x.set("unplug_after", "3")
		d.say("AT+CSQ\r")
		d.hears("")
	},
	"replug_after": func(x *trial) {
		x.set("replug_after", "5s")
		x.set("unplug_after", "1")
		x.d.say("AT\r")
		x.d.after(5*time.Second - 1)
		if x.m.Present() {
			x.Error("too early")
		}
		x.d.after(1)
		plainly(x.T, x.m).ask("AT", "OK")
	},
	"renumber": func(x *trial) {}, // a matter of links: TestRenumberedLinks
	"prompt_delay": func(x *trial) {
		x.set("prompt_delay", "4s")
		x.d.say("AT+CMGS=20\r")
		x.d.after(4*time.Second - 1)
		x.d.hears("")
		x.d.after(1)
		x.d.hears("\r\n> ")
	},
	"prompt_split": func(x *trial) {
		x.set("prompt_split", "on")
		x.d.say("AT+CMGS=20\r")
		x.d.hears("\r")
		x.d.after(time.Second)
		x.d.hears("\n> ")
	},
	"prompt_missing": func(x *trial) {
		x.set("prompt_missing", "1")
		x.d.say("AT+CMGS=20\r")
		x.d.after(time.Minute)
		x.d.hears("")
		x.d.say("\x1b")
		x.d.hears("\r\nOK\r\n")
		x.d.say("AT+CMGS=20\r")
		x.d.hears("\r\n> ")
	},
	"prompt_deaf": func(x *trial) {
		x.set("prompt_deaf", "on")
		x.set("prompt_delay", "4s")
		x.d.say("AT+CMGS=20\r\x1b")
		x.d.hears("")
		x.d.after(4 * time.Second)
		x.d.hears("\r\n> ")
	},
	"prompt_form": func(x *trial) {
		for form, want := range map[string]string{"bare": ">", "line": "\r\n>\r\n", "no_space": "\r\n>", "": "\r\n> "} {
			x.set("prompt_form", form)
			x.d.say("AT+CMGS=20\r")
			x.d.hears(want)
			x.d.say("\x1b")
			x.d.heard()
		}
	},
	"silent": func(x *trial) {
		x.set("silent", "1")
		x.wants(x.sends(time.Hour), "")
		if x.arrived() != 1 {
			x.Error("it was not sent")
		}
		x.wants(x.sends(2*time.Second), strings.ReplaceAll(sentOK, "1", "2"))
	},
	"ok_only": func(x *trial) {
		x.set("ok_only", "always")
		for range 3 {
			x.wants(x.sends(2*time.Second), "\r\nOK\r\n")
		}
		if x.arrived() != 3 {
			x.Error("it was not sent")
		}
	},
	"late": func(x *trial) {
		x.set("late", "1")
		x.wants(x.sends(72*time.Second-1), "")
		x.d.after(1)
		x.d.hears(sentOK)
	},
	"late_by": func(x *trial) {
		x.set("late_by", "10s")
		x.set("late", "1")
		x.wants(x.sends(12*time.Second-1), "")
		x.d.after(1)
		x.d.hears(sentOK)
	},
	"late_detached": func(x *trial) {
		x.set("late", "1")
		x.set("late_detached", "on")
		x.wants(x.sends(10*time.Second), "")
		x.d.ask("AT", "OK")
		x.d.after(62 * time.Second)
		x.d.hears(sentOK)
	},
	"network_timeout": func(x *trial) {
		x.set("network_timeout", "1")
		x.wants(x.sends(40*time.Second-1), "")
		x.d.after(1)
		x.d.hears("\r\n+CMS ERROR: 332\r\n")
		if x.arrived() != 1 {
			x.Error("the network did not have it")
		}
	},
	"lost": func(x *trial) {
		for _, f := range []string{"silent", "ok_only", "late", "network_timeout"} {
			x.set("lost", "on")
			x.set(f, "1")
			x.sends(2 * time.Minute)
		}
		if x.arrived() != 0 {
			x.Errorf("%d were sent", x.arrived())
		}
	},
	"reject": func(x *trial) {
		x.set("reject", "1")
		x.wants(x.sends(2*time.Second), "\r\n+CMS ERROR: 500\r\n")
		if x.arrived() != 0 {
			x.Error("it was sent")
		}
	},
	"reject_command": func(x *trial) {
		x.set("reject_command", "1")
		x.d.ask("AT+CMGS=20", "+CMS ERROR: 500")
	},
	"send_error": func(x *trial) {
		x.set("send_error", "+CME ERROR: 14")
		x.set("reject", "1")
		x.wants(x.sends(2*time.Second), "\r\n+CME ERROR: 14\r\n")
		x.set("reject_command", "1")
		x.d.ask("AT+CMGS=20", "+CME ERROR: 14")
		x.set("hang", "sending_fails")
		x.wants(x.sends(2*time.Second), "\r\n+CME ERROR: 14\r\n")
		x.set("hang", "radio_gone")
		x.wants(x.sends(2*time.Second), "\r\n+CME ERROR: 14\r\n")
	},
	"reject_for": func(x *trial) {
		x.set("reject_for", "+4917099=+CMS ERROR: 1,"+trialPeer+"=+CMS ERROR: 10")
		x.wants(x.sends(2*time.Second), "\r\n+CMS ERROR: 10\r\n")
		x.set("reject_for", "")
		if got := x.sends(2 * time.Second); !strings.HasPrefix(got, "\r\n+CMGS: ") {
			x.Error(got)
		}
	},
	"report_first": func(x *trial) {
		x.d.ask("AT+CNMI=2,1,0,1,0", "OK")
		x.set("report_first", "on")
		x.report = true
		got := x.sends(2 * time.Second)
		if !strings.HasPrefix(got, "\r\n+CDS: ") || !strings.HasSuffix(got, sentOK) {
			x.Errorf("%q", got)
		}
	},
	"no_credit": func(x *trial) {
		x.set("no_credit", "on")
		for range 3 {
			x.wants(x.sends(2*time.Second), "\r\n+CMS ERROR: 38\r\n")
		}
		x.gets(Text{Text: "it receives"})
	},
	"daily_wall": func(x *trial) {
		x.set("daily_wall", "2")
		x.sends(2 * time.Second)
		x.sends(2 * time.Second)
		x.wants(x.sends(2*time.Second), "\r\n+CMS ERROR: 21\r\n")
		x.d.after(24 * time.Hour)
		x.d.heard()
		if got := x.sends(2 * time.Second); !strings.HasPrefix(got, "\r\n+CMGS: ") {
			x.Errorf("the next day: %q", got)
		}
	},
	"ussd_silent": func(x *trial) {
		x.set("ussd_silent", "1")
		x.d.ask(`AT+CUSD=1,"*100#",15`, "OK")
		x.d.after(time.Hour)
		x.d.hears("")
		x.d.ask(`AT+CUSD=1,"*100#",15`, "OK")
		x.d.after(3 * time.Second)
		x.d.hears("\r\n+CUSD: 0,\"Balance: 10.00 EUR\",15\r\n")
	},
	"cr_cr_lf": func(x *trial) {
		x.set("cr_cr_lf", "on")
		x.d.say("AT+CSQ\r")
		x.d.hears("\r\r\n+CSQ: 21,99\r\r\n\r\r\nOK\r\r\n")
	},
	"cr_only": func(x *trial) {
		x.set("cr_only", "on")
		x.d.say("AT+CSQ\r")
		x.d.hears("\r+CSQ: 21,99\r\rOK\r")
	},
	"keep_echo": func(x *trial) {
		x.set("keep_echo", "on")
		x.d.say("ATE0\r")
		x.d.hears("ATE0\r\r\nOK\r\n")
		x.d.say("AT\r")
		x.d.hears("AT\r\r\nOK\r\n")
	},
	"noise": func(x *trial) {
		x.set("noise", "^BOOT:1|+CREG: 5")
		x.d.ask("AT+CSQ", "^BOOT:1", "+CREG: 5", "+CSQ: 21,99", "^BOOT:1", "+CREG: 5", "OK")
	},
	"flood": func(x *trial) {
		x.set("flood", "1s")
		x.d.after(2 * time.Second)
		x.d.hears(strings.Repeat("\r\n^BOOT:27710117,0,0,0,75\r\n", 2))
		x.set("noise", "^A:1|^B:2")
		x.d.after(time.Second)
		x.d.hears("\r\n^A:1\r\n\r\n^B:2\r\n")
	},
	"garbage": func(x *trial) {
		x.set("garbage", "1")
		x.d.say("AT\r")
		if got := x.d.heard(); len(got) != 4102 || strings.Count(got, "\n") != 2 || !strings.HasSuffix(got, "\x81\r\nOK\r\n") {
			x.Errorf("%d octets: %.40q", len(got), got)
		}
	},
	"slow": func(x *trial) {
		x.set("slow", "+CMGD=7s")
		x.d.say("AT+CMGD=1\r")
		x.d.after(7*time.Second - 1)
		x.d.hears("")
		x.d.after(1)
		x.d.hears("\r\nOK\r\n")
	},
	"no_final": func(x *trial) {
		x.set("no_final", "+CPMS,+CSQ")
		x.d.ask("AT+CSQ", "+CSQ: 21,99")
		x.d.ask("AT+CSQ;+CREG?", "+CSQ: 21,99", "+CREG: 0,1", "OK")
	},
	"cpin_form": func(x *trial) {
		x.set("cpin_form", "tight")
		x.d.ask("AT+CPIN?", "+CPIN:READY", "OK")
		x.set("cpin_form", "quoted")
		x.d.ask("AT+CPIN?", `+CPIN: "READY"`, "OK")
		x.set("cpin_form", "bare")
		x.d.ask("AT+CPIN?", "READY")
	},
	"lte_only": func(x *trial) {
		x.set("lte_only", "on")
		x.d.ask("AT+CREG?;+CEREG?", "+CREG: 0,2", "+CEREG: 0,1", "OK")
		x.wants(x.sends(2*time.Second), sentOK)
	},
	"csq_100": func(x *trial) {
		x.set("csq_100", "on")
		x.d.ask("AT+CSQ", "+CSQ: 145,99", "OK") // -71 dBm
	},
	"silent_reset": func(x *trial) {
		x.set("silent_reset", "1")
		x.d.ask("AT", "OK")
		x.d.say("AT+CNMI?\r")
		x.d.hears("AT+CNMI?\r\r\n+CNMI: 0,0,0,0,0\r\n\r\nOK\r\n")
		x.m.Inject(deliverPDU(x.T, Text{Text: "x"}))
		x.d.after(time.Minute)
		x.d.hears("") // stored, and not told
	},
	"cfun_forgets": func(x *trial) {
		x.set("cfun_forgets", "on")
		x.d.ask("AT+CFUN=4", "OK")
		x.d.ask("AT+CFUN=1", "OK")
		x.d.say("AT+CNMI?;+CMEE?\r")
		x.d.hears("AT+CNMI?;+CMEE?\r\r\n+CNMI: 0,0,0,0,0\r\n\r\n+CMEE: 0\r\n\r\nOK\r\n")
	},
	"storage_slots": func(x *trial) {
		x.set("storage_slots", "2")
		for range 3 {
			x.m.Inject(deliverPDU(x.T, Text{Text: "x"}))
		}
		x.d.after(time.Second)
		x.d.hears("\r\n+CMTI: \"SM\",1\r\n\r\n+CMTI: \"SM\",2\r\n")
		x.d.ask("AT+CPMS?", `+CPMS: "SM",2,2,"SM",2,2,"SM",2,2`, "OK")
		if x.n.Waiting(x.m.Number()) != 1 {
			x.Error("the third does not wait at the service centre")
		}
		x.d.ask("AT+CMGD=1", "OK", `+CMTI: "SM",1`)
	},
	"cpms_one": func(x *trial) {
		x.set("cpms_one", "on")
		x.d.ask(`AT+CPMS="ME","ME","ME"`, "+CMS ERROR: 302")
		x.d.ask(`AT+CPMS="ME"`, "+CPMS: 0,50,0,30,0,30", "OK")
	},
	"cpms_three": func(x *trial) {
		x.set("cpms_three", "on")
		x.d.ask(`AT+CPMS="ME"`, "+CMS ERROR: 302")
		x.d.ask(`AT+CPMS="ME","ME","ME"`, "+CPMS: 0,50,0,50,0,50", "OK")
	},
	"cpms_bare": func(x *trial) {
		x.set("cpms_bare", "on")
		x.d.ask(`AT+CPMS="ME","ME","ME"`, "OK")
		x.d.ask("AT+CPMS?", `+CPMS: "ME",0,50,"ME",0,50,"ME",0,50`, "OK")
	},
	"count_lag": func(x *trial) {
		x.set("count_lag", "5s")
		x.gets(Text{Text: "x"})
		x.d.heard()
		x.d.ask(`AT+CPMS="SM"`, "+CPMS: 0,30,0,30,0,30", "OK")
		x.d.after(5 * time.Second)
		x.d.ask(`AT+CPMS="SM"`, "+CPMS: 1,30,1,30,1,30", "OK")
	},
	"refuse_cnmi": func(x *trial) {
		x.set("refuse_cnmi", "on")
		x.d.ask("AT+CNMI=2,1,0,2,0", "+CMS ERROR: 303")
	},
	"forget_cnmi": func(x *trial) {
		x.set("forget_cnmi", "on")
		x.d.ask("AT+CNMI=1,0,0,0,0", "OK")
		x.d.ask("AT+CNMI?", "+CNMI: 2,1,0,2,0", "OK")
	},
	"refuse_cnma": func(x *trial) {
		x.set("refuse_cnma", "on")
		x.d.ask("AT+CSMS=1", "+CSMS: 1,1,1", "OK")
		x.d.ask("AT+CNMI=2,2,0,1,0", "OK")
		x.m.Inject(deliverPDU(x.T, Text{Text: "x"}))
		x.d.heard()
		x.d.ask("AT+CNMA", "+CMS ERROR: 340")
		x.d.after(ackTime)
		x.d.ask("AT+CNMI?", "+CNMI: 2,0,0,0,0", "OK") // and receiving has ended
	},
	"cmti_twice": func(x *trial) {
		x.set("cmti_twice", "1")
		x.gets(Text{Text: "x"})
		x.d.hears(strings.Repeat("\r\n+CMTI: \"SM\",1\r\n", 2))
	},
	"cmti_unknown": func(x *trial) {
		x.set("cmti_unknown", "1")
		x.gets(Text{Text: "x"})
		x.d.hears("\r\n+CMTI: \"SM\",-1\r\n")
	},
	"cmti_missing": func(x *trial) {
		x.set("cmti_missing", "1")
		x.gets(Text{Text: "x"})
		x.d.hears("")
	},
	"duplicate": func(x *trial) {
		x.set("duplicate", "1")
		x.gets(Text{Text: "x"})
		x.d.after(time.Minute)
		x.d.hears("\r\n+CMTI: \"SM\",1\r\n\r\n+CMTI: \"SM\",2\r\n")
	},
	"class_zero": func(x *trial) {
		x.set("class_zero", "1")
		x.m.Inject(deliverPDU(x.T, Text{Text: "x"}))
		x.d.after(time.Second)
		if got := x.d.heard(); !strings.HasPrefix(got, "\r\n+CMT: ,") || len(x.m.Stored("SM")) != 0 {
			x.Errorf("%q", got)
		}
		x.gets(Text{Text: "and the next is stored"})
	},
	"type_zero": func(x *trial) {
		x.set("type_zero", "1")
		x.gets(Text{Text: "x"})
		x.d.hears("\r\n+CMTI: \"SM\",1\r\n")
	},
	"reuse_reference": func(x *trial) {
		x.set("reuse_reference", "on")
		for _, wide := range []bool{false, true} {
			for ref := range 3 {
				parts, err := Delivers(Text{From: "+4917", Text: strings.Repeat("long ", 40), Ref: 70 + ref, Wide: wide, SMSC: "+49171"})
				if err != nil {
					x.Fatal(err)
				}
				x.m.Inject(parts[0])
			}
		}
		x.d.after(time.Second)
		for i, raw := range x.m.Stored("SM") {
			d := delivered(raw)
			if got := upperHex(raw[d.ud : d.ud+d.header]); got != "050003010201" && got != "06080400010201" {
				x.Errorf("message %d has the header %s", i, got)
			}
		}
	},
	"bad_padding": func(x *trial) {
		x.set("bad_padding", "1")
		if raw := x.gets(Text{Text: "seven"}); raw[len(raw)-1]>>3 != 0x1F { // 35 of 40 bits are used
			x.Errorf("%X", raw)
		}
		if raw := x.gets(Text{Text: "seven"}); raw[len(raw)-1]>>3 == 0x1F {
			x.Errorf("the second too: %X", raw)
		}
		x.set("bad_padding", "1")
		long, err := Delivers(Text{From: "+4917", Text: strings.Repeat("long ", 40), SMSC: "+49171"})
		if err != nil {
			x.Fatal(err)
		}
		x.m.Inject(long[1])
		x.d.after(time.Second)
		all := x.m.Stored("SM")
		if raw := all[len(all)-1]; raw[delivered(raw).ud+6]&1 != 1 { // between 48 bits of header and the septet at 49
			x.Errorf("%X", raw)
		}
	},
	"odd_ucs2": func(x *trial) {
		x.set("odd_ucs2", "1")
		raw := x.gets(Text{Text: "привет"})
		d := delivered(raw)
		if raw[d.udl] != 13 || len(raw) != d.ud+13 {
			x.Errorf("%X", raw)
		}
	},
	"bad_time": func(x *trial) {
		x.set("bad_time", "1")
		if raw := x.gets(Text{Text: "x"}); !strings.Contains(upperHex(raw), "FFFFFFFFFFFFFF") {
			x.Errorf("%X", raw)
		}
	},
	"bad_address": func(x *trial) {
		x.set("bad_address", "1")
		if raw := x.gets(Text{From: "+49170123", Text: "x"}); !strings.Contains(upperHex(raw), "089194711032") {
			x.Errorf("a number without a filler: %X", raw)
		}
		if raw := x.gets(Text{From: "+491701234", Text: "x"}); !strings.Contains(upperHex(raw), "0A9194711032F4") {
			x.Errorf("nine digits: %X", raw)
		}
	},
}

// Every fault does what its words say.
func TestEveryFaultIsShown(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range FaultNames() {
		if seen[name] {
			t.Errorf("%s is in the table twice", name)
		}
		seen[name] = true
		show := demonstrations[name]
		if show == nil {
			t.Errorf("%s is not shown", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			inBubble(t, NetworkOptions{Latency: 2 * time.Second, Retry: time.Minute}, func(t *testing.T, n *Network) {
				m := n.AddModem(ModemOptions{})
				d := plainly(t, m)
				d.ask("AT+CNMI=2,1,0,2,0", "OK")
				x := &trial{T: t, n: n, m: m, d: d}
				show(x)
				m.ClearFaults()
				for _, f := range m.Faults() {
					if f.Set {
						t.Errorf("%s is %q after all were cleared", f.Name, f.Value)
					}
				}
			})
		})
	}
	for name := range demonstrations {
		if !seen[name] {
			t.Errorf("%s is shown and not in the table", name)
		}
	}
}

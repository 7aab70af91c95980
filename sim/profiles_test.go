package sim

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// turn is what is asked of a modem and what it answers, line by line.
type turn struct {
	ask   string
	lines []string
}

// habits are dialogues with each family after it has started.
var habits = map[string][]turn{
	"generic": {
		{"AT+CCID", []string{"+CCID: 8949010000000000016", "OK"}},
		{"AT^ICCID?", []string{"ERROR"}},
		{"AT+NONSENSE", []string{"ERROR"}},
		{"AT+CESQ", []string{"+CESQ: 99,99,255,255,20,50", "OK"}},
		{"AT+CRSM=176,12258,0,0,10", []string{`+CRSM: 144,0,"989410000000000010F6"`, "OK"}},
		{"AT+CRSM=176,28486,0,0,17", []string{"+CRSM: 106,130", "OK"}},
	},
	"huawei-e3372": {
		{"AT^CURC=0", []string{"OK"}},
		{"AT+CGMI;+CGMM", []string{"huawei", "E3372", "OK"}},
		{"AT+CCID", []string{"ERROR"}},
		{"AT^ICCID?", []string{"^ICCID: 8949010000000000016", "OK"}},
		{"AT^CPIN?", []string{"^CPIN: READY,,10,3,10,3", "OK"}},
		{"AT+CPINR", []string{"ERROR"}},
		{"AT+CNMI=?", []string{"+CNMI: (0,1,2),(0,1,2,3),(0,2),(0,1,2),(0,1)", "OK"}},
		{"AT+CNMI=2,1,0,2,0", []string{"OK"}},
		{"AT^HCSQ?", []string{`^HCSQ: "LTE",50,50,161,20`, "OK"}},
		{"AT^SYSINFOEX", []string{`^SYSINFOEX:2,3,0,1,,6,"LTE",101,"LTE"`, "OK"}},
		{"AT+CPMS?", []string{`+CPMS: "SM",0,30,"SM",0,30,"SM",0,30`, "OK"}},
	},
	"huawei-e173": {
		{"AT^CURC=0", []string{"OK"}},
		{"AT+CGMM", []string{"E173", "OK"}},
		{"AT+NONSENSE", []string{"COMMAND NOT SUPPORT"}},
		{"AT+CEREG?", []string{"COMMAND NOT SUPPORT"}},
		{"AT^ICCID?", []string{"^ICCID: 8949010000000000016", "OK"}},
		{"AT+CNMI=2,1,0,2,0", []string{"OK"}},
		{"AT+CMGR=1", []string{"+CMGR: 0,,0", "OK"}},
		{`AT+CPMS="ME"`, []string{"+CPMS: 0,23,0,30,0,30", "OK"}},
		{"AT+COPS?", []string{`+COPS: 0,0,"Simulated Net",2`, "OK"}},
	},
	"simcom-sim800": {
		{"AT+CGMI;+CGMM", []string{"SIMCOM_Ltd", "SIMCOM_SIM800", "OK"}},
		{"AT+CCID", []string{"+CCID: 8949010000000000016", "OK"}},
		{"AT+SPIC", []string{"+SPIC: 3,10,3,10", "OK"}},
		{"AT+CSIM=10,\"0020000100\"", []string{"ERROR"}},
		{"AT+CNMI=2,1,0,1,0", []string{"+CMS ERROR: 303"}},
		{"AT+CNMI=1,1,0,1,0", []string{"OK"}},
		{"AT+CMGR=1", []string{"OK"}},
		{"AT+CEREG?", []string{"ERROR"}},
		{"AT+COPS?", []string{`+COPS: 0,0,"Simulated Net",0`, "OK"}},
	},
	"simcom-sim7600": {
		{"AT+CGMM", []string{"SIMCOM_SIM7600E-H", "OK"}},
		{"AT+ICCID", []string{"+ICCID: 8949010000000000016", "OK"}},
		{"AT+SPIC", []string{"+SPIC: 3,10,3,10", "OK"}},
		{"AT+CREG?;+CEREG?", []string{"+CREG: 0,2", "+CEREG: 0,1", "OK"}},
		{"AT+CPSI?", []string{"+CPSI: LTE,Online,262-01,0x1A2B,29751525,310,EUTRAN-BAND3,1300,5,5,-100,-910,-710,12", "OK"}},
		{"AT+CNMI=2,1,0,2,0", []string{"+CMS ERROR: 303"}},
		{"AT+CNMI=1,1,0,1,0", []string{"+CMS ERROR: 303"}},
		{"AT+CNMI=1,1,0,2,0", []string{"OK"}},
		{"AT+CPMS?", []string{`+CPMS: "ME",0,23,"ME",0,23,"ME",0,23`, "OK"}},
	},
	"quectel-ec25": {
		{"AT+CGMI;+CGMM", []string{"Quectel", "EC25", "OK"}},
		{"AT+CCID", []string{"ERROR"}},
		{"AT+QCCID", []string{"+QCCID: 8949010000000000016", "OK"}},
		{"AT+QPINC?", []string{"+QPINC: \"SC\",3,10\r\n+QPINC: \"P2\",3,10", "OK"}},
		{"AT+QCSQ", []string{`+QCSQ: "LTE",-71,-91,160,-10`, "OK"}},
		{"AT+QNWINFO", []string{`+QNWINFO: "FDD LTE","26201","LTE BAND 3",1300`, "OK"}},
		{"AT+CNMI=2,1,0,1,0", []string{"+CMS ERROR: 303"}},
		{"AT+CNMI=2,1,0,2,0", []string{"OK"}},
		{"AT+CPMS?", []string{`+CPMS: "ME",0,23,"ME",0,23,"ME",0,23`, "OK"}},
	},
	"zte-mf190": {
		{"AT+CGMI;+CGMM", []string{"ZTE CORPORATION", "MF190", "OK"}},
		{"AT+CCID", []string{"ERROR"}},
		{"AT+CRSM=176,12258,0,0,10", []string{`+CRSM: 144,0,"989410000000000010F6"`, "OK"}},
		{"AT+ZPINPUK=?", []string{"+ZPINPUK: 3,3,10,10", "OK"}},
		{"AT+ZPAS?", []string{`+ZPAS: "UMTS","CS_PS"`, "OK"}},
		{"AT+CNMI=2,1,0,2,0", []string{"+CMS ERROR: 303"}},
		{"AT+CNMI=1,1,0,1,0", []string{"OK"}},
	},
}

func TestFamiliesHaveTheirHabits(t *testing.T) {
	for _, p := range Profiles() {
		t.Run(p.Slug, func(t *testing.T) {
			if same, known := ProfileNamed(p.Slug); !known || same.Name != p.Name {
				t.Errorf("by its slug it is %q", same.Name)
			}
			inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
				d := plainly(t, n.AddModem(ModemOptions{Profile: p, Warm: true}))
				for _, h := range habits[p.Slug] {
					d.ask(h.ask, h.lines...)
				}
				if len(habits[p.Slug]) == 0 {
					t.Error("no habit is shown")
				}
			})
		})
	}
	if p, known := ProfileNamed("nokia-3310"); known {
		t.Errorf("nokia-3310 is %v", p)
	}
}

// What each family says from power-on, with ^CURC=1 and nobody writing, and
// that it refuses SMS commands until then with its own code.
func TestFamiliesStart(t *testing.T) {
	for slug, want := range map[string]struct {
		says string
		code string
		busy time.Duration
	}{
		"generic": {"", "", 0},
		"huawei-e3372": {"^SIMST:1 ^SRVST:2 ^MODE:5,4\r ^BOOT:27710117,0,0,0,75 ^HCSQ:\"LTE\",59,50,161,24\r ^RSSI:18 " +
			"^BOOT:27710117,0,0,0,75", "302", 3 * time.Second},
		"huawei-e173": {"^SIMST:1 ^SRVST:1 ^SRVST:2 ^MODE:5,4\r ^BOOT:27710117,0,0,0,75 ^RSSI:18\r ^CSNR:-81,-7 ^BOOT:27710117,0,0,0,75",
			"500", 3 * time.Second},
		"simcom-sim800":  {"RDY +CFUN:1 +CPIN:READY Call_Ready SMS_Ready", "302", 5 * time.Second},
		"simcom-sim7600": {"RDY +CPIN:READY SMS_DONE PB_DONE", "302", 5 * time.Second},
		"quectel-ec25":   {"RDY +CPIN:READY +QUSIM:1 +QIND:SMS_DONE +QIND:PB_DONE", "512", 4 * time.Second},
		"zte-mf190":      {`+ZUSIMR:2 +ZDONR:"Simulated_Net",262,01,"CS_PS","ROAM_OFF" +ZPASR:"UMTS"`, "314", 3 * time.Second},
	} {
		p, known := ProfileNamed(slug)
		if !known {
			t.Fatal(slug)
		}
		inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
			d := talk(t, n.AddModem(ModemOptions{Profile: p}))
			d.after(6500 * time.Millisecond)
			var lines []string
			for l := range strings.SplitSeq(strings.TrimSpace(d.heard()), "\r\n\r\n") {
				l = strings.TrimPrefix(strings.ReplaceAll(l, ": ", ":"), "\r\n")
				lines = append(lines, strings.ReplaceAll(l, " ", "_"))
			}
			if got := strings.Join(lines, " "); got != want.says {
				t.Errorf("%s says\n %q, not\n %q", slug, got, want.says)
			}
		})
		inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
			m := n.AddModem(ModemOptions{Profile: p})
			d := talk(t, m)
			ask := func(line string) string {
				d.say(line + "\r")
				d.heard()
				d.say(line + "\r") // what was said meanwhile is gone now
				return d.heard()
			}
			ask("ATE0+CMEE=1")
			if want.busy > 0 {
				d.after(want.busy - 1)
				d.heard()
				for _, c := range []string{"AT+CMGF=0", `AT+CPMS="SM"`, "AT+CNMI?", "AT+CMGL=4", "AT+CMGS=20", "AT+CMGR=1", "AT+CMGD=1"} {
					if got := ask(c); got != "\r\n+CMS ERROR: "+want.code+"\r\n" {
						t.Errorf("%s: too early %s is answered %q", slug, c, got)
					}
				}
				d.after(1)
				d.heard()
			}
			if got := ask("AT+CMGF=0"); got != "\r\nOK\r\n" {
				t.Errorf("%s: in time +CMGF is answered %q", slug, got)
			}
		})
	}
}

// ^CURC=0 ends Huawei's chatter, and what belongs to messages still comes.
func TestChatterIsSilenced(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{Profile: HuaweiE3372})
		d := plainly(t, m)
		d.after(time.Minute)
		if got := strings.Count(d.heard(), "^BOOT"); got != 15 {
			t.Errorf("%d ^BOOT in a minute", got)
		}
		d.ask("AT^CURC=0", "OK")
		d.ask("AT^CURC?", "^CURC: 0", "OK")
		d.ask("AT+CNMI=1,1,0,2,0", "OK")
		d.after(time.Hour)
		d.hears("")
		m.Inject(deliverPDU(t, Text{Text: "x"}))
		d.hears("\r\n+CMTI: \"SM\",1\r\n")
		d.ask("AT^CURC=1", "OK")
		d.after(5 * time.Second)
		if got := d.heard(); !strings.Contains(got, "^BOOT") || !strings.Contains(got, `^HCSQ:"LTE",59,50,161,24`+"\r\r\n") {
			t.Errorf("it says %q", got)
		}
	})
}

// A PIN: the counter by the family's command alone, and the pause after it.
func TestFamiliesAndPIN(t *testing.T) {
	for slug, c := range map[string]struct{ ask, left, busy string }{
		"huawei-e3372":   {"AT^CPIN?", "^CPIN: SIM PIN,2,10,2,10,3", ""},
		"huawei-e173":    {"AT^CPIN?", "^CPIN: SIM PIN,2,10,2,10,3", ""},
		"simcom-sim800":  {"AT+SPIC", "+SPIC: 2,10,3,10", "+CME ERROR: 14"},
		"simcom-sim7600": {"AT+SPIC", "+SPIC: 2,10,3,10", "+CME ERROR: 14"},
		"quectel-ec25":   {"AT+QPINC?", "+QPINC: \"SC\",2,10\r\n+QPINC: \"P2\",3,10", ""},
		"zte-mf190":      {"AT+ZPINPUK=?", "+ZPINPUK: 2,3,10,10", "+CME ERROR: 14"},
	} {
		p, _ := ProfileNamed(slug)
		p.Chatter, p.Boot = nil, nil
		inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
			d := plainly(t, n.AddModem(ModemOptions{Profile: p, PIN: "4711"}))
			d.ask("AT+CPIN?", "+CPIN: SIM PIN", "OK")
			d.ask("AT+CPIN=0000", "+CME ERROR: 16")
			d.ask(c.ask, c.left, "OK")
			d.ask("AT+CPIN=4711", "OK")
			d.ask("AT+CMGF=0", cms(p.NotReady).words(1))
			if c.busy != "" {
				d.ask("AT+CPIN?", c.busy)
			}
			d.after(5 * time.Second)
			d.ask("AT+CPIN?", "+CPIN: READY", "OK")
			d.ask("AT+CMGF=0", "OK")
		})
	}
}

// Codes as each family wants and gives them.
func TestFamiliesAndUSSD(t *testing.T) {
	answer := "Guthaben: 5,00 EUR"
	for _, p := range Profiles() {
		p.Chatter = nil
		inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
			n.SetUSSD("*100#", USSD{Text: answer})
			m := n.AddModem(ModemOptions{Profile: p, Warm: true})
			d := plainly(t, m)
			code, want := "*100#", "\r\n+CUSD: 0,\""+answer+"\",15\r\n"
			switch p.USSD {
			case USSDPacked:
				code, want = "AA180C3602", "\r\n+CUSD: 0,\"C73A1D1D1697DD3A508D0583818A5529\",15\r\n"
			case USSDUCS2:
				want = "\r\n+CUSD: 0,\"0047007500740068006100620065006E003A00200035002C003000300020004500550052\",72\r\n"
			}
			d.ask(`AT+CUSD=1,"`+code+`",15`, "OK")
			d.after(time.Second)
			if got := d.heard(); got != want {
				t.Errorf("%s says\n %q, not\n %q", p.Slug, got, want)
			}
			if p.USSD == USSDPacked {
				d.ask(`AT+CUSD=1,"*100#",15`, "+CME ERROR: 50") // not packed
				d.ask("AT^USSDMODE=0", "OK")
				d.ask(`AT+CUSD=1,"*100#",15`, "OK")
				d.after(time.Second)
				d.hears("\r\n+CUSD: 0,\"" + answer + "\",15\r\n")
			}
			m.NoticeUSSD("line one\nline two")
			if got := d.heard(); p.USSD == USSDCharset && got != "\r\n+CUSD: 0,\"line one\nline two\",15\r\n" {
				t.Errorf("%s tells of itself %q", p.Slug, got)
			}
		})
	}
	for text, want := range map[string]string{"*100#": "AA180C3602", "1234567": "31D98C56B3DD1A", "12345678": "31D98C56B3DD70"} {
		if got := packed(text); got != want {
			t.Errorf("%q is packed as %s, not %s", text, got, want)
		}
	}
}

// Reports, flash messages, full memories, ESC, and a network that is silent.
func TestFamiliesAndMessages(t *testing.T) {
	for _, p := range Profiles() {
		p.Chatter = nil
		inBubble(t, NetworkOptions{Latency: 2 * time.Second}, func(t *testing.T, n *Network) {
			m := n.AddModem(ModemOptions{Profile: p, Warm: true})
			d := plainly(t, m)
			mode := "2"
			if slices.Contains(p.CNMIRefused[0], 2) {
				mode = "1"
			}
			d.ask("AT+CPMS=\"SM\",\"SM\",\"SM\"", "+CPMS: 0,30,0,30,0,30", "OK")
			d.ask("AT+CNMI="+mode+",1,0,2,0", "OK")

			m.Inject(deliverPDU(t, Text{Text: "x", HasClass: true}))
			want := "\r\n+CMT: ,"
			if strings.HasPrefix(p.Slug, "simcom") {
				want = "\r\n+CLASS0: ,"
			}
			if got := d.heard(); !strings.HasPrefix(got, want) {
				t.Errorf("%s: a flash message is told as %q", p.Slug, got)
			}

			m.SetSlots(1, 5)
			m.Inject(deliverPDU(t, Text{Text: "x"}))
			want = "\r\n+CMTI: \"SM\",1\r\n"
			if p.FullLine != "" {
				want = "\r\n^SMMEMFULL: \"SM\"\r\n" + want
			}
			d.hears(want)

			d.say("AT+CMGS=20\r")
			d.hears("\r\n> ")
			d.say("\x1b")
			want = "\r\nOK\r\n"
			if p.Slug == "quectel-ec25" {
				want = "\r\n+CMS ERROR: 350\r\n"
			}
			d.hears(want)

			m.Fault(func(f *Faults) { f.NetworkTimeout = 1 })
			d.sends(submitTPDU(t, trialPeer, "x", false))
			limit, code := 40*time.Second, "332"
			switch {
			case strings.HasPrefix(p.Slug, "simcom"):
				limit, code = time.Minute, "225"
			case p.Slug == "quectel-ec25":
				limit = 2 * time.Minute
			}
			d.after(limit - 1)
			d.hears("")
			d.after(1)
			d.hears("\r\n+CMS ERROR: " + code + "\r\n")

			for _, e := range p.SendErrors {
				m.Fault(func(f *Faults) { f.Reject, f.SendError = 1, e })
				d.sends(submitTPDU(t, trialPeer, "x", false))
				d.after(2 * time.Second)
				d.hears("\r\n" + e + "\r\n")
			}

			// While it sends, a SIM800 takes no call.
			d.sends(submitTPDU(t, trialPeer, "x", false))
			m.Ring("+491701234567")
			if got, want := d.heard() == "", p.Slug == "simcom-sim800"; got != want {
				t.Errorf("%s: a call while it sends is refused: %v", p.Slug, got)
			}
		})
	}
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		d := plainly(t, n.AddModem(ModemOptions{Profile: ZTEMF190, Warm: true}))
		d.ask("AT+CNMI=1,1,0,1,0", "OK")
		got := d.sends(submitTPDU(t, trialPeer, "x", true))
		if got += d.heard(); !strings.Contains(got, "\r\n+CDS: ,2") {
			t.Errorf("a report is told as %q", got)
		}
	})
}

// In a 3G network some count +CSQ from 100.
func TestSignalScales(t *testing.T) {
	for _, p := range Profiles() {
		inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
			m := n.AddModem(ModemOptions{Profile: p, Warm: true})
			d := plainly(t, m)
			m.SetRadio(func(r *Radio) { r.AcT = 2 })
			want := "+CSQ: 21,99"
			if p.Slug == "quectel-ec25" || p.Slug == "simcom-sim7600" {
				want = "+CSQ: 145,99"
			}
			d.ask("AT+CSQ", want, "OK")
			d.ask("AT+CFUN=0", "OK")
			d.ask("AT+CSQ", "+CSQ: 99,99", "OK")
		})
	}
}

// +CMMS=1 keeps the link for a while after each message, and falls back.
func TestLinkFallsBack(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		d := plainly(t, n.AddModem(ModemOptions{}))
		d.ask("AT+CMMS=1", "OK")
		d.after(4 * time.Second)
		d.sends(submitTPDU(t, trialPeer, "x", false))
		d.after(4 * time.Second)
		d.heard()
		d.ask("AT+CMMS?", "+CMMS: 1", "OK")
		d.after(time.Second)
		d.ask("AT+CMMS?", "+CMMS: 0", "OK")
		d.ask("AT+CMMS=2", "OK")
		d.after(time.Hour)
		d.ask("AT+CMMS?", "+CMMS: 2", "OK")
	})
}

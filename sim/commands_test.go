package sim

import (
	"testing"
	"time"
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

func TestCommandLines(t *testing.T) {
	for _, c := range []struct {
		line  string
		lines []string
	}{
		{"AT", []string{"OK"}},
		{"", nil},
		{"hello", nil}, // without AT a line is not for the modem
		{"\x1bAT", []string{"OK"}},
		{"xxAT", []string{"OK"}},
		{"AAT", []string{"OK"}},
		{"AT+NONSENSE", []string{"ERROR"}},
		{"AT+NONSENSE?", []string{"ERROR"}},
		{"AT+CSQ?", []string{"ERROR"}},
		{"AT+CSQ=1", []string{"ERROR"}},
		{"AT+CSQX", []string{"ERROR"}},
		{"AT+CSQ,1", []string{"ERROR"}},
		{"AT+CSQ;+CREG?", []string{"+CSQ: 21,99", "+CREG: 0,1", "OK"}},
		{"AT+CSQ;+NONSENSE;+CREG?", []string{"+CSQ: 21,99", "ERROR"}},
		{"ATV1Q0X4&C1&D2S0=0+CSQ", []string{"+CSQ: 21,99", "OK"}},
		{"ATE2", []string{"ERROR"}},
		{"AT@", []string{"ERROR"}},
		{"ATD+491701234567;", []string{"NO CARRIER"}},
		{"ATH", []string{"OK"}},
		{"AT+CMEE=3", []string{"+CME ERROR: 50"}},
		{"AT+CMEE=?", []string{"+CMEE: (0-2)", "OK"}},
		{"AT+CGMI;+CGMM;+CGMR", []string{"gatewayd", "Simulated Modem", "SIM-1.0", "OK"}},
		{"AT+CGMI=?", []string{"OK"}},
		{"ATI", []string{"gatewayd\r\nSimulated Modem\r\nRevision: SIM-1.0", "OK"}},
		{"AT+CGSN", []string{"352099000000006", "OK"}},
		{"AT+CGSN=1", []string{`+CGSN: "352099000000006"`, "OK"}},
		{"AT+GCAP", []string{"+GCAP: +CGSM", "OK"}},
		{"AT+CIMI", []string{"262010000000001", "OK"}},
		{"AT+CCID", []string{"+CCID: 8949010000000000016", "OK"}},
		{"AT+CNUM", []string{`+CNUM: "","+4915550000001",145`, "OK"}},
		{"AT+CPIN?", []string{"+CPIN: READY", "OK"}},
		{"AT+CSCS?", []string{`+CSCS: "GSM"`, "OK"}},
		{"AT+CSCS=GSM", []string{"+CME ERROR: 50"}},
		{`AT+CSCS="UCS2";+COPS?;+CSCS="GSM"`, []string{`+COPS: 0,0,"00530069006D0075006C00610074006500640020004E00650074",7`, "OK"}},
		{"AT+COPS?", []string{`+COPS: 0,0,"Simulated Net",7`, "OK"}},
		{"AT+COPS=3,2;+COPS?", []string{`+COPS: 0,2,"26201",7`, "OK"}},
		{`AT+COPS=1,2,"26299"`, []string{"+CME ERROR: 30"}},
		{"AT+CESQ", []string{"+CESQ: 99,99,255,255,20,50", "OK"}},
		{"AT+CREG=2;+CREG?", []string{`+CREG: 2,1,"1A2B","01C3D4E5",7`, "OK"}},
		{"AT+CREG=3", []string{"+CME ERROR: 50"}},
		{"AT+CSCA?", []string{`+CSCA: "+491710000000",145`, "OK"}},
		{`AT+CSCA="+4917199",145;+CSCA?`, []string{`+CSCA: "+4917199",145`, "OK"}},
		{`AT+CSCA="12x"`, []string{"+CMS ERROR: 304"}},
		{"AT+CMGF=2", []string{"+CMS ERROR: 303"}},
		{"AT+CSMS=1;+CSMS?", []string{"+CSMS: 1,1,1", "+CSMS: 1,1,1,1", "OK"}},
		{"AT+CMMS=2;+CMMS?", []string{"+CMMS: 2", "OK"}},
		{"AT+CPMS?", []string{`+CPMS: "SM",0,30,"SM",0,30,"SM",0,30`, "OK"}},
		{`AT+CPMS="ME","ME","MT"`, []string{"+CPMS: 0,50,0,50,0,80", "OK"}},
		{`AT+CPMS="MT","MT","MT"`, []string{"+CMS ERROR: 302"}}, // MT is no memory to write to
		{`AT+CPMS=SM`, []string{"+CMS ERROR: 302"}},
		{"AT+CNMI=?", []string{"+CNMI: (0,1,2),(0,1,2,3),(0,2),(0,1,2),(0,1)", "OK"}},
		{"AT+CNMI=2,1,0,2,0;+CNMI?", []string{"+CNMI: 2,1,0,2,0", "OK"}},
		{"AT+CNMI=1;+CNMI?", []string{"+CNMI: 1,0,0,0,0", "OK"}},
		{"AT+CNMI=3,1,0,2,0", []string{"+CMS ERROR: 303"}},
		{"AT+CNMI=2,1,1,2,0", []string{"+CMS ERROR: 303"}},
		{"AT+CNMI=2,1,0,2,0,0", []string{"+CMS ERROR: 303"}},
		{"AT+CNMI=a", []string{"+CMS ERROR: 303"}},
		{"AT+CNMA", []string{"+CMS ERROR: 340"}},
		{"AT+CMGL=5", []string{"+CMS ERROR: 304"}},
		{`AT+CMGL="ALL"`, []string{"+CMS ERROR: 304"}}, // a word is for text mode
		{`AT+CMGF=1;+CMGL="ALL"`, []string{"OK"}},
		{"AT+CMGF=1;+CMGL=4", []string{"+CMS ERROR: 305"}},
		{"AT+CMGR=1", []string{"+CMS ERROR: 321"}},
		{"AT+CMGR=31", []string{"+CMS ERROR: 321"}},
		{"AT+CMGD=1", []string{"OK"}},
		{"AT+CMGD=0", []string{"+CMS ERROR: 321"}},
		{"AT+CMGD=1,5", []string{"+CMS ERROR: 321"}},
		{"AT+CMGS=0", []string{"+CMS ERROR: 304"}},
		{"AT+CMGS=999", []string{"+CMS ERROR: 304"}},
		{"AT+CMGS", []string{"ERROR"}},
		{`AT+CMGS="+491701234567"`, []string{"+CMS ERROR: 304"}}, // text mode's form
		{"AT+CMGF=1;+CMGS=23", []string{"+CMS ERROR: 305"}},      // and the other way round
		{"AT+CUSD=3", []string{"+CME ERROR: 50"}},
		{"AT+CLIP=1;+CLIP?", []string{"+CLIP: 1,1", "OK"}},
		{"AT+CPINR", []string{"+CPINR: SIM PIN,3,3", "+CPINR: SIM PUK,10,10", "OK"}},
		{`AT+CSIM=10,"0020000100"`, []string{`+CSIM: 4,"9000"`, "OK"}},
		{"AT+CFUN?", []string{"+CFUN: 1", "OK"}},
		{"AT+CFUN=9", []string{"+CME ERROR: 50"}},
		{`AT+CCLK="30/01/02,03:04:05+08";+CCLK?`, []string{`+CCLK: "30/01/02,03:04:05+08"`, "OK"}},
		{`AT+CSCS="UCS2`, []string{"ERROR"}}, // the quote is never closed
	} {
		inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
			d := plainly(t, n.AddModem(ModemOptions{}))
			d.ask(c.line, c.lines...)
		})
	}
}

func TestErrorForms(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		d := plainly(t, n.AddModem(ModemOptions{}))
		for _, c := range []struct{ mode, cme, cms string }{
			{"0", "ERROR", "ERROR"},
			{"1", "+CME ERROR: 50", "+CMS ERROR: 321"},
			{"2", "+CME ERROR: incorrect parameters", "+CMS ERROR: invalid memory index"},
		} {
			d.ask("AT+CMEE="+c.mode, "OK")
			d.ask("AT+CREG=9", c.cme)
			d.ask("AT+CMGR=99", c.cms)
		}
		// V0: digits that end in CR alone; Q1: no final results at all.
		d.say("ATV0\r")
		d.hears("0\r")
		d.say("AT+CSQ\r")
		d.hears("+CSQ: 21,99\r\n0\r")
		d.say("AT+NONSENSE\r")
		d.hears("4\r")
		d.say("ATV1Q1\r")
		d.hears("")
		d.say("AT+CSQ\r")
		d.hears("\r\n+CSQ: 21,99\r\n")
		d.say("ATQ0\r")
		d.hears("\r\nOK\r\n")
	})
}

func TestPIN(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{PIN: "4711", PUK: "12345678"})
		d := plainly(t, m)
		d.ask("AT+CPIN?", "+CPIN: SIM PIN", "OK")
		d.ask("AT+CIMI", "+CME ERROR: 11")
		d.ask("AT+CMGL=4", "+CMS ERROR: 311")
		d.ask("AT+CREG?", "+CREG: 0,0", "OK")
		d.ask(`AT+CPIN="0000"`, "+CME ERROR: 16")
		d.ask(`AT+CPINR="SIM PIN"`, "+CPINR: SIM PIN,2,3", "OK")
		d.ask(`AT+CSIM=10,"0020000100"`, `+CSIM: 4,"63C2"`, "OK")
		m.Reset() // the counter is the card's: a restart does not help
		d.say("ATE0+CMEE=1\r")
		d.heard()
		d.ask(`AT+CPINR="SIM PIN"`, "+CPINR: SIM PIN,2,3", "OK")
	})
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{PIN: "4711", PUK: "12345678"})
		d := plainly(t, m)
		d.ask(`AT+CPIN="4711"`, "OK")
		d.ask("AT+CPIN?", "+CPIN: READY", "OK")
		d.ask("AT+CREG?", "+CREG: 0,1", "OK")
		d.ask(`AT+CPIN="4711"`, "+CME ERROR: 3")
		d.ask(`AT+CLCK="SC",2`, "+CLCK: 1", "OK")
	})
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{PIN: "4711", PUK: "12345678"})
		d := plainly(t, m)
		d.ask("AT+CPIN=1", "+CME ERROR: 16")
		d.ask("AT+CPIN=2", "+CME ERROR: 16")
		d.ask("AT+CPIN=3", "+CME ERROR: 12")
		d.ask("AT+CPIN?", "+CPIN: SIM PUK", "OK")
		d.ask("AT+CPIN=4711", "+CME ERROR: 12")
		d.ask(`AT+CPIN="00000000","1111"`, "+CME ERROR: 16")
		d.ask(`AT+CPINR="SIM PUK"`, "+CPINR: SIM PUK,9,10", "OK")
		d.ask(`AT+CPIN="12345678","1111"`, "OK")
		d.ask("AT+CPIN?", "+CPIN: READY", "OK")
		for range 3 {
			m.Reset()
			d.say("ATE0+CMEE=1\r")
			d.heard()
			d.say("AT+CPIN=9\r")
			d.heard()
		}
		d.ask("AT+CPIN?", "+CPIN: SIM PUK", "OK")
		for range 10 {
			d.say(`AT+CPIN="87654321","1111"` + "\r")
			d.heard()
		}
		d.ask("AT+CPIN?", "+CME ERROR: 13") // the card is dead for good
		if tries := m.Stats().PINTries; tries != 19 {
			t.Errorf("%d tries counted", tries)
		}
	})
}

func TestNoSIM(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		d := plainly(t, m)
		m.SetSIM(false)
		d.say("ATE0+CMEE=1\r")
		d.heard()
		d.ask("AT+CPIN?", "+CME ERROR: 10")
		d.ask("AT+CCID", "+CME ERROR: 10")
		d.ask("AT+CMGS=20", "+CMS ERROR: 310")
		d.ask("AT+CREG?", "+CREG: 0,0", "OK")
		m.SetSIM(true)
		d.say("ATE0+CMEE=1\r")
		d.heard()
		d.ask("AT+CPIN?", "+CPIN: READY", "OK")
	})
}

func TestRegistrationIsTold(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{Attach: 3 * time.Second})
		d := plainly(t, m)
		d.ask("AT+CREG=2;+CEREG=1", "OK")
		d.ask("AT+CREG?", "+CREG: 2,2", "OK")
		d.ask("AT+COPS?", "+COPS: 0", "OK")
		d.after(3 * time.Second)
		d.hears("\r\n+CREG: 1,\"1A2B\",\"01C3D4E5\",7\r\n\r\n+CEREG: 1\r\n")
		m.SetRegistration(3)
		d.hears("\r\n+CREG: 3\r\n\r\n+CEREG: 3\r\n")
		m.SetRegistration(3)
		d.hears("")
		m.SetRadio(func(r *Radio) { r.CS, r.EPS, r.RSSI = 2, 5, 7 })
		d.hears("\r\n+CREG: 2\r\n\r\n+CEREG: 5\r\n")
		d.ask("AT+CSQ", "+CSQ: 7,99", "OK")
		d.ask("AT+CFUN=4", "+CREG: 0", "+CEREG: 0", "OK")
		d.ask("AT+CSQ", "+CSQ: 99,99", "OK")
		d.ask("AT+CFUN=1", "+CREG: 2", "+CEREG: 2", "OK")
		d.after(3 * time.Second)
		d.hears("\r\n+CEREG: 5\r\n")
		// A restart forgets the settings, and echo is back.
		d.ask("AT+CFUN=1,1", "OK")
		d.after(3 * time.Second)
		d.hears("")
		d.say("AT+CREG?\r")
		d.hears("AT+CREG?\r\r\n+CREG: 0,2\r\n\r\nOK\r\n")
	})
}

// A scan takes long, and what is written meanwhile is obeyed afterwards.
func TestCommandsWaitForTheOneUnderWay(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		d := plainly(t, m)
		d.say("AT+COPS=?\r")
		d.say("AT+CSQ\r")
		d.hears("")
		d.after(searchTime)
		d.hears("\r\n+COPS: (2,\"Simulated Net\",\"SimNet\",\"26201\",7),(3,\"Other Net\",\"Other\",\"26299\",7),,(0-4),(0-2)\r\n\r\nOK\r\n" +
			"\r\n+CSQ: 21,99\r\n\r\nOK\r\n")
		if s := m.Stats(); s.Overlaps != 1 {
			t.Errorf("%d overlaps counted", s.Overlaps)
		}
	})
}

func TestUSSD(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		n.SetUSSD("*101#", USSD{Text: "1 Balance 2 Top up", Next: map[string]USSD{
			"1": {Text: "Guthaben 5 €"}, "": {Text: "لا", UCS2: true}}})
		d := plainly(t, n.AddModem(ModemOptions{}))
		d.ask(`AT+CUSD=1,"*100#",15`, "OK")
		d.after(time.Second)
		d.hears("\r\n+CUSD: 0,\"Balance: 10.00 EUR\",15\r\n")
		d.ask(`AT+CUSD=1,"*101#"`, "OK")
		d.after(time.Second)
		d.hears("\r\n+CUSD: 1,\"1 Balance 2 Top up\",15\r\n")
		d.ask(`AT+CUSD=1,"1"`, "OK")
		d.after(time.Second)
		d.hears("\r\n+CUSD: 0,\"Guthaben 5 \x1be\",15\r\n") // GSM: the euro is an escape sequence
		d.ask(`AT+CUSD=1,"*101#"`, "OK")
		d.after(time.Second)
		d.heard()
		d.ask(`AT+CUSD=1,"9"`, "OK")
		d.after(time.Second)
		d.hears("\r\n+CUSD: 0,\"06440627\",72\r\n")
		d.ask(`AT+CUSD=1,"*555#"`, "OK")
		d.after(time.Second)
		d.hears("\r\n+CUSD: 4\r\n")
		d.ask(`AT+CUSD=2`, "OK")
	})
}

func TestCalls(t *testing.T) {
	inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
		m := n.AddModem(ModemOptions{})
		d := plainly(t, m)
		d.ask("AT+CLIP=1", "OK")
		ring := "\r\nRING\r\n\r\n+CLIP: \"+491701234567\",145,,,,0\r\n"
		m.Ring("+491701234567")
		d.hears(ring)
		d.ask("AT+CPAS", "+CPAS: 3", "OK")
		d.after(ringEvery)
		d.hears(ring)
		d.ask("AT+CHUP", "OK")
		d.after(2 * ringEvery)
		d.hears("")
		m.Ring("+491701234567")
		d.hears(ring)
		m.HangUp()
		d.hears("\r\nNO CARRIER\r\n")
		d.after(2 * ringEvery)
		d.hears("")
	})
}

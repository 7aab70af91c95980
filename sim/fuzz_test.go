package sim

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzAT: whatever is written to whatever family, in whatever pieces, under
// whatever fault, the interpreter neither panics nor stalls, and ESC, CR and AT
// get it back.
func FuzzAT(f *testing.F) {
	pdu := "00" + "01000C91947110325476000001F8"
	for _, s := range []string{
		"AT\r", "ATE0V1Q0+CMEE=1\r", "AT+CMGS=13\r" + pdu + "\x1a", "AT+CMGS=13\r\x1b\r", "AT+CMGF=1\rAT+CMGS=\"+49\"\rx\ry\x1a",
		"AT+CPMS=\"MT\",\"ME\",\"MT\";+CMGL=4\rAT+CMGR=1\rAT+CMGD=1,4\r", "AT+CNMI=2,2,0,1,0;+CSMS=1\rAT+CNMA=1,3\r000000\x1a",
		"AT+COPS=?\rAT\rAT+CUSD=1,\"*100#\"\r", "AT+CFUN=1,1\r", "AT+CPIN=\"1\"\r", "ATV0Q1\r", "AT+CSCS=\"UCS2\";+CSCA=\"002B\"\r",
		"AT+CMGW=13\r" + pdu + "\x1aAT+CMSS=1\r", "AT+CSMP=49,1,0,8\r", "at+cmgs=\x08\x7f\n;;=?\"\"", strings.Repeat("AT", 3000) + "\r",
		`AT+CCLK="30/01/02,03:04:05+08"` + "\r", `AT+CSIM=10,"0020000100"` + "\r", `AT+CLCK="SC",2` + "\r", "00\xc7AT\r",
	} {
		f.Add([]byte(s), byte(1), byte(0), byte(0))
		f.Add([]byte(s), byte(7), byte(0xFF), byte(len(s)))
	}
	for family := range Profiles() {
		f.Add([]byte("AT^CURC=0\rAT^CURC=1\rAT^PORTSEL=1\rAT^PORTSEL=0\rAT^ICCID?\rAT^CPIN?\rAT^USSDMODE=0\rAT^HCSQ?\rAT^SYSINFOEX\rAT^RESET\r"), byte(9), byte(0), byte(family))
		f.Add([]byte("AT+QCCID\rAT+QPINC?\rAT+QCSQ\rAT+QNWINFO\rAT+QPOWD=1\rAT+SPIC\rAT+CPSI?\rAT+CRESET\rAT+ZPINPUK=?\rAT+ZPAS?\r"), byte(255), byte(1), byte(family))
		f.Add([]byte("AT+CUSD=1,\"AA180C3602\",15\rAT+CRSM=176,12258,0,0,10\rAT+CMMS=1\r"), byte(3), byte(0), byte(family))
	}
	f.Fuzz(func(t *testing.T, written []byte, piece, faults, family byte) {
		synctest.Test(t, func(t *testing.T) {
			n := NewNetwork(NetworkOptions{Latency: time.Duration(faults&1) * time.Second})
			defer n.Close()
			p := Profiles()[int(family)%len(Profiles())]
			p.Chatter = nil                                     // it would stand between AT and its answer
			m := n.AddModem(ModemOptions{Profile: p, Away: -1}) // and the port is needed
			d := talk(t, m)
			on := func(bit int) bool { return faults>>bit&1 == 1 }
			m.Fault(func(f *Faults) {
				f.SplitPrompt = on(1)
				f.CRCRLF = on(2)
				f.KeepEcho = on(3)
				if on(4) {
					f.NoPrompt, f.OKOnly = 2, 1
				}
				if on(5) {
					f.PromptDelay = time.Second
				}
				if on(6) {
					f.Late, f.LateBy, f.LateDetached = 1, 3*time.Second, on(1)
				}
				if on(7) {
					f.Noise = []string{"^BOOT:1"}
				}
			})
			m.Inject([]byte("\x00\x04\x00\x91\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01x"))
			if err := n.Handset("+491701234567").Send(m.Number(), "fuzz 👋"); err != nil {
				t.Fatal(err)
			}
			commands := len(written)/2 + 1
			for size := int(piece) + 1; len(written) > 0; written = written[min(size, len(written)):] {
				d.say(string(written[:min(size, len(written))]))
			}
			// What takes time ends: scans, answers, prompts, and what was held back
			// meanwhile. Nothing takes longer than a scan.
			for range commands {
				d.after(searchTime + 5*time.Second)
				if !m.underWay() {
					break
				}
			}
			d.say("\x1b\r")
			d.after(10 * time.Minute)
			m.Fault(func(f *Faults) { *f = Faults{} })
			d.say("\x1b\rATQ0V1E0^PORTSEL=0\r")
			d.heard()
			d.say("AT\r")
			if got := d.heard(); got != "\r\nOK\r\n" {
				t.Fatalf("afterwards AT is answered %q", got)
			}
		})
	})
}

// underWay tells whether a command is.
func (m *Modem) underWay() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tty.state == busy
}

// FuzzPDU: whatever the network brings, a modem routes, keeps and shows it.
func FuzzPDU(f *testing.F) {
	f.Add([]byte("\x07\x91\x72\x38\x01\x00\x10\xF5\x04\x0B\x81\x72\x38\x88\x09\x00\xF1\x00\x00\x99\x30\x92\x51\x61\x95\x80\x0A\xE8\x32\x9B\xFD\x46\x97\xD9\xEC\x37"), byte(1))
	f.Add([]byte("\x00\x06\x01\x04\x91\x21\x43\x99\x30\x92\x51\x61\x95\x80\x99\x30\x92\x51\x61\x95\x80\x00"), byte(6))
	f.Add([]byte("\x00\x44\x00\x91\x00\x08\x99\x30\x92\x51\x61\x95\x80\x08\x05\x00\x03\x01\x02\x01\xD8\x3D"), byte(7))
	f.Add([]byte("\x00\x44\x03\x91\x21\xF3\x00\x00\x99\x30\x92\x51\x61\x95\x80\x0A\x05\x00\x03\x07\x02\x01\xE8\x32\x9B\xFD"), byte(16))
	f.Add([]byte{}, byte(0))
	f.Fuzz(func(t *testing.T, raw []byte, mode byte) {
		inBubble(t, NetworkOptions{}, func(t *testing.T, n *Network) {
			m := n.AddModem(ModemOptions{})
			d := plainly(t, m)
			if mode&1 == 1 {
				d.ask("AT+CMGF=1;+CSDH=1", "OK")
			}
			if mode&2 == 2 {
				d.ask("AT+CNMI=2,2,0,1,0", "OK")
			} else {
				d.ask("AT+CNMI=2,1,0,2,0", "OK")
			}
			if mode&16 == 16 {
				m.Fault(func(f *Faults) {
					f.ClassZero, f.TypeZero, f.BadPadding, f.OddUCS2, f.BadTime, f.BadAddress = 9, 9, 9, 9, 9, 9
					f.ReuseReference = true
				})
			}
			if mode&4 == 4 {
				d.ask(`AT+CSCS="UCS2"`, "OK")
			}
			m.Inject(raw)
			d.after(time.Second)
			for _, c := range []string{"AT+CMGR=1\r", "AT+CMGL=4\r", "AT+CMGL=\"ALL\"\r"} {
				d.say(c)
			}
			d.heard()
			d.ask("AT", "OK")
			if _, err := readSubmit(raw, tpduLength(raw)); err == nil && mode&8 == 8 {
				d.ask("AT+CMGF=0", "OK")
				d.say(strings.ReplaceAll("AT+CMGS=N\r", "N", strconv.Itoa(tpduLength(raw))))
				d.say(upperHex(raw) + "\x1a")
				d.after(time.Second)
				d.heard()
				d.ask("AT", "OK")
			}
		})
	})
}

package modem

import (
	"strings"
	"testing"

	"gatewayd/modem/at"
	"gatewayd/sms"
)

// noBoxes is an Outbox and Inbox that takes everything.
type noBoxes struct{}

func (noBoxes) Next() *Part                              { return nil }
func (noBoxes) Return(*Part)                             {}
func (noBoxes) Ready() <-chan struct{}                   { return nil }
func (noBoxes) Begin(*Outcome, *Part, int) (bool, error) { return true, nil }
func (noBoxes) Finish(Outcome) error                     { return nil }
func (noBoxes) Receive(sms.Incoming) error               { return nil }
func (noBoxes) Deleted(string, string, int) error        { return nil }

// FuzzAnswers gives every reader of answers every answer: none panics, and what
// they make of it stays within what the pictures and the Inbox take.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		"+CSQ: 20,99", "+CSQ: ", "+CREG: 2,1,\"1A2B\",\"01C3\",7", "+CREG: ,", `+COPS: 0,0,"Net, the",7`, "+COPS: 0", `+CSCA: "+491710000000",145`,
		"+CSCA: ", `+CNUM: "","+49170",145`, `+CPMS: "SM",1,50`, "+CPMS: 1,50,1,50", "+CPMS: ,", "+CCID: 89490200001234567890",
		`+CRSM: 144,0,"98942000002143658709"`, "+CMGL: 1,1,,18\n07919471010000000404A1321000001010200010800003C2E231", "+CMGR: 0,,0", "+CMGL: ",
		`+CMTI: "SM",3`, "+CMTI: ", "+CDS: 25", "+CMGS: 41", "+CMGS: ", "+CPIN: SIM PIN", "RDY", "+CME ERROR: SIM busy", "+CMS ERROR: 500",
		"+CNMI: 2,1,0,2,0", "+CNMI: ",
		`+CUSD: 1,"a,b",15`, "+CUSD: ", `+CUSD: 0,"`, "+CUSD: ,,", `+CLIP: "+491700000000",145,,,,0`, "+CLIP: ", "MISSED_CALL: 10:42AM 07712", "RING", "NO CARRIER", "352099000000006", "+CGSN: \"352099000000006\"", "002B0034", "+CGMI: ",
		"+CESQ: 99,99,255,255,20,50", "+CESQ: 99,99,255,255,255,255,60,70,80", "+CESQ: ", `^HCSQ: "LTE",59,50,161,24`, `^HCSQ:"NOSERVICE"`, "^HCSQ: ,NaN,1e999",
		`+QCSQ: "LTE",-71,-91,150,-10`, `+QCSQ: "NOSERVICE"`, "+CPSI: LTE,Online,262-01,0x1A2B,29751525,310,EUTRAN-BAND3,1300,5,5,-100,-910,-710,14", "+CPSI: NO SERVICE,Online",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var lines []string
		for _, l := range strings.FieldsFunc(s, func(r rune) bool { return r < ' ' }) {
			if l = strings.Trim(l, " "); l != "" { // as the AT layer gives them
				lines = append(lines, l)
			}
		}
		m := New(Options{Name: "one", Outbox: noBoxes{}, Inbox: noBoxes{}})
		m.up.Store(true)
		m.csms = 1
		for _, p := range polls {
			if p.read != nil {
				p.read(m, lines)
			}
		}
		for _, c := range []measure{plainMeasure, huaweiMeasure, quectelMeasure, simcomMeasure} {
			for _, csq := range []int{99, 20} {
				if l := c.understand(lines).signal(csq); l != nil && !plausible(l) {
					t.Errorf("%s: %q is read as %s", c.line, lines, said(l))
				}
			}
		}
		for _, s := range steps {
			if s.read != nil {
				s.read(m, lines)
			}
		}
		m.fill(lines)
		for _, command := range []string{"+CMGL", "+CMGR"} {
			stored(lines, command)
		}
		reference(lines)
		for _, l := range lines {
			if isPINState(l) && l[0] != '+' && strings.Contains(l, ":") {
				t.Errorf("%q taken for the state of the PIN", l)
			}
			hasDigits(14, 17)(l)
			if n := iccid(l); n != "" && (len(n) < 15 || len(n) > 22) {
				t.Errorf("ICCID %q", n)
			}
			sameAnnouncing(l, "2,1,0,2,0")
			fromUCS2(l)
			m.ussd.awaiting = true
			m.unsolicited(at.URC{Line: l})
			if c := m.calling; c.from != "" && (len(c.from) > 33 || strings.Trim(c.from, "+0123456789*#") != "") {
				t.Errorf("a call from %q", c.from)
			}
			if mode, _, dcs := parseUSSD(l); mode < -1 || dcs < -1 {
				t.Errorf("USSD mode %d, coding %d", mode, dcs)
			}
			for _, set := range []string{"CMS", "CME", ""} {
				e := &at.Error{Command: "AT", Set: set, Code: -1, Text: l}
				cmeCode(e)
			}
		}
		if s := m.now.Signal; s != nil && (s.Percent < 0 || s.Percent > 100 || s.Quality == "") {
			t.Errorf("%+v", s)
		}
	})
}

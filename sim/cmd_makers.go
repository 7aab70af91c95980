package sim

import (
	"fmt"
	"strings"
)

// makersCommands are those of single families; a profile names the ones that
// its modem knows.
func makersCommands() map[string]handler {
	all := map[string]handler{
		"^CURC":    {read: one(func(m *Modem) string { return fmt.Sprintf("^CURC: %d", 1-flagged(m.silent)) }), set: setChatter, test: "(0,1)"},
		"^PORTSEL": {set: selectPort, test: "(0,1)"},
		"^RESET":   {exec: restarts},
		"+CRESET":  {exec: restarts, test: "-"},
		"+QPOWD":   {exec: restarts, set: func(m *Modem, _ args) reply { return restarts(m) }, test: "(0,1)"},

		"^ICCID": {read: one(func(m *Modem) string { return "^ICCID: " + m.card.iccid }), sim: simCME},
		"+QCCID": {exec: one(func(m *Modem) string { return "+QCCID: " + m.card.iccid }), sim: simCME, test: "-"},

		"^CPIN": {read: huaweiPIN},
		"+SPIC": {exec: withCard(func(m *Modem) string {
			return fmt.Sprintf("+SPIC: %d,%d,3,10", m.card.pinTries, m.card.pukTries)
		})},
		"+QPINC": {read: withCard(func(m *Modem) string {
			return fmt.Sprintf("+QPINC: \"SC\",%d,%d\r\n+QPINC: \"P2\",3,10", m.card.pinTries, m.card.pukTries)
		}), test: `("SC","P2")`},
		"+ZPINPUK": {tests: withCard(func(m *Modem) string { // PIN, PIN2, PUK, PUK2
			return fmt.Sprintf("+ZPINPUK: %d,3,%d,10", m.card.pinTries, m.card.pukTries)
		})},

		"^HCSQ": {read: one(huaweiSignal)},
		"+QCSQ": {exec: one(func(m *Modem) string {
			switch {
			case m.noRadio():
				return `+QCSQ: "NOSERVICE"`
			case m.radio.AcT < 2:
				return fmt.Sprintf(`+QCSQ: "GSM",%d`, m.rssi())
			case m.radio.AcT < 7:
				return fmt.Sprintf(`+QCSQ: "WCDMA",%d,%d,-8`, m.rssi(), m.rssi()-7)
			}
			return fmt.Sprintf(`+QCSQ: "LTE",%d,%d,%d,%d`, m.rssi(), m.radio.RSRP-141, (m.radio.SINR+20)*5, m.radio.RSRQ/2-20)
		}), test: "-"},
		"+QNWINFO": {exec: one(func(m *Modem) string {
			if m.noRadio() || !m.reachable() {
				return "+QNWINFO: No Service"
			}
			return fmt.Sprintf(`+QNWINFO: "%s","%s","%s",1300`, acts[m.radio.AcT][0], m.radio.Numeric, acts[m.radio.AcT][1])
		}), test: "-"},
		"+CPSI": {read: one(func(m *Modem) string {
			if m.noRadio() || !m.reachable() {
				return "+CPSI: NO SERVICE,Online"
			}
			if m.radio.AcT < 7 {
				return fmt.Sprintf("+CPSI: GSM,Online,%s-%s,0x%s,12401,27 EGSM 900,%d,2110,42-42", m.radio.Numeric[:3], m.radio.Numeric[3:], m.radio.LAC, m.rssi())
			}
			return fmt.Sprintf("+CPSI: LTE,Online,%s-%s,0x%s,29751525,310,EUTRAN-BAND3,1300,5,5,%d,%d,%d,%d",
				m.radio.Numeric[:3], m.radio.Numeric[3:], m.radio.LAC, (m.radio.RSRQ-40)*5, (m.radio.RSRP-141)*10, m.rssi()*10, m.radio.SINR)
		})},
		"^SYSINFOEX": {exec: one(func(m *Modem) string {
			if m.noRadio() || !m.reachable() {
				return `^SYSINFOEX:0,0,0,1,,0,"NO SERVICE",0,""`
			}
			return fmt.Sprintf(`^SYSINFOEX:2,3,%d,1,,6,"LTE",101,"LTE"`, flagged(m.registration()[2] == 5))
		})},
		"+ZPAS": {read: one(func(m *Modem) string {
			if m.noRadio() || !m.reachable() {
				return `+ZPAS: "No Service","No Service"`
			}
			return `+ZPAS: "UMTS","CS_PS"`
		})},
		// The installation disc and the mode of operation; gammu sets both.
		"+ZCDRUN": {set: func(*Modem, args) reply { return ok }},
		"+ZOPRT":  {set: func(*Modem, args) reply { return ok }},
		"^USSDMODE": {read: one(func(m *Modem) string { return fmt.Sprintf("^USSDMODE: %d", 1-flagged(m.rawUSSD)) }),
			set: func(m *Modem, a args) reply {
				v := a.num(0, bad)
				if !between(0, 1, v) {
					return cme(50)
				}
				m.rawUSSD = v == 0
				return ok
			}, test: "(0,1)"},
	}
	for name, h := range all {
		h.maker = true
		all[name] = h
	}
	return all
}

// acts are the names of access technologies, and a band of each.
var acts = map[int][2]string{0: {"GSM", "GSM 900"}, 2: {"WCDMA", "WCDMA 2100"}, 7: {"FDD LTE", "LTE BAND 3"}}

// withCard is one for what is asked before the PIN too.
func withCard(line func(m *Modem) string) func(m *Modem) reply {
	return func(m *Modem) reply {
		if m.card == nil {
			return cme(10)
		}
		m.info("%s", line(m))
		return ok
	}
}

// setChatter is ^CURC: 0 silences what Huawei sticks say by themselves.
func setChatter(m *Modem, a args) reply {
	v := a.num(0, bad)
	if !between(0, 1, v) {
		return cme(50)
	}
	m.silent = v == 0
	m.chatter++
	if !m.silent {
		m.noises(m.profile.Chatter)
	}
	return ok
}

// selectPort is ^PORTSEL: what comes unasked comes out of the command port, 0,
// or of the modem port, 1.
func selectPort(m *Modem, a args) reply {
	want := map[int]Role{0: RoleAT, 1: RoleSecond}[a.num(0, bad)]
	for _, t := range m.ttys {
		if t.Role == want {
			m.main = t
			return ok
		}
	}
	return cme(50)
}

// huaweiPIN is ^CPIN?: the state, and the tries of what it asks for, of PUK,
// PIN, PUK2 and PIN2.
func huaweiPIN(m *Modem) reply {
	state, code := m.card.state()
	if state == "" {
		return cme(code)
	}
	asked := ""
	switch state {
	case "SIM PIN":
		asked = fmt.Sprint(m.card.pinTries)
	case "SIM PUK":
		asked = fmt.Sprint(m.card.pukTries)
	}
	m.info("^CPIN: %s,%s,%d,%d,10,3", state, asked, m.card.pukTries, m.card.pinTries)
	return ok
}

// noRadio tells whether the radio finds nothing at all.
func (m *Modem) noRadio() bool { return m.cfun != 1 || m.faults.Hang == HangRadio }

// rssi is the signal in dBm.
func (m *Modem) rssi() int { return 2*m.radio.RSSI - 113 }

func huaweiSignal(m *Modem) string {
	switch rssi := max(m.rssi()+121, 0); {
	case m.noRadio() || m.radio.RSSI == 99:
		return `^HCSQ: "NOSERVICE"`
	case m.radio.AcT >= 7:
		return fmt.Sprintf(`^HCSQ: "LTE",%d,%d,%d,%d`, rssi, m.radio.RSRP, (m.radio.SINR+20)*5+1, m.radio.RSRQ)
	case m.radio.AcT >= 2:
		return fmt.Sprintf(`^HCSQ: "WCDMA",%d,%d,%d`, rssi, rssi, 50)
	default:
		return fmt.Sprintf(`^HCSQ: "GSM",%d`, rssi)
	}
}

// quality is +CSQ.
func (m *Modem) quality() string {
	rssi, ber := m.radio.RSSI, m.radio.BER
	switch {
	case m.noRadio():
		rssi, ber = 99, 99
	case (m.profile.CSQ100 && m.radio.AcT == 2 || m.faults.CSQ100) && rssi != 99:
		rssi = min(max(100+m.rssi()+116, 100), 191)
	}
	return fmt.Sprintf("+CSQ: %d,%d", rssi, ber)
}

// simFile is +CRSM: it reads the file that holds the ICCID, where the halves
// of each octet are swapped, and no other.
func simFile(m *Modem, a args) reply {
	const readBinary, efICCID = 176, 12258
	if m.card == nil {
		return cme(10)
	}
	switch a.num(0, bad) {
	case readBinary:
		if a.num(1, bad) != efICCID {
			m.info("+CRSM: 106,130") // file not found
			return ok
		}
		digits := m.card.iccid + strings.Repeat("F", max(20-len(m.card.iccid), 0))
		var b strings.Builder
		for i := 0; i+1 < len(digits); i += 2 {
			b.WriteByte(digits[i+1])
			b.WriteByte(digits[i])
		}
		m.info(`+CRSM: 144,0,"%s"`, b.String())
		return ok
	case 192, 203, 214, 220, 242:
		m.info("+CRSM: 109,0") // the SIM does not know the instruction
		return ok
	}
	return cme(50)
}

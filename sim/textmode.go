package sim

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/warthog618/sms/encoding/gsm7"
	"github.com/warthog618/sms/encoding/tpdu"
)

// inCharset writes a string in the character set that +CSCS chose.
func (m *Modem) inCharset(s string) string {
	switch m.tty.settings.cscs {
	case "UCS2":
		return ucs2Hex(s)
	case "IRA":
		return plain(s)
	}
	septets, err := gsm7.Encode([]byte(s))
	if err != nil {
		septets, _ = gsm7.Encode([]byte(plain(s)))
	}
	if m.tty.settings.cscs == "HEX" {
		return upperHex(septets)
	}
	return string(septets)
}

func ucs2Hex(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04X", u)
	}
	return b.String()
}

// plain replaces what is not in ASCII, as modems do with what their character
// set lacks.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\r' && r != '\n' || r > '~' || r == '`' {
			return '?'
		}
		return r
	}, s)
}

// fromCharset reads a string that was written in the character set of +CSCS.
func (m *Modem) fromCharset(s string) (string, bool) {
	switch m.tty.settings.cscs {
	case "UCS2":
		b, err := hex.DecodeString(s)
		if err != nil || len(b)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
		}
		return string(utf16.Decode(units)), true
	case "HEX":
		b, err := hex.DecodeString(s)
		if err != nil {
			return "", false
		}
		s = string(b)
	case "IRA":
		return s, strings.IndexFunc(s, func(r rune) bool { return r > '~' }) < 0
	}
	b, err := gsm7.Decode([]byte(s))
	return string(b), err == nil
}

// destination reads the number of +CMGS in text mode.
func (m *Modem) destination(a args) (string, bool) {
	s, quoted := a.quoted(0)
	number, good := m.fromCharset(s)
	digits := strings.TrimPrefix(number, "+")
	if !quoted || !good || len(a) > 2 || digits == "" || len(digits) > 20 || strings.Trim(digits, "0123456789*#") != "" {
		return "", false
	}
	if toa := a.num(1, 0); toa == bad {
		return "", false
	} else if toa == 145 {
		number = "+" + digits
	}
	return number, true
}

// composed makes the SMS-SUBMIT of a text written in text mode, by +CSMP. What
// does not fit into one SMS is refused.
func (m *Modem) composed(to string, data []byte) (*submit, reply) {
	p := m.tty.settings.csmp
	words, good := m.fromCharset(string(data))
	if !good {
		return nil, cms(305)
	}
	t := tpdu.TPDU{DA: address(to), PID: byte(p[2]), DCS: tpdu.DCS(p[3])}
	if t.SetSmsType(tpdu.SmsSubmit) != nil {
		return nil, cms(305)
	}
	t.FirstOctet = tpdu.FirstOctet(p[0]) &^ tpdu.FoVPFMask
	if p[0]&0x18 == 0x10 {
		var vp tpdu.ValidityPeriod
		if _, err := vp.UnmarshalBinary([]byte{byte(p[1])}, tpdu.VpfRelative); err != nil {
			return nil, cms(305)
		}
		t.SetVP(vp)
	}
	alphabet, err := t.DCS.Alphabet()
	if err != nil || t.FirstOctet.UDHI() {
		return nil, cms(305)
	}
	switch alphabet {
	case tpdu.Alpha7Bit:
		if t.UD, err = gsm7.Encode([]byte(words)); err != nil {
			return nil, cms(305)
		}
	case tpdu.AlphaUCS2:
		for _, u := range utf16.Encode([]rune(words)) {
			t.UD = append(t.UD, byte(u>>8), byte(u))
		}
	default:
		t.UD = data
	}
	b, err := t.MarshalBinary()
	if err != nil {
		return nil, cms(305)
	}
	s, err := readSubmit(append([]byte{0}, b...), len(b))
	if err != nil {
		return nil, cms(305)
	}
	return s, ok
}

// textOf gives a stored message as text mode shows it: the rest of its first
// line, and what stands below.
func (m *Modem) textOf(x *stored) (head, body string) {
	raw := x.pdu
	if x.stat >= unsent {
		s, err := readSubmit(raw, tpduLength(raw))
		if err != nil {
			return `"",,`, upperHex(raw)
		}
		return fmt.Sprintf(`"%s",,`, m.inCharset(s.t.DA.Number())), m.body(&s.t)
	}
	t, good := readDelivered(raw)
	switch {
	case !good:
		return `"",,`, upperHex(raw)
	case t.SmsType() == tpdu.SmsStatusReport:
		return fmt.Sprintf(`%d,%d,"%s",%d,"%s","%s",%d`, t.FirstOctet, t.MR, m.inCharset(t.RA.Number()), t.RA.TOA,
			stamp(t.SCTS), stamp(t.DT), t.ST), ""
	}
	head = fmt.Sprintf(`"%s",,"%s"`, m.inCharset(t.OA.Number()), stamp(t.SCTS))
	if m.tty.settings.csdh == 1 {
		head += fmt.Sprintf(`,%d,%d,%d,%d,"%s",%d,%d`, t.OA.TOA, t.FirstOctet, t.PID, t.DCS,
			m.inCharset(m.card.smsc), address(m.card.smsc).TOA, len(t.UD))
	}
	return head, m.body(t)
}

// body is a text in the character set of +CSCS, or its octets in hex.
func (m *Modem) body(t *tpdu.TPDU) string {
	s, data := text([]*part{partOf(t, "", "", m.net.now())})
	if data != nil {
		return upperHex(data)
	}
	return m.inCharset(s)
}

// readDelivered reads what a modem received, as far as that can be read.
func readDelivered(raw []byte) (t *tpdu.TPDU, good bool) {
	defer func() {
		if recover() != nil { // a PDU that a test brought may be anything
			good = false
		}
	}()
	if tpduLength(raw) == 0 {
		return nil, false
	}
	t = &tpdu.TPDU{Direction: tpdu.MT}
	if t.UnmarshalBinary(raw[1+int(raw[0]):]) != nil {
		return nil, false
	}
	st := t.SmsType()
	return t, st == tpdu.SmsDeliver || st == tpdu.SmsStatusReport
}

func stamp(t tpdu.Timestamp) string {
	_, offset := t.Zone()
	return t.Format(clockForm) + fmt.Sprintf("%+03d", offset/900)
}

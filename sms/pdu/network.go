package pdu

import (
	"fmt"
	"strings"
	"time"

	"github.com/warthog618/sms/encoding/gsm7"
)

// This file is the other side of the air: what a service centre does. The
// simulator and the tests use it. It shares no code with the rest of the package
// but the alphabet tables, so that a mistake there does not hide itself here.

// Submission is an SMS-SUBMIT as a service centre reads it. UDL and UD are as
// they stand in the TPDU, header included; they go into an SMS-DELIVER unchanged.
type Submission struct {
	MR       byte
	To       string // "+" in front of international numbers
	TOA      byte
	PID, DCS byte
	Report   bool // TP-SRR: a status report is asked for
	UDHI     bool
	VP       []byte // TP-VP: empty, 1 or 7 octets
	UDL      byte
	UD       []byte
}

// ReadSubmit reads an SMS-SUBMIT as strictly as a modem and its network would.
func ReadSubmit(tpdu []byte) (*Submission, error) {
	short := func(what string) (*Submission, error) {
		return nil, &Error{Detail: "the SMS-SUBMIT ends before " + what}
	}
	if len(tpdu) < 4 {
		return short("the destination")
	}
	first, digits := tpdu[0], int(tpdu[2])
	if first&0x03 != 0x01 {
		return nil, &Error{Detail: fmt.Sprintf("is not an SMS-SUBMIT: first octet 0x%02X", first)}
	}
	s := &Submission{MR: tpdu[1], TOA: tpdu[3], Report: first&0x20 != 0, UDHI: first&0x40 != 0}
	rest := tpdu[4:]
	size := (digits + 1) / 2
	switch {
	case digits == 0 || digits > 20:
		return nil, &Error{Detail: fmt.Sprintf("destination of %d digits: 1 to 20 are allowed", digits)}
	case s.TOA&0x80 == 0:
		return nil, &Error{Detail: fmt.Sprintf("type of address 0x%02X: its top bit must be set", s.TOA)}
	case len(rest) < size+2:
		return short("the data coding scheme")
	}
	var to strings.Builder
	if s.TOA&0x70 == 0x10 {
		to.WriteByte('+')
	}
	for i := range 2 * size {
		d := rest[i/2] >> (4 * (i % 2)) & 0x0F
		if i == digits {
			if d != 0x0F {
				return nil, &Error{Detail: "destination with an odd number of digits and no F behind them"}
			}
			break
		}
		if d > 11 || d > 9 && s.TOA&0x70 == 0x10 {
			return nil, &Error{Detail: fmt.Sprintf("destination with the digit 0x%X", d)}
		}
		to.WriteByte("0123456789*#"[d])
	}
	s.To, s.PID, s.DCS, rest = to.String(), rest[size], rest[size+1], rest[size+2:]
	vp := [4]int{0, 7, 1, 7}[first>>3&0x03]
	if len(rest) < vp+1 {
		return short("the user data")
	}
	s.VP, s.UDL, s.UD = rest[:vp], rest[vp], rest[vp+1:]
	want := int(s.UDL)
	if septets(s.DCS) {
		want = (want*7 + 7) / 8
	}
	switch {
	case want > 140:
		return nil, &Error{Detail: fmt.Sprintf("user data of %d octets, 140 fit", want)}
	case len(s.UD) != want:
		return nil, &Error{Detail: fmt.Sprintf("user data of %d octets, TP-UDL %d means %d", len(s.UD), s.UDL, want)}
	case s.UDHI && (want == 0 || 1+int(s.UD[0]) > want):
		return nil, &Error{Detail: "user data header longer than the user data"}
	}
	return s, nil
}

// septets says whether a data coding scheme means GSM 7-bit.
func septets(dcs byte) bool {
	switch dcs >> 4 {
	case 0x0E:
		return false
	case 0x0F:
		return dcs&0x04 == 0
	case 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D:
		return true
	}
	return dcs&0x0C == 0 || dcs&0x0C == 0x0C
}

// Delivery is an SMS-DELIVER to be written.
type Delivery struct {
	SMSC     string
	From     string // "+…" international, digits: short code or national, else a name of up to 11 letters
	SCTS     time.Time
	PID, DCS byte
	UDHI     bool
	UDL      byte
	UD       []byte // as it stands behind TP-UDL, header included
}

// Delivery is what a recipient gets of a submission.
func (s *Submission) Delivery(smsc, from string, scts time.Time) Delivery {
	return Delivery{SMSC: smsc, From: from, SCTS: scts, PID: s.PID, DCS: s.DCS, UDHI: s.UDHI, UDL: s.UDL, UD: s.UD}
}

// EncodeDeliver writes an SMS-DELIVER with the service centre's address in
// front, as a modem hands it over.
func EncodeDeliver(d Delivery) []byte {
	first := byte(0x04) // no more messages are waiting
	if d.UDHI {
		first |= 0x40
	}
	b := append(writeSMSC(d.SMSC), first)
	b = append(b, writeAddress(d.From)...)
	b = append(b, d.PID, d.DCS)
	b = append(b, writeTime(d.SCTS)...)
	b = append(b, d.UDL)
	return append(b, d.UD...)
}

// EncodeText writes the SMS-DELIVERs of a text that a phone sends: a long one
// in parts under the reference ref.
func EncodeText(smsc, from, text string, scts time.Time, ref byte) ([][]byte, error) {
	tpdus, err := Submit{To: "1", Text: text, Ref: ref, MaxParts: 255}.Encode()
	if err != nil {
		return nil, err
	}
	for i, t := range tpdus {
		s, err := ReadSubmit(t)
		if err != nil {
			return nil, err
		}
		tpdus[i] = EncodeDeliver(s.Delivery(smsc, from, scts))
	}
	return tpdus, nil
}

// EncodeReport writes an SMS-STATUS-REPORT with the service centre's address in
// front.
func EncodeReport(smsc string, r Report) []byte {
	b := append(writeSMSC(smsc), 0x06, r.MR)
	b = append(b, writeAddress(r.To)...)
	b = append(b, writeTime(r.SCTS)...)
	b = append(b, writeTime(r.Discharge)...)
	return append(b, r.Status)
}

func writeSMSC(number string) []byte {
	if number == "" {
		return []byte{0}
	}
	a := writeAddress(number)
	a[0] = byte(len(a) - 1)
	return a
}

func writeAddress(name string) []byte {
	digits, international := strings.CutPrefix(name, "+")
	if strings.Trim(digits, "0123456789*#") != "" {
		return writeName(name)
	}
	b := []byte{byte(len(digits)), 0x81}
	if international {
		b[1] = 0x91
	}
	for i := 0; i < len(digits); i += 2 {
		pair := byte(0xF0)
		if i+1 < len(digits) {
			pair = byte(strings.IndexByte("0123456789*#", digits[i+1])) << 4
		}
		b = append(b, pair|byte(strings.IndexByte("0123456789*#", digits[i])))
	}
	return b
}

// writeName packs a name into septets; letters that GSM 7-bit lacks become "?".
func writeName(name string) []byte {
	var letters []byte
	for _, r := range name {
		s, err := gsm7.Encode([]byte(string(r)))
		if err != nil {
			s = []byte{'?'}
		}
		if len(letters)+len(s) > 11 {
			break
		}
		letters = append(letters, s...)
	}
	b := make([]byte, 2+(len(letters)*7+7)/8)
	b[0], b[1] = byte((len(letters)*7+3)/4), 0xD0
	for bit := range len(letters) * 7 {
		b[2+bit/8] |= letters[bit/7] >> (bit % 7) & 1 << (bit % 8)
	}
	return b
}

// writeTime writes a service centre time stamp in the zone of t.
func writeTime(t time.Time) []byte {
	_, offset := t.Zone()
	quarters, sign := offset/(15*60), byte(0)
	if quarters < 0 {
		quarters, sign = -quarters, 0x08
	}
	b := make([]byte, 0, 7)
	for _, v := range []int{t.Year() % 100, int(t.Month()), t.Day(), t.Hour(), t.Minute(), t.Second(), quarters} {
		b = append(b, byte(v%10)<<4|byte(v/10))
	}
	b[6] |= sign
	return b
}

package sim

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/warthog618/sms/encoding/gsm7/charset"
	"github.com/warthog618/sms/encoding/pdumode"
	"github.com/warthog618/sms/encoding/tpdu"
)

// The codec's tables are made at their first use, without a lock. They are all
// made here, so that later uses only read.
func init() {
	charset.DefaultDecoder()
	charset.DefaultEncoder()
	charset.DefaultExtDecoder()
	charset.DefaultExtEncoder()
	for nli := charset.Start; nli < charset.End; nli++ {
		charset.NewDecoder(nli)
		charset.NewEncoder(nli)
		charset.NewExtDecoder(nli)
		charset.NewExtEncoder(nli)
	}
}

// submit is an SMS-SUBMIT that a modem was given to send.
type submit struct {
	raw  []byte // with the SMSC address
	sca  bool   // an SMSC address is in front; else the SIM's is used
	tpdu []byte
	t    tpdu.TPDU
}

// readSubmit is as strict as a modem that checks a PDU before it sends it:
// length is the number of octets that +CMGS announced.
func readSubmit(raw []byte, length int) (s *submit, err error) {
	defer func() { // the codec is not ours; a PDU must not end the network
		if r := recover(); r != nil {
			err = fmt.Errorf("PDU can't be read: %v", r)
		}
	}()
	if len(raw) == 0 {
		return nil, errors.New("no PDU")
	}
	sca := int(raw[0])
	if sca == 1 || sca > 11 || len(raw) < 1+sca {
		return nil, fmt.Errorf("SMSC address of %d octets", sca)
	}
	s = &submit{raw: raw, sca: sca > 0, tpdu: raw[1+sca:]}
	if len(s.tpdu) != length {
		return nil, fmt.Errorf("%d octets announced, %d came", length, len(s.tpdu))
	}
	s.t.Direction = tpdu.MO
	if err := s.t.UnmarshalBinary(s.tpdu); err != nil {
		return nil, err
	}
	if s.t.SmsType() != tpdu.SmsSubmit {
		return nil, fmt.Errorf("%v is no SMS-SUBMIT", s.t.SmsType())
	}
	if n := len(s.t.DA.Addr); n == 0 || n > 20 || s.t.DA.TOA&0x80 == 0 {
		return nil, errors.New("no usable destination address")
	}
	if udl(&s.t) > 140 {
		return nil, errors.New("user data longer than 140 octets")
	}
	return s, nil
}

// udl is the length in octets of user data with its header.
func udl(t *tpdu.TPDU) int {
	header := 0
	if h := t.UDHL(); h > 0 {
		header = h + 1
	}
	if a, _ := t.Alphabet(); a != tpdu.Alpha7Bit {
		return header + len(t.UD)
	}
	return ((header*8+6)/7*7 + len(t.UD)*7 + 7) / 8
}

// part is one SMS as a phone sees it, before its message is put together.
type part struct {
	from, to   string
	bits, ref  int // of the concatenation reference; bits 0: a message of one part
	total, seq int
	alphabet   tpdu.Alphabet
	header     tpdu.UserDataHeader
	ud         []byte // septets one to an octet, UTF-16BE, or octets
	class      int    // -1: none
	at         time.Time
	entries    []int // ledger entries of this part
}

func partOf(t *tpdu.TPDU, from, to string, at time.Time) *part {
	alphabet, err := t.Alphabet()
	if err != nil {
		alphabet = tpdu.Alpha7Bit // reserved codings are read as the default alphabet
	}
	p := &part{from: from, to: to, alphabet: alphabet, header: t.UDH, ud: t.UD, class: classOf(byte(t.DCS)), at: at}
	if total, seq, ref, ok := t.UDH.ConcatInfo8(); ok && seq >= 1 && seq <= total {
		p.bits, p.total, p.seq, p.ref = 8, total, seq, ref
	} else if total, seq, ref, ok := t.UDH.ConcatInfo16(); ok && seq >= 1 && seq <= total {
		p.bits, p.total, p.seq, p.ref = 16, total, seq, ref
	}
	return p
}

// classOf returns the message class in a TP-DCS, -1 if it names none.
func classOf(dcs byte) int {
	if dcs&0xD0 == 0x10 || dcs&0xF0 == 0xF0 {
		return int(dcs & 3)
	}
	return -1
}

// text joins the parts of one message and only then decodes them, so that an
// escape sequence or a surrogate pair cut between two parts comes out whole.
func text(parts []*part) (text string, data []byte) {
	first := parts[0]
	var ud []byte
	for _, p := range parts {
		ud = append(ud, p.ud...)
	}
	switch first.alphabet {
	case tpdu.Alpha8Bit:
		return "", ud
	case tpdu.AlphaUCS2:
		units := make([]uint16, len(ud)/2)
		for i := range units {
			units[i] = uint16(ud[2*i])<<8 | uint16(ud[2*i+1])
		}
		return string(utf16.Decode(units)), nil
	}
	var tables []tpdu.UDDecodeOption
	if len(first.header) > 0 { // it may name national tables
		tables = append(tables, tpdu.WithAllCharsets)
	}
	out, err := tpdu.DecodeUserData(ud, first.header, tpdu.Alpha7Bit, tables...)
	if err != nil {
		return "", ud
	}
	return string(out), nil
}

// assembler puts parts together to messages, as a phone does.
type assembler struct {
	open map[setKey]map[int]*part
}

type setKey struct {
	from, to         string
	bits, ref, total int
}

// add returns all parts of p's message in order once the last has come. A part
// that is there already is a repeat if it is the same, and the first of a new
// message under a used reference if it is another.
func (a *assembler) add(p *part) []*part {
	if p.bits == 0 {
		return []*part{p}
	}
	k := setKey{p.from, p.to, p.bits, p.ref, p.total}
	set := a.open[k]
	if old := set[p.seq]; old != nil {
		if slices.Equal(old.ud, p.ud) {
			old.entries = append(old.entries, p.entries...)
			return nil
		}
		set = nil
	}
	if set == nil {
		set = map[int]*part{}
		if a.open == nil {
			a.open = map[setKey]map[int]*part{}
		}
		a.open[k] = set
	}
	set[p.seq] = p
	if len(set) < p.total {
		return nil
	}
	delete(a.open, k)
	all := make([]*part, p.total)
	for seq, p := range set {
		all[seq-1] = p
	}
	return all
}

// address writes a number as networks do: international with type 91, short
// codes and national numbers with 81, anything else as a name.
func address(number string) tpdu.Address {
	digits := strings.TrimPrefix(number, "+")
	switch {
	case strings.Trim(digits, "0123456789*#") != "":
		return tpdu.Address{TOA: 0xD0, Addr: number}
	case digits != number:
		return tpdu.Address{TOA: 0x91, Addr: digits}
	}
	return tpdu.Address{TOA: 0x81, Addr: digits}
}

// Text is a message on its way to a modem, with everything a sender may choose.
type Text struct {
	From  string // a number, a short code or a name of up to 11 letters
	Text  string
	Data  []byte // instead of Text
	Port  int    // application port of Data
	Class int    // 0 to 3 with HasClass
	// HasClass makes class 0 (flash) tellable from no class.
	HasClass bool
	PID      byte
	Ref      int  // concatenation reference
	Wide     bool // 16-bit reference
	Shuffled bool // its parts arrive the last one first
	SMSC     string
	At       time.Time // SCTS
}

// Delivers builds the SMS-DELIVER PDUs of a message as a modem shows them,
// with the SMSC address in front, one for each part, in order.
func Delivers(x Text) ([][]byte, error) {
	parts, err := delivers(x)
	if err != nil {
		return nil, err
	}
	var raw [][]byte
	for i := range parts {
		b, err := withSMSC(x.SMSC, &parts[i])
		if err != nil {
			return nil, err
		}
		raw = append(raw, b)
	}
	return raw, nil
}

func delivers(x Text) ([]tpdu.TPDU, error) {
	t := tpdu.TPDU{OA: address(x.From), PID: x.PID, SCTS: tpdu.Timestamp{Time: x.At}}
	if err := t.SetSmsType(tpdu.SmsDeliver); err != nil {
		return nil, err
	}
	t.FirstOctet |= 0x04 // no more messages wait
	ud := tpdu.UserData(x.Data)
	switch {
	case x.Data == nil:
		if strings.ContainsRune(x.Text, '\x1b') {
			return nil, errors.New("a text can't contain the escape character")
		}
		var alphabet tpdu.Alphabet
		ud, _, alphabet = tpdu.EncodeUserData([]byte(x.Text))
		if alphabet == tpdu.AlphaUCS2 {
			t.DCS = tpdu.DcsUCS2Data
		}
	default:
		t.DCS = tpdu.Dcs8BitData
		if x.Port > 0 {
			t.SetUDH(tpdu.UserDataHeader{{ID: 5, Data: []byte{byte(x.Port >> 8), byte(x.Port), 0, 0}}})
		}
	}
	if x.HasClass {
		t.DCS |= tpdu.DCS(0x10 | x.Class&3)
	}
	if len(ud) == 0 {
		return []tpdu.TPDU{t}, nil
	}
	options := []tpdu.SegmentationOption{tpdu.WithConcatRef(constant(x.Ref))}
	if x.Wide {
		options = append(options, tpdu.With16BitConcatRef)
	}
	parts := t.Segment(ud, options...)
	if len(parts) > 255 {
		return nil, fmt.Errorf("%d parts; a message has 255 at most", len(parts))
	}
	return parts, nil
}

// constant is a reference that does not count.
type constant int

func (c constant) Count() int { return int(c) }

// withSMSC marshals a TPDU with the service centre's address in front.
func withSMSC(smsc string, t *tpdu.TPDU) ([]byte, error) {
	b, err := t.MarshalBinary()
	if err != nil {
		return nil, err
	}
	p := pdumode.PDU{TPDU: b}
	p.SMSC.Address = address(smsc)
	return p.MarshalBinary()
}

// statusReport builds the SMS-STATUS-REPORT for a submitted part.
func statusReport(smsc string, s *slip, status byte, now time.Time) ([]byte, error) {
	t := tpdu.TPDU{MR: s.mr, RA: s.to, SCTS: tpdu.Timestamp{Time: s.scts}, DT: tpdu.Timestamp{Time: now}, ST: status}
	if err := t.SetSmsType(tpdu.SmsStatusReport); err != nil {
		return nil, err
	}
	t.FirstOctet |= 0x04
	return withSMSC(smsc, &t)
}

// upperHex is how modems print PDUs.
func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// glance reads the two octets of a received PDU that decide where it goes.
// ok is false if the PDU is too short to have them.
func glance(raw []byte) (report bool, pid, dcs byte, ok bool) {
	if len(raw) == 0 || len(raw) < int(raw[0])+4 {
		return false, 0, 0, false
	}
	t := raw[1+int(raw[0]):]
	if t[0]&3 == 2 {
		return true, 0, 0, true
	}
	at := 3 + (int(t[1])+1)/2
	if len(t) < at+2 {
		return false, 0, 0, false
	}
	return false, t[at], t[at+1], true
}

// tpduLength is the length that a modem announces with a stored PDU.
func tpduLength(raw []byte) int {
	if len(raw) == 0 {
		return 0
	}
	return max(len(raw)-1-int(raw[0]), 0)
}

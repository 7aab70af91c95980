package pdu

import (
	"fmt"
	"strings"
	"time"

	"github.com/warthog618/sms/encoding/tpdu"

	"gatewayd/sms"
)

// Deliver is a received message, or one part of it (SMS-DELIVER, TS 23.040
// 9.2.2.1).
type Deliver struct {
	SMSC           string
	From           string    // "+" in front of international numbers; may be empty
	Alphanumeric   bool      // From is a name: it can't be answered
	SCTS           time.Time // when the service centre got it; zero if unreadable
	Class          int       // 0 to 3; -1: none
	PID, DCS       byte
	Encoding       sms.Encoding
	UD             []byte  // without header: septets one per octet, UTF-16 big endian, or octets
	Concat         *Concat // nil: complete in itself
	SrcPort        int     // application ports; 0: none
	DstPort        int
	Waiting        []sms.Waiting
	Locking, Shift int    // national language tables of UD; 0: the default alphabet
	Repaired       string // what was wrong with the PDU and how it was read, "" if nothing was
}

// Concat says which part of which message a Deliver is.
type Concat struct {
	Ref   int
	Bits  int // width of Ref, 8 or 16: a 5 of 8 bits is another reference than a 5 of 16
	Total int
	Seq   int // 1 to Total
}

// Report is a status report (SMS-STATUS-REPORT, TS 23.040 9.2.2.3).
type Report struct {
	MR        byte      // TP-MR of the part that it is about
	To        string    // that part's recipient, as the network writes it
	SCTS      time.Time // when the service centre got the part; zero if unreadable
	Discharge time.Time // when Status came about; zero if unreadable
	Status    byte      // TP-ST; see TPStatus
}

// Decode reads a received PDU with the service centre's address in front, as
// +CMGR, +CMGL, +CMT and +CDS give it. Without an error exactly one of deliver
// and report is not nil. Everything but these two types is refused. PDUs that
// break the standard in the ways networks are known to break it are read all
// the same, and Repaired says so. It never panics.
func Decode(raw []byte) (deliver *Deliver, report *Report, err error) {
	return shielded(decode, raw)
}

// shielded makes an error of a panic in a reader: a PDU that nobody foresaw must
// not end the daemon that reads it, again and again.
func shielded(read func([]byte) (*Deliver, *Report, error), raw []byte) (deliver *Deliver, report *Report, err error) {
	defer func() {
		if p := recover(); p != nil {
			deliver, report, err = nil, nil, &Error{Detail: fmt.Sprintf("the PDU can't be read: %v", p)}
		}
	}()
	return read(raw)
}

// decode is Decode for those who want to see a panic: the fuzzer.
func decode(raw []byte) (deliver *Deliver, report *Report, err error) {
	smsc, t, err := cutSMSC(raw)
	if err != nil {
		return nil, nil, err
	}
	switch t[0] & 0x03 {
	case 0x00, 0x03: // 3 is reserved and to be read as 0
		deliver, err = readDeliver(t)
		if err != nil {
			return nil, nil, err
		}
		deliver.SMSC = smsc
		return deliver, nil, nil
	case 0x02:
		report, err = readReport(t)
		return nil, report, err
	default:
		return nil, nil, &Error{Detail: "is an SMS-SUBMIT or its report, not a received message"}
	}
}

// Essence is what of a received PDU stays the same when the network delivers it
// again: all but the service centre's address, and the two bits that tell of the
// moment (TP-MMS: more waits; TP-LP: a loop).
func Essence(raw []byte) []byte {
	_, t, err := cutSMSC(raw)
	if err != nil {
		return raw
	}
	return append([]byte{t[0] &^ 0x0C}, t[1:]...)
}

// cutSMSC splits the service centre's address from the TPDU. Its length counts
// octets, other than in the TPDU's own addresses.
func cutSMSC(raw []byte) (smsc string, tpdu []byte, err error) {
	if len(raw) == 0 {
		return "", nil, &Error{Detail: "the PDU is empty"}
	}
	n := 1 + int(raw[0])
	if len(raw) <= n {
		return "", nil, &Error{Detail: fmt.Sprintf("the PDU ends in the service centre's address: %d of %d octets and no TPDU", len(raw), n)}
	}
	if n > 2 {
		smsc = readDigits(raw[2:n], raw[1], 2*(n-2))
	}
	return smsc, raw[n:], nil
}

func readReport(t []byte) (*Report, error) {
	if len(t) < 2 {
		return nil, &Error{Detail: "the status report ends before the message reference"}
	}
	to, size, err := readAddress(t[2:])
	if err != nil {
		return nil, err
	}
	rest := t[2+size:]
	if len(rest) < 15 {
		return nil, &Error{Detail: "the status report ends before the status"}
	}
	// What may follow TP-ST says nothing about the status, and is often wrong.
	return &Report{MR: t[1], To: to.name, SCTS: readTime(rest), Discharge: readTime(rest[7:]), Status: rest[14]}, nil
}

func readDeliver(t []byte) (*Deliver, error) {
	from, size, err := readAddress(t[1:])
	if err != nil {
		return nil, err
	}
	rest := t[1+size:]
	if len(rest) < 9 {
		return nil, &Error{Detail: "the message ends before its user data"}
	}
	d := &Deliver{From: from.name, Alphanumeric: from.alphanumeric, PID: rest[0], DCS: rest[1],
		SCTS: readTime(rest[2:]), Class: class(rest[1]), Waiting: waiting(rest[1])}
	ud := rest[9:]
	udhi := t[0]&tpdu.FoUDHI != 0

	var header []byte
	strict := tpdu.TPDU{Direction: tpdu.MT}
	err = strict.UnmarshalBinary(t)
	if err == nil && !tpdu.DCS(d.DCS).Compressed() {
		alphabet, _ := strict.Alphabet()
		d.Encoding, d.UD = encodings[alphabet], strict.UD
		if udhi && len(ud) > 1 {
			header, _ = cutHeader(ud[1:])
		}
	} else {
		r := repair{udhi: udhi, dcs: d.DCS}
		r.read(ud)
		d.Encoding, d.UD, header = encodings[r.alphabet], r.text, r.header
		d.Repaired = r.told(t, d, err)
	}
	d.readHeader(header)
	return d, nil
}

var encodings = map[tpdu.Alphabet]sms.Encoding{
	tpdu.Alpha7Bit: sms.GSM7, tpdu.Alpha8Bit: sms.Octet, tpdu.AlphaUCS2: sms.UCS2,
}

// class is the message class in TP-DCS (TS 23.038 4), -1 if it has none.
func class(dcs byte) int {
	if dcs&0x90 == 0x10 || dcs&0xF0 == 0xF0 {
		return int(dcs & 0x03)
	}
	return -1
}

// waitingTypes are the two lowest bits of what tells that messages wait.
var waitingTypes = [...]string{"voicemail", "fax", "email", "other"}

// waiting is the message waiting indication in TP-DCS (TS 23.038 4); nil for
// none.
func waiting(dcs byte) []sms.Waiting {
	if dcs < 0xC0 || dcs >= 0xF0 {
		return nil
	}
	return []sms.Waiting{{Type: waitingTypes[dcs&0x03], Active: dcs&0x08 != 0}}
}

// setWaiting takes an indication of the header, which tells how many wait (TS
// 23.040 9.2.3.24.2). It says more than TP-DCS, which has no room for a number.
func (d *Deliver) setWaiting(kind, count byte) {
	w := sms.Waiting{Type: waitingTypes[kind&0x03], Active: count > 0, Count: new(int)}
	if kind&0x1F == 0x07 { // "other", extended
		w.Type = "video"
	}
	*w.Count = int(count)
	for i := range d.Waiting {
		if d.Waiting[i].Type == w.Type {
			d.Waiting[i] = w
			return
		}
	}
	d.Waiting = append(d.Waiting, w)
}

// cutHeader splits a user data header, which begins with its length, from the
// text behind it; ok is false when there is no room for one.
func cutHeader(ud []byte) (header []byte, ok bool) {
	if len(ud) == 0 || len(ud) < 1+int(ud[0]) {
		return nil, false
	}
	return ud[:1+int(ud[0])], true
}

// readHeader takes from a header what we use. A header whose elements do not
// add up to its length is ignored whole (TS 23.040 9.2.3.24); of elements that
// exclude one another the last counts; a part 0, or beyond the total, is no part.
func (d *Deliver) readHeader(header []byte) {
	if len(header) == 0 {
		return
	}
	elements := header[1:]
	for rest := elements; len(rest) > 0; rest = rest[2+int(rest[1]):] {
		if len(rest) < 2 || len(rest) < 2+int(rest[1]) {
			return
		}
	}
	for rest := elements; len(rest) > 0; rest = rest[2+int(rest[1]):] {
		v := rest[2 : 2+int(rest[1])]
		switch id := rest[0]; {
		case id == ieConcat8 && len(v) == 3:
			d.setConcat(Concat{Ref: int(v[0]), Bits: 8, Total: int(v[1]), Seq: int(v[2])})
		case id == ieConcat16 && len(v) == 4:
			d.setConcat(Concat{Ref: int(v[0])<<8 | int(v[1]), Bits: 16, Total: int(v[2]), Seq: int(v[3])})
		case id == ieWaiting && len(v) == 2:
			d.setWaiting(v[0], v[1])
		case id == iePort8 && len(v) == 2:
			d.DstPort, d.SrcPort = int(v[0]), int(v[1])
		case id == iePort16 && len(v) == 4:
			d.DstPort, d.SrcPort = int(v[0])<<8|int(v[1]), int(v[2])<<8|int(v[3])
		case id == ieShift && len(v) == 1:
			d.Shift = table(v[0])
		case id == ieLocking && len(v) == 1:
			d.Locking = table(v[0])
		}
	}
}

func (d *Deliver) setConcat(c Concat) {
	if c.Seq >= 1 && c.Seq <= c.Total {
		d.Concat = &c
	}
}

// told lists what the tolerant reading had to overlook, for the log.
func (r *repair) told(t []byte, d *Deliver, refused error) string {
	if t[0]&0x03 == 0x03 {
		r.note("message type 3 read as SMS-DELIVER")
	}
	if d.SCTS.IsZero() {
		r.note("time stamp unreadable")
	}
	if len(r.notes) == 0 && refused != nil {
		r.note("read in spite of: %v", refused)
	}
	return strings.Join(r.notes, "; ")
}

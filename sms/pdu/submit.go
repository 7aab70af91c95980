package pdu

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/warthog618/sms/encoding/tpdu"

	"gatewayd/sms"
)

// Information elements of the user data header (TS 23.040 9.2.3.24).
const (
	ieConcat8  = 0x00
	ieWaiting  = 0x01 // special SMS message indication
	iePort8    = 0x04
	iePort16   = 0x05
	ieConcat16 = 0x08
	ieShift    = 0x24 // national language single shift; the library looks for it at 24
	ieLocking  = 0x25 // national language locking shift; the library looks for it at 25
)

// Submit is a message to be sent (SMS-SUBMIT, TS 23.040 9.2.2.2): Text, or Data
// with or without a Port.
type Submit struct {
	To       string // "+" and digits (international), or digits alone: short code or national
	Text     string
	Data     []byte
	Port     int           // application port that Data is for; 0: none
	UDH      []byte        // instead of Port: Data's own user data header, its length in front; nil: none
	Flash    bool          // class 0: shown at once, not stored
	Report   bool          // ask for a status report
	Validity time.Duration // how long the network may keep trying; 0: as long as it likes
	Ref      byte          // reference of the parts: one counter per recipient, kept by the caller
	MaxParts int           // 0: the constant MaxParts
}

// Encode gives the TPDU of each part, without the service centre's address.
// TP-MR is 0: the modem puts its own. Its error is an *Error.
func (s Submit) Encode() ([][]byte, error) {
	to, err := destination(s.To)
	if err != nil {
		return nil, err
	}
	c, err := s.content()
	if err != nil {
		return nil, err
	}
	if s.Validity < 0 {
		return nil, &Error{"expires_at", "is over; nothing can be sent any more"}
	}
	t := c.template()
	t.DA = to
	if s.Flash {
		t.DCS |= 0x10
	}
	if s.Report {
		t.FirstOctet |= tpdu.FoSRR
	}
	if s.Validity > 0 {
		var vp tpdu.ValidityPeriod
		vp.SetRelative(libraryValidity(relativeValidity(s.Validity)))
		t.SetVP(vp)
	}
	parts := t.Segment(c.ud, tpdu.WithConcatRef(reference(s.Ref)))
	if limit := s.limit(); len(parts) > limit {
		return nil, &Error{c.field, fmt.Sprintf("needs %d parts, at most %d are allowed; shorten it", len(parts), limit)}
	}
	tpdus := make([][]byte, len(parts))
	for i := range parts {
		if tpdus[i], err = parts[i].MarshalBinary(); err != nil {
			return nil, &Error{c.field, fmt.Sprintf("part %d can't be encoded: %v", i+1, err)}
		}
	}
	return tpdus, nil
}

func (s Submit) limit() int {
	if s.MaxParts <= 0 {
		return MaxParts
	}
	return min(s.MaxParts, 255) // the header counts parts in one octet
}

func (s Submit) content() (content, error) {
	switch {
	case len(s.Data) == 0 && s.Port != 0:
		return content{}, &Error{"port", "goes with data only"}
	case len(s.Data) == 0 && s.UDH != nil:
		return content{}, &Error{"udh", "goes with data only"}
	case len(s.Data) == 0:
		return textContent(s.Text)
	case s.Text != "":
		return content{}, &Error{"data", "a message has text or data, not both"}
	case s.Port < 0 || s.Port > 0xFFFF:
		return content{}, &Error{"port", "must be 1 to 65535"}
	}
	c := content{field: "data", encoding: sms.Octet, alphabet: tpdu.Alpha8Bit, ud: s.Data}
	switch {
	case s.Port != 0 && s.UDH != nil:
		return content{}, &Error{"udh", "can't be used together with port, which makes a header of its own"}
	case s.Port != 0:
		c.header = portHeader(s.Port)
	case s.UDH != nil:
		var err error
		if c.header, err = ownHeader(s.UDH); err != nil {
			return content{}, err
		}
	}
	return c, nil
}

// longestHeader leaves room for the element that numbers the parts, and an octet.
const longestHeader = 140 - 5 - 1

// ownHeader reads a user data header (9.2.3.24) that somebody made: its length,
// and elements that fill it, each with an identifier and a length.
func ownHeader(raw []byte) (tpdu.UserDataHeader, error) {
	switch {
	case len(raw) < 3 || int(raw[0]) != len(raw)-1:
		return nil, &Error{"udh", "must begin with an octet that says how many follow, and hold an element"}
	case len(raw) > longestHeader:
		return nil, &Error{"udh", fmt.Sprintf("has %d octets; at most %d leave room for data", len(raw), longestHeader)}
	}
	var header tpdu.UserDataHeader
	for rest := raw[1:]; len(rest) > 0; {
		if len(rest) < 2 || int(rest[1]) > len(rest)-2 {
			return nil, &Error{"udh", fmt.Sprintf("has an element at octet %d that is longer than the header", len(raw)-len(rest)+1)}
		}
		e := tpdu.InformationElement{ID: rest[0], Data: rest[2 : 2+int(rest[1])]}
		if e.ID == ieConcat8 || e.ID == ieConcat16 {
			return nil, &Error{"udh", fmt.Sprintf("has the element %02X, which numbers parts; the gateway does that itself", e.ID)}
		}
		header, rest = append(header, e), rest[2+len(e.Data):]
	}
	return header, nil
}

// portHeader addresses an application with 16-bit ports (9.2.3.24.4). The
// originator's port is the same, so that an answer finds its way back.
func portHeader(port int) tpdu.UserDataHeader {
	ports := binary.BigEndian.AppendUint16(nil, uint16(port))
	ports = binary.BigEndian.AppendUint16(ports, uint16(port))
	return tpdu.UserDataHeader{{ID: iePort16, Data: ports}}
}

// reference is the library's counter of concatenation references, standing still.
type reference byte

func (r reference) Count() int { return int(r) }

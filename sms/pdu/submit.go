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
	case len(s.Data) == 0:
		return textContent(s.Text)
	case s.Text != "":
		return content{}, &Error{"data", "a message has text or data, not both"}
	case s.Port < 0 || s.Port > 0xFFFF:
		return content{}, &Error{"port", "must be 1 to 65535"}
	}
	c := content{field: "data", encoding: sms.Octet, alphabet: tpdu.Alpha8Bit, ud: s.Data}
	if s.Port != 0 {
		c.header = portHeader(s.Port)
	}
	return c, nil
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

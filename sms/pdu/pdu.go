// Package pdu turns texts and data into the TPDUs that a modem sends, and the
// PDUs that a modem receives into texts, data and status reports. It does no
// I/O and reads no clock.
//
// The standards: 3GPP TS 23.040 for the TPDUs (9.2.2), addresses (9.1.2.5),
// validity (9.2.3.12), time stamps (9.2.3.11), status (9.2.3.15) and user data
// headers (9.2.3.24); TS 23.038 for the alphabets (6) and the data coding scheme
// (4); TS 27.005 (4.3) for the form in which +CMGS and +CMGR carry them.
//
// The codec behind it is github.com/warthog618/sms. It is never called bare,
// because networks send what it refuses and applications ask for what it gets
// wrong: texts are checked before it sees them, addresses, validity, time
// stamps and the joining of parts are ours, and what it refuses to read gets a
// second, tolerant reading (repair.go).
package pdu

import (
	"encoding/hex"
	"strings"

	"gatewayd/sms"
)

// MaxParts is the most parts that a message may have unless Submit says
// otherwise.
const MaxParts = 10

// Error says what can't be encoded or decoded. Field is the field of a message
// that is to blame, as the API names it; it is "" when a PDU is.
type Error struct {
	Field  string
	Detail string
}

func (e *Error) Error() string {
	if e.Field == "" {
		return e.Detail
	}
	return e.Field + ": " + e.Detail
}

// Analysis tells how a text or data will go out.
type Analysis struct {
	Encoding sms.Encoding
	Parts    int
	Units    int  // septets, UTF-16 units or octets, headers not counted
	Left     int  // as many fit into the last part besides
	ForcedBy rune // the first character that is not in the GSM 7-bit alphabet; 0: none
	ForcedAt int  // its position, from 1
}

// CMGS gives a TPDU the form that AT+CMGS takes: the length in octets without
// the service centre's address, and hex with an empty one ("00": the address
// that +CSCA has).
func CMGS(tpdu []byte) (length int, hexPDU string) {
	return len(tpdu), "00" + strings.ToUpper(hex.EncodeToString(tpdu))
}

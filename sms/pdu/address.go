package pdu

import (
	"fmt"
	"strings"

	"github.com/warthog618/sms/encoding/gsm7"
	"github.com/warthog618/sms/encoding/tpdu"
)

// Types of address: the octet in front of the digits (TS 23.040 9.1.2.5).
const (
	toaInternational = 0x91
	toaUnknown       = 0x81 // short codes and national numbers
	toaAlphanumeric  = 0xD0
)

// maxDigits is what the 10 octets of an address hold.
const maxDigits = 20

// destination is TP-DA for a normalised number. The library would make every
// number an international one, short codes too.
func destination(to string) (tpdu.Address, error) {
	digits, international := strings.CutPrefix(to, "+")
	if digits == "" {
		return tpdu.Address{}, &Error{"to", "has no digits"}
	}
	if len(digits) > maxDigits {
		return tpdu.Address{}, &Error{"to", fmt.Sprintf("has %d digits, at most %d fit", len(digits), maxDigits)}
	}
	for i, r := range digits {
		if r >= '0' && r <= '9' || !international && (r == '*' || r == '#') {
			continue
		}
		return tpdu.Address{}, &Error{"to", fmt.Sprintf("%q at position %d is not a digit", r, i+1+len(to)-len(digits))}
	}
	toa := byte(toaUnknown)
	if international {
		toa = toaInternational
	}
	return tpdu.Address{TOA: toa, Addr: digits}, nil
}

// address is a sender's or recipient's address as it came.
type address struct {
	name         string // "+" in front of international digits
	alphanumeric bool
}

// readAddress reads TP-OA or TP-RA from the start of b and says how many octets
// it took. The library refuses a filler digit that is counted or missing, and
// names with an extension character.
func readAddress(b []byte) (a address, size int, err error) {
	if len(b) < 2 {
		return a, 0, &Error{Detail: "the PDU ends before the address"}
	}
	digits, toa := int(b[0]), b[1]
	size = 2 + (digits+1)/2
	if len(b) < size {
		return a, 0, &Error{Detail: fmt.Sprintf("the address says %d digits, the PDU ends before them", digits)}
	}
	value := b[2:size]
	if toa&0x70 == toaAlphanumeric&0x70 {
		return address{name: readName(value, digits), alphanumeric: true}, size, nil
	}
	return address{name: readDigits(value, toa, digits)}, size, nil
}

// readDigits reads at most limit semi-octets, leaving out fillers.
func readDigits(b []byte, toa byte, limit int) string {
	var s strings.Builder
	for i := 0; i < limit && i < 2*len(b); i++ {
		d := b[i/2] >> (4 * (i % 2)) & 0x0F
		if d != 0x0F {
			s.WriteByte("0123456789*#abc"[d])
		}
	}
	if toa&0x70 == toaInternational&0x70 && s.Len() > 0 {
		return "+" + s.String()
	}
	return s.String()
}

// readName reads an alphanumeric address of so many semi-octets. Seven letters
// need 13; those who count whole octets say 14, where eight letters fit: then
// a last '@' (septet 0) or CR is filling, not a letter.
func readName(b []byte, semiOctets int) string {
	septets := gsm7.Unpack7Bit(b, 0)
	if n := semiOctets * 4 / 7; n < len(septets) {
		septets = septets[:n]
	}
	if n := len(septets); n > 0 && n%8 == 0 && (septets[n-1] == 0 || septets[n-1] == '\r') {
		septets = septets[:n-1]
	}
	var w writer
	w.septets(septets, 0, 0)
	return w.String()
}

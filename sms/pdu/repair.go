package pdu

import (
	"bytes"
	"fmt"

	"github.com/warthog618/sms/encoding/gsm7"
	"github.com/warthog618/sms/encoding/tpdu"
)

// repair is the tolerant reading of user data, for PDUs that the library
// refuses. All of what it puts up with has been seen from real networks: an
// unreadable message is worth more to its recipient than none.
type repair struct {
	udhi bool
	dcs  byte

	alphabet tpdu.Alphabet
	header   []byte // with its length in front; nil: none
	text     []byte
	notes    []string
}

func (r *repair) note(format string, a ...any) { r.notes = append(r.notes, fmt.Sprintf(format, a...)) }

// read takes the user data with TP-UDL in front.
func (r *repair) read(ud []byte) {
	r.chooseAlphabet()
	if len(ud) == 0 {
		r.note("user data missing")
		return
	}
	units, octets, guessed := int(ud[0]), ud[1:], false
	septets := r.alphabet == tpdu.Alpha7Bit
	want := units
	if septets {
		want = (units*7 + 7) / 8
	}
	switch {
	case len(octets) > want:
		r.note("%d octets behind the user data cut", len(octets)-want)
		octets = octets[:want]
	case len(octets) < want:
		r.note("TP-UDL %d but only %d octets of user data", units, len(octets))
		guessed = true
	}
	if r.udhi {
		var ok bool
		if r.header, ok = cutHeader(octets); !ok && len(octets) > 0 {
			r.note("header announced but not there")
		}
	}
	text := octets[len(r.header):]
	switch {
	case septets:
		r.text = r.unpack(text, units, guessed)
	case r.alphabet == tpdu.AlphaUCS2 && len(text)%2 == 1:
		r.note("half a character at the end cut")
		r.text = bytes.Clone(text[:len(text)-1])
	default:
		r.text = bytes.Clone(text)
	}
}

// chooseAlphabet reads TP-DCS (TS 23.038 4): reserved codings are to be taken
// for the default alphabet; compressed text is handed over as it is.
func (r *repair) chooseAlphabet() {
	dcs := tpdu.DCS(r.dcs)
	alphabet, err := dcs.Alphabet()
	switch {
	case err != nil:
		r.note("reserved data coding scheme 0x%02X read as GSM 7-bit", r.dcs)
	case dcs.Compressed():
		r.note("compressed text left as data")
		alphabet = tpdu.Alpha8Bit
	}
	r.alphabet = alphabet
}

// unpack takes from packed octets the septets that TP-UDL counts, less those
// that the header fills. What stands in the bits behind them does not matter.
// When TP-UDL can't be trusted, a 0 that fills the last octet is no '@'.
func (r *repair) unpack(packed []byte, units int, guessed bool) []byte {
	fill := 0
	if h := len(r.header); h > 0 {
		fill = (7 - h%7) % 7
		units -= (h*8 + fill) / 7
	}
	septets := gsm7.Unpack7Bit(packed, fill)
	septets = septets[:min(len(septets), max(units, 0))]
	if n := len(septets); guessed && n > 0 && septets[n-1] == 0 && (len(r.header)+len(packed))%7 == 0 {
		septets = septets[:n-1]
	}
	return septets
}

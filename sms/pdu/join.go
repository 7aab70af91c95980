package pdu

import (
	"strings"
	"unicode/utf16"

	"github.com/warthog618/sms/encoding/gsm7/charset"

	"gatewayd/sms"
)

// Missing stands in a text where a part never came.
const Missing = "[…]"

// Join puts the parts of one message together, in the order of their numbers.
// Parts that are not there, nil or left out, are marked in the text. The user
// data is joined before it is decoded, so a character that the sender has cut
// between two parts comes out whole. Of several parts with one number the first
// counts. data is set instead of text when every part is 8-bit.
func Join(parts []*Deliver) (text string, data []byte, enc sms.Encoding) {
	parts = arrange(parts)
	enc, binary := sms.Encoding(""), true
	for _, p := range parts {
		if p != nil {
			if enc == "" {
				enc = p.Encoding
			}
			binary = binary && p.Encoding == sms.Octet
		}
	}
	if enc == "" {
		enc, binary = sms.GSM7, false
	}
	if binary {
		data = []byte{}
		for _, p := range parts {
			if p != nil {
				data = append(data, p.UD...)
			}
		}
		return "", data, sms.Octet
	}
	if enc == sms.Octet {
		enc = sms.UCS2 // 8-bit parts among text: a broken sender, but text it is
	}
	var w writer
	gap := false
	for _, p := range parts {
		if p == nil || p.Encoding == sms.Octet {
			if !gap {
				w.flush()
				w.b.WriteString(Missing)
			}
			gap = true
			continue
		}
		gap = false
		if p.Encoding == sms.UCS2 {
			w.utf16(p.UD)
		} else {
			w.septets(p.UD, p.Locking, p.Shift)
		}
	}
	return w.String(), nil, enc
}

// arrange puts every part in its place and leaves nil where none is.
func arrange(parts []*Deliver) []*Deliver {
	total := 0
	for _, p := range parts {
		if p != nil && p.Concat != nil {
			total = max(total, min(p.Concat.Total, 255))
		}
	}
	if total == 0 {
		return parts
	}
	places := make([]*Deliver, total)
	for _, p := range parts {
		switch {
		case p == nil:
		case p.Concat == nil:
			places = append(places, p)
		case p.Concat.Seq < 1 || p.Concat.Seq > total:
		case places[p.Concat.Seq-1] == nil:
			places[p.Concat.Seq-1] = p
		}
	}
	return places
}

// writer turns user data into text. An escape or half a surrogate pair at the
// end of one piece waits for the next.
type writer struct {
	b       strings.Builder
	escaped bool
	units   []uint16
}

// septets decodes GSM 7-bit (TS 23.038 6.2.1): an escaped septet that the
// extension table lacks is read from the main table, a second escape is a space.
func (w *writer) septets(ud []byte, locking, shift int) {
	w.flushUnits()
	main, extension := charset.NewDecoder(locking), charset.NewExtDecoder(shift)
	for _, s := range ud {
		s &= 0x7F
		if w.escaped {
			w.escaped = false
			if s == esc {
				w.b.WriteByte(' ')
				continue
			}
			if r, ok := extension[s]; ok {
				w.b.WriteRune(r)
				continue
			}
		} else if s == esc {
			w.escaped = true
			continue
		}
		if r, ok := main[s]; ok {
			w.b.WriteRune(r)
		} else {
			w.b.WriteByte(' ')
		}
	}
}

// utf16 decodes UCS2, which everybody takes for UTF-16; half a surrogate pair
// that stays alone becomes U+FFFD.
func (w *writer) utf16(ud []byte) {
	w.flushEscape()
	for ; len(ud) >= 2; ud = ud[2:] {
		w.units = append(w.units, uint16(ud[0])<<8|uint16(ud[1]))
	}
}

func (w *writer) flushEscape() {
	if w.escaped {
		w.b.WriteByte(' ')
		w.escaped = false
	}
}

func (w *writer) flushUnits() {
	for _, r := range utf16.Decode(w.units) {
		w.b.WriteRune(r)
	}
	w.units = w.units[:0]
}

func (w *writer) flush() {
	w.flushEscape()
	w.flushUnits()
}

func (w *writer) String() string {
	w.flush()
	return w.b.String()
}

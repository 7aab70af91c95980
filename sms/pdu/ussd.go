package pdu

import (
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/warthog618/sms/encoding/gsm7"
)

// PackUSSD gives a USSD code or reply as modems take it that want it packed
// (TS 23.038 6.1.2.3): hex of septets, with a CR where seven bits are left over.
func PackUSSD(text string) (string, error) {
	septets, err := gsm7.Encode([]byte(text))
	if err != nil {
		return "", &Error{"text", "holds a character that the GSM alphabet has not"}
	}
	// The library's own packing for USSD takes a last octet with one bit of a
	// letter in it for an empty one: it would dial *100*q for *100*1.
	if len(septets)%8 == 7 {
		septets = append(septets, '\r')
	}
	return strings.ToUpper(hex.EncodeToString(gsm7.Pack7Bit(septets, 0))), nil
}

// UCS2Hex gives a text as modems take it whose character set is UCS2.
func UCS2Hex(text string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return strings.ToUpper(hex.EncodeToString(b))
}

// DecodeUSSD reads the text of a USSD answer. The standard says what each data
// coding scheme means and modems do as they like: they give plain text, hex of
// UTF-16, or hex of packed septets under any of them. So the scheme decides
// only where it can: dcs is -1 when it was absent, packed tells that this modem
// took the request packed and answers so.
func DecodeUSSD(s string, dcs int, packed bool) string {
	raw, err := hex.DecodeString(s)
	isHex := err == nil && len(raw) > 0
	switch {
	case !isHex:
		return tidy(plainUSSD(s))
	case ussdUCS2(dcs) && len(raw)%2 == 0:
		return tidy(language(utf16Text(raw), dcs))
	case ussdOctets(dcs):
		return tidy(octetText(raw))
	case packed:
		return tidy(language(septetText(unpackUSSD(raw)), dcs))
	case len(raw)%2 == 0 && looksUTF16(raw):
		return tidy(utf16Text(raw))
	case len(raw) >= 4 && strings.ContainsAny(s, "ABCDEFabcdef"):
		if text := septetText(unpackUSSD(raw)); looksLikeWords(text) {
			return tidy(text)
		}
	}
	return tidy(plainUSSD(s)) // a number, or a word that happens to be hex
}

// ussdUCS2 and ussdOctets read a cell broadcast data coding scheme (TS 23.038
// 5), which USSD has too.
func ussdUCS2(dcs int) bool { return dcs == 0x11 || dcs >= 0x40 && dcs < 0xA0 && dcs>>2&3 == 2 }
func ussdOctets(dcs int) bool {
	return dcs >= 0x40 && dcs < 0xA0 && dcs>>2&3 == 1 || dcs >= 0xF0 && dcs&4 != 0
}

// language takes off the code of the language that two schemes put in front:
// two letters and a CR, or their septets in one UTF-16 unit.
func language(text string, dcs int) string {
	r := []rune(text)
	switch {
	case dcs == 0x10 && len(r) > 2 && r[2] == '\r':
		return string(r[3:])
	case dcs == 0x11 && len(r) > 0 && r[0] > 0x3000: // no letter of the text, but septets
		return string(r[1:])
	}
	return text
}

func utf16Text(raw []byte) string {
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	return string(utf16.Decode(units))
}

// looksUTF16 tells UTF-16 from septets and plain digits: its text keeps to the
// Latin letters and at most one script beside them.
func looksUTF16(raw []byte) bool {
	script := byte(0)
	for i := 0; i < len(raw); i += 2 {
		page := raw[i]
		switch {
		case page == 0 && (raw[i+1] >= ' ' && raw[i+1] != 0x7f || raw[i+1] == '\n' || raw[i+1] == '\r'):
		case page == 0:
			return false
		case page == 0x20 || page == 0x01: // dashes, quotes, €; letters with carons
		case page >= 0x4E && page <= 0x9F:
			page = 0x4E
			fallthrough
		default:
			if script != 0 && script != page {
				return false
			}
			script = page
		}
	}
	// All of one page that is not Latin may be anything: four digits are one too.
	return script == 0 || script >= 3 && script <= 0x0E && len(raw) >= 4
}

// looksLikeWords tells a text from septets that are none.
func looksLikeWords(text string) bool {
	odd := 0
	for _, r := range text {
		switch {
		case r == '\n' || r == '\r' || r == ' ' || r > ' ' && r < 0x7f, r == '£' || r == '€':
		case unicode.IsLetter(r) && r < 0x370: // not the capital Greek ones
			odd++
		default:
			return false
		}
	}
	return odd*4 <= utf8.RuneCountInString(text)
}

// unpackUSSD unpacks septets and takes off what fills the last octet: a CR, or
// seven zero bits from those who know no better. The library's own takes a last
// letter of which five bits are like a CR for one.
func unpackUSSD(raw []byte) []byte {
	septets := gsm7.Unpack7Bit(raw, 0)
	if n := len(septets); len(raw)%7 == 0 && (septets[n-1] == '\r' || septets[n-1] == 0) {
		return septets[:n-1]
	}
	return septets
}

func septetText(septets []byte) string {
	text, _ := gsm7.Decode(septets) // without the option Strict it does not fail
	return string(text)
}

// octetText reads data octets as what people use them for.
func octetText(raw []byte) string {
	if utf8.Valid(raw) {
		return string(raw)
	}
	r := make([]rune, len(raw))
	for i, c := range raw {
		r[i] = rune(c)
	}
	return string(r)
}

// umlauts are the letters of the GSM alphabet that stand where ASCII has signs
// which texts hardly use.
var umlauts = map[byte]string{'{': "ä", '|': "ö", '}': "ñ", '~': "ü", '`': "¿"}

// plainUSSD reads characters as a modem gave them. With a letter that only the
// GSM alphabet has below the space, they are all of it; without one they may as
// well be ASCII, so only what is next to a letter is read as an umlaut.
func plainUSSD(s string) string {
	ascii := true
	for i := range len(s) {
		if s[i] >= 0x80 {
			return octetText([]byte(s))
		}
		ascii = ascii && (s[i] >= ' ' || s[i] == '\n' || s[i] == '\r' || s[i] == '\t')
	}
	if !ascii {
		// Those who write a sign as GSM has it elsewhere mean that letter, but
		// for the dollar, which nobody gives as the currency sign.
		return strings.ReplaceAll(septetText([]byte(s)), "¤", "$")
	}
	var b strings.Builder
	for i := range len(s) {
		letter := i > 0 && isLetter(s[i-1]) || i+1 < len(s) && isLetter(s[i+1])
		if u, ok := umlauts[s[i]]; ok && letter {
			b.WriteString(u)
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// tidy leaves characters that can be shown and stored, and no padding.
func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n'
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), r == utf8.RuneError, r == 0xFEFF:
			return -1
		}
		return r
	}, s)
	s = strings.ReplaceAll(s, "\n\n", "\n")
	return strings.TrimSpace(s)
}

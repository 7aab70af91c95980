package pdu

import (
	"strings"
	"unicode"

	"github.com/warthog618/sms/encoding/gsm7/charset"
	"golang.org/x/text/unicode/norm"
)

// Transliterate writes a text in the GSM 7-bit alphabet without changing what it
// says: typographic quotes, dashes and blanks become plain ones, letters lose
// diacritics that the alphabet lacks, ligatures and fractions are spelled out, and
// Greek capitals that look like Latin ones become these. Whole false: the text
// has other characters, such as another script's, and comes back as it is,
// for it goes out as Unicode anyway.
func Transliterate(text string) (plain string, whole bool) {
	var b strings.Builder
	digit := false // in front
	for _, r := range norm.NFC.String(text) {
		s, ok := plainOf(r)
		if !ok {
			return text, false
		}
		if digit && !unicode.IsDigit(r) && s != "" && '0' <= s[0] && s[0] <= '9' {
			if !strings.Contains(s, "/") {
				return text, false // 10² is not 102
			}
			b.WriteString(" ") // 1½ is not 11/2
		}
		b.WriteString(s)
		if s != "" {
			digit = '0' <= s[len(s)-1] && s[len(s)-1] <= '9'
		}
	}
	if strings.TrimSpace(b.String()) == "" && strings.TrimSpace(text) != "" {
		return text, false // there was nothing in it but what nobody sees
	}
	return b.String(), true
}

// plainOf is what stands for one character.
func plainOf(r rune) (string, bool) {
	if inGSM(r) {
		return string(r), true
	}
	if s, ok := plain[r]; ok {
		return s, true
	}
	if overlay(r) {
		return "", false // without it ≠ is =
	}
	if unicode.Is(unicode.Mn, r) && r < 0x370 {
		return "", true // a diacritic that no letter with it has
	}
	parts := norm.NFKD.String(string(r))
	if parts == string(r) {
		return "", false
	}
	var b strings.Builder
	for _, p := range parts {
		s, ok := plainOf(p)
		if !ok {
			return "", false
		}
		b.WriteString(s)
	}
	return b.String(), true
}

// overlay tells what is drawn through a character: that says no.
func overlay(r rune) bool { return 0x334 <= r && r <= 0x338 }

func inGSM(r rune) bool {
	_, ok := gsmLetters[r]
	if !ok {
		_, ok = gsmMore[r]
	}
	return ok
}

var gsmLetters, gsmMore = charset.DefaultEncoder(), charset.DefaultExtEncoder()

// plain is what Unicode's decompositions don't say.
var plain = map[rune]string{
	'‘': "'", '’': "'", '‚': "'", '‛': "'", '′': "'", '‹': "'", '›': "'", '`': "'", '´': "'", 'ʼ': "'", 'ʹ': "'",
	'“': `"`, '”': `"`, '„': `"`, '‟': `"`, '″': `"`, '«': `"`, '»': `"`,
	'‐': "-", '‑': "-", '‒': "-", '–': "-", '—': "-", '―': "-", '−': "-", '⁄': "/", '∕': "/", '÷': "/", '×': "x",
	'•': "*", '·': ".", '◦': "*", '‣': "*", '°': "deg", '©': "(C)", '®': "(R)", '¢': "c", 'µ': "u", 'μ': "u",
	'\t': " ", '\u2028': "\n", '\u2029': "\n", '\u0085': "\n",
	'ł': "l", 'Ł': "L", 'đ': "d", 'Đ': "D", 'ð': "d", 'Ð': "D", 'þ': "th", 'Þ': "Th", 'œ': "oe", 'Œ': "OE", 'ħ': "h", 'Ħ': "H",
	'ı': "i", 'ĸ': "k", 'ŋ': "n", 'Ŋ': "N", 'ŧ': "t", 'Ŧ': "T", 'ẞ': "SS", 'ə': "e", 'Ə': "E",
	'Α': "A", 'Β': "B", 'Ε': "E", 'Ζ': "Z", 'Η': "H", 'Ι': "I", 'Κ': "K", 'Μ': "M", 'Ν': "N", 'Ο': "O", 'Ρ': "P", 'Τ': "T", 'Υ': "Y", 'Χ': "X",
	// Nobody sees them: soft hyphen, joiners, direction marks, byte order mark, variation selectors.
	'\u00ad': "", '\u200b': "", '\u200c': "", '\u200d': "", '\u200e': "", '\u200f': "", '\u2060': "", '\ufeff': "", '\ufe0e': "", '\ufe0f': "",
}

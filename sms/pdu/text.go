package pdu

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/warthog618/sms/encoding/gsm7"
	"github.com/warthog618/sms/encoding/tpdu"
	"github.com/warthog618/sms/encoding/ucs2"

	"gatewayd/sms"
)

// content is what a message carries, in its alphabet, not yet cut into parts.
type content struct {
	field    string // the message's field that it came from
	encoding sms.Encoding
	alphabet tpdu.Alphabet
	ud       []byte // septets one per octet, UTF-16 big endian, or octets
	header   tpdu.UserDataHeader
	forcedBy rune
	forcedAt int
}

// Analyse tells how a text will be encoded, and in how many parts, which may be
// more than can be sent. Its error is an *Error that names the first character
// that no SMS can carry.
func Analyse(text string) (Analysis, error) {
	c, err := textContent(text)
	if err != nil {
		return Analysis{}, err
	}
	return c.analysis(), nil
}

// Analyse tells how what s carries will be encoded, and in how many parts, which
// may be more than can be sent.
func (s Submit) Analyse() (Analysis, error) {
	c, err := s.content()
	if err != nil {
		return Analysis{}, err
	}
	return c.analysis(), nil
}

func (c content) analysis() Analysis {
	size := 1
	if c.encoding == sms.UCS2 {
		size = 2
	}
	t := c.template()
	parts := t.Segment(c.ud)
	a := Analysis{Encoding: c.encoding, Parts: len(parts), Units: len(c.ud) / size, ForcedBy: c.forcedBy, ForcedAt: c.forcedAt}
	if n := len(parts); n > 0 {
		last := parts[n-1]
		a.Left = (last.UDBlockSize() - len(last.UD)) / size
	}
	return a
}

// template is the SMS-SUBMIT that every part is a copy of.
func (c content) template() tpdu.TPDU {
	t := tpdu.TPDU{Direction: tpdu.MO, FirstOctet: tpdu.FirstOctet(tpdu.MtSubmit), DCS: tpdu.DCS(c.alphabet << 2)}
	if c.header != nil {
		t.SetUDH(c.header)
	}
	return t
}

// textContent encodes a text: in GSM 7-bit if that has all its characters, else
// in UTF-16, which is what phones read where the standard says UCS2.
func textContent(text string) (content, error) {
	if err := checkText(text); err != nil {
		return content{}, err
	}
	septets, err := gsm7.Encode([]byte(text))
	if err == nil {
		return content{field: "text", encoding: sms.GSM7, alphabet: tpdu.Alpha7Bit, ud: septets}, nil
	}
	var foreign gsm7.ErrInvalidUTF8
	if !errors.As(err, &foreign) {
		return content{}, &Error{"text", err.Error()}
	}
	return content{field: "text", encoding: sms.UCS2, alphabet: tpdu.AlphaUCS2,
		ud: ucs2.Encode([]rune(text)), forcedBy: rune(foreign), forcedAt: position(text, rune(foreign))}, nil
}

// Forced tells which character keeps a text from being GSM 7-bit.
func (a Analysis) Forced() sms.Forced {
	if a.ForcedBy == 0 {
		return sms.Forced{}
	}
	return sms.Forced{Character: string(a.ForcedBy), CodePoint: fmt.Sprintf("%U", a.ForcedBy), Position: a.ForcedAt}
}

// position is which character of a text r is first.
func position(text string, r rune) int {
	return 1 + utf8.RuneCountInString(text[:max(0, strings.IndexRune(text, r))])
}

// checkText refuses what would arrive as something else: nothing at all, octets
// that are no characters, and control characters but line ends, tab and page break.
// An escape would change the character behind it, the C1 controls are nearly
// always Windows letters that were read in the wrong code page.
func checkText(text string) error {
	if text == "" {
		return &Error{"text", "is empty; a message needs at least one character"}
	}
	position := 0
	for i, r := range text {
		position++
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return &Error{"text", fmt.Sprintf("octet 0x%02X at character %d is not UTF-8; send the text as UTF-8", text[i], position)}
			}
		}
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\f':
		case r < ' ' || r >= 0x7F && r < 0xA0:
			return &Error{"text", fmt.Sprintf("has the control character %U at position %d, which can't be sent; remove it", r, position)}
		}
	}
	return nil
}

// Package number reads phone numbers as people write them and gives them one
// normalised form: "+" and the digits of ITU-T E.164, or the digits of a short
// code. It also tells the kinds of address that 3GPP TS 23.040 9.1.2.5 knows
// apart, and compares numbers that networks write in different ways.
//
// National numbers, which need to know the country's habits, are read by
// github.com/nyaruka/phonenumbers.
package number

import (
	"fmt"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Kind is what an address is.
type Kind int

// The kinds of address. None is that of the empty one, which networks do send.
const (
	None          Kind = iota
	International      // "+" and digits
	National           // 7 digits or more
	Short              // up to 6 digits
	Alphanumeric       // a name: it can't be answered
)

func (k Kind) String() string {
	return [...]string{"none", "international", "national", "short code", "alphanumeric"}[k]
}

// Lengths in digits: E.164 allows 15; what has less than 7 reaches nobody from abroad.
const (
	minDigits, maxDigits = 7, 15
	minShort, maxShort   = 3, 6
)

// Error says why something is no number that can be texted. It does not repeat
// the number, so that it may be logged.
type Error struct{ Detail string }

func (e *Error) Error() string { return e.Detail }

// Parse gives the normalised form of a number. Spaces, dashes, dots, slashes
// and parentheses may stand between the digits; "(0)" behind a country code is
// left out, as a caller would. Without a region, an ISO 3166 country code, only
// international numbers with "+" and short codes are accepted. With one, national
// numbers become international, and the region's international prefix ("00") may
// stand for "+". 3 to 6 digits that do not begin with 0 are always a short code.
// Its error is an *Error.
func Parse(input, region string) (string, error) {
	digits, plus, err := strip(input)
	if err != nil {
		return "", err
	}
	n := len(digits)
	switch {
	case plus:
		return international(digits)
	case n >= minShort && n <= maxShort && digits[0] != '0':
		return digits, nil
	case region == "" && strings.HasPrefix(digits, "00"):
		return "", &Error{`begins with 00: write "+" and the country code instead, or set default_region`}
	case region == "":
		return "", &Error{fmt.Sprintf("has %d digits and no +: write + and the country code in front, or set default_region; a short code has %d to %d digits and does not begin with 0",
			n, minShort, maxShort)}
	}
	return national(digits, region)
}

// strip takes out what people put between digits.
func strip(input string) (digits string, plus bool, err error) {
	s := strings.TrimSpace(input)
	if s == "" {
		return "", false, &Error{"is empty"}
	}
	if s, plus = strings.CutPrefix(s, "+"); plus {
		s = strings.Replace(s, "(0)", "", 1)
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			b.WriteRune(r)
		case r == ' ' || r == '\u00A0' || r == '\u202F' || r == '-' || r >= '\u2010' && r <= '\u2013' || r == '.' || r == '/' || r == '(' || r == ')':
		default:
			return "", false, &Error{fmt.Sprintf("has the character %q: only digits, a leading + and spaces or - . / ( ) between digits are allowed", r)}
		}
	}
	if b.Len() == 0 {
		return "", false, &Error{"has no digits"}
	}
	return b.String(), plus, nil
}

func international(digits string) (string, error) {
	switch n := len(digits); {
	case digits[0] == '0':
		return "", &Error{"has a 0 behind the +: no country code begins with 0"}
	case n < minDigits || n > maxDigits:
		return "", &Error{fmt.Sprintf("has %d digits behind the +: %d to %d are allowed", n, minDigits, maxDigits)}
	}
	return "+" + digits, nil
}

// national asks for a possible number, not for one in use: ranges are assigned
// faster than any list of them is updated.
func national(digits, region string) (string, error) {
	region = strings.ToUpper(region)
	if !ValidRegion(region) {
		return "", &Error{fmt.Sprintf("can't be read as a national number: %q is no country (ISO 3166, two letters)", region)}
	}
	parsed, err := phonenumbers.Parse(digits, region)
	if err != nil {
		return "", &Error{fmt.Sprintf("is no phone number in %s: write + and the country code in front", region)}
	}
	if reason := phonenumbers.IsPossibleNumberWithReason(parsed); reason != phonenumbers.IS_POSSIBLE {
		why := "has a length that no number has there"
		switch reason {
		case phonenumbers.TOO_SHORT:
			why = "is too short"
		case phonenumbers.TOO_LONG:
			why = "is too long"
		case phonenumbers.IS_POSSIBLE_LOCAL_ONLY:
			why = "lacks the area code"
		}
		return "", &Error{fmt.Sprintf("%s for a number in %s", why, region)}
	}
	e164, err := international(strings.TrimPrefix(phonenumbers.Format(parsed, phonenumbers.E164), "+"))
	if err != nil { // the shortest German number has 3 digits, with the country code 5
		return "", &Error{"is too short or too long for a number in " + region}
	}
	return e164, nil
}

// ValidRegion says whether a region is one that Parse takes.
func ValidRegion(region string) bool {
	return phonenumbers.GetSupportedRegions()[strings.ToUpper(region)]
}

// KindOf tells the kind of a normalised number, or of a sender as it came.
func KindOf(normalised string) Kind {
	digits, plus := strings.CutPrefix(normalised, "+")
	switch {
	case normalised == "":
		return None
	case digits == "" || strings.Trim(digits, "0123456789*#") != "":
		return Alphanumeric
	case plus:
		return International
	case len(digits) <= maxShort:
		return Short
	}
	return National
}

// Masked is a number for logs: enough to tell two apart while helping somebody,
// too little to text it. A short code belongs to a service and stays whole.
func Masked(n string) string {
	keep := 2
	switch KindOf(n) {
	case None, Short:
		return n
	case International:
		keep = 3
	case Alphanumeric:
		r := []rune(n)
		return string(r[:1]) + "…"
	}
	if len(n) < keep+4 {
		return n[:1] + "…"
	}
	return n[:keep] + "…" + n[len(n)-2:]
}

// Same says whether two written forms plausibly name the same subscriber:
// networks report a national form, or another prefix, for the number that a
// message was sent to. The last 8 digits decide, all of them if one form is
// shorter; short codes and names must be equal.
func Same(a, b string) bool {
	if a == b {
		return true
	}
	if !dialled(a) || !dialled(b) {
		return KindOf(a) == Alphanumeric && KindOf(b) == Alphanumeric && strings.EqualFold(a, b)
	}
	a, b = subscriber(a), subscriber(b)
	n := min(len(a), len(b), 8)
	return n >= minDigits && a[len(a)-n:] == b[len(b)-n:]
}

func dialled(n string) bool {
	k := KindOf(n)
	return k == International || k == National
}

// subscriber leaves the digits without "+" and without the zeros that countries
// dial in front.
func subscriber(n string) string { return strings.TrimLeft(strings.TrimPrefix(n, "+"), "0") }

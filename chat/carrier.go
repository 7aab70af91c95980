package chat

import (
	"strings"
	"unicode"

	"gatewayd/sms/number"
)

// carrier is whom a number belongs to by its first digits, unless it was taken along to
// another network; "": not known.
func (c *Chat) carrier(to string) string { return number.Look(to, c.o.Region()).Carrier() }

// preferSIM is the first of the candidates that is of a number's own carrier, within
// which texts are cheapest; "": none, or a rule turns it off.
func (c *Chat) preferSIM(to string, candidates []SIM) string {
	if !c.abuse.rules.Load().PreferCarrier {
		return ""
	}
	target := number.Look(to, c.o.Region())
	theirs := target.Carrier()
	if theirs == "" {
		return ""
	}
	for _, s := range candidates {
		if c.sameCarrier(target.Country(), theirs, s) {
			return s.ID
		}
	}
	return ""
}

// sameCarrier goes by the SIM's own number, else by the name of the operator at home.
func (c *Chat) sameCarrier(country, theirs string, s SIM) bool {
	own := number.Look(s.Local, c.o.Region())
	if ours := own.Carrier(); ours != "" {
		return own.Country() == country && brand(ours) == brand(theirs)
	}
	if !s.Home || s.Operator == "" {
		return false // abroad the operator is somebody else's
	}
	if issued := number.RegionOfIMSI(s.IMSI); issued != "" && issued != country {
		return false
	}
	return brand(s.Operator) == brand(theirs)
}

// brand is the part of an operator's name that its other names have too: networks
// call themselves "Vodafone.de" where the table says "Vodafone".
func brand(name string) string {
	fields := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
	if len(fields) == 0 {
		return ""
	}
	switch first := fields[0]; {
	case first == "telekom", first == "tmobile", first == "t" && len(fields) > 1 && fields[1] == "mobile":
		return "t-mobile"
	case len([]rune(first)) == 1 && len(fields) > 1:
		return first + fields[1]
	default:
		return first
	}
}

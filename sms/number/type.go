package number

import (
	"slices"

	"github.com/nyaruka/phonenumbers"
)

// Type is what a number is used for, as far as its country publishes which ranges
// are for what: it decides what a text to it reaches, and what that costs.
type Type string

// The types. Networks where both look alike, as in North America, have Either.
const (
	Mobile      Type = "mobile"
	FixedLine   Type = "fixed-line"
	Either      Type = "fixed-line-or-mobile"
	TollFree    Type = "toll-free"
	PremiumRate Type = "premium-rate"
	SharedCost  Type = "shared-cost"
	VoIP        Type = "voip"
	Personal    Type = "personal"
	Pager       Type = "pager"
	Company     Type = "company" // a number of a whole company, wherever it is (UAN)
	Voicemail   Type = "voicemail"
	ShortCode   Type = "short-code"
	Unpublished Type = "unknown" // in no range that is published
)

// Types are all of them.
var Types = []Type{Mobile, FixedLine, Either, TollFree, PremiumRate, SharedCost, VoIP, Personal, Pager, Company, Voicemail, ShortCode, Unpublished}

// ValidType says whether t is one of Types.
func ValidType(t Type) bool { return slices.Contains(Types, t) }

var published = map[phonenumbers.PhoneNumberType]Type{
	phonenumbers.MOBILE: Mobile, phonenumbers.FIXED_LINE: FixedLine, phonenumbers.FIXED_LINE_OR_MOBILE: Either, phonenumbers.TOLL_FREE: TollFree,
	phonenumbers.PREMIUM_RATE: PremiumRate, phonenumbers.SHARED_COST: SharedCost, phonenumbers.VOIP: VoIP, phonenumbers.PERSONAL_NUMBER: Personal,
	phonenumbers.PAGER: Pager, phonenumbers.UAN: Company, phonenumbers.VOICEMAIL: Voicemail,
}

// Type is what the number is used for. It tries a dozen patterns, of 50 µs in all.
func (t *Target) Type() Type {
	if t.Short {
		return ShortCode
	}
	if parsed := t.parsed(); parsed != nil {
		if known, ok := published[phonenumbers.GetNumberType(parsed)]; ok {
			return known
		}
	}
	return Unpublished
}

// Carrier is the network that the number's first digits were given to, by the
// table of libphonenumber; "" if that does not say. A number that was taken along
// to another network keeps its digits, so it is a good guess and no more.
//
// The table is read when it is asked for first: 15 ms, and 2 MB from then on.
func (t *Target) Carrier() string {
	parsed := t.parsed()
	if t.Short || parsed == nil {
		return ""
	}
	name, err := phonenumbers.GetCarrierForNumber(parsed, "en")
	if err != nil {
		return ""
	}
	return name
}

// parsed is the number as the library wants it; nil: it can't be read.
func (t *Target) parsed() *phonenumbers.PhoneNumber {
	if KindOf(t.Number) != International {
		return nil
	}
	n, err := phonenumbers.Parse(t.Number, "")
	if err != nil {
		return nil
	}
	return n
}

package number

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nyaruka/phonenumbers"
)

// ShortCodes is the entry of a list of destinations that stands for all short codes.
const ShortCodes = "short-codes"

// Destination is one entry of such a list: a country ("DE"), the first digits
// of a number ("+43", "+4917"), one short code ("12345") or ShortCodes.
type Destination string

// maxDestinations is far more than there are countries.
const maxDestinations = 1000

// ParseDestination reads one entry; its error says what is allowed.
func ParseDestination(s string) (Destination, error) {
	allowed := errors.New(`must be a country such as DE, the first digits of numbers such as +43, a short code such as 12345, or ` + ShortCodes)
	if strings.EqualFold(s, ShortCodes) {
		return ShortCodes, nil
	}
	digits, plus := strings.CutPrefix(s, "+")
	switch {
	case digits == "":
		return "", allowed
	case strings.Trim(digits, "0123456789") != "":
		region := strings.ToUpper(s)
		if len(s) != 2 || !ValidRegion(region) {
			return "", allowed
		}
		return Destination(region), nil
	case plus && (digits[0] == '0' || len(digits) > maxDigits):
		return "", fmt.Errorf("must have 1 to %d digits behind the +, the first of them no 0", maxDigits)
	case !plus && (digits[0] == '0' || len(digits) < minShort || len(digits) > maxShort):
		return "", fmt.Errorf("needs a + in front, or %d to %d digits if it is a short code", minShort, maxShort)
	}
	return Destination(s), nil
}

// ParseDestinations reads a list with commas; none is an empty list.
func ParseDestinations(list string) ([]Destination, error) {
	var all []Destination
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		d, err := ParseDestination(word)
		if err != nil {
			return nil, fmt.Errorf("%.20q %w", word, err)
		}
		if !slices.Contains(all, d) {
			all = append(all, d)
		}
		if len(all) > maxDestinations {
			return nil, fmt.Errorf("has more than %d entries", maxDestinations)
		}
	}
	return all, nil
}

// Listed writes a list as ParseDestinations reads it.
func Listed(all []Destination) string {
	words := make([]string, len(all))
	for i, d := range all {
		words[i] = string(d)
	}
	return strings.Join(words, ",")
}

// covers tells whether an entry means what a number is.
func (d Destination) covers(t *Target) bool {
	switch {
	case d == ShortCodes:
		return t.Short
	case t.Short:
		return string(d) == t.Number
	case d[0] == '+':
		return strings.HasPrefix(t.Number, string(d))
	}
	return string(d) == t.Country()
}

// Target is what is known of a number before anything is sent to it.
type Target struct {
	Number    string // normalised
	Short     bool   // a short code
	Emergency bool   // of an emergency service
	Premium   string // why it costs more than a message to its country; ""

	code    int    // country calling code; 0: none
	country string // once it was asked for
}

// costly are number ranges that belong to no country, or to one in name only,
// and cost what their holders please.
var costly = []struct{ prefix, what string }{
	{"+870", "a satellite number (Inmarsat)"},
	{"+881", "a satellite number"},
	{"+882", "a number of an international network"},
	{"+883", "a number of an international network"},
	{"+808", "an international shared-cost number"},
	{"+878", "a personal number (UPT)"},
	{"+979", "an international premium-rate number"},
	{"+4470", "a personal number that forwards at the caller's cost"},
}

// Look tells what a normalised number is. Short codes are those of the region.
func Look(normalised, region string) *Target {
	t := &Target{Number: normalised, Short: KindOf(normalised) == Short}
	region = strings.ToUpper(region)
	if t.Short {
		// 112 and 911 reach somebody nearly everywhere.
		t.Emergency = normalised == "112" || normalised == "911" || phonenumbers.IsEmergencyNumber(normalised, region)
		if premiumShort(normalised, region) {
			t.Premium = "a premium-rate short code"
		}
		return t
	}
	digits := strings.TrimPrefix(normalised, "+")
	for n := 1; n <= 3 && n < len(digits) && t.code == 0; n++ { // no code is the beginning of another
		if code, err := strconv.Atoi(digits[:n]); err == nil && phonenumbers.GetSupportedCallingCodes()[code] {
			t.code, digits = code, digits[n:]
		}
	}
	t.Premium = extra(normalised, t.code, digits)
	for _, c := range costly {
		if strings.HasPrefix(normalised, c.prefix) {
			t.Premium = c.what
		}
	}
	return t
}

// Country is the ISO code of the country that a number belongs to; "" of a short
// code, and of a number that belongs to none.
func (t *Target) Country() string {
	if t.country != "" || t.code == 0 {
		return t.country
	}
	regions := phonenumbers.GetRegionCodesForCountryCode(t.code)
	for i := range regions { // the first is the main one: whose a number in no known range is
		if ValidRegion(regions[i]) {
			t.country = regions[i]
			break
		}
	}
	if len(regions) > 1 {
		if parsed, err := phonenumbers.Parse(t.Number, ""); err == nil {
			if region := phonenumbers.GetRegionCodeForNumber(parsed); ValidRegion(region) {
				t.country = region
			}
		}
	}
	return t.country
}

// tariff is a range of numbers that cost extra.
type tariff struct {
	what            string
	pattern, begins *regexp.Regexp // of a whole number, and of its first digits
}

// tariffs are the ranges of numbers that cost extra, by country calling code, as
// far as they are published; compiled when one is asked for. It asks the metadata
// itself: that of a number's kind tries a dozen patterns, of 50 µs in all.
var tariffs = struct {
	sync.Mutex
	published map[int][]tariffText
	compiled  map[int][]tariff
}{compiled: map[int][]tariff{}}

type tariffText struct{ what, pattern string }

// padding is what a number may be short of and still be looked for in the ranges.
const padding = "1111"

// extra tells why a number costs extra; "": it does not, as far as is known.
// Networks go by the first digits and forgive one too many or too few, so a number
// that is none of its country's counts as what it begins like.
func extra(number string, code int, national string) string {
	like := ""
	for _, t := range tariffsOf(code) {
		if t.pattern.MatchString(national) {
			return t.what
		}
		for n := 0; n <= len(padding) && like == ""; n++ {
			if t.begins.MatchString(national + padding[:n]) {
				like = t.what
			}
		}
	}
	if like == "" {
		return ""
	}
	if parsed, err := phonenumbers.Parse(number, ""); err == nil && phonenumbers.IsValidNumber(parsed) {
		return ""
	}
	return like
}

func tariffsOf(code int) []tariff {
	tariffs.Lock()
	defer tariffs.Unlock()
	if tariffs.published == nil {
		tariffs.published = map[int][]tariffText{}
		if all, err := phonenumbers.MetadataCollection(); err == nil {
			for _, m := range all.GetMetadata() {
				of := int(m.GetCountryCode())
				for _, t := range []tariffText{
					{"a premium-rate number", m.GetPremiumRate().GetNationalNumberPattern()},
					{"a shared-cost number", m.GetSharedCost().GetNationalNumberPattern()},
				} {
					if t.pattern != "" && t.pattern != "NA" {
						tariffs.published[of] = append(tariffs.published[of], t)
					}
				}
			}
		}
	}
	compiled, ok := tariffs.compiled[code]
	if !ok {
		for _, text := range tariffs.published[code] {
			begins, err := regexp.Compile("^(?:" + text.pattern + ")")
			if err != nil {
				continue
			}
			if p, err := regexp.Compile("^(?:" + text.pattern + ")$"); err == nil {
				compiled = append(compiled, tariff{text.what, p, begins})
			}
		}
		tariffs.compiled[code] = compiled
	}
	return compiled
}

// premiumPatterns are the premium-rate short codes of each country, as far as
// they are published.
var premiumPatterns = sync.OnceValue(func() map[string]*regexp.Regexp {
	all := map[string]*regexp.Regexp{}
	metadata, err := phonenumbers.ShortNumberMetadataCollection()
	if err != nil {
		return all
	}
	for _, m := range metadata.GetMetadata() {
		if p := m.GetPremiumRate().GetNationalNumberPattern(); p != "" && p != "NA" {
			if compiled, err := regexp.Compile("^(?:" + p + ")$"); err == nil {
				all[m.GetId()] = compiled
			}
		}
	}
	return all
})

func premiumShort(code, region string) bool {
	p := premiumPatterns()[region]
	return p != nil && p.MatchString(code)
}

// Rules say where messages may go.
type Rules struct {
	Allow   []Destination // empty: everywhere
	Deny    []Destination // wins over Allow
	Premium bool          // numbers that cost more than a message to their country too
}

// Refuses tells in words why a number is none that messages may go to; "" if it
// is. whose owns the rules, as in "this gateway". It does not repeat the number.
func (r Rules) Refuses(t *Target, whose string) string {
	named := func(list []Destination) bool {
		return slices.ContainsFunc(list, func(d Destination) bool { return d.covers(t) })
	}
	what := func() string {
		if t.Short {
			return "is a short code"
		}
		return "is in " + cmp.Or(t.Country(), "no country")
	}
	switch {
	case named(r.Deny):
		return fmt.Sprintf("%s, where %s does not send", what(), whose)
	case t.Emergency && !slices.Contains(r.Allow, Destination(t.Number)):
		return fmt.Sprintf("is an emergency number; %s sends to one only if allow names that very number", whose)
	case len(r.Allow) > 0 && !named(r.Allow):
		return fmt.Sprintf("%s; %s sends to %s only", what(), whose, enough(r.Allow))
	case t.Premium != "" && !r.Premium:
		return fmt.Sprintf("is %s; %s does not send to numbers that cost extra", t.Premium, whose)
	}
	return ""
}

// enough is a list for people.
func enough(all []Destination) string {
	const shown = 10
	s := strings.ReplaceAll(Listed(all[:min(len(all), shown)]), ",", ", ")
	if n := len(all) - shown; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

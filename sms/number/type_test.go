package number

import (
	"testing"

	"github.com/nyaruka/phonenumbers"
)

// Of each type a number that its country gives as an example, and of each carrier one
// whose network is published. These are facts that may change with the library.
func TestTypeAndCarrier(t *testing.T) {
	for n, want := range map[string]struct {
		Type    Type
		Carrier string
	}{
		"+491701234567":  {Mobile, "T-Mobile"},
		"+491721234567":  {Mobile, "Vodafone"},
		"+436641234567":  {Mobile, "A1 TA"},
		"+493012345678":  {FixedLine, ""},
		"+12015550123":   {Either, ""},
		"+498001234567":  {TollFree, ""},
		"+499001234567":  {PremiumRate, ""},
		"+441612345678":  {FixedLine, ""},
		"+445612345678":  {VoIP, ""},
		"+447012345678":  {Personal, ""},
		"+999123456789":  {Unpublished, ""}, // no country's
		"+4911":          {Unpublished, ""},
		"12345":          {ShortCode, ""},
		"0301234567":     {Unpublished, ""},
		"Bank":           {Unpublished, ""},
		"":               {Unpublished, ""},
		"+4917012345678": {Mobile, "T-Mobile"},
	} {
		target := Look(n, "DE")
		if got := target.Type(); got != want.Type {
			t.Errorf("%s is %s, want %s", n, got, want.Type)
		}
		if got := target.Carrier(); got != want.Carrier {
			t.Errorf("%s is of %q, want %q", n, got, want.Carrier)
		}
	}
}

func TestEveryTypeIsNamed(t *testing.T) {
	for kind := phonenumbers.FIXED_LINE; kind < phonenumbers.UNKNOWN; kind++ {
		if named, ok := published[kind]; !ok || !ValidType(named) {
			t.Errorf("the library's type %d has the name %q", kind, named)
		}
	}
	if ValidType("king") {
		t.Error("a type that is none is valid")
	}
}

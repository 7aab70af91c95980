package number

import (
	"slices"
	"strings"
	"testing"
)

func TestParseDestinations(t *testing.T) {
	got, err := ParseDestinations(" de, +43,12345 ,Short-Codes,DE,,")
	if want := []Destination{"DE", "+43", "12345", ShortCodes}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	for _, bad := range []string{"Germany", "D", "XX", "ZZ", "001", "+0", "+", "+49x", "49", "0123", "1234567", "+1234567890123456", "DE AT", "+4 9", "é", "*100#"} {
		if d, err := ParseDestination(bad); err == nil {
			t.Errorf("%q is taken for %q", bad, d)
		}
	}
}

func TestWhatNumbersAre(t *testing.T) {
	for _, c := range []struct {
		number, region, country string
		premium, emergency      bool
	}{
		{"+491701234567", "", "DE", false, false},
		{"+499001234567", "", "DE", true, false},  // premium rate
		{"+49900123456", "", "DE", true, false},   // a digit short of one
		{"+4990012345678", "", "DE", true, false}, // a digit too many
		{"+4918012345678", "", "DE", true, false}, // shared cost
		{"+436641234567", "", "AT", false, false},
		{"+12025550123", "", "US", false, false},
		{"+14165550123", "", "CA", false, false},
		{"+18765550123", "", "JM", false, false},
		{"+19005550123", "", "US", true, false},
		{"+447700900123", "", "GB", false, false},
		{"+447797712345", "", "JE", false, false},
		{"+447012345678", "", "GB", true, false},
		{"+77011234567", "", "KZ", false, false},
		{"+79161234567", "", "RU", false, false},
		{"+870773111632", "", "", true, false},
		{"+881612345678", "", "", true, false},
		{"+882161234567", "", "", true, false},
		{"+979123456789", "", "", true, false},
		{"+15550000001", "", "US", false, false}, // in no range that is known
		{"+9991234567", "", "", false, false},
		{"112", "", "", false, true},
		{"110", "DE", "", false, true},
		{"110", "", "", false, false},
		{"999", "gb", "", false, true},
		{"12345", "", "", false, false},
		{"11811", "DE", "", false, false},
		{"24280", "US", "", true, false},
		{"24280", "", "", false, false},
	} {
		got := Look(c.number, c.region)
		if got.Country() != c.country || (got.Premium != "") != c.premium || got.Emergency != c.emergency {
			t.Errorf("%s in %q: %+v in %q, want %+v", c.number, c.region, got, got.Country(), c)
		}
	}
}

func TestRules(t *testing.T) {
	list := func(s string) []Destination {
		all, err := ParseDestinations(s)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	const german, austrian, premium, short = "+491701234567", "+436641234567", "+499001234567", "12345"
	for _, c := range []struct {
		rules   Rules
		allowed string
	}{
		{Rules{}, "g a s"},
		{Rules{Premium: true}, "g a s p"},
		{Rules{Allow: list("DE")}, "g"},
		{Rules{Allow: list("DE"), Premium: true}, "g p"},
		{Rules{Allow: list("+43")}, "a"},
		{Rules{Allow: list("+436641234567")}, "a"},
		{Rules{Allow: list("+43665")}, ""},
		{Rules{Allow: list("DE,12345")}, "g s"},
		{Rules{Allow: list("DE,12346")}, "g"},
		{Rules{Allow: list("short-codes")}, "s"},
		{Rules{Deny: list("short-codes")}, "g a"},
		{Rules{Deny: list("DE")}, "a s"},
		{Rules{Allow: list("DE,AT"), Deny: list("+4366")}, "g"},
		{Rules{Deny: list("DE"), Premium: true}, "a s"},
	} {
		var allowed []string
		for _, n := range [][2]string{{"g", german}, {"a", austrian}, {"s", short}, {"p", premium}} {
			why := c.rules.Refuses(Look(n[1], "DE"), "this key")
			if why == "" {
				allowed = append(allowed, n[0])
			} else if strings.Contains(why, n[1]) && !strings.Contains(Listed(c.rules.Allow), n[1]) {
				t.Errorf("the number stands in %q", why)
			}
		}
		if got := strings.Join(allowed, " "); got != c.allowed {
			t.Errorf("%+v allows %q, want %q", c.rules, got, c.allowed)
		}
	}
	if why := (Rules{}).Refuses(Look("112", ""), "this key"); why != "is an emergency number; this key sends to one only if allow names that very number" {
		t.Errorf("112: %q", why)
	}
	if why := (Rules{Allow: list("112")}).Refuses(Look("112", ""), "this key"); why != "" {
		t.Errorf("112, which the owner has listed: %q", why)
	}
	if why := (Rules{Allow: list("short-codes")}).Refuses(Look("112", ""), "this key"); why == "" {
		t.Error("112 is one of all short codes")
	}
	if why := (Rules{Allow: list("DE,+43")}).Refuses(Look("+33612345678", ""), "this key"); why != "is in FR; this key sends to DE, +43 only" {
		t.Errorf("%q", why)
	}
}

func FuzzDestinations(f *testing.F) {
	for _, s := range []string{"DE,+43", "12345", " short-codes ", "+", ",,", "ß", "XX"} {
		f.Add(s, "+491701234567")
	}
	f.Add("+1", "112")
	f.Fuzz(func(t *testing.T, list, to string) {
		all, err := ParseDestinations(list)
		if err != nil {
			return
		}
		again, err := ParseDestinations(Listed(all))
		if err != nil || !slices.Equal(all, again) {
			t.Fatalf("%q becomes %q and then %q (%v)", list, all, again, err)
		}
		n, err := Parse(to, "")
		if err != nil {
			return
		}
		target := Look(n, "")
		allow, deny := Rules{Allow: all, Premium: true}, Rules{Deny: all, Premium: true}
		if len(all) > 0 && !target.Emergency && (allow.Refuses(target, "x") == "") == (deny.Refuses(target, "x") == "") {
			t.Fatalf("%q both allows and denies %q, or neither", list, n)
		}
	})
}

func BenchmarkLook(b *testing.B) {
	for b.Loop() {
		Look("+491701234567", "DE")
	}
}

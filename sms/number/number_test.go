package number_test

import (
	"errors"
	"strings"
	"testing"

	"gatewayd/sms/number"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ input, region, want string }{
		{"+491701234567", "", "+491701234567"},
		{"  +49 (0) 170 / 123-45.67 ", "", "+491701234567"},
		{"+49\u00A0170\u202F1234567", "", "+491701234567"},
		{"+1 (212) 555–0123", "", "+12125550123"},
		{"+2907123", "", "+2907123"}, // 7 digits
		{"+123456789012345", "", "+123456789012345"},
		{"12345", "", "12345"},
		{"116", "", "116"},
		{"22 33 44", "", "223344"},
		{"12345", "DE", "12345"},
		{"0170 1234567", "DE", "+491701234567"},
		{"0711-234567", "de", "+49711234567"},
		{"1701234567", "DE", "+491701234567"},
		{"0049 170 1234567", "DE", "+491701234567"},
		{"011 49 170 1234567", "US", "+491701234567"},
		{"(212) 555-0123", "US", "+12125550123"},
		{"07400 123456", "GB", "+447400123456"},
		{"06 1234 5678", "IT", "+390612345678"}, // Italy keeps its zero
		{"+39 06 1234 5678", "DE", "+390612345678"},
		{"081234 56789", "IN", "+918123456789"},
	} {
		got, err := number.Parse(c.input, c.region)
		if err != nil || got != c.want {
			t.Errorf("Parse(%q, %q) = %q, %v; want %q", c.input, c.region, got, err, c.want)
			continue
		}
		if again, err := number.Parse(got, c.region); err != nil || again != got {
			t.Errorf("Parse(%q, %q) = %q, %v: the normalised form must stay as it is", got, c.region, again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ input, region, says string }{
		{"", "", "empty"},
		{" \t ", "DE", "empty"},
		{"+", "", "no digits"},
		{"---", "DE", "no digits"},
		{"+49170CALLME", "", `'C'`},
		{"1-800-FLOWERS", "US", `'F'`},
		{"alice", "DE", `'a'`},
		{"+49 170 1234567 ext 5", "", `'e'`},
		{"tel:+491701234567", "", `'t'`},
		{"+49170+1234567", "", `'+'`},
		{"*100#", "", `'*'`},
		{"+4917012345\x00", "", `'\x00'`},
		{"٠١٧٠١٢٣٤٥٦٧", "EG", "only digits"},
		{"+0123456789", "", "behind the +"},
		{"+123456", "", "6 digits"},
		{"+1234567890123456", "", "16 digits"},
		{"01701234567", "", "default_region"},
		{"1701234567", "", "default_region"},
		{"0049170123456", "", "begins with 00"},
		{"12", "", "3 to 6 digits"},
		{"012345", "", "does not begin with 0"},
		{"1234567", "", "7 digits and no +"},
		{"01701234567", "XX", "no country"},
		{"01701234567", "DEU", "no country"},
		{"0170", "DE", "too short"},
		{"0170123456789012345", "DE", ""},
		{"555-0123", "US", "area code"},
		{"12", "DE", ""},
		{strings.Repeat("1", 300), "US", ""},
	} {
		got, err := number.Parse(c.input, c.region)
		var e *number.Error
		if !errors.As(err, &e) {
			t.Errorf("Parse(%q, %q) = %q, %v; want an *Error", c.input, c.region, got, err)
			continue
		}
		if !strings.Contains(e.Detail, c.says) {
			t.Errorf("Parse(%q, %q): %q does not say %q", c.input, c.region, e.Detail, c.says)
		}
		if strings.Contains(e.Detail, "1701234567") {
			t.Errorf("Parse(%q, %q): the error repeats the number: %q", c.input, c.region, e.Detail)
		}
	}
}

func TestKindOfAndMasked(t *testing.T) {
	for _, c := range []struct {
		n      string
		kind   number.Kind
		masked string
	}{
		{"+491701234567", number.International, "+49…67"},
		{"+12", number.International, "+…"},
		{"01701234567", number.National, "01…67"},
		{"12345", number.Short, "12345"},
		{"*100#", number.Short, "*100#"},
		{"1234567", number.National, "12…67"},
		{"FONIC", number.Alphanumeric, "F…"},
		{"Ärzte", number.Alphanumeric, "Ä…"},
		{"+", number.Alphanumeric, "+…"},
		{"", number.None, ""},
	} {
		if got := number.KindOf(c.n); got != c.kind {
			t.Errorf("KindOf(%q) = %v, want %v", c.n, got, c.kind)
		}
		if got := number.Masked(c.n); got != c.masked {
			t.Errorf("Masked(%q) = %q, want %q", c.n, got, c.masked)
		}
	}
}

func TestSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"+491701234567", "+491701234567", true},
		{"+491701234567", "01701234567", true},
		{"+491701234567", "1701234567", true},
		{"+491701234567", "00491701234567", true},
		{"+5215512345678", "+525512345678", true}, // Mexico's old mobile prefix
		{"+3545551234", "5551234", true},          // seven digits are all that Iceland has
		{"+3545551234", "05551234", true},
		{"+491701234567", "+491701234568", false},
		{"+491701234567", "+491711234567", false},
		{"12345", "12345", true},
		{"12345", "012345", false},
		{"12345", "+4917012345", false},
		{"+491701234567", "234567", false},
		{"+1234", "+991234", false},
		{"0000001", "+491701234561", false},
		{"FONIC", "Fonic", true},
		{"FONIC", "+491701234567", false},
		{"", "", true},
		{"", "+491701234567", false},
	} {
		if got := number.Same(c.a, c.b); got != c.want {
			t.Errorf("Same(%q, %q) = %v, want %v", c.a, c.b, got, c.want)
		}
		if got := number.Same(c.b, c.a); got != c.want {
			t.Errorf("Same(%q, %q) = %v, want %v", c.b, c.a, got, c.want)
		}
	}
}

// FuzzParse: whatever is typed, the answer is an error or a number that modems
// can dial and that reads as itself.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"+491701234567", "0170 1234567", "12345", "+49(0)170-1", "00491", "*100#", "１２３", "+", "\xff"} {
		for _, r := range []string{"", "DE", "US", "IT", "ZZ"} {
			f.Add(s, r)
		}
	}
	f.Fuzz(func(t *testing.T, input, region string) {
		got, err := number.Parse(input, region)
		if (number.KindOf(input) == number.None) != (number.Masked(input) == "") {
			t.Fatalf("%q is shown as %q", input, number.Masked(input))
		}
		if !number.Same(input, input) {
			t.Fatalf("%q is not itself", input)
		}
		if err != nil {
			var e *number.Error
			if got != "" || !errors.As(err, &e) {
				t.Fatalf("Parse(%q, %q) = %q, %v", input, region, got, err)
			}
			return
		}
		digits := strings.TrimPrefix(got, "+")
		switch k := number.KindOf(got); {
		case k == number.International && len(digits) >= 7 && len(digits) <= 15 && digits[0] != '0':
		case k == number.Short && len(digits) >= 3 && digits[0] != '0':
		default:
			t.Fatalf("Parse(%q, %q) = %q, a %v", input, region, got, k)
		}
		if again, err := number.Parse(got, region); again != got || err != nil {
			t.Fatalf("Parse(%q, %q) = %q, but that gives %q, %v", input, region, got, again, err)
		}
	})
}

package gateway

import (
	"regexp"
	"strings"
	"testing"
)

func TestReadBalance(t *testing.T) {
	for _, c := range []struct{ text, pattern, amount, currency string }{
		{"Balance: 10.00 EUR", "", "10.00", "EUR"},
		{"Ihr Guthaben beträgt 7,50 €. Danke", "", "7.50", "€"},
		{"Your balance is $3.5", "", "3.5", "$"},
		{"Bal Rs. 1,234.50 valid till 31", "", "1234.50", "Rs."},
		{"Bal: 1.234,50 TL", "", "1234.50", "TL"},
		{"Saldo 1.000.000 COP", "", "1000000", "COP"},
		{"Saldo: 1.500", "", "1500", ""},
		{"KWD 0.500", "", "0.500", "KWD"},
		{"1'234.50 CHF", "", "1234.50", "CHF"},
		{"Баланс: -12,30 руб.", "", "-12.30", ""},
		{"5 Tage, Guthaben 2,00 EUR", `Guthaben ([0-9,]+)`, "2.00", "EUR"},
		{"Guthaben:\n15\nEUR", `Guthaben:\s+([0-9]+)`, "15", "EUR"},
		{"Guthaben 15", `Konto ([0-9]+)`, "", ""},
		{"nothing", "", "", ""},
		{"", "", "", ""},
		{"abc", `(b)`, "", ""},
		{"a", `a(x)?`, "", ""},
		{"00.10 EUR", "", "0.10", "EUR"},
		{"Your number 491701234567890 ", "", "", ""},
	} {
		var p *regexp.Regexp
		if c.pattern != "" {
			p = regexp.MustCompile(c.pattern)
		}
		amount, currency, ok := readBalance(c.text, p)
		if amount != c.amount || currency != c.currency || ok != (c.amount != "") {
			t.Errorf("%q: %q %q %v, want %q %q", c.text, amount, currency, ok, c.amount, c.currency)
		}
	}
	for _, c := range []struct {
		amount, mark string
		want         bool
	}{{"1.99", "2.00", true}, {"2.00", "2.00", false}, {"2", "2.00", false}, {"-1", "0", true}, {"10", "9", false}, {"", "2", false}, {"1", "", false}} {
		if got := below(c.amount, c.mark); got != c.want {
			t.Errorf("%q below %q: %v", c.amount, c.mark, got)
		}
	}
}

// What is read is a number that can be compared, or nothing.
func FuzzReadBalance(f *testing.F) {
	for _, s := range []string{"Balance: 10.00 EUR", "1.234,50", "-0,5 €", "1..2", "'", "-", "0.0.0", "1'2,3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		amount, _, ok := readBalance(s, nil)
		if !ok {
			return
		}
		if !below(amount, "99999999999999") || strings.Trim(amount, "-.0123456789") != "" {
			t.Errorf("%q: %q is no amount", s, amount)
		}
		if again, ok := decimal(amount); ok && strings.Count(amount, ".") == 0 && again != amount {
			t.Errorf("%q becomes %q", amount, again)
		}
	})
}

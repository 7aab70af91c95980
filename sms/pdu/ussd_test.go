package pdu

import (
	"encoding/hex"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// bits packs septets one bit after the other, and fills with a CR.
func bits(text string) string {
	var all []byte
	for _, c := range []byte(text) {
		for i := range 7 {
			all = append(all, c>>i&1)
		}
	}
	if len(all)%8 == 1 {
		for i := range 7 {
			all = append(all, '\r'>>i&1)
		}
	}
	octets := make([]byte, (len(all)+7)/8)
	for i, bit := range all {
		octets[i/8] |= bit << (i % 8)
	}
	return strings.ToUpper(hex.EncodeToString(octets))
}

func TestPackUSSD(t *testing.T) {
	if got, err := PackUSSD("*100#"); err != nil || got != "AA180C3602" { // as modems are known to take it
		t.Errorf("*100#: %s, %v", got, err)
	}
	code := ""
	for _, c := range "*100*1234567#*9876543210*nnnnn" {
		code += string(c)
		got, err := PackUSSD(code)
		if err != nil || got != bits(code) {
			t.Errorf("%s: %s, %v; want %s", code, got, err, bits(code))
		}
		if back := DecodeUSSD(got, 15, true); back != code {
			t.Errorf("%s comes back as %q", code, back)
		}
	}
	if _, err := PackUSSD("Привет"); err == nil {
		t.Error("Cyrillic letters were packed")
	}
}

func packedHex(t *testing.T, text string) string {
	t.Helper()
	s, err := PackUSSD(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every coding that modems use for an answer, under every scheme they claim.
func TestDecodeUSSD(t *testing.T) {
	for name, c := range map[string]struct {
		s      string
		dcs    int
		packed bool
		want   string
	}{
		"plain":                    {"Balance: 10.00 EUR", 15, false, "Balance: 10.00 EUR"},
		"plain, no scheme":         {"Balance: 10.00 EUR", -1, false, "Balance: 10.00 EUR"},
		"plain, 240":               {"Balance: 10.00 EUR", 240, false, "Balance: 10.00 EUR"},
		"plain though UCS2":        {"Balance: 10.00 EUR", 72, false, "Balance: 10.00 EUR"},
		"plain from a packer":      {"Balance: 10.00 EUR", 15, true, "Balance: 10.00 EUR"},
		"plain digits":             {"20501234", 15, false, "20501234"},
		"plain digits, odd":        {"1234567", 15, true, "1234567"},
		"a word that is hex":       {"Abba", 15, false, "Abba"},
		"GSM signs":                {"\x02 5, 3\x1be\x00x", 15, false, "$ 5, 3€@x"},
		"GSM umlauts":              {"betr{gt f~nf", 15, false, "beträgt fünf"},
		"ASCII signs":              {"a | [1] {2}", 15, false, "a | [1] {2}"},
		"UTF-8":                    {"Guthaben: 5 €", 15, false, "Guthaben: 5 €"},
		"Latin-1":                  {"betr\xe4gt", 15, false, "beträgt"},
		"lines":                    {"Menu\n1 a\r\n2 b\n", 15, false, "Menu\n1 a\n2 b"},
		"UCS2":                     {UCS2Hex("Баланс 10 руб"), 72, false, "Баланс 10 руб"},
		"UCS2 small letters":       {strings.ToLower(UCS2Hex("Баланс 10 руб")), 72, false, "Баланс 10 руб"},
		"UCS2 under 15":            {UCS2Hex("Баланс 10 руб"), 15, false, "Баланс 10 руб"},
		"UCS2 without scheme":      {UCS2Hex("10,00 €"), -1, false, "10,00 €"},
		"UCS2 digits":              {UCS2Hex("1234"), 0, false, "1234"},
		"UCS2, Chinese":            {UCS2Hex("余额10元"), 72, false, "余额10元"},
		"UCS2 with its language":   {"32B1" + UCS2Hex("Hola"), 17, false, "Hola"},
		"UCS2 from a packer":       {UCS2Hex("Баланс"), 72, true, "Баланс"},
		"packed":                   {packedHex(t, "Ihr Guthaben: 7,50 €"), 15, true, "Ihr Guthaben: 7,50 €"},
		"packed, 240":              {packedHex(t, "Ihr Guthaben: 7,50 EUR"), 240, true, "Ihr Guthaben: 7,50 EUR"},
		"packed, 0":                {packedHex(t, "Seven77"), 0, true, "Seven77"},
		"packed, not asked so":     {packedHex(t, "Ihr Guthaben: 7,50 EUR"), 15, false, "Ihr Guthaben: 7,50 EUR"},
		"packed with its language": {packedHex(t, "de\rGuthaben"), 16, true, "Guthaben"},
		"octets":                   {"42616C616E63652035", 68, false, "Balance 5"},
		"nothing":                  {"", 15, false, ""},
	} {
		if got := DecodeUSSD(c.s, c.dcs, c.packed); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Whatever comes, the text can be shown and stored.
func FuzzDecodeUSSD(f *testing.F) {
	for _, s := range []string{"", "AA180C3602", "Balance: 10", "\x02\x1be", "00310032", "04110430", "D83D", "\xff\x80", "32B10048"} {
		for _, dcs := range []int{-1, 0, 15, 16, 17, 68, 72, 240, 244} {
			f.Add(s, dcs, true)
			f.Add(s, dcs, false)
		}
	}
	f.Fuzz(func(t *testing.T, s string, dcs int, packed bool) {
		got := DecodeUSSD(s, dcs, packed)
		if !utf8.ValidString(got) {
			t.Fatalf("%q is not UTF-8", got)
		}
		if i := strings.IndexFunc(got, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 {
			t.Fatalf("a control character in %q", got)
		}
	})
}

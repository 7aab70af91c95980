package pdu_test

import (
	"strings"
	"testing"

	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

func TestTransliterate(t *testing.T) {
	for _, c := range []struct {
		text, want string
		whole      bool
	}{
		{"plain", "plain", true},
		{"grün, Ångström, señor, à, €", "grün, Ångström, señor, à, €", true},
		{"“It’s” – he said…", `"It's" - he said...`, true},
		{"1\u00a0000\u202f€ at 3\u2009%", "1 000 € at 3 %", true},
		{"façade, Łódź, Čeština, ő, ș, Þór, cœur", "facade, Lodz, Cestina, o, s, Thor, coeur", true},
		{"e\u0301 a\u030c x\u030c", "é a x", true}, // composed where the alphabet has it
		{"Ẹ̀kọ́ Tiếng Việt", "Eko Tieng Viet", true},
		{"½ №5 ﬁn ² ™", "1/2 No5 fin 2 TM", true},
		{"ΑΘΗΝΑ", "AΘHNA", true},
		{"Άγιος", "Άγιος", false}, // small Greek letters stay
		{"ok 👍", "ok 👍", false},
		{"Привет, “друг”", "Привет, “друг”", false},
		{"日本", "日本", false},
		{"\ufeffhi\u200b", "hi", true},
		{"\u200b", "\u200b", false},
		{"21 °C", "21 degC", true},
		// It says the same or stays.
		{"a ≠ b", "a ≠ b", false},
		{"a ≮ b", "a ≮ b", false},
		{"n\u0336o", "n\u0336o", false},
		{"1½ kg, 50 m², ¾", "1 1/2 kg, 50 m2, 3/4", true},
		{"10² m", "10² m", false},
		{"1\u200b½", "1 1/2", true},
		{"3\u00a0½ x1 ²", "3 1/2 x1 2", true},
		{"½½", "1/2 1/2", true},
		{"№１２", "No12", true},
	} {
		got, whole := pdu.Transliterate(c.text)
		if got != c.want || whole != c.whole {
			t.Errorf("%q becomes %q, %v; want %q, %v", c.text, got, whole, c.want, c.whole)
		}
	}
}

// What counts as transliterated goes out in the GSM alphabet, and stays as it is then.
func FuzzTransliterate(f *testing.F) {
	for _, s := range []string{"“a” ŵ", "½", "e\u0301", "👍", "\u1e9b\u0323", "ﷺ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := pdu.Analyse(text)
		if err != nil {
			return
		}
		got, whole := pdu.Transliterate(text)
		if !whole {
			if got != text || a.Encoding == sms.GSM7 {
				t.Fatalf("%q (%s) becomes %q", text, a.Encoding, got)
			}
			return
		}
		if b, err := pdu.Analyse(got); err != nil || b.Encoding != sms.GSM7 {
			t.Fatalf("%q becomes %q: %+v, %v", text, got, b, err)
		}
		if a.Encoding == sms.GSM7 && got != text {
			t.Fatalf("%q becomes %q", text, got)
		}
		if again, _ := pdu.Transliterate(got); again != got {
			t.Fatalf("%q, then %q", got, again)
		}
	})
}

func TestAnalyseRoom(t *testing.T) {
	for _, c := range []struct {
		s        pdu.Submit
		parts    int
		left, at int
	}{
		{pdu.Submit{Text: "hello"}, 1, 155, 0},
		{pdu.Submit{Text: strings.Repeat("x", 160)}, 1, 0, 0},
		{pdu.Submit{Text: strings.Repeat("x", 161)}, 2, 145, 0},
		{pdu.Submit{Text: "grün ő"}, 1, 64, 6},
		{pdu.Submit{Text: strings.Repeat("ő", 71)}, 2, 63, 1},
		{pdu.Submit{Text: "👍👍"}, 1, 66, 1},
		{pdu.Submit{Data: make([]byte, 100)}, 1, 40, 0},
		{pdu.Submit{Data: make([]byte, 100), Port: 5}, 1, 33, 0},
		{pdu.Submit{Data: make([]byte, 136), UDH: []byte{3, 0x70, 1, 0}}, 1, 0, 0},
		{pdu.Submit{Data: make([]byte, 137), UDH: []byte{3, 0x70, 1, 0}}, 2, 125, 0},
	} {
		a, err := c.s.Analyse()
		if err != nil || a.Parts != c.parts || a.Left != c.left || a.ForcedAt != c.at {
			t.Errorf("%+v: %+v, %v; want %d parts, %d left, position %d", c.s, a, err, c.parts, c.left, c.at)
		}
	}
}

// A header of the sender's own is in every part, and the numbering behind it.
func TestOwnHeader(t *testing.T) {
	udh := []byte{6, 5, 4, 0x0B, 0x84, 0x23, 0xF0}
	parts, err := pdu.Submit{To: "+491701234567", Data: make([]byte, 300), UDH: udh, Ref: 7}.Encode()
	if err != nil || len(parts) != 3 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	for i, p := range parts {
		want := append([]byte{11, 5, 4, 0x0B, 0x84, 0x23, 0xF0}, 0, 3, 7, 3, byte(i+1))
		if !strings.Contains(string(p), string(want)) {
			t.Errorf("part %d is %X", i+1, p)
		}
	}
}

func FuzzOwnHeader(f *testing.F) {
	f.Add([]byte{6, 5, 4, 0x0B, 0x84, 0x23, 0xF0}, 300)
	f.Add([]byte{133, 0x70, 131}, 1)
	f.Fuzz(func(t *testing.T, udh []byte, n int) {
		if n < 1 || n > 2000 {
			return
		}
		s := pdu.Submit{To: "+491701234567", Data: make([]byte, n), UDH: udh, MaxParts: 255}
		a, err := s.Analyse()
		if err != nil {
			return
		}
		parts, err := s.Encode()
		if a.Parts > 255 {
			return
		}
		if err != nil || len(parts) != a.Parts {
			t.Fatalf("%d parts, %v; %+v", len(parts), err, a)
		}
		for _, p := range parts {
			if len(p) > 14+140 {
				t.Fatalf("a part of %d octets", len(p))
			}
		}
	})
}

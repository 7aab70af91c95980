package pdu_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// TestSubmitGolden compares with SMS-SUBMITs that other programs made: the
// test suites of python-messaging (umts-tools, pduspy) and ModemManager, and
// the "hellohello" that half the tutorials on the subject show. The last three
// are put together by hand from TS 23.040.
func TestSubmitGolden(t *testing.T) {
	const ifPoem = "Or walk with Kings - nor lose the common touch, if neither foes nor loving friends can hurt you, If all men count with you, but none too much; If you can fill the unforgiving minute With sixty seconds' worth of distance run, Yours is the Earth and everything thats in it, And - which is more - you will be a Man, my son"
	const fourDays = 4 * 24 * time.Hour
	for _, c := range []struct {
		name string
		s    pdu.Submit
		want []string
	}{
		{"hellohello", pdu.Submit{To: "+46708251358", Text: "hellohello", Validity: fourDays},
			[]string{"0011000B916407281553F80000AA0AE8329BFD4697D9EC37"}},
		{"no validity", pdu.Submit{To: "+34616585119", Text: "hola"},
			[]string{"0001000B914316565811F9000004E8373B0C"}},
		{"four days", pdu.Submit{To: "+34616585119", Text: "hola", Validity: fourDays},
			[]string{"0011000B914316565811F90000AA04E8373B0C"}},
		{"flash", pdu.Submit{To: "+34654123456", Text: "hey yo", Flash: true},
			[]string{"0001000B914356143254F6001006E8721E947F03"}},
		{"report", pdu.Submit{To: "+34654123456", Text: "hey yo", Report: true},
			[]string{"0021000B914356143254F6000006E8721E947F03"}},
		{"umlauts", pdu.Submit{To: "+34654123456", Text: "Hölä", Validity: fourDays},
			[]string{"0011000B914356143254F60000AA04483E7B0F"}},
		{"final at sign", pdu.Submit{To: "+34654123456", Text: "BÄRÇA äñ@"},
			[]string{"0001000B914356143254F6000009C2AD341104EDFB00"}},
		{"octets", pdu.Submit{To: "01000000000", Data: []byte("Hi there...")},
			[]string{"0001000B811000000000F000040B48692074686572652E2E2E"}},
		{"Japanese", pdu.Submit{To: "+34616585119", Text: "あ叶葉"},
			[]string{"0001000B914316565811F9000806304253F68449"}},
		{"Russian to a national number", pdu.Submit{To: "655345678", Text: "Русский", Validity: fourDays},
			[]string{"001100098156355476F80008AA0E0420044304410441043A04380439"}},
		{"three parts", pdu.Submit{To: "655345678", Text: ifPoem, Validity: fourDays, Ref: 136}, []string{
			"005100098156355476F80000AAA00500038803019E72D03DCC5E83EE693A1AB44CBBCF73500BE47ECB41ECF7BC0CA2A3CBA0F1BBDD7EBB41F4777D8C6681D26690BB9CA6A3CB7290F95D9E83DC6F3988FDB6A7DD6790599E2EBBC973D038EC06A1EB723A28FFAEB340493328CC6683DA653768FCAEBBE9A07B9A8E06E5DF7516485CA783DC6F7719447FBF41EDFA18BD0325CDA0FCBB0E1A87DD",
			"005100098156355476F80000AAA005000388030240E6349B0DA2A3CBA0BADBFC969FD3F6B4FB0C6AA7DD757A19744DD3D1A0791A4FCF83E6E5F1DB4D9E9F40F7B79C8E06BDCD20727A4E0FBBC76590BCEE6681B2EFBA7C0E4ACF41747419540CCBE96850D84D0695ED65799E8E4EBBCF203A3A4C9F83D26E509ACE0205DD64500B7447A7C768507A0E6ABFE565500B947FD741F7349B0D129741",
			"005100098156355476F80000AA14050003880303C2A066D8CD02B5F3A0F9DB0D"}},
		{"five minutes", pdu.Submit{To: "+15555551234", Text: "Да здравствует король, детка!", Validity: 5 * time.Minute},
			[]string{"0011000B915155551532F40008003A041404300020043704340440043004320441044204320443043504420020043A043E0440043E043B044C002C0020043404350442043A04300021"}},
		{"Greek capitals", pdu.Submit{To: "+15555551234", Text: "Hi there...Tue 17th Jan 2012 05:30.18 pm (GMT+1) ΔΔΔΔΔ", Validity: time.Minute},
			[]string{"0011000B915155551532F400000036C834888E2ECBCB2E978B5A2F8362373A1AA40CBB4132584C0682D57433982B8603C1DB20D4B1495DC552200804028100"}},
		{"last septet in an octet of its own", pdu.Submit{To: "+15556661234", Text: "This is really cool ΔΔΔΔΔ"},
			[]string{"0001000B915155661632F400001954747A0E4ACF41F27298CDCE83C6EF371B0481402010"}},
		{"short code", pdu.Submit{To: "12345", Text: "hola"},
			[]string{"00010005812143F5000004E8373B0C"}},
		{"flash in UCS2", pdu.Submit{To: "+34616585119", Text: "あ叶葉", Flash: true},
			[]string{"0001000B914316565811F9001806304253F68449"}},
		{"port", pdu.Submit{To: "+34616585119", Data: []byte("Hi"), Port: 0x1582},
			[]string{"0041000B914316565811F9000409060504158215824869"}},
		{"the same header by hand", pdu.Submit{To: "+34616585119", Data: []byte("Hi"), UDH: []byte{6, 5, 4, 0x15, 0x82, 0x15, 0x82}},
			[]string{"0041000B914316565811F9000409060504158215824869"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tpdus, err := c.s.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if len(tpdus) != len(c.want) {
				t.Fatalf("%d parts, want %d", len(tpdus), len(c.want))
			}
			for i, tpdu := range tpdus {
				length, got := pdu.CMGS(tpdu)
				if got != c.want[i] || length != len(got)/2-1 {
					t.Errorf("part %d, length %d:\n got %s\nwant %s", i+1, length, got, c.want[i])
				}
			}
		})
	}
}

func TestSubmitRefuses(t *testing.T) {
	long := strings.Repeat("x", 153*10+1)
	for _, c := range []struct {
		name        string
		s           pdu.Submit
		field, says string
	}{
		{"empty", pdu.Submit{To: "+491701234567"}, "text", "is empty"},
		{"no number", pdu.Submit{Text: "a"}, "to", "no digits"},
		{"plus alone", pdu.Submit{To: "+", Text: "a"}, "to", "no digits"},
		{"letters", pdu.Submit{To: "+49abc", Text: "a"}, "to", "'a' at position 4"},
		{"blank", pdu.Submit{To: "0711 2345", Text: "a"}, "to", "' ' at position 5"},
		{"star in an international number", pdu.Submit{To: "+49*1", Text: "a"}, "to", "'*' at position 4"},
		{"21 digits", pdu.Submit{To: strings.Repeat("1", 21), Text: "a"}, "to", "21 digits"},
		{"escape", pdu.Submit{To: "1", Text: "5 \x1be"}, "text", "U+001B at position 3"},
		{"NUL", pdu.Submit{To: "1", Text: "ä\x00"}, "text", "has the control character U+0000 at position 2, which can't be sent"},
		{"C1 control", pdu.Submit{To: "1", Text: "a\u0096b"}, "text", "U+0096 at position 2"},
		{"DEL", pdu.Submit{To: "1", Text: "\x7f"}, "text", "U+007F at position 1"},
		{"invalid UTF-8", pdu.Submit{To: "1", Text: "grün\xff"}, "text", "0xFF at character 5"},
		{"half a surrogate pair", pdu.Submit{To: "1", Text: "\xed\xa0\x80"}, "text", "not UTF-8"},
		{"eleven parts", pdu.Submit{To: "1", Text: long}, "text", "11 parts, at most 10"},
		{"two parts where one is allowed", pdu.Submit{To: "1", Text: long[:161], MaxParts: 1}, "text", "2 parts, at most 1 "},
		{"256 parts", pdu.Submit{To: "1", Text: strings.Repeat("x", 153*255+1), MaxParts: 1000}, "text", "256 parts, at most 255"},
		{"text and data", pdu.Submit{To: "1", Text: "a", Data: []byte("b")}, "data", "not both"},
		{"header without data", pdu.Submit{To: "1", Text: "a", UDH: []byte{2, 0x70, 0}}, "udh", "data only"},
		{"header and port", pdu.Submit{To: "1", Data: []byte("b"), Port: 1, UDH: []byte{2, 0x70, 0}}, "udh", "port"},
		{"header with a wrong length", pdu.Submit{To: "1", Data: []byte("b"), UDH: []byte{5, 0x70, 1, 0}}, "udh", "how many follow"},
		{"header of nothing", pdu.Submit{To: "1", Data: []byte("b"), UDH: []byte{0}}, "udh", "hold an element"},
		{"element longer than its header", pdu.Submit{To: "1", Data: []byte("b"), UDH: []byte{6, 0x70, 1, 0, 0x71, 2, 0}}, "udh", "octet 5"},
		{"half an element", pdu.Submit{To: "1", Data: []byte("b"), UDH: []byte{4, 0x70, 1, 0, 0x71}}, "udh", "octet 5"},
		{"parts numbered", pdu.Submit{To: "1", Data: []byte("b"), UDH: []byte{5, 0, 3, 1, 2, 1}}, "udh", "numbers parts"},
		{"parts numbered in 16 bits", pdu.Submit{To: "1", Data: []byte("b"), UDH: []byte{6, 8, 4, 0, 1, 2, 1}}, "udh", "numbers parts"},
		{"a header and no room", pdu.Submit{To: "1", Data: []byte("b"), UDH: append([]byte{134, 0x70, 132}, make([]byte, 132)...)}, "udh", "room for data"},
		{"port without data", pdu.Submit{To: "1", Text: "a", Port: 1}, "port", "data only"},
		{"port too high", pdu.Submit{To: "1", Data: []byte("b"), Port: 65536}, "port", "65535"},
		{"port too low", pdu.Submit{To: "1", Data: []byte("b"), Port: -1}, "port", "65535"},
		{"over", pdu.Submit{To: "1", Text: "a", Validity: -time.Hour}, "expires_at", "over"},
		{"data too long", pdu.Submit{To: "1", Data: make([]byte, 134*10+1)}, "data", "11 parts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tpdus, err := c.s.Encode()
			var e *pdu.Error
			if !errors.As(err, &e) || tpdus != nil {
				t.Fatalf("got %d parts and %v, want an *Error", len(tpdus), err)
			}
			if e.Field != c.field || !strings.Contains(e.Detail, c.says) {
				t.Errorf("got %q about %q, want %q about %q", e.Detail, e.Field, c.says, c.field)
			}
		})
	}
}

// TestSubmitTypeOfNumber: only "+" numbers are international (91); the library
// would send 12345 as +12345.
func TestSubmitTypeOfNumber(t *testing.T) {
	for to, want := range map[string]string{
		"+491701234567":        "0C91947110325476",
		"0711234567":           "0A817011325476",
		"116":                  "038111F6",
		"*100#":                "05811A00FB",
		"12345678901234567890": "148121436587092143658709",
	} {
		tpdus, err := pdu.Submit{To: to, Text: "a"}.Encode()
		if err != nil {
			t.Errorf("%s: %v", to, err)
			continue
		}
		if _, got := pdu.CMGS(tpdus[0]); !strings.HasPrefix(got[6:], want) {
			t.Errorf("%s: got %s, want %s behind the reference", to, got, want)
		}
	}
}

// TestValidity goes through what TS 23.040 9.2.3.12.1 tabulates. Between two
// values the earlier holds.
func TestValidity(t *testing.T) {
	const day, week = 24 * time.Hour, 7 * 24 * time.Hour
	for d, want := range map[time.Duration]byte{
		time.Second: 0, 5 * time.Minute: 0, 9 * time.Minute: 0, 10 * time.Minute: 1, 14 * time.Minute: 1, 15 * time.Minute: 2,
		6 * time.Hour: 71, 12 * time.Hour: 143, 12*time.Hour + 29*time.Minute: 143, 12*time.Hour + 30*time.Minute: 144, 13 * time.Hour: 145,
		day: 167, day + time.Hour: 167, 2*day - 1: 167, 2 * day: 168, 3*day - 1: 168, 30 * day: 196, 34 * day: 196,
		5 * week: 197, 6*week - 1: 197, 6 * week: 198, 63 * week: 255, 100 * week: 255,
	} {
		tpdus, err := pdu.Submit{To: "1", Text: "a", Validity: d}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		s, err := pdu.ReadSubmit(tpdus[0])
		if err != nil {
			t.Fatal(err)
		}
		if len(s.VP) != 1 || s.VP[0] != want {
			t.Errorf("%v: TP-VP % X, want %d", d, s.VP, want)
		}
	}
}

// TestValidityEveryValue writes all 256 values through the library, from the
// durations that the standard gives them.
func TestValidityEveryValue(t *testing.T) {
	for n := range 256 {
		var d time.Duration
		switch {
		case n <= 143:
			d = time.Duration(n+1) * 5 * time.Minute
		case n <= 167:
			d = 12*time.Hour + time.Duration(n-143)*30*time.Minute
		case n <= 196:
			d = time.Duration(n-166) * 24 * time.Hour
		default:
			d = time.Duration(n-192) * 7 * 24 * time.Hour
		}
		tpdus, err := pdu.Submit{To: "1", Text: "a", Validity: d}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if s, err := pdu.ReadSubmit(tpdus[0]); err != nil || s.VP[0] != byte(n) {
			t.Errorf("%v: %v, %v, want %d", d, s, err, n)
		}
	}
}

func TestAnalyse(t *testing.T) {
	for _, c := range []struct {
		text         string
		encoding     sms.Encoding
		parts, units int
		forcedBy     rune
	}{
		{"hello", sms.GSM7, 1, 5, 0},
		{strings.Repeat("x", 160), sms.GSM7, 1, 160, 0},
		{strings.Repeat("x", 161), sms.GSM7, 2, 161, 0},
		{strings.Repeat("x", 306), sms.GSM7, 2, 306, 0},
		{strings.Repeat("x", 307), sms.GSM7, 3, 307, 0},
		{strings.Repeat("x", 459), sms.GSM7, 3, 459, 0},
		{strings.Repeat("€", 80), sms.GSM7, 1, 160, 0},
		{strings.Repeat("€", 153), sms.GSM7, 3, 306, 0}, // 76 in a part, not 76.5
		{strings.Repeat("€", 229) + "x", sms.GSM7, 4, 459, 0},
		{"façade", sms.UCS2, 1, 6, 'ç'},
		{"a\tb", sms.UCS2, 1, 3, '\t'},
		{"line\r\nbreak\f", sms.GSM7, 1, 13, 0},
		{strings.Repeat("ő", 70), sms.UCS2, 1, 70, 'ő'},
		{strings.Repeat("ő", 71), sms.UCS2, 2, 71, 'ő'},
		{strings.Repeat("ő", 134), sms.UCS2, 2, 134, 'ő'},
		{strings.Repeat("ő", 135), sms.UCS2, 3, 135, 'ő'},
		{strings.Repeat("😀", 35), sms.UCS2, 1, 70, '😀'},
		{strings.Repeat("😀", 67), sms.UCS2, 3, 134, '😀'}, // 33 in a part
		{"ok 😀 ő", sms.UCS2, 1, 7, '😀'},
		{strings.Repeat("x", 153*300), sms.GSM7, 300, 153 * 300, 0},
		{"\ufffd", sms.UCS2, 1, 1, '\ufffd'},
	} {
		a, err := pdu.Analyse(c.text)
		a.Left, a.ForcedAt = 0, 0 // see TestAnalyseRoom
		want := pdu.Analysis{Encoding: c.encoding, Parts: c.parts, Units: c.units, ForcedBy: c.forcedBy}
		if err != nil || a != want {
			t.Errorf("Analyse(%.20q…) = %+v, %v; want %+v", c.text, a, err, want)
		}
	}
	for _, c := range []struct {
		n     int
		port  bool
		parts int
	}{{140, false, 1}, {141, false, 2}, {268, false, 2}, {269, false, 3}, {133, true, 1}, {134, true, 2}, {256, true, 2}, {257, true, 3}} {
		s := pdu.Submit{Data: make([]byte, c.n)}
		if c.port {
			s.Port = 1
		}
		want := pdu.Analysis{Encoding: sms.Octet, Parts: c.parts, Units: c.n}
		a, err := s.Analyse()
		if a.Left = 0; a != want || err != nil {
			t.Errorf("%d octets, port %v: %+v, %v, want %+v", c.n, c.port, a, err, want)
		}
	}
	var e *pdu.Error
	if _, err := pdu.Analyse(""); !errors.As(err, &e) || e.Field != "text" {
		t.Errorf("Analyse of nothing: %v", err)
	}
}

// unhex reads the hex of a PDU; blanks may stand in it.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

package pdu_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", -5*3600))

// overTheAir sends a message as a modem would and gives what the recipient's
// modem reads, each part checked against what fits on the air.
func overTheAir(t testing.TB, s pdu.Submit) []*pdu.Deliver {
	t.Helper()
	tpdus, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var parts []*pdu.Deliver
	for i, tpdu := range tpdus {
		sub, err := pdu.ReadSubmit(tpdu)
		if err != nil {
			t.Fatalf("part %d: %v: % X", i+1, err, tpdu)
		}
		if sub.To != s.To || sub.Report != s.Report {
			t.Fatalf("part %d: to %q, report %v", i+1, sub.To, sub.Report)
		}
		raw := pdu.EncodeDeliver(sub.Delivery("+491722270000", "+491701234567", noon))
		d, r, err := pdu.Decode(raw)
		if err != nil || r != nil {
			t.Fatalf("part %d: %v, %v: % X", i+1, r, err, raw)
		}
		if d.Repaired != "" || d.From != "+491701234567" || d.SMSC != "+491722270000" || !d.SCTS.Equal(noon) || d.DstPort != s.Port {
			t.Fatalf("part %d: %+v", i+1, d)
		}
		single := len(tpdus) == 1
		if single != (d.Concat == nil) || !single && *d.Concat != (pdu.Concat{Ref: int(s.Ref), Bits: 8, Total: len(tpdus), Seq: i + 1}) {
			t.Fatalf("part %d of %d: %+v", i+1, len(tpdus), d.Concat)
		}
		if n := len(d.UD); n > 0 && !single {
			if d.Encoding == sms.GSM7 && d.UD[n-1] == 0x1B {
				t.Fatalf("part %d ends in an escape", i+1)
			}
			if d.Encoding == sms.UCS2 && utf16.IsSurrogate(rune(d.UD[n-2])<<8|rune(d.UD[n-1])) && d.UD[n-2] < 0xDC {
				t.Fatalf("part %d ends in half a surrogate pair", i+1)
			}
		}
		parts = append(parts, d)
	}
	return parts
}

// roundTrip wants a text back, whatever order its parts come in.
func roundTrip(t testing.TB, rnd *rand.Rand, text string) []*pdu.Deliver {
	t.Helper()
	a, err := pdu.Analyse(text)
	if err != nil {
		t.Fatal(err)
	}
	s := pdu.Submit{To: "+491707654321", Text: text, Ref: byte(rnd.IntN(256)), MaxParts: 255,
		Report: rnd.IntN(2) == 0, Flash: rnd.IntN(2) == 0, Validity: time.Duration(rnd.IntN(3)) * time.Hour}
	parts := overTheAir(t, s)
	rnd.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	got, data, enc := pdu.Join(parts)
	if got != text || data != nil || enc != a.Encoding || len(parts) != a.Parts {
		t.Fatalf("%d parts in %s gave\n%q\nwant %d in %s:\n%q", len(parts), enc, got, a.Parts, a.Encoding, text)
	}
	for _, p := range parts {
		if want := map[bool]int{true: 0, false: -1}[s.Flash]; p.Class != want {
			t.Fatalf("class %d, want %d", p.Class, want)
		}
	}
	return parts
}

const arabic = "وصلت الرسالة الطويلة كاملة ولم تنقص منها كلمة واحدة. "

func TestRoundTripTexts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for name, text := range map[string]string{
		"1,000 characters": strings.Repeat("The quick brown fox. ", 48)[:1000],
		"emoji":            "👋 Hello 👨‍👩‍👧‍👦, see you at 8 ☕️ 🇩🇪",
		"many emoji":       strings.Repeat("😀👍🏽", 60),
		"extension":        `€{}[]~\^|`,
		"long extension":   strings.Repeat(`€{}[]~\^|`, 50),
		"Arabic":           strings.Repeat(arabic, 8),
		"one character":    "@",
		"all of GSM 7-bit": "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà\f^{}\\[~]|€",
		"at signs":         strings.Repeat("@", 700),
		"Devanagari":       strings.Repeat("नमस्ते दुनिया ", 20),
		"Chinese":          strings.Repeat("你好，世界。", 30),
		"old Italic":       strings.Repeat("𐌀𐌁", 100),
	} {
		t.Run(name, func(t *testing.T) { roundTrip(t, rnd, text) })
	}
}

// TestSplitAtEveryPlace moves a two-septet character and a surrogate pair over
// every boundary between parts, and counts the parts in another way.
func TestSplitAtEveryPlace(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for n := range 480 {
		text := strings.Repeat("a", n) + "€" + strings.Repeat("b", n%3)
		if got, want := len(roundTrip(t, rnd, text)), count(text, 160, 153, func(r rune) int { return 1 + strings.Count("€", string(r)) }); got != want {
			t.Errorf("%d letters and €: %d parts, want %d", n, got, want)
		}
	}
	for n := range 210 {
		text := strings.Repeat("я", n) + "😀" + strings.Repeat("ж", n%3)
		if got, want := len(roundTrip(t, rnd, text)), count(text, 70, 67, utf16.RuneLen); got != want {
			t.Errorf("%d letters and 😀: %d parts, want %d", n, got, want)
		}
	}
}

// count fills parts greedily with characters of a size.
func count(text string, single, part int, size func(rune) int) int {
	total, parts, used := 0, 1, 0
	for _, r := range text {
		n := size(r)
		total += n
		if used+n > part {
			parts, used = parts+1, 0
		}
		used += n
	}
	if total <= single {
		return 1
	}
	return parts
}

func TestRoundTripRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	alphabets := [][]rune{
		[]rune("abc XYZ019@\n"), []rune("a€{}[]~\\^|"), []rune("aäöüßΔΩ@£"), []rune("aяж"), []rune("a😀👍🏽\u200d"), []rune(arabic), []rune("€😀\t\uffff\ufffd"),
	}
	for range 2000 {
		letters := alphabets[rnd.IntN(len(alphabets))]
		text := make([]rune, 1+rnd.IntN(700))
		for i := range text {
			text[i] = letters[rnd.IntN(len(letters))]
		}
		roundTrip(t, rnd, string(text))
	}
}

func TestRoundTripData(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for n := 1; n < 600; n++ {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		port := []int{0, 1, 2948, 65535}[rnd.IntN(4)]
		parts := overTheAir(t, pdu.Submit{To: "12345", Data: data, Port: port, Ref: byte(n)})
		if want, err := (pdu.Submit{Data: data, Port: port}).Analyse(); err != nil || len(parts) != want.Parts {
			t.Errorf("%d octets: %d parts, want %d", n, len(parts), want.Parts)
		}
		rnd.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		text, got, enc := pdu.Join(parts)
		if text != "" || !bytes.Equal(got, data) || enc != sms.Octet {
			t.Fatalf("%d octets: %q, % X in %s", n, text, got, enc)
		}
	}
}

// parted is one part of a message under reference 1.
func parted(enc sms.Encoding, seq, total int, ud ...byte) *pdu.Deliver {
	return &pdu.Deliver{Encoding: enc, UD: ud, Concat: &pdu.Concat{Ref: 1, Bits: 8, Total: total, Seq: seq}}
}

// TestJoinWhatOthersCut: some senders cut a text at any septet or UTF-16 unit.
func TestJoinWhatOthersCut(t *testing.T) {
	septets := []byte{'a', 0x1B, 0x65, 0x1B, 0x3C, 'b', 0x1B, 0x3E, 'c'} // a€[b]c
	for i := range len(septets) + 1 {
		for j := i; j <= len(septets); j++ {
			parts := []*pdu.Deliver{
				parted(sms.GSM7, 3, 3, septets[j:]...), parted(sms.GSM7, 1, 3, septets[:i]...), parted(sms.GSM7, 2, 3, septets[i:j]...)}
			if text, _, _ := pdu.Join(parts); text != "a€[b]c" {
				t.Errorf("cut at %d and %d: %q", i, j, text)
			}
		}
	}
	units := []byte{0, 'a', 0xD8, 0x3D, 0xDE, 0x00, 0, 'b', 0xD8, 0x3D, 0xDC, 0x4D} // a😀b👍
	for i := 0; i <= len(units); i += 2 {
		parts := []*pdu.Deliver{parted(sms.UCS2, 1, 2, units[:i]...), parted(sms.UCS2, 2, 2, units[i:]...)}
		if text, _, _ := pdu.Join(parts); text != "a😀b👍" {
			t.Errorf("cut at octet %d: %q", i, text)
		}
	}
}

func TestJoinWhatIsMissing(t *testing.T) {
	a, b, c := parted(sms.GSM7, 1, 4, 'a'), parted(sms.GSM7, 2, 4, 'b', 0x1B), parted(sms.GSM7, 4, 4, 'e')
	turkish := parted(sms.GSM7, 2, 2, 0x0B)
	turkish.Locking = 1
	for _, x := range []struct {
		name  string
		parts []*pdu.Deliver
		text  string
		enc   sms.Encoding
	}{
		{"nothing", nil, "", sms.GSM7},
		{"nil", []*pdu.Deliver{nil}, "[…]", sms.GSM7},
		{"third missing, escape before it", []*pdu.Deliver{a, b, nil, c}, "ab […]e", sms.GSM7},
		{"the same, left out and shuffled", []*pdu.Deliver{c, a, b}, "ab […]e", sms.GSM7},
		{"second and third missing", []*pdu.Deliver{a, c}, "a[…]e", sms.GSM7},
		{"first missing", []*pdu.Deliver{c}, "[…]e", sms.GSM7},
		{"last missing", []*pdu.Deliver{a}, "a[…]", sms.GSM7},
		{"twice the same part", []*pdu.Deliver{parted(sms.GSM7, 1, 1, 'a'), parted(sms.GSM7, 1, 1, 'b')}, "a", sms.GSM7},
		{"high surrogate, then a gap", []*pdu.Deliver{parted(sms.UCS2, 1, 3, 0xD8, 0x3D), parted(sms.UCS2, 3, 3, 0xDE, 0x00)}, "\ufffd[…]\ufffd", sms.UCS2},
		{"lone surrogates", []*pdu.Deliver{{Encoding: sms.UCS2, UD: []byte{0, 'a', 0xDE, 0, 0, 'b', 0xD8, 0x3D, 0, 'c', 0xD8, 0x3D}}}, "a\ufffdb\ufffdc\ufffd", sms.UCS2},
		{"half a unit", []*pdu.Deliver{{Encoding: sms.UCS2, UD: []byte{0, 'a', 0}}}, "a", sms.UCS2},
		{"escapes", []*pdu.Deliver{{Encoding: sms.GSM7, UD: []byte{0x1B, 0x1B, 0x1B, 'x', 0x1B}}}, " x ", sms.GSM7},
		{"two alphabets", []*pdu.Deliver{parted(sms.GSM7, 1, 2, 'a', 0x1B), parted(sms.UCS2, 2, 2, 0x04, 0x4F)}, "a я", sms.GSM7},
		{"half a pair, then septets", []*pdu.Deliver{parted(sms.UCS2, 1, 2, 0, 'a', 0xD8, 0x3D), parted(sms.GSM7, 2, 2, 'b')}, "a\ufffdb", sms.UCS2},
		{"an escape does not jump", []*pdu.Deliver{parted(sms.GSM7, 1, 3, 0x1B), parted(sms.UCS2, 2, 3, 0x04, 0x4F), parted(sms.GSM7, 3, 3, 'e')}, " яe", sms.GSM7},
		{"a total that can't be", []*pdu.Deliver{parted(sms.GSM7, 1, 1<<30, 'a')}, "a[…]", sms.GSM7},
		{"two tables", []*pdu.Deliver{parted(sms.GSM7, 1, 2, 0x0B), turkish}, "ØĞ", sms.GSM7},
		{"octets among text", []*pdu.Deliver{parted(sms.Octet, 1, 2, 'a'), parted(sms.GSM7, 2, 2, 'b')}, "[…]b", sms.UCS2},
		{"not septets", []*pdu.Deliver{{Encoding: sms.GSM7, UD: []byte{0x80 | 'a'}}}, "a", sms.GSM7},
		{"a part that names no place", []*pdu.Deliver{{Encoding: sms.GSM7, UD: []byte{'z'}}, parted(sms.GSM7, 1, 1, 'a'), parted(sms.GSM7, 9, 1, 'q')}, "az", sms.GSM7},
	} {
		text, data, enc := pdu.Join(x.parts)
		if text != x.text || data != nil || enc != x.enc {
			t.Errorf("%s: %q, %q in %s; want %q in %s", x.name, text, data, enc, x.text, x.enc)
		}
	}
	text, data, enc := pdu.Join([]*pdu.Deliver{parted(sms.Octet, 3, 3, 3), parted(sms.Octet, 1, 3, 1)})
	if text != "" || string(data) != "\x01\x03" || enc != sms.Octet {
		t.Errorf("data with a gap: %q, % X in %s", text, data, enc)
	}
}

// TestFromEverywhere uses the package from many goroutines at once: its tables
// are built once, and nobody writes them afterwards. Run it with -race.
func TestFromEverywhere(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(9, uint64(i)))
			roundTrip(t, rnd, fmt.Sprintf("%d %s", i, strings.Repeat("€😀", 10*i+1)))
			roundTrip(t, rnd, strings.Repeat("a[", 100+i))
			for locking := range 15 {
				pdu.Join([]*pdu.Deliver{{Encoding: sms.GSM7, UD: []byte{1, 0x1B, 2}, Locking: locking, Shift: locking}})
			}
		})
	}
	wg.Wait()
}

package pdu

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"
	"unicode/utf8"

	"github.com/warthog618/sms/encoding/tpdu"

	"gatewayd/sms"
)

// FuzzDecode reads anything. It calls decode, not Decode, which would hide a
// panic. Where the library reads user data, the tolerant reading must agree.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37",
		"07919730071111F10414D04937BD2C7797E9D3E6140008113092910240610804420435044104" + "42",
		"07912160130320F6440B916171056429F5000021405291651569320500034C0202E9E8301D44479741F0B09C3E0785E56590BCCC0ED3CB6410FD0D7ABBCBA0B0FB4D4797E52E10",
		"07912180958739F144038102F100001211304113338A2F0608041E9602026177F85C06E5DF7539283C1EBFEB6E3A284C0785E974D7F8DD7EB5F37079191E4E9341",
		"006405A00110F00008123052517341234605000305040451FB0020006800740074007000",
		"00440B914316565811F90000111010214365002006250101240101C0CD14BC191336F3C3E6B8D89C199B246793EE6CCA",
		"00440B914316565811F90004111010214365000B0605040B8423F068690A0B",
		"00060505810531F1010150610000400101506100004000FFFFFF",
		"0791538375000075061805810531F1019082416500400190824165004000",
		"000C0BD0E10D4FBCF10100FF11F01021436500FF0568",
		"00070B914316565811F9009F1110102143650005E8329BFD06",
		"0001000B914316565811F9000004E8373B0C",
	} {
		raw, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(s)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		d, r, err := decode(raw)
		if !bytes.Equal(before, raw) {
			t.Fatal("the PDU was changed")
		}
		if err != nil {
			var e *Error
			if d != nil || r != nil || !errors.As(err, &e) || e.Field != "" {
				t.Fatalf("%v, %v, %v", d, r, err)
			}
			return
		}
		if (d == nil) == (r == nil) {
			t.Fatalf("%v, %v", d, r)
		}
		if d == nil {
			return
		}
		for _, s := range d.UD {
			if d.Encoding == sms.GSM7 && s > 0x7F {
				t.Fatalf("septet 0x%02X", s)
			}
		}
		if c := d.Concat; c != nil && (c.Seq < 1 || c.Seq > c.Total || c.Total > 255) {
			t.Fatalf("%+v", *c)
		}
		if d.Encoding == sms.UCS2 && len(d.UD)%2 != 0 || d.Class < -1 || d.Class > 3 {
			t.Fatalf("%+v", d)
		}
		text, _, enc := Join([]*Deliver{d, d})
		if !utf8.ValidString(text) || !utf8.ValidString(d.From) || enc != d.Encoding {
			t.Fatalf("%q from %q in %s", text, d.From, enc)
		}
		agree(t, raw)
	})
}

// agree compares the library's reading of user data with the tolerant one.
func agree(t *testing.T, raw []byte) {
	_, b, _ := cutSMSC(raw)
	library := tpdu.TPDU{Direction: tpdu.MT}
	if library.UnmarshalBinary(b) != nil || tpdu.DCS(library.DCS).Compressed() {
		return
	}
	_, size, err := readAddress(b[1:])
	if err != nil {
		t.Fatal("the library reads an address that we do not:", err)
	}
	ud := b[1+size+9:]
	if ud[0] == 0 {
		return // the library does not look at what stands behind
	}
	tolerant := repair{udhi: library.UDHI(), dcs: byte(library.DCS)}
	tolerant.read(ud)
	alphabet, _ := library.Alphabet()
	if tolerant.alphabet != alphabet || !bytes.Equal(tolerant.text, library.UD) {
		t.Fatalf("library % X, tolerant % X (%q)", library.UD, tolerant.text, tolerant.notes)
	}
	if len(tolerant.notes) > 0 {
		t.Fatalf("the library reads it, and yet: %q", tolerant.notes)
	}
}

// FuzzSplit sends any text as any message and wants it back.
func FuzzSplit(f *testing.F) {
	for _, text := range []string{"hello", "€{}[]~\\^|", "😀👍🏽", "\x1be", "a\xff", "\t", "", "ä\x00", "\ufeffя"} {
		for _, n := range []int{1, 153, 700} {
			f.Add(text, n, byte(n))
		}
	}
	f.Fuzz(func(t *testing.T, text string, n int, ref byte) {
		for n = n & 0x3FF; n > 1 && len(text) < 2000; n >>= 1 {
			text += text
		}
		a, err := Analyse(text)
		parts, err2 := Submit{To: "+491701234567", Text: text, Ref: ref, MaxParts: 255}.Encode()
		if err != nil {
			if err2 == nil || err.Error() != err2.Error() {
				t.Fatalf("%v, but %v", err, err2)
			}
			return
		}
		if (err2 != nil) != (a.Parts > 255) {
			t.Fatalf("%d parts, %v", a.Parts, err2)
		}
		if err2 != nil {
			return
		}
		if len(parts) != a.Parts {
			t.Fatalf("%d parts, Analyse says %d", len(parts), a.Parts)
		}
		var got []*Deliver
		for i, p := range parts {
			s, err := ReadSubmit(p)
			if err != nil {
				t.Fatal(err)
			}
			d, _, err := decode(EncodeDeliver(s.Delivery("", "12345", writeableTime)))
			if err != nil || d.Repaired != "" {
				t.Fatalf("%+v, %v", d, err)
			}
			if last := len(d.UD) - 1; i < len(parts)-1 {
				if d.Encoding == sms.GSM7 && d.UD[last] == esc || d.Encoding == sms.UCS2 && d.UD[last-1]&0xFC == 0xD8 {
					t.Fatalf("part %d ends in half a character", i+1)
				}
			}
			got = append([]*Deliver{d}, got...)
		}
		if back, _, enc := Join(got); back != text || enc != a.Encoding {
			t.Fatalf("got %q, sent %q", back, text)
		}
	})
}

var writeableTime = readTime([]byte{0x62, 0x30, 0x10, 0x21, 0, 0, 0})

// FuzzReadSubmit: the simulator must survive what a client writes to it.
func FuzzReadSubmit(f *testing.F) {
	for _, s := range []string{"0001000B914316565811F9000004E8373B0C", "11000B914316565811F90000AA04E8373B0C", "41000B914316565811F9000409060504158215824869"} {
		raw, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ReadSubmit(raw)
		if err != nil {
			return
		}
		d, _, err := decode(EncodeDeliver(s.Delivery("+1", s.To, writeableTime)))
		if err != nil || d.From != s.To {
			t.Fatalf("sent %+v, got %+v, %v", s, d, err)
		}
	})
}

// TestTolerantAgrees holds the two readings against each other over messages
// that are right in all but their contents, which a fuzzer seldom hits upon.
func TestTolerantAgrees(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	read := 0
	for range 30000 {
		dcs := byte(rnd.IntN(256))
		ud := make([]byte, rnd.IntN(141))
		for i := range ud {
			ud[i] = byte(rnd.Uint32())
		}
		udhi := rnd.IntN(2) == 0 && len(ud) > 0
		if udhi {
			ud[0] = byte(rnd.IntN(min(len(ud), 12)))
		}
		udl := len(ud)
		if septets(dcs) {
			udl = len(ud) * 8 / 7
			if rnd.IntN(2) == 0 && udl%8 == 0 && udl > 0 {
				udl--
				ud[len(ud)-1] &= 0x01
			}
		}
		raw := EncodeDeliver(Delivery{From: "12345", SCTS: writeableTime, DCS: dcs, UDHI: udhi, UDL: byte(udl), UD: ud})
		if d, _, err := decode(raw); err != nil || d.DCS != dcs {
			t.Fatalf("%v: % X", err, raw)
		} else if d.Repaired == "" {
			read++
		}
		agree(t, raw)
	}
	if read < 7000 {
		t.Errorf("only %d messages were read without repair", read)
	}
}

func TestShielded(t *testing.T) {
	var e *Error
	d, r, err := shielded(func(b []byte) (*Deliver, *Report, error) { return &Deliver{PID: b[1]}, nil, nil }, []byte{0})
	if d != nil || r != nil || !errors.As(err, &e) {
		t.Errorf("%v, %v, %v", d, r, err)
	}
}

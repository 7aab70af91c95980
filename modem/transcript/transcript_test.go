package transcript

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatewayd/sms/pdu"
)

func entries(parts ...string) []Entry {
	var all []Entry
	for i, p := range parts {
		all = append(all, Entry{At: time.Duration(i) * 10 * time.Millisecond, Out: p[0] == '>', Bytes: []byte(p[1:])})
	}
	return all
}

func TestTextForm(t *testing.T) {
	want := Transcript{Header: map[string]string{"modem": "Huawei E3372", "state": "ready"},
		Entries: entries(">AT\r", "<\r\nOK\r\n", ">\x1b", "<\xff\x00\"quoted\"")}
	var b strings.Builder
	if err := want.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Read(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if got.Header["modem"] != "Huawei E3372" || len(got.Entries) != 4 {
		t.Fatalf("%+v", got)
	}
	for i, e := range got.Entries {
		if w := want.Entries[i]; e.At != w.At || e.Out != w.Out || !bytes.Equal(e.Bytes, w.Bytes) {
			t.Errorf("entry %d is %+v, want %+v", i, e, w)
		}
	}
	for _, bad := range []string{"", "AT\r\nOK", first + "\n0.1 > AT", first + "\nx > \"AT\"", first + "\n0.1 ? \"AT\"", first + "\n-1 > \"AT\""} {
		if _, err := Read(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestMaskLines(t *testing.T) {
	for _, c := range [][2]string{
		{">AT+CPIN=\"4711\"\r", "AT+CPIN=\"0000\"\r"},
		{">AT+CMGS=23\r", "AT+CMGS=23\r"},
		{"<\r\n+CSCA: \"+491710760000\",145\r\n", "\r\n+CSCA: \"+490000000000\",145\r\n"},
		{"<\r\n+CLIP: \"017012345678\",129\r\n", "\r\n+CLIP: \"010000000000\",129\r\n"},
		{"<\r\n490154203237518\r\n", "\r\n490154200000000\r\n"},
		{"<\r\n+CCID: 89490200001234567890\r\n", "\r\n+CCID: 89000000000000000000\r\n"},
		{"<\r\n+COPS: 0,0,\"o2 - de\",7\r\n", "\r\n+COPS: 0,0,\"o2 - de\",7\r\n"},
		{"<\r\n+CREG: 2,1,\"1A2B\",\"01C3D4E5\",7\r\n", "\r\n+CREG: 2,1,\"0000\",\"00000000\",7\r\n"},
		{"<\r\n+CUSD: 0,\"Credit 12.50\r\nfor Eve\",15\r\n", "\r\n+CUSD: 0,\"xxxxxx 00x00\r\nxxx xxx\",15\r\n"},
		{"<\r\n+CNUM: ,\"002B003400390031\",145\r\n", "\r\n+CNUM: ,\"006B006B006B006B\",145\r\n"},
		{"<\r\n+CMTI: \"SM\",3\r\n", "\r\n+CMTI: \"SM\",3\r\n"},
	} {
		if got := string(Mask(entries(c[0]))[0].Bytes); got != c[1] {
			t.Errorf("%q became %q, want %q", c[0][1:], got, c[1])
		}
	}
}

// A masked PDU tells nothing and decodes still, also if it was split over reads.
func TestMaskPDU(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct{ from, text, want string }{
		{"+491701234567", "Secret words", "xxxxxxxxxxxx"},
		{"+491701234567", "Geheimes Wort: Ω и ж", strings.Repeat("x", 20)},
		{"Bank", "Code 4711", "xxxxxxxxx"},
	} {
		raw, err := pdu.EncodeText("+491710760000", c.from, c.text, at, 1)
		if err != nil {
			t.Fatal(err)
		}
		line := "\r\n+CMGR: 0,,24\r\n" + strings.ToUpper(hex.EncodeToString(raw[0])) + "\r\nOK\r\n"
		masked := Mask(entries("<"+line[:30], ">AT\r", "<"+line[30:]))
		whole := string(masked[0].Bytes) + string(masked[2].Bytes)
		if len(whole) != len(line) {
			t.Fatalf("the length changed: %q", whole)
		}
		text := strings.Split(whole, "\r\n")[2]
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := pdu.Decode(b)
		if err != nil {
			t.Fatalf("%q: %v", c.text, err)
		}
		shown, _, _ := pdu.Join([]*pdu.Deliver{got})
		if shown != c.want || strings.ContainsAny(got.From, "123456789") && got.From != "+4900000000000" || strings.Contains(got.From, "Bank") {
			t.Errorf("%q from %s became %q from %s", c.text, c.from, shown, got.From)
		}
	}
	// What is no PDU that anybody understands keeps its length and nothing else.
	if got := string(Mask(entries("<\r\nFFFF0102030405060708090A\r\n"))[0].Bytes); got != "\r\n000000000000000000000000\r\n" {
		t.Errorf("it became %q", got)
	}
}

func FuzzMask(f *testing.F) {
	f.Add([]byte("\r\n+CMT: ,23\r\n07919471016730510414D0CDB2\r\n"), 7)
	f.Add([]byte("AT+CPIN=\"1234\"\r\n+CUSD: 1,\"x"), 3)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if at < 0 || at > len(b) {
			at = 0
		}
		in := []Entry{{Bytes: b[:at]}, {Bytes: b[at:]}}
		before := string(b)
		got := Mask(in)
		if len(got[0].Bytes) != at || len(got[1].Bytes) != len(b)-at {
			t.Errorf("lengths %d, %d of %d, %d", len(got[0].Bytes), len(got[1].Bytes), at, len(b)-at)
		}
		if string(b) != before {
			t.Error("the recording itself was changed")
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(first + "\n# modem: x\n0.001 > \"AT\\r\"\n")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Read(strings.NewReader(s))
		if err != nil {
			return
		}
		var b strings.Builder
		if err := got.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := Read(strings.NewReader(b.String()))
		if err != nil || len(again.Entries) != len(got.Entries) {
			t.Errorf("%v: %q", err, b.String())
		}
	})
}

func TestRing(t *testing.T) {
	r := NewRing(3 * (perEntry + 4))
	for _, s := range []string{"AT\r1", "AT\r2", "AT\r3", "AT\r4"} {
		r.Add(true, []byte(s))
	}
	got, _ := r.Entries()
	if len(got) != 3 || string(got[0].Bytes) != "AT\r2" || got[0].At != 0 {
		t.Errorf("%+v", got)
	}
	// Larger than all: it stays alone, from where it can be understood.
	r.Add(false, append(make([]byte, 1000), "\r\nOK\r\n\r\n+CSQ: 9,99\r\n"...))
	if got, _ := r.Entries(); len(got) != 1 || string(got[0].Bytes) != "\r\n+CSQ: 9,99\r\n" {
		t.Errorf("%+v", got)
	}
}

func TestPlayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPlayer(Transcript{Entries: entries(
			"<\r\nRDY\r\n", ">AT\r", "<\r\nOK\r\n", ">AT+CSQ\r", "<\r\n+CSQ: 1,99\r\n", "<\r\nOK\r\n", ">AT+CSQ\r", "<\r\n+CSQ: 2,99\r\n\r\nOK\r\n",
			">AT+CMGS=20\r", "<\r\n> ", ">0011", ">22\x1a", "<\r\n+CMGS: 7\r\n\r\nOK\r\n")})
		heard := make(chan string, 10)
		go func() {
			defer close(heard)
			for b := make([]byte, 100); ; {
				n, err := p.Read(b)
				if err != nil {
					return
				}
				heard <- string(b[:n])
			}
		}()
		say := func(s, want string) {
			t.Helper()
			if s != "" {
				if _, err := p.Write([]byte(s)); err != nil {
					t.Fatal(err)
				}
			}
			got := ""
			for len(got) < len(want) {
				got += <-heard
			}
			if got != want {
				t.Errorf("%q was answered %q, want %q", s, got, want)
			}
		}
		say("", "\r\nRDY\r\n")
		say("AT+CSQ\r", "\r\n+CSQ: 1,99\r\n\r\nOK\r\n")
		say("AT+CSQ\r", "\r\n+CSQ: 2,99\r\n\r\nOK\r\n")
		say("AT+CSQ\r", "\r\n+CSQ: 2,99\r\n\r\nOK\r\n")
		say("AT+NEW\r", "\r\nERROR\r\n")
		say("AT+CMGS=20\r", "\r\n> ")
		say("ABCD\x1a", "\r\n+CMGS: 7\r\n\r\nOK\r\n")
		if got := p.Unknown(); len(got) != 1 || got[0] != "AT+NEW" {
			t.Errorf("unknown: %q", got)
		}
		p.Close()
		if more, ok := <-heard; ok {
			t.Errorf("it said %q besides", more)
		}
	})
}

// What the beginning of was forgotten is left out, for nobody could mask it: the
// rest of a PDU, of a text of several lines, of an answer whose end comes in pieces.
func TestForgottenBeginnings(t *testing.T) {
	const told = "Your code is 4711"
	for _, c := range [][]string{
		{"\r\n+CMGL: 1,1,,30\r\n0791", "261200049134810F0040B919471123456780000622032511", "F5821\r\n\r\nOK\r\n"},
		{"\r\n+CUSD: 0,\"Hello\n", told + "\n", "bye\",15\r\n", "\r\nO", "K\r\n"},
		{"\r\n+CUSD: 0,\"Hello\n", told, "\n" + told + "\",15\r\n", "\r\n+CMS ERROR: 38\r\n"},
	} {
		for most := 1; most < 600; most++ {
			r := NewRing(most)
			for _, b := range c {
				r.Add(false, []byte(b))
			}
			r.Add(true, []byte("AT+CSQ\r"))
			r.Add(false, []byte("\r\n+CSQ: 17,99\r\n\r\nOK\r\n"))
			entries, _ := r.Entries()
			for _, e := range Mask(entries) {
				if text := string(e.Bytes); strings.Contains(text, "4711") || strings.Contains(text, "471123456") {
					t.Fatalf("with %d bytes of memory %q is told", most, text)
				}
			}
		}
	}
	r := NewRing(3 * (perEntry + 40))
	for range 100 {
		r.Add(true, []byte("AT+CSQ\r"))
		r.Add(false, []byte("\r\n+CSQ: 17,99\r\n\r\nOK\r\n"))
	}
	if entries, _ := r.Entries(); len(entries) < 2 {
		t.Errorf("too little is left: %v", entries)
	}
}

package pdu_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"gatewayd/sms/pdu"
)

// TestEncodeGolden writes what a service centre writes: two of the PDUs above
// again, from the words in them.
func TestEncodeGolden(t *testing.T) {
	east := func(h int) *time.Location { return time.FixedZone("", h*3600) }
	hello := unhex(t, "E8329BFD4697D9EC37")
	for _, c := range []struct {
		name, want string
		got        []byte
	}{
		{"message", "07912143658709F1040B818100551512F200001110102143650 00AE8329BFD4697D9EC37",
			pdu.EncodeDeliver(pdu.Delivery{SMSC: "+12345678901", From: "18005551212", SCTS: time.Date(2011, 1, 1, 12, 34, 56, 0, time.UTC), UDL: 10, UD: hello})},
		{"negative zone, header", "07912160130320F6440B916171056429F50000214052916515690A E8329BFD4697D9EC37",
			pdu.EncodeDeliver(pdu.Delivery{SMSC: "+12063130026", From: "+16175046925", SCTS: time.Date(2012, 4, 25, 19, 56, 51, 0, east(-4)), UDHI: true, UDL: 10, UD: hello})},
		{"name", "07919471060040340409D0C6A733390400009060920173018000",
			pdu.EncodeDeliver(pdu.Delivery{SMSC: "+491760000443", From: "FONIC", SCTS: time.Date(2009, 6, 29, 10, 37, 10, 0, east(2))})},
		{"name of eleven letters", "07919730071111f10414d04937bd2c7797e9d3e6140008113092910240 6100",
			pdu.EncodeDeliver(pdu.Delivery{SMSC: "+79037011111", From: "InternetSMS", DCS: 8, SCTS: time.Date(2011, 3, 29, 19, 20, 4, 0, east(4))})},
		{"status report", "07914356060013F1065A098136397339F7219011700463802190117004638030",
			pdu.EncodeReport("+34656000311", pdu.Report{MR: 90, To: "639337937", Status: 0x30,
				SCTS: time.Date(2012, 9, 11, 7, 40, 36, 0, east(2)), Discharge: time.Date(2012, 9, 11, 7, 40, 36, 0, east(2))})},
		{"report without service centre", "00060505810531F1010150610000400101506100004000",
			pdu.EncodeReport("", pdu.Report{MR: 5, To: "50131", SCTS: time.Date(2010, 10, 5, 16, 0, 0, 0, east(1)), Discharge: time.Date(2010, 10, 5, 16, 0, 0, 0, east(1))})},
	} {
		if want := unhex(t, c.want); !bytes.Equal(c.got, want) {
			t.Errorf("%s:\n got %X\nwant %X", c.name, c.got, want)
		}
	}
}

// TestNames: what a name becomes when it does not fit.
func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"FONIC": "FONIC", "1234567": "1234567", "Seven77": "Seven77", "Eight888": "Eight888", "a[b]": "a[b]", "a\x1be": "a?e",
		"ABCDEFGHIJKLMNOP": "ABCDEFGHIJK", "日本": "??", "": "", "+49170": "+49170", "*100#": "*100#", "+": "",
	} {
		d, _, err := pdu.Decode(pdu.EncodeDeliver(pdu.Delivery{From: name, SCTS: noon}))
		if err != nil || d.From != want {
			t.Errorf("%q came as %+v, %v; want %q", name, d, err, want)
		}
	}
}

func TestEncodeText(t *testing.T) {
	text := strings.Repeat("Grüße aus Köln, 12 € [bar] ", 20)
	raws, err := pdu.EncodeText("+491722270000", "0711234567", text, noon, 200)
	if err != nil {
		t.Fatal(err)
	}
	var parts []*pdu.Deliver
	for _, raw := range raws {
		d, _, err := pdu.Decode(raw)
		if err != nil || d.From != "0711234567" || d.Concat == nil || d.Concat.Ref != 200 {
			t.Fatalf("%+v, %v", d, err)
		}
		parts = append(parts, d)
	}
	if got, _, _ := pdu.Join(parts); got != text {
		t.Errorf("got %q", got)
	}
	if _, err := pdu.EncodeText("", "1", "", noon, 0); err == nil {
		t.Error("an empty text was sent")
	}
}

// TestReadSubmitRefuses: the simulator is as strict as a modem, so that a
// mistake of ours shows there and not on the air.
func TestReadSubmitRefuses(t *testing.T) {
	for name, c := range map[string]struct{ tpdu, says string }{
		"nothing":               {"", "destination"},
		"a message received":    {"04000B914316565811F9000004E8373B0C", "0x04"},
		"no digits":             {"01000091" + "000004E8373B0C", "0 digits"},
		"21 digits":             {"0100159143165658114316565811430000" + "04E8373B0C", "21 digits"},
		"type of address":       {"01000B114316565811F9000004E8373B0C", "0x11"},
		"odd digits, no filler": {"01000B91431656581109000004E8373B0C", "no F"},
		"filler among digits":   {"01000B9143165658F1F9000004E8373B0C", "0xF"},
		"star, international":   {"01000B91431656581AF9000004E8373B0C", "0xA"},
		"cut in the digits":     {"01000B91431656", "coding scheme"},
		"cut before TP-UDL":     {"01000B914316565811F90000", "user data"},
		"cut in TP-VP":          {"19000B914316565811F9000001705202", "user data"},
		"user data cut":         {"01000B914316565811F9000004E8373B", "3 octets, TP-UDL 4 means 4"},
		"user data too long":    {"01000B914316565811F9000004E8373B0C00", "5 octets"},
		"161 septets":           {"01000B914316565811F90000A1" + strings.Repeat("00", 141), "141 octets"},
		"141 octets":            {"01000B914316565811F900048D" + strings.Repeat("00", 141), "141 octets"},
		"header too long":       {"41000B914316565811F9000404" + "04000000", "header"},
		"header of nothing":     {"41000B914316565811F9000400", "header"},
	} {
		s, err := pdu.ReadSubmit(unhex(t, c.tpdu))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v; want an error that says %q", name, s, err, c.says)
		}
	}
	// TP-VP in all its sizes.
	for tpdu, want := range map[string]int{
		"01000B914316565811F9000004E8373B0C":               0,
		"11000B914316565811F90000AA04E8373B0C":             1,
		"19000B914316565811F900000170520251930004E8373B0C": 7,
		"09000B914316565811F900000170520251930004E8373B0C": 7,
	} {
		if s, err := pdu.ReadSubmit(unhex(t, tpdu)); err != nil || len(s.VP) != want || s.UDL != 4 {
			t.Errorf("%s: %+v, %v", tpdu, s, err)
		}
	}
}

package pdu_test

import (
	"strings"
	"testing"
	"time"

	"gatewayd/sms"
	"gatewayd/sms/pdu"
)

// broken are PDUs that break the standard as networks are known to, each with
// what a person would read in it. "hello" in septets is E8329BFD06.
var broken = []struct {
	name, raw string
	text      string
	data      string
	from      string // "": +34616585119
	untimed   bool
	says      string // what Repaired must mention
}{
	{name: "filler counted as a digit", raw: "0004" + "0C914316565811F9" + "0000" + "11101021436500" + "05E8329BFD06", text: "hello"},
	{name: "filler missing", raw: "0004" + "0B91431656581109" + "0000" + "11101021436500" + "05E8329BFD06", text: "hello"},
	{name: "name with an extension character", // "a[b]" is 61 1B 3C 62 1B 3E: 42 bits, 11 semi-octets
		raw: "0004" + "0BD0E10D4FBCF101" + "0000" + "11101021436500" + "05E8329BFD06", text: "hello", from: "a[b]"},
	{name: "name of seven letters padded to eight", // "FONIC12" in 14 semi-octets
		raw: "0004" + "0ED0C6A733398CC900" + "0000" + "11101021436500" + "05E8329BFD06", text: "hello", from: "FONIC12"},
	{name: "name of seven letters, spare bits set",
		raw: "0004" + "0DD0C6A733398CC9FE" + "0000" + "11101021436500" + "05E8329BFD06", text: "hello", from: "FONIC12"},
	{name: "spare septet a CR", raw: deliver("04", "00", "07 E8329BFD46971B"), text: "hellohe"},
	{name: "spare bits set", raw: deliver("04", "00", "05 E8329BFDF6"), text: "hello"},
	{name: "F in the time stamp", raw: "0004" + "0B914316565811F9" + "0000" + "1110F021436500" + "05E8329BFD06", text: "hello", untimed: true, says: "time stamp"},
	{name: "time stamp of FF", raw: "0004" + "0B914316565811F9" + "0000" + "FFFFFFFFFFFFFF" + "05E8329BFD06", text: "hello", untimed: true, says: "time stamp"},
	{name: "time stamp of zeros", raw: "0004" + "0B914316565811F9" + "0000" + "00000000000000" + "05E8329BFD06", text: "hello", untimed: true},
	{name: "month 13", raw: "0004" + "0B914316565811F9" + "0000" + "11311021436500" + "05E8329BFD06", text: "hello", untimed: true},
	{name: "31 June", raw: "0004" + "0B914316565811F9" + "0000" + "11601321436500" + "05E8329BFD06", text: "hello", untimed: true},
	{name: "second 60", raw: "0004" + "0B914316565811F9" + "0000" + "11101021430600" + "05E8329BFD06", text: "hello", untimed: true},
	{name: "zone of 19 hours", raw: "0004" + "0B914316565811F9" + "0000" + "11101021436567" + "05E8329BFD06", text: "hello", untimed: true},
	{name: "padded with FF", raw: deliver("04", "00", "05 E8329BFD06 FFFFFFFF"), text: "hello", says: "4 octets behind"},
	{name: "trailing octets", raw: deliver("04", "08", "04 00680069 0102"), text: "hi", says: "2 octets behind"},
	{name: "TP-UDL too large, septets", raw: deliver("04", "00", "20 E8329BFD06"), text: "hello", says: "TP-UDL 32"},
	{name: "TP-UDL too large, last octet full", raw: deliver("04", "00", "20 E8329BFD4697 01"), text: "hellohe", says: "TP-UDL 32"},
	{name: "TP-UDL too large, UCS2", raw: deliver("04", "08", "0A 00680069"), text: "hi", says: "TP-UDL 10"},
	{name: "TP-UDL too large, octets", raw: deliver("04", "04", "0A 6869"), data: "hi", says: "TP-UDL 10"},
	{name: "odd UCS2", raw: deliver("04", "08", "05 0068006901"), text: "hi", says: "half a character"},
	{name: "one octet of UCS2", raw: deliver("04", "08", "01 00"), text: "", says: "half a character"},
	{name: "reserved coding scheme", raw: deliver("04", "9F", "05 E8329BFD06"), text: "hello", says: "0x9F"},
	{name: "header announced, none there", raw: deliver("44", "00", "05 E8329BFD06"), text: "hello", says: "header announced"},
	{name: "header longer than the user data", raw: deliver("44", "08", "04 0F680069"), text: "\u0f68i", says: "header announced"},
	{name: "header announced, no user data", raw: deliver("44", "00", "00"), text: ""},
	{name: "user data missing", raw: deliver("04", "00", ""), text: "", says: "user data missing"},
	{name: "message type 3", raw: deliver("07", "00", "05 E8329BFD06"), text: "hello", says: "message type 3"},
	{name: "TP-UDL counts less than the header", raw: deliver("44", "00", "03 0500030702 01"), text: "é@ø", says: "header announced"},
	{name: "two at once", raw: deliver("07", "08", "05 0068006901 FF"), text: "hi", says: "half a character"},
}

func brokenAsReceived() (r []struct {
	name, raw string
	smsc      string
	from      string
	name11    bool
	scts      string
	text      string
	enc       sms.Encoding
	class     int
	concat    *pdu.Concat
	clean     bool
}) {
	for _, b := range broken {
		e := received[0]
		e.name, e.raw = b.name, b.raw
		r = append(r, e)
	}
	return r
}

func TestRepair(t *testing.T) {
	for _, c := range broken {
		t.Run(c.name, func(t *testing.T) {
			d := decodeHex(t, c.raw)
			text, data, _ := pdu.Join([]*pdu.Deliver{d})
			if text != c.text || string(data) != c.data {
				t.Errorf("text %q, data %q; want %q, %q", text, data, c.text, c.data)
			}
			from := c.from
			if from == "" {
				from = "+34616585119"
			}
			if d.From != from {
				t.Errorf("from %q, want %q", d.From, from)
			}
			if want := time.Date(2011, 1, 1, 12, 34, 56, 0, time.UTC); c.untimed != d.SCTS.IsZero() || !c.untimed && d.SCTS != want {
				t.Errorf("time %v", d.SCTS)
			}
			if c.says != "" && !strings.Contains(d.Repaired, c.says) {
				t.Errorf("Repaired is %q, it should mention %q", d.Repaired, c.says)
			}
			if strings.Contains(d.Repaired, "hello") {
				t.Errorf("Repaired repeats the text: %q", d.Repaired)
			}
		})
	}
}
